# SPDX-License-Identifier: Apache-2.0
import copy
import pickle
import stat
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat

from lifeseal.attestation import KEY_ALGORITHMS, KeySigner, Purpose, TrustedKey, generate_key
from lifeseal.errors import CredentialError, FormatError, LimitError, SignatureError

ODD = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "p224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
}


def private_pem(key, form=PrivateFormat.PKCS8, protection=None):
    return key.private_bytes(Encoding.PEM, form, protection or NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_a_generated_key_signs_what_its_public_part_verifies(tmp_path, algorithm):
    public = generate_key(tmp_path / "release", algorithm=algorithm)
    signer = KeySigner.from_file(tmp_path / "release.key")
    assert TrustedKey.from_file(tmp_path / "release.pub") == public == signer.public
    info = public.check((signer.sign("text/plain", b"payload"),), purpose=Purpose.MODEL)
    assert (info.kind, info.fingerprint) == ("key", public.fingerprint)


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_the_key_of_another_is_no_key_to_the_signature(tmp_path, algorithm):
    generate_key(tmp_path / "mine", algorithm=algorithm)
    other = generate_key(tmp_path / "other", algorithm=algorithm)
    signed = KeySigner.from_file(tmp_path / "mine.key").sign("text/plain", b"payload")
    relabelled = type(signed)(material=type(signed.material)(hint=other.fingerprint), envelope=signed.envelope)
    with pytest.raises(SignatureError, match="does not verify under key"):
        other.check((relabelled,), purpose=Purpose.MODEL)


def test_the_private_key_is_readable_by_its_owner_alone(tmp_path):
    generate_key(tmp_path / "release")
    assert modes(tmp_path) == {"release.key": 0o600, "release.pub": 0o644}


def test_a_replaced_private_key_is_readable_by_its_owner_alone(tmp_path):
    for name in ("release.key", "release.pub"):
        (tmp_path / name).write_bytes(b"old")
        (tmp_path / name).chmod(0o666)
    generate_key(tmp_path / "release", overwrite=True)
    assert modes(tmp_path) == {"release.key": 0o600, "release.pub": 0o644}


@pytest.mark.parametrize("taken", ["release.key", "release.pub"])
def test_a_key_is_not_overwritten_unless_asked(tmp_path, taken):
    (tmp_path / taken).write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=f"{taken} is there already"):
        generate_key(tmp_path / "release")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {taken: b"precious"}
    generate_key(tmp_path / "release", overwrite=True)
    assert KeySigner.from_file(tmp_path / "release.key").public == TrustedKey.from_file(tmp_path / "release.pub")


def test_a_dangling_link_in_the_place_of_a_key_counts_as_taken(tmp_path):
    (tmp_path / "release.key").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="is there already"):
        generate_key(tmp_path / "release")
    assert not (tmp_path / "nowhere").exists()


def test_a_key_that_cannot_be_published_is_not_left_behind(tmp_path, monkeypatch):
    from lifeseal._io import _keypair

    def failing(path, *args, **kwargs):
        if path.suffix == ".pub":
            raise OSError(28, "no space")
        return whole(path, *args, **kwargs)

    whole = _keypair.replace
    monkeypatch.setattr(_keypair, "replace", failing)
    with pytest.raises(OSError, match="no space"):
        generate_key(tmp_path / "release")
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_dots_keeps_them(tmp_path):
    generate_key(tmp_path / "v1.2")
    assert sorted(modes(tmp_path)) == ["v1.2.key", "v1.2.pub"]


def test_refuses_an_algorithm_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="algorithm must be one of p256, p384, p521"):
        generate_key(tmp_path / "release", algorithm="rsa")
    assert list(tmp_path.iterdir()) == []


def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path):
    public = generate_key(tmp_path / "release", passphrase=b"correct horse")
    path = tmp_path / "release.key"
    assert b"ENCRYPTED" in path.read_bytes()
    assert KeySigner.from_file(path, passphrase=b"correct horse").public == public
    with pytest.raises(CredentialError, match=r"release\.key: the passphrase does not open the key"):
        KeySigner.from_file(path, passphrase=b"battery staple")
    with pytest.raises(CredentialError, match=r"release\.key: the key is encrypted; give its passphrase"):
        KeySigner.from_file(path)


def test_a_passphrase_for_a_plain_key_is_refused(tmp_path):
    generate_key(tmp_path / "release")
    with pytest.raises(CredentialError, match="the key is not encrypted"):
        KeySigner.from_file(tmp_path / "release.key", passphrase=b"x")


def test_an_empty_passphrase_is_refused(tmp_path):
    with pytest.raises(ValueError, match="an empty passphrase protects nothing"):
        generate_key(tmp_path / "release", passphrase=b"")


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_reads_sec1_keys(tmp_path, passphrase):
    key = ec.generate_private_key(ec.SECP384R1())
    protection = BestAvailableEncryption(passphrase) if passphrase else None
    (tmp_path / "k").write_bytes(private_pem(key, PrivateFormat.TraditionalOpenSSL, protection))
    assert b"BEGIN EC PRIVATE KEY" in (tmp_path / "k").read_bytes()
    assert KeySigner.from_file(tmp_path / "k", passphrase=passphrase).public == TrustedKey(key.public_key())
    if passphrase:
        with pytest.raises(CredentialError, match="does not open the key"):
            KeySigner.from_file(tmp_path / "k", passphrase=b"wrong")


