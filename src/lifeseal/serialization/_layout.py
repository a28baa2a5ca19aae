# SPDX-License-Identifier: Apache-2.0
"""The layout of safetensors files that are about to be written, one or several with an index, and writing them.

Equal tensors give equal bytes: large types come first, so that every tensor is aligned to its type, then names by code point.

Source: safetensors 0.8, README "Format"; ``model.safetensors.index.json`` as written by ``huggingface_hub`` and ``transformers``.
"""

import contextlib
import errno
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from lifeseal._io import Buffer, Output, StrPath, canonical, remove, replace, replacing
from lifeseal.errors import FormatError
from lifeseal.serialization._safetensors import BITS, LENGTH_SIZE, MAX_HEADER, checked_tensor_name

SUFFIX: Final = ".safetensors"
INDEX_SUFFIX: Final = ".index.json"
_ALIGNMENT: Final = 8
_ORDER: Final = {name: index for index, name in enumerate(BITS)}
_MAX_FILES: Final = 99_999


@attrs.frozen(kw_only=True)
class Entry:
    """One tensor to be written.

    Attributes:
        name: As it is to stand in the file.
        dtype: The format's name for it.
        shape: Sizes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * BITS[self.dtype] // 8


@attrs.frozen(kw_only=True)
class File:
    """One file to be written.

    Attributes:
        path: Where it is to lie.
        lead: Length field and header.
        entries: In the order of their bytes.
    """

    path: Path
    lead: bytes
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.lead) + sum(entry.size for entry in self.entries)


def arrange(entries: Iterable[Entry], path: StrPath, *, metadata: Mapping[str, str], max_shard_size: int | None = None) -> tuple[File, ...]:
    """Lay tensors out in one file, or in several where they are larger than a bound.

    Args:
        entries: The tensors, in any order.
        path: Of the one file; of several, ``-00001-of-00002`` stands before its suffix.
        metadata: Free text by name, for every file.
        max_shard_size: Bytes of tensors in one file; a larger tensor has a file of its own.

    Returns:
        The files.

    Raises:
        FormatError: A name is not one that is read back, or there would be too many files or too large a header.
        ValueError: ``max_shard_size`` is below 1.
    """
    if max_shard_size is not None and max_shard_size < 1:
        raise ValueError("max_shard_size= must be at least 1 byte")
    target = Path(path)
    parts: list[list[Entry]] = [[]]
    room = max_shard_size
    for entry in sorted(entries, key=lambda entry: entry.name):
        if checked_tensor_name(entry.name, where="tensors") == "__metadata__":
            raise FormatError("tensors", "'__metadata__' is no name for a tensor")
        if room is not None and max_shard_size is not None:
            if entry.size > room and parts[-1]:
                parts.append([])
                room = max_shard_size
            room -= entry.size
        parts[-1].append(entry)
    if len(parts) > _MAX_FILES:
        raise FormatError(str(target), f"{len(parts)} files would be needed, more than {_MAX_FILES}; max_shard_size= is too small")
    stem = target.name.removesuffix(SUFFIX)
    several = len(parts) > 1
    return tuple(
        _file(target.with_name(f"{stem}-{number:05}-of-{len(parts):05}{SUFFIX}") if several else target, part, metadata)
        for number, part in enumerate(parts, 1)
    )


def index_of(path: StrPath) -> Path:
    """Name the index of a file that was written as several."""
    target = Path(path)
    return target.with_name(target.name.removesuffix(SUFFIX) + SUFFIX + INDEX_SUFFIX)


def write_files(
    files: Sequence[File],
    path: StrPath,
    content: Callable[[File], Iterable[Buffer]],
    *,
    seen: Callable[[File, Buffer], object] = lambda _file, _piece: None,
    finish: Callable[[], object] = lambda: None,
) -> None:
    """Write files and, of several, the index; none takes its name before all are complete.

    Args:
        files: From `arrange`.
        path: As given to it.
        content: Yields the bytes of a file's tensors, one behind the other.
        seen: Gets every piece after it was written.
        finish: Called when all is written and before the first file takes its name; raising from it leaves nothing behind.

    Raises:
        FileExistsError: An index lies there: a set of files is not replaced, because that takes several steps.
        OSError: The disk refused; nothing new is there.
        TypeError: ``content`` yielded another number of bytes.
    """
    index = index_of(path)
    if len(files) > 1 and index.exists():
        raise FileExistsError(errno.EEXIST, "exists already, and a model in several files is not replaced; remove it or use another name", str(index))
    named: list[File] = []
    try:
        with contextlib.ExitStack() as open_files:
            for file in files:
                output = open_files.enter_context(_named_at_end(file, named))
                output.write(file.lead)
                seen(file, file.lead)
                for piece in content(file):
                    output.write(piece)
                    seen(file, piece)
                if output.size != file.size:
                    raise TypeError(f"{file.path}: the tensors changed while they were written")
            finish()
        if len(files) > 1:
            replace(index, index_bytes(files), overwrite=False)
    except BaseException:
        if len(files) > 1 and named:
            _take_back(named, index, index_bytes(files))
        raise


@contextlib.contextmanager
def _named_at_end(file: File, named: list[File]) -> Iterator[Output]:
    with replacing(file.path) as output:
        yield output
        named.append(file)  # from here on it may take its name, even if an error follows


def _take_back(named: list[File], index: Path, content: bytes) -> None:
    """Remove what has taken its name, the index first."""
    with contextlib.suppress(FileNotFoundError):
        if index.read_bytes() == content:
            remove(index)
    for file in named:
        remove(file.path)


def index_bytes(files: Sequence[File]) -> bytes:
    """Write the index of several files."""
    total = sum(entry.size for file in files for entry in file.entries)
    weight_map = {entry.name: file.path.name for file in files for entry in file.entries}
    return canonical({"metadata": {"total_size": total}, "weight_map": weight_map})


def _file(path: Path, entries: list[Entry], metadata: Mapping[str, str]) -> File:
    ordered = sorted(entries, key=lambda entry: (-_ORDER[entry.dtype], entry.name))
    document: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for entry in ordered:
        start, end = end, end + entry.size
        document[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [start, end]}
    text = canonical(document)
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise FormatError(str(path), f"a header of {len(text)} bytes would be needed, more than {MAX_HEADER}")
    return File(path=path, lead=len(text).to_bytes(LENGTH_SIZE, "little") + text, entries=tuple(ordered))
