# SPDX-License-Identifier: Apache-2.0
"""The one hash engine: every core busy, buffers bounded, cancelled by its progress callback."""

import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, get_args

import attrs

from lifeseal._io._progress import ProgressCallback
from lifeseal._io._source import DiskReader, DiskSource, Reader, Source
from lifeseal._io._threads import Report, collect, in_threads
from lifeseal.errors import FormatError, LimitError

if TYPE_CHECKING:
    from concurrent.futures import Executor

HashName: TypeAlias = Literal["sha256", "blake2b", "blake3"]
HASHES: tuple[HashName, ...] = get_args(HashName)
DIGEST_SIZES: dict[str, int] = {"sha256": 32, "blake2b": 64, "blake3": 32}

_BUFFER = 1 << 20
_WIDE_BUFFER = 8 << 20
_SMALL = 256 << 10
_BATCH_FILES = 256
_BATCH_BYTES = 64 << 20


class Hasher(Protocol):
    """What the engine needs of a hash object."""

    def update(self, data: memoryview, /) -> object:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """Return the digest of what was taken in."""

    def copy(self) -> "Hasher":
        """Return another that has taken in the same."""


@attrs.frozen(kw_only=True)
class FileDigest:
    """One file as it was read.

    Attributes:
        name: Relative POSIX name.
        size: Bytes.
        digest: Raw digest, 32 or 64 bytes; empty where shards were asked for.
        shards: Raw digests of the shards, in order, where those were asked for.
        start: Where the shard starts that ``digest`` is of; 0 of a whole file, and of all shards together.
        stamp: As `DiskSource.stamp` told it before and after the file was read; empty where nobody asked.
    """

    name: str
    size: int
    digest: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    shards: tuple[bytes, ...] = attrs.field(default=(), repr=lambda s: f"<{len(s)} shards>")
    start: int = 0
    stamp: bytes = attrs.field(default=b"", repr=False, eq=False)


def new_hasher(algorithm: HashName, *, threads: int = 1) -> Hasher:
    """Start a hash.

    Args:
        algorithm: ``sha256``, ``blake2b`` (512 bits) or ``blake3``.
        threads: For BLAKE3 alone: threads for one update.

    Returns:
        The hash object.

    Raises:
        ValueError: Another name.
    """
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm == "blake2b":
        return hashlib.blake2b()
    if algorithm == "blake3":
        from blake3 import blake3

        return blake3(max_threads=threads)
    raise ValueError(f"hash must be one of {', '.join(HASHES)}, not {algorithm!r}")


def read_through(
    reader: Reader,
    where: str,
    buffer: memoryview,
    take: Callable[[memoryview], object],
    *,
    start: int = 0,
    end: int | None = None,
    spare: memoryview | None = None,
) -> int:
    """Read a file, or a shard of it, once from start to end, handing on each piece.

    Args:
        reader: The opened file.
        where: Name for error messages.
        buffer: Reused for every piece.
        take: Gets each piece; the view is valid during the call only, with a ``spare`` until the next call ends.
        start: Offset to start at, bytes.
        end: Offset to end at, within the file; by default its end, and then nothing may follow.
        spare: A second buffer, used in turns with the first.

    Returns:
        Bytes read.

    Raises:
        FormatError: The file grew or shrank meanwhile.
    """
    done, stop = start, reader.size if end is None else end
    while done < stop + (end is None) and (count := reader.readinto(buffer if end is None else buffer[: end - done], done)):
        take(buffer[:count])
        done += count
        if spare is not None:
            buffer, spare = spare, buffer
    if done != stop:
        raise FormatError(where, f"changed while it was read: {done} bytes instead of {stop}")
    return done - start


def read_whole(reader: Reader, *, where: str, limit: int) -> bytes:
    """Read one whole small file that is open.

    Args:
        reader: The opened file.
        where: Name for error messages.
        limit: Bytes at most.

    Returns:
        Its bytes.

    Raises:
        FormatError: The file grew or shrank meanwhile.
        LimitError: It is larger.
    """
    if reader.size > limit:
        raise LimitError(where, limit=limit, seen=reader.size)
    data = bytearray()
    read_through(reader, where, memoryview(bytearray(min(_BUFFER, reader.size + 1))), data.extend)
    return bytes(data)


