# SPDX-License-Identifier: Apache-2.0
"""The edges of a process: signals, pipes, streams that are closed or full, and bugs of ours."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lifeseal.cli import _main

SECRET = "a value that only a traceback would show"


def start(*arguments, **options):
    command = [sys.executable, "-m", "lifeseal", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("command", ["sign", "verify", "data record", "vault seal"])
@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_an_interrupt_during_a_long_read_leaves_nothing_behind(home, listing, command, extra):
    long = home / "long.bin"
    with long.open("wb") as file:
        file.truncate(40 << 30)  # a hole; longer than anybody waits
    if command == "verify":
        bundle = home / "long.bin.sig"
        assert _main._run(["sign", str(home / "model/config.json"), "--key", str(home / "k.key"), "--out", str(bundle), "-q"]) == 0
        bundle.rename(home / "config.json.sig")
        long.rename(home / "config.json")
        long = home / "config.json"
    words = {
        "sign": ("sign", long, "--key", home / "k.key"),
        "verify": ("verify", long, "--key", home / "k.pub"),
        "data record": ("data", "record", long, "--out", home / "n.json", "--source", "s", "--licence", "MIT"),
        "vault seal": ("vault", "seal", long, "--name", "long", "--vault", home / "vault", "--root", f"file:{home}/root"),
    }[command]
    names = {str(path) for path in home.rglob("*")}
    # A runner in the background hands SIGINT down as ignored; a person's shell does not.
    process = start(*words, *extra, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        _interrupt_while_reading(process, long)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, (out, err)
    assert "interrupted; nothing is half-written" in out + err
    assert "Traceback" not in err
    assert (out == "") == (not extra)
    assert {str(path) for path in home.rglob("*")} - names <= {str(home / "root.lock")}


def _named_by(fd):
    try:
        return os.readlink(fd)  # noqa: PTH115 - the link itself, without looking at what it names
    except FileNotFoundError:  # closed since it was listed
        return ""


def _interrupt_while_reading(process, long):
    opened = Path(f"/proc/{process.pid}/fd")
    end = time.monotonic() + 30
    while str(long.resolve()) not in [_named_by(fd) for fd in opened.iterdir()]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)


def test_a_reader_that_stops_reading_is_no_news():
    for words in (["principles", "--coverage"], ["nonsense", "--json"], ["verify", "/nothing", "--key", "/nothing", "--json"]):
        process = subprocess.Popen([sys.executable, "-m", "lifeseal", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()
        assert (process.wait(30), said) == (1, "")


def test_head_of_a_list():
    command = f"set -o pipefail; {sys.executable} -m lifeseal principles | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_answer(made, closed):
    words = f"{sys.executable} -m lifeseal verify {made}/model --key {made}/k.pub {closed}"
    assert subprocess.run(["bash", "-c", words], capture_output=True, check=False).returncode == 0
    words = f"{sys.executable} -m lifeseal verify {made}/data --key {made}/k.pub {closed}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)


def test_a_full_disk_behind_standard_output_is_no_yes(made):
    with pathlib.Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "lifeseal", "verify", made / "model", "--key", made / "k.pub"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_our_signs_changes_no_answer(process, made):
    plain = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    answer = process("verify", made / "model", "--key", made / "k.pub", env=plain)
    assert (answer.code, answer.out.partition("\n")[0]) == (0, f"\\u2713 {made}/model: as it was signed")
    assert process("verify", made / "data", "--key", made / "k.pub", env=plain).code == 1
    assert process("--help", env=plain).code == 0


@pytest.mark.parametrize("error", [RuntimeError(SECRET), KeyError(SECRET), RecursionError(), AssertionError(SECRET), MemoryError()])
@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_bug_is_called_one_and_shows_no_values(cli, made, monkeypatch, error, extra):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr("lifeseal.signing.verify", broken)
    answer = cli("verify", made / "model", "--key", made / "k.pub", *extra)
    assert answer.code == 70
    assert f"a bug in lifeseal: {type(error).__name__}" in answer.out + answer.err
    assert SECRET not in answer.out + answer.err
    if extra:
        assert (answer.document["ok"], answer.err) == (False, "")
    else:
        assert "_verify.py:" in answer.err


def test_notes_of_an_error_are_shown(cli, made, monkeypatch):
    def broken(*_, **__):
        error = OSError(28, "No space left on device", 7)
        error.add_note("the assets are erased")
        raise error

    monkeypatch.setattr("lifeseal.signing.verify", broken)
    answer = cli("verify", made / "model", "--key", made / "k.pub")
    assert (answer.code, answer.err) == (2, "✗ No space left on device; the assets are erased\n")


@pytest.mark.parametrize("how", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_certificate_that_cannot_be_written_is_printed(cli, home, monkeypatch, how):
    def broken(*_, **__):
        raise how

    monkeypatch.setattr("lifeseal.disposal.Certificate.write", broken)
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    answer = cli("dispose", "live", *vault, "--trigger", "decommission", "--custodian", "c", "--key", home / "k.key", "--out", home / "c", "--yes")
    assert answer.code == (130 if isinstance(how, KeyboardInterrupt) else 2)
    monkeypatch.undo()
    kept = next(line for line in answer.err.splitlines() if line.startswith("{"))
    (home / "kept").write_text(kept)
    assert cli("certificate", "verify", home / "kept", "--key", home / "k.pub").code == 0


def test_a_disposal_that_left_something_readable_says_no(cli, home, monkeypatch):
    monkeypatch.setattr("lifeseal.disposal._steps._is_refused", lambda *_: False)
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    answer = cli("dispose", "live", *vault, "--trigger", "decommission", "--custodian", "c", "--unsigned", "--out", home / "c", "--yes", "--json")
    assert (answer.code, answer.document["ok"], answer.document["status"]) == (1, False, "partial")
    assert (home / "c").exists()


@pytest.mark.parametrize("place", ["nowhere/c", "old.cert", "model", "link"])
def test_a_certificate_without_a_place_stops_a_disposal_before_it_erases(cli, home, listing, place):
    (home / "link").symlink_to("nowhere")
    before = listing(home)
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    answer = cli("dispose", "live", *vault, "--trigger", "decommission", "--custodian", "c", "--unsigned", "--out", home / place, "--yes")
    assert answer.code == 2
    assert "--out" in answer.err
    assert listing(home) == before


def test_one_unreadable_path_does_not_hide_the_others(cli, home):
    (home / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    answer = cli("scan", home / "evil.pkl", home / "nothing", home / "data", "--json")
    assert (answer.code, answer.document["verdict"]) == (1, "unsafe")
    assert [file["verdict"] for file in answer.document["files"]] == ["unsafe", "unreadable", "safe"]
    assert cli("scan", home / "nothing", home / "data").code == 2
    assert cli("scan", home / "data", home / "data").code == 0


def test_a_head_in_a_file(cli, home):
    head = cli("log", "verify", home / "events.jsonl", "--json").document["head"]
    (home / "head").write_text(f"{head}  events.jsonl\n")
    for given in (head, head.upper(), home / "head"):
        assert cli("log", "verify", home / "events.jsonl", "--head", given, "--json").document["head_checked"] is True
    (home / "head").write_text("nonsense\n")
    assert cli("log", "verify", home / "events.jsonl", "--head", home / "head").code == 2
    assert cli("log", "verify", home / "events.jsonl", "--head", "abc").code == 2


@pytest.mark.parametrize("where", ["default", "option"])
def test_a_root_from_the_configuration(cli, home, monkeypatch, where):
    folder = home / "lifeseal"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[roots]\n"{home}/vault" = "file:{home}/root"\n')
    option = ("--config", folder / "config.toml") if where == "option" else ()
    if where == "default":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    assert cli("vault", "list", "--vault", home / "vault", *option).code == 0
    monkeypatch.chdir(home / "model")
    assert cli("vault", "list", "--vault", "../vault", *option).code == 0
    (folder / "config.toml").write_text(f'[roots]\n"{home}/vault" = "file:root"\n')
    answer = cli("vault", "list", "--vault", home / "vault", *option)
    assert (answer.code, "absolute path" in answer.err) == (2, True)
    (folder / "config.toml").write_text("roots = 7\n")
    assert "[roots] was expected to be a table" in cli("vault", "list", "--vault", home / "vault", *option).err
    (folder / "config.toml").write_text("")
    assert "Give --root" in cli("vault", "list", "--vault", home / "vault", *option).err


def test_inspect_leaves_other_peoples_json_to_the_scan(cli, home):
    (home / "oci.json").write_text('{"mediaType": "application/vnd.oci.image.manifest.v1+json"}')
    answer = cli("inspect", home / "oci.json", "--json")
    assert (answer.code, answer.document["claims"]["verdict"]) == (0, "safe")
    (home / "big.json").write_bytes(b'{"a": "' + b"x" * (65 << 20) + b'"}')
    assert cli("inspect", home / "big.json").code == 0


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_full_disk_behind_the_output_is_no_verdict(made, extra):
    words = ["verify", str(made / "model"), "--key", str(made / "k.pub"), *extra]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run([sys.executable, "-m", "lifeseal", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr
