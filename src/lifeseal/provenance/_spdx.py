# SPDX-License-Identifier: Apache-2.0
"""SPDX 3.0.1 with the Dataset and AI profiles, and the rules of their text that no validator checks."""

import datetime as dt
import json
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from lifeseal.attestation import Subject
from lifeseal.provenance._cyclonedx import package_name
from lifeseal.provenance._description import PERSONAL
from lifeseal.provenance._entries import STATED, RecordedFile
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._uris import as_uri

Element: TypeAlias = dict[str, object]

LISTED = 10_000
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_OWN_LICENCE = re.compile(r"LicenseRef-[A-Za-z0-9.\-]+")
_NO_TEXT = "The text of this licence is not recorded; whoever has the data has it from its source."
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
    base, about = _base(manifest.digest), manifest.description
    files = [_file(base, number, file) for number, file in enumerate(manifest.files if len(manifest.files) <= LISTED else ())]
    contains = [_link(base, "contains", "contains", f"{base}dataset", _ids(files))] if files else []
    elements = [*_dataset(manifest), *files, *contains]
    return _document(base, about.name, f"{base}dataset", elements, profile="dataset", time=about.obtained, agent=f"{base}custodian")


def model_spdx(
    model: Subject,
    *,
    version: str,
    licence: str,
    supplier: str,
    released: dt.datetime,
    location: str,
    datasets: Iterable[Manifest] = (),
    base_models: Iterable[Subject] = (),
    packages: Iterable[str] = (),
) -> bytes:
    """Write a model as an SPDX document: what it was trained on, what it was made from, and the packages it needs.

    What is asked for is what the AI profile demands of every model.

    Args:
        model: Name and root digest, as its signature has them.
        version: For people.
        licence: SPDX licence expression.
        supplier: Who gives the model out: a role or an organisation.
        released: When, with a time zone.
        location: Where it is got from.
        datasets: Manifests of its data.
        base_models: Names and root digests of the models it was made from.
        packages: Package URLs, as ``pkg:pypi/numpy@2.1.0``.

    Returns:
        JSON-LD; files are not listed, the digests of model and manifests stand for them.

    Raises:
        ValueError: A package is no package URL, or the time has no zone.

    Source: SPDX 3.0.1, AI profile: suppliedBy, downloadLocation, packageVersion, primaryPurpose, releaseTime, and exactly one concluded and one
    declared licence are demanded by its text.
    """
    if released.tzinfo is None:
        raise ValueError("released= needs a time zone")
    data, base = tuple(datasets), _base(model.digest)
    place = f"{base}model"
    package = _named("ai_AIPackage", place, model.name) | {
        "verifiedUsing": [_hash(model.sha256)],
        "releaseTime": _time(released),
        "suppliedBy": f"{base}supplier",
        "software_packageVersion": version,
        "software_downloadLocation": as_uri(location),
        "software_primaryPurpose": "model",
        "ai_useSensitivePersonalInformation": _presence(data),
    }
    bases = [_known_by_digest(f"{_base(one.digest)}model", one.name, one.sha256, "model") for one in base_models]
    needed: list[Element] = [
        _named("software_Package", f"{base}package-{number}", package_name(url)) | {"software_packageUrl": url, "software_primaryPurpose": "library"}
        for number, url in enumerate(dict.fromkeys(packages))
    ]
    elements = [_named("Organization", f"{base}supplier", supplier), package, *_licensed(base, place, licence)]
    elements += [element for manifest in data for element in _dataset(manifest)] + bases + needed
    trained = [f"{_base(manifest.digest)}dataset" for manifest in data]
    elements += [_link(base, "trained", "trainedOn", place, trained)] if trained else []
    elements += [_link(base, f"base-{number}", "ancestorOf", str(one["spdxId"]), [place]) for number, one in enumerate(bases)]
    elements += [_link(base, "needs", "dependsOn", place, _ids(needed))] if needed else []
    return _document(base, model.name, place, elements, profile="ai", time=released, agent=f"{base}supplier")


def _base(digest: str) -> str:
    return f"urn:lifeseal:{digest}#"


