# SPDX-License-Identifier: Apache-2.0
"""What people and attackers hand in: the place is named, nothing hangs, nothing is half-written."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from lifeseal.cli._main import _run

# Where the odd thing stands in a call: as the thing itself, or as the key, signature or vault beside it.
CALLS = {
    "verify": lambda home, odd: ("verify", odd, "--key", home / "k.pub"),
    "verify key": lambda home, odd: ("verify", home / "model", "--key", odd),
    "verify signature": lambda home, odd: ("verify", home / "model", "--key", home / "k.pub", "--signature", odd),
    "verify waiver": lambda home, odd: ("verify", home / "model", "--key", home / "k.pub", "--waiver", odd),
    "verify policy": lambda home, odd: ("verify", home / "model", "--policy", odd),
    "verify withdrawals": lambda home, odd: ("verify", home / "model", "--key", home / "k.pub", "--withdrawals", odd),
    "verify state": lambda home, odd: ("verify", home / "model", "--key", home / "k.pub", "--withdrawals", home / "l.sig", "--state", odd),
    "waiver sign": lambda home, odd: ("waiver", "sign", odd, "--key", home / "k.key", "--out", home / "new.sig"),
    "withdraw add": lambda home, odd: ("withdraw", "add", odd, "--expires", "2999-01-01T00:00:00Z"),
    "withdraw sign": lambda home, odd: ("withdraw", "sign", odd, "--key", home / "k.key", "--out", home / "new.sig"),
    "sign": lambda home, odd: ("sign", odd, "--key", home / "k.key"),
    "sign key": lambda home, odd: ("sign", home / "model", "--key", odd),
    "scan": lambda home, odd: ("scan", odd),
    "data record": lambda home, odd: ("data", "record", odd, "--out", home / "n.json", "--source", "s", "--licence", "MIT"),
    "data verify": lambda home, odd: ("data", "verify", odd, home / "data", "--key", home / "k.pub", "--signature", home / "d.json.sig"),
    "data verify data": lambda home, odd: ("data", "verify", home / "d.json", odd, "--key", home / "k.pub"),
    "data diff": lambda home, odd: ("data", "diff", home / "d.json", odd),
    "data prove": lambda home, odd: ("data", "prove", odd, home / "line", "--out", home / "n.proof"),
    "data check-proof": lambda home, odd: ("data", "check-proof", odd, "--manifest", home / "r.json", "--key", home / "k.pub"),
    "data trace": lambda home, odd: ("data", "trace", "s", odd),
    "inspect": lambda home, odd: ("inspect", odd),
    "certificate verify": lambda home, odd: ("certificate", "verify", odd, "--key", home / "k.pub"),
    "log verify": lambda home, odd: ("log", "verify", odd),
    "vault list": lambda home, odd: ("vault", "list", "--vault", odd, "--root", f"file:{home}/root"),
    "vault root": lambda home, odd: ("vault", "list", "--vault", home / "vault", "--root", f"file:{odd}"),
    "config": lambda home, odd: ("vault", "list", "--vault", home / "vault", "--config", odd),
}
POLICY = """\
schema = "lifeseal.policy/1"
signers.release.key = "k.pub"
[[trust]]
signers = ["release"]
purposes = ["model"]
subjects = ["*"]
from = 2000-01-01T00:00:00Z
until = 2999-12-31T23:59:59Z
"""
# The few that may answer otherwise than 2: another kind of no, or yes.
OTHER = {
    ("verify", "empty folder"): 1,  # it is unsigned
    ("verify", "empty file"): 1,
    ("verify", "random bytes"): 1,
    ("sign", "empty file"): 0,
    ("sign", "random bytes"): 0,
    ("data record", "empty file"): 0,
    ("data record", "random bytes"): 0,
    ("data verify data", "empty folder"): 1,  # it differs
    ("data verify data", "empty file"): 1,
    ("data verify data", "random bytes"): 1,
    ("scan", "empty file"): 0,  # it holds nothing that could run
    ("inspect", "empty file"): 0,
    ("inspect", "random bytes"): 0,
    ("vault root", "missing"): 3,
    ("verify state", "empty folder"): 0,
}
IS_ROOT = os.geteuid() == 0
KINDS = ("missing", "empty folder", "empty file", "random bytes", "socket", "fifo", "device", "dangling link")


def make(kind, place):
    if kind == "empty folder":
        place.mkdir()
    elif kind == "empty file":
        place.touch()
    elif kind == "random bytes":
        place.write_bytes(bytes((i * 167 + 89) % 256 for i in range(700)))
    elif kind == "socket":
        with contextlib.chdir(place.parent), socket.socket(socket.AF_UNIX) as made:  # the name of a socket is short
            made.bind(place.name)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "dangling link":
        place.symlink_to("nowhere")
    return place


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_odd_things_are_named_and_nothing_hangs(cli, process, home, listing, call, kind):
    odd = make(kind, home / "odd thing")
    before = listing(home)
    words = CALLS[call](home, odd)
    answer = process(*words, timeout=20) if kind in {"fifo", "device"} else cli(*words)
    assert answer.code == OTHER.get((call, kind), 2), answer
    if answer.code:
        said = answer.err + answer.out
        assert said.startswith("✗ ")
        assert "Traceback" not in said
        assert "codec" not in said
        resolved = {"device": "/dev/zero", "dangling link": "nowhere"}.get(kind, "odd thing")  # a scan names what a link leads to
        assert any(place in said for place in ("odd thing", str(home / "vault"), resolved)), said
        assert listing(home) == before


def test_the_controls_of_the_matrix_answer_yes(cli, home):
    good = {
        "verify": home / "model",
        "verify key": home / "k.pub",
        "verify signature": home / "model/model.sig",
        "verify waiver": home / "w.json",
        "verify policy": home / "p.toml",
        "verify withdrawals": home / "l.sig",
        "verify state": home / "seen",
        "waiver sign": home / "w.json",
        "withdraw add": home / "l.json",
        "withdraw sign": home / "l.json",
        "sign": home / "model",
        "sign key": home / "k.key",
        "scan": home / "model/config.json",
        "data record": home / "data",
        "data verify": home / "d.json",
        "data verify data": home / "data",
        "data diff": home / "d.json",
        "data prove": home / "r.json",
        "data check-proof": home / "r.proof",
        "data trace": home / "d.json",
        "inspect": home / "old.cert",
        "certificate verify": home / "old.cert",
        "log verify": home / "events.jsonl",
        "vault list": home / "vault",
        "vault root": home / "root",
        "config": home / "config.toml",
    }
    (home / "seen").mkdir()
    (home / "p.toml").write_text(POLICY)
    (home / "config.toml").write_text(f'[roots]\n"{home}/vault" = "file:{home}/root"\n')
    assert {call: cli(*CALLS[call](home, good[call])).code for call in CALLS} == dict.fromkeys(CALLS, 0)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("verify", "model", "--key", "k.key"), "k.key: a public key in PEM form was expected"),
        (("sign", "model", "--key", "k.pub"), "k.pub: a private key in PEM form was expected"),
        (("data", "verify", "d.json", "--key", "k.key"), "k.key: a public key in PEM form was expected"),
        (("certificate", "verify", "old.cert", "--key", "model"), "model: a regular file was expected, not a folder"),
        (("sign", "model", "--key", "model"), "model: a regular file was expected, not a folder"),
        (("inspect", "model"), "model: a regular file was expected, not a folder"),
        (("keygen", "--out", "."), "--out: a name for the key was expected"),
        (("keygen", "--out", "nowhere/k"), "nowhere/k.key: No such file or directory"),
        (("certificate", "verify", "old.cert", "--key", "k.pub", "--root", "file:x"), "--root: there is no --vault"),
        (("vault", "list", "--vault", "vault", "--root", "tape:1"), "a root is written file:PATH, passphrase:"),
        (("vault", "list", "--vault", "vault", "--root", "passphrase"), "a root is written file:PATH"),
        (("vault", "list", "--vault", "vault", "--root", "passphrase:secret"), "with nothing behind the colon"),
        (("vault", "list", "--vault", "vault", "--root", "file:"), "is written file:PATH, not 'file:'"),
        (("vault", "list", "--vault", "vault", "--root", "passphrase:"), "elsewhere give --root-secret-file"),
        (("vault", "list", "--vault", "vault", "--root", "file:root", "--root-secret-file", "w"), "a root that is written file:PATH has no secret"),
        (("vault", "list", "--vault", "vault", "--root", "passphrase:", "--root-secret-file", "no"), "no: No such file or directory"),
        (("vault", "list", "--vault", "vault", "--root", "file:~nobody-has-this-name/root"), "the root file is not there"),
        (("sign", "model/config.json", "--key", "k.key", "--out", "model/config.json"), "--out: model/config.json is what is signed"),
        (("sign", "model", "--key", "k.key", "--out", "k.key"), "--out: k.key is what is signed, the key or a certificate"),
        (("data", "record", "data/rows.csv", "--out", "data/rows.csv", "--source", "s", "--licence", "MIT"), "--out: data/rows.csv is the data"),
        (("data", "record", "data", "--out", "data/m", "--source", "s", "--licence", "MIT"), "--out lies inside the data"),
        (("data", "record", "data", "--out", "n", "--source", "bad\udcff", "--licence", "MIT"), "is not UTF-8"),
        (("data", "record", "data", "--out", "n", "--source", "", "--licence", "MIT"), "must say something"),
        (("scan", "data", "--allow", "not a name"), "is no full name"),
    ],
)
def test_wrong_words_change_nothing_and_say_what_was_expected(cli, home, listing, monkeypatch, words, wanted):
    monkeypatch.chdir(home)
    before = listing(home)
    answer = cli(*words)
    assert answer.code == (3 if "root file" in wanted else 2)
    assert wanted in answer.err
    assert "Traceback" not in answer.err
    assert listing(home) == before


@pytest.mark.parametrize("words", [("verify", "--key", "k.pub"), ("sign", "--key", "k.key"), ("scan",), ("inspect",), ("log", "verify")])
def test_an_argument_that_is_not_utf8_is_a_name_like_any_other(process, home, words):
    answer = process(*words, b"nothing\xff\x1b[2J", cwd=home)
    assert answer.code == 2
    assert answer.err == "✗ nothing\\udcff\\x1b[2J: No such file or directory\n"


def test_a_folder_whose_name_is_not_utf8(process, home):
    (home / "model").rename(home / "odd\udcff")
    answer = process("data", "record", b"odd\xff", "--out", "n.json", "--source", "s", "--licence", "MIT", cwd=home)
    assert answer.code == 2
    assert "--name" in answer.err
    assert process("data", "record", b"odd\xff", "--out", "n.json", "--source", "s", "--licence", "MIT", "--name", "n", cwd=home).code == 0
    assert process("scan", b"odd\xff", cwd=home).code in {0, 2}
    assert process("sign", b"odd\xff", "--key", "k.key", cwd=home).code == 2


def test_a_file_whose_name_is_not_utf8(process, home):
    (home / "model" / "odd\udcff").touch()
    for words in (("sign", "model", "--key", "k.key"), ("verify", "model", "--key", "k.pub"), ("scan", "model")):
        answer = process(*words, cwd=home)
        assert answer.code == 2, answer
        assert "the name is not UTF-8" in answer.err + answer.out


@pytest.mark.parametrize("call", [call for call in CALLS if call not in {"vault list", "verify state"}])
def test_a_file_that_may_not_be_read(home, call):
    odd = home / "odd thing"
    odd.write_bytes(b"secret")
    words = [str(word) for word in CALLS[call](home, odd)]
    for path in (home, *home.parents):
        if path != path.parent:
            path.chmod(path.stat().st_mode | 0o055)
    for path in home.rglob("*"):
        os.chown(path, 65534, 65534) if IS_ROOT else None
    os.chown(odd, 0, 0) if IS_ROOT else None
    odd.chmod(0o600 if IS_ROOT else 0)
    code = "import os, sys; from lifeseal.cli._main import _run\n"
    code += f"_run(['verify']); _run({words!r})\n"  # the other user may not be able to import
    code += "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n" if IS_ROOT else ""
    code += "sys.stdout.flush(); os.dup2(1, 2); print('NOW', flush=True)\n"
    code += f"sys.exit(_run({words!r}))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # the other user may not write its data
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == (1 if call in {"verify", "data verify data"} else 2), done  # names are compared before content is read
    said = done.stdout.split("NOW")[1]
    assert "odd thing" in said
    assert "ermission denied" in said or done.returncode == 1 or call == "vault root"
    assert "Traceback" not in said


def flips(data):
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            yield position, bit, bytes(changed)


def test_every_bit_of_a_bundle_counts(home, capsys):
    (home / "tiny").write_bytes(b"")
    assert _run(["sign", str(home / "tiny"), "--key", str(home / "k.key")]) == 0
    bundle = home / "tiny.sig"
    good = bundle.read_bytes()
    words = ["verify", str(home / "tiny"), "--key", str(home / "k.pub")]
    assert _run(words) == 0
    accepted = []
    for position, bit, changed in flips(good):
        bundle.write_bytes(changed)
        capsys.readouterr()
        code = _run(words)
        said = capsys.readouterr().err
        if code == 0:
            accepted.append((position, bit))
            continue
        assert code in {1, 2}, (position, bit, code)
        assert said.startswith("✗ "), (position, bit, said)
        assert "tiny" in said or "this model" in said, (position, bit, said)
        assert "Traceback" not in said
    assert accepted == []


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("w.json", "verify waiver"),
        ("l.sig", "verify withdrawals"),
        ("l.json", "withdraw sign"),
        ("p.toml", "verify policy"),
        ("old.cert", "certificate verify"),
        ("d.json", "data verify"),
        ("events.jsonl", "log verify"),
        ("k.pub", "verify key"),
    ],
)
def test_flipped_bits_of_other_files_never_escape_as_a_traceback(home, capsys, name, call):
    place = home / name
    (home / "p.toml").write_text(POLICY)
    good = place.read_bytes()
    words = [str(word) for word in CALLS[call](home, place)]
    for position, bit, changed in flips(good):
        if (position * 8 + bit) % 13:
            continue
        place.write_bytes(changed)
        capsys.readouterr()
        for tried in (words, ["inspect", str(place)]):
            code = _run(tried)
            said = capsys.readouterr()
            assert code in {0, 1, 2}, (position, bit, tried, said)
            assert code == 0 or said.err.startswith("✗ ")
