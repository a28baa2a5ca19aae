# SPDX-License-Identifier: Apache-2.0
"""Two record files that are data: sentencepiece's tokenizers, and TensorBoard's logs. Each is walked from its first byte to its last.

Source: sentencepiece ``src/sentencepiece_model.proto``; Protocol Buffers "Encoding"; TensorFlow ``core/lib/io/record_writer.h``.
"""

from collections.abc import Callable
from typing import Final

from lifeseal.serialization._context import Context
from lifeseal.serialization._window import Window

_MAX_MODEL: Final = 32 << 20
_MAX_RECORDS: Final = 1 << 18
_MAX_PIECES: Final = 1 << 19
_MAX_HEAD: Final = 1 << 16
_LOOKED_AT: Final = 1000
_PIECE: Final = 0x0A
_FIELDS: Final = frozenset({_PIECE, 0x12, 0x1A, 0x22, 0x2A})
_SCORE: Final = 0x15
_KIND: Final = 0x18
_LEAD, _TRAIL = 12, 4


def judge_nothing(name: str) -> Callable[[Window, Context], str]:
    """Return a judge that says nothing against what was recognised."""

    def judge(window: Window, context: Context) -> str:
        del window, context
        return name

    return judge


def is_pieces(head: bytes, window: Window) -> bool:
    """Tell whether it begins as a sentencepiece model: with pieces of text with scores."""
    return head[0] == _PIECE and head[2:3] == b"\x0a" and _walk(window, _MAX_HEAD, _LOOKED_AT)


def judge_pieces(window: Window, context: Context) -> str:
    """Check that all of it is pieces, and then what it was trained with."""
    if not _walk(window, _MAX_MODEL, _MAX_PIECES) or window.size > _MAX_MODEL:
        context.say("unknown-format", "", f"begins as a sentencepiece model, but is none of at most {_MAX_PIECES} pieces")
    return "sentencepiece"


def _walk(window: Window, size: int, most: int) -> bool:
    """Tell whether the first pieces, and what follows them, are well-formed; of a part of a file the last one may be cut."""
    data = window.read(0, size)
    position, pieces = 0, 0
    while position < len(data):
        if data[position] not in _FIELDS:
            return False
        length, start = _varint(data, position + 1)
        stop = start + length
        if not 0 <= length <= len(data) - start:
            return len(data) < window.size and pieces > 0
        if data[position] == _PIECE:
            pieces += 1
            if not _is_piece(data, start, stop):
                return False
            if pieces > most:
                return most < _MAX_PIECES
        position = stop
    return pieces > 0


def _is_piece(data: bytes, position: int, stop: int) -> bool:
    if data[position : position + 1] != b"\x0a":
        return False
    length, position = _varint(data, position + 1)
    position += length
    if data[position : position + 1] == bytes([_SCORE]):
        position += 5
    if position < stop and data[position] == _KIND:
        _, position = _varint(data, position + 1)
    return position == stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a number of up to five bytes; a negative one where there is none."""
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more follows
            return value, position
    return -1, position


def is_events(head: bytes, window: Window) -> bool:
    """Tell whether it is a log of TensorBoard: records of stated length, the first of which says so."""
    first = int.from_bytes(head[:8], "little")
    if not 0 < first < len(head) or b"brain.Event:" not in head[_LEAD : _LEAD + first]:
        return False
    position = 0
    for _ in range(_MAX_RECORDS):
        lead = window.read(position, _LEAD)
        if len(lead) < _LEAD:
            return not lead
        position += _LEAD + int.from_bytes(lead[:8], "little") + _TRAIL
        if position > window.size:
            return False
    return False
