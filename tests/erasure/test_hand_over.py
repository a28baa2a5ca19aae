# SPDX-License-Identifier: Apache-2.0
"""An asset's key for one recipient: noted before it is given, opened by that recipient alone, and not called back by an erasure."""

import copy
import hashlib
import json
import pickle
import shutil
from pathlib import Path

import attrs
import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lifeseal import evidence, principles, signing
from lifeseal.attestation import Bundle, KeySigner, Purpose, TrustedKey, generate_key, open_statement, sign_statement
from lifeseal.erasure import (
    KeyCopy,
    Recipient,
    RecipientKey,
    Vault,
    _hand_over,
    _sidecar,
    generate_recipient_key,
    open_hand_over,
    receive,
)
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    FormatError,
    LimitError,
    LockedError,
    PolicyError,
    SignatureError,
    StoreError,
    TamperedError,
)

GOLDEN = Path(__file__).parents[1] / "vectors" / "hand-over-1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    home = tmp_path_factory.mktemp("keys")
    generate_key(home / "giver")
    generate_key(home / "other")
    for algorithm in ("x25519", "mlkem768-x25519"):
        generate_recipient_key(home / algorithm, algorithm=algorithm)
    generate_recipient_key(home / "stranger")
    return home


@attrs.frozen
class Scene:
    vault: Vault
    keys: object
    folder: object
    signer: KeySigner
    policy: TrustedKey
    sidecar: object

    def give(self, recipient="mlkem768-x25519", *, out=None):
        public = Recipient.from_file(self.keys / f"{recipient}.pub")
        return self.vault.hand_overs.give("classifier", public, signer=self.signer, out=out or self.sidecar)

    def receive(self, recipient="mlkem768-x25519", *, folder=None, sidecar=None):
        key = RecipientKey.from_file(self.keys / f"{recipient}.key")
        return receive(sidecar or self.sidecar, folder or self.folder, key=key, policy=self.policy)


@pytest.fixture
def scene(desk, keys, tmp_path):
    with desk.create() as vault:
        signing.sign(desk.model, signer=KeySigner.from_file(keys / "giver.key"))
        vault.seal(desk.model, "classifier").close()
        signer, policy = KeySigner.from_file(keys / "giver.key"), TrustedKey.from_file(keys / "giver.pub")
        yield Scene(vault, keys, desk.folder, signer, policy, tmp_path / "classifier.hand-over.json")


@pytest.mark.parametrize("algorithm", ["x25519", "mlkem768-x25519"])
def test_a_recipient_opens_what_was_given_and_nobody_else(scene, desk, tmp_path, content_of, algorithm):
    made = scene.give(algorithm)
    shutil.copytree(scene.folder, tmp_path / "sent")
    with scene.receive(algorithm, folder=tmp_path / "sent") as asset:
        asset.unseal(tmp_path / "copy")
        with signing.open_model(asset, policy=scene.policy) as signed:
            assert "weights.bin" in {file.path for file in signed.files}
    assert content_of(tmp_path / "copy") == content_of(desk.model)
    other = {"x25519": "mlkem768-x25519", "mlkem768-x25519": "stranger"}[algorithm]
    with pytest.raises(CredentialError, match=f"is for recipient {made.copy.recipient}"):
        scene.receive(other)


def test_the_copy_is_noted_before_the_sidecar_is_there(scene, monkeypatch):
    class Watching:
        def sign(self, payload_type, payload):
            with Vault.open(scene.folder, root=scene.vault._session.holder) as other:
                noted.extend(other.hand_overs.list("classifier"))
            assert not scene.sidecar.exists()
            return scene.signer.sign(payload_type, payload)

    noted = []
    before = scene.vault.epoch
    made = scene.vault.hand_overs.give("classifier", Recipient.from_file(scene.keys / "x25519.pub"), signer=Watching(), out=scene.sidecar)
    assert noted == [made.copy] == list(scene.vault.hand_overs.list("classifier"))
    assert made.copy == KeyCopy(
        recipient=hashlib.sha256((scene.keys / "x25519.pub").read_bytes()).hexdigest(),
        algorithm="x25519",
        epoch=before + 1,
        time=made.copy.time,
        sha256=hashlib.sha256(made.sealed).hexdigest(),
    )
    (info,) = scene.vault.assets()
    assert info.copies == (made.copy,)


