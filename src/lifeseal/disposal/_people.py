# SPDX-License-Identifier: Apache-2.0
"""For an access request: in which files, datasets and models a person's records stand."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import StrPath
from lifeseal.attestation import Statement
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from lifeseal.erasure import FoundRecords, Vault
    from lifeseal.provenance import Edge, Manifest

_TRACED = 100  # records of one person in one file that are followed one by one


@attrs.frozen(kw_only=True)
class PersonFound:
    """Where one person's records stand, by all that was given.

    Attributes:
        pseudonym: Stands for the person; see `lifeseal.erasure.Subjects.pseudonym`.
        files: Sealed files with records of the person, and which.
        edges: Datasets that hold those files or records, and what was made of them; a dataset or model that is reached by the file alone is not
            certain to have seen the person.
    """

    pseudonym: str
    files: "tuple[FoundRecords, ...]"
    edges: tuple["Edge", ...]

    @property
    def records(self) -> int:
        """How many records were found."""
        return sum(len(found.numbers) for found in self.files)


@implements(
    evidences=("8.2.1", "13.1"),
    limits="It looks through the files and statements given and no others; plaintext, and what copies of records have become, it cannot see.",
)
def find_people(
    vault: "Vault", subjects: Iterable[str], files: Iterable[StrPath], *, statements: "Sequence[Manifest | Statement]" = ()
) -> tuple[PersonFound, ...]:
    """Find people's records in sealed files, and follow them to datasets and models.

    Args:
        vault: Where they are sealed.
        subjects: The people's ids.
        files: Sealed files (``.jsonl``, ``.ndjson``, ``.parquet``).
        statements: Manifests and training statements that may lie on the way; see `lifeseal.provenance.trace`.

    Returns:
        For each person, in order, what was found; nothing decrypted.

    Raises:
        CredentialError: A file was sealed in another vault.
        FormatError: A file is no sealed file, or a statement not what it should be.
        StoreError: Somebody has no slot here: never had, or was erased.
        TamperedError: The vault's log or a leaf file was changed.
        ValueError: An id is none, or the name of a file has another ending.
        OSError: A file cannot be read.
    """
    people = list(subjects)
    found = vault.subjects.find_records(people, files)
    note(vault=vault.id, epoch=vault.epoch, people=len(people), records=sum(len(one.numbers) for some in found for one in some))
    return tuple(
        PersonFound(pseudonym=vault.subjects.pseudonym(person), files=some, edges=_edges(some, statements))
        for person, some in zip(people, found, strict=True)
    )


def _edges(files: "Sequence[FoundRecords]", statements: "Sequence[Manifest | Statement]") -> "tuple[Edge, ...]":
    """Follow records where they are followed, and whole files where they are not."""
    from lifeseal.provenance import trace

    edges: dict[tuple[str, str], Edge] = {}
    for found in files:
        by_record = [edge for record in found.records[:_TRACED] for edge in trace(record, statements)]
        whole = len(found.records) <= _TRACED and any(edge.how == "holds" for edge in by_record)
        for edge in by_record:
            _keep(edges, attrs.evolve(edge, source="a record") if edge.source == "record" else edge)
        for edge in trace(f"sha256:{found.sha256.hex()}", statements):
            # Where each record was followed, what was made of the file is told by the records.
            if edge.how == "holds" or not whole:
                why = edge.note or ("" if edge.how == "holds" else "the file was followed, not the person's records in it")
                _keep(edges, attrs.evolve(edge, certain=edge.how == "holds" and edge.certain, note=why))
    return tuple(edges.values())


def _keep(edges: "dict[tuple[str, str], Edge]", edge: "Edge") -> None:
    """Keep the surest of the edges to one target from one source."""
    known = edges.get((edge.source, edge.target))
    if known is None or (edge.certain and not known.certain):
        edges[edge.source, edge.target] = edge
