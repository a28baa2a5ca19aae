# SPDX-License-Identifier: Apache-2.0
"""Every command: a call that works, a call that fails, as lines, as JSON, quietly, and logged."""

import json
import re
import shutil
from pathlib import Path

import click
import numpy as np
import pytest

from lifeseal import evidence, provenance
from lifeseal.cli import _main


def waiver_command(out, *more):
    text = ("--reason", "r", "--owner", "o", "--expires", "2999-12-31T23:59:59Z", "--risk", "R-1")
    return ("waiver", "new", "--covers", "sha256:" + "a" * 64, "--allow", "unsigned", *text, "--out", out, *more)


def withdraw_command(out):
    return ("withdraw", "new", "--list", "acme", "--expires", "2999-12-31T23:59:59Z", "--out", out)


def received(home):
    return "--recipient-key", home / "r.key", "--key", home / "k.pub", "--out", home / "received"


def working(home):
    """One call of each command that answers yes, by schema."""
    root = ("--root", f"file:{home}/root")
    vault = ("--vault", home / "vault", *root)
    end = ("--trigger", "decommission", "--custodian", "records", "--unsigned", "--yes", "--out", home / "live.cert")
    url = (home / "hub.url").read_text()
    cached = ("acme/tiny", "--cache-dir", home / "cache")
    commit = home / "cache/models--acme--tiny/snapshots" / ("a" * 40)
    shutil.copytree(home / "model", commit)
    (commit.parent.parent / "refs").mkdir()
    (commit.parent.parent / "refs/main").write_text("a" * 40)
    rows = home / "cache/datasets--acme--rows/snapshots" / ("a" * 40)
    shutil.copytree(home / "data", rows)
    shutil.copy(home / "d.json", rows / "lifeseal.manifest.json")
    shutil.copy(home / "d.json.sig", rows / "lifeseal.manifest.json.sig")
    revision = ("--revision", "a" * 40, "--offline")
    script = home / "script.py"
    script.write_text("print('from the script')\n")
    np.savez(home / "arrays.npz", a=np.ones(2))
    return {
        "keygen": ("keygen", "--out", home / "new", "--algorithm", "p384"),
        "sign": ("sign", home / "model", "--key", home / "k.key"),
        "verify": ("verify", home / "model", "--key", home / "k.pub"),
        "inspect": ("inspect", home / "model/model.sig"),
        "scan": ("scan", home / "model/config.json"),
        "convert": ("convert", home / "arrays.npz", home / "arrays.safetensors"),
        "data-record": ("data", "record", home / "data", "--out", home / "new.json", "--source", "s", "--licence", "MIT"),
        "data-verify": ("data", "verify", home / "d.json", home / "data", "--key", home / "k.pub"),
        "data-diff": ("data", "diff", home / "r.json", home / "r.json"),
        "data-prove": ("data", "prove", home / "r.json", home / "line", "--out", home / "new.proof"),
        "data-check-proof": ("data", "check-proof", home / "r.proof", "--manifest", home / "r.json", "--key", home / "k.pub"),
        "data-export": ("data", "export", home / "d.json", "--format", "croissant", "--out", home / "croissant.json"),
        "data-trace": ("data", "trace", "--record", home / "line", home / "r.json"),
        "vault-init": ("vault", "init", home / "other", "--root", f"file:{home}/other.root"),
        "vault-seal": ("vault", "seal", home / "data", "--name", "rows", *vault),
        "vault-unseal": ("vault", "unseal", "live", "--out", home / "copy", *vault),
        "vault-list": ("vault", "list", *vault),
        "vault-info": ("vault", "info", *vault),
        "vault-verify": ("vault", "verify", *vault),
        "vault-compact": ("vault", "compact", *vault),
        "vault-hold": ("vault", "hold", "live", *vault, "--reason", "case 7"),
        "vault-release": ("vault", "release", "held", *vault),
        "vault-hand-over": ("vault", "hand-over", "live", "--to", home / "r.pub", "--key", home / "k.key", "--out", home / "live.ho", *vault),
        "vault-receive": ("vault", "receive", home / "held.ho", home / "vault", *received(home)),
        "vault-subjects-seal": ("vault", "subjects", "seal", "--id-field", "who", home / "people.jsonl", home / "s.jsonl", *vault),
        "vault-subjects-find": ("vault", "subjects", "find", "--subjects", home / "ids", home / "people.sealed.jsonl", home / "r.json", *vault),
        "vault-subjects-unseal": ("vault", "subjects", "unseal", home / "people.sealed.jsonl", home / "p.jsonl", *vault),
        "vault-rehome": ("vault", "rehome", "--to", f"file:{home}/new.root", *vault),
        "dispose": ("dispose", "live", *vault, *end),
        "certificate-verify": ("certificate", "verify", home / "old.cert", "--key", home / "k.pub", *vault),
        "certificate-cosign": ("certificate", "cosign", home / "old.cert", "--key", home / "k2.key", "--role", "verifier", "--name", "Vera"),
        "certificate-report": ("certificate", "report", home / "old.cert", "--html", home / "old.html"),
        "certificate-approve": ("certificate", "approve", home / "order.json", "--key", home / "k2.key", "--name", "R", "--out", home / "a.json"),
        "certificate-receipt": ("certificate", "receipt", home / "data", "--key", home / "k2.key", "--name", "P", "--out", home / "r.json.sig2"),
        "waiver-new": waiver_command(home / "new.waiver"),
        "waiver-sign": ("waiver", "sign", home / "w.json", "--key", home / "k.key", "--out", home / "w.sig"),
        "withdraw-new": withdraw_command(home / "new.list"),
        "withdraw-add": ("withdraw", "add", home / "l.json", "--digest", "sha256:" + "a" * 64, "--reason", "r"),
        "withdraw-sign": ("withdraw", "sign", home / "l.json", "--key", home / "k.key", "--out", home / "new.sig"),
        "principles": ("principles", "--coverage"),
        "log-verify": ("log", "verify", home / "events.jsonl"),
        "log-rotate": ("log", "rotate", home / "events.jsonl", "--to", home / "older.jsonl"),
        "log-sign": ("log", "sign", home / "events.jsonl", "--key", home / "k.key", "--out", home / "events.head"),
        "report": ("report", home / "events.jsonl", "--html", home / "report.html", "--oscal", home / "oscal"),
        "hub-pull": ("hub", "pull", *cached, "--key", home / "k.pub", "--offline"),
        "hub-push": ("hub", "push", home / "lines", f"acme/{home.parent.name}", "--key", home / "k.key", "--endpoint", url),
        "hub-verify": ("hub", "verify", *cached, "--key", home / "k.pub"),
        "hub-purge": ("hub", "purge", *cached),
        "hub-pull-data": ("hub", "pull-data", "acme/rows", home / "rows", "--cache-dir", home / "cache", "--key", home / "k.pub", *revision),
        "hub-push-data": ("hub", "push-data", home / "data", f"acme/d{home.parent.name}", "--manifest", home / "d.json", "--endpoint", url),
        "exec": ("exec", home / "model", "--key", home / "k.pub", "--file", "config.json", "--", "test", "-e", "{}/config.json"),
        "run": ("run", "--log", home / "run.jsonl", script),
    }


