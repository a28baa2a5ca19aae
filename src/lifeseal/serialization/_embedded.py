# SPDX-License-Identifier: Apache-2.0
"""Pickles that lie within bytes of no known format, or behind what an unpickler would read first.

A program can read its own header and then unpickle, or go on behind a broken pickle. Whatever is found here only makes a refusal worse:
nothing becomes safe because nothing was found.
"""

import re
from collections.abc import Iterator
from typing import Final

import attrs

from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._stream import Stream, judge_stream
from lifeseal.serialization._window import Window

_PIECE: Final = 1 << 20
_OVERLAP: Final = 512
_MAX_TRIES: Final = 256
_OPCODES: Final = 20_000
_NAME: Final = rb"[A-Za-z_][A-Za-z0-9_.]{0,120}"
_BEGINS: Final = re.compile(
    rb"\x80[\x02-\x05](?=[\x95\x8cXU\]}(cNKM)])"
    rb"|c" + _NAME + rb"\n" + _NAME + rb"\n"
    rb"|\((?:[^\n]{0,200}\n){0,3}?i" + _NAME + rb"\n" + _NAME + rb"\n"
    rb"|(?:\x8c.|X...\0)" + _NAME + rb"(?:\x94|q.)?(?:\x8c.|X...\0)" + _NAME + rb"(?:\x94|q.)?\x93",
    re.DOTALL,
)


def look_within(window: Window, context: Context) -> None:
    """Look for pickles that would act, in the first and last bytes of unknown content."""
    _look(window, 1, context)


def look_behind(window: Window, stream: Stream, context: Context) -> None:
    """Look for pickles that would act, behind the place where a stream broke off."""
    _look(window, max(1, stream.begun, stream.end), context)


def _look(window: Window, start: int, context: Context) -> None:
    for tries, offset in enumerate(_candidates(window, start, context.budget)):
        if tries >= _MAX_TRIES or context.budget.tries <= 0:
            return
        own, budget = Findings(), Budget(0)
        budget.opcodes = min(_OPCODES, context.budget.tries)
        budget.searched = budget.tries = 0
        before = budget.opcodes
        found = judge_stream(window, attrs.evolve(context, findings=own, budget=budget), start=offset, keeps_storages=True, only=1)
        context.budget.tries -= before - max(0, budget.opcodes)
        if found.acted and found.unknown:
            context.findings.extend(own)
            context.say("pickle-hidden", f"byte {offset}", "a pickle that would act, behind bytes that are none")
            return


def _candidates(window: Window, start: int, budget: Budget) -> Iterator[int]:
    tail = max(start, window.size - _PIECE)
    positions = [*range(start, min(tail, start + max(0, budget.searched)), _PIECE), tail] if budget.searched > 0 else []
    for position in positions:
        piece = window.read(position, _PIECE + _OVERLAP)
        budget.searched -= len(piece)
        for match in _BEGINS.finditer(piece):
            if match.start() < _PIECE:
                yield position + match.start()
