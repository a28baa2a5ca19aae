# SPDX-License-Identifier: Apache-2.0
"""A log folded into what an assessor asks: verdicts by provision, refusals, artefacts, changes, reviews. Memory is bounded."""

import collections
import os
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import attrs

from lifeseal import errors
from lifeseal._io import StrPath, new_hasher
from lifeseal.evidence._read import entries
from lifeseal.principles import UK, Event, Fact, Level, implements, load_all, note, provisions

T = TypeVar("T")
Verdict: TypeAlias = Literal["pass", "fail", "inconclusive"]
_KEPT = 200  # refusals and changes that are shown; all are counted
_MOST = 2000  # artefacts, days and names told apart; what comes later is counted together
_LINES = 5
_OF_THE_LOG = (f"{UK}2.3", f"{UK}12.1")  # audit trail, record of what a system does: what a log is evidence for, whatever it holds
_REST = "(others)"
_ABOUT = ("subject", "file", "model", "asset", "manifest", "path", "tracked", "vault")
# A call that ends so says nothing of the artefact: the place or the caller was at fault.
_NO_VERDICT = frozenset(
    {"StoreError", "LockedError", "MissingExtraError", "CredentialError", "LimitError", "PendingError", "LifesealError", "StateError"}
)
_REFUSALS = frozenset(errors.__all__) - _NO_VERDICT
_UNSAFE = "UnsafeError"  # what a loader would raise where a scan says it
_AS_MEANT = "DestroyedError"  # a refusal to be shown, and no fault: what was erased stays so


@attrs.define(kw_only=True)
class Tally:
    """What a log says about one provision.

    Attributes:
        provision: UK id.
        passed: Calls that implement it and ended well.
        failed: Calls that implement it and refused or found a fault.
        unfinished: Calls that implement it and ended otherwise, as without rights or interrupted.
        evidence: Calls that only leave evidence for it; the log itself counts as one for an audit trail (2.3) and a record of use (12.1).
        lines: Numbers of some of the lines that decide.
    """

    provision: str
    passed: int = 0
    failed: int = 0
    unfinished: int = 0
    evidence: int = 0
    lines: list[int] = attrs.Factory(list)

    @property
    def verdict(self) -> Verdict:
        """A failure wins; without a call that implements the provision nothing is concluded. Words of ETSI TS 104 216."""
        return "fail" if self.failed else "pass" if self.passed else "inconclusive"


@attrs.frozen(kw_only=True)
class Refusal:
    """A call that refused or found a fault.

    Attributes:
        line: Of the log.
        time: As logged.
        primitive: Full name of the function.
        error: Name of the error's class.
        about: Digest, file or folder it was about, as far as it was noted.
    """

    line: int
    time: str
    primitive: str
    error: str
    about: str


@attrs.define(kw_only=True)
class Artefact:
    """Something with a digest.

    Attributes:
        digest: As noted.
        calls: Ended calls by function, well and not well.
        last: Time of the last.
    """

    digest: str
    calls: collections.Counter[tuple[str, str]] = attrs.Factory(collections.Counter)
    last: str = ""


@attrs.frozen(kw_only=True)
class Change:
    """A tracked thing that became another.

    Attributes:
        line: Of the log.
        time: As logged.
        name: As tracked.
        before: Its digest until then; empty the first time.
        after: Its digest from then on.
    """

    line: int
    time: str
    name: str
    before: str
    after: str


