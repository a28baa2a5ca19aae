# SPDX-License-Identifier: Apache-2.0
"""The reference implementation as judge, in both directions."""

import subprocess
from pathlib import Path

import pytest
from tests.support.authority import AUTHORITY, root

from lifeseal import signing
from lifeseal.attestation import KEY_ALGORITHMS, CertificateSigner, KeySigner, TrustedCertificates, TrustedKey, generate_key
from lifeseal.errors import DigestMismatchError, PolicyError

PEER = Path(__file__).parent.parent.parent / ".venv-peers/bin/python"
NO_PEERS = "the peers in .venv-peers are not installed"
VERIFIED = (0, "Verification succeeded")


@pytest.fixture(scope="module", autouse=True)
def _peer_is_there():
    if not PEER.exists():
        pytest.skip(NO_PEERS)


def reference(*arguments):
    done = subprocess.run([PEER, "-m", "model_signing", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, (done.stdout + done.stderr).strip()


def verified_by_reference(path, signature, key, *options):
    return reference("verify", "key", path, "--signature", signature, "--public_key", key, *options)


def fill(folder):
    files = {"b": b"1", "a/x": b"2", "a-b": b"3", "a/deep/é": b"4", "empty": b"", ".gitignore": b"not signed", "name with space": b"5"}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_the_reference_verifies_our_folder_and_refuses_it_changed(tmp_path, algorithm):
    generate_key(tmp_path / "k", algorithm=algorithm)
    folder = fill(tmp_path / "m")
    signing.sign(folder, signer=KeySigner.from_file(tmp_path / "k.key"))
    assert verified_by_reference(folder, folder / "model.sig", tmp_path / "k.pub") == VERIFIED
    (folder / "a/x").write_bytes(b"9")
    code, said = verified_by_reference(folder, folder / "model.sig", tmp_path / "k.pub")
    assert code == 1
    assert "Hash mismatch" in said
    assert "a/x" in said


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_we_verify_the_references_folder_and_refuse_it_changed(tmp_path, algorithm, stranger):
    generate_key(tmp_path / "k", algorithm=algorithm)
    folder = fill(tmp_path / "m")
    signed = reference("sign", "key", folder, "--private_key", tmp_path / "k.key", "--signature", folder / "model.sig")
    assert signed == (0, "Signing succeeded")
    policy = TrustedKey.from_file(tmp_path / "k.pub")
    assert signing.verify(folder, policy=policy).files == 6
    with signing.open_model(folder, policy=policy) as opened:
        assert opened.read("a/deep/é") == b"4"
    with pytest.raises(PolicyError, match=r"another signer's"):
        signing.verify(folder, policy=stranger.public)
    (folder / "a/x").write_bytes(b"9")
    with pytest.raises(DigestMismatchError, match="1 changed: 'a/x'"):
        signing.verify(folder, policy=policy)


def test_we_check_version_controls_files_where_the_reference_signed_them(tmp_path):
    policy = generate_key(tmp_path / "k")
    folder = fill(tmp_path / "m")
    place = ("--private_key", tmp_path / "k.key", "--signature", folder / "model.sig")
    assert reference("sign", "key", folder, *place, "--no-ignore-git-paths") == (0, "Signing succeeded")
    assert signing.verify(folder, policy=policy).files == 7
    (folder / ".gitignore").write_bytes(b"changed")
    with pytest.raises(DigestMismatchError, match=r"1 changed: '\.gitignore'"):
        signing.verify(folder, policy=policy)


def test_we_verify_the_references_single_file_and_refuse_it_changed(tmp_path):
    """It names the file ``.``, as no specification says."""
    policy = generate_key(tmp_path / "k")
    (tmp_path / "m.bin").write_bytes(b"weights")
    signed = reference("sign", "key", tmp_path / "m.bin", "--private_key", tmp_path / "k.key", "--signature", tmp_path / "m.bin.sig")
    assert signed == (0, "Signing succeeded")
    assert signing.verify(tmp_path / "m.bin", policy=policy).files == 1
    (tmp_path / "m.bin").write_bytes(b"Weights")
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'm\.bin'"):
        signing.verify(tmp_path / "m.bin", policy=policy)


def test_the_reference_verifies_our_single_file_in_a_folder_of_its_own(tmp_path):
    """OMS 1.0 names a lone file by its name; model-signing 1.1.1 knows it as ``.`` only, so it is shown the folder."""
    generate_key(tmp_path / "k")
    path = tmp_path / "m" / "m.bin"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    signing.sign(path, signer=KeySigner.from_file(tmp_path / "k.key"), out=tmp_path / "s")
    assert verified_by_reference(path.parent, tmp_path / "s", tmp_path / "k.pub") == VERIFIED
    code, said = verified_by_reference(path, tmp_path / "s", tmp_path / "k.pub")
    assert code == 1
    assert "Extra files found in model 'm.bin': ." in said
    path.write_bytes(b"Weights")
    code, said = verified_by_reference(path.parent, tmp_path / "s", tmp_path / "k.pub")
    assert code == 1
    assert "Hash mismatch" in said


@pytest.fixture
def certified(tmp_path):
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    leaf = middle.issue("signer")
    return {"ca": top.write(tmp_path, "ca")[0], "chain": middle.write(tmp_path, "middle")[0], "leaf": leaf.write(tmp_path, "leaf")}


def test_the_reference_verifies_our_certificate_signature_and_refuses_it_under_another_root(tmp_path, certified):
    folder = fill(tmp_path / "m")
    certificate, key = certified["leaf"]
    signing.sign(folder, signer=CertificateSigner.from_files(key, certificate, [certified["chain"]]))
    ask = ("verify", "certificate", folder, "--signature", folder / "model.sig", "--certificate_chain")
    assert reference(*ask, certified["ca"]) == VERIFIED
    assert reference(*ask, root("other").write(tmp_path, "other")[0])[0] == 1


def test_we_verify_the_references_certificate_signature_and_refuse_it_under_another_root(tmp_path, certified):
    folder = fill(tmp_path / "m")
    certificate, key = certified["leaf"]
    place = ("--private_key", key, "--signing_certificate", certificate, "--certificate_chain", certified["chain"])
    assert reference("sign", "certificate", folder, *place, "--signature", folder / "model.sig") == (0, "Signing succeeded")
    assert signing.verify(folder, policy=TrustedCertificates.from_files([certified["ca"]])).signer.name == "CN=signer"
    other = root("other").write(tmp_path, "other")[0]
    with pytest.raises(PolicyError, match="leads to no root given"):
        signing.verify(folder, policy=TrustedCertificates.from_files([other]))
