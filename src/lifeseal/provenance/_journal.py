# SPDX-License-Identifier: Apache-2.0
"""What a recording has finished: kept beside the leaf files, so that the next one need not read it again.

A line is a file's entry and its stamp: see `DiskSource.stamp`. It counts only while the stamp holds, and only if the file had been
quiet for a while when it was read: a second change within one tick of the file system's clock shows in no stamp.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io import Appender, Record, canonical, loads, make_folder, read_bounded, replace
from lifeseal.errors import LifesealError
from lifeseal.provenance._entries import RecordedFile, file_from_json, file_to_json
from lifeseal.provenance._leaves import open_leaves

JOURNAL_SCHEMA = "lifeseal.recording/1"
_NAME, _LOCK = "recording", "recording.lock"
_LIMIT = 1 << 30
_QUIET = 2_000_000_000  # nanoseconds
_SYNC = 1.0  # seconds
_STAMP = 40


@attrs.frozen(kw_only=True)
class Known:
    """A file as it was read before.

    Attributes:
        file: Its entry.
        stamp: What stood for its content, see `DiskSource.stamp`.
        read: When reading began, nanoseconds.
    """

    file: RecordedFile
    stamp: bytes
    read: int

    @property
    def quiet(self) -> bool:
        """Whether nobody had touched it shortly before, by the clock of this machine."""
        return int.from_bytes(self.stamp[-8:], "big", signed=True) + _QUIET <= self.read


class Journal:
    """One recording's journal, held under a lock. Use `open`."""

    def __init__(self, folder: Path, how: Mapping[str, object]) -> None:
        self._folder = folder
        self._how = canonical(dict(how))
        self._appender: Appender | None = None
        self._synced = time.monotonic()
        self.known: dict[str, Known] = {}
        self.finished = True
        self._read()

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, how: Mapping[str, object]) -> Iterator[Self]:
        """Open a folder's journal, alone.

        Args:
            folder: Where leaf files go; made if it is not there.
            how: What must be the same for entries to count.

        Yields:
            The journal.

        Raises:
            LockedError: Another recording uses the folder.
            OSError: It cannot be read or written.
        """
        with contextlib.suppress(FileExistsError):
            make_folder(folder)
        lock = Appender(folder / _LOCK)
        try:
            with lock.locked(wait=False):
                journal = cls(folder, how)
                try:
                    yield journal
                finally:
                    journal._close()
        finally:
            lock.close()

    def begin(self, kept: Mapping[str, Known]) -> None:
        """Start anew, with what still counts."""
        lines = [canonical({"schema": JOURNAL_SCHEMA}), self._how, *map(_line, kept.values())]
        replace(self._folder / _NAME, b"\n".join(lines) + b"\n")
        self._appender = Appender(self._folder / _NAME)

    def add(self, known: Known) -> None:
        """Note a file that is done; it reaches the disk within about a second."""
        now = time.monotonic()
        self._append(_line(known), durable=now >= self._synced + _SYNC)
        self._synced = max(self._synced, now) if now >= self._synced + _SYNC else self._synced

    def finish(self, digest: str) -> None:
        """Note that all is done: entries count from now on only for who names the manifest."""
        self._append(canonical({"done": digest}), durable=True)

    def _append(self, line: bytes, *, durable: bool) -> None:
        if self._appender is None:
            raise RuntimeError("begin() comes first")
        with self._appender.locked():
            self._appender.append(line + b"\n", durable=durable)

    def _close(self) -> None:
        if self._appender is not None:
            self._appender.close()

    def _read(self) -> None:
        try:
            lines = read_bounded(self._folder / _NAME, limit=_LIMIT).split(b"\n")
        except (FileNotFoundError, LifesealError):
            return
        if lines[:2] != [canonical({"schema": JOURNAL_SCHEMA}), self._how]:
            return
        self.finished = False
        for line in lines[2:]:
            with contextlib.suppress(LifesealError):  # a torn line says nothing
                self._take(line)

    def _take(self, line: bytes) -> None:
        record = Record(loads(line, where="recording"), where="recording")
        if "done" in record:
            self.finished = True
            return
        file = file_from_json(record.take("file"), where="recording", more=True, most=True)
        stamp = record.take_hex("stamp", length=_STAMP)
        read = record.take_int("read")
        record.done()
        self.known[file.path] = Known(file=file, stamp=stamp, read=read)

    def still_there(self, known: Known) -> bool:
        """Tell whether the leaf file that an entry names is there, with the index it names."""
        if known.file.records is None:
            return True
        try:
            open_leaves(self._folder, known.file.records, where=known.file.path).close()
        except (LifesealError, OSError):
            return False
        return True


def _line(known: Known) -> bytes:
    return canonical({"file": file_to_json(known.file), "stamp": known.stamp.hex(), "read": known.read})
