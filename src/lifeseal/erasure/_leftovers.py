# SPDX-License-Identifier: Apache-2.0
"""Clearing away what no live slot refers to; whatever lies in the vault folder, it never stops a change."""

import itertools
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from lifeseal._io import remove_all
from lifeseal.erasure._layout import GROUP_SIZE, OBJECTS, group_of, log_name, object_ids, object_name, root_name, stale_logs
from lifeseal.erasure._nodes import CAPACITY, State, generation_of
from lifeseal.erasure._tree import Tree
from lifeseal.errors import FormatError, LifesealError

_NOT_IN_USE = frozenset({State.FREE, State.ERASED, State.PAGE})


def free_epoch(folder: Path, after: int) -> int:
    """Choose the next epoch: a number whose name a directory has taken is passed over, so that planting one stops nobody.

    Args:
        folder: The vault folder.
        after: Epoch in force.

    Returns:
        The epoch that the next change will have.
    """
    epoch, place = after + 1, str(folder)
    while any(_is_directory(os.path.join(place, name(epoch))) for name in (log_name, root_name)):  # noqa: PTH118 - no path objects at each change
        epoch += 1
    return epoch


def are_left(folder: Path, tree: Tree) -> bool:
    """Tell whether an interrupted change left a reserved slot, other logs, or containers of no live slot.

    Args:
        folder: The vault folder.
        tree: What is in force.

    Returns:
        True if it did; what cannot be listed counts as nothing.

    Raises:
        OSError: The vault folder cannot be listed.
    """
    return bool(tree.head.reserved or stale_logs(folder, tree.log.start) or _orphans(folder, tree))


def clear(folder: Path, tree: Tree, *, orphans: bool) -> tuple[str, ...]:
    """Unlink other logs and the containers of no live slot, as far as that works. Only once the root of the tree is durable.

    Args:
        folder: The vault folder.
        tree: What is in force.
        orphans: Whether there can be containers of no live slot.

    Returns:
        What the disk would not let go of, as names in the vault folder, sorted; ``objects`` where the containers could not even be listed.

    Raises:
        OSError: The vault folder cannot be listed.
    """
    left = unlink(folder, stale_logs(folder, tree.log.start))
    ids = _orphans(folder, tree) if orphans else ()
    return tuple(sorted([*left, *([OBJECTS] if ids is None else unlink(folder, map(object_name, ids)))]))


def discard(folder: Path, slot: int, generation: int) -> None:
    """Unlink the containers of an asset that will not be committed, as far as that works; the next writer sweeps the rest."""
    try:
        ids = object_ids(folder)
    except (FormatError, OSError):
        return
    unlink(folder, (object_name(file_id) for file_id in ids if file_id.startswith(group_of(slot, generation))))


def unlink(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Unlink files of the vault folder; a link is unlinked, not followed.

    Args:
        folder: The vault folder.
        names: In it, or one folder below.

    Returns:
        Those that the disk would not let go of.
    """
    by_folder: dict[Path, list[str]] = {}
    for name in names:
        by_folder.setdefault((folder / name).parent, []).append((folder / name).name)
    left = []
    for parent, inside in by_folder.items():
        left += [str((parent / name).relative_to(folder)) for name in remove_all(parent, inside)]
    return tuple(left)


def _orphans(folder: Path, tree: Tree) -> tuple[bytes, ...] | None:
    """List the containers that belong to no live slot; None if they cannot be listed."""
    try:
        ids = object_ids(folder)
    except (FormatError, OSError):
        return None
    kept: set[bytes] = set()
    for _, owners in itertools.groupby(sorted({file_id[:GROUP_SIZE] for file_id in ids}), key=_leaf_of):
        below_one_node = list(owners)
        try:
            kept.update(_in_use(tree, below_one_node))
        except (LifesealError, OSError):
            kept.update(below_one_node)  # a node that does not open says nothing about what hangs below it
    return tuple(file_id for file_id in ids if file_id[:GROUP_SIZE] not in kept)


def _leaf_of(owner: bytes) -> bytes:
    """Return what owners have in common whose slots lie in one node."""
    return owner[:3]


def _in_use(tree: Tree, owners: Sequence[bytes]) -> set[bytes]:
    """Return those owners, of one node, whose slot is in use by the generation that they name."""
    numbers = {owner[:4]: int.from_bytes(owner[:4], "big") for owner in owners}
    inside = sorted(number for number in numbers.values() if number < CAPACITY)
    generations = {number: generation_of(entry) for number, entry in tree.visit(inside) if entry[32] not in _NOT_IN_USE}
    return {owner for owner in owners if generations.get(numbers[owner[:4]]) == owner[4:]}


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
