# SPDX-License-Identifier: Apache-2.0
"""``exec``: the command runs on checked files only, gets its signals, and its exit code is the answer."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def model(home):
    (home / "model" / "weights.bin").unlink()
    with contextlib.suppress(FileNotFoundError):
        (home / "model" / "model.sig").unlink()
    return home / "model"


@pytest.fixture
def signed(model, home, process):
    assert process("sign", model, "--key", home / "k.key").code == 0
    return model


def test_the_command_sees_the_signed_files_and_no_others(signed, home, process):
    code = "import os, sys; print(sorted(os.listdir(sys.argv[1])), open(sys.argv[2][5:]).read())"
    answer = process("exec", signed, "--key", home / "k.pub", "--", sys.executable, "-c", code, "{}", "file={}/config.json")
    assert (answer.code, answer.out, answer.err) == (0, "['config.json'] {}\n", "")


@pytest.mark.parametrize("mode", ["memory", "copy"])
def test_the_folder_is_gone_afterwards(mode, signed, home, process):
    (home / "pins").mkdir()
    answer = process("exec", signed, "--key", home / "k.pub", "--dir", home / "pins", "--mode", mode, "--", "ls", "-d", "{}")
    assert answer.out.startswith(str(home / "pins"))
    assert list((home / "pins").iterdir()) == []


def test_a_policy_file_says_who_is_trusted(signed, home, process):
    (home / "trust.toml").write_text(
        'schema = "lifeseal.policy/1"\n[signers.us]\nkey = "k.pub"\n[[trust]]\nsigners = ["us"]\npurposes = ["model"]\nsubjects = ["*"]\n'
        "from = 2020-01-01T00:00:00Z\nuntil = 2999-01-01T00:00:00Z\n",
    )
    answer = process("exec", signed, "--policy", home / "trust.toml", "--", "cat", "{}/config.json")
    assert (answer.code, answer.out) == (0, "{}"), answer.err


@pytest.mark.parametrize("code", [0, 1, 3, 77])
def test_the_exit_code_is_the_commands(code, signed, home, process):
    assert process("exec", signed, "--key", home / "k.pub", "--", "sh", "-c", f"test -e {{}} && exit {code}").code == code


def test_a_command_that_a_signal_ended_tells_which(signed, home, process):
    assert process("exec", signed, "--key", home / "k.pub", "--", "sh", "-c", ": {}; kill -9 $$").code == 128 + 9


def test_a_changed_model_never_starts_the_command(signed, home, process):
    (signed / "config.json").write_text("[]")
    answer = process("exec", signed, "--key", home / "k.pub", "--", "touch", "{}", home / "started")
    assert answer.code == 1
    assert "config.json" in answer.err
    assert not (home / "started").exists()


def test_what_is_wrong_with_the_call(signed, home, process):
    for words, fault in (
        (("--key", home / "k.pub", "--", "true"), "no {} where the path"),
        (("--", "true", "{}"), "whom do you trust"),
        (("--key", home / "k.pub"), "Missing argument"),
        (("--key", home / "k.pub", "--", "no-such-program", "{}"), "no-such-program"),
        (("--key", home / "k.pub", "--file", "nothing", "--", "true", "{}"), "'nothing' is not among the signed files"),
    ):
        answer = process("exec", signed, *words)
        assert (answer.code, answer.out) == (2, "")
        assert fault in answer.err


def test_as_one_document_what_the_command_prints_goes_aside(signed, home, process):
    answer = process("exec", signed, "--key", home / "k.pub", "--json", "--", "sh", "-c", "cat {}/config.json; exit 5")
    assert (answer.code, answer.err) == (5, "{}")
    assert json.loads(answer.out)["exit_code"] == 5
    assert json.loads(answer.out)["ok"] is False


CHILD = """
import signal, sys, time
def tell(number, _):
    print(signal.Signals(number).name, flush=True)
    if number in (signal.SIGTERM, signal.SIGINT):
        sys.exit(9)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, tell)
print('ready', signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)
while True:
    time.sleep(10)
"""


def start(signed, home, **options):
    command = [sys.executable, "-m", "lifeseal", "exec", signed, "--key", home / "k.pub", "--", sys.executable, "-c", CHILD, "{}"]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command(last, signed, home):
    with start(signed, home, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == "ready set()\n"
        for number in (signal.SIGUSR1, signal.SIGHUP, last):
            running.send_signal(number)
            assert running.stdout.readline() == f"{number.name}\n"
        assert running.wait(timeout=20) == 9
        assert running.stderr.read() == ""


def test_ctrl_c_on_a_terminal_reaches_the_command_once(signed, home):
    master, slave = pty.openpty()
    with start(
        signed,
        home,
        stdout=subprocess.PIPE,
        stdin=slave,
        process_group=None,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    ) as running:
        os.close(slave)
        assert running.stdout.readline() == "ready set()\n"
        time.sleep(0.1)
        os.write(master, b"\x03")
        assert running.stdout.read() == "SIGINT\n"
        assert running.wait(timeout=20) == 9
    os.close(master)


def test_the_end_of_the_command_is_seen_though_another_thread_takes_its_signal():
    import threading
    import time

    from lifeseal.cli import _exec

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)  # it does not block the signal, so the system may give it to this one
    thread.start()
    try:
        start = time.monotonic()
        assert [_exec._run(["true"], aside=False) for _ in range(3)] == [0, 0, 0]
        assert _exec._run(["sh", "-c", "exit 7"], aside=False) == 7
        assert time.monotonic() - start < 20
    finally:
        stop.set()
        thread.join()
