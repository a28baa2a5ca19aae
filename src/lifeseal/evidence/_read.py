# SPDX-License-Identifier: Apache-2.0
"""Reading the event log: each line must follow from the line before."""

import functools
import hashlib
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import attrs

from lifeseal._io import Hasher, Record, StrPath, canonical, exact_fields, loads, open_regular, parse_hex
from lifeseal.errors import FormatError, LifesealError, LimitError, RolledBackError, TamperedError
from lifeseal.principles import Event, implements, note

LOG_SCHEMA = "lifeseal.log/1"
NO_LINE = bytes(32)
MAX_LINE = 1 << 20
MAX_TORN = 2 * MAX_LINE
_BUFFER = 1 << 20
_START = canonical({"kind": "start", "prev": NO_LINE.hex(), "schema": LOG_SCHEMA, "time": ""})[:-2]
START_ROOM = len(_START) + 64
_START_PREV = range(_START.index(NO_LINE.hex().encode()), _START.index(NO_LINE.hex().encode()) + 64)
_LINE_FEED = ord("\n")
_NONE = NO_LINE.hex()
_HEX = frozenset(b"0123456789abcdef")


@attrs.frozen(kw_only=True)
class LogVerification:
    """What a read of a whole log established.

    Attributes:
        events: Number of events.
        damaged: Times a crash tore the end and a later writer closed it.
        head: Hexadecimal SHA-256 of the last line.
        head_found: Whether a head that was asked for lies in the chain and nothing was cut before it.
        previous: Hexadecimal head of the log that this one goes on from; empty if it says none.
        ended: Whether its last line says that it ended, and another log goes on.
    """

    events: int
    damaged: int
    head: str
    head_found: bool
    previous: str
    ended: bool


@implements(
    evidences=("2.3", "12.2"), limits="It finds edits to the chain, not what the log never saw; a cut tail only against a head kept elsewhere."
)
def verify(path: StrPath, *, head: str | None = None) -> LogVerification:
    """Read a log and check its chain.

    A cut tail, or another last line, shows only against a head that was kept elsewhere.

    Args:
        path: The log.
        head: A head that the log once had, hexadecimal.

    Returns:
        What was established.

    Raises:
        FormatError: It is no regular file, or a line is no log entry.
        LimitError: A line is larger than any writer makes it.
        OSError: It cannot be read.
        RolledBackError: The head asked for is nowhere in the chain: the tail was cut, or it is another log.
        TamperedError: A line does not follow from the line before: one was changed, removed, added or moved.
    """
    events = damaged = 0
    last, found, previous, kind = "", head is None, "", ""
    for entry in entries(path):
        last, kind = entry.digest, entry.kind
        if kind == "event":
            events += 1
        else:
            damaged += kind == "recovered"
            previous = entry.previous or previous
        found = found or last == head
    if not found:
        raise RolledBackError(f"{os.fspath(path)}: head {str(head)[:16]} is not in this log: its tail was cut, or it is another log")
    note(events=events, damaged=damaged, head=last)
    return LogVerification(events=events, damaged=damaged, head=last, head_found=head is not None, previous=previous, ended=kind == "end")


def read(path: StrPath) -> Iterator[Event]:
    """Read the events of a log, checking its chain on the way.

    Args:
        path: The log.

    Yields:
        The events in order.

    Raises:
        FormatError: See `verify`.
        LimitError: See `verify`.
        OSError: It cannot be read.
        TamperedError: See `verify`.
    """
    yield from (event for entry in entries(path) if (event := entry.event) is not None)


class Entry(NamedTuple):
    """One line of a log that was checked. A tuple, because a log has very many.

    Attributes:
        line: Its number, from 1.
        kind: ``start``, ``event``, ``recovered`` or ``end``.
        digest: Hexadecimal SHA-256 of the line.
        fields: What it says.
    """

    line: int
    kind: str
    digest: str
    fields: dict[str, Any]

    @property
    def event(self) -> Event | None:
        """What happened, if it is an event."""
        if self.kind != "event":
            return None
        fields = self.fields
        return Event(
            time=fields["time"],
            primitive=fields["primitive"],
            outcome=fields["outcome"],
            error=fields["error"],
            provisions=tuple(fields["provisions"]),
            facts={name: tuple(fact) if type(fact) is list else fact for name, fact in fields["facts"].items()},
        )

    @property
    def previous(self) -> str:
        """Of a first line that goes on from another log: that log's head; else empty."""
        return str(self.fields["prev"]) if self.line == 1 and self.fields["prev"] != _NONE else ""


_OTHERS = frozenset({"event", "recovered", "end"})
_LONGEST = {"time": 40, "primitive": 200, "outcome": 16, "error": 80}
_EVENT = {"kind": str, "prev": str, "provisions": list, "facts": dict, **dict.fromkeys(_LONGEST, str)}
_MAX_KIND = 32
_TEXT = frozenset({str})
_FACTS = frozenset({str, int, bool, type(None)})


