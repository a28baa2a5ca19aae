# SPDX-License-Identifier: Apache-2.0
"""The vault: seal, read, erase."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from lifeseal._io import DiskSource, ProgressCallback, StrPath, make_folder, remove, replace
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._change import after_commit, found_vault, load
from lifeseal.erasure._check import check_vault
from lifeseal.erasure._compact import compact
from lifeseal.erasure._erase import erase
from lifeseal.erasure._hand_over import HandOvers
from lifeseal.erasure._holders import RootHolder
from lifeseal.erasure._holds import Holds
from lifeseal.erasure._layout import DESCRIPTION, ID_SIZE, LOCK, OBJECTS, describe, log_name
from lifeseal.erasure._places import refuse_overlap, refuse_root_inside
from lifeseal.erasure._rehome import rehome, retire
from lifeseal.erasure._report import describe_vault, list_assets
from lifeseal.erasure._roots import Roots
from lifeseal.erasure._seal import unlink_plaintext
from lifeseal.erasure._sealing import seal_into
from lifeseal.erasure._session import Session
from lifeseal.erasure._subjects import Subjects
from lifeseal.erasure._trials import Trials
from lifeseal.erasure._unseal import write_plaintext
from lifeseal.erasure._values import AssetInfo, Compaction, Erasure, Rehoming, VaultCheck, VaultInfo
from lifeseal.errors import LifesealError, RolledBackError
from lifeseal.principles import Fact, implements, note

_MAX_NAME = 255


class Vault:
    """Sealed assets in a folder, and the root that opens them; made by `create` and `open`.

    One process writes at a time; readers take no lock and see every change at their next call. The folder may be copied and backed up; the
    root may not, if erasure is to hold.

    Every change (create, seal, erase) puts a fresh root in place of the old one. Whoever holds the folder as it was before, and the root as
    it is now, has nothing that opens an erased asset.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __facts__(self) -> dict[str, Fact]:
        return self._session.facts()

    @classmethod
    @implements(evidences=["5.4.2"], limits="Whoever holds the root opens the vault; a root in a file is protected by its permissions alone.")
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
            StoreError: The root holder is not reached.
            ValueError: The root would lie inside the vault folder.
            OSError: The disk refused.
        """
        folder = Path(path)
        refuse_root_inside(folder, root)
        roots = Roots(folder=folder, vault=os.urandom(ID_SIZE), holder=root)
        note(vault=roots.vault.hex(), epoch=1)
        make_folder(folder, mode=0o700)
        try:
            with root.locked(folder):
                make_folder(folder / OBJECTS, mode=0o700)
                replace(folder / DESCRIPTION, describe(roots.vault, kind=root.kind, fingerprint=root.fingerprint), overwrite=False)
                found_vault(roots)
                state = load(folder, root)
        except (LifesealError, OSError):
            _undo_create(folder)
            raise
        return cls(Session(folder, root, state))

    @classmethod
    @implements(
        evidences=["5.4.2"], limits="A folder and a file root that were both restored from the same backup look current; only at_least= tells."
    )
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
            StoreError: The root or the log is not there.
            TamperedError: The log or the root was changed.
            ValueError: The root lies inside the vault folder.
            OSError: A file cannot be read.
        """
        folder = Path(path)
        refuse_root_inside(folder, root)
        state = load(folder, root)
        note(epoch=state.epoch)
        if at_least is not None and state.epoch < at_least:
            state.close()
            raise RolledBackError(f"{folder}: is at epoch {state.epoch}, known to have reached {at_least}: vault and root were restored from before")
        return cls(Session(folder, root, state))

    @property
    def id(self) -> str:
        """Vault id, 32 hexadecimal digits."""
        return self._session.id.hex()

    @property
    def epoch(self) -> int:
        """Number of the change in force as of the last call; creation is 1, and every change has a higher one."""
        return self._session.epoch

    @property
    def holder(self) -> str:
        """The sort of place that holds the root, as ``file``."""
        return self._session.holder.kind

    @property
    def assurance(self) -> str:
        """How far an erasure can be relied on, as the root holder says."""
        return self._session.holder.assurance

    @property
    def holds(self) -> Holds:
        """Holds on assets, which `erase` respects."""
        return Holds(self._session)

    @property
    def trials(self) -> Trials:
        """Attempts to open what was erased."""
        return Trials(self._session)

    @property
    def hand_overs(self) -> HandOvers:
        """Copies of assets' data keys that are given to others."""
        return HandOvers(self._session)

    @property
    def subjects(self) -> Subjects:
        """Records of single people, each under a key of that person's own."""
        return Subjects(self._session)

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
            name: Of the asset: printable, at most 255 characters. Holders of the root can read it; an erasure leaves a keyed fingerprint of it.
            remove_plaintext: Unlink the files afterwards, and the folders that this empties.
            progress: Told about each piece; raising from it cancels, and nothing is committed.

        Returns:
            The asset, open.

        Raises:
            FormatError: The content changed meanwhile, or holds a link or special file; nothing is committed.
            LimitError: Too many files, or no slot left.
            LockedError: Another process writes to the vault.
            StateError: A live asset has that name, or the vault is closed.
            StoreError: The asset is sealed, but what follows failed; the message says what.
            TamperedError: A container or the log does not read back as it was written.
            ValueError: The name is not usable, or the path holds the vault or its root, or lies in the vault.
            OSError: The disk refused; nothing is committed.
        """
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise ValueError(f"an asset's name has 1 to {_MAX_NAME} printable characters")
        session = self._session
        refuse_overlap(Path(path), session.folder, session.holder)
        with DiskSource(path) as source, session.writing(grows=True):
            asset, sealed = seal_into(session, source, name, progress=progress)
            note(epoch=self.epoch, asset=name, slot=asset.slot, generation=asset.generation, files=asset.files, size=asset.size)
            with after_commit(f"{session.folder}: asset {name!r} is sealed at epoch {self.epoch}"):
                if remove_plaintext:
                    unlink_plaintext(source, sealed)
                return session.hand_out(session.current(), asset)

    @implements(evidences=["5.4.2"], limits="The asset's key is in this process's memory until it is closed; an erasure elsewhere does not reach it.")
    def asset(self, name: str) -> SealedAsset:
        """Open an asset for reading in place.

        Args:
            name: As it was sealed.

        Returns:
            The asset; close it, or the vault, after use.

        Raises:
            DestroyedError: It was erased; the message names the epoch.
            PendingError: It was erased, but the root holder has not destroyed the old root yet.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: No asset has that name, or a container is not there.
            TamperedError: The log or the index was changed.
            OSError: A file cannot be read.
        """
        with self._session.guard:
            note(epoch=(state := self._session.current()).epoch, asset=name)
            asset = self._session.find_live(state, name)
            note(slot=asset.slot, generation=asset.generation)
            return self._session.hand_out(state, asset)

    @implements(evidences=["5.4.2"], limits="The plaintext it writes is outside the vault: erasing the asset does not reach it.")
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
            TamperedError: A container, the index or the log was changed.
            ValueError: ``out`` lies in the vault.
            OSError: A file cannot be read or written.
        """
        refuse_overlap(Path(out), self._session.folder, self._session.holder)
        with self._session.guard:
            state = self._session.current()
            found = self._session.find_live(state, name)
            note(epoch=state.epoch, asset=name, slot=found.slot, generation=found.generation)
            asset = self._session.hand_out(state, found)
        with asset:
            note(size=write_plaintext(asset, Path(out)), files=len(asset.names()))

    @implements(
        "13.2",
        evidences=["13.1"],
        limits="Holds as far as the old root is gone (see Vault.assurance); plaintext copies, keys in running processes and recipients' copies stay.",
    )
    def erase(self, names: Iterable[str]) -> Erasure:
        """Destroy the keys of assets, all in one epoch; nothing brings them back.

        The intent is announced, nodes without the keys are written, a fresh root takes the old one's place and is read back; then the
        containers are unlinked, and the result is checked from the disk. Containers that the disk does not let go of stay, unreadable.

        Args:
            names: Live assets, each once.

        Returns:
            What was destroyed, for a certificate, and what could not be unlinked.

        Raises:
            DestroyedError: One was erased before; nothing was changed.
            LockedError: Another process writes to the vault.
            PendingError: The change is in force, but the root holder did not destroy the old root: not erased yet. The next change tries again.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault is closed, or an asset is on hold; nothing was changed.
            StoreError: No asset has one of the names, and nothing was changed; or the keys are gone and the message says what failed after.
            TamperedError: The log was changed, or does not read back.
            TypeError: One string was given instead of several.
            ValueError: No name, or one twice.
            OSError: The disk refused to keep the change; a note says which state is in force.
        """
        return erase(self._session, names)

    @implements(evidences=["5.1"], limits="It lists what was sealed into this vault, not other copies.")
    def assets(self) -> tuple[AssetInfo, ...]:
        """List the assets, erased ones included.

        Returns:
            One entry a slot, in order.

        Raises:
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The root or the log is not there.
            TamperedError: The log or the root was changed.
            OSError: A file cannot be read.
        """
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch)
            return list_assets(state)

    @implements(evidences=["5.1", "13.1"], limits="It tells what the vault and its root holder say; copies of either are not known to it.")
    def info(self) -> VaultInfo:
        """Say what state the vault is in, how sure an erasure would be, and what losing or backing up the root means.

        Returns:
            The state.

        Raises:
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The root or the log is not there.
            TamperedError: The log or the root was changed.
            OSError: A file cannot be read.
        """
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch)
            return describe_vault(state)

    @implements(
        evidences=["5.4.2", "13.1"], limits="It finds what was changed, cut or mixed up; what is missing together with its record does not show."
    )
    def verify(self, *, progress: ProgressCallback = None) -> VaultCheck:
        """Check everything: the log's digests, every node from the root, every page, every chunk of every container.

        Args:
            progress: Told about each container; raising from it stops the work.

        Returns:
            What was checked.

        Raises:
            FormatError: A file is not what it should be.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: A container, the log or the root is not there.
            TamperedError: Something was changed, cut or mixed up; the first fault is named.
            OSError: A file cannot be read.
        """
        with self._session.apart() as state:
            return check_vault(state, lambda asset: self._session.hand_out(state, asset), progress=progress)

    @implements(
        evidences=["13.2"], limits="It makes the log small and drops what no key opens any more; it destroys no key that was not destroyed before."
    )
    def compact(self) -> Compaction:
        """Write the tree into a new log under fresh keys, compare it with the old from the root down, and switch.

        Returns:
            What was gained.

        Raises:
            LockedError: Another process writes to the vault.
            PendingError: The root holder has not destroyed an older root yet; nothing was changed.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault is closed.
            StoreError: The vault is compacted, but what follows failed; the message says what.
            TamperedError: A node or page does not open, or the new log does not equal the old; nothing was changed.
            OSError: The disk refused; a note says which state is in force.
        """
        with self._session.writing() as state:
            note(epoch=state.epoch)
            done = compact(state, self._session.moved)
            note(epoch_after=done.epoch_after)
            return done

    @implements(
        evidences=["13.1", "13.2"],
        limits="Whoever copied the old root, or keeps a backup of it and of the vault folder, opens what was sealed before the move.",
    )
    def rehome(self, root: RootHolder) -> Rehoming:
        """Move the vault to another root holder, or to a fresh key, and destroy the root in the old one.

        The tree is put under a fresh root, which the new holder gets and gives back before the vault is switched to it; only then the old
        root is destroyed, and both are written down in the vault. What an interruption leaves opens with the old holder or the new; move
        again, or `retire` the old one.

        Args:
            root: The new holder; empty, or with what an interrupted move of this vault left in it.

        Returns:
            What became of the old root.

        Raises:
            CredentialError: The new holder may not be used with these credentials.
            FileExistsError: The new holder holds something.
            LockedError: Another process writes to the vault, or uses the new holder.
            PendingError: The vault has moved, and the old root is not destroyed; `retire` it.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The new holder has a root already, or the vault is closed; nothing was changed.
            StoreError: A holder is not reached; a note says what was done.
            TamperedError: The root or the tree does not read back as it was written; a note says what was done.
            ValueError: The root would lie inside the vault folder.
            OSError: The disk refused; a note says what was done.
        """
        refuse_root_inside(self._session.folder, root)
        return rehome(self._session, root)

    @implements(
        evidences=["13.1", "13.2"],
        limits="Holds as far as the holder's own assurance says; copies of its root that were made while it lived are not reached.",
    )
    def retire(self, root: RootHolder) -> Rehoming:
        """Destroy the root that an earlier holder still has, and write that down; for what `rehome` left pending.

        Args:
            root: The earlier holder, not the one in force.

        Returns:
            What became of its root.

        Raises:
            LockedError: Another process writes to the vault, or uses the holder.
            PendingError: Its root is not destroyed; the message says why.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault knows no such holder that may still have a root, or is closed; nothing was changed.
            StoreError: The holder in force is not reached.
            TamperedError: The log was changed.
            OSError: The disk refused; a note says what was done.
        """
        return retire(self._session, root)

    def close(self) -> None:
        """Zero the keys of the vault and of every asset it handed out; twice is no error."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _undo_create(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for name in (log_name(1), DESCRIPTION, LOCK):
            remove(folder / name)
        (folder / OBJECTS).rmdir()
        folder.rmdir()
