# SPDX-License-Identifier: Apache-2.0
"""A root wrapped by the transit engine of OpenBao or Vault: one key an epoch, trimmed when the next is in force."""

import contextlib
import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from lifeseal._io import Secret, decode_base64, encode_base64, require
from lifeseal.erasure._holders import KeyState, KeyVersion, Strength
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.erasure._locks import copies_locked
from lifeseal.erasure._versions import VersionName, fingerprint_of, in_order, kept, not_there, refuse_behind
from lifeseal.errors import CredentialError, DestroyedError, FormatError, LifesealError, StateError, StoreError, TamperedError

_WRAPPED = 12 + KEY_SIZE + 16
_MARK = "vault:v1:"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MOUNT = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*", re.ASCII)


@attrs.frozen(kw_only=True)
class _Key:
    """What the server says of a key.

    Attributes:
        latest: Its newest version.
        available: The oldest version that it still has; 0 or 1 for all. Only trimming raises it, and nothing lowers it.
        usable: The oldest version that may decrypt; a setting that can be lowered again, so it says nothing of what is gone.
        copied: Why a copy of it may exist outside the server, or None.
        hidden: It was deleted softly, and can be restored.
    """

    latest: int
    available: int
    usable: int
    copied: str | None
    hidden: bool

    @property
    def is_destroyed(self) -> bool:
        """Whether the version that wraps roots, the first, is gone for good."""
        return self.available > 1

    @classmethod
    def from_answer(cls, data: object, *, where: str) -> "_Key":
        """Read what ``GET transit/keys/NAME`` answers."""
        found = data if isinstance(data, dict) else {}
        numbers = [found.get(name) for name in ("latest_version", "min_available_version", "min_decryption_version")]
        flags = {name: found.get(name, False) for name in ("exportable", "allow_plaintext_backup", "imported_key", "derived", "soft_deleted")}
        if not all(type(each) is int for each in numbers) or not all(type(each) is bool for each in flags.values()):
            raise StoreError(f"{where}: answers about a key otherwise than OpenBao does")
        hidden = flags.pop("soft_deleted")
        copied = next((name for name, is_so in flags.items() if is_so), None)
        if found.get("type") != "aes256-gcm96":
            copied = f"type {found.get('type')!r}"[:40]
        latest, available, usable = numbers
        return cls(latest=latest, available=available, usable=usable, copied=copied, hidden=hidden)  # type: ignore[arg-type]  # seen above


