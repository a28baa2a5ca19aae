# SPDX-License-Identifier: Apache-2.0
"""Parquet: the columns of each row that are not to stay clear, sealed into one cell under the key of the row's person."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import attrs

from lifeseal._io import Arrow, Output, Reader, Record, Written, arrow, canonical, encode_base64, loads, open_table, require
from lifeseal.erasure._batches import Gone
from lifeseal.erasure._sealed import SEALED
from lifeseal.erasure._work import Work
from lifeseal.errors import FormatError, TamperedError

_KEY = SEALED.encode()
_MAX_TEXT = 16 << 20
People: TypeAlias = Callable[[Arrow, str, int], Iterator[str]]


@attrs.frozen
class _Layout:
    """What a sealed file says of the table that went in.

    Attributes:
        schema: Of that table; sealed columns have the types that their values have.
        sealed: Names of the sealed columns, in the table's order.
    """

    schema: Arrow
    sealed: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """Write it for the metadata of the file."""
        return canonical({"schema": encode_base64(self.schema.serialize().to_pybytes()), "sealed": list(self.sealed)})

    @property
    def rows(self) -> Arrow:
        """Schema of what is in a sealed cell."""
        return arrow().schema([self.schema.field(name) for name in self.sealed])

    @property
    def clear(self) -> list[str]:
        """Names of the columns that stay clear."""
        return [name for name in self.schema.names if name not in self.sealed]

    def opened(self, *, mark: bool) -> Arrow:
        """Schema of the file with its rows opened; where the erased are marked, any column may hold nulls."""
        fields = [self.schema.field(name) for name in self.schema.names]
        return arrow().schema([field.with_nullable(mark or field.nullable) for field in fields], metadata=self.schema.metadata)

    @property
    def written(self) -> Arrow:
        """Schema of the sealed file."""
        pa = arrow()
        return pa.schema([pa.field(SEALED, pa.binary(), nullable=False), *map(self.schema.field, self.clear)], metadata={_KEY: self.to_bytes()})


def open_batch(batch: Arrow, work: Work, *, mark: bool, people: People | None = None) -> Arrow:
    """Open the rows of one batch of a sealed file.

    Args:
        batch: With the file's schema.
        work: Counts the rows.
        mark: Keep rows of the erased, with nulls in the sealed columns.
        people: Tells whom rows name, to see that each stands under that person's key.

    Returns:
        A table, or None where no row is left.

    Raises:
        FormatError: The batch was not sealed.
        LifesealError: As `Work.unseal` and `Work.check` raise.
    """
    pa, layout = arrow(), _read_layout(batch.schema, work.where)
    cells, first = batch.column(SEALED).to_pylist(), work.records + work.erased
    opened = work.unseal(cells, context=hashlib.sha256(layout.to_bytes()).digest())
    nothing = pa.RecordBatch.from_arrays([pa.nulls(1, kind) for kind in layout.rows.types], names=list(layout.sealed))
    rows = [nothing if isinstance(one, Gone) else _row(one, layout.rows, work.where) for one in opened]
    if people is not None:
        named = [
            None if isinstance(one, Gone) else next(people(row, work.where, first + n)) for n, (one, row) in enumerate(zip(opened, rows, strict=True))
        ]
        work.check(cells, named)
    kept = [number for number, one in enumerate(opened) if mark or not isinstance(one, Gone)]
    if not kept:
        return None
    sealed, clear = pa.Table.from_batches([rows[number] for number in kept]).combine_chunks(), batch.take(pa.array(kept))
    columns = [sealed.column(name) if name in layout.sealed else clear.column(name) for name in layout.schema.names]
    return pa.Table.from_arrays(columns, schema=layout.opened(mark=mark))


class Columns:
    """The form of Parquet files; see `lifeseal.erasure._files.Form`.

    Args:
        id_field: Column that names each row's person; None where nobody looks.
        clear: Columns that stay clear.
    """

    def __init__(self, id_field: str | None, clear: Sequence[str] = ()) -> None:
        if id_field is not None and id_field in clear:
            raise ValueError("the column that names the person cannot stay clear")
        self._field = id_field or ""
        self._clear = frozenset(clear)

    def people(self, reader: Reader, where: str) -> Iterator[str]:
        """Tell whose each row is."""
        number = 0
        with open_table("parquet", reader, where) as table:
            self._refuse_unknown(table.schema, where)
            for batch in table.batches(names=[self._field]):
                yield from self._people(batch, where, number)
                number += batch.num_rows

    def seal(self, reader: Reader, output: Output, work: Work) -> None:
        """Write the table with its rows sealed."""
        with open_table("parquet", reader, work.where) as table:
            self._refuse_unknown(table.schema, work.where)
            layout = _layout(table.schema, self._clear)
            context = hashlib.sha256(layout.to_bytes()).digest()
            with _writer(output, layout.written, layout.clear) as writer:
                for batch in table.batches():
                    people = list(self._people(batch, work.where, work.records))
                    chosen = _decoded(batch.select(list(layout.sealed)))
                    rows = [chosen.slice(number, 1).serialize().to_pybytes() for number in range(batch.num_rows)]
                    cells = arrow().array(work.seal(people, rows, context=context), arrow().binary())
                    writer.write_batch(arrow().RecordBatch.from_arrays([cells, *map(batch.column, layout.clear)], schema=layout.written))

    def unseal(self, reader: Reader, output: Output, work: Work, *, mark: bool) -> None:
        """Write the table with its rows opened."""
        with open_table("parquet", reader, work.where) as table:
            layout = _read_layout(table.schema, work.where)
            schema = layout.opened(mark=mark)
            with _writer(output, schema, schema.names) as writer:
                for batch in table.batches():
                    opened = open_batch(batch, work, mark=mark, people=self._people if self._field else None)
                    if opened is not None:
                        writer.write_table(opened)

    def sealed(self, reader: Reader, where: str) -> Iterator[bytes]:
        """Walk the sealed cells."""
        with open_table("parquet", reader, where) as table:
            _read_layout(table.schema, where)
            for batch in table.batches(names=[SEALED]):
                yield from batch.column(SEALED).to_pylist()

    def _people(self, batch: Arrow, where: str, first: int) -> Iterator[str]:
        from lifeseal.erasure._files import person

        if self._field not in batch.schema.names:
            raise FormatError(where, f"a column {self._field!r} among the sealed ones was expected")
        for number, found in enumerate(batch.column(self._field).to_pylist()):
            yield person(found, where=f"{where}, record {first + number}, {self._field!r}")

    def _refuse_unknown(self, schema: Arrow, where: str) -> None:
        names = schema.names
        if len(set(names)) != len(names) or SEALED in names:
            raise FormatError(where, f"columns of different names, none of them {SEALED!r}, were expected")
        missing = [name for name in (self._field, *sorted(self._clear)) if name not in names]
        if missing:
            raise FormatError(where, f"a column {missing[0]!r} was expected")


def _layout(schema: Arrow, clear: frozenset[str]) -> _Layout:
    """Lay out a sealed file."""
    types, pa = arrow().types, arrow()
    fields = []
    for field in schema:
        kind = field.type
        if field.name not in clear and (types.is_dictionary(kind) or types.is_run_end_encoded(kind)):
            kind = kind.value_type
        fields.append(field.with_type(kind))
    return _Layout(pa.schema(fields, metadata=schema.metadata), tuple(field.name for field in schema if field.name not in clear))


def _decoded(batch: Arrow) -> Arrow:
    """Write out columns that refer to a dictionary: a row must stand for itself."""
    types, pa = arrow().types, arrow()
    columns = []
    for column in batch.columns:
        if types.is_dictionary(column.type):
            columns.append(column.dictionary_decode())
        elif types.is_run_end_encoded(column.type):
            columns.append(pa.compute.run_end_decode(column))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _read_layout(schema: Arrow, where: str) -> _Layout:
    """Read how a sealed file is laid out; what it claims is authentic once a row opens under it."""
    pa = arrow()
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise FormatError(where, "a Parquet file whose rows were sealed in a vault was expected")
    record = Record(loads(text, where=f"{where}, metadata", max_bytes=_MAX_TEXT), where=f"{where}, metadata")
    data, sealed = record.take_base64("schema"), record.take_strs("sealed")
    record.done()
    try:
        layout = _Layout(pa.ipc.read_schema(pa.py_buffer(data)), tuple(sealed))
        if layout.to_bytes() == text and layout.written.remove_metadata().equals(schema.remove_metadata()):
            return layout
    except (pa.ArrowException, OSError, KeyError):
        pass
    raise FormatError(where, "the columns that its metadata tells of were expected")


def _row(message: bytes, schema: Arrow, where: str) -> Arrow:
    """Read a row that was sealed: it has authenticated together with its schema."""
    pa = arrow()
    try:
        row = pa.ipc.read_record_batch(pa.py_buffer(message), schema)
        row.validate(full=True)
    except (pa.ArrowException, OSError):
        row = None
    if row is None or row.num_rows != 1:
        raise TamperedError(f"{where}: a cell authenticates, but holds no row of this version")
    return row


def _writer(output: Output, schema: Arrow, clear: Sequence[str]) -> Arrow:
    """Start a Parquet file; ciphertext is neither compressed nor counted."""
    parquet = require("pyarrow.parquet", extra="parquet")
    codecs = {name: "zstd" if name in clear else "none" for name in schema.names}
    return parquet.ParquetWriter(Written(output), schema, compression=codecs, use_dictionary=list(clear), write_statistics=list(clear))
