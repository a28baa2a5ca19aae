# SPDX-License-Identifier: Apache-2.0
"""Messages of Protocol Buffers that are strictly of no format, and that a loader could take for a graph all the same.

A loader steps over fields that its format does not have, and needs few of those that it has. What could be read so is refused, so that it
never passes for text.
"""

import re
from collections.abc import Iterator
from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._protobuf import Wire
from lifeseal.serialization._window import CachedWindow, Window

_MAX_FIELDS: Final = 1 << 16
_OPERATOR: Final = re.compile(rb"[A-Za-z_][\x21-\x7e]{0,200}")
# Where the names of operators, and the places of tensors that lie elsewhere, stand: in ONNX, in TensorFlow's graphs, functions, meta
# graphs and saved models, in PaddlePaddle's programs.
_PATHS: Final = (
    (7, 1, 4), (25, 7, 4), (7, 5, 13, 1), (7, 1, 5, 5, 13, 1), (25, 7, 5, 5, 13, 1), (20, 1, 1, 4), (20, 2, 1, 4),
    (1, 2), (2, 1, 3, 2), (2, 1, 2), (2, 2, 1, 3, 2), (2, 2, 1, 2), (2, 2, 2, 1, 3, 2), (1, 4, 3),
)  # fmt: skip


def is_message(head: bytes, window: Window) -> bool:
    """Tell whether all of it is a message in which an operator or a tensor's place stands where a loader looks for one."""
    del head
    budget = Budget(0)
    budget.opcodes = _MAX_FIELDS
    wire = Wire(CachedWindow(window), budget)
    try:
        for _ in wire.fields(0, window.size):
            pass
        return any(_OPERATOR.fullmatch(name) for path in _PATHS for name in _at(wire, 0, window.size, path))
    except FormatError:
        return False
    except LimitError:
        return True


def _at(wire: Wire, start: int, stop: int, path: tuple[int, ...]) -> Iterator[bytes]:
    """Yield the contents at a path of numbers, as far as they are messages."""
    for field in wire.fields(start, stop):
        if field.number != path[0] or not field.is_bytes:
            continue
        if len(path) == 1:
            yield wire.window.read(field.start, min(field.stop - field.start, 256))
            continue
        try:
            yield from _at(wire, field.start, field.stop, path[1:])
        except FormatError:
            continue


def judge_message(_: Window, context: Context) -> str:
    """Refuse it."""
    context.say("message", "", "a loader of ONNX or TensorFlow could take it for a graph, though it has fields that these do not know, or lacks some")
    return "protobuf"
