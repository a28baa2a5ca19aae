# SPDX-License-Identifier: Apache-2.0
"""The search for plaintext copies: renamed, re-sharded, repacked; what could not be read is said."""

import contextlib
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from lifeseal._io import DiskSource, Progress, ProgressCallback, Reader, StrPath, new_hasher
from lifeseal.disposal._wanted import ANCHOR, Anchor, Wanted, as_file, blake3_of, npy_head, pieces, read, sha256_of
from lifeseal.errors import LifesealError
from lifeseal.principles import implements, note

_WINDOW = 8 << 20
_MAX_MEMBER = 64 << 30
_BEGUN = re.compile(r"([0-9a-f]{64})\.(?:[0-9a-f]+\.)?(?:incomplete|lock)", re.ASCII)
FORGOTTEN = (
    "the Arrow cache of Hugging Face datasets",
    "stores of experiment trackers (MLflow, Weights & Biases)",
    "caches of model servers (vLLM, Ollama, Triton)",
    "layers of container images and their registries",
    "versions and replicas of object stores",
    "backups, snapshots and file-system history",
    "swap, core dumps and memory of running processes",
    "other machines, and recipients' copies",
)


@attrs.frozen(kw_only=True)
class Copy:
    """A file that holds what was looked for.

    Attributes:
        path: Where it is.
        kind: ``file``: the whole file is one of those wanted; ``tensors``: it holds tensors of theirs; ``partial``: an interrupted
            download of one of them, or a lock that names it, by its name in the cache of the Hugging Face Hub.
        holds: Names of what it holds, sorted.
        size: Bytes that are copies.
        links: Other names of the same file that were met.
        open_in: Ids of processes that hold it open, as far as this user may see.
    """

    path: Path
    kind: str
    holds: tuple[str, ...]
    size: int
    links: tuple[Path, ...] = ()
    open_in: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Search:
    """What a search for copies found, and how far it reached.

    Attributes:
        copies: Sorted by path.
        files: Number of files that were looked at, at least by size.
        read: Number of files that were read.
        unread: Places that could not be read, and why; where there are any, the search is not complete.
        not_searched: Kinds of places that no search of folders reaches.
    """

    copies: tuple[Copy, ...]
    files: int
    read: int
    unread: tuple[str, ...]
    not_searched: tuple[str, ...] = FORGOTTEN

    @property
    def complete(self) -> bool:
        """Whether every file of the places given could be judged."""
        return not self.unread


@implements(
    evidences=("13.1", "13.2", "5.1"),
    limits="It finds the same bytes in the places given; what was compressed, converted to other types, encrypted or lies elsewhere it does not.",
)
def find_copies(wanted: Wanted, places: Iterable[StrPath], *, progress: ProgressCallback = None) -> Search:
    """Search folders and files for copies of content.

    Sizes are compared first; only files of a wanted size, or large enough to hold a wanted tensor, are read. Tensors are found in safetensors,
    in archives (PyTorch, npz; members that are compressed too), and, the largest ones, inside files of any other format. Links are not
    followed, so a cache made of links is searched where its files lie.

    Args:
        wanted: From `Wanted.of`.
        places: Folders and files.
        progress: Called now and then; raising from it stops the work.

    Returns:
        What was found, and what could not be read.

    Raises:
        FileNotFoundError: A place is not there.
        LimitError: A folder holds more files than the limit.
    """
    hunt = _Hunt(wanted)
    for place in places:
        Path(place).lstat()
        for path in _files(Path(place), hunt.unread):
            hunt.look(path)
            if progress is not None:
                progress(Progress(phase="searching", done=hunt.bytes, total=hunt.bytes))
    holders = _holders({key for key, _ in hunt.found.values()}) if hunt.found else {}
    copies = [_with_links(copy, hunt.names.get(key, ()), holders.get(key, ())) for key, copy in hunt.found.values()]
    note(copies=len(copies), files=hunt.files, read=hunt.read, unread=len(hunt.unread))
    return Search(copies=tuple(sorted(copies, key=lambda copy: copy.path)), files=hunt.files, read=hunt.read, unread=tuple(hunt.unread))


def _files(place: Path, unread: list[str]) -> Iterator[Path]:
    """Walk regular files; a folder without rights is noted, not skipped in silence."""
    if not place.is_dir() or place.is_symlink():
        yield place
        return
    for folder, folders, names in os.walk(place, onerror=lambda error: unread.append(f"{error.filename}: {error.strerror}")):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _with_links(copy: Copy, names: Iterable[Path], holders: Iterable[int]) -> Copy:
    return attrs.evolve(copy, links=tuple(sorted(name for name in names if name != copy.path)), open_in=tuple(sorted(holders)))


