# SPDX-License-Identifier: Apache-2.0
"""The search for plaintext copies: renamed, re-sharded, repacked; what could not be read is said."""

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from lifeseal._io import DiskReader, Progress, ProgressCallback, StrPath
from lifeseal.disposal._extents import shares_blocks
from lifeseal.disposal._inside import standing, tensors_in
from lifeseal.disposal._open_files import Held, open_files
from lifeseal.disposal._walk import Walk, store_of
from lifeseal.disposal._wanted import Wanted, read, sha256_of
from lifeseal.errors import FormatError, LifesealError
from lifeseal.principles import implements, note

_BEGUN = re.compile(r"(?:[\w-]{27}=\.)?([0-9a-f]{64})\.(?:[0-9a-f]+\.)?(?:incomplete|lock)", re.ASCII)
_LISTS = (".json", ".refs", ".metadata")
_LIST = re.compile(r"/(?:\w+--[^/]+/trees/[^/]+\.json|blobs/[0-9a-f]{2}/[0-9a-f]{64}\.refs|\.cache/huggingface/.+\.metadata)\Z", re.ASCII)
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_MAX_LIST = 64 << 20
_TOLD = 3
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
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
        path: Where it is; of a file that was unlinked and is still open, its entry under ``/proc``.
        kind: ``file``: the whole file is one of those wanted; ``tensors``: it holds tensors, or an archive whole files, of theirs;
            ``partial``: an interrupted download of one of them, or a lock that names it, by its name in the cache of the Hugging Face Hub, or
            a chunk of the Hub's Xet store with bytes of a tensor; ``name``: a link to another copy, or a list of that cache with the digest
            of a file; ``unlinked``: it has no name any more, and a process keeps it open or mapped.
        holds: Names of what it holds, sorted.
        size: Bytes that are copies, as far as they are known to be.
        identity: Device, inode, size and time of the last write (ns), as they were when it was read.
        links: Other names of the same file that were met.
        open_in: Ids of processes that hold it open, as far as this user may see.
        shares_blocks: Whether blocks of it belong to other files or snapshots too; None where the file system does not say.
    """

    path: Path
    kind: str
    holds: tuple[str, ...]
    size: int
    identity: tuple[int, int, int, int] = attrs.field(default=(0, 0, 0, 0), repr=False)
    links: tuple[Path, ...] = ()
    open_in: tuple[int, ...] = ()
    shares_blocks: bool | None = None

    @property
    def told(self) -> str:
        """What is known of it, in a few words: kind, content, other names, open in which processes, blocks shared or not."""
        links = [f"also {', '.join(map(str, self.links[:_TOLD]))}" + (", …" if len(self.links) > _TOLD else "")] if self.links else []
        held = [f"open in process {', '.join(map(str, self.open_in[:_TOLD]))}"] if self.open_in else []
        shared = ["some blocks belong to other files or snapshots too"] if self.shares_blocks else []
        return "; ".join((f"{self.kind}: {', '.join(self.holds)[:200]}", *links, *held, *shared))


@attrs.frozen(kw_only=True)
class Search:
    """What a search for copies found, and how far it reached.

    Attributes:
        copies: Sorted by path.
        files: Number of files that were looked at, at least by size.
        read: Number of files that were read.
        unread: Places that could not be read or judged, and why; where there are any, the search is not complete.
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

    Sizes are compared first; only files of a wanted size, or that can hold a wanted tensor, are read. Tensors of 4 KiB and more are found in
    safetensors and GGUF, in archives (PyTorch, npz; members that are compressed too), and, the largest ones, inside files of any other format.
    Links below a place are not followed, so a cache made of links is searched where its files lie. The Hub's stores of Xet chunks are named as
    not judged: chunks in which the largest tensors stand uncompressed are found, and that none is found says nothing.

    Args:
        wanted: From `Wanted.of`.
        places: Folders and files, or links to them.
        progress: Called now and then; raising from it stops the work.

    Returns:
        What was found, and what could not be read.

    Raises:
        FileNotFoundError: A place is not there.
    """
    hunt = _Hunt(wanted)
    roots = tuple(os.path.abspath(place) for place in places)  # noqa: PTH100 - names stay as the file system gave them
    for place in roots:
        for path, status in hunt.walk.files(place):
            hunt.look(path, status)
            if progress is not None:
                progress(Progress(phase="searching", done=hunt.bytes, total=hunt.bytes))
    held = open_files(roots, hunt.unread)
    for one in held:
        if one.unlinked:
            hunt.look_at_open(one)
    holders: dict[tuple[int, int], set[int]] = {}
    for one in held:
        holders.setdefault(one.key, set()).add(one.process)
    hunt.look_at_links()
    copies = [
        attrs.evolve(
            copy,
            links=tuple(sorted(name for name in hunt.names.get(key, ()) if name != copy.path)),
            open_in=tuple(sorted(holders.get(key, ()))),
        )
        for key, copy in hunt.found.items()
    ]
    note(copies=len(copies), files=hunt.files, read=hunt.read, unread=len(hunt.unread))
    return Search(copies=tuple(sorted(copies, key=lambda copy: copy.path)), files=hunt.files, read=hunt.read, unread=tuple(hunt.unread))


class _Hunt:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._least = min(wanted.tensors, default=None)
        self.found: dict[tuple[int, int], Copy] = {}
        self.names: dict[tuple[int, int], list[Path]] = {}
        self.walk = Walk()
        self.unread = self.walk.unread
        self.files = self.read = self.bytes = 0

    def look(self, path: str, status: os.stat_result) -> None:
        self.files += 1
        size = status.st_size
        begun = _BEGUN.fullmatch(path, path.rfind("/") + 1)
        if path.endswith(_LISTS) and _LIST.search(path):
            self._open(path, path, (status.st_dev, status.st_ino), self._listed)
            return
        if self.walk.stores and store_of(path):
            self._open(path, path, (status.st_dev, status.st_ino), self._chunks)
            return
        # Weights hardly shrink when they are compressed, so a file of less than half a tensor holds none.
        if begun is None and not self._whole(size) and (self._least is None or size < self._least // 2):
            return
        key = status.st_dev, status.st_ino
        if status.st_nlink > 1:
            self.names.setdefault(key, []).append(Path(path))
            if len(self.names[key]) > 1:
                return
        if begun is not None and (name := self._wanted.files.get(bytes.fromhex(begun[1]))) is not None:
            identity = (*key, size, status.st_mtime_ns)
            self.found[key] = Copy(path=Path(path), kind="partial", holds=(name,), size=size, identity=identity)
            return
        self._open(path, path, key, self._judge)

    def look_at_links(self) -> None:
        """Note the links that lead to what was found: with it gone they would dangle, and still tell of it."""
        for path in self.walk.symlinks if self.found else ():
            try:
                target, link = os.stat(path), os.lstat(path)  # noqa: PTH116 - strings, for speed
            except OSError:
                continue  # it leads nowhere
            if (copy := self.found.get((target.st_dev, target.st_ino))) is not None:
                identity = (link.st_dev, link.st_ino, link.st_size, link.st_mtime_ns)
                self.found[link.st_dev, link.st_ino] = Copy(path=Path(path), kind="name", holds=copy.holds, size=0, identity=identity)

    def look_at_open(self, one: Held) -> None:
        """Judge a file that has no name any more, through the process that keeps it open."""
        if one.key not in self.found and (self._whole(one.size) or (self._least is not None and one.size >= self._least // 2)):
            self._open(one.entry, f"{one.name} (unlinked, open in process {one.process})", one.key, self._judge)
            if (copy := self.found.get(one.key)) is not None:
                self.found[one.key] = attrs.evolve(copy, kind="unlinked")

    def _whole(self, size: int) -> bool:
        return self._wanted.sizes is None or size in self._wanted.sizes

    def _open(self, path: str, called: str, key: tuple[int, int], judge: Callable[[DiskReader], tuple[str, dict[str, int]]]) -> None:
        try:
            fd = os.open(path, _OPEN if path == called else _OPEN & ~os.O_NOFOLLOW)
            status = os.fstat(fd)
            with DiskReader(fd, status.st_size) as reader:
                if not stat.S_ISREG(status.st_mode) or key != (status.st_dev, status.st_ino):
                    raise FormatError(called, "replaced while it was looked at; search again")
                kind, holds = judge(reader)
                shared = shares_blocks(fd) if holds else None
        except (LifesealError, OSError) as error:
            self.unread.append(f"{called}: {getattr(error, 'strerror', None) or error}")
            return
        if holds:
            identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            size = sum(holds.values())
            self.found[key] = Copy(path=Path(path), kind=kind, holds=tuple(sorted(holds)), size=size, identity=identity, shares_blocks=shared)

    def _judge(self, reader: DiskReader) -> tuple[str, dict[str, int]]:
        """Tell what of what is wanted a file holds, with sizes."""
        if self._whole(reader.size):
            self._count(reader.size)
            if (name := self._wanted.files.get(sha256_of(reader))) is not None:
                return "file", {name: reader.size}
        if self._least is None or reader.size < self._least // 2:
            return "", {}
        found, bytes_read = tensors_in(reader, self._wanted)
        if bytes_read:
            self._count(bytes_read)
        return "tensors", found

    def _listed(self, reader: DiskReader) -> tuple[str, dict[str, int]]:
        """Tell which files a list of the Hub's cache names by their digests."""
        if reader.size > _MAX_LIST:
            raise FormatError("a list of the Hub's cache", f"{reader.size} bytes are more than any has")
        self._count(reader.size)
        digests = {bytes.fromhex(text.decode()) for text in _DIGEST.findall(read(reader, 0, reader.size))}
        return "name", {self._wanted.files[digest]: 0 for digest in digests if digest in self._wanted.files}

    def _chunks(self, reader: DiskReader) -> tuple[str, dict[str, int]]:
        """Tell which of the largest tensors stand in part in a file of a Xet store."""
        self._count(reader.size)
        return "partial", standing(reader, self._wanted)

    def _count(self, count: int) -> None:
        self.read += 1
        self.bytes += count
