# SPDX-License-Identifier: Apache-2.0
"""Certificates: the chains that must be accepted, and beside each what must not."""

import datetime as dt
import hashlib
import random
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from tests.support.authority import AUTHORITY, CODE, FAR, LEAF, OLD, SERVER, root, usage

from lifeseal import signing
from lifeseal.attestation import Bundle, CertificateMaterial, CertificateSigner, KeySigner, Purpose, SignerInfo, TrustedCertificates, TrustedKey
from lifeseal.attestation._paths import load_der
from lifeseal.errors import CredentialError, FormatError, LifesealError, PolicyError, SignatureError

NOW = dt.datetime.now(dt.UTC)
YEAR = dt.timedelta(days=365)


def der(issued):
    return issued.certificate.public_bytes(Encoding.DER)


def signed(leaf, *chain):
    return CertificateSigner(KeySigner(leaf.key), tuple(map(der, (leaf, *chain)))).sign("text/plain", b"payload")


def check(bundle, *roots, **how):
    return TrustedCertificates(tuple(map(der, roots)), **how).check((bundle,), purpose=Purpose.MODEL)


def refused(bundle, *roots, because, **how):
    with pytest.raises(PolicyError) as caught:
        check(bundle, *roots, **how)
    assert because in str(caught.value)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_accepts_a_certificate_under_the_root_and_one_between(curve):
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    leaf = middle.issue("signer", curve=curve)
    info = check(signed(leaf, middle), top)
    assert info == SignerInfo(
        kind="certificate",
        fingerprint=leaf.certificate.fingerprint(hashes.SHA256()).hex(),
        key=KeySigner(leaf.key).public.fingerprint,
        name="CN=signer",
        clause="certificate under 'CN=root'",
        notes=("revocation was not consulted: neither CRL nor OCSP",),
        certificates=tuple(hashlib.sha256(issued.certificate.tbs_certificate_bytes).hexdigest() for issued in (leaf, middle, top)),
    )
    assert check(signed(top.issue("direct", curve=curve)), top).name == "CN=direct"
    assert Bundle.from_bytes(signed(leaf, middle).to_bytes()).material == CertificateMaterial(
        kind="x509CertificateChain", certificates=(der(leaf), der(middle))
    )


def test_trusts_no_root_that_was_not_given():
    top, other = root(), root()  # of one name
    bundle = signed(top.issue("signer"), top)
    assert check(bundle, other, top)
    refused(bundle, other, because="leads to no root given")
    with pytest.raises(ValueError, match="at least one root"):
        TrustedCertificates(())


def test_a_certificate_between_that_is_missing_is_missed():
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    bundle = signed(middle.issue("signer"))
    assert check(bundle, top, middle)
    refused(bundle, top, because="issued by 'CN=middle', which leads to no root given")


def test_a_certificate_that_leads_nowhere_hides_none_that_leads_to_the_root():
    top, stranger = root(), root("stranger")
    middle = top.issue("middle", extensions=AUTHORITY)
    expired = top.issue("middle", extensions=AUTHORITY, key=middle.key, end=OLD + YEAR)
    crossed = stranger.issue("middle", extensions=AUTHORITY, key=middle.key)
    leaf = middle.issue("signer")
    assert check(signed(leaf, crossed, expired, stranger, middle), top)
    refused(signed(leaf, crossed, expired), top, because="'CN=middle': expired")


def test_a_name_equal_to_the_issuers_is_no_self_signature():
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    leaf = middle.issue("middle", extensions=(*AUTHORITY[:1], *LEAF[1:]))
    assert check(signed(leaf, middle), top)


def test_a_root_may_be_the_signers_own_certificate_or_one_between():
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    leaf = middle.issue("signer")
    assert check(signed(leaf), leaf)
    assert check(signed(leaf), middle)
    refused(signed(middle.issue("signer")), leaf, because="leads to no root given")


