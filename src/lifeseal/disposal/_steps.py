# SPDX-License-Identifier: Apache-2.0
"""The steps of a disposal, in their order; each looks into the journal for what is done already."""

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import ProgressCallback
from lifeseal.disposal import _sought
from lifeseal.disposal._begun import Begun, searched
from lifeseal.disposal._certify import Seen, certify
from lifeseal.disposal._copies import find_copies
from lifeseal.disposal._journal import Journal
from lifeseal.disposal._json import from_json, to_json
from lifeseal.disposal._outcome import Erased, held_by, irreversible_since, is_best_effort, recipients, weakest
from lifeseal.disposal._removal import remove_empty, unlink
from lifeseal.disposal._statement import Disposal
from lifeseal.disposal._twins import twins
from lifeseal.disposal._values import Attempt, Searched
from lifeseal.disposal._wanted import Wanted
from lifeseal.errors import DestroyedError, LifesealError, LockedError, PendingError, PolicyError, StateError, StoreError
from lifeseal.principles import note, now

if TYPE_CHECKING:
    from lifeseal.erasure import ErasedSlot, Erasure, Sample, Vault


@attrs.define(kw_only=True)
class Run:
    """A disposal that is under way.

    Attributes:
        journal: What was done.
        begun: What it was begun with.
        vault: The vault, or None.
        wanted: What copies are searched for; None if nothing is, or it is lost.
        people: Ids of people, in memory alone.
        progress: Told about the search.
        sample: Ciphertext from before the erasure, if this process carried it out.
        has_erased: Whether this process carried it out.
    """

    journal: Journal
    begun: Begun
    vault: "Vault | None"
    wanted: Wanted | None
    people: tuple[str, ...]
    progress: ProgressCallback
    sample: "Sample | None" = None
    has_erased: bool = False

    @property
    def slots(self) -> "tuple[ErasedSlot, ...]":
        """The slots of what had a key."""
        from lifeseal.erasure import ErasedSlot

        return tuple(ErasedSlot(slot=asset.slot or 0, generation=asset.generation or 0) for asset in self.begun.keyed)


def carry_out(run: Run) -> Disposal:
    """Do what is left to do, look at what there is, and say so.

    Args:
        run: The disposal.

    Returns:
        What a certificate says; the journal holds it.
    """
    fates = _unlink(run)
    _erase(run)
    pending = _settle(run)
    trials, readable, unanswered = _try_again(run)
    again = _sealed_again(run) if not unanswered else ()
    second, lost = _search_again(run)
    seen = Seen(
        fates=fates,
        erased=_latest(run) if run.journal.of("erased") else None,
        pending=pending,
        trials=trials,
        readable=readable,
        unanswered=unanswered,
        sealed_again=again,
        second=second,
        is_search_lost=lost,
    )
    disposal = certify(run.begun, seen, journal="" if run.journal.path is None else run.journal.head)
    run.journal.add("certified", status=disposal.status, statement=_document(disposal))
    if disposal.status == "completed" and run.begun.sought and run.journal.path is not None:
        _sought.forget(run.journal.path)
    note(vault=disposal.vault, epoch=disposal.epoch_after, status=disposal.status, trigger=disposal.trigger)
    return disposal


def _unlink(run: Run) -> dict[int, tuple[str, str]]:
    """Unlink what was planned, as far as it was not done before or did not work; returns what became of each name."""
    fates: dict[int, tuple[str, str]] = {}
    for line in run.journal.of("file"):
        fates[line.take_int("number")] = line.take_str("fate"), line.take_str("why")
    left = [number for number in range(len(run.begun.unlink)) if number not in fates or fates[number][0] != "unlinked"]
    before = dict(fates)
    for number in left:  # also what was not there: its disk may have come back
        fates[number] = unlink(run.begun.unlink[number].target)
        if fates[number] != before.get(number):
            run.journal.add("file", durable=False, number=number, fate=fates[number][0], why=fates[number][1])
    if fates != before or not run.journal.of("files"):
        remove_empty(tuple(folder.place for folder in run.begun.folders))
        run.journal.add("files")
    return fates


def _erase(run: Run) -> None:
    """Destroy the keys, once."""
    vault = run.vault
    if vault is None or not run.begun.keyed or run.journal.of("erased"):
        return
    slots = run.slots
    states = vault.trials.states(slots)
    intents = run.journal.of("erasing")
    if all(state == "live" for state, _ in states):
        run.sample = vault.trials.sample(slots)
        given = [copy for asset in run.begun.keyed if asset.kind == "sealed" for copy in vault.hand_overs.list(asset.name)]
        run.journal.add("erasing", epoch=vault.epoch, handed_over=list(recipients(given)))
        try:
            _write_down(run, _destroy(run, vault))
        except PendingError:
            _recover(run, vault)
        run.has_erased = True
    elif intents and all(state == "erased" for state, _ in states):
        _recover(run, vault)
    else:
        raise StateError(f"vault {vault.id}: what was to be erased is not as it was planned; plan again")


