# SPDX-License-Identifier: Apache-2.0
"""A scan's report as SARIF, for the tools that show findings beside code.

Source: OASIS SARIF 2.1.0, sections 3.13, 3.14, 3.19, 3.27 and 3.49.
"""

import re
import urllib.parse
from collections.abc import Iterable

from lifeseal import __version__
from lifeseal.principles import tag_of
from lifeseal.serialization._report import FileReport, Finding, Verdict
from lifeseal.serialization._rules import RULES

_LEVELS = {Verdict.UNSAFE: "error", Verdict.UNREADABLE: "error", Verdict.NEEDS_TRUST: "warning", Verdict.SAFE: "note"}
_OFFSET = re.compile(r"(?:^|, )byte (\d+)$")


def to_sarif(files: Iterable[FileReport]) -> dict[str, object]:
    """Return a SARIF log with one run.

    Args:
        files: The reports; their paths become relative addresses.

    Returns:
        The log as a JSON object.
    """
    from lifeseal.serialization._scan import scan

    primitive = tag_of(scan)
    tags = [tag.provision for tag in primitive.tags] if primitive is not None else []
    reports = list(files)
    used = sorted({finding.rule for file in reports for finding in file.findings})
    places = {rule: index for index, rule in enumerate(used)}
    rules = [
        {
            "id": rule,
            "shortDescription": {"text": RULES[rule].says},
            "defaultConfiguration": {"level": _LEVELS[RULES[rule].verdict]},
            "properties": {"verdict": RULES[rule].verdict.value, "tags": ["security", *tags]},
        }
        for rule in used
    ]
    results = [_result(file, finding, places[finding.rule]) for file in reports for finding in file.findings]
    artifacts = [_artifact(file) for file in reports]
    driver = {"name": "lifeseal", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "artifacts": artifacts, "results": results, "columnKind": "unicodeCodePoints"}
    return {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [run]}


def _artifact(file: FileReport) -> dict[str, object]:
    found: dict[str, object] = {"location": {"uri": _address(file.path)}, "properties": {"format": file.format, "verdict": file.verdict.value}}
    if file.digest is not None:
        found["hashes"] = {"sha-256": file.digest.hex()}
    return found


def _result(file: FileReport, finding: Finding, index: int) -> dict[str, object]:
    place: dict[str, object] = {"artifactLocation": {"uri": _address(file.path)}}
    offset = _OFFSET.search(finding.place)
    if offset is not None and finding.place.count(", ") == 0:
        place["region"] = {"byteOffset": int(offset[1]), "byteLength": 1}
    location: dict[str, object] = {"physicalLocation": place}
    if finding.place:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.place}]
    text = f"{finding.place}: {finding.message}" if finding.place else finding.message
    level = _LEVELS[RULES[finding.rule].verdict]
    return {"ruleId": finding.rule, "ruleIndex": index, "level": level, "message": {"text": text}, "locations": [location]}


def _address(path: str) -> str:
    return urllib.parse.quote(path.encode("utf-8", "backslashreplace"))
