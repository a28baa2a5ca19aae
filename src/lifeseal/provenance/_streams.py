# SPDX-License-Identifier: Apache-2.0
"""Bytes from a file, decompressed with bounded memory."""

import gzip
import zlib
from typing import Any

from lifeseal._io import BLOCK, Raw, Stream, require
from lifeseal.errors import FormatError

_ZSTD_PIECE = 4096  # of input; one piece becomes at most 128 MiB
_ZSTD_WINDOW = 128 << 20


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
