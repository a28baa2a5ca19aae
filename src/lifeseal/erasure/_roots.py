# SPDX-License-Identifier: Apache-2.0
"""Reading and replacing the root, for either sort of holder; and the table that says what an interrupted change has become."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import attrs

from lifeseal._io import Record, canonical, decode_base64, encode_base64, loads, remove, replace
from lifeseal.erasure._holders import Cell, HeldRoot, KeyState, RootHolder, Wrapper
from lifeseal.erasure._layout import FORMAT, read_file, root_context, root_epochs, root_name
from lifeseal.errors import CredentialError, DestroyedError, FormatError, LifesealError, PendingError, RolledBackError, StoreError, TamperedError

T = TypeVar("T")
_MAX_ROOT = 64 << 10
_MAX_ROOTS = 16
RETIRED = 2**63 - 1  # epoch that a cell holds, beside a random key, once its root was destroyed because the vault moved
_DEFINITE = (CredentialError, DestroyedError, FormatError, TamperedError, RolledBackError)


@attrs.frozen(kw_only=True)
class Roots:
    """The root of one vault, in one holder.

    Attributes:
        folder: The vault folder.
        vault: Vault id.
        holder: Keeps or wraps the root.
    """

    folder: Path
    vault: bytes
    holder: RootHolder

    @property
    def cell(self) -> Cell | None:
        """The holder, if it is a cell; told by its methods, as `isinstance` with a protocol costs more than the whole read."""
        return cast("Cell", self.holder) if hasattr(self.holder, "replace") else None

    @property
    def wrapper(self) -> Wrapper:
        """The holder, as a wrapper."""
        return cast("Wrapper", self.holder)

    def mark(self) -> object:
        """Return what changes whenever the root does; equal marks mean that nothing has."""
        return root_epochs(self.folder) if self.cell is None else self.newest()

    def newest(self) -> int:
        """Tell the epoch that a cell holds, or that the newest wrapped root is named by; 0 where there is none. Opens nothing."""
        if self.cell is None:
            return max(root_epochs(self.folder), default=0)
        with self._read(self.cell) as held:
            return held.epoch

    def open(self, use: Callable[[HeldRoot], T]) -> T:
        """Try the roots that may be in force, newest first, until one opens what it should.

        With a cell there is one. With a wrapper there are two in the middle of a change: if the new one opens a complete tree the change has
        happened, else it has not. A wrapper that cannot be reached decides nothing.

        Args:
            use: Opens the tree of a root, or raises.

        Returns:
            What ``use`` returned.

        Raises:
            CredentialError: The holder, or the passphrase, belongs to another vault.
            DestroyedError: The key version of every root is gone.
            FormatError: A root is not what it should be.
            RolledBackError: The folder is older than what the holder holds.
            StoreError: The holder or every root is missing.
            TamperedError: A root, or what it opens, was changed.
            OSError: A file cannot be read.
        """
        if self.cell is not None:
            with self._read(self.cell) as held:
                return use(held)
        first = None
        for epoch in self._wrapped_epochs():
            try:
                found = self._unwrap(self.wrapper, epoch)
                if found is None:
                    continue
                with found:
                    return use(found)
            except _DEFINITE as error:
                first = first or error
        if first is None:
            raise StoreError(f"{self.folder}: no wrapped root is there; without it the vault cannot be read")
        if isinstance(first, DestroyedError):
            raise self._outlived(self.wrapper, first)
        raise first

    def commit(self, fresh: HeldRoot, *, over: int | None) -> tuple[str, ...]:
        """Put a fresh root in force, durably, and let go of the one it replaces.

        Args:
            fresh: The new root; what it opens is durable.
            over: Epoch in force now; None for a new vault.

        Returns:
            Key versions that the holder will destroy, but has not yet.

        Raises:
            PendingError: The new root is in force, and the old one is not gone.
            TamperedError: The root does not read back as it was written.
            StoreError: The holder is unavailable.
            OSError: The disk refused.
        """
        self.put(fresh, over=over)
        return self.settle(fresh.epoch)

    def put(self, fresh: HeldRoot, *, over: int | None) -> None:
        """Put a fresh root into the holder, durably, and destroy nothing but what a cell replaces; see `commit`."""
        if self.cell is not None:
            self.cell.replace(fresh, over=over)
        else:
            self._wrap(self.wrapper, fresh)

    def check(self, fresh: HeldRoot) -> None:
        """Compare what the holder gives back with what was put in force."""
        held = self._unwrap(self.wrapper, fresh.epoch) if self.cell is None else self._read(self.cell)
        with held or contextlib.nullcontext():
            if held is None or held.epoch != fresh.epoch or not held.key.same_as(fresh.key):
                raise TamperedError(f"{self.folder}: the root reads back differently from what was written")

    def settle(self, epoch: int) -> tuple[str, ...]:
        """Finish what was interrupted: destroy every other key version that the holder lists for this vault, and unlink every other root.

        Args:
            epoch: Of the root that opens the vault.

        Returns:
            Key versions that the holder will destroy, but has not yet.

        Raises:
            PendingError: An old root is not gone.
            StoreError: The holder does not list the version in force, lists several later ones, or cannot be reached; nothing was destroyed.
        """
        if self.cell is not None:
            return ()
        version, _ = self.stored(epoch)
        scheduled = self._destroy_others(self.wrapper, version, epoch)
        self.unlink_others(epoch)
        return scheduled

    def unlink_others(self, epoch: int) -> None:
        """Unlink every wrapped root but that of an epoch; where the wrapper keeps no versions that it could destroy, that is the destruction.

        Args:
            epoch: Of the root that stays.

        Raises:
            PendingError: A root stays that only its unlinking destroys.
        """
        for other in root_epochs(self.folder):
            if other == epoch:
                continue
            try:
                remove(self.folder / root_name(other), wipe=True)
            except OSError as error:
                if self.wrapper.versions(self.vault) is None:
                    raise PendingError(f"{self.folder}: epoch {epoch} is in force, but the root of epoch {other} stays: {error}") from error

    def unsettled(self, epoch: int) -> tuple[str, ...]:
        """List what may still open an older root: key versions that are not gone; where the wrapper keeps no list, the older roots.

        Args:
            epoch: Of the root in force.

        Returns:
            Names of versions, or of files in the vault.

        Raises:
            StoreError: The holder cannot be reached.
        """
        if self.cell is not None:
            return ()
        listed = self.wrapper.versions(self.vault)
        if listed is None:
            return tuple(root_name(other) for other in root_epochs(self.folder) if other < epoch)  # a later one opens nothing of before
        version, _ = self.stored(epoch)
        return tuple(found.called for found in listed if found.name != version and found.state is not KeyState.DESTROYED)

    def _read(self, cell: Cell) -> HeldRoot:
        held = cell.read()
        if held.vault != self.vault:
            held.key.close()
            raise CredentialError(f"{self.folder}: is vault {self.vault.hex()}; the root given belongs to vault {held.vault.hex()}")
        if held.epoch == RETIRED:
            held.key.close()
            raise CredentialError(f"{self.folder}: has moved to another root; the one given was destroyed")
        return held

    def _wrapped_epochs(self) -> tuple[int, ...]:
        found = root_epochs(self.folder)
        if len(found) > _MAX_ROOTS:
            raise FormatError(str(self.folder), f"at most {_MAX_ROOTS} wrapped roots were expected, and {len(found)} lie there")
        return tuple(reversed(found))

    def stored(self, epoch: int) -> tuple[str, bytes]:
        """Read the key version and the wrapped root of an epoch, where a wrapper holds the root."""
        version, wrapped, _ = self._stored(epoch)
        return version, wrapped

    def _stored(self, epoch: int) -> tuple[str, bytes, bool]:
        """Read a wrapped root: the version's name, the wrapped key, and whether it is one of this holder, as far as it says."""
        where = str(self.folder / root_name(epoch))
        try:
            data = read_file(self.folder, root_name(epoch), limit=_MAX_ROOT)
        except FileNotFoundError:
            raise StoreError(f"{where}: not there") from None
        text, _, check = data.removesuffix(b"\n").rpartition(b"\n")
        if check != hashlib.sha256(text).hexdigest().encode():
            raise TamperedError(f"{where}: the wrapped root is damaged; its checksum does not fit")
        document = Record(loads(text, where=where), where=where)
        document.take_const("format", FORMAT.decode())
        vault, found = document.take_hex("vault", length=len(self.vault)), document.take_int("epoch")
        version, wrapped = document.take_str("version", max_length=255), decode_base64(document.take_str("wrapped"), where=where)
        ours = "holder" not in document
        if not ours:
            holder = document.take_record("holder")
            ours = (holder.take_str("kind"), holder.take_str("fingerprint")) == (self.holder.kind, self.holder.fingerprint)
            holder.done()
        document.done()
        if vault != self.vault or found != epoch:
            raise CredentialError(f"{where}: is the root of epoch {found} of vault {vault.hex()}")
        return version, wrapped, ours

    def _unwrap(self, wrapper: Wrapper, epoch: int) -> HeldRoot | None:
        """Unwrap the root of an epoch; None if it is another holder's, as between the steps of a move."""
        version, wrapped, ours = self._stored(epoch)
        if not ours:
            return None
        try:
            key = wrapper.unwrap(version, wrapped, root_context(self.vault, epoch))
        except LifesealError as error:
            error.add_note(f"{self.folder / root_name(epoch)}: the wrapped root of epoch {epoch}")
            raise
        return HeldRoot(vault=self.vault, epoch=epoch, key=key)

    def _wrap(self, wrapper: Wrapper, fresh: HeldRoot) -> None:
        version = wrapper.create(self.vault, fresh.epoch)
        path = self.folder / root_name(fresh.epoch)
        try:
            wrapped = wrapper.wrap(version, fresh.key, root_context(self.vault, fresh.epoch))
            holder = {"kind": self.holder.kind, "fingerprint": self.holder.fingerprint}
            names = {"format": FORMAT.decode(), "vault": self.vault.hex(), "epoch": fresh.epoch, "holder": holder}
            text = canonical({**names, "version": version, "wrapped": encode_base64(wrapped)})
            if path.is_symlink() or (path.exists() and not path.is_file()):
                remove(path)
            replace(path, text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n", mode=0o600)
            self.check(fresh)
        except BaseException:
            with contextlib.suppress(LifesealError, OSError):  # what stays is an orphan that the next writer finds
                wrapper.destroy(version)
                remove(path, wipe=True)
            raise

    def _destroy_others(self, wrapper: Wrapper, version: str, epoch: int) -> tuple[str, ...]:
        listed = wrapper.versions(self.vault)
        if listed is None:
            return ()
        if not any(found.name == version and found.state is KeyState.LIVE for found in listed):
            raise StoreError(f"{self.folder}: the holder does not list the key version in force; nothing was destroyed")
        later = [found.name for found in listed[[found.name for found in listed].index(version) + 1 :] if found.state is KeyState.LIVE]
        if len(later) > 1:  # an interrupted change leaves one at most, so this folder is not the one they belong to
            raise StoreError(f"{self.folder}: the holder has {len(later)} key versions later than that of this folder; nothing was destroyed")
        scheduled = []
        for found in listed:
            state = found.state
            if found.name != version and state is KeyState.LIVE:
                try:
                    state = wrapper.destroy(found.name)
                except LifesealError as error:
                    stays = f"key version {found.name!r} is not destroyed: {error}; the next change tries again"
                    raise PendingError(f"{self.folder}: epoch {epoch} is in force, but {stays}") from error
                if state is KeyState.LIVE:
                    raise PendingError(f"{self.folder}: epoch {epoch} is in force, but key version {found.name!r} is still live")
            if state is KeyState.SCHEDULED:
                scheduled.append(found.name)
        if scheduled:
            with contextlib.suppress(LifesealError):  # it is only about the dates
                return tuple(found.called for found in wrapper.versions(self.vault) or () if found.name in scheduled)
        return tuple(scheduled)

    def _outlived(self, wrapper: Wrapper, error: DestroyedError) -> LifesealError:
        """Say whether the folder is old, or the vault is over."""
        listed = wrapper.versions(self.vault) or ()
        if any(found.state is KeyState.LIVE for found in listed):
            newest = self._wrapped_epochs()[0]
            return RolledBackError(
                f"{self.folder}: the key version of epoch {newest} is gone, and the holder has a newer one: "
                "this folder was copied or restored from before a change, and its keys are gone"
            )
        return error
