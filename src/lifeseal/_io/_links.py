# SPDX-License-Identifier: Apache-2.0
"""The two kinds of symbolic link that may be read through, where the caller says so."""

import os
import re
import stat
from typing import Literal, TypeAlias

from lifeseal.errors import FormatError

LinkKind: TypeAlias = Literal["inside", "hub-cache"]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_BLOB = re.compile(r"((?:\.\./)+)blobs/([0-9a-f]{40}|[0-9a-f]{64})", re.ASCII)
_SHARED_BLOB = re.compile(r"\.\./\.\./blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})", re.ASCII)


def inside(name: str, target: str) -> str | None:
    """Name the file below the same folder that a link means, or None where it leads out.

    Args:
        name: The link's own name, relative to the folder.
        target: What it says.

    Steps up count at the start alone, where the folders are the link's own: what a step up from a named folder means depends on whether that is
    a link, and here no other text decides than what the system would follow.

    Returns:
        A relative name; the way there may hold further links, which whoever opens it meets in turn.
    """
    parts = name.split("/")[:-1]
    steps = target.split("/")
    while steps and steps[0] in {"", ".", ".."} and not target.startswith("/"):
        step = steps.pop(0)
        if step == ".." and not parts:
            return None
        if step == "..":
            parts.pop()
    if target.startswith("/") or not steps or set(steps) & {"", ".", ".."}:
        return None
    return "/".join((*parts, *steps))


def is_hub_link(name: str, target: str) -> bool:
    """Tell whether a link is one as the Hub's cache writes them: up to the repository, then ``blobs/`` and a digest."""
    found = _BLOB.fullmatch(target)
    return found is not None and found[1].count("/") == name.count("/") + 2


def open_blob(snapshot: int, target: str, *, where: str) -> int:
    """Open what a link of the Hub's cache means, without following any other link.

    Args:
        snapshot: Descriptor of ``models--NAME/snapshots/COMMIT``.
        target: What the link says; see `is_hub_link`.
        where: Name of the link for error messages.

    Returns:
        The descriptor of a file in the repository's ``blobs``, or in the cache's, which it may share.

    Raises:
        FormatError: The folder is no snapshot in a cache, or the blob is no such link or file.
        OSError: It cannot be opened.

    Source: huggingface_hub, "Understand caching"; ``utils/_shared_blobs.py`` of release 2.
    """
    digest = target.rpartition("/")[2]
    if not _same(os.stat("..", dir_fd=snapshot), _stat_folder("../../snapshots", snapshot)):
        raise FormatError(where, "a link into ../../blobs was found outside a snapshot of the Hub's cache (REPOSITORY/snapshots/COMMIT)")
    blobs = os.open("../../blobs", _FOLDER, dir_fd=snapshot)
    try:
        if not stat.S_ISLNK(os.stat(digest, dir_fd=blobs, follow_symlinks=False).st_mode):
            return os.open(digest, _FILE, dir_fd=blobs)
        shared = _SHARED_BLOB.fullmatch(os.readlink(digest, dir_fd=blobs))
        if shared is None:
            raise FormatError(where, "leads to a link that is not one of the Hub cache's shared blobs")
        return _open_shared(blobs, shared[1], shared[2])
    finally:
        os.close(blobs)


def _open_shared(blobs: int, prefix: str, digest: str) -> int:
    store = os.open("../../blobs", _FOLDER, dir_fd=blobs)
    try:
        folder = os.open(prefix, _FOLDER, dir_fd=store)
    finally:
        os.close(store)
    try:
        return os.open(digest, _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _stat_folder(path: str, at: int) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=at, follow_symlinks=False)
    except OSError:
        return None


def _same(one: os.stat_result, other: os.stat_result | None) -> bool:
    return other is not None and os.path.samestat(one, other)
