# SPDX-License-Identifier: Apache-2.0
"""Signing and trusting bare elliptic-curve keys."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TypeAlias, get_args

import attrs

from lifeseal._io import StrPath, read_bounded, write_pair
from lifeseal.attestation._bundle import Bundle, CertificateMaterial, Envelope, KeyMaterial, pae_head
from lifeseal.attestation._policy import Purpose, SignerInfo, first_accepted
from lifeseal.attestation._timestamps import attested_times, check_authorities, read_authorities
from lifeseal.errors import CredentialError, FormatError, PolicyError, SignatureError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from lifeseal.attestation._withdrawals import Withdrawals

KeyAlgorithm: TypeAlias = Literal["p256", "p384", "p521"]
KEY_ALGORITHMS: tuple[KeyAlgorithm, ...] = get_args(KeyAlgorithm)
_CURVES = {"p256": "secp256r1", "p384": "secp384r1", "p521": "secp521r1"}
_MAX_KEY_FILE = 64 << 10


@implements(evidences=("5.2",), limits="The private key lies in a file; whoever can read the file, and knows its passphrase if it has one, can sign.")
def generate_key(path: StrPath, *, algorithm: KeyAlgorithm = "p256", passphrase: bytes | None = None, overwrite: bool = False) -> "TrustedKey":
    """Make a signing key: ``PATH.key`` (PKCS#8 PEM, readable by its owner alone) and ``PATH.pub``.

    Args:
        path: Where, without the endings; the folder must exist.
        algorithm: ``p256``, ``p384`` or ``p521``.
        passphrase: Encrypts the private key.
        overwrite: True replaces keys of that name; the old private key is then gone.

    Returns:
        The public key.

    Raises:
        FileExistsError: A key of that name is there and ``overwrite`` is false.
        OSError: The disk refused.
        ValueError: An unknown algorithm or an empty passphrase.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if algorithm not in KEY_ALGORITHMS:
        raise ValueError(f"algorithm must be one of {', '.join(KEY_ALGORITHMS)}, not {algorithm!r}")
    if passphrase == b"":
        raise ValueError("an empty passphrase protects nothing; give one, or None")
    curves: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    private = ec.generate_private_key(curves[algorithm])
    protection = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    trusted = TrustedKey(private.public_key())
    write_pair(path, pem, trusted.pem, overwrite=overwrite)
    note(key=trusted.fingerprint)
    return trusted


class KeySigner:
    """Signs with a private key.

    Args:
        private: An EC key on P-256, P-384 or P-521.
    """

    def __init__(self, private: "ec.EllipticCurvePrivateKey") -> None:
        self._private = private
        self.public = TrustedKey(private.public_key())

    @classmethod
    @implements(
        evidences=("5.2",), limits="The key stays in this process's memory until the signer is gone; who may read the file is the caller's care."
    )
    def from_file(cls, path: StrPath, *, passphrase: bytes | None = None) -> Self:
        """Read a private key, PKCS#8 or SEC1 PEM, encrypted or not.

        Args:
            path: The file.
            passphrase: For an encrypted key.

        Returns:
            The signer.

        Raises:
            CredentialError: The key is encrypted and the passphrase is missing or wrong.
            FormatError: It is not such a key.
            LimitError: The file is larger than 64 KiB.
            OSError: It cannot be read.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        where = os.fspath(path)
        data = read_bounded(path, limit=_MAX_KEY_FILE, what="a private key")
        if data.count(b"-----BEGIN ") - data.count(b"-----BEGIN EC PARAMETERS-----") > 1:
            raise FormatError(where, "one private key was expected, not several PEM blocks")
        encrypted = b"ENCRYPTED" in data
        if encrypted and passphrase is None:
            raise CredentialError(f"{where}: the key is encrypted; give its passphrase")
        if not encrypted and passphrase is not None:
            raise CredentialError(f"{where}: a passphrase was given, but the key is not encrypted")
        try:
            private = load_pem_private_key(data, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            if encrypted:
                raise CredentialError(f"{where}: the passphrase does not open the key, or the key is damaged") from None
            raise FormatError(where, "a private key in PEM form was expected (PKCS#8 or SEC1)") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise FormatError(where, "an EC key on P-256, P-384 or P-521 was expected")
        checked_curve(private.public_key(), where=where)
        signer = cls(private)
        note(key=signer.public.fingerprint)
        return signer

    def sign(self, payload_type: str, payload: bytes) -> Bundle:
        """Sign a payload.

        Args:
            payload_type: Media type, ASCII.
            payload: The exact bytes.

        Returns:
            The bundle.
        """
        digest, how = _prehashed(self._private.curve, payload_type, payload)
        signature = self._private.sign(digest, how)
        note(signer=self.public.fingerprint)
        return Bundle(
            material=KeyMaterial(hint=self.public.fingerprint),
            envelope=Envelope(payload_type=payload_type, payload=payload, signature=signature),
        )

    def __repr__(self) -> str:
        return f"<KeySigner {self.public.fingerprint[:12]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a private key and is not pickled or copied")


@attrs.frozen(init=False, repr=False)
class TrustedKey:
    """A policy: whoever holds the private part of this key is trusted, for the kind of document asked for.

    A bare key has no end, so a timestamp decides nothing here; a trusted one tells when the signature was there, for rules that ask.

    Args:
        public: An EC key on P-256, P-384 or P-521.
        tsa: DER of the timestamp authorities trusted: their roots, and certificates below them that they do not send.

    Attributes:
        pem: The key as SubjectPublicKeyInfo PEM.
        fingerprint: Hexadecimal SHA-256 of ``pem``: what OMS bundles carry as hint, and what ``sha256sum NAME.pub`` prints.
        der_fingerprint: Hexadecimal SHA-256 of its DER form, which some other tools write as hint.
        tsa: The timestamp authorities trusted; two policies of one key are equal whatever authorities they trust.
    """

    pem: bytes
    fingerprint: str
    der_fingerprint: str
    tsa: tuple[bytes, ...] = attrs.field(eq=False)

    def __init__(self, public: "ec.EllipticCurvePublicKey", *, tsa: tuple[bytes, ...] = ()) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        check_authorities(tsa)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.__attrs_init__(pem, hashlib.sha256(pem).hexdigest(), hashlib.sha256(der).hexdigest(), tsa)

    @classmethod
    @implements(evidences=("5.2",), limits="Whose key it is cannot be seen from it: get it over a way that you trust.")
    def from_file(cls, path: StrPath, *, tsa: Iterable[StrPath] = ()) -> Self:
        """Read a public key in PEM form.

        Args:
            path: The file, as `generate_key` writes ``NAME.pub``.
            tsa: Files of the timestamp authorities trusted, PEM; see the class.

        Returns:
            The policy.

        Raises:
            FormatError: It is not a PEM public key on P-256, P-384 or P-521; a private key is refused too. Or a file of ``tsa``
                holds no certificate, or there is no root among them.
            LimitError: The file is larger than 64 KiB, or one of ``tsa`` than 256 KiB.
            OSError: One cannot be read.
        """
        public = _public_from_pem(read_bounded(path, limit=_MAX_KEY_FILE, what="a public key"), where=os.fspath(path))
        key = cls(public, tsa=read_authorities(tsa))
        note(key=key.fingerprint)
        return key

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        """Verify a signature under this key.

        Args:
            bundles: Signatures over one payload; one of them must be this key's.
            purpose: For the message; a bare key is trusted for the kind that the call asks for.
            withdrawals: Signers whose signatures do not count.

        Returns:
            The signer.

        Raises:
            PolicyError: The bundle says it was signed with something else.
            SignatureError: The signature does not verify.
            WithdrawnError: The signer was withdrawn.
        """
        return first_accepted(bundles, lambda bundle: self._check(bundle, purpose), withdrawals=withdrawals)

    def _check(self, bundle: Bundle, purpose: Purpose) -> SignerInfo:
        material = bundle.material
        if not isinstance(material, KeyMaterial):
            found = "a certificate chain" if isinstance(material, CertificateMaterial) else "a Sigstore identity"
            raise PolicyError(f"this {purpose.label} was signed with {found}, and the policy trusts a bare key")
        self._refuse_other_key(material, purpose)
        if not verifies(_public_from_pem(self.pem, where="trusted key"), bundle.envelope):
            raise SignatureError(
                f"the signature of this {purpose.label} does not verify under key {self.fingerprint[:12]}: "
                "it was changed after signing, or signed by someone else"
            )
        name = f"key {self.fingerprint[:12]}"
        times, notes = attested_times(bundle, self.tsa)
        time = times[0].latest if times else None
        return SignerInfo(kind="key", fingerprint=self.fingerprint, key=self.fingerprint, name=name, time=time, clause=name, notes=notes)

    def _refuse_other_key(self, material: KeyMaterial, purpose: Purpose) -> None:
        if material.hint in {self.fingerprint, self.der_fingerprint} if material.hint else material.key == self.pem:
            return
        raise PolicyError(
            f"this {purpose.label} names signing key {material.named[:12]!r}, and the policy trusts {self.fingerprint[:12]!r}: another signer's"
        )

    def __repr__(self) -> str:
        return f"<TrustedKey {self.fingerprint[:12]}>"


def _public_from_pem(data: bytes, *, where: str) -> "ec.EllipticCurvePublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if data.count(b"-----BEGIN ") > 1:
        raise FormatError(where, "one public key was expected, not several PEM blocks")
    try:
        public = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise FormatError(where, "a public key in PEM form was expected ('-----BEGIN PUBLIC KEY-----')") from None
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise FormatError(where, "an EC key on P-256, P-384 or P-521 was expected")
    return checked_curve(public, where=where)


def checked_curve(public: "ec.EllipticCurvePublicKey", *, where: str) -> "ec.EllipticCurvePublicKey":
    if public.curve.name not in _CURVES.values():
        raise FormatError(where, f"an EC key on P-256, P-384 or P-521 was expected, not on {public.curve.name}")
    return public


def verifies(public: "ec.EllipticCurvePublicKey", envelope: Envelope) -> bool:
    """Tell whether a signature is this key's over this payload and its type."""
    from cryptography.exceptions import InvalidSignature

    digest, how = _prehashed(public.curve, envelope.payload_type, envelope.payload)
    try:
        public.verify(envelope.signature, digest, how)
    except InvalidSignature:
        return False
    return True


def _prehashed(curve: "ec.EllipticCurve", payload_type: str, payload: bytes) -> tuple[bytes, "ec.ECDSA"]:
    """Hash what is signed, without a copy of it; the hash goes by the curve's size, as OMS bundles have it: the specification does not say."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    by_curve: dict[str, hashes.HashAlgorithm] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
    algorithm = by_curve[curve.name]
    hasher = hashes.Hash(algorithm)
    hasher.update(pae_head(payload_type, payload))
    hasher.update(payload)
    return hasher.finalize(), ec.ECDSA(utils.Prehashed(algorithm))
