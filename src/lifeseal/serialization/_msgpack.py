# SPDX-License-Identifier: Apache-2.0
"""MessagePack, as Flax and older Orbax checkpoints are written: a map of names, walked to its end; never the arrays.

Source: MessagePack specification, "Formats"; Flax ``serialization.py``, ``_MsgpackExtType``.
"""

import re
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._window import Cursor, Window

_MAPS: Final = {*range(0x81, 0x90), 0xDE, 0xDF}
_MAX_DEPTH: Final = 64
_FIXED: Final = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_WIDE_MAPS: Final = {0xDE: 2, 0xDF: 4}
_ARRAY, _COMPLEX, _NUMBER = 1, 2, 3
_TYPES: Final = re.compile(
    r"bool|u?int(2|4|8|16|32|64)|float(8_\w+|6_\w+|4_\w+|16|32|64)|bfloat16|complex(64|128)|[SV]\d{1,6}|\|?[SV]\d{1,6}", re.ASCII
)


def is_msgpack(head: bytes, window: Window) -> bool:
    """Tell whether a map with a name as its first key stands first."""
    start = 1 + _WIDE_MAPS.get(head[0], 0)
    if head[0] not in _MAPS or window.size < start + 2:  # a map, a key and a value
        return False
    length, first = (head[start] & 31, start + 1) if head[start] >> 5 == 5 else (head[start + 1], start + 2) if head[start] == 0xD9 else (0, 0)  # noqa: PLR2004
    name = head[first : first + length]
    return bool(name) and name.decode("latin-1").isprintable()


def judge_msgpack(window: Window, context: Context) -> str:
    """Walk the values; returns ``msgpack``."""
    try:
        cursor = Cursor(window)
        _walk(cursor, context)
        if cursor.left:
            raise FormatError(f"byte {cursor.offset}", f"{cursor.left} bytes behind the last value")
    except FormatError as error:
        context.say("msgpack-invalid", error.where, error.wanted)
    return "msgpack"


def _walk(cursor: Cursor, context: Context) -> None:
    """Step over one value, with all that it holds."""
    left = [1]  # values still to come, of each container that is open
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        inner = _value(cursor, context)
        if inner:
            left.append(inner)
            if len(left) > _MAX_DEPTH:
                raise FormatError(f"byte {cursor.offset}", f"more than {_MAX_DEPTH} containers within one another")


def _value(cursor: Cursor, context: Context) -> int:
    """Step over one value; returns how many others it holds."""
    context.budget.spend(1, context.place)
    lead = cursor.byte()
    if lead in _FIXED:
        cursor.skip(_FIXED[lead])
    elif lead < 0x80 or lead >= 0xE0:  # noqa: PLR2004 - small numbers
        return 0
    elif lead >> 5 == 5:  # noqa: PLR2004 - a short text
        cursor.skip(lead & 31)
    elif lead in _BYTES:
        cursor.skip(int.from_bytes(cursor.take(_BYTES[lead]), "big"))
    elif lead in _EXTENSIONS or lead in _FIXED_EXTENSIONS:
        size = _FIXED_EXTENSIONS.get(lead) or int.from_bytes(cursor.take(_EXTENSIONS[lead]), "big")
        _extension(cursor, size)
    elif lead >> 4 == 9 or lead in _ARRAYS:  # noqa: PLR2004 - a short array
        return lead & 15 if lead >> 4 == 9 else _counted(cursor, _ARRAYS[lead])  # noqa: PLR2004
    elif lead >> 4 == 8 or lead in _WIDE_MAPS:  # noqa: PLR2004 - a short map
        return 2 * (lead & 15 if lead >> 4 == 8 else _counted(cursor, _WIDE_MAPS[lead]))  # noqa: PLR2004
    else:
        raise FormatError(f"byte {cursor.offset - 1}", "a value was expected")
    return 0


def _counted(cursor: Cursor, width: int) -> int:
    count = int.from_bytes(cursor.take(width), "big")
    cursor.require(count)
    return count


def _extension(cursor: Cursor, size: int) -> None:
    """Step over a value of an extension type: Flax's array, complex number or NumPy number."""
    where = f"byte {cursor.offset}"
    kind = cursor.byte()
    cursor.require(size)
    stop = cursor.offset + size
    if kind in {_ARRAY, _NUMBER}:
        _array(cursor, where)
    elif kind != _COMPLEX:
        raise FormatError(where, f"a value of extension type {kind}, which is none of Flax's")
    if cursor.offset > stop:
        raise FormatError(where, "an array that is longer than its value")
    cursor.skip(stop - cursor.offset)


def _array(cursor: Cursor, where: str) -> None:
    """Check the shape and the type of an array, which NumPy is given as they stand."""
    if cursor.byte() != 0x93:  # noqa: PLR2004 - three values
        raise FormatError(where, "shape, type and bytes of an array were expected")
    lead = cursor.byte()
    if lead >> 4 != 9:  # noqa: PLR2004
        raise FormatError(where, "a shape was expected")
    for _ in range(lead & 15):
        size = cursor.byte()
        cursor.skip(_FIXED.get(size, 0) if size >= 0x80 else 0)  # noqa: PLR2004
        if size >= 0xD0 or (size >= 0x80 and size not in _FIXED):  # noqa: PLR2004
            raise FormatError(where, "a shape of sizes was expected")
    length = cursor.byte()
    count = length & 31 if length >> 5 == 5 else cursor.byte() if length in {0xC4, 0xD9} else 0  # noqa: PLR2004
    name = cursor.take(count).decode("ascii", "replace")
    if not _TYPES.fullmatch(name):
        raise FormatError(where, "an array of a type that is not known")
