# SPDX-License-Identifier: Apache-2.0
"""The event log: JSON lines, each holding the hash of the line before."""

import hashlib
import logging
import os
import pathlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, Self

import attrs

from lifeseal._io import Appender, Record, StrPath, canonical, loads
from lifeseal.errors import FormatError, LimitError, RolledBackError, StateError
from lifeseal.principles import Event, Fact, now, set_process_sink, sink_for_block

LOG_SCHEMA = "lifeseal.log/1"
NO_LINE = bytes(32)
MAX_LINE = 1 << 20
_logger = logging.getLogger("lifeseal.evidence")


class Log:
    """Appends one chained line for each call of a tagged function.

    Use it as a context manager for a block (this thread, this task), or hand it to `start` for the whole process. Several processes and
    threads may write to one log. The intent of an irreversible act reaches the disk before the act; other lines do when the log is closed.

    What it does not do: a chain shows edits to its middle, not a cut tail, and whoever owns the file can write a new chain. Keep the head
    elsewhere.

    Args:
        path: The log; made if it is not there.
        on_failure: ``refuse`` raises from the call whose event cannot be written; ``warn`` logs a warning instead. The intent of an
            irreversible act always refuses.

    Raises:
        FormatError: The file is there and its last line is no log entry.
        OSError: It cannot be opened or written.
        ValueError: Another word for ``on_failure``.
    """

    def __init__(self, path: StrPath, *, on_failure: Literal["refuse", "warn"] = "refuse") -> None:
        if on_failure not in {"refuse", "warn"}:
            raise ValueError("on_failure= must be 'refuse' or 'warn'")
        self._where = os.fspath(path)
        self._on_failure = on_failure
        self._file = Appender(path, mode=0o600)
        self._lock = threading.Lock()
        self._seen = -1
        self._head = NO_LINE
        self._block: AbstractContextManager[None] | None = None
        try:
            self._write(None)
        except BaseException:
            self._file.close()
            raise

    @property
    def head(self) -> str:
        """Hexadecimal SHA-256 of the last line this log object wrote or saw; keep it elsewhere to notice a cut tail."""
        return self._head.hex()

    def emit(self, event: Event) -> None:
        """Append one event; called by tagged functions, not by users.

        Args:
            event: What happened.

        Raises:
            OSError: It cannot be written, and the log refuses then.
        """
        try:
            self._write(event)
        except OSError as error:
            if self._on_failure == "refuse" or event.outcome == "intent":
                error.add_note(f"the event log {self._where} could not be written")
                raise
            _logger.warning("event log %s could not be written: %s", self._where, error)

    def close(self) -> None:
        """Bring every line to the disk and close the file."""
        with self._lock, self._file.locked():
            self._file.append(b"", durable=True)
        self._file.close()

    def __enter__(self) -> Self:
        self._block = sink_for_block(self)
        self._block.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._block is not None:
            self._block.__exit__(None, None, None)
            self._block = None
        self.close()

    def _write(self, event: Event | None) -> None:
        with self._lock, self._file.locked():
            lines = self._catch_up()
            if event is not None:
                lines.append(_entry("event", attrs.asdict(event)))
            if lines:
                data = bytearray()
                head = self._head
                for prefix, entry in lines:
                    line = canonical({**entry, "prev": head.hex()})
                    if len(line) > MAX_LINE:
                        raise LimitError(f"event for {self._where}", limit=MAX_LINE, seen=len(line))
                    head = hashlib.sha256(line).digest()
                    data += prefix + line + b"\n"
                self._file.append(bytes(data), durable=event is None or event.outcome == "intent")
                self._head = head
                self._seen += len(data)

    def _catch_up(self) -> list[tuple[bytes, dict[str, object]]]:
        """Learn the head if another writer was here; return what must be written first."""
        size = self._file.size()
        if size == self._seen:
            return []
        self._seen = size
        if size == 0:
            return [_entry("start", {"schema": LOG_SCHEMA, "time": now()})]
        tail = self._file.tail(limit=MAX_LINE + 1)
        last = tail.removesuffix(b"\n").rpartition(b"\n")[2]
        self._head = hashlib.sha256(last).digest()
        if tail.endswith(b"\n"):
            _kind(last, where=f"{self._where}, last line")
            return []
        torn = 0
        try:
            _kind(last, where=self._where)
        except FormatError:
            torn = len(last)
        return [(b"\n", {"kind": "recovered", "time": now(), "torn": torn})]


class _ProcessLog:
    current: Log | None = None


def start(path: StrPath, *, on_failure: Literal["refuse", "warn"] = "refuse") -> Log:
    """Log every tagged call of this process, in all its threads, until `stop`.

    Args:
        path: See `Log`.
        on_failure: See `Log`.

    Returns:
        The log.

    Raises:
        FormatError: See `Log`.
        OSError: See `Log`.
        StateError: A log was started already.
    """
    if _ProcessLog.current is not None:
        raise StateError("a log of this process was started already; stop it first")
    log = Log(path, on_failure=on_failure)
    _ProcessLog.current = log
    set_process_sink(log)
    return log


