# SPDX-License-Identifier: Apache-2.0
"""Records, each compared with its leaf before anybody gets it: one after another, or any."""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn, Self

from lifeseal._io import Batch, DiskSource, Reader, StrPath
from lifeseal.errors import DigestMismatchError, FormatError
from lifeseal.principles import implements, note, refused
from lifeseal.provenance._arrays import Uncut
from lifeseal.provenance._entries import FileRecords, RecordedFile
from lifeseal.provenance._formats import by_number, cut, has_places
from lifeseal.provenance._keys import LeafKey, Leaves, leaves_for
from lifeseal.provenance._leaves import SIZE, LeafFile, open_leaves
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._tree import CHUNK

_OPEN_FILES = 64
_LIMITS = "It compares records with what was recorded; it cannot tell whether they were good, and files without records are not looked at."


@implements("5.4.1", evidences=("2.5", "5.2"), limits=_LIMITS)
def checked(manifest: Manifest, path: StrPath, *, start: int = 0, part: tuple[int, int] = (0, 1), leaf_key: LeafKey | None = None) -> Iterator[bytes]:
    """Read records in order, and compare each with its leaf before it is handed out.

    The records of all files follow one another, in the order of the manifest; files without records are passed over. Parts are
    stretches of nearly equal length that make up the whole: give each rank and worker its own.

    Args:
        manifest: What was recorded; its leaf files must be there.
        path: The folder (or lone file) that was recorded.
        start: Records of this part to pass over: how many you have had, to go on after a stop.
        part: Which part of how many, counted from 0.
        leaf_key: The key that was recorded with, if there was one.

    Returns:
        The records' bytes. Iterating raises `DigestMismatchError`, with file and number, at the first record that was changed, moved,
        added or dropped, when all before it have been handed out; `FormatError`, `LimitError` and `OSError` where a file cannot be read
        as its format; `TamperedError` where a leaf file was changed.

    Raises:
        CredentialError: This is not the key that was recorded with.
        FormatError: The manifest has no records, or it is not known where its leaf files are.
        OSError: The data or a leaf file is not there.
        TamperedError: A leaf file is not what the manifest says.
        ValueError: ``start`` or ``part`` is outside what there is.
    """
    leaves = leaves_for(manifest, leaf_key)
    total, (index, parts) = manifest.records, part
    if not 0 <= index < parts:
        raise ValueError(f"part= is (which, of how many), counted from 0, not {part}")
    first, end = total * index // parts, total * (index + 1) // parts
    if not 0 <= start <= end - first:
        raise ValueError(f"start= is {start}, and this part has {end - first} records")
    stretches = tuple(_stretches(manifest, first + start, end))
    with ExitStack() as stack:
        source = stack.enter_context(DiskSource(path))
        for file, records, _, _ in stretches:
            open_leaves(manifest.leaves, records, where=file.path).close()
        note(subject=manifest.digest, records=end - first - start)
        return _stream(source, manifest, stretches, leaves, stack.pop_all())


def _stretches(manifest: Manifest, first: int, end: int) -> Iterator[tuple[RecordedFile, FileRecords, int, int]]:
    """Cut a stretch of all records at the files' ends."""
    if not any(True for _ in manifest.recorded()):
        raise FormatError(manifest.description.name, "no records were recorded; record it with records=")
    at = 0
    for file, records in manifest.recorded():
        low, high = max(first - at, 0), min(end - at, records.count)
        # A file without records belongs to the part that ends with it, or nobody would notice that it has some now.
        if low < high or (not records.count and first <= at <= end):
            yield file, records, low, high
        at += records.count


def _stream(
    source: DiskSource,
    manifest: Manifest,
    stretches: tuple[tuple[RecordedFile, FileRecords, int, int], ...],
    leaves: Leaves,
    stack: ExitStack,
) -> Iterator[bytes]:
    with stack:
        try:
            for file, records, first, end in stretches:
                with open_leaves(manifest.leaves, records, where=file.path) as wanted:
                    yield from _file(source, file, records, wanted, leaves, first=first, end=end)
        except DigestMismatchError as error:
            refused(checked, error, subject=manifest.digest, file=error.changed[0], record=error.record)
            raise


