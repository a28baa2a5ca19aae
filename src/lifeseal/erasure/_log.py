# SPDX-License-Identifier: Apache-2.0
"""The node log: encrypted frames in batches, each ended by a trailer that says where its root lies. Only ever appended to."""

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io import Buffer, DiskSource, Reader
from lifeseal.erasure._layout import FORMAT, log_name
from lifeseal.errors import FormatError, TamperedError

BLOCK = 512
NODE, PAGE = 1, 2
MAX_PAGE = (1 << 20) + 4096
_LOG_MAGIC = b"lifeseal.nodes/1"
_BATCH_MAGIC = b"lifeseal.batch/1"
_DONE_MAGIC = b"lifeseal.inuse/1"
_HEADER = struct.Struct(">BBxxIQI12s")
_BOUND = 20  # bytes of a frame's header that its ciphertext is bound to
_TRAILER = struct.Struct(">16s16sQQQQ32s")
_CHECK = 32
_TAG = 16
_FLUSH = 4 << 20
_WINDOW = 1 << 20


@attrs.frozen(kw_only=True)
class Commit:
    """A batch that was written to its end.

    Attributes:
        epoch: Of the batch.
        start: Where it begins.
        trailer: Where its trailer lies.
        root: Where its root node lies.
        previous: Trailer of the batch before, 0 for none.
        digest: SHA-256 over the digest before and the batch.
    """

    epoch: int
    start: int
    trailer: int
    root: int
    previous: int
    digest: bytes

    @property
    def end(self) -> int:
        """Where the next batch may begin."""
        return self.trailer + BLOCK


@attrs.frozen(kw_only=True)
class Frame:
    """What one ciphertext is: a tree node at level and index, or the page of a slot; written at an epoch."""

    kind: int
    level: int
    index: int
    epoch: int


