# SPDX-License-Identifier: Apache-2.0
"""Which datasets and which models saw something: forwards through what was made from what."""

import re
from collections import deque
from collections.abc import Iterable, Iterator

import attrs

from lifeseal.attestation import Statement
from lifeseal.errors import CredentialError
from lifeseal.principles import implements, note
from lifeseal.provenance._keys import LeafKey, leaves_for
from lifeseal.provenance._leaves import open_leaves
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._training import Input, training_inputs

# Steps after which a record is there with its bytes, or not at all; any other step may have made something else of it.
KEEPING: frozenset[str] = frozenset({"copy", "deduplicate", "filter", "merge", "sample", "shuffle", "sort", "split"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@attrs.frozen(kw_only=True)
class Edge:
    """One step on the way from what was looked for to what saw it.

    Attributes:
        source: Digest of a dataset or model, or the needle itself: a digest, a URL, ``record``.
        target: Digest of the dataset or model that saw it.
        kind: Of the target: ``dataset`` or ``model``.
        name: What the target is called.
        how: ``holds``, ``derived`` (a dataset from a dataset), ``trained`` (a model on a dataset) or ``based`` (a model on a model).
        detail: Where in the target: file and number of a record; the step of a derivation; or empty.
        certain: False where a record may have become something else, or been left out, on the way here.
        note: Why it is not certain.
    """

    source: str
    target: str
    kind: str
    name: str
    how: str
    detail: str
    certain: bool
    note: str


@implements(
    "8.2.1",
    "5.2",
    limits="It follows what the manifests and statements given say; what is not among them it cannot know, and who vouches for them is checked "
    "when they are opened.",
)
def trace(needle: str | bytes, statements: Iterable[Manifest | Statement], *, leaf_key: LeafKey | None = None) -> tuple[Edge, ...]:
    """Tell which datasets and which models saw something.

    A record is followed by its bytes. A dataset whose records were hashed says itself whether it is there; where a derivation may have
    changed records (`tokenise`, or any step but copy, deduplicate, filter, merge, sample, shuffle, sort, split), or records were not
    hashed, everything after it is reported as not certain, and why. Files, URLs and digests are followed through every derivation.

    Args:
        needle: A digest (of a file, a manifest or a model) as ``sha256:…``; a source's URL, or the beginning of one up to a slash; or a
            record's exact bytes.
        statements: Manifests, and training statements: every one that may lie on the way.
        leaf_key: For a record: the key of the manifests that were recorded with one.

    Returns:
        Edges, nearest first; none if nothing here saw it.

    Raises:
        CredentialError: A record is looked for, and a manifest was recorded with another key.
        FormatError: A statement is no SLSA provenance, or it is not known where a manifest's leaf files are.
        OSError: A leaf file cannot be read.
        TamperedError: A leaf file is not what its manifest says.
        ValueError: The needle is empty.
    """
    if not needle:
        raise ValueError("there is nothing to look for")
    graph = _Graph(statements, needle, leaf_key)
    edges = {(edge.source, edge.target): edge for edge in graph.starts()}
    pending = deque((edge.target, edge.certain, edge.note) for edge in edges.values())
    if isinstance(needle, str) and _DIGEST.fullmatch(needle):
        pending.append((needle, True, ""))
    # What was reached perhaps is gone through again when it is reached for certain.
    reached: dict[str, bool] = {}
    while pending:
        node, certain, why = pending.popleft()
        if node in reached and (reached[node] or not certain):
            continue
        reached[node] = certain
        for edge in graph.onwards(node, certain=certain, why=why):
            known = edges.get((edge.source, edge.target))
            if known is None or edge.certain > known.certain:
                edges[edge.source, edge.target] = edge
            pending.append((edge.target, edge.certain, edge.note))
    note(edges=len(edges))
    return tuple(edges.values())


class _Graph:
    """What was made from what, by digest."""

    def __init__(self, statements: Iterable[Manifest | Statement], needle: str | bytes, leaf_key: LeafKey | None) -> None:
        self._needle = needle
        self._leaf_key = leaf_key
        self._manifests: dict[str, Manifest] = {}
        self._trained: list[tuple[str, str, Input]] = []
        for statement in statements:
            if isinstance(statement, Manifest):
                self._manifests[statement.digest] = statement
            else:
                self._trained += [(subject.digest, subject.name, used) for subject in statement.subjects for used in training_inputs(statement)]
        self._derived: dict[str, list[tuple[Manifest, str]]] = {}
        for manifest in self._manifests.values():
            for origin in manifest.derived_from:
                self._derived.setdefault(origin.digest, []).append((manifest, origin.step))
        self._found = {digest: place for digest, manifest in self._manifests.items() if (place := self._place(manifest)) is not None}

    def starts(self) -> Iterator[Edge]:
        """Walk what saw the needle itself."""
        name = self._needle if isinstance(self._needle, str) else "record"
        for digest, place in self._found.items():
            manifest = self._manifests[digest]
            yield Edge(source=name, target=digest, kind="dataset", name=manifest.description.name, how="holds", detail=place, certain=True, note="")
        if isinstance(self._needle, str):
            for model, called, used in self._trained:
                if used.uri and used.digest not in self._found and _is_under(used.uri, self._needle):
                    yield _to_model(name, model, called, used, certain=True, why="")

    def onwards(self, node: str, *, certain: bool, why: str) -> Iterator[Edge]:
        """Walk what was made from a dataset or model that saw it."""
        for manifest, step in self._derived.get(node, ()):
            sure, reason = self._after(manifest, step, certain=certain, why=why)
            if sure is not None:
                yield Edge(
                    source=node,
                    target=manifest.digest,
                    kind="dataset",
                    name=manifest.description.name,
                    how="derived",
                    detail=step,
                    certain=sure,
                    note=reason,
                )
        for model, called, used in self._trained:
            if used.digest == node:
                yield _to_model(node, model, called, used, certain=certain, why=why)

    def _after(self, manifest: Manifest, step: str, *, certain: bool, why: str) -> tuple[bool | None, str]:
        """Tell whether a derived dataset saw the needle: yes, perhaps and why, or (None) no."""
        if isinstance(self._needle, str) or manifest.digest in self._found:
            return True, ""
        if step not in KEEPING:
            return False, f"the record's identity ends at the step {step!r}" if step else "the step is not stated, so the record may have changed"
        if any(file.records is None for file in manifest.files):
            return (False, f"not all records were hashed after the step {step!r}") if certain else (False, why)
        # Every record is known and kept its bytes: it was left out. If it may have become something else before, that may still be here.
        return (None, "") if certain else (False, why)

    def _place(self, manifest: Manifest) -> str | None:
        """Tell where in a dataset the needle is itself; None if it is not."""
        if isinstance(self._needle, bytes):
            return self._record_in(manifest, self._needle)
        if _DIGEST.fullmatch(self._needle):
            return next((file.path for file in manifest.files if f"sha256:{file.sha256.hex()}" == self._needle), None)
        places = (manifest.description.source, *manifest.pinned, *(url.partition("@")[0] for url in manifest.pinned))
        return next((f"source {place}" for place in places if _is_under(place, self._needle)), None)

    def _record_in(self, manifest: Manifest, record: bytes) -> str | None:
        if not manifest.records:
            return None
        if manifest.key_use is not None and self._leaf_key is None:
            raise CredentialError(
                f"the records of {manifest.description.name!r} were recorded with a leaf key; without it they cannot be looked through"
            )
        (leaf,) = leaves_for(manifest, None if manifest.key_use is None else self._leaf_key)([record])
        for file, records in manifest.recorded():
            with open_leaves(manifest.leaves, records, where=file.path) as leaves:
                if (index := leaves.find(leaf)) is not None:
                    return f"{file.path}, record {index}"
        return None


def _to_model(source: str, model: str, called: str, used: Input, *, certain: bool, why: str) -> Edge:
    how = "based" if used.kind == "model" else "trained"
    return Edge(source=source, target=model, kind="model", name=called, how=how, detail="", certain=certain, note=why)


def _is_under(uri: str, wanted: str) -> bool:
    return uri == wanted or uri.startswith(wanted.rstrip("/") + "/")
