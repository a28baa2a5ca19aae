# SPDX-License-Identifier: Apache-2.0
"""The contract of root holders, as code: run it over your own."""

import datetime as dt
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from lifeseal._io import Secret, make_folder, replace
from lifeseal.erasure import Cell, HeldRoot, Holder, KeyState, RootHolder, Strength, Vault, Wrapper
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    FormatError,
    LifesealError,
    LockedError,
    PendingError,
    StateError,
    StoreError,
    TamperedError,
)

_VAULT, _OTHER = b"a vault's id  16", b"another vault 16"
_MAX_NAME = 255
_MAX_WRAPPED = 16 << 10


class ContractError(AssertionError):
    """A holder does not keep the contract; the message says which part."""


def check_cell(make: Callable[[], Cell]) -> None:
    """Hold a cell to its contract.

    Args:
        make: Makes an empty cell, another one at each call.

    Raises:
        ContractError: It does not keep it.
    """
    _check_texts(make(), Cell)
    cell = make()
    _refused("reading an empty cell", cell.read, StoreError)
    with _root(_VAULT, 1) as one, _root(_VAULT, 2) as two, _root(_VAULT, 9) as nine, _root(_OTHER, 2) as foreign:
        cell.replace(one, over=None)
        _holds(cell, one, "after the first root was put in")
        for what, new, over, error in (
            ("putting a first root into a full cell", two, None, FileExistsError),
            ("replacing an epoch that is not there", two, 7, StateError),
            ("replacing another vault's root", foreign, 1, StateError),
        ):
            _refused(what, lambda new=new, over=over: cell.replace(new, over=over), error)  # type: ignore[misc]
            _holds(cell, one, f"after {what} was refused")
        cell.replace(two, over=1)
        _holds(cell, two, "after a replacement")
        cell.replace(nine, over=2)
        _holds(cell, nine, "after epochs were passed over")
        for what, vault, epoch in (("clearing an epoch that is not there", _VAULT, 2), ("clearing another vault's root", _OTHER, 9)):
            _refused(what, lambda vault=vault, epoch=epoch: cell.clear(vault, epoch), StateError)  # type: ignore[misc]
            _holds(cell, nine, f"after {what} was refused")
        cell.clear(_VAULT, 9)
        _refused("reading a cleared cell", cell.read, StoreError)
        cell.clear(_VAULT, 9)
        cell.replace(foreign, over=None)
        _holds(cell, foreign, "after it was cleared and used again")
    _check_lock(make())
    _check_life(make())


def check_wrapper(make: Callable[[], Wrapper]) -> None:
    """Hold a wrapper to its contract.

    Args:
        make: Makes a wrapper without key versions, another one at each call.

    Raises:
        ContractError: It does not keep it.
    """
    _check_texts(make(), Wrapper)
    wrapper = make()
    first, second, foreign = wrapper.create(_VAULT, 1), wrapper.create(_VAULT, 2), wrapper.create(_OTHER, 1)
    for name in (first, second):
        _true(0 < len(name) <= _MAX_NAME and name.isprintable(), "a version's name has 1 to 255 printable characters")
    _true(len({first, second, foreign}) == 3, "each version has a name of its own")  # noqa: PLR2004 - three were made
    listed = wrapper.versions(_VAULT)
    if listed is not None:
        _true([v.name for v in listed] == [first, second], "a vault's own versions are listed, oldest first")
        _true({v.state for v in listed} == {KeyState.LIVE}, "new versions are live")
    with Secret.random() as key:
        wrapped = wrapper.wrap(first, key, b"context")
        _true(len(wrapped) <= _MAX_WRAPPED, "a wrapped root has at most 16 KiB")
        with key.view() as view:
            _true(bytes(view) not in wrapped, "a wrapped root does not show the root")
        _opens(wrapper, first, wrapped, key)
        wrong = (CredentialError, DestroyedError, FormatError, StoreError, TamperedError)
        changed = bytes([wrapped[0] ^ 1]) + wrapped[1:]
        ended = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
        for what, arguments in (
            ("unwrapping in another context", (first, wrapped, b"contexts")),
            ("unwrapping with another version", (second, wrapped, b"context")),
            ("unwrapping changed bytes", (first, changed, b"context")),
            ("unwrapping bytes changed at the end", (first, ended, b"context")),
            ("unwrapping nothing", (first, b"", b"context")),
            ("unwrapping with a version that never was", ("never", wrapped, b"context")),
        ):
            _refused(what, lambda arguments=arguments: wrapper.unwrap(*arguments), wrong)  # type: ignore[misc]
        kept = wrapper.wrap(second, key, b"context")
        state = wrapper.destroy(first)
        _true(state in {KeyState.DESTROYED, KeyState.SCHEDULED}, "destroying says that it is destroyed or scheduled")
        _true(wrapper.destroy(first) is not KeyState.LIVE, "destroying twice is no error")
        _opens(wrapper, second, kept, key)
        if listed is not None:
            _refused("unwrapping with a destroyed version", lambda: wrapper.unwrap(first, wrapped, b"context"), DestroyedError)
            after = {v.name: v.state for v in wrapper.versions(_VAULT) or ()}
            _true(after.pop(first, KeyState.DESTROYED) is state, "the list says of a destroyed version what destroying it said")
            _true(after == {second: KeyState.LIVE}, "destroying one version leaves the others")
            _true([v.name for v in wrapper.versions(_OTHER) or ()] == [foreign], "another vault's versions are left alone")
    _check_lock(make())
    _check_life(make())


