# SPDX-License-Identifier: Apache-2.0
"""Locks for holders that have no file of their own to lock."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from lifeseal._io import Appender
from lifeseal.erasure._layout import LOCK, read_description
from lifeseal.errors import FormatError, LockedError


@contextlib.contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Keep other writers to a vault folder out for a block.

    Args:
        folder: The vault folder.

    Raises:
        LockedError: Another process is writing.
        OSError: The lock file cannot be opened.
    """
    with file_locked(folder / LOCK):
        yield


@contextlib.contextmanager
def file_locked(path: Path) -> Iterator[None]:
    """Lock a file, made if it is not there, for a block.

    Args:
        path: The file; nothing is ever written to it.

    Raises:
        LockedError: Another process has locked it.
        OSError: It cannot be opened.
    """
    try:
        lock = Appender(path, create=False)
    except FileNotFoundError:
        lock = Appender(path, mode=0o600)  # this waits for the disk, the other does not
    try:
        with lock.locked(wait=False):
            yield
    finally:
        lock.close()


@contextlib.contextmanager
def copies_locked(folder: Path, holder: str) -> Iterator[None]:
    """Keep other writers out of a vault folder, and of every copy of it on this host, for a block.

    Copies of a vault have one id and one holder. Their lock is a name in the abstract namespace of Unix sockets, which the system lets go
    when the process ends; containers with a network of their own do not see one another's.

    Args:
        folder: The vault folder; one that is just being made has no copies.
        holder: What tells the holder from others, as its kind and fingerprint.

    Raises:
        LockedError: Another process is writing to the folder or to a copy.
        OSError: The lock file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(folder_locked(folder))
        try:
            vault, _, _ = read_description(folder)
        except FormatError:
            vault = b""  # no vault yet, or none at all, which its reader will say
        if vault:
            stack.enter_context(name_locked(holder.encode() + b"\0" + vault, f"{folder}: a copy of this vault on this host is being written to"))
        yield


@contextlib.contextmanager
def name_locked(name: bytes, refusal: str) -> Iterator[None]:
    """Take a name on this host for a block, in the abstract namespace of Unix sockets.

    Args:
        name: Of any length.
        refusal: What to say where it is taken.

    Raises:
        LockedError: It is.
    """
    import socket  # here, as most vaults need none

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taken:
        try:
            taken.bind(b"\0lifeseal-" + hashlib.sha256(name).hexdigest().encode())
        except OSError:
            raise LockedError(refusal) from None
        yield
