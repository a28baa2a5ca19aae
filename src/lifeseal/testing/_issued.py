# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests: roots, authorities below them and whoever they certify, each as wrong as asked."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, TypeAlias

import attrs

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

Digest: TypeAlias = "hashes.SHA256 | hashes.SHA384 | hashes.SHA512"
Extensions: TypeAlias = "Sequence[tuple[x509.ExtensionType, bool]]"
OLD = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
FAR = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


@attrs.frozen(kw_only=True)
class Issued:
    """A certificate and its private key.

    Attributes:
        certificate: The certificate.
        key: Its key.
    """

    certificate: "x509.Certificate"
    key: "ec.EllipticCurvePrivateKey" = attrs.field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.certificate.public_bytes(Encoding.DER)

    @classmethod
    def root(
        cls,
        name: str,
        *,
        extensions: "Extensions | None" = None,
        start: dt.datetime = OLD,
        end: dt.datetime = FAR,
        key: "ec.EllipticCurvePrivateKey | None" = None,
    ) -> Self:
        """Make a self-signed root.

        Args:
            name: Its common name.
            extensions: Each with whether it is critical; by default an authority's.
            start: Valid from.
            end: Valid to.
            key: Its key; by default a new one.

        Returns:
            The root.
        """
        return cls._make(name, None, extensions=authority() if extensions is None else extensions, start=start, end=end, key=key)

    def issue(
        self,
        name: str,
        *,
        extensions: Extensions,
        start: dt.datetime = OLD,
        end: dt.datetime = FAR,
        key: "ec.EllipticCurvePrivateKey | None" = None,
        curve: "ec.EllipticCurve | None" = None,
        digest: "Digest | None" = None,
        subject: "x509.Name | None" = None,
    ) -> Self:
        """Issue a certificate below this one.

        Args:
            name: Its common name.
            extensions: Each with whether it is critical.
            start: Valid from.
            end: Valid to.
            key: Its key; by default a new one.
            curve: Of a new key; P-256 by default.
            digest: Signed with; SHA-256 by default.
            subject: Its whole name, instead of a common name.

        Returns:
            The certificate and its key.
        """
        return self._make(name, self, extensions=extensions, start=start, end=end, key=key, curve=curve, digest=digest, subject=subject)

    @classmethod
    def _make(
        cls,
        name: str,
        issuer: "Issued | None",
        *,
        extensions: Extensions,
        start: dt.datetime,
        end: dt.datetime,
        key: "ec.EllipticCurvePrivateKey | None",
        curve: "ec.EllipticCurve | None" = None,
        digest: "Digest | None" = None,
        subject: "x509.Name | None" = None,
    ) -> Self:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = key or ec.generate_private_key(curve or ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if subject is None else subject
        builder = x509.CertificateBuilder().subject_name(subject).serial_number(x509.random_serial_number())
        builder = builder.issuer_name(issuer.certificate.subject if issuer else subject).public_key(key.public_key())
        builder = builder.not_valid_before(start).not_valid_after(end)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        return cls(certificate=builder.sign(issuer.key if issuer else key, digest or hashes.SHA256()), key=key)


def usage(*, sign: bool = False, issue: bool = False) -> "x509.KeyUsage":
    """What a certificate's key may do: sign data, issue certificates, or neither."""
    from cryptography import x509

    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=sign, key_cert_sign=issue, **dict.fromkeys(names, False))


def authority() -> Extensions:
    """The extensions of an authority's certificate."""
    from cryptography import x509

    return ((x509.BasicConstraints(ca=True, path_length=None), True), (usage(issue=True), True))


def stamper() -> Extensions:
    """The extensions of a timestamp authority's certificate: RFC 3161, section 2.3."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    return ((x509.BasicConstraints(ca=False, path_length=None), True), (usage(sign=True), True), (purpose, True))
