# SPDX-License-Identifier: Apache-2.0
"""Rows of tables as bytes: equal rows give equal bytes, however the table is laid out in memory or in a file.

The encoding is on the page about dataset manifests. Everything is done by column, in Arrow's own functions.
"""

import hashlib
from itertools import pairwise

from lifeseal._io import MAX_RECORD, Arrow, arrow, canonical
from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance._entries import Column

_NULL, _VALUE = b"\0", b"\1"
_WIDTHS = {8: 1, 16: 2, 32: 4, 64: 8, 128: 16, 256: 32}
_SAME = {
    "string": "utf8",
    "large_string": "utf8",
    "string_view": "utf8",
    "large_binary": "binary",
    "binary_view": "binary",
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
}
_PLAIN = frozenset(
    {"null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "date32[day]", "date64[ms]", "binary", *_SAME}
)
_MAX_DEPTH = 32
_NARROWEST = 128  # bits of a decimal as it is encoded


def type_text(kind: Arrow, where: str) -> str:
    """Write a column's logical type: what stays the same when a table is laid out otherwise.

    Args:
        kind: Arrow's type.
        where: Name for error messages.

    Returns:
        A word, or JSON of a nested type.

    Raises:
        FormatError: It is a type without a defined encoding.
    """
    found = _type(kind, where, 0)
    return found if isinstance(found, str) else canonical(found).decode()


def _type(kind: Arrow, where: str, depth: int) -> object:
    types = arrow().types
    if depth > _MAX_DEPTH:
        raise LimitError(where, limit=_MAX_DEPTH, seen=depth, unit="nested types")

    def below(inner: Arrow) -> object:
        return _type(inner, where, depth + 1)

    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return below(kind.value_type)
    found: object = _flat_type(kind)
    if isinstance(kind, arrow().BaseExtensionType):
        found = ["extension", kind.extension_name, below(kind.storage_type)]
    elif types.is_map(kind):
        found = ["map", below(kind.key_type), below(kind.item_type)]
    elif _is_list(kind):
        found = ["list", below(kind.value_type)]
    elif types.is_struct(kind):
        found = ["struct", [[field.name, below(field.type)] for field in kind]]
    if found is None:
        raise FormatError(where, f"a column of type {str(kind)[:80]!r}, for which no encoding is defined")
    return found


def _flat_type(kind: Arrow) -> str | None:
    types, text = arrow().types, str(kind)
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_fixed_size_binary(kind):
        return f"binary[{kind.byte_width}]"
    temporal = types.is_temporal(kind) and not types.is_interval(kind)
    return _SAME.get(text, text) if text in _PLAIN or temporal else None


def _is_list(kind: Arrow) -> bool:
    types = arrow().types
    return any(test(kind) for test in (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view))


class RowEncoder:
    """Turns batches of one table into the rows' bytes, and digests its columns as they pass.

    Args:
        schema: The table's schema.
        where: Name for error messages.

    Raises:
        FormatError: A column's type has no defined encoding, or two columns have one name.
    """

    def __init__(self, schema: Arrow, where: str) -> None:
        self._where = where
        self._names = [(field.name, type_text(field.type, where)) for field in schema]
        if len({name for name, _ in self._names}) != len(self._names):
            raise FormatError(where, "two columns have one name")
        self._prefix = hashlib.sha256(canonical([list(pair) for pair in self._names])).digest()
        self._digests = [hashlib.sha256(hashlib.sha256(canonical(list(pair))).digest()) for pair in self._names]

    def columns(self) -> tuple[Column, ...]:
        """Return the columns, with the digests of all that has passed."""
        return tuple(Column(name=name, type=kind, sha256=digest.digest()) for (name, kind), digest in zip(self._names, self._digests, strict=True))

    def rows(self, batch: Arrow) -> list[bytes]:
        """Encode the rows of one batch.

        Args:
            batch: A record batch of the schema.

        Returns:
            One entry a row.

        Raises:
            LimitError: A row is longer than 64 MiB.
        """
        cells = self.digest(batch)
        joined = _join([arrow().scalar(self._prefix, arrow().large_binary()), *cells], batch.num_rows)
        data, offsets = _parts(joined)
        ends = offsets.to_pylist()
        entries = [data[start:end] for start, end in pairwise(ends)]
        if entries and (longest := max(map(len, entries))) > MAX_RECORD:
            raise LimitError(f"{self._where}, a row", limit=MAX_RECORD, seen=longest)
        return entries

    def digest(self, batch: Arrow) -> list[Arrow]:
        """Encode each column's cells of one batch, and take them into the columns' digests."""
        cells = [_cells(column) for column in batch.columns]
        for digest, column in zip(self._digests, cells, strict=True):
            digest.update(_parts(column)[0])
        return cells


def _cells(array: Arrow) -> Arrow:
    """Encode an array as one binary value an item, without nulls."""
    pa, pc = arrow(), arrow().compute
    kind, types = array.type, arrow().types
    if types.is_dictionary(kind):
        return _cells(array.dictionary_decode())
    if types.is_run_end_encoded(kind):
        return _cells(pc.run_end_decode(array))
    if isinstance(kind, pa.BaseExtensionType):
        return _cells(array.storage)
    if types.is_null(kind):
        return pa.array([_NULL] * len(array), pa.large_binary())
    return _nullable(array, _join([pa.scalar(_VALUE, pa.large_binary()), *_values(array)], len(array)))


def _values(array: Arrow) -> list[Arrow]:
    """Encode an array's values as parts to be joined; what stands for a null does not matter."""
    pa, pc, kind, types = arrow(), arrow().compute, array.type, arrow().types
    if types.is_struct(kind):
        return [_cells(array.field(number)) for number in range(kind.num_fields)]
    if types.is_map(kind):
        pairs = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
        return _listed(pa.ListArray.from_arrays(pc.subtract(array.offsets, 0), pairs, mask=array.is_null()))
    return _listed(array) if _is_list(kind) else _flat_values(array)


def _flat_values(array: Arrow) -> list[Arrow]:
    pa, pc, kind, types = arrow(), arrow().compute, array.type, arrow().types
    if types.is_boolean(kind):
        return [_fixed(array.cast(pa.uint8()), 1)]
    if types.is_decimal(kind):
        wide = array if kind.bit_width >= _NARROWEST else array.cast(pa.decimal128(kind.precision, kind.scale))
        return [_fixed(wide, _WIDTHS[wide.type.bit_width])]
    if types.is_primitive(kind):
        return [_fixed(array, _WIDTHS[kind.bit_width])]
    data = array.cast(pa.large_binary())
    return [data] if types.is_fixed_size_binary(kind) else [_fixed(pc.binary_length(data).cast(pa.uint32()), 4), data]


def _fixed(array: Arrow, width: int) -> Arrow:
    """See values of fixed width as bytes, little-endian."""
    pa = arrow()
    buffers = array.buffers()
    return pa.Array.from_buffers(pa.binary(width), len(array), [None, buffers[1]], offset=array.offset).cast(pa.large_binary())


def _listed(array: Arrow) -> list[Arrow]:
    """Encode lists: the number of items, then their cells, which lie in one piece already."""
    pa, pc = arrow(), arrow().compute
    lengths = pc.if_else(array.is_valid(), pc.list_value_length(array), 0)
    ends = pc.cumulative_sum(lengths.cast(pa.int64()))
    places = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    data, offsets = _parts(_cells(array.flatten()))
    found = pc.take(offsets, places)
    joined = pa.Array.from_buffers(pa.large_binary(), len(array), [None, found.buffers()[1], pa.py_buffer(data)])
    return [_fixed(lengths.cast(pa.uint32()), 4), joined]


def _nullable(array: Arrow, cells: Arrow) -> Arrow:
    if not array.null_count:
        return cells
    return arrow().compute.if_else(array.is_valid(), cells, arrow().scalar(_NULL, arrow().large_binary()))


def _join(parts: list[Arrow], length: int) -> Arrow:
    pa = arrow()
    filled = [part.fill_null(b"") if isinstance(part, pa.Array) and part.null_count else part for part in parts]
    if not any(isinstance(part, pa.Array) for part in filled):  # an empty struct, or a table without columns
        return pa.array([b"".join(part.as_py() for part in filled)] * length, pa.large_binary())
    return pa.compute.binary_join_element_wise(*filled, pa.scalar(b"", pa.large_binary()))


def _parts(cells: Arrow) -> tuple[bytes, Arrow]:
    """Take binary values apart: their bytes in one piece, and where each starts, from 0 on, and the last ends."""
    pa = arrow()
    _, ends, data = cells.buffers()
    offsets = pa.Array.from_buffers(pa.int64(), len(cells) + 1, [None, ends], offset=cells.offset)
    if not len(cells):
        return b"", pa.array([0], pa.int64())
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    whole = b"" if data is None else data.slice(first, last - first).to_pybytes()
    return whole, pa.compute.subtract(offsets, first) if first else offsets