def _file(source: DiskSource, file: RecordedFile, records: FileRecords, wanted: LeafFile, leaves: Leaves, *, first: int, end: int) -> Iterator[bytes]:
    """Hand out the records ``first`` to ``end`` of one file, and at its end look for more."""
    where = source.where

    def wrong(number: int) -> NoReturn:
        raise DigestMismatchError(where, changed=(file.path,), record=number)

    at, offset = _begin(wanted, first, records.format)
    with source.open(file.path) as reader:
        if offset > reader.size:
            wrong(first)
        for found, _ in _cut(records, reader, f"{where}: {file.path!r}", offset, at):
            low, high = max(first - at, 0), min(end - at, len(found))
            if low < high:
                right = alike(leaves(found[low:high]), wanted.leaves(at + low, at + high))
                yield from found[low : low + right]
                if right < high - low:
                    wrong(at + low + right)
            at += len(found)
            if at >= end < records.count:
                return
            if at > records.count:
                wrong(records.count)
    if at < end:
        wrong(max(at, first))


def _cut(records: FileRecords, reader: Reader, where: str, offset: int, number: int) -> Iterator[Batch]:
    with suppress(Uncut):  # a file that has no records any more
        yield from cut(records.format, reader, where, start=offset, number=number, strict=False)


def _begin(wanted: LeafFile, first: int, form: str) -> tuple[int, int]:
    """Find where reading begins so as to come to a record soon: number and offset."""
    if by_number(form):
        return first, 0
    chunk = first // CHUNK
    offset = wanted.offset(chunk) if has_places(form) and chunk < wanted.chunks else None
    return (0, 0) if offset is None else (chunk * CHUNK, offset)


def alike(found: list[bytes], wanted: bytes) -> int:
    """Count how many leaves are right before the first that is wrong."""
    if b"".join(found) == wanted:
        return len(found)
    return next(number for number, leaf in enumerate(found) if leaf != wanted[number * SIZE : (number + 1) * SIZE])


class CheckedRecords:
    """Any record of a dataset by its number, compared with its leaf before it is handed out.

    It has a length and can be indexed, so it serves as a dataset of ``torch.utils.data``; a process that is forked may go on using it. It is
    sent to another process by opening it again there; with a leaf key it cannot be sent.

    Use `open`.
    """

    def __init__(self, manifest: Manifest, path: StrPath, leaf_key: LeafKey | None) -> None:
        self._manifest = manifest
        self._path = Path(path)
        self._keyed = leaf_key is not None
        self._leaves = leaves_for(manifest, leaf_key)
        self._entries = [entry for entry in manifest.recorded() if entry[1].count]
        self._ends = list(itertools.accumulate(records.count for _, records in self._entries))
        self._known: dict[int, LeafFile] = {}
        self._source = DiskSource(path)

    @classmethod
    @implements("5.4.1", evidences=("2.5", "5.2"), limits=_LIMITS)
    def open(cls, manifest: Manifest, path: StrPath, *, leaf_key: LeafKey | None = None) -> Self:
        """Open a dataset for reading at any place.

        Args:
            manifest: What was recorded; its leaf files must be there.
            path: The folder (or lone file) that was recorded.
            leaf_key: The key that was recorded with, if there was one.

        Returns:
            The records; close them, or use a ``with`` block.

        Raises:
            CredentialError: This is not the key that was recorded with.
            FormatError: The manifest has no records, or a file is of a format that can only be read from its start.
            OSError: The data is not there.
        """
        note(subject=manifest.digest)
        if not manifest.records:
            raise FormatError(manifest.description.name, "no records were recorded; record it with records=")
        for file, records in manifest.recorded():
            if not has_places(records.format):
                raise FormatError(file.path, f"format {records.format!r} can only be read from its start: use checked()")
        return cls(manifest, path, leaf_key)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> bytes:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        number = bisect_right(self._ends, place)
        file, records = self._entries[number]
        at = place - (self._ends[number] - records.count)
        try:
            return next(_file(self._source, file, records, self._wanted(number), self._leaves, first=at, end=at + 1))
        except DigestMismatchError as error:
            refused(CheckedRecords.open, error, subject=self._manifest.digest, file=file.path, record=at)
            raise

    def _wanted(self, number: int) -> LeafFile:
        if number not in self._known:
            if len(self._known) >= _OPEN_FILES:
                self._known.pop(next(iter(self._known))).close()
            file, records = self._entries[number]
            self._known[number] = open_leaves(self._manifest.leaves, records, where=file.path)
        return self._known[number]

    def close(self) -> None:
        """Close the files; twice is no error."""
        while self._known:
            self._known.popitem()[1].close()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[Manifest, Path], Self], tuple[Manifest, Path]]:
        if self._keyed:
            raise TypeError("records under a leaf key cannot be sent to another process; open them there")
        return type(self).open, (self._manifest, self._path)