def hash_files(
    source: Source,
    names: Sequence[str],
    *,
    algorithm: HashName = "sha256",
    shard_size: int | None = None,
    threads: int | None = None,
    executor: "Executor | None" = None,
    progress: ProgressCallback = None,
    phase: str = "hashing",
    settled: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, FileDigest]:
    """Hash files, each in one read.

    Args:
        source: Where they lie.
        names: Which ones.
        algorithm: Hash to use.
        shard_size: Hash each file in shards of so many bytes.
        threads: Worker threads, by default as many as this process may use cores.
        executor: Runs the work instead of threads; its workers open the same path, so ``source`` must be on disk.
        progress: Called in this thread about five times a second; raising from it stops the work.
        phase: Word for the progress.
        sizes: Bytes of each, where they are known already, to plan work by.
        settled: Look again at all files on disk when the last one is read, and refuse one that was written or replaced since the start.

    Returns:
        One entry a name.

    Raises:
        FormatError: A file changed while it was read, or (``settled``) while any was, or is not a regular file.
        OSError: A file cannot be read.
        ValueError: ``executor`` was given for a source that is not on disk, or the hash is unknown.
    """
    new_hasher(algorithm)
    disk = source if settled and isinstance(source, DiskSource) else None
    stamps = {} if disk is None else {name: disk.stamp(name) for name in names}
    sizes = {name: source.size(name) for name in names} if sizes is None else sizes
    report = Report(phase, sum(sizes.values()), progress)
    if executor is not None:
        if not isinstance(source, DiskSource):
            raise ValueError("executor= needs a model on disk")
        where = str(source.path.absolute())
        jobs = [executor.submit(_hash_elsewhere, where, batch, algorithm, shard_size) for batch in in_batches(names, sizes)]
        found: dict[str, FileDigest] = {}
        for entries in collect(jobs, report):
            found |= {entry.name: entry for entry in entries}
            report.add(sum(entry.size for entry in entries))
    else:
        if shard_size is None:
            pieces = [_Piece(name, 0, sizes[name], last=True) for name in names]
        else:
            pieces = [piece for name in names for piece in _shards(name, sizes[name], shard_size)]
        hashed = _hash_in_threads(source, pieces, algorithm, threads or available_cores(), report)
        del pieces
        found = {entry.name: entry for entry in (hashed if shard_size is None else _joined(hashed, source.where))}
    if disk is None:
        return {name: found[name] for name in names}
    moved = next((name for name in names if disk.stamp(name) != stamps[name]), None)
    if moved is not None:
        raise FormatError(f"{source.where}: {moved!r}", "changed while the files were read")
    return {name: attrs.evolve(found[name], stamp=stamps[name]) for name in names}


def available_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Piece(NamedTuple):
    """A file, or a shard of it: ``last`` ends where the file does."""

    name: str
    start: int
    length: int
    last: bool


def _shards(name: str, size: int, shard_size: int) -> list[_Piece]:
    starts = range(0, max(size, 1), shard_size)
    return [_Piece(name, start, min(shard_size, size - start), last=start + shard_size >= size) for start in starts]


def _joined(hashed: Iterable[FileDigest], where: str) -> Iterator[FileDigest]:
    """Put the shards of each file together."""
    by_file: dict[str, list[FileDigest]] = {}
    for entry in hashed:
        by_file.setdefault(entry.name, []).append(entry)
    for name, shards in by_file.items():
        if any(shard.size != shards[0].size for shard in shards):
            raise FormatError(f"{where}: {name!r}", "changed while it was read")
        shards.sort(key=lambda shard: shard.start)
        yield FileDigest(name=name, size=shards[0].size, digest=b"", shards=tuple(shard.digest for shard in shards))


def _hash_in_threads(source: Source, pieces: Sequence[_Piece], algorithm: HashName, threads: int, report: Report) -> list[FileDigest]:
    large = sorted((piece for piece in pieces if piece.length > _SMALL), key=lambda piece: -piece.length)
    small = [piece for piece in pieces if piece.length <= _SMALL]
    width = threads if algorithm == "blake3" and len(large) < threads else 1
    local = threading.local()

    def work(batch: Sequence[_Piece]) -> list[FileDigest]:
        buffer: memoryview | None = getattr(local, "buffer", None)
        if buffer is None:
            buffer = local.buffer = memoryview(bytearray(_WIDE_BUFFER if width > 1 else _BUFFER))
        begin, results = new_hasher(algorithm, threads=width).copy, []  # a copy costs less than a new one
        for name, start, length, last in batch:
            hasher = begin()
            with source.open(name) as reader:
                size, whole = reader.size, last and not start and isinstance(reader, DiskReader)
                if whole and size < len(buffer) and reader.readinto(buffer, 0) == size:
                    hasher.update(buffer[:size])  # most files are small: one read, and the rest of this costs more than that
                    report.add(size)
                else:
                    take = _telling(hasher, report)
                    read_through(reader, f"{source.where}: {name!r}", buffer, take, start=start, end=None if last else start + length)
                results.append(FileDigest(name=name, size=size, digest=hasher.digest(), start=start))
        return results

    # Small files share one worker: their cost is Python's, which threads cannot share.
    batches = [[piece] for piece in large] + ([small] if small else [])
    if report.progress is None and (threads == 1 or len(batches) == 1):
        return [entry for batch in batches for entry in work(batch)]
    return [entry for entries in in_threads([functools.partial(work, batch) for batch in batches], report, threads=threads) for entry in entries]


def _telling(hasher: Hasher, report: Report) -> Callable[[memoryview], object]:
    def take(data: memoryview) -> None:
        hasher.update(data)
        report.add(len(data))

    return take


def in_batches(names: Iterable[str], sizes: Mapping[str, int], *, files: int = _BATCH_FILES, size: int = _BATCH_BYTES) -> list[list[str]]:
    """Cut work into batches, each of which is worth a call in another process.

    Args:
        names: Files.
        sizes: Bytes of each.
        files: Files in one batch at most.
        size: Bytes in one batch at most, but for a single file.

    Returns:
        The names in order, in batches.
    """
    batches: list[list[str]] = [[]]
    room = size
    for name in names:
        if batches[-1] and (len(batches[-1]) >= files or sizes[name] > room):
            batches.append([])
            room = size
        batches[-1].append(name)
        room -= sizes[name]
    return [batch for batch in batches if batch]


def _hash_elsewhere(path: str, names: Sequence[str], algorithm: HashName, shard_size: int | None) -> list[FileDigest]:
    with DiskSource(path) as source:
        return list(hash_files(source, names, algorithm=algorithm, shard_size=shard_size, threads=1).values())
