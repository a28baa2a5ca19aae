# SPDX-License-Identifier: Apache-2.0
"""A sealed asset, read in place: an encrypted model is opened like any other."""

import os
from collections.abc import Callable
from typing import Self

from lifeseal._io import DiskSource, Reader, Secret
from lifeseal.erasure._container import Place, open_container
from lifeseal.erasure._index import Index, parse_index
from lifeseal.erasure._layout import DATA, INDEX
from lifeseal.erasure._range import RangeReader
from lifeseal.errors import StateError, StoreError, TamperedError


class SealedAsset:
    """The files of one sealed asset; decrypted as they are read, never written to disk.

    Handed out by `Vault.asset` and `Vault.seal`. It holds the asset's key until it or its vault is closed; an erasure in another process
    does not reach that memory.

    Attributes:
        where: What to call it in messages.
        name: Its name in the vault.
        slot: Its place in the registry.
        generation: Which sealing of that slot.
        is_folder: False if one file was sealed.
    """

    def __init__(self, place: Place, key: Secret, index_id: bytes, *, gone: Callable[[], None]) -> None:
        self.where = f"{place.folder}: asset {place.name!r}"
        self.name = place.name
        self.slot = place.slot
        self.generation = place.generation
        self._place = place
        self._key = key
        self._gone = gone
        self._process = os.getpid()
        self._source: DiskSource | None = DiskSource(place.folder)
        try:
            index = self._read_index(index_id)
        except BaseException:
            self.close()
            raise
        self.is_folder = index.folder
        self._entries = {entry.name: entry for entry in index.entries}

    def names(self, *, ignore: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """List its files, sorted by code point.

        Args:
            ignore: Relative paths; nothing at or under them is listed.

        Returns:
            Relative POSIX names; for a single file its name when it was sealed.
        """
        if not self.is_folder:
            return tuple(self._entries)
        return tuple(name for name in self._entries if not any(part in ignore for part in _and_parents(name)))

    def size(self, name: str) -> int:
        """Tell the plaintext bytes of one file.

        Args:
            name: Relative POSIX name.

        Returns:
            Bytes.

        Raises:
            FileNotFoundError: The asset has no such file.
        """
        if name not in self._entries:
            raise FileNotFoundError(f"{self.where}: no file {name!r}")
        return self._entries[name].size

    def open(self, name: str) -> Reader:
        """Open one file for reads from any offset; each read is authenticated.

        Args:
            name: Relative POSIX name.

        Returns:
            The reader; it keeps working until it is closed.

        Raises:
            DestroyedError: The asset was erased meanwhile.
            FileNotFoundError: The asset has no such file.
            StateError: The asset or its vault is closed, or this process was forked from the one that opened it.
            StoreError: The container is not there.
            TamperedError: The container is not the one that was sealed.
            OSError: It cannot be read.
        """
        size = self.size(name)
        where = f"{self.where}: {name!r}"
        reader = self._open(self._entries[name].file_id, DATA, where=where)
        if reader.size != size:
            reader.__exit__()
            raise TamperedError(f"{where}: holds {reader.size} bytes, {size} were sealed")
        return reader

    def close(self) -> None:
        """Zero the key; twice is no error."""
        self._key.close()
        if self._source is not None:
            self._source.close()
            self._source = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, file_id: bytes, role: bytes, *, where: str) -> RangeReader:
        if self._source is None:
            raise StateError(f"{self.where}: closed; ask the vault for it again")
        if os.getpid() != self._process:
            raise StateError(f"{self.where}: keys do not pass a fork; open the vault again in this process")
        try:
            return open_container(self._source, self._place, self._key, file_id, role, where=where)
        except StoreError:
            self._gone()
            raise

    def _read_index(self, index_id: bytes) -> Index:
        where = f"{self.where}, index"
        with self._open(index_id, INDEX, where=where) as reader:
            data = bytearray(reader.size)
            with memoryview(data) as view:
                reader.readinto(view, 0)
        return parse_index(bytes(data), index_id=index_id, where=where)


def _and_parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
