# SPDX-License-Identifier: Apache-2.0
"""The vault: seal, read, erase."""

import contextlib
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io import DiskSource, ProgressCallback, Secret, StrPath, make_folder, remove, replace
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._change import State, after_commit, commit, load, refuse_newer
from lifeseal.erasure._container import Place
from lifeseal.erasure._layout import ID_SIZE, OBJECTS, describe, description_path, registry_name
from lifeseal.erasure._leftovers import are_left, discard, free_epoch
from lifeseal.erasure._places import refuse_overlap, refuse_root_inside
from lifeseal.erasure._registry import Registry, Slot
from lifeseal.erasure._root import RootHolder
from lifeseal.erasure._seal import new_group, unlink_plaintext, write_asset
from lifeseal.erasure._unseal import write_plaintext
from lifeseal.erasure._values import AssetInfo, ErasedSlot, Erasure
from lifeseal.errors import DestroyedError, RolledBackError, StateError, StoreError
from lifeseal.principles import announce, implements, note, now

_MAX_NAME = 255


class Vault:
    """Sealed assets in a folder, and the root that opens them.

    Made by `create` and `open`. One process writes at a time; readers take no lock and see every change at their next call. The folder may
    be copied and backed up; the root may not, if erasure is to hold.

    Every change (create, seal, erase) puts a fresh root in place of the old one. Whoever holds the folder as it was before, and the root as
    it is now, has nothing that opens an erased asset.
    """

    def __init__(self, folder: Path, root: RootHolder, state: State) -> None:
        self._folder = folder
        self._root = root
        self._state: State | None = state
        self._id = state.vault
        self._epoch = state.epoch
        self._process = os.getpid()
        self._guard = threading.RLock()
        self._assets: weakref.WeakSet[SealedAsset] = weakref.WeakSet()

    @classmethod
    @implements("5.4.2", limits="Whoever holds the root opens the vault; a root in a file is protected by its permissions alone.")
    def create(cls, path: StrPath, *, root: RootHolder) -> Self:
        """Make an empty vault.

        Args:
            path: The new folder; its parent must exist.
            root: Where the root key shall lie; outside the folder, and empty.

        Returns:
            The vault, open.

        Raises:
            FileExistsError: The folder or the root is there already.
            LockedError: Another process uses the root.
            ValueError: The root would lie inside the vault folder.
            OSError: The disk refused.
        """
        folder = Path(path)
        refuse_root_inside(folder, root)
        vault = os.urandom(ID_SIZE)
        with root.locked():
            make_folder(folder, mode=0o700)
            try:
                make_folder(folder / OBJECTS, mode=0o700)
                replace(description_path(folder), describe(vault, kind=root.kind, fingerprint=root.fingerprint), overwrite=False)
                with Registry.empty() as registry:
                    commit(folder, root, registry, vault=vault, over=None, epoch=1, what="the vault is made")
            except OSError:
                _undo_create(folder)
                raise
        note(vault=vault.hex(), epoch=1)
        return cls(folder, root, load(folder, root))

    @classmethod
    @implements("5.4.2", limits="A folder and a file root that were both restored from the same backup look current; only at_least= tells.")
    def open(cls, path: StrPath, *, root: RootHolder, at_least: int | None = None) -> Self:
        """Open a vault; writes nothing.

        Args:
            path: The vault folder.
            root: Its root.
            at_least: Epoch that the vault is known to have reached, as a certificate or log says.

        Returns:
            The vault.

        Raises:
            CredentialError: The root belongs to another vault, or may not be read.
            FormatError: The folder is no vault, or the root no root.
            RolledBackError: The folder, the root or both are older than known.
            StoreError: The root or the registry is not there.
            TamperedError: The registry or the root was changed.
            ValueError: The root lies inside the vault folder.
            OSError: A file cannot be read.
        """
        folder = Path(path)
        refuse_root_inside(folder, root)
        state = load(folder, root)
        note(vault=state.vault.hex(), epoch=state.epoch)
        if at_least is not None and state.epoch < at_least:
            state.registry.close()
            raise RolledBackError(f"{folder}: is at epoch {state.epoch}, known to have reached {at_least}: vault and root were restored from before")
        return cls(folder, root, state)

    @property
    def id(self) -> str:
        """Vault id, 32 hexadecimal digits."""
        return self._id.hex()

    @property
    def epoch(self) -> int:
        """Number of the change in force as of the last call; creation is 1, and every change has a higher one."""
        return self._epoch

    @property
    def holder(self) -> str:
        """The sort of place that holds the root, as ``file``."""
        return self._root.kind

    @property
    def assurance(self) -> str:
        """How far an erasure can be relied on, as the root holder says."""
        return self._root.assurance

    @implements(
        "5.4",
        "5.4.2",
        limits="Number and sizes of files stay visible; blocks that held the plaintext may survive on the disk, also when it was removed.",
    )
    def seal(self, path: StrPath, name: str, *, remove_plaintext: bool = False, progress: ProgressCallback = None) -> SealedAsset:
        """Encrypt a file or folder into the vault under new keys.

        Every container is read back and compared before anything is committed. Empty folders, permissions and times are not kept. A crash
        before the end leaves at most containers that nothing refers to, which the next writer clears away.

        Args:
            path: A file, or a folder without links and special files.
            name: Of the asset: printable, at most 255 characters. Not secret to holders of the root, and kept after an erasure.
            remove_plaintext: Unlink the files afterwards, and the folders that this empties.
            progress: Told about each piece; raising from it cancels, and nothing is committed.

        Returns:
            The asset, open.

        Raises:
            FormatError: The content changed meanwhile, or holds a link or special file; nothing is committed.
            LimitError: Too many files, or a registry beyond 4 MiB.
            LockedError: Another process writes to the vault.
            StateError: A live asset has that name, or the vault is closed.
            StoreError: The asset is sealed, but what follows failed; the message says what.
            TamperedError: A container or the registry does not read back as it was written.
            ValueError: The name is not usable, or the path holds the vault or its root, or lies in the vault.
            OSError: The disk refused; nothing is committed.
        """
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise ValueError(f"an asset's name has 1 to {_MAX_NAME} printable characters")
        refuse_overlap(Path(path), self._folder, self._root)
        with DiskSource(path) as source, self._writing() as state:
            slots = list(state.registry.slots)
            number = state.registry.find(name)
            if number is not None and not slots[number].erased:
                raise StateError(f"{self._folder}: asset {name!r} is live; choose another name, or erase it first")
            generation = 1 if number is None else slots[number].generation + 1
            number = len(slots) if number is None else number
            group = new_group(self._folder)
            with Secret.random() as key:
                try:
                    sealed = write_asset(source, self._place(number, generation, name), key, group, progress=progress)
                except BaseException:
                    discard(self._folder, group)
                    raise
                size = sum(entry.size for entry in sealed.index.entries)
                files = len(sealed.index.entries)
                epoch = free_epoch(self._folder, state.epoch)
                slot = Slot(name=name, generation=generation, erased=0, files=files, size=size, index=sealed.index_id, born_encrypted=False)
                slots[number:] = [slot, *slots[number + 1 :]]
                with state.registry.following(tuple(slots), fresh={number: key}) as registry:
                    self._commit(state, registry, epoch, f"asset {name!r} is sealed")
            note(vault=self.id, epoch=epoch, asset=name, slot=number, generation=generation, files=files, size=size)
            with after_commit(f"{self._folder}: asset {name!r} is sealed at epoch {epoch}"):
                if remove_plaintext:
                    unlink_plaintext(source, sealed)
                return self._asset(self._reload(), number)

    @implements("5.4.2", limits="The asset's key is in this process's memory until it is closed; an erasure elsewhere does not reach it.")
    def asset(self, name: str) -> SealedAsset:
        """Open an asset for reading in place.

        Args:
            name: As it was sealed.

        Returns:
            The asset; close it, or the vault, after use.

        Raises:
            DestroyedError: It was erased; the message names the epoch.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: No asset has that name, or a container is not there.
            TamperedError: The registry or the index was changed.
            OSError: A file cannot be read.
        """
        with self._guard:
            state = self._current()
            number = self._find_live(state, name)
            note(vault=self.id, epoch=state.epoch, asset=name, slot=number, generation=state.registry.slots[number].generation)
            return self._asset(state, number)

    @implements("5.4.2", limits="The plaintext it writes is outside the vault: erasing the asset does not reach it.")
    def unseal(self, name: str, out: StrPath) -> None:
        """Write an asset's plaintext to a new file or folder.

        Each file takes its name only when its whole container has authenticated. If the call fails, what it wrote is removed.

        Args:
            name: As it was sealed.
            out: The new file or folder; its parent must exist.

        Raises:
            DestroyedError: It was erased; the message names the epoch.
            FileExistsError: ``out`` is there already.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: No asset has that name, or a container is not there.
            TamperedError: A container, the index or the registry was changed.
            ValueError: ``out`` lies in the vault.
            OSError: A file cannot be read or written.
        """
        refuse_overlap(Path(out), self._folder, self._root)
        with self._guard:
            state = self._current()
            number = self._find_live(state, name)
            note(vault=self.id, epoch=state.epoch, asset=name, slot=number, generation=state.registry.slots[number].generation)
            asset = self._asset(state, number)
        with asset:
            note(size=write_plaintext(asset, Path(out)), files=len(asset.names()))

    @implements(
        "13.2",
        evidences=["13.1"],
        limits="Holds as far as the old root is gone (see Vault.assurance); plaintext copies, keys in running processes and recipients' copies stay.",
    )
    def erase(self, names: Iterable[str]) -> Erasure:
        """Destroy the keys of assets, all in one epoch; nothing brings them back.

        The intent is announced, a registry without the keys is written, a fresh root takes the old one's place and is read back; then
        the containers are unlinked, and the result is checked from the disk. What lies in the vault folder stops no erasure: containers
        that are damaged, or that the disk will not let go of, are left unreadable.

        Args:
            names: Live assets, each once.

        Returns:
            What was destroyed, for a certificate, and what could not be unlinked.

        Raises:
            DestroyedError: One was erased before; nothing was changed.
            LockedError: Another process writes to the vault.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault is closed.
            StoreError: No asset has one of the names, and nothing was changed; or the keys are gone and the message says what failed after.
            TamperedError: The registry was changed, or does not read back.
            TypeError: One string was given instead of several.
            ValueError: No name, or one twice.
            OSError: The disk refused to keep the change; a note says which state is in force.
        """
        if isinstance(names, str):
            raise TypeError("names must be several, such as [name]")
        wanted = tuple(names)
        if not wanted or len(set(wanted)) != len(wanted):
            raise ValueError("names must be given, each once")
        with self._writing() as state:
            numbers = [self._find_live(state, name) for name in wanted]
            epoch = free_epoch(self._folder, state.epoch)
            slots = list(state.registry.slots)
            erased = tuple(ErasedSlot(slot=number, generation=slots[number].generation) for number in numbers)
            facts = {"slots": tuple(f"{entry.slot}:{entry.generation}" for entry in erased), "assets": wanted}
            announce("lifeseal.erasure.Vault.erase", ("uk-ai-cop:13.2", "uk-ai-cop:13.1"), vault=self.id, epoch=state.epoch, **facts)
            note(vault=self.id, epoch=state.epoch, **facts)
            for number in numbers:
                slots[number] = attrs.evolve(slots[number], erased=epoch)
            before = state.epoch
            with state.registry.following(tuple(slots), fresh={}) as registry:
                left = self._commit(state, registry, epoch, "the keys are gone")
            note(epoch_after=epoch)
            with after_commit(f"{self._folder}: the keys are gone at epoch {epoch}"):
                self._close_assets(set(numbers))
                self._check_erased(wanted)
            return Erasure(vault=self.id, epoch_before=before, epoch_after=epoch, slots=erased, time=now(), not_removed=left)

    @implements(evidences=["5.1"], limits="It lists what was sealed into this vault, not other copies.")
    def assets(self) -> tuple[AssetInfo, ...]:
        """List the assets, erased ones included.

        Returns:
            One entry a slot, in order.

        Raises:
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The root or the registry is not there.
            TamperedError: The registry or the root was changed.
            OSError: A file cannot be read.
        """
        with self._guard:
            state = self._current()
            note(vault=self.id, epoch=state.epoch)
            return tuple(_info(number, slot) for number, slot in enumerate(state.registry.slots))

    def close(self) -> None:
        """Zero the keys of the vault and of every asset it handed out; twice is no error."""
        with self._guard:
            self._close_assets(None)
            if self._state is not None:
                self._state.registry.close()
                self._state = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[State]:
        """Hold the root's lock; the state is always read anew, never taken from memory.

        What an interrupted change left is cleared away first, after a fresh root is durable: until then a power cut may bring back the one
        it belongs to. What cannot be unlinked stops nothing.
        """
        with self._root.locked(), self._guard:
            state = self._reload()
            refuse_newer(self._folder, state.epoch)
            if are_left(self._folder, state.registry, epoch=state.epoch):
                epoch = free_epoch(self._folder, state.epoch)
                what = "every asset is as it was"
                commit(self._folder, self._root, state.registry, vault=state.vault, over=state.epoch, epoch=epoch, what=what)
                state = self._reload()
            yield state

    def _commit(self, state: State, registry: Registry, epoch: int, what: str) -> tuple[str, ...]:
        left = commit(self._folder, self._root, registry, vault=state.vault, over=state.epoch, epoch=epoch, what=what)
        if left:
            note(not_removed=len(left))
        return left

    def _current(self) -> State:
        """Return the state in force, read anew if the root has moved on or this process was forked."""
        state = self._open_state()
        with self._root.read() as held:
            epoch = held.epoch
        return state if epoch == self._epoch and os.getpid() == self._process else self._reload()

    def _reload(self) -> State:
        old = self._open_state()
        state = load(self._folder, self._root)
        if state.vault != self._id or state.epoch < self._epoch:
            state.registry.close()
            raise RolledBackError(f"{self._folder}: vault {state.vault.hex()} at epoch {state.epoch}; this one was at epoch {self._epoch} before")
        old.registry.close()
        self._state, self._epoch, self._process = state, state.epoch, os.getpid()
        return state

    def _open_state(self) -> State:
        if self._state is None:
            raise StateError(f"{self._folder}: this vault is closed")
        return self._state

    def _find_live(self, state: State, name: str) -> int:
        number = state.registry.find(name)
        if number is None:
            raise StoreError(f"{self._folder}: no asset {name!r}")
        slot = state.registry.slots[number]
        if slot.erased:
            raise DestroyedError(f"{self._folder}: asset {name!r} was erased at epoch {slot.erased}; its key is gone")
        return number

    def _asset(self, state: State, number: int) -> SealedAsset:
        slot = state.registry.slots[number]
        place = self._place(number, slot.generation, slot.name)

        def gone() -> None:
            with self._guard:
                now_there = self._current().registry.slots[number]
            if now_there.erased or now_there.generation != slot.generation:
                raise DestroyedError(f"{self._folder}: generation {slot.generation} of asset {slot.name!r} was erased; its key is gone")

        asset = SealedAsset(place, state.registry.key(number), slot.index, gone=gone)
        self._assets.add(asset)
        return asset

    def _place(self, number: int, generation: int, name: str) -> Place:
        return Place(folder=self._folder, vault=self._id, slot=number, generation=generation, name=name)

    def _close_assets(self, numbers: set[int] | None) -> None:
        for asset in tuple(self._assets):
            if numbers is None or asset.slot in numbers:
                asset.close()

    def _check_erased(self, names: Iterable[str]) -> None:
        """See from the disk alone that the keys are gone."""
        state = self._reload()
        for name in names:
            with contextlib.suppress(DestroyedError):
                self._find_live(state, name)
                raise StoreError(f"{self._folder}: asset {name!r} is still live after it was erased")


def _info(number: int, slot: Slot) -> AssetInfo:
    return AssetInfo(
        name=slot.name,
        slot=number,
        generation=slot.generation,
        state="erased" if slot.erased else "live",
        erased_at=slot.erased or None,
        files=slot.files,
        size=slot.size,
        born_encrypted=slot.born_encrypted,
    )


def _undo_create(folder: Path) -> None:
    with contextlib.suppress(OSError):
        remove(folder / registry_name(1))
        remove(description_path(folder))
        (folder / OBJECTS).rmdir()
        folder.rmdir()
