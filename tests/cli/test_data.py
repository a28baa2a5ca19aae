# SPDX-License-Identifier: Apache-2.0
"""``data``: from the command line down to the record."""

import json

import pytest


@pytest.fixture
def lines(tmp_path):
    folder = tmp_path / "lines"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(b'{"n":%d}\n' % n for n in range(2000)))
    (folder / "b.txt").write_bytes(b"one\ntwo\n")
    return folder


def test_records_are_recorded_with_everything_that_can_be_stated(cli, lines, tmp_path):
    out = tmp_path / "m.json"
    texts = ("acquisition", "retention", "consent", "custodian", "limitations")
    stated = [word for text in texts for word in (f"--{text}", f"its {text}")]
    uses = ("--intended-use", "tests", "--intended-use", "demos", "--permitted-use", "anything", "--sensitivity", "personal")
    answer = cli("data", "record", lines, "--out", out, "--source", "s", "--licence", "MIT", "--records", "--sets", *stated, *uses, "--json")
    assert (answer.code, answer.document["records"], len(answer.document["warnings"])) == (0, 2002, 1)
    document = json.loads(out.read_bytes())
    assert {text: document["description"][text] for text in texts} == {text: f"its {text}" for text in texts}
    assert document["description"]["intended_uses"] == ["tests", "demos"]
    assert [file["records"]["set"]["count"] for file in document["files"]] == [2000, 2]
    assert len(list((tmp_path / "m.json.leaves").glob("*.leaves"))) == 2
    assert "warning    personal data" in cli("data", "record", lines, "--out", out, "--records", "--sensitivity", "personal").out
    assert cli("inspect", out).code == 0


def test_worker_processes_and_an_earlier_manifest_give_the_same(cli, process, lines, tmp_path):
    common = (lines, "--source", "s", "--licence", "MIT", "--obtained", "2026-01-01T00:00:00Z", "--records")
    digests = {
        cli("data", "record", *common, "--out", tmp_path / "m.json", "--json").document["digest"],
        cli("data", "record", *common, "--out", tmp_path / "m.json", "--previous", tmp_path / "m.json", "--json").document["digest"],
        process("data", "record", *common, "--out", tmp_path / "n.json", "--workers", "2", "--json").document["digest"],
    }
    assert len(digests) == 1


def test_a_leaf_key_comes_from_a_file(cli, process, lines, tmp_path):
    (tmp_path / "key").write_bytes(b"\n" * 32)
    (tmp_path / "long").write_bytes(b"k" * 70_000)
    common = ("data", "record", lines, "--out", tmp_path / "m.json", "--records", "--sensitivity", "personal", "--leaf-key-file")
    answer = cli(*common, tmp_path / "key", "--json")
    assert (answer.code, answer.document["warnings"]) == (0, [])
    assert json.loads((tmp_path / "m.json").read_bytes())["leaf_key"]["keys"] == "one"
    assert process(*common, "-", input=b"\n" * 32).code == 0
    assert "at least 16 bytes; this one has 0" in cli(*common, "/dev/null").err
    assert "more than the limit of 65536" in cli(*common, tmp_path / "long").err


@pytest.mark.parametrize("option", [("--sets",), ("--leaf-key-file", "k"), ("--previous", "p")])
def test_what_is_about_records_needs_records(option, cli, lines, tmp_path):
    answer = cli("data", "record", lines, "--out", tmp_path / "m.json", *option)
    assert (answer.code, "give --records too" in answer.err, (tmp_path / "m.json").exists()) == (2, True, False)


def test_the_step_that_made_the_data_is_kept(cli, lines, tmp_path):
    cli("data", "record", lines, "--out", tmp_path / "raw.json")
    assert cli("data", "record", lines, "--out", tmp_path / "m.json", "--derived-from", tmp_path / "raw.json", "--step", "filter").code == 0
    assert json.loads((tmp_path / "m.json").read_bytes())["derived_from"][0]["step"] == "filter"


def test_a_file_that_is_not_what_it_should_be_leaves_nothing(cli, lines, tmp_path):
    (lines / "b.txt").write_bytes(b"\xff\n")
    answer = cli("data", "record", lines, "--out", tmp_path / "m.json", "--records")
    assert (answer.code, (tmp_path / "m.json").exists()) == (2, False)
    assert "'b.txt', record 0: not UTF-8" in answer.err


def test_a_sample_is_compared_and_says_what_it_is_worth(cli, lines, tmp_path):
    out = tmp_path / "m.json"
    assert cli("data", "record", lines, "--out", out, "--records").code == 0
    answer = cli("data", "verify", out, lines, "--unsigned", "--sample", "300")
    assert (answer.code, "compared  300 of 2002 records" in answer.out, "at most 0.99% of them differ" in answer.out) == (0, True, True)
    document = cli("data", "verify", out, lines, "--unsigned", "--sample", "300", "--json").document
    assert (document["sample"]["unit"], document["sample"]["checked"], document["data_compared"]) == ("records", 300, True)
    content = (lines / "a.jsonl").read_bytes()
    (lines / "a.jsonl").write_bytes(content.swapcase())
    refused = cli("data", "verify", out, lines, "--unsigned", "--sample", "2002")
    assert (refused.code, "1 changed: 'a.jsonl'; record 0 is the first that differs" in refused.err) == (1, True)
    assert cli("data", "verify", out, "--key", "k", "--sample", "3").code == 2


def test_a_sample_of_keyed_records_takes_the_key_from_a_file(cli, lines, tmp_path):
    (tmp_path / "key").write_bytes(b"k" * 32)
    out = tmp_path / "m.json"
    assert cli("data", "record", lines, "--out", out, "--records", "--leaf-key-file", tmp_path / "key").code == 0
    ask = ("data", "verify", out, lines, "--unsigned", "--sample", "3")
    assert cli(*ask, "--leaf-key-file", tmp_path / "key").code == 0
    assert cli(*ask).code == 2
    assert "recorded with a leaf key" in cli(*ask).err
