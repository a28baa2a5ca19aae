# SPDX-License-Identifier: Apache-2.0
"""Which holders have held a root of this vault, as an erasure is as sure as the weakest; and which people are on hold. A page of the tree."""

import datetime as dt
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io import Record, canonical, loads
from lifeseal.erasure._holders import RootHolder, Strength
from lifeseal.erasure._layout import FORMAT
from lifeseal.erasure._nodes import Head, State
from lifeseal.erasure._tree import Edit
from lifeseal.erasure._values import HolderRecord, HolderState
from lifeseal.errors import FormatError, LimitError, StateError

_MAX_OTHERS = 1000
_STATES: dict[str, HolderState] = {name: name for name in ("begun", "left", "scheduled", "destroyed")}


@attrs.frozen(kw_only=True)
class History:
    """What a vault knows of its holders and of holds on people; of a vault that never moved and has none, nothing.

    Attributes:
        since: First epoch under the holder in force.
        others: Every other one that has held a root, or may have, in the order in which they came.
        holds: Why people are on hold, by pseudonym; by the empty text, why everybody is.
    """

    since: int = 1
    others: tuple[HolderRecord, ...] = ()
    holds: dict[str, str] = attrs.field(factory=dict)

    def begun(self, home: RootHolder, epoch: int) -> Self:
        """Note that a holder will get a root after an epoch."""
        return attrs.evolve(self, others=(*self.others, record_of(home, since=epoch, state="begun")))

    def moved(self, old: RootHolder, entry: HolderRecord, *, until: int, since: int) -> Self:
        """Note that a holder that was begun took over at an epoch, and until when the old one held the root."""
        left = attrs.evolve(record_of(old, since=self.since, state="left"), until=until)
        return attrs.evolve(self, since=since, others=(*(other for other in self.others if other != entry), left))

    def ended(self, entry: HolderRecord, *, state: HolderState, epoch: int, when: str, due: dt.datetime | None = None) -> Self:
        """Note what became of a holder's root, and when; ``epoch`` is in force."""
        return self.noted(entry, attrs.evolve(entry, state=state, until=entry.until or epoch, when=when, due=due))

    def noted(self, entry: HolderRecord, now: HolderRecord) -> Self:
        """Write down an entry otherwise."""
        return attrs.evolve(self, others=tuple(now if other == entry else other for other in self.others))

    def find(self, holder: RootHolder) -> HolderRecord | None:
        """Find the entry of a holder that may still hold a root: by all that names it, or by its key alone if only one has that."""
        open_ = [other for other in self.others if other.state != "destroyed" and same_key(other, holder)]
        exact = [other for other in open_ if other.place == place_of(holder)]
        return exact[0] if exact else open_[0] if len(open_) == 1 else None

    def reaching(self, created: int, erased: int | None = None) -> tuple[HolderRecord, ...]:
        """List the other holders whose root could open a slot.

        Args:
            created: Epoch in which it became live; 0 if that is not known.
            erased: Epoch of its erasure; those that held their last root only after it are left out. None for a live slot.
        """
        return tuple(
            other
            for other in self.others
            if (other.state == "begun" or other.until >= created)
            and (erased is None or (other.since if other.state == "begun" else other.until) < erased)
        )

    def edits(self, head: Head) -> tuple[list[Edit], Head]:
        """Say in which slot it is written, and the head that names the slot."""
        slot = head.history - 1 if head.history else head.next_page - 1
        if slot < head.next_slot:
            raise LimitError("key tree", limit=head.next_page, seen=head.next_page + 1, unit="slots")
        edit = Edit(start=slot, stop=slot + 1, state=State.PAGE, page=self.to_bytes)
        return [edit], attrs.evolve(head, next_page=min(head.next_page, slot), history=slot + 1)

    def to_bytes(self) -> bytes:
        """Write the page."""
        document: dict[str, object] = {"format": FORMAT.decode(), "since": self.since, "others": [_document(other) for other in self.others]}
        return canonical(document | ({"holds": self.holds} if self.holds else {}))

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """Read the page."""
        page = Record(loads(data, where=where), where=where)
        page.take_const("format", FORMAT.decode())
        others = tuple(_parse(item, where=where) for item in page.take_list("others", max_items=_MAX_OTHERS))
        since, holds = page.take_int("since"), page.take("holds") if "holds" in page else {}
        page.done()
        if not isinstance(holds, dict) or not all(isinstance(reason, str) and reason for reason in holds.values()):
            raise FormatError(where, "holds are written down in a way that this version does not know")
        return cls(since=since, others=others, holds=holds)


