# SPDX-License-Identifier: Apache-2.0
"""Plain data: text, and JSON with the few fields by which a configuration names code."""

import codecs
import re
from typing import Final

from lifeseal._io import loads
from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._context import Context
from lifeseal.serialization._keras import judge_keras
from lifeseal.serialization._markup import judge_markup, markup_of
from lifeseal.serialization._rules import Findings, at
from lifeseal.serialization._skops import judge_skops
from lifeseal.serialization._window import Window, chunks

_PIECE: Final = 4 << 20
_OVERLAP: Final = 1 << 14
_MAX_ESCAPES: Final = 1 << 19
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NAMES_CODE: Final = ("auto_map", "auto_mapping", "custom_pipelines", "_target_", "py/object", "py/reduce", "__reduce__")
_NAMES: Final = frozenset(_NAMES_CODE)
_SAID: Final = re.compile(r'"(' + "|".join(map(re.escape, _NAMES_CODE)) + r')"\s*:\s*(?!null)')
_KERAS: Final = re.compile(r'"class_name"\s*:')
_ESCAPED: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])")


def is_text(window: Window) -> bool:
    """Tell whether all of it is UTF-8 without NUL."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in chunks(window):
            if b"\0" in piece:
                return False
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def judge_text(window: Window, context: Context) -> str:
    """Judge text; returns its format, ``json`` or ``text``."""
    findings, place, budget = context.findings, context.place, context.budget
    if _first(window) not in {b"{", b"["}:
        return _judge_markup(window, context) or "text"
    if window.size > budget.text:
        findings.add("limit", place, f"more than {budget.text} bytes of what could be JSON")
        return "text"
    data = window.read(0, window.size)
    try:
        values = budget.spend_json(data)
        document = loads(data, where=place or "document", max_bytes=len(data), max_items=values, floats=True)
    except LimitError as error:
        findings.add("limit", place, str(error))
        _judge_loosely(data.decode("utf-8"), findings, place)
        return "text"
    except (FormatError, RecursionError):
        _judge_loosely(data.decode("utf-8"), findings, place)
        return "text"
    _judge_fields(document, context)
    return "json"


def _judge_markup(window: Window, context: Context) -> str:
    found = markup = ""
    for start in range(0, window.size, _PIECE):
        text = window.read(max(0, start - _OVERLAP), _PIECE + _OVERLAP).decode("utf-8", "replace")
        markup = markup or markup_of(text)
        if not markup and text.strip():
            break
        found = found or judge_markup(markup, text, context)
    return found


def _first(window: Window) -> bytes:
    """Return the first byte that is no space."""
    for number, piece in enumerate(chunks(window)):
        stripped = (piece.removeprefix(_BYTE_ORDER_MARK) if number == 0 else piece).lstrip()
        if stripped:
            return stripped[:1]
    return b""


def _judge_fields(document: object, context: Context) -> None:
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            for name in () if _NAMES.isdisjoint(value) else _NAMES_CODE:
                if value.get(name) and not (name == "__reduce__" and "__loader__" in value):
                    context.say("json-code", repr(name), f"field {name!r} names code that a loader imports or fetches")
            if "class_name" in value:
                judge_keras(value.items(), context)
            if "__loader__" in value:
                judge_skops(value.items(), context)
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _judge_loosely(text: str, findings: Findings, place: str) -> None:
    """Look for the same fields in what a more tolerant reader would still take for JSON."""
    if text.count("\\u00") > _MAX_ESCAPES:
        findings.add("limit", place, f"more than {_MAX_ESCAPES} escapes in what could be JSON")
        return
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    for match in _SAID.finditer(text):
        findings.add("json-code", at(place, repr(match[1])), f"field {match[1]!r} names code that a loader imports or fetches")
    if _KERAS.search(text) and '"config"' in text:
        findings.add("keras-config", at(place, "'class_name'"), "a Keras configuration that is not strict JSON, and is not analysed")
