# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes in Sigstore bundles: parsed once, strictly, and kept as they were."""

import base64
import contextlib
import hashlib
import os
from typing import Self

import attrs

from lifeseal._io import TAKEN_OUT, Record, StrPath, canonical, encode_base64, loads, read_bounded, refuse_foreign, replace, take_out
from lifeseal.attestation._log_entry import SigstoreMaterial, read_entry, write_entry
from lifeseal.errors import FormatError, LimitError
from lifeseal.principles import implements

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_BUNDLE = 192 << 20
MAX_DERS = 16  # certificates, or timestamps
MAX_DER = 256 << 10
_MAX_ITEMS = 10_000  # certificates and log entries; the payload is one string
IN_TOTO = "application/vnd.in-toto+json"
_KEY_DETAILS = frozenset({"PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_384", "PKIX_ECDSA_P521_SHA_512"})


def pae(payload_type: str, payload: bytes) -> bytes:
    """Join type and payload so that neither can pass for part of the other.

    Args:
        payload_type: Media type, ASCII.
        payload: The exact bytes to sign.

    Returns:
        ``b"DSSEv1"``, then each length in decimal and each value, space separated.

    Source: DSSE v1.0.2, protocol.md, "Signature Definition".

    >>> pae("text/plain", b"hello")
    b'DSSEv1 10 text/plain 5 hello'
    """
    return pae_head(payload_type, payload) + payload


def pae_head(payload_type: str, payload: bytes) -> bytes:
    """Write what `pae` puts before the payload."""
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %s %d " % (len(kind), kind, len(payload))


@attrs.frozen(kw_only=True)
class Envelope:
    """A DSSE envelope with exactly one signature.

    Attributes:
        payload_type: Media type of the payload.
        payload: The signed bytes.
        signature: Raw signature.

    Source: DSSE v1.0.2, envelope.md.
    """

    payload_type: str
    payload: bytes = attrs.field(repr=lambda p: f"<{len(p)} bytes>")
    signature: bytes = attrs.field(repr=lambda s: f"<{len(s)} bytes>")

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return pae(self.payload_type, self.payload)


@attrs.frozen(kw_only=True)
class KeyMaterial:
    """Verification material of a signature by a bare key.

    Attributes:
        hint: Hexadecimal SHA-256 of the public key, as the reference implementation writes it; empty if a key is given.
        key: The public key as PEM, in bundles of older releases; empty if a hint is given. It is never trusted, only compared.
    """

    hint: str = ""
    key: bytes = b""

    @property
    def named(self) -> str:
        """The key as a hint: the one given, or that of the key given."""
        return self.hint or (hashlib.sha256(self.key).hexdigest() if self.key else "")


@attrs.frozen(kw_only=True)
class CertificateMaterial:
    """Verification material of a signature by a certificate's key.

    Attributes:
        kind: ``x509CertificateChain``.
        certificates: DER, the signer's first.
    """

    kind: str
    certificates: tuple[bytes, ...] = attrs.field(repr=lambda c: f"<{len(c)} certificates>")


