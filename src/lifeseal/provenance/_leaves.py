# SPDX-License-Identifier: Apache-2.0
"""The leaf file: every record's leaf hash, in an order and form that can be checked piece by piece.

A header, the leaves, then the index: for each chunk of 1024 leaves its digest, its root in the tree, and where its first record
starts. The manifest holds the digest of header and index, and that digest is the file's name.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from lifeseal._io import DiskSource, Output, StrPath, remove, replacing
from lifeseal.errors import FormatError, TamperedError
from lifeseal.provenance._entries import FileRecords
from lifeseal.provenance._tree import CHUNK, Levels, root_of

MAGIC = b"lifeseal.leaves/1\n".ljust(32, b"\0")
SIZE = 32
_ENTRY = struct.Struct("<32s32sQ")
_NO_OFFSET = 2**64 - 1


def leaves_name(digest: bytes) -> str:
    """Name a leaf file after the digest of its index."""
    return f"{digest.hex()}.leaves"


def stored_size(count: int) -> int:
    """Tell the bytes of a leaf file of so many leaves."""
    return len(MAGIC) + SIZE * count + _ENTRY.size * -(-count // CHUNK)


def index_entry(leaves: Sequence[bytes], joined: bytes, offset: int | None) -> bytes:
    """Write one chunk's part of the index.

    Args:
        leaves: The chunk's leaf hashes.
        joined: The same in one piece.
        offset: Where its first record starts in the data file, if it can be started there.

    Returns:
        72 bytes.
    """
    return _ENTRY.pack(hashlib.sha256(joined).digest(), root_of(leaves), _NO_OFFSET if offset is None else offset)


class LeafWriter:
    """Writes one leaf file into a folder, as the leaves come. Use `create`."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._index = bytearray()
        self._pending: list[bytes] = []
        self._offset: int | None = None
        self.count = 0
        self.digest = b""
        self.root = b""

    @classmethod
    @contextlib.contextmanager
    def create(cls, folder: Path) -> Iterator[Self]:
        """Open a leaf file that takes its name when the block ends; call `finish` in it.

        Args:
            folder: Where it goes.

        Yields:
            The writer.

        Raises:
            OSError: The disk refused; nothing is left.
        """
        writer = None
        try:
            with replacing(folder / f"{os.urandom(16).hex()}.new", overwrite=False) as output:
                output.write(MAGIC)
                yield (writer := cls(output))
                if writer.finish():
                    raise _There
        except _There:
            pass
        except FileExistsError:
            # Another worker has just written the leaves of an equal file.
            if writer is None or not is_whole(folder / leaves_name(writer.digest), writer):
                raise

    def add(self, leaves: list[bytes], offsets: "Sequence[int] | None" = None) -> None:
        """Append leaves.

        Args:
            leaves: Leaf hashes, 32 bytes each.
            offsets: Where each record that begins a chunk starts, in order; None where records have no place of their own.
        """
        taken, starts = 0, iter(offsets or ())
        while taken < len(leaves):
            if not self._pending:
                self._offset = next(starts, None)
            part = leaves[taken : taken + CHUNK - len(self._pending)]
            self._pending += part
            taken += len(part)
            if len(self._pending) == CHUNK:
                self._flush()

    def room(self) -> int:
        """Tell how many leaves fill the chunk that is open: CHUNK at its start."""
        return CHUNK - len(self._pending)

    def add_chunks(self, leaves: bytes, index: bytes) -> None:
        """Append whole chunks that a worker hashed; between chunks only."""
        self._output.write(leaves)
        self._index += index
        self.count += len(leaves) // SIZE

    def finish(self) -> bool:
        """Write what is left and the index, and name the file; True if the same file is there already."""
        self._flush()
        self.root = root_of([root for _, root, _ in _ENTRY.iter_unpack(self._index)])
        self.digest = hashlib.sha256(MAGIC + self._index).digest()
        self._output.write(self._index)
        name = leaves_name(self.digest)
        there = self._output.target.with_name(name)
        if there.is_symlink() or there.exists():
            if is_whole(there, self):
                return True
            remove(there)  # a leaf file under this name that does not hold what the name says is of no use to anybody
        self._output.call(name)
        return False

    def _flush(self) -> None:
        if self._pending:
            joined = b"".join(self._pending)
            self.add_chunks(joined, index_entry(self._pending, joined, self._offset))
            self._pending = []


class _There(Exception):  # noqa: N818 - ends the block above, and nothing else
    pass


