# SPDX-License-Identifier: Apache-2.0
"""Keyless signatures of ours, judged by Sigstore for JavaScript and by the reference implementation, and theirs judged by us."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lifeseal import signing, testing
from lifeseal.attestation import SigstoreSigner, SigstoreTrust, TrustedIdentity
from lifeseal.errors import DigestMismatchError, PolicyError

ME = "release@example.org"
ROOT = Path(__file__).parent.parent.parent
PEER = ROOT / ".venv-peers/bin/python"
PACKAGES = ROOT / ".venv-peers/node/node_modules"
SCRIPT = ROOT / "tests/support/sigstore_verify.js"
PUBLISHED = ROOT / "tests/vectors/oms/published"
NO_PEERS = "the peers in .venv-peers are not installed"
NO_NODE = "Node or @sigstore/verify is not installed"
VERIFIED = (0, "Verification succeeded")


@pytest.fixture(scope="module")
def deployment():
    with testing.sigstore() as running:
        yield running


@pytest.fixture(params=[1, 2])
def rekor(request):
    return request.param


@pytest.fixture
def model(tmp_path, deployment, rekor):
    (tmp_path / "trust.json").write_bytes(deployment.trust_config(rekor=rekor))
    (tmp_path / "root.json").write_bytes(deployment.trusted_root())
    folder = tmp_path / "m"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"a")
    (folder / "deep/b").write_bytes(b"b")
    return folder


@pytest.fixture
def signed(model, deployment, rekor):
    signing.sign(model, signer=SigstoreSigner(deployment.trust(rekor=rekor), deployment.oidc.token(ME)))
    return model


@pytest.fixture
def javascript():
    node = shutil.which("node")
    if node is None or not PACKAGES.exists():
        pytest.skip(NO_NODE)

    def verify(bundle, root, identity, issuer):
        environment = {**os.environ, "NODE_PATH": str(PACKAGES)}
        command = [node, SCRIPT, bundle, root, identity, issuer]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, (done.stdout + done.stderr).strip()

    return verify


@pytest.fixture
def reference():
    if not PEER.exists():
        pytest.skip(NO_PEERS)

    def run(*arguments):
        done = subprocess.run([PEER, "-m", "model_signing", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, (done.stdout + done.stderr).strip()

    return run


def test_javascript_verifies_our_bundles_and_refuses_others(signed, deployment, javascript):
    bundle, root = signed / "model.sig", signed.parent / "root.json"
    assert javascript(bundle, root, ME, deployment.oidc.url) == (0, f"verified {ME}")
    assert javascript(bundle, root, f"x{ME}", deployment.oidc.url)[1].startswith("refused UNTRUSTED_SIGNER_ERROR")
    assert javascript(bundle, root, ME, "https://issuer.example.org")[1].startswith("refused UNTRUSTED_SIGNER_ERROR")
    other = signed.parent / "other.json"
    other.write_bytes(testing.Sigstore().trusted_root())
    assert javascript(bundle, other, ME, deployment.oidc.url)[0] == 1
    document = json.loads(bundle.read_bytes())
    document["dsseEnvelope"]["payload"] = "AAAA"
    bundle.write_text(json.dumps(document))
    assert javascript(bundle, root, ME, deployment.oidc.url)[0] == 1


@pytest.mark.parametrize("release", ["v1.0.0", "v1.1.0"])
def test_javascript_and_we_agree_on_published_bundles(release, tmp_path, javascript):
    name, issuer = "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2"
    (tmp_path / "root.json").write_text(json.dumps(json.loads(SigstoreTrust.public_good().config)["trustedRoot"]))
    bundle = PUBLISHED / f"{release}-sigstore/model.sig"
    assert javascript(bundle, tmp_path / "root.json", name, issuer) == (0, f"verified {name}")
    assert javascript(bundle, tmp_path / "root.json", name, "https://accounts.google.com")[0] == 1


def test_the_reference_verifies_our_model_and_refuses_it_changed(signed, deployment, reference):
    words = ("verify", "sigstore", signed, "--signature", signed / "model.sig", "--trust_config", signed.parent / "trust.json", "--identity")
    assert reference(*words, ME, "--identity_provider", deployment.oidc.url) == VERIFIED
    assert reference(*words, f"x{ME}", "--identity_provider", deployment.oidc.url)[0] == 1
    assert reference(*words, ME, "--identity_provider", "https://issuer.example.org")[0] == 1
    (signed / "a").write_bytes(b"b")
    code, said = reference(*words, ME, "--identity_provider", deployment.oidc.url)
    assert (code, "Hash mismatch" in said) == (1, True)


def test_we_verify_the_references_model_and_refuse_it_changed(model, deployment, reference):
    token = deployment.oidc.token(ME)
    words = ("sign", "sigstore", model, "--signature", model / "model.sig", "--trust_config", model.parent / "trust.json")
    assert reference(*words, "--identity_token", token) == (0, "Signing succeeded")
    policy = TrustedIdentity(ME, deployment.oidc.url, deployment.trust())
    assert signing.verify(model, policy=policy).signer.name == ME
    with pytest.raises(PolicyError, match="the policy trusts exactly"):
        signing.verify(model, policy=TrustedIdentity(f"x{ME}", deployment.oidc.url, deployment.trust()))
    (model / "a").write_bytes(b"b")
    with pytest.raises(DigestMismatchError, match="1 changed: 'a'"):
        signing.verify(model, policy=policy)
