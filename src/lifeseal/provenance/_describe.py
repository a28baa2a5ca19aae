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
from lifeseal.provenance._description import MAX_TEXT, Description, Origin

_MAX_DOCUMENT = 64 << 20
_FENCE = b"---"
_ITEMS, _DEPTH = 100, 3
_UNSTATED = "LicenseRef-not-stated"


@implements(evidences=("8.2", "8.2.1"), limits="It takes over what somebody wrote, unverified: check it before you record under it.")
def describe(path: StrPath, *, obtained: dt.datetime) -> tuple[Description, tuple[Origin, ...]]:
    """Read what somebody else states about a dataset, to record it under.

    Args:
        path: A Croissant or CycloneDX document, or a card of the Hub (``README.md`` with a head of YAML).
        obtained: When the data was obtained, with a time zone; no such document says it.

    Returns:
        The description, and the digests of upstream data that it names; both for `record`.

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


def _licence(text: str) -> str:
    """Read a licence by its page or its name; what is no SPDX expression becomes a reference."""
    name = text.rstrip("/").removesuffix(".html").rpartition("/")[2] if "/" in text else text
    plain = "".join(c if c.isascii() and (c.isalnum() or c in ".+-() ") else "-" for c in name).strip()[:180]
    return plain or _UNSTATED


def _origins(digests: Iterable[str]) -> tuple[Origin, ...]:
    found = []
    for digest in digests:
        try:
            parse_digest(digest)
        except ValueError:
            continue
        found.append(Origin(digest=digest))
    return tuple(dict.fromkeys(found))


def _croissant(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Origin, ...]]:
    fields: dict[str, Any] = {
        "name": _text(document.get("name")),
        "source": _text(document.get("url")) or "not stated",
        "licence": _licence(_text(document.get("license"))),
        "notes": _text(document.get("description")),
        "acquisition": _text(document.get("rai:dataCollection")),
        "limitations": _text(document.get("rai:dataLimitations")),
        "custodian": _text(document.get("creator")),
    }
    derived = document.get("prov:wasDerivedFrom", [])
    return fields, _origins(
        _text(one) if not isinstance(one, dict) else str(one.get("@id")) for one in (derived if isinstance(derived, list) else [derived])
    )


def _cyclonedx(document: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[Origin, ...]]:
    candidates = [_dict(document.get("metadata")).get("component"), *_list(document.get("components"))]
    chosen = next((one for one in map(_dict, candidates) if one.get("type") == "data"), None)
    if chosen is None:
        raise FormatError(where, "a component of type data was expected")
    record = Record(chosen, where=f"{where}, component")
    contents = _dict(_dict(next(iter(_list(chosen.get("data"))), None)).get("contents"))
    licences = [one.get("expression") or _licence_name(one.get("license")) for one in map(_dict, _list(chosen.get("licenses")))]
    fields: dict[str, Any] = {
        "name": record.take_str("name", max_length=4096),
        "source": _text(contents.get("url")) or "not stated",
        "licence": _licence(" AND ".join(filter(None, map(_text, licences)))),
        "notes": _text(chosen.get("description")),
    }
    links = [entry for entry in map(_dict, _list(document.get("dependencies"))) if entry.get("ref") == chosen.get("bom-ref")]
    return fields, _origins(str(ref) for entry in links for ref in _list(entry.get("dependsOn")))


def _licence_name(value: object) -> str:
    return str(value.get("id") or value.get("name") or "") if isinstance(value, dict) else ""


def _card(data: bytes, where: str) -> dict[str, Any]:
    yaml = require("yaml", extra="cards")
    head = data[len(_FENCE) :].split(b"\n" + _FENCE, 1)[0]
    try:
        fields = yaml.safe_load(head.decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        raise FormatError(where, "a head of YAML between lines of three dashes was expected") from None
    if not isinstance(fields, dict):
        raise FormatError(where, "fields were expected in the head of the card")
    body = data.decode("utf-8", "replace").split("\n---", 1)[-1]
    title = next((line.removeprefix("# ").strip() for line in body.splitlines() if line.startswith("# ")), "")
    return {
        "name": _text(fields.get("pretty_name")) or title or "not stated",
        "source": _text(fields.get("source_datasets")) or "not stated",
        "licence": _licence(_text(fields.get("license"))),
        "intended_uses": tuple(text for text in map(_text, _list(fields.get("task_categories"))[:_ITEMS]) if text),
    }
