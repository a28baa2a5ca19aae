# SPDX-License-Identifier: Apache-2.0
"""What is converted: one file, or the files that an index names."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from lifeseal._io import DiskSource, LinkKind, Reader, StrPath, loads, read_whole
from lifeseal.errors import FormatError
from lifeseal.serialization._layout import INDEX_SUFFIX
from lifeseal.serialization._rules import shown

_MAX_INDEX: Final = 64 << 20
_HUB: Final[frozenset[LinkKind]] = frozenset({"hub-cache"})


@attrs.frozen(kw_only=True)
class SourceFile:
    """One opened file.

    Attributes:
        source: Where it lies.
        name: Its name there.
        reader: The file.
        stamp: Changes when it is written or replaced.
    """

    source: DiskSource
    name: str
    reader: Reader
    stamp: bytes

    @property
    def where(self) -> str:
        """What to call it in messages."""
        return f"{self.source.where}/{self.name}" if self.source.is_folder else self.source.where

    def refuse_change(self) -> None:
        """Refuse if it was written or replaced since it was opened.

        Raises:
            FormatError: It was.
        """
        if self.source.stamp(self.name) != self.stamp:
            raise FormatError(self.where, "changed while it was converted")


def open_source(src: StrPath, cleanup: contextlib.ExitStack) -> tuple[tuple[SourceFile, ...], Mapping[str, str] | None]:
    """Open what is to be converted.

    Args:
        src: A file, an index, or a folder with one index.
        cleanup: Closes what is opened here.

    Returns:
        The files, and of an index which of them holds which tensor.

    Raises:
        FormatError: It is none of these, or an index names what is no file beside it.
        LimitError: The index is larger than 64 MiB.
        OSError: Something cannot be opened.
    """
    given = Path(src)
    if given.is_dir():
        source = cleanup.enter_context(DiskSource(given, links=_HUB))
        name = _only_index(source)
    else:
        alone = cleanup.enter_context(DiskSource(os.path.realpath(given, strict=True)))
        file = _open(alone, alone.name, cleanup)
        if not _is_json(file.reader):
            return (file,), None
        source = cleanup.enter_context(DiskSource(given.parent, links=_HUB))
        name = given.name
    with source.open(name) as reader:
        weight_map = _weight_map(read_whole(reader, where=f"{source.where}/{name}", limit=_MAX_INDEX), where=f"{source.where}/{name}")
    return tuple(_open(source, part, cleanup) for part in sorted(set(weight_map.values()))), weight_map


def _open(source: DiskSource, name: str, cleanup: contextlib.ExitStack) -> SourceFile:
    reader = cleanup.enter_context(source.open(name))
    return SourceFile(source=source, name=name, reader=reader, stamp=source.stamp(name))


def _is_json(reader: Reader) -> bool:
    head = memoryview(bytearray(16))
    return bytes(head[: reader.readinto(head, 0)]).lstrip().startswith(b"{")


def _only_index(source: DiskSource) -> str:
    found = [name for name, fault in source.entries() if "/" not in name and not fault and name.endswith(INDEX_SUFFIX)]
    if len(found) != 1:
        there = ", ".join(sorted(map(shown, found))) or "none"
        raise FormatError(source.where, f"a folder with one index (*{INDEX_SUFFIX}) was expected; there is {there}; name a file itself")
    return found[0]


def _weight_map(data: bytes, *, where: str) -> dict[str, str]:
    document = loads(data, where=where, max_bytes=_MAX_INDEX, floats=True, what="an index")
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError(where, "an index with a 'weight_map' was expected")
    found = {name: file for name, file in weight_map.items() if isinstance(file, str)}
    if len(found) != len(weight_map):
        raise FormatError(where, "'weight_map' must name a file for each tensor")
    return found
