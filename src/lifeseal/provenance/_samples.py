# SPDX-License-Identifier: Apache-2.0
"""Samples of tar archives as WebDataset has them: members that follow one another and differ in their endings alone."""

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from lifeseal._io import BLOCK, MAX_RECORD, Batch, Stream
from lifeseal.errors import FormatError, LimitError

if TYPE_CHECKING:
    import tarfile

_PART = struct.Struct("<IQ")
_HEADERS = 2 << 20  # bytes of headers before one member
_TAR_BLOCK = 512
_BATCH_BYTES = 4 << 20
_BATCH = 256


def samples(stream: Stream, where: str) -> Iterator[Batch]:
    """Cut an archive into samples.

    Args:
        stream: The archive, decompressed.
        where: Name for error messages.

    Yields:
        Samples in order; they have no places.

    Raises:
        FormatError: It is no whole archive, or holds anything but files and folders.
        LimitError: A sample is larger than 64 MiB.
    """
    found: list[bytes] = []
    size = 0
    for sample in _samples(_Watched(stream, where), where):
        found.append(sample)
        size += len(sample)
        if size >= _BATCH_BYTES or len(found) == _BATCH:
            yield found, None
            found, size = [], 0
    if found:
        yield found, None


def sample_parts(record: bytes) -> dict[str, bytes]:
    """Take a sample apart again, as `checked` gives it.

    Args:
        record: A record of a tar archive.

    Returns:
        Names of members, and their content.

    Raises:
        FormatError: It is no such record.
    """
    parts, at = {}, 0
    while at < len(record):
        if at + _PART.size > len(record):
            raise FormatError("sample", "cut off within a part")
        name_size, size = _PART.unpack_from(record, at)
        start = at + _PART.size + name_size
        at = start + size
        if at > len(record):
            raise FormatError("sample", "cut off within a part")
        parts[record[start - name_size : start].decode("utf-8", "surrogateescape")] = record[start:at]
    return parts


def _samples(stream: "_Watched", where: str) -> Iterator[bytes]:
    import tarfile

    key, parts, held, count, end = "", list[bytes](), 0, 0, 0
    try:
        with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|", errorlevel=2) as archive:
            stream.budget = _HEADERS
            for member in archive:
                end = member.offset_data + -(-member.size // _TAR_BLOCK) * _TAR_BLOCK
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise FormatError(f"{where}: {member.name[:200]!r}", "a regular file was expected; links, devices and sparse files are refused")
                if _key(member.name) != key and parts:
                    yield b"".join(parts)
                    count, parts, held = count + 1, [], 0
                key = _key(member.name)
                name = member.name.encode("utf-8", "surrogateescape")
                held += len(name) + member.size
                if held > MAX_RECORD:
                    raise LimitError(f"{where}, record {count}", limit=MAX_RECORD, seen=held)
                stream.budget = None
                parts += [_PART.pack(len(name), member.size), name, _content(archive, member, where)]
                stream.budget = _HEADERS
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FormatError(where, f"not a whole tar archive: {error}") from None
    stream.end_at(end)
    if parts:
        yield b"".join(parts)


def _content(archive: "tarfile.TarFile", member: "tarfile.TarInfo", where: str) -> bytes:
    opened = archive.extractfile(member)
    data = b"" if opened is None else opened.read()
    if len(data) != member.size:
        raise FormatError(f"{where}: {member.name[:200]!r}", "not a whole tar archive: it ends within a member")
    return data


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


class _Watched:
    """An archive's bytes on their way to `tarfile`, which takes a broken header for the end and believes the size of any header."""

    def __init__(self, stream: Stream, where: str) -> None:
        self._stream = stream
        self._where = where
        self._at = 0
        self._last = 0  # where the last byte ends that is not zero
        self.budget: int | None = _HEADERS

    def read(self, size: int, /) -> bytes:
        if self.budget is not None:
            self.budget -= size
            if self.budget < 0:
                raise LimitError(f"{self._where}, headers of one member", limit=_HEADERS, seen=_HEADERS - self.budget)
        pieces, left = [], size
        while left and (piece := self._stream.read(left)):
            pieces.append(piece)
            left -= len(piece)
        data = b"".join(pieces)
        if rest := data.rstrip(b"\0"):
            self._last = self._at + len(rest)
        self._at += len(data)
        return data

    def end_at(self, place: int) -> None:
        """Refuse an archive that does not end after its last member, with at least one empty block."""
        self.budget = None
        while self.read(BLOCK):
            pass
        if self._last > place or self._at < place + _TAR_BLOCK:
            raise FormatError(self._where, "not a whole tar archive: a broken header, or no end")
