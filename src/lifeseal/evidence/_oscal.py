# SPDX-License-Identifier: Apache-2.0
"""OSCAL 1.2.1: the catalogue, the mapping between the Code's two numberings, what the library offers, and what a log shows."""

import datetime as dt
import json

from lifeseal import __version__
from lifeseal._io import StrPath
from lifeseal.evidence._summary import Summary, Tally, summarise
from lifeseal.principles import EN, UK, find, implements, judgements, load_all, note, principles, provisions

NAMESPACE = "https://pypi.org/project/lifeseal/ns/oscal"
VERSION = "1.2.1"
_STATES = {"pass": "satisfied", "fail": "not-satisfied"}


@implements(evidences=("2.3", "12.1"), limits="It restates the log in an assessor's format; the assessment stays with people.")
def oscal(log: StrPath) -> dict[str, bytes]:
    """Write what an assessor's tools read: four OSCAL documents.

    Args:
        log: An event log; its chain is checked.

    Returns:
        File names and contents: ``catalog.json``, ``mapping-collection.json``, ``component-definition.json`` (what this version of the
        library can do, with its limits) and ``assessment-results.json`` (what the log shows: pass, fail, or an observation without finding).

    Raises:
        FormatError: See `verify`.
        LimitError: See `verify`.
        OSError: It cannot be read.
        TamperedError: See `verify`.

    Source: NIST OSCAL 1.2.1; verdict words of ETSI TS 104 216.
    """
    summary = summarise(log)
    note(head=summary.head)
    time = summary.last or dt.datetime(1970, 1, 1, tzinfo=dt.UTC).isoformat().replace("+00:00", "Z")
    documents = {
        "catalog": _catalog(time),
        "mapping-collection": _mapping(time),
        "component-definition": _components(time),
        "assessment-results": _results(summary, time),
    }
    return {f"{name}.json": json.dumps({name: body}, indent=1, ensure_ascii=False).encode() for name, body in documents.items()}


def control(provision: str) -> str:
    """Write a provision's id as OSCAL wants it: beginning with a letter."""
    return f"ukai-{find(provision).number}"


def _uuid(*parts: str) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((NAMESPACE, *parts))))


def _meta(title: str, time: str, **more: object) -> dict[str, object]:
    return {"title": title, "last-modified": time, "version": __version__, "oscal-version": VERSION, **more}


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": NAMESPACE, "value": value}


def _catalog(time: str) -> dict[str, object]:
    groups = [
        {
            "id": f"principle-{principle.number}",
            "class": "principle",
            "title": principle.title,
            "props": [_prop("phase", principle.phase)],
            "controls": [_control(provision) for provision, entry in provisions().items() if entry.principle == principle.number],
        }
        for principle in principles()
    ]
    title = "Code of Practice for the Cyber Security of AI (UK, 2025; ETSI EN 304 223), paraphrased"
    return {"uuid": _uuid("catalog"), "metadata": _meta(title, time), "groups": groups}


def _control(provision: str) -> dict[str, object]:
    entry, judgement = find(provision), judgements()[provision]
    props = [{"name": "label", "value": entry.number}, {"name": "alt-identifier", "value": entry.en_id}, _prop("force", entry.force)]
    props += [_prop("actor", actor) for actor in entry.actors] + [_prop("library", judgement.level)]
    return {
        "id": control(provision),
        "class": "provision",
        "title": f"{entry.number} {entry.paraphrase}"[:100],
        "props": props,
        "parts": [{"id": f"{control(provision)}_smt", "name": "statement", "prose": entry.paraphrase}],
    }


def _mapping(time: str) -> dict[str, object]:
    maps = [
        {
            "uuid": _uuid("map", entry.number),
            "relationship": "equal-to",
            "sources": [{"type": "control", "id-ref": control(entry.id)}],
            "targets": [{"type": "control", "id-ref": f"en304223-{entry.en_id.removeprefix(EN)}"}],
        }
        for entry in provisions().values()
    ]
    party = _uuid("party")
    return {
        "uuid": _uuid("mapping"),
        "metadata": _meta(
            "The Code's provisions in the numbering of EN 304 223",
            time,
            roles=[{"id": "creator", "title": "Creator"}],
            parties=[{"uuid": party, "type": "organization", "name": "lifeseal"}],
        ),
        "provenance": {
            "method": "human",
            "matching-rationale": "semantic",
            "status": "complete",
            "confidence-score": {"percentage": 0.99},
            "mapping-description": "The standard repeats the Code provision by provision, in the same order, under other numbers.",
            "responsible-parties": [{"role-id": "creator", "party-uuids": [party]}],
        },
        "mappings": [
            {
                "uuid": _uuid("mappings"),
                "source-resource": {"type": "catalog", "href": f"#{_uuid('source')}"},
                "target-resource": {"type": "catalog", "href": f"#{_uuid('target')}"},
                "maps": maps,
            }
        ],
        "back-matter": {
            "resources": [
                {"uuid": _uuid("source"), "title": "UK Code of Practice for the Cyber Security of AI"},
                {"uuid": _uuid("target"), "title": "ETSI EN 304 223 V2.1.1"},
            ]
        },
    }


