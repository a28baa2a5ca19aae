# SPDX-License-Identifier: Apache-2.0
"""The event log: JSON lines, each holding the hash of the line before."""

import contextlib
import hashlib
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Self

import attrs

from lifeseal._io import Appender, StrPath, canonical, open_regular, replace, second_name
from lifeseal.attestation import Signer
from lifeseal.errors import FormatError, LifesealError, LimitError, StateError
from lifeseal.evidence._read import LOG_SCHEMA, MAX_LINE, MAX_TORN, NO_LINE, START_ROOM, last_whole, may_be_start, parse_entry
from lifeseal.principles import Event, Fact, current_sink, implements, note, now, set_process_sink, sink_for_block

_UNFLUSHED = 512 << 10
_LAST = 1024  # an entry that ends a log is shorter


class Log:
    """Appends one chained line for each call of a tagged function.

    Use it as a context manager for a block (this thread, this task), or hand it to `start` for the whole process. Several processes and
    threads may write to one log, and a forked process goes on with it. The intent of an irreversible act reaches the disk before the act;
    other lines do when the log is closed, or enough of them have gathered.

    What it does not do: a chain shows edits to its middle, not a cut tail, and whoever owns the file can write a new chain. Keep the head
    elsewhere.

    Args:
        path: The log; made if it is not there.
        key: Signs the log's head when it is closed, into ``PATH.head``; take that file elsewhere.
        on_failure: ``refuse`` raises from the call whose event cannot be written; ``warn`` logs a warning instead. The intent of an
            irreversible act always refuses.

    Raises:
        FormatError: The file is there and is no log, or it is no regular file; it is left as it is.
        LimitError: More than 2 MiB at its end are no log entries; it is left as it is.
        OSError: It cannot be opened or written.
        ValueError: Another word for ``on_failure``.
    """

    def __init__(self, path: StrPath, *, key: Signer | None = None, on_failure: Literal["refuse", "warn"] = "refuse") -> None:
        if on_failure not in {"refuse", "warn"}:
            raise ValueError("on_failure= must be 'refuse' or 'warn'")
        self._where = os.fspath(path)
        self._path = Path(path).absolute()
        self._process = os.getpid()
        self._key = key
        self._on_failure = on_failure
        self._file = Appender(path, mode=0o600)
        self._lock = threading.Lock()
        self._closed = False
        self._seen = -1
        self._flushed = -1
        self._head = NO_LINE
        self._block: AbstractContextManager[None] | None = None
        try:
            self._write(None)
        except BaseException:
            self._file.close()
            raise
        _logs.add(self)

    @property
    def head(self) -> str:
        """Hexadecimal SHA-256 of the last line this log object wrote or saw; keep it elsewhere to notice a cut tail."""
        return self._head.hex()

    def emit(self, event: Event) -> None:
        """Append one event; called by tagged functions, not by users.

        Args:
            event: What happened.

        Raises:
            FormatError: Another program wrote to the log, and the log refuses then.
            LimitError: The event is larger than 1 MiB, and the log refuses then.
            OSError: It cannot be written, and the log refuses then.
            StateError: The log is closed, and refuses then.
        """
        try:
            self._write(event)
        except (OSError, LifesealError) as error:
            if self._on_failure == "refuse" or event.outcome == "intent":
                error.add_note(f"the event log {self._where} could not be written")
                raise
            import logging

            logging.getLogger("lifeseal.evidence").warning("event log %s could not be written: %s", self._where, error)

    def close(self) -> None:
        """Bring every line to the disk and close the file; twice is no error.

        Raises:
            LifesealError: The head is to be signed, and the log's chain does not hold, or the signer refuses.
            OSError: The disk refused; the file is closed all the same.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._process == os.getpid():
                    with self._file.locked():
                        self._file.append(b"", durable=True)
            finally:
                self._file.close()
        if self._key is not None and self._process == os.getpid():
            from lifeseal.evidence._heads import sign_head

            sign_head(self._path, signer=self._key).write(f"{self._path}.head")

    def __enter__(self) -> Self:
        self._block = sink_for_block(self)
        self._block.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._block is not None:
            self._block.__exit__(None, None, None)
            self._block = None
        self.close()

    @implements(
        "2.3",
        evidences=("12.1",),
        limits="The old file is closed, not protected: keep its head elsewhere. What it holds does not show in a report of the new one.",
    )
    def rotate(self, archive: StrPath) -> None:
        """End this log under another name, and go on in a new one whose first line carries its head.

        Other writers of the log follow by themselves. Interrupted, the log is the old one, or the next writer makes the new one.

        Args:
            archive: The old log's name from now on, in the same file system.

        Raises:
            FileExistsError: Something has that name.
            OSError: The disk refused, or the file system has no hard links.
            StateError: The log is closed.
        """
        with self._lock, self._current():
            self._write_locked(None)
            second_name(self._path, archive)
            self._append([_entry("end", {"schema": LOG_SCHEMA, "time": now()})], durable=True)
            note(log=self._where, archive=os.fspath(archive), head=self._head.hex())
            self._start_anew()

    def _write(self, event: Event | None) -> None:
        with self._lock, self._current():
            self._write_locked(event)

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """Hold the lock of the file that has the log's name now; another writer may have begun a new one."""
        while True:
            if self._closed:
                raise StateError(f"{self._where}: this event log is closed")
            if self._process != os.getpid():
                self._reopen()
            with self._file.locked():
                if not self._file.replaced():
                    if not self._ended():
                        yield
                        return
                    self._start_anew()  # whoever ended the log came no further
            self._reopen()

    def _ended(self) -> bool:
        if self._file.size() in {0, self._seen}:
            return False
        line = self._file.tail(limit=_LAST).removesuffix(b"\n").rpartition(b"\n")[2]
        try:
            kind = parse_entry(line, where=self._where)[1]
        except (FormatError, LimitError):
            return False
        self._head = hashlib.sha256(line).digest()
        return kind == "end"

    def _write_locked(self, event: Event | None) -> None:
        size = self._file.size()
        lines = [] if size == self._seen else self._catch_up(size)
        if event is not None:
            lines.append(_entry("event", {**attrs.asdict(event), "facts": {name: _text(fact) for name, fact in event.facts.items()}}))
        self._append(lines, durable=event is None or event.outcome == "intent")

    def _append(self, lines: list[tuple[bytes, dict[str, object]]], *, durable: bool) -> None:
        size, head, data = self._file.size(), self._head, bytearray()
        for prefix, entry in lines:
            line = canonical({**entry, "prev": head.hex()})
            if len(line) > MAX_LINE:
                raise LimitError(f"event for {self._where}", limit=MAX_LINE, seen=len(line))
            head = hashlib.sha256(line).digest()
            data += prefix + line + b"\n"
        if data:
            # What a power cut can tear stays short enough for the next writer to close.
            durable = durable or size + len(data) - self._flushed > _UNFLUSHED
            self._file.append(bytes(data), durable=durable)
            self._flushed = size + len(data) if durable else self._flushed
        self._head, self._seen = head, size + len(data)

    def _start_anew(self) -> None:
        """Begin a new log in place of one that has ended and has another name; its first line carries the head."""
        self._seen = -1
        if os.lstat(self._path).st_nlink == 1:
            raise StateError(f"{self._where}: this event log has ended and has no other name; give it one before a new one takes its place")
        start = canonical({"kind": "start", "schema": LOG_SCHEMA, "time": now(), "prev": self._head.hex()})
        replace(self._path, start + b"\n", mode=0o600)

    def _catch_up(self, size: int) -> list[tuple[bytes, dict[str, object]]]:
        """Learn the head that another writer left; return what must be written first."""
        self._flushed = size if self._seen < 0 else self._flushed
        if size == 0:
            self._head = NO_LINE
            return [_entry("start", {"schema": LOG_SCHEMA, "time": now()})]
        with os.fdopen(open_regular(self._path), "rb") as file:
            first = file.readline(START_ROOM)
        if not may_be_start(first):
            raise FormatError(f"{self._where}, line 1", "an event log was expected; the file is left as it is")
        tail = self._file.tail(limit=MAX_TORN + MAX_LINE + 2)
        self._head, stop = last_whole(tail, from_start=len(tail) == size, where=f"{self._where}, last line")
        end = b"" if tail.endswith(b"\n") else b"\n"
        torn = tail[stop:] + end if stop < len(tail) else b""
        if not torn and not end:
            return []
        facts = {"schema": LOG_SCHEMA, "time": now(), "torn": len(torn), "torn_sha256": hashlib.sha256(torn).hexdigest()}
        return [(end, {"kind": "recovered", **facts})]

    def _reopen(self) -> None:
        """Take the file that has the log's name now: after a fork, where the old descriptor shares its lock with the parent, or a rotation."""
        old, self._file = self._file, Appender(self._path, mode=0o600)
        self._process = os.getpid()
        self._seen = -1
        old.close()


