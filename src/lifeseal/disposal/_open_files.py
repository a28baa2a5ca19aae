# SPDX-License-Identifier: Apache-2.0
"""Which files below some folders are open in which processes, also those that have no name any more; as far as this user may see."""

import contextlib
import os
import stat
from collections.abc import Sequence

import attrs

_UNLINKED = " (deleted)"


@attrs.frozen(kw_only=True)
class Held:
    """A file that a process holds open.

    Attributes:
        process: Its id.
        entry: The open file itself, under ``/proc``.
        name: The file's name, or the one it had.
        key: Device and inode.
        size: Bytes.
        unlinked: Whether it has no name any more.
    """

    process: int
    entry: str
    name: str
    key: tuple[int, int]
    size: int
    unlinked: bool


def open_files(places: Sequence[str]) -> list[Held]:
    """List open regular files.

    Args:
        places: Absolute folders and files.

    Returns:
        Each file of each process that lies, or lay, in one of them.
    """
    inside = tuple(f"{os.path.realpath(place).rstrip('/')}/" for place in places)
    found = []
    for process in _numbers("/proc"):
        folder = f"/proc/{process}/fd"
        for number in _numbers(folder):
            entry = f"{folder}/{number}"
            with contextlib.suppress(OSError):
                target = os.readlink(entry)  # noqa: PTH115 - a string, for speed
                if not f"{target}/".startswith(inside):
                    continue
                status = os.stat(entry)  # noqa: PTH116 - the same
                if stat.S_ISREG(status.st_mode):
                    found.append(
                        Held(
                            process=int(process),
                            entry=entry,
                            name=target.removesuffix(_UNLINKED),
                            key=(status.st_dev, status.st_ino),
                            size=status.st_size,
                            unlinked=status.st_nlink == 0,
                        )
                    )
    return found


def _numbers(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 - strings, for speed
    except OSError:
        return []
