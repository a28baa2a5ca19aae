# SPDX-License-Identifier: Apache-2.0
"""One recording's work: every file once, in order of input, from the disk or from an earlier run."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import DiskSource, Progress, ProgressCallback, StrPath, in_batches, stamped_size
from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance._entries import MAX_PATH, RecordedFile
from lifeseal.provenance._formats import FORMATS, WHOLE, detect
from lifeseal.provenance._journal import Journal, Known
from lifeseal.provenance._keys import LeafKey
from lifeseal.provenance._leaves import leaves_name, stored_size
from lifeseal.provenance._manifest import MAX_FILES, Manifest, file_and_folder
from lifeseal.provenance._recording import (
    Batch,
    DiskPart,
    How,
    Meter,
    entry_of,
    hash_whole,
    record_batch,
    record_file,
    record_spread,
    worth_spreading,
)
from lifeseal.provenance._remote import RemoteSource

if TYPE_CHECKING:
    from concurrent.futures import Executor

_GROUP_BYTES = 4 << 30
_GROUP_FILES = 4096
_BATCHES, _LEAST, _MOST = 32, 4 << 20, 64 << 20  # so many batches if the data is enough; bytes of one
_BATCH_FILES = 1024
_FEW = 4  # large files; more of them keep the workers busy without being cut


@attrs.frozen(kw_only=True)
class Records:
    """That records are hashed too, and how.

    Attributes:
        leaves: Folder for the leaf files, 32 bytes a record; made if it is not there. ``MANIFEST.leaves`` is where it is looked for.
        sets: Make a set root for each file too, by which it can be shown that a record is absent.
        formats: Endings of names to formats, beyond those that are known or instead of them: ``{".log": "lines"}``. ``whole`` hashes a file
            whole.
    """

    leaves: StrPath
    sets: bool = False
    formats: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for ending, form in self.formats.items():
            if not ending.startswith(".") or form not in FORMATS | {WHOLE}:
                known = ", ".join(sorted(FORMATS | {WHOLE}))
                raise ValueError(f"formats= maps endings such as '.log' to one of {known}, not {ending!r} to {form!r}")


class Recording:
    """One call's work: every file once, in order of input."""

    def __init__(
        self,
        sources: Sequence[tuple[DiskSource | RemoteSource, str]],
        *,
        records: Records | None,
        leaf_key: LeafKey | None,
        executor: "Executor | None",
        progress: ProgressCallback,
        journal: Journal | None,
    ) -> None:
        self._sources = sources
        self._records = records
        self._how = None if records is None else How(folder=Path(records.leaves), leaf_key=leaf_key, sets=records.sets)
        self._executor = executor
        self._progress = progress
        self._journal = journal
        self._found: dict[str, RecordedFile] = {}
        self._meter = Meter("recording", 0, progress)
        self._sizes: dict[str, int] = {}
        self._started = time.time_ns()

    def run(self, previous: Manifest | None) -> tuple[RecordedFile, ...]:
        listed = [(source, prefix, source.stamps()) for source, prefix in self._sources]
        names = [(source, prefix, tuple(there)) for source, prefix, there in listed]
        self._refuse_too_much(names)
        stamps = {prefix + name: stamp for _, prefix, there in listed for name, stamp in there.items()}
        self._sizes = {path: stamped_size(stamp) for path, stamp in stamps.items()}
        self._meter = Meter("recording", sum(self._sizes.values()), self._progress)
        self._reuse(stamps, previous)
        for source, prefix, there in names:
            todo = [name for name in there if prefix + name not in self._found]
            forms = {name: form for name in todo if self._records and (form := detect(name, self._records.formats))}
            if self._executor is not None:
                for entries, after in self._elsewhere(self._executor, source, prefix, todo, forms):
                    self._take(source, prefix, entries, stamps, after)
                continue
            for group in self._groups(source, [name for name in todo if name not in forms], prefix):
                self._take(source, prefix, self._whole(source, prefix, group), stamps)
            for name, form in forms.items():
                if self._how is not None:
                    self._take(source, prefix, [record_file(source, name, form, self._how, self._meter.add)], stamps)
        for source, _, stamped in listed:
            if isinstance(source, DiskSource):
                for name, stamp in stamped.items():
                    self._refuse_changed(source, name, stamp)
        self._meter.tell()
        return tuple(self._found[path] for path in sorted(self._found))

    def _refuse_too_much(self, names: Sequence[tuple[DiskSource | RemoteSource, str, Sequence[str]]]) -> None:
        count = sum(len(there) for _, _, there in names)
        if not count:
            raise FormatError(", ".join(source.where for source, _ in self._sources) or "no path", "there is no file to record")
        if count > MAX_FILES:
            raise LimitError("dataset", limit=MAX_FILES, seen=count, unit="files")
        for source, prefix, there in names:
            long = next((name for name in there if len(prefix + name) > MAX_PATH), None)
            if long is not None:
                raise LimitError(f"{source.where}: {long[:80]!r}", limit=MAX_PATH, seen=len(prefix + long), unit="characters")
            both = file_and_folder(there) if isinstance(source, RemoteSource) else None
            if both is not None:
                raise FormatError(f"{source.where}: {both[:200]!r}", "is a file and a folder at once, which no folder on disk can be")

    def _reuse(self, stamps: Mapping[str, bytes], previous: Manifest | None) -> None:
        """Take over what an interrupted run, or the one before, has read, as far as its stamp still holds."""
        if self._journal is None:
            return
        earlier = {} if previous is None else {file.path: file for file in previous.files}
        kept = {}
        for path, known in self._journal.known.items():
            vouched = not self._journal.finished or earlier.get(path) == known.file
            if vouched and known.quiet and stamps.get(path) == known.stamp and self._journal.still_there(known):
                kept[path] = known
        self._journal.begin(kept)
        self._found = {path: known.file for path, known in kept.items()}
        self._meter.add(sum(file.size for file in self._found.values()))

    def _take(
        self,
        source: DiskSource | RemoteSource,
        prefix: str,
        entries: Iterable[RecordedFile],
        stamps: Mapping[str, bytes],
        after: Sequence[bytes] = (),
    ) -> None:
        """Keep entries of files that are still as they were listed; ``after`` is what a worker saw when it had read each, so as not to look again."""
        for entry, seen in zip(entries, after or itertools.repeat(b""), strict=False):
            path = prefix + entry.path
            if seen != stamps[path] and (self._journal is not None or isinstance(source, RemoteSource)):  # else once, at the end
                self._refuse_changed(source, entry.path, stamps[path])
            self._found[path] = attrs.evolve(entry, path=path) if prefix else entry
            if self._journal is not None:
                self._journal.add(Known(file=self._found[path], stamp=stamps[path], read=self._started))

    def _refuse_changed(self, source: DiskSource | RemoteSource, name: str, stamp: bytes) -> None:
        if source.stamp(name) != stamp:
            raise FormatError(f"{source.where}: {name!r}", "changed while it was recorded")

    def _groups(self, source: DiskSource | RemoteSource, names: Sequence[str], prefix: str) -> Iterator[Sequence[str]]:
        """Cut the work so that a journal has something to note before the end, and so that not all requests stand in line at once."""
        if self._journal is None and isinstance(source, DiskSource):
            yield names
        else:
            yield from in_batches(names, {name: self._sizes[prefix + name] for name in names}, files=_GROUP_FILES, size=_GROUP_BYTES)

    def _whole(self, source: DiskSource | RemoteSource, prefix: str, names: Sequence[str]) -> Iterator[RecordedFile]:
        before = self._meter.done

        def told(step: Progress) -> None:
            self._meter.done = before + step.done
            self._meter.tell()

        sizes = {name: self._sizes[prefix + name] for name in names}
        yield from hash_whole(source, names, sizes=sizes, progress=told if self._progress else None)
        self._meter.done = before + sum(sizes.values())

    def _elsewhere(
        self, executor: "Executor", source: DiskSource | RemoteSource, prefix: str, names: Sequence[str], forms: Mapping[str, str]
    ) -> Iterator[tuple[Sequence[RecordedFile], Sequence[bytes]]]:
        """Let workers hash: some large files in pieces, if there are not enough of them for all; the others in batches. With stamps."""
        from lifeseal.provenance._spread import spread, worker_ended

        sizes = {name: self._sizes[prefix + name] for name in names}
        large = [name for name, form in forms.items() if worth_spreading(form, sizes[name])]
        if isinstance(source, RemoteSource) or self._how is None or len(large) > _FEW:
            large = []
        else:
            for name in large:
                try:
                    yield [record_spread(source, name, forms[name], self._how, self._meter.add, executor=executor)], ()
                except Exception as error:
                    if not worker_ended(error):
                        raise
                    yield [record_file(source, name, forms[name], self._how, self._meter.add)], ()
        apart = set(large)
        batches = []
        rest = [name for name in names if name not in apart]
        enough = min(max(sum(sizes[name] for name in rest) // _BATCHES, _LEAST), _MOST)
        for batch in in_batches(rest, sizes, files=_BATCH_FILES, size=enough):
            part = source.part(batch) if isinstance(source, RemoteSource) else DiskPart(path=str(source.path.absolute()))
            batches.append(Batch(part=part, named=tuple((name, forms.get(name)) for name in batch), how=self._how))
        for asked, answers in spread(executor, record_batch, batches, idle=lambda: self._meter.add(0)):
            entries = [entry_of(answer) for answer in answers.each]
            if [entry.path for entry in entries] != [name for name, _ in asked.named]:
                raise FormatError(source.where, "a worker did not answer for the files it was asked for")
            for entry in entries:
                self._refuse_odd(source.where, entry, sizes[entry.path])
            self._meter.add(sum(entry.size for entry in entries))
            yield entries, [answer[-1] for answer in answers.each]

    def _refuse_odd(self, where: str, entry: RecordedFile, size: int) -> None:
        """Compare what a worker says with what is known here: it may see another file system, or have its leaf files where nobody finds them."""
        if entry.size != size:
            raise FormatError(
                f"{where}: {entry.path[:200]!r}",
                f"changed while it was recorded, or a worker sees another file: {entry.size} bytes instead of {size}",
            )
        if entry.records is not None and self._how is not None:
            place = self._how.folder / leaves_name(entry.records.leaves)
            there = place.stat().st_size if place.is_file() else 0
            if there != stored_size(entry.records.count):
                raise FormatError(str(place), "a worker's leaf file is not here; the folder for leaf files must be the same for all workers")
