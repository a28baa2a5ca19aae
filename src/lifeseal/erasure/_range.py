# SPDX-License-Identifier: Apache-2.0
"""Random access to a Cobblestone-256 container; every byte handed out is authenticated first.

Source: C2SP chunked-encryption, c2sp.org/chunked-encryption.
"""

import hmac
from typing import TYPE_CHECKING, Self

from lifeseal._io import Reader, Secret
from lifeseal.errors import StateError, TamperedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 16384
HEADER = 56
_SALT = 24
_TAG = 16
_STRIDE = CHUNK + _TAG
_KEY = 32
_NONCE = 12
_COMMITMENT = 32
_AT_ONCE = 16
_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


class RangeReader:
    """One opened container: its plaintext size, and reads from any offset.

    Opening checks the key commitment and authenticates the last chunk, and with it the length. Each read authenticates the chunks it
    touches; where one fails, the call raises and what it had put into the buffer is zeroed. Ciphertext is copied before it is looked at, so
    changing the file meanwhile changes nothing that was checked.

    Args:
        disk: The container; owned from here on.
        key: The file's key, 32 bytes; not kept.
        context: What the container is bound to.
        where: Name for error messages.

    Raises:
        TamperedError: It is not the container written under this key and context, or was cut or extended.
        OSError: It cannot be read.
    """

    def __init__(self, disk: Reader, key: Secret, context: bytes, *, where: str) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._disk = disk
        self._where = where
        self._wrong = InvalidTag
        self._spare: list[_Room] = []
        self._last, rest = divmod(disk.size - HEADER, _STRIDE)
        if disk.size < HEADER or rest < _TAG:
            raise TamperedError(f"{where}: cut short")
        self.size = self._last * CHUNK + rest - _TAG
        with memoryview(bytearray(_STRIDE)) as buffer, buffer[:HEADER] as header:
            self._fetch(header, 0)
            with Secret(_KEY + _NONCE + _COMMITMENT) as derived, derived.view() as view:
                _expand(key, bytes(header[:_SALT]) + context, view)
                if not hmac.compare_digest(view[_KEY + _NONCE :], header[_SALT:]):
                    raise TamperedError(f"{where}: does not belong to this key and place; it was changed or mixed up")
                self._base = int.from_bytes(view[_KEY : _KEY + _NONCE], "big")
                with view[:_KEY] as used:
                    self._cipher: AESGCM | None = AESGCM(used)
            with memoryview(bytearray(CHUNK)) as scratch, scratch[: rest - _TAG] as out:
                self._chunk(self._cipher, self._last, out)

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` with plaintext from offset ``start``.

        Args:
            buffer: Any writable, contiguous buffer.
            start: Offset in the plaintext, bytes.

        Returns:
            Bytes read; 0 at the end.

        Raises:
            StateError: The reader is closed.
            TamperedError: A chunk does not authenticate; nothing of this read is left in the buffer.
            OSError: The container cannot be read.
        """
        cipher = self._cipher
        if cipher is None:
            raise StateError(f"{self._where}: this reader is closed")
        with buffer.cast("B") as whole, whole[: max(0, self.size - start)] as out:
            length = len(out)
            try:
                if length <= CHUNK and start % CHUNK == 0 and length == min(CHUNK, self.size - start):
                    self._chunk(cipher, start // CHUNK, out)
                else:
                    self._some(cipher, out, start)
            except BaseException:
                out[:] = bytes(length)
                raise
            return length

    def _some(self, cipher: "AESGCM", out: memoryview, start: int) -> None:
        """Decrypt a range: whole chunks straight into their place, the ends through a scratch chunk."""
        number, skip = divmod(start, CHUNK)
        done = 0
        while done < len(out):
            left, count = len(out) - done, 1
            length = min(CHUNK, self.size - number * CHUNK)
            if skip or left < length:
                scratch = memoryview(bytearray(length))
                self._chunk(cipher, number, scratch)
                piece = scratch[skip : skip + left]
                out[done : done + len(piece)] = piece
            elif left < 2 * CHUNK:
                piece = out[done : done + length]
                self._chunk(cipher, number, piece)
            else:
                count = min(_AT_ONCE, left // CHUNK)
                piece = out[done : done + count * CHUNK]
                self._chunks(cipher, number, piece)
            done += len(piece)
            number += count
            skip = 0

    def _chunks(self, cipher: "AESGCM", number: int, out: memoryview) -> None:
        """Decrypt whole chunks from ``number`` on, as many as ``out`` takes."""
        decrypt, base = cipher.decrypt_into, self._base
        try:
            room = self._spare.pop()
        except IndexError:
            room = _Room()  # one for each thread that reads at the same time
        self._fetch(room.whole[: len(out) // CHUNK * _STRIDE], HEADER + number * _STRIDE)
        try:
            for at, sealed in zip(range(0, len(out), CHUNK), room.chunks, strict=False):
                decrypt((base ^ number).to_bytes(_NONCE, "big"), sealed, None, out[at : at + CHUNK])
                number += 1
        except self._wrong:
            raise self._tampered(number) from None
        self._spare.append(room)

    def _chunk(self, cipher: "AESGCM", number: int, out: memoryview) -> None:
        """Decrypt one chunk, which is what a random read comes to."""
        sealed = memoryview(bytearray(len(out) + _TAG))
        offset = HEADER + number * _STRIDE
        if self._disk.readinto(sealed, offset) != len(sealed):
            self._fetch(sealed, offset)
        try:
            cipher.decrypt_into((self._base ^ number).to_bytes(_NONCE, "big"), sealed, None, out)
        except self._wrong:
            raise self._tampered(number) from None

    def _tampered(self, number: int) -> TamperedError:
        return TamperedError(f"{self._where}, byte {number * CHUNK}: does not authenticate; it was changed, cut or mixed up")

    def _fetch(self, out: memoryview, offset: int) -> None:
        done = 0
        while done < len(out):
            count = self._disk.readinto(out[done:], offset + done)
            if count == 0:
                raise TamperedError(f"{self._where}: cut short while it was read")
            done += count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._cipher = None
        self._spare.clear()
        self._disk.__exit__(*error)


class _Room:
    """Where ciphertext is copied to: several chunks in one read."""

    def __init__(self) -> None:
        self.whole = memoryview(bytearray(_AT_ONCE * _STRIDE))
        self.chunks = [self.whole[place : place + _STRIDE] for place in range(0, _AT_ONCE * _STRIDE, _STRIDE)]


def _expand(key: Secret, info: bytes, out: memoryview) -> None:
    from cryptography.hazmat.primitives.hashes import SHA512
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    with key.view() as used:
        HKDFExpand(SHA512(), len(out), _LABEL + info).derive_into(used, out)
