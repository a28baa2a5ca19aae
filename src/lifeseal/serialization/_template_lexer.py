# SPDX-License-Identifier: Apache-2.0
"""The words of Jinja templates: expressions and statements, as Jinja's own lexer splits them.

Source: Jinja 3.1 ``lexer.py``.
"""

import re
from collections.abc import Iterator
from typing import Final

import attrs

from lifeseal.errors import LimitError

_MAX_TOKENS: Final = 1 << 16
_MAX_DEPTH: Final = 64
_BLOCK: Final = re.compile(r"\{[{%#][-+]?")
_RAW: Final = re.compile(r"\s*raw\s*[-+]?%\}")
_END_RAW: Final = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_TOKEN: Final = re.compile(
    r"(?P<space>\s+)|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<number>\d[\w.]*)|(?P<name>[^\W\d]\w*)"
    r"|(?P<end>[-+]?[%}]\})|(?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%~|.,:;()\[\]{}<>=])",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U000([0-9a-fA-F]{5})|([0-7]{1,3})|N\{[^}]*\})")
_OPENS: Final = frozenset("([{")
_CLOSES: Final = frozenset(")]}")


@attrs.frozen
class Token:
    """One word.

    Attributes:
        kind: ``string``, ``number``, ``name`` or ``operator``.
        text: As written; of a string what it says.
    """

    kind: str
    text: str


NOTHING: Final = Token("", "")


@attrs.frozen
class Block:
    """One expression or statement.

    Attributes:
        tokens: Its words.
        partners: Of each opening bracket's index, that of its closing one.
    """

    tokens: tuple[Token, ...]
    partners: dict[int, int]

    def at(self, index: int) -> Token:
        """Return a word; an empty one beyond the ends."""
        return self.tokens[index] if 0 <= index < len(self.tokens) else NOTHING

    def value_end(self, start: int) -> int:
        """Return where the expression at ``start`` ends: at a comma or bracket of its own level."""
        index = start
        while index < len(self.tokens):
            token = self.tokens[index]
            if token.kind == "operator" and (token.text in _CLOSES or token.text == ","):
                break
            index = self.partners.get(index, index) + 1
        return index


def blocks(text: str) -> Iterator[Block]:
    """Yield each expression and statement, up to its end or to what no template holds.

    Raises:
        LimitError: More words or deeper brackets than the bounds.
    """
    position = count = 0
    while (begin := _BLOCK.search(text, position)) is not None:
        position = _skipped(text, begin)
        if position < 0:
            return
        if position == begin.end():
            block, position = _read_block(text, position, _MAX_TOKENS - count)
            count += len(block.tokens)
            yield block


def _read_block(text: str, position: int, most: int) -> tuple[Block, int]:
    """Read the words of one block; returns them, and where it ends."""
    tokens: list[Token] = []
    open_at: list[int] = []
    partners: dict[int, int] = {}
    while (match := _TOKEN.match(text, position)) is not None:
        kind, word = match.lastgroup or "", match[0]
        if kind == "end" and not (open_at and word.endswith("}}")):
            return Block(tuple(tokens), partners), match.end()
        if kind == "end":
            kind, word = "operator", word[0]
        position += len(word)
        if kind == "operator" and word in _OPENS:
            open_at.append(len(tokens))
        elif kind == "operator" and word in _CLOSES and open_at:
            partners[open_at.pop()] = len(tokens)
        if kind == "string" and tokens and tokens[-1].kind == "string":
            tokens[-1] = Token("string", tokens[-1].text + _said(word))  # as Jinja joins them
        elif kind != "space":
            tokens.append(Token(kind, _said(word) if kind == "string" else word))
        if len(tokens) > most or len(open_at) > _MAX_DEPTH:
            raise LimitError("template", limit=_MAX_TOKENS, seen=len(tokens), unit=f"words, or {_MAX_DEPTH} brackets within one another")
    return Block(tuple(tokens), partners), position


def _skipped(text: str, begin: re.Match[str]) -> int:
    """Return where a comment or raw text ends; the place behind the opening of any other block; less than 0 for what never ends."""
    if begin[0].startswith("{#"):
        return text.find("#}", begin.end()) + 2 if text.find("#}", begin.end()) >= 0 else -1
    raw = _RAW.match(text, begin.end()) if begin[0].startswith("{%") else None
    if raw is None:
        return begin.end()
    end = _END_RAW.search(text, raw.end())
    return end.end() if end is not None else -1


def _said(literal: str) -> str:
    """Return what a string says; an escape by a character's name stands for an underscore, the worst that it could be."""
    return _ESCAPED.sub(_character, literal[1:-1])


def _character(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    code = int(digits, 16) if digits else int(match[4], 8) if match[4] else ord("_")
    return chr(min(code, 0x10FFFF))
