# SPDX-License-Identifier: Apache-2.0
"""GGUF: metadata, the list of tensors and their places; never the tensors.

Source: ggml ``docs/gguf.md``; llama.cpp ``ggml/src/gguf.cpp``, whose checks are made here too; CVE-2024-21825 and its kin, CVE-2024-34359,
CVE-2025-53630, CVE-2026-33298.
"""

import math
import re
import struct
from collections.abc import Callable
from functools import cache
from typing import Final

import attrs

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import shown
from lifeseal.serialization._template import judge_template
from lifeseal.serialization._window import Cursor, Window

_MAGIC: Final = b"GGUF"
_ORDERS: Final = {b"\2\0\0\0": "<", b"\3\0\0\0": "<", b"\0\0\0\2": ">", b"\0\0\0\3": ">"}
_SCALARS: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_U32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
_MAX_KEY: Final = 1 << 16
_MAX_STRING: Final = 4 << 20
_MAX_NAME: Final = 64
_MAX_DIMENSIONS: Final = 4
_MAX_ITEMS: Final = 1 << 31
_ALIGNMENT: Final = 32
_MAX_ALIGNMENT: Final = 1 << 20
_CHUNK: Final = 1 << 16  # stays in a cache of the processor
_MARGIN: Final = 1 << 12
_SEVERAL: Final = 128
_ORDINARY: Final = (7, 8, 6, 9, 5, 10, 11, 4, 12, 3, 13, 14, 15, 2, 16, 1, *range(17, 33))  # the frequent ones first, as they are tried in order
# Items and bytes of one block of each type; a type that is not here was withdrawn, or is newer than this table.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
    12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip


@cache
def _short_strings(is_big_endian: bool) -> re.Pattern[bytes]:  # noqa: FBT001 - the key of a cache
    """Return what matches several strings of ordinary length, each behind its length: several times as fast as to look at each."""
    lengths = (re.escape(length.to_bytes(8, "big" if is_big_endian else "little")) + b"." * length for length in _ORDINARY)
    return re.compile(b"(?:" + b"|".join(lengths) + b"){%d}+" % _SEVERAL, re.DOTALL)


