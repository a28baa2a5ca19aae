# SPDX-License-Identifier: Apache-2.0
"""NumPy's npy files: the header, strictly, and whether a pickle follows it.

Source: NumPy ``numpy/lib/format.py``, "Format Version 1.0" to "3.0".
"""

import math
import re
from typing import Final

import attrs

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._window import Window

MAGIC: Final = b"\x93NUMPY"
_MAX_HEADER = 10_000
_MAX_DIMENSIONS = 64
_LENGTH_SIZES = {1: 2, 2: 4, 3: 4}
_HEADER = re.compile(r"[^\\\x00-\x09\x0b-\x1f]*")
_DESCRIPTION = re.compile(r"[<>|=]?([biufcSUVmMO])(\d*)(\[\d*[A-Za-z]+\])?")


def judge_npy(window: Window, context: Context) -> str:
    """Judge one npy file."""
    try:
        start, has_objects, size = _read_header(window)
    except FormatError as error:
        context.say("npy-invalid", error.where, error.wanted)
        _judge_behind(window, context)
        return "npy"
    if has_objects:
        judge_stream(window, context, start=start)
    elif window.size - start != size:
        context.say("npy-invalid", f"byte {start}", f"{size} bytes of items were expected, but {window.size - start} are there")
    return "npy"


def _judge_behind(window: Window, context: Context) -> None:
    """Look for a pickle behind a header that is not understood here: NumPy may read it all the same."""
    lead = window.read(0, len(MAGIC) + 6)
    width = _LENGTH_SIZES.get(lead[6], 4) if len(lead) > 6 else 4  # noqa: PLR2004
    start = 8 + width + int.from_bytes(lead[8 : 8 + width], "little")
    own = Findings()
    if start < window.size and judge_stream(window, context.aside(own), start=start).acted:
        context.findings.extend(own)


def _read_header(window: Window) -> tuple[int, bool, int]:
    """Return where the items start, whether they are pickled, and else how many bytes they are."""
    header = read_npy_header(window)
    where = f"byte {header.start}"
    has_objects, item = _item(header.description, where, depth=0)
    return header.start, has_objects, item * _count(header.shape, where)


@attrs.frozen(kw_only=True)
class NpyHeader:
    """What an npy file says about itself.

    Attributes:
        start: Where its items start.
        description: Its type, as NumPy writes it.
        shape: Its sizes.
        is_fortran: The first index is the fastest.
    """

    start: int
    description: object
    shape: tuple[int, ...]
    is_fortran: bool


def read_npy_header(window: Window) -> NpyHeader:
    """Read the header of an npy file.

    Raises:
        FormatError: It is none.
    """
    import ast

    lead = window.read(0, len(MAGIC) + 6)
    version = lead[6] if len(lead) > 6 else 0  # noqa: PLR2004
    width = _LENGTH_SIZES.get(version)
    if width is None or lead[7:8] != b"\0" or len(lead) < 8 + width:
        raise FormatError("byte 6", "version 1.0, 2.0 or 3.0 was expected")
    length = int.from_bytes(lead[8 : 8 + width], "little")
    start = 8 + width
    if length > _MAX_HEADER or start + length > window.size:
        raise FormatError("byte 8", f"a header of {length} bytes does not fit")
    try:
        text = window.read(start, length).decode("utf-8" if version > 2 else "latin1")  # noqa: PLR2004
        if not _HEADER.fullmatch(text):
            raise FormatError(f"byte {start}", "a header without escapes and control characters was expected")
        fields = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise FormatError(f"byte {start}", "a header that is a literal was expected") from None
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"} or type(fields["fortran_order"]) is not bool:
        raise FormatError(f"byte {start}", "exactly the fields descr, fortran_order and shape were expected")
    _count(fields["shape"], f"byte {start}")
    return NpyHeader(start=start + length, description=fields["descr"], shape=fields["shape"], is_fortran=fields["fortran_order"])


def _count(shape: object, where: str) -> int:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise FormatError(where, "a shape of sizes was expected")
    return math.prod(shape)


def _item(description: object, where: str, *, depth: int) -> tuple[bool, int]:
    """Return whether an item holds objects, and its size in bytes."""
    if isinstance(description, str):
        match = _DESCRIPTION.fullmatch(description)
        if match is None or len(match[2]) > 9:  # noqa: PLR2004
            raise FormatError(where, "a type that is not known")
        return match[1] == "O", int(match[2] or 1) * (4 if match[1] == "U" else 1)
    if depth > 8 or not isinstance(description, list | tuple) or not description:  # noqa: PLR2004
        raise FormatError(where, "a type that is not known")
    if isinstance(description, tuple):
        if len(description) != 2:  # noqa: PLR2004
            raise FormatError(where, "a type that is not known")
        has_objects, size = _item(description[0], where, depth=depth + 1)
        return has_objects, size * _count(description[1], where)
    any_objects, total = False, 0
    for field in description:
        if not isinstance(field, tuple) or len(field) not in {2, 3}:
            raise FormatError(where, "a field with name, type and perhaps shape was expected")
        has_objects, size = _item(field[1], where, depth=depth + 1)
        any_objects = any_objects or has_objects
        shape = field[2] if len(field) == 3 else ()  # noqa: PLR2004
        total += size * _count((shape,) if type(shape) is int else shape, where)
    return any_objects, total
