# SPDX-License-Identifier: Apache-2.0
"""What a cell keeps: vault id, epoch and root key side by side, so that one write replaces all three."""

import hashlib

from lifeseal._io import Secret
from lifeseal.erasure._holders import HeldRoot
from lifeseal.errors import FormatError, TamperedError

HEAD, KEY, CHECKSUM = 40, 32, 32
SIZE = HEAD + KEY + CHECKSUM
_MAGIC = b"lifeseal.root/1\n"
_VAULT = slice(16, 32)
_EPOCH = slice(32, 40)
_KEY = slice(HEAD, HEAD + KEY)
_CHECKSUM = slice(HEAD + KEY, SIZE)


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
    if len(view) != SIZE:
        raise FormatError(where, "not a root of this version")
    with view[_KEY] as key:
        return join(bytes(view[: _KEY.start]), Secret.copy_of(key), bytes(view[_CHECKSUM]), where=where)


def join(head: bytes | bytearray, key: Secret, checksum: bytes | bytearray, *, where: str) -> HeldRoot:
    """Read a root whose parts were read apart, so that the key came straight into its place.

    Args:
        head: All before the key.
        key: The key; owned from here on, and closed if it is none.
        checksum: All after it.
        where: Name for error messages.

    Returns:
        The root; close it after use.

    Raises:
        FormatError: It is none.
        TamperedError: It was damaged.
    """
    try:
        if head[:16] != _MAGIC:
            raise FormatError(where, "not a root of this version")
        with key.view() as view:
            covered = hashlib.sha256(head)
            covered.update(view)
        if checksum != covered.digest():
            raise TamperedError(f"{where}: the root is damaged; its checksum does not fit")
    except BaseException:
        key.close()
        raise
    return HeldRoot(vault=bytes(head[_VAULT]), epoch=int.from_bytes(head[_EPOCH], "big"), key=key)


def _checksum(view: memoryview) -> bytes:
    with view[: _KEY.stop] as covered:
        return hashlib.sha256(covered).digest()
