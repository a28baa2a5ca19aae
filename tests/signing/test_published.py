# SPDX-License-Identifier: Apache-2.0
"""Signatures that earlier releases of the reference implementation have published."""

import shutil
from pathlib import Path

import pytest

from lifeseal import signing
from lifeseal.attestation import TrustedCertificates, TrustedKey
from lifeseal.errors import DigestMismatchError, PolicyError


@pytest.fixture
def oms():
    return Path(__file__).parent.parent / "vectors/oms/published"


@pytest.fixture
def policy(oms):
    return TrustedKey.from_file(oms / "keys/signing-key-pub.pem")


def test_a_folder_signed_by_1_1_0_verifies(oms, policy, tmp_path):
    report = signing.verify(oms / "v1.1.0-elliptic-key", policy=policy)
    assert (report.files, report.subject.name) == (2, "v1.1.0-elliptic-key")
    assert "ignore-me" in report.ignored
    copy = shutil.copytree(oms / "v1.1.0-elliptic-key", tmp_path / "m")
    assert signing.verify(copy, policy=policy).files == 2
    (copy / "signme-2").chmod(0o644)
    (copy / "signme-2").write_bytes(b"other")
    with pytest.raises(DigestMismatchError, match="1 changed: 'signme-2'"):
        signing.verify(copy, policy=policy)


def test_a_file_signed_by_1_0_0_verifies(oms, policy, tmp_path):
    folder = oms / "v1.0.0-elliptic-key"
    report = signing.verify(folder / "signme-1", policy=policy, signature=folder / "model.sig")
    assert (report.files, report.subject.name) == (1, "signme-1")
    (tmp_path / "signme-1").write_bytes((folder / "signme-1").read_bytes() + b" ")
    with pytest.raises(DigestMismatchError, match="1 changed: 'signme-1'"):
        signing.verify(tmp_path / "signme-1", policy=policy, signature=folder / "model.sig")


@pytest.mark.parametrize("release", ["v1.0.0", "v1.1.0"])
@pytest.mark.parametrize(("method", "kind"), [("certificate", "a certificate chain"), ("sigstore", "a Sigstore identity")])
def test_a_certificates_signature_is_refused_under_the_policy_of_a_bare_key(oms, policy, release, method, kind):
    with pytest.raises(PolicyError, match=f"signed with {kind}, and the policy trusts a bare key"):
        signing.verify(oms / f"{release}-{method}", policy=policy)


@pytest.mark.parametrize(("folder", "name"), [("v1.1.0-elliptic-key", "."), ("v1.0.0-elliptic-key", "signme-1")])
def test_another_key_does_not_verify_them(oms, stranger, folder, name):
    with pytest.raises(PolicyError, match=r"names signing key 'e8450dec4eb9', and the policy trusts .*: another signer's"):
        signing.verify(oms / folder / name, policy=stranger.public, signature=oms / folder / "model.sig")


RELEASES = Path(__file__).parent.parent / "vectors/oms/releases"


@pytest.mark.parametrize("release", ["0.3.1", "1.0.1"])
def test_what_earlier_releases_signed_with_a_key_verifies(release, stranger, tmp_path):
    trusted = TrustedKey.from_file(RELEASES / "signer.pub")
    signature = RELEASES / release / "model.sig"
    assert signing.verify(RELEASES / "model", policy=trusted, signature=signature).files == 3
    assert signing.verify(RELEASES / "one", policy=trusted, signature=RELEASES / release / "one.sig").files == 1
    with pytest.raises(PolicyError, match="another signer's"):
        signing.verify(RELEASES / "model", policy=stranger.public, signature=signature)
    copy = shutil.copytree(RELEASES / "model", tmp_path / "model")
    (copy / "deep-a").write_bytes(b"y")
    with pytest.raises(DigestMismatchError, match="1 changed: 'deep-a'"):
        signing.verify(copy, policy=trusted, signature=signature)


def test_what_an_earlier_release_signed_with_a_certificate_verifies(oms):
    signature = RELEASES / "1.0.1/model.certificate.sig"
    roots = TrustedCertificates.from_files([RELEASES / "root.crt"])
    assert signing.verify(RELEASES / "model", policy=roots, signature=signature).signer.name == "CN=release test signer"
    with pytest.raises(PolicyError, match="leads to no root given"):
        signing.verify(RELEASES / "model", policy=TrustedCertificates.from_files([oms / "keys/ca-cert.pem"]), signature=signature)
