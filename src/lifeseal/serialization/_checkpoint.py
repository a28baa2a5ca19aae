# SPDX-License-Identifier: Apache-2.0
"""PyTorch's files opened for conversion: what the pickle holds, and where its storages lie.

Source: PyTorch 2.13 ``torch/serialization.py``, ``_load`` and ``_legacy_load``; ``caffe2/serialize/inline_container.cc``.
"""

from collections.abc import Callable, Mapping
from typing import Final, Self

import attrs

from lifeseal._io import Reader
from lifeseal.errors import FormatError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._expand import Expanded, deflate_stream
from lifeseal.serialization._gather import Placed
from lifeseal.serialization._rebuild import CALLS, UNTYPED, Storage, Tensor, storage_of
from lifeseal.serialization._replay import Replay
from lifeseal.serialization._rules import shown
from lifeseal.serialization._safetensors import BITS
from lifeseal.serialization._values import Value
from lifeseal.serialization._window import Cursor, FileWindow, PartWindow, Window
from lifeseal.serialization._zip import Member, member_window_bounds, read_members

_MAIN: Final = "data.pkl"
_STORED: Final = 0
_DEFLATED: Final = 8
_EXPANSION: Final = 1100  # deflate makes at most 1032 bytes of one
_PICKLES: Final = 5


@attrs.frozen(kw_only=True)
class Run:
    """Some bytes of a file that may be packed.

    Attributes:
        reader: The file, or what unpacks a member of it.
        start: Offset there of the first byte.
        size: Bytes.
    """

    reader: Reader
    start: int
    size: int


@attrs.frozen(kw_only=True)
class Checkpoint:
    """A file whose pickle was followed.

    Attributes:
        root: What it holds.
        runs: Where each storage lies, by key.
        is_big_endian: Numbers are stored with the first byte first.
    """

    root: Value
    runs: Mapping[str, Run]
    is_big_endian: bool

    def place(self, tensor: Tensor, *, where: str) -> tuple[Reader, Placed] | str:
        """Tell where a tensor's items lie, or why that cannot be said.

        Raises:
            FormatError: Its storage is not in the file, or smaller than the pickle says.
        """
        storage = tensor.storage
        run = self.runs.get(storage.key)
        if run is None or run.size != storage.count * storage.item:
            found = "is not in the file" if run is None else f"has {run.size} bytes in the file, not {storage.count * storage.item}"
            raise FormatError(where, f"storage {shown(storage.key)!r} {found}")
        item = BITS[tensor.dtype] // 8
        width = item // 2 if tensor.dtype == "C64" else item
        if self.is_big_endian and width > 1 and storage.dtype == UNTYPED:
            return "a tensor in a storage without a type, of a machine with another order of bytes: readers differ in what it means"
        start = run.start + storage.start * storage.item + tensor.offset * item
        return run.reader, Placed(start=start, item=item, shape=tensor.shape, strides=tensor.strides, swap=width if self.is_big_endian else 1)


def open_zip(reader: Reader, *, where: str) -> Checkpoint:
    """Follow the pickle of a zip file that was scanned.

    Raises:
        FormatError: It is not as PyTorch writes it.
        LimitError: It holds more than the bounds.
    """
    archive = Archive(reader, where=where)
    mains = [name for name in archive.members if name == _MAIN or name.endswith("/" + _MAIN)]
    if len(mains) != 1:
        raise FormatError(where, f"one member {_MAIN!r} was expected, but {len(mains)} are there")
    root = mains[0].removesuffix(_MAIN)
    order = archive.read(root + "byteorder", default=b"little")
    if order not in {b"little", b"big"}:
        raise FormatError(where, "the member 'byteorder' must say little or big")
    budget = Budget(reader.size)
    storages: dict[str, Storage] = {}
    value = Replay(Cursor(archive.window(mains[0])), budget, calls=CALLS, persistent=_remember(storages)).run()
    runs = {key: archive.run(f"{root}data/{key}") for key in storages if f"{root}data/{key}" in archive.members}
    return Checkpoint(root=value, runs=runs, is_big_endian=order == b"big")


