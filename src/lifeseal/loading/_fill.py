# SPDX-License-Identifier: Apache-2.0
"""Fill memory from a signed model's files: each byte is read once, hashed where it lies, and counts only if the whole digest has matched."""

import collections
import contextlib
import itertools
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import DiskSource, Hasher, ProgressCallback, Reader, Report, Source, available_cores, in_threads, new_hasher, require
from lifeseal.errors import DigestMismatchError
from lifeseal.signing import FileEntry, SignedModel, unchecked

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from lifeseal.loading._stat_cache import StatCache

MAX_THREADS = 16
_PIECE = 1 << 20
_WIDE_PIECE = 4 << 20
_LONG_PIECE = 8 << 20  # to hand a piece to another thread costs as much as to decrypt 100 KiB
_STEP = 256 << 10  # what was read is hashed while it lies in the core's own cache
_QUICK_STEP = 512 << 10
_DECRYPTING = 4  # threads: one decrypts at a time, and hashes take less than three times as long
_IN_PLACE = 128 << 10
_AHEAD = 3
_SMALL = 1 << 20  # less is not worth a thread
_BATCH = 64 << 20
_ROOM = 32 << 20  # scratch memory, however many threads read ahead
Buffers = Callable[[int], memoryview]


@attrs.frozen(kw_only=True)
class Target:
    """Where bytes of a file go.

    Attributes:
        start: Offset in the file of the first.
        stop: Offset behind the last.
        memory: As many bytes, filled in place; or None.
        take: Gets each piece instead, with its offset from ``start``; the piece is valid during the call only.
    """

    start: int
    stop: int
    memory: memoryview | None = None
    take: Callable[[int, memoryview], object] | None = None


@attrs.frozen(kw_only=True)
class Part:
    """What is wanted of one file.

    Attributes:
        entry: The file, as signed.
        lead: Its first bytes as they were read before: they are hashed in place of a second read.
        targets: In the order of their bytes, behind ``lead``, without overlap.
    """

    entry: FileEntry
    lead: bytes
    targets: tuple[Target, ...] = ()


@attrs.frozen
class _Unit:
    """What one digest is over: a file, or a shard of it."""

    part: Part
    start: int
    stop: int
    digest: bytes


@attrs.frozen
class _Piece:
    """What one read brings: into a target in place, or through scratch memory to the targets it touches."""

    start: int
    length: int
    memory: memoryview | None
    touched: tuple[Target, ...] = ()


def fill(
    signed: SignedModel,
    parts: Sequence[Part],
    *,
    progress: ProgressCallback = None,
    cache: "StatCache | None" = None,
    buffers: Buffers = lambda size: memoryview(bytearray(size)),
) -> int:
    """Read files, hash them, and put what is wanted where it goes.

    Of a file that was signed whole all is read; of one in shards, the shards that hold a target or the lead. On any failure some targets
    hold bytes that nobody vouches for; by then no thread of this call runs any more.

    Args:
        signed: The model.
        parts: What is wanted, a file at most once.
        progress: Called about five times a second; raising from it stops the work.
        cache: Spares the hash of a file that it knows; what is hashed and right is remembered in it.
        buffers: Makes scratch memory of so many bytes.

    Returns:
        Bytes that were read.

    Raises:
        DigestMismatchError: A file is not what was signed.
        OSError: A file cannot be read.
    """
    units = [unit for part in parts for unit in _units(part, signed.shard_size)]
    total = sum(unit.stop - unit.start for unit in units)
    pace, threads = _pace(signed, units, total, buffers)
    report = Report("loading", total, progress)
    batches = sorted(_batches(units), key=lambda batch: batch[0].start - batch[-1].stop)
    jobs = [_job(signed, batch, pace, report, cache) for batch in batches]
    if total <= _SMALL and progress is None:
        for job in jobs:
            job()
    else:
        in_threads(jobs, report, threads=threads)
    return total


@attrs.frozen(kw_only=True)
class _Pace:
    """How the work is cut.

    Attributes:
        turn: Whose turn it is to read.
        piece: Bytes of a piece.
        step: Bytes between two updates of the hash, where nothing is read ahead.
        in_place: Bytes from which on a target is filled in place.
        ahead: Reads ahead of the hash.
        width: Threads of one hash.
        scratch: Memory for pieces that are not read in place.
    """

    turn: "contextlib.AbstractContextManager[object]"
    piece: int
    step: int
    in_place: int
    ahead: int
    width: int
    scratch: "queue.SimpleQueue[memoryview]"


