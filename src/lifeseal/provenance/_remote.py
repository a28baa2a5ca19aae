# SPDX-License-Identifier: Apache-2.0
"""A dataset that is read over a network, as a source of files like a folder on disk."""

import hashlib
import re
import struct
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs
from attrs import validators

from lifeseal._io import StrPath, checked_name
from lifeseal.errors import FormatError, LimitError
from lifeseal.provenance._manifest import MAX_FILES
from lifeseal.provenance._retry import Asking
from lifeseal.provenance._stores import AnyStore, HubStore, Listed, S3Store, Store, meaning

PIECE = 8 << 20
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+", re.DOTALL)
_STAMP = struct.Struct(">24sQq")  # in the form of `DiskSource.stamp`, where size and time of the last change stand in the same places


@attrs.frozen(kw_only=True)
class Remote:
    """A dataset that is read over a network.

    Attributes:
        url: ``s3://BUCKET/PREFIX``, ``hf://datasets/OWNER/NAME@REVISION``, or another URL that fsspec knows.
        options: For the file system, as fsspec names them. Credentials need not be here: each library looks where it always does.
        attempts: How often a request is made at most.
        patience: Seconds that one answer may take, where the library lets that be said (S3 and the Hub).
        read: Read all content, also where the server states its SHA-256; the two are compared then.
    """

    url: str = attrs.field(validator=validators.matches_re(_URL))
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    attempts: int = attrs.field(default=5, validator=validators.ge(1))
    patience: float = attrs.field(default=60.0, validator=validators.gt(0))
    read: bool = False

    @property
    def where(self) -> str:
        """The URL without user, password and query, for messages."""
        parts = urllib.parse.urlsplit(self.url)
        return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2] if parts.scheme != "hf" else parts.netloc, parts.path, "", ""))


def is_url(path: StrPath | Remote) -> bool:
    """Tell a URL from a path; a `Path` is never one."""
    return isinstance(path, str) and _URL.fullmatch(path) is not None


@attrs.frozen(kw_only=True)
class RemotePart:
    """Some files of a remote dataset, as a worker elsewhere opens them: what is read is what was listed here.

    Attributes:
        remote: Where they lie, at the commit that was pinned.
        alone: Whether the place is one file.
        files: As listed.
    """

    remote: Remote
    alone: bool
    files: tuple[Listed, ...]

    def open(self) -> "RemoteSource":
        """Open them."""
        store = open_store(self.remote, resolved=True)
        store.alone = self.alone
        return RemoteSource(self.remote, store, self.files)


