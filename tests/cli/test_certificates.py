# SPDX-License-Identifier: Apache-2.0
"""Certificates and shards at the command line."""

import datetime as dt

import pytest
from tests.support.authority import AUTHORITY, root

from lifeseal import testing
from lifeseal.testing._server import Reply, serving


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    top = root()
    middle = top.issue("middle", extensions=AUTHORITY)
    for name, issued in {"ca": top, "middle": middle, "leaf": middle.issue("signer"), "other": root("other")}.items():
        issued.write(tmp_path, name)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a.bin").write_bytes(bytes(25))
    return tmp_path


def test_signs_with_a_certificate_and_verifies_under_its_root(place, cli):
    answer = cli("sign", "model", "--key", "leaf.key", "--cert", "leaf.crt", "--chain", "middle.crt", "--shard-size", "10")
    assert answer.code == 0
    assert "certificate CN=signer" in answer.out
    answer = cli("verify", "model", "--ca", "ca.crt", "--at", "2026-11-01T00:00:00Z")
    assert answer.code == 0
    assert "CN=signer" in answer.out
    assert "certificate under 'CN=root'" in answer.out
    assert "revocation was not consulted" in answer.out
    answer = cli("verify", "model", "--ca", "ca.crt", "--json")
    found = answer.document
    assert (found["shard_size"], found["clause"], found["time"]) == (10, "certificate under 'CN=root'", None)
    assert found["not_covered"][0].startswith("revocation was not consulted")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--ca", "other.crt"), 1, "leads to no root given"),
        (("--ca", "ca.crt", "--at", "1999-01-01T00:00:00Z"), 1, "not valid before"),
        (("--ca", "ca.crt", "--san", "builder@example.org"), 1, "the policy wants 'builder@example.org'"),
        (("--ca", "ca.crt", "--at", "yesterday"), 2, "a time as 2026-12-31T23:59:59Z was expected"),
        (("--ca", "leaf.key"), 2, "certificates in PEM form were expected"),
        (("--ca", "missing.crt"), 2, "missing.crt"),
        ((), 2, "whom do you trust?"),
        (("--key", "leaf.pub", "--ca", "ca.crt"), 2, "whom do you trust?"),
        (("--key", "leaf.pub", "--san", "x"), 2, "need --ca"),
    ],
)
def test_says_why_not(place, cli, words, code, sentence):
    assert cli("sign", "model", "--key", "leaf.key", "--cert", "leaf.crt", "--chain", "middle.crt").code == 0
    assert cli("verify", "model", "--ca", "ca.crt").code == 0
    found = cli("verify", "model", *words)
    assert found.code == code
    assert sentence in found.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--cert", "ca.crt"), "of another key than the private one"),
        (("--chain", "middle.crt"), "--chain needs --cert"),
        (("--cert", "leaf.crt", "--out", "leaf.crt"), "the key or a certificate"),
    ],
)
def test_signs_nothing_with_the_wrong_certificate(place, cli, words, sentence):
    answer = cli("sign", "model", "--key", "leaf.key", *words)
    assert answer.code == 2
    assert sentence in answer.err
    assert not (place / "model/model.sig").exists()


@pytest.fixture
def tsa(place):
    """An authority that is a day behind."""
    with testing.timestamp_authority(testing.Tsa(clock=lambda: dt.datetime.now(dt.UTC) - dt.timedelta(days=1))) as running:
        (place / "tsa.pem").write_bytes(running.root.pem)
        yield running


def test_a_timestamp_dates_a_signature_for_those_who_name_its_authority(place, cli, tsa):
    assert cli("keygen", "--out", "k").code == 0
    answer = cli("sign", "model", "--key", "k.key", "--timestamp", tsa.url, "--tsa", "tsa.pem")
    assert answer.code == 0
    found = cli("verify", "model", "--key", "k.pub", "--tsa", "tsa.pem")
    assert found.code == 0
    assert "as a trusted log or authority attests" in found.out
    time = dt.datetime.fromisoformat(cli("verify", "model", "--key", "k.pub", "--tsa", "tsa.pem", "--json").document["time"])
    assert dt.timedelta(hours=23) < dt.datetime.now(dt.UTC) - time < dt.timedelta(hours=25)
    found = cli("verify", "model", "--key", "k.pub", "--json")
    assert (found.code, found.document["time"]) == (0, None)
    assert "a timestamp is there and was not looked at: no timestamp authority is trusted" in found.document["not_covered"]
    found = cli("verify", "model", "--key", "k.pub", "--tsa", "other.crt", "--json")
    assert (found.code, found.document["time"]) == (0, None)
    assert "timestamp 0 was ignored" in str(found.document["not_covered"])
    assert cli("inspect", "model/model.sig", "--json").document["claims"]["timestamps"] == 1


def test_a_timestamp_keeps_a_signature_whose_certificate_has_ended(place, cli, tsa):
    top = root()
    top.write(place, "old")
    top.issue("ended", end=dt.datetime.now(dt.UTC) - dt.timedelta(hours=12)).write(place, "ended")
    words = ("sign", "model", "--key", "ended.key", "--cert", "ended.crt")
    assert cli(*words, "--timestamp", tsa.url, "--tsa", "tsa.pem").code == 0
    assert cli("verify", "model", "--ca", "old.crt", "--tsa", "tsa.pem").code == 0
    found = cli("verify", "model", "--ca", "old.crt")
    assert (found.code, "expired at" in found.err) == (1, True)
    assert cli(*words).code == 0
    assert cli("verify", "model", "--ca", "old.crt", "--tsa", "tsa.pem").code == 1


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--timestamp", "http://127.0.0.1:1/"), 2, "give both"),
        (("--tsa", "tsa.pem"), 2, "give both"),
        (("--timestamp", "ftp://127.0.0.1/", "--tsa", "tsa.pem"), 2, "is named as http://host/path"),
        (("--timestamp", "http://127.0.0.1:1/", "--tsa", "middle.crt"), 2, "a self-signed root was expected"),
        (("--timestamp", "http://127.0.0.1:1/", "--tsa", "leaf.key"), 2, "certificates in PEM form were expected"),
        (("--timestamp", "http://127.0.0.1:1/", "--tsa", "tsa.pem"), 3, "no signature was written"),
        (("--timestamp", "http://127.0.0.1:1/", "--tsa", "tsa.pem", "--out", "tsa.pem"), 2, "--out: tsa.pem"),
    ],
)
def test_signs_nothing_without_the_timestamp_that_was_asked_for(place, cli, tsa, words, code, sentence):
    answer = cli("sign", "model", "--key", "leaf.key", *words)
    assert (answer.code, sentence in answer.err) == (code, True), answer.err
    assert not (place / "model/model.sig").exists()


def test_an_authority_under_another_root_is_a_no(place, cli, tsa):
    assert cli("sign", "model", "--key", "leaf.key", "--timestamp", tsa.url, "--tsa", "other.crt").code == 1
    with serving(lambda _: Reply(body=b"no")) as url:
        assert cli("sign", "model", "--key", "leaf.key", "--timestamp", url, "--tsa", "tsa.pem").code == 2
    assert not (place / "model/model.sig").exists()
