# SPDX-License-Identifier: Apache-2.0
"""The operating system's keyring: only holders that are known to keep secrets, chosen by their class, never by the environment."""

from importlib import import_module
from typing import Protocol, cast

from lifeseal._io._extras import require
from lifeseal.errors import StoreError

# What else the package `keyring` finds may write secrets in the clear, or chain such holders together.
KEYRINGS = (
    "keyring.backends.SecretService.Keyring",
    "keyring.backends.libsecret.Keyring",
    "keyring.backends.kwallet.DBusKeyring",
    "keyring.backends.macOS.Keyring",
    "keyring.backends.Windows.WinVaultKeyring",
)


class Keyring(Protocol):
    """A holder of secrets, as the package `keyring` has them."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret, or None."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret."""

    def delete_password(self, service: str, username: str) -> None:
        """Forget a secret."""


def open_keyring() -> Keyring:
    """Open the first keyring of `KEYRINGS` that this session has.

    Neither the environment nor a configuration file is asked which: what they name is code that would be imported.

    Returns:
        The keyring.

    Raises:
        MissingExtraError: The package ``keyring`` is not installed.
        StoreError: This session has none of them.
    """
    require("keyring", extra="keyring")
    reasons = []
    for name in KEYRINGS:
        module, _, kind = name.rpartition(".")
        try:
            backend = getattr(import_module(module), kind)
            backend.priority  # noqa: B018 - raises what keeps it from being of use here
        except (AttributeError, ImportError, RuntimeError) as error:
            reasons.append(f"{module.rpartition('.')[2]}: {error}")
            continue
        return cast("Keyring", backend())
    raise StoreError(f"this session has no keyring that is known to keep secrets ({'; '.join(reasons)})")
