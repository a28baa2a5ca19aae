# SPDX-License-Identifier: Apache-2.0
"""A map in pages of bounded size, each under a slot of its own, so that a page rewritten leaves no readable old one.

A page is found by a keyed fingerprint. Its first bits choose the page through a directory, which doubles when a page is split.
"""

import functools
import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, Self, TypeVar

from lifeseal._io import Secret
from lifeseal.erasure._nodes import CAPACITY, State
from lifeseal.erasure._tree import Edit, Tree
from lifeseal.errors import LimitError, TamperedError

TAG = 16
PEPPER = 32
DIRECTORY = CAPACITY - 1
MAX_DEPTH = 18
PAGE_LIMIT = 32 << 10
PAGE_HEAD = 5
_PAD = 4096


class Page(Protocol):
    """Records whose fingerprints begin alike.

    Attributes:
        depth: How many bits they have in common.
    """

    depth: int

    def __init__(self, *, depth: int) -> None:
        """Make an empty page."""

    def size(self) -> int:
        """Tell the bytes of its records."""

    def content(self) -> bytes | bytearray:
        """Write its records."""

    def take(self, data: bytes) -> bool:
        """Read its records; False if they are none."""

    def move_upper(self, other: Self) -> None:
        """Move the records whose bit after the common ones is set to another page."""


P = TypeVar("P", bound=Page)


class Pages(Generic[P]):
    """The pages of one epoch, and what shall become of them in the next.

    Args:
        tree: Where they lie; None for a new vault.
        make: The class of a page.
        directory: Slot of the directory, or None where there is none yet; it then takes the next slot for pages.
        next_page: Slots from here on are taken.
    """

    def __init__(self, tree: Tree | None, make: type[P], *, directory: int | None, next_page: int) -> None:
        self._tree = tree
        self._make = make
        self._where = "map" if tree is None else tree.log.where
        self._staged: dict[int, P] = {}
        self._last: tuple[int, P] | None = None
        self._renewed = directory is None
        if directory is None or tree is None:
            self.directory, self.next_page = next_page - 1, next_page - 1
            self._pepper, self._depth, self._slots = Secret.random(PEPPER), 0, [self._add(make(depth=0))]
        else:
            self.directory, self.next_page = directory, next_page
            self._pepper, self._depth, self._slots = parse_directory(tree.page(directory), where=self._where)

    def tag(self, name: str, *, use: bytes = b"") -> bytes:
        """Return the keyed fingerprint of a name.

        Args:
            name: The name.
            use: What sort of name it is, at most 16 bytes; fingerprints of different sorts have nothing in common.
        """
        with self._pepper.view() as key:
            return hashlib.blake2b(name.encode(), digest_size=TAG, key=key, person=use).digest()

    def slot_of(self, tag: bytes) -> int:
        """Choose the page of a fingerprint, and return its slot."""
        return self._slots[int.from_bytes(tag[:4], "big") >> (32 - self._depth)]

    def page(self, slot: int) -> P:
        """Return a page as it shall be; as it is, if nothing was staged for it. The last one is kept, as it is often asked for again.

        Args:
            slot: Of the page.

        Returns:
            The page; whoever changes it lets it be written in this change.
        """
        staged = self._staged.get(slot)
        if staged is not None or self._tree is None:
            return self._staged[slot]
        if self._last is None or self._last[0] != slot:
            self._last = slot, parse_page(bytes(self._tree.page(slot)), self._make, where=f"{self._where}, page {slot}")
        return self._last[1]

    def __iter__(self) -> Iterator[P]:
        for slot in dict.fromkeys(self._slots):
            yield self.page(slot)

    def stage(self, slot: int, page: P) -> None:
        """Let a page be written; one that has grown too large is split."""
        self._staged[slot] = page
        large = [slot]
        while large:
            slot = large.pop()
            if self._staged[slot].size() > PAGE_LIMIT:
                large += [slot, self._split(slot, self._staged[slot])]

    def edits(self) -> dict[int, Edit]:
        """Say what becomes of the pages' slots, each with its content."""
        found = {slot: page_edit(slot, functools.partial(page_bytes, page)) for slot, page in self._staged.items()}
        if self._renewed:
            found[self.directory] = page_edit(self.directory, self._directory_bytes)
        return found

    def close(self) -> None:
        """Zero the key of the fingerprints; twice is no error."""
        self._pepper.close()

    def _add(self, page: P) -> int:
        self.next_page -= 1
        self._staged[self.next_page] = page
        return self.next_page

    def _split(self, slot: int, page: P) -> int:
        """Move the records whose next bit is set to a page of their own."""
        if page.depth == MAX_DEPTH:
            raise LimitError(f"{self._where}, map", limit=1 << MAX_DEPTH, seen=(1 << MAX_DEPTH) + 1, unit="pages")
        if page.depth == self._depth:
            self._slots = [slot for slot in self._slots for _ in range(2)]
            self._depth += 1
        page.depth += 1
        fresh_page = self._make(depth=page.depth)
        page.move_upper(fresh_page)
        fresh = self._add(fresh_page)
        half = 1 << (self._depth - page.depth)
        upper = self._slots.index(slot) + half  # the entries of one page stand together
        self._slots[upper : upper + half] = [fresh] * half
        self._renewed = True
        return fresh

    def _directory_bytes(self) -> bytearray:
        content = bytearray(PEPPER) + bytes([self._depth]) + struct.pack(f">{len(self._slots)}I", *self._slots)
        with self._pepper.view() as pepper:
            content[:PEPPER] = pepper
        return content


def page_edit(slot: int, content: Callable[[], bytes | bytearray]) -> Edit:
    """Say that a slot becomes, or is, a page."""
    return Edit(start=slot, stop=slot + 1, state=State.PAGE, page=content)


def page_bytes(page: Page) -> bytes:
    """Write a page."""
    content = page.content()
    return (len(content).to_bytes(4, "big") + bytes([page.depth]) + content).ljust(-(-(PAGE_HEAD + len(content)) // _PAD) * _PAD, b"\0")


def parse_page(data: bytes, make: type[P], *, where: str) -> P:
    """Read a page.

    Args:
        data: As it was decrypted.
        make: Its class.
        where: Name for error messages.

    Returns:
        The page.

    Raises:
        TamperedError: It holds something else.
    """
    end = PAGE_HEAD + int.from_bytes(data[:4], "big")
    if len(data) >= PAGE_HEAD and data[4] <= MAX_DEPTH and end <= len(data):
        page = make(depth=data[4])
        if page.take(data[PAGE_HEAD:end]):
            return page
    raise TamperedError(f"{where}: authenticates, but is no page of this version")


def parse_directory(data: bytearray, *, where: str) -> tuple[Secret, int, list[int]]:
    """Read a directory, and zero what it was read from.

    Args:
        data: As it was decrypted.
        where: Name for error messages.

    Returns:
        The key of the fingerprints, how many of their bits choose, and the slot of the page for each choice.

    Raises:
        TamperedError: It holds something else.
    """
    depth = data[PEPPER] if len(data) > PEPPER else MAX_DEPTH + 1
    if depth > MAX_DEPTH or len(data) != PEPPER + 1 + (4 << depth):
        raise TamperedError(f"{where}: authenticates, but holds no directory of this version")
    pages = list(struct.unpack(f">{1 << depth}I", data[PEPPER + 1 :]))
    with memoryview(data) as view:
        pepper = Secret.copy_of(view[:PEPPER])
        view[:PEPPER] = bytes(PEPPER)
    return pepper, depth, pages
