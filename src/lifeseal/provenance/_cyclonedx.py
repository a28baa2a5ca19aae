# SPDX-License-Identifier: Apache-2.0
"""CycloneDX 1.7: a dataset, or a model with its data, base models and packages, as a bill of materials."""

import datetime as dt
import json
import re
import urllib.parse
import uuid
from collections.abc import Iterable

from lifeseal import __version__
from lifeseal.attestation import Subject
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._uris import as_uri

_PACKAGE = re.compile(r"pkg:[A-Za-z][A-Za-z0-9.+\-]*/(?:[^@?#\s]+/)*([^/@?#\s]+)(?:@[^?#\s]+)?(?:\?[^#\s]*)?(?:#\S*)?")
_CLASSES = {"public": "public", "internal": "internal", "confidential": "confidential", "personal": "restricted", "special-category": "restricted"}


def dataset_bom(manifest: Manifest) -> bytes:
    """Write the bill of one dataset.

    Args:
        manifest: Of the dataset.

    Returns:
        JSON. Files are never listed: the manifest's digest stands for them.

    Source: CycloneDX 1.7, component type ``data``.
    """
    return _document(_data(manifest), [*_upstream(manifest)], [_depends(manifest)], manifest.digest)


def model_bom(
    model: Subject, *, version: str, datasets: Iterable[Manifest] = (), base_models: Iterable[Subject] = (), packages: Iterable[str] = ()
) -> bytes:
    """Write the bill of a model: what it was trained on, what it was made from, and the packages it needs.

    Args:
        model: Name and root digest, as its signature has them.
        version: For people.
        datasets: Manifests of its data.
        base_models: Names and root digests of the models it was made from.
        packages: Package URLs, as ``pkg:pypi/numpy@2.1.0``.

    Returns:
        JSON.

    Raises:
        ValueError: A package is no package URL.

    Source: CycloneDX 1.7, component type ``machine-learning-model``.
    """
    data, needed = tuple(datasets), tuple(dict.fromkeys(packages))
    bases = {base.digest: base for base in base_models}.values()
    trained_on = [{"ref": manifest.digest} for manifest in data]
    component = _model(model) | {"version": version, "modelCard": {"modelParameters": {"datasets": trained_on}}}
    if bases:
        component["pedigree"] = {"ancestors": [_model(base) for base in bases]}
    # One dataset may be what another was made from: what says more comes last, and stands.
    others = [ancestor for manifest in data for ancestor in _upstream(manifest)] + [_data(manifest) for manifest in data]
    others += [{"type": "library", "bom-ref": package, "purl": package, "name": package_name(package)} for package in needed]
    depends: dict[str, object] = {"ref": model.digest, "dependsOn": sorted({*(manifest.digest for manifest in data), *needed})}
    return _document(component, others, [depends, *map(_depends, data)], model.digest)


def package_name(url: str) -> str:
    """Tell what a package is called.

    Args:
        url: Its package URL.

    Returns:
        The name, without version, qualifiers and place inside.

    Raises:
        ValueError: It is no package URL.

    Source: Package URL, "purl", rules for each component.
    """
    found = _PACKAGE.fullmatch(url)
    if found is None:
        raise ValueError(f"a package URL was expected, as pkg:pypi/numpy@2.1.0, not {url[:80]!r}")
    return urllib.parse.unquote(found[1])


def _document(component: dict[str, object], others: list[dict[str, object]], depends: list[dict[str, object]], name: str) -> bytes:
    by_ref = {str(other["bom-ref"]): other for other in others if other["bom-ref"] != component["bom-ref"]}
    linked = {str(entry["ref"]): entry for entry in depends}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'lifeseal/bom/{name}/{component}/{sorted(by_ref)}')}",
        "version": 1,
        "metadata": {"tools": {"components": [{"type": "application", "name": "lifeseal", "version": __version__}]}, "component": component},
        "components": [by_ref[ref] for ref in sorted(by_ref)],
        "dependencies": [linked[ref] for ref in sorted(linked)],
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _depends(manifest: Manifest) -> dict[str, object]:
    return {"ref": manifest.digest, "dependsOn": sorted({origin.digest for origin in manifest.derived_from})}


def _upstream(manifest: Manifest) -> list[dict[str, object]]:
    return [
        {"type": "data", "bom-ref": origin.digest, "name": origin.digest, "hashes": [_hash(origin.digest)], "data": [{"type": "dataset"}]}
        for origin in manifest.derived_from
    ]


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.partition(":")[2]}


def _model(subject: Subject) -> dict[str, object]:
    return {"type": "machine-learning-model", "bom-ref": subject.digest, "name": subject.name, "hashes": [_hash(subject.digest)]}


def _data(manifest: Manifest) -> dict[str, object]:
    about = manifest.description
    facts = {"manifest": manifest.digest, "files": str(len(manifest.files)), "bytes": str(manifest.size), "records": str(manifest.records)}
    stated = sum(bool(file.stated_by) for file in manifest.files)
    facts |= {"files-whose-sha256-the-server-states": str(stated)} if stated else {}
    facts |= {
        "obtained": about.obtained.astimezone(dt.UTC).isoformat(),
        "acquisition": about.acquisition,
        "consent": about.consent,
        "retention": about.retention,
    }
    facts |= {"limitations": about.limitations, "permitted-uses": "; ".join(about.permitted_uses)}
    properties = [{"name": f"lifeseal:{name}", "value": value} for name, value in facts.items() if value]
    data: dict[str, object] = {"type": "dataset", "name": about.name, "contents": {"url": as_uri(about.source), "properties": properties}}
    if about.sensitivity:
        data |= {"classification": _CLASSES[about.sensitivity], "sensitiveData": [about.sensitivity]}
    if about.custodian:
        data["governance"] = {"custodians": [{"organization": {"name": about.custodian}}]}
    found: dict[str, object] = {"type": "data", "bom-ref": manifest.digest, "name": about.name, "hashes": [_hash(manifest.digest)]}
    found |= {"licenses": [{"expression": about.licence}], "data": [data]}
    if about.notes:
        found["description"] = about.notes
    return found
