# SPDX-License-Identifier: Apache-2.0
"""HDF5 and Keras files opened for conversion through ``pyfive``, which is written in Python alone; the scan has judged them before.

A dataset is read as a whole, one at a time.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, Self

from lifeseal._io import Reader, refuse_beyond_memory, require
from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._checkpoint import Archive
from lifeseal.serialization._found import Found, Opened, numpy_type, strides_of
from lifeseal.serialization._gather import Placed
from lifeseal.serialization._rules import shown
from lifeseal.serialization._window import FileWindow, Window

_WEIGHTS: Final = "model.weights.h5"
_MAX_DEPTH: Final = 32
_MAX_OBJECTS: Final = 1 << 17
# What pyfive raises on bytes that it does not understand; what the system raises passes through.
_FAULTS: Final = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error),
)


def open_hdf5(reader: Reader, where: str, select: str | None) -> Opened:
    """Open an HDF5 file."""
    return _open(FileWindow(reader), where, select)


def open_keras(reader: Reader, where: str, select: str | None) -> Opened:
    """Open the weights in a file of Keras 3."""
    archive = Archive(reader, where=where)
    if _WEIGHTS not in archive.members:
        raise FormatError(where, f"the member {_WEIGHTS!r} was expected")
    return _open(archive.window(_WEIGHTS), f"{where}, {_WEIGHTS!r}", select)


def _open(window: Window, where: str, select: str | None) -> Opened:
    if select is not None:
        raise ValueError(f"{where}: an HDF5 file has no parts for select=")
    pyfive = require("pyfive", extra="hdf5")
    tensors: dict[str, Found] = {}
    lost: dict[str, str] = {}
    shelf = _Shelf(where)
    try:
        for name, dataset in _datasets(pyfive, pyfive.File(_File(window)), where):
            if isinstance(dataset, str):
                lost[name] = dataset
                continue
            shape, description = tuple(int(size) for size in dataset.shape), dataset.dtype.str
            known = numpy_type(description)
            if known is None:
                lost[name] = f"a dataset of type {shown(str(dataset.dtype))}"
                continue
            dtype, item, swap = known
            placed = Placed(start=0, item=item, shape=shape, strides=strides_of(shape), swap=swap)
            tensors[name] = Found(dtype=dtype, shape=shape, reader=_Dataset(shelf, name, dataset, placed.size), placed=placed)
    except _FAULTS as error:
        raise FormatError(where, f"it cannot be read here ({type(error).__name__})") from None
    return Opened(tensors=tensors, lost=lost, values={}, dropped={"(attributes)": "what the file says of its groups and datasets"})


def _datasets(pyfive: Any, file: Any, where: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - another library's objects
    """Yield the path of each dataset, and it or what it is instead."""
    pending = [("", file, 0)]
    seen = 0
    while pending:
        prefix, group, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise LimitError(where, limit=_MAX_DEPTH, seen=depth, unit="levels")
        for key in group:
            seen += 1
            if seen > _MAX_OBJECTS:
                raise LimitError(where, limit=_MAX_OBJECTS, seen=seen, unit="objects")
            try:
                value = group[key]
            except _FAULTS as error:
                yield prefix + key, f"what cannot be read here ({type(error).__name__})"
                continue
            if isinstance(value, pyfive.Group):
                pending.append((f"{prefix}{key}/", value, depth + 1))
            elif isinstance(value, pyfive.Dataset):
                yield prefix + key, value


class _File(io.RawIOBase):
    """A window as a file, which is what the library reads."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._window.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the file's first byte")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        piece = self._window.read(self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


class _Shelf:
    """Holds the content of the last dataset that was asked for."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._name = ""
        self._content = b""

    def content(self, name: str, dataset: Any, size: int) -> bytes:  # noqa: ANN401 - another library's object
        """Read a dataset, unless it is the last one again."""
        if self._name != name:
            self._name, self._content = "", b""
            where = f"{self._where}, dataset {shown(name)!r}"
            refuse_beyond_memory(2 * size, where=where)
            try:
                content = dataset[...].tobytes()
            except _FAULTS as error:
                raise FormatError(where, f"it cannot be read here ({type(error).__name__})") from None
            if len(content) != size:
                raise FormatError(where, f"{size} bytes of items were expected, but {len(content)} are there")
            self._name, self._content = name, content
        return self._content


class _Dataset:
    """Reads a dataset as if it were a file."""

    def __init__(self, shelf: _Shelf, name: str, dataset: Any, size: int) -> None:  # noqa: ANN401 - another library's object
        self._shelf = shelf
        self._name = name
        self._dataset = dataset
        self.size = size

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` from offset ``start``."""
        piece = self._shelf.content(self._name, self._dataset, self.size)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open here."""
