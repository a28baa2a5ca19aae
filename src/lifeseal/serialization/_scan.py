# SPDX-License-Identifier: Apache-2.0
"""The scan of a file or a folder."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import attrs

from lifeseal._io import Buffer, DiskSource, Reader, StrPath, new_hasher, read_whole
from lifeseal.errors import FormatError, LifesealError, UnsafeError
from lifeseal.principles import implements, note
from lifeseal.serialization._beside import Folder, Reference, with_neighbours
from lifeseal.serialization._names import disagrees
from lifeseal.serialization._report import FileReport, Finding, ScanReport, Verdict, worst
from lifeseal.serialization._rules import RULES, Findings, shown
from lifeseal.serialization._window import BytesWindow, FileWindow, RecordedWindow, Window

Found: TypeAlias = tuple[FileReport, Mapping[Reference, int]]

MAX_READ = 64 << 30
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
    note(path=os.fspath(path))
    with DiskSource(target) as source:
        if source.is_folder:
            files = _among_others(source, sorted(source.entries()), allowed, digest=digest)
        else:
            with source.open(source.name) as reader:
                alone, references = _report(reader, name, allowed, digest=digest, search=True)
            files = with_neighbours(source, [alone], [references])
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
    return _among_others(source, [(name, "") for name in names], frozenset(), digest=False)


def _among_others(source: Folder, entries: Iterable[tuple[str, str]], allow: frozenset[str], *, digest: bool) -> tuple[FileReport, ...]:
    """Judge files together: one of unknown content is searched only if it is no other's data."""
    found = [_report_entry(source, name, fault, allow, digest=digest) for name, fault in entries]
    files = with_neighbours(source, *zip(*found, strict=True)) if found else ()
    return tuple(_searched(source, file, allow) if any(finding.rule == "unknown-format" for finding in file.findings) else file for file in files)


def _searched(source: Folder, file: FileReport, allow: frozenset[str]) -> FileReport:
    from lifeseal.serialization._judge import search_window

    findings = Findings()
    try:
        with source.open(file.path) as reader:
            search_window(FileWindow(reader), findings, allow=allow)
    except (LifesealError, OSError) as error:
        findings.add("not-read", "", f"cannot be read: {error.strerror if isinstance(error, OSError) else error}")
    return attrs.evolve(file, findings=file.findings + findings.listed(), verdict=worst(file.verdict, findings.verdict))


def _report_entry(source: Folder, name: str, fault: str, allow: frozenset[str], *, digest: bool) -> Found:
    findings = Findings()
    if fault:
        findings.add("not-read" if fault.startswith("the folder") else "not-a-file", "", fault)
    else:
        try:
            with source.open(name) as reader:
                return _report(reader, name, allow, digest=digest, search=False)
        except (LifesealError, OSError) as error:
            findings.add("not-read", "", f"cannot be read: {error.strerror if isinstance(error, OSError) else error}")
    return FileReport(path=name, format="unknown", verdict=findings.verdict, findings=findings.listed()), {}


@implements(
    "7.1",
    evidences=("2.4", "9.1"),
    limits="What a loader does with the bytes afterwards is its own affair; give it these bytes and not the path.",
)
def scan_bytes(data: Buffer, *, allow: Iterable[str] = (), digest: bool = False) -> FileReport:
    """Judge bytes that are in memory, so that the very same can be handed to a loader.

    Args:
        data: The content of one file.
        allow: As for `scan`.
        digest: Also take the sha256.

    Returns:
        The report, without a path.

    Raises:
        TypeError: ``allow`` is one string.
        ValueError: ``allow`` holds what is no full name.
    """
    report = _alone(*_report_window(BytesWindow(bytes(data)), "", _checked(allow), search=True))
    note(verdict=report.verdict.value, format=report.format, findings=len(report.findings))
    return attrs.evolve(report, digest=hashlib.sha256(data).digest()) if digest else report


@implements(
    "7.1",
    evidences=("2.4", "9.1"),
    limits="Safe means that the loader of the format runs no code of the file's own; whoever made the file is not checked.",
)
def read_safe(path: StrPath, *, allow: Iterable[str] = (), max_size: int = MAX_READ) -> bytes:
    """Read a file into memory, judge these bytes, and return them only if they are safe.

    Give the bytes to a loader (``torch.load(io.BytesIO(data))``): what is loaded is what was judged, whatever becomes of the path.

    Args:
        path: A file; a link to one is followed.
        allow: As for `scan`; a file that uses one of these is returned too.
        max_size: Bytes at most.

    Returns:
        The content.

    Raises:
        FormatError: It is not a regular file.
        LimitError: It is larger than ``max_size``.
        OSError: It cannot be read.
        TypeError: ``allow`` is one string.
        UnsafeError: It is not safe; the message has the worst finding.
        ValueError: ``allow`` holds what is no full name.
    """
    allowed = _checked(allow)
    target = Path(os.path.realpath(path, strict=True))
    with DiskSource(target) as source:
        if source.is_folder:
            raise FormatError(os.fspath(path), "a file was expected, not a folder")
        with source.open(source.name) as reader:
            data = read_whole(reader, where=os.fspath(path), limit=max_size)
    report = _alone(*_report_window(BytesWindow(data), Path(path).name, allowed, search=True))
    note(verdict=report.verdict.value, format=report.format, findings=len(report.findings))
    faults = [finding for finding in report.findings if RULES[finding.rule].verdict is not Verdict.SAFE]
    if any(finding.rule != "pickle-allowed" for finding in faults):
        badly = max(faults, key=lambda finding: RULES[finding.rule].verdict.badness)
        raise UnsafeError(f"{os.fspath(path)} is {report.verdict.value}: {badly.place or 'whole file'}: {badly.message}")
    return data


def _alone(report: FileReport, references: Mapping[Reference, int]) -> FileReport:
    """Note what a loader would read beside bytes of which no folder is known."""
    more = tuple(
        Finding(rule="external-reference", place=repr(shown(reference.name)), message="is read beside it and was not scanned")
        for reference in references
    )
    return attrs.evolve(report, findings=report.findings + more)


def _report(reader: Reader, name: str, allow: frozenset[str], *, digest: bool, search: bool) -> Found:
    window = RecordedWindow(reader) if digest else FileWindow(reader)
    report, references = _report_window(window, name, allow, search=search)
    promised = disagrees(name, report.format)
    if promised:
        told = Finding(rule="name", place="", message=f"is named .{promised}, but its bytes are {report.format}")
        report = attrs.evolve(report, findings=(*report.findings, told))
    faults = []
    if reader.readinto(memoryview(bytearray(1)), reader.size):
        faults.append("the file holds more than its size says; special files are not scanned")
    found = window.digest() if isinstance(window, RecordedWindow) else None
    if isinstance(window, RecordedWindow) and window.changed:
        faults.append("the file changed while it was scanned")
    if not faults:
        return report if found is None else attrs.evolve(report, digest=found), references
    more = tuple(Finding(rule="not-read", place="", message=fault) for fault in faults)
    return attrs.evolve(report, findings=report.findings + more, verdict=worst(report.verdict, Verdict.UNREADABLE)), references


def _report_window(window: Window, name: str, allow: frozenset[str], *, search: bool) -> Found:
    from lifeseal.serialization._judge import judge_window

    findings = Findings()
    found, references = judge_window(window, findings, allow=allow, search=search)
    return FileReport(path=name, format=found, verdict=findings.verdict, findings=findings.listed()), references


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
