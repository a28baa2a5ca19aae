# SPDX-License-Identifier: Apache-2.0
"""Holds: while one lies on an asset, the vault refuses to erase it."""

from collections.abc import Iterable

import attrs

from lifeseal.erasure._records import Asset
from lifeseal.erasure._session import Session
from lifeseal.errors import StateError
from lifeseal.principles import Fact, announce, implements, note

_MAX_REASON = 500
_LIMITS = "It binds this library: whoever holds the root can lift it, and losing the root erases all the same."


class Holds:
    """What `Vault.holds` hands out: holds, as a legal one, on assets. They lie sealed in the vault's map, so copies of the folder carry them.

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
        if not 0 < len(reason) <= _MAX_REASON or not reason.isprintable():
            raise ValueError(f"the reason of a hold has 1 to {_MAX_REASON} printable characters")
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
