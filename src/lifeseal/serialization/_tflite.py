# SPDX-License-Identifier: Apache-2.0
"""TFLite: the operators that a model needs, and whether its tables and buffers lie within the file; never the buffers.

Source: TensorFlow ``tensorflow/compiler/mlir/lite/schema/schema.fbs`` (version 3); FlatBuffers "Internals".
"""

import struct
from collections.abc import Iterator
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import shown
from lifeseal.serialization._tensorflow import judge_operators
from lifeseal.serialization._window import CachedWindow, Window

_IDENTIFIER: Final = b"TFL3"
_CODES, _SUBGRAPHS, _BUFFERS, _METADATA = 1, 2, 4, 6
_CODE_OLD, _CODE_NAME, _CODE = 0, 1, 3
_TENSORS, _OPERATORS = 0, 3
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2
_CUSTOM: Final = 32
_HIGHEST: Final = 250
_FLEX: Final = "Flex"
_MAX_NAME: Final = 1 << 12
_COST: Final = 12


def is_tflite(head: bytes, _: Window) -> bool:
    """Tell whether the identifier stands where FlatBuffers have it."""
    return head[4:8] == _IDENTIFIER


def judge_tflite(window: Window, context: Context) -> str:
    """Judge the operators and the layout; returns ``tflite``."""
    try:
        _Model(window, context).judge()
    except FormatError as error:
        context.say("tflite-invalid", error.where, error.wanted)
    return "tflite"


class _Model:
    def __init__(self, window: Window, context: Context) -> None:
        self._window = CachedWindow(window)
        self._size = window.size
        self._context = context

    def judge(self) -> None:
        root = self._follow(0)
        for code in self._tables(root, _CODES):
            self._operator(code)
        for subgraph in self._tables(root, _SUBGRAPHS):
            for field in (_TENSORS, _OPERATORS):
                for table in self._tables(subgraph, field):
                    self._field(table, 0)
        for buffer in self._tables(root, _BUFFERS):
            self._buffer(buffer)
        for metadata in self._tables(root, _METADATA):
            self._text(metadata, 0)

    def _operator(self, code: int) -> None:
        old, new, name = self._number(code, _CODE_OLD, "b"), self._number(code, _CODE, "i"), self._text(code, _CODE_NAME)
        number = max(old, new)
        if not 0 <= number <= _HIGHEST:
            raise FormatError(f"byte {code}", f"operator {number} is not known")
        if number != _CUSTOM and not name:
            return
        if name.startswith(_FLEX):
            judge_operators({name.removeprefix(_FLEX)}, self._context)
        else:
            self._context.say("tflite-operator", repr(shown(name)), "a custom operator, which a library must bring")

    def _buffer(self, buffer: int) -> None:
        place = self._field(buffer, _BUFFER_DATA)
        if place:
            self._vector(self._follow(place), 1)
        offset, size = self._number(buffer, _BUFFER_OFFSET, "Q"), self._number(buffer, _BUFFER_SIZE, "Q")
        if offset + size > self._size:
            raise FormatError(f"byte {buffer}", f"a buffer of {size} bytes at {offset} ends behind the end of the file")

    def _read(self, start: int, count: int) -> bytes:
        if start < 0 or start + count > self._size:
            raise FormatError(f"byte {max(start, 0)}", f"{count} bytes were expected")
        self._context.budget.spend(1 + (count >> _COST), self._context.place)
        return self._window.read(start, count)

    def _unpack(self, form: str, start: int) -> int:
        return int(struct.unpack("<" + form, self._read(start, struct.calcsize(form)))[0])

    def _follow(self, place: int) -> int:
        """Return where an offset leads."""
        offset = self._unpack("I", place)
        if not offset:
            raise FormatError(f"byte {place}", "an offset was expected")
        return place + offset

    def _field(self, table: int, index: int) -> int:
        """Return where a field of a table lies; 0 if it has its default."""
        directory = table - self._unpack("i", table)
        if self._unpack("H", directory) < 6 + 2 * index:
            return 0
        offset = self._unpack("H", directory + 4 + 2 * index)
        return table + offset if offset else 0

    def _number(self, table: int, index: int, form: str) -> int:
        place = self._field(table, index)
        return self._unpack(form, place) if place else 0

    def _text(self, table: int, index: int) -> str:
        place = self._field(table, index)
        if not place:
            return ""
        start, length = self._vector(self._follow(place), 1)
        if length > _MAX_NAME:
            raise FormatError(f"byte {start}", f"a name of {length} bytes")
        return self._read(start, length).decode("utf-8", "backslashreplace")

    def _vector(self, place: int, width: int) -> tuple[int, int]:
        """Return where a vector's items begin, and how many there are."""
        count = self._unpack("I", place)
        if place + 4 + count * width > self._size:
            raise FormatError(f"byte {place}", f"a vector of {count} items does not fit")
        return place + 4, count

    def _tables(self, table: int, index: int) -> Iterator[int]:
        """Yield where the tables of a vector lie."""
        place = self._field(table, index)
        if not place:
            return
        start, count = self._vector(self._follow(place), 4)
        for number in range(count):
            yield self._follow(start + 4 * number)
