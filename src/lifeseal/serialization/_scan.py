# SPDX-License-Identifier: Apache-2.0
"""The scan of a file or a folder."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from lifeseal._io import DiskSource, Reader, StrPath, new_hasher, read_through
from lifeseal.errors import FormatError, LifesealError
from lifeseal.principles import implements, note
from lifeseal.serialization._beside import Folder, Reference, with_neighbours
from lifeseal.serialization._names import disagrees
from lifeseal.serialization._report import FileReport, ScanReport
from lifeseal.serialization._rules import Findings

Found: TypeAlias = tuple[FileReport, Mapping[Reference, int]]

_BUFFER = 1 << 20
_FULL_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@implements(
    "7.1",
    evidences=("2.4", "9.1"),
    limits="Safe means that reading it with the loader of its format runs no code of its own; not that the model behaves well, nor that the "
    "loader has no bug.",
)
def scan(path: StrPath, *, allow: Iterable[str] = (), digest: bool = False) -> ScanReport:
    """Judge what reading a model file could do, without running, importing or unpickling anything of it.

    The verdict depends on the bytes alone: not on names, nor on what is installed. Work and memory are bounded. In a folder one bad file
    never hides the others: a link, a FIFO or a file that cannot be read has a report of its own.

    Args:
        path: A file, or a folder to walk; a link to either is followed, links below a folder are not.
        allow: Full names of classes or functions you trust, as ``mypkg.Config``; their use then needs trust instead of being unsafe.
        digest: Also take the sha256 of every file.

    Returns:
        The report; the worst file decides, in the order unsafe, unreadable, needs-trust, safe.

    Raises:
        FormatError: The folder is empty, or the path is neither a file nor a folder.
        LimitError: The folder holds more than a million files.
        OSError: The path is missing, or the one file cannot be read.
        TypeError: ``allow`` is one string.
        ValueError: ``allow`` holds what is no full name.
    """
    allowed = _checked(allow)
    target = Path(path)
    name = target.name
    if not target.is_dir():
        target = Path(os.path.realpath(target, strict=True))
    with DiskSource(target) as source:
        if source.is_folder:
            found = [_report_entry(source, entry, fault, allowed, digest=digest) for entry, fault in sorted(source.entries())]
        else:
            with source.open(source.name) as reader:
                found = [_report(reader, name, allowed, digest=digest)]
        files = with_neighbours(source, *zip(*found, strict=True)) if found else ()
    if not files:
        raise FormatError(os.fspath(path), "the folder holds no file to scan")
    decides = max(range(len(files)), key=lambda index: (files[index].verdict.badness, -index))
    report = ScanReport(path=os.fspath(path), files=files, decides=decides, digest=_joined(files) if source.is_folder else files[0].digest)
    note(verdict=report.verdict.value, format=report.format, files=len(files), findings=sum(len(file.findings) for file in files))
    if report.digest is not None:
        note(digest=report.digest.hex())
    return report


def judge(source: Folder, names: Iterable[str]) -> tuple[FileReport, ...]:
    """Judge files that are opened by another part of lifeseal, as `scan` judges those of a path.

    Args:
        source: Where they lie.
        names: Which ones; what they name beside them is looked for there too.

    Returns:
        One report a file.
    """
    found = [_report_entry(source, name, "", frozenset(), digest=False) for name in names]
    return with_neighbours(source, *zip(*found, strict=True)) if found else ()


def _report_entry(source: Folder, name: str, fault: str, allow: frozenset[str], *, digest: bool) -> Found:
    findings = Findings()
    if fault:
        findings.add("not-read" if fault.startswith("the folder") else "not-a-file", "", fault)
    else:
        try:
            with source.open(name) as reader:
                return _report(reader, name, allow, digest=digest)
        except (LifesealError, OSError) as error:
            findings.add("not-read", "", f"cannot be read: {error.strerror if isinstance(error, OSError) else error}")
    return FileReport(path=name, format="unknown", verdict=findings.verdict, findings=findings.listed()), {}


def _report(reader: Reader, name: str, allow: frozenset[str], *, digest: bool) -> Found:
    from lifeseal.serialization._judge import judge_file

    findings = Findings()
    before = _digest(reader, name) if digest else None
    found, references = judge_file(reader, findings, allow=allow)
    promised = disagrees(name, found)
    if promised:
        findings.add("name", "", f"is named .{promised}, but its bytes are {found}")
    if reader.readinto(memoryview(bytearray(1)), reader.size):
        findings.add("not-read", "", "the file holds more than its size says; special files are not scanned")
    if digest and _digest(reader, name) != before:
        before = None
        findings.add("not-read", "", "the file changed while it was scanned")
    return FileReport(path=name, format=found, verdict=findings.verdict, findings=findings.listed(), digest=before), references


def _digest(reader: Reader, name: str) -> bytes:
    hasher = new_hasher("sha256")
    read_through(reader, name, memoryview(bytearray(_BUFFER)), hasher.update)
    return hasher.digest()


def _joined(files: tuple[FileReport, ...]) -> bytes | None:
    hasher = new_hasher("sha256")
    for file in files:
        if file.digest is None:
            return None
        hasher.update(memoryview(file.digest))
    return hasher.digest()


def _checked(allow: Iterable[str]) -> frozenset[str]:
    if isinstance(allow, str):
        raise TypeError("allow must be a collection of full names, not one string")
    names = frozenset(allow)
    for name in names:
        if not _FULL_NAME.fullmatch(name):
            raise ValueError(f"allow: {name!r} is no full name, as 'mypkg.Config'")
    return names
