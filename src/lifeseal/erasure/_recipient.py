# SPDX-License-Identifier: Apache-2.0
"""To whom a data key can be given: HPKE key pairs, X25519 alone or joined with ML-KEM-768."""

import hashlib
import os
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeAlias, get_args

from lifeseal._io import Secret, StrPath, read_bounded, write_pair
from lifeseal.errors import CredentialError, FormatError, TamperedError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hpke import Suite

RecipientAlgorithm: TypeAlias = Literal["mlkem768-x25519", "x25519"]
RECIPIENT_ALGORITHMS: tuple[RecipientAlgorithm, ...] = get_args(RecipientAlgorithm)
_MAX_FILE = 64 << 10
_BEGIN = b"-----BEGIN "
_FORM = "an X25519 key in PEM form was expected, or an ML-KEM-768 key followed by an X25519 key"


class Recipient:
    """The public key of somebody to whom a data key may be given. Use `from_file`.

    Attributes:
        algorithm: ``mlkem768-x25519`` or ``x25519``.
        fingerprint: Hexadecimal SHA-256 of its PEM form.
        pem: One block of PEM for each of its keys.
    """

    def __init__(self, keys: tuple[Any, ...]) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._keys = keys
        self.algorithm: RecipientAlgorithm = "x25519" if len(keys) == 1 else "mlkem768-x25519"
        self.pem = b"".join(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys)
        self.fingerprint = hashlib.sha256(self.pem).hexdigest()

    @classmethod
    @implements(evidences=["13.1"], limits="Whose key it is, the file does not say: compare the fingerprint with its owner.")
    def from_file(cls, path: StrPath) -> Self:
        """Read a public key.

        Args:
            path: The file, as `generate_recipient_key` writes ``NAME.pub``.

        Returns:
            The recipient.

        Raises:
            FormatError: It is no such key; a private key is refused too.
            LimitError: The file is larger than 64 KiB.
            OSError: It cannot be read.
        """
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        recipient = cls(_keys(path, load_pem_public_key, private=False))
        note(recipient=recipient.fingerprint)
        return recipient

    def seal(self, key: memoryview, info: bytes) -> bytes:
        """Encrypt a data key for this recipient alone.

        Args:
            key: The key.
            info: What it is bound to.

        Returns:
            Encapsulated key and ciphertext.

        Raises:
            FormatError: The public key is one that nobody can receive with.

        Source: RFC 9180, sections 5.1.1 and 6.1 (mode base, single shot); draft-ietf-hpke-pq for ML-KEM-768 with X25519.
        """
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

        public = self._keys[0] if self.algorithm == "x25519" else MLKEM768X25519PublicKey(*self._keys)
        try:
            return _suite(self.algorithm).encrypt(key, public, info=info)
        except ValueError:
            raise FormatError(f"recipient {self.fingerprint[:12]}", "a public key that a secret can be agreed with was expected") from None


