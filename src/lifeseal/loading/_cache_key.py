# SPDX-License-Identifier: Apache-2.0
"""A key for the stat cache that lies in the operating system's keyring."""

import re
import secrets

import attrs

from lifeseal._io import open_keyring, require
from lifeseal.errors import FormatError, StoreError

KEY_SIZE = 32
_SERVICE = "lifeseal stat cache"
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@attrs.frozen(kw_only=True)
class KeyringKey:
    """Names a key in the operating system's keyring; it is made there when it is first asked for, and never leaves this process's memory.

    Attributes:
        name: Of the key, for people: one for each cache, or one for all.
    """

    name: str = attrs.field(validator=attrs.validators.min_len(1))

    def __attrs_post_init__(self) -> None:
        if not self.name.isprintable():
            raise ValueError("a name that can be printed was expected")

    def fetch(self) -> bytes:
        """Ask the keyring; used by `stat_checked`.

        Returns:
            The key, 32 bytes.

        Raises:
            FormatError: Something else lies under that name.
            MissingExtraError: The package ``keyring`` is not installed.
            StoreError: There is no keyring that is known to keep secrets, or it is locked.
        """
        keyring, failed = open_keyring(), require("keyring.errors", extra="keyring").KeyringError
        try:
            found = keyring.get_password(_SERVICE, self.name)
            if found is None:
                keyring.set_password(_SERVICE, self.name, secrets.token_hex(KEY_SIZE))
                found = keyring.get_password(_SERVICE, self.name)  # what another process may have put there meanwhile counts
        except failed as error:
            raise StoreError(f"keyring, {self.name!r}: {type(error).__name__}; is it unlocked?") from None
        if found is None or not _HEX.fullmatch(found):
            raise FormatError(f"keyring, {self.name!r}", "a key of 64 hexadecimal digits was expected; remove it to have a new one made")
        return bytes.fromhex(found)