def entries(path: StrPath, *, whole: Hasher | None = None) -> Iterator[Entry]:
    """Yield each entry; a line that a crash tore must be closed by the entry after it.

    Args:
        path: The log.
        whole: Takes in every byte that is read.
    """
    where = os.fspath(path)
    before = _NONE
    torn = b""
    number = 0
    ended = False
    fault: LifesealError | None = None
    with os.fdopen(open_regular(path), "rb", buffering=_BUFFER) as file:
        for number, line in enumerate(iter(functools.partial(file.readline, MAX_TORN + 2), b""), start=1):
            place = f"{where}, line {number}"
            if whole is not None:
                whole.update(memoryview(line))
            body = line[:-1] if line[-1] == _LINE_FEED else line
            try:
                fields, kind = parse_entry(body, where=place)
            except (FormatError, LimitError) as error:
                torn, fault = torn + line, fault or error
                if len(torn) > MAX_TORN or (number == 1 and not may_be_start(body)):
                    raise
                continue
            if fault is not None and kind != "recovered":
                raise fault
            if ended or number == 1 or kind != "event":
                _check_place(kind, place, first=number == 1, ended=ended)
            if body is line:
                raise FormatError(place, "the last line is torn; the next writer will close it")
            _check_fields(kind, fields, torn, place)
            if fields["prev"] != before:
                _check_previous(fields["prev"], place, first=number == 1)
            before = hashlib.sha256(body).hexdigest()
            torn, fault, ended = b"", None, kind == "end"
            yield Entry(number, kind, before, fields)
    _check_end(where, number, fault)


def _check_end(where: str, lines: int, fault: LifesealError | None) -> None:
    if lines == 0:
        raise FormatError(where, "an event log was expected; the file is empty")
    if fault is not None:
        raise FormatError(f"{where}, line {lines}", "the last line is torn; the next writer will close it")


def _check_place(kind: str, place: str, *, first: bool, ended: bool) -> None:
    if ended:
        raise FormatError(place, "the log ended with the entry before; nothing may follow")
    if kind != "start" if first else kind not in _OTHERS:
        wanted = "start" if first else " or ".join(sorted(_OTHERS))
        raise FormatError(place, f"an entry of kind {wanted} was expected, not {kind[:32]!r}")


def _check_previous(prev: str, place: str, *, first: bool) -> None:
    """Refuse another hash than that of the line before; the first line may have that of a log that it goes on from."""
    parse_hex(prev, length=32, where=f"{place}, 'prev'")
    if not first:
        raise TamperedError(f"{place}: does not follow from the line before: a line was changed, removed, added or moved")


def may_be_start(line: bytes) -> bool:
    """Tell whether this is the first line of a log, or what a crash left of one: cut short, or with zeros in it."""
    fits = (byte in {0, wanted} or (at in _START_PREV and byte in _HEX) for at, (byte, wanted) in enumerate(zip(line, _START, strict=False)))
    return len(line) < START_ROOM and all(fits)


def last_whole(tail: bytes, *, from_start: bool, where: str) -> tuple[bytes, int]:
    """Find the last line that is an entry.

    Args:
        tail: The end of a log.
        from_start: Whether it is the whole log.
        where: Name for error messages.

    Returns:
        Its hash, and the offset in ``tail`` behind it and its line feed; for none in a whole log, the hash that stands for no line, and 0.

    Raises:
        LimitError: What follows it is larger than anything a crash leaves.
    """
    stop = len(tail)
    while stop and len(tail) - stop <= MAX_TORN:
        start = tail.rfind(b"\n", 0, stop - 1) + 1
        body = tail[start:stop].removesuffix(b"\n")
        try:
            parse_entry(body, where=where)
        except (FormatError, LimitError):
            stop = start
        else:
            return hashlib.sha256(body).digest(), stop
    if not from_start or len(tail) - stop > MAX_TORN:
        raise LimitError(where, limit=MAX_TORN, seen=len(tail) - stop, unit="bytes that are no entry")
    return NO_LINE, 0


def parse_entry(line: bytes, *, where: str) -> tuple[dict[str, Any], str]:
    """Read a line as far as every kind of entry has it; the rest is checked by `verify`."""
    fields = loads(line, where=where, max_bytes=MAX_LINE, what="a log entry")
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(kind, str) or len(kind) > _MAX_KIND:
        Record(fields, where=where).take_str("kind", max_length=_MAX_KIND)
        raise FormatError(where, "a log entry was expected")
    return fields, kind


def _check_fields(kind: str, fields: dict[str, Any], torn: bytes, where: str) -> None:
    if kind == "event":
        _check_event(fields, where=where)
    else:
        _check_other(fields, torn, where=where)


def _check_event(fields: dict[str, Any], *, where: str) -> None:
    exact_fields(fields, _EVENT, where=where)
    for name, most in _LONGEST.items():
        if len(fields[name]) > most:
            raise LimitError(f"{where}, {name!r}", limit=most, seen=len(fields[name]), unit="characters")
    if not _TEXT.issuperset(map(type, fields["provisions"])):
        raise FormatError(f"{where}, 'provisions'", "an array of strings was expected")
    facts = fields["facts"]
    if not _FACTS.issuperset(map(type, facts.values())):
        for name, fact in facts.items():
            if type(fact) not in _FACTS and not (type(fact) is list and _TEXT.issuperset(map(type, fact))):
                raise FormatError(f"{where}, 'facts'", f"{name[:40]!r} holds neither text nor a number nor a list of texts")


def _check_other(fields: dict[str, Any], torn: bytes, *, where: str) -> None:
    record = Record(fields, where=where)
    record.take_const("schema", LOG_SCHEMA)
    record.take_str("time", max_length=_LONGEST["time"])
    record.take_str("prev")
    record.take_str("kind")
    if fields["kind"] == "recovered":
        record.take_int("torn", low=len(torn), high=len(torn))
        record.take_const("torn_sha256", hashlib.sha256(torn).hexdigest())
    record.done()
