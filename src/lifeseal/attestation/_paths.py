# SPDX-License-Identifier: Apache-2.0
"""Certification paths: from a signer's certificate to a root that the caller named."""

import datetime as dt
import enum
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from lifeseal._io import StrPath, read_bounded
from lifeseal.errors import FormatError, PolicyError

if TYPE_CHECKING:
    from cryptography import x509

E = TypeVar("E")

_MAX_CERTIFICATE_FILE = 256 << 10
_MAX_DEPTH = 8
_MAX_TRIALS = 64
_MIN_RSA_BITS = 2048
_WEAK = frozenset({"md5", "sha1"})
# Extensions that are looked at here, or that only help to find certificates; another critical one is refused.
_KNOWN = frozenset({"basicConstraints", "keyUsage", "extendedKeyUsage", "subjectAltName", "subjectKeyIdentifier", "authorityKeyIdentifier"})


class Use(enum.Enum):
    """What the first certificate of a path was issued for."""

    CODE = "code signing"
    TIME = "time stamping"


def load_der(data: bytes, *, where: str) -> "x509.Certificate":
    """Read a certificate and all of its extensions.

    Args:
        data: DER.
        where: Name for error messages.

    Returns:
        The certificate; looking at it later raises nothing.

    Raises:
        FormatError: It is none, or one with a broken or repeated extension.
    """
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(data)
        _ = (certificate.extensions, certificate.subject.rfc4514_string(), certificate.issuer, certificate.signature_algorithm_oid)
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.version)
        number, signature = certificate.serial_number, certificate.signature
    # Of a certificate that it will refuse one day, the library warns; where warnings are errors, that is a refusal too.
    except (ValueError, TypeError, KeyError, Warning, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
        raise FormatError(where, "an X.509 certificate in DER form was expected") from None
    if number <= 0:
        raise FormatError(where, "a certificate with a positive serial number was expected")
    if not data.endswith(b"\0" + signature):  # left-over bits would let anybody write the same certificate in other bytes
        raise FormatError(where, "an issuer's signature that fills its bits was expected")
    return certificate


def read_certificates(path: StrPath) -> list[bytes]:
    """Read a file of certificates.

    Args:
        path: PEM; one certificate or several.

    Returns:
        DER, in the file's order.

    Raises:
        FormatError: It holds no certificate.
        LimitError: It is larger than 256 KiB.
        OSError: It cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    data = read_bounded(path, limit=_MAX_CERTIFICATE_FILE, what="a certificate")
    try:
        return [certificate.public_bytes(Encoding.DER) for certificate in x509.load_pem_x509_certificates(data)]
    except ValueError:
        raise FormatError(os.fspath(path), "certificates in PEM form were expected ('-----BEGIN CERTIFICATE-----')") from None


def signed_part_of(certificate: "x509.Certificate") -> str:
    """Return the hexadecimal SHA-256 of what the issuer signed of a certificate.

    An ECDSA signature can be written in a second way by anybody, and gives the certificate another DER form; its signed part has one form.
    """
    return hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest()


def common_name(certificate: "x509.Certificate") -> str:
    """Write a certificate's subject, or the first name it carries where it has none."""
    return certificate.subject.rfc4514_string() or next(iter(_names(certificate)), "(no name)")


def find_path(
    leaf: "x509.Certificate",
    others: Sequence["x509.Certificate"],
    roots: Sequence["x509.Certificate"],
    *,
    now: dt.datetime,
    san: str | None = None,
    use: Use = Use.CODE,
) -> tuple["x509.Certificate", ...]:
    """Find a path from a signer's certificate to a root, all of it valid at one time.

    Every candidate is tried, so one that leads nowhere does not hide one that leads to a root.

    Args:
        leaf: The signer's.
        others: Certificates that may lie between; nothing about them is trusted.
        roots: Trusted; each ends a path.
        now: The time at which every certificate must be valid.
        san: Name that the leaf must carry, or None.
        use: What the leaf must be allowed to do, and its issuers to pass on.

    Returns:
        The path, leaf first, root last.

    Raises:
        PolicyError: There is none; says why the most promising failed.

    Source: RFC 5280, section 6.1; name constraints and policies are not processed, so a certificate that has them critical is refused.
    """
    fault = _time_fault(leaf, now) or _leaf_fault(leaf, san, use)
    if fault:
        raise PolicyError(f"certificate {common_name(leaf)!r}: {fault}")
    search = _Search(others, roots, now, use)
    path = search.extend((leaf,))
    if path is None:
        raise PolicyError(
            search.fault or f"certificate {common_name(leaf)!r}: issued by {leaf.issuer.rfc4514_string()!r}, which leads to no root given"
        )
    return path


class _Search:
    """Depth first, bounded in depth and in signatures tried."""

    def __init__(self, others: Sequence["x509.Certificate"], roots: Sequence["x509.Certificate"], now: dt.datetime, use: Use) -> None:
        self._roots = roots
        self._candidates = [*roots, *(other for other in others if other not in roots)]
        self._now = now
        self._use = use
        self._trials = 0
        self.fault = ""

    def extend(self, path: tuple["x509.Certificate", ...]) -> tuple["x509.Certificate", ...] | None:
        if path[-1] in self._roots:
            return path
        for issuer in self._candidates if len(path) < _MAX_DEPTH else ():
            if issuer in path or issuer.subject != path[-1].issuer:
                continue
            self._trials += 1
            if self._trials > _MAX_TRIALS:
                self.fault = f"more than {_MAX_TRIALS} certificates would have to be tried to find a path"
                return None
            if not issued(path[-1], issuer):
                continue
            fault = _time_fault(issuer, self._now) or _issuer_fault(issuer, path, self._use)
            if fault:
                self.fault = f"certificate {common_name(issuer)!r}: {fault}"
                continue
            found = self.extend((*path, issuer))
            if found is not None:
                return found
        return None


def issued(certificate: "x509.Certificate", issuer: "x509.Certificate") -> bool:
    """Tell whether the key of one certificate signed another, by a hash and with a key that are not too weak."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        digest = certificate.signature_hash_algorithm
        key = issuer.public_key()
        if (digest is not None and digest.name in _WEAK) or (isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS):
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _time_fault(certificate: "x509.Certificate", now: dt.datetime) -> str:
    if now < certificate.not_valid_before_utc:
        return f"not valid before {certificate.not_valid_before_utc.isoformat()}, and judged at {now.isoformat(timespec='seconds')}"
    if now > certificate.not_valid_after_utc:
        return f"expired at {certificate.not_valid_after_utc.isoformat()}, and judged at {now.isoformat(timespec='seconds')}"
    return ""


def _leaf_fault(leaf: "x509.Certificate", san: str | None, use: Use) -> str:
    from cryptography import x509

    usage, purposes = _extension(leaf, x509.KeyUsage), _extension(leaf, x509.ExtendedKeyUsage)
    if usage is None and purposes is None:
        return "it does not say that its key may sign: neither key usage nor extended key usage"
    if usage is not None and not usage.digital_signature:
        return "its key usage does not allow digital signatures"
    if not _may(leaf, use):
        return f"its extended key usage does not allow {use.value}"
    if use is Use.TIME and not _stamps_only(leaf):
        return "its extended key usage is not time stamping alone, and critical"
    if san is not None and not any(_same_name(san, name) for name in _names(leaf)):
        return f"it carries the names {', '.join(map(repr, _names(leaf)[:5])) or 'none'}, and the policy wants {san!r}"
    return _critical_fault(leaf)


def _issuer_fault(issuer: "x509.Certificate", path: tuple["x509.Certificate", ...], use: Use) -> str:
    from cryptography import x509

    constraints, usage = _extension(issuer, x509.BasicConstraints), _extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca:
        return "it is no authority's, and may issue no certificates"
    between = sum(1 for certificate in path[1:] if certificate.subject != certificate.issuer)
    if constraints.path_length is not None and between > constraints.path_length:
        return f"it allows {constraints.path_length} authorities below it, and there are {between}"
    if usage is not None and not usage.key_cert_sign:
        return "its key usage does not allow to sign certificates"
    if not _may(issuer, use):
        return f"its extended key usage does not allow {use.value} below it"
    return _critical_fault(issuer)


def _critical_fault(certificate: "x509.Certificate") -> str:
    from cryptography import x509

    for extension in certificate.extensions:
        if isinstance(extension.value, x509.NameConstraints):
            return "it constrains names, which is not processed here"
        if extension.critical and extension.oid._name not in _KNOWN:  # noqa: SLF001 - the only name that an OID has
            return f"a critical extension that is not understood: {extension.oid.dotted_string}"
    return ""


def _may(certificate: "x509.Certificate", use: Use) -> bool:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purposes

    wanted = Purposes.CODE_SIGNING if use is Use.CODE else Purposes.TIME_STAMPING
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    return purposes is None or wanted in purposes or Purposes.ANY_EXTENDED_KEY_USAGE in purposes


def _stamps_only(certificate: "x509.Certificate") -> bool:
    """RFC 3161, section 2.3: one purpose, time stamping, and critical."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purposes

    listed = [extension for extension in certificate.extensions if isinstance(extension.value, x509.ExtendedKeyUsage)]
    return [(extension.critical, list(extension.value)) for extension in listed] == [(True, [Purposes.TIME_STAMPING])]


def _names(certificate: "x509.Certificate") -> list[str]:
    from cryptography import x509

    found = _extension(certificate, x509.SubjectAlternativeName)
    kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)
    return [] if found is None else [name.value for name in found if isinstance(name, kinds)]


def _same_name(wanted: str, found: str) -> bool:
    """Compare names; a DNS name's case means nothing."""
    plain = not set(wanted + found) & set("@:/")
    return wanted == found or (plain and wanted.isascii() and wanted.lower() == found.lower())


def _extension(certificate: "x509.Certificate", kind: type[E]) -> E | None:
    return next((extension.value for extension in certificate.extensions if isinstance(extension.value, kind)), None)
