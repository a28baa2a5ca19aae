# SPDX-License-Identifier: Apache-2.0
"""A small disk of its own that can lose its power."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number
_FLUSH_JOURNAL, _FLUSH_NOTHING = 1, 2


@attrs.frozen
class Kind:
    """A file system and how it is mounted."""

    name: str
    size: int
    options: str = "loop"


KINDS = (
    Kind("ext4", 64 << 20),
    Kind("ext4", 64 << 20, "loop,data=writeback,noauto_da_alloc"),
    Kind("xfs", 320 << 20),
)


class Disk:
    """A mounted image; made by `mounted`.

    A cut drops pages and journal entries that were not flushed. It does not tear sectors, and the device below never lies.
    """

    def __init__(self, kind: Kind, image: Path, path: Path) -> None:
        self.path = path
        self._mount = ("mount", "-t", kind.name, "-o", kind.options, str(image), str(path))

    def mount(self) -> None:
        _do(*self._mount)

    def unmount(self) -> None:
        _do("umount", str(self.path))

    def sync(self) -> None:
        """Flush everything: the state before the operation stands."""
        _do("sync", "-f", str(self.path))

    def cut(self, *, flush: bool) -> None:
        """Lose what was not flushed, and mount what is left.

        Args:
            flush: Whether the journal is written out at the last moment.
        """
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _FLUSH_JOURNAL if flush else _FLUSH_NOTHING))
        finally:
            os.close(fd)
        self.unmount()
        self.mount()


@contextlib.contextmanager
def mounted(kind: Kind, scratch: Path) -> Iterator[Disk]:
    """Make, mount and in the end remove a disk.

    Args:
        kind: Its file system.
        scratch: A folder for the image and the mount point, where there is no memory file system.
    """
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="lifeseal-disk-", dir=memory if memory.is_dir() else scratch))
    try:
        image, path = place / "image", place / "mnt"
        path.mkdir()
        with image.open("wb") as file:
            file.truncate(kind.size)
        _do(f"mkfs.{kind.name}", "-q", str(image))
        disk = Disk(kind, image, path)
        disk.mount()
        try:
            yield disk
        finally:
            disk.unmount()
    finally:
        shutil.rmtree(place)


def _do(*command: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}  # under eatmydata these still flush
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if result.returncode:
        raise RuntimeError(f"{command}: {result.stderr}")
