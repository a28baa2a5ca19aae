# SPDX-License-Identifier: Apache-2.0
"""Clearing away what no live slot refers to; whatever lies in the vault folder, it never stops a change."""

from collections.abc import Iterable
from pathlib import Path

from lifeseal._io import remove
from lifeseal.erasure._layout import OBJECTS, group_of, object_ids, object_name, registry_name, stale_registries
from lifeseal.erasure._registry import Registry
from lifeseal.errors import FormatError


def free_epoch(folder: Path, after: int) -> int:
    """Choose the next epoch: a number whose name a directory has taken is passed over, so that planting one stops nobody.

    Args:
        folder: The vault folder.
        after: Epoch in force.

    Returns:
        The epoch that the next change will have.
    """
    epoch = after + 1
    while _is_directory(folder / registry_name(epoch)):
        epoch += 1
    return epoch


def are_left(folder: Path, registry: Registry, *, epoch: int) -> bool:
    """Tell whether an interrupted change left registries of other epochs, or containers of no live slot.

    Args:
        folder: The vault folder.
        registry: What is in force.
        epoch: Its epoch.

    Returns:
        True if it did; what cannot be listed counts as nothing.

    Raises:
        OSError: The vault folder cannot be listed.
    """
    return bool(stale_registries(folder, epoch) or _orphans(folder, registry))


def clear(folder: Path, registry: Registry, *, epoch: int) -> tuple[str, ...]:
    """Unlink other registries and the containers of no live slot, as far as that works. Only once the root of ``epoch`` is durable.

    Args:
        folder: The vault folder.
        registry: What is in force.
        epoch: Its epoch.

    Returns:
        What the disk would not let go of, as names in the vault folder, sorted; ``objects`` where the containers could not even be listed.

    Raises:
        OSError: The vault folder cannot be listed.
    """
    left = unlink(folder, stale_registries(folder, epoch))
    ids = _orphans(folder, registry)
    return tuple(sorted([*left, *([OBJECTS] if ids is None else unlink(folder, map(object_name, ids)))]))


def discard(folder: Path, group: bytes) -> None:
    """Unlink the containers of an asset that will not be committed, as far as that works; the next writer sweeps the rest."""
    try:
        ids = object_ids(folder)
    except (FormatError, OSError):
        return
    unlink(folder, (object_name(file_id) for file_id in ids if group_of(file_id) == group))


def unlink(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Unlink files of the vault folder; a link is unlinked, not followed.

    Args:
        folder: The vault folder.
        names: In it.

    Returns:
        Those that the disk would not let go of.
    """
    left = []
    for name in names:
        try:
            remove(folder / name)
        except OSError:
            left.append(name)
    return tuple(left)


def _orphans(folder: Path, registry: Registry) -> tuple[bytes, ...] | None:
    """List the containers that belong to no live slot; None if they cannot be listed."""
    try:
        ids = object_ids(folder)
    except (FormatError, OSError):
        return None
    live = {group_of(slot.index) for slot in registry.slots if not slot.erased}
    return tuple(file_id for file_id in ids if group_of(file_id) not in live)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
