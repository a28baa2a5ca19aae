# SPDX-License-Identifier: Apache-2.0
"""Letters that a text writes as escapes, so that a name in it is not seen as it stands."""

import re

from lifeseal.serialization._context import Context


def unescaped(text: str, pattern: re.Pattern[str], context: Context) -> str:
    """Write letters of ASCII as themselves.

    Args:
        text: Any text.
        pattern: Matches escapes; the group that matched holds the letter's number in hexadecimal, and no group stands for nothing.
        context: Gives the number of escapes that are undone, for all of a file.

    Returns:
        The text; with a finding if more escapes are in it.
    """
    left = max(1, context.budget.escapes)
    text, count = pattern.subn(_letter, text, count=left)
    context.budget.escapes = left - count
    if count >= left and pattern.search(text):
        context.say("limit", "", "more letters that are written as escapes than are undone here")
    return text


def _letter(match: re.Match[str]) -> str:
    return chr(int(match[match.lastindex], 16)) if match.lastindex else ""