def failing(home):
    """One call of each command that does not answer yes: its exit code, then its words."""
    root = ("--root", f"file:{home}/root")
    vault = ("--vault", home / "vault", *root)
    end = ("--trigger", "decommission", "--custodian", "records", "--unsigned", "--yes", "--out", home / "live.cert")
    (home / "changed").mkdir()
    (home / "changed" / "rows.csv").write_text("a,b\n1,3\n")
    (home / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    return {
        "keygen": (2, ("keygen", "--out", home / "k")),
        "sign": (2, ("sign", home / "nothing", "--key", home / "k.key")),
        "verify": (1, ("verify", home / "data", "--key", home / "k.pub")),
        "inspect": (2, ("inspect", home / "model")),
        "scan": (1, ("scan", home / "evil.pkl")),
        "convert": (1, ("convert", home / "evil.pkl", home / "out.safetensors")),
        "data-record": (2, ("data", "record", home / "data", "--out", home / "data/m.json", "--source", "s", "--licence", "MIT")),
        "data-verify": (1, ("data", "verify", home / "d.json", home / "changed", "--key", home / "k.pub")),
        "data-diff": (1, ("data", "diff", home / "r.json", home / "d.json")),
        "data-prove": (2, ("data", "prove", home / "d.json", home / "line", "--out", home / "new.proof")),
        "data-check-proof": (1, ("data", "check-proof", home / "r.proof", "--manifest", home / "d.json", "--key", home / "k.pub")),
        "data-export": (2, ("data", "export", home / "d.json", "--format", "spdx", "--out", home / "k.key")),
        "data-trace": (1, ("data", "trace", "sha256:" + "0" * 64, home / "r.json")),
        "vault-init": (2, ("vault", "init", home / "vault", "--root", f"file:{home}/other.root")),
        "vault-seal": (2, ("vault", "seal", home / "nothing", "--name", "x", *vault)),
        "vault-unseal": (4, ("vault", "unseal", "old", "--out", home / "copy", *vault)),
        "vault-list": (3, ("vault", "list", "--vault", home / "vault", "--root", f"file:{home}/gone")),
        "vault-info": (2, ("vault", "info", "--vault", home / "vault")),
        "vault-verify": (2, ("vault", "verify", "--vault", home / "data", *root)),
        "vault-compact": (3, ("vault", "compact", "--vault", home / "vault", "--root", f"file:{home}/gone")),
        "vault-hold": (4, ("vault", "hold", "old", *vault, "--reason", "case 7")),
        "vault-release": (2, ("vault", "release", "live", *vault)),
        "vault-hand-over": (4, ("vault", "hand-over", "old", "--to", home / "r.pub", "--key", home / "k.key", "--out", home / "o.ho", *vault)),
        "vault-receive": (1, ("vault", "receive", home / "d.json.sig", home / "vault", *received(home))),
        "vault-subjects-seal": (2, ("vault", "subjects", "seal", "--id-field", "whom", home / "people.jsonl", home / "s.jsonl", *vault)),
        "vault-subjects-find": (3, ("vault", "subjects", "find", "--subjects", home / "line", home / "people.sealed.jsonl", *vault)),
        "vault-subjects-unseal": (2, ("vault", "subjects", "unseal", home / "people.jsonl", home / "p.jsonl", *vault)),
        "vault-rehome": (2, ("vault", "rehome", "--to", f"file:{home}/root", *vault)),
        "dispose": (4, ("dispose", "old", *vault, *end)),
        "certificate-verify": (1, ("certificate", "verify", home / "d.json.sig", "--key", home / "k.pub")),
        "certificate-cosign": (1, ("certificate", "cosign", home / "old.cert", "--key", home / "k.key", "--role", "verifier", "--name", "Vera")),
        "certificate-report": (2, ("certificate", "report", home / "d.json", "--html", home / "old.html")),
        "certificate-approve": (2, ("certificate", "approve", home / "d.json", "--key", home / "k2.key", "--name", "R", "--out", home / "a.json")),
        "certificate-receipt": (2, ("certificate", "receipt", home / "nothing", "--key", home / "k2.key", "--name", "P", "--out", home / "r2")),
        "waiver-new": (2, waiver_command(home / "w.json")),
        "waiver-sign": (2, ("waiver", "sign", home / "w.json", "--key", home / "k.pub", "--out", home / "w.sig")),
        "withdraw-new": (2, withdraw_command(home / "l.json")),
        "withdraw-add": (2, ("withdraw", "add", home / "l.json", "--digest", "sha256:" + "a" * 64)),
        "withdraw-sign": (2, ("withdraw", "sign", home / "l.sig", "--key", home / "k.key", "--out", home / "new.sig")),
        "principles": (2, ("principles", "--nonsense")),
        "log-verify": (1, ("log", "verify", home / "events.jsonl", "--head", "0" * 64)),
        "log-rotate": (2, ("log", "rotate", home / "events.jsonl", "--to", home / "k.key")),
        "log-sign": (2, ("log", "sign", home / "d.json", "--key", home / "k.key", "--out", home / "events.head")),
        "report": (2, ("report", home / "d.json")),
        "hub-pull": (3, ("hub", "pull", "acme/none", "--cache-dir", home / "cache", "--key", home / "k.pub", "--offline")),
        "hub-push": (2, ("hub", "push", home / "nothing", "acme/tiny", "--key", home / "k.key")),
        "hub-verify": (3, ("hub", "verify", "acme/none", "--cache-dir", home / "cache", "--key", home / "k.pub")),
        "hub-purge": (2, ("hub", "purge", "../x", "--cache-dir", home / "cache")),
        "hub-pull-data": (3, ("hub", "pull-data", "acme/none", home / "rows", "--cache-dir", home / "cache", "--key", home / "k.pub", "--offline")),
        "hub-push-data": (1, ("hub", "push-data", home / "changed", "acme/rows", "--manifest", home / "d.json")),
        "exec": (1, ("exec", home / "data", "--key", home / "k.pub", "--", "test", "-e", "{}")),
        "run": (2, ("run", "--log", home / "run.jsonl", home / "nothing.py")),
    }


def names(name):
    subs = _main._SUBCOMMANDS.get(name)
    return [name] if subs is None else [full for sub in subs for full in names(f"{name}-{sub}")]


def words_of(name):
    """Take a name apart again: of two words or three, where the last may hold a dash."""
    return name.split("-", 2 if name.startswith("vault-subjects-") else 1)


NAMES = [full for name in _main._COMMANDS for full in names(name)]


FINDINGS = {"scan", "data-diff", "data-trace"}  # a no that is an answer, with what was found


def with_option(words, *option):
    """Put an option where the command takes it: after the command's own words."""
    return (*words[:1], *option, *words[1:]) if words[0] in {"run", "exec"} else (*words, *option)


def test_the_tables_of_these_tests_and_of_the_command_line_name_every_command(home):
    context = click.Context(_main.root)
    for name in _main._COMMANDS:
        command = _main.root.get_command(context, name)
        assert set(_main._SUBCOMMANDS.get(name, ())) == set(getattr(command, "commands", ()))
    assert set(_main._SUBCOMMANDS["vault-subjects"]) == set(_main.root.get_command(context, "vault").commands["subjects"].commands)
    assert set(NAMES) == set(working(home)) == set(failing(home))


@pytest.mark.parametrize("name", NAMES)
def test_answers_yes_in_lines(cli, home, name):
    answer = cli(*working(home)[name])
    assert (answer.code, answer.err) == (0, "")
    assert answer.out or name == "exec"  # which says nothing of its own
    assert "\x1b" not in answer.out


@pytest.mark.parametrize("name", NAMES)
def test_answers_yes_as_one_document(cli, home, name):
    answer = cli(*with_option(working(home)[name], "--json"))
    assert answer.code == 0
    assert answer.document["schema"] == f"lifeseal.{name}/1"
    assert answer.document["ok"] is True
    assert answer.err == ("from the script\n" if name == "run" else "")


@pytest.mark.parametrize("name", NAMES)
def test_says_nothing_when_quiet(cli, home, name):
    answer = cli(*with_option(working(home)[name], "-q"))
    assert (answer.code, answer.out, answer.err) == (0, "from the script\n" if name == "run" else "", "")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "run"])
