# SPDX-License-Identifier: Apache-2.0
"""Tables that are read again: whole rows a batch at a time, or some columns of a file."""

from collections.abc import Iterator, Sequence

from lifeseal._io import Arrow, DiskSource, StrPath, arrow, open_table
from lifeseal.errors import DigestMismatchError, FormatError
from lifeseal.principles import implements, note, refused
from lifeseal.provenance._checked import alike
from lifeseal.provenance._entries import FileRecords, RecordedFile
from lifeseal.provenance._formats import is_table
from lifeseal.provenance._keys import LeafKey, Leaves, leaves_for
from lifeseal.provenance._leaves import LeafFile, open_leaves
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._rows import RowEncoder

_LIMITS = "It compares rows with what was recorded; it cannot tell whether they were good, and other files are not looked at."


def row_entries(table: Arrow) -> list[bytes]:
    """Encode the rows of a table in memory as the records that are hashed: to prove one, say.

    Args:
        table: A pyarrow table or record batch.

    Returns:
        One entry a row.

    Raises:
        FormatError: A column's type has no defined encoding.
        LimitError: A row is longer than 64 MiB.
        MissingExtraError: pyarrow is not installed.
    """
    encoder = RowEncoder(table.schema, "table")
    batches = [table] if isinstance(table, arrow().RecordBatch) else table.to_batches()
    return [entry for batch in batches for entry in encoder.rows(batch)]


@implements("5.4.1", evidences=("2.5", "5.2"), limits=_LIMITS)
def checked_batches(manifest: Manifest, path: StrPath, *, leaf_key: LeafKey | None = None) -> Iterator[Arrow]:
    """Read the tables of a dataset in batches, and compare every row of a batch before it is handed out.

    Args:
        manifest: What was recorded; its leaf files must be there.
        path: The folder (or lone file) that was recorded.
        leaf_key: The key that was recorded with, if there was one.

    Returns:
        Record batches of pyarrow. Iterating raises as `checked` does; the batch of the first wrong row is not handed out.

    Raises:
        CredentialError: This is not the key that was recorded with.
        FormatError: The manifest has no tables, or it is not known where its leaf files are.
        OSError: The data or a leaf file is not there.
        TamperedError: A leaf file is not what the manifest says.
    """
    leaves = leaves_for(manifest, leaf_key)
    tables = [(file, records) for file, records in manifest.recorded() if is_table(records.format)]
    if not tables:
        raise FormatError(manifest.description.name, "no tables were recorded")
    for file, records in tables:
        open_leaves(manifest.leaves, records, where=file.path).close()
    note(subject=manifest.digest, records=sum(records.count for _, records in tables))
    return _stream(DiskSource(path), manifest, tables, leaves)


def _stream(source: DiskSource, manifest: Manifest, tables: Sequence[tuple[RecordedFile, FileRecords]], leaves: Leaves) -> Iterator[Arrow]:
    with source:
        for file, records in tables:
            try:
                with open_leaves(manifest.leaves, records, where=file.path) as wanted:
                    yield from _file(source, file, records, wanted, leaves)
            except DigestMismatchError as error:
                refused(checked_batches, error, subject=manifest.digest, file=file.path, record=error.record)
                raise


def _file(source: DiskSource, file: RecordedFile, records: FileRecords, wanted: LeafFile, leaves: Leaves) -> Iterator[Arrow]:
    at, where = 0, f"{source.where}: {file.path!r}"
    with source.open(file.path) as reader, open_table(records.format, reader, where) as table:
        encoder = RowEncoder(table.schema, where)
        for batch in table.batches():
            found = leaves(encoder.rows(batch))
            right = alike(found, wanted.leaves(at, min(at + len(found), records.count)))
            if right < len(found):
                raise DigestMismatchError(source.where, changed=(file.path,), record=at + right)
            yield batch
            at += len(found)
    if at < records.count:
        raise DigestMismatchError(source.where, changed=(file.path,), record=at)


@implements("5.4.1", evidences=("2.5", "5.2"), limits=_LIMITS)
def read_columns(manifest: Manifest, path: StrPath, file: str, names: Sequence[str]) -> Arrow:
    """Read some columns of one table, whole, and compare each with its digest before any is handed out.

    Neither the other columns nor leaf files are read.

    Args:
        manifest: What was recorded.
        path: The folder (or lone file) that was recorded.
        file: The table's path in the manifest.
        names: The columns.

    Returns:
        A table of pyarrow.

    Raises:
        DigestMismatchError: A column is not what was recorded.
        FormatError: The file is no table, or broken.
        KeyError: The manifest names no such file or column.
        MissingExtraError: pyarrow is not installed.
        OSError: It cannot be read.
    """
    records = manifest.file(file).records
    if records is None or not is_table(records.format):
        raise FormatError(file, "it was not recorded as a table")
    recorded = {column.name: column for column in records.columns}
    wanted = [recorded[name] for name in names]
    note(subject=manifest.digest, file=file, columns=tuple(names))
    with DiskSource(path) as source, source.open(file) as reader:
        where = f"{source.where}: {file!r}"
        with open_table(records.format, reader, where) as table:
            there = set(table.schema.names)
            if gone := [name for name in names if name not in there]:
                raise DigestMismatchError(f"{where}, columns", missing=tuple(gone))
            schema = arrow().schema([table.schema.field(name) for name in names])
            encoder, batches = RowEncoder(schema, where), []
            for batch in table.batches(names=names):
                batches.append(batch.select(list(names)))
                encoder.digest(batches[-1])
    changed = tuple(column.name for column, found in zip(wanted, encoder.columns(), strict=True) if column != found)
    if changed:
        raise DigestMismatchError(f"{where}, columns", changed=changed)
    return arrow().Table.from_batches(batches, schema)