class OpenBaoRoot:
    """A root under keys of a transit engine, each of one epoch of one vault.

    A change makes a new key, and trims the old one once the new root is read back: the version that opened the old root is then gone from the
    server's storage, and the server says so. ``min_decryption_version`` alone would only forbid it until somebody lowers it again. The
    emptied key is deleted where the token may do that.

    Whoever has a snapshot of the server's storage from before, and its unseal keys, undoes an erasure; how long such snapshots are kept is
    the operator's to declare. The root key passes the network inside TLS, the server, and ordinary memory of this process, which is not
    cleared.

    Args:
        client: A `hvac.Client` of yours, with its address, token and timeouts. A plain ``http`` address must be on loopback.
        mount: Where the transit engine is mounted.
        retention: You declare that no snapshot of the server's storage is kept longer than this.

    Source: OpenBao API, secret engine transit: create, read, rotate, configure, trim, delete, encrypt and decrypt.
    """

    kind = "openbao"
    location = None
    compare_and_swap = False
    strength = Strength.OPERATED
    hosts = "One host may write: the server cannot refuse a key that another host replaces. A second host is refused as soon as its folder is older."
    losing = "Losing the server's storage, its unseal keys or the right to use its transit engine loses everything sealed under it."
    backing_up = "A snapshot of the server's storage, with its unseal keys, undoes every erasure made after it; the vault folder may be backed up."

    def __init__(self, client: Any, *, mount: str = "transit", retention: dt.timedelta | None = None) -> None:  # noqa: ANN401 - of an extra
        address = urlsplit(str(client.url))
        if address.scheme != "https" and address.hostname not in _LOOPBACK:
            raise ValueError("the root key passes this connection: an https address was expected, or one on loopback")
        if not _MOUNT.fullmatch(mount):
            raise ValueError("a mount is a path of letters, digits, - and _")
        self._client = client
        self._mount = mount
        self._where = f"OpenBao at {address.hostname}, {mount}"
        self.retention = retention
        self.fingerprint = fingerprint_of(self.kind, mount)

    @property
    def assurance(self) -> str:
        """How far a trimmed key can be trusted to be gone, with what was declared."""
        return (
            "Operated: the key was trimmed, and OpenBao says that it is gone and could not be exported. "
            f"A snapshot of its storage from before undoes that. {kept(self.retention)}"
        )

    def create(self, vault: bytes, epoch: int) -> str:
        """Make a key, and see that it is one that cannot be exported.

        Args:
            vault: Vault id.
            epoch: For whose root it is.

        Returns:
            Its name on the server, without ``lifeseal-``.

        Raises:
            CredentialError: The token may not do that.
            StateError: The server holds a key of that epoch or a later one, or makes keys that can be exported.
            StoreError: The server is not reached, sealed, or fails. A key that was made all the same is found at the next change.
        """
        listed = self.versions(vault)
        refuse_behind(listed, epoch, where=self._where)
        for found in listed:
            if found.state is KeyState.DESTROYED:
                self._tidy(VersionName.parse(found.name))
        name = VersionName.new(vault, epoch)
        self._ask("post", self._path(name), {"type": "aes256-gcm96", "exportable": False, "allow_plaintext_backup": False, "derived": False})
        made = self._find(name)
        if made.copied is not None or made.latest != 1:
            raise StateError(f"{self._where}: makes keys that are {made.copied or 'rotated'}, so it keeps no root")
        return str(name)

    def wrap(self, version: str, key: Secret, context: bytes) -> bytes:
        """Encrypt a root key.

        Args:
            version: From `create`.
            key: The root key.
            context: What it is bound to.

        Returns:
            Nonce, ciphertext and tag.

        Raises:
            CredentialError: The token may not do that.
            DestroyedError: The key was destroyed.
            FormatError: That is no name of a key.
            StateError: The key could have been exported.
            StoreError: The server, or the key, is not there.
        """
        name = VersionName.parse(version)
        self._refuse_copied(name, self._usable(name))
        with key.view() as plain:
            body = {"plaintext": encode_base64(bytes(plain)), "associated_data": encode_base64(context), "key_version": 1}
        sealed = self._ask("post", self._path(name, "encrypt"), body).get("ciphertext")
        if not isinstance(sealed, str) or not sealed.startswith(_MARK):
            raise StoreError(f"{self._where}: answers otherwise than OpenBao does")
        return decode_base64(sealed.removeprefix(_MARK), where=self._where)

    def unwrap(self, version: str, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt a root key.

        Args:
            version: That wrapped it.
            wrapped: From `wrap`.
            context: What it is bound to.

        Returns:
            The root key; close it after use.

        Raises:
            CredentialError: The token may not do that.
            DestroyedError: The key was destroyed.
            FormatError: That is no name of a key, or not what `wrap` returns.
            StoreError: The server, or the key, is not there; or a setting forbids it that can be taken back.
            TamperedError: These bytes are not what the key wrapped in this context.
        """
        name = VersionName.parse(version)
        if len(wrapped) != _WRAPPED:
            raise FormatError("wrapped root", f"{_WRAPPED} bytes were expected")
        self._usable(name)
        body = {"ciphertext": _MARK + encode_base64(wrapped), "associated_data": encode_base64(context)}
        plain = self._ask("post", self._path(name, "decrypt"), body).get("plaintext")
        found = bytearray(decode_base64(plain, where=self._where) if isinstance(plain, str) else b"")
        if len(found) != KEY_SIZE:
            raise StoreError(f"{self._where}: answers otherwise than OpenBao does")
        return Secret.copy_of(found)

    def destroy(self, version: str) -> KeyState:
        """Trim one key, and see that the server has nothing of it that opens a root.

        Args:
            version: Its name. One that is gone is no error.

        Returns:
            `KeyState.DESTROYED`.

        Raises:
            CredentialError: The token may not do that.
            FormatError: That is no name of a key.
            StateError: The key could have been exported; nothing was destroyed.
            StoreError: The server is not reached, sealed, or fails; or the key is still there. The next change tries again.
        """
        name = VersionName.parse(version)
        key = self._read(name)
        if key is not None and not key.is_destroyed:
            self._refuse_copied(name, key)
            if key.latest == 1:
                self._ask("post", self._path(name) + "/rotate", {})  # a key's newest version cannot be trimmed
                key = self._find(name)
            self._ask("post", self._path(name) + "/config", {"min_decryption_version": key.latest, "min_encryption_version": key.latest})
            self._ask("post", self._path(name) + "/trim", {"min_available_version": key.latest})
            if not self._find(name).is_destroyed:
                raise StoreError(f"{self._where}: says that it trimmed the key of epoch {name.epoch}, and still has it")
        if key is not None:
            self._tidy(name)
        return KeyState.DESTROYED

    def versions(self, vault: bytes) -> tuple[KeyVersion, ...]:
        """List the keys of a vault.

        Args:
            vault: Vault id.

        Returns:
            Those on the server, oldest first; trimmed ones that could not be deleted as destroyed.

        Raises:
            CredentialError: The token may not do that.
            StoreError: The server is not reached, sealed, or fails.
        """
        found = self._look("list", f"{self._mount}/keys")
        answer = [] if found is None else found.get("keys")
        if not isinstance(answer, list) or not all(isinstance(each, str) for each in answer):
            raise StoreError(f"{self._where}: answers otherwise than OpenBao does")
        names = []
        for each in answer:
            with contextlib.suppress(FormatError):
                names.append(VersionName.parse(each.removeprefix("lifeseal-")))
        keys = [(name, self._read(name)) for name in names if name.vault == vault]
        return in_order((name, KeyState.DESTROYED if key.is_destroyed else KeyState.LIVE) for name, key in keys if key is not None)

    def locked(self, vault: Path) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out for a block.

        Args:
            vault: The vault folder; copies of it on this host are locked too.

        Raises:
            LockedError: Another process is writing.
            OSError: The lock file cannot be opened.
        """
        return copies_locked(vault, self.kind + self.fingerprint)

    def _path(self, name: VersionName, verb: str = "keys") -> str:
        return f"{self._mount}/{verb}/lifeseal-{name}"

    def _read(self, name: VersionName) -> _Key | None:
        answer = self._look("get", self._path(name))
        return None if answer is None else _Key.from_answer(answer, where=self._where)

    def _find(self, name: VersionName) -> _Key:
        found = self._read(name)
        if found is None:
            raise not_there(name, self.versions(name.vault), where=self._where)
        return found

    def _usable(self, name: VersionName) -> _Key:
        found = self._find(name)
        if found.is_destroyed:
            raise DestroyedError(f"{self._where}: the key of epoch {name.epoch} was trimmed; its first version is gone")
        if found.hidden or found.usable > 1:
            how = "soft-deleted" if found.hidden else f"switched off by min_decryption_version = {found.usable}"
            raise StoreError(f"{self._where}: the key of epoch {name.epoch} is {how}, which can be taken back; nothing was destroyed")
        return found

    def _refuse_copied(self, name: VersionName, key: _Key) -> None:
        if key.copied is not None:
            raise StateError(
                f"{self._where}: key lifeseal-{name} is {key.copied}, so a copy of it may exist and destroying it proves nothing: it wraps no "
                "root and was not destroyed. If no copy was made, delete it with the server's own tool"
            )

    def _tidy(self, name: VersionName) -> None:
        """Delete an emptied key, where the token may do that."""
        with contextlib.suppress(CredentialError, StoreError):
            self._ask("post", self._path(name) + "/config", {"deletion_allowed": True})
            self._ask("delete", self._path(name))

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Send a request for something that is there."""
        found = self._look(method, path, body)
        if found is None:
            raise StoreError(f"{self._where}: has no {path}")
        return found

    def _look(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any] | None:
        """Send a request, and return its data; None if the engine has no such thing. Errors become ours, and keep nothing of what was sent."""
        hvac, requests = require("hvac", extra="vault"), require("requests", extra="vault")
        options = {} if body is None else {"json": body}
        try:
            answer = self._client.adapter.request(method, f"/v1/{path}", **options)
        except (hvac.exceptions.Unauthorized, hvac.exceptions.Forbidden):
            failed: LifesealError = CredentialError(f"{self._where}: this token may not {method} {path}, or has expired")
        except hvac.exceptions.InvalidPath as error:
            if error.errors == []:
                return None
            failed = StoreError(f"{self._where}: no such path on the server: is the transit engine mounted there?")
        except hvac.exceptions.InvalidRequest as error:
            if any(word in _said(error) for word in ("message authentication failed", "invalid ciphertext")):
                failed = TamperedError(f"{self._where}: the wrapped root was changed, or belongs elsewhere")
            else:
                failed = StoreError(f"{self._where}: refuses to {method} {path}: {_said(error)}")
        except hvac.exceptions.VaultError as error:
            failed = StoreError(f"{self._where}: fails to {method} {path}: {_said(error)}; whether it was done is not known")
        except (requests.RequestException, ValueError) as error:
            failed = StoreError(f"{self._where}: no answer to {method} {path} ({type(error).__name__}); whether it was done is not known")
        else:
            data = answer.get("data") if isinstance(answer, dict) else None
            return data if isinstance(data, dict) else {}
        raise failed


def _said(error: Any) -> str:  # noqa: ANN401 - of an extra
    return "; ".join(str(each) for each in (error.errors or [type(error).__name__]))[:300]
