# SPDX-License-Identifier: Apache-2.0
"""What a Sigstore bundle carries beside its signature: a short-lived certificate, and the log entry that proves when it was used."""

import re
from collections.abc import Callable
from typing import TypeVar

import attrs

from lifeseal._io import Record, decode_base64, encode_base64
from lifeseal.errors import FormatError

T = TypeVar("T")
_MAX_HASHES = 64  # of an inclusion proof: a tree of 2^64 leaves
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_MAX_NUMBER = 2**63 - 1
_MAX_TIME = 253402300799  # the end of the year 9999


@attrs.frozen(kw_only=True)
class InclusionProof:
    """Proves that an entry is in a log's tree.

    Attributes:
        index: Of the entry in this tree.
        size: Entries of the tree.
        root: Its root hash.
        hashes: Beside the way from the entry to the root.
        checkpoint: The log's signed statement of size and root, a signed note.
    """

    index: int
    size: int
    root: bytes = attrs.field(repr=lambda r: r.hex()[:12])
    hashes: tuple[bytes, ...] = attrs.field(repr=lambda h: f"<{len(h)} hashes>")
    checkpoint: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class LogEntry:
    """An entry of a transparency log, as a bundle carries it; nothing in it is verified yet.

    Attributes:
        index: Of the entry in the whole log.
        log: Identifier of the log's key.
        kind: Of the entry, as ``dsse``.
        version: Of the kind.
        time: When the log took it in, seconds since 1970; 0 where the log does not say.
        promise: The log's signature over entry and time, or empty.
        proof: That the entry is in the log.
        body: The entry itself, JSON.

    Source: sigstore/protobuf-specs, sigstore_rekor.proto.
    """

    index: int
    log: bytes = attrs.field(repr=lambda i: i.hex()[:12])
    kind: str
    version: str
    time: int
    promise: bytes = attrs.field(repr=lambda p: f"<{len(p)} bytes>")
    proof: InclusionProof
    body: bytes = attrs.field(repr=lambda b: f"<{len(b)} bytes>")


@attrs.frozen(kw_only=True)
class SigstoreMaterial:
    """Verification material of a keyless signature.

    Attributes:
        certificate: Short-lived, DER; it names who signed.
        entry: Of the log that saw the signature.
    """

    certificate: bytes = attrs.field(repr=lambda c: f"<{len(c)} bytes>")
    entry: LogEntry

    @property
    def kind(self) -> str:
        """The field's name in a bundle."""
        return "certificate"


def read_entry(record: Record) -> LogEntry:
    """Read an entry strictly, as protobuf writes it in JSON."""
    kind = record.take_record("kindVersion")
    entry = LogEntry(
        index=_number(record, "logIndex"),
        log=_only(record, "logId", Record.take_base64, "keyId"),
        kind=kind.take_str("kind", max_length=64),
        version=kind.take_str("version", max_length=64),
        time=_number(record, "integratedTime", high=_MAX_TIME),
        promise=_only(record, "inclusionPromise", Record.take_base64, "signedEntryTimestamp") if _there(record, "inclusionPromise") else b"",
        proof=_read_proof(record.take_record("inclusionProof")),
        body=record.take_base64("canonicalizedBody"),
    )
    kind.done()
    record.done()
    return entry


def write_entry(entry: LogEntry) -> dict[str, object]:
    """Write an entry as `read_entry` reads it."""
    proof = entry.proof
    written: dict[str, object] = {
        "logIndex": str(entry.index),
        "logId": {"keyId": encode_base64(entry.log)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
        "inclusionProof": {
            "logIndex": str(proof.index),
            "treeSize": str(proof.size),
            "rootHash": encode_base64(proof.root),
            "hashes": [encode_base64(digest) for digest in proof.hashes],
            "checkpoint": {"envelope": proof.checkpoint},
        },
        "canonicalizedBody": encode_base64(entry.body),
    }
    if entry.time:
        written["integratedTime"] = str(entry.time)
    if entry.promise:
        written["inclusionPromise"] = {"signedEntryTimestamp": encode_base64(entry.promise)}
    return written


def _read_proof(record: Record) -> InclusionProof:
    hashes = record.take_list("hashes", max_items=_MAX_HASHES) if _there(record, "hashes") else []
    proof = InclusionProof(
        index=_number(record, "logIndex"),
        size=_number(record, "treeSize"),
        root=record.take_base64("rootHash"),
        hashes=tuple(decode_base64(_string(item, record.at("hashes")), where=record.at("hashes")) for item in hashes),
        checkpoint=_only(record, "checkpoint", Record.take_str, "envelope"),
    )
    record.done()
    return proof


def _only(record: Record, name: str, take: Callable[[Record, str], T], field: str) -> T:
    """Read an object that has one field."""
    inner = record.take_record(name)
    value = take(inner, field)
    inner.done()
    return value


def _there(record: Record, name: str) -> bool:
    """Tell whether a field is there; null stands for none."""
    return name in record and (record.take(name) is not None)


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise FormatError(where, "strings were expected")
    return value


def _number(record: Record, name: str, *, high: int = _MAX_NUMBER) -> int:
    """Read a 64-bit number, which protobuf writes as a string; one that is not there is 0."""
    if not _there(record, name):
        return 0
    text = record.take_str(name, max_length=20)
    if not _NUMBER.fullmatch(text) or int(text) > high:
        raise FormatError(record.at(name), "a decimal number in a string was expected")
    return int(text)