def test_a_sidecar_that_could_not_be_written_leaves_a_note_and_no_key(scene):
    class Broken:
        def sign(self, payload_type, payload):
            raise StoreError("no signature today")

    with pytest.raises(StoreError, match="no signature today") as error:
        scene.vault.hand_overs.give("classifier", Recipient.from_file(scene.keys / "x25519.pub"), signer=Broken(), out=scene.sidecar)
    assert "notes at epoch 4 a copy of the key of 'classifier' whose sidecar was not written" in error.value.__notes__[0]
    assert not scene.sidecar.exists()
    assert len(scene.vault.hand_overs.list("classifier")) == 1


def test_an_erasure_tells_of_the_copies_that_live_on_with_others(scene, desk, tmp_path, content_of):
    first, second = scene.give("x25519"), scene.give(out=tmp_path / "second.json")
    shutil.copytree(scene.folder, tmp_path / "sent")
    erasure = scene.vault.erase(["classifier"])
    assert erasure.copies == (first.copy, second.copy)
    with pytest.raises(StoreError, match="the container with the list of files is not there"):
        scene.receive(sidecar=tmp_path / "second.json")
    with scene.receive("x25519", folder=tmp_path / "sent") as asset:
        asset.unseal(tmp_path / "copy")
    assert content_of(tmp_path / "copy") == content_of(desk.model)
    with pytest.raises(DestroyedError):
        scene.vault.hand_overs.list("classifier")
    with pytest.raises(DestroyedError):
        scene.give("x25519", out=tmp_path / "late.json")


def test_a_hand_over_is_of_one_sealing(scene, desk, tmp_path):
    scene.give("x25519")
    scene.vault.erase(["classifier"])
    scene.vault.seal(desk.model, "classifier").close()
    assert scene.vault.hand_overs.list("classifier") == ()
    with pytest.raises(StoreError, match="is not there"):
        scene.receive("x25519")


def test_what_is_not_as_it_was_signed_is_refused(scene, tmp_path):
    scene.give("x25519")
    key = RecipientKey.from_file(scene.keys / "x25519.key")
    with pytest.raises(PolicyError, match="another signer's"):
        receive(scene.sidecar, scene.folder, key=key, policy=TrustedKey.from_file(scene.keys / "other.pub"))
    document = json.loads(scene.sidecar.read_bytes())
    payload = bytearray(document["dsseEnvelope"]["payload"].encode())
    payload[40] ^= 1
    document["dsseEnvelope"]["payload"] = payload.decode()
    (tmp_path / "changed.json").write_text(json.dumps(document))
    with pytest.raises((SignatureError, FormatError)):
        scene.receive("x25519", sidecar=tmp_path / "changed.json")
    signing.sign(tmp_path / "model", signer=scene.signer, out=tmp_path / "model.sig")
    with pytest.raises(PolicyError, match="hand over"):
        open_hand_over(tmp_path / "model.sig", policy=scene.policy)


def resigned(scene, tmp_path, **changes):
    """Sign the sidecar again with other contents, as a giver might who errs or lies."""
    statement, _ = open_statement(Bundle.load(scene.sidecar), policy=scene.policy, purpose=Purpose.HAND_OVER)
    predicate = {**statement.predicate, **changes}
    predicate = {name: value for name, value in predicate.items() if value is not None}
    path = tmp_path / "again.json"
    sign_statement(attrs.evolve(statement, predicate=predicate), signer=scene.signer).write(path)
    return path


@pytest.mark.parametrize(
    "change",
    [{"slot": 1}, {"generation": 2}, {"epoch": 9}, {"vault": "00" * 16}, {"sealed": "AAAA"}, {"sealed": "A" * 108}],
    ids=["slot", "generation", "epoch", "vault", "short", "zeros"],
)
def test_the_key_is_bound_to_its_place(scene, tmp_path, change):
    scene.give("x25519")
    with pytest.raises(TamperedError, match="does not open with this private key"):
        scene.receive("x25519", sidecar=resigned(scene, tmp_path, **change))
    scene.receive("x25519", sidecar=resigned(scene, tmp_path)).close()


@pytest.mark.parametrize(
    "change",
    [{"slot": -1}, {"slot": 1 << 32}, {"slot": "1"}, {"time": None}, {"more": 1}, {"recipient": "00"}, {"algorithm": "mlkem768-x25519"}],
)
def test_a_sidecar_of_another_form_is_refused(scene, tmp_path, change):
    scene.give("x25519")
    with pytest.raises(FormatError):
        scene.receive("x25519", sidecar=resigned(scene, tmp_path, **change))


