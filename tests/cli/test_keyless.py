# SPDX-License-Identifier: Apache-2.0
"""Signing without a key at the command line, on a loopback deployment."""

import pytest

from lifeseal import testing
from lifeseal.attestation import SigstoreSigner, identity_fingerprint
from lifeseal.cli import _signers

WHO = ("--identity", "me@example.org", "--issuer")
CI_JOBS = ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE")


@pytest.fixture(scope="module")
def deployment():
    with testing.sigstore() as running:
        yield running


@pytest.fixture
def place(tmp_path, monkeypatch, deployment):
    monkeypatch.chdir(tmp_path)
    for name in CI_JOBS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a").write_bytes(b"a")
    (tmp_path / "trust.json").write_bytes(deployment.trust_config())
    (tmp_path / "root.json").write_bytes(deployment.trusted_root())
    (tmp_path / "token").write_text(deployment.oidc.token("me@example.org"))
    return tmp_path


SIGN = ("sign", "model", "--sigstore", "--trust-config", "trust.json")
TOKEN = ("--identity-token-file", "token")


def test_signs_with_a_token_and_verifies_by_identity(place, cli, deployment):
    answer = cli(*SIGN, *TOKEN, "--json")
    assert (answer.code, answer.document["signer"]) == (0, identity_fingerprint("me@example.org", deployment.oidc.url))
    for trust in ("trust.json", "root.json"):
        answer = cli("verify", "model", *WHO, deployment.oidc.url, "--trust-config", trust)
        assert answer.code == 0, answer.err
        assert "identity 'me@example.org', vouched for by" in answer.out
        assert "the log was not asked" in answer.out
    document = cli("verify", "model", *WHO, deployment.oidc.url, "--trust-config", "root.json", "--json").document
    assert document["time"] is not None
    assert document["signer"] == identity_fingerprint("me@example.org", deployment.oidc.url)
    claims = cli("inspect", "model/model.sig", "--json").document["claims"]
    assert (claims["signed_with"], claims["identities"], claims["issuers"]) == ("certificate", ["me@example.org"], [deployment.oidc.url])


def test_a_token_comes_from_standard_input_and_never_shows(place, cli, deployment, monkeypatch, process):
    token = deployment.oidc.token("me@example.org")
    answer = process(*SIGN, "--identity-token-file", "-", cwd=place, input=token.encode() + b"\n")
    assert answer.code == 0, answer.err
    assert token not in answer.out + answer.err
    assert cli("verify", "model", *WHO, deployment.oidc.url, "--trust-config", "root.json").code == 0


def test_the_jobs_own_token_is_used_in_ci(place, cli, deployment, monkeypatch):
    for name, value in deployment.oidc.github("acme/m/.github/workflows/release.yml@refs/tags/v1").items():
        monkeypatch.setenv(name, value)
    workflow = "https://github.com/acme/m/.github/workflows/release.yml@refs/tags/v1"
    issuer = "https://token.actions.githubusercontent.com"
    answer = cli(*SIGN)
    assert (answer.code, f"identity {workflow}, vouched for by {issuer}" in answer.out) == (0, True)
    assert cli("verify", "model", "--identity", workflow, "--issuer", issuer, "--trust-config", "root.json").code == 0
    assert cli("verify", "model", "--identity", workflow, "--issuer", deployment.oidc.url, "--trust-config", "root.json").code == 1


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("sign", "model"), 2, "exactly one of --key and --sigstore"),
        (("sign", "model", "--sigstore", "--key", "k"), 2, "exactly one of --key and --sigstore"),
        (("sign", "model", "--sigstore"), 2, "no deployment is used by default"),
        (("sign", "model", "--sigstore", "--trust-config", "root.json", *TOKEN), 2, "and not where to sign"),
        (("sign", "model", "--sigstore", "--trust-config", "token", *TOKEN), 2, "token"),
        (("sign", "model", "--sigstore", "--trust-config", "missing"), 2, "missing"),
        ((*SIGN, "--cert", "c"), 2, "are about a key"),
        (("sign", "model", "--key", "k", *TOKEN), 2, "need --sigstore"),
        (SIGN, 2, "no CI job that sigstore knows"),
        ((*SIGN, "--identity-token-file", "empty"), 2, "an identity token was expected on the first line"),
        ((*SIGN, "--identity-token-file", "trust.json"), 2, "cannot be used"),
        ((*SIGN, *TOKEN, "--out", "token"), 2, "--out: token"),
        (("verify", "model", *WHO), 2, "requires an argument"),
        (("verify", "model", *WHO[:2]), 2, "--identity needs --issuer"),
        (("verify", "model", *WHO, "https://a", "--trust-config", "root.json", "--key", "k"), 2, "and one only"),
        (("verify", "model", "--key", "k", "--issuer", "https://a"), 2, "need --identity"),
        (("verify", "model", *WHO, "https://a", "--trust-config", "root.json", "--tsa", "t"), 2, "--tsa does not go with --identity"),
        (("verify", "model", "--identity", "me@example.org ", "--issuer", "https://a", "--trust-config", "root.json"), 2, "without spaces"),
    ],
)
def test_says_what_is_wrong_and_writes_nothing(place, cli, words, code, sentence):
    (place / "empty").write_bytes(b"")
    answer = cli(*words)
    assert (answer.code, sentence in answer.err) == (code, True), answer.err
    assert not (place / "model/model.sig").exists()


