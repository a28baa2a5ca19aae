# SPDX-License-Identifier: Apache-2.0
"""What a cell keeps: vault id, epoch and root key side by side, so that one write replaces all three."""

import hashlib

from lifeseal._io import Secret
from lifeseal.erasure._holders import HeldRoot
from lifeseal.errors import FormatError, TamperedError

SIZE = 104
_MAGIC = b"lifeseal.root/1\n"
_VAULT = slice(16, 32)
_EPOCH = slice(32, 40)
_KEY = slice(40, 72)
_CHECKSUM = slice(72, 104)


def pack(root: HeldRoot, view: memoryview) -> None:
    """Write a root.

    Args:
        root: What it shall hold.
        view: Locked memory, `SIZE` bytes.
    """
    view[:16] = _MAGIC
    view[_VAULT] = root.vault
    view[_EPOCH] = root.epoch.to_bytes(8, "big")
    with root.key.view() as key:
        view[_KEY] = key
    view[_CHECKSUM] = _checksum(view)


def parse(view: memoryview, *, where: str) -> HeldRoot:
    """Read a root.

    Args:
        view: `SIZE` bytes.
        where: Name for error messages.

    Returns:
        The root; close it after use.

    Raises:
        FormatError: It is none.
        TamperedError: It was damaged.
    """
    if len(view) != SIZE or view[:16] != _MAGIC:
        raise FormatError(where, "not a root of this version")
    if view[_CHECKSUM] != _checksum(view):
        raise TamperedError(f"{where}: the root is damaged; its checksum does not fit")
    with view[_KEY] as key:
        return HeldRoot(vault=bytes(view[_VAULT]), epoch=int.from_bytes(view[_EPOCH], "big"), key=Secret.copy_of(key))


def _checksum(view: memoryview) -> bytes:
    with view[: _KEY.stop] as covered:
        return hashlib.sha256(covered).digest()
