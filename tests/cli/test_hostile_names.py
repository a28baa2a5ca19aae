# SPDX-License-Identifier: Apache-2.0
"""Names that an attacker chose are shown, not obeyed: no terminal escapes, no lines of their own."""

import json

import pytest

from lifeseal.cli._output import Output, counted, printable

NAME = "a\x1b[2J\x1b]0;title\x07\nverified: yes\r\u202egnp.\x9b31m"


def safe(text):
    return all(c.isprintable() or c == "\n" for c in text) and "\nverified: yes" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 模型", "plain ü 模型"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202egnp", "\\u202egnp"),
        ("\x9b", "\\x9b"),
        ("\udcff", "\\udcff"),
        ("\u2028", "\\u2028"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


def test_counted():
    assert [counted(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_every_way_of_printing_escapes(capsys):
    output = Output(as_json=False)
    output.result("c", {}, (NAME, NAME))
    output.plain("c", {}, [NAME, NAME])
    output.error("c", "E", NAME)
    found = capsys.readouterr()
    assert safe(found.out)
    assert safe(found.err)
    assert (found.out.count("\n"), found.err.count("\n")) == (4, 1)


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_files_of_a_model(cli, home, extra):
    (home / "model" / NAME).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for words, code in (
        (("verify", home / "model", "--key", home / "k.pub"), 1),
        (("verify", home / "model", "--key", home / "k.pub", "--allow-unsigned-files"), 0),
        (("sign", home / "model", "--key", home / "k.key", "--ignore", NAME), 0),
        (("verify", home / "model", "--key", home / "k.pub"), 0),
        (("scan", home / "model"), 1),
        (("scan", home / "model" / NAME), 1),
        (("inspect", home / "model" / NAME), 0),
        (("inspect", home / "model/model.sig"), 0),
        (("verify", home / NAME, "--key", home / "k.pub"), 2),
    ):
        answer = cli(*words, *extra)
        assert answer.code == code, answer
        assert safe(answer.out), answer.out
        assert safe(answer.err), answer.err


def test_a_dataset_and_its_manifest(cli, home):
    (home / "data" / NAME).touch()
    record = ("data", "record", home / "data", "--out", home / "n.json", "--source", NAME, "--licence", "MIT", "--name", NAME, "--notes", NAME)
    answers = [cli(*record, "--key", home / "k.key")]
    answers += [cli("data", "verify", home / "n.json", home / "data", "--key", home / "k.pub"), cli("inspect", home / "n.json")]
    answers += [cli("inspect", home / "n.json.sig")]
    assert [answer.code for answer in answers] == [0, 0, 0, 0]
    assert all(safe(answer.out) for answer in answers)
    (home / "data" / NAME).write_text("changed")
    answer = cli("data", "verify", home / "n.json", home / "data", "--key", home / "k.pub")
    assert answer.code == 1
    assert safe(answer.err)


def test_a_certificate_and_a_waiver(cli, home):
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    who = ("--custodian", NAME, "--sanitiser", NAME, "--request", NAME, "--trigger", "decommission")
    out = home / "live.cert"
    answers = [cli("dispose", "live", *vault, *who, "--key", home / "k.key", "--out", out, "--yes")]
    answers += [cli("certificate", "verify", out, "--key", home / "k.pub"), cli("inspect", out)]
    text = ("--reason", NAME, "--owner", NAME, "--risk", NAME, "--expires", "2999-12-31T23:59:59Z")
    answers += [cli("waiver", "new", "--covers", "sha256:" + "a" * 64, "--allow", "unsigned", *text, "--out", home / "n.waiver")]
    answers += [cli("inspect", home / "n.waiver"), cli("waiver", "sign", home / "n.waiver", "--key", home / "k.key", "--out", home / "n.sig")]
    answers += [cli("inspect", home / "n.sig")]
    assert [answer.code for answer in answers] == [0] * 7
    assert all(safe(answer.out) for answer in answers)


def test_a_list_of_withdrawals_and_a_policy(cli, home):
    end = ("--expires", "2999-12-31T23:59:59Z")
    answers = [cli("withdraw", "new", "--list", NAME, *end, "--out", home / "n.json")]
    answers += [cli("withdraw", "add", home / "n.json", "--key", home / "k.pub", "--since", "2020-01-01T00:00:00Z", "--reason", NAME)]
    answers += [cli("withdraw", "sign", home / "n.json", "--key", home / "k.key", "--out", home / "n.sig"), cli("inspect", home / "n.json")]
    assert [answer.code for answer in answers] == [0] * 4
    answers += [cli("verify", home / "model", "--key", home / "k.pub", "--withdrawals", home / "n.sig")]
    (home / "p.toml").write_text('schema = "lifeseal.policy/1"\n' + json.dumps(NAME) + ' = "' + json.dumps(NAME)[1:-1] + '"\n')
    answers += [cli("verify", home / "model", "--policy", home / "p.toml")]
    assert [answer.code for answer in answers[4:]] == [1, 2]
    assert all(safe(answer.out) and safe(answer.err) for answer in answers)


def test_words_of_the_command_line_itself(cli, home):
    for words in (("scan", f"--{NAME}"), (NAME,), ("vault", NAME), ("dispose", NAME, "--vault", home / "vault", "--root", f"file:{home}/root")):
        answer = cli(*words)
        assert answer.code == 2
        assert safe(answer.err), answer.err


def test_the_tensors_of_a_file(cli, home):
    header = json.dumps({NAME: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "__metadata__": {NAME: NAME}}).encode()
    (home / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    answer = cli("inspect", home / "m.safetensors")
    assert (answer.code, safe(answer.out)) == (0, True), answer.out
