# SPDX-License-Identifier: Apache-2.0
"""Reading a vault's present state, and the one way to change it: a fresh root, then the old one is gone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from lifeseal._io import Secret, replace
from lifeseal.erasure._layout import KEY_SIZE, read_description, read_file, registry_epochs, registry_name
from lifeseal.erasure._leftovers import clear, free_epoch, unlink
from lifeseal.erasure._registry import MAX_REGISTRY, Registry
from lifeseal.erasure._root import HeldRoot, RootHolder
from lifeseal.errors import CredentialError, LifesealError, RolledBackError, StoreError, TamperedError

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
        FormatError: The folder is no vault, the root no root, or the registry a link.
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
                data = read_file(folder, path.name, limit=_MAX_FILE)
            except FileNotFoundError:
                if missed == held.epoch:
                    raise _out_of_step(folder, held.epoch) from None
                missed = held.epoch  # a writer may have gone on in between: look at the root once more
                continue
            return State(vault=vault, epoch=held.epoch, registry=Registry.decrypt(data, held, where=str(path)))


def refuse_newer(folder: Path, epoch: int) -> None:
    """Refuse to write where the folder is newer than the root. Call it within the root's lock.

    Args:
        folder: The vault folder.
        epoch: What the root is at.

    Raises:
        RolledBackError: A registry is more than one change newer than the root; nothing may be cleared away.
        OSError: The folder cannot be read.
    """
    epochs = registry_epochs(folder)
    if epochs and epochs[-1] > free_epoch(folder, epoch):
        raise _out_of_step(folder, epoch)


def commit(folder: Path, root: RootHolder, registry: Registry, *, vault: bytes, over: int | None, epoch: int, what: str) -> tuple[str, ...]:
    """Put a registry in force under a fresh root, and let go of the old one.

    The order is the promise: registry durable, root replaced (from here on the change holds), both read back and compared; then old
    registries and the containers of no live slot are unlinked, as far as the disk lets go of them. An error before the root was replaced
    leaves the old state.

    Args:
        folder: The vault folder.
        root: The root holder, locked.
        registry: What shall be in force.
        vault: Vault id.
        over: Epoch in force now; None for a new vault.
        epoch: The new epoch, from `free_epoch`.
        what: What has happened once the root is replaced, for messages: "the keys are gone".

    Returns:
        Names in the folder that could not be unlinked.

    Raises:
        StoreError: The root was replaced, but what follows failed; the message says so.
        TamperedError: Root or registry do not read back as they were written.
        OSError: The disk refused before that; a note says which state is in force.
    """
    with HeldRoot(vault=vault, epoch=epoch, key=Secret.random(KEY_SIZE)) as fresh:
        try:
            unlink(folder, _odd(folder / registry_name(epoch)))
            replace(folder / registry_name(epoch), registry.encrypt(fresh), mode=0o600)
            root.replace(fresh, over=over)
        except OSError as error:
            if over is not None:
                error.add_note(_in_force(root, over=over, epoch=epoch, what=what))
            raise
        done = f"{folder}: epoch {epoch} is in force: {what}"
        with after_commit(done), root.read() as held:
            kept = (held.vault, held.epoch) == (vault, epoch) and held.key.same_as(fresh.key)
        if not kept:
            raise TamperedError(f"{folder}: the root reads back differently from what was written, so it cannot be said that {what}")
        with after_commit(done):
            with load(folder, root).registry as reopened:
                if not reopened.same_as(registry):
                    raise TamperedError(f"{folder}: the registry reads back differently from what was written")
            return clear(folder, registry, epoch=epoch)


@contextlib.contextmanager
def after_commit(done: str) -> Iterator[None]:
    """Make every error say what is already done, and a disk's refusal an error of ours."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{done}; what follows it failed: {error}. The next writer clears away what is left") from error
    except LifesealError as error:
        error.add_note(done)
        raise


def _odd(path: Path) -> tuple[str, ...]:
    """Name what stands where a registry shall go and is none: a link or a pipe."""
    return (path.name,) if path.is_symlink() or (path.exists() and not path.is_file()) else ()


def _in_force(root: RootHolder, *, over: int, epoch: int, what: str) -> str:
    """Say what the root holds after it may or may not have been replaced."""
    try:
        with root.read() as held:
            found = held.epoch
    except (LifesealError, OSError):
        return f"the root cannot be read now: it is not known whether {what}"
    if found == over:
        return f"nothing was changed: epoch {over} is still in force"
    return f"epoch {epoch} is in force: {what}, but a power cut may bring epoch {over} back; the next change makes this one last"


def _out_of_step(folder: Path, epoch: int) -> RolledBackError | StoreError:
    found = registry_epochs(folder)
    if not found:
        return StoreError(f"{folder}: the registry of epoch {epoch} is not there, nor any other")
    if found[-1] < epoch:
        return RolledBackError(
            f"{folder}: the newest registry is of epoch {found[-1]}, the root is at epoch {epoch}: "
            "this folder was copied or restored from before a change, and its keys are gone"
        )
    return RolledBackError(
        f"{folder}: the folder holds a registry of epoch {found[-1]}, the root is at epoch {epoch}: the root was restored; "
        "nothing was changed. If somebody planted that file, move it out of the vault"
    )
