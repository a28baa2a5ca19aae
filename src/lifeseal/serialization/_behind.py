# SPDX-License-Identifier: Apache-2.0
"""Hashing in threads beside the copying: of what was read, and of what was written, one piece behind."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from lifeseal._io import Behind, Buffer, Hasher, HashName, new_hasher, read_through
from lifeseal.serialization._source_files import SourceFile

_BUFFER: Final = 4 << 20


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    pass


class Sources:
    """Hashes files from start to end in a thread.

    Args:
        files: Which.
        algorithm: The hash.
    """

    def __init__(self, files: Iterable[SourceFile], algorithm: HashName) -> None:
        self._stopped = False
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lifeseal-convert")
        self._found = self._pool.submit(self._run, tuple(files), algorithm)

    def _run(self, files: tuple[SourceFile, ...], algorithm: HashName) -> list[bytes]:
        buffer = memoryview(bytearray(_BUFFER))
        digests = []
        for file in files:
            hasher = new_hasher(algorithm)

            def take(piece: memoryview, hasher: Hasher = hasher) -> None:
                if self._stopped:
                    raise _Stopped
                hasher.update(piece)

            read_through(file.reader, file.where, buffer, take)
            digests.append(hasher.digest())
        return digests

    def digests(self) -> list[bytes]:
        """Wait for the digests, in the order of the files.

        Raises:
            FormatError: A file grew or shrank meanwhile.
            OSError: A file cannot be read.
        """
        return self._found.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._pool.shutdown()


class Written(Behind):
    """Hashes what is written, each piece while the next one is read.

    Args:
        algorithm: The hash.
    """

    def __init__(self, algorithm: HashName) -> None:
        super().__init__()
        self._algorithm = algorithm
        self._hashers: dict[str, Hasher] = {}

    def take(self, name: str, piece: Buffer) -> None:
        """Take in the next piece of a file; the piece before it is done when this returns, this one perhaps not."""
        hasher = self._hashers.get(name)
        if hasher is None:
            hasher = self._hashers[name] = new_hasher(self._algorithm)
        self.do(hasher.update, memoryview(piece))

    def digests(self) -> dict[str, bytes]:
        """Return the digests by file."""
        self.wait()
        return {name: hasher.digest() for name, hasher in self._hashers.items()}
