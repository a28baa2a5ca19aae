# SPDX-License-Identifier: Apache-2.0
"""A root wrapped under a passphrase: nothing to keep but what somebody remembers, and nothing to destroy but a file."""

import contextlib
import datetime as dt
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from lifeseal._io import Secret
from lifeseal.erasure._holders import KeyState, Strength
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.erasure._locks import folder_locked
from lifeseal.errors import CredentialError, FormatError, StateError

_SALT = 16
_NONCE = 12
_TAG = 16
_ITERATIONS, _LANES, _MEMORY = 3, 4, 64 << 10  # KiB
_VERSION = re.compile(r"[0-9a-f]{32}", re.ASCII)


class PassphraseRoot:
    """A root under a key that is derived from a passphrase; each epoch has a salt of its own.

    Best effort only: the wrapped root lies in the vault folder, so whoever has an older copy of the folder and knows the passphrase opens what
    was erased since. Forgetting the passphrase loses everything. A passphrase that can be guessed is no protection: anybody with the folder can
    try, at the price of one Argon2id a guess. Deriving a key leaves a copy of the passphrase in ordinary memory of this process, which the
    cryptography library does not clear.

    Args:
        passphrase: Not empty; a bytearray is zeroed after it was copied into locked memory.

    Source: RFC 9106 section 4, second recommended option (Argon2id, 3 passes, 4 lanes, 64 MiB).
    """

    kind = "passphrase"
    fingerprint = "argon2id m=65536 t=3 p=4"
    location = None
    losing = "Forgetting the passphrase, or losing the file root-… of the vault, loses everything sealed under it."
    backing_up = "The wrapped root lies in the vault folder: a backup of the folder, with the passphrase, undoes every erasure made after it."
    compare_and_swap = False
    hosts = "One host may write: the lock is a lock of the vault folder's file system."
    strength = Strength.BEST_EFFORT
    retention: dt.timedelta | None = None
    assurance = "Best effort: the wrapped root is a file in the vault; an older copy of the vault and the passphrase undo the erasure."

    def __init__(self, passphrase: bytes | bytearray | memoryview) -> None:
        if len(passphrase) == 0:
            raise ValueError("a passphrase must not be empty")
        self._passphrase = Secret.copy_of(passphrase)
        self._process = os.getpid()
        self._guard = threading.Lock()  # the derived key that one thread uses is not for another to zero
        self._known: tuple[str, Secret] | None = None

    def create(self, vault: bytes, epoch: int) -> str:  # noqa: ARG002 - a salt is for nothing else anyway
        """Draw the salt of a new version.

        Args:
            vault: Vault id.
            epoch: For whose root it is.

        Returns:
            The salt, 32 hexadecimal digits.
        """
        return os.urandom(_SALT).hex()

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

        sealed = bytearray(_NONCE + len(key) + _TAG)
        sealed[:_NONCE] = os.urandom(_NONCE)
        with self._guard, self._derived(version).view() as kek, key.view() as plain, memoryview(sealed) as view, view[_NONCE:] as out:
            AESGCM(kek).encrypt_into(bytes(view[:_NONCE]), plain, context, out)
        return bytes(sealed)

    def unwrap(self, version: str, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt a root key.

        Args:
            version: Its salt.
            wrapped: From `wrap`.
            context: What it is bound to.

        Returns:
            The root key; close it after use.

        Raises:
            CredentialError: Another passphrase, or bytes that were changed on purpose.
            FormatError: Not what `wrap` returns.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(wrapped) != _NONCE + KEY_SIZE + _TAG:
            raise FormatError("wrapped root", f"{_NONCE + KEY_SIZE + _TAG} bytes were expected")
        key = Secret(KEY_SIZE)
        with self._guard, self._derived(version).view() as kek, key.view() as out:
            try:
                AESGCM(kek).decrypt_into(wrapped[:_NONCE], wrapped[_NONCE:], context, out)
            except InvalidTag:
                key.close()
                raise CredentialError("the passphrase does not open this vault's root") from None
        return key

    def destroy(self, version: str) -> KeyState:  # noqa: ARG002 - the salt lies in the wrapped root, which the vault removes
        """Do nothing: a version is its salt, and the vault removes the file that holds it.

        Args:
            version: Its salt.

        Returns:
            `KeyState.DESTROYED`: nothing of it is kept here.
        """
        return KeyState.DESTROYED

    def versions(self, vault: bytes) -> None:  # noqa: ARG002 - there is no list
        """Keep no list.

        Args:
            vault: Vault id.
        """
        return

    @contextlib.contextmanager
    def locked(self, vault: Path) -> Iterator[None]:
        """Keep other writers out for a block.

        Args:
            vault: The vault folder; a copy of it is a vault of its own, so the lock lies there.

        Raises:
            LockedError: Another process is writing.
            OSError: The lock file cannot be opened.
        """
        with folder_locked(vault):
            yield

    def close(self) -> None:
        """Zero the passphrase and what was derived from it; twice is no error."""
        self._passphrase.close()
        if self._known is not None:
            self._known[1].close()

    def _derived(self, version: str) -> Secret:
        """Derive the key of a version; the last one is kept, so that reading back what was written costs nothing."""
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        if os.getpid() != self._process:
            raise StateError("a passphrase does not pass a fork; make the root again in this process")
        if not _VERSION.fullmatch(version):
            raise FormatError("wrapped root, version", "a salt of 32 hexadecimal digits was expected")
        if self._known is None or self._known[0] != version:
            if self._known is not None:
                self._known[1].close()
            derived = Secret(KEY_SIZE)
            kdf = Argon2id(salt=bytes.fromhex(version), length=KEY_SIZE, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY)
            with self._passphrase.view() as passphrase, derived.view() as out:
                kdf.derive_into(passphrase, out)  # type: ignore[arg-type]  # takes any buffer, whatever its stub says
            self._known = (version, derived)
        return self._known[1]
