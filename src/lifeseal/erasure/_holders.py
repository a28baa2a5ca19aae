# SPDX-License-Identifier: Apache-2.0
"""What keeps the root of a vault: a cell that stores it, or a wrapper that encrypts it under a key that can be destroyed."""

import contextlib
import datetime as dt
import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self, TypeAlias, runtime_checkable

import attrs

from lifeseal._io import Secret


@attrs.frozen(kw_only=True, eq=False)
class HeldRoot:
    """The root of one epoch; close it after use.

    Attributes:
        vault: Vault id, 16 bytes.
        epoch: Counts the changes of the vault, from 1.
        key: Opens the root node of that epoch and nothing else, 32 bytes.
    """

    vault: bytes
    epoch: int
    key: Secret

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.key.close()


class Strength(enum.IntEnum):
    """How sure it is that a root is gone once its holder destroyed it; in order, so that of several holders the weakest can be told."""

    NONE = 0
    """Not sure at all, as in tests."""
    BEST_EFFORT = 1
    """Copies may exist that nobody can list, as of a file."""
    OPERATED = 2
    """A service destroys it; whoever operates the service says which copies exist, and for how long."""
    HARDWARE = 3
    """It lies in hardware that gives no copy away."""


class Holder(Protocol):
    """What every holder says about itself, and its lock."""

    @property
    def kind(self) -> str:
        """A word for the sort of holder; stored in the vault, and compared before the holder is asked anything."""

    @property
    def fingerprint(self) -> str:
        """What names the key where the vault does not; stored and compared like ``kind``. Empty if the vault id says enough."""

    @property
    def location(self) -> Path | None:
        """The file it lies in, if it is a file; it may not lie in the vault."""

    @property
    def strength(self) -> Strength:
        """How sure it is that a destroyed root is gone."""

    @property
    def assurance(self) -> str:
        """The same in sentences, which certificates print; with what the operator declared."""

    @property
    def retention(self) -> dt.timedelta | None:
        """How long a copy of a root may outlive its destruction, as far as somebody stands for it; None for unknown."""

    @property
    def losing(self) -> str:
        """What losing the root means, in sentences."""

    @property
    def backing_up(self) -> str:
        """Which backups of the root can exist, and what they mean, in sentences."""

    @property
    def hosts(self) -> str:
        """How many hosts may write to one vault, in sentences."""

    @property
    def compare_and_swap(self) -> bool:
        """Whether it refuses by itself to replace a root that another host replaced first; else one writing host is supported."""

    def locked(self, vault: Path) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out for a block.

        Args:
            vault: The vault folder, for a holder that has no place of its own. Two copies of a vault share one holder, so one that has a
                place locks that.

        Raises:
            LockedError: Another is writing.
        """


@runtime_checkable
class Cell(Holder, Protocol):
    """A holder that keeps vault id, epoch and root key, all three replaced in one write."""

    def read(self) -> HeldRoot:
        """Return what the cell holds.

        Raises:
            CredentialError: It may not be read with these credentials.
            StoreError: It is not there, or not reached.
            TamperedError: It was damaged.
        """

    def replace(self, new: HeldRoot, *, over: int | None) -> None:
        """Put a new root in place of that of epoch ``over``, or into an empty cell if it is None. When it returns, it is durable.

        Raises:
            FileExistsError: ``over`` is None, and the cell holds something.
            StateError: The cell holds another epoch or another vault's root.
        """

    def clear(self, vault: bytes, epoch: int) -> None:
        """Destroy the root of one vault and epoch, and leave the cell empty; an empty cell is no error. When it returns, that is durable.

        Raises:
            StateError: The cell holds another epoch or another vault's root; it keeps it.
        """


class KeyState(enum.StrEnum):
    """What a wrapper says of one of its key versions."""

    LIVE = "live"
    SCHEDULED = "scheduled"
    DESTROYED = "destroyed"


@attrs.frozen(kw_only=True)
class KeyVersion:
    """One key version of a wrapper.

    Attributes:
        name: What the wrapper calls it; at most 255 characters.
        state: Whether it can decrypt, shall be destroyed and refuses meanwhile, or is gone.
        until: When what is scheduled will be destroyed, by the wrapper's own clock; None if it does not say.
    """

    name: str
    state: KeyState
    until: dt.datetime | None = None

    @property
    def called(self) -> str:
        """The name, and until when it can still be brought back."""
        return self.name if self.until is None else f"{self.name} until {self.until.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


@runtime_checkable
class Wrapper(Holder, Protocol):
    """A holder that encrypts a root under a key version of its own, and can destroy that version.

    The wrapped root lies in the vault folder. Which folder names which version is not trusted: only versions that the wrapper itself lists
    for a vault are ever destroyed.
    """

    def create(self, vault: bytes, epoch: int) -> str:
        """Make a key version for one epoch of a vault, and return its name.

        Args:
            vault: Vault id.
            epoch: For whose root it is.
        """

    def wrap(self, version: str, key: Secret, context: bytes) -> bytes:
        """Encrypt a root key under a version, bound to a context; at most 16 KiB."""

    def unwrap(self, version: str, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt a root key.

        Raises:
            CredentialError: The version is there, but these credentials do not open what it wrapped.
            DestroyedError: The version is destroyed, or refuses because it shall be.
            StoreError: It cannot be reached, or does not know the version.
            TamperedError: These bytes are not what it wrapped in this context.
        """

    def destroy(self, version: str) -> KeyState:
        """Destroy one version, or schedule that; one that is gone is no error.

        Returns:
            What it is now; `KeyState.DESTROYED` only if that was seen, not assumed.

        Raises:
            StoreError: It cannot be reached; nothing is known.
        """

    def versions(self, vault: bytes) -> Sequence[KeyVersion] | None:
        """List the versions made for a vault that are not gone without trace, oldest first; None if the wrapper keeps no list.

        Raises:
            StoreError: It cannot be reached.
        """


RootHolder: TypeAlias = Cell | Wrapper
