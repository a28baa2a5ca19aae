# SPDX-License-Identifier: Apache-2.0
"""``inspect``: what a file says, before anybody has vouched for it."""

import json
import os
from pathlib import Path

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output

_PEEK = 64 << 20
_FIRST_LINE = 1 << 20
_SHOWN = 20


@click.command(
    epilog=examples(
        "lifeseal inspect model/model.sig",
        "lifeseal inspect weights.safetensors --json",
    )
)
@click.argument("file", type=PATH)
@common
def inspect(output: Output, *, file: Path) -> None:
    """Say what a signature, manifest, certificate, waiver, withdrawal list, log, key or model file claims. Nothing is verified."""
    kind, claims = describe(file)
    lines = [f"{file}: {kind} (unverified: nobody has vouched for this)"]
    lines += _render(claims, "  ")
    output.plain("inspect", {"file": str(file), "kind": kind, "verified": False, "claims": claims}, lines)


def describe(file: Path) -> tuple[str, dict[str, object]]:
    """Tell what kind of file it is and what it claims.

    Args:
        file: Any file of ours, or a model file.

    Returns:
        The kind, and the claims as JSON values.

    Raises:
        LifesealError: The file is of a kind of ours, and broken.
        OSError: It cannot be read.
    """
    start = read_start(file)
    if start.startswith(b"-----BEGIN "):
        return _key(file)
    if start.lstrip().startswith(b"{"):
        found = _document(file)
        if found is not None:
            return found
    return _model(file)


def read_start(file: Path, *, limit: int = 64) -> bytes:
    """Read the first bytes of a file, without waiting for a FIFO's writer.

    Args:
        file: A regular file.
        limit: Bytes at most.

    Returns:
        The bytes.

    Raises:
        FormatError: It is not a regular file.
        OSError: It cannot be read.
    """
    from lifeseal._io import open_regular

    opened = open_regular(file)
    try:
        return os.pread(opened, limit, 0)
    finally:
        os.close(opened)


def _document(file: Path) -> tuple[str, dict[str, object]] | None:
    """Describe a JSON document of ours; None for anybody else's."""
    from lifeseal._io import loads, read_bounded
    from lifeseal.errors import FormatError, LimitError

    if b'"schema":"lifeseal.log/1"' in read_start(file, limit=_FIRST_LINE).partition(b"\n")[0]:
        return _log(file)
    try:
        data = read_bounded(file, limit=_PEEK)
        if data.startswith(b'{"dsseEnvelope"') and b"\n{" in data:
            return _cosigned(file)
        document = loads(data, where=str(file), floats=True)
    except (FormatError, LimitError):
        return None
    if not isinstance(document, dict):
        return None
    ours = str(document.get("mediaType", "")).startswith("application/vnd.dev.sigstore.bundle")
    return _bundle(file) if ours else _plain(file, data, document)


def _cosigned(file: Path) -> tuple[str, dict[str, object]]:
    """Describe a certificate with co-signatures, one a line."""
    from lifeseal import disposal

    found = disposal.Certificate.load(file)
    signed = [{"role": one.role, "name": one.party.name, "time": one.time} for one in found.cosignatures]
    return "co-signed disposal certificate", {"cosignatures": signed, "predicate": dict(found.disposal.to_statement().predicate)}


def _plain(file: Path, data: bytes, document: dict[str, object]) -> tuple[str, dict[str, object]] | None:
    from lifeseal import attestation, disposal, provenance

    if str(document.get("schema")).startswith("lifeseal.dataset/"):
        return "dataset manifest", _jsonable(provenance.Manifest.from_bytes(data, where=str(file)).to_bytes())
    if document.get("schema") == "lifeseal.waiver/1":
        return "waiver", _jsonable(attestation.Waiver.from_bytes(data, where=str(file)).to_bytes())
    if document.get("schema") == "lifeseal.disposal-order/1":
        return "order of a disposal, for approval", document
    if document.get("schema") == "lifeseal.withdrawals/1":
        return "unsigned withdrawal list", _jsonable(attestation.Withdrawals.from_bytes(data, where=str(file)).to_bytes())
    if document.get("predicateType") == attestation.Purpose.CERTIFICATE.predicate_type:
        statement = disposal.Certificate.load(file).disposal.to_statement()
        return "unsigned disposal certificate", dict(statement.predicate)
    return None


def _bundle(file: Path) -> tuple[str, dict[str, object]]:
    from lifeseal import attestation

    bundle = attestation.Bundle.load(file)
    statement = attestation.Statement.from_bytes(bundle.envelope.payload, where=f"{file}, payload")
    purpose = next((p.label for p in attestation.Purpose if p.predicate_type == statement.predicate_type), "unknown document")
    material = bundle.material
    signed_with = f"key {material.hint or 'given as PEM'}" if isinstance(material, attestation.KeyMaterial) else material.kind
    claims: dict[str, object] = {
        "signed_with": signed_with,
        "predicate_type": statement.predicate_type,
        "subjects": [{"name": subject.name, "digest": subject.digest} for subject in statement.subjects],
        "predicate": dict(statement.predicate),
    }
    names, issuers = attestation.claimed_identity(bundle)
    if names or issuers:
        claims |= {"identities": list(names), "issuers": list(issuers)}
    if bundle.timestamps:
        claims["timestamps"] = len(bundle.timestamps)
    return f"signature of a {purpose}", claims


def _log(file: Path) -> tuple[str, dict[str, object]]:
    from lifeseal import evidence

    found = evidence.verify(file)
    return "event log, its chain unbroken", {"events": found.events, "damaged": found.damaged, "head": found.head}


def _key(file: Path) -> tuple[str, dict[str, object]]:
    from lifeseal import attestation
    from lifeseal._io import read_bounded

    if b"PRIVATE KEY" in read_bounded(file, limit=64 << 10):
        return "private key", {"note": "not opened"}
    return "public key", {"fingerprint": attestation.TrustedKey.from_file(file).fingerprint}


def _model(file: Path) -> tuple[str, dict[str, object]]:
    from lifeseal import serialization

    report = serialization.scan(file)
    claims: dict[str, object] = {"verdict": report.verdict.value, "findings": [finding.to_json() for finding in report.findings]}
    if report.format == "safetensors" and report.verdict.value == "safe":
        header = serialization.validate(file)
        claims["tensors"] = [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in header.tensors]
        claims["metadata"] = dict(header.metadata)
    return f"{report.format} file", claims


def _jsonable(data: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(data)
    return found


def _render(value: object, indent: str) -> list[str]:
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            nested = _render(item, indent + "  ")
            lines += [f"{indent}{key}: {nested[0].strip()}"] if not isinstance(item, dict | list) else [f"{indent}{key}:", *nested]
        return lines
    if isinstance(value, list):
        lines = [f"{indent}- {json.dumps(item, ensure_ascii=False)}" for item in value[:_SHOWN]]
        return lines + ([f"{indent}… and {len(value) - _SHOWN} more"] if len(value) > _SHOWN else [])
    return [f"{indent}{value if isinstance(value, str) else json.dumps(value)}"]
