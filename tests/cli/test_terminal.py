# SPDX-License-Identifier: Apache-2.0
"""On a terminal: prompts, colours, the progress bar. Elsewhere: none of them."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

RED, GREEN = "\x1b[31m", "\x1b[32m"


class Terminal:
    """A process whose three streams, or standard error alone, are a terminal."""

    def __init__(self, *arguments, env=None, stdout=None):
        self._own, other = pty.openpty()
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment |= {"TERM": "xterm-256color", "XDG_CONFIG_HOME": "/nonexistent", **(env or {})}
        # The first terminal that the leader of a new session opens is its own, for getpass and Ctrl-C.
        opening = 'exec "$@" <"$0" 2>"$0"' + (' >"$0"' if stdout is None else "")
        command = ["sh", "-c", opening, os.ttyname(other), sys.executable, "-m", "lifeseal", *map(str, arguments)]
        self._process = subprocess.Popen(command, env=environment, start_new_session=True, stdin=other, stdout=stdout)
        os.close(other)
        self.text = ""

    def wait_for(self, text, *, timeout=30):
        end = time.monotonic() + timeout
        while text not in self.text:
            assert time.monotonic() < end, self.text
            assert self._read(), self.text
        self.text = self.text.partition(text)[2]

    def type(self, text):
        time.sleep(0.2)  # getpass throws away what was typed before it asked
        os.write(self._own, text.encode())

    def end(self):
        while self._read():
            pass
        code = self._process.wait(30)
        os.close(self._own)
        return code

    def _read(self):
        ready, _, _ = select.select([self._own], [], [], 30)
        try:
            piece = os.read(self._own, 65536) if ready else b""
        except OSError:  # the other side is closed
            return False
        self.text += piece.decode()
        return bool(piece)


def test_a_new_passphrase_is_asked_for_twice_and_opens_the_key(home):
    made = Terminal("keygen", "--out", home / "new", "--encrypt")
    for prompt, answer in (
        ("New passphrase:", "one\n"),
        ("Repeat", "two\n"),
        ("do not match", ""),
        ("New passphrase:", "one\n"),
        ("Repeat", "one\n"),
    ):
        made.wait_for(prompt)
        if answer:
            made.type(answer)
    assert made.end() == 0
    assert "one" not in made.text.replace("someone", "")
    assert b"ENCRYPTED" in (home / "new.key").read_bytes()
    signing = Terminal("sign", home / "model", "--key", home / "new.key")
    signing.wait_for("Passphrase of")
    signing.type("one\n")
    assert signing.end() == 0
    wrong = Terminal("sign", home / "model", "--key", home / "new.key")
    wrong.wait_for("Passphrase of")
    wrong.type("two\n")
    assert wrong.end() == 2


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_leaving_a_prompt_interrupts(home, listing, key):
    before = listing(home)
    asked = Terminal("keygen", "--out", home / "new", "--encrypt")
    asked.wait_for("New passphrase:")
    asked.type(key)
    assert asked.end() == 130
    assert "interrupted" in asked.text
    assert listing(home) == before


DISPOSE = ("--trigger", "decommission", "--custodian", "records", "--unsigned")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [("n\n", 130, "declined; nothing was done"), ("\n", 130, "declined"), ("\x03", 130, "interrupted"), ("y\n", 0, "disposed of live")],
)
def test_a_disposal_shows_its_plan_and_asks(cli, home, answer, code, said):
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    asked = Terminal("dispose", "live", *vault, *DISPOSE, "--out", home / "live.cert")
    asked.wait_for("Would erase from vault")
    asked.wait_for("It would not reach:")
    asked.wait_for("Erase for good?")
    asked.type(answer)
    assert asked.end() == code
    assert said in asked.text
    assert (home / "live.cert").exists() == (code == 0)
    assert cli("vault", "unseal", "live", "--out", home / "copy", *vault).code == (4 if code == 0 else 0)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_disposal_without_a_terminal_needs_yes(cli, home, listing, monkeypatch, more):
    before = listing(home)
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    answer = cli("dispose", "live", *vault, *DISPOSE, "--out", home / "live.cert", *more)
    assert answer.code == 2
    assert "--yes" in answer.out + answer.err
    assert listing(home) == before


def test_without_a_terminal_no_passphrase_is_asked_for(process, cli, home):
    assert process("keygen", "--out", home / "new", "--encrypt", stdin=subprocess.DEVNULL).code == 2
    (home / "pass").write_text("one\r\nnot this\n")
    assert cli("keygen", "--out", home / "new", "--passphrase-file", home / "pass").code == 0
    answer = process("sign", home / "model", "--key", home / "new.key", stdin=subprocess.DEVNULL)
    assert answer.code == 2
    assert "the key is encrypted; give its passphrase" in answer.err
    assert process("sign", home / "model", "--key", home / "new.key", "--passphrase-file", "-", input=b"one\n").code == 0


def test_a_passphrase_through_a_descriptor(process, cli, home):
    (home / "pass").write_text("one\n")
    assert cli("keygen", "--out", home / "new", "--passphrase-file", home / "pass").code == 0
    read, write = os.pipe()
    os.write(write, b"one\n")
    os.close(write)
    answer = process("sign", home / "model", "--key", home / "new.key", "--passphrase-file", f"/dev/fd/{read}", pass_fds=[read])
    os.close(read)
    assert answer.code == 0, answer


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "on the first line"), (b"\nsecond\n", "on the first line"), (b"x" * 70000, "more than the limit")]
)
def test_a_passphrase_file_that_holds_none(cli, home, listing, content, said):
    (home / "pass").write_bytes(content)
    before = listing(home)
    answer = cli("keygen", "--out", home / "new", "--passphrase-file", home / "pass")
    assert answer.code == 2
    assert said in answer.err
    assert listing(home) == before


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(made, env, coloured):
    good = Terminal("verify", made / "model", "--key", made / "k.pub", env=env)
    assert good.end() == 0
    assert (GREEN in good.text) == coloured
    bad = Terminal("verify", made / "data", "--key", made / "k.pub", env=env)
    assert bad.end() == 1
    assert (RED in bad.text) == coloured


def test_a_bar_is_drawn_on_standard_error_and_taken_away(made, tmp_path):
    with (tmp_path / "out").open("wb") as out:
        shown = Terminal("verify", made / "model", "--key", made / "k.pub", "--json", stdout=out)
        assert shown.end() == 0
        assert shown.text == ""
    with (tmp_path / "out").open("wb") as out:
        shown = Terminal("verify", made / "model", "--key", made / "k.pub", stdout=out)
        assert shown.end() == 0
        assert "\x1b[" in shown.text
    assert (tmp_path / "out").read_text().startswith("✓ ")


def test_choices_that_are_missing_are_told_in_one_line(cli):
    answer = cli("dispose", "m", "--out", "c.json")

    assert answer.code == 2
    assert "Missing option '--trigger'. Choose from: transfer, decommission, subject-erasure" in answer.err
