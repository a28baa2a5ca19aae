# SPDX-License-Identifier: Apache-2.0
"""Files within a pickle: a tensor that was pickled without ``torch.save`` holds a whole PyTorch file as bytes.

Source: PyTorch ``torch/storage.py``, ``TypedStorage.__reduce__`` and ``_load_from_bytes``.
"""

from typing import Final

from lifeseal.serialization._context import Context
from lifeseal.serialization._values import Blob, Made, Value
from lifeseal.serialization._window import BytesWindow, PartWindow, Window

_MAX_DEPTH: Final = 4
_MAX_TEXT: Final = 16 << 20


def judge_nested(arguments: tuple[Value, ...], window: Window, context: Context, offset: int) -> bool:
    """Judge the file that a call is given as its only argument; returns whether there is one that could be found."""
    if len(arguments) != 1 or context.depth >= _MAX_DEPTH:
        return False
    content = _content(arguments[0], window)
    if content is None:
        return False
    context.judge(content, context.inside(f"byte {offset}, file within"))
    return True


def _content(value: Value, window: Window) -> Window | None:
    if isinstance(value, Made) and value.source.path == ("_codecs", "encode"):
        value = value.argument
    if isinstance(value, str):
        return BytesWindow(value.encode("latin-1")) if all(ord(letter) < 256 for letter in value) else None  # noqa: PLR2004 - Latin-1
    if not isinstance(value, Blob):
        return None
    if not value.text:
        return PartWindow(window, value.start, value.size)
    if value.size > _MAX_TEXT:
        return None
    try:
        return BytesWindow(window.read(value.start, value.size).decode("utf-8", "surrogatepass").encode("latin-1"))
    except UnicodeError:
        return None
