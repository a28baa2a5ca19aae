# SPDX-License-Identifier: Apache-2.0
"""The two writers: nobody else in lifeseal opens a file for writing."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lifeseal._io._litter import sweep_open
from lifeseal.errors import FormatError, LockedError

if TYPE_CHECKING:
    from lifeseal._io._together import Together

StrPath: TypeAlias = str | os.PathLike[str]
Buffer: TypeAlias = bytes | bytearray | memoryview

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SEND = 32 << 20
_AT_ONCE = 1 << 20  # Linux takes several times as long for a write of 8 MiB as for eight of 1 MiB
_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
_WIPED = 1 << 20
_NOT_REGULAR = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})


class Output:
    """Where a new file's bytes go until it takes its name.

    Handed out by `replacing`; not made by callers.
    """

    def __init__(self, fd: int, target: Path) -> None:
        self._fd = fd
        self._target = target
        self._sent = 0
        self.size = 0

    def write(self, data: Buffer) -> int:
        """Append all of ``data``.

        Args:
            data: Bytes.

        Returns:
            The number of bytes, always all of them.

        Raises:
            OSError: The disk refused.
        """
        with memoryview(data).cast("B") as view, named(self._target):
            done = 0
            while done < len(view):
                done += os.write(self._fd, view[done : done + _AT_ONCE])
        self.size += done
        if self.size - self._sent >= _SEND:
            self._send()
        return done

    def _send(self) -> None:
        """Let the disk begin with what was written, so that the flush at the end has little left to wait for."""
        if hasattr(os, "posix_fadvise"):
            # On Linux this advice begins to write dirty pages out; nearly all stay cached, because pages on their way are not dropped.
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._fd, self._sent, self.size - self._sent, os.POSIX_FADV_DONTNEED)
        self._sent = self.size

    def fileno(self) -> int:
        """Return the descriptor, for readers that map what was written."""
        return self._fd

    @property
    def target(self) -> Path:
        """The name it will take."""
        return self._target

    def call(self, name: str) -> None:
        """Choose another name in the same folder, for a file that is called after its content.

        Args:
            name: One part of a path.
        """
        self._target = self._target.with_name(name)


@contextlib.contextmanager
def named(target: Path) -> Iterator[None]:
    """Let an error name the whole path; calls by directory descriptor know its last part only."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise


@contextlib.contextmanager
def replacing(
    path: StrPath, *, mode: int = 0o644, overwrite: bool = True, wipe: bool = False, together: "Together | None" = None
) -> Iterator[Output]:
    """Write a whole file so that its name holds the old content or the new, whatever happens.

    The content goes to an unnamed file (a named temporary one where the file system has none), reaches the disk, and takes the name in
    one step; then the directory reaches the disk too. If the block raises, nothing is left behind. When the block has ended without an
    error, the new content survives a power cut.

    Args:
        path: The file; its folder must exist.
        mode: Permissions of the new file, before the umask.
        overwrite: False refuses a name that is taken, without a race.
        wipe: Overwrite the old content in place once the new is durable, as far as the disk lets it: no promise on flash or copy-on-write.
        together: Where a new file waits for others, to reach the disk and take its name with them; only where ``overwrite`` is false.

    Yields:
        The output to write to.

    Raises:
        FileExistsError: The name is taken and ``overwrite`` is false, or it names something that is not a regular file.
        OSError: The disk refused; the old content stands. Where it was the folder that did not reach the disk, the new content has taken
            the name, but a power cut may bring back the old.
        ValueError: ``together`` is given, and ``overwrite`` is true.
    """
    if together is not None and overwrite:
        raise ValueError("only new files wait for one another")
    target = Path(path)
    with named(target):
        folder = os.open(target.parent, DIRECTORY)
    temp, waits = None, False
    try:
        _refuse_odd_target(folder, target, overwrite=overwrite)
        with named(target):
            fd, temp = _open_new(folder, mode)
        try:
            if overwrite or temp is not None:
                sweep_open(folder)
            output = Output(fd, target)
            yield output
            if output.target != target:
                target = output.target
                _refuse_odd_target(folder, target, overwrite=overwrite)
            if together is not None:
                waits = True
                together.take(fd, temp=temp, folder=folder, target=target)
                return
            with named(target), wiping(target.name, folder, wanted=wipe):
                os.fsync(fd)
                if overwrite:
                    if temp is None:
                        temp = _temp_name()
                        _link(fd, temp, folder)
                    os.rename(temp, target.name, src_dir_fd=folder, dst_dir_fd=folder)
                    temp = None
                else:
                    link_new(fd, temp, target.name, folder)
                os.fsync(folder)
        finally:
            if not waits:
                with contextlib.suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_UN)  # by its new name others may lock it at once
                os.close(fd)
    finally:
        if not waits:
            if temp is not None:
                with contextlib.suppress(OSError):  # what stays is swept by the next write
                    os.unlink(temp, dir_fd=folder)
            os.close(folder)


def replace(path: StrPath, data: Buffer, *, mode: int = 0o644, overwrite: bool = True, wipe: bool = False) -> None:
    """Write one whole file durably; see `replacing`.

    Args:
        path: The file; its folder must exist.
        data: The new content.
        mode: Permissions of the new file, before the umask.
        overwrite: False refuses a name that is taken.
        wipe: See `replacing`.

    Raises:
        FileExistsError: The name is taken and ``overwrite`` is false, or it names something that is not a regular file.
        OSError: The disk refused; the old content stands. Where it was the folder that did not reach the disk, the new content has taken
            the name, but a power cut may bring back the old.
    """
    with replacing(path, mode=mode, overwrite=overwrite, wipe=wipe) as output:
        output.write(data)


