# SPDX-License-Identifier: Apache-2.0
"""SPDX 3.0.1 with the Dataset profile, and its text rules that no validator checks."""

import datetime as dt
import json

from lifeseal.provenance._manifest import Manifest

LISTED = 10_000
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PRESENCE = {"personal": "yes", "special-category": "yes", "public": "no", "internal": "no", "confidential": "no"}
_LEVELS = {"public": "clear", "internal": "green", "confidential": "amber", "personal": "red", "special-category": "red"}


def spdx(manifest: Manifest) -> bytes:
    """Write the dataset as an SPDX document.

    Args:
        manifest: Of the dataset.

    Returns:
        JSON-LD. Files are listed up to ten thousand; beyond, the manifest's digest stands for them.

    Source: SPDX 3.0.1, Dataset profile: builtTime, originatedBy, releaseTime, downloadLocation, primaryPurpose, and exactly one concluded and
    one declared licence are demanded by its text.
    """
    about = manifest.description
    base = f"urn:lifeseal:{manifest.digest}#"
    time = about.obtained.astimezone(dt.UTC).strftime(_TIME)
    listed = manifest.files if len(manifest.files) <= LISTED else ()
    package: dict[str, object] = {
        "type": "dataset_DatasetPackage",
        "spdxId": f"{base}dataset",
        "creationInfo": "_:creation",
        "name": about.name,
        "verifiedUsing": [_hash(manifest.sha256)],
        "builtTime": time,
        "releaseTime": time,
        "originatedBy": [f"{base}custodian"],
        "software_packageVersion": manifest.digest,
        "software_downloadLocation": _location(about.source),
        "software_primaryPurpose": "data",
        "dataset_datasetType": ["noAssertion"],
        "dataset_datasetSize": manifest.size,
        "dataset_dataCollectionProcess": about.acquisition or "not stated",
    }
    if about.sensitivity:
        package |= {
            "dataset_hasSensitivePersonalInformation": _PRESENCE[about.sensitivity],
            "dataset_confidentialityLevel": _LEVELS[about.sensitivity],
        }
    package |= {"dataset_intendedUse": "; ".join(about.intended_uses)} if about.intended_uses else {}
    package |= {"comment": about.notes} if about.notes else {}
    files: list[dict[str, object]] = [
        {
            "type": "software_File",
            "spdxId": f"{base}file-{number}",
            "creationInfo": "_:creation",
            "name": file.path,
            "verifiedUsing": [_hash(file.sha256)],
        }
        for number, file in enumerate(listed)
    ]
    licence: dict[str, object] = {
        "type": "simplelicensing_LicenseExpression",
        "spdxId": f"{base}licence",
        "creationInfo": "_:creation",
        "simplelicensing_licenseExpression": about.licence,
    }
    custodian: dict[str, object] = {
        "type": "Organization",
        "spdxId": f"{base}custodian",
        "creationInfo": "_:creation",
        "name": about.custodian or "not stated",
    }
    upstream: list[dict[str, object]] = [
        {
            "type": "dataset_DatasetPackage",
            "spdxId": f"urn:lifeseal:{origin.digest}#dataset",
            "creationInfo": "_:creation",
            "name": origin.digest,
            "verifiedUsing": [_hash(bytes.fromhex(origin.digest.partition(":")[2]))],
            "dataset_datasetType": ["noAssertion"],
        }
        for origin in {origin.digest: origin for origin in manifest.derived_from}.values()
    ]
    links = [_link(base, "concluded", "hasConcludedLicense", [f"{base}licence"]), _link(base, "declared", "hasDeclaredLicense", [f"{base}licence"])]
    links += [_link(base, "contains", "contains", [str(file["spdxId"]) for file in files])] if files else []
    links += [_link(base, "ancestors", "ancestorOf", [f"{base}dataset"], source=str(one["spdxId"]), number=n) for n, one in enumerate(upstream)]
    elements = [custodian, package, *files, licence, *upstream, *links]
    document = {
        "type": "SpdxDocument",
        "spdxId": f"{base}document",
        "creationInfo": "_:creation",
        "name": about.name,
        "profileConformance": ["core", "software", "dataset", "simpleLicensing"],
        "rootElement": [f"{base}dataset"],
        "element": [element["spdxId"] for element in elements],
    }
    creation = {"type": "CreationInfo", "@id": "_:creation", "created": time, "createdBy": [f"{base}custodian"], "specVersion": "3.0.1"}
    graph = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": [creation, document, *elements]}
    return json.dumps(graph, indent=1, ensure_ascii=False).encode()


def _hash(digest: bytes) -> dict[str, str]:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digest.hex()}


def _location(source: str) -> str:
    """Write where it came from as a URI; what is none is said so."""
    return source if ":" in source and not any(c.isspace() for c in source) else "urn:lifeseal:source-is-no-uri"


def _link(base: str, name: str, kind: str, to: list[str], *, source: str = "", number: int = 0) -> dict[str, object]:
    return {
        "type": "Relationship",
        "spdxId": f"{base}{name}-{number}",
        "creationInfo": "_:creation",
        "from": source or f"{base}dataset",
        "relationshipType": kind,
        "to": to,
    }
