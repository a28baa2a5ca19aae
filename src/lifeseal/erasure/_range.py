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
_AT_ONCE = 64
_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


class RangeReader:
    """One opened container: its plaintext size, and reads from any offset.

    Opening checks the key commitment and authenticates the last chunk, and with it the length. Each read authenticates the chunks it
    touches; where one fails, the buffer's part is zeroed and the call raises.

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
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._disk = disk
        self._where = where
        self._last, rest = divmod(disk.size - HEADER, _STRIDE)
        if disk.size < HEADER or rest < _TAG:
            raise TamperedError(f"{where}: cut short")
        self.size = self._last * CHUNK + rest - _TAG
        header = bytes(self._fetch(0, HEADER))
        with Secret(_KEY + _NONCE + _COMMITMENT) as derived, derived.view() as view:
            _expand(key, header[:_SALT] + context, view)
            if not hmac.compare_digest(view[_KEY + _NONCE :], header[_SALT:]):
                raise TamperedError(f"{where}: does not belong to this key and place; it was changed or mixed up")
            self._base = int.from_bytes(view[_KEY : _KEY + _NONCE], "big")
            with view[:_KEY] as used:
                cipher = AESGCM(used)
        self._cipher: AESGCM | None = cipher
        with memoryview(bytearray(CHUNK)) as scratch:
            self._decrypt(cipher, self._last, memoryview(self._fetch(HEADER + self._last * _STRIDE, rest)), scratch[: rest - _TAG])

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` with plaintext from offset ``start``.

        Args:
            buffer: Any writable, contiguous buffer.
            start: Offset in the plaintext, bytes.

        Returns:
            Bytes read; 0 at the end.

        Raises:
            StateError: The reader is closed.
            TamperedError: A chunk does not authenticate; nothing of it is left in the buffer.
            OSError: The container cannot be read.
        """
        cipher = self._cipher
        if cipher is None:
            raise StateError(f"{self._where}: this reader is closed")
        with buffer.cast("B") as whole:
            wanted = min(len(whole), max(0, self.size - start))
            done = 0
            while done < wanted:
                done += self._some(cipher, whole[done:wanted], start + done)
        return wanted

    def _some(self, cipher: "AESGCM", out: memoryview, start: int) -> int:
        first, skip = divmod(start, CHUNK)
        count = min(_AT_ONCE, -(-(skip + len(out)) // CHUNK))
        offset = HEADER + first * _STRIDE
        end = min(self._disk.size, offset + count * _STRIDE)
        sealed = memoryview(self._fetch(offset, end - offset))
        done = 0
        for number in range(count):
            piece = sealed[number * _STRIDE : (number + 1) * _STRIDE]
            length = len(piece) - _TAG
            if skip == 0 and length <= len(out) - done:
                self._decrypt(cipher, first + number, piece, out[done : done + length])
                done += length
            else:
                scratch = memoryview(bytearray(length))
                self._decrypt(cipher, first + number, piece, scratch)
                part = scratch[skip : skip + len(out) - done]
                out[done : done + len(part)] = part
                done += len(part)
                skip = 0
        return done

    def _decrypt(self, cipher: "AESGCM", number: int, sealed: memoryview, out: memoryview) -> None:
        from cryptography.exceptions import InvalidTag

        try:
            cipher.decrypt_into((self._base ^ number).to_bytes(_NONCE, "big"), sealed, None, out)
        except InvalidTag:
            out[:] = bytes(len(out))
            raise TamperedError(f"{self._where}, byte {number * CHUNK}: does not authenticate; it was changed, cut or mixed up") from None

    def _fetch(self, offset: int, size: int) -> bytearray:
        data = bytearray(size)
        done = 0
        with memoryview(data) as view:
            while done < size:
                count = self._disk.readinto(view[done:], offset + done)
                if count == 0:
                    raise TamperedError(f"{self._where}: cut short while it was read")
                done += count
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._cipher = None
        self._disk.__exit__(*error)


def _expand(key: Secret, info: bytes, out: memoryview) -> None:
    from cryptography.hazmat.primitives.hashes import SHA512
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    with key.view() as used:
        HKDFExpand(SHA512(), len(out), _LABEL + info).derive_into(used, out)
