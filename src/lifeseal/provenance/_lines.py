# SPDX-License-Identifier: Apache-2.0
"""Text cut into records: a line's raw bytes, without the line feed that ends it."""

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
    pieces: list[bytes] = []
    held, count = 0, number
    while block := stream.read(BLOCK):
        cut = block.rfind(b"\n") + 1
        if not cut:
            pieces.append(block)
            held += len(block)
            if held > MAX_RECORD:
                raise LimitError(f"{where}, record {count}", limit=MAX_RECORD, seen=held)
            continue
        whole = b"".join([*pieces, block[:cut]])
        rest = block[cut:]
        pieces, held = [rest], len(rest)
        if utf8:
            _refuse_other_text(whole, where, count)
        found = whole.split(b"\n")
        found.pop()
        yield found, start
        count += len(found)
        start += len(whole)
    if last := b"".join(pieces):
        if utf8:
            _refuse_other_text(last, where, count)
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


def _refuse_other_text(data: bytes, where: str, count: int) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        record = count + data.count(b"\n", 0, error.start)
        raise FormatError(f"{where}, record {record}", "not UTF-8; a file of another encoding can be recorded as format 'lines'") from None
