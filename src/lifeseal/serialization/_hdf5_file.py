# SPDX-License-Identifier: Apache-2.0
"""The structure of HDF5: object headers with their messages, and the links of groups, in every form that the library writes.

Source: HDF5 File Format Specification 3.0, sections II to IV.
"""

from collections.abc import Iterator
from typing import Final

import attrs

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._window import CachedWindow, Window

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
CONTINUATION: Final = 0x10
SYMBOL_TABLE: Final = 0x11
LINK: Final = 0x06
HARD, SOFT, EXTERNAL = 0, 1, 64
_SHARED: Final = 0x02
_MAX_BLOCK: Final = 16 << 20
_MAX_NAME: Final = 1 << 16
_COST: Final = 12
_SYMBOLIC: Final = 2
_MAX_LEVEL: Final = 16
_SIZES: Final = frozenset({2, 4, 8})


@attrs.frozen
class Message:
    """One message of an object's header.

    Attributes:
        kind: Its type.
        data: Its content.
        is_shared: The content only says where it lies.
    """

    kind: int
    data: bytes
    is_shared: bool


@attrs.frozen
class Link:
    """One link of a group.

    Attributes:
        name: In its group.
        kind: `HARD`, `SOFT`, `EXTERNAL`, or another number of a plugin's.
        address: Of the object, for a hard link.
        value: Of any other link.
    """

    name: str
    kind: int
    address: int = 0
    value: bytes = b""