class LeafFile:
    """An opened leaf file; what it gives out has been checked against the manifest's digest.

    Args:
        path: The file.
        count: Leaves it must hold.
        digest: What the manifest says about its index.

    Raises:
        FormatError: It is not a regular file.
        OSError: It cannot be opened.
        TamperedError: It is not the leaf file of the manifest.
    """

    def __init__(self, path: StrPath, *, count: int, digest: bytes) -> None:
        self.where = os.fspath(path)
        self.count = count
        self.chunks = -(-count // CHUNK)
        with DiskSource(path) as source:
            self._reader = source.open(source.name)
        try:
            if self._reader.size != stored_size(count):
                raise TamperedError(f"{self.where}: {self._reader.size} bytes, which is not the size of {count} leaves and their index")
            head, index = self._read(0, len(MAGIC)), self._read(len(MAGIC) + SIZE * count, _ENTRY.size * self.chunks)
            if head != MAGIC or hashlib.sha256(head + index).digest() != digest:
                raise TamperedError(f"{self.where}: not the leaf file that the manifest names")
        except BaseException:
            self.close()
            raise
        self._index = index
        self._last = (-1, b"")

    def leaves(self, first: int, end: int) -> bytes:
        """Read a stretch of leaves, in one piece; the chunk read last is kept.

        Args:
            first: Number of the first.
            end: Number after the last.

        Returns:
            32 bytes for each.

        Raises:
            TamperedError: They are not what the index says.
        """
        parts = []
        for number in range(first // CHUNK, -(-end // CHUNK)):
            if number != self._last[0]:
                self._last = (number, self.chunk(number))
            base = number * CHUNK
            parts.append(self._last[1][max(first - base, 0) * SIZE : (end - base) * SIZE])
        return b"".join(parts)

    def chunk(self, number: int) -> bytes:
        """Read one chunk's leaves, in one piece.

        Args:
            number: Which one.

        Returns:
            Up to 1024 leaf hashes.

        Raises:
            TamperedError: They are not what the index says.
        """
        start = number * CHUNK
        data = self._read(len(MAGIC) + SIZE * start, SIZE * min(CHUNK, self.count - start))
        if hashlib.sha256(data).digest() != self._entry(number)[0]:
            raise TamperedError(f"{self.where}: leaves {start} to {start + len(data) // SIZE - 1} were changed")
        return data

    def offset(self, number: int) -> int | None:
        """Tell where in the data file a chunk's first record starts; None if it cannot be started there."""
        offset = self._entry(number)[2]
        return None if offset == _NO_OFFSET else offset

    def chunk_digest(self, number: int) -> bytes:
        """Return the digest of a chunk, without reading it."""
        return self._entry(number)[0]

    def levels(self) -> Levels:
        """Return the tree over the leaves."""
        roots = [root for _, root, _ in _ENTRY.iter_unpack(self._index)]
        return Levels(self.count, roots, lambda number: split(self.chunk(number)))

    def find(self, leaf: bytes) -> int | None:
        """Look for a leaf, and return the index of the first; None if there is none."""
        for number in range(self.chunks):
            data = self.chunk(number)
            at = data.find(leaf)
            while at >= 0 and at % SIZE:
                at = data.find(leaf, at + 1)
            if at >= 0:
                return number * CHUNK + at // SIZE
        return None

    def close(self) -> None:
        """Close the file."""
        self._reader.__exit__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _entry(self, number: int) -> tuple[bytes, bytes, int]:
        found: tuple[bytes, bytes, int] = _ENTRY.unpack_from(self._index, number * _ENTRY.size)
        return found

    def _read(self, start: int, length: int) -> bytes:
        data = bytearray(length)
        done, view = 0, memoryview(data)
        while done < length and (count := self._reader.readinto(view[done:], start + done)):
            done += count
        if done != length:
            raise TamperedError(f"{self.where}: cut off while it was read")
        return bytes(data)


def split(joined: bytes) -> list[bytes]:
    """Cut leaves that lie in one piece."""
    return [leaf for (leaf,) in struct.iter_unpack("32s", joined)]


def is_whole(path: Path, wanted: LeafWriter) -> bool:
    """Tell whether a leaf file that is there holds exactly what was just written."""
    try:
        with LeafFile(path, count=wanted.count, digest=wanted.digest) as found:
            for number in range(found.chunks):
                found.chunk(number)
    except (FormatError, TamperedError, OSError):
        return False
    return True


def open_leaves(folder: Path | None, records: FileRecords, *, where: str) -> LeafFile:
    """Open the leaf file of one file's records.

    Args:
        folder: Where leaf files lie.
        records: What the manifest says.
        where: Name for error messages.

    Returns:
        The leaf file.

    Raises:
        FormatError: No folder is known, or it is not a regular file.
        OSError: It cannot be read.
        TamperedError: It is not what the manifest says.
    """
    if folder is None:
        raise FormatError(where, "the folder of its leaf files is not known; load the manifest from its file, or give leaves=")
    return LeafFile(folder / leaves_name(records.leaves), count=records.count, digest=records.leaves)