def _destroy(run: Run, vault: "Vault") -> "Erasure":
    people = any(asset.kind == "subject" for asset in run.begun.assets)
    if not people:
        erasure = vault.erase([asset.name for asset in run.begun.keyed])
    else:
        named = [asset.name for asset in run.begun.keyed]
        if not run.people:
            raise ValueError("the people's ids are needed once more: their records are not erased yet, and the journal names nobody")
        if [vault.subjects.pseudonym(person) for person in run.people] != named:
            raise PolicyError("the people given are not those that the disposal was begun for")
        erasure = vault.subjects.erase(run.people)
    if tuple(erasure.slots) != run.slots:
        raise StateError(f"vault {vault.id}: erased at epoch {erasure.epoch_after}, but an asset had been sealed anew since the plan was checked")
    return erasure


def _write_down(run: Run, erasure: "Erasure") -> None:
    erased = Erased(
        before=erasure.epoch_before,
        after=erasure.epoch_after,
        time=erasure.time,
        holders=held_by(erasure.holders),
        assurance=erasure.assurance,
        is_best_effort=is_best_effort(erasure.holders),
        irreversible_since=erasure.irreversible_since,
        not_removed=erasure.not_removed,
        handed_over=recipients(erasure.copies),
    )
    run.journal.add("erased", erased=to_json(erased), pending=list(erasure.pending))


def _recover(run: Run, vault: "Vault") -> None:
    """Write down an erasure that happened, and whose outcome nobody wrote down: what the vault says of it."""
    states = vault.trials.states(run.slots)
    if not all(state == "erased" for state, _ in states):
        raise StateError(f"vault {vault.id}: the erasure did not happen; go on with it later")
    holders, intent = vault.info().holders, run.journal.of("erasing")[-1]
    erased = Erased(
        before=intent.take_int("epoch"),
        after=max(epoch for _, epoch in states),
        time=now(),
        holders=held_by(holders),
        assurance=weakest(holders),
        is_best_effort=is_best_effort(holders),
        irreversible_since="unknown",
        not_removed=(),
        handed_over=intent.take_strs("handed_over"),
    )
    run.journal.add("erased", erased=to_json(erased), pending=["the holder is to be asked"])


def _latest(run: Run) -> Erased:
    """Take what is known of the erasure, with what was found out since."""
    line = (*run.journal.of("erased"), *run.journal.of("settled"))[-1]
    return from_json(Erased, line.take("erased"), where=line.at("erased"))


def _settle(run: Run) -> tuple[str, ...]:
    """Let the holder finish, if it had not; returns what is still pending."""
    vault, lines = run.vault, run.journal.of("erased")
    if vault is None or not lines:
        return ()
    was = lines[-1].take_strs("pending")
    if not was:
        return ()
    if run.journal.of("settled"):
        return ()
    try:
        vault.trials.settle()
        info = vault.info()
    except (PendingError, StoreError, LockedError) as error:
        return (str(error),)
    if info.pending:
        return info.pending
    time = now()
    erased = attrs.evolve(
        _latest(run),
        time=time,
        holders=held_by(info.holders),
        assurance=weakest(info.holders),
        irreversible_since=irreversible_since(info.holders, time),
    )
    run.journal.add("settled", erased=to_json(erased))
    return ()


def _try_again(run: Run) -> tuple[tuple[Attempt, ...], tuple[str, ...], str]:
    """Try to open what was erased: what was tried, what can still be read, and why something could not be asked."""
    vault = run.vault
    if vault is None or not run.begun.keyed:
        return (), (), ""
    try:
        readable = tuple(asset.name for asset in run.begun.keyed if asset.kind == "sealed" and not _is_refused(vault, asset.name))
        found = vault.trials.run(run.slots, run.sample)
    except (StoreError, PendingError) as error:
        return (), (), str(error)
    trials = tuple(Attempt(what=trial.what, answer=trial.answer, detail=trial.detail[:1000]) for trial in found)
    run.journal.add("tried", trials=to_json(trials), readable=list(readable))
    return trials, readable, ""


def _is_refused(vault: "Vault", name: str) -> bool:
    """Try to read an erased asset; only "destroyed" counts, and "pending", which is told by itself."""
    try:
        vault.asset(name).close()
    except (DestroyedError, PendingError):
        return True
    except (LifesealError, OSError):
        return False
    return False


def _sealed_again(run: Run) -> tuple[str, ...]:
    """Say which other assets of the vault hold the same, or could not be compared."""
    return tuple(
        f"could not be compared: asset {name!r} of the vault: {why}"[:4000]
        if why
        else f"a copy is still there: asset {name!r} of the vault holds the same"[:4000]
        for name, why in (() if run.vault is None else twins(run.vault, run.begun.assets))
    )


def _search_again(run: Run) -> tuple[Searched | None, bool]:
    """Search the same places once more; returns what was found, and whether it is not known any more what to search for."""
    if not run.begun.places:
        return None, False
    if run.wanted is None:
        return None, True
    places = tuple(name.place for name in run.begun.places)
    expected = {name.place for name in run.begun.folders} | {one.name.place for one in run.begun.unlink}
    here, gone = list[Path](), list[str]()
    for place in places:
        try:
            place.stat()
        except FileNotFoundError:
            gone += [] if place in expected else [f"{place}: it was searched before, and is not there any more"]
        except OSError:
            here.append(place)  # the search says why
        else:
            here.append(place)
    search = find_copies(run.wanted, here, progress=run.progress)
    found = searched(attrs.evolve(search, unread=(*search.unread, *gone)), places)
    run.journal.add("searched", search=to_json(found))
    return found, False


def _document(disposal: Disposal) -> object:
    import json

    return json.loads(disposal.to_statement().to_bytes())
