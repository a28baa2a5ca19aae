# SPDX-License-Identifier: Apache-2.0
"""Croissant 1.1: a dataset's description and files, for the tools that read datasets by it."""

import datetime as dt
import json
from collections.abc import Mapping

from lifeseal.provenance._entries import STATED, RecordedFile
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._uris import as_uri

LISTED = 1000  # files written one by one; beyond, the manifest stands for them
_FORMATS = {
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".parquet": "application/x-parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".npz": "application/x-npz",
    ".safetensors": "application/octet-stream",
}
_TEXTS = (".jsonl", ".txt", ".csv")
_MOST_TEXT = 64 << 20  # a reader takes the content as one record
_TYPES = {"bool": "sc:Boolean", "int": "sc:Integer", "uint": "sc:Integer", "float": "sc:Float", "double": "sc:Float"}
# Source: Croissant 1.1, appendix; samplingRate is missing there, and mlcroissant 1.1.1 warns without it.
_TERMS = (
    *(
        "annotation",
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "excludes",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
    ),
    *(
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
    ),
    *("readLines", "repeated", "replace", "sdVersion", "samplingRate", "separator", "source", "subField", "transform", "unArchive", "value"),
)


def croissant(manifest: Manifest, manifest_name: str) -> bytes:
    """Write the description.

    Args:
        manifest: Of the dataset.
        manifest_name: Where the manifest lies, beside the description.

    Returns:
        JSON-LD.

    Source: Croissant 1.1; W3C PROV-O.
    """
    about, time = manifest.description, manifest.description.obtained.astimezone(dt.UTC)
    listed = manifest.files if len(manifest.files) <= LISTED else ()
    document: dict[str, object] = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": about.name,
        "description": about.notes or f"Recorded by lifeseal; manifest {manifest.digest}.",
        "license": licence_url(about.licence),
        "url": as_uri(about.source),
        "creator": {"@type": "sc:Organization", "name": about.custodian or "not stated"},
        "datePublished": time.strftime("%Y-%m-%d"),
        "citeAs": about.source,
        "version": f"1.0.0+{manifest.digest.replace(':', '.')}",
        "distribution": [_manifest_file(manifest, manifest_name), *(_file(number, file) for number, file in enumerate(listed))]
        + ([] if listed else [_file_set(manifest_name)]),
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": about.acquisition or "obtained", "prov:endedAtTime": time.isoformat()},
    }
    document |= {name: value for name, value in _responsible(manifest).items() if value}
    if manifest.derived_from:
        document["prov:wasDerivedFrom"] = [{"@id": origin.digest, "prov:label": origin.step} for origin in manifest.derived_from]
    sets = [record_set for number, file in enumerate(listed) if (record_set := _record_set(number, file)) is not None]
    return json.dumps(document | ({"recordSet": sets} if sets else {}), indent=1, ensure_ascii=False).encode()


def licence_url(expression: str) -> str:
    """Write a single SPDX licence as its page; an expression stays as it is."""
    plain = expression.replace("-", "").replace(".", "").isalnum() and not expression.startswith("LicenseRef")
    return f"https://spdx.org/licenses/{expression}.html" if plain else expression


def _context() -> dict[str, object]:
    context: dict[str, object] = {"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/"}
    context |= {"cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/"}
    context |= {"prov": "http://www.w3.org/ns/prov#", "conformsTo": "dct:conformsTo"}
    context |= {"data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"}}
    context |= {"examples": {"@id": "cr:examples", "@type": "@json"}}
    return context | {term: f"cr:{term}" for term in _TERMS}


def _responsible(manifest: Manifest) -> Mapping[str, str]:
    about = manifest.description
    return {
        "rai:dataCollection": about.acquisition,
        "rai:personalSensitiveInformation": about.sensitivity or "",
        "rai:dataUseCases": "; ".join(about.intended_uses),
        "rai:dataLimitations": about.limitations,
        "rai:dataReleaseMaintenancePlan": about.retention,
    }


def _manifest_file(manifest: Manifest, name: str) -> dict[str, object]:
    size = f"{len(manifest.to_bytes())} B"
    kind: dict[str, object] = {
        "@type": "cr:FileObject",
        "@id": "lifeseal-manifest",
        "name": "lifeseal-manifest",
        "contentUrl": name,
        "contentSize": size,
    }
    return kind | {"encodingFormat": "application/json", "sha256": manifest.sha256.hex(), "description": "Every file with its SHA-256."}


def _file(number: int, file: RecordedFile) -> dict[str, object]:
    kind: dict[str, object] = {
        "@type": "cr:FileObject",
        "@id": f"file-{number}",
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
    }
    encoding = _encoding(file.path)
    # As text first, or a reader takes the records of its own parser for the content.
    encodings = ["text/plain", encoding] if _is_text(file) and encoding != "text/plain" else encoding
    kind |= {"description": STATED} if file.stated_by else {}
    return kind | {"encodingFormat": encodings, "sha256": file.sha256.hex()}


def _encoding(path: str) -> str:
    return next((encoding for ending, encoding in _FORMATS.items() if path.lower().endswith(ending)), "application/octet-stream")


def _file_set(manifest_name: str) -> dict[str, object]:
    listed = {"fileObject": {"@id": "lifeseal-manifest"}}
    about = f"The files that {manifest_name} lists, each with size and SHA-256."
    return {
        "@type": "cr:FileSet",
        "@id": "files",
        "name": "files",
        "description": about,
        "containedIn": listed,
        "encodingFormat": "application/octet-stream",
        "includes": "*",
    }


def _record_set(number: int, file: RecordedFile) -> dict[str, object] | None:
    """Describe the content of a text, or the rows of a table whose columns are known; reading one makes a tool check the file's digest."""
    if _is_text(file):
        fields = [_field(number, 0, "content", "sc:Text", {"fileProperty": "content"})]
    elif file.records is not None and file.records.columns:
        columns = enumerate(file.records.columns)
        fields = [_field(number, place, column.name, _data_type(column.type), {"column": column.name}) for place, column in columns]
    else:
        return None
    return {"@type": "cr:RecordSet", "@id": f"records-{number}", "name": f"records of {file.path}", "field": fields}


def _is_text(file: RecordedFile) -> bool:
    return file.path.lower().endswith(_TEXTS) and file.size <= _MOST_TEXT


def _field(number: int, place: int, name: str, data_type: str, extract: dict[str, str]) -> dict[str, object]:
    source = {"fileObject": {"@id": f"file-{number}"}, "extract": extract}
    return {"@type": "cr:Field", "@id": f"records-{number}/field-{place}", "name": name, "dataType": data_type, "source": source}


def _data_type(arrow: str) -> str:
    return next((kind for start, kind in _TYPES.items() if arrow.startswith(start)), "sc:Text")