def _dataset(manifest: Manifest) -> list[Element]:
    """Write a dataset, its licence and custodian, and what it was made from."""
    base, about = _base(manifest.digest), manifest.description
    place, time = f"{base}dataset", _time(about.obtained)
    package = _named("dataset_DatasetPackage", place, about.name) | {
        "verifiedUsing": [_hash(manifest.sha256)],
        "builtTime": time,
        "releaseTime": time,
        "originatedBy": [f"{base}custodian"],
        "software_packageVersion": manifest.digest,
        "software_downloadLocation": as_uri(about.source),
        "software_primaryPurpose": "data",
        "dataset_datasetType": ["noAssertion"],
        "dataset_datasetSize": manifest.size,
        "dataset_dataCollectionProcess": about.acquisition or "not stated",
        "dataset_hasSensitivePersonalInformation": _presence([manifest]),
    }
    package |= {"dataset_confidentialityLevel": _LEVELS[about.sensitivity]} if about.sensitivity else {}
    package |= {"dataset_intendedUse": "; ".join(about.intended_uses)} if about.intended_uses else {}
    package |= {"comment": about.notes} if about.notes else {}
    origins = dict.fromkeys(origin.digest for origin in manifest.derived_from)
    # Of what it was made from only the digest is known, which is too little for the Dataset profile.
    upstream = [_known_by_digest(f"{_base(digest)}dataset", digest, bytes.fromhex(digest.partition(":")[2]), "data") for digest in origins]
    custodian = _named("Organization", f"{base}custodian", about.custodian or "not stated")
    links = [_link(base, f"origin-{number}", "ancestorOf", str(one["spdxId"]), [place]) for number, one in enumerate(upstream)]
    return [custodian, package, *_licensed(base, place, about.licence), *upstream, *links]


def _presence(data: Sequence[Manifest]) -> str:
    """Tell whether there is sensitive personal information; nobody says that there is none."""
    return "yes" if any(manifest.description.sensitivity in PERSONAL for manifest in data) else "noAssertion"


def _licensed(base: str, place: str, licence: str) -> list[Element]:
    expression = _element("simplelicensing_LicenseExpression", f"{base}licence") | {"simplelicensing_licenseExpression": licence}
    own = {name: f"{base}licence-{number}" for number, name in enumerate(dict.fromkeys(_OWN_LICENCE.findall(licence)))}
    texts = [_named("simplelicensing_SimpleLicensingText", where, name) | {"simplelicensing_licenseText": _NO_TEXT} for name, where in own.items()]
    if own:
        entries = [{"type": "DictionaryEntry", "key": name, "value": where} for name, where in own.items()]
        expression |= {"simplelicensing_customIdToUri": entries}
    kinds = {"concluded": "hasConcludedLicense", "declared": "hasDeclaredLicense"}
    return [*texts, expression, *(_link(base, name, kind, place, [f"{base}licence"]) for name, kind in kinds.items())]


def _document(base: str, name: str, root: str, elements: list[Element], *, profile: str, time: dt.datetime, agent: str) -> bytes:
    # One dataset may be the origin of another: then what says more stands.
    by_id = {str(element["spdxId"]): element for element in sorted(elements, key=len)}
    profiles = ["core", "software", "dataset", *(["ai"] if profile == "ai" else []), "simpleLicensing"]
    document = _named("SpdxDocument", f"{base}document", name) | {"profileConformance": profiles, "rootElement": [root], "element": sorted(by_id)}
    creation = {"type": "CreationInfo", "@id": "_:creation", "created": _time(time), "createdBy": [agent], "specVersion": "3.0.1"}
    graph = [creation, document, *(by_id[key] for key in sorted(by_id))]
    return json.dumps({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph}, indent=1, ensure_ascii=False).encode()


def _element(kind: str, place: str) -> Element:
    return {"type": kind, "spdxId": place, "creationInfo": "_:creation"}


def _named(kind: str, place: str, name: str) -> Element:
    return _element(kind, place) | {"name": name}


def _known_by_digest(place: str, name: str, sha256: bytes, purpose: str) -> Element:
    return _named("software_Package", place, name) | {"verifiedUsing": [_hash(sha256)], "software_primaryPurpose": purpose}


def _file(base: str, number: int, file: RecordedFile) -> Element:
    stated = {"comment": STATED} if file.stated_by else {}
    return _named("software_File", f"{base}file-{number}", file.path) | {"verifiedUsing": [_hash(file.sha256)]} | stated


def _link(base: str, name: str, kind: str, source: str, to: list[str]) -> Element:
    return _element("Relationship", f"{base}{name}") | {"from": source, "relationshipType": kind, "to": to}


def _ids(elements: Iterable[Element]) -> list[str]:
    return [str(element["spdxId"]) for element in elements]


def _hash(digest: bytes) -> dict[str, str]:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digest.hex()}


def _time(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).strftime(_TIME)