def open_legacy(reader: Reader, *, where: str) -> Checkpoint:
    """Follow the pickles of a file of PyTorch before 1.6 that was scanned; its numbers are always stored with the last byte first.

    Raises:
        FormatError: It is not as PyTorch writes it.
        LimitError: It holds more than the bounds.
    """
    window = FileWindow(reader)
    cursor = Cursor(window)
    budget = Budget(reader.size)
    storages: dict[str, Storage] = {}
    values = [Replay(cursor, budget, calls=CALLS, persistent=_remember(storages)).run() for _ in range(_PICKLES)]
    main, keys = values[-2:]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(set(keys)) != sorted(keys):
        raise FormatError(where, "a list of the storages' keys was expected, each once")
    runs: dict[str, Run] = {}
    position = cursor.offset
    for key in keys:
        storage = storages.get(key)
        if storage is None:
            raise FormatError(where, f"no tensor uses storage {shown(key)!r}, so its size cannot be told")
        count = int.from_bytes(window.read(position, 8), "little")
        if count != storage.count or position + 8 + count * storage.item > window.size:
            raise FormatError(where, f"storage {shown(key)!r} has {count} items, not {storage.count}, or is cut")
        runs[key] = Run(reader=reader, start=position + 8, size=count * storage.item)
        position += 8 + count * storage.item
    return Checkpoint(root=main, runs=runs, is_big_endian=False)


def _remember(storages: dict[str, Storage]) -> Callable[[Value], Value]:
    """Follow persistent ids, and refuse a storage that is used with two sizes or types."""

    def persistent(identity: Value) -> Value:
        found = storage_of(identity)
        if isinstance(found, Storage):
            first = storages.setdefault(found.key, found)
            if (first.dtype, first.count) != (found.dtype, found.count) and (first.count or found.count):
                raise FormatError("persistent id", f"storage {shown(found.key)!r} is used with two sizes or types")
        return found

    return persistent


class Archive:
    """The members of a zip file that was scanned, each readable at any place.

    Args:
        reader: The file.
        where: Name for error messages.

    Attributes:
        members: By name.
    """

    def __init__(self, reader: Reader, *, where: str) -> None:
        self._reader = reader
        self._window = FileWindow(reader)
        self._where = where
        self._open: tuple[str, Window] | None = None
        self._budget = Budget(reader.size)
        found = read_members(self._window, self._fault, self._budget)
        self.members: dict[str, Member] = {member.name: member for member in found if not member.is_folder}

    def _fault(self, _: str, place: str, message: str) -> None:
        raise FormatError(f"{self._where}, {place}" if place else self._where, message)

    def read(self, name: str, *, default: bytes) -> bytes:
        """Return a small member's content."""
        return self.window(name).read(0, 64) if name in self.members else default

    def window(self, name: str) -> Window:
        """Return a member's content; of packed ones only the last that was asked for is kept."""
        member = self.members[name]
        start, length = member_window_bounds(member, self._window)
        packed = PartWindow(self._window, start, length)
        if member.method == _STORED:
            return packed
        if member.method != _DEFLATED:
            self._fault("", repr(shown(name)), f"is packed by method {member.method}, which is not read here")
        if self._open is None or self._open[0] != name:
            self._budget.unpacked = 3 * min(member.size or 0, _EXPANSION * length) + (1 << 20)
            content = Expanded(packed, deflate_stream, self._budget, place=name)
            if content.fault or content.size != member.size:
                self._fault("", repr(shown(name)), content.fault or "unpacks to another size than is stated")
            self._open = name, content
        self._budget.unpacked = 3 * self._open[1].size + (1 << 20)
        return self._open[1]

    def run(self, name: str) -> Run:
        """Tell where a member's content lies."""
        member = self.members[name]
        if member.method == _STORED:
            start, size = member_window_bounds(member, self._window)
            return Run(reader=self._reader, start=start, size=size)
        return Run(reader=_Unpacked(self, name), start=0, size=member.size or 0)


class _Unpacked:
    """Reads a packed member as if it lay there as it is."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive = archive
        self._name = name
        self.size = archive.members[name].size or 0

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` from offset ``start``."""
        piece = self._archive.window(self._name).read(start, len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open here."""