@pytest.mark.parametrize("name", ["objects/../secret", "objects/" + "g" * 32, "objects/" + "0" * 31, "log-1", "a/objects/" + "0" * 32])
def test_a_subject_that_is_no_container_is_refused(scene, tmp_path, name):
    scene.give("x25519")
    statement, _ = open_statement(Bundle.load(scene.sidecar), policy=scene.policy, purpose=Purpose.HAND_OVER)
    subject = attrs.evolve(statement.subjects[0], name=name)
    sign_statement(attrs.evolve(statement, subjects=(subject,)), signer=scene.signer).write(tmp_path / "again.json")
    with pytest.raises(FormatError, match="one container of a vault was expected"):
        scene.receive("x25519", sidecar=tmp_path / "again.json")


def test_another_container_in_its_place_is_refused(scene, tmp_path):
    made = scene.give("x25519")
    shutil.copytree(scene.folder, tmp_path / "sent")
    place = tmp_path / "sent/objects" / made.index.hex()
    place.write_bytes(place.read_bytes() + b"x")
    with pytest.raises(TamperedError, match="is not the container that was handed over"):
        scene.receive("x25519", folder=tmp_path / "sent")
    place.unlink()
    with pytest.raises(StoreError):
        scene.receive("x25519", folder=tmp_path / "sent")


def test_hpke_of_the_standard_opens_the_sidecar(scene):
    """By the page alone: the context as written there, and nothing of ours."""
    scene.give("x25519")
    statement, _ = open_statement(Bundle.load(scene.sidecar), policy=scene.policy, purpose=Purpose.HAND_OVER)
    found = statement.predicate
    (subject,) = statement.subjects
    info = b"lifeseal.hand-over/1" + bytes.fromhex(found["vault"]) + found["slot"].to_bytes(8, "big") + found["generation"].to_bytes(8, "big")
    info += bytes.fromhex(subject.name.removeprefix("objects/")) + found["epoch"].to_bytes(8, "big") + bytes.fromhex(found["recipient"])
    private = load_pem_private_key((scene.keys / "x25519.key").read_bytes(), None)
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    import base64

    key = suite.decrypt(base64.b64decode(found["sealed"]), private, info=info)
    with scene.vault._session.current().tree.key(0) as held, held.view() as view:
        assert key == bytes(view)
    assert subject.sha256 == hashlib.sha256((scene.folder / subject.name).read_bytes()).digest()


@pytest.mark.parametrize("algorithm", ["x25519", "mlkem768-x25519"])
def test_what_an_earlier_release_gave_is_opened(tmp_path, content_of, algorithm):
    key, policy = RecipientKey.from_file(GOLDEN / f"{algorithm}.key"), TrustedKey.from_file(GOLDEN / "giver.pub")
    with receive(GOLDEN / f"{algorithm}.hand-over.json", GOLDEN, key=key, policy=policy) as asset:
        asset.unseal(tmp_path / "out")
    assert content_of(tmp_path / "out") == {"weights.bin": bytes(range(256)) * 100, "config.json": b'{"layers": 2}\n'}
    other = {"x25519": "mlkem768-x25519", "mlkem768-x25519": "x25519"}[algorithm]
    with pytest.raises(CredentialError):
        receive(GOLDEN / f"{other}.hand-over.json", GOLDEN, key=key, policy=policy)


def test_no_key_and_no_name_stand_in_the_sidecar_or_the_log(scene, tmp_path):
    log = tmp_path / "events.jsonl"
    with evidence.Log(log):
        scene.give("x25519")
        scene.receive("x25519").close()
    with scene.vault._session.current().tree.key(0) as held, held.view() as view:
        key = bytes(view)
    for path in (scene.sidecar, log):
        data = path.read_bytes()
        assert key not in data
        assert key.hex().encode() not in data
    assert b"classifier" not in scene.sidecar.read_bytes()
    events = [(event.primitive.rpartition(".")[2], event.outcome) for event in evidence.read(log)]
    assert ("give", "intent") in events
    assert ("receive", "pass") in events


def test_what_cannot_be_logged_is_not_given(scene):
    class Full:
        def emit(self, event):
            if event.outcome == "intent":
                raise OSError(28, "log is full")

    with principles.sink_for_block(Full()), pytest.raises(OSError, match="log is full"):
        scene.give("x25519")
    assert scene.vault.hand_overs.list("classifier") == ()
    assert not scene.sidecar.exists()