class _Hunt:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._least = min(wanted.tensors, default=None)
        self.found: dict[tuple[int, int], tuple[tuple[int, int], Copy]] = {}
        self.names: dict[tuple[int, int], list[Path]] = {}
        self.unread: list[str] = []
        self.files = self.read = self.bytes = 0

    def look(self, path: Path) -> None:
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return
            self.files += 1
            key = status.st_dev, status.st_ino
            if status.st_nlink > 1:
                self.names.setdefault(key, []).append(path)
                if len(self.names[key]) > 1:
                    return
            copy = self._judge(path, status.st_size)
        except (LifesealError, OSError) as error:
            self.unread.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            return
        if copy is not None:
            self.found[key] = key, copy

    def _judge(self, path: Path, size: int) -> Copy | None:
        wanted = self._wanted
        begun = _BEGUN.fullmatch(path.name)
        if begun is not None and (name := wanted.files.get(bytes.fromhex(begun[1]))) is not None:
            return Copy(path=path, kind="partial", holds=(name,), size=size)
        whole = wanted.sizes is None or size in wanted.sizes
        inside = self._least is not None and size >= self._least // 2  # weights hardly shrink when they are compressed
        if not whole and not inside:
            return None
        self.read += 1
        self.bytes += size
        with DiskSource(path) as source, source.open(path.name) as reader:
            if whole and (name := wanted.files.get(sha256_of(reader))) is not None:
                return Copy(path=path, kind="file", holds=(name,), size=size)
            found = dict(self._tensors(reader)) if inside else {}
        if found:
            return Copy(path=path, kind="tensors", holds=tuple(sorted(found)), size=sum(found.values()))
        return None

    def _tensors(self, reader: Reader) -> Iterator[tuple[str, int]]:
        known = False
        for _, start, size in pieces(reader):
            known = True
            if size in self._wanted.tensors and (name := self._wanted.tensors[size].get(blake3_of(reader, start, size))):
                yield name, size
        if known:
            return
        yield from self._packed(reader)
        for anchor, start in _hits(reader, self._wanted.anchors):
            digest = blake3_of(reader, start, anchor.size)
            if digest == anchor.digest:
                yield self._wanted.tensors[anchor.size][digest], anchor.size

    def _packed(self, reader: Reader) -> Iterator[tuple[str, int]]:
        """Look into compressed members of an archive."""
        with contextlib.suppress(zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError):
            for size, digest in _unpacked(reader, self._wanted.tensors):
                if (name := self._wanted.tensors[size].get(digest)) is not None:
                    yield name, size


def _unpacked(reader: Reader, sizes: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    if read(reader, 0, 4) != b"PK\x03\x04":
        return
    wanted = set(sizes)
    with zipfile.ZipFile(as_file(reader)) as archive:
        for info in archive.infolist():
            if info.compress_type == zipfile.ZIP_STORED or info.file_size > _MAX_MEMBER:
                continue
            with archive.open(info) as member:
                lead = member.read(12)
                skipped = npy_head(lead)
                if info.file_size - skipped not in wanted:
                    continue
                hasher, rest = new_hasher("blake3"), skipped - len(lead)
                if rest > 0:
                    member.read(rest)
                elif rest < 0:
                    hasher.update(memoryview(lead[rest:]))
                while data := member.read(1 << 20):
                    hasher.update(memoryview(data))
                yield info.file_size - skipped, hasher.digest()


def _hits(reader: Reader, anchors: Iterable[Anchor]) -> Iterator[tuple[Anchor, int]]:
    """Find anchors anywhere in a file; each once."""
    left = {anchor.text: anchor for anchor in anchors if anchor.size <= reader.size}
    kept, at = b"", 0
    buffer = memoryview(bytearray(_WINDOW))
    while left and (got := reader.readinto(buffer, at)):
        window = kept + bytes(buffer[:got])
        base = at - len(kept)
        for text in [text for text in left if text in window]:
            start = base + window.index(text) - left[text].offset
            if 0 <= start <= reader.size - left[text].size:
                yield left.pop(text), start
        kept, at = window[-ANCHOR + 1 :], at + got


def _holders(keys: set[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    """Tell which processes hold files open, as far as this user may see."""
    found: dict[tuple[int, int], list[int]] = {}
    for process in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            for descriptor in process.iterdir():
                with contextlib.suppress(OSError):
                    status = descriptor.stat()
                    key = status.st_dev, status.st_ino
                    if key in keys and int(process.parent.name) not in found.setdefault(key, []):
                        found[key].append(int(process.parent.name))
    return found
