# SPDX-License-Identifier: Apache-2.0
"""What a report can be used for: the very bytes that were judged, and SARIF."""

import hashlib
import io
import json
import os
import pickle

import pytest
import torch

from lifeseal import cli, serialization
from lifeseal.errors import FormatError, LimitError, UnsafeError
from lifeseal.serialization import _window
from lifeseal.serialization._rules import RULES

HOSTILE = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
OWN = b"\x80\x02cmypackage\nConfig\n)\x81."


def saved(value) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"text", saved({"a": torch.ones(500_000)}), pickle.dumps(list(range(50_000)))], ids=["text", "torch", "pickle"])
def test_the_digest_is_that_of_the_file(content, tmp_path):
    (tmp_path / "f").write_bytes(content)
    assert serialization.scan(tmp_path / "f", digest=True).digest == hashlib.sha256(content).digest()
    assert serialization.scan_bytes(content, digest=True).digest == hashlib.sha256(content).digest()
    assert serialization.scan(tmp_path / "f").digest is None


class Swaps:
    """A file whose bytes are others whenever they are read again."""

    def __init__(self, *contents):
        self.contents = list(contents)
        self.size = len(contents[0])

    def readinto(self, buffer, start):
        content = self.contents.pop(0) if len(self.contents) > 1 else self.contents[0]
        piece = content[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_file_that_is_another_at_each_read_gives_no_digest():
    good = pickle.dumps([1]).ljust(40, b"N")
    window = _window.RecordedWindow(Swaps(good, good))
    assert window.read(0, 40) == good
    assert window.digest() == hashlib.sha256(good).digest()
    window = _window.RecordedWindow(Swaps(good, HOSTILE.ljust(40, b"N")))
    window.read(0, 40)
    assert (window.digest(), window.changed) == (None, True)


def test_read_safe_gives_the_bytes_that_were_judged(tmp_path):
    content = saved({"a": torch.ones(2)})
    (tmp_path / "model.pt").write_bytes(content)
    data = serialization.read_safe(tmp_path / "model.pt")
    assert data == content
    assert torch.equal(torch.load(io.BytesIO(data))["a"], torch.ones(2))


@pytest.mark.parametrize(("content", "place"), [(HOSTILE, "os.system"), (b"\0\1\2", "no known format"), (OWN, "mypackage")])
def test_read_safe_refuses_what_is_not(content, place, tmp_path):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UnsafeError, match=place):
        serialization.read_safe(tmp_path / "f")


def test_read_safe_takes_what_was_allowed_and_nothing_else(tmp_path):
    (tmp_path / "f").write_bytes(OWN)
    assert serialization.read_safe(tmp_path / "f", allow=["mypackage.Config"]) == OWN
    with pytest.raises(UnsafeError):
        serialization.read_safe(tmp_path / "f", allow=["mypackage.Other"])
    with pytest.raises(LimitError):
        serialization.read_safe(tmp_path / "f", allow=["mypackage.Config"], max_size=5)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FormatError, match="FIFO"):
        serialization.read_safe(tmp_path / "fifo")


def test_sarif_names_rules_places_and_provisions(tmp_path):
    (tmp_path / "a b.pkl").write_bytes(HOSTILE)
    (tmp_path / "ok.txt").write_bytes(b"text")
    log = serialization.scan(tmp_path, digest=True).to_sarif()
    (run,) = log["runs"]
    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "lifeseal")
    assert [artifact["location"]["uri"] for artifact in run["artifacts"]] == ["a%20b.pkl", "ok.txt"]
    assert run["artifacts"][1]["hashes"] == {"sha-256": hashlib.sha256(b"text").hexdigest()}
    for result in run["results"]:
        rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
        assert "uk-ai-cop:7.1" in rule["properties"]["tags"]
        assert rule["shortDescription"]["text"] == RULES[rule["id"]].says
    first = run["results"][0]
    assert (first["ruleId"], first["level"]) == ("pickle-import", "error")
    assert first["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 2, "byteLength": 1}


def test_the_command_prints_sarif(tmp_path, capsys):
    (tmp_path / "m").write_bytes(HOSTILE)
    with pytest.raises(SystemExit) as ended:
        cli.main(["scan", str(tmp_path), "--format", "sarif"])
    log = json.loads(capsys.readouterr().out)
    assert (ended.value.code, log["runs"][0]["artifacts"][0]["properties"]["verdict"]) == (1, "unsafe")


def test_every_rule_that_says_nothing_bad_is_a_note():
    assert {name for name, rule in RULES.items() if rule.verdict is serialization.Verdict.SAFE} == {"external-reference", "more", "name"}
