# SPDX-License-Identifier: Apache-2.0
"""Tar archives: every member that a reader could see, and whether readers could differ.

Source: CPython 3.11 ``Lib/tarfile.py``; POSIX.1-2017 ``pax``, "ustar Interchange Format"; GNU tar "Basic Tar Format".
"""

from collections.abc import Iterator
from typing import Final

import attrs

from lifeseal.serialization._context import Context
from lifeseal.serialization._embedded import look_within
from lifeseal.serialization._rules import Findings, shown
from lifeseal.serialization._torch_tar import MEMBERS, judge_torch_tar
from lifeseal.serialization._window import PartWindow, Window

BLOCK: Final = 512
_SUM: Final = slice(148, 156)
_BINARY: Final = {0o200: 0, 0o377: 1 << 56}
_SPACES: Final = 8 * 0x20
_REGULAR: Final = frozenset(b"\0" + b"07")
_FOLDER: Final = ord("5")
_LINKS: Final = frozenset(b"12")
_LONG_NAME: Final = ord("L")
_LONG_LINK: Final = ord("K")
_GLOBAL: Final = ord("g")
_BEFORE: Final = frozenset(b"LKxXg")
_MAX_EXTENDED: Final = 1 << 16


@attrs.frozen(kw_only=True)
class _Member:
    name: str
    kind: int
    start: int
    size: int
    doubtful: bool


def is_tar(head: bytes) -> bool:
    """Tell whether the first block holds its own checksum, added up in either way that readers do."""
    if len(head) < BLOCK:
        return False
    block = head[:BLOCK]
    counted = block[: _SUM.start] + block[_SUM.stop :]
    unsigned = sum(counted) + _SPACES
    signed = unsigned - 256 * sum(byte >= 0x80 for byte in counted)  # noqa: PLR2004 - the sign bit
    return _number(block[_SUM]) in {unsigned, signed}


def judge_tar(window: Window, context: Context) -> str:
    """Judge an archive by its members; returns ``tar`` or ``torch-tar``."""
    members = list(_members(window, context))
    by_name = {member.name.removeprefix("./"): PartWindow(window, member.start, member.size) for member in members if member.kind in _REGULAR}
    if len(by_name) < sum(member.kind in _REGULAR for member in members):
        context.say("tar-structure", "", "two members have one name, and readers differ in which they take")
    of_torch = by_name.keys() >= MEMBERS
    if of_torch:
        judge_torch_tar(by_name, context)
    for member in members:
        place = repr(shown(member.name))
        if member.kind in _LINKS:
            context.say("tar-link", place, "a link")
        elif member.kind not in _REGULAR and member.kind != _FOLDER:
            context.say("tar-structure", place, "a member that is no file, folder or link")
        if member.name.startswith("/") or ".." in member.name.split("/") or "\\" in member.name:
            context.say("tar-name", place, "the name leads outside, or readers differ in what it says")
        if member.kind in _REGULAR and not (of_torch and member.name.removeprefix("./") in MEMBERS):
            context.budget.spend(64, context.place)
            content = PartWindow(window, member.start, member.size)
            context.judge(content, context.inside(place))
            if member.doubtful:  # PyTorch may know it by another name, and step over bytes that are judged here as a pickle's
                look_within(content, context.inside(place))
    return "torch-tar" if of_torch else "tar"


def members_of_tar(window: Window, context: Context) -> list[tuple[int, int]]:
    """List offset and size of every file that `judge_tar` judges by itself; none where readers could differ in what the files are."""
    own = Findings()
    members = [member for member in _members(window, context.aside(own)) if member.kind in _REGULAR]
    if own.listed() or {member.name.removeprefix("./") for member in members} >= MEMBERS:
        return []
    return [(member.start, member.size) for member in members]


