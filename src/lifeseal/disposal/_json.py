# SPDX-License-Identifier: Apache-2.0
"""Values as JSON and back: every field stands there, of its declared type, and nothing else does."""

import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import attrs

from lifeseal._io import Record
from lifeseal.errors import FormatError

T = TypeVar("T")
MAX_TEXT = 4096
_DIGEST = 32
_MAX_ITEMS = 1 << 20
_TAKE: dict[type, Callable[[Record, str], object]] = {
    str: lambda record, name: record.take_str(name, max_length=MAX_TEXT),
    int: lambda record, name: record.take_int(name),
    bool: lambda record, name: record.take_bool(name),
    bytes: lambda record, name: record.take_hex(name, length=_DIGEST),
}


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON
    """Write a value.

    Args:
        value: An attrs value, or what one may hold.

    Returns:
        JSON; digests as hexadecimal.
    """
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if attrs.has(type(value)):
        return {field.name: to_json(getattr(value, field.name)) for field in attrs.fields(cast("Any", type(value)))}
    return value


def from_json(kind: type[T], document: object, *, where: str) -> T:
    """Read a value strictly.

    Args:
        kind: Its class.
        document: Parsed JSON.
        where: Name for error messages.

    Returns:
        The value.

    Raises:
        FormatError: A field is missing, unknown or of another type.
        LimitError: A text or list is too long.
    """
    record = Record(document, where=where)
    found = {field.name: _take(record, field.name, field.type) for field in attrs.fields(cast("Any", kind))}
    record.done()
    return kind(**found)


def _take(record: Record, name: str, kind: Any) -> object:  # noqa: ANN401 - a type as it was declared
    if kind in _TAKE:
        return _TAKE[kind](record, name)
    if get_origin(kind) is Literal:
        found = record.take_str(name, max_length=MAX_TEXT)
        if found not in get_args(kind):
            raise FormatError(record.at(name), f"one of {', '.join(get_args(kind))} was expected, not {found[:60]!r}")
        return found
    if get_origin(kind) is tuple:
        items = record.take_list(name, max_items=_MAX_ITEMS)
        return tuple(_take(Record({name: item}, where=record.where), name, get_args(kind)[0]) for item in items)
    if isinstance(kind, types.UnionType):  # of something and None
        return None if record.take(name) is None else _take(record, name, get_args(kind)[0])
    return from_json(kind, record.take(name), where=record.at(name))