@attrs.frozen(kw_only=True)
class Review:
    """A review, and what has changed since.

    Attributes:
        line: Of the log.
        time: As logged.
        document: Digest of the review.
        reviewer: Who answers for it.
        risks: Risks left open.
        covers: Names of what it was made of.
        stale: Those that are another now.
    """

    line: int
    time: str
    document: str
    reviewer: str
    risks: tuple[str, ...]
    covers: tuple[str, ...]
    stale: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Summary:
    """What a verified log says.

    Attributes:
        log: Its name.
        digest: Hexadecimal SHA-256 of the whole file.
        head: Hexadecimal SHA-256 of its last line.
        previous: Head of the log that it goes on from, or empty.
        first: Time of its first event, or empty.
        last: Time of its last event, or empty.
        events: Number of events.
        damaged: Times a crash tore its end.
        tallies: By provision, in the Code's order; then ids that this version does not know.
        refused: Number of refusals.
        refusals: The latest of them.
        artefacts: By digest, in the order seen.
        changes: The latest changes of what is tracked.
        reviews: The latest review of each document.
        days: Calls that ended well, refused, and otherwise, by day.
        calls: Calls by function.
    """

    log: str
    digest: str
    head: str
    previous: str
    first: str
    last: str
    events: int
    damaged: int
    tallies: tuple[Tally, ...]
    refused: int
    refusals: tuple[Refusal, ...]
    artefacts: tuple[Artefact, ...]
    changes: tuple[Change, ...]
    reviews: tuple[Review, ...]
    days: dict[str, tuple[int, int, int]]
    calls: dict[str, int]

    @property
    def open_risks(self) -> tuple[str, ...]:
        """Risks that the latest reviews leave open, each once."""
        return tuple(dict.fromkeys(risk for review in self.reviews for risk in review.risks))


@implements(evidences=("2.3", "12.1", "12.2"), limits="It counts what the log says; what was never logged it cannot know.")
def summarise(log: StrPath) -> Summary:
    """Read a whole log, check its chain, and fold it.

    Args:
        log: The file.

    Returns:
        The summary.

    Raises:
        FormatError: See `verify`.
        LimitError: See `verify`.
        OSError: It cannot be read.
        TamperedError: See `verify`.
    """
    fold = _Fold()
    head = previous = ""
    damaged = 0
    whole = new_hasher("sha256")
    for entry in entries(log, whole=whole):
        head, previous = entry.digest, previous or entry.previous
        damaged += entry.kind == "recovered"
        if (event := entry.event) is not None:
            fold.add(entry.line, event)
    note(head=head, events=fold.events)
    return fold.summary(log=os.fspath(log), digest=whole.digest().hex(), head=head, previous=previous, damaged=damaged)


def outcome(event: Event) -> Literal["pass", "fail", "unfinished", "intent"]:
    """Tell whether a call ended well, refused what it was given or found it unsafe, or ended otherwise."""
    if event.outcome == "intent":
        return "intent"
    if event.outcome == "pass":
        return "fail" if event.facts.get("verdict") == "unsafe" else "pass"
    return "fail" if event.error in _REFUSALS else "unfinished"


class _Bounded(dict[str, T]):
    """As many entries as may be told apart; what comes later shares one."""

    def __init__(self, make: Callable[[str], T]) -> None:
        super().__init__()
        self._make = make

    def of(self, key: str) -> T:
        if key not in self:
            key = key if len(self) < _MOST else _REST
            self.setdefault(key, self._make(key))
        return self[key]


