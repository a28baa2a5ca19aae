# SPDX-License-Identifier: Apache-2.0
"""Sealed containers: one file each, C2SP Cobblestone-256, a key and a context of its own."""

import itertools
from collections.abc import Callable
from pathlib import Path

import attrs

from lifeseal._io import Behind, DiskSource, Reader, Secret, Together, new_hasher, read_through, replacing
from lifeseal.erasure._layout import FORMAT, KEY_SIZE, container_context, object_name
from lifeseal.erasure._range import CHUNK, HEADER, RangeReader
from lifeseal.errors import StoreError, TamperedError

_PIECE = 1 << 20
_SEALED_MORE = HEADER + CHUNK + (_PIECE // CHUNK + 2) * 16


@attrs.frozen(kw_only=True)
class Place:
    """Whose containers they are, and where they lie.

    Attributes:
        folder: The vault folder.
        vault: Vault id, 16 bytes.
        slot: Slot number.
        generation: Which sealing of the slot.
        name: Of the asset, for messages.
    """

    folder: Path
    vault: bytes
    slot: int
    generation: int
    name: str

    def context(self, file_id: bytes, role: bytes) -> bytes:
        """Return what a container here is bound to."""
        return container_context(self.vault, self.slot, self.generation, file_id, role)


@attrs.frozen(kw_only=True)
class Written:
    """A container that was written, and what was read meanwhile.

    Attributes:
        file_id: Its id.
        role: ``data`` or ``indx``.
        size: Plaintext bytes.
        digest: BLAKE3 of the plaintext.
        where: Name of the plaintext for messages.
    """

    file_id: bytes
    role: bytes
    size: int
    digest: bytes
    where: str


def file_key(asset: Secret, file_id: bytes) -> Secret:
    """Derive one file's key.

    Args:
        asset: The asset's data key.
        file_id: 16 bytes.

    Returns:
        32 bytes; close it after use.

    Source: RFC 5869 section 2.3 (expand only; the data key is uniform), SHA-256.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    derived = Secret(KEY_SIZE)
    with asset.view() as key, derived.view() as out:
        HKDFExpand(SHA256(), KEY_SIZE, FORMAT + b" file key" + file_id).derive_into(key, out)
    return derived


def write_container(
    place: Place, asset: Secret, file_id: bytes, role: bytes, reader: Reader, *, where: str, took: Callable[[int], None], together: Together
) -> Written:
    """Encrypt one file.

    Args:
        place: Whose it is.
        asset: The asset's data key.
        file_id: Its new id.
        role: ``data`` or ``indx``.
        reader: The plaintext, read once.
        where: Name of the plaintext for messages.
        took: Told the bytes of each step; raising stops.
        together: Where it waits for the disk.

    Returns:
        What was written; once ``together`` is settled it is durable, and can be read.

    Raises:
        FormatError: The file grew or shrank meanwhile.
        OSError: A file cannot be read or written.
    """
    from cryptography.cobblestone import Cobblestone256Encryptor

    hasher = new_hasher("blake3")
    with file_key(asset, file_id) as secret, secret.view() as key:
        encryptor = Cobblestone256Encryptor(key, place.context(file_id, role))
    piece_size = min(_PIECE, reader.size + 1)
    rooms = itertools.cycle([memoryview(bytearray(piece_size + _SEALED_MORE)) for _ in range(2)])
    with replacing(place.folder / object_name(file_id), mode=0o600, overwrite=False, together=together) as output, Behind() as behind:

        def take(piece: memoryview) -> None:
            hasher.update(piece)
            sealed = next(rooms)
            behind.do(output.write, sealed[: encryptor.update_into(piece, sealed)])
            took(len(piece))

        size = read_through(reader, where, memoryview(bytearray(piece_size)), take)
        behind.wait()
        output.write(encryptor.finalize())
    return Written(file_id=file_id, role=role, size=size, digest=hasher.digest(), where=where)


def compare_container(place: Place, asset: Secret, written: Written) -> None:
    """Read a container back and compare it with the plaintext that went in.

    Args:
        place: Whose it is.
        asset: The asset's data key, as its holder gives it back.
        written: What was written.

    Raises:
        TamperedError: It does not read back as it was written.
        OSError: It cannot be read.
    """
    again = new_hasher("blake3")
    with DiskSource(place.folder) as source, open_container(source, place, asset, written.file_id, written.role, where=written.where) as found:
        read_through(found, written.where, memoryview(bytearray(_PIECE)), again.update)
    if again.digest() != written.digest:
        raise TamperedError(f"{written.where}: its container reads back differently; the disk or the memory is faulty")


def open_container(source: DiskSource, place: Place, asset: Secret, file_id: bytes, role: bytes, *, where: str) -> RangeReader:
    """Open one container.

    Args:
        source: The vault folder.
        place: Whose it is.
        asset: The asset's data key.
        file_id: Its id.
        role: ``data`` or ``indx``.
        where: Name of the plaintext for messages.

    Returns:
        The reader.

    Raises:
        StoreError: It is not there.
        TamperedError: It is not the container written for this place.
        OSError: It cannot be read.
    """
    try:
        disk = source.open(object_name(file_id))
    except FileNotFoundError:
        raise StoreError(f"{where}: its container {object_name(file_id)} is not there") from None
    try:
        with file_key(asset, file_id) as key:
            return RangeReader(disk, key, place.context(file_id, role), where=where)
    except BaseException:
        disk.__exit__()
        raise
