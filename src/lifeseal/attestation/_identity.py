# SPDX-License-Identifier: Apache-2.0
"""Trusting whoever an identity provider vouched for: signatures of Sigstore, checked without a network."""

import contextlib
import copy
import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from lifeseal.attestation._bundle import Bundle, KeyMaterial
from lifeseal.attestation._checkpoint import entry_fault
from lifeseal.attestation._log_entry import SigstoreMaterial
from lifeseal.attestation._paths import load_der
from lifeseal.attestation._policy import Purpose, SignerInfo, first_accepted
from lifeseal.attestation._sigstore_trust import SigstoreTrust, first_line, refuse_other_trust
from lifeseal.attestation._timestamps import Token, attested_times
from lifeseal.attestation._windows import in_use, known_logs, refuse_retired
from lifeseal.errors import FormatError, PolicyError, SignatureError

if TYPE_CHECKING:
    from cryptography import x509
    from sigstore.models import TrustedRoot

    from lifeseal.attestation._withdrawals import Withdrawals

_ISSUER, _ISSUER_V2, _USERNAME = (f"1.3.6.1.4.1.57264.1.{number}" for number in (1, 8, 7))
_NOTES = (
    "revocation was not consulted: the certificate lives for minutes, and the log proves that it was used then",
    "the log was not asked: its proof in the bundle was checked against the trust root given",
)


@attrs.frozen
class TrustedIdentity:
    """A policy: whoever an identity provider vouched for by this name is trusted, for the kind of document asked for.

    The certificate, the log's proof and the times are checked by the sigstore package against the trust given; nothing is fetched and
    nothing is written. Identity and issuer are compared exactly, not as patterns.

    Attributes:
        identity: As the certificate carries it: an e-mail address, or a URI such as the workflow that ran.
        issuer: The identity provider, a URL.
        trust: Of which Sigstore deployment.
    """

    identity: str
    issuer: str
    trust: SigstoreTrust

    def __attrs_post_init__(self) -> None:
        refuse_other_trust(self.trust)
        identity_fingerprint(self.identity, self.issuer)

    @property
    def fingerprint(self) -> str:
        """What stands for this identity where a key's fingerprint would: hexadecimal SHA-256 of issuer, a line feed, identity."""
        return identity_fingerprint(self.identity, self.issuer)

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        """Verify a signature of this identity.

        Args:
            bundles: Signatures over one payload; one of them must be this identity's.
            purpose: For the message; the identity is trusted for the kind that the call asks for.
            withdrawals: Signers whose signatures do not count.

        Returns:
            The signer.

        Raises:
            FormatError: The bundle is not one that sigstore reads.
            PolicyError: It was signed otherwise, by someone else, or the trust does not know the log or authority that it is from.
            SignatureError: The signature, the certificate, the log's proof or the time does not verify.
            WithdrawnError: The signer was withdrawn.
        """
        return first_accepted(bundles, lambda bundle: self._check(bundle, purpose), withdrawals=withdrawals)

    def _check(self, bundle: Bundle, purpose: Purpose) -> SignerInfo:
        material = bundle.material
        if not isinstance(material, SigstoreMaterial):
            found = "a bare key" if isinstance(material, KeyMaterial) else "a certificate chain"
            raise PolicyError(f"this {purpose.label} was signed with {found}, and the policy trusts a Sigstore identity")
        certificate, times, ignored = verify_with_sigstore(bundle, material, self.trust, label=purpose.label)
        self._compare(certificate, purpose)
        return SignerInfo(
            kind="identity",
            fingerprint=self.fingerprint,
            key=self.fingerprint,
            name=self.identity,
            time=min(times),
            clause=f"identity {self.identity!r}, vouched for by {self.issuer!r}",
            notes=(*_NOTES, *ignored),
        )

    def _compare(self, certificate: "x509.Certificate", purpose: Purpose) -> None:
        names, issuers = _identities(certificate), _issuers(certificate)
        if self.identity not in names or set(issuers) != {self.issuer}:
            signed = f"{', '.join(map(repr, names[:5])) or 'nobody'}, vouched for by {', '.join(map(repr, issuers)) or 'nobody'}"
            raise PolicyError(
                f"this {purpose.label} was signed by {signed}; the policy trusts exactly {self.identity!r}, vouched for by {self.issuer!r}"
            )


