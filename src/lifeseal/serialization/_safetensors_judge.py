# SPDX-License-Identifier: Apache-2.0
"""Safetensors within a scan: recognised by its first bytes, and read as strictly as `validate` reads it."""

from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._safetensors import LENGTH_SIZE, parse_header_bytes
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._window import Window

_MAX_SCANNED: Final = 10 << 20


def is_safetensors(head: bytes, window: Window) -> bool:
    """Tell whether a length and the beginning of a JSON object stand first."""
    length = int.from_bytes(head[:LENGTH_SIZE], "little")
    body = head[LENGTH_SIZE:].lstrip(b" \t\r\n")
    if not body.startswith(b"{") or len(head) <= LENGTH_SIZE:
        return False
    return length <= window.size - LENGTH_SIZE or (length < 1 << 32 and body[1:2] in {b"", b'"', b"}", b" "})


def judge_safetensors(window: Window, context: Context) -> str:
    """Check the layout, and that no unpickler gets beyond the header."""
    length = int.from_bytes(window.read(0, LENGTH_SIZE), "little")
    if length > _MAX_SCANNED:
        context.say("limit", "", f"a header of {length} bytes, more than {_MAX_SCANNED}")
    else:
        lead = window.read(0, LENGTH_SIZE + length)
        try:
            parse_header_bytes(lead, size=window.size, where="header", max_values=max(0, context.budget.values))
        except (FormatError, LimitError) as error:
            context.say("safetensors-invalid", "", str(error))
    if judge_stream(window, context.aside(Findings())).begun >= LENGTH_SIZE + length:
        context.say("mixed", "", "a safetensors file that an unpickler reads too, beyond its header")
    return "safetensors"
