# SPDX-License-Identifier: Apache-2.0
"""Descriptions that others wrote: Croissant, CycloneDX, and the cards of the Hugging Face Hub."""

import datetime as dt
import os
from collections.abc import Iterable, Mapping
from typing import Any

from lifeseal._io import Record, StrPath, loads, read_bounded, require
from lifeseal.attestation import parse_digest
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.provenance._description import MAX_TEXT, SENSITIVITIES, Description, Origin
from lifeseal.provenance._licences import licence_expression
from lifeseal.provenance._uris import from_uri

_MAX_DOCUMENT = 64 << 20
_FENCE = b"---"
_ITEMS, _DEPTH = 100, 3
_NO_LICENCES = frozenset({"other", "unknown", "unlicensed"})  # what the Hub writes where there is no SPDX identifier


@implements(evidences=("8.2", "8.2.1"), limits="It takes over what somebody wrote, unverified: check it before you record under it.")
def describe(path: StrPath, *, obtained: dt.datetime) -> tuple[Description, tuple[Origin, ...]]:
    """Read what somebody else states about a dataset, to record it under.

    Args:
        path: A Croissant or CycloneDX document, or a card of the Hub (``README.md`` with a head of YAML).
        obtained: When the data was obtained, with a time zone; no such document says it.

    Returns:
        The description, and the digests of upstream data that it tells; both for `record`. Upstream data without a SHA-256 is named in
        the notes.

    Raises:
        FormatError: It is none of these, or names no dataset.
        LimitError: It is larger than 64 MiB.
        MissingExtraError: A card needs ``pyyaml``.
        OSError: It cannot be read.
    """
    where = os.fspath(path)
    data = read_bounded(path, limit=_MAX_DOCUMENT, what="a description of a dataset")
    origins: tuple[Origin, ...] = ()
    if data.startswith(_FENCE):
        fields = _card(data, where)
    else:
        document = loads(data, where=where, max_bytes=_MAX_DOCUMENT, floats=True, what="a description of a dataset")
        record = document if isinstance(document, dict) else {}
        if record.get("bomFormat") == "CycloneDX":
            fields, origins = _cyclonedx(record, where)
        elif "@context" in record and "name" in record:
            fields, origins = _croissant(record)
        else:
            raise FormatError(where, "a Croissant or CycloneDX document, or a dataset card, was expected")
    note(name=fields["name"])
    try:
        return Description(obtained=obtained, **_cut(fields)), origins
    except (TypeError, ValueError) as error:
        raise FormatError(where, str(error)) from None


def _cut(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in fields.items() if value}


def _text(value: object, *, depth: int = 0) -> str:
    if isinstance(value, str) or depth > _DEPTH:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_text(item, depth=depth + 1) for item in value[:_ITEMS])))
    return _text(value.get("name") or value.get("@id"), depth=depth + 1) if isinstance(value, dict) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _licences(value: object) -> list[str]:
    """Take one licence or several: a text, or something that has an address or a name."""
    found = []
    for one in value[:_ITEMS] if isinstance(value, list) else [value]:
        named = [one.get(key) for key in ("url", "@id", "name")] if isinstance(one, dict) else [one]
        found += [text for text in named if isinstance(text, str) and text][:1]
    return found


def _origins(digests: Iterable[str]) -> tuple[Origin, ...]:
    return tuple(Origin(digest=digest) for digest in dict.fromkeys(digests) if _is_digest(digest))


def _is_digest(text: str) -> bool:
    try:
        parse_digest(text)
    except ValueError:
        return False
    return True


def _noted(notes: str, upstream: Iterable[str]) -> str:
    """Keep in the notes what it was made from, where nobody tells a digest of that."""
    named = [name for name in dict.fromkeys(upstream) if name and not _is_digest(name)]
    return "\n".join(filter(None, (notes, f"made from: {', '.join(named[:_ITEMS])}" if named else "")))


def _sensitivity(words: object) -> str | None:
    return next((word for word in SENSITIVITIES if word in (words if isinstance(words, list) else [words])), None)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";")[:_ITEMS] if part.strip())


def _croissant(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Origin, ...]]:
    derived = document.get("prov:wasDerivedFrom", [])
    upstream = [
        str(one.get("@id") or one.get("url") or one.get("name") or "") if isinstance(one, dict) else _text(one)
        for one in (derived[:_ITEMS] if isinstance(derived, list) else [derived])
    ]
    fields: dict[str, Any] = {
        "name": _text(document.get("name")),
        "source": from_uri(_text(document.get("url"))) or "not stated",
        "licence": licence_expression(_licences(document.get("license"))),
        "notes": _noted(_text(document.get("description")), upstream),
        "acquisition": _text(document.get("rai:dataCollection")),
        "sensitivity": _sensitivity(document.get("rai:personalSensitiveInformation")),
        "intended_uses": _split(_text(document.get("rai:dataUseCases"))),
        "limitations": _text(document.get("rai:dataLimitations")),
        "retention": _text(document.get("rai:dataReleaseMaintenancePlan")),
        "custodian": _text(document.get("creator")).removeprefix("not stated"),
    }
    return fields, _origins(upstream)


