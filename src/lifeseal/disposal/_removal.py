# SPDX-License-Identifier: Apache-2.0
"""Unlinking plaintext: only the very files that were planned, however often it is begun."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from lifeseal._io import remove

Identity: TypeAlias = tuple[int, int, int, int]
Fate: TypeAlias = Literal["unlinked", "gone", "left"]


@attrs.frozen(kw_only=True)
class Target:
    """One name that is to be unlinked.

    Attributes:
        path: Absolute.
        identity: Device, inode, size and time of the last write (ns), as they were when it was read.
    """

    path: Path
    identity: Identity

    def to_json(self) -> dict[str, object]:
        """Write it; a name that is not UTF-8 survives in its bytes."""
        return {"path": shown(self.path), "bytes": os.fsencode(self.path).hex(), "identity": list(self.identity)}


def shown(path: str | Path) -> str:
    """Write a path as text that every reader of JSON takes; what is not UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def identity_of(status: os.stat_result) -> Identity:
    """Take what tells a file from another that has its name, and from itself after it was written again."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def unlink(target: Target) -> tuple[Fate, str]:
    """Unlink one file, if it is still the one that was planned.

    Args:
        target: The name.

    Returns:
        What became of it, and why.
    """
    try:
        status = target.path.lstat()
        if stat.S_ISDIR(status.st_mode) or identity_of(status) != target.identity:
            return "left", "it is another file now, or was written again"
        remove(target.path)
    except (FileNotFoundError, NotADirectoryError):
        return "gone", "it was not there any more"
    except OSError as error:
        return "left", error.strerror or "the disk would not let go of it"
    return "unlinked", ""


def everything_in(path: Path) -> tuple[tuple[Target, ...], tuple[Path, ...]]:
    """List every name below a folder, links not followed, or the one file itself.

    Args:
        path: A folder or file.

    Returns:
        Targets, and the folders that hold them, each after what lies in it.

    Raises:
        OSError: A folder cannot be read.
    """
    targets, folders = [], []
    for name, status in _walk(path):
        if stat.S_ISDIR(status.st_mode):
            folders.append(name)
        else:
            targets.append(Target(path=name, identity=identity_of(status)))
    return tuple(targets), tuple(folders)


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        for name in sorted(path.iterdir()):
            yield from _walk(name)
    yield path, status


def remove_empty(folders: tuple[Path, ...]) -> None:
    """Remove folders that are empty now, deepest first; one that is not stays."""
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        with contextlib.suppress(OSError):
            folder.rmdir()