class RecipientKey:
    """A private key to which a data key was given. Use `from_file`.

    It stays in this process's memory until the object is gone, and cannot be pickled or copied.

    Attributes:
        public: Its public half.
    """

    def __init__(self, keys: tuple[Any, ...]) -> None:
        self._keys = keys
        self.public = Recipient(tuple(key.public_key() for key in keys))

    @classmethod
    @implements(evidences=["13.1"], limits="The key stays in this process's memory until the object is gone; who may read the file is your care.")
    def from_file(cls, path: StrPath, *, passphrase: bytes | None = None) -> Self:
        """Read a private key.

        Args:
            path: The file, as `generate_recipient_key` writes ``NAME.key``.
            passphrase: For an encrypted key.

        Returns:
            The key.

        Raises:
            CredentialError: The key is encrypted and the passphrase is missing or wrong.
            FormatError: It is no such key.
            LimitError: The file is larger than 64 KiB.
            OSError: It cannot be read.
        """
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = cls(_keys(path, lambda block: load_pem_private_key(block, passphrase), private=True, passphrase=passphrase))
        note(recipient=key.public.fingerprint)
        return key

    def open(self, sealed: bytes, info: bytes, *, where: str) -> Secret:
        """Decrypt a data key.

        Args:
            sealed: From `Recipient.seal`.
            info: What it was bound to.
            where: Name for error messages.

        Returns:
            The key, in memory of its own; close it after use.

        Raises:
            TamperedError: It was sealed for another key or bound to something else, or was changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

        private = self._keys[0] if self.public.algorithm == "x25519" else MLKEM768X25519PrivateKey(*self._keys)
        try:
            return Secret.copy_of(_suite(self.public.algorithm).decrypt(sealed, private, info=info))
        except (InvalidTag, ValueError):
            raise TamperedError(f"{where}: the key in it does not open with this private key; it was changed, or made for another place") from None

    def __repr__(self) -> str:
        return f"<RecipientKey {self.public.fingerprint[:12]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")

    __copy__ = __reduce__

    def __deepcopy__(self, _: object) -> NoReturn:
        self.__reduce__()


@implements(evidences=["13.1"], limits="The private key lies in a file; whoever can read it, and knows its passphrase if it has one, can receive.")
def generate_recipient_key(
    path: StrPath, *, algorithm: RecipientAlgorithm = "mlkem768-x25519", passphrase: bytes | None = None, overwrite: bool = False
) -> Recipient:
    """Make a key pair for receiving data keys: ``PATH.key`` (PKCS#8 PEM, readable by its owner alone) and ``PATH.pub``.

    Args:
        path: Where, without the endings; the folder must exist.
        algorithm: ``mlkem768-x25519`` holds as long as one of the two does, against a quantum computer too; ``x25519`` is smaller.
        passphrase: Encrypts the private key.
        overwrite: True replaces keys of that name; what was given to the old one can then no longer be opened.

    Returns:
        The public key.

    Raises:
        FileExistsError: A key of that name is there and ``overwrite`` is false.
        OSError: The disk refused.
        ValueError: An unknown algorithm or an empty passphrase.
    """
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

    if algorithm not in RECIPIENT_ALGORITHMS:
        raise ValueError(f"algorithm must be one of {', '.join(RECIPIENT_ALGORITHMS)}, not {algorithm!r}")
    if passphrase == b"":
        raise ValueError("an empty passphrase protects nothing; give one, or None")
    keys = (X25519PrivateKey.generate(),) if algorithm == "x25519" else (MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())
    protection = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    public = RecipientKey(keys).public
    write_pair(path, b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection) for key in keys), public.pem, overwrite=overwrite)
    note(recipient=public.fingerprint)
    return public


def _keys(path: StrPath, load: Any, *, private: bool, passphrase: bytes | None = None) -> tuple[Any, ...]:  # noqa: ANN401 - of cryptography
    """Read one key or two, each in its own block of PEM."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

    where = os.fspath(path)
    data = read_bounded(path, limit=_MAX_FILE, what="a private key" if private else "a public key")
    blocks = [_BEGIN + part for part in data.split(_BEGIN)[1:]]
    encrypted = b"ENCRYPTED" in data
    if encrypted and passphrase is None and private:
        raise CredentialError(f"{where}: the key is encrypted; give its passphrase")
    if passphrase is not None and not encrypted:
        raise CredentialError(f"{where}: a passphrase was given, but the key is not encrypted")
    try:
        keys = tuple(load(block) for block in blocks)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted and private:
            raise CredentialError(f"{where}: the passphrase does not open the key, or the key is damaged") from None
        raise FormatError(where, _FORM) from None
    wanted = (mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey) if private else (mlkem.MLKEM768PublicKey, x25519.X25519PublicKey)
    if len(keys) not in {1, 2} or not all(isinstance(key, kind) for key, kind in zip(keys, wanted[-len(keys) :], strict=True)):
        raise FormatError(where, _FORM)
    return keys


def _suite(algorithm: RecipientAlgorithm) -> "Suite":
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519 if algorithm == "x25519" else KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
