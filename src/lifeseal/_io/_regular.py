# SPDX-License-Identifier: Apache-2.0
"""Single files, each read from one descriptor: documents and keys."""

import errno
import os
import stat

from lifeseal._io._durable import StrPath
from lifeseal.errors import FormatError, LimitError

_MAX_DOCUMENT = 512 << 20
_KINDS = (
    (stat.S_ISLNK, "symbolic link"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISDIR, "folder"),
)


def read_bounded(path: StrPath, *, limit: int, what: str = "") -> bytes:
    """Read one whole small file.

    Args:
        path: A regular file.
        limit: Bytes at most.
        what: What should be there, for a note on an error.

    Returns:
        Its bytes.

    Raises:
        FormatError: It is not a regular file.
        LimitError: It is larger.
        OSError: It cannot be read.
    """
    try:
        return _read_bounded(path, limit=limit)
    except (FormatError, OSError) as error:
        if what:
            error.add_note(f"{what} was expected there")
        raise


def _read_bounded(path: StrPath, *, limit: int) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        try:
            data = file.read(limit + 1)
            size = os.fstat(file.fileno()).st_size
        except OSError as error:
            error.filename = os.fspath(path)
            raise
    if len(data) > limit:
        raise LimitError(os.fspath(path), limit=limit, seen=max(size, len(data)))
    return data


def refuse_foreign(path: StrPath, *, mark: bytes, what: str) -> None:
    """Refuse to put a document in place of anything but an older one of its kind.

    Args:
        path: Where it is to go.
        mark: Stands in every document of the kind.
        what: What the kind is called.

    Raises:
        FileExistsError: Something else lies there.
        OSError: What lies there cannot be read.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            data = file.read(_MAX_DOCUMENT)
    except FileNotFoundError:
        return
    except FormatError:
        data = b""
    if not data.lstrip().startswith(b"{") or mark not in data:
        raise FileExistsError(errno.EEXIST, f"is there and is no {what}, so it is not replaced", os.fspath(path))


def open_regular(path: StrPath) -> int:
    """Open a regular file for reading; anything else is refused and never waited for.

    Args:
        path: The file; a link to one is followed.

    Returns:
        The descriptor.

    Raises:
        FormatError: It is not a regular file.
        OSError: It cannot be opened.
    """
    where = os.fspath(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise FormatError(where, "a regular file was expected, not a socket or a device") from None
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise FormatError(where, f"a regular file was expected, not a {kind_of(mode)}")
    return fd


def kind_of(mode: int) -> str:
    """Say what a file is that is no regular one."""
    return next((name for test, name in _KINDS if test(mode)), "special file")
