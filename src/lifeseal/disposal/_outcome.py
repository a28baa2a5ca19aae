# SPDX-License-Identifier: Apache-2.0
"""What an erasure amounts to: copies of keys, holders, how sure it is, and from when on."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from lifeseal.disposal._values import KEY_STATES, DisposedAsset, HeldBy, KeyCopy, KeyState

if TYPE_CHECKING:
    from lifeseal.erasure import HolderRecord
    from lifeseal.erasure import KeyCopy as GivenCopy


@attrs.frozen(kw_only=True)
class Erased:
    """What is known of an erasure, as the journal keeps it.

    Attributes:
        before: Epoch whose root opened the keys.
        after: Epoch that opens them no more.
        time: When that was, UTC, RFC 3339.
        holders: Places that held the root.
        assurance: Of the weakest.
        is_best_effort: Whether copies of a root may exist that nobody can list.
        irreversible_since: As the holders stand for it.
        not_removed: What the disk would not let go of.
        handed_over: Who got a key before.
    """

    before: int
    after: int
    time: str
    holders: tuple[HeldBy, ...]
    assurance: str
    is_best_effort: bool
    irreversible_since: str
    not_removed: tuple[str, ...]
    handed_over: tuple[str, ...]


def recipients(copies: "Iterable[GivenCopy]") -> tuple[str, ...]:
    """Say who got a key, by the fingerprint of theirs."""
    return tuple(f"recipient {copy.recipient} ({copy.algorithm}), at epoch {copy.epoch}" for copy in copies)


def held_by(records: "Sequence[HolderRecord]") -> tuple[HeldBy, ...]:
    """Say for a certificate which holders there were: without the paths of their files, the one in force last."""
    ordered = sorted(records, key=lambda record: (record.state == "in force", record.since))
    return tuple(
        HeldBy(
            kind=record.kind, fingerprint=record.fingerprint, assurance=record.assurance, since=record.since, until=record.until, state=record.state
        )
        for record in ordered
    )


def is_best_effort(records: "Sequence[HolderRecord]") -> bool:
    """Tell whether copies of an old root may exist that nobody can list."""
    from lifeseal.erasure import Strength

    return any(record.strength <= Strength.BEST_EFFORT for record in records)


def weakest(records: "Sequence[HolderRecord]") -> str:
    """Return what the weakest of several holders say of themselves."""
    least = min(record.strength for record in records)
    return " ".join(dict.fromkeys(record.assurance for record in records if record.strength is least))


def irreversible_since(records: "Sequence[HolderRecord]", destroyed: str) -> str:
    """Tell from when on no copy of an old root that anybody stands for can be left.

    Args:
        records: Every holder whose root could open what was erased.
        destroyed: When the one in force destroyed its old root.

    Returns:
        UTC, RFC 3339, or ``unknown``.
    """
    ends = []
    for record in records:
        if record.retention is None or record.state not in {"in force", "destroyed"}:
            return "unknown"
        ends.append(dt.datetime.fromisoformat(destroyed if record.state == "in force" else record.when) + record.retention)
    return max(ends).isoformat(timespec="microseconds").replace("+00:00", "Z") if ends else "unknown"


def key_copies(erased: Erased, assets: Sequence[DisposedAsset], *, pending: Sequence[str]) -> tuple[KeyCopy, ...]:
    """List the copies of the keys that opened the assets; a wrapped copy is as good as what it is wrapped by.

    Args:
        erased: What is known of the erasure.
        assets: What was disposed of.
        pending: What the holders have still to destroy.

    Returns:
        The copies, the vault's own first.
    """
    keyed = sum(asset.kind != "plaintext" for asset in assets)
    state: KeyState = "scheduled" if pending else "unknown" if erased.is_best_effort else "destroyed"
    why = {
        "scheduled": f"still to be destroyed: {'; '.join(pending)}"[:1000],
        "unknown": "replaced, and read back; whether somebody has a copy from before cannot be told of such a holder",
        "destroyed": "replaced, and the holder no longer has the old one",
    }[state]
    copies = [
        KeyCopy(
            what=f"data keys of {keyed}, each wrapped by the key tree of the vault",
            holder="the vault's folder, and every copy of it",
            state=state,
            evidence=f"the tree of epoch {erased.after} is without them; older ones hang from the root before",
        ),
        *(
            KeyCopy(what="root of the key tree", holder=f"{held.kind} ({held.state})", state=_state_of(held, state), evidence=why)
            for held in erased.holders
        ),
    ]
    copies += [
        KeyCopy(what="data key", holder=recipient, state="handed-over", evidence="a recipient's copy cannot be recalled")
        for recipient in erased.handed_over
    ]
    return tuple(copies)


def worst(copies: Sequence[KeyCopy]) -> str:
    """Tell the state of the worst copy; empty if there is none."""
    return max((copy.state for copy in copies), key=KEY_STATES.index, default="")


def _state_of(held: HeldBy, state: KeyState) -> KeyState:
    """Tell what is known of the old root in one holder."""
    return {"left": "live", "begun": "live", "scheduled": "scheduled"}.get(held.state, state)  # type: ignore[return-value]