@pytest.mark.parametrize("kind", ODD)
def test_refuses_private_keys_of_other_kinds(tmp_path, kind):
    (tmp_path / "k").write_bytes(private_pem(ODD[kind]()))
    with pytest.raises(FormatError, match="k: an EC key on P-256, P-384 or P-521 was expected"):
        KeySigner.from_file(tmp_path / "k")


@pytest.mark.parametrize("kind", ODD)
def test_refuses_public_keys_of_other_kinds(tmp_path, kind):
    (tmp_path / "k").write_bytes(public_pem(ODD[kind]()))
    with pytest.raises(FormatError, match="k: an EC key on P-256, P-384 or P-521 was expected"):
        TrustedKey.from_file(tmp_path / "k")


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_private_key_given_as_public_is_refused(tmp_path, passphrase):
    generate_key(tmp_path / "k", passphrase=passphrase)
    with pytest.raises(FormatError, match=r"k\.key: a public key in PEM form was expected"):
        TrustedKey.from_file(tmp_path / "k.key")


def test_a_public_key_given_as_private_is_refused(tmp_path):
    generate_key(tmp_path / "k")
    with pytest.raises(FormatError, match=r"k\.pub: a private key in PEM form was expected"):
        KeySigner.from_file(tmp_path / "k.pub")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 100, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_refuses_what_is_no_key(tmp_path, data):
    (tmp_path / "k").write_bytes(data)
    with pytest.raises(FormatError, match="k: a public key in PEM form was expected"):
        TrustedKey.from_file(tmp_path / "k")
    with pytest.raises(FormatError, match="k: a private key in PEM form was expected"):
        KeySigner.from_file(tmp_path / "k")


def test_a_damaged_encrypted_key_is_a_matter_of_credentials(tmp_path):
    generate_key(tmp_path / "k", passphrase=b"secret")
    data = bytearray((tmp_path / "k.key").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "k.key").write_bytes(data)
    with pytest.raises(CredentialError, match="or the key is damaged"):
        KeySigner.from_file(tmp_path / "k.key", passphrase=b"secret")


@pytest.mark.parametrize("read", [TrustedKey.from_file, KeySigner.from_file])
def test_refuses_an_oversized_key_file(tmp_path, read):
    (tmp_path / "k").write_bytes(b"A" * 70_000)
    with pytest.raises(LimitError, match="more than the limit of 65536"):
        read(tmp_path / "k")


def test_a_signer_is_neither_pickled_nor_copied(signer):
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="is not pickled or copied"):
            leave(signer)


def test_reprs_name_the_public_key_alone(signer):
    assert repr(signer) == f"<KeySigner {signer.public.fingerprint[:12]}>"
    assert repr(signer.public) == f"<TrustedKey {signer.public.fingerprint[:12]}>"


def test_a_public_key_survives_a_pickle(signer, bundle):
    again = pickle.loads(pickle.dumps(signer.public))
    assert again == signer.public
    assert again.check((bundle,), purpose=Purpose.MODEL)


@pytest.mark.parametrize("passphrase", [None, b"topsecretpassphrase"])
def test_errors_hold_no_key_material(tmp_path, passphrase):
    generate_key(tmp_path / "k", passphrase=passphrase)
    pem = (tmp_path / "k.key").read_text()
    lines = [line for line in pem.splitlines() if line and not line.startswith("-")]
    broken = pem.replace(lines[0], lines[0][:-1])
    (tmp_path / "broken").write_text(broken)
    attempts = [
        lambda: TrustedKey.from_file(tmp_path / "k.key"),
        lambda: KeySigner.from_file(tmp_path / "broken", passphrase=passphrase),
        lambda: KeySigner.from_file(tmp_path / "k.key", passphrase=b"wrongpassphrase"),
    ]
    for attempt in attempts:
        with pytest.raises((FormatError, CredentialError), match=r"k\.key|broken") as caught:
            attempt()
        assert caught.value.__cause__ is None
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert not any(line[:16] in shown for line in lines)
        assert "topsecretpassphrase" not in shown
        assert "wrongpassphrase" not in shown.replace('b"wrongpassphrase"', "")  # the source line of this test


def test_a_signature_uses_the_hash_of_its_curve(tmp_path):
    from cryptography.hazmat.primitives import hashes

    for algorithm, hashed in (("p256", hashes.SHA256()), ("p384", hashes.SHA384()), ("p521", hashes.SHA512())):
        generate_key(tmp_path / algorithm, algorithm=algorithm)
        signer = KeySigner.from_file(tmp_path / f"{algorithm}.key")
        envelope = signer.sign("text/plain", b"x").envelope
        signer._private.public_key().verify(envelope.signature, envelope.signed_bytes, ec.ECDSA(hashed))


def test_a_file_with_several_keys_is_refused_for_nobody_can_tell_which_is_meant(tmp_path):
    for name in ("one", "two"):
        generate_key(tmp_path / name)
    for ending, load, kind in ((".pub", TrustedKey.from_file, "public"), (".key", KeySigner.from_file, "private")):
        one, two = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("one", "two"))
        both = tmp_path / f"both{ending}"
        both.write_bytes(one)
        assert load(both)
        both.write_bytes(one + two)
        with pytest.raises(FormatError, match=f"both.*one {kind} key was expected"):
            load(both)
