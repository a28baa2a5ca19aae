# SPDX-License-Identifier: Apache-2.0
"""The opcodes of pickle protocols 0 to 5, parsed as CPython's C unpickler parses them; nothing is built.

Source: CPython 3.11 ``Modules/_pickle.c`` and ``Lib/pickletools.py``; PEP 307, PEP 3154, PEP 574.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from lifeseal.errors import FormatError
from lifeseal.serialization._values import DATA, LONG_TEXT, NONE, NUMBER, Blob, Value
from lifeseal.serialization._window import Cursor

HIGHEST_PROTOCOL: Final = 5
_MAX_TEXT = 1 << 12
_MIN_BLOB = 1 << 7  # below the least PyTorch file, which a small tensor holds
_MAX_LINE = 1 << 16
_MAX_INT_BYTES = 16
_MAX_INDEX_DIGITS = 20
_INDEX = re.compile(rb"\s*\+?([0-9](?:_?[0-9])*)\s*|\s*-0+\s*")
_INTEGER = re.compile(rb"\s*[+-]?(0[xX](_?[0-9a-fA-F])+|0[oO](_?[0-7])+|0[bB](_?[01])+|[0-9](_?[0-9])*)\s*")
_PLAIN_INTEGER = re.compile(rb"-?(0|[1-9][0-9]{0,37})")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_BAD_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\(x(?![0-9a-fA-F]{2})|$)")
_ESCAPED = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class StricterError(FormatError):
    """What is refused here, although some unpickler could go on."""


@attrs.frozen
class Opcode:
    """One opcode.

    Attributes:
        name: As in pickletools.
        read: Reads its argument; None where it has none.
        pushes: The argument, or else a fixed value, is all it does to the stack.
        value: Stands for the argument where there is none.
    """

    name: str
    read: Callable[[Cursor], Value] | None = None
    pushes: bool = False
    value: Value = DATA


def opcodes(cursor: Cursor) -> Iterator[tuple[Opcode, Value, int]]:
    """Parse one pickle.

    Args:
        cursor: Stands at its first opcode; afterwards behind its STOP.

    Yields:
        The opcode, its argument (symbolic), and its offset.

    Raises:
        FormatError: The stream ends early, or holds what the C unpickler refuses.
        StricterError: It holds what only this reader refuses.
    """
    code = -1
    while code != STOP:
        start = cursor.offset
        code = cursor.byte()
        opcode = OPCODES.get(code)
        if opcode is None:
            raise FormatError(f"byte {start}", f"{code:#04x} is no opcode of pickle")
        yield opcode, opcode.read(cursor) if opcode.read is not None else opcode.value, start


def _unsigned(size: int) -> Callable[[Cursor], int]:
    return lambda cursor: int.from_bytes(cursor.take(size), "little")


def _signed(size: int) -> Callable[[Cursor], int]:
    return lambda cursor: int.from_bytes(cursor.take(size), "little", signed=True)


def _skipped(length: Callable[[Cursor], int]) -> Callable[[Cursor], Value]:
    def read(cursor: Cursor) -> Value:
        size = _not_negative(cursor, length(cursor))
        start = cursor.offset
        cursor.skip(size)
        return DATA if size < _MIN_BLOB else Blob(start, size)

    return read


def _text(length: Callable[[Cursor], int], errors: str) -> Callable[[Cursor], Value]:
    def read(cursor: Cursor) -> Value:
        size = _not_negative(cursor, length(cursor))
        start = cursor.offset
        if size > _MAX_TEXT:
            cursor.skip(size)
            return Blob(start, size, text=True)
        return _decoded(cursor.take(size), "utf-8", errors, start)

    return read


def _short_text(errors: str) -> Callable[[Cursor], Value]:
    def read(cursor: Cursor) -> Value:
        data = cursor.take(cursor.byte())
        try:
            return data.decode("utf-8", errors)
        except UnicodeDecodeError:
            raise FormatError(f"byte {cursor.offset - len(data)}", "text that is not valid utf-8") from None

    return read


def _not_negative(cursor: Cursor, size: int) -> int:
    if size < 0:
        raise FormatError(f"byte {cursor.offset}", "a negative length")
    return size


def _decoded(data: bytes, encoding: str, errors: str, start: int) -> str:
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError:
        raise FormatError(f"byte {start}", f"text that is not valid {encoding}") from None


def _float(cursor: Cursor) -> Value:
    cursor.skip(8)
    return DATA


def _float_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = _number_line(cursor)
    try:
        if line is not None:
            float(line)
    except ValueError:
        raise FormatError(f"byte {start}", "a number was expected") from None
    return DATA


def _number_line(cursor: Cursor) -> bytes | None:
    """Return a line up to its first NUL, where C's readers of numbers stop; None for a long one."""
    return cursor.line(_MAX_LINE, until=b"\0")