def test_logs(cli, home, name):
    log = home / "all.jsonl"
    assert cli(*with_option(working(home)[name], "--log", log)).code == 0
    assert evidence.verify(log).events >= (name not in {"principles", "log-verify"})


@pytest.mark.parametrize("name", NAMES)
def test_fails_in_a_sentence(cli, home, name):
    code, words = failing(home)[name]
    answer = cli(*words)
    assert answer.code == code
    said = answer.out if name in FINDINGS else answer.err
    assert said.startswith("✗ ")
    assert "Traceback" not in answer.out + answer.err
    assert (answer.out == "") != (name in FINDINGS)


@pytest.mark.parametrize("name", NAMES)
def test_fails_as_one_document(cli, home, name):
    code, words = failing(home)[name]
    answer = cli(*with_option(words, "--json"))
    assert (answer.code, answer.err) == (code, "")
    assert answer.document["schema"] == f"lifeseal.{name}/1"
    assert answer.document["ok"] is False
    if name not in FINDINGS:
        assert answer.document["error"].keys() == {"type", "message"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"run", "principles", "log-verify", "scan"}])
def test_logs_refusals_too(cli, home, name):
    code, words = failing(home)[name]
    assert cli(*words, "--log", home / "all.jsonl").code == code
    if (home / "all.jsonl").exists():  # not where the options alone were wrong
        evidence.verify(home / "all.jsonl")


