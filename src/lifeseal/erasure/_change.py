# SPDX-License-Identifier: Apache-2.0
"""Reading a vault's present state, and the one way to change it: a fresh root, then the old one is gone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from lifeseal._io import Secret, read_bounded, remove, replace
from lifeseal.erasure._layout import KEY_SIZE, group_of, object_ids, object_name, read_description, registry_epochs, registry_name
from lifeseal.erasure._registry import MAX_REGISTRY, Registry
from lifeseal.erasure._root import HeldRoot, RootHolder
from lifeseal.errors import CredentialError, RolledBackError, StoreError, TamperedError

_MAX_FILE = MAX_REGISTRY + 64


@attrs.frozen(kw_only=True, eq=False)
class State:
    """A vault at one epoch.

    Attributes:
        vault: Vault id, 16 bytes.
        epoch: Which one.
        registry: Its slots and keys.
    """

    vault: bytes
    epoch: int
    registry: Registry


def load(folder: Path, root: RootHolder) -> State:
    """Open the registry that the root opens; writes nothing and takes no lock.

    Args:
        folder: The vault folder.
        root: The root holder.

    Returns:
        The state; close its registry after use.

    Raises:
        CredentialError: The root belongs to another vault or another holder, or may not be read.
        FormatError: The folder is no vault, or the root no root.
        RolledBackError: Folder and root are of different times.
        StoreError: The root or every registry is missing.
        TamperedError: The registry or the root was changed.
        OSError: A file cannot be read.
    """
    vault, kind, fingerprint = read_description(folder)
    if (kind, fingerprint) != (root.kind, root.fingerprint):
        raise CredentialError(f"{folder}: sealed under a root of kind {kind[:40]!r}; the one given is of kind {root.kind!r}, or another one")
    missed = None
    while True:
        with root.read() as held:
            if held.vault != vault:
                raise CredentialError(f"{folder}: is vault {vault.hex()}; the root given belongs to vault {held.vault.hex()}")
            path = folder / registry_name(held.epoch)
            try:
                data = read_bounded(path, limit=_MAX_FILE)
            except FileNotFoundError:
                if missed == held.epoch:
                    raise _out_of_step(folder, held.epoch) from None
                missed = held.epoch  # a writer may have gone on in between: look at the root once more
                continue
            return State(vault=vault, epoch=held.epoch, registry=Registry.decrypt(data, held, where=str(path)))


def has_leftovers(folder: Path, state: State) -> bool:
    """Tell whether an interrupted change left files behind. Call it within the root's lock.

    They go only after the next root is durable: until then a power cut may bring back the root they belong to.

    Args:
        folder: The vault folder.
        state: What the root opens now.

    Returns:
        True if there are registries of other epochs, or containers of no live slot.

    Raises:
        RolledBackError: The folder is newer than the root; nothing may be cleared away.
        FormatError: The folder is not laid out as a vault.
        OSError: The folder cannot be read.
    """
    epochs = registry_epochs(folder)
    if epochs and epochs[-1] > state.epoch + 1:
        raise _out_of_step(folder, state.epoch)
    return epochs != (state.epoch,) or bool(_orphans(folder, state.registry))


def commit(folder: Path, root: RootHolder, registry: Registry, *, vault: bytes, over: int | None) -> int:
    """Put a registry in force under a fresh root, and let go of the old one.

    The order is the promise: registry durable, root replaced (from here on the change holds), both read back and compared; then old
    registries and the containers of no live slot are unlinked. An error before the root was replaced leaves the old state.

    Args:
        folder: The vault folder.
        root: The root holder, locked.
        registry: What shall be in force.
        vault: Vault id.
        over: Epoch in force now; None for a new vault.

    Returns:
        The new epoch.

    Raises:
        StoreError: The root was replaced, but what follows failed; the message says so.
        OSError: The disk refused before that.
    """
    epoch = (over or 0) + 1
    with HeldRoot(vault=vault, epoch=epoch, key=Secret.random(KEY_SIZE)) as fresh:
        replace(folder / registry_name(epoch), registry.encrypt(fresh), mode=0o600)
        root.replace(fresh, over=over)
        with after_commit(f"{folder}: epoch {epoch} is in force"):
            with root.read() as held:
                if (held.vault, held.epoch) != (vault, epoch) or not held.key.same_as(fresh.key):
                    raise TamperedError(f"{folder}: the root reads back differently from what was written")
            with load(folder, root).registry as reopened:
                if not reopened.same_as(registry):
                    raise TamperedError(f"{folder}: the registry reads back differently from what was written")
            for old in registry_epochs(folder):
                if old != epoch:
                    remove(folder / registry_name(old))
            for file_id in _orphans(folder, registry):
                remove(folder / object_name(file_id))
    return epoch


@contextlib.contextmanager
def after_commit(done: str) -> Iterator[None]:
    """Turn a disk's refusal into an error that says what is already done."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{done}; what follows it failed: {error}. The next writer clears away what is left") from error


def _orphans(folder: Path, registry: Registry) -> tuple[bytes, ...]:
    live = {group_of(slot.index) for slot in registry.slots if not slot.erased}
    return tuple(file_id for file_id in object_ids(folder) if group_of(file_id) not in live)


def _out_of_step(folder: Path, epoch: int) -> RolledBackError | StoreError:
    found = registry_epochs(folder)
    if not found:
        return StoreError(f"{folder}: the registry of epoch {epoch} is not there, nor any other")
    if found[-1] < epoch:
        return RolledBackError(
            f"{folder}: the newest registry is of epoch {found[-1]}, the root is at epoch {epoch}: "
            "this folder was copied or restored from before a change, and its keys are gone"
        )
    return RolledBackError(f"{folder}: the folder holds a registry of epoch {found[-1]}, the root is at epoch {epoch}: the root was restored")