def test_bad_calls_change_nothing(scene, tmp_path, monkeypatch):
    before = scene.vault.epoch
    recipient = Recipient.from_file(scene.keys / "x25519.pub")
    scene.sidecar.write_text("there")
    with pytest.raises(FileExistsError):
        scene.give()
    with pytest.raises(ValueError, match="lies inside the vault"):
        scene.give(out=scene.folder / "x.json")
    with pytest.raises(StoreError, match="no asset 'nothing'"):
        scene.vault.hand_overs.give("nothing", recipient, signer=scene.signer, out=tmp_path / "x.json")
    with scene.vault._session.holder.locked(scene.folder), pytest.raises(LockedError):
        scene.give(out=tmp_path / "x.json")
    monkeypatch.setattr(_hand_over, "MAX_COPIES", 0)
    with pytest.raises(LimitError, match="1 copies of its key, more than the limit of 0"):
        scene.give(out=tmp_path / "x.json")
    assert scene.vault.epoch == before
    assert scene.sidecar.read_text() == "there"


def test_copies_are_kept_by_holds_and_compaction(scene):
    made = scene.give("x25519")
    scene.vault.holds.place(["classifier"], reason="case 7")
    scene.vault.compact()
    scene.vault.holds.lift(["classifier"])
    assert scene.vault.hand_overs.list("classifier") == (made.copy,)
    scene.vault.verify()


def test_a_recipients_key_is_read_back_encrypted_or_not(tmp_path):
    made = generate_recipient_key(tmp_path / "plain")
    secret = generate_recipient_key(tmp_path / "secret", passphrase=b"a passphrase")
    assert (tmp_path / "plain.key").stat().st_mode & 0o777 == 0o600
    assert (
        RecipientKey.from_file(tmp_path / "plain.key").public.fingerprint
        == made.fingerprint
        == Recipient.from_file(tmp_path / "plain.pub").fingerprint
    )
    assert RecipientKey.from_file(tmp_path / "secret.key", passphrase=b"a passphrase").public.fingerprint == secret.fingerprint
    for passphrase, message in ((None, "is encrypted"), (b"wrong", "does not open the key")):
        with pytest.raises(CredentialError, match=message):
            RecipientKey.from_file(tmp_path / "secret.key", passphrase=passphrase)
    with pytest.raises(CredentialError, match="the key is not encrypted"):
        RecipientKey.from_file(tmp_path / "plain.key", passphrase=b"x")
    with pytest.raises(FileExistsError):
        generate_recipient_key(tmp_path / "plain")
    with pytest.raises(ValueError, match="mlkem768-x25519, x25519, not 'rsa'"):
        generate_recipient_key(tmp_path / "x", algorithm="rsa")
    with pytest.raises(ValueError, match="an empty passphrase"):
        generate_recipient_key(tmp_path / "x", passphrase=b"")


def test_other_keys_are_refused(keys, tmp_path):
    blocks = (keys / "mlkem768-x25519.pub").read_bytes().split(b"-----BEGIN ")
    swapped = b"".join(b"-----BEGIN " + block for block in (blocks[2], blocks[1]))
    for content in (b"", b"no key", (keys / "giver.pub").read_bytes(), (keys / "x25519.key").read_bytes(), swapped, b"-----BEGIN " + blocks[1]):
        (tmp_path / "odd.pub").write_bytes(content)
        with pytest.raises(FormatError, match="an X25519 key in PEM form was expected"):
            Recipient.from_file(tmp_path / "odd.pub")
    for content in (b"", (keys / "giver.key").read_bytes(), (keys / "x25519.pub").read_bytes()):
        (tmp_path / "odd.key").write_bytes(content)
        with pytest.raises(FormatError):
            RecipientKey.from_file(tmp_path / "odd.key")


def test_a_public_key_that_agrees_on_nothing_is_refused(scene):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    low = Recipient((X25519PublicKey.from_public_bytes(bytes(32)),))
    with pytest.raises(FormatError, match="a secret can be agreed with"):
        scene.vault.hand_overs.give("classifier", low, signer=scene.signer, out=scene.sidecar)
    assert scene.vault.hand_overs.list("classifier") == ()


def test_a_private_key_is_not_shown_pickled_or_copied(keys):
    key = RecipientKey.from_file(keys / "x25519.key")
    assert repr(key) == f"<RecipientKey {key.public.fingerprint[:12]}>"
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled or copied"):
            act(key)


def test_the_context_has_one_length_for_any_place():
    assert len(_sidecar.info_of(bytes(16), 0, 0, bytes(16), 0, "00" * 32)) == 108
    assert X25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
