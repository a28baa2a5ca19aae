# SPDX-License-Identifier: Apache-2.0
"""The wire format of Protocol Buffers, field by field, without a schema's generated code.

Messages are not copied: a field is a range of the window, so that gigabytes of tensors within one are stepped over.

Source: Protocol Buffers, "Encoding"; groups, which were withdrawn, are refused.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._window import CachedWindow, Window

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
_LEAD: Final = 20
_MAX_TEXT: Final = 1 << 20
MAX_NAME: Final = 1 << 10
_MAX_TAG: Final = 1 << 32
MAX_DEPTH: Final = 100
_MAX_OUTLINE: Final = 1 << 18


@attrs.frozen
class Field:
    """One field of a message.

    Attributes:
        number: Its number.
        is_bytes: It holds bytes, text or a message, from ``start`` to ``stop``; else a number.
        value: The number, as it stands there, without sign.
        start: Offset of its content.
        stop: Offset behind it.
    """

    number: int
    is_bytes: bool
    value: int
    start: int
    stop: int


class Wire:
    """Reads messages within some bytes.

    Args:
        window: The bytes.
        budget: Pays for every field.
        place: What to call the bytes.
    """

    def __init__(self, window: Window, budget: Budget, place: str = "") -> None:
        self.window = window
        self._budget = budget
        self._place = place

    def fields(self, start: int, stop: int) -> Iterator[Field]:
        """Yield the fields of one message.

        Raises:
            FormatError: The bytes are no message.
            LimitError: There are more fields than the budget allows.
        """
        read, spend, place = self.window.read, self._budget.spend, self._place
        position = start
        while position < stop:
            spend(1, place)
            lead = read(position, min(_LEAD, stop - position))
            tag, used = varint(lead, 0, position)
            number, wire = tag >> 3, tag & 7
            if not 0 < tag < _MAX_TAG or not number:
                raise FormatError(f"byte {position}", "a field was expected")
            if wire == _VARINT:
                value, used = varint(lead, used, position)
                yield Field(number, wire == _BYTES, value, position + used, position + used)
                position += used
                continue
            if wire == _BYTES:
                length, used = varint(lead, used, position)
            else:
                length = _WIDTHS.get(wire, 0)
            begin = position + used
            if not length and wire != _BYTES:
                raise FormatError(f"byte {position}", f"a field of kind {wire}, which is not used")
            if length > stop - begin:
                raise FormatError(f"byte {position}", f"a field of {length} bytes does not fit into {stop - begin}")
            value = 0 if wire == _BYTES else int.from_bytes(read(begin, length), "little")
            position = begin + length
            yield Field(number, wire == _BYTES, value, begin, position)

    def text(self, field: Field, limit: int = _MAX_TEXT) -> str:
        """Return a field's text.

        Raises:
            FormatError: It is a number, not UTF-8, or longer than the limit.
        """
        if not field.is_bytes or field.stop - field.start > limit:
            raise FormatError(f"byte {field.start}", f"a text of at most {limit} bytes was expected")
        try:
            return self.window.read(field.start, field.stop - field.start).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"byte {field.start}", "text that is not UTF-8") from None

    def pair(self, field: Field) -> tuple[str, str]:
        """Return the key and the text of an entry; of a field that stands there twice readers take the last.

        Raises:
            FormatError: It is no entry of two texts.
        """
        found = {1: "", 2: ""}
        for inner in self.fields(*span(field)):
            if inner.number not in found:
                raise FormatError(f"byte {inner.start}", f"field {inner.number} of an entry is not known")
            found[inner.number] = self.text(inner)
        return found[1], found[2]


def span(field: Field) -> tuple[int, int]:
    """Return where a message begins and ends.

    Raises:
        FormatError: The field is a number.
    """
    if not field.is_bytes:
        raise FormatError(f"byte {field.start}", f"field {field.number} should be a message")
    return field.start, field.stop


def varint(data: bytes, start: int, base: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; returns it and the offset behind it.

    Raises:
        FormatError: It ends early, or is longer than ten bytes.
    """
    if start < len(data) and data[start] < 0x80:  # noqa: PLR2004 - the bit that says more follows
        return data[start], start + 1
    value = 0
    for shift, index in enumerate(range(start, min(start + 10, len(data)))):
        byte = data[index]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more follows
            return value & 0xFFFFFFFFFFFFFFFF, index + 1
    raise FormatError(f"byte {base + start}", "a number was expected")


def outline(window: Window, known: Mapping[int, bool]) -> dict[int, int]:
    """Count the outermost fields.

    Args:
        window: The bytes.
        known: Numbers of the fields that may stand there, each with whether it holds bytes.

    Returns:
        How often each stands there; nothing if the bytes are no message of these fields.
    """
    budget = Budget(0)
    budget.opcodes = _MAX_OUTLINE
    found: dict[int, int] = {}
    try:
        for field in Wire(CachedWindow(window), budget).fields(0, window.size):
            if known.get(field.number) is not field.is_bytes:
                return {}
            found[field.number] = found.get(field.number, 0) + 1
    except (FormatError, LimitError):
        return {}
    return found


def unknown(field: Field, message: str) -> FormatError:
    """Return the error for a field that a message does not have."""
    return FormatError(f"byte {field.start}", f"field {field.number} of a {message} is not known; another loader could give it a meaning")
