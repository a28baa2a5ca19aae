# SPDX-License-Identifier: Apache-2.0
"""``--policy`` at the command line."""

import pytest

POLICY = """\
schema = "lifeseal.policy/1"
[signers]
release.key = "k.pub"
[[trust]]
signers = ["release"]
purposes = ["model", "dataset", "certificate"]
subjects = ["model", "data", "old"]
from = 2000-01-01T00:00:00Z
until = 2999-12-31T23:59:59Z
"""


@pytest.fixture
def policy(home, monkeypatch):
    monkeypatch.chdir(home)
    (home / "p.toml").write_text(POLICY)
    return home / "p.toml"


USES = {"model": ("verify", "model"), "dataset": ("data", "verify", "d.json", "data"), "certificate": ("certificate", "verify", "old.cert")}


@pytest.mark.parametrize("use", USES)
def test_judges_each_kind_of_document(policy, cli, use):
    answer = cli(*USES[use], "--policy", "p.toml")
    assert answer.code == 0, answer
    others = ", ".join(f'"{other}"' for other in USES if other != use)
    policy.write_text(POLICY.replace('"model", "dataset", "certificate"', others))
    answer = cli(*USES[use], "--policy", "p.toml")
    assert (answer.code, f"p.toml trusts nobody for a {use}" in answer.err) == (1, True)


def test_says_which_clause_accepted(policy, cli):
    assert "accepted  p.toml, line 4: key " in cli("verify", "model", "--policy", "p.toml").out
    found = cli("verify", "model", "--policy", "p.toml", "--json").document
    assert found["clause"].startswith("p.toml, line 4: key ")
    assert found["unused_signers"] == []
    assert cli("certificate", "verify", "old.cert", "--policy", "p.toml", "--json").document["clause"].startswith("p.toml, line 4: key ")


@pytest.mark.parametrize("use", USES)
def test_says_which_signers_are_trusted_for_nothing(policy, cli, use):
    cli("keygen", "--out", "other")
    policy.write_text(POLICY.replace("[signers]", '[signers]\nzed.key = "other.pub"'))
    assert "the policy trusts signer 'zed' for nothing" in cli(*USES[use], "--policy", "p.toml").out


@pytest.mark.parametrize("use", USES)
def test_wants_one_way_to_say_whom_to_trust(policy, cli, use):
    assert cli(*USES[use], "--key", "k.pub").code == 0
    for words in ((), ("--key", "k.pub", "--policy", "p.toml")):
        answer = cli(*USES[use], *words)
        assert answer.code == 2
        assert "whom" in answer.err


def test_a_broken_policy_is_unreadable_input(policy, cli):
    policy.write_text(POLICY.replace("until", "untill"))
    answer = cli("verify", "model", "--policy", "p.toml")
    assert (answer.code, answer.err) == (2, "✗ p.toml, line 4, trust[0]: field 'until' is missing\n")
    policy.write_text(POLICY.replace("k.pub", "zed.pub"))
    answer = cli("verify", "model", "--policy", "p.toml")
    assert (answer.code, answer.err) == (
        2,
        "✗ zed.pub: No such file or directory; a public key was expected there; named by p.toml, line 3, signers.release.key\n",
    )


def test_a_name_outside_the_patterns_is_refused(policy, cli):
    policy.write_text(POLICY.replace('"model", "data", "old"]', '"other*"]'))
    answer = cli("verify", "model", "--policy", "p.toml")
    assert (answer.code, "the signed name 'model' is not among those trusted here: 'other*'" in answer.err) == (1, True)