class RemoteSource:
    """The files of a remote place, as they were listed. Use `listed`."""

    def __init__(self, remote: Remote, store: Store, files: Iterable[Listed]) -> None:
        self.remote = remote
        self.where = remote.where
        self._store = store
        self._files = {file.name: file for file in files}
        self.name = (
            urllib.parse.urlsplit(remote.url.rstrip("/")).path.rstrip("/").rpartition("/")[2].partition("@")[0] or remote.url.partition("://")[2]
        )

    @classmethod
    def listed(cls, remote: Remote) -> Self:
        """List a place.

        Args:
            remote: Where.

        Returns:
            Its files.

        Raises:
            CredentialError: The server refuses.
            FileNotFoundError: There is nothing.
            FormatError: A key cannot be a path, or stands twice.
            LimitError: There are too many files.
            MissingExtraError: A package is not installed.
            StoreError: The server does not answer.
            ValueError: The URL's protocol is not known.
        """
        store, where = open_store(remote, resolved=False), remote.where
        found: dict[str, Listed] = {}
        for file in store.listing():
            if file.name in found:
                raise FormatError(where, f"{file.name[:200]!r} is listed twice")
            found[checked_name(file.name, where=where)] = file
            if len(found) > MAX_FILES:
                raise LimitError(where, limit=MAX_FILES, seen=len(found), unit="files")
        return cls(remote, store, found.values())

    @property
    def is_folder(self) -> bool:
        """Whether it is not one file."""
        return not self._store.alone

    @property
    def pinned(self) -> str:
        """The URL with the revision that was found; empty where there are none."""
        return self._store.pinned

    def part(self, names: Iterable[str]) -> RemotePart:
        """Choose files for a worker elsewhere."""
        remote = attrs.evolve(self.remote, url=self._store.pinned or self.remote.url)
        return RemotePart(remote=remote, alone=self._store.alone, files=tuple(self._files[name] for name in names))

    def names(self, *, ignore: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """List the names."""
        return tuple(sorted(self._files.keys() - ignore))

    def size(self, name: str) -> int:
        """Tell the bytes of one file, as listed."""
        return self._files[name].size

    def stamps(self) -> dict[str, bytes]:
        """List every file with its stamp."""
        return {name: self.stamp(name) for name in self.names()}

    def stamp(self, name: str) -> bytes:
        """Tell what changes when the file does, as listed; whether it still is so was seen when it was read."""
        file = self._files[name]
        said = f"{self.where.partition('@')[0]}\0{file.tag}\0{file.size}"  # whatever the revision: a file's tag tells whether it is the same
        return _STAMP.pack(hashlib.sha256(said.encode()).digest()[:24], file.size, file.changed)

    def is_as_listed(self, name: str) -> bool:
        """Tell whether a file that was just read is the one that was listed."""
        return self._store.now(self._files[name]) == self._files[name]

    def stated(self, name: str) -> bytes:
        """Ask the server for a file's SHA-256; empty if it has none."""
        return self._store.stated(self._files[name])

    def git_id(self, name: str) -> str:
        """Tell git's name for a file's content, where the server has nothing better."""
        return self._store.git_id(self._files[name])

    def open(self, name: str) -> "RemoteReader":
        """Open one file; nothing is asked yet."""
        return RemoteReader(self._store, self._files[name])

    def close(self) -> None:
        """Do nothing: connections belong to the process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemoteReader:
    """One remote file. Stretches of it are fetched, and kept until the next is asked for."""

    def __init__(self, store: Store, file: Listed) -> None:
        self._store = store
        self._file = file
        self.size = file.size
        self._start = 0
        self._piece = memoryview(b"")

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` from offset ``start``, as far as one piece goes; returns the bytes read, 0 at the end."""
        if start >= self.size:
            return 0
        if not self._start <= start < self._start + len(self._piece):
            self._start, self._piece = start, memoryview(self._fetch(start, min(start + PIECE, self.size)))
        found = self._piece[start - self._start :][: len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def _fetch(self, start: int, end: int) -> bytes:
        def fetch() -> bytes:
            data = self._store.fetch(self._file, start, end)
            if len(data) != end - start:
                raise EOFError(f"{len(data)} bytes came where {end - start} were asked for")
            return data

        return self._store.asking.ask(fetch, self._file.name, listed=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._piece = memoryview(b"")


class Compared:
    """The SHA-256 of a remote file's content, compared with what its server says of it.

    Args:
        source: Where it lies.
        name: Of the file.
    """

    def __init__(self, source: RemoteSource, name: str) -> None:
        self._where = f"{source.where}: {name!r}"
        self._source, self._name = source, name
        self._stated, self._git_id = source.stated(name), source.git_id(name)
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % source.size(name), usedforsecurity=False) if self._git_id else None

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)

    def digest(self) -> bytes:
        """Return the digest.

        Raises:
            FormatError: The content is not what the server says it is, or changed while it was read.
        """
        found = self._sha256.digest()
        if not self._source.is_as_listed(self._name):
            raise FormatError(self._where, "changed while it was recorded")
        if self._stated not in {b"", found}:
            raise FormatError(self._where, f"its content has the SHA-256 {found.hex()}, and the server says {self._stated.hex()}")
        if self._git is not None and self._git.hexdigest() != self._git_id:
            raise FormatError(self._where, f"its content is not git's blob {self._git_id}, which the commit names")
        return found


def open_store(remote: Remote, *, resolved: bool) -> Store:
    """Choose how a URL is read.

    Args:
        remote: What.
        resolved: Whether a revision in it is a commit that was confirmed.

    Returns:
        The store.
    """
    asking = Asking(where=remote.where, attempts=remote.attempts, meaning=meaning)
    protocol = remote.url.partition("://")[0]
    if protocol == "hf":
        return HubStore(remote.url, remote.options, asking, patience=remote.patience, resolved=resolved)
    if protocol in {"s3", "s3a"}:
        return S3Store(remote.url, remote.options, asking, patience=remote.patience)
    return AnyStore(remote.url, remote.options, asking)
