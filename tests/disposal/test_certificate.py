# SPDX-License-Identifier: Apache-2.0
"""A certificate: who says it, exactly what it says, and whether the vault agrees."""

import json
import pathlib
import shutil

import attrs
import pytest

from lifeseal import disposal, signing
from lifeseal._io import canonical
from lifeseal.attestation import Bundle, Purpose, Statement, TrustedKey, sign_statement
from lifeseal.disposal import Certificate, Disposal
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import FormatError, LifesealError, LimitError, PolicyError, RolledBackError, SignatureError


@pytest.fixture
def path(desk, end):
    """A signed certificate of ``model``."""
    found = desk.place / "certificate.json"
    end(desk.vault, request="REQ-1").write(found)
    return found


def test_a_signed_certificate_comes_back_with_its_signer(path, signer):
    found = disposal.open_certificate(path, policy=signer.public)
    assert found.signer.fingerprint == signer.public.fingerprint
    assert found.disposal == Certificate.load(path).disposal
    assert found.to_bytes() == path.read_bytes()
    assert Certificate.load(path).signer is None


def test_an_unsigned_certificate_is_read_and_never_trusted(desk, end, signer):
    made = end(desk.vault, signer=None)
    made.write(desk.place / "c")
    assert made.bundle is None
    assert Certificate.load(desk.place / "c") == made
    with pytest.raises(FormatError, match="c: field 'mediaType' is missing"):
        disposal.open_certificate(desk.place / "c", policy=signer.public)


def test_a_certificate_is_not_replaced_unless_asked(path, desk, end):
    before = path.read_bytes()
    other = end(desk.vault, ["other"])
    with pytest.raises(FileExistsError):
        other.write(path)
    assert path.read_bytes() == before
    other.write(path, overwrite=True)
    assert path.read_bytes() == other.to_bytes()


def test_every_flipped_bit_is_refused(path, signer):
    good = path.read_bytes()
    for place in range(len(good)):
        for bit in range(8) if place % 16 == 0 else (place % 8,):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(LifesealError, match=r"certificate"):
                disposal.open_certificate(path, policy=signer.public)
    path.write_bytes(good)
    disposal.open_certificate(path, policy=signer.public)


def test_every_truncation_is_refused(path, signer):
    good = path.read_bytes()
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        with pytest.raises(FormatError, match=r"certificate\.json"):
            disposal.open_certificate(path, policy=signer.public)


def test_a_stranger_is_refused(path, stranger):
    with pytest.raises(PolicyError, match=r"this certificate names signing key .* another signer's"):
        disposal.open_certificate(path, policy=stranger.public)


def test_an_edited_certificate_is_refused(path, signer):
    bundle = Bundle.load(path)
    payload = bundle.envelope.payload.replace(b"REQ-1", b"REQ-2")
    assert payload != bundle.envelope.payload
    attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, payload=payload)).write(path)
    with pytest.raises(SignatureError, match="signature of this certificate does not verify"):
        disposal.open_certificate(path, policy=signer.public)


def test_a_signature_spliced_from_another_certificate_is_refused(path, desk, end, signer):
    other = end(desk.vault, ["other"]).bundle
    bundle = Bundle.load(path)
    attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, signature=other.envelope.signature)).write(path)
    with pytest.raises(SignatureError, match="signature of this certificate does not verify"):
        disposal.open_certificate(path, policy=signer.public)


def test_the_signature_of_a_model_is_no_certificate(path, desk, signer):
    signing.sign(desk.model, signer=signer, out=path)
    with pytest.raises(PolicyError, match="signed for another use"):
        disposal.open_certificate(path, policy=signer.public)
    with pytest.raises(FormatError, match="a disposal certificate was expected"):
        Certificate.load(path)


def test_a_certificate_is_no_signature_of_a_model(path, desk, signer):
    with pytest.raises(PolicyError, match="signed for another use"):
        signing.verify(desk.model, policy=signer.public, signature=path)


def _set(**fields):
    return lambda predicate: predicate.update(fields)


def _in(part, /, **fields):
    return lambda predicate: (predicate[part][0] if isinstance(predicate[part], list) else predicate[part]).update(fields)


