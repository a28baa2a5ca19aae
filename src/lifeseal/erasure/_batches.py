# SPDX-License-Identifier: Apache-2.0
"""Many people's records at once: each page and each node of the key tree is read once, and one person's key is there at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import attrs

from lifeseal.erasure._change import State
from lifeseal.erasure._nodes import State as SlotState
from lifeseal.erasure._nodes import get_slot
from lifeseal.erasure._people import Place
from lifeseal.erasure._sealed import Sealed, cipher_of, head_of, new_room, refuse_large, seal_record, unseal_record
from lifeseal.erasure._session import Session
from lifeseal.erasure._tree import Edit
from lifeseal.errors import LimitError, StateError, StoreError, TamperedError

T = TypeVar("T")
_RECORDS = 8192
_BYTES = 16 << 20
_TRIES = 3


@attrs.frozen
class Gone:
    """What is left of a record whose person was erased.

    Attributes:
        slot: That the key had.
        generation: Which use of that slot.
        epoch: Of the erasure; None where the slot has been used again since.
        created: Epoch in which the slot became live; 0 if that is not known.
    """

    slot: int
    generation: int
    epoch: int | None
    created: int = 0


def in_batches(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut into lists that are neither long nor large."""
    batch: list[T] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) >= _RECORDS or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def create(session: Session, people: Iterable[str], *, since: int | None = None) -> int:
    """Give slots to those who have none, all in one epoch.

    Args:
        session: Of the vault.
        people: Their ids.
        since: How many had been erased when the caller began; if it is another number now, it is not known who is new.

    Returns:
        How many are new.

    Raises:
        LimitError: The vault has not so many slots left.
        StateError: People were erased meanwhile.
    """
    with session.writing(grows=True) as state:
        head, names = state.tree.head, state.people
        try:
            tags = list(dict.fromkeys(names.tags(people)))
            fresh = [tag for tag, place in zip(tags, names.find(tags), strict=True) if place is None]
            if not fresh:
                return 0
            refuse_erased_since(session, head.forgotten, since)
            start, stop = head.next_slot, head.next_slot + len(fresh)
            names.add(fresh, start)
            pages, head = names.edits(attrs.evolve(head, next_slot=stop, subjects=head.subjects + len(fresh)))
            if stop > head.next_page:
                raise LimitError(str(session.folder), limit=head.next_page - start, seen=len(fresh), unit="slots")
        except BaseException:
            state.forget_names()
            raise
        session.commit([Edit(start=start, stop=stop, state=SlotState.LIVE), *pages], head, what=f"{len(fresh)} people have a slot")
        return len(fresh)


def refuse_erased_since(session: Session, forgotten: int, since: int | None) -> None:
    """Refuse to give slots to the unknown where some of them may be the erased."""
    if since is not None and forgotten != since:
        raise StateError(
            f"{session.folder}: people were erased while records were sealed, and somebody here has no slot now: take the records of the "
            "erased out, and begin anew"
        )


def places_of(session: Session, people: Sequence[str]) -> list[Place]:
    """Find where people's keys lie. Call it within the session's guard.

    Args:
        session: Of the vault.
        people: Their ids.

    Returns:
        For each, in order, the place.

    Raises:
        StoreError: Some have no slot; the message gives their numbers, never their ids.
    """
    names = session.current().people
    found = names.find(names.tags(people))
    unknown = [number for number, place in enumerate(found) if place is None]
    if unknown:
        which = ", ".join(map(str, unknown[:10])) + (", …" if len(unknown) > 10 else "")  # noqa: PLR2004
        raise StoreError(
            f"{session.folder}: {len(unknown)} of {len(people)} people have no records here (counted from 0: {which}): "
            "they never had, or were erased; nothing was changed"
        )
    return [place for place in found if place is not None]


def seal_batch(session: Session, people: Sequence[str], records: Sequence[bytes], *, context: bytes = b"", since: int) -> list[bytes]:
    """Seal records.

    Args:
        session: Of the vault.
        people: Whose record each is.
        records: As many.
        context: What else they are bound to.
        since: How many people had been erased when the caller began.

    Returns:
        The records, sealed, in order.

    Raises:
        LimitError: A record is larger than 48 MB, or the vault has no slots left.
        StateError: People were erased meanwhile.
    """
    for record in records:
        refuse_large(record, where=f"{session.folder}: a record")
    for _ in range(_TRIES):
        with session.guard:
            state = session.current()
            found = state.people.find(state.people.tags(people))
            places = [place for place in found if place is not None]
            if len(places) == len(found):
                return _seal_at(session, state, places, records, context)
        # Not under the guard: a change takes the holder's lock first, and then the guard.
        create(session, (person for person, place in zip(people, found, strict=True) if place is None), since=since)
    raise StateError(f"{session.folder}: people were erased while they were given slots; begin anew")


def _seal_at(session: Session, state: State, places: Sequence[Place], records: Sequence[bytes], context: bytes) -> list[bytes]:
    sealed = [b""] * len(records)
    with new_room() as room:
        for slot, entry, numbers in _visit(state, [place.slot for place in places]):
            found = get_slot(entry, where=state.tree.log.where)
            if found.state is not SlotState.LIVE or any(places[number].generation != found.generation for number in numbers):
                raise TamperedError(f"{state.tree.log.where}: the map leads to slot {slot}, which is no person's")
            cipher, head = cipher_of(entry[:32], room), head_of(session.id, slot, found.generation)
            for number in numbers:
                sealed[number] = seal_record(cipher, head, records[number], context)
            del cipher
    return sealed


def unseal_batch(session: Session, sealed: Sequence[Sealed], *, context: bytes = b"", where: Callable[[int], str]) -> list[bytes | Gone]:
    """Open records.

    Args:
        session: Of the vault.
        sealed: Taken apart.
        context: As they were sealed with.
        where: Names a record for error messages, given its number here.

    Returns:
        The records, in order; in place of one whose person was erased, what is left.

    Raises:
        TamperedError: One does not authenticate, or names a slot that was never a person's.
    """
    opened: list[bytes | Gone] = [b""] * len(sealed)
    with session.guard, new_room() as room:
        state = session.current()
        for _, entry, numbers in _visit(state, [record.slot for record in sealed]):
            found = get_slot(entry, where=state.tree.log.where)
            live = found.state is SlotState.LIVE
            cipher = cipher_of(entry[:32], room) if live else None
            for number in numbers:
                record = sealed[number]
                if cipher is not None and record.generation == found.generation:
                    opened[number] = unseal_record(cipher, record, context, where=where(number))
                elif 0 < record.generation <= found.generation and (live or found.state is SlotState.ERASED):
                    opened[number] = Gone(record.slot, record.generation, None if live else found.epoch, found.place)
                else:
                    raise TamperedError(f"{where(number)}: names a slot that was no person's; it was changed, or this vault is an older copy")
            del cipher
    return opened


def _visit(state: State, slots: Sequence[int]) -> Iterator[tuple[int, memoryview, list[int]]]:
    """Walk slots once each, with the numbers of what asks for them."""
    grouped: dict[int, list[int]] = {}
    for number, slot in enumerate(slots):
        grouped.setdefault(slot, []).append(number)
    for slot, entry in state.tree.visit(sorted(grouped)):
        yield slot, entry, grouped[slot]
