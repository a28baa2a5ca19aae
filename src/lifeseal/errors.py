# SPDX-License-Identifier: Apache-2.0
"""The one error tree.

```text
LifesealError
├─ FormatError        the bytes are not what the format says            (attacker, bit rot)
├─ UntrustedError     the bytes are fine; nobody you trust vouches      (attacker, policy)
│   ├─ SignatureError       the signature does not verify under the given key
│   ├─ DigestMismatchError  content differs from what was signed or recorded
│   ├─ PolicyError          the signature is good, the policy says no
│   ├─ WithdrawnError       the signer took it back
│   └─ RolledBackError      older than what has been seen
├─ TamperedError      authenticated bytes do not authenticate           (attacker, bit rot)
├─ UnsafeError        reading this could run code                       (attacker)
├─ StateError         not possible now
│   ├─ DestroyedError       the key was destroyed; nothing brings it back
│   ├─ PendingError         a destruction is scheduled but not confirmed
│   └─ LockedError          another process holds the lock
├─ CredentialError    the key is there, these credentials do not open it
├─ StoreError         a key holder or service is unavailable
├─ LimitError         a stated bound was passed
└─ MissingExtraError  an optional package is not installed
```

`OSError` passes through from the operating system and is listed under ``Raises``. Programming errors stay `TypeError` and `ValueError`.
Messages name the place, what was wanted and what was found; they never hold key material or payloads.
"""

from collections.abc import Callable

__all__ = [
    "CredentialError",
    "DestroyedError",
    "DigestMismatchError",
    "FormatError",
    "LifesealError",
    "LimitError",
    "LockedError",
    "MissingExtraError",
    "PendingError",
    "PolicyError",
    "RolledBackError",
    "SignatureError",
    "StateError",
    "StoreError",
    "TamperedError",
    "UnsafeError",
    "UntrustedError",
    "WithdrawnError",
]


class LifesealError(Exception):
    """Base of every error that lifeseal raises on purpose. It keeps class and attributes when it comes back from a worker process."""

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[object, ...], dict[str, object]]:
        return _bare, (type(self), self.args), self.__dict__


def _bare(kind: type[LifesealError], args: tuple[object, ...]) -> LifesealError:
    return kind.__new__(kind, *args)


class FormatError(LifesealError):
    """The bytes are not what the format says.

    Attributes:
        where: The place: a file name, then the field or offset.
        wanted: What the format asks for at that place.
    """

    def __init__(self, where: str, wanted: str) -> None:
        super().__init__(f"{where}: {wanted}")
        self.where = where
        self.wanted = wanted


class UntrustedError(LifesealError):
    """The bytes are well formed, but nobody you trust vouches for them."""


class SignatureError(UntrustedError):
    """The signature does not verify under the key that the policy names."""


class DigestMismatchError(UntrustedError):
    """Content differs from what was signed or recorded.

    Attributes:
        changed: Names whose content differs.
        missing: Names that were signed or recorded and are not there.
        extra: Names that are there and were not signed or recorded.
        record: Number of the first record that differs, counted from 0 in the one file that changed, where it is known.
    """

    def __init__(
        self,
        where: str,
        *,
        changed: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        extra: tuple[str, ...] = (),
        record: int | None = None,
    ) -> None:
        parts = [
            f"{len(names)} {word}: {_some(names)}" for word, names in (("changed", changed), ("missing", missing), ("not signed for", extra)) if names
        ]
        parts += [f"record {record} is the first that differs"] if record is not None else []
        super().__init__(f"{where}: {'; '.join(parts) or 'content differs'}")
        self.where = where
        self.changed = changed
        self.missing = missing
        self.extra = extra
        self.record = record


class PolicyError(UntrustedError):
    """The signature is good, but the policy does not accept it for this use."""


class WithdrawnError(UntrustedError):
    """The artefact or its signer was withdrawn."""


class RolledBackError(UntrustedError):
    """The state is older than one that is known to have existed."""


class TamperedError(LifesealError):
    """Authenticated bytes do not authenticate: they were changed, cut or mixed up."""


class UnsafeError(LifesealError):
    """Reading this could run code, so it is not read."""


class StateError(LifesealError):
    """The operation is not possible in the present state."""


class DestroyedError(StateError):
    """The key was destroyed, so the content is unreadable for good."""


class PendingError(StateError):
    """A destruction was asked for and is not confirmed yet."""


class LockedError(StateError):
    """Another process holds the lock."""


class CredentialError(LifesealError):
    """The key is there, but these credentials do not open it."""


class StoreError(LifesealError):
    """A key holder or a service is unavailable; the message says what was already done."""


class LimitError(LifesealError):
    """A stated bound was passed.

    Attributes:
        limit: The bound.
        seen: What was found instead.
    """

    def __init__(self, where: str, *, limit: int, seen: int, unit: str = "bytes") -> None:
        super().__init__(f"{where}: {seen} {unit}, more than the limit of {limit}")
        self.where = where
        self.limit = limit
        self.seen = seen


class MissingExtraError(LifesealError, ImportError):
    """An optional package is not installed; the message names the extra."""

    def __init__(self, module: str, *, extra: str) -> None:
        super().__init__(f"{module!r} is not installed: pip install 'lifeseal[{extra}]'")
        self.module = module
        self.extra = extra


_SHOWN = 5


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