def _cyclonedx(document: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[Origin, ...]]:
    candidates = [_dict(document.get("metadata")).get("component"), *_list(document.get("components"))]
    chosen = next((one for one in map(_dict, candidates) if one.get("type") == "data"), None)
    if chosen is None:
        raise FormatError(where, "a component of type data was expected")
    record = Record(chosen, where=f"{where}, component")
    data = _dict(next(iter(_list(chosen.get("data"))), None))
    contents, governance = _dict(data.get("contents")), _dict(data.get("governance"))
    licences = [one.get("expression") or _licence_name(one.get("license")) for one in map(_dict, _list(chosen.get("licenses")))]
    stated = {one["name"]: one.get("value") for one in map(_dict, _list(contents.get("properties"))) if isinstance(one.get("name"), str)}
    custodians = [one.get("organization") or one.get("contact") for one in map(_dict, _list(governance.get("custodians")))]
    linked = {ref for entry in map(_dict, _list(document.get("dependencies"))) if entry.get("ref") == chosen.get("bom-ref") for ref in _refs(entry)}
    ancestors = [_dict(one) for one in _list(_dict(chosen.get("pedigree")).get("ancestors"))[:_ITEMS]]
    ancestors += [one for one in map(_dict, candidates) if one.get("type") == "data" and one.get("bom-ref") in linked]
    upstream = [_component_digest(one) or _text(one.get("name")) for one in ancestors]
    fields: dict[str, Any] = {
        "name": record.take_str("name", max_length=4096),
        "source": from_uri(_text(contents.get("url"))) or "not stated",
        "licence": licence_expression(filter(None, map(_text, licences))),
        "notes": _noted(_text(chosen.get("description")), upstream),
        "sensitivity": _sensitivity(data.get("sensitiveData")),
        "custodian": _text(custodians),
        "permitted_uses": _split(_text(stated.get("lifeseal:permitted-uses"))),
    }
    fields |= {field: _text(stated.get(f"lifeseal:{field}")) for field in ("acquisition", "consent", "retention", "limitations")}
    return fields, _origins(upstream)


def _refs(entry: Mapping[str, Any]) -> list[str]:
    return [ref for ref in _list(entry.get("dependsOn")) if isinstance(ref, str)]


def _component_digest(component: Mapping[str, Any]) -> str:
    found = (one.get("content") for one in map(_dict, _list(component.get("hashes"))) if one.get("alg") == "SHA-256")
    return next((f"sha256:{content.lower()}" for content in found if isinstance(content, str)), "")


def _licence_name(value: object) -> str:
    return str(value.get("id") or value.get("name") or "") if isinstance(value, dict) else ""


def _card(data: bytes, where: str) -> dict[str, Any]:
    yaml = require("yaml", extra="cards")
    head = data[len(_FENCE) :].split(b"\n" + _FENCE, 1)[0]
    try:
        fields = yaml.safe_load(head.decode("utf-8"))
    except (yaml.YAMLError, RecursionError, ValueError, AttributeError, LookupError, TypeError, OverflowError):  # its constructors raise anything
        raise FormatError(where, "a head of YAML between lines of three dashes was expected") from None
    if not isinstance(fields, dict):
        raise FormatError(where, "fields were expected in the head of the card")
    body = data.decode("utf-8", "replace").split("\n---", 1)[-1]
    title = next((line.removeprefix("# ").strip() for line in body.splitlines() if line.startswith("# ")), "")
    other = f"LicenseRef-{_text(fields.get('license_name'))}" if fields.get("license_name") else ""
    licences = [(other or f"LicenseRef-{one}") if one.lower() in _NO_LICENCES else one for one in _licences(fields.get("license"))]
    upstream = fields.get("source_datasets")
    return {
        "name": _text(fields.get("pretty_name")) or title or "not stated",
        "source": "not stated",
        "licence": licence_expression(licences),
        "notes": _noted("", (name for name in map(_text, _list(upstream)[:_ITEMS] or [upstream]) if name != "original")),
        "intended_uses": tuple(text for text in map(_text, _list(fields.get("task_categories"))[:_ITEMS]) if text),
    }
