# SPDX-License-Identifier: Apache-2.0
"""Names of key versions in services that only know names: whose they are, of which epoch, and never used twice."""

import datetime as dt
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from typing import Self

import attrs

from lifeseal.erasure._holders import KeyState, KeyVersion
from lifeseal.errors import DestroyedError, FormatError, StateError, StoreError

_NAME = re.compile(r"([0-9a-f]{32})-([0-9]{16})-([0-9a-f]{16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.ASCII)


@attrs.frozen(kw_only=True, order=True)
class VersionName:
    """The name of one key version.

    Attributes:
        vault: Vault id.
        epoch: For whose root it was made.
        tag: Random, so that a key that somebody makes again has another name: 16 hexadecimal digits, or a UUID that the service chose.
    """

    vault: bytes
    epoch: int
    tag: str

    @classmethod
    def new(cls, vault: bytes, epoch: int) -> Self:
        """Make a name that no key ever had."""
        return cls(vault=vault, epoch=epoch, tag=os.urandom(8).hex())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name, which may come from a vault folder that anybody wrote.

        Raises:
            FormatError: It is none, so no service is asked about it.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise FormatError("wrapped root, version", "vault id, epoch and tag were expected, as in the name of a key")
        return cls(vault=bytes.fromhex(match[1]), epoch=int(match[2]), tag=match[3])

    def __str__(self) -> str:
        return f"{self.vault.hex()}-{self.epoch:016d}-{self.tag}"


def fingerprint_of(*parts: str) -> str:
    """Hash what a caller configured, so that a vault can tell its holder without naming it; 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def kept(retention: dt.timedelta | None) -> str:
    """Say what an operator declared of copies."""
    if retention is None:
        return "How long copies of its keys are kept was not declared."
    return f"As its operator declares, no copy of a key outlives it by more than {retention / dt.timedelta(days=1):g} days."


def in_order(found: Iterable[tuple[VersionName, KeyState]]) -> tuple[KeyVersion, ...]:
    """List versions, oldest first."""
    return tuple(KeyVersion(name=str(name), state=state) for name, state in sorted(found, key=lambda each: each[0]))


def refuse_behind(listed: Sequence[KeyVersion], epoch: int, *, where: str) -> None:
    """Refuse to make a key for an epoch that the holder is past.

    Args:
        listed: The vault's versions.
        epoch: That a key shall be made for.
        where: The holder, for messages.

    Raises:
        StateError: Another host has made a key of that epoch, or of a later one.
    """
    for found in listed:
        name = VersionName.parse(found.name)
        if found.state is KeyState.LIVE and name.epoch >= epoch:
            raise StateError(f"{where}: holds a key of epoch {name.epoch} already; another host writes to this vault or to a copy of it")


def not_there(name: VersionName, listed: Sequence[KeyVersion], *, where: str) -> DestroyedError | StoreError:
    """Say what it means that a holder does not know a version.

    Args:
        name: Of the version.
        listed: What it knows of the vault.
        where: The holder, for messages.

    Returns:
        `DestroyedError` where the holder has a later version of the vault; a version that is missing alone may lie elsewhere.
    """
    if any(VersionName.parse(found.name).epoch > name.epoch for found in listed):
        return DestroyedError(f"{where}: the key of epoch {name.epoch} was destroyed; a later one is there")
    return StoreError(f"{where}: the key of epoch {name.epoch} is not there, and no later one; nothing says that it was destroyed")
