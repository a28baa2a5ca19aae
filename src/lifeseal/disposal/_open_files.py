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


def open_files(places: Sequence[str], unread: list[str]) -> list[Held]:
    """List regular files that are open, or mapped into memory.

    Args:
        places: Absolute folders and files.
        unread: Takes what has no name any more and may not be read.

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
                if f"{target}/".startswith(inside):
                    found += _held(process, entry, target)
        for area, target in _mapped(process):
            if f"{target}/".startswith(inside):
                try:
                    found += _held(process, f"/proc/{process}/map_files/{area}" if target.endswith(_UNLINKED) else target, target)
                except FileNotFoundError:
                    continue  # it was unmapped meanwhile
                except OSError as error:
                    unread.append(f"{target.removesuffix(_UNLINKED)}: unlinked, and mapped in process {process}: {error.strerror}")
    return found


def _held(process: str, entry: str, target: str) -> list[Held]:
    status = os.stat(entry)  # noqa: PTH116 - a string, for speed
    if not stat.S_ISREG(status.st_mode):
        return []
    name, key = target.removesuffix(_UNLINKED), (status.st_dev, status.st_ino)
    return [Held(process=int(process), entry=entry, name=name, key=key, size=status.st_size, unlinked=status.st_nlink == 0)]


def _mapped(process: str) -> list[tuple[str, str]]:
    """Name the files that are mapped in a process, each once, and an area of memory where they are."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), open(f"/proc/{process}/maps", errors="surrogateescape") as lines:  # noqa: PTH123 - the same
        for line in lines:
            area, _, _, _, inode, *name = line.rstrip("\n").split(maxsplit=5)
            if name and inode != "0":
                found.setdefault(name[0].replace("\\012", "\n"), area)
    return [("-".join(f"{int(edge, 16):x}" for edge in area.split("-")), name) for name, area in found.items()]


def _numbers(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 - strings, for speed
    except OSError:
        return []
