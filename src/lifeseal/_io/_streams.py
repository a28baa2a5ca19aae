# SPDX-License-Identifier: Apache-2.0
"""Bytes from an opened file: from start to end, or from any place."""

import io
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from lifeseal._io._durable import Output
from lifeseal._io._source import Reader
from lifeseal.errors import FormatError

BLOCK = 1 << 16  # beyond 128 KiB each new buffer would be fresh pages from the system, which cost more than the hashing
Take: TypeAlias = Callable[[bytes], object] | None


class Stream(Protocol):
    """What is read once, in order."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""


class Raw:
    """An opened file, from an offset on.

    Args:
        reader: The file.
        where: Name for error messages.
        take: Gets every piece that is read, in order.
        start: Offset to begin at, bytes.
        end: Offset to end at; by default where the file does, and then nothing may follow.
    """

    def __init__(self, reader: Reader, where: str, *, take: Take = None, start: int = 0, end: int | None = None) -> None:
        self._reader = reader
        self._where = where
        self._take = take
        self._at = start
        self._end = end
        self._buffer = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes; none at the end.

        Raises:
            FormatError: The file grew or shrank meanwhile.
            OSError: It cannot be read.
        """
        wanted = BLOCK if size < 0 else size
        if self._end is not None:
            wanted = min(wanted, self._end - self._at)
        if wanted > len(self._buffer):
            self._buffer = memoryview(bytearray(wanted))
        count = self._reader.readinto(self._buffer[:wanted], self._at) if wanted else 0
        self._at += count
        stop = self._reader.size if self._end is None else self._end
        if self._at > stop or (wanted and not count and self._at < stop):
            raise FormatError(self._where, f"changed while it was read: {self._at} bytes instead of {stop}")
        data = bytes(self._buffer[:count])
        if self._take is not None and data:
            self._take(data)
        return data

    def drain(self) -> None:
        """Read what is left."""
        while self.read(BLOCK):
            pass


class View(io.RawIOBase):
    """An opened file that can be read at any place, for readers that jump.

    Args:
        reader: The file.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can jump."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._reader.size}[whence]
        if base + offset < 0:
            raise OSError("a place before the start")  # without a number: the file's fault, not the disk's
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Tell the place."""
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return bytes from the place on, however many there are: a size that a file claims is not believed."""
        there = max(self._reader.size - self._at, 0)
        data = bytearray(there if size < 0 else min(size, there))
        count = self._reader.readinto(memoryview(data), self._at) if data else 0
        self._at += count
        return bytes(data[:count])


class Written(io.RawIOBase):
    """A new file as a file object, for writers that want one.

    Args:
        output: From `lifeseal._io.replacing`.
    """

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Append all of the bytes."""
        return self._output.write(data)

    def tell(self) -> int:
        """Tell the bytes so far."""
        return self._output.size
