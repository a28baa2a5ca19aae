# SPDX-License-Identifier: Apache-2.0
"""The walk of a search through its places, which says where it did not come to."""

import os
import re
import stat
from collections.abc import Iterator

_XET = re.compile(r"(?:/(?:chunk|shard)[-_]cache|/xet/(?:.+/)?staging)(?=/|\Z)")


def store_of(path: str) -> str:
    """Name the store of Xet chunks that a path lies in; empty if it lies in none."""
    found = _XET.search(path)
    return path[: found.end()] if found else ""


class Walk:
    """What a walk met beside regular files.

    Attributes:
        symlinks: Links, which were not followed.
        stores: Stores of Xet chunks.
        unread: What could not be read or judged, and why.
    """

    def __init__(self) -> None:
        self.symlinks: list[str] = []
        self.stores: set[str] = set()
        self.unread: list[str] = []

    def files(self, place: str) -> Iterator[tuple[str, os.stat_result]]:
        """Walk regular files; a folder without rights is noted, not skipped in silence.

        Args:
            place: Absolute path of a folder or file, or of a link to one, which is followed.

        Yields:
            Path and status of each.

        Raises:
            FileNotFoundError: It is not there.
        """
        try:
            status = os.stat(place)  # noqa: PTH116 - a string, for speed
        except FileNotFoundError:
            raise
        except OSError as error:
            self.unread.append(f"{place}: {error.strerror}")
            return
        self._note_store(os.path.realpath(place))
        if stat.S_ISDIR(status.st_mode):
            yield from self._below(place)
        elif stat.S_ISREG(status.st_mode):
            yield os.path.realpath(place) if os.path.islink(place) else place, status  # noqa: PTH114 - the same
        else:
            self.unread.append(f"{place}: neither a folder nor a regular file")

    def _below(self, place: str) -> Iterator[tuple[str, os.stat_result]]:
        pending = [place]
        while pending:
            folder = pending.pop()
            below = []
            for entry in self._entries(folder):
                try:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path, entry.stat(follow_symlinks=False)
                    elif entry.is_symlink():
                        self.symlinks.append(entry.path)
                except OSError as error:
                    self.unread.append(f"{entry.path}: {error.strerror}")
            pending += reversed(below)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.unread.append(f"{folder}: {error.strerror}")
            return []
        if listed:
            self._note_store(folder)
        return listed

    def _note_store(self, path: str) -> None:
        store = store_of(path)
        if store and store not in self.stores:
            self.stores.add(store)
            self.unread.append(f"{store}: chunks of the Hub's Xet store; which file a chunk belongs to cannot be told, so remove the store whole")
