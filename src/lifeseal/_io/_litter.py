# SPDX-License-Identifier: Apache-2.0
"""What killed writers leave behind, and its removal."""

import contextlib
import fcntl
import os
import re

_TEMP = re.compile(r"\.lifeseal-[0-9a-f]{16}\.tmp")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove from a folder what writers that were killed left there; living writers' files stay.

    Args:
        folder: The folder.

    Raises:
        OSError: It cannot be opened.
    """
    fd = os.open(folder, _DIRECTORY)
    try:
        sweep_open(fd)
    finally:
        os.close(fd)


def sweep_open(folder: int) -> None:
    """In an open folder, remove temporary files of writers that were killed; a living writer holds a lock on its own."""
    for name in filter(_TEMP.fullmatch, os.listdir(folder)):
        with contextlib.suppress(OSError):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(fd)
