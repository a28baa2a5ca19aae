# SPDX-License-Identifier: Apache-2.0
"""Which files are cut into records, and how."""

from collections.abc import Iterator, Mapping

from lifeseal._io import TABLES, Batch, Raw, Reader, Take, lines, open_table
from lifeseal.errors import FormatError
from lifeseal.provenance._arrays import ARRAYS, array_rows
from lifeseal.provenance._entries import Column
from lifeseal.provenance._lines import csv_records
from lifeseal.provenance._rows import RowEncoder
from lifeseal.provenance._samples import samples
from lifeseal.provenance._streams import decompressed

_TEXT = frozenset({"jsonl", "text", "csv", "lines"})
FORMATS = _TEXT | TABLES | ARRAYS | {"tar"}
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".tsv": "text",
    ".csv": "csv",
    ".tar": "tar",
    ".npz": "npz",
    ".safetensors": "safetensors",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
WHOLE = "whole"  # of a file that is not cut, whatever its name
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def detect(path: str, more: Mapping[str, str]) -> str | None:
    """Tell how a file is cut into records, by its name alone.

    Args:
        path: The file's path in the dataset.
        more: Further endings, or others for the same ones.

    Returns:
        The format as a manifest writes it, or None for a file that is only hashed whole.
    """
    name = path.rpartition("/")[2].lower()
    compression = next((word for ending, word in _COMPRESSIONS.items() if name.endswith(ending)), "")
    if compression:
        name = name.rpartition(".")[0]
    endings = [name[at:] for at, letter in enumerate(name) if letter == "."]
    form = next((found for ending in endings if (found := more.get(ending) or _SUFFIXES.get(ending))), None)
    if form in {None, WHOLE} or (compression and form not in _COMPRESSIBLE):
        return None
    return f"{form}+{compression}" if compression else form


_COMPRESSIBLE = _TEXT | {"tar"}


def is_plain_lines(form: str) -> bool:
    """Tell whether a file can be cut at any line feed, so that parts of it can be hashed apart."""
    return form in {"jsonl", "text", "lines"}


def has_places(form: str) -> bool:
    """Tell whether reading can start in the middle of the file."""
    return form in _TEXT or by_number(form)  # with a compression the name is another


def by_number(form: str) -> bool:
    """Tell whether a record is found by its number, and not by an offset."""
    return form in TABLES or form == "safetensors"


def is_table(form: str) -> bool:
    """Tell whether records are rows, which are found by their number."""
    return form in TABLES


def cut(
    form: str,
    reader: Reader,
    where: str,
    *,
    take: Take = None,
    start: int = 0,
    end: int | None = None,
    number: int = 0,
    strict: bool = True,
    columns: list[Column] | None = None,
) -> Iterator[Batch]:
    """Cut an opened file into records.

    Args:
        form: The format, as `detect` names it.
        reader: The file.
        where: Name for error messages.
        take: Gets every byte of the file, in order; with ``start`` what is read from there.
        start: Offset of the first record to read, for formats that have places.
        end: Offset to end at.
        number: Number of the first record to read.
        strict: Refuse text that is not UTF-8; where leaves are compared, that is done by them.
        columns: Gets a table's columns, when all rows have been read.

    Yields:
        Records in order, and the offset of the first, if they have places.

    Raises:
        FormatError: The file is not what its format says, or of a format that is not known.
        LimitError: A record is larger than 64 MiB.
        MissingExtraError: A package that reads it is not installed.
        Uncut: It holds arrays that are not of one length, so it is hashed whole.
    """
    kind, _, compression = form.partition("+")
    if kind not in FORMATS or ("+" in form and (kind not in _COMPRESSIBLE or compression not in _COMPRESSIONS.values())):
        raise FormatError(where, f"records of format {form!r} are not known to this version")
    raw = Raw(reader, where, take=take, start=start, end=end)
    if is_table(form):
        if take is not None:
            raw.drain()  # rows are not read in the order of the file, so its bytes are read apart
        yield from _rows(form, reader, where, number, columns)
        return
    if form in ARRAYS:
        if take is not None:
            raw.drain()
        yield from array_rows(form, reader, where, first=number)
        return
    stream = decompressed(raw, compression, where)
    batches = samples(stream, where) if kind == "tar" else lines(stream, where, utf8=strict and kind != "lines", start=start, number=number)
    if kind == "csv":
        batches = csv_records(batches, where)
    for records, first in batches:
        yield records, None if compression else first
    raw.drain()


def _rows(form: str, reader: Reader, where: str, number: int, columns: list[Column] | None) -> Iterator[Batch]:
    with open_table(form, reader, where) as table:
        encoder = RowEncoder(table.schema, where)
        for batch in table.batches(first=number):
            yield encoder.rows(batch), None
        if columns is not None:
            columns += encoder.columns()
