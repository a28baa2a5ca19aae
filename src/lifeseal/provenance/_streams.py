# SPDX-License-Identifier: Apache-2.0
"""Bytes from a file, from start to end: as they are, or decompressed with bounded memory."""

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from lifeseal._io import Reader, require
from lifeseal.errors import FormatError

BLOCK = 1 << 16  # beyond 128 KiB each new buffer would be fresh pages from the system, which cost more than the hashing
Take: TypeAlias = Callable[[bytes], object] | None
_ZSTD_PIECE = 4096  # of input; one piece becomes at most 128 MiB
_ZSTD_WINDOW = 128 << 20


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


def decompressed(raw: Raw, compression: str, where: str) -> Stream:
    """Decompress a file as it is read.

    Args:
        raw: The file.
        compression: ``gzip``, ``zstd``, or empty for none.
        where: Name for error messages.

    Returns:
        Its content.

    Raises:
        MissingExtraError: ``zstandard`` is not installed.
    """
    if compression == "gzip":
        return _Gzip(raw, where)
    return _Zstd(raw, where) if compression == "zstd" else raw


class _Gzip:
    def __init__(self, raw: Raw, where: str) -> None:
        self._file: Stream = gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[call-overload] # it reads, and never jumps
        self._where = where

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(self._where, f"not whole gzip data: {error}") from None


class _Zstd:
    """Frame after frame, in small pieces, so that memory does not follow what the input claims."""

    def __init__(self, raw: Raw, where: str) -> None:
        self._zstd = require("zstandard", extra="zstd")
        self._decompressor = self._zstd.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._raw = raw
        self._where = where
        self._frame: Any = None
        self._input = b""
        self._ready = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        while not self._ready and self._more():
            pass
        data = bytes(self._ready[:size])
        self._ready = self._ready[size:]
        return data

    def _more(self) -> bool:
        if not self._input:
            self._input = self._raw.read(BLOCK)
        if not self._input:
            if self._frame is not None:
                raise FormatError(self._where, "not whole zstd data: it ends within a frame")
            return False
        piece, self._input = self._input[:_ZSTD_PIECE], self._input[_ZSTD_PIECE:]
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(piece))
        except self._zstd.ZstdError as error:
            raise FormatError(self._where, f"not zstd data: {error}") from None
        if self._frame.eof:
            self._input = self._frame.unused_data + self._input
            self._frame = None
        return True
