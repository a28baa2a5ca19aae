# SPDX-License-Identifier: Apache-2.0
"""What happened: one event a call of a tagged primitive, sent to an explicit sink."""

import contextlib
import contextvars
import datetime as dt
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

if TYPE_CHECKING:
    from logging import Logger

Fact: TypeAlias = str | int | bool | tuple[str, ...] | None

LOGGER = "lifeseal.evidence"


@attrs.frozen(kw_only=True)
class Event:
    """One call of a primitive, or the intent to make an irreversible one.

    Attributes:
        time: UTC, RFC 3339; this machine's clock, which can be wrong.
        primitive: Full name of the function.
        outcome: ``pass``, ``fail`` or ``intent``.
        error: Name of the error's class if it failed, else empty.
        provisions: UK ids of the provisions the function is tagged with.
        facts: Digests, ids, counts; never content, never secrets.
    """

    time: str
    primitive: str
    outcome: str
    error: str
    provisions: tuple[str, ...]
    facts: dict[str, Fact]


class Sink(Protocol):
    """Where events go."""

    def emit(self, event: Event) -> None:
        """Take one event; raising refuses the call it stands for."""


class _ProcessSink:
    current: Sink | None = None


_block_sink: contextvars.ContextVar[Sink | None] = contextvars.ContextVar("lifeseal_sink", default=None)
_facts: contextvars.ContextVar[dict[str, Fact] | None] = contextvars.ContextVar("lifeseal_facts", default=None)


@contextlib.contextmanager
def sink_for_block(sink: Sink) -> Iterator[None]:
    """Send the events of this block to a sink (this thread or task, and what copies its context)."""
    token = _block_sink.set(sink)
    try:
        yield
    finally:
        _block_sink.reset(token)


def set_process_sink(sink: Sink | None) -> Sink | None:
    """Send the events of the whole process to a sink, or to none; returns the one before."""
    before, _ProcessSink.current = _ProcessSink.current, sink
    return before


def current_sink() -> Sink | None:
    """Return the sink that hears this block or process, or None."""
    return _block_sink.get() or _ProcessSink.current


def note(**facts: Fact) -> None:
    """Add facts to the event of the primitive that is running.

    Args:
        facts: Digests, key ids, counts, names of files; never content, never secrets.
    """
    current = _facts.get()
    if current is not None:
        current.update(facts)


@contextlib.contextmanager
def collecting(standing: Mapping[str, Fact]) -> Iterator[dict[str, Fact]]:
    """Collect the facts noted in this block, after those that stand from the beginning."""
    facts = dict(standing)
    token = _facts.set(facts)
    try:
        yield facts
    finally:
        _facts.reset(token)


def announce(primitive: str, provisions: tuple[str, ...], **facts: Fact) -> None:
    """Record the intent of an irreversible act before it begins.

    Args:
        primitive: Full name of the function.
        provisions: UK ids.
        facts: As for `note`.

    Raises:
        Exception: Whatever the sink raises; the act must then not begin.
    """
    send(Event(time=now(), primitive=primitive, outcome="intent", error="", provisions=provisions, facts=facts))


def heard() -> bool:
    """Tell whether an event would reach anybody; most calls are outside any log, and then none need be made."""
    return current_sink() is not None or _logger() is not None


def send(event: Event) -> None:
    """Hand an event to the logger ``lifeseal.evidence`` and to the sink of this block or process."""
    logger = _logger()
    if logger is not None:
        logger.info("%s %s", event.primitive, event.outcome, extra=_attributes(event))
    sink = current_sink()
    if sink is not None:
        sink.emit(event)


def _logger() -> "Logger | None":
    # Where nobody has imported logging, nobody has asked for its records; importing it here would cost everybody's start-up.
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    logger: Logger = logging.getLogger(LOGGER)
    return logger if logger.isEnabledFor(logging.INFO) else None


def _attributes(event: Event) -> dict[str, Fact]:
    """Write an event as attributes of a log record: flat, each of a type that OpenTelemetry exports."""
    found: dict[str, Fact] = {f"lifeseal.{name}": getattr(event, name) for name in ("time", "primitive", "outcome", "error", "provisions")}
    return found | {f"lifeseal.fact.{name}": fact for name, fact in event.facts.items() if fact is not None}


def now() -> str:
    """Return this machine's time, UTC, RFC 3339 with microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