def _check_texts(holder: Holder, kind: type) -> None:
    _true(isinstance(holder, kind), f"it has every method of a {kind.__name__}")
    _true(bool(holder.kind) and holder.kind.isprintable(), "kind is a word")
    texts = (holder.assurance, holder.losing, holder.backing_up, holder.hosts)
    _true(all(text.strip().endswith(".") for text in texts), "what it says of itself are sentences")
    _true(isinstance(holder.strength, Strength), "strength is a Strength")
    _true(holder.retention is None or holder.retention >= dt.timedelta(0), "retention is a time, or None for unknown")
    _true(holder.compare_and_swap in {True, False}, "compare_and_swap is a truth value")


def _check_lock(holder: Holder) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with holder.locked(Path(folder)):
            _refused("locking twice", lambda: _lock(holder, Path(folder)), LockedError)
        _lock(holder, Path(folder))


def _lock(holder: Holder, folder: Path) -> None:
    with holder.locked(folder):
        pass


def _check_life(holder: RootHolder) -> None:
    """Live a vault's life under it: what was erased is gone from every copy of the vault, what was not is there."""
    with tempfile.TemporaryDirectory() as place:
        plain, folder, copy = Path(place, "plain"), Path(place, "vault"), Path(place, "copy")
        replace(plain, os.urandom(100))
        with Vault.create(folder, root=holder) as vault:
            for name in ("kept", "erased"):
                vault.seal(plain, name).close()
            _copy(folder, copy)
            epoch = vault.erase(["erased"]).epoch_after
        with Vault.open(folder, root=holder, at_least=epoch) as vault:
            _refused("opening an erased asset", lambda: vault.asset("erased"), (DestroyedError, PendingError))
            vault.unseal("kept", Path(place, "out"))
            _true(Path(place, "out").read_bytes() == plain.read_bytes(), "what was not erased reads as it was sealed")
        if isinstance(holder, Cell) or holder.versions(_VAULT) is not None:
            _refused("opening a copy from before the erasure", lambda: Vault.open(copy, root=holder), LifesealError)


def _copy(folder: Path, copy: Path) -> None:
    make_folder(copy)
    for path in sorted(folder.rglob("*")):
        target = copy / path.relative_to(folder)
        if path.is_dir():
            make_folder(target)
        else:
            replace(target, path.read_bytes())


def _root(vault: bytes, epoch: int) -> HeldRoot:
    return HeldRoot(vault=vault, epoch=epoch, key=Secret.random())


def _holds(cell: Cell, root: HeldRoot, when: str) -> None:
    with cell.read() as held:
        _true((held.vault, held.epoch) == (root.vault, root.epoch) and held.key.same_as(root.key), f"{when} the cell gives it back")


def _opens(wrapper: Wrapper, version: str, wrapped: bytes, key: Secret) -> None:
    try:
        with wrapper.unwrap(version, wrapped, b"context") as found:
            _true(found.same_as(key), "unwrapping gives back what was wrapped")
    except LifesealError as error:
        raise ContractError(f"unwrapping with a live version gives back what was wrapped; it raised {error!r}") from error


def _refused(what: str, call: Callable[[], object], error: type[Exception] | tuple[type[Exception], ...]) -> None:
    names = error.__name__ if isinstance(error, type) else " or ".join(one.__name__ for one in error)
    try:
        call()
    except error:
        return
    except Exception as other:
        raise ContractError(f"{what} raises {names}, not {other!r}") from other
    raise ContractError(f"{what} raises {names}; nothing was raised")


def _true(found: bool, what: str) -> None:  # noqa: FBT001 - an assertion that is never switched off
    if not found:
        raise ContractError(what)
