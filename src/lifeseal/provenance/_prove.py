# SPDX-License-Identifier: Apache-2.0
"""Making proofs from leaf files, and checking them with nothing but a manifest."""

from bisect import bisect_left
from collections.abc import Iterable

from lifeseal.errors import DigestMismatchError, FormatError, TamperedError
from lifeseal.principles import implements, note
from lifeseal.provenance._entries import FileRecords, RecordedFile
from lifeseal.provenance._keys import LeafKey, leaves_for
from lifeseal.provenance._leaves import open_leaves
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._proof import Absent, Claim, Gap, Grown, Included, Place, Proof
from lifeseal.provenance._recording import sorted_leaves
from lifeseal.provenance._tree import Levels, grew, includes

_LIMITS = "It is about a record's exact bytes, and about files whose records were hashed; the same content in other bytes is another record."


@implements(evidences=("2.5", "8.2.1"), limits=_LIMITS)
def prove(manifest: Manifest, record: bytes, *, leaf_key: LeafKey | None = None) -> Proof:
    """Prove that a record is in a dataset or, if it is not, that it is in none of its files.

    The data is not needed, the leaf files are.

    Args:
        manifest: What was recorded; its leaf files must be there.
        record: The record's exact bytes: a line without its line feed.
        leaf_key: The key that was recorded with, if there was one.

    Returns:
        The proof: of inclusion, for the first place where the record is, or of absence.

    Raises:
        CredentialError: This is not the key that was recorded with.
        FormatError: The record is not there, and that cannot be proved, because not every file with records has a set root; or there
            are no records, or it is not known where the leaf files are.
        OSError: A leaf file cannot be read.
        TamperedError: A leaf file is not what the manifest says.
    """
    (leaf,) = leaves_for(manifest, leaf_key)([record])
    note(subject=manifest.digest)
    entries = tuple(manifest.recorded())
    if not entries:
        raise FormatError(manifest.description.name, "no records were recorded; record it with records=")
    for file, records in entries:
        with open_leaves(manifest.leaves, records, where=file.path) as leaves:
            index = leaves.find(leaf)
            if index is not None:
                place = Place(index=index, leaf=leaf, nodes=leaves.levels().inclusion(index))
                return Proof(manifest=manifest.digest, claim=Included(file=file.path, place=place))
    if any(records.set_root is None for _, records in entries):
        raise FormatError(
            manifest.description.name, "the record is not there, and that cannot be proved without set roots; record it with Records(sets=True)"
        )
    gaps = tuple(_gap(manifest, file, records, leaf) for file, records in entries)
    return Proof(manifest=manifest.digest, claim=Absent(leaf=leaf, gaps=gaps))


def _gap(manifest: Manifest, file: RecordedFile, records: FileRecords, leaf: bytes) -> Gap:
    with open_leaves(manifest.leaves, records, where=file.path) as leaves:
        distinct = [found for part in sorted_leaves(leaves) for found in part]
    levels, at = Levels.over(distinct), bisect_left(distinct, leaf)
    below, above = (
        Place(index=index, leaf=distinct[index], nodes=levels.inclusion(index)) if 0 <= index < len(distinct) else None for index in (at - 1, at)
    )
    return Gap(file=file.path, below=below, above=above)


@implements(
    evidences=("8.2.1", "5.2"), limits="It shows that nothing recorded before was changed or taken away; it says nothing about what was added."
)
def prove_growth(previous: Manifest, manifest: Manifest) -> Proof:
    """Prove that a dataset holds an earlier one unchanged: records were only appended, files only added.

    Args:
        previous: The earlier manifest.
        manifest: The later one; its leaf files must be there.

    Returns:
        The proof.

    Raises:
        DigestMismatchError: It is not so; lists the files that are missing or changed.
        FormatError: It is not known where the leaf files are.
        OSError: A leaf file cannot be read.
        TamperedError: A leaf file is not what the manifest says.
    """
    note(subject=manifest.digest, previous=previous.digest)
    grown, changed = [], []
    for file, old, new in _common(previous, manifest):
        if old is None or new is None or old.root == new.root:
            continue
        with open_leaves(manifest.leaves, new, where=file.path) as leaves:
            nodes = leaves.levels().growth(old.count) if old.count < new.count else ()
        if grew(nodes, before=(old.count, old.root), after=(new.count, new.root)):
            grown.append((file.path, nodes))
        else:
            changed.append(file.path)
    if changed:
        raise DigestMismatchError(f"{manifest.description.name!r} since {previous.digest}", changed=tuple(changed))
    return Proof(manifest=manifest.digest, claim=Grown(previous=previous.digest, files=tuple(grown)))


