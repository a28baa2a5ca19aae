# SPDX-License-Identifier: Apache-2.0
"""Lines joined to the rows of a table, and where records start."""

from collections.abc import Iterator

from lifeseal._io import MAX_RECORD, Batch
from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance._tree import CHUNK


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