def _int_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = cursor.line(_MAX_LINE)
    if line in {b"00", b"01"}:
        return DATA
    if line is not None and b"\0" in line:
        line = line.partition(b"\0")[0] or b"0"
    return _integer(line, start)


def _long_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = cursor.line(_MAX_LINE)
    return NUMBER if line is None else _integer(line.removesuffix(b"L").partition(b"\0")[0], start)


def _integer(line: bytes | None, start: int) -> Value:
    if line is None:
        return NUMBER
    if _PLAIN_INTEGER.fullmatch(line):
        return int(line)
    if _INTEGER.fullmatch(line):
        return NUMBER
    raise FormatError(f"byte {start}", "an integer was expected")


def _long(length: Callable[[Cursor], int]) -> Callable[[Cursor], Value]:
    def read(cursor: Cursor) -> Value:
        size = _not_negative(cursor, length(cursor))
        if size > _MAX_INT_BYTES:
            cursor.skip(size)
            return NUMBER
        return int.from_bytes(cursor.take(size), "little", signed=True)

    return read


def _string_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = cursor.line(_MAX_LINE)
    if line is None:
        return LONG_TEXT
    line = line.rstrip(b" \t\n\r\v\f")
    quoted = len(line) > 1 and line[0] == line[-1] and line[:1] in {b"'", b'"'}
    if not quoted or _BAD_ESCAPE.search(line[1:-1]):
        raise FormatError(f"byte {start}", "a quoted string was expected")
    cursor.cost += line.count(b"\\")
    return _ESCAPE.sub(_unescape, line[1:-1]).decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[bytes]) -> bytes:
    text = match[1]
    if text[:1] == b"x":
        return bytes.fromhex(text[1:].decode("ascii"))
    if text[:1].isdigit() and text[:1] <= b"7":
        return bytes([int(text, 8) & 0xFF])
    return _ESCAPED.get(text, match[0])


def _unicode_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = cursor.line(_MAX_LINE)
    return LONG_TEXT if line is None else _decoded(line, "raw-unicode-escape", "strict", start)


def _text_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = cursor.line(_MAX_LINE)
    return LONG_TEXT if line is None else _decoded(line, "utf-8", "strict", start)


def _ascii_line(cursor: Cursor) -> Value:
    line = cursor.line(_MAX_LINE, plain=True)
    return LONG_TEXT if line is None else line.decode("ascii")


def _two_lines(cursor: Cursor) -> Value:
    start = cursor.offset
    module, name = _text_line(cursor), _text_line(cursor)
    if module == "" or name == "":
        raise FormatError(f"byte {start}", "the names of a module and of something in it were expected")
    return module, name


def _index_line(cursor: Cursor) -> Value:
    start = cursor.offset
    line = _number_line(cursor)
    if line is None:
        raise StricterError(f"byte {start}", f"an index of more than {_MAX_LINE} digits")
    match = _INDEX.fullmatch(line)
    digits = (match[1] or b"0").replace(b"_", b"").lstrip(b"0") if match is not None else b""
    if match is None or len(digits) > _MAX_INDEX_DIGITS:
        raise FormatError(f"byte {start}", "an index into the memo was expected")
    return int(digits or b"0")


def _protocol(cursor: Cursor) -> Value:
    protocol = cursor.byte()
    if protocol > HIGHEST_PROTOCOL:
        raise FormatError(f"byte {cursor.offset - 1}", f"pickle protocol {protocol} is not known")
    return protocol


def _frame(cursor: Cursor) -> Value:
    cursor.require(int.from_bytes(cursor.take(8), "little"))
    return DATA


STOP: Final = ord(".")
_U1, _U2, _U4, _U8 = Cursor.byte, _unsigned(2), _unsigned(4), _unsigned(8)