@pytest.mark.parametrize(
    "change",
    [
        _set(schema="lifeseal.disposal/3"),
        _set(status="done"),
        _set(status=""),
        _set(status="partial"),
        _set(reasons=["because"]),
        _set(trigger="boredom"),
        _set(epoch_after=1),
        _set(epoch_before=-1),
        _set(epoch_before=True),
        _set(method="overwritten"),
        _set(method="Purge"),
        _set(assets=[]),
        _set(limitations="none"),
        _set(limitations=[1]),
        _set(more=1),
        _set(custodian=None),
        _set(custodian="records@example.org"),
        _set(vault=""),
        _set(holders=[]),
        _set(keys=[]),
        _set(worst_key="destroyed"),
        _set(worst_key=""),
        _set(search={"places": [], "files": 0, "read": 0, "copies": {"first": [], "more": 0}, "unread": {"first": [], "more": 0}}),
        _in("keys", state="live"),
        _in("keys", state="lost"),
        _in("trials", answer="opened"),
        _in("trials", answer="perhaps"),
        _in("removed", left={"first": ["x"], "more": 0}),
        _in("removed", left={"first": ["x"]}),
        _in("custodian", name=1),
        _in("custodian", born="1970"),
        _in("assets", slot=-1),
        _in("assets", slot=None),
        _in("assets", kind="person"),
        _in("assets", born_encrypted=0),
        _in("assets", name="x"),
        _in("assets", sha256="00"),
        lambda predicate: predicate.pop("limitations"),
        lambda predicate: predicate.pop("assurance"),
        lambda predicate: predicate["assets"].append(predicate["assets"][0]),
        lambda predicate: predicate["assets"][0].pop("generation"),
    ],
)
def test_a_signed_statement_of_another_form_is_refused(change, path, signer):
    statement = Certificate.load(path).disposal.to_statement()
    sign_statement(statement, signer=signer).write(path)
    disposal.open_certificate(path, policy=signer.public)
    predicate = json.loads(json.dumps(statement.predicate))
    change(predicate)
    sign_statement(attrs.evolve(statement, predicate=predicate), signer=signer).write(path)
    with pytest.raises(FormatError, match=r"certificate\.json, predicate"):
        disposal.open_certificate(path, policy=signer.public)


def test_a_text_that_is_too_long_is_refused(path, signer):
    statement = attrs.evolve(Certificate.load(path).disposal, custodian=disposal.Party(name="c" * 4097)).to_statement()
    sign_statement(statement, signer=signer).write(path)
    with pytest.raises(LimitError, match="'custodian', 'name': 4097 characters"):
        disposal.open_certificate(path, policy=signer.public)


def test_a_file_that_is_too_large_is_refused(path, signer):
    with path.open("ab") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(LimitError, match=r"certificate\.json: 16777217 bytes"):
        disposal.open_certificate(path, policy=signer.public)
    with pytest.raises(LimitError, match=r"certificate\.json: 16777217 bytes"):
        Certificate.load(path)


HOSTILE = "<script>alert(1)</script>\x1b[2J\r\n\u202e\"'\\&amp;"


def test_hostile_texts_survive_as_text(desk, end, signer):
    end(desk.vault, sanitiser=HOSTILE, custodian=HOSTILE, request=HOSTILE).write(desk.place / "c")
    found = disposal.open_certificate(desk.place / "c", policy=signer.public).disposal
    assert (found.sanitiser.name, found.custodian.name, found.request) == (HOSTILE, HOSTILE, HOSTILE)
    assert b"\x1b" not in (desk.place / "c").read_bytes()


def test_a_statement_made_of_any_disposal_reads_back(path):
    found = Certificate.load(path).disposal
    statement = Statement.from_bytes(found.to_statement().to_bytes(), where="s")
    assert Disposal.from_statement(statement, where="s") == found
    assert statement.predicate_type == Purpose.CERTIFICATE.predicate_type


def test_the_vault_confirms_it(path, desk, signer):
    certificate = disposal.open_certificate(path, policy=signer.public)
    disposal.confirm(certificate, desk.vault)
    with desk.reopen() as again:
        disposal.confirm(certificate, again)


def test_a_vault_that_was_opened_before_the_erasure_confirms_it(desk, end):
    with desk.reopen() as early:
        certificate = end(desk.vault)
        disposal.confirm(certificate, early)


def test_an_asset_sealed_anew_in_the_same_slot_does_not_contradict_it(path, desk, signer):
    certificate = disposal.open_certificate(path, policy=signer.public)
    desk.vault.seal(desk.model, "model").close()
    disposal.confirm(certificate, desk.vault)


