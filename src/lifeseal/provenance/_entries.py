# SPDX-License-Identifier: Apache-2.0
"""One file's entry in a manifest: its bytes, and the trees over its records."""

import re

import attrs

from lifeseal._io import Record, checked_name
from lifeseal.errors import FormatError

MAX_PATH = 4096
SERVER = "server"
STATED = "The SHA-256 is what the server states; whoever recorded the dataset has not read the content."
MAX_RECORDS = 1 << 40
_MAX_COLUMNS = 1 << 14
_FORMAT = re.compile(r"[a-z]{1,20}(\+(gzip|zstd))?", re.ASCII)


@attrs.frozen(kw_only=True)
class Column:
    """One column of a table file.

    Attributes:
        name: As in the file.
        type: Its logical type, as the format page writes it.
        sha256: Digest of its values in order, 32 bytes.
    """

    name: str
    type: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])


@attrs.frozen(kw_only=True)
class SetRoot:
    """The tree over a file's distinct leaves in sorted order, by which absence is shown.

    Attributes:
        count: Distinct leaves.
        root: Root of the tree, 32 bytes.
    """

    count: int
    root: bytes = attrs.field(repr=lambda d: d.hex()[:12])


@attrs.frozen(kw_only=True)
class FileRecords:
    """The records of one file.

    Attributes:
        format: How the file is cut into records: ``jsonl``, ``csv+gzip``, ``parquet``, …
        count: Records.
        root: Root of the tree over them in order, 32 bytes (RFC 6962).
        leaves: Digest of the leaf file's index, which names the leaf file; 32 bytes.
        set_root: The tree over them sorted, where it was asked for.
        columns: For tables: each column.
    """

    format: str
    count: int
    root: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    leaves: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    set_root: SetRoot | None = None
    columns: tuple[Column, ...] = ()


@attrs.frozen(kw_only=True)
class RecordedFile:
    """One file of a dataset.

    Attributes:
        path: Relative, POSIX, no ``..``; the exact bytes of the name.
        size: Bytes.
        sha256: Raw digest of the content, 32 bytes.
        records: Its records, where they were hashed.
        stated_by: ``server`` where the digest is the word of the server that the file lies on, and nobody has read the content; else empty.
    """

    path: str
    size: int
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    records: FileRecords | None = None
    stated_by: str = ""


def file_to_json(file: RecordedFile) -> dict[str, object]:
    """Write a file's entry."""
    document: dict[str, object] = {"path": file.path, "size": file.size, "sha256": file.sha256.hex()}
    if file.records is not None:
        document["records"] = _records_to_json(file.records)
    if file.stated_by:
        document["stated_by"] = file.stated_by
    return document


def file_from_json(item: object, *, where: str, more: bool, most: bool) -> RecordedFile:
    """Read a file's entry.

    Args:
        item: The parsed value.
        where: Name for error messages.
        more: Whether it may have records.
        most: Whether somebody else may have stated its digest.

    Returns:
        The entry.

    Raises:
        FormatError: It is anything else.
    """
    record = Record(item, where=where)
    path = checked_name(record.take_str("path", max_length=MAX_PATH), where=where)
    size = record.take_int("size")
    sha256 = record.take_hex("sha256", length=32)
    records = _records_from_json(record.take_record("records")) if more and "records" in record else None
    stated = most and "stated_by" in record
    if stated:
        record.take_const("stated_by", SERVER)
    record.done()
    return RecordedFile(path=path, size=size, sha256=sha256, records=records, stated_by=SERVER if stated else "")


def _records_to_json(records: FileRecords) -> dict[str, object]:
    document: dict[str, object] = {
        "format": records.format,
        "count": records.count,
        "root": records.root.hex(),
        "leaves": records.leaves.hex(),
    }
    if records.set_root is not None:
        document["set"] = {"count": records.set_root.count, "root": records.set_root.root.hex()}
    if records.columns:
        document["columns"] = [{"name": c.name, "type": c.type, "sha256": c.sha256.hex()} for c in records.columns]
    return document


def _records_from_json(record: Record) -> FileRecords:
    form = record.take_str("format", max_length=40)
    if not _FORMAT.fullmatch(form):
        raise FormatError(record.at("format"), f"a format such as 'jsonl' or 'csv+gzip' was expected, not {form!r}")
    count = record.take_int("count", high=MAX_RECORDS)
    root, leaves = record.take_hex("root", length=32), record.take_hex("leaves", length=32)
    set_root = None
    if "set" in record:
        found = record.take_record("set")
        set_root = SetRoot(count=found.take_int("count", high=count), root=found.take_hex("root", length=32))
        found.done()
    columns = record.take_list("columns", max_items=_MAX_COLUMNS) if "columns" in record else []
    record.done()
    return FileRecords(
        format=form,
        count=count,
        root=root,
        leaves=leaves,
        set_root=set_root,
        columns=tuple(_column(item, where=record.at("columns")) for item in columns),
    )


def _column(item: object, *, where: str) -> Column:
    record = Record(item, where=where)
    column = Column(name=record.take_str("name"), type=record.take_str("type"), sha256=record.take_hex("sha256", length=32))
    record.done()
    return column