@pytest.mark.parametrize("name", NAMES)
def test_help_names_the_options_and_an_example(cli, name):
    answer = cli(*words_of(name), "--help")
    assert answer.code == 0
    assert all(option in answer.out for option in ("--json", "--log", "-q, --quiet"))
    assert f"lifeseal {' '.join(words_of(name))} " in answer.out.split("Examples:")[1]


def test_help_of_the_whole_shows_the_way_in(cli):
    answer = cli("--help")
    assert answer.code == 0
    assert all(word in answer.out for word in ("Exit codes", "130", "lifeseal keygen --out release", *_main._COMMANDS))


def test_an_unwritable_log_stops_the_command(cli, home):
    answer = cli("sign", home / "model", "--key", home / "k.key", "--log", home / "nowhere" / "log")
    assert answer.code == 2
    assert "nowhere" in answer.err


@pytest.mark.parametrize(
    ("arguments", "schema"),
    [
        (["--json"], "lifeseal"),
        (["nonsense", "--json"], "lifeseal"),
        (["vault", "--json"], "vault"),
        (["vault", "nonsense", "--json"], "vault"),
        (["verify", "--json"], "verify"),
        (["verify", "--json", "--key"], "verify"),
    ],
)
def test_wrong_usage_is_one_document_too(cli, arguments, schema):
    answer = cli(*arguments)
    assert answer.code == 2
    assert answer.document["schema"] == f"lifeseal.{schema}/1"
    assert answer.document["error"]["type"]