def stop() -> None:
    """End the log that `start` began, and bring it to the disk; without one, do nothing."""
    log, _ProcessLog.current = _ProcessLog.current, None
    set_process_sink(None)
    if log is not None:
        log.close()


@attrs.frozen(kw_only=True)
class LogVerification:
    """What a read of a whole log established.

    Attributes:
        events: Number of events.
        damaged: Lines that a crash tore and a later writer closed.
        head: Hexadecimal SHA-256 of the last line.
        head_found: Whether a head that was asked for lies in the chain and nothing was cut before it.
    """

    events: int
    damaged: int
    head: str
    head_found: bool


def verify(path: StrPath, *, head: str | None = None) -> LogVerification:
    """Read a log and check its chain.

    A cut tail shows only against a head that was kept elsewhere.

    Args:
        path: The log.
        head: A head that the log once had, hexadecimal.

    Returns:
        What was established.

    Raises:
        FormatError: A line is no log entry, or does not follow from the line before.
        OSError: It cannot be read.
        RolledBackError: The head asked for is nowhere in the chain: the tail was cut, or it is another log.
    """
    events = damaged = 0
    last, found = NO_LINE.hex(), head is None
    for _, entry, digest in _lines(path):
        events += entry == "event"
        damaged += entry == "recovered"
        last = digest
        found = found or digest == head
    if not found:
        raise RolledBackError(f"{os.fspath(path)}: head {str(head)[:16]} is not in this log: its tail was cut, or it is another log")
    return LogVerification(events=events, damaged=damaged, head=last, head_found=head is not None)


def read(path: StrPath) -> Iterator[Event]:
    """Read the events of a log, checking its chain on the way.

    Args:
        path: The log.

    Yields:
        The events in order.

    Raises:
        FormatError: See `verify`.
        OSError: It cannot be read.
    """
    for record, kind, _ in _lines(path):
        if kind == "event":
            yield _event(record)


def _entry(kind: str, fields: dict[str, object]) -> tuple[bytes, dict[str, object]]:
    return b"", {"kind": kind, **fields}


def _lines(path: StrPath) -> Iterator[tuple[Record, str, str]]:
    """Yield each entry, its kind and its line's hash; a line that a crash tore must be closed by the entry after it."""
    where = os.fspath(path)
    before = NO_LINE
    torn: bytes | None = None
    number = 0
    with pathlib.Path(path).open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 2), b""), start=1):
            place = f"{where}, line {number}"
            body = line.removesuffix(b"\n")
            if len(body) > MAX_LINE:
                raise LimitError(place, limit=MAX_LINE, seen=len(body))
            try:
                record, kind = _kind(body, where=place)
            except FormatError:
                if torn is not None or number == 1:
                    raise
                torn, before = body, hashlib.sha256(body).digest()
                continue
            wanted = {"start"} if number == 1 else {"recovered"} if torn is not None else {"event", "recovered"}
            if kind not in wanted:
                raise FormatError(place, f"an entry of kind {' or '.join(sorted(wanted))} was expected, not {kind[:32]!r}")
            if not line.endswith(b"\n"):
                raise FormatError(place, "the last line is torn; the next writer will close it")
            if record.take_hex("prev", length=32) != before:
                raise FormatError(place, "does not follow from the line before: a line was changed, removed, added or moved")
            _check_fields(record, kind, torn)
            before, torn = hashlib.sha256(body).digest(), None
            yield record, kind, before.hex()
    if number == 0:
        raise FormatError(where, "an event log was expected; the file is empty")
    if torn is not None:
        raise FormatError(f"{where}, line {number}", "the last line is torn; the next writer will close it")


def _kind(line: bytes, *, where: str) -> tuple[Record, str]:
    record = Record(loads(line, where=where, max_bytes=MAX_LINE), where=where)
    return record, record.take_str("kind", max_length=32)


def _check_fields(record: Record, kind: str, torn: bytes | None) -> None:
    if kind == "start":
        record.take_const("schema", LOG_SCHEMA)
        record.take_str("time", max_length=40)
    elif kind == "recovered":
        record.take_str("time", max_length=40)
        record.take_int("torn", low=len(torn or b""), high=len(torn or b""))
    else:
        _event(record)
    record.done()


def _event(record: Record) -> Event:
    facts: dict[str, Fact] = {}
    fields = record.take("facts")
    if not isinstance(fields, dict):
        raise FormatError(record.at("facts"), "an object was expected")
    for name, value in fields.items():
        if isinstance(value, list):
            facts[name] = tuple(str(item) for item in value)
        elif value is None or isinstance(value, str | int):
            facts[name] = value
        else:
            raise FormatError(record.at("facts"), f"{name[:40]!r} holds neither text nor a number nor a list")
    return Event(
        time=record.take_str("time", max_length=40),
        primitive=record.take_str("primitive", max_length=200),
        outcome=record.take_str("outcome", max_length=16),
        error=record.take_str("error", max_length=80),
        provisions=record.take_strs("provisions"),
        facts=facts,
    )