class File:
    """A file of HDF5, as far as its structure goes.

    Args:
        window: Its bytes.
        context: Its budget pays for every message and link.
        start: Offset of the superblock.

    Attributes:
        root: Address of the root group's header.
        extension: Address of the superblock's own header; negative if there is none.
        end: Bytes that the file says it has.
        has_driver: It says that a driver of its own reads it.

    Raises:
        FormatError: The superblock is not what the format says.
    """

    def __init__(self, window: Window, context: Context, start: int = 0) -> None:
        self._window = CachedWindow(window)
        self._context = context
        self.extension, self.has_driver = -1, False
        lead = self.read(start, 16)
        version = lead[8]
        if version < 2:  # noqa: PLR2004 - versions 0 and 1 differ by one field
            self.offsets, self.lengths = lead[13], lead[14]
            self._check_sizes()
            cursor = Fields(self.read(start + (24 if version == 0 else 28), 5 * self.offsets + 16), self)
            self.base, _, self.end, driver, _ = (cursor.address() for _ in range(5))
            self.root = Fields(self.read(start + (24 if version == 0 else 28) + 5 * self.offsets, self.offsets), self).address()
            self.has_driver = driver >= 0
        elif version < 4:  # noqa: PLR2004
            self.offsets, self.lengths = lead[9], lead[10]
            self._check_sizes()
            cursor = Fields(self.read(start + 12, 4 * self.offsets), self)
            self.base, self.extension, self.end, self.root = (cursor.address() for _ in range(4))
        else:
            raise FormatError(f"byte {start + 8}", f"version {version} of the superblock is not known")
        if self.base != start:
            raise FormatError(f"byte {start}", f"says that it begins at byte {self.base}")

    def _check_sizes(self) -> None:
        if self.offsets not in _SIZES or self.lengths not in _SIZES:
            raise FormatError("superblock", f"offsets of {self.offsets} and lengths of {self.lengths} bytes are not read")

    def read(self, start: int, count: int) -> bytes:
        """Return exactly some bytes.

        Raises:
            FormatError: They are not there, or are more than 16 MiB.
        """
        if count > _MAX_BLOCK or start < 0 or start + count > self._window.size:
            raise FormatError(f"byte {max(start, 0)}", f"{count} bytes were expected")
        self._context.budget.spend(count >> _COST, self._context.place)  # many structures may point at the same bytes
        return self._window.read(start, count)

    def at(self, address: int, count: int) -> bytes:
        """Return exactly some bytes at an address, which counts from where the file begins."""
        if address < 0:
            raise FormatError("address", "an address was expected, but none is set")
        return self.read(self.base + address, count)

    def messages(self, address: int) -> Iterator[Message]:
        """Yield the messages of an object's header, with those of its continuations."""
        lead = self.at(address, 16)
        if lead[:4] == b"OHDR":
            flags = lead[5]
            head = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self.at(address + head, width), "little")
            blocks = [(address + head + width, size)]
            form = 2
        elif lead[0] == 1:
            blocks = [(address + 16, int.from_bytes(lead[8:12], "little"))]
            flags, form = 0, 1
        else:
            raise FormatError(f"address {address}", "an object's header was expected")
        seen: set[int] = set()
        while blocks:
            start, size = blocks.pop()
            if start in seen:
                raise FormatError(f"address {start}", "an object's header that continues itself")
            seen.add(start)
            for message in self._block(start, size, form, ordered=bool(flags & 4)):
                if message.kind == CONTINUATION:
                    cursor = Fields(message.data, self)
                    where, length = cursor.address(), cursor.length()
                    blocks.append((where + 4, length - 8) if form == 2 else (where, length))  # noqa: PLR2004
                    if form == 2 and self.at(where, 4) != b"OCHK":  # noqa: PLR2004
                        raise FormatError(f"address {where}", "the continuation of a header was expected")
                else:
                    yield message

    def _block(self, start: int, size: int, form: int, *, ordered: bool) -> Iterator[Message]:
        data = self.at(start, size) if size > 0 else b""
        head = 8 if form == 1 else 6 if ordered else 4
        position = 0
        while position + head <= len(data):
            self._context.budget.spend(1, self._context.place)
            if form == 1:
                kind, length, flags = (
                    int.from_bytes(data[position : position + 2], "little"),
                    int.from_bytes(data[position + 2 : position + 4], "little"),
                    data[position + 4],
                )
            else:
                kind, length, flags = data[position], int.from_bytes(data[position + 1 : position + 3], "little"), data[position + 3]
            position += head
            if position + length > len(data):
                raise FormatError(f"address {start + position}", f"a message of {length} bytes does not fit")
            yield Message(kind, data[position : position + length], bool(flags & _SHARED))
            position += length

    def table_links(self, message: Message) -> Iterator[Link]:
        """Yield the links of a group that has a symbol table."""
        cursor = Fields(message.data, self)
        tree, heap = cursor.address(), cursor.address()
        if self.at(heap, 4) != b"HEAP":
            raise FormatError(f"address {heap}", "a local heap was expected")
        cursor = Fields(self.at(heap + 8, 2 * self.lengths + self.offsets), self)
        size, _, start = cursor.length(), cursor.length(), cursor.address()
        names = self.at(start, size)
        pending, seen = [(tree, _MAX_LEVEL)], {tree}
        while pending:
            node, level = pending.pop()
            lead = self.at(node, 8)
            count = int.from_bytes(lead[6:8], "little")
            if lead[:4] == b"SNOD":
                yield from self._symbols(node + 8, count, names)
                continue
            if lead[:4] != b"TREE" or lead[4] != 0 or lead[5] >= level:
                raise FormatError(f"address {node}", "a node of a group's tree was expected")
            pairs = self.at(node + 8 + 2 * self.offsets, count * (self.lengths + self.offsets))
            for index in range(count):
                child = Fields(pairs[index * (self.lengths + self.offsets) + self.lengths :], self).address()
                if child in seen:
                    raise FormatError(f"address {child}", "a node of a group's tree stands there twice")
                seen.add(child)
                pending.append((child, lead[5]))

    def _symbols(self, start: int, count: int, names: bytes) -> Iterator[Link]:
        width = 2 * self.offsets + 24
        data = self.at(start, count * width)
        for index in range(count):
            self._context.budget.spend(2, self._context.place)
            entry = data[index * width : (index + 1) * width]
            cursor = Fields(entry, self)
            name, address = cursor.number(self.offsets), cursor.address()
            kind = cursor.number(4)
            if kind == _SYMBOLIC:
                yield Link(_text(names, name), SOFT, value=_text(names, int.from_bytes(entry[-16:-12], "little")).encode())
            else:
                yield Link(_text(names, name), HARD, address)

    def link(self, data: bytes) -> Link:
        """Parse a link message."""
        cursor = Fields(data, self)
        version, flags = cursor.number(1), cursor.number(1)
        if version != 1:
            raise FormatError("link", f"version {version} of a link is not known")
        kind = cursor.number(1) if flags & 8 else HARD
        cursor.take(8 if flags & 4 else 0)
        cursor.take(1 if flags & 0x10 else 0)
        name = cursor.take(cursor.number(1 << (flags & 3))).decode("utf-8", "backslashreplace")
        if kind == HARD:
            return Link(name, kind, cursor.address())
        return Link(name, kind, value=cursor.take(cursor.number(2)))

    def heap_object(self, address: int, index: int) -> bytes:
        """Return an object of a global heap, which holds texts of any length."""
        lead = self.at(address, 8 + self.lengths)
        if lead[:4] != b"GCOL":
            raise FormatError(f"address {address}", "a global heap was expected")
        size = int.from_bytes(lead[8:], "little")
        data = self.at(address, size)
        position = 8 + self.lengths
        while position + 8 + self.lengths <= size:
            self._context.budget.spend(1, self._context.place)
            own = int.from_bytes(data[position : position + 2], "little")
            length = int.from_bytes(data[position + 8 : position + 8 + self.lengths], "little")
            start = position + 8 + self.lengths
            if own == index and own:
                if start + length > size:
                    break
                return data[start : start + length]
            if not own:
                break
            position = start + -(-length // 8) * 8
        raise FormatError(f"address {address}", f"object {index} of a global heap was expected")


class Fields:
    """Reads the fields of a structure in order."""

    def __init__(self, data: bytes, file: File) -> None:
        self._data = data
        self._file = file
        self._position = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        piece = self._data[self._position : self._position + count]
        if len(piece) < count:
            raise FormatError("message", f"{count} more bytes were expected, but only {len(piece)} are there")
        self._position += count
        return piece

    def number(self, width: int) -> int:
        """Return a number of some bytes."""
        return int.from_bytes(self.take(width), "little")

    def address(self) -> int:
        """Return an address; -1 for one that is not set."""
        raw = self.take(self._file.offsets)
        return -1 if raw == b"\xff" * len(raw) else int.from_bytes(raw, "little")

    def length(self) -> int:
        """Return a length."""
        return self.number(self._file.lengths)

    def rest(self) -> bytes:
        """Return what follows."""
        return self._data[self._position :]


def _text(names: bytes, start: int) -> str:
    stop = names.find(b"\0", start, start + _MAX_NAME)
    if stop < 0:
        raise FormatError("heap", f"a name at {start} was expected")
    return names[start:stop].decode("utf-8", "backslashreplace")
