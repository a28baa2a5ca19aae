# SPDX-License-Identifier: Apache-2.0
"""Holds: while one lies on an asset, or on a person, the vault refuses to erase it."""

from collections.abc import Iterable, Sequence

import attrs

from lifeseal.erasure._batches import places_of
from lifeseal.erasure._change import State
from lifeseal.erasure._records import Asset
from lifeseal.erasure._session import Session
from lifeseal.erasure._work import checked
from lifeseal.errors import LimitError, StateError, StoreError
from lifeseal.principles import Fact, announce, implements, note

_MAX_REASON = 500
_MAX_PEOPLE = 1000
_LIMITS = "It binds this library: whoever holds the root can lift it, and losing the root erases all the same."


class Holds:
    """What `Vault.holds` hands out: holds, as a legal one, on assets and on people. They lie sealed in the vault, so copies of the folder carry them.

    Args:
        session: Of the vault.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __facts__(self) -> dict[str, Fact]:
        return self._session.facts()

    @implements(evidences=("13.1", "13.2"), limits=_LIMITS)
    def place(self, names: Iterable[str], *, reason: str) -> None:
        """Put assets on hold; one that is on hold already gets the new reason.

        Args:
            names: Live assets.
            reason: Why, and by whose order; printable, at most 500 characters. It is shown to whoever tries to erase.

        Raises:
            DestroyedError: One was erased.
            LockedError: Another process writes to the vault.
            StoreError: No asset has one of the names.
            TypeError: One string was given instead of several.
            ValueError: No name, or no usable reason.
            OSError: The disk refused.
        """
        _check(reason)
        self._put(names, reason, what="place")

    @implements(evidences=("13.1", "13.2"), limits=_LIMITS)
    def lift(self, names: Iterable[str]) -> None:
        """Take assets off hold.

        Args:
            names: Live assets, each on hold.

        Raises:
            DestroyedError: One was erased.
            LockedError: Another process writes to the vault.
            StateError: One is not on hold.
            StoreError: No asset has one of the names.
            TypeError: One string was given instead of several.
            ValueError: No name.
            OSError: The disk refused.
        """
        self._put(names, "", what="lift")

    @implements(evidences=("13.1", "13.2"), limits=_LIMITS)
    def place_people(self, subjects: Iterable[str] | None, *, reason: str) -> None:
        """Put people on hold; who is on hold already gets the new reason.

        Args:
            subjects: Their ids, which are not kept: the vault notes pseudonyms. None for everybody, also those who come later.
            reason: As for `place`; never a person's name.

        Raises:
            LimitError: More than 1000 people would be on hold by themselves; put everybody on hold.
            LockedError: Another process writes to the vault.
            StoreError: Some have no slot: never had, or were erased. The message gives their numbers.
            TypeError: One string was given instead of several.
            ValueError: No id, one that is none, or no usable reason.
            OSError: The disk refused.
        """
        _check(reason)
        self._put_people(subjects, reason, what="place_people")

    @implements(evidences=("13.1", "13.2"), limits=_LIMITS)
    def lift_people(self, subjects: Iterable[str] | None) -> None:
        """Take people off hold. One who is on hold alone and with everybody stays so until both are lifted.

        Args:
            subjects: Their ids, each on hold; None for the hold on everybody.

        Raises:
            LockedError: Another process writes to the vault.
            StateError: One is not on hold.
            StoreError: Some have no slot. The message gives their numbers.
            TypeError: One string was given instead of several.
            ValueError: No id, or one that is none.
            OSError: The disk refused.
        """
        self._put_people(subjects, "", what="lift_people")

    @implements(evidences=("13.1", "13.2"), limits=_LIMITS)
    def people(self, subjects: Iterable[str]) -> tuple[str, ...]:
        """Tell why people are on hold.

        Args:
            subjects: Their ids.

        Returns:
            For each, in order, the reason; empty for who is not on hold.

        Raises:
            StoreError: The vault never held records of people.
            ValueError: An id is none.
            OSError: A file cannot be read.
        """
        people = list(checked(subjects))
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch, people=len(people))
            if not state.tree.head.people:
                raise StoreError(f"{self._session.folder}: never held records of people")
            return _reasons(state, people)

    def _put_people(self, subjects: Iterable[str] | None, reason: str, *, what: str) -> None:
        if isinstance(subjects, str):
            raise TypeError("subjects must be several, such as [subject]")
        people = None if subjects is None else list(dict.fromkeys(checked(subjects)))
        if people == []:
            raise ValueError("at least one person must be given, or None for everybody")
        session = self._session
        with session.writing() as state:
            if people is not None:
                places_of(session, people)
            keys = [""] if people is None else [state.people.pseudonym(person) for person in people]
            history = state.history
            free = [number for number, key in enumerate(keys) if not reason and key not in history.holds]
            if free:
                who = "the people are" if people is None else f"person {free[0]} of those given (counted from 0) is"
                raise StateError(f"{session.folder}: {who} not on hold")
            kept = {key: why for key, why in history.holds.items() if key not in keys} | (dict.fromkeys(keys, reason) if reason else {})
            if len(kept) > _MAX_PEOPLE:
                raise LimitError("holds on single people", limit=_MAX_PEOPLE, seen=len(kept), unit="people")
            facts: dict[str, Fact] = {"vault": session.id.hex(), "people": "all" if people is None else tuple(keys), "reason": reason}
            announce(f"lifeseal.erasure.Holds.{what}", ("uk-ai-cop:13.1", "uk-ai-cop:13.2"), epoch=state.epoch, **facts)
            edits, head = attrs.evolve(history, holds=kept).edits(state.tree.head)
            session.commit(edits, head, what="the people are on hold" if reason else "the people are no longer on hold")
            note(epoch=session.epoch, **facts)

    def _put(self, names: Iterable[str], reason: str, *, what: str) -> None:
        if isinstance(names, str):
            raise TypeError("names must be several, such as [name]")
        wanted = tuple(dict.fromkeys(names))
        if not wanted:
            raise ValueError("at least one asset must be named")
        session = self._session
        with session.writing() as state:
            found = [session.find_live(state, name) for name in wanted]
            free = [asset.name for asset in found if not reason and not asset.hold]
            if free:
                raise StateError(f"{session.folder}: asset {free[0]!r} is not on hold")
            facts: dict[str, Fact] = {"vault": session.id.hex(), "assets": wanted, "reason": reason}
            announce(f"lifeseal.erasure.Holds.{what}", ("uk-ai-cop:13.1", "uk-ai-cop:13.2"), epoch=state.epoch, **facts)
            for asset in found:
                held: Asset = attrs.evolve(asset, hold=reason)
                state.names.put(held.to_mapped(state.names.tag(asset.name)))
            edits, head = state.names.edits(state.tree.head)
            session.commit(edits, head, what="the assets are on hold" if reason else "the assets are no longer on hold")
            note(epoch=session.epoch, **facts)


def refuse_held_people(state: State, people: Sequence[str], *, where: str) -> None:
    """Refuse to erase people of whom one is on hold.

    Args:
        state: In force.
        people: Their ids.
        where: Name for error messages.

    Raises:
        StateError: One is on hold; gives its number and says why.
    """
    for number, reason in enumerate(_reasons(state, people)):
        if reason:
            raise StateError(
                f"{where}: person {number} of those given (counted from 0) is on hold ({reason}), so nobody is erased; nothing was changed"
            )


def _reasons(state: State, people: Sequence[str]) -> tuple[str, ...]:
    holds = state.history.holds
    every = holds.get("", "")
    return tuple(holds.get(state.people.pseudonym(person), every) for person in people) if holds else ("",) * len(people)


def _check(reason: str) -> None:
    if not 0 < len(reason) <= _MAX_REASON or not reason.isprintable():
        raise ValueError(f"the reason of a hold has 1 to {_MAX_REASON} printable characters")


def refuse_held(found: Iterable[Asset], *, where: str) -> None:
    """Refuse to erase what is on hold.

    Args:
        found: What is to be erased.
        where: Name for error messages.

    Raises:
        StateError: One is on hold; says why.
    """
    for asset in found:
        if asset.hold:
            raise StateError(f"{where}: asset {asset.name!r} is on hold ({asset.hold}), so it is not erased; nothing was changed")
