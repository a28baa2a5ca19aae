# SPDX-License-Identifier: Apache-2.0
"""What a file is, by its bytes alone, and what reading it could do."""

from typing import Final

import attrs

from lifeseal._io import Reader
from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._archive import judge_zip
from lifeseal.serialization._beside import Reference
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._formats import FORMATS, HEAD
from lifeseal.serialization._hdf5 import look_further
from lifeseal.serialization._npy import MAGIC, judge_npy
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._safetensors import LENGTH_SIZE, MAX_HEADER, MAX_HEADER_VALUES, parse_header_bytes
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._tar import is_tar
from lifeseal.serialization._text import is_text, judge_text
from lifeseal.serialization._window import FileWindow, Window
from lifeseal.serialization._zip import LOCAL
from lifeseal.serialization._zip_end import has_end

_MAX_NESTED: Final = 2
_PROTO: Final = 0x80


def judge_file(reader: Reader, findings: Findings, *, allow: frozenset[str]) -> tuple[str, dict[Reference, int]]:
    """Judge one opened file.

    Args:
        reader: The file.
        findings: Gets what is wrong with it.
        allow: Full names of globals that the caller trusts.

    Returns:
        Its format, and the files that are read beside it, with how many bytes each must have.

    Raises:
        FormatError: The file shrank while it was read.
        OSError: It cannot be read.
    """
    context = Context(findings=findings, allow=allow, budget=Budget(reader.size), judge=judge)
    return judge(FileWindow(reader), context), context.references


def judge(window: Window, context: Context) -> str:
    """Judge some bytes by themselves; returns their format."""
    try:
        found = _judge(window, context)
        look_further(window, context)
    except LimitError as error:
        context.say("limit", "", str(error))
        return "unknown"
    return found


def _judge(window: Window, context: Context) -> str:
    findings, place = context.findings, context.place
    if is_tar(window):
        findings.add("tar", place, "PyTorch's loader takes this for a tar archive, whatever else it is")
    if window.read(0, len(LOCAL)) != LOCAL and not has_end(window):
        return _judge_single(window, context)
    if context.depth > _MAX_NESTED:
        findings.add("limit", place, f"more than {_MAX_NESTED} archives inside one another")
        return "zip"
    if window.read(0, len(LOCAL)) != LOCAL:
        findings.add("zip-structure", place, "begins as another format and ends as an archive")
        _judge_single(window, context)
    return judge_zip(
        window,
        findings,
        place=place,
        allow=context.allow,
        budget=context.budget,
        judge=lambda inner, own, inner_place: judge(inner, attrs.evolve(context, findings=own, place=inner_place, depth=context.depth + 1)),
    )


def _judge_single(window: Window, context: Context) -> str:
    findings, place, allow, budget = context.findings, context.place, context.allow, context.budget
    head = window.read(0, HEAD)
    if not head:
        return "empty"
    found = _judge_known(window, head, context)
    if found:
        return found
    as_pickle = Findings()
    if _is_safetensors(head, window.size):
        data_start = _judge_safetensors(window, findings, place, budget)
        stream = judge_stream(window, as_pickle, place=place, allow=allow, budget=budget)
        if stream.imported or stream.acted or stream.stopped:
            findings.extend(as_pickle)
        if stream.completed or stream.begun >= data_start:
            findings.add("mixed", place, "a safetensors file that an unpickler reads too, beyond its header")
        return "safetensors"
    stream = judge_stream(window, as_pickle, place=place, allow=allow, budget=budget, may_be_legacy=True)
    is_pickle = head[0] == _PROTO or stream.acted or stream.imported or stream.stopped or (stream.completed > 0 and stream.clean)
    if not is_pickle and is_text(window):
        return judge_text(window, context)
    if is_pickle or stream.completed:
        findings.extend(as_pickle)
        return "torch-legacy" if stream.legacy else "pickle"
    findings.add("unknown-format", place, "bytes of no known format; what reading them does cannot be said")
    return "unknown"


def _judge_known(window: Window, head: bytes, context: Context) -> str:
    if head.startswith(MAGIC):
        judge_npy(window, context.findings, place=context.place, allow=context.allow, budget=context.budget)
        return "npy"
    known = next((known for known in FORMATS if known.matches(head, window)), None)
    if known is None:
        return ""
    found = known.judge(window, context)
    as_pickle = Findings()
    stream = judge_stream(window, as_pickle, place=context.place, allow=context.allow, budget=context.budget)
    if stream.completed or ((stream.imported or stream.acted or stream.stopped) and not as_pickle.rules <= known.as_pickle):
        context.findings.extend(as_pickle)
        context.say("mixed", "", "a file that an unpickler reads too")
    return found


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:LENGTH_SIZE], "little")
    body = head[LENGTH_SIZE:].lstrip(b" \t\r\n")
    if not body.startswith(b"{") or len(head) <= LENGTH_SIZE:
        return False
    return length <= size - LENGTH_SIZE or (length < 1 << 32 and body[1:2] in {b"", b'"', b"}", b" "})


def _judge_safetensors(window: Window, findings: Findings, place: str, budget: Budget) -> int:
    """Check the layout; returns the offset of the first tensor."""
    length = int.from_bytes(window.read(0, LENGTH_SIZE), "little")
    lead = window.read(0, LENGTH_SIZE + min(length, MAX_HEADER))
    try:
        values = budget.spend_json(lead)
        parse_header_bytes(lead, size=window.size, where="header", max_values=min(values, MAX_HEADER_VALUES))
    except (FormatError, LimitError) as error:
        findings.add("safetensors-invalid", place, str(error))
    return LENGTH_SIZE + length
