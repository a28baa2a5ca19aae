# SPDX-License-Identifier: Apache-2.0
"""A root wrapped by AWS KMS: one key an epoch, scheduled for deletion when the next is in force."""

import contextlib
import datetime as dt
import re
from pathlib import Path
from typing import Any

import attrs

from lifeseal._io import Secret, require
from lifeseal.erasure._holders import KeyState, KeyVersion, Strength
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.erasure._locks import copies_locked
from lifeseal.erasure._versions import VersionName, fingerprint_of, in_order, kept, not_there, refuse_behind
from lifeseal.errors import CredentialError, DestroyedError, LifesealError, StateError, StoreError, TamperedError

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SHORTEST, _LONGEST = 7, 30
_NO_CREDENTIALS = frozenset({
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
    *("SSOTokenLoadError", "UnauthorizedSSOTokenError"),
})  # fmt: skip
_REFUSED = {
    "ExpiredTokenException": "the credentials have expired",
    "ExpiredToken": "the credentials have expired",
    "UnrecognizedClientException": "the credentials are not known",
    "InvalidClientTokenId": "the credentials are not known",
    "AccessDeniedException": "these credentials may not do that",
    "AccessDenied": "these credentials may not do that",
    "InvalidSignatureException": "the signature is not accepted; is this machine's clock right?",
    "SignatureDoesNotMatch": "the signature is not accepted; is this machine's clock right?",
    "RequestExpired": "the request came too late; is this machine's clock right?",
}


@attrs.frozen(kw_only=True)
class _Key:
    """What DescribeKey says.

    Attributes:
        state: AWS's word.
        until: When AWS deletes it, by AWS's clock.
        foreign: Why it is none that we made, or None.
    """

    state: str
    until: dt.datetime | None
    foreign: str | None

    @classmethod
    def from_answer(cls, answer: object, name: VersionName, *, where: str) -> "_Key":
        """Read an answer."""
        found = answer.get("KeyMetadata") if isinstance(answer, dict) else None
        if not isinstance(found, dict) or found.get("KeyId") != name.tag or not isinstance(found.get("KeyState"), str):
            raise StoreError(f"{where}: answers about a key otherwise than AWS KMS does")
        wanted = {"Origin": "AWS_KMS", "KeyManager": "CUSTOMER", "KeySpec": "SYMMETRIC_DEFAULT", "Description": _description(name)}
        foreign = next((f"{field} is {str(found.get(field))[:60]!r}" for field, value in wanted.items() if found.get(field) != value), None)
        if found.get("MultiRegion"):
            foreign = "it has copies in other regions"
        until = found.get("DeletionDate")
        return cls(state=found["KeyState"], until=until if isinstance(until, dt.datetime) else None, foreign=foreign)


