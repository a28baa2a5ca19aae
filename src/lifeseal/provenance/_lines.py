# SPDX-License-Identifier: Apache-2.0
"""Text cut into records: a line's raw bytes, without the line feed that ends it."""

import codecs
from collections.abc import Iterator
from typing import TypeAlias

from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance._streams import BLOCK, Stream
from lifeseal.provenance._tree import CHUNK

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


def csv_records(batches: Iterator[Batch], where: str) -> Iterator[Batch]:
    """Join lines again where a line feed stands between quotes. Source: RFC 4180, section 2, rule 6.

    Args:
        batches: Lines, as `lines` yields them.
        where: Name for error messages.

    Yields:
        Rows in order, the header first, and the offset of the first of them.

    Raises:
        FormatError: The last row's quotes are not closed.
        LimitError: A row is longer than 64 MiB.
    """
    pieces: list[bytes] = []
    held = count = 0
    opened: int | None = 0
    for found, start in batches:
        rows: list[bytes] = []
        first = opened if pieces else start
        for line in found:
            odd = line.count(b'"') & 1
            if not pieces and not odd:
                rows.append(line)
                continue
            pieces.append(line)
            held += len(line) + 1
            if held > MAX_RECORD:
                raise LimitError(f"{where}, record {count + len(rows)}", limit=MAX_RECORD, seen=held)
            if odd and len(pieces) > 1:
                rows.append(b"\n".join(pieces))
                pieces, held = [], 0
        if rows:
            yield rows, first
            count += len(rows)
        if pieces:  # a row that goes on in the next batch
            opened = None if first is None else first + sum(map(len, rows)) + len(rows)
    if pieces:
        raise FormatError(f"{where}, record {count}", "its quotes are not closed at the end of the file")


def chunk_offsets(batch: Batch, room: int) -> list[int]:
    """Tell where the records start that begin a chunk.

    Args:
        batch: Records and the offset of the first.
        room: Leaves that still fit into the open chunk; all of them if none is open.

    Returns:
        Offsets, in order; none where records have no place of their own.
    """
    records, start = batch
    if start is None:
        return []
    found, at, done = [], start, 0
    for place in range(room % CHUNK, len(records), CHUNK):
        at += sum(map(len, records[done:place])) + place - done
        done = place
        found.append(at)
    return found


class _Utf8:
    """Refuses text that is not UTF-8, a piece at a time."""

    def __init__(self, where: str) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._where = where

    def take(self, data: bytes, count: int, *, final: bool = False) -> None:
        try:
            self._decode(data, final)
        except UnicodeDecodeError as error:
            place = max(error.start - len(error.object) + len(data), 0)
            record = count + data.count(b"\n", 0, place)
            raise FormatError(f"{self._where}, record {record}", "not UTF-8; a file of another encoding can be recorded as format 'lines'") from None
