# SPDX-License-Identifier: Apache-2.0
"""Withdrawing, and signed waivers, at the command line: from the first list to the refusal."""

import json

import pytest

POLICY = """\
schema = "lifeseal.policy/1"
[signers]
release.key = "k.pub"
security.key = "s.pub"
[[trust]]
signers = ["release"]
purposes = ["model", "dataset", "certificate"]
subjects = ["*"]
from = 2000-01-01T00:00:00Z
until = 2999-12-31T23:59:59Z
[[trust]]
signers = ["security"]
purposes = ["withdrawal-list", "waiver"]
subjects = ["acme", "o"]
from = 2000-01-01T00:00:00Z
until = 2999-12-31T23:59:59Z
"""
USES = {"model": ("verify", "model"), "dataset": ("data", "verify", "d.json", "data"), "certificate": ("certificate", "verify", "old.cert")}


@pytest.fixture
def place(home, monkeypatch, cli):
    monkeypatch.chdir(home)
    (home / "p.toml").write_text(POLICY)
    (home / "seen").mkdir()
    assert cli("keygen", "--out", "s").code == 0
    return home


def publish(cli, *words):
    if words:
        assert cli("withdraw", "add", "l.json", *words).code == 0
    assert cli("withdraw", "sign", "l.json", "--key", "s.key", "--out", "l.sig").code == 0


def digest_of(cli, use):
    if use == "model":
        return cli("verify", "model", "--key", "k.pub", "--json").document["digest"]
    return cli("data", "verify", "d.json", "--key", "k.pub", "--json").document["digest"]


@pytest.mark.parametrize("use", ["model", "dataset"])
def test_a_withdrawn_artefact_is_refused(place, cli, use):
    publish(cli)
    asked = (*USES[use], "--policy", "p.toml", "--withdrawals", "l.sig", "--state", "seen")
    assert cli(*asked).code == 0
    publish(cli, "--digest", digest_of(cli, use), "--reason", "a backdoor was found")
    answer = cli(*asked)
    assert (answer.code, "was withdrawn: a backdoor was found (list 'acme', number 2)" in answer.err) == (1, True)
    assert cli(*asked, "--json").document["error"]["type"] == "WithdrawnError"


@pytest.mark.parametrize("use", USES)
def test_a_withdrawn_key_is_refused(place, cli, use):
    publish(cli)
    asked = (*USES[use], "--policy", "p.toml", "--withdrawals", "l.sig", "--state", "seen")
    assert cli(*asked).code == 0
    publish(cli, "--key", "k.pub", "--since", "2020-01-01T00:00:00Z", "--reason", "the key was stolen")
    assert cli(*asked, "--json").document["error"]["type"] == "WithdrawnError"
    assert "the key was stolen" in cli(*asked).err


@pytest.mark.parametrize("use", USES)
def test_an_older_list_is_refused_once_a_newer_one_was_seen(place, cli, use):
    publish(cli)
    old = (place / "l.sig").read_bytes()
    publish(cli, "--digest", "sha256:" + "a" * 64, "--reason", "r")
    asked = (*USES[use], "--policy", "p.toml", "--withdrawals", "l.sig", "--state", "seen")
    assert cli(*asked).code == 0
    (place / "l.sig").write_bytes(old)
    answer = cli(*asked)
    assert (answer.code, "number 1 of list 'acme', and number 2 has been seen" in answer.err) == (1, True)
    assert cli(*asked[:-2]).code == 0  # nobody remembers


def test_the_verdict_says_which_list_was_consulted(place, cli):
    assert cli("verify", "model", "--key", "k.pub", "--json").document["withdrawals"] is None
    publish(cli)
    answer = cli("verify", "model", "--policy", "p.toml", "--withdrawals", "l.sig", "--json")
    assert answer.document["withdrawals"] == "acme 1"
    assert "no withdrawal list was consulted" not in answer.document["not_covered"]
    assert "withdrawn list acme, number 1: consulted" in cli("verify", "model", "--policy", "p.toml", "--withdrawals", "l.sig").out


def test_a_list_counts_under_the_trust_that_the_command_names(place, cli):
    assert cli("verify", "model", "--key", "k.pub", "--withdrawals", "l.sig").code == 0  # signed by the same key
    answer = cli("verify", "model", "--policy", "p.toml", "--withdrawals", "l.sig")
    assert (answer.code, "no clause of p.toml accepts this withdrawal list" in answer.err) == (1, True)
    publish(cli)
    answer = cli("verify", "model", "--key", "k.pub", "--withdrawals", "l.sig")
    assert (answer.code, "another signer's" in answer.err) == (1, True)
    (place / "p.toml").write_text(POLICY.replace('"acme"', '"other"'))
    answer = cli("verify", "model", "--policy", "p.toml", "--withdrawals", "l.sig")
    assert (answer.code, "the signed name 'acme' is not among those trusted here" in answer.err) == (1, True)


@pytest.mark.parametrize("use", USES)
def test_a_state_without_a_list_is_a_mistake(place, cli, use):
    answer = cli(*USES[use], "--policy", "p.toml", "--state", "seen")
    assert (answer.code, "give both" in answer.err) == (2, True)


def test_a_state_that_is_not_there_is_said_to_be_made_first(place, cli):
    answer = cli("verify", "model", "--key", "k.pub", "--withdrawals", "l.sig", "--state", "nowhere")
    assert (answer.code, answer.err) == (2, "✗ nowhere: the folder that remembers lists is not there; make it once, and keep it\n")