def test_another_vault_does_not_confirm_it(path, desk, signer, tmp_path):
    certificate = disposal.open_certificate(path, policy=signer.public)
    with (
        Vault.create(tmp_path / "v2", root=FileRoot(tmp_path / "r2")) as other,
        pytest.raises(PolicyError, match=rf"about vault {desk.vault.id}, and this is vault {other.id}"),
    ):
        disposal.confirm(certificate, other)


def test_a_vault_restored_with_its_root_is_found(desk, end):
    copy = desk.backup()
    certificate = end(desk.vault)
    with desk.reopen(copy) as restored, pytest.raises(RolledBackError, match="before the erasure"):
        disposal.confirm(certificate, restored)
    with desk.reopen() as current:
        disposal.confirm(certificate, current)


def test_a_restored_vault_that_went_on_is_found(desk, end):
    copy = desk.backup()
    certificate = end(desk.vault)
    with desk.reopen(copy) as restored:
        for name in ("x", "y"):
            restored.seal(desk.model, name).close()
        assert restored.epoch >= certificate.disposal.epoch_after
        with pytest.raises(PolicyError, match=r"'model' \(slot 0\) is not erased in this vault"):
            disposal.confirm(certificate, restored)


def test_an_open_vault_restored_on_disk_is_found(desk, end):
    copy = desk.backup()
    certificate = end(desk.vault)
    shutil.rmtree(desk.place / "vault")
    shutil.copytree(copy / "vault", desk.place / "vault")
    shutil.copy2(copy / "root", desk.place / "root")
    with pytest.raises(RolledBackError):
        disposal.confirm(certificate, desk.vault)


@pytest.mark.parametrize("change", [{"slot": 1}, {"slot": 7}, {"generation": 2}], ids=str)
def test_a_certificate_of_what_was_not_erased_is_refused(change, path, desk):
    certificate = Certificate.load(path)
    asset = attrs.evolve(certificate.disposal.assets[0], **change)
    wrong = attrs.evolve(certificate, disposal=attrs.evolve(certificate.disposal, assets=(asset,)))
    with pytest.raises(PolicyError, match=r"'model' \(slot \d\) is not erased in this vault"):
        disposal.confirm(wrong, desk.vault)


VECTORS = pathlib.Path(__file__).parents[1] / "vectors/disposal"


def test_a_certificate_of_the_first_form_is_read_for_ever():
    policy = TrustedKey.from_file(VECTORS / "first-form.pub")
    found = disposal.open_certificate(VECTORS / "first-form.json", policy=policy)
    assert (found.disposal.status, found.disposal.sanitiser.name, found.disposal.worst_key) == ("completed", "ops@example.org", "unknown")
    assert [(asset.name, asset.slot, asset.generation, asset.files) for asset in found.disposal.assets] == [("model", 0, 1, 2)]
    assert "No search for plaintext copies was made" in " ".join(found.disposal.limitations)
    written = found.disposal.to_statement()
    assert Disposal.from_statement(written, where="s") == found.disposal


@pytest.mark.parametrize(
    "change",
    [_set(status="done"), _set(epoch_after=1), _set(method="x"), _set(assets=[]), _set(more=1), lambda predicate: predicate.pop("holder")],
)
def test_a_broken_first_form_is_refused(change):
    statement = Statement.from_bytes(Bundle.load(VECTORS / "first-form.json").envelope.payload, where="s")
    predicate = json.loads(json.dumps(statement.predicate))
    Disposal.from_statement(attrs.evolve(statement, predicate=json.loads(json.dumps(predicate))), where="s")
    change(predicate)
    with pytest.raises(FormatError, match="s, predicate"):
        Disposal.from_statement(attrs.evolve(statement, predicate=predicate), where="s")


CERTIFICATES = json.loads((VECTORS / "certificates.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", CERTIFICATES, ids=lambda vector: vector["name"])
def test_the_vectors_are_read_as_they_say_for_ever(vector):
    statement = Statement.from_bytes(canonical(vector["statement"]), where="s")
    if vector["accepted"]:
        found = Disposal.from_statement(statement, where="s")
        assert found.to_statement().to_bytes() == canonical(vector["statement"])
    else:
        with pytest.raises((FormatError, LimitError), match="s, predicate"):
            Disposal.from_statement(statement, where="s")
