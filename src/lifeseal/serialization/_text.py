# SPDX-License-Identifier: Apache-2.0
"""Text: its encoding, and what a loader of configurations, templates or sources would find in it."""

import codecs
import re
from collections.abc import Iterator
from typing import Final

from lifeseal.errors import LimitError
from lifeseal.serialization._config import judge_json
from lifeseal.serialization._context import Context
from lifeseal.serialization._known import judge_known_text
from lifeseal.serialization._markup import judge_markup, markup_of
from lifeseal.serialization._source_code import judge_source
from lifeseal.serialization._template import judge_template
from lifeseal.serialization._window import Window, chunks
from lifeseal.serialization._yaml import judge_yaml

_MAX_TEXT: Final = 1 << 30
_PIECE: Final = 4 << 20
_OVERLAP: Final = 1 << 14
_MARKS: Final = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CONTROL: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_FIRST: Final = 64  # where a text has no control characters: in a message of Protocol Buffers tags and lengths stand there
_MOST_CONTROL: Final = 1000
_HIGH: Final = bytes(range(128, 256))
_JSON: Final = re.compile(r"\ufeff?\s*(?:\{\s*[\"}]|\[\s*[\[\]{\"\d.tfn-])")
_MOST_HIGH: Final = 10  # one letter in so many is beyond ASCII in a text of an older encoding


def encoding_of(window: Window) -> str:
    """Return the encoding in which all of it is text, or nothing.

    Raises:
        LimitError: It is a text of more than a gibibyte.
    """
    head = window.read(0, 4)
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")
    if _decodes(window, encoding):
        return encoding
    return "latin-1" if encoding == "utf-8" and _is_latin(window) else ""


def _decodes(window: Window, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    done = 0
    try:
        for piece in chunks(window):
            if (b"\0" in piece) if encoding == "utf-8" else ("\0" in decoder.decode(piece)):
                return False
            if done == 0 and encoding == "utf-8" and (_controls(piece[:_FIRST]) or _controls(piece) * _MOST_CONTROL > len(piece)):
                return False
            if encoding == "utf-8":
                decoder.decode(piece)
            done += len(piece)
            if done > _MAX_TEXT:
                raise LimitError("text", limit=_MAX_TEXT, seen=window.size)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _controls(piece: bytes) -> int:
    """Count the control characters that are none of ordinary text's."""
    return len(piece) - len(piece.translate(None, _CONTROL))


def _is_latin(window: Window) -> bool:
    high = 0
    for piece in chunks(window):
        if _controls(piece):
            return False
        high += len(piece) - len(piece.translate(None, _HIGH))
    return high * _MOST_HIGH <= window.size


def judge_text(window: Window, encoding: str, context: Context) -> str:
    """Judge text; returns its format, ``json``, ``python``, ``text``, one of markup, or one that is known and refused."""
    found, markup, known = "text", "", ""
    whole = window.size <= _PIECE
    for number, text in enumerate(_pieces(window, encoding)):
        if number == 0:
            known = judge_known_text(text, context)
            found = "json" if _JSON.match(text) else found
        parsed = found == "json" and judge_json(text, context, whole=whole)
        if not parsed:
            found = "text" if whole else found
            judge_template(text, context)
            if judge_source(text, context, whole=whole):
                found = "python"
            markup = markup or markup_of(text)
            found = judge_markup(markup, text, context) or found if markup else found
        judge_yaml(text, context)
    return known or found


def _pieces(window: Window, encoding: str) -> Iterator[str]:
    """Yield the text in pieces, each of which begins with the end of the one before."""
    decoder = codecs.getincrementaldecoder(encoding)()
    before = ""
    for start in range(0, window.size, _PIECE):
        text = decoder.decode(window.read(start, _PIECE), final=start + _PIECE >= window.size)
        yield before + text
        before = text[-_OVERLAP:]
