# SPDX-License-Identifier: Apache-2.0
"""Who vouches for a manifest, and whether the data is still what it says."""

import datetime as dt

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import provenance, signing, testing
from lifeseal.attestation import (
    Bundle,
    CertificateSigner,
    KeySigner,
    Purpose,
    SigstoreSigner,
    Statement,
    Subject,
    TrustedCertificates,
    TrustedIdentity,
    Waiver,
    Withdrawals,
    WithdrawnArtefact,
    WithdrawnSigner,
    sign_statement,
)
from lifeseal.errors import DigestMismatchError, FormatError, PolicyError, SignatureError, WithdrawnError
from support import authority


@pytest.fixture
def signed(manifest, signer, tmp_path):
    path = tmp_path / "m.json"
    manifest.write(path)
    provenance.sign(manifest, signer=signer).write(f"{path}.sig")
    return path


def test_a_signed_manifest_opens(signed, manifest, signer):
    assert provenance.open_manifest(signed, policy=signer.public) == manifest


@pytest.fixture(scope="module")
def keyless():
    with testing.sigstore() as running:
        yield running


@pytest.mark.parametrize("kind", ["P-384 key", "certificate", "identity"])
def test_every_signer_signs_datasets(kind, manifest, tmp_path, request):
    if kind == "identity":
        running = request.getfixturevalue("keyless")
        signer = SigstoreSigner(running.trust(), running.oidc.token("data@example.org"))
        policy = TrustedIdentity("data@example.org", running.oidc.url, running.trust())
    elif kind == "certificate":
        root = authority.root()
        certificate, key = root.issue("data team").write(tmp_path, "leaf")
        signer = CertificateSigner.from_files(key, certificate)
        (tmp_path / "root.pem").write_bytes(root.pem)
        policy = TrustedCertificates.from_files([tmp_path / "root.pem"])
    else:
        signer = KeySigner(ec.generate_private_key(ec.SECP384R1()))
        policy = signer.public
    manifest.write(tmp_path / "m.json")
    provenance.sign(manifest, signer=signer).write(tmp_path / "m.json.sig")
    assert provenance.open_manifest(tmp_path / "m.json", policy=policy) == manifest


def test_the_signature_may_be_given(signed, manifest, signer, tmp_path):
    (tmp_path / "m.json.sig").rename(tmp_path / "elsewhere")
    assert provenance.open_manifest(signed, policy=signer.public, signature=tmp_path / "elsewhere") == manifest
    assert provenance.open_manifest(signed, policy=signer.public, signature=Bundle.load(tmp_path / "elsewhere")) == manifest
    with pytest.raises(FileNotFoundError):
        provenance.open_manifest(signed, policy=signer.public)


def test_a_stranger_is_refused(signed, stranger):
    with pytest.raises(PolicyError, match=r"this dataset names signing key .* another signer's"):
        provenance.open_manifest(signed, policy=stranger.public)


def test_a_stranger_who_names_the_trusted_key_is_refused(signed, manifest, signer, stranger):
    forged = provenance.sign(manifest, signer=stranger)
    forged = attrs.evolve(forged, material=provenance.sign(manifest, signer=signer).material)
    with pytest.raises(SignatureError, match="signature of this dataset does not verify"):
        provenance.open_manifest(signed, policy=signer.public, signature=forged)


def test_the_signature_of_another_manifest_is_refused(signed, data, description, signer):
    (data / "a.csv").write_bytes(b"9,9\n")
    provenance.record(data, description=description).write(signed)
    with pytest.raises(DigestMismatchError, match=r"m\.json is not the manifest that was signed"):
        provenance.open_manifest(signed, policy=signer.public)


def test_the_signature_of_a_model_is_refused(signed, data, manifest, signer, tmp_path):
    bundle = signing.sign(data, signer=signer, out=tmp_path / "model.sig")
    with pytest.raises(PolicyError, match="signed for another use"):
        provenance.open_manifest(signed, policy=signer.public, signature=bundle)
    with pytest.raises(PolicyError, match="signed for another use"):
        signing.verify(data, policy=signer.public, signature=provenance.sign(manifest, signer=signer))


@pytest.mark.parametrize("predicate", [{}, {"files": 4, "size": 1, "more": 1}, {"files": "4", "size": 1}], ids=["empty", "unknown field", "text"])
def test_a_signed_statement_of_another_form_is_refused(predicate, signed, manifest, signer):
    statement = Statement(subjects=(Subject(name="x", sha256=manifest.sha256),), predicate_type=Purpose.DATASET.predicate_type, predicate=predicate)
    with pytest.raises(FormatError, match="predicate"):
        provenance.open_manifest(signed, policy=signer.public, signature=sign_statement(statement, signer=signer))


