# SPDX-License-Identifier: Apache-2.0
"""Hashing the records of one file, in this process or spread over an executor's workers."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs

from lifeseal._io import BLOCK, DiskSource, Progress, ProgressCallback, Raw, Report, hash_files, in_threads, read_through
from lifeseal.errors import FormatError
from lifeseal.provenance._arrays import Uncut
from lifeseal.provenance._entries import SERVER, Column, FileRecords, RecordedFile, SetRoot
from lifeseal.provenance._formats import cut, is_plain_lines
from lifeseal.provenance._keys import LeafKey, leaves_of
from lifeseal.provenance._leaves import SIZE, LeafFile, LeafWriter, index_entry, leaves_name, split
from lifeseal.provenance._lines import chunk_offsets
from lifeseal.provenance._remote import Compared, RemotePart, RemoteSource
from lifeseal.provenance._tree import CHUNK, RootBuilder

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Tick: TypeAlias = Callable[[int], object]

_TICK = 0.2
_SEGMENT = 8 << 20
_SEGMENT_RECORDS = 64 * CHUNK
_APART = 4 * _SEGMENT  # a file of so many bytes is worth spreading over workers
_WINDOW = 32
_AT_ONCE = 8  # requests: what a network takes long for is waiting
_SORTED = 1 << 18  # leaves that are sorted at a time
_PREFIXES = 1 << 16


@attrs.frozen(kw_only=True)
class How:
    """How records are hashed, the same for all files of one recording.

    Attributes:
        folder: Where leaf files go.
        leaf_key: The key or keys, or None.
        sets: Whether set roots are made.
    """

    folder: Path
    leaf_key: LeafKey | None
    sets: bool


class Meter:
    """Counts bytes and tells the caller five times a second.

    Args:
        phase: Word for the progress.
        total: Bytes in all.
        progress: Who is told.
    """

    def __init__(self, phase: str, total: int, progress: ProgressCallback) -> None:
        self._phase = phase
        self._total = total
        self._progress = progress
        self._next = 0.0
        self.done = 0

    def add(self, amount: int) -> None:
        """Count bytes as read."""
        self.done += amount
        if self._progress is not None and (now := time.monotonic()) >= self._next:
            self._next = now + _TICK
            self.tell()

    def tell(self) -> None:
        """Tell how far it is, now."""
        if self._progress is not None:
            self._progress(Progress(phase=self._phase, done=min(self.done, self._total), total=self._total))


def record_file(source: DiskSource | RemoteSource, name: str, form: str, how: How, tick: Tick) -> RecordedFile:
    """Hash one file and its records in one pass, and write its leaf file.

    Args:
        source: Where it lies.
        name: Relative POSIX name.
        form: How it is cut.
        how: How records are hashed.
        tick: Told the bytes as they are read.

    Returns:
        The entry.

    Raises:
        FormatError: The file changed meanwhile, or is not what its format says.
        LimitError: A record is too large.
        OSError: It cannot be read, or the leaf file cannot be written.
    """
    hasher = hashlib.sha256() if isinstance(source, DiskSource) else Compared(source, name)
    leaves, columns = leaves_of(how.leaf_key), list[Column]()

    def take(data: bytes) -> None:
        hasher.update(data)
        tick(len(data))

    with source.open(name) as reader:
        try:
            with LeafWriter.create(how.folder) as writer:
                for batch in cut(form, reader, f"{source.where}: {name!r}", take=take, columns=columns):
                    offsets = chunk_offsets(batch, writer.room())
                    writer.add(leaves(batch[0]), offsets)
        except Uncut:
            return RecordedFile(path=name, size=reader.size, sha256=hasher.digest())
    return RecordedFile(path=name, size=reader.size, sha256=hasher.digest(), records=_records(form, writer, how, columns))


def _records(form: str, writer: LeafWriter, how: How, columns: Sequence[Column] = ()) -> FileRecords:
    set_root = None
    if how.sets:
        with LeafFile(how.folder / leaves_name(writer.digest), count=writer.count, digest=writer.digest) as found:
            set_root = sorted_root(found)
    return FileRecords(format=form, count=writer.count, root=writer.root, leaves=writer.digest, set_root=set_root, columns=tuple(columns))


def sorted_root(leaves: LeafFile) -> SetRoot:
    """Build the tree over a file's distinct leaves in sorted order, some at a time."""
    builder = RootBuilder()
    for part in sorted_leaves(leaves):
        builder.add(part)
    return SetRoot(count=builder.count, root=builder.root())