def _components(time: str) -> dict[str, object]:
    components = [
        {
            "uuid": _uuid("component", name),
            "type": "software",
            "title": name,
            "description": f"A function of lifeseal. What it does not do: {primitive.limits}",
            "control-implementations": [
                {
                    "uuid": _uuid("implementation", name),
                    "source": "catalog.json",
                    "description": "Provisions for which the call itself is a control, or leaves evidence. A capability, not compliance.",
                    "implemented-requirements": [
                        {
                            "uuid": _uuid("requirement", name, tag.provision),
                            "control-id": control(tag.provision),
                            "description": primitive.limits,
                            "props": [_prop("level", tag.level.value)],
                        }
                        for tag in primitive.tags
                    ],
                }
            ],
        }
        for name, primitive in load_all().items()
    ]
    return {"uuid": _uuid("components"), "metadata": _meta(f"lifeseal {__version__}", time), "components": components}


def _results(summary: Summary, time: str) -> dict[str, object]:
    known = [tally for tally in summary.tallies if tally.provision.startswith(UK) and tally.provision in provisions()]
    digest = summary.digest
    evidence = _uuid("log", digest)
    result: dict[str, object] = {
        "uuid": _uuid("result", digest),
        "title": f"Events of one log, {summary.first or 'none'} to {summary.last or 'none'}",
        "description": f"{summary.events} events of calls of lifeseal, folded by provision. A failing call wins; evidence alone concludes nothing.",
        "start": summary.first or time,
        "reviewed-controls": {"control-selections": [_selection(known)]},
    }
    if summary.last:
        result["end"] = summary.last
    if known:
        result["observations"] = [_observation(tally, evidence, summary) for tally in known]
    findings = [_finding(tally, digest) for tally in known if tally.verdict in _STATES]
    if findings:
        result["findings"] = findings
    return {
        "uuid": _uuid("results", digest),
        "metadata": _meta("What an event log of lifeseal shows", time),
        "import-ap": {"href": f"#{_uuid('plan')}"},
        "results": [result],
        "back-matter": {
            "resources": [
                {"uuid": _uuid("plan"), "title": "No assessment plan: an automatic record of calls"},
                {
                    "uuid": evidence,
                    "title": "Event log",
                    "description": f"Head {summary.head}",
                    "rlinks": [{"href": summary.log.rpartition("/")[2], "hashes": [{"algorithm": "SHA-256", "value": digest}]}],
                },
            ]
        },
    }


def _selection(known: list[Tally]) -> dict[str, object]:
    chosen = [{"control-id": control(tally.provision)} for tally in known]
    return {"include-controls": chosen} if chosen else {"description": "The log holds no event of a known provision.", "include-all": {}}


def _observation(tally: Tally, evidence: str, summary: Summary) -> dict[str, object]:
    lines = f" Lines {', '.join(map(str, tally.lines))}." if tally.lines else ""
    return {
        "uuid": _uuid("observation", summary.digest, tally.provision),
        "description": (
            f"{tally.verdict}: {tally.passed} calls of a control ended well, {tally.failed} refused, {tally.unfinished} did not finish; "
            f"{tally.evidence} further calls left evidence.{lines}"
        ),
        "methods": ["TEST"],
        "types": ["control-objective"],
        "collected": summary.last,
        "relevant-evidence": [{"href": f"#{evidence}", "description": f"Event log.{lines}"}],
    }


def _finding(tally: Tally, digest: str) -> dict[str, object]:
    state = _STATES[tally.verdict]
    return {
        "uuid": _uuid("finding", digest, tally.provision),
        "title": f"{find(tally.provision).number}: {tally.verdict} for the artefacts of this log",
        "description": "Of the calls recorded, and of nothing else.",
        "target": {"type": "statement-id", "target-id": f"{control(tally.provision)}_smt", "status": {"state": state}},
        "related-observations": [{"observation-uuid": _uuid("observation", digest, tally.provision)}],
    }