class _Fold:
    def __init__(self) -> None:
        self._tags = load_all()
        self.events = 0
        self._first = self._last = ""
        self._tallies = _Bounded(lambda provision: Tally(provision=provision))
        self._refused = 0
        self._refusals: collections.deque[Refusal] = collections.deque(maxlen=_KEPT)
        self._artefacts = _Bounded(lambda digest: Artefact(digest=digest))
        self._changes: collections.deque[Change] = collections.deque(maxlen=_KEPT)
        self._now: dict[str, str] = {}
        self._reviews: dict[str, tuple[int, Event]] = {}
        self._days = _Bounded(lambda _: [0, 0, 0])
        self._calls = _Bounded(lambda _: [0])

    def add(self, line: int, event: Event) -> None:
        """Take in one event."""
        if not self.events:
            for provision in _OF_THE_LOG:
                self._tallies.of(provision).evidence += 1
        self.events += 1
        self._first = self._first or event.time
        self._last = event.time
        how = outcome(event)
        self._calls.of(event.primitive)[0] += 1
        if how == "intent":
            return
        self._days.of(event.time[:10])[("pass", "fail", "unfinished").index(how)] += 1
        self._count(line, event, how)
        digest = event.facts.get("subject")
        if isinstance(digest, str):
            artefact = self._artefacts.of(digest)
            artefact.calls[event.primitive.removeprefix("lifeseal."), how] += 1
            artefact.last = event.time
        if how == "fail":
            self._refused += 1
            self._refusals.append(
                Refusal(line=line, time=event.time, primitive=event.primitive, error=event.error or _UNSAFE, about=_about(event.facts))
            )
        elif how == "pass":
            self._follow(line, event)

    def _count(self, line: int, event: Event, how: str) -> None:
        primitive = self._tags.get(event.primitive)
        controls = {tag.provision for tag in primitive.tags if tag.level is Level.IMPLEMENTS} if primitive else set()
        for provision in event.provisions:
            tally = self._tallies.of(provision)
            if provision not in controls:
                tally.evidence += 1
                continue
            before = tally.verdict
            tally.passed += how == "pass"
            as_meant = event.error == _AS_MEANT
            tally.failed += how == "fail" and not as_meant
            tally.unfinished += how == "unfinished" or as_meant
            if tally.verdict != before:
                tally.lines.clear()
            if len(tally.lines) < _LINES and how == tally.verdict and not as_meant:
                tally.lines.append(line)

    def _follow(self, line: int, event: Event) -> None:
        name, after = event.facts.get("tracked"), event.facts.get("subject")
        if isinstance(name, str) and isinstance(after, str) and (name in self._now or len(self._now) < _MOST):
            before = self._now.get(name, "")
            self._now[name] = after
            if before != after:
                self._changes.append(Change(line=line, time=event.time, name=name, before=before, after=after))
        document = event.facts.get("review")
        if isinstance(document, str) and (document in self._reviews or len(self._reviews) < _MOST):
            self._reviews[document] = line, event

    def summary(self, *, log: str, digest: str, head: str, previous: str, damaged: int) -> Summary:
        """Return what was taken in."""
        order = {provision: place for place, provision in enumerate(provisions())}
        tallies = sorted(self._tallies.values(), key=lambda tally: (order.get(tally.provision, len(order)), tally.provision))
        return Summary(
            log=log,
            digest=digest,
            head=head,
            previous=previous,
            first=self._first,
            last=self._last,
            events=self.events,
            damaged=damaged,
            tallies=tuple(tallies),
            refused=self._refused,
            refusals=tuple(self._refusals),
            artefacts=tuple(self._artefacts.values()),
            changes=tuple(self._changes),
            reviews=tuple(self._review(line, event) for line, event in self._reviews.values()),
            days={day: (counts[0], counts[1], counts[2]) for day, counts in sorted(self._days.items())},
            calls={name: count[0] for name, count in sorted(self._calls.items())},
        )

    def _review(self, line: int, event: Event) -> Review:
        pairs = [text.rpartition("=")[::2] for text in _texts(event.facts.get("covers"))]
        return Review(
            line=line,
            time=event.time,
            document=str(event.facts.get("review")),
            reviewer=str(event.facts.get("reviewer", "")),
            risks=_texts(event.facts.get("risks")),
            covers=tuple(name for name, _ in pairs),
            stale=tuple(name for name, digest in pairs if self._now.get(name, digest) != digest),
        )


def _texts(fact: Fact) -> tuple[str, ...]:
    return fact if isinstance(fact, tuple) else ()


def _about(facts: dict[str, Fact]) -> str:
    """Name what a call was about, by what it noted."""
    return next((str(facts[name]) for name in _ABOUT if facts.get(name)), "")
