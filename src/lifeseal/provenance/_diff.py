# SPDX-License-Identifier: Apache-2.0
"""What differs between two recordings: files, and records within them."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import attrs

from lifeseal.principles import implements, note
from lifeseal.provenance._description import description_to_json
from lifeseal.provenance._entries import FileRecords, RecordedFile
from lifeseal.provenance._leaves import LeafFile, open_leaves, split
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._tree import CHUNK


@attrs.frozen(kw_only=True)
class RecordChanges:
    """How one file's records differ. Numbers count from 0.

    Attributes:
        added: Numbers, in the second, of records that are new.
        removed: Numbers, in the first, of records that are gone.
        changed: Numbers, in first and second, of records that stand in the same place with other content.
        moved: Whether records that are in both stand in another order.
    """

    added: tuple[int, ...]
    removed: tuple[int, ...]
    changed: tuple[tuple[int, int], ...]
    moved: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)


@attrs.frozen(kw_only=True)
class FileChange:
    """A file whose bytes differ.

    Attributes:
        path: Its path, the same in both.
        records: How its records differ: in nothing, if only their packing does. None where they cannot be compared: they were not hashed in both,
            not cut alike, or not under the same leaf key.
    """

    path: str
    records: RecordChanges | None


@attrs.frozen(kw_only=True)
class Difference:
    """What differs between two manifests.

    Attributes:
        added: Paths in the second alone.
        removed: Paths in the first alone.
        changed: Files in both whose bytes differ.
        stated: Fields of the description that differ.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[FileChange, ...]
    stated: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.stated)


@implements(evidences=("5.2", "8.2.1"), limits="It compares what two manifests recorded, byte for byte; whether a difference matters it cannot tell.")
def diff(a: Manifest, b: Manifest) -> Difference:
    """Tell which files and records differ between two recordings.

    Only leaf files of changed files are read, and of these only the chunks after the first that differs.

    Args:
        a: The first.
        b: The second.

    Returns:
        The differences; false if there are none.

    Raises:
        FormatError: A file changed, and it is not known where its leaf files are.
        OSError: A leaf file cannot be read.
        TamperedError: A leaf file is not what its manifest says.
    """
    note(subject=b.digest, previous=a.digest)
    old, new = ({file.path: file for file in manifest.files} for manifest in (a, b))
    both = [(old[path], new[path]) for path in sorted(old.keys() & new.keys())]
    differ = [(first, second) for first, second in both if first.sha256 != second.sha256 or _other_records(first, second)]
    said, says = description_to_json(a.description), description_to_json(b.description)
    return Difference(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(FileChange(path=first.path, records=_compare(a, first, b, second)) for first, second in differ),
        stated=tuple(sorted(field for field in said.keys() | says.keys() if said.get(field) != says.get(field))),
    )


def _other_records(old: RecordedFile, new: RecordedFile) -> bool:
    """Tell whether the same bytes were said to hold other records, which the same key and cut never give."""
    before, now = old.records, new.records
    return before is not None and now is not None and before.format == now.format and before.root != now.root


def _compare(a: Manifest, old: RecordedFile, b: Manifest, new: RecordedFile) -> RecordChanges | None:
    before, now = old.records, new.records
    if before is None or now is None or a.key_use != b.key_use or _cut(before) != _cut(now):
        return None
    if before.root == now.root:
        return RecordChanges(added=(), removed=(), changed=(), moved=False)
    with open_leaves(a.leaves, before, where=old.path) as first, open_leaves(b.leaves, now, where=new.path) as second:
        same = 0
        while same < min(first.count, second.count) // CHUNK and first.chunk_digest(same) == second.chunk_digest(same):
            same += 1
        return _match(_from(first, same), _from(second, same), same * CHUNK)


def _cut(records: FileRecords) -> str:
    return records.format.partition("+")[0]


def _from(leaves: LeafFile, chunk: int) -> list[bytes]:
    return [leaf for number in range(chunk, leaves.chunks) for leaf in split(leaves.chunk(number))]


def _match(old: Sequence[bytes], new: Sequence[bytes], base: int) -> RecordChanges:
    """Pair equal leaves, the first with the first; of what is left over, pair what stands between the same pairs."""
    gone, kept_old = _left_over(old, Counter(new))
    came, kept_new = _left_over(new, Counter(old))
    changed, removed, added = [], [], []
    for place in sorted(gone.keys() | came.keys()):
        before, now = gone.get(place, []), came.get(place, [])
        both = min(len(before), len(now))
        changed += [(base + first, base + second) for first, second in zip(before[:both], now[:both], strict=True)]
        removed += [base + number for number in before[both:]]
        added += [base + number for number in now[both:]]
    return RecordChanges(added=tuple(added), removed=tuple(removed), changed=tuple(changed), moved=kept_old != kept_new)


def _left_over(leaves: Sequence[bytes], others: Counter[bytes]) -> tuple[dict[int, list[int]], list[bytes]]:
    """Take away what is on the other side too: what is left, by how much was taken before it, and what was taken."""
    left: dict[int, list[int]] = defaultdict(list)
    taken: list[bytes] = []
    for number, leaf in enumerate(leaves):
        if others[leaf] > 0:
            others[leaf] -= 1
            taken.append(leaf)
        else:
            left[len(taken)].append(number)
    return left, taken