@pytest.mark.parametrize("start", [OLD, NOW - YEAR], ids=["old root", "new root"])
def test_the_signers_certificate_must_be_valid_now_or_at_the_time_given(start):
    top = root(start=start)
    late = signed(top.issue("signer", start=OLD, end=NOW - dt.timedelta(days=2)))
    early = signed(top.issue("signer", start=NOW + dt.timedelta(days=2)))
    assert check(signed(top.issue("signer")), top)
    refused(late, top, because="'CN=signer': expired at ")
    refused(early, top, because="'CN=signer': not valid before ")
    assert check(late, top, at=NOW - dt.timedelta(days=3))
    assert check(early, top, at=NOW + dt.timedelta(days=3))
    with pytest.raises(ValueError, match="at= needs a time zone"):
        check(late, top, at=dt.datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_every_certificate_of_the_path_must_be_valid():
    top, gone = root(), root("gone", end=OLD + YEAR)
    refused(signed(gone.issue("signer")), gone, because="'CN=gone': expired")
    middle = top.issue("middle", extensions=AUTHORITY, start=FAR - YEAR)
    refused(signed(middle.issue("signer"), middle), top, because="'CN=middle': not valid before")


def with_usage(value):
    return (LEAF[0], (value, True))


LEAVES = {
    "no usage": (LEAF[:1], "neither key usage nor extended key usage"),
    "a usage without signatures": (with_usage(usage(issue=True)), "does not allow digital signatures"),
    "a server's": ((LEAF[0], LEAF[1], (SERVER, False)), "does not allow code signing"),
    "a timestamp authority's": (
        (LEAF[0], (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)),
        "does not allow code signing",
    ),
    "an unknown critical extension": (
        (*LEAF, (x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)),
        "not understood: 1.3.6.1.4.1.99999.1",
    ),
}


@pytest.mark.parametrize("what", LEAVES)
def test_refuses_a_signers_certificate_with(what):
    extensions, because = LEAVES[what]
    top = root()
    refused(signed(top.issue("signer", extensions=extensions)), top, because=because)


@pytest.mark.parametrize(
    "extensions",
    [
        with_usage(usage(sign=True)),
        (LEAF[0], (CODE, True)),
        (LEAF[0], (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
        (*LEAF, (x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), False)),
    ],
)
def test_accepts_a_signers_certificate_that_may_sign(extensions):
    top = root()
    assert check(signed(top.issue("signer", extensions=extensions)), top)


AUTHORITIES = {
    "no authority's": (LEAF, "it is no authority's"),
    "no word on it": (LEAF[1:], "it is no authority's"),
    "a usage without issuing": ((AUTHORITY[0], (usage(sign=True), True)), "does not allow to sign certificates"),
    "a server authority's": ((*AUTHORITY, (SERVER, False)), "does not allow code signing below it"),
    "names constrained": (
        (*AUTHORITY, (x509.NameConstraints([x509.DNSName("example.org")], None), True)),
        "constrains names, which is not processed",
    ),
}


@pytest.mark.parametrize("what", AUTHORITIES)
def test_refuses_an_issuer_with(what):
    extensions, because = AUTHORITIES[what]
    top = root()
    middle = top.issue("middle", extensions=extensions)
    refused(signed(middle.issue("signer"), middle), top, because=because)


@pytest.mark.parametrize(("allowed", "between", "good"), [(0, 0, True), (0, 1, False), (1, 1, True), (1, 2, False)])
def test_counts_the_authorities_below(allowed, between, good):
    last = top = root(extensions=((x509.BasicConstraints(ca=True, path_length=allowed), True), AUTHORITY[1]))
    chain = [last := last.issue(f"middle {number}", extensions=AUTHORITY) for number in range(between)]
    bundle = signed(last.issue("signer"), *chain)
    if good:
        assert check(bundle, top)
    else:
        refused(bundle, top, because=f"allows {allowed} authorities below it, and there are {between}")


def test_a_chain_is_bounded_in_depth_and_in_what_is_tried():
    last = top = root()
    chain = [last := last.issue(f"middle {number}", extensions=AUTHORITY) for number in range(7)]
    refused(signed(last.issue("signer"), *chain), top, because="leads to no root given")
    assert check(signed(chain[5].issue("signer"), *chain[:6]), top)
    twins = [root("root") for _ in range(15)]
    refused(signed(top.issue("signer"), *twins), root("root"), because="leads to no root given")


NAMES = x509.SubjectAlternativeName(
    [x509.DNSName("Build.example.org"), x509.RFC822Name("Builder@example.org"), x509.UniformResourceIdentifier("https://example.org/Ci")]
)


@pytest.mark.parametrize(
    ("san", "good"),
    [
        ("build.example.org", True),
        ("Builder@example.org", True),
        ("https://example.org/Ci", True),
        ("builder@example.org", False),
        ("https://example.org/ci", False),
        ("example.org", False),
        ("*.example.org", False),
        ("", False),
        ("CN=signer", False),
    ],
)
def test_the_name_wanted_must_be_one_that_the_certificate_carries(san, good):
    top = root()
    bundle = signed(top.issue("signer", extensions=(*LEAF, (NAMES, False))))
    if good:
        assert check(bundle, top, san=san).clause == f"certificate under 'CN=root', named {san!r}"
    else:
        refused(bundle, top, san=san, because=f"and the policy wants {san!r}")
    refused(signed(top.issue("signer")), top, san="build.example.org", because="carries the names none")


def test_a_signature_of_another_key_or_over_another_payload_is_refused():
    top = root()
    bundle = signed(top.issue("signer"))
    other = signed(top.issue("other"))
    assert check(bundle, top)
    for broken in (
        attrs.evolve(bundle, material=other.material),
        attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, payload=b"another")),
    ):
        with pytest.raises(SignatureError, match="does not verify under its certificate"):
            check(broken, top)