def test_another_identity_issuer_or_deployment_is_a_no(place, cli, deployment):
    assert cli(*SIGN, *TOKEN).code == 0
    trust = ("--trust-config", "root.json")
    assert cli("verify", "model", *WHO, deployment.oidc.url, *trust).code == 0
    for words in (("--identity", "you@example.org", "--issuer", deployment.oidc.url, *trust), (*WHO, "https://accounts.google.com", *trust)):
        answer = cli("verify", "model", *words)
        assert (answer.code, "the policy trusts exactly" in answer.err) == (1, True)
    answer = cli("verify", "model", *WHO, deployment.oidc.url, "--trust-config", "public-good")
    assert (answer.code, "older than the signature, or of another deployment" in answer.err) == (1, True)


def test_an_expired_token_and_a_deployment_that_is_gone_have_codes_of_their_own(place, cli, deployment):
    (place / "token").write_text(deployment.oidc.token("me@example.org", lifetime=-60))
    answer = cli(*SIGN, *TOKEN)
    assert (answer.code, "has expired" in answer.err) == (2, True)
    with testing.sigstore() as gone:
        (place / "trust.json").write_bytes(gone.trust_config())
        (place / "token").write_text(gone.oidc.token("me@example.org"))
    answer = cli(*SIGN, *TOKEN)
    assert (answer.code, "no signature was written" in answer.err) == (3, True)


def test_a_keyless_signature_can_have_its_time_attested_by_an_authority_more(place, cli, deployment):
    with testing.timestamp_authority() as tsa:
        (place / "tsa.pem").write_bytes(tsa.root.pem)
        assert cli(*SIGN, *TOKEN, "--timestamp", tsa.url, "--tsa", "tsa.pem").code == 0
    answer = cli("verify", "model", *WHO, deployment.oidc.url, "--trust-config", "root.json")
    assert answer.code == 0
    assert "timestamp 1 was ignored" in answer.out


def test_at_a_terminal_without_a_token_a_person_signs_in(place, cli, deployment, monkeypatch):
    asked = []
    monkeypatch.setattr(_signers, "on_terminal", lambda _: True)
    monkeypatch.setattr(
        SigstoreSigner, "interactive", lambda trust: asked.append(trust) or SigstoreSigner(trust, deployment.oidc.token("me@example.org"))
    )
    assert cli(*SIGN).code == 0
    assert len(asked) == 1


def test_no_name_of_a_person_and_no_token_is_in_the_log(place, cli, deployment):
    assert cli(*SIGN, *TOKEN, "--log", "log").code == 0
    assert cli("verify", "model", *WHO, deployment.oidc.url, "--trust-config", "root.json", "--log", "log").code == 0
    log = (place / "log").read_text()
    assert "me@example.org" not in log
    assert (place / "token").read_text()[:40] not in log
    assert log.count(identity_fingerprint("me@example.org", deployment.oidc.url)) >= 2
