# SPDX-License-Identifier: Apache-2.0
"""The public functions that carry no tag, each with the reason; every other one must carry one."""

from collections.abc import Mapping
from types import MappingProxyType

_MEMORY = "works on values in memory; the function that reads or writes the file is tagged"
_PART = "part of a tagged call, which emits the event"
_PROTOCOL = "a protocol's method; the function that uses it is tagged"
_CATALOGUE = "the catalogue and the tags themselves"
_HOLDER = "for the vault, whose calls are tagged: an event between commit and check could fail a change that has been made"
_END = "lets go of what a tagged call opened"

UNTAGGED: Mapping[str, str] = MappingProxyType(
    {
        "lifeseal.attestation.Bundle.from_bytes": _MEMORY,
        "lifeseal.attestation.Bundle.refuse_foreign": "looks at what write would replace; write is tagged",
        "lifeseal.attestation.Bundle.to_bytes": _MEMORY,
        "lifeseal.attestation.CertificateSigner.sign": _PART,
        "lifeseal.attestation.KeySigner.sign": _PART,
        "lifeseal.attestation.Policy.check": _PROTOCOL,
        "lifeseal.attestation.PolicyFile.check": _PART,
        "lifeseal.attestation.Signer.sign": _PROTOCOL,
        "lifeseal.attestation.Statement.from_bytes": _MEMORY,
        "lifeseal.attestation.Statement.to_bytes": _MEMORY,
        "lifeseal.attestation.TimestampAuthority.stamp": _PART,
        "lifeseal.attestation.Timestamper.stamp": _PROTOCOL,
        "lifeseal.attestation.TrustedCertificates.check": _PART,
        "lifeseal.attestation.TrustedKey.check": _PART,
        "lifeseal.attestation.Waiver.from_bytes": _MEMORY,
        "lifeseal.attestation.Waiver.to_bytes": _MEMORY,
        "lifeseal.attestation.all_of": _MEMORY,
        "lifeseal.attestation.any_of": _MEMORY,
        "lifeseal.attestation.open_statement": _PART,
        "lifeseal.attestation.pae": _MEMORY,
        "lifeseal.attestation.parse_digest": _MEMORY,
        "lifeseal.attestation.parse_time": _MEMORY,
        "lifeseal.attestation.sign_statement": _PART,
        "lifeseal.attestation.threshold": _MEMORY,
        "lifeseal.signing.SignedModel.close": _END,
        "lifeseal.signing.compare": _MEMORY,
        "lifeseal.serialization.FileReport.to_json": _MEMORY,
        "lifeseal.serialization.Finding.to_json": _MEMORY,
        "lifeseal.serialization.ScanReport.to_json": _MEMORY,
        "lifeseal.serialization.parse_header_bytes": _MEMORY,
        "lifeseal.serialization.tensor_from_bytes": _MEMORY,
        "lifeseal.provenance.CheckedRecords.close": _END,
        "lifeseal.provenance.Manifest.file": _MEMORY,
        "lifeseal.provenance.Manifest.from_bytes": _MEMORY,
        "lifeseal.provenance.Manifest.recorded": _MEMORY,
        "lifeseal.provenance.Manifest.to_bytes": _MEMORY,
        "lifeseal.provenance.Origin.of": _MEMORY,
        "lifeseal.provenance.Sample.bound": _MEMORY,
        "lifeseal.erasure.FileRoot.locked": _PART,
        "lifeseal.erasure.FileRoot.read": _HOLDER,
        "lifeseal.erasure.FileRoot.replace": _HOLDER,
        "lifeseal.erasure.SealedAsset.close": _END,
        "lifeseal.erasure.SealedAsset.names": _PART,
        "lifeseal.erasure.SealedAsset.open": _PART,
        "lifeseal.erasure.SealedAsset.size": _PART,
        "lifeseal.erasure.Vault.close": _END,
        "lifeseal.evidence.Log.close": "the place where events go emits none about itself",
        "lifeseal.evidence.Log.emit": "the place where events go emits none about itself",
        "lifeseal.evidence.read": "yields while it reads; verify reads the whole log and is tagged",
        "lifeseal.evidence.stop": _END,
        "lifeseal.disposal.Certificate.to_bytes": _MEMORY,
        "lifeseal.disposal.Disposal.from_statement": _MEMORY,
        "lifeseal.disposal.Disposal.to_statement": _MEMORY,
        "lifeseal.principles.Sink.emit": _PROTOCOL,
        "lifeseal.principles.announce": _PART,
        "lifeseal.principles.find": _CATALOGUE,
        "lifeseal.principles.implements": _CATALOGUE,
        "lifeseal.principles.judgements": _CATALOGUE,
        "lifeseal.principles.note": _PART,
        "lifeseal.principles.now": _MEMORY,
        "lifeseal.principles.primitives": _CATALOGUE,
        "lifeseal.principles.principles": _CATALOGUE,
        "lifeseal.principles.provisions": _CATALOGUE,
        "lifeseal.principles.public_callables": _CATALOGUE,
        "lifeseal.principles.refused": _PART,
        "lifeseal.principles.set_process_sink": "evidence.start is tagged",
        "lifeseal.principles.sink_for_block": "evidence.Log uses it",
        "lifeseal.principles.tag_of": _CATALOGUE,
        "lifeseal.principles.untagged": _CATALOGUE,
    }
)
