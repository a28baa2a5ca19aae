# SPDX-License-Identifier: Apache-2.0
"""From people to their slots: keyed fingerprints and numbers, no names; of the erased nothing stays."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import attrs

from lifeseal.erasure._nodes import Head
from lifeseal.erasure._pages import PAGE_HEAD, TAG, Pages
from lifeseal.erasure._tree import Edit, Tree

_RECORD = TAG + 8
_MAP, _PSEUDONYM = b"person", b"pseudonym"


@attrs.frozen
class Place:
    """Where a person's key lies.

    Attributes:
        slot: Slot in the key tree.
        generation: Which use of it.
    """

    slot: int
    generation: int


class PeopleMap:
    """The people of one epoch, and who they shall be in the next.

    Args:
        tree: Where the pages lie.
    """

    def __init__(self, tree: Tree) -> None:
        head = tree.head
        self._pages = Pages(tree, PeoplePage, directory=head.people or None, next_page=head.next_page)

    def tags(self, people: Iterable[str]) -> list[bytes]:
        """Return the keyed fingerprints of people."""
        return [self._pages.tag(person, use=_MAP) for person in people]

    def pseudonym(self, person: str) -> str:
        """Return what may stand for a person in a document: to whoever has not this vault's root it says nothing."""
        return self._pages.tag(person, use=_PSEUDONYM).hex()

    def find(self, tags: Sequence[bytes]) -> list[Place | None]:
        """Look many people up, each page once."""
        found: list[Place | None] = [None] * len(tags)
        for slot, numbers in self._by_page(tags):
            page = self._pages.page(slot)
            for number in numbers:
                found[number] = page.find(tags[number])
        return found

    def add(self, tags: Sequence[bytes], first: int) -> None:
        """Stage people who are not there yet, in slots that were never used, from ``first`` on."""
        for slot, numbers in self._by_page(tags):
            page = self._pages.page(slot)
            for number in numbers:
                page.add(tags[number], first + number, 1)
            self._pages.stage(slot, page)

    def discard(self, tags: Sequence[bytes]) -> None:
        """Stage that people are there no more."""
        for slot, numbers in self._by_page(tags):
            page = self._pages.page(slot)
            for number in numbers:
                page.discard(tags[number])
            self._pages.stage(slot, page)

    def places(self) -> Iterator[Place]:
        """Walk the places of all people, in no order."""
        for page in self._pages:
            yield from page.places()

    def edits(self, head: Head) -> tuple[list[Edit], Head]:
        """Say what becomes of the pages' slots; see `lifeseal.erasure._map.NameMap.edits`."""
        found = self._pages.edits()
        return [found[slot] for slot in sorted(found)], attrs.evolve(head, next_page=self._pages.next_page, people=self._pages.directory)

    def close(self) -> None:
        """Zero the key of the fingerprints; twice is no error."""
        self._pages.close()

    def _by_page(self, tags: Sequence[bytes]) -> Iterator[tuple[int, list[int]]]:
        """Group numbers of fingerprints by their page, as the pages are now."""
        grouped: dict[int, list[int]] = {}
        for number, tag in enumerate(tags):
            grouped.setdefault(self._pages.slot_of(tag), []).append(number)
        return iter(grouped.items())


@attrs.define(kw_only=True)
class PeoplePage:
    """Records of equal length, in no order."""

    depth: int
    data: bytearray = attrs.field(factory=bytearray)

    def find(self, tag: bytes) -> Place | None:
        """Look a person up."""
        at = self._at(tag)
        return None if at < 0 else self._place(at)

    def add(self, tag: bytes, slot: int, generation: int) -> None:
        """Put a person in who is not there yet."""
        self.data += tag + slot.to_bytes(4, "big") + generation.to_bytes(4, "big")

    def discard(self, tag: bytes) -> None:
        """Take a person out."""
        at = self._at(tag)
        if at >= 0:
            del self.data[at : at + _RECORD]

    def places(self) -> Iterator[Place]:
        """Walk the places."""
        return map(self._place, range(0, len(self.data), _RECORD))

    def size(self) -> int:
        """Tell the bytes of its records, and of what stands before them."""
        return PAGE_HEAD + len(self.data)

    def content(self) -> bytearray:
        """Write its records."""
        return self.data

    def take(self, data: bytes) -> bool:
        """Read its records; False if they are none."""
        self.data = bytearray(data)
        return len(data) % _RECORD == 0

    def move_upper(self, other: Self) -> None:
        """Move the records whose bit after the common ones is set to another page."""
        below, byte, bit = bytearray(), (self.depth - 1) // 8, 0x80 >> (self.depth - 1) % 8
        for at in range(0, len(self.data), _RECORD):
            (other.data if self.data[at + byte] & bit else below).extend(self.data[at : at + _RECORD])
        self.data = below

    def _at(self, tag: bytes) -> int:
        at = self.data.find(tag)
        while at >= 0 and at % _RECORD:
            at = self.data.find(tag, at + 1)
        return at

    def _place(self, at: int) -> Place:
        number = int.from_bytes
        return Place(slot=number(self.data[at + TAG : at + TAG + 4], "big"), generation=number(self.data[at + TAG + 4 : at + _RECORD], "big"))
