# SPDX-License-Identifier: Apache-2.0
"""What is measured."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from benchmarks._data import ROOT, make_files, own, peer
from benchmarks._measure import Contender, Row, compare

_READ_ALL = (
    "import os, sys; b = bytearray(1 << 20)\nfor e in os.scandir(sys.argv[1]):\n  with open(e.path, 'rb', 0) as f:\n    while f.readinto(b): pass"
)
_HASH_ALL = (
    "import os, sys; from {module} import {name} as new; b = bytearray(1 << 20); v = memoryview(b)\n"
    "for e in os.scandir(sys.argv[1]):\n  h = new()\n  with open(e.path, 'rb', 0) as f:\n    while n := f.readinto(b): h.update(v[:n])\n  h.digest()"
)
_ENGINE = (
    "import sys; from lifeseal._io import DiskSource, hash_files\n"
    "with DiskSource(sys.argv[1]) as s: hash_files(s, s.names(), algorithm=sys.argv[2], threads=int(sys.argv[3]))"
)


@attrs.frozen(kw_only=True)
class Options:
    """What the command line asked for.

    Attributes:
        runs: Rounds that count.
        mib: Mebibytes of the large model.
        files: Number of files of the model of small files.
        folder: Where data is made.
    """

    runs: int
    mib: int
    files: int
    folder: Path


def measure_import(options: Options) -> list[Row]:
    """Import each package in a fresh interpreter, against the interpreter alone."""
    packages = sorted(path.parent.name for path in (ROOT / "src" / "lifeseal").glob("[a-z]*/__init__.py"))
    names = ["lifeseal", "lifeseal.errors", *(f"lifeseal.{package}" for package in packages)]
    contenders = [Contender(name="bare interpreter", command=(sys.executable, "-c", "pass"))]
    contenders += [Contender(name=name, command=(sys.executable, "-c", f"import {name}")) for name in names]
    return compare("import", contenders, references=["bare interpreter"], runs=options.runs)


def measure_hash(options: Options) -> list[Row]:
    """Hash four large files with the engine, against the hash alone and against reading."""
    folder = str(make_files(options.folder / "hash", count=4, size=options.mib * 2**20 // 4))
    rows: list[Row] = []
    for algorithm, module in (("sha256", "hashlib"), ("blake3", "blake3")):
        floor = _HASH_ALL.format(module=module, name=algorithm)
        contenders = [
            Contender(name=f"lifeseal, {threads} thread(s)", command=(sys.executable, "-c", _ENGINE, folder, algorithm, str(threads)))
            for threads in (1, 2)
        ]
        contenders += [
            Contender(name=f"{module}, one thread", command=(sys.executable, "-c", floor, folder)),
            Contender(name="reading", command=(sys.executable, "-c", _READ_ALL, folder)),
        ]
        case = f"hash {algorithm}, {options.mib} MiB in 4 files"
        rows += compare(case, contenders, references=[f"{module}, one thread", "reading"], runs=options.runs)
    return rows


def measure_verify(options: Options) -> list[Row]:
    """Verify models at the command line, against model_signing on its own signature of the same files."""
    key = options.folder / "bench"
    subprocess.run([own("lifeseal"), "keygen", "--out", key], check=True, stdout=subprocess.DEVNULL)
    large = make_files(options.folder / "large", count=4, size=options.mib * 2**20 // 4)
    small = make_files(options.folder / "small", count=options.files, size=4096)
    rows = _verify(f"verify {options.mib} MiB in 4 files", large, key, options, exit_code=0)
    rows += _verify(f"verify {options.files} files of 4 KiB", small, key, options, exit_code=0)
    (small / "extra.bin").write_bytes(b"not signed")
    return rows + _verify(f"refuse {options.files} files of 4 KiB and one that was not signed", small, key, options, exit_code=1)


def _verify(case: str, model: Path, key: Path, options: Options, *, exit_code: int) -> list[Row]:
    ours, theirs = options.folder / f"{model.name}.ours.sig", options.folder / f"{model.name}.theirs.sig"
    program = peer("model_signing")
    if not ours.exists():
        private = f"{key}.key"
        subprocess.run([own("lifeseal"), "sign", model, "--key", private, "--out", ours], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([program, "sign", "key", model, "--private_key", private, "--signature", theirs], check=True, stdout=subprocess.DEVNULL)
    ask_us = (own("lifeseal"), "verify", str(model), "--key", f"{key}.pub", "--signature", str(ours))
    ask_them = (program, "verify", "key", str(model), "--public_key", f"{key}.pub", "--signature", str(theirs))
    contenders = [
        Contender(name="lifeseal verify", command=ask_us, exit_code=exit_code),
        Contender(name="model_signing verify", command=ask_them, exit_code=exit_code),
        Contender(name="sha256 alone", command=(sys.executable, "-c", _HASH_ALL.format(module="hashlib", name="sha256"), str(model))),
        Contender(name="reading", command=(sys.executable, "-c", _READ_ALL, str(model))),
    ]
    return compare(case, contenders, references=["model_signing verify", "sha256 alone", "reading"], runs=options.runs)


CASES: dict[str, Callable[[Options], list[Row]]] = {"import": measure_import, "hash": measure_hash, "verify": measure_verify}
