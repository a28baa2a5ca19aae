# SPDX-License-Identifier: Apache-2.0
"""One recording's work: every file once, in order of input, from the disk or from an earlier run."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import DiskSource, Progress, ProgressCallback, StrPath, hash_files, in_batches, stamped_size
from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance._entries import MAX_PATH, RecordedFile
from lifeseal.provenance._formats import FORMATS, WHOLE, detect
from lifeseal.provenance._journal import Journal, Known
from lifeseal.provenance._keys import LeafKey
from lifeseal.provenance._manifest import MAX_FILES, Manifest
from lifeseal.provenance._recording import How, Meter, record_elsewhere, record_file, record_spread, worth_spreading

if TYPE_CHECKING:
    from concurrent.futures import Executor

_GROUP_BYTES = 4 << 30
_GROUP_FILES = 4096


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
        sources: Sequence[tuple[DiskSource, str]],
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
            for group in self._groups([name for name in todo if name not in forms], prefix):
                self._take(source, prefix, self._whole(source, prefix, group), stamps)
            for entries in self._cut(source, prefix, forms):
                self._take(source, prefix, entries, stamps)
        self._meter.tell()
        return tuple(self._found[path] for path in sorted(self._found))

    def _refuse_too_much(self, names: Sequence[tuple[DiskSource, str, Sequence[str]]]) -> None:
        count = sum(len(there) for _, _, there in names)
        if not count:
            raise FormatError(", ".join(source.where for source, _ in self._sources) or "no path", "there is no file to record")
        if count > MAX_FILES:
            raise LimitError("dataset", limit=MAX_FILES, seen=count, unit="files")
        for source, prefix, there in names:
            long = next((name for name in there if len(prefix + name) > MAX_PATH), None)
            if long is not None:
                raise LimitError(f"{source.where}: {long[:80]!r}", limit=MAX_PATH, seen=len(prefix + long), unit="characters")

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

    def _take(self, source: DiskSource, prefix: str, entries: Iterable[RecordedFile], stamps: Mapping[str, bytes]) -> None:
        for entry in entries:
            path = prefix + entry.path
            if source.stamp(entry.path) != stamps[path]:
                raise FormatError(f"{source.where}: {entry.path!r}", "changed while it was recorded")
            self._found[path] = attrs.evolve(entry, path=path) if prefix else entry
            if self._journal is not None:
                self._journal.add(Known(file=self._found[path], stamp=stamps[path], read=self._started))

    def _groups(self, names: Sequence[str], prefix: str) -> Iterator[Sequence[str]]:
        """Cut the work so that a journal has something to note before the end."""
        if self._journal is None:
            yield names
        else:
            yield from in_batches(names, {name: self._sizes[prefix + name] for name in names}, files=_GROUP_FILES, size=_GROUP_BYTES)

    def _whole(self, source: DiskSource, prefix: str, names: Sequence[str]) -> Iterator[RecordedFile]:
        before = self._meter.done

        def told(step: Progress) -> None:
            self._meter.done = before + step.done
            self._meter.tell()

        sizes = {name: self._sizes[prefix + name] for name in names}
        report = told if self._progress else None
        found = hash_files(source, names, sizes=sizes, executor=self._executor, progress=report, phase="recording")
        for name, entry in found.items():
            yield RecordedFile(path=name, size=entry.size, sha256=entry.digest)
        self._meter.done = before + sum(entry.size for entry in found.values())

    def _cut(self, source: DiskSource, prefix: str, forms: Mapping[str, str]) -> Iterator[Iterable[RecordedFile]]:
        if self._how is None:
            return
        sizes = {name: self._sizes[prefix + name] for name in forms}
        if self._executor is None:
            for name, form in forms.items():
                yield [record_file(source, name, form, self._how, self._meter.add)]
            return
        where = str(source.path.absolute())
        large = [name for name, form in forms.items() if worth_spreading(form, sizes[name])]
        batches = in_batches([name for name in forms if name not in set(large)], sizes)
        jobs = [self._executor.submit(record_elsewhere, where, [(name, forms[name]) for name in batch], self._how) for batch in batches]
        try:
            for name in large:
                yield [record_spread(source, name, forms[name], self._how, self._meter.add, executor=self._executor)]
            for job in jobs:
                entries = job.result()
                self._meter.add(sum(entry.size for entry in entries))
                yield entries
        finally:
            for job in jobs:
                job.cancel()