@attrs.frozen(kw_only=True)
class Bundle:
    """A Sigstore bundle v0.3 around one DSSE envelope.

    Attributes:
        material: What the signature claims to be made with.
        envelope: The signed payload.
        timestamps: RFC 3161 responses over the signature, DER; nobody has vouched for them yet.

    Source: sigstore/protobuf-specs, sigstore_bundle.proto.
    """

    material: KeyMaterial | CertificateMaterial | SigstoreMaterial
    envelope: Envelope
    timestamps: tuple[bytes, ...] = attrs.field(default=(), repr=lambda t: f"<{len(t)} timestamps>")

    def to_bytes(self) -> bytes:
        """Write the bundle; equal bundles give equal bytes.

        A key that stands in the bundle whole, as older releases wrote it, is written as its hint.

        Returns:
            UTF-8 JSON.
        """
        material = self.material
        written: dict[str, object] = {"tlogEntries": []}
        if isinstance(material, KeyMaterial):
            written["publicKey"] = {"hint": material.named}
        elif isinstance(material, CertificateMaterial):
            written[material.kind] = {"certificates": [{"rawBytes": encode_base64(der)} for der in material.certificates]}
        else:
            written["certificate"] = {"rawBytes": encode_base64(material.certificate)}
            written["tlogEntries"] = [write_entry(material.entry)]
        if self.timestamps:
            written["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": encode_base64(der)} for der in self.timestamps]}
        written_around = canonical(
            {
                "mediaType": BUNDLE_TYPE,
                "verificationMaterial": written,
                "dsseEnvelope": {
                    "payload": TAKEN_OUT,
                    "payloadType": self.envelope.payload_type,
                    "signatures": [{"keyid": "", "sig": encode_base64(self.envelope.signature)}],
                },
            }
        )
        # The payload can be large, and is the first field in the order of the keys: it is put in last, without copies on the way.
        return written_around.replace(TAKEN_OUT.encode(), base64.b64encode(self.envelope.payload), 1)

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = "bundle") -> Self:
        """Read a bundle strictly.

        Args:
            data: UTF-8 JSON.
            where: Name for error messages.

        Returns:
            The bundle. Nothing in it is verified yet.

        Raises:
            FormatError: It is not a Sigstore bundle v0.3 with exactly one DSSE signature.
            LimitError: It is larger than 192 MiB.
        """
        if len(data) > MAX_BUNDLE:
            raise LimitError(where, limit=MAX_BUNDLE, seen=len(data))
        document, payload = take_out(data)
        if payload is not None:
            with contextlib.suppress(FormatError):  # told by the reading of the whole, with its place
                return cls._read(document, payload, where)
        return cls._read(data, None, where)

    @classmethod
    def _read(cls, data: bytes, payload: memoryview | None, where: str) -> Self:
        record = Record(loads(data, where=where, max_bytes=MAX_BUNDLE, max_items=_MAX_ITEMS, what="a signature bundle"), where=where)
        record.take_const("mediaType", BUNDLE_TYPE)
        material, timestamps = _material(record.take_record("verificationMaterial"))
        envelope = _envelope(record.take_record("dsseEnvelope"), payload)
        record.done()
        return cls(material=material, envelope=envelope, timestamps=timestamps)

    @classmethod
    @implements(evidences=("5.2",), limits="Nothing in it is verified by reading it.")
    def load(cls, path: StrPath) -> Self:
        """Read a bundle from a file; see `from_bytes`.

        Args:
            path: The file.

        Returns:
            The bundle.

        Raises:
            FormatError: As `from_bytes`, or not a regular file.
            LimitError: It is larger than 192 MiB.
            OSError: It cannot be read.
        """
        return cls.from_bytes(read_bounded(path, limit=MAX_BUNDLE, what="a signature bundle"), where=os.fspath(path))

    @implements(evidences=("5.2", "8.1.2"), limits="Publishing it beside the artefact is up to the caller.")
    def write(self, path: StrPath, *, overwrite: bool = True) -> None:
        """Write the bundle durably: the name holds the old bundle or this one.

        Args:
            path: The file; its folder must exist.
            overwrite: False refuses a name that is taken.

        Raises:
            FileExistsError: The name is taken and ``overwrite`` is false, or what lies there is no signature.
            OSError: The disk refused.
        """
        self.refuse_foreign(path)
        replace(path, self.to_bytes(), overwrite=overwrite)

    @staticmethod
    def refuse_foreign(path: StrPath) -> None:
        """Refuse a place where something lies that is no signature; an older signature may be replaced.

        Args:
            path: Where a bundle is to go.

        Raises:
            FileExistsError: Something else lies there.
            OSError: What lies there cannot be read.
        """
        refuse_foreign(path, mark=b"application/vnd.dev.sigstore.bundle", what="signature")


