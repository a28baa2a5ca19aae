# SPDX-License-Identifier: Apache-2.0
"""Groups and objects with many links or attributes: a fractal heap of messages, and a B-tree that says where each lies.

Source: HDF5 File Format Specification 3.0, sections III.A.2, "Version 2 B-trees", and III.G, "Fractal Heap"; ``H5B2hdr.c`` and ``H5HFdtable.c`` for
the sizes of fields that the specification leaves to the reader.
"""

from collections.abc import Iterator
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._hdf5_file import Fields, File, Link

_NAMES: Final = 5
_ATTRIBUTES: Final = 8
_NODE_OVERHEAD: Final = 10
_MAX_DEPTH: Final = 8
_MANAGED, _TINY = 0, 2
_MAX_ROWS: Final = 64


def dense_links(file: File, message: bytes, context: Context) -> Iterator[Link]:
    """Yield the links that a link-info message leads to; none if they stand in the header itself."""
    for identifier, heap in _identifiers(file, message, 8, _NAMES, context):
        yield file.link(heap.get(identifier[4:]))


def dense_attributes(file: File, message: bytes, context: Context) -> Iterator[bytes]:
    """Yield the attribute messages that an attribute-info message leads to."""
    for identifier, heap in _identifiers(file, message, 2, _ATTRIBUTES, context):
        if identifier[8] & 2:
            raise FormatError("attributes", "a shared attribute, which is not read")
        yield heap.get(identifier[:8])


def _identifiers(file: File, message: bytes, order: int, kind: int, context: Context) -> "Iterator[tuple[bytes, _Heap]]":
    fields = Fields(message, file)
    version, flags = fields.number(1), fields.number(1)
    if version:
        raise FormatError("links", f"version {version} of the information on links or attributes is not known")
    fields.take(order if flags & 1 else 0)
    heap, tree = fields.address(), fields.address()
    if heap < 0 or tree < 0:
        return
    opened = _Heap(file, heap)
    for record in _records(file, tree, kind, context):
        yield record, opened


def _records(file: File, address: int, kind: int, context: Context) -> Iterator[bytes]:
    """Yield the records of a B-tree."""
    fields = Fields(file.at(address, 16 + file.offsets + 2 + file.lengths), file)
    lead = fields.take(6)
    node_size, size, depth = fields.number(4), fields.number(2), fields.number(2)
    fields.take(2)
    root, count = fields.address(), fields.number(2)
    if lead[:4] != b"BTHD" or lead[5] != kind or not 0 < size <= node_size or depth > _MAX_DEPTH:
        raise FormatError(f"address {address}", "the tree of a group's links or an object's attributes was expected")
    most = [(node_size - _NODE_OVERHEAD) // size]
    totals = [most[0]]
    counted = _width(most[0])
    pointers = [0]
    for level in range(1, depth + 1):
        pointers.append(file.offsets + counted + (_width(totals[level - 1]) if level > 1 else 0))
        most.append((node_size - _NODE_OVERHEAD - pointers[level]) // (size + pointers[level]))
        totals.append((most[level] + 1) * totals[level - 1] + most[level])
    pending, seen = [(root, count, depth)], {root}
    while pending:
        node, count, level = pending.pop()
        length = 6 + count * size + (count + 1) * pointers[level] * (level > 0)
        data = file.at(node, length)
        if data[:4] != (b"BTIN" if level else b"BTLF") or count > most[level]:
            raise FormatError(f"address {node}", "a node of a tree was expected")
        for index in range(count):
            context.budget.spend(2, context.place)
            yield data[6 + index * size : 6 + (index + 1) * size]
        for index in range(count + 1 if level else 0):
            entry = Fields(data[6 + count * size + index * pointers[level] :], file)
            child, records = entry.address(), entry.number(counted)
            if child in seen:
                raise FormatError(f"address {child}", "a node of a tree stands there twice")
            seen.add(child)
            pending.append((child, records, level - 1))


def _width(limit: int) -> int:
    return (max(limit, 1).bit_length() - 1) // 8 + 1


class _Heap:
    """A fractal heap: blocks that double in size, in a table of rows."""

    def __init__(self, file: File, address: int) -> None:
        self._file = file
        lengths, offsets = file.lengths, file.offsets
        fields = Fields(file.at(address, 14 + 12 * lengths + 3 * offsets + 8), file)
        lead = fields.take(5)
        fields.take(2)
        filters = fields.number(2)
        fields.take(1 + 4)
        fields.take(lengths + offsets + lengths + offsets + 8 * lengths)
        self._columns, self._start, self._largest = fields.number(2), fields.length(), fields.length()
        self._bits = fields.number(2)
        fields.take(2)
        self._root, self._rows = fields.address(), fields.number(2)
        if lead != b"FRHP\0" or filters or not 0 < self._columns <= 1 << 12 or not 0 < self._start <= self._largest or self._rows > _MAX_ROWS:
            raise FormatError(f"address {address}", "a fractal heap without filters was expected")
        self._offset_width = -(-self._bits // 8)
        self._length_width = min(_width(self._largest), _width(int.from_bytes(file.at(address + 10, 4), "little")))

    def get(self, identifier: bytes) -> bytes:
        """Return an object by its identifier."""
        kind = identifier[0] >> 4 & 3
        if kind == _TINY:
            return identifier[1 : 2 + (identifier[0] & 15)]
        if kind != _MANAGED:
            raise FormatError("heap", "an object outside the blocks of its heap, which is not read")
        offset = int.from_bytes(identifier[1 : 1 + self._offset_width], "little")
        length = int.from_bytes(identifier[1 + self._offset_width : 1 + self._offset_width + self._length_width], "little")
        block, start, size = self._find(offset)
        if offset - start + length > size:
            raise FormatError("heap", "an object of a heap ends behind its block")
        return self._file.at(block + offset - start, length)

    def _find(self, offset: int) -> tuple[int, int, int]:
        """Return the block that holds an offset: its address, its own offset and size."""
        if not self._rows:
            return self._root, 0, self._start
        block, base, rows = self._root, 0, self._rows
        for _ in range(_MAX_DEPTH):
            head = 5 + self._file.offsets + self._offset_width
            if self._file.at(block, 5) != b"FHIB\0":
                raise FormatError(f"address {block}", "a block of a heap was expected")
            place = base
            for row in range(rows):
                size = self._start << max(row - 1, 0)
                if offset < place + size * self._columns:
                    column = (offset - place) // size
                    entry = self._file.at(block + head + (row * self._columns + column) * self._file.offsets, self._file.offsets)
                    child = Fields(entry, self._file).address()
                    if size <= self._largest:
                        return child, place + column * size, size
                    block, base = child, place + column * size
                    rows = (size // self._start // self._columns).bit_length()
                    break
                place += size * self._columns
            else:
                break
        raise FormatError("heap", "an object of a heap lies in no block")
