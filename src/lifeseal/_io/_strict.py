# SPDX-License-Identifier: Apache-2.0
"""Strict JSON and base64: one reading for every byte sequence, or a refusal."""

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import is_
from typing import Any, NoReturn, TypeVar

from lifeseal.errors import FormatError, LimitError

type_names: dict[type, str] = {dict: "object", list: "array", str: "string", int: "integer", bool: "boolean", float: "number", type(None): "null"}

T = TypeVar("T")

MAX_JSON = 64 << 20
MAX_DEPTH = 32
MAX_ITEMS = 8 << 20
_MAX_INT_DIGITS = 20
# An unterminated string counts up to the end, so that no byte is looked at twice; the parser refuses it afterwards.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# Some thousands of strings and what stands between them: taken apart piece by piece, so that memory stays flat.
_PIECE = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+"?){1,8192}+', re.DOTALL)
_LONG = re.compile(rb'"[ \t\r\n]*+:[ \t\r\n]*+"([A-Za-z0-9+/]{65536,}+={0,2}+)"')
TAKEN_OUT = "(taken out)"
_MARKS = (b"\xef", b"\xff", b"\xfe")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_HEX = re.compile(r"[0-9a-f]*+", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(
    data: bytes,
    *,
    where: str,
    max_bytes: int = MAX_JSON,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
    floats: bool = False,
    what: str = "a JSON document",
) -> object:
    """Parse JSON that has exactly one meaning.

    Refused: byte order marks and any encoding but UTF-8, repeated keys, NaN and infinities, lone surrogates, integers of more than
    20 digits, nesting beyond ``max_depth``, and numbers with a fraction or exponent unless ``floats`` is set.

    Args:
        data: The document, UTF-8.
        where: Name for error messages.
        max_bytes: Bound on ``len(data)``, bytes.
        max_depth: Bound on nested arrays and objects.
        max_items: Bound on values, which is what memory is spent on.
        floats: Accept finite numbers with a fraction or exponent.
        what: What should be there, for error messages.

    Returns:
        Dicts, lists, strings, integers, booleans, None (and floats if asked for).

    Raises:
        FormatError: It is not such JSON.
        LimitError: It is larger, deeper or of more values than allowed.

    Source: RFC 8259 sections 4, 6, 8.1, 8.2; RFC 7493 (I-JSON) section 2.
    """
    if len(data) > max_bytes:
        raise LimitError(where, limit=max_bytes, seen=len(data))
    if data[:1] in _MARKS and data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(where, f"{what} was expected, in plain UTF-8; this starts with a byte order mark")
    # In a small document with few brackets, as most are, there is no room for more.
    if len(data) > max_items or data.count(b"[") + data.count(b"{") > max_depth:
        _bound_shape(data, where=where, max_depth=max_depth, max_items=max_items)

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}, byte {error.start}", f"{what} was expected; this is not valid UTF-8") from None
    try:
        decoder = _WITH_FLOATS if floats else _DECODER
        value, end = decoder.raw_decode(text) if text[:1] in {"{", "["} else (None, -1)
        if end != len(text):  # white space around it, or something else
            value = decoder.decode(text)
    except _Fault as fault:
        raise FormatError(where, str(fault)) from None
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{where}, line {error.lineno} column {error.colno}", f"{what} was expected; this is not valid JSON ({error.msg})"
        ) from None
    if b"\\u" in data:
        _no_lone_surrogates(value, where=where)
    return value


def take_out(data: bytes) -> tuple[bytes, memoryview | None]:
    """Cut one long base64 string out of a JSON document, so that its parser need not copy it.

    A quote within a JSON string is escaped, so a match is a whole value of the document, or part of no JSON at all.

    Args:
        data: The document, not parsed yet.

    Returns:
        The document with the mark ``(taken out)`` in place of the string, and the string's bytes; the document itself and None where there
        is not exactly one such string, or the mark stands there already, or could by an escape.
    """
    found = _LONG.search(data)
    mark = TAKEN_OUT.encode()
    if found is None or mark in data or b"\\" in data or _LONG.search(data, found.end()):
        return data, None
    return data[: found.start(1)] + mark + data[found.end(1) :], memoryview(data)[found.start(1) : found.end(1)]


class _Fault(Exception):  # noqa: N818 - never leaves this module
    pass


