# SPDX-License-Identifier: Apache-2.0
"""Root holders in memory: a cell and a wrapper that keep the contract, and fail where a test tells them to."""

import contextlib
import datetime as dt
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from lifeseal._io import Secret
from lifeseal.erasure import HeldRoot, KeyState, KeyVersion, Strength
from lifeseal.errors import DestroyedError, LockedError, StateError, StoreError, TamperedError

When: TypeAlias = Literal["before", "after"]
_NONCE = 12
_KEY = 32


class Faults:
    """Where a holder fails: at the ``at``-th of all its calls, before or after the call has taken effect.

    Attributes:
        at: Number of the call that fails, from 1; 0 for none.
        when: Before its effect, as when the network is down; or after it, as when the answer is lost.
        error: What is raised.
        lasting: Whether all later calls fail too.
        calls: The names of the calls so far, in order.
    """

    def __init__(self, at: int = 0, *, when: When = "before", error: BaseException | None = None, lasting: bool = False) -> None:
        self.at = at
        self.when = when
        self.error = error or StoreError("the holder is not reached")
        self.lasting = lasting
        self.calls: list[str] = []

    @contextlib.contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Count a call, and fail at its start or end if it is the one."""
        self.calls.append(name)
        here = len(self.calls) == self.at
        if (here and self.when == "before") or (self.lasting and 0 < self.at < len(self.calls)):
            raise self.error
        yield
        if here:
            raise self.error


class _Lock:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def locked(self, vault: Path) -> Iterator[None]:
        """Keep other writers out for a block.

        Args:
            vault: The vault folder; the lock is the holder's all the same.

        Raises:
            LockedError: Another is writing.
        """
        if not self._lock.acquire(blocking=False):
            raise LockedError(f"{vault}: another is writing")
        try:
            yield
        finally:
            self._lock.release()


class MemoryCell(_Lock):
    """A cell in ordinary memory; for tests only.

    Args:
        faults: Where it fails; by default nowhere.
    """

    kind = "memory"
    fingerprint = ""
    location = None
    compare_and_swap = True
    hosts = "One process alone."
    strength = Strength.NONE
    retention: dt.timedelta | None = None
    assurance = "None: this root lies in the memory of a test."
    losing = "The end of the process loses everything sealed under it."
    backing_up = "Nothing is backed up."

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__()
        self.faults = faults or Faults()
        self._content: tuple[bytes, int, bytes] | None = None

    def read(self) -> HeldRoot:
        """Return what the cell holds.

        Returns:
            Vault id, epoch and root key; close it after use.

        Raises:
            StoreError: It is empty.
        """
        with self.faults.call("read"):
            if self._content is None:
                raise StoreError("this cell is empty")
            vault, epoch, key = self._content
            return HeldRoot(vault=vault, epoch=epoch, key=Secret.copy_of(key))

    def replace(self, new: HeldRoot, *, over: int | None) -> None:
        """Put a new root in place of another.

        Args:
            new: What it shall hold.
            over: Epoch that it holds now; None if it must be empty.

        Raises:
            FileExistsError: ``over`` is None, and it is not empty.
            StateError: It holds another epoch or another vault's root.
        """
        with self.faults.call("replace"):
            if over is None and self._content is not None:
                raise FileExistsError("this cell holds a root already")
            if over is not None and (self._content is None or self._content[:2] != (new.vault, over)):
                raise StateError("this cell holds another root")
            with new.key.view() as key:
                self._content = (new.vault, new.epoch, bytes(key))

    def clear(self, vault: bytes, epoch: int) -> None:
        """Empty the cell.

        Args:
            vault: Vault id whose root it holds.
            epoch: Epoch that it holds. An empty cell is no error.

        Raises:
            StateError: It holds another epoch or another vault's root.
        """
        with self.faults.call("clear"):
            if self._content is not None and self._content[:2] != (vault, epoch):
                raise StateError("this cell holds another root")
            self._content = None


@attrs.define
class _Version:
    vault: bytes
    key: bytes
    state: KeyState


class MemoryWrapper(_Lock):
    """A wrapper in ordinary memory; for tests only.

    Args:
        faults: Where it fails; by default nowhere.
        scheduled: Destroy as a cloud does: refuse at once, and be gone only after `complete`.
    """

    kind = "memory-wrapper"
    fingerprint = ""
    location = None
    compare_and_swap = True
    hosts = "One process alone."
    strength = Strength.NONE
    retention: dt.timedelta | None = None
    assurance = "None: these keys lie in the memory of a test."
    losing = "The end of the process loses everything sealed under it."
    backing_up = "Nothing is backed up."

    def __init__(self, faults: Faults | None = None, *, scheduled: bool = False) -> None:
        super().__init__()
        self.faults = faults or Faults()
        self._scheduled = scheduled
        self._versions: dict[str, _Version] = {}

    def create(self, vault: bytes, epoch: int) -> str:
        """Make a key version.

        Args:
            vault: Vault id.
            epoch: For whose root it is.

        Returns:
            Its name.
        """
        with self.faults.call("create"):
            name = f"{vault.hex()[:8]}-{epoch}-{len(self._versions)}"
            self._versions[name] = _Version(vault, os.urandom(_KEY), KeyState.LIVE)
            return name

    def wrap(self, version: str, key: Secret, context: bytes) -> bytes:
        """Encrypt a root key.

        Args:
            version: From `create`.
            key: The root key.
            context: What it is bound to.

        Returns:
            Nonce, ciphertext and tag.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with self.faults.call("wrap"), key.view() as plain:
            nonce = os.urandom(_NONCE)
            return nonce + AESGCM(self._live(version).key).encrypt(nonce, plain, context)

    def unwrap(self, version: str, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt a root key.

        Args:
            version: That wrapped it.
            wrapped: From `wrap`.
            context: What it is bound to.

        Returns:
            The root key; close it after use.

        Raises:
            DestroyedError: The version is destroyed, or shall be.
            StoreError: There is no such version.
            TamperedError: These bytes are not what it wrapped in this context.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with self.faults.call("unwrap"):
            try:
                return Secret.copy_of(AESGCM(self._live(version).key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context))
            except (InvalidTag, ValueError):
                raise TamperedError("the wrapped root was changed, or belongs elsewhere") from None

    def destroy(self, version: str) -> KeyState:
        """Destroy one version, or schedule that.

        Args:
            version: Its name.

        Returns:
            What it is now.
        """
        with self.faults.call("destroy"):
            found = self._versions.get(version)
            if found is None or found.state is KeyState.DESTROYED:
                return KeyState.DESTROYED
            found.state = KeyState.SCHEDULED if self._scheduled else KeyState.DESTROYED
            if not self._scheduled:
                found.key = b""
            return found.state

    def versions(self, vault: bytes) -> Sequence[KeyVersion]:
        """List the versions of a vault.

        Args:
            vault: Vault id.

        Returns:
            Those that are not destroyed, oldest first.
        """
        with self.faults.call("versions"):
            found = [(name, entry) for name, entry in self._versions.items() if entry.vault == vault]
            return tuple(KeyVersion(name=name, state=entry.state) for name, entry in found if entry.state is not KeyState.DESTROYED)

    def complete(self) -> None:
        """Destroy what was scheduled."""
        for entry in self._versions.values():
            if entry.state is KeyState.SCHEDULED:
                entry.state, entry.key = KeyState.DESTROYED, b""

    def _live(self, version: str) -> _Version:
        found = self._versions.get(version)
        if found is None:
            raise StoreError(f"there is no key version {version!r}")
        if found.state is not KeyState.LIVE:
            raise DestroyedError(f"key version {version!r} is {found.state}")
        return found