def test_json_after_two_dashes_is_a_name(cli, home):
    answer = cli("verify", "--key", home / "k.pub", "--", "--json")
    assert answer.code == 2
    assert answer.err.startswith("✗ --json: No such file")


def test_documents_are_strict_json_even_of_names_that_are_not_utf8(cli, home):
    odd = home / "odd\udcff"
    (home / "model").rename(odd)
    answer = cli("inspect", odd / "model.sig", "--json")
    assert answer.code == 0
    json.loads(answer.out.encode("ascii"))
    assert answer.document["file"].endswith("odd\\udcff/model.sig")
    assert "\\ud" not in answer.out.replace("\\\\ud", "")


@pytest.mark.parametrize("words", [(), ("vault",), ("data",)])
def test_without_a_command_the_help_is_shown(cli, words):
    answer = cli(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(" ".join(["Usage: lifeseal", *words]))
    assert "\n\nCommands:\n" in answer.err


def test_a_slip_of_the_finger_is_understood(cli):
    assert "No such command 'verfy'. Did you mean 'verify'?" in cli("verfy").err
    assert "Did you mean" not in cli("xxxxxxx").err


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"verify", "scan", "dispose"}])
def test_the_reference_names_every_field(cli, home, name):
    page = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `lifeseal.{name}/1`"))
    named = set(re.findall(r"`(\w+)`", re.sub(r"\(each [^)]*\)", "", row.split("|")[2])))
    assert named == cli(*with_option(working(home)[name], "--json")).document.keys() - {"schema", "ok"}


def test_recording_never_replaces_what_is_no_manifest(cli, home):
    words = ("data", "record", home / "data", "--source", "s", "--licence", "MIT")
    before = (home / "k.key").read_bytes()
    answer = cli(*words, "--out", home / "k.key")
    assert (answer.code, (home / "k.key").read_bytes()) == (2, before)
    assert "is no dataset manifest" in answer.err
    assert cli(*words, "--out", home / "fresh.json").code == 0
    assert cli(*words, "--out", home / "fresh.json").code == 0  # an older manifest is replaced
    (home / "fresh.json.sig").write_bytes(b"something else")
    unchanged = (home / "fresh.json").read_bytes()
    assert cli(*words, "--out", home / "fresh.json", "--key", home / "k.key").code == 2
    assert (home / "fresh.json.sig").read_bytes() == b"something else"
    assert unchanged == (home / "fresh.json").read_bytes()


def test_a_link_that_leads_to_itself_is_wrong_input(cli, home):
    (home / "loop").symlink_to("loop")
    for words in (
        ("verify", home / "loop", "--key", home / "k.pub"),
        ("data", "record", home / "loop", "--out", home / "l.json", "--source", "s", "--licence", "MIT"),
    ):
        answer = cli(*words)
        assert answer.code == 2, answer
        assert "loop" in answer.err


def test_a_source_or_licence_that_nobody_stated_is_said_to_be_missing(cli, home):
    answer = cli("data", "record", home / "data", "--out", home / "bare.json", "--licence", "MIT")
    assert answer.code == 0
    assert "not stated: --source; the Code asks for them" in answer.out
    assert provenance.Manifest.load(home / "bare.json").description.source == "NOASSERTION"