class LogReader:
    """One log, open for reading.

    Args:
        folder: The vault folder.
        start: Epoch that the log begins with.
        vault: Vault id, 16 bytes.

    Raises:
        FormatError: It is a link or not a regular file.
        OSError: It cannot be opened.
    """

    def __init__(self, folder: Path, start: int, vault: bytes) -> None:
        self.where = str(folder / log_name(start))
        self.start = start
        self.vault = vault
        self._closed = False
        with DiskSource(folder) as source:
            self._reader: Reader = source.open(log_name(start))

    def find(self, epoch: int) -> tuple[Commit | None, Commit | None, int]:
        """Find the last batch of an epoch.

        Args:
            epoch: Which one.

        Returns:
            The batch; the last whole batch in the log; and the newest epoch that was noted as in force, 0 for none.
        """
        newest, noted = None, 0
        for position in self._blocks_backwards():
            commit = self.trailer(position)
            newest = newest or commit
            while commit is not None:
                if self.end_of(commit) > commit.end:
                    noted = max(noted, commit.epoch)
                if commit.epoch <= epoch:
                    return (commit if commit.epoch == epoch else None), newest, noted
                before, commit = commit, self.trailer(commit.previous) if commit.previous else None
                if commit is not None and commit.trailer >= before.start:
                    break
        return None, newest, noted

    def is_torn(self, commit: Commit) -> bool:
        """Tell whether something follows the last whole batch that is none."""
        return self.measure() > self.end_of(commit)

    def end_of(self, commit: Commit) -> int:
        """Tell where the next batch begins: after the note that this one is in force, if it was noted."""
        return commit.end + (BLOCK if self._at(commit.end, BLOCK) == done_note(self.vault, commit.epoch) else 0)

    def trailer(self, position: int) -> Commit | None:
        """Read the trailer at a place, or None if none lies there."""
        return self._parse(self._at(position, BLOCK), position)

    def read(self, frame: Frame, offset: int, size: int) -> tuple[memoryview, bytes, bytes]:
        """Read one frame.

        Args:
            frame: What it must be.
            offset: Where it lies.
            size: Of the plaintext.

        Returns:
            Ciphertext with tag, nonce, associated data.

        Raises:
            TamperedError: Something else lies there.
            OSError: It cannot be read.
        """
        data = bytearray(_HEADER.size + size + _TAG)
        view = memoryview(data)
        if self._fill(view, offset) != len(data):
            raise TamperedError(f"{self.where}, byte {offset}: cut short")
        kind, level, index, epoch, length, nonce = _HEADER.unpack_from(data)
        if (kind, level, index, epoch, length) != (frame.kind, frame.level, frame.index, frame.epoch, size + _TAG):
            raise TamperedError(f"{self.where}, byte {offset}: not the frame that belongs there; it was changed, cut or mixed up")
        return view[_HEADER.size :], nonce, FORMAT + self.vault + bytes(view[:_BOUND])

    def raw(self, offset: int) -> bytearray:
        """Read one whole frame as it lies there, at most as long as a page may be."""
        head = self._at(offset, _HEADER.size)
        length = _HEADER.unpack(head)[4] if len(head) == _HEADER.size else 0
        if not _TAG <= length <= MAX_PAGE + _TAG:
            raise TamperedError(f"{self.where}, byte {offset}: no frame lies there")
        return self._at(offset, _HEADER.size + length)

    def length(self, offset: int) -> int:
        """Tell the plaintext bytes of the frame at a place, as far as its header says."""
        return len(self.raw(offset)) - _HEADER.size - _TAG

    def batches(self) -> Iterator[Commit]:
        """Check the log without any key, as far as its last whole batch.

        Yields:
            Every batch in force, newest first, after its digest was compared.

        Raises:
            FormatError: It does not begin as a log does.
            TamperedError: A batch is not what its trailer says.
        """
        if self._at(0, BLOCK) != log_header(self.vault, self.start):
            raise FormatError(self.where, "a node log of this vault was expected")
        commit = next((found for position in self._blocks_backwards() if (found := self._parse(self._at(position, BLOCK), position))), None)
        while commit is not None:
            before = self.trailer(commit.previous) if commit.previous else None
            if commit.previous and (before is None or before.trailer >= commit.start or before.epoch >= commit.epoch):
                raise TamperedError(f"{self.where}, byte {commit.trailer}: does not follow the batch it names")
            content = hashlib.sha256(bytes(32) if before is None else before.digest)
            for position in range(commit.start, commit.trailer, _WINDOW):
                content.update(self._at(position, min(_WINDOW, commit.trailer - position)))
            if content.digest() != commit.digest or (before is None and commit.start != 0):
                raise TamperedError(f"{self.where}, bytes {commit.start} to {commit.trailer}: changed since they were written")
            yield commit
            commit = before

    def measure(self) -> int:
        """Tell the bytes in the log now."""
        size = self._reader.size
        while self._at(size, 1):
            size += len(self._at(size, _WINDOW))
        return size

    def close(self) -> None:
        """Close the file; twice is no error."""
        if not self._closed:
            self._closed = True
            self._reader.__exit__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _at(self, offset: int, size: int) -> bytearray:
        data = bytearray(size)
        with memoryview(data) as view:
            done = self._fill(view, offset)
        del data[done:]
        return data

    def _fill(self, view: memoryview, offset: int) -> int:
        done = 0
        while done < len(view) and (count := self._reader.readinto(view[done:], offset + done)):
            done += count
        return done

    def _blocks_backwards(self) -> Iterator[int]:
        """Yield the places where a trailer may lie, last first; reads on from what the file holds now."""
        end = self.measure() // BLOCK * BLOCK
        width = 2 * BLOCK  # a trailer and a note: where nothing was interrupted, it is found here
        while end > 0:
            start, width = max(0, end - width), _WINDOW
            window = bytes(self._at(start, end - start))
            for place in range(len(window) - len(window) % BLOCK - BLOCK, -1, -BLOCK):
                if window.startswith(_BATCH_MAGIC, place):
                    yield start + place
            end = start

    def _parse(self, block: bytes | bytearray, position: int) -> Commit | None:
        if len(block) < BLOCK or block[_TRAILER.size : _TRAILER.size + _CHECK] != hashlib.sha256(block[: _TRAILER.size]).digest():
            return None
        magic, vault, epoch, start, root, previous, digest = _TRAILER.unpack_from(block)
        if magic != _BATCH_MAGIC or vault != self.vault or any(block[_TRAILER.size + _CHECK :]) or not previous <= start <= root < position:
            return None
        return Commit(epoch=epoch, start=start, trailer=position, root=root, previous=previous, digest=digest)


