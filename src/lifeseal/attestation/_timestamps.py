# SPDX-License-Identifier: Apache-2.0
"""RFC 3161 timestamps over a signature: read, and believed only under roots that the caller names."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import StrPath
from lifeseal.attestation._bundle import MAX_DERS, Bundle
from lifeseal.attestation._paths import Use, common_name, find_path, load_der, read_certificates
from lifeseal.errors import FormatError, PolicyError

if TYPE_CHECKING:
    import rfc3161_client
    from cryptography import x509

_HASHES = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}
_MAX_ACCURACY = dt.timedelta(days=1)
_UNREADABLE = (ValueError, KeyError, TypeError)  # what the libraries raise for broken names, numbers and times
_NOT_LOOKED_AT = "a timestamp is there and was not looked at: no timestamp authority is trusted"


@attrs.frozen(kw_only=True)
class Attested:
    """A trusted authority saw a signature, at a moment between two times.

    Attributes:
        earliest: The authority's time less its accuracy, UTC.
        latest: The authority's time and its accuracy, UTC; the signature existed then.
    """

    earliest: dt.datetime
    latest: dt.datetime


def read_authorities(paths: Iterable[StrPath]) -> tuple[bytes, ...]:
    """Read the roots of timestamp authorities, and certificates below them, PEM.

    Args:
        paths: Files; none is none.

    Returns:
        DER, in the order read.

    Raises:
        FormatError: A file holds no certificate.
        LimitError: A file is larger than 256 KiB.
        OSError: One cannot be read.
    """
    return tuple(dict.fromkeys(der for path in paths for der in read_certificates(path)))


def check_authorities(ders: Sequence[bytes]) -> None:
    """Refuse certificates among which there is no root.

    Args:
        ders: DER; none is none.

    Raises:
        FormatError: None of them is self-signed, or one cannot be read.
    """
    if ders and not _roots(_loaded(ders, "timestamp authority")):
        raise FormatError("timestamp authority", "a self-signed root was expected among its certificates")


def attested_times(bundle: Bundle, authorities: Sequence[bytes]) -> tuple[tuple[Attested, ...], tuple[str, ...]]:
    """Judge a bundle's timestamps.

    Args:
        bundle: Its signature is what they must be over.
        authorities: DER: the roots trusted, and certificates below them.

    Returns:
        What is believed, the earliest first; and a sentence for each timestamp that is not.
    """
    if not authorities:
        return (), (_NOT_LOOKED_AT,) if bundle.timestamps else ()
    believed, notes = [], []
    for index, der in enumerate(bundle.timestamps):
        try:
            believed.append(Token.read(der).check(bundle.envelope.signature, authorities))
        except (FormatError, PolicyError) as error:
            notes.append(f"timestamp {index} was ignored: {error}")
    return tuple(sorted(believed, key=lambda attested: attested.latest)), tuple(notes)


@attrs.frozen(kw_only=True)
class Token:
    """A timestamp as its authority sent it; nobody has vouched for it yet.

    Attributes:
        response: As the library read it.
        time: The authority's.
        accuracy: How far the time may be off.
        hashes: Object identifiers of the hash over the signature, and of those that the authority signed with.
        imprint: Hash of the signature that it is over.
        nonce: Of the request, or None.
        signers: Issuer and serial number of each signer's certificate.
        certificates: Those sent along.
    """

    response: "rfc3161_client.TimeStampResponse"
    time: dt.datetime
    accuracy: dt.timedelta
    hashes: tuple[str, ...]
    imprint: bytes
    nonce: int | None
    signers: "tuple[tuple[x509.Name, int], ...]"
    certificates: "tuple[x509.Certificate, ...]"

    @classmethod
    def read(cls, der: bytes) -> "Token":
        """Read a response that grants a timestamp.

        Args:
            der: The response.

        Returns:
            The token.

        Raises:
            FormatError: It is none, or one that grants nothing.

        Source: RFC 3161, section 2.4.2.
        """
        import rfc3161_client

        try:
            response = rfc3161_client.decode_timestamp_response(der)
            if response.status != 0:
                raise FormatError("timestamp", f"the authority granted none: status {response.status}")
            info, data = response.tst_info, response.signed_data
            if info.version != 1 or len(data.certificates) > MAX_DERS:
                raise FormatError("timestamp", f"version 1 and at most {MAX_DERS} certificates were expected")
            return cls(
                response=response,
                time=info.gen_time,
                accuracy=_accuracy(info.accuracy),
                hashes=(info.message_imprint.hash_algorithm.dotted_string, *(oid.dotted_string for oid in data.digest_algorithms)),
                imprint=info.message_imprint.message,
                nonce=info.nonce,
                signers=tuple((signer.issuer, signer.serial_number) for signer in data.signer_infos),
                certificates=_loaded(sorted(data.certificates), "timestamp, certificate"),
            )
        except _UNREADABLE:
            raise FormatError("timestamp", "an RFC 3161 response in DER form was expected") from None

    def check(self, signature: bytes, authorities: Sequence[bytes], *, nonce: int | None = None) -> Attested:
        """Verify that a trusted authority saw a signature.

        Args:
            signature: What the timestamp must be over, raw.
            authorities: DER: the roots trusted, and certificates below them.
            nonce: What the request held, where the answer is to one.

        Returns:
            When it was seen.

        Raises:
            FormatError: A certificate cannot be read.
            PolicyError: It is over something else, answers another request, or is not of a trusted authority that was valid then.

        Source: RFC 3161, sections 2.3 and 2.4.2.
        """
        import rfc3161_client

        if not _HASHES.keys() >= set(self.hashes):
            raise PolicyError("its hash is none of SHA-256, SHA-384 and SHA-512")
        digest = hashlib.new(_HASHES[self.hashes[0]], signature).digest()
        if self.imprint != digest:
            raise PolicyError("it is over another signature")
        if nonce is not None and self.nonce != nonce:
            raise PolicyError("it answers another request: the nonce differs")
        path = self._path(_loaded(authorities, "timestamp authority"))
        try:
            rfc3161_client.VerifierBuilder(tsa_certificate=path[0], roots=list(path[1:] or path)).build().verify(self.response, digest)
        except (rfc3161_client.VerificationError, *_UNREADABLE):
            raise PolicyError(f"its signature does not verify under certificate {common_name(path[0])!r}") from None
        return Attested(earliest=self.time - self.accuracy, latest=self.time + self.accuracy)

    def _path(self, given: "Sequence[x509.Certificate]") -> "tuple[x509.Certificate, ...]":
        """Find the signer among the certificates sent and given, and its path to a root, valid at the time that the token states."""
        if len(self.signers) != 1:
            raise PolicyError(f"exactly one signer was expected, not {len(self.signers)}")
        known = [*given, *self.certificates]
        named = {certificate for certificate in known if (certificate.issuer, certificate.serial_number) == self.signers[0]}
        if len(named) != 1:  # two of one number would let one be checked and the other used
            raise PolicyError(f"exactly one certificate of its signer was expected, sent along or given, not {len(named)}")
        return find_path(named.pop(), known, _roots(given), now=self.time, use=Use.TIME)


def _loaded(ders: Iterable[bytes], where: str) -> tuple["x509.Certificate", ...]:
    return tuple(load_der(der, where=f"{where} {index}") for index, der in enumerate(ders))


def _roots(certificates: Iterable["x509.Certificate"]) -> list["x509.Certificate"]:
    return [certificate for certificate in certificates if certificate.issuer == certificate.subject]


def _accuracy(stated: "rfc3161_client.Accuracy | None") -> dt.timedelta:
    """Read what the authority states; none stated is none."""
    if stated is None:
        return dt.timedelta()
    if (stated.seconds or 0) > _MAX_ACCURACY.total_seconds():
        raise FormatError("timestamp", "an accuracy of a day or better was expected")
    return dt.timedelta(seconds=stated.seconds or 0, milliseconds=stated.millis or 0, microseconds=stated.micros or 0)
