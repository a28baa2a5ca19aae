# SPDX-License-Identifier: Apache-2.0
"""Signing with a certificate, and trusting certificates under roots that the caller names."""

import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn, Self

import attrs

from lifeseal._io import StrPath
from lifeseal.attestation._bundle import MAX_DERS, Bundle, CertificateMaterial, KeyMaterial
from lifeseal.attestation._keys import KeySigner, TrustedKey, checked_curve, verifies
from lifeseal.attestation._paths import common_name, find_path, load_der, read_certificates, signed_part_of
from lifeseal.attestation._policy import Purpose, SignerInfo, first_accepted
from lifeseal.attestation._timestamps import Attested, attested_times, check_authorities, read_authorities
from lifeseal.errors import CredentialError, FormatError, LimitError, PolicyError, SignatureError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from lifeseal.attestation._withdrawals import Withdrawals

_NO_REVOCATION = "revocation was not consulted: neither CRL nor OCSP"


class CertificateSigner:
    """Signs with a private key, and puts the certificates that vouch for it into the bundle.

    Args:
        key: Signs.
        certificates: DER, the key's own first, then those between it and a root.
    """

    def __init__(self, key: KeySigner, certificates: tuple[bytes, ...]) -> None:
        leaf = load_der(certificates[0], where="certificate")
        if TrustedKey(_public_key(leaf, where="certificate")) != key.public:
            raise CredentialError("the first certificate is of another key than the private one given")
        self._key = key
        self._certificates = certificates
        self.fingerprint = hashlib.sha256(certificates[0]).hexdigest()
        self.name = common_name(leaf)

    @classmethod
    @implements(evidences=("5.2",), limits="It does not ask whether anybody trusts the certificate, or whether it is still valid.")
    def from_files(cls, key: StrPath, cert: StrPath, chain: Iterable[StrPath] = (), *, passphrase: bytes | None = None) -> Self:
        """Read a private key and its certificates, PEM.

        Args:
            key: PKCS#8 or SEC1; see `KeySigner.from_file`.
            cert: The key's certificate; others may follow in the same file.
            chain: Files of certificates between it and a root.
            passphrase: For an encrypted key.

        Returns:
            The signer.

        Raises:
            CredentialError: The certificate is of another key, or the passphrase is missing or wrong.
            FormatError: A file holds no such key or no certificate.
            LimitError: A file is larger than 256 KiB.
            OSError: One cannot be read.
        """
        return cls.for_key(KeySigner.from_file(key, passphrase=passphrase), cert, chain)

    @classmethod
    @implements(evidences=("5.2",), limits="It does not ask whether anybody trusts the certificate, or whether it is still valid.")
    def for_key(cls, key: KeySigner, cert: StrPath, chain: Iterable[StrPath] = ()) -> Self:
        """Put certificates to a key that is open already; see `from_files`.

        Args:
            key: Signs.
            cert: The key's certificate; others may follow in the same file.
            chain: Files of certificates between it and a root.

        Returns:
            The signer.

        Raises:
            CredentialError: The certificate is of another key.
            FormatError: A file holds no certificate.
            LimitError: A file is larger than 256 KiB, or there are more than 16 certificates.
            OSError: One cannot be read.
        """
        found = tuple(dict.fromkeys(der for path in (cert, *chain) for der in read_certificates(path)))
        if len(found) > MAX_DERS:
            raise LimitError(os.fspath(cert), limit=MAX_DERS, seen=len(found), unit="certificates")
        return cls(key, found)

    def sign(self, payload_type: str, payload: bytes) -> Bundle:
        """Sign a payload.

        Args:
            payload_type: Media type, ASCII.
            payload: The exact bytes.

        Returns:
            The bundle.
        """
        signed = self._key.sign(payload_type, payload)
        note(signer=self.fingerprint)
        return attrs.evolve(signed, material=CertificateMaterial(kind="x509CertificateChain", certificates=self._certificates))

    def __repr__(self) -> str:
        return f"<CertificateSigner {self.name!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a private key and is not pickled or copied")


