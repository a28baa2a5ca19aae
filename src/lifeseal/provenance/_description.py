# SPDX-License-Identifier: Apache-2.0
"""What the person who records data states about it, and what it was made from."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import attrs

from lifeseal._io import Record
from lifeseal.attestation import parse_digest, parse_time
from lifeseal.errors import FormatError

if TYPE_CHECKING:
    from lifeseal.provenance._manifest import Manifest

Sensitivity: TypeAlias = Literal["public", "internal", "confidential", "personal", "special-category"]
SENSITIVITIES: tuple[Sensitivity, ...] = get_args(Sensitivity)
PERSONAL: frozenset[str] = frozenset({"personal", "special-category"})
MAX_TEXT = 1 << 16
_MAX_NAME = 4096
_MAX_STEP = 200
_MAX_USES = 1000
_FIRST_YEAR = 1000
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LICENCE = re.compile(r"[A-Za-z0-9.+():\- ]{1,200}", re.ASCII)

# What every manifest says, and what is written only where it is stated.
_TEXTS = ("name", "source", "licence", "notes")
_MORE_TEXTS = ("acquisition", "retention", "consent", "custodian", "limitations")
_LISTS = ("intended_uses", "permitted_uses")


def _strings(texts: Iterable[str]) -> tuple[str, ...]:
    if isinstance(texts, str):
        raise TypeError(f"a list of texts was expected, not the one text {texts[:40]!r}")
    return tuple(texts)


@attrs.frozen(kw_only=True)
class Description:
    """Where data came from, under which terms and for what, as the person who records it states it.

    Texts hold at most 65 536 characters; what is not stated is empty.

    Attributes:
        name: What to call the data, at most 4096 characters.
        source: URL, or what stands for one.
        obtained: When it was obtained from there, with a time zone; kept to the second.
        licence: SPDX licence expression, or ``LicenseRef-…``.
        notes: Anything else worth keeping.
        acquisition: How it was obtained: crawled, bought, given, measured, generated.
        sensitivity: ``public``, ``internal``, ``confidential``, ``personal`` or ``special-category``; None is not stated.
        intended_uses: What it is meant for.
        permitted_uses: What licence, consent or contract allow it to be used for.
        retention: How long it may be kept, and why.
        consent: Where consent, or another legal ground, is written down; a reference, never a person's name.
        custodian: Who looks after it: a role or an organisation.
        limitations: What it lacks, and what it must not be used for.

    Source: UK Code of Practice, provisions 2.5, 8.1.1, 8.2 and 8.2.1.
    """

    name: str
    source: str
    obtained: dt.datetime
    licence: str
    notes: str = ""
    acquisition: str = ""
    sensitivity: Sensitivity | None = None
    intended_uses: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    permitted_uses: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    retention: str = ""
    consent: str = ""
    custodian: str = ""
    limitations: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.name.strip() or not self.source.strip():
            raise ValueError("name= and source= must say something")
        _check_text("name", self.name, most=_MAX_NAME)
        for field in (*_TEXTS[1:], *_MORE_TEXTS):
            _check_text(field, getattr(self, field), most=MAX_TEXT)
        for field in _LISTS:
            _check_list(field, getattr(self, field))
        if self.obtained.tzinfo is None:
            raise ValueError("obtained= needs a time zone")
        if not _FIRST_YEAR < self.obtained.year < dt.MAXYEAR:
            raise ValueError(f"obtained= is in the year {self.obtained.year}")
        if not _LICENCE.fullmatch(self.licence):
            raise ValueError(f"licence= takes an SPDX expression such as 'CC-BY-4.0', not {self.licence[:80]!r}")
        if self.sensitivity is not None and self.sensitivity not in SENSITIVITIES:
            raise ValueError(f"sensitivity= is one of {', '.join(SENSITIVITIES)}, not {self.sensitivity!r}")


@attrs.frozen(kw_only=True)
class Origin:
    """A dataset that this one was made from.

    Attributes:
        digest: Of its manifest, ``sha256:`` and 64 hexadecimal digits.
        step: What made this one from it: ``filter``, ``tokenise``, …; empty is not stated.
    """

    digest: str
    step: str = ""

    def __attrs_post_init__(self) -> None:
        parse_digest(self.digest)
        _check_text("step", self.step, most=_MAX_STEP)

    @classmethod
    def of(cls, manifest: "Manifest", *, step: str = "") -> "Origin":
        """Name a manifest, and the step that led from its data to the new data.

        Args:
            manifest: Of the data that was used.
            step: One or two words; `trace` names those after which a record is still the same bytes.

        Returns:
            What ``derived_from=`` takes.
        """
        return cls(digest=manifest.digest, step=step)


def has_more(description: Description) -> bool:
    """Tell whether it states anything that manifests of schema 1 do not hold."""
    return description.sensitivity is not None or any(getattr(description, field) for field in (*_MORE_TEXTS, *_LISTS))


def description_to_json(description: Description) -> dict[str, object]:
    """Write the object that stands in a manifest; what is not stated is left out."""
    document: dict[str, object] = {field: getattr(description, field) for field in _TEXTS}
    document["obtained"] = description.obtained.astimezone(dt.UTC).strftime(_TIME)
    document |= {field: getattr(description, field) for field in _MORE_TEXTS if getattr(description, field)}
    document |= {field: list(getattr(description, field)) for field in _LISTS if getattr(description, field)}
    if description.sensitivity is not None:
        document["sensitivity"] = description.sensitivity
    return document


def description_from_json(record: Record, *, more: bool) -> Description:
    """Read the object that stands in a manifest.

    Args:
        record: The object.
        more: Whether fields of schema 2 may be there.

    Returns:
        The description.

    Raises:
        FormatError: It is anything else.
    """
    obtained = parse_time(record.take_str("obtained", max_length=32), where=record.at("obtained"))
    texts = {field: record.take_str(field) for field in _TEXTS}
    lists: dict[str, tuple[str, ...]] = {}
    sensitivity = None
    if more:
        texts |= {field: record.take_str(field) for field in _MORE_TEXTS if field in record}
        lists = {field: record.take_strs(field, max_items=_MAX_USES) for field in _LISTS if field in record}
        if "sensitivity" in record:
            found = record.take_str("sensitivity")
            sensitivity = next((word for word in SENSITIVITIES if word == found), None)
            if sensitivity is None:
                raise FormatError(record.at("sensitivity"), f"one of {', '.join(SENSITIVITIES)} was expected, not {found[:60]!r}")
    record.done()
    try:
        return Description(
            obtained=obtained,
            sensitivity=sensitivity,
            intended_uses=lists.get("intended_uses", ()),
            permitted_uses=lists.get("permitted_uses", ()),
            **texts,
        )
    except ValueError as error:
        raise FormatError(record.where, str(error)) from None


def _check_text(field: str, text: str, *, most: int) -> None:
    if len(text) > most:
        raise ValueError(f"{field}= has {len(text)} characters, more than {most}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{field}= is not valid Unicode") from None


def _check_list(field: str, texts: tuple[str, ...]) -> None:
    if len(texts) > _MAX_USES:
        raise ValueError(f"{field}= has {len(texts)} entries, more than {_MAX_USES}")
    for text in texts:
        _check_text(field, text, most=MAX_TEXT)
        if not text.strip():
            raise ValueError(f"{field}= has an entry that says nothing")
