# SPDX-License-Identifier: Apache-2.0
"""A tensor's items out of its storage, in the order of its indices, piece by piece: any strides, bounded memory, no array library."""

import itertools
import math
import operator
from array import array
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import attrs

from lifeseal._io import Reader
from lifeseal.errors import FormatError

PIECE: Final = 4 << 20
STAGE: Final = 2 * PIECE
_WIDE: Final = 64 * PIECE
_FAR: Final = 4096
_FORMATS: Final[Mapping[int, Literal["B", "H", "I", "Q"]]] = MappingProxyType({1: "B", 2: "H", 4: "I", 8: "Q"})


@attrs.frozen
class Dim:
    """One dimension: how many, and how far apart in the storage and in the output, in items."""

    size: int
    step: int
    out: int


Dims: TypeAlias = tuple[Dim, ...]


@attrs.frozen(kw_only=True)
class Placed:
    """A tensor's place in a file.

    Attributes:
        start: Offset in the file of its first item, bytes.
        item: Bytes of one item.
        shape: Sizes.
        strides: Steps between neighbours, in items, none negative.
        swap: Bytes of the numbers that are stored with the first byte last; 1 where none are swapped.
    """

    start: int
    item: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    swap: int = 1

    @property
    def size(self) -> int:
        """Bytes of all items."""
        return math.prod(self.shape) * self.item


@attrs.frozen(kw_only=True)
class Block:
    """A part of a tensor that is copied at once.

    Attributes:
        start: Its first item, counted from the tensor's.
        dims: Its dimensions.
        size: Bytes.
    """

    start: int
    dims: Dims
    size: int


class Stages:
    """Two buffers, filled in turns with as many blocks as they hold: while one is being hashed, the other takes the next blocks."""

    def __init__(self) -> None:
        self._buffers = (memoryview(bytearray(STAGE)), memoryview(bytearray(STAGE)))
        self._window = memoryview(bytearray())
        self._turn = 0
        self._filled = 0

    def fits(self, count: int) -> bool:
        """Tell whether the buffer of this turn has room for ``count`` bytes more."""
        return self._filled + count <= STAGE

    def room(self, count: int) -> memoryview:
        """Return room for ``count`` bytes in the buffer of this turn."""
        self._filled += count
        return self._buffers[self._turn][self._filled - count : self._filled]

    def take(self) -> memoryview:
        """Return what was filled, and begin the other buffer; what was returned by the call before is overwritten."""
        filled = self._buffers[self._turn][: self._filled]
        self._turn, self._filled = 1 - self._turn, 0
        return filled

    def window(self, count: int) -> memoryview:
        """Return room for what is only looked at."""
        if not self._window:
            self._window = memoryview(bytearray(PIECE))
        return self._window[:count]


def gather(tensors: Iterable[tuple[str, Reader, Placed]], stages: Stages) -> Iterator[memoryview]:
    """Yield the bytes of tensors one behind the other, little-endian, each in the order of its indices.

    Args:
        tensors: For each: what to call it in messages, the file, and its place there, which the caller has checked.
        stages: Buffers.

    Yields:
        Pieces; each is valid until the next but one is asked for.

    Raises:
        FormatError: A file ends early.
        OSError: It cannot be read.
    """
    for where, reader, tensor in tensors:
        for block in _blocks(tensor):
            if not stages.fits(block.size):
                yield stages.take()
            view = stages.room(block.size)
            place = tensor.start + block.start * tensor.item
            if _is_run(block.dims):
                _read(reader, place, view, where)
            else:
                _Fill(reader, tensor.item, view, stages, where).fill(tuple(sorted(block.dims, key=operator.attrgetter("step"))), place, 0)
            if tensor.swap > 1:
                _swap(view, tensor.swap)
    yield stages.take()


