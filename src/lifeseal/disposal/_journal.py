# SPDX-License-Identifier: Apache-2.0
"""The journal of a disposal: what was planned and what was done, line by line, each naming the one before; no key is ever in it."""

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import Self

from lifeseal._io import Appender, Record, StrPath, canonical, loads, read_bounded, replace
from lifeseal.errors import FormatError, LifesealError, TamperedError
from lifeseal.principles import now

SCHEMA = "lifeseal.disposal-journal/1"
_START = "0" * 64
_MAX = 512 << 20
_MAX_VALUES = 16 << 20
_COMMON = frozenset({"n", "previous", "step", "time"})


class Journal:
    """One disposal's journal, locked while it is open; without a path it lives in memory alone and cannot be resumed.

    Attributes:
        path: The file, or None.
        lines: Every line so far.
        head: SHA-256 of the last line, hexadecimal.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[dict[str, object]] = []
        self.head = _START
        self._stack = contextlib.ExitStack()
        self._appender: Appender | None = None

    @classmethod
    def start(cls, path: StrPath | None) -> Self:
        """Begin a journal; the file comes to be with its first line.

        Args:
            path: The new file, or None.

        Returns:
            The journal; close it after use.

        Raises:
            FileExistsError: The name is taken.
        """
        if path is not None and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "a disposal was begun there: resume it, or choose another name", os.fspath(path))
        return cls(None if path is None else Path(path))

    @classmethod
    def go_on(cls, path: StrPath) -> Self:
        """Open a journal that was begun; what an interruption tore at its end is cut off.

        Args:
            path: The file.

        Returns:
            The journal; close it after use.

        Raises:
            FormatError: It is no journal; it is left as it is.
            LockedError: Another process is at it.
            TamperedError: A line does not follow the one before.
            OSError: It cannot be read or written.
        """
        found = cls(Path(path))
        read_bounded(path, limit=_MAX, what="the journal of a disposal")  # nothing is opened for writing that is not there, or no file
        try:
            appender = found._open(Path(path))
            appender.cut(found._read(read_bounded(path, limit=_MAX)))
        except BaseException:
            found.close()
            raise
        return found

    def add(self, step: str, *, durable: bool = True, **fields: object) -> None:
        """Add a line.

        Args:
            step: Which step it is about.
            durable: Return only when it, and all before it, has reached the disk.
            fields: What is to be said, JSON.

        Raises:
            FileExistsError: It is the first line, and the name was taken meanwhile.
            OSError: The disk refused; nothing was added.
        """
        line: dict[str, object] = {**fields, "n": len(self.lines), "previous": self.head, "step": step, "time": now()}
        data = canonical(line)
        if self._appender is not None:
            self._appender.append(data + b"\n", durable=durable)
        elif self.path is not None:
            replace(self.path, data + b"\n", mode=0o600, overwrite=False)
            self._open(self.path)
        self.lines.append(line)
        self.head = hashlib.sha256(data).hexdigest()

    def of(self, step: str) -> list[Record]:
        """List the lines of a step, without what all lines have."""
        where = "journal" if self.path is None else str(self.path)
        found = [line for line in self.lines if line["step"] == step]
        return [Record({k: v for k, v in line.items() if k not in _COMMON}, where=f"{where}, line {line['n']}") for line in found]

    def close(self) -> None:
        """Let go of the file; twice is no error."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path) -> Appender:
        appender = Appender(path, create=False)
        self._stack.callback(appender.close)
        self._stack.enter_context(appender.locked(wait=False))
        self._appender = appender
        return appender

    def _read(self, data: bytes) -> int:
        """Take in every whole line; returns where they end."""
        end = 0
        while (stop := data.find(b"\n", end)) >= 0:
            text = data[end:stop]
            where = f"{self.path}, line {len(self.lines)}"
            try:
                line = loads(text, where=where, max_bytes=_MAX, max_items=_MAX_VALUES)
            except LifesealError:
                break
            if not isinstance(line, dict) or canonical(line) != text or (not self.lines and line.get("schema") != SCHEMA):
                raise FormatError(where, "a line of the journal of a disposal was expected")
            if (line.get("n"), line.get("previous")) != (len(self.lines), self.head) or not isinstance(line.get("step"), str):
                raise TamperedError(f"{where}: does not follow the line before; the journal was edited")
            self.lines.append(line)
            self.head = hashlib.sha256(text).hexdigest()
            end = stop + 1
        if not self.lines:
            raise FormatError(str(self.path), "the journal of a disposal was expected")
        return end