def test_nobody_vouches_for_an_unsigned_dataset_so_no_list_is_consulted(place, cli):
    answer = cli("data", "verify", "d.json", "data", "--unsigned", "--withdrawals", "l.sig")
    assert (answer.code, "need a signature" in answer.err) == (2, True)


def test_a_waiver_lets_a_withdrawn_model_pass_and_the_verdict_says_so(place, cli):
    digest = digest_of(cli, "model")
    publish(cli, "--digest", digest, "--reason", "a backdoor was found")
    asked = ("verify", "model", "--policy", "p.toml", "--withdrawals", "l.sig")
    text = ("--reason", "no other for now", "--owner", "o", "--risk", "R-9", "--expires", "2999-12-31T23:59:59Z")
    assert cli("waiver", "new", "--covers", digest, "--allow", "withdrawn", *text, "--out", "x.json").code == 0
    assert cli("waiver", "sign", "x.json", "--key", "s.key", "--out", "x.sig").code == 0
    answer = cli(*asked, "--waiver", "x.sig")
    assert answer.code == 0
    assert answer.out.startswith("✓ model: withdrawn, accepted by waiver\n")
    assert "waived    by o, risk R-9, until 2999-12-31T23:59:59Z" in answer.out
    assert "although  sha256:" in answer.out
    found = cli(*asked, "--waiver", "x.sig", "--json").document
    assert (found["waived_by"], found["signer"] is None, len(found["withdrawn"])) == ("o", False, 1)
    answer = cli(*asked, "--waiver", "x.json")
    assert (answer.code, "this waiver is unsigned" in answer.err) == (1, True)
    assert cli("waiver", "sign", "x.json", "--key", "k.key", "--out", "x.sig").code == 0
    answer = cli(*asked, "--waiver", "x.sig")
    assert (answer.code, "no clause of p.toml accepts this waiver" in answer.err) == (1, True)
    assert cli("verify", "model", "--key", "k.pub", "--waiver", "x.json").code == 0  # not needed, and read as before
    answer = cli("verify", "model", "--key", "k.pub", "--waiver", "x.sig")
    assert (answer.code, "this waiver is signed; a policy must say" in answer.err) == (1, True)


def test_each_change_gets_the_next_number(place, cli):
    digest = ("--digest", "sha256:" + "b" * 64, "--reason", "r")
    first = cli("withdraw", "add", "l.json", *digest, "--json").document
    assert (first["number"], first["artefacts"], first["signers"], first["expires"]) == (2, 1, 0, "2999-12-31T23:59:59Z")
    second = cli("withdraw", "add", "l.json", "--expires", "2998-01-01T00:00:00Z", "--json").document
    assert (second["number"], second["artefacts"], second["expires"]) == (3, 1, "2998-01-01T00:00:00Z")
    assert json.loads((place / "l.json").read_text())["number"] == 3
    before = (place / "l.json").read_bytes()
    answer = cli("withdraw", "add", "l.json", *digest)
    assert (answer.code, "stands twice" in answer.err) == (2, True)
    assert (place / "l.json").read_bytes() == before


KEY, WHEN, WHY = ("--key", "k.pub"), ("--since", "2020-01-01T00:00:00Z"), ("--reason", "r")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "there is nothing to add"),
        (KEY + WHEN, "--reason is needed"),
        (KEY + WHY, "--since is needed"),
        (("--digest", "sha256:" + "a" * 64, *WHEN, *WHY), "--since is needed for keys, certificates and identities"),
        (("--expires", "2999-01-01T00:00:00Z", *WHY), "--reason is needed for what is withdrawn, and for nothing else"),
        (("--identity", "a@example.org", *WHEN, *WHY), "--identity needs its --issuer"),
        (("--identity", "a b", "--issuer", "https://id.example.org", *WHEN, *WHY), "identity= must be the exact text"),
        (("--digest", "a" * 64, *WHY), "a digest is written sha256:"),
        ((*KEY, "--since", "yesterday", *WHY), "--since: a time as"),
        (("--key", "k.key", *WHEN, *WHY), "a public key in PEM form was expected"),
        (("--cert", "k.pub", *WHEN, *WHY), "certificates in PEM form were expected"),
        (("--expires", "2001-01-01T00:00:00Z"), "of which the end is the later"),
    ],
)
def test_says_what_is_missing(place, cli, words, said):
    before = (place / "l.json").read_bytes()
    answer = cli("withdraw", "add", "l.json", *words)
    assert (answer.code, said in answer.err) == (2, True), answer
    assert (place / "l.json").read_bytes() == before


def test_a_list_is_not_overwritten_by_a_signature_or_a_new_list(place, cli):
    for words in (("withdraw", "sign", "l.json", "--key", "k.key", "--out"), ("waiver", "sign", "w.json", "--key", "k.key", "--out")):
        for taken in ("l.json", "w.json", "k.key", "p.toml"):
            before = (place / taken).read_bytes()
            assert cli(*words, taken).code == 2
            assert (place / taken).read_bytes() == before
    words = ("withdraw", "new", "--list", "acme", "--expires", "2999-01-01T00:00:00Z", "--out", "l.json")
    assert cli(*words).code == 2
    assert cli(*words, "--force").code == 0


def test_inspect_shows_lists_and_signed_waivers(place, cli):
    assert cli("inspect", "l.json", "--json").document["kind"] == "unsigned withdrawal list"
    assert cli("inspect", "l.sig", "--json").document["kind"] == "signature of a withdrawal list"
    cli("waiver", "sign", "w.json", "--key", "k.key", "--out", "w.sig")
    assert cli("inspect", "w.sig", "--json").document["kind"] == "signature of a waiver"
