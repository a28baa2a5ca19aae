# SPDX-License-Identifier: Apache-2.0
"""Writing an asset's containers, and removing the plaintext afterwards."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs

from lifeseal._io import DiskSource, Progress, ProgressCallback, Secret, Together, remove
from lifeseal.erasure._container import Place, Written, compare_container, write_container
from lifeseal.erasure._index import Index, IndexEntry, parse_index, signature_of
from lifeseal.erasure._layout import DATA, GROUP_SIZE, ID_SIZE, INDEX, group_of
from lifeseal.errors import FormatError, StoreError

if TYPE_CHECKING:
    from concurrent.futures import Future


@attrs.frozen(kw_only=True)
class Sealed:
    """What was written, before it is committed.

    Attributes:
        index: The files.
        index_id: Container of the index.
        seen: What the file system said of each file when it was read.
    """

    index: Index
    index_id: bytes
    seen: dict[str, tuple[int, ...]]


def write_asset(source: DiskSource, place: Place, key: Secret, proof: Secret, *, progress: ProgressCallback) -> Sealed:
    """Encrypt every file and the index, and read each back; nothing refers to them yet.

    While containers are read back, the next are written. Many small ones reach the disk together.

    Args:
        source: The plaintext.
        place: Whose containers they become.
        key: The asset's new data key.
        proof: The same key, as the root holder's tree gave it back; containers are read with it.
        progress: Called in this thread after each piece.

    Returns:
        What was written.

    Raises:
        FormatError: The plaintext changed meanwhile, or holds links or special files.
        LimitError: Too many files.
        TamperedError: A container does not read back as it was written.
        OSError: A file cannot be read or written.
    """
    from concurrent.futures import ThreadPoolExecutor

    names = source.names()
    entries: list[IndexEntry] = []
    seen = {}
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        origins = dict.fromkeys(names, source)
        beside = _signature_beside(source)
        if beside is not None:
            origins[beside.name] = stack.enter_context(beside)
        took = _counter(sum(origin.size(name) for name, origin in origins.items()), progress)
        together, waiting = stack.enter_context(Together()), list[Written]()
        checks: list[Future[None]] = []

        def settle() -> None:
            together.settle()
            checks.extend(pool.submit(compare_container, place, proof, written) for written in waiting)
            waiting.clear()

        for name, origin in origins.items():
            where = f"{origin.where}: {name!r}"
            seen[name] = _look(origin, name)
            with origin.open(name) as reader:
                waiting.append(write_container(place, key, _new_id(place), DATA, reader, where=where, took=took, together=together))
            entries.append(IndexEntry(name=name, size=waiting[-1].size, file_id=waiting[-1].file_id))
            if together.full:
                settle()
        settle()
        changed = [name for name, origin in origins.items() if _look(origin, name) != seen[name]]
        if changed or source.names() != names:
            what = changed[0] if changed else "the list of files"
            raise FormatError(f"{source.where}: {what!r}", "changed while it was sealed; nothing was committed")
        for check in checks:
            check.result()
    index = Index(folder=source.is_folder, entries=tuple(entries[: len(names)]), signature=next(iter(entries[len(names) :]), None))
    index_id = _new_id(place)
    text = index.to_bytes()
    parse_index(text, index_id=index_id, where=f"{source.where}, index")
    with Together() as together:
        written = write_container(place, key, index_id, INDEX, _Bytes(text), where=f"{source.where}, index", took=lambda _: None, together=together)
    compare_container(place, proof, written)
    return Sealed(index=index, index_id=index_id, seen={name: seen[name] for name in names})


def unlink_plaintext(source: DiskSource, sealed: Sealed) -> None:
    """Unlink the files that were sealed, and the folders that this empties.

    Args:
        source: The plaintext.
        sealed: What was written from it.

    Raises:
        StoreError: A file was changed after it had been sealed; it and all after it stay.
        OSError: A file cannot be removed.
    """
    folders = set()
    for name, seen in sealed.seen.items():
        if _look(source, name) != seen:
            raise StoreError(f"{source.where}: {name!r} was changed after it was sealed, so it was left; the asset is sealed without the change")
        path = _path(source, name)
        remove(path)
        if source.is_folder:
            folders.update([source.path, *(source.path / parent for parent in Path(name).parents)])
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            folder.rmdir()


class _Bytes:
    """A reader of bytes at hand."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def readinto(self, buffer: memoryview, start: int) -> int:
        piece = self._data[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _signature_beside(source: DiskSource) -> DiskSource | None:
    """Open the signature that lies beside a lone file; it travels with it."""
    if source.is_folder:
        return None
    path = source.path.with_name(signature_of(source.name))
    return DiskSource(path) if path.is_file() and not path.is_symlink() else None


def _new_id(place: Place) -> bytes:
    return group_of(place.slot, place.generation) + os.urandom(ID_SIZE - GROUP_SIZE)


def _path(source: DiskSource, name: str) -> Path:
    return source.path / name if source.is_folder else source.path


def _look(source: DiskSource, name: str) -> tuple[int, ...]:
    found = _path(source, name).stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _counter(total: int, progress: ProgressCallback) -> Callable[[int], None]:
    done = 0

    def took(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(Progress(phase="sealing", done=min(done, total), total=total))

    return took
