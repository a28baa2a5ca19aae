# SPDX-License-Identifier: Apache-2.0
"""Key memory: locked against swapping, kept out of core dumps and forks, zeroed at the end."""

import contextlib
import functools
import hmac
import mmap
import os
import pathlib
from typing import TYPE_CHECKING, NoReturn, Self

from lifeseal.errors import LimitError

if TYPE_CHECKING:
    import ctypes

_WIPE_ON_FORK = 18  # MADV_WIPEONFORK, Linux 4.14; the mmap module does not name it
MAX_SECRET = 4 << 20
_allowed: list[bool] = []


class Secret:
    """Bytes of a key in memory of their own.

    It has no repr of its content, no equality by content, cannot be copied or pickled. Use `view` for the moment of use and `close` (or a
    ``with`` block) when done.

    What it cannot do: a cryptography object made from the key copies it until that object is deleted; hibernation and a debugger see
    everything.

    Args:
        size: Bytes.

    Raises:
        LimitError: ``size`` is larger than 4 MiB.
        OSError: The pages cannot be locked (see ``ulimit -l``), and `allow_unlocked_memory` was not called.
    """

    def __init__(self, size: int) -> None:
        if not 0 < size <= MAX_SECRET:
            raise LimitError("key memory", limit=MAX_SECRET, seen=size)
        self._map: mmap.mmap | None = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._size = size
        try:
            _protect(self._map)
        except OSError:
            self._map.close()
            self._map = None
            raise

    @classmethod
    def random(cls, size: int = 32) -> Self:
        """Draw a new key from the system, straight into its place.

        Args:
            size: Bytes.

        Returns:
            The key.
        """
        secret = cls(size)
        secret.fill_random(0, size)
        return secret

    @classmethod
    def copy_of(cls, data: bytes | bytearray | memoryview) -> Self:
        """Copy bytes into locked memory; a bytearray given is zeroed after.

        Args:
            data: The key.

        Returns:
            The key in its own memory.
        """
        secret = cls(len(data))
        with secret.view() as view:
            view[:] = data
        if isinstance(data, bytearray):
            data[:] = bytes(len(data))
        return secret

    def fill_random(self, start: int, stop: int) -> None:
        """Draw bytes ``start`` to ``stop`` from the system."""
        with self.view() as view, pathlib.Path("/dev/urandom").open("rb", buffering=0) as source:
            while start < stop:
                start += source.readinto(view[start:stop])

    def view(self) -> memoryview:
        """Return the bytes themselves, writable; release the view after use.

        Raises:
            ValueError: The memory was closed.
        """
        if self._map is None:
            raise ValueError("this key memory is closed")
        return memoryview(self._map)[: self._size]

    def same_as(self, other: "Secret") -> bool:
        """Compare two keys in constant time."""
        with self.view() as mine, other.view() as theirs:
            return hmac.compare_digest(mine, theirs)

    def close(self) -> None:
        """Zero the bytes and give the pages back; twice is no error.

        A view that is still held sees zeros, and keeps the pages until it is released.
        """
        if self._map is not None:
            self._map[:] = bytes(len(self._map))
            with contextlib.suppress(BufferError):
                self._map.close()
            self._map = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_map", None) is not None:
            self.close()

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<Secret of {self._size} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("key memory is not pickled or copied")

    __copy__ = __reduce__

    def __deepcopy__(self, _: object) -> NoReturn:
        self.__reduce__()

    __hash__ = object.__hash__


def allow_unlocked_memory() -> None:
    """Let key memory be used that the system does not lock, from here on and in the whole process; see `lifeseal.erasure`."""
    _allowed.append(True)


def refuse_beyond_memory(size: int, *, where: str) -> None:
    """Refuse to fill memory with more than this machine has: a sparse file claims any size for nothing.

    Args:
        size: Bytes that are about to be allocated.
        where: Name for error messages.

    Raises:
        LimitError: It is more than the machine's memory.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise LimitError(where, limit=memory, seen=size)


@functools.cache
def _libc() -> "ctypes.CDLL":
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _protect(memory: mmap.mmap) -> None:
    import ctypes

    anchor = ctypes.c_char.from_buffer(memory)
    try:
        if _libc().mlock(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(len(memory))) != 0 and not _allowed:
            number = ctypes.get_errno()
            raise OSError(number, "key memory cannot be locked against swapping; raise the limit (ulimit -l)")
    finally:
        del anchor
    memory.madvise(mmap.MADV_DONTDUMP)
    memory.madvise(_WIPE_ON_FORK)
