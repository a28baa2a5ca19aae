# SPDX-License-Identifier: Apache-2.0
"""What a file is, by its bytes alone, and what reading it could do."""

from typing import Final

from lifeseal.errors import LimitError
from lifeseal.serialization._archive import judge_zip
from lifeseal.serialization._beside import Reference
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._embedded import look_behind, look_within
from lifeseal.serialization._formats import FORMATS, HEAD, MAY_ANNOUNCE
from lifeseal.serialization._hdf5 import look_further
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._tar import is_tar, members_of_tar
from lifeseal.serialization._text import encoding_of, judge_text
from lifeseal.serialization._window import PartWindow, Window
from lifeseal.serialization._zip_end import LOCAL, ends_within, has_end, split_row

_PROTO: Final = 0x80
_PROTOCOLS: Final = frozenset({b"\2", b"\3", b"\4", b"\5"})


def judge_window(window: Window, findings: Findings, *, allow: frozenset[str], search: bool) -> tuple[str, dict[Reference, int]]:
    """Judge all of a file.

    Args:
        window: Its bytes.
        findings: Gets what is wrong with it.
        allow: Full names of globals that the caller trusts.
        search: Whether unknown content is searched for pickles.

    Returns:
        Its format, and the files that are read beside it, with how many bytes each must have.

    Raises:
        FormatError: The file shrank while it was read.
        OSError: It cannot be read.
    """
    context = Context(findings=findings, allow=allow, budget=Budget(window.size), judge=judge, search=search)
    return judge(window, context), context.references


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
    head = window.read(0, HEAD)
    if not head:
        return "empty"
    begins = head.startswith(LOCAL)
    if begins or (has_end(window) and not _holds_archives(window, head, context)):
        if not begins:
            context.say("zip-structure", "", "begins as another format and ends as an archive")
            _judge_single(window, head, context)
        return _judge_row(window, context) if begins else judge_zip(window, context)
    return _judge_single(window, head, context)


def _holds_archives(window: Window, head: bytes, context: Context) -> bool:
    """Tell whether it is a tar file whose last files are archives, each judged by itself: a checkpoint within a .nemo ends like that."""
    return is_tar(head) and ends_within(window, members_of_tar(window, context))


def _judge_row(window: Window, context: Context) -> str:
    """Judge one archive, or several that stand one behind the other."""
    parts = split_row(window)
    formats = {
        judge_zip(PartWindow(window, start, size), context if len(parts) == 1 else context.inside(f"archive at byte {start}"))
        for start, size in parts
    }
    return formats.pop() if len(formats) == 1 else "zip"


def _judge_single(window: Window, head: bytes, context: Context) -> str:
    as_pickle = Findings()
    announced = head[0] == _PROTO and head[1:2] in _PROTOCOLS
    for known in MAY_ANNOUNCE if announced else FORMATS:
        if known.matches(head, window):
            found = known.judge(window, context)
            stream = judge_stream(window, context.aside(as_pickle))
            reads = (stream.imported or stream.acted or stream.stopped) and not as_pickle.rules <= known.as_pickle
            if reads:
                context.findings.extend(as_pickle)
            if reads or stream.completed:
                context.say("mixed", "", "a file that an unpickler reads too")
            return found
    stream = judge_stream(window, context.aside(as_pickle), may_be_legacy=True)
    is_pickle = head[0] == _PROTO or stream.acted or stream.runs_on_import or stream.stopped or (stream.completed > 0 and stream.clean)
    if not is_pickle:
        encoding = encoding_of(window)
        if encoding:
            return judge_text(window, encoding, context)
    if is_pickle or stream.completed:
        context.findings.extend(as_pickle)
        if not stream.clean and not stream.legacy:
            look_behind(window, stream, context)
        return "torch-legacy" if stream.legacy else "joblib" if stream.is_joblib else "pickle"
    context.say("unknown-format", "", "bytes of no known format; what reading them does cannot be said")
    if context.search or context.depth:
        look_within(window, context)
    return "unknown"


def search_window(window: Window, findings: Findings, *, allow: frozenset[str]) -> None:
    """Search a file that was judged unknown for pickles.

    Args:
        window: Its bytes.
        findings: Gets what is found.
        allow: Full names of globals that the caller trusts.
    """
    look_within(window, Context(findings=findings, allow=allow, budget=Budget(window.size), judge=judge))