_logs: weakref.WeakSet[Log] = weakref.WeakSet()


def _renew_locks() -> None:
    _ProcessLog.lock = threading.Lock()
    for log in _logs:
        log._lock = threading.Lock()  # noqa: SLF001 - another thread of the parent may have held it when this process was forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class _ProcessLog:
    current: Log | None = None
    lock = threading.Lock()


@implements("2.3", evidences=("12.1",), limits="It records calls of this library; what else the process does, and who used it, it cannot see.")
def start(path: StrPath, *, key: Signer | None = None, on_failure: Literal["refuse", "warn"] = "refuse") -> Log:
    """Log every tagged call of this process, in all its threads, until `stop`.

    Args:
        path: See `Log`.
        key: See `Log`.
        on_failure: See `Log`.

    Returns:
        The log.

    Raises:
        FormatError: See `Log`.
        OSError: See `Log`.
        StateError: A log was started already.
    """
    with _ProcessLog.lock:
        if _ProcessLog.current is not None:
            raise StateError("a log of this process was started already; stop it first")
        log = Log(path, key=key, on_failure=on_failure)
        _ProcessLog.current = log
        set_process_sink(log)
    return log


def stop() -> None:
    """End the log that `start` began, and bring it to the disk; without one, do nothing."""
    with _ProcessLog.lock:
        log, _ProcessLog.current = _ProcessLog.current, None
        set_process_sink(None)
    if log is not None:
        log.close()


def current_head() -> str:
    """Return the head of the log that hears this block or process, to be put into what is signed and kept elsewhere.

    Returns:
        64 hexadecimal digits, for ``log_head`` of a release, a certificate or a statement, and later for ``head=`` of `verify`; empty where
        no log listens.
    """
    sink = current_sink()
    return sink.head if isinstance(sink, Log) else ""


def _entry(kind: str, fields: dict[str, object]) -> tuple[bytes, dict[str, object]]:
    return b"", {"kind": kind, **fields}


def _text(fact: Fact) -> Fact:
    """Write what is not Unicode, as in a file's name, with escapes."""
    if isinstance(fact, str):
        return fact.encode("utf-8", "backslashreplace").decode()
    return tuple(str(_text(item)) for item in fact) if isinstance(fact, tuple | list) else fact