def _blocks(tensor: Placed) -> Iterator[Block]:
    """Cut a tensor into blocks."""
    if 0 in tensor.shape:
        return
    merged = _merged(tensor.shape, tensor.strides)
    is_run = len(merged) <= 1 and all(step == 1 for _, step in merged)
    # Larger blocks of what lies far apart: each may have to look at all of the storage.
    most = PIECE if is_run or (1 + sum((size - 1) * step for size, step in merged)) * tensor.item <= _WIDE else STAGE
    for start, dims, count in _cut(merged, most // tensor.item):
        yield Block(start=start, dims=dims, size=count * tensor.item)


def _merged(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Leave out dimensions of one, and join neighbours that are one run of steps."""
    merged: list[tuple[int, int]] = []
    for size, step in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * step:
            merged[-1] = (merged[-1][0] * size, step)
        else:
            merged.append((size, step))
    return merged


def _cut(dims: list[tuple[int, int]], most: int) -> Iterator[tuple[int, Dims, int]]:
    """Cut a tensor into blocks of at most ``most`` items: where each begins, its dimensions, its items."""
    whole = len(dims)
    inner = 1
    while whole and inner * dims[whole - 1][0] <= most:
        whole -= 1
        inner *= dims[whole][0]
    tail = _with_out(dims[whole:])
    if not whole:
        yield 0, tail, inner
        return
    size, step = dims[whole - 1]
    group = max(1, most // inner)
    for outer in itertools.product(*(range(count) for count, _ in dims[: whole - 1])):
        base = sum(index * stride for index, (_, stride) in zip(outer, dims, strict=False))
        for index in range(0, size, group):
            count = min(group, size - index)
            yield base + index * step, (Dim(count, step, inner), *tail), count * inner


def _with_out(dims: list[tuple[int, int]]) -> Dims:
    found: list[Dim] = []
    out = 1
    for size, step in reversed(dims):
        found.append(Dim(size, step, out))
        out *= size
    return tuple(reversed(found))


def _is_run(dims: Dims) -> bool:
    """Tell whether the items lie one behind the other."""
    return all(dim.step == dim.out for dim in dims if dim.size > 1)


def _read(reader: Reader, place: int, view: memoryview, where: str) -> None:
    done = 0
    while done < len(view):
        got = reader.readinto(view[done:], place + done)
        if got == 0:
            raise FormatError(where, f"the file ends at byte {place + done}, within a tensor")
        done += got


def _swap(piece: memoryview, width: int) -> None:
    items = array(_FORMATS[width])
    items.frombytes(piece)
    items.byteswap()
    piece[:] = memoryview(items).cast("B")


class _Fill:
    """Fills one block from items that lie apart."""

    def __init__(self, reader: Reader, item: int, piece: memoryview, stages: Stages, where: str) -> None:
        self._reader = reader
        self._item = item
        self._out = piece.cast(_FORMATS[item])
        self._stages = stages
        self._where = where

    def fill(self, dims: Dims, place: int, out: int) -> None:
        """Copy what ``dims`` (nearest first) reach from ``place`` (bytes) to ``out`` (items): as much with each read as a window holds."""
        span = _span(dims)
        if span * self._item <= PIECE:
            window = self._stages.window(span * self._item)
            _read(self._reader, place, window, self._where)
            self._scatter(sorted(dims, key=lambda dim: dim.size), window.cast(_FORMATS[self._item]), 0, out)
            return
        *near, far = dims
        inner = _span(near)
        together = 1 + max(0, PIECE // self._item - inner) // far.step
        if far.step * self._item >= _FAR and far.step > 4 * inner:
            together = 1  # what lies between is not worth reading
        for index in range(0, far.size, together):
            count = min(together, far.size - index)
            part = (*near, Dim(count, far.step, far.out)) if count > 1 else tuple(near)
            self.fill(part, place + index * far.step * self._item, out + index * far.out)

    def _scatter(self, dims: list[Dim], window: memoryview, start: int, out: int) -> None:
        """Copy from a window: a loop over all dimensions but the largest, which goes in one step."""
        if not dims:
            self._out[out] = window[start]
            return
        *others, along = dims
        for indices in itertools.product(*(range(dim.size) for dim in others)):
            first = start + sum(index * dim.step for index, dim in zip(indices, others, strict=True))
            place = out + sum(index * dim.out for index, dim in zip(indices, others, strict=True))
            if along.step:
                source = window[first : first + (along.size - 1) * along.step + 1 : along.step]
            else:
                source = memoryview(bytes(window[first : first + 1]) * along.size).cast(_FORMATS[self._item])
            self._out[place : place + (along.size - 1) * along.out + 1 : along.out] = source


def _span(dims: "Dims | list[Dim]") -> int:
    return 1 + sum((dim.size - 1) * dim.step for dim in dims)
