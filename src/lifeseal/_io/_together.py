# SPDX-License-Identifier: Apache-2.0
"""Many new files that reach the disk together: each waits for the disk beside the others, and only then takes its name."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io._durable import link_new, named

_FILES = 64
_BYTES = 64 << 20
_THREADS = 8


@attrs.define(kw_only=True)
class _Waiting:
    """One file that is written and has no name yet."""

    fd: int
    temp: str | None
    folder: int
    target: Path

    def reach_disk(self) -> None:
        with named(self.target):
            os.fsync(self.fd)

    def take_name(self) -> None:
        with named(self.target):
            link_new(self.fd, self.temp, self.target.name, self.folder)

    def drop(self) -> None:
        """Let go of it: what it holds is durable under its name by now, or not wanted."""
        with contextlib.suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        _close(self.fd)
        if self.temp is not None:
            with contextlib.suppress(OSError):  # what stays is swept by the next write
                os.unlink(self.temp, dir_fd=self.folder)


class Together:
    """New files, given to `replacing`, that `settle` lets reach the disk together.

    Until then none of them has its name. A disk takes many small files in a fraction of the time that each of them alone would wait. As a
    context manager it settles at the end of a block that ends well, and else drops what waits.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._folders: dict[tuple[int, int], int] = {}
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether so many wait, or so large ones, that it is time to settle."""
        return len(self._waiting) >= _FILES or self._size >= _BYTES

    def take(self, fd: int, *, temp: str | None, folder: int, target: Path) -> None:
        """Take a file over that is written, and the descriptor of its folder; both are closed here, whatever happens.

        Args:
            fd: The file, locked.
            temp: Its name until it has its own; None if it has none.
            folder: The folder.
            target: The name that it will have.
        """
        found = os.fstat(folder)
        kept = self._folders.setdefault((found.st_dev, found.st_ino), folder)
        if kept != folder:
            _close(folder)
        self._waiting.append(_Waiting(fd=fd, temp=temp, folder=kept, target=target))
        self._size += os.fstat(fd).st_size

    def settle(self) -> None:
        """Let every file reach the disk, then take its name, then let the folders reach the disk: after that all of it survives a power cut.

        Raises:
            FileExistsError: A name is taken; the files before it have theirs.
            OSError: The disk refused; some files may have their names.
        """
        try:
            if len(self._waiting) > _THREADS:
                from concurrent.futures import ThreadPoolExecutor

                with ThreadPoolExecutor(_THREADS, thread_name_prefix="lifeseal-sync") as pool:
                    for _ in pool.map(_Waiting.reach_disk, self._waiting):
                        pass
            else:
                for waiting in self._waiting:
                    waiting.reach_disk()
            for waiting in self._waiting:
                waiting.take_name()
            for folder in self._folders.values():
                os.fsync(folder)
        finally:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.settle()
        else:
            self._drop()

    def _drop(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        folders, self._folders = self._folders, {}
        for one in waiting:
            one.drop()
        for folder in folders.values():
            _close(folder)


def _close(fd: int) -> None:
    """Close a descriptor; whether that was told to be an error says nothing, once everything was synchronised."""
    with contextlib.suppress(OSError):
        os.close(fd)
