# SPDX-License-Identifier: Apache-2.0
"""What `convert` does: scan, follow the pickle, copy."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from lifeseal._io import Buffer, HashName, Progress, ProgressCallback, StrPath, new_hasher, read_through, refuse_foreign, remove, replace
from lifeseal.errors import FormatError, UnsafeError
from lifeseal.principles import note
from lifeseal.serialization._behind import Sources, Written
from lifeseal.serialization._contents import Contents, join, refuse_growth
from lifeseal.serialization._converted import SCHEMA, Conversion, ConvertedFile, ConvertedTensor, digest_text, values_bytes, values_of
from lifeseal.serialization._gather import Stages, gather
from lifeseal.serialization._judge import judge_window
from lifeseal.serialization._layout import Entry, File, arrange, index_of, write_files
from lifeseal.serialization._opened import OPENERS
from lifeseal.serialization._report import Verdict, worst
from lifeseal.serialization._rules import RULES, Findings
from lifeseal.serialization._source_files import SourceFile, open_source
from lifeseal.serialization._window import FileWindow

if TYPE_CHECKING:
    from lifeseal.attestation import Waiver

_BUFFER: Final = 1 << 20


@attrs.frozen(kw_only=True)
class Wishes:
    """How a conversion was asked for; see `convert`."""

    select: str | None
    drop: bool
    max_shard_size: int | None
    hash: HashName
    waiver: "Waiver | None"
    progress: ProgressCallback


def run(src: StrPath, dst: StrPath, wishes: Wishes) -> Conversion:
    """Convert; see `convert`."""
    with contextlib.ExitStack() as cleanup:
        files, weight_map = open_source(src, cleanup)
        _refuse_source(src, files, dst)
        judged = [_judge(file, wishes.waiver) for file in files]
        verdict = worst(*(found for _, found in judged))
        note(verdict=verdict.value, format=judged[0][0])
        parts = {file.name: OPENERS[kind](file.reader, file.where, wishes.select) for file, (kind, _) in zip(files, judged, strict=True)}
        where = os.fspath(src)
        contents = join(parts, weight_map, drop=wishes.drop, where=where)
        refuse_growth(contents, sum(file.reader.size for file in files), where=where)
        layout = arrange(contents.entries, dst, metadata=contents.metadata, max_shard_size=wishes.max_shard_size)
        _refuse_source(src, files, *(file.path for file in layout))
        sources = cleanup.enter_context(Sources(files, wishes.hash))
        written = cleanup.enter_context(Written(wishes.hash))
        job = _Job(contents, layout, written, wishes.progress)
        values: Path | None = None

        def finish() -> None:
            nonlocal values
            sources.digests()
            for file in files:
                file.refuse_change()
            values = _write_values(contents, dst, job.outputs(wishes.hash))

        try:
            write_files(layout, dst, job.content, seen=job.seen, finish=finish)
        except BaseException:
            if values is not None:
                remove(values)
            raise
        read = zip(files, sources.digests(), strict=True)
        return Conversion(
            format=judged[0][0],
            verdict=verdict,
            sources=tuple(ConvertedFile(path=file.where, size=file.reader.size, digest=digest_text(wishes.hash, digest)) for file, digest in read),
            outputs=tuple(
                ConvertedFile(path=str(file.path), size=file.size, digest=digest)
                for file, digest in zip(layout, job.outputs(wishes.hash).values(), strict=True)
            ),
            tensors=tuple(ConvertedTensor(name=entry.name, dtype=entry.dtype, shape=entry.shape) for entry in sorted(contents.entries, key=_by_name)),
            aliases=contents.aliases,
            dropped=contents.dropped,
            values=values,
        )


def _by_name(entry: Entry) -> str:
    return entry.name


def _refuse_source(src: StrPath, files: Iterable[SourceFile], *outputs: StrPath) -> None:
    """Refuse to put an output in the place of a source."""
    sources = [Path(src), *(file.source.path / file.name if file.source.is_folder else file.source.path for file in files)]
    for output in outputs:
        for path in (Path(output), index_of(output), values_of(output)):
            if path.exists() and any(source.exists() and path.samefile(source) for source in sources):
                raise FileExistsError(errno.EEXIST, "is the source itself; name another output", str(path))


def _judge(file: SourceFile, waiver: "Waiver | None") -> tuple[str, Verdict]:
    """Scan one file; returns its format and verdict."""
    findings = Findings()
    kind, _ = judge_window(FileWindow(file.reader), findings, allow=frozenset(), search=False)
    listed = findings.listed()
    broken = next((found for found in listed if RULES[found.rule].verdict is Verdict.UNREADABLE or found.rule == "more"), None)
    if findings.verdict is Verdict.UNSAFE and waiver is None:
        worst_one = next(found for found in listed if RULES[found.rule].verdict is Verdict.UNSAFE)
        raise UnsafeError(
            f"{file.where}: unsafe: {worst_one.place or 'the file'}: {worst_one.message}; a waiver that covers its sha256 lets it be converted"
        )
    if broken is not None:
        place = f"{file.where}, {broken.place}" if broken.place else file.where
        raise FormatError(place, f"{broken.message}; it is not converted")
    if findings.verdict is Verdict.UNSAFE and waiver is not None:
        hasher = new_hasher("sha256")
        read_through(file.reader, file.where, memoryview(bytearray(_BUFFER)), hasher.update)
        waiver.check(digest_text("sha256", hasher.digest()), "unsafe")
    if kind not in OPENERS:
        raise FormatError(file.where, f"a file of {', '.join(sorted(OPENERS))} was expected; this is {kind}")
    return kind, findings.verdict


def _write_values(contents: Contents, dst: StrPath, outputs: dict[str, str]) -> Path | None:
    """Write the plain data; where there is none, an older file of it is emptied, because it belongs to older tensors."""
    path = values_of(dst)
    if not contents.values and not path.exists():
        return None
    refuse_foreign(path, mark=SCHEMA.encode(), what="file of plain data beside tensors")
    replace(path, values_bytes(contents.values, outputs))
    return path


class _Job:
    """Copies tensors, and tells how far it is."""

    def __init__(self, contents: Contents, layout: tuple[File, ...], written: Written, progress: ProgressCallback) -> None:
        self._contents = contents
        self._written = written
        self._progress = progress
        self._stages = Stages()
        self._done = 0
        self._total = sum(file.size for file in layout)

    def content(self, file: File) -> Iterator[Buffer]:
        """Yield the bytes of a file's tensors."""
        found = ((entry.name, self._contents.tensors[entry.name]) for entry in file.entries)
        return gather(((f"tensor {name!r}", tensor.reader, tensor.placed) for name, tensor in found), self._stages)

    def seen(self, file: File, piece: Buffer) -> None:
        """Take note of what was written."""
        self._written.take(file.path.name, piece)
        self._done += memoryview(piece).nbytes
        if self._progress is not None:
            self._progress(Progress(phase="converting", done=self._done, total=self._total))

    def outputs(self, algorithm: HashName) -> dict[str, str]:
        """Return the digests of what was written, by file name."""
        return {name: digest_text(algorithm, digest) for name, digest in self._written.digests().items()}