class AwsKmsRoot:
    """A root under keys of AWS KMS, each of one epoch of one vault.

    A change makes a new key; once the new root is read back under it, the old key is scheduled for deletion. From then on AWS refuses to use
    it, but whoever may cancel the deletion brings it back until its date. So an erasure is pending for 7 to 30 days, and says until when. What
    state a key is in is read by DescribeKey, before and after; a refusal decides nothing.

    Each change of the vault costs a key, seals included: seal and erase many at once. The root key passes through ordinary memory of this
    process, which is not cleared.

    Args:
        client: A ``boto3`` client for ``kms`` of yours, with its region, credentials, timeouts and retries.
        prefix: Keys get aliases ``alias/PREFIX/…``, by which they are found.
        days: How long AWS waits before it deletes a key.
        retention: You declare that no copy of a deleted key is kept longer than this.

    Raises:
        ValueError: ``prefix`` or ``days`` is not one that AWS takes.

    Source: AWS KMS API: CreateKey, CreateAlias, ListAliases, DescribeKey, Encrypt, Decrypt, ScheduleKeyDeletion.
    """

    kind = "aws-kms"
    location = None
    compare_and_swap = False
    strength = Strength.OPERATED
    hosts = "One host may write: AWS cannot refuse a key that another host replaces. A second host is refused as soon as its folder is older."
    losing = "Losing the keys, the account or the right to use them loses everything sealed under them."
    backing_up = "Until a key's date of deletion, whoever may cancel that undoes the erasure; the vault folder itself may be backed up."

    def __init__(self, client: Any, *, prefix: str = "lifeseal", days: int = _SHORTEST, retention: dt.timedelta | None = None) -> None:  # noqa: ANN401 - of an extra
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("a prefix has 1 to 64 letters, digits, - and _")
        if not _SHORTEST <= days <= _LONGEST:
            raise ValueError(f"AWS waits {_SHORTEST} to {_LONGEST} days before it deletes a key")
        self._client = client
        self._prefix = prefix
        self._days = days
        self._known: set[VersionName] = set()
        self._where = f"AWS KMS in {client.meta.region_name}"
        self.retention = retention
        self.fingerprint = fingerprint_of(self.kind, str(client.meta.region_name), prefix)

    @property
    def assurance(self) -> str:
        """How far a scheduled key can be trusted to be gone, with what was declared."""
        return (
            f"Operated: AWS deletes the key {self._days} days after the erasure, and refuses to use it from then on; until that day whoever may "
            f"cancel the deletion brings it back. {kept(self.retention)}"
        )

    def create(self, vault: bytes, epoch: int) -> str:
        """Make a key and its alias.

        Args:
            vault: Vault id.
            epoch: For whose root it is.

        Returns:
            Vault id, epoch and key id.

        Raises:
            CredentialError: The credentials are missing, expired, or may not do that.
            StateError: There is a key of that epoch or a later one.
            StoreError: AWS is not reached or fails. A key with an alias is found at the next change; one without was never used.
        """
        refuse_behind(self.versions(vault), epoch, where=self._where)
        made = self._ask("create_key", Description=_description(VersionName(vault=vault, epoch=epoch, tag="")), KeyUsage="ENCRYPT_DECRYPT")
        metadata = made.get("KeyMetadata")
        tag = metadata.get("KeyId") if isinstance(metadata, dict) else None
        name = VersionName.parse(f"{vault.hex()}-{epoch:016d}-{tag}")
        try:
            self._ask("create_alias", AliasName=self._alias(name), TargetKeyId=name.tag)
        except LifesealError:
            with contextlib.suppress(LifesealError):
                self.destroy(str(name))
            raise
        self._known.add(name)
        return str(name)

    def wrap(self, version: str, key: Secret, context: bytes) -> bytes:
        """Encrypt a root key.

        Args:
            version: From `create`.
            key: The root key.
            context: What it is bound to; AWS writes it into its log.

        Returns:
            AWS's ciphertext.

        Raises:
            CredentialError: The credentials are missing, expired, or may not do that.
            DestroyedError: The key was deleted, or shall be.
            FormatError: That is no name of a key.
            StateError: The key is none that was made here.
            StoreError: AWS, or the key, is not there, or the key is disabled.
        """
        name = VersionName.parse(version)
        self._refuse_foreign(name, self._enabled(name))
        with key.view() as plain:
            answer = self._ask("encrypt", KeyId=name.tag, Plaintext=bytes(plain), EncryptionContext=_bound(context))
        return bytes(self._bytes(answer, "CiphertextBlob", name))

    def unwrap(self, version: str, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt a root key, with a key that DescribeKey says is enabled.

        Args:
            version: That wrapped it.
            wrapped: From `wrap`.
            context: What it is bound to.

        Returns:
            The root key; close it after use.

        Raises:
            CredentialError: The credentials are missing, expired, or may not do that.
            DestroyedError: The key was deleted, or shall be.
            FormatError: That is no name of a key.
            StoreError: AWS, or the key, is not there, or the key is disabled.
            TamperedError: These bytes are not what the key wrapped in this context.
        """
        name = VersionName.parse(version)
        if not wrapped:
            raise TamperedError(f"{self._where}: the wrapped root is empty")
        self._enabled(name)
        answer = self._ask("decrypt", KeyId=name.tag, CiphertextBlob=wrapped, EncryptionContext=_bound(context))
        found = bytearray(self._bytes(answer, "Plaintext", name))
        if len(found) != KEY_SIZE:
            raise TamperedError(f"{self._where}: what was wrapped is no root key")
        self._known.add(name)
        return Secret.copy_of(found)

    def destroy(self, version: str) -> KeyState:
        """Schedule the deletion of one key.

        Args:
            version: Its name. One that is gone is no error.

        Returns:
            `KeyState.SCHEDULED` when DescribeKey says so; `KeyState.DESTROYED` when AWS has it no more.

        Raises:
            CredentialError: The credentials are missing, expired, or may not do that.
            FormatError: That is no name of a key.
            StateError: The key is none that was made here; nothing was scheduled.
            StoreError: AWS is not reached, or the key is not scheduled after all. The next change tries again.
        """
        name = VersionName.parse(version)
        key = self._describe(name)
        if key is None:
            return KeyState.DESTROYED
        if _state(key) is KeyState.LIVE:
            self._refuse_foreign(name, key)
            with contextlib.suppress(StoreError):  # what counts is what DescribeKey says after
                self._ask("schedule_key_deletion", KeyId=name.tag, PendingWindowInDays=self._days)
            key = self._describe(name)
            if key is None or _state(key) is KeyState.LIVE:
                raise StoreError(f"{self._where}: did not schedule the key of epoch {name.epoch} for deletion; its state is {key and key.state!r}")
        return _state(key)

    def versions(self, vault: bytes) -> tuple[KeyVersion, ...]:
        """List the keys of a vault: by their aliases, and those that this object has used, as a list at AWS may lag behind.

        Args:
            vault: Vault id.

        Returns:
            Those that AWS has, oldest first, with the dates of those that shall be deleted.

        Raises:
            CredentialError: The credentials are missing, expired, or may not do that.
            StoreError: AWS is not reached or fails.
        """
        start, names = self._alias_start(vault), {name for name in self._known if name.vault == vault}
        marker: dict[str, object] = {}
        while True:
            answer = self._ask("list_aliases", Limit=100, **marker)
            for entry in answer.get("Aliases", ()):
                alias = str(entry.get("AliasName", ""))
                if alias.startswith(start):
                    with contextlib.suppress(LifesealError):
                        names.add(VersionName.parse(alias.removeprefix(f"alias/{self._prefix}/")))
            if not answer.get("Truncated"):
                break
            marker = {"Marker": answer.get("NextMarker")}
        keys = [(name, self._describe(name)) for name in names]
        until = {str(name): key.until for name, key in keys if key is not None}
        listed = in_order((name, _state(key)) for name, key in keys if key is not None)
        return tuple(attrs.evolve(found, until=until[found.name]) for found in listed)

    def locked(self, vault: Path) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out for a block.

        Args:
            vault: The vault folder; copies of it on this host are locked too.

        Raises:
            LockedError: Another process is writing.
            OSError: The lock file cannot be opened.
        """
        return copies_locked(vault, self.kind + self.fingerprint)

    def _alias_start(self, vault: bytes) -> str:
        return f"alias/{self._prefix}/{vault.hex()}-"

    def _alias(self, name: VersionName) -> str:
        return f"alias/{self._prefix}/{name}"

    def _describe(self, name: VersionName) -> _Key | None:
        answer = self._look("describe_key", KeyId=name.tag)
        return None if answer is None else _Key.from_answer(answer, name, where=self._where)

    def _enabled(self, name: VersionName) -> _Key:
        found = self._describe(name)
        if found is None:
            raise not_there(name, self.versions(name.vault), where=self._where)
        if _state(found) is KeyState.SCHEDULED:
            raise DestroyedError(f"{self._where}: the key of epoch {name.epoch} is scheduled for deletion, until {_date(found.until)}")
        if found.state != "Enabled":
            raise StoreError(f"{self._where}: the key of epoch {name.epoch} is {found.state!r}, which can be taken back; nothing was destroyed")
        return found

    def _refuse_foreign(self, name: VersionName, key: _Key) -> None:
        if key.foreign is not None:
            raise StateError(f"{self._where}: key {name.tag} was not made for epoch {name.epoch} of this vault: {key.foreign}; it was left alone")

    def _bytes(self, answer: dict[str, Any], field: str, name: VersionName) -> bytes:
        found, key = answer.get(field), str(answer.get("KeyId", ""))
        if not isinstance(found, bytes) or not key.endswith(f"key/{name.tag}"):
            raise TamperedError(f"{self._where}: another key than that of epoch {name.epoch} answered")
        return found

    def _ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        """Send a request about something that is there."""
        found = self._look(operation, **arguments)
        if found is None:
            raise StoreError(f"{self._where}: {operation}: no such key; it may lie in another account or region")
        return found

    def _look(self, operation: str, **arguments: object) -> dict[str, Any] | None:
        """Send a request; None if there is no such key. Errors become ours, and keep nothing of what was sent."""
        botocore = require("botocore.exceptions", extra="aws")
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except botocore.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "NotFoundException":
                return None
            failed: LifesealError
            if code in _REFUSED:
                failed = CredentialError(f"{self._where}: {operation}: {_REFUSED[code]}")
            elif code in {"InvalidCiphertextException", "IncorrectKeyException"}:
                failed = TamperedError(f"{self._where}: the wrapped root was changed, or belongs elsewhere")
            else:
                failed = StoreError(f"{self._where}: refuses to {operation}: {code[:60]}")
        except (botocore.BotoCoreError, botocore.HTTPClientError) as error:
            word = type(error).__name__
            if word in _NO_CREDENTIALS:
                failed = CredentialError(f"{self._where}: there are no credentials to {operation} with ({word})")
            else:
                failed = StoreError(f"{self._where}: no answer to {operation} ({word}); whether it was done is not known")
        else:
            return answer
        raise failed


def _description(name: VersionName) -> str:
    return f"lifeseal vault {name.vault.hex()} epoch {name.epoch}"


def _bound(context: bytes) -> dict[str, str]:
    return {"lifeseal": context.hex()}


def _state(key: _Key) -> KeyState:
    """Disabled, or anything else that can be taken back, is live."""
    return KeyState.SCHEDULED if key.state == "PendingDeletion" else KeyState.LIVE


def _date(until: dt.datetime | None) -> str:
    return "an unknown date" if until is None else until.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