def test_a_signature_about_two_things_is_refused(signed, manifest, signer):
    statement = Statement(
        subjects=(Subject(name="x", sha256=manifest.sha256), Subject(name="y", sha256=bytes(32))),
        predicate_type=Purpose.DATASET.predicate_type,
        predicate={"files": 1, "size": 1},
    )
    with pytest.raises(DigestMismatchError):
        provenance.open_manifest(signed, policy=signer.public, signature=sign_statement(statement, signer=signer))


def test_unchanged_data_verifies(manifest, data):
    found = provenance.verify(manifest, data)
    assert (found.digest, found.files, found.size) == (manifest.digest, len(manifest.files), manifest.size)


def test_a_lone_file_verifies(data, description):
    made = provenance.record(data / "a.csv", description=description)
    assert provenance.verify(made, data / "a.csv").files == 1
    (data / "a.csv").write_bytes(b"1,3\n")
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'a\.csv'"):
        provenance.verify(made, data / "a.csv")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda data: (data / "a.csv").write_bytes(b"1,3\n"), {"changed": ("a.csv",)}),
        (lambda data: (data / "a.csv").write_bytes(b"1,2\n\n"), {"changed": ("a.csv",)}),
        (lambda data: (data / "deep/er/empty").write_bytes(b"x"), {"changed": ("deep/er/empty",)}),
        (lambda data: (data / "z").unlink(), {"missing": ("z",)}),
        (lambda data: (data / "y").write_bytes(b""), {"extra": ("y",)}),
        (lambda data: (data / "z").rename(data / "y"), {"missing": ("z",), "extra": ("y",)}),
    ],
    ids=["changed", "longer", "no longer empty", "missing", "extra", "renamed"],
)
def test_a_change_is_found_and_named(change, wanted, manifest, data):
    change(data)
    with pytest.raises(DigestMismatchError, match=r"data: ") as caught:
        provenance.verify(manifest, data)
    found = {name: getattr(caught.value, name) for name in ("changed", "missing", "extra")}
    assert found == {"changed": (), "missing": (), "extra": (), **wanted}


def test_swapped_files_are_found(data, description):
    (data / "z").write_bytes(b"4,5\n")
    made = provenance.record(data, description=description)
    (data / "z").write_bytes(b"1,2\n")
    (data / "a.csv").write_bytes(b"4,5\n")
    with pytest.raises(DigestMismatchError) as caught:
        provenance.verify(made, data)
    assert caught.value.changed == ("a.csv", "z")


def test_a_file_replaced_by_a_link_to_the_same_content_is_refused(manifest, data, tmp_path):
    (data / "z").rename(tmp_path / "z")
    (data / "z").symlink_to(tmp_path / "z")
    with pytest.raises(FormatError, match="'z': a regular file was expected, not a symbolic link"):
        provenance.verify(manifest, data)


def test_a_folder_replaced_by_a_link_is_refused(manifest, data, tmp_path):
    (data / "deep").rename(tmp_path / "deep")
    (data / "deep").symlink_to(tmp_path / "deep")
    with pytest.raises(FormatError, match="'deep': a regular file was expected, not a symbolic link"):
        provenance.verify(manifest, data)


def test_a_withdrawn_dataset_or_one_by_a_withdrawn_signer_needs_a_waiver(signed, manifest, signer):
    now = dt.datetime.now(dt.UTC)
    empty = Withdrawals(name="w", number=1, issued=now - dt.timedelta(days=1), expires=now + dt.timedelta(days=1))
    by_digest = attrs.evolve(empty, artefacts=[WithdrawnArtefact(digest=manifest.digest, reason="a label was wrong")])
    key = WithdrawnSigner(kind="key", fingerprint=signer.public.fingerprint, since=now - dt.timedelta(days=1), reason="it was stolen")
    waiver = Waiver(covers=[manifest.digest], allows=["withdrawn"], reason="r", owner="o", expires=now + dt.timedelta(days=1), risk="k")
    assert provenance.open_manifest(signed, policy=signer.public, withdrawals=empty) == manifest
    for found in (by_digest, attrs.evolve(empty, signers=[key])):
        with pytest.raises(WithdrawnError, match=r"a label was wrong|it was stolen"):
            provenance.open_manifest(signed, policy=signer.public, withdrawals=found)
        assert provenance.open_manifest(signed, policy=signer.public, withdrawals=found, waiver=waiver) == manifest
        with pytest.raises(WithdrawnError, match="does not cover"):
            provenance.open_manifest(signed, policy=signer.public, withdrawals=found, waiver=attrs.evolve(waiver, covers=["sha256:" + "0" * 64]))