def _common(previous: Manifest, manifest: Manifest) -> Iterable[tuple[RecordedFile, FileRecords | None, FileRecords | None]]:
    """Pair an earlier manifest's files with what has become of them; refuse what can be no growth at all.

    Yields:
        The file, its records before and now; both None for a file that was hashed whole and is the same.
    """
    where = f"{manifest.description.name!r} since {previous.digest}"
    if previous.key_use != manifest.key_use and previous.records:
        raise DigestMismatchError(f"{where}: the leaf key is another", changed=tuple(file.path for file, _ in previous.recorded()))
    there = {file.path: file for file in manifest.files}
    missing = tuple(file.path for file in previous.files if file.path not in there)
    changed = tuple(file.path for file in previous.files if file.path in there and not _comparable(file, there[file.path]))
    if missing or changed:
        raise DigestMismatchError(where, changed=changed, missing=missing)
    for file in previous.files:
        if file.records is not None:
            yield file, file.records, there[file.path].records


def _comparable(old: RecordedFile, new: RecordedFile) -> bool:
    if old.records is None:
        return old.sha256 == new.sha256
    return new.records is not None and new.records.format == old.records.format


@implements(evidences=("8.2.1", "5.2"), limits=f"{_LIMITS} Who vouches for the manifest is checked by open_manifest.")
def check_proof(
    proof: Proof, manifest: Manifest, *, record: bytes | None = None, leaf_key: LeafKey | None = None, previous: Manifest | None = None
) -> Claim:
    """Check a proof with nothing but the manifest: neither the data nor the leaf files are needed.

    Args:
        proof: What is claimed.
        manifest: From whoever is trusted to say what was recorded.
        record: The record's exact bytes, to see that the proof is about this record. Without it the proof is about a leaf.
        leaf_key: With ``record``: the key that was recorded with, if there was one.
        previous: The earlier manifest, for a proof of growth.

    Returns:
        The claim, which holds.

    Raises:
        CredentialError: This is not the key that was recorded with.
        DigestMismatchError: The proof is about another manifest, record, or earlier manifest; or files changed that a growth keeps.
        TamperedError: It does not prove what it claims.
        ValueError: ``previous`` is missing for a proof of growth, or given for another; ``record`` is given for one of growth.
    """
    claim, name = proof.claim, manifest.description.name
    note(subject=manifest.digest, claim=type(claim).__name__)
    if proof.manifest != manifest.digest:
        raise DigestMismatchError(f"the proof is about {proof.manifest}, not about the manifest given, {manifest.digest}", changed=(name,))
    if isinstance(claim, Grown) != (previous is not None):
        raise ValueError("a proof of growth, and no other, is checked with previous=")
    if isinstance(claim, Grown):
        if record is not None or previous is None:
            raise ValueError("a proof of growth is about no single record")
        _check_growth(claim, previous, manifest)
        return claim
    if record is not None and leaves_for(manifest, leaf_key)([record]) != [claim.leaf]:
        raise DigestMismatchError("the proof is about another record than the one given", changed=(name,))
    if isinstance(claim, Included):
        _check_inclusion(claim, manifest)
    else:
        _check_absence(claim, manifest)
    return claim


def _check_inclusion(claim: Included, manifest: Manifest) -> None:
    records = next((records for file, records in manifest.recorded() if file.path == claim.file), None)
    if records is None:
        raise TamperedError(f"the proof names {claim.file[:200]!r}, of which the manifest holds no records")
    place = claim.place
    if not includes(place.leaf, place.index, place.nodes, count=records.count, root=records.root):
        raise TamperedError(f"the proof does not show that its record is number {place.index} of {claim.file!r}")


def _check_absence(claim: Absent, manifest: Manifest) -> None:
    entries = tuple(manifest.recorded())
    if not entries or [gap.file for gap in claim.gaps] != [file.path for file, _ in entries]:
        raise TamperedError("the proof of absence does not cover every file with records, each once and in order")
    for gap, (file, records) in zip(claim.gaps, entries, strict=True):
        found = records.set_root
        if found is None:
            raise TamperedError(f"the manifest holds no set root of {file.path!r}, so nothing can be proved absent from it")
        places = [place for place in (gap.below, gap.above) if place is not None]
        rooted = all(includes(place.leaf, place.index, place.nodes, count=found.count, root=found.root) for place in places)
        after = gap.below is None or gap.below.leaf < claim.leaf
        before = gap.above is None or claim.leaf < gap.above.leaf
        # With neighbours one apart, and an end of the tree where a neighbour is missing, there is no room for another leaf.
        first = -1 if gap.below is None else gap.below.index
        last = found.count if gap.above is None else gap.above.index
        if not (rooted and after and before and last == first + 1):
            raise TamperedError(f"the proof does not show that its record is absent from {file.path!r}")


def _check_growth(claim: Grown, previous: Manifest, manifest: Manifest) -> None:
    if claim.previous != previous.digest:
        raise DigestMismatchError(
            f"the proof is about growth since {claim.previous}, not since {previous.digest}", changed=(manifest.description.name,)
        )
    paths = dict(claim.files)
    if len(paths) != len(claim.files):
        raise TamperedError("the proof of growth names a file twice")
    for file, old, new in _common(previous, manifest):
        nodes = paths.pop(file.path, ())
        if old is None or new is None or not grew(nodes, before=(old.count, old.root), after=(new.count, new.root)):
            raise TamperedError(f"the proof does not show that {file.path!r} only grew")
    if paths:
        raise TamperedError(f"the proof of growth names {min(paths)[:200]!r}, which the earlier manifest does not")