def identity_fingerprint(identity: str, issuer: str) -> str:
    """Return what stands for an identity where a key's fingerprint would.

    Args:
        identity: As the certificate carries it.
        issuer: The identity provider, a URL.

    Returns:
        Hexadecimal SHA-256 of issuer, a line feed, identity.

    Raises:
        TypeError: One of them is no text.
        ValueError: They are no identity and issuer.
    """
    for name, value in (("identity", identity), ("issuer", issuer)):
        if not isinstance(value, str):
            raise TypeError(f"{name}= must be text, not {type(value).__name__}")
        if not value or " " in value or not value.isprintable():
            raise ValueError(f"{name}= must be the exact text, without spaces, not {value[:120]!r}")
    if not issuer.startswith(("https://", "http://")):
        raise ValueError(f"issuer= must be the identity provider's URL, not {issuer[:120]!r}")
    return hashlib.sha256(f"{issuer}\n{identity}".encode()).hexdigest()


def claimed_identity(bundle: Bundle) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell whom a keyless signature says it is of, before anybody has vouched for it.

    Args:
        bundle: Any bundle.

    Returns:
        The names in its certificate, and the issuers that it states; none of either if it is no keyless signature.

    Raises:
        FormatError: The certificate cannot be read.
    """
    if not isinstance(bundle.material, SigstoreMaterial):
        return (), ()
    certificate = load_der(bundle.material.certificate, where="certificate")
    return tuple(_identities(certificate)), tuple(_issuers(certificate))


def verify_with_sigstore(
    bundle: Bundle, material: SigstoreMaterial, trust: SigstoreTrust, *, label: str
) -> "tuple[x509.Certificate, list[dt.datetime], list[str]]":
    """Verify all of a keyless signature but whose it is.

    Args:
        bundle: A keyless signature.
        material: The bundle's.
        trust: Of which deployment.
        label: What was signed, for messages.

    Returns:
        The signer's certificate; the times at which the signature is known to have existed, the log's own first; and a sentence for each
        timestamp that is not believed.

    Raises:
        FormatError: The bundle is not one that sigstore reads.
        PolicyError: The trust does not know the log or authority that it is from, or says that it was not in use then.
        SignatureError: Something does not verify.

    Source: Sigstore client specification, section 4.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, ExtensionNotFound, InvalidVersion, UnsupportedGeneralNameType
    from sigstore.errors import Error
    from sigstore.models import Bundle as Inner
    from sigstore.verify import Verifier

    certificate = load_der(material.certificate, where="certificate")
    root = trust.for_sigstore().trusted_root
    of_x509 = (DuplicateExtension, ExtensionNotFound, InvalidVersion, UnsupportedGeneralNameType)
    broken = (Error, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, InvalidSignature, UnsupportedAlgorithm, *of_x509)
    try:
        inner = Inner.from_json(bundle.to_bytes())
    except broken as error:
        raise FormatError("bundle", f"one that sigstore reads was expected: {first_line(error)}") from None
    try:
        kind, payload = Verifier(trusted_root=_of_its_log(root, material)).verify_dsse(inner, _Anyone())
    except broken as error:
        unknown = _unknown_to(root, material, certificate) or _unknown_authority(root, bundle, material)
        if unknown:
            raise PolicyError(
                f"this {label} is of {unknown}, which the trust given does not know: it is older than the signature, or of another deployment"
            ) from None
        raise SignatureError(f"the keyless signature of this {label} does not verify: {first_line(error)}") from None
    if (kind, payload) != (bundle.envelope.payload_type, bundle.envelope.payload):
        raise SignatureError(f"the keyless signature of this {label} is over another payload")
    fault = entry_fault(material.entry)
    if fault:
        raise SignatureError(f"the keyless signature of this {label} does not verify: {fault}")
    times, ignored = _times(bundle, material, root)
    if not times:  # parts of a timestamp are not signed: broken ones must not hide when this was
        raise SignatureError(f"the keyless signature of this {label} does not verify: no time of it is proved; {'; '.join(ignored)}")
    refuse_retired(root, material, certificate, times)
    return certificate, times, ignored


def _of_its_log(root: "TrustedRoot", material: SigstoreMaterial) -> "TrustedRoot":
    """Narrow a root to the log that the bundle names: where no key has the name's digest, sigstore tries those of all logs, retired ones too."""
    narrowed = copy.copy(root)
    known = known_logs(root, material.entry.log)
    narrowed._inner = root._inner.model_copy(update={"tlogs": known})  # noqa: SLF001 - sigstore shows only parts of it
    return narrowed


