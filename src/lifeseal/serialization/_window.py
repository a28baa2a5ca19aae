# SPDX-License-Identifier: Apache-2.0
"""Bounded views of a file's bytes, and a cursor that reads through them in order."""

import errno
import hashlib
import os
import zlib
from collections.abc import Iterator
from typing import Protocol

from lifeseal._io import DiskReader, Reader
from lifeseal.errors import FormatError

_CHUNK = 1 << 18
_BLOCK = 1 << 13
_RECORDED = 1 << 14
_SMALL = 1 << 16


class Window(Protocol):
    """Some bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``; fewer at the end."""


class FileWindow:
    """The bytes of an opened file; a small one is read once and kept."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: bytes | None = None
        self.size = reader.size

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        if self.size > _SMALL:
            return self._read(start, count)
        if self._kept is None:
            self._kept = self._read(0, self.size)
        return self._kept[start : start + count]

    def after_hole(self, start: int) -> int:
        """Return the offset at or behind ``start`` up to which the file system knows that there are only zeros."""
        if self.size <= _SMALL or not isinstance(self._reader, DiskReader):
            return start
        try:
            return min(self.size, os.lseek(self._reader.fileno(), start, os.SEEK_DATA))
        except OSError as error:
            return self.size if error.errno == errno.ENXIO else start  # only a hole follows, or the file system does not tell

    def _read(self, start: int, count: int) -> bytes:
        wanted = max(0, min(count, self.size - start))
        buffer = bytearray(wanted)
        view = memoryview(buffer)
        done = 0
        while done < wanted:
            got = self._reader.readinto(view[done:], start + done)
            if got == 0:
                raise FormatError(f"byte {start + done}", "the file shrank while it was read")
            done += got
        return bytes(buffer)


class _Unkept(FileWindow):
    """The bytes of an opened file, read anew each time."""

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        return self._read(start, count)


class RecordedWindow:
    """The bytes of an opened file, each block of which is the same whenever it is read; at the end the digest of exactly these bytes.

    Attributes:
        size: Bytes.
        changed: A block was read twice and differed.
    """

    def __init__(self, reader: Reader) -> None:
        self._inner = _Unkept(reader)
        self._seen: dict[int, bytes] = {}
        self.size = reader.size
        self.changed = False

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        begin = start // _RECORDED * _RECORDED
        stop = min(self.size, -(-(start + count) // _RECORDED) * _RECORDED)
        data = self._inner.read(begin, stop - begin)
        self._check(begin, data)
        return data[start - begin : start - begin + max(0, count)]

    def digest(self) -> bytes | None:
        """Read all of it once more, and return its sha256; None if any block is not what was read before."""
        hasher = hashlib.sha256()
        for start in range(0, self.size, _CHUNK):
            piece = self._inner.read(start, _CHUNK)
            self._check(start, piece, remember=False)
            hasher.update(piece)
        return None if self.changed else hasher.digest()

    def _check(self, start: int, data: bytes, *, remember: bool = True) -> None:
        for offset in range(0, len(data), _RECORDED):
            seen = self._seen.get(start + offset)
            if seen is None and not remember:
                continue
            found = hashlib.blake2b(data[offset : offset + _RECORDED], digest_size=16).digest()
            if self._seen.setdefault(start + offset, found) != found:
                self.changed = True


class BytesWindow:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        return self._data[start : start + count]


class PartWindow:
    """A part of another window."""

    def __init__(self, window: Window, start: int, size: int) -> None:
        self._window = window
        self._start = start
        self.size = max(0, min(size, window.size - start))

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        return self._window.read(self._start + start, max(0, min(count, self.size - start)))


class CachedWindow:
    """Another window, read in blocks: for many small reads that lie near one another."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._start, self._block = 0, b""
        self.size = window.size

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        first = start - self._start
        if first < 0 or first + count > len(self._block):
            if count > _BLOCK:
                return self._window.read(start, count)
            self._start, self._block, first = start, self._window.read(start, _BLOCK), 0
        return self._block[first : first + count]


def chunks(window: Window) -> Iterator[bytes]:
    """Yield all of a window in pieces of bounded size."""
    for start in range(0, window.size, _CHUNK):
        yield window.read(start, _CHUNK)


def crc32(window: Window) -> int:
    """Return the checksum of all of a window."""
    value = 0
    for piece in chunks(window):
        value = zlib.crc32(piece, value)
    return value


class Cursor:
    """Reads a window in order; whatever is asked for is there in full, or it raises FormatError.

    Attributes:
        window: What it reads.
        buffer: The bytes that were read last.
        base: Offset of the buffer's first byte.
        next: Where in the buffer the next byte lies.
        cost: Work that was done beyond one step for each read, in steps; whoever bounds it sets it back.
    """

    __slots__ = ("base", "buffer", "cost", "next", "window")

    def __init__(self, window: Window, start: int = 0) -> None:
        self.window = window
        self.buffer = b""
        self.base = start
        self.next = 0
        self.cost = 0

    @property
    def offset(self) -> int:
        """Where the next byte lies."""
        return self.base + self.next

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self.window.size - self.base - self.next

    def byte(self) -> int:
        """Return the next byte."""
        if self.next >= len(self.buffer):
            self.fill(1)
        value = self.buffer[self.next]
        self.next += 1
        return value

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes; the caller bounds it."""
        end = self.next + count
        if end > len(self.buffer):
            self.fill(count)
            end = count
        piece = self.buffer[self.next : end]
        self.next = end
        return piece

    def skip(self, count: int) -> None:
        """Step over ``count`` bytes."""
        self.require(count)
        self.next += count
        if self.next > len(self.buffer):
            self.base += self.next
            self.next, self.buffer = 0, b""

    def require(self, count: int) -> None:
        """Refuse unless ``count`` more bytes are there."""
        if count > self.left:
            raise FormatError(f"byte {self.offset}", f"{count} more bytes were expected, but only {self.left} are there")

    def line(self, limit: int, *, until: bytes = b"", plain: bool = False) -> bytes | None:
        """Return the bytes before the next line feed and step over it; None for a line of more than ``limit`` bytes.

        Where the file ends without a line feed, the last byte is dropped, as the reader written in Python does.

        Args:
            limit: Bytes that are kept.
            until: A byte before which what is kept ends; the line is stepped over all the same.
            plain: Refuse a line that is not of ASCII, before its end is looked for.
        """
        kept = b""
        fits, ended = True, False
        while True:
            end = self.buffer.find(b"\n", self.next)
            stop = end if end >= 0 else len(self.buffer)
            if plain and not self.buffer[self.next : stop].isascii():
                raise FormatError(f"byte {self.offset}", "a line of ASCII was expected")
            if fits and not ended:
                piece, found, _ = self.buffer[self.next : stop].partition(until) if until else (self.buffer[self.next : stop], b"", b"")
                ended = found != b""
                fits = len(kept) + len(piece) <= limit
                kept += piece if fits else b""
                self.cost += len(piece) >> 5
            if end >= 0:
                self.next = end + 1
                return kept if fits else None
            self.next = stop
            if self.left and (ended or not fits) and isinstance(self.window, FileWindow):
                self.skip(self.window.after_hole(self.offset) - self.offset)
            if self.left == 0:
                return (kept if ended else kept[:-1]) if fits else None
            self.fill(1)

    def fill(self, count: int) -> None:
        """Have ``count`` more bytes in the buffer."""
        self.require(count)
        self.base += self.next
        self.buffer, self.next = self.window.read(self.base, max(count, _CHUNK)), 0
