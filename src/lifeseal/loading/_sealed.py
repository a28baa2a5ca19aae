# SPDX-License-Identifier: Apache-2.0
"""Files in memory that nobody can change any more: filled, sealed, and only then looked at.

Source: Linux, memfd_create(2) and fcntl(2), "File Sealing"; proc_pid_fd(5); prctl(2), "PR_SET_DUMPABLE".
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from lifeseal._io import Reader, Report, Source, available_cores, in_threads, read_through
from lifeseal.errors import LimitError
from lifeseal.signing import FileEntry

_BUFFER = 1 << 20
_GET_DUMPABLE, _SET_DUMPABLE = 3, 4


class SealedFiles:
    """Copies of files in sealed memory; a source like any other.

    Args:
        source: Where the files lie.
        entries: Which ones.

    Raises:
        FormatError: A file changed its length while it was read.
        OSError: The system has no sealed memory, or no room or descriptor is left, or a file cannot be read.
    """

    def __init__(self, source: Source, entries: tuple[FileEntry, ...]) -> None:
        self.where = source.where
        self.name = source.name
        self._files: dict[str, int] = {}
        try:
            for entry in entries:
                self._files[entry.path] = _make(entry.path)
            report = Report("copying", 0, None)
            jobs = [lambda entry=entry: self._take(source, entry, report) for entry in sorted(entries, key=lambda entry: -entry.size)]
            in_threads(jobs, report, threads=min(available_cores(), 16))
        except BaseException:
            self.close()
            raise

    def names(self, *, ignore: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """List the files."""
        return tuple(name for name in self._files if name not in ignore)

    def size(self, name: str) -> int:
        """Tell the bytes of one file."""
        return os.fstat(self._files[name]).st_size

    def hard_links(self, name: str) -> int:  # noqa: ARG002 - every file of this kind has one name
        """Count the names of one file."""
        return 1

    def open(self, name: str) -> Reader:
        """Open one file."""
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return _SealedReader(self._files[name])

    def path(self, name: str) -> str:
        """Name one file for processes of the same user, while this one lives and holds it."""
        return f"/proc/{Path('/proc/self').readlink()}/fd/{self._files[name]}"

    def close(self) -> None:
        """Let the memory go, when nobody else has a file open or mapped."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _take(self, source: Source, entry: FileEntry, report: Report) -> None:
        fd = self._files[entry.path]

        def write(data: memoryview) -> None:
            report.add(len(data))
            while data:
                data = data[os.write(fd, data) :]

        with source.open(entry.path) as reader:
            read_through(reader, f"{source.where}: {entry.path!r}", memoryview(bytearray(_BUFFER)), write)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)


class _SealedReader:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def readinto(self, buffer: memoryview, start: int) -> int:
        return os.preadv(self._fd, [buffer], start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: the descriptor belongs to the files."""


def _make(name: str) -> int:
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, "this system has no sealed memory; use mode='copy'")
    label = name.rpartition("/")[2].encode()[:200].decode("utf-8", "ignore")
    return os.memfd_create(label, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


class _Dumpable:
    """How many pins need this process to let others of the same user see its descriptors, and what it was before."""

    lock = threading.Lock()
    holders = 0
    before = 1


@contextlib.contextmanager
def readable_by_children() -> Iterator[None]:
    """Let other processes of the same user open this one's descriptors, as a hardened process forbids."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    with _Dumpable.lock:
        if not _Dumpable.holders:
            _Dumpable.before = prctl(_GET_DUMPABLE, 0, 0, 0, 0)
            if _Dumpable.before != 1:
                prctl(_SET_DUMPABLE, 1, 0, 0, 0)
        _Dumpable.holders += 1
    try:
        yield
    finally:
        with _Dumpable.lock:
            _Dumpable.holders -= 1
            if not _Dumpable.holders and _Dumpable.before != 1:
                prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def refuse_unless_readable(path: str, *, where: str) -> None:
    """Let a child process open a path, and refuse if it cannot.

    Args:
        path: What children are to open.
        where: Name for error messages.

    Raises:
        LimitError: No child of this process can.
    """
    import subprocess
    import sys

    program = "import sys; open(sys.argv[1], 'rb').read(1)"
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and a path of our own
            [sys.executable, "-I", "-S", "-c", program, path], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        failed = done.returncode != 0
    except OSError:
        failed = True
    if failed:
        raise LimitError(where, limit=0, seen=1, unit="paths that child processes cannot open (mode='copy' takes disk instead)")
