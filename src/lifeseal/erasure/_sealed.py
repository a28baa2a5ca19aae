# SPDX-License-Identifier: Apache-2.0
"""One person's record, sealed: which slot it hangs on, and ciphertext; never whose it is."""

import binascii
import contextlib
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import attrs

from lifeseal._io import Secret, decode_base64
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.errors import CredentialError, FormatError, LimitError, TamperedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED = "lifeseal.sealed/1"
MAGIC = b"LSR1"
MAX_PLAIN = 48_000_000  # a sealed line of it stays below the 64 MiB of a record
RECORD_KEY = SEALED.encode() + b" record key"
LEAF_KEY = SEALED.encode() + b" leaf key"
_LINE, _END = b'{"' + SEALED.encode() + b'":"', b'"}'
_HEAD = struct.Struct(">4s16sII")
_NONCE = 12
_TAG = 16
OVERHEAD = _HEAD.size + _NONCE + _TAG


@attrs.frozen
class Sealed:
    """A sealed record, taken apart.

    Attributes:
        slot: Of the person's key.
        generation: Which use of that slot.
        data: The whole of it.
    """

    slot: int
    generation: int
    data: bytes

    @classmethod
    def parse(cls, data: bytes, *, vault: bytes, where: str) -> Self:
        """Take a sealed record apart; nothing of it is authentic yet.

        Args:
            data: As `seal_record` made it.
            vault: Id of the vault that is to open it.
            where: Name for error messages.

        Returns:
            Its parts.

        Raises:
            CredentialError: It was sealed in another vault.
            FormatError: It is no sealed record.
        """
        if len(data) < OVERHEAD or not data.startswith(MAGIC):
            raise FormatError(where, "a record that was sealed in a vault was expected")
        _, found, slot, generation = _HEAD.unpack_from(data)
        if found != vault:
            raise CredentialError(f"{where}: was sealed in vault {found.hex()}, and this is vault {vault.hex()}")
        return cls(slot, generation, data)


def to_line(sealed: bytes) -> bytes:
    """Write a sealed record as a line of JSONL."""
    return _LINE + binascii.b2a_base64(sealed, newline=False) + _END


def bare(data: bytes, *, where: str) -> bytes:
    """Take a sealed record out of its line of JSONL, if it stands in one.

    Args:
        data: A sealed record, or a line.
        where: Name for error messages.

    Returns:
        The sealed record; other data as it is.

    Raises:
        FormatError: It is a line of JSON that holds no sealed record.
    """
    if not data.startswith(b"{"):
        return data
    if not (data.startswith(_LINE) and data.endswith(_END)):
        raise FormatError(where, f"a line written as {(_LINE + b'...' + _END).decode()} was expected")
    return decode_base64(memoryview(data)[len(_LINE) : -len(_END)], where=where)


def derive(slot: memoryview, use: bytes, out: memoryview) -> None:
    """Derive a key for one use from the key of a person's slot.

    Args:
        slot: The key of the slot, 32 bytes.
        use: `RECORD_KEY` or `LEAF_KEY`.
        out: Room for 32 bytes.

    Source: RFC 5869 section 2.3 (expand only; the slot's key is uniform), SHA-256.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    HKDFExpand(SHA256(), KEY_SIZE, use).derive_into(slot, out)


def cipher_of(slot: memoryview, room: Secret) -> "AESGCM":
    """Make the cipher of one person's records.

    Args:
        slot: The key of the person's slot.
        room: Locked memory for the derived key, 32 bytes; zeroed again.

    Returns:
        The cipher, which holds the key until it is dropped.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with room.view() as view:
        derive(slot, RECORD_KEY, view)
        cipher = AESGCM(view)
        view[:] = bytes(KEY_SIZE)
    return cipher


def seal_record(cipher: "AESGCM", head: bytes, record: bytes, context: bytes) -> bytes:
    """Seal one record.

    Args:
        cipher: From `cipher_of`.
        head: From `head_of`.
        record: The record.
        context: What else it is bound to: empty for a record, 32 bytes for a row.

    Returns:
        The record, sealed.
    """
    nonce = os.urandom(_NONCE)
    return head + nonce + cipher.encrypt(nonce, record, SEALED.encode() + head + context)


def head_of(vault: bytes, slot: int, generation: int) -> bytes:
    """Write what stands before the records of one person, 28 bytes."""
    return _HEAD.pack(MAGIC, vault, slot, generation)


def unseal_record(cipher: "AESGCM", sealed: Sealed, context: bytes, *, where: str) -> bytes:
    """Open one record.

    Args:
        cipher: From `cipher_of`.
        sealed: Taken apart.
        context: As it was sealed with.
        where: Name for error messages.

    Returns:
        The record.

    Raises:
        TamperedError: It does not authenticate.
    """
    from cryptography.exceptions import InvalidTag

    data, start = memoryview(sealed.data), _HEAD.size + _NONCE
    try:
        return cipher.decrypt(data[_HEAD.size : start], data[start:], SEALED.encode() + bytes(data[: _HEAD.size]) + context)
    except InvalidTag:
        raise TamperedError(f"{where}: does not authenticate; it was changed, cut or mixed up") from None


def refuse_large(record: bytes, *, where: str) -> None:
    """Refuse a record whose sealed line no reader would take."""
    if len(record) > MAX_PLAIN:
        raise LimitError(where, limit=MAX_PLAIN, seen=len(record))


@contextlib.contextmanager
def new_room() -> Iterator[Secret]:
    """Make locked memory for one derived key, for a block; afterwards no key of the block is left on the stack either."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with Secret(KEY_SIZE) as room:
        try:
            yield room
        finally:
            # OpenSSL expands a key on the stack and leaves it there; that of a key of zeros takes its place.
            AESGCM(bytes(KEY_SIZE)).encrypt(bytes(_NONCE), b"", None)
