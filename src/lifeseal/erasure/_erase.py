# SPDX-License-Identifier: Apache-2.0
"""Destroying the keys of slots, all in one epoch: announced before, checked from the disk after."""

from collections.abc import Callable, Iterable, Sequence

import attrs

from lifeseal.erasure._change import State as VaultState
from lifeseal.erasure._change import after_commit
from lifeseal.erasure._history import irreversible_since, weakest
from lifeseal.erasure._holds import refuse_held
from lifeseal.erasure._leftovers import free_epoch
from lifeseal.erasure._nodes import Head, State, get_slot, has_key
from lifeseal.erasure._records import grave_of
from lifeseal.erasure._report import holders_since
from lifeseal.erasure._session import Session
from lifeseal.erasure._tree import Edit
from lifeseal.erasure._values import ErasedSlot, Erasure, KeyCopy
from lifeseal.errors import StoreError
from lifeseal.principles import Fact, announce, note, now

Stage = Callable[[int], tuple[list[Edit], Head]]


def erase(session: Session, names: Iterable[str]) -> Erasure:
    """Destroy the keys of assets; see `lifeseal.erasure.Vault.erase`.

    Args:
        session: Of the vault.
        names: Of live assets, each once.

    Returns:
        What was destroyed.
    """
    if isinstance(names, str):
        raise TypeError("names must be several, such as [name]")
    wanted = tuple(names)
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError("names must be given, each once")
    with session.writing() as state:
        found = [session.find_live(state, name) for name in wanted]
        refuse_held(found, where=str(session.folder))
        doomed = [ErasedSlot(slot=asset.slot, generation=asset.generation) for asset in found]

        def stage(epoch: int) -> tuple[list[Edit], Head]:
            for asset in found:
                state.names.replace_later(grave_of(asset.to_mapped(state.names.tag(asset.name)), epoch))
            head = state.tree.head
            return state.names.edits(attrs.evolve(head, live=head.live - len(found), erased=head.erased + len(found)))

        copies = tuple(copy for asset in found for copy in asset.copies)
        return destroy(session, state, doomed, stage, by="lifeseal.erasure.Vault.erase", copies=copies, assets=wanted)


def destroy(
    session: Session,
    state: VaultState,
    doomed: Sequence[ErasedSlot],
    stage: Stage,
    *,
    by: str,
    copies: tuple[KeyCopy, ...] = (),
    pseudonyms: tuple[str, ...] = (),
    **facts: Fact,
) -> Erasure:
    """Erase slots. Call it within `Session.writing`.

    Args:
        session: Of the vault.
        state: In force.
        doomed: Live slots.
        stage: Given the epoch of the erasure, says what becomes of the map's pages, and the root node's head.
        by: Full name of the primitive that is called.
        copies: Of their keys, that were given away.
        pseudonyms: What stands for the people in documents.
        facts: For the event, beside vault, epoch and slots; never a person's name.

    Returns:
        What was destroyed.

    Raises:
        StoreError: The keys are gone, and what follows failed; or they are not.
    """
    before, epoch = state.epoch, free_epoch(session.folder, state.epoch)
    facts = {"slots": tuple(f"{entry.slot}:{entry.generation}" for entry in doomed), **facts}
    announce(by, ("uk-ai-cop:13.2", "uk-ai-cop:13.1"), vault=session.id.hex(), epoch=before, **facts)
    note(vault=session.id.hex(), epoch=before, **facts)
    pages, head = stage(epoch)
    edits = [Edit(start=entry.slot, stop=entry.slot + 1, state=State.ERASED) for entry in doomed]
    holders = holders_since(state, _created(state, doomed) if state.tree.head.history else 0)
    outcome = session.commit(edits + pages, head, what="the keys are gone")
    note(epoch_after=epoch)
    with after_commit(f"{session.folder}: the keys are gone at epoch {epoch}"):
        session.close_assets({entry.slot for entry in doomed})
        _check(session, doomed)
    time = now()
    pending = outcome.pending + tuple(other.called for other in holders[:-1] if other.state != "destroyed")
    return Erasure(
        vault=session.id.hex(),
        epoch_before=before,
        epoch_after=epoch,
        slots=tuple(doomed),
        time=time,
        holders=holders,
        assurance=weakest(holders),
        irreversible_since="unknown" if pending else irreversible_since(holders, time),
        not_removed=outcome.left,
        pending=pending,
        copies=copies,
        pseudonyms=pseudonyms,
    )


def _created(state: VaultState, doomed: Sequence[ErasedSlot]) -> int:
    """Tell in which epoch the first of several slots became live."""
    numbers = sorted(entry.slot for entry in doomed)
    return min(get_slot(entry, where=state.tree.log.where).epoch for _, entry in state.tree.visit(numbers))


def _check(session: Session, doomed: Sequence[ErasedSlot]) -> None:
    """See that the keys are gone from the tree, which was read from the disk after the root was replaced."""
    tree, generations = session.current().tree, {entry.slot: entry.generation for entry in doomed}
    for number, entry in tree.visit(sorted(generations)):
        slot = get_slot(entry, where=tree.log.where)
        if slot.state is not State.ERASED or slot.generation != generations[number] or has_key(entry):
            raise StoreError(f"{session.folder}: slot {number} is still live after it was erased")
