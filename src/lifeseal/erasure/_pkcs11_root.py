# SPDX-License-Identifier: Apache-2.0
"""A root wrapped under a key that never leaves a PKCS#11 token: one key an epoch, destroyed when the next is in force."""

import contextlib
import datetime as dt
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifeseal._io import Secret, StrPath, require
from lifeseal.erasure._holders import KeyState, KeyVersion, Strength
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.erasure._locks import copies_locked
from lifeseal.erasure._versions import VersionName, fingerprint_of, in_order, kept, not_there, refuse_behind
from lifeseal.errors import CredentialError, FormatError, StateError, StoreError, TamperedError

_NONCE, _TAG = 12, 16
_IN_USE = threading.RLock()  # a login holds for the whole process, and the end of one session ends it for all
_PIN_ERRORS = {
    "PinIncorrect": "the PIN is wrong; it is not tried again, as tokens lock themselves after a few",
    "PinInvalid": "the PIN is not one that this token takes",
    "PinLenRange": "the PIN has not the length that this token asks for",
    "PinLocked": "the PIN is locked; the token's security officer can set a new one",
    "PinExpired": "the PIN has expired; set a new one with the token's own tool",
    "UserPinNotInitialized": "the token has no user PIN yet; set one with the token's own tool",
}


class Pkcs11Root:
    """A root under AES-256 keys in a PKCS#11 token, sensitive and never extractable.

    Each epoch has a key of its own. A change makes a new one, and destroys the old one by its handle once the new root is read back. How sure
    that is depends on the token. A software token keeps its keys in files. A hardware module may be backed up or cloned into others, and
    nothing in PKCS#11 tells. So its operator declares what it is; without a word it counts as a file.

    The root key passes through ordinary memory of this process on its way to the token and back, and so does the PIN; neither is cleared by
    the library in between. A call into a module cannot be given up: a module that hangs, hangs its caller.

    Args:
        module: The token's PKCS#11 library, an absolute path; it is loaded into this process.
        token: Label of the token.
        pin: The user's PIN; a bytearray is zeroed after it was copied into locked memory.
        serial: Serial number of the token, where two have one label.
        hardware: You declare that the token keeps its keys in hardware. The slot must say so too.
        retention: You declare that no backup or clone of the token outlives a destroyed key by more than this.

    Source: OASIS PKCS #11 v3.1, sections 4.9 (secret keys), 5.9.3 (C_DestroyObject); GCM: section 6.13.3.
    """

    kind = "pkcs11"
    location = None
    compare_and_swap = False
    hosts = "One host may write: a token cannot refuse a key that another host replaces. A second host is refused as soon as its folder is older."
    losing = "Losing the token, its keys or its PIN loses everything sealed under it."
    backing_up = "A backup or clone of the token that was made before an erasure undoes it; the vault folder itself may be backed up."

    def __init__(
        self,
        module: StrPath,
        *,
        token: str,
        pin: bytes | bytearray | memoryview,
        serial: str | None = None,
        hardware: bool = False,
        retention: dt.timedelta | None = None,
    ) -> None:
        self._module = Path(module)
        if not self._module.is_absolute():
            raise ValueError("a PKCS#11 library is named by an absolute path: it is loaded into this process")
        if not token or len(pin) == 0:
            raise ValueError("a token has a label and a PIN")
        self._label = token
        self._serial = serial
        self._pin = Secret.copy_of(pin)
        self._pin_refused = False
        self._process = os.getpid()
        self._hardware = hardware
        self._where = f"token {token!r}"
        self.retention = retention
        self.fingerprint = fingerprint_of(self.kind, token)
        self.strength = Strength.HARDWARE if hardware else Strength.BEST_EFFORT

    @property
    def assurance(self) -> str:
        """How far a destroyed key can be trusted to be gone, with what was declared."""
        if not self._hardware:
            return "Best effort: a PKCS#11 token of which nobody declared that it is hardware; copies of its storage undo the erasure."
        return f"Hardware, as its operator declares: a key that its token never gives out is destroyed and gone from it. {kept(self.retention)}"

    def create(self, vault: bytes, epoch: int) -> str:
        """Generate a key in the token.

        Args:
            vault: Vault id.
            epoch: For whose root it is.

        Returns:
            Its name, which is also in its label and id.

        Raises:
            CredentialError: The PIN is wrong or locked.
            StateError: The token holds a key of that epoch or a later one; or it does not keep keys as it is asked to.
            StoreError: The token is not reached. A key that was made all the same is found at the next change.
        """
        pkcs11 = _pkcs11()
        name = VersionName.new(vault, epoch)
        with self._session() as session:
            refuse_behind(self._listed(session, vault), epoch, where=self._where)
            flags, attribute = pkcs11.MechanismFlag, pkcs11.Attribute
            made = session.generate_key(
                pkcs11.KeyType.AES,
                KEY_SIZE * 8,
                label=_label(vault),
                id=_id(name),
                store=True,
                capabilities=flags.ENCRYPT | flags.DECRYPT,
                template={attribute.EXTRACTABLE: False, attribute.MODIFIABLE: False, attribute.COPYABLE: False},
            )
            if not _is_kept(made):
                made.destroy()
                raise StateError(f"{self._where}: does not make keys that can be neither read, changed nor copied, so it keeps no root")
        return str(name)

    def wrap(self, version: str, key: Secret, context: bytes) -> bytes:
        """Encrypt a root key in the token.

        Args:
            version: From `create`.
            key: The root key.
            context: What it is bound to.

        Returns:
            Nonce, ciphertext and tag.

        Raises:
            CredentialError: The PIN is wrong or locked.
            DestroyedError: The key was destroyed.
            FormatError: That is no name of a key.
            StateError: The key can be read or copied.
            StoreError: The token, or the key, is not there.
        """
        name, nonce = VersionName.parse(version), os.urandom(_NONCE)
        with self._session() as session, key.view() as plain:
            sealed: bytes = self._find(session, name).encrypt(bytes(plain), **_gcm(nonce, context))
        return nonce + sealed

    def unwrap(self, version: str, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt a root key in the token.

        Args:
            version: That wrapped it.
            wrapped: From `wrap`.
            context: What it is bound to.

        Returns:
            The root key; close it after use.

        Raises:
            CredentialError: The PIN is wrong or locked.
            DestroyedError: The key was destroyed.
            FormatError: That is no name of a key, or not what `wrap` returns.
            StateError: The key can be read or copied.
            StoreError: The token, or the key, is not there, or the token fails.
            TamperedError: These bytes are not what the key wrapped in this context.
        """
        name = VersionName.parse(version)
        if len(wrapped) != _NONCE + KEY_SIZE + _TAG:
            raise FormatError("wrapped root", f"{_NONCE + KEY_SIZE + _TAG} bytes were expected")
        with self._session() as session:
            found = self._find(session, name)
            try:
                plain = bytearray(found.decrypt(wrapped[_NONCE:], **_gcm(wrapped[:_NONCE], context)))
            except _pkcs11().PKCS11Error:
                # Tokens have no common word for a tag that does not fit; one that decrypts what it encrypted has just said it.
                nonce = os.urandom(_NONCE)
                found.decrypt(found.encrypt(bytes(1), **_gcm(nonce, context)), **_gcm(nonce, context))
                raise TamperedError(f"{self._where}: the wrapped root was changed, or belongs elsewhere") from None
        return Secret.copy_of(plain)

    def destroy(self, version: str) -> KeyState:
        """Destroy one key by its handle, and see in a new session that it is gone.

        Args:
            version: Its name. One that is gone is no error.

        Returns:
            `KeyState.DESTROYED`.

        Raises:
            CredentialError: The PIN is wrong or locked; nothing was destroyed.
            FormatError: That is no name of a key.
            StateError: Two objects have that name, or it can be read or copied; nothing was destroyed.
            StoreError: The token is not reached, or the key is still there.
        """
        name = VersionName.parse(version)
        with self._session() as session:
            found = self._matching(session, name)
            if len(found) > 1:
                raise StateError(f"{self._where}: {len(found)} keys are named {version}, one of which somebody planted; nothing was destroyed")
            for key in found:
                self._refuse_readable(key, name)
                key.destroy()
        with self._session() as session:
            if self._matching(session, name):
                raise StoreError(f"{self._where}: says that it destroyed the key of epoch {name.epoch}, and still has it")
        return KeyState.DESTROYED

    def versions(self, vault: bytes) -> tuple[KeyVersion, ...]:
        """List the keys of a vault.

        Args:
            vault: Vault id.

        Returns:
            Those in the token, oldest first; a key that is destroyed leaves no trace.

        Raises:
            CredentialError: The PIN is wrong or locked.
            StoreError: The token is not reached.
        """
        with self._session() as session:
            return self._listed(session, vault)

    def locked(self, vault: Path) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out for a block.

        Args:
            vault: The vault folder; copies of it on this host are locked too.

        Raises:
            LockedError: Another process is writing.
            OSError: The lock file cannot be opened.
        """
        return copies_locked(vault, self.kind + self.fingerprint)

    def close(self) -> None:
        """Zero the PIN; twice is no error."""
        self._pin.close()

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        """Log in for a block; a lower library's errors become ours."""
        pkcs11 = _pkcs11()
        if os.getpid() != self._process:
            raise StateError(f"{self._where}: a PKCS#11 library does not pass a fork; make the root again in this process")
        if self._pin_refused:
            raise CredentialError(f"{self._where}: {_PIN_ERRORS['PinIncorrect']}")
        with _IN_USE:
            try:
                session = self._log_in(self._token())
                try:
                    yield session
                finally:
                    with contextlib.suppress(pkcs11.PKCS11Error):
                        session.close()
            except pkcs11.PKCS11Error as error:
                word = type(error).__name__
                if word in _PIN_ERRORS:
                    self._pin_refused = True
                    raise CredentialError(f"{self._where}: {_PIN_ERRORS[word]}") from None
                raise StoreError(f"{self._where}: not reached, or it fails: {word} {error}".rstrip()) from error

    def _token(self) -> Any:  # noqa: ANN401 - types of a package that need not be there
        pkcs11 = _pkcs11()
        serial = None if self._serial is None else self._serial.encode()
        try:
            found = pkcs11.lib(str(self._module)).get_token(token_label=self._label, token_serial=serial)
        except pkcs11.NoSuchToken:
            raise StoreError(f"{self._where}: not there; is it plugged in, and is {self._module} its library?") from None
        except pkcs11.MultipleTokensReturned:
            raise StoreError(f"{self._where}: two tokens have that label; give the serial number too") from None
        if self._hardware and not found.slot.flags & pkcs11.SlotFlag.HW_SLOT:
            raise StateError(f"{self._where}: was declared to be hardware, and its slot says that it is not")
        return found

    def _log_in(self, token: Any) -> Any:  # noqa: ANN401 - the same
        pkcs11 = _pkcs11()
        if token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise CredentialError(f"{self._where}: {_PIN_ERRORS['PinLocked']}")
        if token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise CredentialError(f"{self._where}: one wrong PIN more locks it; log in with the token's own tool first")
        with self._pin.view() as view:
            pin = bytes(view)
        try:
            return token.open(rw=True, user_pin=pin.decode("utf-8", "surrogateescape"))
        except pkcs11.UserAlreadyLoggedIn:
            return token.open(rw=True)  # by another part of this process, whose login holds for all of it
        except UnicodeEncodeError:
            raise CredentialError(f"{self._where}: the PIN is not UTF-8, which PKCS#11 asks for") from None

    def _matching(self, session: Any, name: VersionName) -> list[Any]:  # noqa: ANN401 - the same
        attribute = _pkcs11().Attribute
        wanted = {attribute.CLASS: _pkcs11().ObjectClass.SECRET_KEY, attribute.LABEL: _label(name.vault), attribute.ID: _id(name)}
        return list(session.get_objects(wanted))

    def _find(self, session: Any, name: VersionName) -> Any:  # noqa: ANN401 - the same
        found = self._matching(session, name)
        if not found:
            raise not_there(name, self._listed(session, name.vault), where=self._where)
        if len(found) > 1:
            raise StateError(f"{self._where}: {len(found)} keys are named {name}, one of which somebody planted; none is used")
        self._refuse_readable(found[0], name)
        return found[0]

    def _listed(self, session: Any, vault: bytes) -> tuple[KeyVersion, ...]:  # noqa: ANN401 - the same
        attribute = _pkcs11().Attribute
        keys = list(session.get_objects({attribute.CLASS: _pkcs11().ObjectClass.SECRET_KEY, attribute.LABEL: _label(vault)}))
        ids = [bytes(key[attribute.ID]) for key in keys]
        names = [VersionName(vault=vault, epoch=int.from_bytes(each[:8], "big"), tag=each[8:].hex()) for each in ids if len(each) == 16]  # noqa: PLR2004
        return in_order((name, KeyState.LIVE) for name in names)

    def _refuse_readable(self, key: Any, name: VersionName) -> None:  # noqa: ANN401 - the same
        if not _is_kept(key):
            raise StateError(
                f"{self._where}: the key of epoch {name.epoch} was brought in from outside, or can be read, changed or copied: destroying it proves "
                "nothing, so it is neither used nor destroyed. If no copy exists, delete it with the token's own tool"
            )


def _pkcs11() -> Any:  # noqa: ANN401 - the same
    return require("pkcs11", extra="pkcs11")


def _gcm(nonce: bytes, context: bytes) -> dict[str, Any]:
    pkcs11 = _pkcs11()
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": pkcs11.GCMParams(nonce, context, _TAG * 8)}


def _label(vault: bytes) -> str:
    return f"lifeseal {vault.hex()}"


def _id(name: VersionName) -> bytes:
    return name.epoch.to_bytes(8, "big") + bytes.fromhex(name.tag)


def _is_kept(key: Any) -> bool:  # noqa: ANN401 - the same
    """Tell whether a key was made in the token and can be neither read, changed nor copied."""
    attribute = _pkcs11().Attribute
    yes = (attribute.LOCAL, attribute.SENSITIVE, attribute.ALWAYS_SENSITIVE, attribute.NEVER_EXTRACTABLE, attribute.TOKEN, attribute.PRIVATE)
    no = (attribute.EXTRACTABLE, attribute.MODIFIABLE, attribute.COPYABLE)
    return all(key[one] is True for one in yes) and all(key[one] is False for one in no)
