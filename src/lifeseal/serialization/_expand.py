# SPDX-License-Identifier: Apache-2.0
"""Compressed streams, expanded piece by piece and never held whole.

Source: RFC 1950, RFC 1951, RFC 1952; the .xz file format 1.2.1; joblib ``numpy_pickle_compat.py``, ``read_zfile``.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from lifeseal.errors import LimitError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._window import Window

BROKEN: Final = (zlib.error, OSError, lzma.LZMAError, EOFError, MemoryError)
KEPT: Final = 8 << 20
_PIECE: Final = 1 << 18
_MAX_DICTIONARY: Final = 48 << 20
_MAX_STREAMS: Final = 1 << 12


class Decoder(Protocol):
    """One compressed stream."""

    @property
    def eof(self) -> bool:
        """The stream has ended."""

    def feed(self, data: bytes) -> bytes:
        """Expand some more into one piece; with no new data what is still held back."""

    @property
    def rest(self) -> bytes:
        """Bytes behind the end of the stream."""

    @property
    def hungry(self) -> bool:
        """Nothing more comes without new data."""


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._inner = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data

    @property
    def hungry(self) -> bool:
        return not self._inner.unconsumed_tail

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, _PIECE)


class _Block:
    def __init__(self, inner: "bz2.BZ2Decompressor | lzma.LZMADecompressor") -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data

    @property
    def hungry(self) -> bool:
        return self._inner.needs_input

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data, _PIECE)


def gzip_stream() -> Decoder:
    """Return a decoder of gzip."""
    return _Zlib(16 + zlib.MAX_WBITS)


def zlib_stream() -> Decoder:
    """Return a decoder of zlib."""
    return _Zlib(zlib.MAX_WBITS)


def deflate_stream() -> Decoder:
    """Return a decoder of bare deflate."""
    return _Zlib(-zlib.MAX_WBITS)


def bz2_stream() -> Decoder:
    """Return a decoder of bzip2."""
    return _Block(bz2.BZ2Decompressor())


def xz_stream() -> Decoder:
    """Return a decoder of xz and of the older lzma."""
    return _Block(lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MAX_DICTIONARY))


class Expanded:
    """The content of a compressed stream, as a window; reading it backwards expands it again.

    Args:
        packed: The compressed bytes.
        new: Makes a decoder.
        budget: Gives the bytes that expansion may cost; every time counts.
        place: What to call the stream.
        start: Offset of the stream in ``packed``.
        several: More streams may follow the first.

    Attributes:
        size: Bytes of the content, as far as it could be expanded.
        fault: What is wrong with the stream; empty if nothing is.
        over: It is larger than the budget.
        end: Offset in ``packed`` behind the last stream.
        crc: Checksum of the content.
    """

    def __init__(self, packed: Window, new: Callable[[], Decoder], budget: Budget, *, place: str, start: int = 0, several: bool = False) -> None:
        self._packed = packed
        self._new = new
        self._budget = budget
        self._place = place
        self._start = start
        self._several = several
        self._kept: bytes | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._base, self._buffer = 0, b""
        self.fault = ""
        self.over = False
        self.end = start
        self.size = 0
        self.crc = 0
        self._measure()

    def _measure(self) -> None:
        held: list[bytes] = []
        try:
            for piece in self._expand():
                self.size += len(piece)
                self.crc = zlib.crc32(piece, self.crc)
                if self.size <= KEPT:
                    held.append(piece)
        except LimitError as error:
            self.over = True
            self.fault = str(error)
        except BROKEN:
            self.fault = "the compressed bytes are broken"
        if self.size <= KEPT or self.fault:
            self._kept = b"".join(held)
            self.size = len(self._kept)

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``."""
        if self._kept is not None:
            return self._kept[start : start + count]
        if start < self._base or not self._base + len(self._buffer):
            self._pieces, self._base, self._buffer = self._expand(), 0, b""
        stop = min(start + count, self.size)
        while self._base + len(self._buffer) < stop:
            piece = next(self._pieces, b"")
            if not piece:
                break
            # Only what may be asked for next is kept: the piece before, so that short steps back cost nothing.
            drop = max(0, min(start - self._base, len(self._buffer)) - _PIECE)
            self._base, self._buffer = self._base + drop, self._buffer[drop:] + piece
        return self._buffer[start - self._base : stop - self._base]

    def _expand(self) -> Iterator[bytes]:
        position, streams = self._start, 0
        pending = b""
        while True:
            decoder = self._new()
            streams += 1
            data = pending
            while not decoder.eof:
                if not data and decoder.hungry:
                    data = self._packed.read(position, _PIECE)
                    position += len(data)
                    if not data:
                        raise EOFError
                piece = decoder.feed(data)
                data = b""
                if piece:
                    self._budget.spend_unpacked(len(piece), self._place)
                    yield piece
            pending = decoder.rest
            self.end = position - len(pending)
            if not pending:
                pending = self._packed.read(position, _PIECE)
                position += len(pending)
            if not self._several or not pending or pending.strip(b"\0") == b"" or streams >= _MAX_STREAMS:
                return