OPCODES: Final[dict[int, Opcode]] = {
    ord("("): Opcode("MARK"),
    STOP: Opcode("STOP"),
    ord("0"): Opcode("POP"),
    ord("1"): Opcode("POP_MARK"),
    ord("2"): Opcode("DUP"),
    ord("F"): Opcode("FLOAT", _float_line, pushes=True),
    ord("I"): Opcode("INT", _int_line, pushes=True),
    ord("J"): Opcode("BININT", _signed(4), pushes=True),
    ord("K"): Opcode("BININT1", _U1, pushes=True),
    ord("L"): Opcode("LONG", _long_line, pushes=True),
    ord("M"): Opcode("BININT2", _U2, pushes=True),
    ord("N"): Opcode("NONE", pushes=True, value=NONE),
    ord("P"): Opcode("PERSID", _ascii_line),
    ord("Q"): Opcode("BINPERSID"),
    ord("R"): Opcode("REDUCE"),
    ord("S"): Opcode("STRING", _string_line, pushes=True),
    ord("T"): Opcode("BINSTRING", _text(_signed(4), "surrogateescape"), pushes=True),
    ord("U"): Opcode("SHORT_BINSTRING", _short_text("surrogateescape"), pushes=True),
    ord("V"): Opcode("UNICODE", _unicode_line, pushes=True),
    ord("X"): Opcode("BINUNICODE", _text(_U4, "surrogatepass"), pushes=True),
    ord("a"): Opcode("APPEND"),
    ord("b"): Opcode("BUILD"),
    ord("c"): Opcode("GLOBAL", _two_lines),
    ord("d"): Opcode("DICT"),
    ord("}"): Opcode("EMPTY_DICT"),
    ord("e"): Opcode("APPENDS"),
    ord("g"): Opcode("GET", _index_line),
    ord("h"): Opcode("GET", _U1),
    ord("j"): Opcode("GET", _U4),
    ord("i"): Opcode("INST", _two_lines),
    ord("l"): Opcode("LIST"),
    ord("]"): Opcode("EMPTY_LIST"),
    ord("o"): Opcode("OBJ"),
    ord("p"): Opcode("PUT", _index_line),
    ord("q"): Opcode("PUT", _U1),
    ord("r"): Opcode("PUT", _U4),
    ord("s"): Opcode("SETITEM"),
    ord("t"): Opcode("TUPLE"),
    ord(")"): Opcode("EMPTY_TUPLE"),
    ord("u"): Opcode("SETITEMS"),
    ord("G"): Opcode("BINFLOAT", _float, pushes=True),
    ord("B"): Opcode("BINBYTES", _skipped(_U4), pushes=True),
    ord("C"): Opcode("SHORT_BINBYTES", _skipped(_U1), pushes=True),
    0x80: Opcode("PROTO", _protocol),
    0x81: Opcode("NEWOBJ"),
    0x82: Opcode("EXT", _U1),
    0x83: Opcode("EXT", _U2),
    0x84: Opcode("EXT", _signed(4)),
    0x85: Opcode("TUPLE1"),
    0x86: Opcode("TUPLE2"),
    0x87: Opcode("TUPLE3"),
    0x88: Opcode("NEWTRUE", pushes=True),
    0x89: Opcode("NEWFALSE", pushes=True),
    0x8A: Opcode("LONG1", _long(_U1), pushes=True),
    0x8B: Opcode("LONG4", _long(_signed(4)), pushes=True),
    0x8C: Opcode("SHORT_BINUNICODE", _short_text("surrogatepass"), pushes=True),
    0x8D: Opcode("BINUNICODE8", _text(_U8, "surrogatepass"), pushes=True),
    0x8E: Opcode("BINBYTES8", _skipped(_U8), pushes=True),
    0x8F: Opcode("EMPTY_SET"),
    0x90: Opcode("ADDITEMS"),
    0x91: Opcode("FROZENSET"),
    0x92: Opcode("NEWOBJ_EX"),
    0x93: Opcode("STACK_GLOBAL"),
    0x94: Opcode("MEMOIZE"),
    0x95: Opcode("FRAME", _frame),
    0x96: Opcode("BYTEARRAY8", _skipped(_U8), pushes=True),
    0x97: Opcode("NEXT_BUFFER"),
    0x98: Opcode("READONLY_BUFFER"),
}