@contextlib.contextmanager
def wiping(name: str, folder: int, *, wanted: bool) -> Iterator[None]:
    """Hold the file that has the name now; if the block ends well, overwrite what it held. What fails here is no error: it is extra care."""
    old = -1
    if wanted:
        with contextlib.suppress(OSError):
            old = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    try:
        yield
        found = os.fstat(old) if old >= 0 else None
        if found is not None and stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
            with contextlib.suppress(OSError):
                os.pwrite(old, bytes(min(found.st_size, _WIPED)), 0)
                os.fdatasync(old)
    finally:
        if old >= 0:
            os.close(old)


class Appender:
    """Appends whole lines to one file, one writer at a time.

    After a kill or a power cut the file may end in a torn line that nobody was told is there: part of its bytes, or zeros in place of some
    or all of them. Whoever reads it has to know a whole line from its content, not from its length.

    Args:
        path: The file; made if it is not there. A symbolic link or anything but a regular file is refused.
        mode: Permissions of a new file, before the umask.
        create: False opens a file that is there, and known to have reached the disk.

    Raises:
        FormatError: It is not a regular file.
        OSError: It cannot be opened.
    """

    def __init__(self, path: StrPath, *, mode: int = 0o644, create: bool = True) -> None:
        target = Path(path)
        self._path = target
        with named(target):
            self._fd = _open_to_append(target, mode, create=create)

    @contextlib.contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the file's lock for the block, against other processes and other appenders of this one.

        Args:
            wait: False raises at once if another holds it.

        Raises:
            LockedError: Another holds it, and ``wait`` is false.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedError(f"{self._path}: another process is writing to it; try again when it has finished") from None
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def size(self) -> int:
        """Tell the bytes in the file now."""
        return os.fstat(self._fd).st_size

    def replaced(self) -> bool:
        """Tell whether the file's name means another file now, or none."""
        try:
            return not os.path.samestat(os.fstat(self._fd), os.lstat(self._path))
        except FileNotFoundError:
            return True

    def tail(self, *, limit: int) -> bytes:
        """Read the last bytes of the file.

        Args:
            limit: Bytes at most.

        Returns:
            The bytes.
        """
        size = self.size()
        return os.pread(self._fd, min(limit, size), max(0, size - limit))

    def cut(self, size: int) -> None:
        """Shorten the file to what its reader knows to be whole. Call it within a lock.

        Args:
            size: Bytes that stay.

        Raises:
            OSError: The disk refused.
        """
        os.ftruncate(self._fd, size)

    def append(self, data: Buffer, *, durable: bool, lines: bool = True) -> None:
        """Append at the end. Call it within `locked`. A line that a killed writer tore is closed first.

        A write that fails half way is cut off again.

        Args:
            data: Whole lines.
            durable: Return only when it has reached the disk.
            lines: False where the file is not made of lines, and its reader knows a torn end by other means.

        Raises:
            OSError: The disk refused; the file is as before.
        """
        before = self.size()
        if lines and before and data and bytes(data[:1]) != b"\n" and os.pread(self._fd, 1, before - 1) != b"\n":
            data = b"\n" + bytes(data)  # a killed writer tore its last line; it must not run into this one
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            if durable:
                os.fsync(self._fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, before)
            raise

    def close(self) -> None:
        """Close the file; nothing is flushed that was not asked to be, and twice is no error."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _open_to_append(target: Path, mode: int, *, create: bool) -> int:
    folder = os.open(target.parent, DIRECTORY)
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_CREAT if create else 0)
        try:
            fd = os.open(target.name, flags, mode, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NOT_REGULAR:
                raise
            raise FormatError(str(target), "a regular file was expected") from None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise FormatError(str(target), "a regular file was expected")
            if create:
                os.fsync(folder)
        except BaseException:
            os.close(fd)
            raise
    finally:
        os.close(folder)
    return fd


def _refuse_odd_target(folder: int, target: Path, *, overwrite: bool) -> None:
    try:
        found = os.lstat(target.name, dir_fd=folder)
    except FileNotFoundError:
        return
    if not overwrite or not stat.S_ISREG(found.st_mode):
        reason = "exists already" if not overwrite else "is not a regular file"
        raise FileExistsError(errno.EEXIST, f"{reason}, so it is not replaced", str(target))


def _temp_name() -> str:
    return f".lifeseal-{os.urandom(8).hex()}.tmp"


def _open_new(folder: int, mode: int) -> tuple[int, str | None]:
    """Open an unnamed file, or a named temporary one where the file system has no unnamed ones; hold its lock."""
    tmpfile = getattr(os, "O_TMPFILE", None)
    if tmpfile is not None:
        try:
            fd = os.open(".", tmpfile | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        else:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(fd)
                raise
            return fd, None
    while True:
        name = _temp_name()
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
        try:
            if _hold(fd):
                return fd, name
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
        os.close(fd)


def _hold(fd: int) -> bool:
    """Lock a new temporary file; false if another writer's sweep took it in the moment before."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(fd).st_nlink > 0


def link_new(fd: int, temp: str | None, name: str, folder: int) -> None:
    """Give a new file its name, which must be free.

    Args:
        fd: The file.
        temp: The name that it has; None for an unnamed one.
        name: The new name.
        folder: Where both lie.

    Raises:
        FileExistsError: The name is taken.
        OSError: The disk refused.
    """
    if temp is None:
        _link(fd, name, folder)
    else:
        os.link(temp, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)


def _link(fd: int, name: str, folder: int) -> None:
    os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder, follow_symlinks=True)
