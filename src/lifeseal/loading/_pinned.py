# SPDX-License-Identifier: Apache-2.0
"""A folder of a signed model's files for libraries that take paths: nobody can change what lies in it after it was checked."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal

from lifeseal._io import DiskSource, StrPath, hash_files, refuse_beyond_free, replacing
from lifeseal.errors import DigestMismatchError, FormatError, PolicyError, UnsafeError
from lifeseal.loading._fill import Part, Target, fill
from lifeseal.loading._headers import refuse_one_string
from lifeseal.loading._sealed import SealedFiles, readable_by_children, refuse_unless_readable
from lifeseal.principles import implements, note
from lifeseal.serialization import Verdict, judge
from lifeseal.signing import FileEntry, SignedModel, unchecked

Mode = Literal["memory", "copy"]


class Pin(contextlib.AbstractContextManager[Path]):
    """A folder that is there until the block ends. Made by `pinned`.

    Args:
        path: The folder.
        cleanup: What ends it.
    """

    def __init__(self, path: Path, cleanup: contextlib.ExitStack) -> None:
        self._path = path
        self._cleanup = cleanup

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._cleanup.close()

    def __del__(self) -> None:
        self._cleanup.close()


@implements(
    "7.1",
    evidences=("2.2", "9.2"),
    limits="The files cannot be changed, and the links to them can by code that runs as the same user. With mode='copy' so can the files. What "
    "else a library reads or downloads is its own affair.",
)
def pinned(
    signed: SignedModel,
    *,
    files: Iterable[str] | None = None,
    mode: Mode = "memory",
    dir: StrPath | None = None,  # noqa: A002 - the standard library's word
) -> contextlib.AbstractContextManager[Path]:
    """Give libraries that only take paths a folder of files that were checked and can no longer be changed.

    With ``memory`` each file is copied into memory that is then sealed: neither this process nor another can write to it or cut it. Only
    then it is hashed, compared and judged. The folder holds links to it, which child processes of the same user can follow while this
    process lives and the block runs. One process on a machine pins; others read its path.

    With ``copy`` the files are private copies on disk that are read-only by their permissions: weaker, because the same user can change
    those, and what was sealed lies there in the clear. It is for models larger than memory and systems without sealed memory.

    Only files that the signature names are there. Each is judged as by `lifeseal.serialization.scan`: what is unsafe or unreadable is
    refused; what needs trust is refused unless the waiver given to `open_model` allows ``needs-trust`` for the model.

    Args:
        signed: From `lifeseal.signing.open_model`; a path is not accepted.
        files: Which files; by default every signed file.
        mode: ``memory`` or ``copy``.
        dir: Where the folder is made, by default the system's place for temporary files.

    Returns:
        For a ``with`` block: the folder.

    Raises:
        DigestMismatchError: A file is not what was signed.
        FormatError: A file changed while it was read, or is unreadable as what it says it is.
        KeyError: ``files`` asks for what is not there.
        LimitError: The files are larger than the memory that is free, by the machine or its control group; or child processes cannot open
            files in memory here. ``mode="copy"`` is the way out.
        OSError: A file cannot be read, or nothing can be made in ``dir``.
        PolicyError: A file needs trust, and no waiver covers it.
        TypeError: ``signed`` is not a `SignedModel`, or one string was given instead of several.
        UnsafeError: Reading a file could run code.
        ValueError: Another mode.
    """
    if not isinstance(signed, SignedModel):
        raise TypeError(f"pinned takes a SignedModel from signing.open_model, not {type(signed).__name__}")
    if mode not in {"memory", "copy"}:
        raise ValueError(f"mode= must be 'memory' or 'copy', not {mode!r}")
    entries = _entries(signed, files)
    note(subject=signed.subject.digest, files=len(entries), size=sum(entry.size for entry in entries), mode=mode)
    with contextlib.ExitStack() as cleanup:
        make = _in_memory if mode == "memory" else _on_disk
        return Pin(make(signed, entries, dir, cleanup), cleanup.pop_all())


def _entries(signed: SignedModel, files: Iterable[str] | None) -> tuple[FileEntry, ...]:
    refuse_one_string(files=files)
    if files is None:
        return signed.files
    there = {entry.path: entry for entry in signed.files}
    wanted = list(dict.fromkeys(files))
    missing = [path for path in wanted if path not in there]
    if missing:
        raise KeyError(f"{missing[0]!r} is not among the signed files of {signed.subject.name!r}")
    return tuple(there[path] for path in wanted)


def _in_memory(signed: SignedModel, entries: tuple[FileEntry, ...], place: StrPath | None, cleanup: contextlib.ExitStack) -> Path:
    where = f"model {signed.subject.name!r}, pinned in memory"
    refuse_beyond_free(sum(entry.size for entry in entries), where=f"{where} (mode='copy' takes disk instead)")
    sealed = SealedFiles(unchecked(signed), entries)
    cleanup.callback(sealed.close)
    found = hash_files(sealed, sealed.names(), algorithm=signed.hash, shard_size=signed.shard_size)
    changed = tuple(entry.path for entry in entries if (found[entry.path].digest, found[entry.path].shards) != (entry.digest, entry.shards))
    if changed:
        raise DigestMismatchError(sealed.where, changed=changed)
    _judge(signed, sealed, entries)
    folder = _folder(place, cleanup)
    for entry in entries:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(sealed.path(entry.path))
    _close_to_writing(folder)
    cleanup.enter_context(readable_by_children())
    if entries:
        refuse_unless_readable(os.fspath(folder / entries[0].path), where=where)
    return folder


def _on_disk(signed: SignedModel, entries: tuple[FileEntry, ...], place: StrPath | None, cleanup: contextlib.ExitStack) -> Path:
    folder = _folder(place, cleanup)
    for entry in entries:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, mode=0o400) as output:
            whole = Target(start=0, stop=entry.size, take=lambda _, view, output=output: output.write(view))  # type: ignore[misc]
            fill(signed, [Part(entry=entry, lead=b"", targets=(whole,))])
    with DiskSource(folder) as source:
        _judge(signed, source, entries)
    _close_to_writing(folder)
    return folder


def _judge(signed: SignedModel, source: SealedFiles | DiskSource, entries: tuple[FileEntry, ...]) -> None:
    """Refuse what could run code, unless it only needs trust and a waiver gives it."""
    reports = judge(source, [entry.path for entry in entries])
    for report in sorted(reports, key=lambda report: -report.verdict.badness):
        finding = report.findings[0] if report.findings else None
        said = f"{unchecked(signed).where}: {report.path!r}"
        why = "" if finding is None else f"{finding.place}: {finding.message}" if finding.place else finding.message
        if report.verdict is Verdict.UNSAFE:
            raise UnsafeError(f"{said} is unsafe, so it is not exposed: {why}")
        if report.verdict is Verdict.UNREADABLE:
            raise FormatError(said, f"cannot be judged, so it is not exposed: {why}")
        if report.verdict is Verdict.NEEDS_TRUST:
            try:
                signed.check_waiver("needs-trust")
            except PolicyError as error:
                raise PolicyError(f"{said} needs trust ({why}): {error}") from None
            note(waived=report.path)


def _folder(place: StrPath | None, cleanup: contextlib.ExitStack) -> Path:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="lifeseal-", dir=place))
    cleanup.callback(_remove, folder)
    return folder


def _close_to_writing(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o500)


def _remove(folder: Path) -> None:
    import shutil

    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder)