class Batch:
    """One batch while it is written.

    Args:
        write: Takes the bytes, in order.
        vault: Vault id, 16 bytes.
        epoch: Of every frame in it.
        after: The batch before in the same log, or None where this one begins the log.
        noted: Whether the batch before was noted as in force; the note then counts as the beginning of this one.
    """

    def __init__(self, write: Callable[[Buffer], object], vault: bytes, epoch: int, *, after: Commit | None, noted: bool = False) -> None:
        self.epoch = epoch
        self._write = write
        self._vault = vault
        self._start = 0 if after is None else after.end
        self._previous = 0 if after is None else after.trailer
        self._hash = hashlib.sha256(bytes(32) if after is None else after.digest)
        self._buffer = bytearray(log_header(vault, epoch)) if after is None else bytearray()
        self._flushed = self._start
        if after is not None and noted:
            self._hash.update(done_note(vault, after.epoch))
            self._flushed += BLOCK

    def add(self, kind: int, level: int, index: int, key: memoryview, plain: memoryview) -> int:
        """Encrypt one frame under a key that is used for nothing else.

        Args:
            kind: `NODE` or `PAGE`.
            level: Of a node; 0 for a page.
            index: Of a node within its level; the slot of a page.
            key: 32 bytes.
            plain: The content.

        Returns:
            Where it lies in the log.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        length = len(plain) + _TAG
        frame = bytearray(_HEADER.size + length)
        _HEADER.pack_into(frame, 0, kind, level, index, self.epoch, length, nonce)
        with memoryview(frame) as view, view[_HEADER.size :] as out:
            AESGCM(key).encrypt_into(nonce, plain, FORMAT + self._vault + bytes(view[:_BOUND]), out)
        return self.copy(frame)

    def copy(self, frame: bytearray) -> int:
        """Take in a frame as it is.

        Args:
            frame: Encrypted before, and never again under its key.

        Returns:
            Where it lies in the log.
        """
        offset = self._flushed + len(self._buffer)
        self._buffer += frame
        if len(self._buffer) >= _FLUSH:
            self._flush()
        return offset

    def finish(self, root: int) -> Commit:
        """Pad the batch and write its trailer.

        Args:
            root: Where its root node lies.

        Returns:
            The batch, written but not yet durable.
        """
        self._buffer += bytes(-(self._flushed + len(self._buffer)) % BLOCK)
        self._flush()
        digest = self._hash.digest()
        fields = _TRAILER.pack(_BATCH_MAGIC, self._vault, self.epoch, self._start, root, self._previous, digest)
        self._write((fields + hashlib.sha256(fields).digest()).ljust(BLOCK, b"\0"))
        return Commit(epoch=self.epoch, start=self._start, trailer=self._flushed, root=root, previous=self._previous, digest=digest)

    def _flush(self) -> None:
        self._hash.update(self._buffer)
        self._write(self._buffer)
        self._flushed += len(self._buffer)
        self._buffer = bytearray()


def log_header(vault: bytes, epoch: int) -> bytes:
    """Write the first block of a log."""
    return (_LOG_MAGIC + vault + epoch.to_bytes(8, "big")).ljust(BLOCK, b"\0")


def done_note(vault: bytes, epoch: int) -> bytes:
    """Write the block that says that the root of an epoch was put in force."""
    return (_DONE_MAGIC + vault + epoch.to_bytes(8, "big")).ljust(BLOCK, b"\0")