def _no_number(text: str) -> NoReturn:
    raise _Fault(f"number {text[:24]!r} is not allowed here")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _no_number(text)
    return value


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > _MAX_INT_DIGITS:
        _no_number(text)
    return int(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Fault(f"key {repeated[:60]!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_no_number, parse_int=_integer)
_WITH_FLOATS = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite, parse_int=_integer)


def canonical(document: object) -> bytes:
    """Write JSON so that equal documents give equal bytes.

    Args:
        document: Dicts with string keys, lists, tuples, strings, integers, booleans, None.

    Returns:
        UTF-8, keys sorted by code point, no spaces, nothing escaped that need not be.

    Raises:
        ValueError: A string is not valid Unicode, or a number is not finite.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def decode_base64(text: str | memoryview, *, where: str) -> bytes:
    """Decode standard base64 that is exactly what an encoder writes.

    Args:
        text: Base64 with padding, no line breaks.
        where: Name for error messages.

    Returns:
        The decoded bytes.

    Raises:
        FormatError: Other characters, wrong padding, or non-zero unused bits.

    Source: RFC 4648 sections 3.3, 3.5, 4.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise FormatError(where, "not valid base64") from None
    # What strict mode leaves free: padding after a whole group, and bits that are not used in the last one.
    last = text[-4:] if isinstance(text, str) else bytes(text[-4:]).decode("ascii")
    if len(text) != (len(data) + 2) // 3 * 4 or (data and encode_base64(data[-(len(data) % 3 or 3) :]) != last):
        raise FormatError(where, "base64 that an encoder would write differently")
    return data


def encode_base64(data: bytes) -> str:
    """Encode as standard base64 with padding, without line breaks.

    Args:
        data: Any bytes.

    Returns:
        ASCII text.
    """
    return base64.b64encode(data).decode("ascii")


class Record:
    """One JSON object, read field by field; what is not read is refused.

    Args:
        document: The parsed value; must be an object.
        where: Name for error messages.

    Raises:
        FormatError: ``document`` is not an object.
    """

    def __init__(self, document: object, *, where: str) -> None:
        if not isinstance(document, dict):
            raise FormatError(where, f"an object was expected, not {_kind(document)}")
        self._fields: Mapping[str, object] = document
        self._left = set(document)
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def at(self, name: str) -> str:
        """Name a field for an error message."""
        return f"{self.where}, {name!r}"

    def take(self, name: str) -> object:
        """Return a field of any type, which must be there."""
        if name not in self._fields:
            raise FormatError(self.where, f"field {name!r} is missing")
        self._left.discard(name)
        return self._fields[name]

    def take_str(self, name: str, *, max_length: int = 1 << 16) -> str:
        """Return a string field of bounded length."""
        value = self._fields.get(name)
        if type(value) is not str:
            value = self.take_typed(name, str)
        if len(value) > max_length:
            raise LimitError(self.at(name), limit=max_length, seen=len(value), unit="characters")
        self._left.discard(name)
        return value

    def take_int(self, name: str, *, low: int = 0, high: int = 2**63 - 1) -> int:
        """Return an integer field within bounds; a boolean is not an integer."""
        value = self.take_typed(name, int)
        if not low <= value <= high:
            raise FormatError(self.at(name), f"an integer from {low} to {high} was expected")
        return value

    def take_bool(self, name: str) -> bool:
        """Return a boolean field."""
        return self.take_typed(name, bool)

    def take_list(self, name: str, *, max_items: int = 1 << 20) -> list[object]:
        """Return an array field of bounded length."""
        value = self.take_typed(name, list)
        if len(value) > max_items:
            raise LimitError(self.at(name), limit=max_items, seen=len(value), unit="items")
        return value

    def take_strs(self, name: str, *, max_items: int = 1 << 20) -> tuple[str, ...]:
        """Return an array field that holds strings only."""
        values = self.take_list(name, max_items=max_items)
        strings = tuple(value for value in values if isinstance(value, str))
        if len(strings) != len(values):
            raise FormatError(self.at(name), "an array of strings was expected")
        return strings

    def take_record(self, name: str) -> "Record":
        """Return an object field as a record of its own."""
        return Record(self.take(name), where=self.at(name))

    def take_const(self, name: str, wanted: str) -> None:
        """Read a field that must hold exactly one string."""
        found = self.take(name)
        if found != wanted:
            raise FormatError(self.at(name), f"{wanted!r} was expected, not {_shown(found)}")

    def take_hex(self, name: str, *, length: int) -> bytes:
        """Return a field of lower-case hexadecimal digits as ``length`` bytes."""
        return parse_hex(self.take(name), length=length, where=self.at(name))

    def take_base64(self, name: str, *, cut: memoryview | None = None) -> bytes:
        """Return a field of canonical base64 as bytes; ``cut`` is what `take_out` took from this very place."""
        text = self.take_typed(name, str)
        if cut is not None and text != TAKEN_OUT:
            raise FormatError(self.at(name), "a long text stands elsewhere")
        return decode_base64(text if cut is None else cut, where=self.at(name))

    def skip(self) -> None:
        """Accept every field not read so far, where a standard says that unknown ones are ignored."""
        self._left.clear()

    def done(self) -> None:
        """Refuse fields that were not read.

        Raises:
            FormatError: There are such fields.
        """
        if self._left:
            raise FormatError(self.where, f"unknown field {min(self._left)[:60]!r}")

    def take_typed(self, name: str, kind: type[T]) -> T:
        """Return a field of exactly one type."""
        value = self.take(name)
        if type(value) is not kind:
            raise FormatError(self.at(name), f"{_article(type_names[kind])} was expected, not {_kind(value)}")
        return value


def exact_fields(document: object, types: Mapping[str, type], *, where: str) -> dict[str, Any]:
    """Check that an object has fields of these types and no others: as a `Record` does one by one, for documents of which there are very many.

    Args:
        document: The parsed value.
        types: By name of the field.
        where: Name for error messages.

    Returns:
        The object.

    Raises:
        FormatError: It is something else.
    """
    if isinstance(document, dict) and document.keys() == types.keys() and all(map(is_, map(type, map(document.get, types)), types.values())):
        return document
    record = Record(document, where=where)
    found: dict[str, Any] = {name: record.take_typed(name, kind) for name, kind in types.items()}
    record.done()
    return found


def parse_hex(value: object, *, length: int, where: str) -> bytes:
    """Read lower-case hexadecimal digits as exactly ``length`` bytes.

    Args:
        value: What the document holds at this place.
        length: Bytes wanted.
        where: Name for error messages.

    Returns:
        The bytes.

    Raises:
        FormatError: It is anything else.
    """
    if not isinstance(value, str) or len(value) != 2 * length or not _HEX.fullmatch(value):
        raise FormatError(where, f"{2 * length} lower-case hexadecimal digits were expected, not {_shown(value)}")
    return bytes.fromhex(value)


def _bound_shape(data: bytes, *, where: str, max_depth: int, max_items: int) -> None:
    opened = data.count(b"[") + data.count(b"{")
    # Brackets and commas within strings count too: that errs on the safe side, so what passes is counted once, cheaply.
    if opened + data.count(b",") > max_items and (items := _items(data)) > max_items:
        raise LimitError(where, limit=max_items, seen=items, unit="values")
    if opened <= max_depth:
        return
    depth = 0
    for bare in _outside_strings(data):
        for bracket in bare.translate(None, _NOT_BRACKETS):
            depth += 1 if bracket in b"[{" else -1
            if depth > max_depth:
                raise LimitError(where, limit=max_depth, seen=depth, unit="nested levels")


def _items(data: bytes) -> int:
    return sum(bare.count(b"[") + bare.count(b"{") + bare.count(b",") for bare in _outside_strings(data))


def _outside_strings(data: bytes) -> Iterator[bytes]:
    return (_STRINGS.sub(b"", piece[0]) for piece in _PIECE.finditer(data))


def _no_lone_surrogates(value: object, *, where: str) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise FormatError(where, "a string holds half of a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _no_lone_surrogates(key, where=where)
            _no_lone_surrogates(item, where=where)
    elif isinstance(value, list):
        for item in value:
            _no_lone_surrogates(item, where=where)


def _kind(value: object) -> str:
    return _article(type_names.get(type(value), type(value).__name__))


def _article(noun: str) -> str:
    if noun == "null":
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _shown(value: object) -> str:
    return repr(value[:60]) if isinstance(value, str) else _kind(value)