class _Anyone:
    """Whose signature it is, is compared here after all else was verified."""

    def verify(self, cert: "x509.Certificate") -> None:
        """Accept; see `TrustedIdentity`."""


def _unknown_to(root: "TrustedRoot", material: SigstoreMaterial, certificate: "x509.Certificate") -> str:
    """Name the log or authority that the trust does not list, to tell an old trust from a forgery; both are refused."""
    from cryptography.x509 import PrecertificateSignedCertificateTimestamps as Scts

    inner = root._inner  # noqa: SLF001 - sigstore shows only parts of it
    if not known_logs(root, material.entry.log):
        return f"log {material.entry.log.hex()[:16]}"
    if certificate.issuer not in {authority.subject for authority in root.get_fulcio_certs()}:
        return f"authority {certificate.issuer.rfc4514_string()!r}"
    logs = {log.log_id.key_id for log in inner.ctlogs}
    seen = [sct.log_id for extension in certificate.extensions if isinstance(extension.value, Scts) for sct in extension.value]
    return next((f"certificate log {log.hex()[:16]}" for log in seen if log not in logs), "")


def _unknown_authority(root: "TrustedRoot", bundle: Bundle, material: SigstoreMaterial) -> str:
    """Name who attested the time, where the trust lists none of them and needs one: the log states no time, or the trust lists nobody."""
    from cryptography.x509 import load_der_x509_certificate as load

    listed = root._inner.timestamp_authorities  # noqa: SLF001 - sigstore shows only parts of it
    certificates = [load(certificate.raw_bytes) for authority in listed for certificate in authority.cert_chain.certificates]
    known = {(certificate.issuer, certificate.serial_number) for certificate in certificates}
    signers: list[tuple[x509.Name, int]] = []
    if not (material.entry.promise and known):
        for der in bundle.timestamps:
            with contextlib.suppress(FormatError):
                signers += Token.read(der).signers
    if not signers or not known.isdisjoint(signers):
        return ""
    return f"a timestamp authority of {signers[0][0].rfc4514_string()!r}"


def _times(bundle: Bundle, material: SigstoreMaterial, root: "TrustedRoot") -> tuple[list[dt.datetime], list[str]]:
    """Tell when the signature is known to have existed: by the log's promise, which was verified, and by the authorities of the root.

    Returns:
        The times, the log's own first; and a sentence for each timestamp that is not believed.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    times = [dt.datetime.fromtimestamp(material.entry.time, dt.UTC)] if material.entry.promise and material.entry.time else []
    notes = []
    for index in range(len(bundle.timestamps)):
        alone, reasons = attrs.evolve(bundle, timestamps=bundle.timestamps[index : index + 1]), ["no authority of the trust given"]
        for authority in root.get_timestamp_authorities():
            ders = [certificate.public_bytes(Encoding.DER) for certificate in authority.certificates(allow_expired=True)]
            seen, ignored = attested_times(alone, ders) if ders else ((), ())
            reasons += [text.partition(": ")[2] for text in ignored]
            if seen and in_use(authority._inner.valid_for, (seen[0].earliest, seen[0].latest)):  # noqa: SLF001 - shown in parts only
                times.append(seen[0].latest)
                break
        else:
            notes.append(f"timestamp {index} was ignored: {reasons[-1]}")
    return times, notes


def _identities(certificate: "x509.Certificate") -> list[str]:
    from cryptography import x509

    found = []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            for name in extension.value:
                if isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier):
                    found.append(name.value)
                elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == _USERNAME:
                    found.append(_utf8_string(name.value))
    return found


def _issuers(certificate: "x509.Certificate") -> list[str]:
    """List what the certificate says of its issuer, in the older and the newer place; both must agree."""
    from cryptography import x509

    found = []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.UnrecognizedExtension):
            if extension.oid.dotted_string == _ISSUER:
                found.append(extension.value.value.decode(errors="replace"))
            elif extension.oid.dotted_string == _ISSUER_V2:
                found.append(_utf8_string(extension.value.value))
    return list(dict.fromkeys(found))


def _utf8_string(der: bytes) -> str:
    """Read a DER UTF8String of less than 256 bytes; anything else reads as no text that a policy could hold."""
    short, long = der[:1] == b"\x0c" and der[1:2] < b"\x80", der[:2] == b"\x0c\x81"
    body = der[2:] if short else der[3:] if long else b""
    length = der[1] if short and len(der) > 1 else der[2] if long and len(der) > 2 else -1  # noqa: PLR2004 - tag, form and length
    return body.decode(errors="replace") if len(body) == length else "\0"