@attrs.frozen(repr=False)
class TrustedCertificates:
    """A policy: whoever holds the key of a certificate under one of these roots is trusted, for the kind of document asked for.

    The certificate must be valid at the time judged by: ``at``, or else now, or else when a trusted timestamp authority saw the signature. Its
    usages must allow to sign code. Nothing is fetched, no root is trusted that is not given, and neither CRL nor OCSP is consulted; the
    verdict says so.

    Attributes:
        roots: DER; at least one.
        san: The name that the certificate must carry: a DNS name, an e-mail address or a URI; None accepts any certificate under the roots.
        at: The time to judge by, with a time zone; None is now.
        tsa: DER of the timestamp authorities trusted: their roots, and certificates below them that they do not send.
    """

    roots: tuple[bytes, ...]
    san: str | None = attrs.field(default=None, kw_only=True)
    at: dt.datetime | None = attrs.field(default=None, kw_only=True)
    tsa: tuple[bytes, ...] = attrs.field(default=(), kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_authorities(self.tsa)
        if not self.roots:
            raise ValueError("at least one root certificate is needed; none is trusted by default")
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError("at= needs a time zone")

    @classmethod
    @implements(evidences=("5.2",), limits="Whose root it is cannot be seen from it: get it over a way that you trust.")
    def from_files(cls, roots: Iterable[StrPath], *, san: str | None = None, at: dt.datetime | None = None, tsa: Iterable[StrPath] = ()) -> Self:
        """Read roots in PEM form.

        Args:
            roots: Files, each of one certificate or several.
            san: The name that the signer's certificate must carry; see the class.
            at: The time to judge by, with a time zone; by default now.
            tsa: Files of the timestamp authorities trusted; see the class.

        Returns:
            The policy.

        Raises:
            FormatError: A file holds no certificate, or there is no root among those of the timestamp authorities.
            LimitError: A file is larger than 256 KiB.
            OSError: One cannot be read.
            ValueError: There is no root, or ``at`` has no time zone.
        """
        found = tuple(dict.fromkeys(der for path in roots for der in read_certificates(path)))
        return cls(found, san=san, at=at, tsa=read_authorities(tsa))

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        """Verify a signature under a certificate that leads to one of the roots.

        Args:
            bundles: Signatures over one payload; one of them must be of such a certificate.
            purpose: For the message; the roots are trusted for the kind that the call asks for.
            withdrawals: Signers whose signatures do not count.

        Returns:
            The signer.

        Raises:
            FormatError: A certificate cannot be read.
            PolicyError: It was signed otherwise, or the certificate is not trusted, not valid then, or not for signing.
            SignatureError: The signature does not verify.
            WithdrawnError: The signer was withdrawn.
        """
        return first_accepted(bundles, lambda bundle: self._check(bundle, purpose), withdrawals=withdrawals)

    def _check(self, bundle: Bundle, purpose: Purpose) -> SignerInfo:
        material = bundle.material
        if not isinstance(material, CertificateMaterial):
            found = "a bare key" if isinstance(material, KeyMaterial) else "a Sigstore identity"
            raise PolicyError(f"this {purpose.label} was signed with {found}, and the policy trusts certificate chains")
        chain = [load_der(der, where=f"certificate {index}") for index, der in enumerate(material.certificates)]
        public = _public_key(chain[0], where="certificate 0")
        if not verifies(public, bundle.envelope):
            raise SignatureError(f"the signature of this {purpose.label} does not verify under its certificate: changed after signing")
        times, notes = attested_times(bundle, self.tsa)
        path, seen = self._path(chain, times, notes)
        fingerprint = hashlib.sha256(material.certificates[0]).hexdigest()
        clause = f"certificate under {common_name(path[-1])!r}" + (f", named {self.san!r}" if self.san else "")
        clause += f", valid when it was timestamped, {seen.latest.isoformat()}" if seen else ""
        return SignerInfo(
            kind="certificate",
            fingerprint=fingerprint,
            key=TrustedKey(public).fingerprint,
            name=common_name(chain[0]),
            time=times[0].latest if times else None,
            clause=clause,
            notes=(_NO_REVOCATION, *notes),
            certificates=tuple(signed_part_of(certificate) for certificate in path),
        )

    def _path(
        self, chain: Sequence["x509.Certificate"], times: Sequence[Attested], notes: Sequence[str]
    ) -> tuple[tuple["x509.Certificate", ...], Attested | None]:
        """Find a path that is valid now, at the time given, or else when the signature was timestamped."""
        roots = [load_der(der, where="root") for der in self.roots]
        try:
            return find_path(chain[0], chain[1:], roots, now=self.at or dt.datetime.now(dt.UTC), san=self.san), None
        except PolicyError as error:
            reasons = [str(error)]
        for seen in times if self.at is None else ():
            try:
                find_path(chain[0], chain[1:], roots, now=seen.earliest, san=self.san)
                return find_path(chain[0], chain[1:], roots, now=seen.latest, san=self.san), seen
            except PolicyError as error:
                reasons.append(str(error))
        raise PolicyError("; ".join([*reasons, *notes]))

    def __repr__(self) -> str:
        return f"<TrustedCertificates {len(self.roots)} root(s)>"


def _public_key(leaf: "x509.Certificate", *, where: str) -> "ec.EllipticCurvePublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        public = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise FormatError(where, "a certificate of an EC key on P-256, P-384 or P-521 was expected")
    return checked_curve(public, where=where)
