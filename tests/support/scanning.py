# SPDX-License-Identifier: Apache-2.0
"""Bytes judged in memory, for tests that judge thousands of them."""

import attrs

from lifeseal.serialization import Finding
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._judge import judge
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._window import BytesWindow


@attrs.frozen
class Judged:
    """What `scan` would report of a file with these bytes."""

    format: str
    verdict: str
    findings: tuple[Finding, ...]

    @property
    def rules(self) -> set[str]:
        return {finding.rule for finding in self.findings}


def judged(content: bytes, *, allow: frozenset[str] = frozenset()) -> Judged:
    """Judge a file's bytes."""
    findings = Findings()
    found = judge(BytesWindow(content), Context(findings=findings, allow=allow, budget=Budget(len(content)), judge=judge))
    return Judged(found, findings.verdict.value, findings.listed())


def cuts_that_pass(content: bytes, *, start: int = 1, stop: int | None = None) -> list[int]:
    """Return the sizes to which some bytes can be cut without that the cut is reported."""
    return [size for size in range(start, len(content) if stop is None else stop) if judged(content[:size]).verdict in {"safe", "needs-trust"}]
