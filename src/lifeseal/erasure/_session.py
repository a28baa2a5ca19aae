# SPDX-License-Identifier: Apache-2.0
"""One open vault: its state in memory, kept in step with the root, and the lock for a change."""

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from lifeseal._io import sweep
from lifeseal.erasure import _nodes
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._change import Outcome, State, commit, load, refuse_newer
from lifeseal.erasure._compact import compact, is_due
from lifeseal.erasure._container import Place
from lifeseal.erasure._holders import RootHolder
from lifeseal.erasure._leftovers import are_left
from lifeseal.erasure._map import Kind, Mapped
from lifeseal.erasure._nodes import Head
from lifeseal.erasure._records import Asset, erased_at
from lifeseal.erasure._tree import Edit
from lifeseal.errors import DestroyedError, LifesealError, PendingError, RolledBackError, StateError, StoreError
from lifeseal.principles import Fact, note


class Session:
    """The state of one vault object.

    Args:
        folder: The vault folder.
        holder: The root holder.
        state: As it was opened; owned from here on.
    """

    def __init__(self, folder: Path, holder: RootHolder, state: State) -> None:
        self.folder = folder
        self.holder = holder
        self.id = state.roots.vault
        self.epoch = state.epoch
        self.guard = threading.RLock()
        self._state: State | None = state
        self._clean = False  # within `writing`: nothing lay there that had to be cleared away
        self._process = os.getpid()
        self._assets: weakref.WeakSet[SealedAsset] = weakref.WeakSet()

    def facts(self) -> dict[str, Fact]:
        """Say which vault it is, and at which epoch it was last seen; every event of it says so."""
        return {"vault": self.id.hex(), "epoch": self.epoch}

    def current(self) -> State:
        """Return the state in force, read anew if the root has moved on or this process was forked."""
        state = self._open()
        return state if os.getpid() == self._process and state.roots.mark() == state.mark else self.reload()

    def reload(self) -> State:
        """Read the state from the disk, through the root holder."""
        self._open()
        state = load(self.folder, self.holder)
        if state.roots.vault != self.id or state.epoch < self.epoch:
            state.close()
            raise RolledBackError(f"{self.folder}: vault {state.roots.vault.hex()} at epoch {state.epoch}; this one was at epoch {self.epoch} before")
        self._take(state)
        return state

    def apart(self) -> State:
        """Read a state for the caller alone, who closes it: for long reads, beside which others go on. Of one epoch, whatever they change."""
        with self.guard:
            self.current()
            state = load(self.folder, self.holder)
        note(epoch=state.epoch)
        return state

    @contextlib.contextmanager
    def writing(self, *, grows: bool = False) -> Iterator[State]:
        """Hold the holder's lock; the state is always read anew, never taken from memory.

        What an interrupted change left is cleared away first, after a fresh root is durable: until then a power cut may bring back the one
        it belongs to. What cannot be unlinked stops nothing.

        Args:
            grows: The change adds something, so that a log of which little is in use is compacted first. Never before an erasure: that does
                what it was asked to and nothing else, at once.
        """
        with self.holder.locked(self.folder), self.guard:
            state = self.reload()
            refuse_newer(state)
            state.roots.settle(state.epoch)
            sweep(self.folder)
            self._clean = not are_left(self.folder, state.tree)
            if not self._clean:
                head, edits = state.tree.head, []
                if head.reserved:
                    edits = [Edit(start=head.reserved - 1, stop=head.reserved, state=_nodes.State.ERASED)]
                self._clean = not self.commit(edits, attrs.evolve(head, reserved=0), what="every asset is as it was").left
            if grows and is_due(self._open()):
                self._compact()
            yield self._open()

    def commit(self, edits: Sequence[Edit], head: Head, *, what: str) -> Outcome:
        """Change the vault; see `lifeseal.erasure._change.commit`. Call it within `writing`."""
        before = self._open()
        orphans = not self._clean or any(edit.state is _nodes.State.ERASED for edit in edits)
        try:
            state, outcome = commit(before, sorted(edits, key=lambda edit: edit.start), head, what=what, orphans=orphans)
        finally:
            before.forget_names()  # what was staged is written now, or never
        self.moved(state, outcome)
        return outcome

    def moved(self, state: State, outcome: Outcome) -> None:
        """Take over a state that was just put in force."""
        self._take(state)
        if outcome.left:
            note(not_removed=len(outcome.left))

    def find_live(self, state: State, name: str) -> Asset:
        """Look up a live asset.

        Args:
            state: In force.
            name: Of the asset.

        Returns:
            What the map says about it.

        Raises:
            DestroyedError: It was erased.
            PendingError: It was erased, and the root that still opens it is not gone.
            StoreError: There is none of that name, and no trace of one.
        """
        found = state.names.find(name)
        if found is None:
            raise StoreError(f"{self.folder}: no asset {name!r}")
        if found.kind is Kind.GRAVE:
            raise self._gone(state, found, name)
        return Asset.from_mapped(found, where=str(self.folder))

    def hand_out(self, state: State, asset: Asset) -> SealedAsset:
        """Open an asset with a key of its own."""
        place = Place(folder=self.folder, vault=self.id, slot=asset.slot, generation=asset.generation, name=asset.name)

        def ask() -> None:
            with self.guard:
                slot = self.current().tree.slot(asset.slot)
            if slot.state is not _nodes.State.LIVE or slot.generation != asset.generation:
                raise DestroyedError(f"{self.folder}: generation {asset.generation} of asset {asset.name!r} was erased; its key is gone")

        opened = SealedAsset(place, state.tree.key(asset.slot), asset.index, ask=ask, epoch=state.epoch)
        with self.guard:
            self._assets.add(opened)
        return opened

    def settle_in(self, holder: RootHolder, state: State) -> None:
        """Take over a state that another holder's root opens; from here on that is the holder."""
        self.holder = holder
        self._take(state)

    def close_assets(self, slots: set[int] | None) -> None:
        """Close the assets that were handed out, of some slots or all."""
        for asset in tuple(self._assets):
            if slots is None or asset.slot in slots:
                asset.close()

    def close(self) -> None:
        """Zero every key; twice is no error."""
        with self.guard:
            self.close_assets(None)
            if self._state is not None:
                self._state.close()
                self._state = None

    def _open(self) -> State:
        if self._state is None:
            raise StateError(f"{self.folder}: this vault is closed")
        return self._state

    def _compact(self) -> None:
        """Make the log small if that works; what stops it stops no change, as the log is as good as it was."""
        try:
            note(compacted=compact(self._open(), self.moved).epoch_after)
        except (LifesealError, OSError) as error:
            note(not_compacted=type(error).__name__)
            self.reload()

    def _take(self, state: State) -> None:
        if self._state is not None and self._state is not state:
            self._state.close()
        self._state, self.epoch, self._process = state, state.epoch, os.getpid()

    def _gone(self, state: State, found: Mapped, name: str) -> StateError:
        epoch = erased_at(found, where=str(self.folder))
        slot = state.tree.slot(found.slot)
        created = slot.place if slot.state is _nodes.State.ERASED and slot.generation == found.generation else 0
        if waiting := state.waiting(created, epoch):
            return PendingError(f"{self.folder}: asset {name!r} was erased at epoch {epoch}, but not everything older is gone yet: {waiting[0]}")
        return DestroyedError(f"{self.folder}: asset {name!r} was erased at epoch {epoch}; its key is gone")
