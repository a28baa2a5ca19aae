# SPDX-License-Identifier: Apache-2.0
"""A folder with one of everything, and two ways to call the command: in this process, and as a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from lifeseal import testing
from lifeseal.cli._main import _run

NO_CONFIG = "/nonexistent"


@attrs.frozen
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self):
        """The one JSON document on standard output."""
        return json.loads(self.out)


@pytest.fixture
def cli(capsys, monkeypatch):
    """Call the command line in this process."""
    monkeypatch.setenv("XDG_CONFIG_HOME", NO_CONFIG)

    def call(*arguments):
        capsys.readouterr()
        code = _run([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def process():
    """Call the command line as a process of its own; arguments may be bytes."""

    def call(*arguments, cwd=None, timeout=60, **options):
        command = [sys.executable, "-m", "lifeseal", *(a if isinstance(a, bytes) else str(a) for a in arguments)]
        environment = {**os.environ, "XDG_CONFIG_HOME": NO_CONFIG, "PYTHONUTF8": "1", **options.pop("env", {})}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, timeout=timeout, check=False, **options)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory, hub):
    """A key pair, a signed model, a signed dataset manifest, a vault with an erased asset, its certificate, a log, a waiver, withdrawals."""
    home = tmp_path_factory.mktemp("made")
    (home / "model").mkdir()
    (home / "model" / "config.json").write_text("{}")
    (home / "model" / "weights.bin").write_bytes(bytes(range(256)) * 8)
    (home / "data").mkdir()
    (home / "data" / "rows.csv").write_text("a,b\n1,2\n")
    (home / "lines").mkdir()
    (home / "lines" / "a.txt").write_text("one\ntwo\n")
    (home / "line").write_text("two\n")
    (home / "people.jsonl").write_text('{"who": "ann"}\n{"who": "bob"}\n')
    (home / "ids").write_text("ann\n")
    vault = ("--vault", home / "vault", "--root", f"file:{home}/root")
    dispose = ("dispose", "old", *vault, "--trigger", "decommission", "--custodian", "records", "--yes", "--key", home / "k.key")
    text = ("--reason", "r", "--owner", "o", "--expires", "2999-12-31T23:59:59Z", "--risk", "R-1")
    commands = [
        ("keygen", "--out", home / "k"),
        ("keygen", "--out", home / "r", "--algorithm", "mlkem768-x25519"),
        ("keygen", "--out", home / "k2"),
        ("sign", home / "model", "--key", home / "k.key", "--log", home / "events.jsonl"),
        ("data", "record", home / "data", "--out", home / "d.json", "--source", "s", "--licence", "MIT", "--key", home / "k.key"),
        ("data", "record", home / "lines", "--out", home / "r.json", "--records", "--sets", "--key", home / "k.key"),
        ("data", "prove", home / "r.json", home / "line", "--out", home / "r.proof"),
        ("vault", "init", home / "vault", "--root", f"file:{home}/root"),
        ("vault", "seal", home / "model", "--name", "old", *vault),
        ("vault", "seal", home / "line", "--name", "held", *vault),
        ("vault", "hold", "held", *vault, "--reason", "case 6"),
        ("vault", "hand-over", "held", "--to", home / "r.pub", "--key", home / "k.key", "--out", home / "held.ho", *vault),
        (*dispose, "--out", home / "old.cert"),
        ("vault", "seal", home / "model", "--name", "live", *vault),
        ("dispose", "live", *dispose[2:], "--out", home / "live.cert", "--dry-run", "--order", home / "order.json"),
        ("vault", "subjects", "seal", "--id-field", "who", home / "people.jsonl", home / "people.sealed.jsonl", *vault),
        ("waiver", "new", "--covers", "sha256:" + "a" * 64, "--allow", "unsigned", *text, "--out", home / "w.json"),
        ("withdraw", "new", "--list", "acme", "--expires", "2999-12-31T23:59:59Z", "--out", home / "l.json"),
        ("withdraw", "sign", home / "l.json", "--key", home / "k.key", "--out", home / "l.sig"),
    ]
    for command in commands:
        assert _run([str(word) for word in (*command, "-q")]) == 0, command
    (home / "hub.url").write_text(hub.url)
    return home


@pytest.fixture(scope="session")
def hub():
    """A Hub on loopback, which stores files as LFS."""
    with pytest.MonkeyPatch.context() as patch, testing.hub() as running:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield running


@pytest.fixture
def home(made, tmp_path):
    """A copy of everything that a test may break."""
    return Path(shutil.copytree(made, tmp_path / "home", copy_function=shutil.copy2))


@pytest.fixture
def listing():
    """Tell every name below a folder, and what it holds."""

    def tell(folder):
        paths = sorted(folder.rglob("*"))
        return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None for path in paths}

    return tell
