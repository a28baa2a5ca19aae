# SPDX-License-Identifier: Apache-2.0
"""The Code's 13 principles and 72 provisions, as data."""

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from lifeseal._io import Record, loads

UK = "uk-ai-cop:"
EN = "en-304-223:"
_HERE = Path(__file__).parent


@attrs.frozen(kw_only=True)
class Principle:
    """One of the 13 principles.

    Attributes:
        number: 1 to 13.
        title: As the Code words it.
        phase: Phase of the life cycle.
    """

    number: int
    title: str
    phase: str


@attrs.frozen(kw_only=True)
class Provision:
    """One of the 72 provisions.

    Attributes:
        id: In the UK Code of Practice, as ``uk-ai-cop:8.1.2``.
        en_id: In ETSI EN 304 223, as ``en-304-223:5.2.4-1.2``.
        principle: Number of its principle.
        phase: Phase of the life cycle.
        force: ``required`` (shall), ``recommended`` (should) or ``possible`` (can, may).
        actors: Whom it addresses.
        paraphrase: What it asks, in our words.
    """

    id: str
    en_id: str
    principle: int
    phase: str
    force: str
    actors: tuple[str, ...]
    paraphrase: str

    @property
    def number(self) -> str:
        """The Code's bare number, as ``8.1.2``."""
        return self.id.removeprefix(UK)


@attrs.frozen(kw_only=True)
class Judgement:
    """What a library can do about a provision at all.

    Attributes:
        level: ``implements``, ``evidences`` or ``organisational``.
        reason: Which primitive would, or why none can.
    """

    level: str
    reason: str


def provisions() -> Mapping[str, Provision]:
    """Return all 72 provisions by their UK id, in the Code's order.

    Source: UK Code of Practice for the Cyber Security of AI (2025); ETSI EN 304 223 V2.1.1.
    """
    return _catalogue()[1]


def principles() -> tuple[Principle, ...]:
    """Return the 13 principles in order."""
    return _catalogue()[0]


def find(identifier: str) -> Provision:
    """Look a provision up by either scheme.

    Args:
        identifier: ``uk-ai-cop:8.1.2``, ``en-304-223:5.2.4-1.2``, or the Code's bare number ``8.1.2``.

    Returns:
        The provision.

    Raises:
        ValueError: There is no such provision.
    """
    found = _by_any_id().get(identifier)
    if found is None:
        raise ValueError(f"unknown provision {identifier!r}; the Code's run from 1.1 to 13.2, as {UK}8.1.2 or {EN}5.2.4-1.2")
    return found


@functools.cache
def judgements() -> Mapping[str, Judgement]:
    """Return, by UK id, what a library can do about each provision."""
    root = Record(loads((_HERE / "coverage.json").read_bytes(), where="coverage.json"), where="coverage.json")
    found = {}
    for item in root.take_list("mapping"):
        entry = Record(item, where="coverage.json")
        reason = entry.take_str("why" if "why" in entry else "primitive")
        found[UK + entry.take_str("id")] = Judgement(level=entry.take_str("level"), reason=reason)
    return MappingProxyType(found)


@functools.cache
def _catalogue() -> tuple[tuple[Principle, ...], Mapping[str, Provision]]:
    root = Record(loads((_HERE / "provisions.json").read_bytes(), where="provisions.json"), where="provisions.json")
    titles = []
    for item in root.take_list("principles"):
        entry = Record(item, where="provisions.json")
        titles.append(Principle(number=entry.take_int("number"), title=entry.take_str("title"), phase=entry.take_str("phase")))
    found = {}
    for item in root.take_list("provisions"):
        entry = Record(item, where="provisions.json")
        provision = Provision(
            id=UK + entry.take_str("id"),
            en_id=EN + entry.take_str("en_id"),
            principle=entry.take_int("principle"),
            phase=entry.take_str("phase"),
            force=entry.take_str("force"),
            actors=entry.take_strs("actors"),
            paraphrase=entry.take_str("paraphrase"),
        )
        found[provision.id] = provision
    return tuple(titles), MappingProxyType(found)


@functools.cache
def _by_any_id() -> Mapping[str, Provision]:
    return {key: entry for entry in provisions().values() for key in (entry.id, entry.en_id, entry.number)}