def record_of(holder: RootHolder, *, since: int, state: HolderState) -> HolderRecord:
    """Write down what a holder says of itself."""
    return HolderRecord(
        kind=holder.kind,
        fingerprint=holder.fingerprint,
        place=place_of(holder),
        strength=holder.strength,
        assurance=holder.assurance,
        retention=holder.retention,
        since=since,
        until=0,
        state=state,
        when="",
    )


def same_key(record: HolderRecord, holder: RootHolder) -> bool:
    """Tell whether a holder is of the same kind and key as one that was written down."""
    return (record.kind, record.fingerprint) == (holder.kind, holder.fingerprint)


def place_of(holder: RootHolder) -> str:
    """Name the file of a holder that is a file; else its kind and key name it."""
    return "" if holder.location is None else str(Path(holder.location).absolute())


def weakest(records: tuple[HolderRecord, ...]) -> str:
    """Return what the weakest of several holders say of themselves."""
    least = min(record.strength for record in records)
    return " ".join(dict.fromkeys(record.assurance for record in records if record.strength is least))


def irreversible_since(records: tuple[HolderRecord, ...], now: str) -> str:
    """Tell from when on no copy of a destroyed root can exist, as far as somebody stands for that.

    Args:
        records: Of every holder whose root could open what was erased.
        now: Time at which the one in force destroyed its root.

    Returns:
        UTC, RFC 3339; ``unknown`` if a root is not destroyed, or nobody says how long a copy may live.
    """
    ends = []
    for record in records:
        if record.retention is None or record.state not in {"in force", "destroyed"}:
            return "unknown"
        ends.append(dt.datetime.fromisoformat(now if record.state == "in force" else record.when) + record.retention)
    return max(ends).isoformat(timespec="microseconds").replace("+00:00", "Z")


def refuse_full(history: History) -> None:
    """Refuse one more move than can be written down."""
    if len(history.others) >= _MAX_OTHERS - 1:
        raise StateError(f"the vault has moved {len(history.others)} times, and more cannot be written down; seal its assets into a new one")


def _document(record: HolderRecord) -> dict[str, object]:
    more = {"due": None if record.due is None else record.due.astimezone(dt.UTC).isoformat(timespec="seconds"), "witness": record.witness}
    return {name: value for name, value in more.items() if value} | {
        "kind": record.kind,
        "fingerprint": record.fingerprint,
        "place": record.place,
        "strength": record.strength.name.lower(),
        "assurance": record.assurance,
        "retention": None if record.retention is None else int(record.retention.total_seconds()),
        "since": record.since,
        "until": record.until,
        "state": record.state,
        "when": record.when,
    }


def _parse(item: object, *, where: str) -> HolderRecord:
    entry = Record(item, where=where)
    strength, state = entry.take_str("strength"), entry.take_str("state")
    retention = entry.take("retention")
    if strength.upper() not in Strength.__members__ or state not in _STATES or (retention is not None and type(retention) is not int):
        raise FormatError(where, "an earlier holder is written down in a way that this version does not know")
    record = HolderRecord(
        kind=entry.take_str("kind"),
        fingerprint=entry.take_str("fingerprint"),
        place=entry.take_str("place"),
        strength=Strength[strength.upper()],
        assurance=entry.take_str("assurance"),
        retention=None if retention is None else dt.timedelta(seconds=retention),
        since=entry.take_int("since"),
        until=entry.take_int("until"),
        state=_STATES[state],
        when=entry.take_str("when"),
        due=dt.datetime.fromisoformat(entry.take_str("due")) if "due" in entry else None,
        witness=entry.take_str("witness", max_length=255) if "witness" in entry else "",
    )
    entry.done()
    return record
