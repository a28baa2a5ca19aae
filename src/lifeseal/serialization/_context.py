# SPDX-License-Identifier: Apache-2.0
"""What every judge of a format is given: where findings go, what they are about, and how much work is left."""

from collections.abc import Callable
from typing import TypeAlias

import attrs

from lifeseal.errors import LimitError
from lifeseal.serialization._beside import MAX_REFERENCES, Reference
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._rules import Findings, at, shown
from lifeseal.serialization._window import Window

Judge: TypeAlias = "Callable[[Window, Context], str]"


@attrs.frozen(kw_only=True)
class Context:
    """Where and how some bytes are judged.

    Attributes:
        findings: Where findings go.
        place: What to call the bytes in findings; empty for a whole file.
        allow: Full names of globals that the caller trusts.
        budget: Work left for the file.
        depth: Archives and compressed streams that the bytes lie in.
        judge: Judges other bytes by themselves; returns their format.
        references: Files that are read beside this one, and how many bytes each must have.
        search: Unknown content is searched at once; else only that of archives' members, and that of the file later.
    """

    findings: Findings
    place: str = ""
    allow: frozenset[str]
    budget: Budget
    depth: int = 0
    judge: Judge
    references: dict[Reference, int] = attrs.field(factory=dict)
    search: bool = True

    def say(self, rule: str, detail: str, message: str) -> None:
        """Add a finding.

        Args:
            rule: Name of the rule.
            detail: Where in these bytes; empty for all of them.
            message: What was found.
        """
        self.findings.add(rule, at(self.place, detail) if detail else self.place, message)

    def refer(self, reference: Reference, stop: int = 0) -> None:
        """Remember a file that is read beside this one; in an archive there is none that could be looked at.

        Args:
            reference: The file.
            stop: Bytes that it must have.

        Raises:
            LimitError: There are too many.
        """
        if self.depth:
            self.say("external-reference", "", f"refers to {shown(reference.name)!r}, which is read beside it and was not scanned")
            return
        self.references[reference] = max(stop, self.references.get(reference, 0))
        if len(self.references) > MAX_REFERENCES:
            raise LimitError(self.place or "references", limit=MAX_REFERENCES, seen=len(self.references), unit="files")

    def inside(self, detail: str) -> "Context":
        """Return the context of bytes that lie in these."""
        return attrs.evolve(self, place=at(self.place, detail), depth=self.depth + 1)

    def aside(self, findings: Findings) -> "Context":
        """Return the same context with findings of its own."""
        return Context(
            findings=findings,
            place=self.place,
            allow=self.allow,
            budget=self.budget,
            depth=self.depth,
            judge=self.judge,
            references=self.references,
        )
