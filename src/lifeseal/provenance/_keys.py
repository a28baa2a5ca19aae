# SPDX-License-Identifier: Apache-2.0
"""From records to leaves, with a key where records could be guessed."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TypeAlias

from lifeseal.errors import CredentialError
from lifeseal.provenance._manifest import KeyUse, Manifest

LeafKey: TypeAlias = bytes | Callable[[bytes], bytes]
Leaves: TypeAlias = Callable[[Sequence[bytes]], list[bytes]]

_LEAST = 16
_CHECK = b"lifeseal leaf key check"


def leaves_of(leaf_key: LeafKey | None) -> Leaves:
    """Choose how records become leaf hashes.

    Args:
        leaf_key: One key, a key for each record, or None.

    Returns:
        A function from records to leaf hashes.

    Raises:
        ValueError: The key is shorter than 16 bytes.
    """
    if leaf_key is None:
        return _plain
    sha256 = hashlib.sha256
    digest = hmac.digest
    if isinstance(leaf_key, bytes):
        key = _checked(leaf_key)
        return lambda records: [sha256(b"\0" + digest(key, record, "sha256")).digest() for record in records]
    return lambda records: [sha256(b"\0" + digest(_checked(leaf_key(record)), record, "sha256")).digest() for record in records]


def _plain(records: Sequence[bytes]) -> list[bytes]:
    begin, leaves = hashlib.sha256(b"\0").copy, []  # a copy costs less than a new one
    for record in records:
        hasher = begin()
        hasher.update(record)
        leaves.append(hasher.digest())
    return leaves


def key_use(leaf_key: LeafKey | None) -> KeyUse | None:
    """Say in a manifest how leaves were keyed, without giving the key away."""
    if leaf_key is None:
        return None
    if isinstance(leaf_key, bytes):
        return KeyUse(keys="one", check=hmac.digest(_checked(leaf_key), _CHECK, "sha256")[:8])
    return KeyUse(keys="per-record")


def leaves_for(manifest: Manifest, leaf_key: LeafKey | None) -> Leaves:
    """Choose how records become the leaves of one manifest.

    Args:
        manifest: What was recorded.
        leaf_key: The key, or keys, that the records were recorded with.

    Returns:
        A function from records to leaf hashes.

    Raises:
        CredentialError: The manifest was made without a key, with one, or with another.
        ValueError: The key is shorter than 16 bytes.
    """
    if (leaf_key is None) != (manifest.key_use is None):
        raise CredentialError(
            f"the records of {manifest.description.name!r} were recorded {'without a' if manifest.key_use is None else 'with a'} leaf key"
        )
    wanted = manifest.key_use
    if isinstance(leaf_key, bytes) and wanted is not None and wanted.keys == "one" and key_use(leaf_key) != wanted:
        raise CredentialError(f"this is not the leaf key that the records of {manifest.description.name!r} were recorded with")
    return leaves_of(leaf_key)


def _checked(key: bytes) -> bytes:
    if len(key) < _LEAST:
        raise ValueError(f"a leaf key has at least {_LEAST} bytes; this one has {len(key)}")
    return key