def _envelope(record: Record, cut: memoryview | None) -> Envelope:
    payload = record.take_base64("payload", cut=cut)
    payload_type = record.take_str("payloadType", max_length=256)
    if not payload_type.isascii():
        raise FormatError(record.at("payloadType"), "an ASCII media type was expected")
    signatures = record.take_list("signatures")
    if len(signatures) != 1:
        raise FormatError(record.at("signatures"), f"exactly one signature was expected, not {len(signatures)}")
    record.done()
    entry = Record(signatures[0], where=f"{record.where}, 'signatures', entry 0")
    signature = entry.take_base64("sig")
    if "keyid" in entry and entry.take("keyid") is not None:
        entry.take_str("keyid", max_length=1024)
    entry.done()
    return Envelope(payload_type=payload_type, payload=payload, signature=signature)


def _material(record: Record) -> tuple[KeyMaterial | CertificateMaterial | SigstoreMaterial, tuple[bytes, ...]]:
    kinds = [kind for kind in ("publicKey", "x509CertificateChain", "certificate") if kind in record]
    if len(kinds) != 1:
        raise FormatError(record.where, f"exactly one of publicKey, x509CertificateChain, certificate was expected, not {len(kinds)}")
    inner = record.take_record(kinds[0])
    entries = record.take_list("tlogEntries") if "tlogEntries" in record else []
    material: KeyMaterial | CertificateMaterial | SigstoreMaterial
    if kinds[0] == "certificate":
        material = _sigstore(inner, entries, where=record.at("tlogEntries"))
    elif entries:
        raise FormatError(record.at("tlogEntries"), "none was expected beside a key or a certificate chain")
    else:
        material = _key_material(inner) if kinds[0] == "publicKey" else CertificateMaterial(kind=kinds[0], certificates=_chain(inner))
    timestamps: tuple[bytes, ...] = ()
    if "timestampVerificationData" in record:
        times = record.take_record("timestampVerificationData")
        if "rfc3161Timestamps" in times:
            timestamps = _ders(times, "rfc3161Timestamps", "signedTimestamp")
        times.done()
    record.done()
    return material, timestamps


def _sigstore(record: Record, entries: list[object], *, where: str) -> SigstoreMaterial:
    certificate = record.take_base64("rawBytes")
    if len(certificate) > MAX_DER:
        raise LimitError(record.where, limit=MAX_DER, seen=len(certificate))
    record.done()
    if len(entries) != 1:
        raise FormatError(where, f"exactly one entry of a log was expected beside a Sigstore certificate, not {len(entries)}")
    return SigstoreMaterial(certificate=certificate, entry=read_entry(Record(entries[0], where=f"{where}, entry 0")))


def _chain(record: Record) -> tuple[bytes, ...]:
    certificates = _ders(record, "certificates", "rawBytes")
    if not certificates:
        raise FormatError(record.at("certificates"), "at least one certificate was expected")
    record.done()
    return certificates


def _ders(record: Record, name: str, field: str) -> tuple[bytes, ...]:
    found = []
    for index, item in enumerate(record.take_list(name, max_items=MAX_DERS)):
        entry = Record(item, where=f"{record.at(name)}, entry {index}")
        found.append(entry.take_base64(field))
        if len(found[-1]) > MAX_DER:
            raise LimitError(entry.where, limit=MAX_DER, seen=len(found[-1]))
        entry.done()
    return tuple(found)


def _key_material(record: Record) -> KeyMaterial:
    if "hint" in record:
        material = KeyMaterial(hint=record.take_str("hint", max_length=128))
    else:
        if record.take_str("keyDetails", max_length=64) not in _KEY_DETAILS:
            raise FormatError(record.at("keyDetails"), f"one of {', '.join(sorted(_KEY_DETAILS))} was expected")
        material = KeyMaterial(key=record.take_base64("rawBytes"))
    record.done()
    return material