def _pace(signed: SignedModel, units: Sequence[_Unit], total: int, buffers: Buffers) -> tuple[_Pace, int]:
    """Choose the pace, and how many threads.

    From disk every thread reads into the targets and hashes there. Decryption writes twice as fast into scratch memory that lies in a cache
    as into new places, so there the thread that hashes also copies; a quick hash keeps up with it from one thread beside.
    """
    threads = min(available_cores(), MAX_THREADS)
    decrypts, quick = _decrypts(unchecked(signed)), signed.hash == "blake3"
    if decrypts and quick and threads > 1 and total > _LONG_PIECE * len(units):
        threads, piece, ahead, width = 1, _LONG_PIECE, _AHEAD - 1, 1
    elif decrypts:
        threads, piece, ahead, width = min(threads, _DECRYPTING), _WIDE_PIECE, 0, 1
    elif len([unit for unit in units if unit.stop - unit.start > _WIDE_PIECE]) < threads:
        ahead = _AHEAD if threads > 1 and total > _SMALL else 0
        width = max(1, threads // max(1, len(units))) if quick else 1
        threads = min(threads, max(1, len(units)))
        piece = min(_WIDE_PIECE, _ROOM // (threads * (ahead + 1)))
    else:
        piece, ahead, width = _PIECE, 0, 1
    scratch: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    count = threads * (ahead + 1)
    memory = buffers(count * piece)
    for index in range(count):
        scratch.put(memory[index * piece : (index + 1) * piece])
    pace = _Pace(
        turn=threading.Lock() if decrypts else contextlib.nullcontext(),
        piece=piece,
        step=piece if decrypts else _QUICK_STEP if quick else _STEP,
        in_place=sys.maxsize if decrypts else _IN_PLACE,
        ahead=ahead,
        width=width,
        scratch=scratch,
    )
    return pace, threads


def _decrypts(source: Source) -> bool:
    """Tell whether reads take turns: whoever decrypts holds Python's lock, and two would only wait for one another."""
    if isinstance(source, DiskSource):
        return False
    from lifeseal.erasure import SealedAsset

    return isinstance(source, SealedAsset)


def _units(part: Part, shard_size: int | None) -> Iterator[_Unit]:
    entry = part.entry
    if shard_size is None:
        yield _Unit(part, 0, entry.size, entry.digest)
        return
    wanted = {0, *range(-(-len(part.lead) // shard_size))}
    for target in part.targets:
        wanted.update(range(target.start // shard_size, -(-target.stop // shard_size)))
    for index in sorted(wanted):
        yield _Unit(part, index * shard_size, min(entry.size, (index + 1) * shard_size), entry.shards[index])


def _batches(units: Sequence[_Unit]) -> list[list[_Unit]]:
    """Group units of one file that are read by one job after another."""
    found: list[list[_Unit]] = []
    for _, of_file in itertools.groupby(units, key=lambda unit: unit.part.entry.path):
        full = True
        for unit in of_file:
            if full:
                found.append([])
            found[-1].append(unit)
            full = unit.stop - found[-1][0].start >= _BATCH
    return found


def _job(signed: SignedModel, batch: list[_Unit], pace: _Pace, report: Report, cache: "StatCache | None") -> Callable[[], None]:
    source = unchecked(signed)
    entry = batch[0].part.entry

    def run() -> bool:
        with source.open(entry.path) as reader:
            if reader.size != entry.size:
                return False
            stamp = None if cache is None else cache.stamp(reader)
            known = cache is not None and stamp is not None and cache.knows(signed, entry, stamp)
            for unit in batch:
                hasher = None if known else new_hasher(signed.hash, threads=pace.width)
                whole = _run(reader, unit, hasher, pace, report)
                if not whole or (hasher is not None and hasher.digest() != unit.digest):
                    return False
            if cache is None or stamp is None:
                return True
            if not known and cache.stamp(reader) == stamp:
                cache.learn(signed, entry, stamp, sum(unit.stop - unit.start for unit in batch))
            return not known or cache.stamp(reader) == stamp

    def run_or_raise() -> None:
        if not run():
            raise DigestMismatchError(source.where, changed=(entry.path,))

    return run_or_raise


def _run(reader: Reader, unit: _Unit, hasher: Hasher | None, pace: _Pace, report: Report) -> bool:
    """Read one unit; False if the file is shorter or longer than it was, or without a hash if it does not begin as it did."""
    lead = memoryview(unit.part.lead)[unit.start : unit.stop]
    if hasher is not None:
        hasher.update(lead)
    elif len(lead):
        again = bytearray(len(lead))
        if not _read(reader, memoryview(again), unit.start) or again != lead:
            return False
    report.add(len(lead))
    pieces = _pieces(unit.part.targets, unit.start + len(lead), unit.stop, pace)
    with contextlib.closing(_reads(reader, pieces, hasher, pace)) as reads:
        for piece, view in reads:
            if view is None:
                return False
            for target in piece.touched:
                _pass_on(target, piece.start, view)
            report.add(piece.length)
    return unit.stop < reader.size or reader.readinto(memoryview(bytearray(1)), unit.stop) == 0


def _pieces(targets: tuple[Target, ...], start: int, stop: int, pace: _Pace) -> Iterator[_Piece]:
    """Cut a unit into reads: large targets are filled in place, all between goes through scratch memory."""
    index = 0
    while start < stop:
        while index < len(targets) and targets[index].stop <= start:
            index += 1
        end = min(stop, (start // pace.piece + 1) * pace.piece)
        here = targets[index] if index < len(targets) else None
        if here is not None and here.memory is not None and here.start <= start and min(here.stop, stop) - start >= pace.in_place:
            end = min(end, here.stop)
            yield _Piece(start, end - start, here.memory[start - here.start : end - here.start])
        else:
            touched = []
            for target in itertools.islice(targets, index, None):
                if target.start >= end:
                    break
                if target.memory is not None and target.start > start and min(target.stop, stop) - target.start >= pace.in_place:
                    end = target.start
                    break
                touched.append(target)
            yield _Piece(start, end - start, None, tuple(touched))
        start = end


def _pass_on(target: Target, start: int, view: memoryview) -> None:
    """Give a target its share of what was read into scratch memory at ``start`` of the file."""
    first, last = max(start, target.start), min(start + len(view), target.stop)
    share = view[first - start : last - start]
    if target.memory is not None:
        _copy(share, target.memory[first - target.start : last - target.start])
    if target.take is not None and len(share):
        target.take(first - target.start, share)


def _copy(share: memoryview, memory: memoryview) -> None:
    """Copy without holding Python's lock, where that is worth the calls."""
    if len(share) < _IN_PLACE:
        memory[:] = share
        return
    numpy = require("numpy", extra="numpy")
    numpy.copyto(numpy.frombuffer(memory, dtype="uint8"), numpy.frombuffer(share, dtype="uint8"))


def _reads(reader: Reader, pieces: Iterator[_Piece], hasher: Hasher | None, pace: _Pace) -> Generator[tuple[_Piece, memoryview | None], None, None]:
    """Read pieces in their order and hash them; None where the file ended early. A view is valid until the next one."""
    if not pace.ahead:
        only = pace.scratch.get()
        try:
            for piece in pieces:
                yield piece, _read_in_turn(pace, reader, piece, only, hasher)
        finally:
            pace.scratch.put(only)
        return
    from concurrent.futures import ThreadPoolExecutor

    rooms = [pace.scratch.get() for _ in range(pace.ahead + 1)]  # they go back whatever happens: the next job waits for them
    free = list(rooms)
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="lifeseal-read") as thread:
            pending = collections.deque(_submit(reader, piece, free, pace, thread) for piece in itertools.islice(pieces, pace.ahead))
            while pending:
                piece, buffer, job = pending.popleft()
                view = job.result()
                pending.extend(_submit(reader, later, free, pace, thread) for later in itertools.islice(pieces, 1))
                if hasher is not None and view is not None:
                    hasher.update(view)
                yield piece, view
                if buffer is not None:
                    free.append(buffer)
    finally:
        for room in rooms:
            pace.scratch.put(room)


def _submit(
    reader: Reader, piece: _Piece, free: list[memoryview], pace: _Pace, thread: "Executor"
) -> "tuple[_Piece, memoryview | None, Future[memoryview | None]]":
    buffer = free.pop() if piece.memory is None else None
    return piece, buffer, thread.submit(_read_in_turn, pace, reader, piece, buffer, None)


def _read_in_turn(pace: _Pace, reader: Reader, piece: _Piece, buffer: memoryview | None, hasher: Hasher | None) -> memoryview | None:
    """Read one piece into its place or into scratch memory, and hash it step by step; None where the file ended early."""
    view = piece.memory if piece.memory is not None or buffer is None else buffer[: piece.length]
    if view is None:
        return None
    for at in range(0, piece.length, pace.step):
        with view[at : at + pace.step] as step:
            with pace.turn:
                whole = _read(reader, step, piece.start + at)
            if not whole:
                return None
            if hasher is not None:
                hasher.update(step)
    return view


def _read(reader: Reader, view: memoryview, start: int) -> bool:
    """Fill memory from an offset of the file; False where it ended early."""
    done = reader.readinto(view, start)
    while 0 < done < len(view):
        count = reader.readinto(view[done:], start + done)
        if count == 0:
            return False
        done += count
    return done == len(view)