@attrs.frozen(kw_only=True)
class GgufTensor:
    """A tensor of a GGUF file.

    Attributes:
        name: Its name.
        kind: Number of its type.
        shape: Sizes, the first index the slowest: the reverse of how the file lists them.
        start: Offset in the file of its first byte.
        size: Bytes.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    start: int
    size: int


def is_gguf(head: bytes, _: Window) -> bool:
    """Tell whether the magic number stands first."""
    return head.startswith(_MAGIC)


def judge_gguf(window: Window, context: Context) -> str:
    """Judge the metadata and the layout; returns ``gguf``."""
    try:
        read_gguf(window, context)
    except FormatError as error:
        context.say("gguf-invalid", error.where, error.wanted)
    return "gguf"


def read_gguf(window: Window, context: Context) -> tuple[tuple[GgufTensor, ...], bool]:
    """Read the list of tensors, and whether numbers are stored with the first byte first.

    Args:
        window: The file.
        context: Gets what is found in its templates.

    Raises:
        FormatError: It is not what the format says.
        LimitError: It holds more than the bounds.
    """
    file = _File(window, context)
    tensors = file.read()
    return tensors, file.is_big_endian


class _File:
    def __init__(self, window: Window, context: Context) -> None:
        self._window = window
        self._context = context
        self._cursor = Cursor(window, len(_MAGIC))
        self._order = "<"
        self._alignment = _ALIGNMENT

    @property
    def is_big_endian(self) -> bool:
        return self._order == ">"

    def read(self) -> tuple[GgufTensor, ...]:
        version = self._cursor.take(4)
        if version not in _ORDERS:
            raise FormatError("byte 4", "version 2 or 3 was expected")
        self._order = _ORDERS[version]
        tensors, pairs = self._number("Q"), self._number("Q")
        # The smallest pair and the smallest tensor: a count beyond what fits is refused before anything is done by it.
        self._cursor.require(pairs * 13 + tensors * 24)
        keys: set[str] = set()
        for _ in range(pairs):
            self._pair(keys)
        names: set[str] = set()
        return self._placed([self._tensor(names) for _ in range(tensors)])

    def _number(self, form: str) -> int:
        return int(struct.unpack(self._order + form, self._cursor.take(struct.calcsize(form)))[0])

    def _text(self, limit: int, what: str) -> str:
        where = f"byte {self._cursor.offset}"
        length = self._number("Q")
        if length > limit:
            raise FormatError(where, f"{what} of {length} bytes, more than {limit}")
        try:
            return self._cursor.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(where, f"{what} that is not UTF-8") from None

    def _pair(self, keys: set[str]) -> None:
        where = f"byte {self._cursor.offset}"
        self._context.budget.spend(8, self._context.place)
        key = self._text(_MAX_KEY, "a key")
        if not key or not key.isascii() or not key.isprintable():
            raise FormatError(where, "a key of printable ASCII was expected")
        if key in keys:
            raise FormatError(where, f"the key {shown(key)!r} stands there twice")
        keys.add(key)
        kind = self._number("I")
        if key == "general.alignment":
            if kind != _U32:
                raise FormatError(where, "an alignment of type uint32 was expected")
            self._alignment = self._number("I")
            if not 1 <= self._alignment <= _MAX_ALIGNMENT or self._alignment & (self._alignment - 1):
                raise FormatError(where, f"{self._alignment} is no alignment: a power of 2 was expected")
        elif kind == _STRING:
            judge_template(self._text(_MAX_STRING, "a string"), self._context.inside(repr(shown(key))))
        elif kind == _ARRAY:
            self._array(key, where)
        else:
            self._scalars(kind, 1, where)

    def _array(self, key: str, where: str) -> None:
        kind, count = self._number("I"), self._number("Q")
        if kind == _ARRAY:
            raise FormatError(where, "an array of arrays, which loaders refuse")
        if kind != _STRING:
            self._scalars(kind, count, where)
        elif "template" in key:
            self._cursor.require(8 * count)
            for _ in range(count):
                self._context.budget.spend(4, self._context.place)
                judge_template(self._text(_MAX_STRING, "a string"), self._context.inside(repr(shown(key))))
        else:
            self._strings(count)

    def _scalars(self, kind: int, count: int, where: str) -> None:
        if kind not in _SCALARS:
            raise FormatError(where, f"a value of type {kind}, which is not known")
        if kind == _BOOL and count == 1:
            if self._cursor.byte() > 1:
                raise FormatError(where, "a truth value of 0 or 1 was expected")
        else:
            self._cursor.skip(_SCALARS[kind] * count)

    def _strings(self, count: int) -> None:
        """Step over strings, as a tokenizer has hundreds of thousands of them."""
        self._cursor.require(8 * count)
        self._context.budget.spend(count // 8, self._context.place)
        start = self._cursor.offset
        length_of: Callable[[bytes, int], tuple[int]] = struct.Struct(self._order + "Q").unpack_from
        several = _short_strings(self.is_big_endian).match
        base, buffer, inner = start, b"", 0
        while count:
            if inner > len(buffer) - _MARGIN:
                base, inner = base + inner, 0
                buffer = self._window.read(base, _CHUNK)
                if len(buffer) < 8:  # noqa: PLR2004 - a length
                    raise FormatError(f"byte {base}", "a string was expected")
            block = several(buffer, inner) if count >= _SEVERAL else None
            if block is not None:
                inner, count = block.end(), count - _SEVERAL
                continue
            for _ in range(min(count, _SEVERAL)):
                if inner > len(buffer) - 8:
                    break
                inner, count = inner + 8 + length_of(buffer, inner)[0], count - 1
        self._cursor.skip(base + inner - start)

    def _tensor(self, names: set[str]) -> GgufTensor:
        """Read a tensor; its start counts from the first one's."""
        where = f"byte {self._cursor.offset}"
        self._context.budget.spend(8, self._context.place)
        name = self._text(_MAX_NAME, "a tensor's name")
        if name in names:
            raise FormatError(where, f"a second tensor is named {shown(name)!r}")
        names.add(name)
        count = self._number("I")
        if count > _MAX_DIMENSIONS:
            raise FormatError(where, f"a tensor of {count} dimensions, more than {_MAX_DIMENSIONS}")
        *shape, kind, offset = struct.unpack(f"{self._order}{count}QIQ", self._cursor.take(8 * count + 12))
        if kind not in _BLOCKS:
            raise FormatError(where, f"a tensor of type {kind}, which is not known")
        items, size = _BLOCKS[kind]
        total = math.prod(shape)
        if any(length >= 1 << 63 for length in shape) or total >= 1 << 63 or total * size >= 1 << 63:
            raise FormatError(where, f"the size of the tensor {shown(name)!r} overflows")
        if shape and shape[0] % items:
            raise FormatError(where, f"rows of the tensor {shown(name)!r} are no whole blocks of {items}")
        return GgufTensor(name=name, kind=kind, shape=tuple(reversed(shape)), start=offset, size=total // items * size)

    def _placed(self, tensors: list[GgufTensor]) -> tuple[GgufTensor, ...]:
        start = self._aligned(self._cursor.offset)
        reached = 0
        for index, tensor in enumerate(tensors):
            if tensor.start != reached:
                raise FormatError(f"tensor {shown(tensor.name)!r}", f"lies at {tensor.start}, where {reached} was expected")
            if start + tensor.start + tensor.size > self._window.size:
                raise FormatError(f"tensor {shown(tensor.name)!r}", "ends behind the end of the file")
            reached = self._aligned(tensor.start + tensor.size)
            tensors[index] = attrs.evolve(tensor, start=start + tensor.start)
        if self._window.size > start + reached:
            raise FormatError(f"byte {start + reached}", f"{self._window.size - start - reached} bytes behind the last tensor")
        return tuple(tensors)

    def _aligned(self, offset: int) -> int:
        return -(-offset // self._alignment) * self._alignment
