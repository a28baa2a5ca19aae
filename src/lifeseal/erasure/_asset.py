# SPDX-License-Identifier: Apache-2.0
"""A sealed asset, read in place: an encrypted model is opened like any other."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from lifeseal._io import DiskSource, Reader, Secret, StrPath
from lifeseal.erasure._container import Place, open_container
from lifeseal.erasure._index import Index, parse_index
from lifeseal.erasure._layout import DATA, INDEX
from lifeseal.erasure._range import RangeReader
from lifeseal.erasure._unseal import write_plaintext
from lifeseal.errors import DestroyedError, StateError, StoreError, TamperedError
from lifeseal.principles import Fact, implements, note

MAX_KEY_AGE = 10.0
_MAX_INDEX = 64 << 20


class SealedAsset:
    """The files of one sealed asset; decrypted as they are read, never written to disk.

    Handed out by `Vault.asset`, `Vault.seal` and `receive`.

    It holds the asset's key until it or its vault is closed. Each file that is opened, and each
    read more than ten seconds after the last look, asks the root holder first whether the asset still lives; an erasure in another process
    does not reach this memory before that.

    Attributes:
        where: What to call it in messages.
        name: Its name in the vault.
        slot: Its place in the key tree.
        generation: Which sealing of that slot.
        is_folder: False if one file was sealed.
    """

    def __init__(self, place: Place, key: Secret, index_id: bytes, *, ask: Callable[[], None], epoch: int) -> None:
        self.where = f"{place.folder}: asset {place.name!r}"
        self.name = place.name
        self.slot = place.slot
        self.generation = place.generation
        self._place = place
        self._key = key
        self._ask = ask
        self._epoch = epoch
        self._asked = time.monotonic()
        self._process = os.getpid()
        self._destroyed = ""
        self._source: DiskSource | None = DiskSource(place.folder)
        try:
            index = self._read_index(index_id)
        except BaseException:
            self.close()
            raise
        self.is_folder = index.folder
        self._entries = {entry.name: entry for entry in index.entries}
        self._signature = index.signature

    def __facts__(self) -> dict[str, Fact]:
        return {"vault": self._place.vault.hex(), "epoch": self._epoch, "slot": self.slot, "generation": self.generation}

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

    @property
    def signature(self) -> str | None:
        """Name of the signature that lay beside a single file and was sealed with it; it can be opened, and `names` leaves it out."""
        return None if self._signature is None else self._signature.name

    def size(self, name: str) -> int:
        """Tell the plaintext bytes of one file.

        Args:
            name: Relative POSIX name.

        Returns:
            Bytes.

        Raises:
            FileNotFoundError: The asset has no such file.
        """
        if self._signature is not None and name == self._signature.name:
            return self._signature.size
        if name not in self._entries:
            raise FileNotFoundError(f"{self.where}: no file {name!r}")
        return self._entries[name].size

    def open(self, name: str) -> Reader:
        """Open one file for reads from any offset; each read is authenticated.

        Args:
            name: Relative POSIX name.

        Returns:
            The reader; it keeps working until it is closed or the asset is erased.

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
        self._refuse_closed()
        self._look(age=0.0)
        entry = self._entries.get(name) or self._signature
        if entry is None:
            raise FileNotFoundError(f"{self.where}: no file {name!r}")
        reader = self._open(entry.file_id, DATA, where=where)
        if reader.size != size:
            reader.__exit__()
            raise TamperedError(f"{where}: holds {reader.size} bytes, {size} were sealed")
        return _Asking(reader, self._look)

    @implements(evidences=["5.4.2"], limits="The plaintext it writes is outside the vault: erasing the asset does not reach it.")
    def unseal(self, out: StrPath) -> None:
        """Write its plaintext to a new file or folder, as `Vault.unseal` does.

        Args:
            out: The new file or folder; its parent must exist.

        Raises:
            DestroyedError: The asset was erased meanwhile.
            FileExistsError: ``out`` is there already.
            StateError: The asset or its vault is closed.
            StoreError: A container is not there.
            TamperedError: A container is not the one that was sealed; what was written so far is removed.
            OSError: A file cannot be read or written.
        """
        note(size=write_plaintext(self, Path(out)), files=len(self._entries))

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

    def _refuse_closed(self) -> None:
        if self._destroyed:
            raise DestroyedError(self._destroyed)
        if self._source is None:
            raise StateError(f"{self.where}: closed; ask the vault for it again")
        if os.getpid() != self._process:
            raise StateError(f"{self.where}: keys do not pass a fork; open the vault again in this process")

    def _open(self, file_id: bytes, role: bytes, *, where: str) -> RangeReader:
        self._refuse_closed()
        if self._source is None:
            raise StateError(f"{self.where}: closed; ask the vault for it again")
        try:
            return open_container(self._source, self._place, self._key, file_id, role, where=where)
        except StoreError:
            self._look(age=0.0)
            raise

    def _look(self, age: float = MAX_KEY_AGE) -> None:
        """Ask whether the asset still lives, unless that was asked not long ago."""
        now = time.monotonic()
        if now - self._asked >= age:
            try:
                self._ask()
            except DestroyedError as error:
                self._destroyed = str(error)
                self.close()
                raise
            self._asked = now

    def _read_index(self, index_id: bytes) -> Index:
        where = f"{self.where}, index"
        with self._open(index_id, INDEX, where=where) as reader:
            if reader.size > _MAX_INDEX:
                raise TamperedError(f"{where}: {reader.size} bytes, more than an index may have")
            data = bytearray(reader.size)
            with memoryview(data) as view:
                reader.readinto(view, 0)
        return parse_index(bytes(data), index_id=index_id, where=where)


class _Asking:
    """A reader that asks from time to time whether it may go on."""

    def __init__(self, reader: RangeReader, look: Callable[[], None]) -> None:
        self._reader = reader
        self._look = look
        self.size = reader.size

    def readinto(self, buffer: memoryview, start: int) -> int:
        self._look()
        return self._reader.readinto(buffer, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._reader.__exit__(*error)


def _and_parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