@attrs.define
class _Ahead:
    """What the headers in front of a member say of it.

    Attributes:
        long_name: Its name, as GNU tar writes it.
        records: What extended headers say.
        named: How often it was named, as far as every reader can tell.
    """

    long_name: str = ""
    records: dict[str, str] = attrs.field(factory=dict)
    named: int = 0

    def take(self, kind: int, content: bytes) -> None:
        """Take in one header."""
        if kind == _LONG_NAME:
            self.long_name = _text(content)
            self.named += 1
        elif kind != _LONG_LINK:
            records = _records(content)
            self.named += 2 if records is None else "path" in records
            self.records |= records or {}

    def name(self, block: bytes) -> str:
        """Return the name of the member with this header of its own."""
        prefix = _text(block[345:500]) + "/" if block[257:263] == b"ustar\0" and block[345] else ""
        return self.records.get("path") or self.long_name or prefix + _text(block[:100])

    @property
    def states_size(self) -> bool:
        """Whether a size is stated, besides that of the member's own header."""
        return "size" in self.records or any(key.startswith("GNU.sparse") for key in self.records)


def _members(window: Window, context: Context) -> Iterator[_Member]:
    position = 0
    ahead = _Ahead()
    while position < window.size:
        block = window.read(position, BLOCK)
        if not block.strip(b"\0"):
            _judge_end(window, context, position)
            return
        size = _checked_size(block, position, context)
        if size is None:
            return
        kind, start = block[156], position + BLOCK
        if kind in _BEFORE:
            ahead.take(kind, window.read(start, min(size, _MAX_EXTENDED)))
            if size > _MAX_EXTENDED or (kind == _GLOBAL and "path" in ahead.records):
                context.say("tar-structure", f"byte {position}", "a member that changes names for others")
        else:
            size = 0 if kind in _LINKS or kind == _FOLDER else size
            name = ahead.name(block)
            doubtful = ahead.named > 1 or (size > 0 and name.endswith("/"))
            if doubtful:
                context.say("tar-structure", repr(shown(name)), "readers differ in what it is called, or whether it is a folder")
            if ahead.states_size:
                context.say("tar-structure", repr(shown(name)), "its size is stated twice, and readers differ in which they take")
            if start + size > window.size:
                context.say("tar-structure", repr(shown(name)), "ends behind the end of the archive")
            yield _Member(name=name, kind=kind, start=start, size=size, doubtful=doubtful)
            ahead = _Ahead()
        position = start + -(-size // BLOCK) * BLOCK
    context.say("tar-structure", "end", "the end of the archive is missing")


def _checked_size(block: bytes, position: int, context: Context) -> int | None:
    """Return the size that a member's header states; None and a finding where reading ends."""
    context.budget.members -= 1
    size = _number(block[124:136]) if is_tar(block) else None
    if context.budget.members < 0:
        context.say("limit", f"byte {position}", "more members than are read of one file")
        return None
    if size is None or size < 0:
        context.say("tar-structure", f"byte {position}", "a member's header, with its size, was expected")
        return None
    return size


def _judge_end(window: Window, context: Context, position: int) -> None:
    """Refuse anything but zeros behind the end: another archive could follow, which some readers go on to."""
    if window.size - position < 2 * BLOCK:
        context.say("tar-structure", "end", "the end of the archive is cut")
    tail = window.read(position, min(window.size - position, 1 << 20))
    if tail.strip(b"\0") or position + len(tail) < window.size:
        context.say("tar-structure", f"byte {position}", "bytes behind the end of the archive")
        rest = tail.lstrip(b"\0")
        if rest:
            start = (position + len(tail) - len(rest)) // BLOCK * BLOCK
            context.judge(PartWindow(window, start, window.size - start), context.inside(f"byte {start}"))


def _number(field: bytes) -> int | None:
    if field[0] in _BINARY:
        return int.from_bytes(field[1:], "big") - _BINARY[field[0]]
    try:
        return int(field.partition(b"\0")[0].decode("ascii").strip() or "0", 8)
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _records(content: bytes) -> dict[str, str] | None:
    """Parse the records of an extended header, each with its own length in front; None unless that is all it holds."""
    found: dict[str, str] = {}
    while content:
        length, _, _ = content.partition(b" ")
        size = int(length) if length.isdigit() and len(length) < 8 else 0  # noqa: PLR2004
        if not len(length) + 1 < size <= len(content):
            return None
        key, _, value = content[len(length) + 1 : size - 1].partition(b"=")
        found[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
        content = content[size:]
    return found
