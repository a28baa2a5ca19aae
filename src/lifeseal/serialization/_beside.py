# SPDX-License-Identifier: Apache-2.0
"""Files that a model names and its loader reads beside it: where a name leads, and what lies there."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import attrs

from lifeseal._io import Source
from lifeseal.errors import FormatError
from lifeseal.serialization._report import FileReport, Verdict
from lifeseal.serialization._rules import Findings, shown

MAX_REFERENCES: Final = 1 << 12
_OUTSIDE: Final = re.compile(r"[/\\~]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://|\*/")


class Folder(Source, Protocol):
    """Files that can be judged together."""

    def hard_links(self, name: str) -> int:
        """Count the names that one file has."""


@attrs.frozen
class Reference:
    """A file that is read beside another.

    Attributes:
        name: Relative to the other's folder.
        instead_of: End of the other's own name, where the name is that with another end; then ``name`` is only this end.
    """

    name: str
    instead_of: str = ""

    def beside(self, other: str) -> str:
        """Return the name in the folder that both lie below; empty if the other's own name does not fit."""
        folder, slash, own = other.rpartition("/")
        if not self.instead_of:
            return folder + slash + self.name
        stem = own.removesuffix(self.instead_of)
        return folder + slash + stem + self.name if stem != own and stem else ""


def leads_outside(name: str) -> bool:
    """Tell whether a name leads out of its folder for some reader on some system."""
    return not name or _OUTSIDE.match(name) is not None or not name.isprintable() or "\\" in name or not {"", ".", ".."}.isdisjoint(name.split("/"))


def with_neighbours(source: Folder, files: Sequence[FileReport], references: Sequence[Mapping[Reference, int]]) -> tuple[FileReport, ...]:
    """Judge the files that others name, by what lies there.

    What a model's loader reads as numbers, and is of no format of its own, is the model's data; what is no file of its own is refused,
    because it may come to lie elsewhere.

    Args:
        source: The folder, or the folder of the one file.
        files: What was found about each file alone.
        references: For each of them the files that it names.

    Returns:
        What is found about each file among the others.
    """
    data: set[str] = set()
    judged = [_with_references(source, file, named, data) if named else file for file, named in zip(files, references, strict=True)]
    return tuple(_as_data(file) if file.path in data else file for file in judged)


def _with_references(source: Folder, file: FileReport, references: Mapping[Reference, int], data: set[str]) -> FileReport:
    findings = Findings()
    for finding in file.findings:
        findings.add(finding.rule, finding.place, finding.message)
    for reference, stop in references.items():
        name = reference.beside(file.path)
        place = repr(shown(reference.name))
        try:
            with source.open(name) as reader:
                size = reader.size
            several = source.hard_links(name) > 1
        except FormatError as error:
            findings.add("external-link", place, f"is read beside the file, but is none of its own: {error.wanted}")
            continue
        except OSError:
            findings.add("external-reference", place, "is read beside the file, and is not there")
            continue
        if several:
            findings.add("external-link", place, "is read beside the file, and has a second name elsewhere")
        elif size < stop:
            findings.add("external-data", place, f"has {size} bytes, but is read up to {stop}")
        else:
            data.add(name)
    return attrs.evolve(file, verdict=findings.verdict, findings=findings.listed())


def _as_data(file: FileReport) -> FileReport:
    if {finding.rule for finding in file.findings} != {"unknown-format"}:
        return file
    return attrs.evolve(file, format="tensor-data", verdict=Verdict.SAFE, findings=())