def test_a_bare_key_is_no_certificate_and_the_reverse():
    top = root()
    leaf = top.issue("signer")
    refused(KeySigner(leaf.key).sign("text/plain", b"payload"), top, because="was signed with a bare key")
    with pytest.raises(PolicyError, match="and the policy trusts a bare key"):
        TrustedKey(leaf.key.public_key()).check((signed(leaf),), purpose=Purpose.MODEL)


def test_what_is_no_certificate_is_refused_by_its_place():
    top = root()
    bundle = signed(top.issue("signer"))
    for certificates, where in (((b"\x30\x00",), "certificate 0"), ((*bundle.material.certificates, b"junk"), "certificate 1")):
        with pytest.raises(FormatError, match=where):
            check(attrs.evolve(bundle, material=attrs.evolve(bundle.material, certificates=certificates)), top)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_changed_byte_of_the_signers_certificate_is_refused():
    top = root()
    bundle = signed(top.issue("signer", extensions=(*LEAF, (NAMES, False))))
    data = bundle.material.certificates[0]
    draw = random.Random(5)
    assert check(bundle, top)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << draw.randrange(8)
        with pytest.raises(LifesealError):
            check(attrs.evolve(bundle, material=attrs.evolve(bundle.material, certificates=(bytes(changed),))), top)


def test_files_make_a_signer_and_a_policy(tmp_path):
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    leaf = middle.issue("signer")
    ca, _ = top.write(tmp_path, "ca")
    between, _ = middle.write(tmp_path, "middle")
    certificate, key = leaf.write(tmp_path, "signer")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a").write_bytes(b"a")
    signing.sign(tmp_path / "model", signer=CertificateSigner.from_files(key, certificate, [between]))
    report = signing.verify(tmp_path / "model", policy=TrustedCertificates.from_files([ca]))
    assert report.signer.name == "CN=signer"
    assert "revocation was not consulted: neither CRL nor OCSP" in report.not_covered
    with pytest.raises(CredentialError, match="of another key"):
        CertificateSigner.from_files(key, between)
    with pytest.raises(FormatError, match="certificates in PEM form were expected"):
        TrustedCertificates.from_files([key])


@pytest.mark.parametrize("release", ["v1.0.0-certificate", "v1.1.0-certificate"])
def test_published_certificate_bundles_verify(release):
    oms = Path(__file__).parent.parent / "vectors/oms/published"
    policy = TrustedCertificates.from_files([oms / "keys/ca-cert.pem"])
    report = signing.verify(oms / release, policy=policy)
    assert report.signer.name == "CN=intermediate-ca"
    other = TrustedCertificates((der(root()),))
    with pytest.raises(PolicyError, match="leads to no root given"):
        signing.verify(oms / release, policy=other)
    with pytest.raises(PolicyError, match="not valid before"):
        signing.verify(oms / release, policy=attrs.evolve(policy, at=dt.datetime(2025, 1, 1, tzinfo=dt.UTC)))


@pytest.fixture(scope="module")
def small():
    """The bytes of a bundle with a leaf and an authority between, and its policy."""
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    policy = TrustedCertificates((der(top),))
    return signed(middle.issue("signer"), middle).to_bytes(), policy


def accepts(data, policy):
    try:
        policy.check((Bundle.from_bytes(data),), purpose=Purpose.MODEL)
    except LifesealError:
        return False
    return True


@pytest.mark.slow
def test_no_bit_of_a_certificates_bundle_can_be_flipped(small):
    data, policy = small
    assert accepts(data, policy)
    accepted = []
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            if accepts(bytes(changed), policy):
                accepted.append((position, bit))
    assert accepted == []


def test_refuses_a_certificate_whose_issuers_signature_leaves_bits_over():
    top = root()
    while (leaf := der(top.issue("signer")))[-1] & 1:
        pass
    at = len(leaf) - len(x509.load_der_x509_certificate(leaf).signature) - 1
    assert load_der(leaf, where="x")
    with pytest.raises(FormatError, match="an issuer's signature that fills its bits"):
        load_der(leaf[:at] + b"\1" + leaf[at + 1 :], where="x")


def test_no_truncation_of_a_certificates_bundle_is_accepted(small):
    data, policy = small
    assert [length for length in range(len(data)) if accepts(data[:length], policy)] == []
