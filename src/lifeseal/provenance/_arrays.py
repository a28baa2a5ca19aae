# SPDX-License-Identifier: Apache-2.0
"""Shards of arrays, as NumPy archives and safetensors files: the first dimension counts records."""

import ast
import contextlib
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, BinaryIO, cast

import attrs

from lifeseal._io import MAX_RECORD, Batch, Reader, Record, View, canonical, loads
from lifeseal.errors import FormatError, LimitError

ARRAYS = frozenset({"npz", "safetensors"})
_BATCH_BYTES = 4 << 20
_MAX_HEADER = 100 << 20
_MAX_NPY_HEADER = 64 << 10
_MAX_ARRAYS = 1024
_PLAIN = re.compile(r"[<>|][biufc](\d{1,2})", re.ASCII)
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16}
_BITS |= {"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}


class Uncut(Exception):  # noqa: N818 - no error: the file is hashed whole
    """Its arrays have no common first dimension, so nothing in it is a record."""


@attrs.frozen
class _Array:
    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int  # bytes of one item
    read: Callable[[int], bytes]

    @property
    def row(self) -> int:
        return self.size * math.prod(self.shape[1:])


def array_rows(kind: str, reader: Reader, where: str, *, first: int = 0) -> Iterator[Batch]:
    """Cut arrays of one length into rows: a record is one row of each, by name.

    Args:
        kind: ``npz`` or ``safetensors``.
        reader: The file.
        where: Name for error messages.
        first: Number of the first row; for safetensors alone.

    Yields:
        Rows in order; they have no places.

    Raises:
        FormatError: It is not such a file, or broken.
        LimitError: A row is larger than 64 MiB.
        Uncut: The arrays are not of one length, or of types without rows.
    """
    with contextlib.ExitStack() as stack:
        arrays = _safetensors(reader, where, first) if kind == "safetensors" else _npz(reader, where, stack)
        arrays.sort(key=lambda array: array.name)
        if not arrays or any(not array.shape or array.shape[0] != arrays[0].shape[0] for array in arrays):
            raise Uncut
        row = sum(array.row for array in arrays)
        if not row:
            raise Uncut
        if row > MAX_RECORD:
            raise LimitError(f"{where}, a row", limit=MAX_RECORD, seen=row)
        prefix = hashlib.sha256(canonical([[array.name, array.dtype, list(array.shape[1:])] for array in arrays])).digest()
        left = arrays[0].shape[0] - first
        while left > 0:
            count = min(left, max(1, _BATCH_BYTES // row))
            parts = [_pieces(_read(array, count * array.row, where), array.row, count) for array in arrays]
            yield [prefix + b"".join(pieces) for pieces in zip(*parts, strict=True)], None
            left -= count
        for array in arrays:
            _read(array, 0, where)


def _pieces(data: bytes, size: int, count: int) -> list[bytes]:
    return [data[number * size : (number + 1) * size] for number in range(count)]


def _read(array: _Array, size: int, where: str) -> bytes:
    try:
        # The end of a compressed member is read on purpose: there its checksum is compared.
        data = array.read(size) if size else array.read(1)
    except _broken() as error:
        raise FormatError(f"{where}: {array.name!r}", f"broken: {error}") from None
    if len(data) != size:
        raise FormatError(f"{where}: {array.name!r}", "its data is shorter or longer than its shape says")
    return data


def _safetensors(reader: Reader, where: str, first: int) -> list[_Array]:
    """Read the header. Source: safetensors, "Format"."""
    view = View(reader)
    start = view.read(8)
    size = int.from_bytes(start, "little")
    if len(start) != 8 or size > min(_MAX_HEADER, reader.size - 8):  # noqa: PLR2004 - bytes of the length
        raise FormatError(where, "not a safetensors file: no header of the length it states")
    header = loads(view.read(size), where=where, max_bytes=_MAX_HEADER, what="a safetensors header")
    if not isinstance(header, dict):
        raise FormatError(where, "a safetensors header is an object")
    return [
        _tensor(reader, name, Record(item, where=f"{where}: {name!r}"), 8 + size, first) for name, item in header.items() if name != "__metadata__"
    ]


def _tensor(reader: Reader, name: str, record: Record, base: int, first: int) -> _Array:
    dtype = record.take_str("dtype", max_length=32)
    shape = tuple(_size(item, record.at("shape")) for item in record.take_list("shape", max_items=64))
    start, end = (_size(item, record.at("data_offsets")) for item in _two(record))
    record.done()
    if dtype not in _BITS:
        raise Uncut
    size = _BITS[dtype] // 8
    if end - start != size * math.prod(shape) or base + end > reader.size:
        raise FormatError(record.where, "its offsets do not hold its shape, or lie outside the file")
    place = View(reader)
    place.seek(base + start + (first * size * math.prod(shape[1:]) if shape else 0))
    stop = base + end
    return _Array(name, dtype, shape, size, lambda wanted: place.read(min(wanted, stop - place.tell())))


def _broken(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """List what a damaged archive raises, and more."""
    from zipfile import BadZipFile

    return (*more, BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, UnicodeError, ValueError, OverflowError)


def _two(record: Record) -> Sequence[object]:
    found = record.take_list("data_offsets", max_items=2)
    if len(found) != 2:  # noqa: PLR2004 - start and end
        raise FormatError(record.at("data_offsets"), "two numbers were expected")
    return found


def _size(item: object, where: str) -> int:
    record = Record({"size": item}, where=where)
    return record.take_int("size", high=2**48)


def _npz(reader: Reader, where: str, stack: contextlib.ExitStack) -> list[_Array]:
    from zipfile import ZipFile

    try:
        archive = stack.enter_context(ZipFile(cast("BinaryIO", View(reader))))
        members = archive.infolist()
        if len({member.filename for member in members}) != len(members):
            raise FormatError(where, "not a NumPy archive: two members have one name")
        if len(members) > _MAX_ARRAYS or any(not member.filename.endswith(".npy") for member in members):
            raise Uncut
        return [_npy(member.filename, stack.enter_context(archive.open(member)), where) for member in members]
    except _broken(OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FormatError(where, f"not a whole NumPy archive: {error}") from None


def _npy(name: str, member: IO[bytes], where: str) -> _Array:
    """Read a header. Source: NumPy, "NEP 1: A simple file format"."""
    start = member.read(8)
    width = 2 if start[6:7] == b"\1" else 4
    length = int.from_bytes(member.read(width), "little")
    if start[:6] != b"\x93NUMPY" or start[6:7] not in {b"\1", b"\2", b"\3"} or length > _MAX_NPY_HEADER:
        raise FormatError(f"{where}: {name!r}", "not a NumPy array")
    try:
        header = ast.literal_eval(member.read(length).decode("utf-8"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise FormatError(f"{where}: {name!r}", "not a NumPy array: its header cannot be read") from None
    if not isinstance(header, Mapping) or set(header) != {"descr", "fortran_order", "shape"}:
        raise FormatError(f"{where}: {name!r}", "not a NumPy array: its header lacks something, or has more")
    dtype, shape = header["descr"], header["shape"]
    plain = _PLAIN.fullmatch(dtype) if isinstance(dtype, str) else None
    if plain is None or header["fortran_order"] or not isinstance(shape, tuple):
        raise Uncut
    sizes = tuple(_size(item, f"{where}: {name!r}, shape") for item in shape)
    return _Array(name.removesuffix(".npy"), dtype, sizes, int(plain[1]), member.read)
