# SPDX-License-Identifier: Apache-2.0
"""Proofs about a manifest's records, as values and as small JSON files."""

import os
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

import attrs

from lifeseal._io import Record, StrPath, canonical, loads, read_bounded, refuse_foreign, replace
from lifeseal.attestation import parse_digest
from lifeseal.errors import FormatError
from lifeseal.principles import implements
from lifeseal.provenance._entries import MAX_PATH, MAX_RECORDS

PROOF_SCHEMA = "lifeseal.record-proof/1"
MAX_PROOF = 64 << 20
_MAX_NODES = 64


@attrs.frozen(kw_only=True)
class Place:
    """A leaf's place in a tree, and the nodes that lead from there to the root.

    Attributes:
        index: Number of the leaf, counted from 0.
        leaf: Its hash, 32 bytes.
        nodes: Hashes, from the leaf up (RFC 9162, section 2.1.3).
    """

    index: int
    leaf: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    nodes: tuple[bytes, ...] = attrs.field(repr=lambda n: f"<{len(n)} nodes>")


@attrs.frozen(kw_only=True)
class Included:
    """A record is in a file.

    Attributes:
        file: Its path in the manifest.
        place: Its place in the tree over the file's records.
    """

    file: str
    place: Place

    @property
    def leaf(self) -> bytes:
        """What the proof is about."""
        return self.place.leaf


@attrs.frozen(kw_only=True)
class Gap:
    """Two neighbours in the tree over a file's sorted leaves, between which a leaf would have to be.

    Attributes:
        file: Its path in the manifest.
        below: The last smaller leaf; None if there is none.
        above: The first larger leaf; None if there is none.
    """

    file: str
    below: Place | None
    above: Place | None


@attrs.frozen(kw_only=True)
class Absent:
    """A record, in exactly these bytes, is in no file whose records were hashed.

    Attributes:
        leaf: Its hash, 32 bytes.
        gaps: One for each such file.
    """

    leaf: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    gaps: tuple[Gap, ...]


@attrs.frozen(kw_only=True)
class Grown:
    """An earlier dataset is still there, unchanged, as the beginning of each file.

    Attributes:
        previous: Digest of its manifest.
        files: For each file that grew, its path and nodes (RFC 9162, section 2.1.4).
    """

    previous: str
    files: tuple[tuple[str, tuple[bytes, ...]], ...]


Claim: TypeAlias = Included | Absent | Grown


@attrs.frozen(kw_only=True)
class Proof:
    """A claim about the records of one manifest, with what it takes to check it. Nothing is proved until `check_proof` has looked.

    Attributes:
        manifest: Digest of the manifest.
        claim: What is claimed.
    """

    manifest: str
    claim: Claim

    def to_bytes(self) -> bytes:
        """Write the file form; equal proofs give equal bytes."""
        kind = next(word for word, form in _KINDS.items() if isinstance(self.claim, form))
        return canonical({"schema": PROOF_SCHEMA, "manifest": self.manifest, "kind": kind, **_claim_to_json(self.claim)})

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = "proof") -> Self:
        """Read the file form strictly.

        Args:
            data: As `to_bytes` writes it.
            where: Name for error messages.

        Returns:
            The proof, not checked yet.

        Raises:
            FormatError: It is not a record proof.
            LimitError: It is larger than 64 MiB.
        """
        record = Record(loads(data, where=where, max_bytes=MAX_PROOF, what="a record proof"), where=where)
        record.take_const("schema", PROOF_SCHEMA)
        manifest = _digest(record, "manifest")
        kind = record.take_str("kind")
        if kind not in _KINDS:
            raise FormatError(record.at("kind"), f"one of {', '.join(_KINDS)} was expected, not {kind[:60]!r}")
        claim: Claim
        if kind == "inclusion":
            claim = Included(file=record.take_str("file", max_length=MAX_PATH), place=_place(record.take("place"), where=record.at("place")))
        elif kind == "absence":
            gaps = tuple(_gap(item, where=record.at("gaps")) for item in record.take_list("gaps"))
            claim = Absent(leaf=record.take_hex("leaf", length=32), gaps=gaps)
        else:
            files = tuple(_grown(item, where=record.at("files")) for item in record.take_list("files"))
            claim = Grown(previous=_digest(record, "previous"), files=files)
        record.done()
        return cls(manifest=manifest, claim=claim)

    @classmethod
    @implements(evidences=("8.2",), limits="A proof read this way is not checked yet; check_proof does that.")
    def load(cls, path: StrPath) -> Self:
        """Read a proof from a file.

        Args:
            path: The file.

        Returns:
            The proof, not checked yet.

        Raises:
            FormatError: It is not a record proof.
            LimitError: It is larger than 64 MiB.
            OSError: It cannot be read.
        """
        return cls.from_bytes(read_bounded(path, limit=MAX_PROOF, what="a record proof"), where=os.fspath(path))

    @implements(evidences=("8.2",), limits="A proof is worth what the signature of its manifest is worth.")
    def write(self, path: StrPath) -> None:
        """Write the proof durably.

        Args:
            path: The file; its folder must exist.

        Raises:
            FileExistsError: What lies there is no record proof.
            OSError: The disk refused.
        """
        refuse_foreign(path, mark=PROOF_SCHEMA.encode(), what="record proof")
        replace(path, self.to_bytes())


_KINDS: Mapping[str, type[Claim]] = {"inclusion": Included, "absence": Absent, "growth": Grown}


def _claim_to_json(claim: Claim) -> dict[str, object]:
    if isinstance(claim, Included):
        return {"file": claim.file, "place": _place_to_json(claim.place)}
    if isinstance(claim, Absent):
        gaps = [{"file": gap.file, "below": _place_to_json(gap.below), "above": _place_to_json(gap.above)} for gap in claim.gaps]
        return {"leaf": claim.leaf.hex(), "gaps": gaps}
    return {"previous": claim.previous, "files": [{"file": file, "nodes": _nodes_to_json(nodes)} for file, nodes in claim.files]}


def _place_to_json(place: Place | None) -> dict[str, object] | None:
    return None if place is None else {"index": place.index, "leaf": place.leaf.hex(), "nodes": _nodes_to_json(place.nodes)}


def _nodes_to_json(nodes: Sequence[bytes]) -> list[str]:
    return [node.hex() for node in nodes]


def _digest(record: Record, name: str) -> str:
    text = record.take_str(name, max_length=80)
    try:
        parse_digest(text)
    except ValueError as error:
        raise FormatError(record.at(name), str(error)) from None
    return text


def _place(item: object, *, where: str) -> Place:
    record = Record(item, where=where)
    place = Place(index=record.take_int("index", high=MAX_RECORDS), leaf=record.take_hex("leaf", length=32), nodes=_nodes(record))
    record.done()
    return place


def _nodes(record: Record) -> tuple[bytes, ...]:
    nodes = []
    for item in record.take_list("nodes", max_items=_MAX_NODES):
        node = Record({"node": item}, where=record.at("nodes"))
        nodes.append(node.take_hex("node", length=32))
    return tuple(nodes)


def _gap(item: object, *, where: str) -> Gap:
    record = Record(item, where=where)
    file = record.take_str("file", max_length=MAX_PATH)
    places = {name: None if (found := record.take(name)) is None else _place(found, where=record.at(name)) for name in ("below", "above")}
    record.done()
    return Gap(file=file, below=places["below"], above=places["above"])


def _grown(item: object, *, where: str) -> tuple[str, tuple[bytes, ...]]:
    record = Record(item, where=where)
    found = record.take_str("file", max_length=MAX_PATH), _nodes(record)
    record.done()
    return found
