# SPDX-License-Identifier: Apache-2.0
"""Certificates and shards at the command line."""

import pytest
from tests.support.authority import AUTHORITY, root


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
        ((), 2, "exactly one of --key and --ca was expected"),
        (("--key", "leaf.pub", "--ca", "ca.crt"), 2, "exactly one of --key and --ca was expected"),
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
