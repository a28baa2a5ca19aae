# SPDX-License-Identifier: Apache-2.0
"""A root in the operating system's keyring: convenient, unlocked with the session, and no surer than a file."""

import contextlib
import datetime as dt
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lifeseal._io import Keyring, Secret, open_keyring, require
from lifeseal.erasure import _root_record
from lifeseal.erasure._holders import HeldRoot, Strength
from lifeseal.erasure._locks import name_locked
from lifeseal.erasure._versions import fingerprint_of
from lifeseal.errors import CredentialError, FormatError, StateError, StoreError, TamperedError

_SERVICE = "lifeseal vault root"
_MAX_NAME = 200
_TEXT = re.compile(f"[0-9a-f]{{{_root_record.SIZE * 2}}}", re.ASCII)
_TWINS = 8
# What the packages below `keyring` raise by themselves; each counts only where it was loaded.
_RAISED = (("secretstorage.exceptions", "SecretStorageException"), ("jeepney.wrappers", "DBusErrorResponse"), ("gi.repository.GLib", "Error"))


class KeyringRoot:
    """A root in the operating system's keyring, under a name.

    Best effort only: a keyring is a file that is rewritten. Only keyrings that are known to keep secrets are used, chosen by their class: Secret
    Service (GNOME, KWallet), KWallet, macOS, Windows. It opens with the user's session, so whatever runs in the session can read the root.
    A keyring that asks to be unlocked may wait for an answer.

    The root passes through this process as text, which Python cannot clear.

    Args:
        name: Of the root, for people; 1 to 200 printable characters.
    """

    kind = "keyring"
    location = None
    compare_and_swap = False
    hosts = "One host may write: the lock is one of this machine's, though some keyrings travel with their user."
    strength = Strength.BEST_EFFORT
    retention: dt.timedelta | None = None
    losing = "Losing the keyring, or the password that unlocks it, loses everything sealed under it."
    backing_up = "A keyring lies in the user's folder or account, and in the backups of that; one undoes every erasure made after it."
    assurance = (
        "Best effort: the root is an entry of a keyring, a file that is rewritten; backups of it, or blocks a disk still holds, undo the erasure."
    )

    def __init__(self, name: str) -> None:
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise ValueError(f"a root in a keyring has a name of 1 to {_MAX_NAME} printable characters")
        self._name = name
        self._where = f"keyring, {name!r}"
        self.fingerprint = fingerprint_of(self.kind, name)

    def read(self) -> HeldRoot:
        """Return what the entry holds.

        Returns:
            Vault id, epoch and root key; close it after use.

        Raises:
            CredentialError: The keyring is locked.
            FormatError: Something else lies under that name.
            MissingExtraError: The package ``keyring`` is not installed.
            StoreError: There is no such entry, or no keyring.
            TamperedError: What it holds is damaged.
        """
        with self._opened() as keyring:
            found = self._held(keyring)
        if found is None:
            raise StoreError(f"{self._where}: is not there; without it the vault cannot be read")
        return found

    def replace(self, new: HeldRoot, *, over: int | None) -> None:
        """Put a new root into the entry, read it back and compare. Call it within `locked`.

        Args:
            new: What it shall hold.
            over: Epoch that it holds now; None if there must be no such entry.

        Raises:
            CredentialError: The keyring is locked; nothing was written.
            FileExistsError: ``over`` is None, and there is such an entry.
            MissingExtraError: The package ``keyring`` is not installed.
            StateError: The entry holds another epoch or another vault's root.
            StoreError: There is no keyring, or it does not answer; an answer that is lost leaves open what was written.
            TamperedError: The root does not read back as it was written.
        """
        with self._opened() as keyring:
            held = self._held(keyring)
            if over is None:
                if held is not None:
                    held.key.close()
                    raise FileExistsError(f"{self._where}: is there already")
            else:
                self._expect(held, new.vault, over)
            with Secret(_root_record.SIZE) as content, content.view() as view:
                _root_record.pack(new, view)
                keyring.set_password(_SERVICE, self._name, view.hex())
            again = self._held(keyring)
            if again is None:
                raise TamperedError(f"{self._where}: is not there after it was written")
            with again:
                if (again.vault, again.epoch) != (new.vault, new.epoch) or not again.key.same_as(new.key):
                    raise TamperedError(f"{self._where}: reads back differently from what was written; is there a second entry of that name?")

    def clear(self, vault: bytes, epoch: int) -> None:
        """Remove the entry, and others of that name with the same root. Call it within `locked`.

        Args:
            vault: Vault id whose root it holds.
            epoch: Epoch that it holds. An entry that is not there is no error.

        Raises:
            CredentialError: The keyring is locked.
            MissingExtraError: The package ``keyring`` is not installed.
            StateError: The entry holds another epoch or another vault's root; it stays.
            StoreError: There is no keyring, or it does not answer.
        """
        with self._opened() as keyring:
            for _ in range(_TWINS):
                held = self._held(keyring)
                if held is None:
                    return
                self._expect(held, vault, epoch)
                keyring.delete_password(_SERVICE, self._name)
            raise StateError(f"{self._where}: comes back each time it is removed")

    @contextlib.contextmanager
    def locked(self, vault: Path) -> Iterator[None]:
        """Keep other writers of this user on this host out for a block.

        Args:
            vault: The vault folder; the lock is the entry's all the same.

        Raises:
            LockedError: Another process, or another vault object of this one, is writing.
        """
        with name_locked(f"keyring {os.getuid()} {self._name}".encode(), f"{vault}: {self._where} is being written to"):
            yield

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Keyring]:
        """Open a keyring, and turn what it and its libraries raise into errors of ours."""
        keyring = open_keyring()
        errors = require("keyring.errors", extra="keyring")
        raised = [getattr(sys.modules[module], name) for module, name in _RAISED if module in sys.modules]
        try:
            yield keyring
        except errors.KeyringLocked:
            raise CredentialError(f"{self._where}: the keyring is locked; unlock it, as by signing in to the session") from None
        except (errors.KeyringError, ConnectionError, TimeoutError, EOFError, RuntimeError, *raised) as error:
            raise StoreError(f"{self._where}: the keyring does not answer: {type(error).__name__}: {error}") from None

    def _held(self, keyring: Keyring) -> HeldRoot | None:
        text = keyring.get_password(_SERVICE, self._name)
        if text is None:
            return None
        if not _TEXT.fullmatch(text):
            raise FormatError(self._where, "a root in hexadecimal digits was expected")
        with Secret(_root_record.SIZE) as content, content.view() as view:
            view[:] = bytes.fromhex(text)
            return _root_record.parse(view, where=self._where)

    def _expect(self, held: HeldRoot | None, vault: bytes, epoch: int) -> None:
        if held is None:
            raise StateError(f"{self._where}: is not there, and epoch {epoch} of {vault.hex()} was expected")
        with held:
            if (held.vault, held.epoch) != (vault, epoch):
                raise StateError(f"{self._where}: holds epoch {held.epoch} of vault {held.vault.hex()}, not epoch {epoch} of {vault.hex()}")
