# SPDX-License-Identifier: Apache-2.0
"""Python sources: a model's folder can hold them, and ``trust_remote_code`` and its kin run them.

A text is a source if a line of it can only be a statement of Python, outside of the code blocks of Markdown; or if all of it parses as
Python and calls or imports anything.
"""

import ast
import re
from typing import Final

from lifeseal.serialization._context import Context

_MAX_PARSED: Final = 1 << 18
_NAME: Final = r"[A-Za-z_]\w*"
_DOTTED: Final = rf"{_NAME}(?:\.{_NAME})*"
_STATEMENT: Final = re.compile(
    rf"\n(?:import[ \t]+{_DOTTED}(?:[ \t]+as[ \t]+{_NAME})?(?:[ \t]*,[ \t]*{_DOTTED}(?:[ \t]+as[ \t]+{_NAME})?)*[ \t]*(?:[;#].*)?"
    rf"|from[ \t]+\.*{_DOTTED}[ \t]+import[ \t]+(?:\(|\*|{_NAME}).*"
    rf"|from[ \t]+\.+[ \t]+import[ \t].*"
    rf"|(?:async[ \t]+)?def[ \t]+{_NAME}[ \t]*[\[(].*"
    rf"|class[ \t]+{_NAME}[ \t]*(?:[\[(].*\))?[ \t]*:.*"
    rf"|@{_DOTTED}[ \t]*(?:\(.*)?)\r?(?=\n|\Z)"
)
_CALL: Final = re.compile(r"\((?<=[\w \t]\()")
_WORDS: Final = ("import", "def", "class", "@")
_STRINGS: Final = re.compile(r"\"\"\"(?:[^\"\\]|\\.|\"(?!\"\"))*+\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*+'''", re.DOTALL)
_FENCED: Final = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.DOTALL | re.MULTILINE)


def judge_source(text: str, context: Context, *, whole: bool) -> bool:
    """Say that some text is a Python source; returns whether it is."""
    words = any(word in text for word in _WORDS)
    if not words and not _CALL.search(text):
        return False
    if not (words and _has_statement("\n" + text)) and not (whole and len(text) <= _MAX_PARSED and _parses(text)):
        return False
    context.say("python-source", "", "a Python source, which a loader that trusts remote code runs")
    return True


def _has_statement(text: str) -> bool:
    if not _STATEMENT.search(text):
        return False
    if "```" in text or "~~~" in text:
        text = _FENCED.sub("", _STRINGS.sub('""', text))
    return _STATEMENT.search(text) is not None


def _parses(text: str) -> bool:
    """Tell whether all of it is Python that does something."""
    try:
        tree = ast.parse(text.lstrip("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Set):
        return not isinstance(tree.body[0].value.elts[0], ast.Set)  # two braces are a template's
    return any(isinstance(node, ast.Call | ast.Import | ast.ImportFrom) for node in ast.walk(tree))
