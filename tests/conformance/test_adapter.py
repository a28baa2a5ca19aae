# SPDX-License-Identifier: Apache-2.0
"""The conformance adapter: its protocol, with a control beside each refusal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.authority import AUTHORITY, root

from lifeseal import testing
from lifeseal.attestation import generate_key

CI_JOBS = ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "OMS_TRUST_CONFIG")
ADAPTER = Path(__file__).with_name("oms_adapter.py")


@pytest.fixture
def place(tmp_path):
    generate_key(tmp_path / "k")
    generate_key(tmp_path / "other")
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    for name, issued in {"ca": top, "middle": middle, "leaf": middle.issue("signer"), "stranger": root()}.items():
        issued.write(tmp_path, name)
    (tmp_path / "model/deep").mkdir(parents=True)
    (tmp_path / "model/a").write_bytes(b"a")
    (tmp_path / "model/deep/b").write_bytes(b"b")
    (tmp_path / "empty").mkdir()
    return tmp_path


def adapter(place, *words, **environment):
    command = [sys.executable, ADAPTER, *words]
    kept = {name: value for name, value in os.environ.items() if name not in CI_JOBS} | environment
    done = subprocess.run(command, cwd=place, env=kept, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 1:
        assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.returncode


SIGN = ("sign-model", "--method", "key", "--model-path", "model", "--output-bundle", "m.sig", "--private-key", "k.key")
VERIFY = ("verify-model", "--method", "key", "--model-path", "model", "--bundle", "m.sig", "--public-key", "k.pub")
CERTIFIED = ("--signing-cert", "leaf.crt", "--cert-chain", "middle.crt")
SIGN_CERTIFIED = ("sign-model", "--method", "certificate", "--model-path", "model", "--output-bundle", "m.sig", "--private-key", "leaf.key")
VERIFY_CERTIFIED = ("verify-model", "--method", "certificate", "--model-path", "model", "--bundle", "m.sig", "--cert-chain")


def test_accepts_what_it_signed_and_refuses_it_changed_or_under_another_key(place):
    assert adapter(place, *SIGN) == 0
    assert adapter(place, *VERIFY) == 0
    assert adapter(place, *VERIFY[:-1], "other.pub") == 1
    (place / "model/extra").write_bytes(b"x")
    assert adapter(place, *VERIFY) == 1
    assert adapter(place, *VERIFY, "--ignore-unsigned-files") == 0
    assert adapter(place, *VERIFY, "--ignore-paths", "model/extra") == 0
    assert adapter(place, *VERIFY, "--ignore-paths", "extra") == 0
    (place / "model/a").write_bytes(b"b")
    assert adapter(place, *VERIFY, "--ignore-unsigned-files") == 1


def test_signs_and_verifies_with_certificates(place):
    assert adapter(place, *SIGN_CERTIFIED, *CERTIFIED) == 0
    assert adapter(place, *VERIFY_CERTIFIED, "ca.crt") == 0
    assert adapter(place, *VERIFY_CERTIFIED, "stranger.crt") == 1
    assert adapter(place, *VERIFY) == 1


def test_leaves_out_what_it_is_told_to(place):
    assert adapter(place, *SIGN, "--ignore-paths", str(place / "model/deep"), "--ignore-paths", "/elsewhere") == 0
    (place / "model/deep/b").write_bytes(b"changed")
    assert adapter(place, *VERIFY) == 0


def test_refuses_an_empty_model_and_writes_no_bundle(place):
    words = [("empty" if word == "model" else word) for word in SIGN]
    assert adapter(place, *words) == 1
    assert not (place / "m.sig").exists()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("sign-model",),
        SIGN[:-2],
        VERIFY[:-2],
        SIGN_CERTIFIED,
        VERIFY_CERTIFIED[:-1],
        (*VERIFY, "--unknown"),
        (*VERIFY, "--identity", "somebody"),
        (*VERIFY[:-1], ""),
        tuple("" if word == "model" else word for word in VERIFY),
        ("verify-model", "--method", "sigstore", "--model-path", "model", "--bundle", "m.sig"),
    ],
)
def test_misuse_is_told_apart_from_a_refusal(place, words):
    assert adapter(place, *SIGN) == 0
    assert adapter(place, *words) == 2


def test_a_missing_bundle_or_key_is_a_refusal(place):
    assert adapter(place, *VERIFY) == 1
    assert adapter(place, *SIGN[:-1], "missing.key") == 1


SIGN_KEYLESS = ("sign-model", "--method", "sigstore", "--model-path", "model", "--output-bundle", "m.sig")
VERIFY_KEYLESS = ("verify-model", "--method", "sigstore", "--model-path", "model", "--bundle", "m.sig", "--identity-provider")
PUBLISHED = Path(__file__).parent.parent / "vectors/oms/published/v1.1.0-sigstore"


@pytest.mark.parametrize("rekor", [1, 2])
def test_signs_and_verifies_without_a_key_under_the_trust_that_the_environment_names(place, rekor):
    with testing.sigstore() as deployment:
        (place / "trust.json").write_bytes(deployment.trust_config(rekor=rekor))
        trust, issuer = {"OMS_TRUST_CONFIG": "trust.json"}, deployment.oidc.url
        token = deployment.oidc.token("me@example.org")
        assert adapter(place, *SIGN_KEYLESS, "--identity-token", token, **trust) == 0
        if rekor == 1:  # the rest is the same
            assert adapter(place, *VERIFY_KEYLESS, issuer, "--identity", "me@example.org", **trust) == 0
            return
        assert adapter(place, *SIGN_KEYLESS, **trust, **deployment.oidc.github("acme/m/.github/workflows/a.yml@refs/heads/main")) == 0
        assert adapter(place, *SIGN_KEYLESS, "--identity-token", token, "--use-staging", **trust) == 0
        assert adapter(place, *SIGN_KEYLESS, "--identity-token", "no token", **trust) == 1
        assert adapter(place, *SIGN_KEYLESS, **trust) == 1
    good = (*VERIFY_KEYLESS, issuer, "--identity", "me@example.org")
    assert adapter(place, *good, **trust) == 0
    assert adapter(place, *good[:-1], "other@example.org", **trust) == 1
    assert adapter(place, *VERIFY_KEYLESS, "https://other.example.org", "--identity", "me@example.org", **trust) == 1
    assert adapter(place, *good) == 1
    assert adapter(place, *VERIFY) == 1
    (place / "model/a").write_bytes(b"b")
    assert adapter(place, *good, **trust) == 1


def test_the_public_good_root_is_taken_where_the_environment_names_none(place):
    words = ("verify-model", "--method", "sigstore", "--model-path", str(PUBLISHED), "--bundle", str(PUBLISHED / "model.sig"))
    good = (*words, "--identity", "stefanb@us.ibm.com", "--identity-provider", "https://sigstore.verify.ibm.com/oauth2")
    assert adapter(place, *good) == 0
    assert adapter(place, *good[:-1], "https://accounts.google.com") == 1
    assert adapter(place, *good, "--use-staging") == 2
