# SPDX-License-Identifier: Apache-2.0
"""From what was done and seen to what a certificate says: never "completed" where something is not, or was not looked at."""

import attrs

from lifeseal import __version__
from lifeseal.disposal._begun import Begun, listing
from lifeseal.disposal._copies import FORGOTTEN
from lifeseal.disposal._first_form import ALGORITHM, ERASURE, KEY_BITS
from lifeseal.disposal._outcome import Erased, key_copies, worst
from lifeseal.disposal._statement import NO_METHOD, PURGE, Disposal
from lifeseal.disposal._values import Attempt, Listing, Removals, Searched, Status
from lifeseal.evidence import current_head
from lifeseal.principles import now

_SHOWN = 10


@attrs.frozen(kw_only=True)
class Seen:
    """What was found when a disposal was at its end.

    Attributes:
        fates: What became of each name that was to be unlinked, by its number.
        erased: The erasure; None if nothing had a key.
        pending: What the root holder has still to do, or why it could not be asked.
        trials: Attempts to open what was erased.
        readable: Assets that were not refused as destroyed.
        unanswered: Why the attempts could not be made; empty if they were.
        sealed_again: Other assets of the vault that hold the same, or could not be compared.
        second: The second search.
        is_search_lost: Whether places are to be searched, and it is not known any more what for.
    """

    fates: dict[int, tuple[str, str]]
    erased: Erased | None
    pending: tuple[str, ...]
    trials: tuple[Attempt, ...]
    readable: tuple[str, ...]
    unanswered: str
    sealed_again: tuple[str, ...]
    second: Searched | None
    is_search_lost: bool


def certify(begun: Begun, seen: Seen, *, journal: str) -> Disposal:
    """Say what was done.

    Args:
        begun: What the disposal was begun with.
        seen: What was found at its end.
        journal: Head of the journal.

    Returns:
        What a certificate says.
    """
    removed = _removals(begun, seen)
    erased = seen.erased
    keys = () if erased is None else key_copies(erased, begun.assets, pending=(*seen.pending, *filter(None, (seen.unanswered,))))
    partial, pending = (
        _partial(begun, seen, removed),
        [f"not final yet: {text}"[:4000] for text in (*seen.pending, *filter(None, (seen.unanswered,)))],
    )
    status: Status = "partial" if partial else "pending" if pending else "completed"
    born = all(asset.kind == "sealed" and asset.born_encrypted for asset in begun.assets)
    return Disposal(
        status=status,
        reasons=(*partial, *pending),
        trigger=begun.trigger,
        request=begun.request,
        tool=f"lifeseal {__version__}",
        started=begun.started,
        finished=now(),
        sanitiser=begun.sanitiser,
        custodian=begun.custodian,
        method=PURGE if status == "completed" and born and worst(keys) == "destroyed" else NO_METHOD,
        techniques=_techniques(begun),
        algorithm=ALGORITHM if begun.keyed else "",
        key_bits=KEY_BITS if begun.keyed else 0,
        verification=_verification(begun, seen),
        vault=begun.vault,
        epoch_before=0 if erased is None else erased.before,
        epoch_after=0 if erased is None else erased.after,
        holders=() if erased is None else erased.holders,
        assurance="" if erased is None else erased.assurance,
        keys=keys,
        worst_key=worst(keys),
        irreversible_since="unknown" if erased is None or pending else erased.irreversible_since,
        trials=seen.trials,
        assets=begun.assets,
        search=begun.search,
        second_search=seen.second,
        removed=removed,
        derivatives=begun.derivatives,
        manifests=begun.manifests,
        not_searched=FORGOTTEN if begun.places else ("everything: no place was given to search", *FORGOTTEN),
        stated=begun.stated,
        approval=begun.approval,
        receipt=begun.receipt,
        journal=journal,
        log_head=current_head(),
        limitations=(*begun.limitations, *_not_removed(erased)),
    )


def _removals(begun: Begun, seen: Seen) -> Removals:
    names = {number: name.name.path for number, name in enumerate(begun.unlink)}
    by_fate: dict[str, list[str]] = {"unlinked": [], "gone": [], "left": []}
    for number, (fate, why) in seen.fates.items():
        by_fate[fate].append(f"{names[number]}: {why}" if fate == "left" else names[number])
    return Removals(unlinked=listing(by_fate["unlinked"]), gone=listing(by_fate["gone"]), left=listing(by_fate["left"]), kept=listing(begun.keep))


def _partial(begun: Begun, seen: Seen, removed: Removals) -> list[str]:
    """Say what stands against "completed" and will not go away by waiting."""
    found = [f"can still be read, or does not answer as destroyed: {name}"[:4000] for name in seen.readable[:_SHOWN]]
    found += [f"opened: {trial.what} ({trial.detail})"[:4000] for trial in seen.trials if trial.answer == "opened"]
    found += seen.sealed_again[:_SHOWN]
    found += _listed("a plaintext file was left", removed.left)
    if begun.search is not None and seen.second is None:
        found += _listed("could not be searched before", begun.search.unread)
    if begun.trigger != "transfer" and seen.erased is not None:
        found += [f"a key was handed over, and lives on: {who}" for who in seen.erased.handed_over[:_SHOWN]]
    if seen.is_search_lost:
        found.append("the second search was not made: what to search for is not known any more")
    if seen.second is not None:
        found += _listed("a copy is still there", seen.second.copies)
        found += _listed("could not be searched", seen.second.unread)
    return found


def _listed(what: str, listing_: Listing) -> list[str]:
    count = len(listing_.first) + listing_.more
    more = [f"{what}: {count - _SHOWN} more"] if count > _SHOWN else []
    return [f"{what}: {text}"[:4000] for text in listing_.first[:_SHOWN]] + more


def _techniques(begun: Begun) -> tuple[str, ...]:
    unlinked = "deletion: files were unlinked, which is no sanitising of the medium"
    return (*((ERASURE,) if begun.keyed else ()), *((unlinked,) if begun.unlink else ()))


def _verification(begun: Begun, seen: Seen) -> str:
    parts = []
    if seen.trials:
        tried = sum(trial.answer != "not tried" for trial in seen.trials)
        parts.append(f"each asset was asked for again, and {tried} of {len(seen.trials)} kinds of attempt to open it were made")
    if seen.second is not None:
        parts.append(f"places searched again: {len(begun.places)}")
    if begun.unlink:
        parts.append(f"names unlinked, or looked for: {len(begun.unlink)}")
    return "; ".join(parts) or "none"


def _not_removed(erased: Erased | None) -> tuple[str, ...]:
    """Say what of the vault's files outlived the erasure, which rests on the keys alone."""
    if erased is None:
        return ()
    lines = []
    containers = [name for name in erased.not_removed if name.startswith("objects/")]
    logs = [name for name in erased.not_removed if name.startswith("log-")]
    if containers:
        lines.append(f"{len(containers)} containers could not be unlinked; without their keys they are unreadable.")
    if "objects" in erased.not_removed:
        lines.append("The containers could not be listed, so none was unlinked; without their keys they are unreadable.")
    if logs:
        lines.append(f"{len(logs)} old node logs could not be unlinked; without the old root they are unreadable.")
    lines += [
        f"Before, the root lay in a holder of the kind {held.kind}, until epoch {held.until}; what is left of it: {held.state}."
        for held in erased.holders[:-1]
    ]
    return tuple(lines)
