# SPDX-License-Identifier: Apache-2.0
"""Disposals at the command line: what people state, receipts, roles that must have signed, hostile text on the page."""

import json

import pytest

POLICY = """schema = "lifeseal.policy/1"
[signers.ops]
key = "k.pub"
[signers.vera]
key = "k2.pub"
[[trust]]
signers = ["ops"]
purposes = ["certificate"]
subjects = ["*"]
from = 2020-01-01T00:00:00Z
until = 2999-01-01T00:00:00Z
[[trust]]
signers = ["vera"]
purposes = ["cosignature"]
subjects = ["verifier"]
from = 2020-01-01T00:00:00Z
until = 2999-01-01T00:00:00Z
"""
TEXT = "\x1b[2J<script>alert(1)</script>"


@pytest.fixture
def dispose(cli, home):
    """Dispose of the asset ``live``, or of other things, with a key."""

    def run(*words, out="new.cert", trigger="decommission", custodian="Rita"):
        vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
        return cli("dispose", *vault, "--trigger", trigger, "--custodian", custodian, "--key", home / "k.key", "--yes", "--out", home / out, *words)

    return run


def test_what_people_state_stands_in_the_certificate(dispose, cli, home):
    (home / "stated.toml").write_text(
        'backups = "none"\ndestination = "shredder"\n[sanitiser]\ntitle = "Engineer"\n[custodian]\ncontact = "rita@example.org"\n'
        '[[media]]\nkind = "SSD"\nserial = "X-1"\n'
    )
    assert dispose("live", "--particulars", home / "stated.toml", "--sanitiser", "Otto").code == 0
    assert cli("certificate", "report", home / "new.cert", "--key", home / "k.pub", "--html", home / "page.html").code == 0
    text = (home / "page.html").read_text()
    for said in ("Engineer", "rita@example.org", "Otto", "Rita", "shredder", "X-1"):
        assert said in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('backups = "none"\nbackup = "x"\n', "line 2, backup: "),
        ("backups = 7\n", "line 1, backups: "),
        ('[custodian]\nname = "Eve"\n', "line 2, custodian.name: "),
        ("[", "line 1"),
    ],
    ids=["unknown", "no text", "another name", "no TOML"],
)
def test_what_is_not_understood_of_it_stops_before_anything_is_done(content, sentence, dispose, cli, home):
    (home / "stated.toml").write_text(content)
    answer = dispose("live", "--particulars", home / "stated.toml")
    assert (answer.code, sentence in answer.err) == (2, True), answer.err
    assert not (home / "new.cert").exists()
    assert cli("vault", "unseal", "live", "--out", home / "still", "--vault", home / "vault", "--root", f"file:{home}/root").code == 0


def test_a_transfer_needs_the_recipients_receipt(dispose, cli, home):
    assert cli("certificate", "receipt", home / "model", "--key", home / "k2.key", "--name", "P", "--out", home / "receipt").code == 0
    assert cli("certificate", "receipt", home / "data", "--key", home / "k2.key", "--name", "P", "--out", home / "other").code == 0
    assert cli("certificate", "receipt", home / "model", "--key", home / "k.key", "--name", "P", "--out", home / "own").code == 0
    for words, code, sentence in (
        ((), 2, "a transfer needs the recipient's receipt"),
        (("--receipt", home / "receipt", "--recipient-key", home / "k.pub"), 1, "k.pub"),
        (("--receipt", home / "other", "--recipient-key", home / "k2.pub"), 1, "does not cover 'live'"),
        (("--receipt", home / "own", "--recipient-key", home / "k.pub"), 1, "it is the recipient's to sign"),
    ):
        answer = dispose("live", *words, trigger="transfer")
        assert (answer.code, sentence in answer.err or sentence == "k.pub") == (code, True), answer.err
        assert not (home / "new.cert").exists()
    answer = dispose("live", "--receipt", home / "receipt", "--recipient-key", home / "k2.pub", trigger="transfer")
    assert (answer.code, "completed (transfer)" in answer.out) == (0, True)


def test_a_role_that_must_have_signed_is_required(cli, home):
    (home / "policy.toml").write_text(POLICY)
    verify = ("certificate", "verify", home / "old.cert", "--policy", home / "policy.toml")
    assert cli(*verify).code == 0
    answer = cli(*verify, "--require", "custodian")
    assert (answer.code, "custodian" in answer.err) == (1, True)
    assert cli("certificate", "cosign", home / "old.cert", "--key", home / "k2.key", "--role", "verifier", "--name", "V").code == 0
    assert cli(*verify, "--require", "verifier").code == 0
    assert cli(*verify, "--require", "verifier", "--require", "custodian").code == 1
    assert cli("certificate", "verify", home / "old.cert", "--key", home / "k.pub", "--require", "verifier").code == 2


def test_hostile_text_is_shown_as_text(dispose, cli, home):
    (home / "stated.toml").write_text(f"destination = {json.dumps(TEXT)}\n[[media]]\nserial = {json.dumps(TEXT)}\n")
    answer = dispose("live", "--particulars", home / "stated.toml", "--request", TEXT, custodian=TEXT)
    shown = cli("certificate", "verify", home / "new.cert", "--key", home / "k.pub")
    assert cli("certificate", "report", home / "new.cert", "--key", home / "k.pub", "--html", home / "page.html").code == 0
    page = (home / "page.html").read_text()
    assert ("\x1b" in answer.out + answer.err + shown.out + shown.err + page, "<script" in page, "&lt;script&gt;" in page) == (False, False, True)
