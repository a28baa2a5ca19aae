# SPDX-License-Identifier: Apache-2.0
"""Keyless signatures of ours, judged by Sigstore for JavaScript and by the reference implementation, and theirs judged by us."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.named_log import NamedSigstore

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

    def verify(*cases):
        asked = json.dumps([dict(zip(("bundle", "root", "identity", "issuer"), map(str, case), strict=True)) for case in cases])
        environment = {**os.environ, "NODE_PATH": str(PACKAGES)}
        done = subprocess.run([node, SCRIPT], input=asked, env=environment, capture_output=True, text=True, check=True, timeout=120)
        return json.loads(done.stdout)

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
    other, broken = signed.parent / "other.json", signed.parent / "broken.sig"
    other.write_bytes(testing.Sigstore().trusted_root())
    document = json.loads(bundle.read_bytes())
    document["dsseEnvelope"]["payload"] = "AAAA"
    broken.write_text(json.dumps(document))
    issuer = deployment.oidc.url
    said = javascript(
        (bundle, root, ME, issuer),
        (bundle, root, f"x{ME}", issuer),
        (bundle, root, ME, "https://issuer.example.org"),
        (bundle, other, ME, issuer),
        (broken, root, ME, issuer),
    )
    assert said[0] == f"verified {ME}"
    assert [answer.split(":")[0] for answer in said[1:3]] == ["refused UNTRUSTED_SIGNER_ERROR"] * 2
    assert [answer.split()[0] for answer in said[3:]] == ["refused"] * 2


def test_all_agree_on_a_log_that_is_named_as_the_public_one_is(model, javascript, reference):
    with testing.sigstore(NamedSigstore()) as named:
        signing.sign(model, signer=SigstoreSigner(named.trust(), named.oidc.token(ME)))
        (model.parent / "root.json").write_bytes(named.trusted_root())
        (model.parent / "trust.json").write_bytes(named.trust_config())
        assert signing.verify(model, policy=TrustedIdentity(ME, named.oidc.url, named.trust())).signer.name == ME
        assert javascript((model / "model.sig", model.parent / "root.json", ME, named.oidc.url)) == [f"verified {ME}"]
        words = ("--signature", model / "model.sig", "--trust_config", model.parent / "trust.json", "--identity", ME)
        assert reference("verify", "sigstore", model, *words, "--identity_provider", named.oidc.url) == VERIFIED


@pytest.mark.parametrize("release", ["v1.0.0", "v1.1.0"])
def test_javascript_and_we_agree_on_published_bundles(release, tmp_path, javascript):
    name, issuer = "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2"
    (tmp_path / "root.json").write_text(json.dumps(json.loads(SigstoreTrust.public_good().config)["trustedRoot"]))
    bundle = PUBLISHED / f"{release}-sigstore/model.sig"
    root = tmp_path / "root.json"
    said = javascript((bundle, root, name, issuer), (bundle, root, name, "https://accounts.google.com"))
    assert said[0] == f"verified {name}"
    assert said[1].startswith("refused UNTRUSTED_SIGNER_ERROR")


# Where we are stricter: it takes size and root from the log's signed statement alone, and reads neither statements nor unknown fields.
STRICTER = ("size-of-the-tree", "not-root", "not-a-model", "not-unknown-field", "not-text-below")


def test_javascript_judges_the_vectors_as_we_do_or_less_strictly(javascript):
    folder = ROOT / "tests/vectors/keyless"
    vectors = json.loads((folder / "vectors.json").read_text())["vectors"]
    said = javascript(*((folder / v["bundle"], folder / v["trust"], v["identity"], v["issuer"]) for v in vectors))
    for vector, answer in zip(vectors, said, strict=True):
        lax = vector["bundle"].removesuffix(".sig").endswith(STRICTER)
        assert answer.startswith("verified" if lax or vector["must"] == "verify" else "refused"), (vector, answer)


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