def sorted_leaves(leaves: LeafFile) -> Iterator[list[bytes]]:
    """Sort a file's distinct leaves with bounded memory.

    Yields:
        Lists that follow one another.
    """
    parts = min(-(-leaves.count // _SORTED) or 1, _PREFIXES)
    borders = [(_PREFIXES * part // parts).to_bytes(3, "big")[1:] for part in range(parts)]
    for low, high in pairwise([*borders, b"\xff" * SIZE + b"\xff"]):
        found: set[bytes] = set()
        for number in range(leaves.chunks):
            found.update(leaf for leaf in split(leaves.chunk(number)) if low <= leaf < high)
        yield sorted(found)


@attrs.frozen(kw_only=True)
class DiskPart:
    """A folder or file on disk, as a worker sees it."""

    path: str

    def open(self) -> DiskSource:
        """Open it."""
        return DiskSource(self.path)


@attrs.frozen(kw_only=True)
class Batch:
    """Files for one worker.

    Attributes:
        part: Where they lie.
        named: Names, and how each is cut; None for a file that is hashed whole.
        how: How records are hashed; None if there are none to hash.
    """

    part: DiskPart | RemotePart
    named: tuple[tuple[str, str | None], ...]
    how: How | None


# The fields of an entry, because many objects are slow to send, and the file's stamp after it was read; empty for remote files.
Answer: TypeAlias = tuple[str, int, bytes, FileRecords | None, str, bytes]


@attrs.frozen(kw_only=True)
class Answers:
    """What a worker answers. No plain list: Dask sends the items of one apart, which takes longer than to hash small files.

    Attributes:
        each: One for each file, in the order that was asked.
    """

    each: tuple[Answer, ...]


def record_batch(batch: Batch) -> Answers:
    """Hash some files and their records in a worker.

    Args:
        batch: Which.

    Returns:
        The fields of the entries and the files' stamps, in order.
    """
    with batch.part.open() as source:
        whole = hash_whole(source, [name for name, form in batch.named if form is None], threads=1)
        found = {file.path: file for file in whole}
        for name, form in batch.named:
            if form is not None and batch.how is not None:
                found[name] = record_file(source, name, form, batch.how, lambda _: None)
        entries = [found[name] for name, _ in batch.named]
        after = [source.stamp(name) if isinstance(source, DiskSource) else b"" for name, _ in batch.named]
    both = zip(entries, after, strict=True)
    return Answers(each=tuple((entry.path, entry.size, entry.sha256, entry.records, entry.stated_by, stamp) for entry, stamp in both))


def entry_of(answer: Answer) -> RecordedFile:
    """Make an entry of what a worker answered."""
    path, size, sha256, records, stated_by, _ = answer
    return RecordedFile(path=path, size=size, sha256=sha256, records=records, stated_by=stated_by)


def hash_whole(
    source: DiskSource | RemoteSource,
    names: Sequence[str],
    *,
    sizes: Mapping[str, int] | None = None,
    threads: int | None = None,
    progress: ProgressCallback = None,
    phase: str = "recording",
) -> list[RecordedFile]:
    """Hash files whole, or take the server's word for them where it gives it.

    Args:
        source: Where they lie.
        names: Which.
        sizes: Bytes of each, if they are known.
        threads: For files on disk: how many at once.
        progress: Told how far it is.
        phase: Word for the progress.

    Returns:
        The entries.
    """
    if isinstance(source, DiskSource):
        found = hash_files(source, names, sizes=sizes, threads=threads, progress=progress, phase=phase)
        return [RecordedFile(path=name, size=entry.size, sha256=entry.digest) for name, entry in found.items()]
    report = Report(phase, sum(map(source.size, names)), progress)
    todo = deque(names)

    def work() -> list[RecordedFile]:
        found = list[RecordedFile]()
        while True:
            try:
                name = todo.popleft()
            except IndexError:
                return found
            found.append(_hash_remote(source, name, report.add))

    return [entry for found in in_threads([work] * min(_AT_ONCE, len(names)), report, threads=_AT_ONCE) for entry in found] if names else []


def _hash_remote(source: RemoteSource, name: str, tick: Tick) -> RecordedFile:
    size = source.size(name)
    if not source.remote.read and (stated := source.stated(name)):
        tick(size)
        return RecordedFile(path=name, size=size, sha256=stated, stated_by=SERVER)
    content = Compared(source, name)

    def take(data: memoryview) -> None:
        content.update(data)
        tick(len(data))

    with source.open(name) as reader:
        read_through(reader, f"{source.where}: {name!r}", memoryview(bytearray(min(size + 1, BLOCK))), take)
    return RecordedFile(path=name, size=size, sha256=content.digest())


def worth_spreading(form: str, size: int) -> bool:
    """Tell whether one file is large enough, and of a format, to be spread over workers."""
    return is_plain_lines(form) and size >= _APART


def record_spread(source: DiskSource, name: str, form: str, how: How, tick: Tick, *, executor: "Executor") -> RecordedFile:
    """Hash one large file of lines: this process its bytes, the workers its records.

    Args:
        source: Where it lies.
        name: Relative POSIX name.
        form: A format of plain lines.
        how: How records are hashed.
        tick: Told the bytes as they are read.
        executor: Whose workers see the same path.

    Returns:
        The entry, the same as `record_file` makes.

    Raises:
        FormatError: The file changed meanwhile, or is not what its format says.
        LimitError: A record is too large.
        OSError: It cannot be read, or the leaf file cannot be written.
    """
    hasher, where, path = hashlib.sha256(), f"{source.where}: {name!r}", str(source.path.absolute())
    pending: deque[Future[tuple[bytes, bytes]]] = deque()
    call = os.urandom(8)  # Dask takes equal calls for one, and may still have the result of an earlier one

    def take(data: bytes) -> None:
        hasher.update(data)
        tick(len(data))

    with source.open(name) as reader, LeafWriter.create(how.folder) as writer:
        try:
            for start, end, first, count in _segments(Raw(reader, where, take=take)):
                if len(pending) >= _WINDOW:
                    writer.add_chunks(*pending.popleft().result())
                pending.append(executor.submit(_hash_segment, path, name, form, (start, end, first, count), how.leaf_key, call))
            while pending:
                writer.add_chunks(*pending.popleft().result())
        finally:
            for job in pending:
                job.cancel()
    return RecordedFile(path=name, size=reader.size, sha256=hasher.digest(), records=_records(form, writer, how))


def _segments(stream: Raw) -> Iterator[tuple[int, int, int, int | None]]:
    """Cut lines into pieces of whole chunks: start, end, number of the first line, and lines, which for the last piece nobody has counted."""
    start = at = first = lines = 0
    wanted = 0
    while block := stream.read(BLOCK):
        there = block.count(b"\n")
        if not wanted:
            typical = len(block) // max(there, 1)
            wanted = max(CHUNK, min(_SEGMENT_RECORDS, _SEGMENT // max(typical, 1) // CHUNK * CHUNK))
        place = 0
        while lines + there >= wanted:
            for _ in range(wanted - lines):
                place = block.index(b"\n", place) + 1
            there -= wanted - lines
            yield start, at + place, first, wanted
            start, first, lines = at + place, first + wanted, 0
        lines += there
        at += len(block)
    if at > start:
        yield start, at, first, None


def _hash_segment(
    path: str, name: str, form: str, piece: tuple[int, int, int, int | None], leaf_key: LeafKey | None, _: bytes
) -> tuple[bytes, bytes]:
    start, end, first, count = piece
    leaves, found, offsets = leaves_of(leaf_key), list[bytes](), list[int]()
    with DiskSource(path) as source, source.open(name) as reader:
        where = f"{source.where}: {name!r}"
        for batch in cut(form, reader, where, start=start, end=end, number=first):
            offsets += chunk_offsets(batch, CHUNK - len(found) % CHUNK)
            found += leaves(batch[0])
    if count not in {None, len(found)}:
        raise FormatError(where, "changed while it was read")
    index, pieces = bytearray(), []
    for number, at in enumerate(range(0, len(found), CHUNK)):
        pieces.append(b"".join(found[at : at + CHUNK]))
        index += index_entry(found[at : at + CHUNK], pieces[-1], offsets[number])
    return b"".join(pieces), bytes(index)
