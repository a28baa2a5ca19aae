# SPDX-License-Identifier: Apache-2.0
"""Files to be read: one directory walk, by descriptors, that never follows a link."""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from lifeseal._io._durable import StrPath
from lifeseal._io._links import LinkKind, inside, is_hub_link, open_blob
from lifeseal._io._regular import kind_of
from lifeseal.errors import FormatError, LimitError

MAX_FILES = 1 << 20
MAX_FOLDER_DEPTH = 64
_MAX_LINKS = 8
_STAMP = struct.Struct(">qQQqq")
_SIZE = slice(24, 32)
WRITTEN = slice(8)  # of a stamp: what other machines that share the file system see alike
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Reader(Protocol):
    """One opened file: its size and its bytes come from the same handle."""

    @property
    def size(self) -> int:
        """Bytes, as they were when it was opened."""

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` from offset ``start``; returns the bytes read, 0 at the end."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *error: object) -> None:
        """Close the handle."""


class Source(Protocol):
    """A set of named files: a folder or file on disk, or a sealed asset."""

    @property
    def where(self) -> str:
        """What to call it in messages."""

    @property
    def name(self) -> str:
        """Its own name: of the folder, the file or the asset."""

    def names(self, *, ignore: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """List every file below it, sorted by code point, except what lies at or under an ignored path."""

    def size(self, name: str) -> int:
        """Tell the bytes of one file, to plan work by; what counts is the size of the opened file."""

    def open(self, name: str) -> Reader:
        """Open one file by its relative name."""


class DiskReader:
    """One file on disk, opened by `DiskSource.open`.

    Args:
        fd: Its descriptor; owned from here on.
        size: Bytes, as they were when it was opened.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` from offset ``start``; returns the bytes read, 0 at the end."""
        return os.preadv(self._fd, [buffer], start)

    def stamp(self) -> bytes:
        """Tell what changes when the file is written; see `DiskSource.stamp`."""
        return _stamp(os.fstat(self._fd))

    def fileno(self) -> int:
        """Return the descriptor, to ask the system about it."""
        return self._fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _stamp(found: os.stat_result) -> bytes:
    return _STAMP.pack(found.st_mtime_ns, found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)


class DiskSource:
    """A folder, or one file in its folder, read below one directory descriptor.

    The path given may lead through links to a folder; below it only such links are read through as ``links`` names, and a lone file is
    no other link itself. A link to a folder never is. Renaming the folder afterwards changes nothing.

    Args:
        path: A folder or a regular file.
        links: Kinds of link to read through: ``inside`` leads to a file below the same folder, ``hub-cache`` to a blob of the Hub's cache.

    Raises:
        FormatError: It is neither, or a name is not UTF-8.
        OSError: It cannot be opened.
    """

    def __init__(self, path: StrPath, *, links: frozenset[LinkKind] = frozenset()) -> None:
        self._root = -1
        self.links = links
        self.path = Path(path)
        self.where = os.fspath(path)
        found = Path(path).stat()
        self.is_folder = stat.S_ISDIR(found.st_mode)
        if not self.is_folder and not stat.S_ISREG(found.st_mode):
            raise FormatError(self.where, f"a folder or a regular file was expected, not a {kind_of(found.st_mode)}")
        anchor = self.path if self.is_folder else self.path.parent
        self._root = os.open(anchor, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.name = (self.path if self.path.name not in {"", ".."} else self.path.resolve()).name

    def names(self, *, ignore: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """List every file, sorted by code point.

        Args:
            ignore: Relative paths; nothing at or under them is looked at.

        Returns:
            Relative POSIX names.

        Raises:
            FormatError: A link, FIFO, socket or device lies there, or a name is not UTF-8.
            LimitError: More files or deeper folders than the limits.
            OSError: A folder cannot be read.
        """
        found = []
        for name, fault, _ in self._walk(ignore):
            if fault is not None:
                raise fault
            found.append(name)
        return tuple(sorted(found))

    def stamps(self) -> dict[str, bytes]:
        """List every file as `names` does, each with its stamp; cheaper than to ask for them one by one.

        Returns:
            What `stamp` tells, by relative POSIX name, sorted by code point.

        Raises:
            FormatError: As for `names`.
            LimitError: As for `names`.
            OSError: A folder or file cannot be read.
        """
        found = {}
        for name, fault, entry in self._walk(frozenset()):
            if fault is not None:
                raise fault
            found[name] = self.stamp(name) if entry is None or entry.is_symlink() else _stamp(entry.stat(follow_symlinks=False))
        return {name: found[name] for name in sorted(found)}

    def size(self, name: str) -> int:
        """Tell the bytes of one file, to plan work by.

        Args:
            name: Relative POSIX name.

        Returns:
            The size its name showed; what counts is the size of the opened file.

        Raises:
            OSError: It is not there.
        """
        return self._stat(name).st_size

    def stamp(self, name: str) -> bytes:
        """Tell what changes when a file is written or replaced.

        A write within the file system's tick (some milliseconds) after the last one, or through a map of memory, may not show.

        Args:
            name: Relative POSIX name.

        Returns:
            Time of the last write, device, inode, size, and time of the last change of its entry; 8 bytes each. See `WRITTEN`.

        Raises:
            FormatError: It is a link that is not read through.
            OSError: It is not there.
        """
        return _stamp(self._stat(name))

    def hard_links(self, name: str) -> int:
        """Tell how many names a file has, here and elsewhere.

        Args:
            name: Relative POSIX name.

        Returns:
            1 for a file that has no other.

        Raises:
            FormatError: It is a link that is not read through.
            OSError: It is not there.
        """
        return self._stat(name).st_nlink

    def names_of(self, path: StrPath) -> frozenset[str]:
        """Tell by which names a path lies below this folder: its own and, if it is a link, that of what it means.

        Args:
            path: Any path; nothing need be there.

        Returns:
            Relative POSIX names; none if it lies elsewhere, or this is a lone file.
        """
        if not self.is_folder:
            return frozenset()
        folder, given = self.path.resolve(), Path(path)
        places = {given.parent.resolve() / given.name, given.resolve()}
        return frozenset(place.relative_to(folder).as_posix() for place in places if folder in place.parents)

    def entries(self) -> Iterator[tuple[str, str]]:
        """Walk everything, also what `names` refuses.

        Yields:
            The relative POSIX name, and why it cannot be opened as a file: empty for a regular file. Names that are not UTF-8 are
            written with escapes.

        Raises:
            LimitError: More files than the limit.
        """
        for name, fault, _ in self._walk(frozenset()):
            yield printable_name(name), "" if fault is None else printable_name(str(fault))

    def open(self, name: str) -> DiskReader:
        """Open one file, without following a link at any step.

        Args:
            name: Relative POSIX name.

        Returns:
            The reader.

        Raises:
            FormatError: The name leads outside, through a link, or to something that is not a regular file.
            OSError: It cannot be opened.
        """
        fd = self._open(checked_name(name, where=self.where), name, hops=0)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise FormatError(f"{self.where}: {name!r}", f"a regular file was expected, not a {kind_of(found.st_mode)}")
        return DiskReader(fd, found.st_size)

    def close(self) -> None:
        """Close the directory descriptor; twice is no error."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _stat(self, name: str) -> os.stat_result:
        found = os.stat(name, dir_fd=self._root, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            return found
        fd = self._open(name, name, hops=0)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _open(self, name: str, asked: str, *, hops: int) -> int:
        """Open a name; ``asked`` is the one that led here."""
        *folders, last = name.split("/")
        parent = self._descend(folders) if folders else self._root
        try:
            return os.open(last, _FILE, dir_fd=parent)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return self._through(name, os.readlink(last, dir_fd=parent), asked, hops=hops)
            self._refuse_odd(parent, last, asked)
            error.filename = f"{self.where}/{asked}" if self.is_folder else self.where
            raise
        finally:
            if folders:
                os.close(parent)

    def _through(self, name: str, target: str, asked: str, *, hops: int) -> int:
        """Open what a link means, if it is of a kind that is read through."""
        place = f"{self.where}: {asked!r}"
        of_hub = is_hub_link(name, target)
        below = inside(name, target)
        try:
            if of_hub and "hub-cache" in self.links:
                return open_blob(self._root, target, where=place)
            if below is not None and "inside" in self.links and hops < _MAX_LINKS:
                return self._open(below, asked, hops=hops + 1)
        except FileNotFoundError:
            raise FormatError(place, "a symbolic link that leads nowhere") from None
        except OSError as error:
            error.filename = f"{self.where}/{asked}"
            raise
        raise FormatError(place, f"a regular file was expected, not a symbolic link{' into the blobs of a Hub cache' if of_hub else ''}")

    def _walk(self, ignore: frozenset[str]) -> "Iterator[tuple[str, FormatError | LimitError | OSError | None, os.DirEntry[str] | None]]":
        """Yield every name that is not ignored, what is wrong with it, and its entry; folders only where they cannot be read."""
        if not self.is_folder:
            yield self.name, self._fault(self.name, None), None
            return
        count = 0
        pending: list[tuple[str, int]] = [("", 0)]
        while pending:
            prefix, depth = pending.pop()
            if depth > MAX_FOLDER_DEPTH:
                yield prefix.rstrip("/"), LimitError(f"{self.where}: {prefix!r}", limit=MAX_FOLDER_DEPTH, seen=depth, unit="nested folders"), None
                continue
            try:
                folder = self._descend(prefix.split("/")[:-1])
            except (FormatError, OSError) as error:
                yield prefix.rstrip("/") or ".", error, None
                continue
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        name = prefix + entry.name
                        if name in ignore:
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            pending.append((name + "/", depth + 1))
                            continue
                        count += 1
                        if count > MAX_FILES:
                            raise LimitError(self.where, limit=MAX_FILES, seen=count, unit="files")
                        plain = name.isascii() and entry.is_file(follow_symlinks=False)  # most are; a listing has no odd parts
                        yield name, None if plain else self._fault(name, entry), entry
            finally:
                os.close(folder)

    def _descend(self, folders: list[str]) -> int:
        current = os.dup(self._root)
        for index, folder in enumerate(folders):
            try:
                below = os.open(folder, _FOLDER, dir_fd=current)
            except OSError as error:
                place = "/".join(folders[: index + 1])
                try:
                    self._refuse_odd(current, folder, place)
                finally:
                    os.close(current)
                error.filename = f"{self.where}/{place}"
                raise
            os.close(current)
            current = below
        return current

    def _fault(self, name: str, entry: "os.DirEntry[str] | None") -> FormatError | OSError | None:
        """Tell why an entry cannot be opened as a file under its name."""
        try:
            checked_name(name, where=self.where)
            if entry is not None and entry.is_symlink():
                self.open(name).__exit__()
            elif entry is not None and not entry.is_file(follow_symlinks=False):
                kind = kind_of(entry.stat(follow_symlinks=False).st_mode)
                return FormatError(f"{self.where}: {name!r}", f"a regular file was expected, not a {kind}")
        except (FormatError, OSError) as error:
            return error
        return None

    def _refuse_odd(self, parent: int, last: str, name: str) -> None:
        """Say what stands in the way, where the system only says that the open failed."""
        try:
            mode = os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode
        except OSError:
            return
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise FormatError(f"{self.where}: {name!r}", f"a regular file was expected, not a {kind_of(mode)}") from None


def stamped_size(stamp: bytes) -> int:
    """Tell the bytes of a file, to plan work by, from its stamp."""
    return int.from_bytes(stamp[_SIZE], "big")


def checked_name(name: str, *, where: str) -> str:
    """Accept a relative POSIX name that means one place below a folder.

    Args:
        name: The name.
        where: Name for error messages.

    Returns:
        The same name.

    Raises:
        FormatError: It is empty or absolute, has an empty, ``.`` or ``..`` part or a NUL, or is not valid Unicode.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError(f"{where}: {name!r}", "the name is not UTF-8") from None
    parts = f"/{name}/"
    if "\0" in name or "//" in parts or "/./" in parts or "/../" in parts:
        raise FormatError(f"{where}: {name[:200]!r}", "a relative name without empty, '.' or '..' parts was expected")
    return name


def printable_name(name: str) -> str:
    """Write a name that may not be UTF-8 so that it can be shown and stored."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
