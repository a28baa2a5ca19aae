# SPDX-License-Identifier: Apache-2.0
"""Sealing or opening one file's records, a batch at a time, with their numbers in the file for messages."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import attrs

from lifeseal.erasure._batches import Gone, create, seal_batch, unseal_batch
from lifeseal.erasure._sealed import Sealed, bare
from lifeseal.erasure._session import Session
from lifeseal.errors import DestroyedError, PendingError, TamperedError

Erased: TypeAlias = Literal["skip", "mark", "refuse"]
_MAX_ID = 1024
_PEOPLE = 1 << 18


@attrs.define(kw_only=True)
class Work:
    """What is known of the file, and how far the work has come.

    Attributes:
        session: Of the vault.
        where: Name of the file for messages.
        since: How many people had been erased when the work began.
        refuse: Whether a record of an erased person ends the work.
        records: How many were sealed, or opened.
        erased: How many were not opened, as their person was erased.
        people: How many people are new.
    """

    session: Session
    where: str
    since: int
    refuse: bool = False
    records: int = 0
    erased: int = 0
    people: int = 0

    @classmethod
    def begin(cls, session: Session, where: str, *, refuse: bool = False) -> "Work":
        """Note how many people are erased now."""
        with session.guard:
            return cls(session=session, where=where, since=session.current().tree.head.forgotten, refuse=refuse)

    def create(self, people: Iterable[str]) -> None:
        """Give slots to people, many in one epoch."""
        batch: dict[str, None] = {}
        for person in checked(people):
            batch[person] = None
            if len(batch) == _PEOPLE:
                self.people += create(self.session, batch)
                batch.clear()
        if batch:
            self.people += create(self.session, batch)

    def seal(self, people: Sequence[str], records: Sequence[bytes], *, context: bytes = b"") -> list[bytes]:
        """Seal a batch of records."""
        sealed = seal_batch(self.session, list(checked(people)), records, context=context, since=self.since)
        self.records += len(sealed)
        return sealed

    def unseal(self, data: Sequence[bytes], *, context: bytes = b"") -> list[bytes | Gone]:
        """Open a batch of records.

        Args:
            data: Sealed records, or lines of JSONL that hold them.
            context: What else they were bound to.

        Returns:
            The records, in order; in place of one whose person was erased, what is left.
        """
        first = self.records + self.erased
        sealed = [Sealed.parse(bare(one, where=self._at(first + n)), vault=self.session.id, where=self._at(first + n)) for n, one in enumerate(data)]
        opened = unseal_batch(self.session, sealed, context=context, where=lambda number: self._at(first + number))
        for number, found in enumerate(opened):
            if isinstance(found, Gone):
                if self.refuse:
                    raise gone(self.session, found, self._at(first + number))
                self.erased += 1
        self.records += sum(isinstance(found, bytes) for found in opened)
        return opened

    def check(self, data: Sequence[bytes], people: Sequence[str | None]) -> None:
        """See that each record stands under the slot of the person it names.

        Args:
            data: Sealed records, or lines; the batch that was opened last.
            people: Whom each names; None for one that could not be opened.

        Raises:
            TamperedError: One does not.
        """
        first = self.records + self.erased - len(data)
        with self.session.guard:
            names = self.session.current().people
            places = iter(names.find(names.tags(person for person in people if person is not None)))
        for number, (one, person) in enumerate(zip(data, people, strict=True)):
            if person is not None:
                place, where = next(places), self._at(first + number)
                sealed = Sealed.parse(bare(one, where=where), vault=self.session.id, where=where)
                if place is None or (place.slot, place.generation) != (sealed.slot, sealed.generation):
                    raise TamperedError(f"{where}: stands under slot {sealed.slot}, which is not that of the person it names")

    def _at(self, number: int) -> str:
        return f"{self.where}, record {number}"


def checked(people: Iterable[object]) -> Iterator[str]:
    """Hand on ids, and refuse what is none without saying what it is."""
    for number, person in enumerate(people):
        if not isinstance(person, str) or not 0 < len(person) <= _MAX_ID or not _is_unicode(person):
            raise ValueError(f"person {number} (counted from 0): an id has 1 to {_MAX_ID} characters of valid Unicode")
        yield person


def gone(session: Session, found: Gone, where: str) -> DestroyedError | PendingError:
    """Say what has become of a record whose person was erased."""
    with session.guard:
        state = session.current()
        if waiting := state.waiting(found.created, found.epoch or state.epoch):
            return PendingError(f"{where}: the person was erased, but not everything older is gone yet: {waiting[0]}")
    when = "" if found.epoch is None else f" at epoch {found.epoch}"
    return DestroyedError(f"{where}: the person was erased{when}; the key of slot {found.slot}, generation {found.generation}, is gone")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
