# SPDX-License-Identifier: Apache-2.0
"""Text cut into lines: raw bytes, without the line feed that ends them."""

import codecs
from collections.abc import Iterator
from typing import TypeAlias

from lifeseal._io._streams import BLOCK, Stream
from lifeseal.errors import FormatError, LimitError

Batch: TypeAlias = tuple[list[bytes], int | None]  # records, and where the first starts, if they follow one another in the file

MAX_RECORD = 64 << 20


def lines(stream: Stream, where: str, *, utf8: bool, start: int = 0, number: int = 0) -> Iterator[Batch]:
    """Cut at each line feed; what follows the last one is a record if it is not empty.

    Args:
        stream: The text.
        where: Name for error messages.
        utf8: Refuse what is not UTF-8.
        start: Offset of the stream's first byte.
        number: Number of its first record, for error messages.

    Yields:
        Lines in order, and the offset of the first of them.

    Raises:
        FormatError: It is not UTF-8.
        LimitError: A line is longer than 64 MiB.
    """
    check = _Utf8(where) if utf8 else None
    pieces: list[bytes] = []
    held, count, at = 0, number, start
    while block := stream.read(BLOCK):
        if check is not None:
            check.take(block, count)
        found = block.split(b"\n")
        pieces.append(found[0])
        held += len(found[0])
        if held > MAX_RECORD:
            raise LimitError(f"{where}, record {count}", limit=MAX_RECORD, seen=held)
        at += len(block)
        if len(found) > 1:
            found[0] = b"".join(pieces)
            last = found.pop()
            yield found, start
            count += len(found)
            pieces, held, start = [last], len(last), at - len(last)
    if check is not None:
        check.take(b"", count, final=True)
    if last := b"".join(pieces):
        yield [last], start


class _Utf8:
    """Refuses text that is not UTF-8, a piece at a time."""

    def __init__(self, where: str) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._where = where
        self._between = True  # characters

    def take(self, data: bytes, count: int, *, final: bool = False) -> None:
        if self._between and data.isascii():
            return
        try:
            self._decoder.decode(data, final)
            self._between = not self._decoder.getstate()[0]
        except UnicodeDecodeError as error:
            place = max(error.start - len(error.object) + len(data), 0)
            record = count + data.count(b"\n", 0, place)
            raise FormatError(f"{self._where}, record {record}", "not UTF-8; a file of another encoding can be recorded as format 'lines'") from None
