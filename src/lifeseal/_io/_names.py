# SPDX-License-Identifier: Apache-2.0
"""Names that come and go: folders made, second names given, files unlinked, so that it survives a power cut."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from lifeseal._io._durable import DIRECTORY, StrPath, named, wiping


def make_folder(path: StrPath, *, mode: int = 0o755) -> None:
    """Make one folder that survives a power cut.

    Args:
        path: The new folder; its parent must exist.
        mode: Permissions, before the umask.

    Raises:
        FileExistsError: The name is taken.
        OSError: The disk refused.
    """
    target = Path(path)
    with named(target):
        parent = os.open(target.parent, DIRECTORY)
        try:
            os.mkdir(target.name, mode, dir_fd=parent)
            os.fsync(parent)
        finally:
            os.close(parent)


def second_name(path: StrPath, other: StrPath) -> None:
    """Give a file another name beside its own, so that both survive a power cut.

    Args:
        path: The file.
        other: The new name, in the same file system. Taken by this very file already is no error.

    Raises:
        FileExistsError: Something else has that name.
        OSError: The disk refused, or the file system has no hard links.
    """
    target = Path(other)
    with named(target):
        folder = os.open(target.parent, DIRECTORY)
        try:
            try:
                os.link(path, target.name, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                if not os.path.samestat(os.lstat(path), os.stat(target.name, dir_fd=folder, follow_symlinks=False)):
                    raise
            os.fsync(folder)
        finally:
            os.close(folder)


def remove(path: StrPath, *, wipe: bool = False) -> None:
    """Unlink one file so that it stays away after a power cut; a file that is gone already is no error.

    Args:
        path: The file.
        wipe: Overwrite its content in place afterwards; see `replacing`.

    Raises:
        OSError: The disk refused.
    """
    target = Path(path)
    parent = os.open(target.parent, DIRECTORY)
    try:
        with wiping(target.name, parent, wanted=wipe):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target.name, dir_fd=parent)
            os.fsync(parent)
    finally:
        os.close(parent)


def remove_all(folder: StrPath, names: Iterable[str]) -> tuple[str, ...]:
    """Unlink files of one folder, as far as that works; the folder reaches the disk once, at the end.

    Args:
        folder: The folder.
        names: In it; one that is gone already counts as unlinked.

    Returns:
        The names that the disk would not let go of, all of them where the folder did not reach the disk.
    """
    wanted, left = tuple(names), []
    try:
        parent = os.open(folder, DIRECTORY)
        try:
            for name in wanted:
                try:
                    os.unlink(name, dir_fd=parent)
                except FileNotFoundError:
                    pass
                except OSError:
                    left.append(name)
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError:
        return wanted
    return tuple(left)
