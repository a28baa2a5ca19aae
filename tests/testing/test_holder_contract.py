# SPDX-License-Identifier: Apache-2.0
"""Our holders keep the contract, and the contract finds what is wrong with others."""

import itertools
import threading

import pytest

from lifeseal._io import Secret
from lifeseal.erasure import FileRoot, HeldRoot, KeyState, KeyVersion, PassphraseRoot
from lifeseal.errors import StoreError
from lifeseal.testing import ContractError, Faults, MemoryCell, MemoryWrapper, check_cell, check_wrapper


def test_the_cell_in_memory_keeps_it():
    check_cell(MemoryCell)


def test_the_file_keeps_it(tmp_path):
    numbers = itertools.count()
    check_cell(lambda: FileRoot(tmp_path / f"root{next(numbers)}"))


@pytest.mark.parametrize("scheduled", [False, True])
def test_the_wrapper_in_memory_keeps_it(scheduled):
    check_wrapper(lambda: MemoryWrapper(scheduled=scheduled))


def test_the_passphrase_keeps_it():
    check_wrapper(lambda: PassphraseRoot(b"a passphrase"))


class ForgetsEpoch(MemoryCell):
    def replace(self, new, *, over):
        if over is not None and self._content is not None:
            over = self._content[1]
        super().replace(new, over=over)


class Overwrites(MemoryCell):
    def replace(self, new, *, over):
        if over is None:
            self._content = None
        super().replace(new, over=over)


class IgnoresVault(MemoryCell):
    def replace(self, new, *, over):
        if self._content is not None:
            self._content = (new.vault, *self._content[1:])
        super().replace(new, over=over)


class KeepsTheOld(MemoryCell):
    def replace(self, new, *, over):
        old = self._content
        super().replace(new, over=over)
        self._content = old or self._content


class Unlocked(MemoryCell):
    def __init__(self):
        super().__init__()
        self._lock = threading.RLock()


class Invents(MemoryCell):
    def read(self):
        return super().read() if self._content else HeldRoot(vault=bytes(16), epoch=0, key=Secret(32))


class Silent(MemoryCell):
    assurance = ""


class Clears(MemoryCell):
    def clear(self, vault, epoch):
        self._content = None


class Keeps(MemoryCell):
    def clear(self, vault, epoch):
        before = self._content
        super().clear(vault, epoch)
        self._content = before


class Untold(MemoryCell):
    strength = 2


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (ForgetsEpoch, "replacing an epoch that is not there raises StateError; nothing was raised"),
        (Overwrites, "putting a first root into a full cell raises FileExistsError"),
        (IgnoresVault, "replacing another vault's root raises StateError"),
        (KeepsTheOld, "after a replacement the cell gives it back"),
        (Unlocked, "locking twice raises LockedError"),
        (Invents, "reading an empty cell raises StoreError"),
        (Silent, "what it says of itself are sentences"),
        (Clears, "clearing an epoch that is not there raises StateError; nothing was raised"),
        (Keeps, "reading a cleared cell raises StoreError; nothing was raised"),
        (Untold, "strength is a Strength"),
        (MemoryWrapper, "it has every method of a Cell"),
    ],
)
def test_a_bad_cell_is_found(cell, message):
    with pytest.raises(ContractError, match=message):
        check_cell(cell)


class IgnoresContext(MemoryWrapper):
    def wrap(self, version, key, context):
        return super().wrap(version, key, b"")

    def unwrap(self, version, wrapped, context):
        return super().unwrap(version, wrapped, b"")


class OneKey(MemoryWrapper):
    def create(self, vault, epoch):
        name = super().create(vault, epoch)
        self._versions[name].key = bytes(32)
        return name


class KeepsKeys(MemoryWrapper):
    def unwrap(self, version, wrapped, context):
        found = self._versions.get(version)
        state = found.state if found else None
        if found and found.key:
            found.state = KeyState.LIVE
        try:
            return super().unwrap(version, wrapped, context)
        finally:
            if found:
                found.state = state


class Remembers(MemoryWrapper):
    def destroy(self, version):
        key = self._versions[version].key
        state = super().destroy(version)
        self._versions[version].key = key
        self._versions[version].state = KeyState.LIVE
        return state


class ListsAll(MemoryWrapper):
    def versions(self, vault):
        return [KeyVersion(name=name, state=entry.state) for name, entry in self._versions.items() if entry.state is KeyState.LIVE]


class Backwards(MemoryWrapper):
    def versions(self, vault):
        return tuple(reversed(super().versions(vault)))


class Plain(MemoryWrapper):
    def wrap(self, version, key, context):
        with key.view() as view:
            return bytes(view)


class DestroysAll(MemoryWrapper):
    def destroy(self, version):
        for name in list(self._versions):
            super().destroy(name)
        return KeyState.DESTROYED


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        (IgnoresContext, "unwrapping in another context raises"),
        (OneKey, "unwrapping with another version raises"),
        (lambda: KeepsKeys(scheduled=True), "unwrapping with a destroyed version raises DestroyedError"),
        (Remembers, "unwrapping with a destroyed version raises DestroyedError"),
        (ListsAll, "a vault's own versions are listed, oldest first"),
        (Backwards, "a vault's own versions are listed, oldest first"),
        (Plain, "a wrapped root does not show the root"),
        (DestroysAll, "unwrapping with a live version gives back what was wrapped"),
        (MemoryCell, "it has every method of a Wrapper"),
    ],
)
def test_a_bad_wrapper_is_found(wrapper, message):
    with pytest.raises(ContractError, match=message):
        check_wrapper(wrapper)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fault_comes_where_it_was_asked_for(when):
    cell = MemoryCell(Faults(2, when=when))
    with HeldRoot(vault=bytes(16), epoch=1, key=Secret.random()) as root:
        cell.replace(root, over=None)
        with HeldRoot(vault=bytes(16), epoch=2, key=Secret.random()) as following, pytest.raises(StoreError, match="not reached"):
            cell.replace(following, over=1)
        with cell.read() as held:
            assert held.epoch == (1 if when == "before" else 2)
    assert cell.faults.calls == ["replace", "replace", "read"]


def test_a_lasting_fault_stays():
    cell = MemoryCell(Faults(1, lasting=True))
    for _ in range(3):
        with pytest.raises(StoreError):
            cell.read()
