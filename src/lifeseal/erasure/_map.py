# SPDX-License-Identifier: Apache-2.0
"""From names of assets to their slots."""

import enum
import functools
import struct
from collections.abc import Iterator
from typing import Self

import attrs

from lifeseal.erasure._nodes import CAPACITY, Head
from lifeseal.erasure._pages import PAGE_HEAD, Pages, page_bytes, page_edit
from lifeseal.erasure._tree import Edit, Tree

DIRECTORY = CAPACITY - 1
_RECORD = struct.Struct(">16sBIIH")


class Kind(enum.IntEnum):
    """What a record stands for."""

    ASSET = 1
    GRAVE = 2


_KINDS = frozenset(Kind)


@attrs.frozen(kw_only=True)
class Mapped:
    """One record of a page.

    Attributes:
        tag: Keyed fingerprint of the name.
        kind: A live asset, or the place of one that was erased.
        slot: Its slot.
        generation: Which use of the slot.
        body: For an asset its description with its name; for a grave the epoch of the erasure.
    """

    tag: bytes
    kind: Kind
    slot: int
    generation: int
    body: bytes

    def to_bytes(self) -> bytes:
        """Write it."""
        return _RECORD.pack(self.tag, self.kind, self.slot, self.generation, len(self.body)) + self.body


class NameMap:
    """The map of one epoch, and what shall become of it in the next.

    Args:
        tree: Where the pages lie; None for a new vault.
    """

    def __init__(self, tree: Tree | None) -> None:
        self._pages: Pages[NamePage] = (
            Pages(None, NamePage, directory=None, next_page=CAPACITY)
            if tree is None
            else Pages(tree, NamePage, directory=DIRECTORY, next_page=tree.head.next_page)
        )
        self._replaced: dict[int, dict[bytes, Mapped]] = {}

    def tag(self, name: str) -> bytes:
        """Return the keyed fingerprint of a name."""
        return self._pages.tag(name)

    def find(self, name: str) -> Mapped | None:
        """Look a name up."""
        tag = self.tag(name)
        return self._pages.page(self._pages.slot_of(tag)).records.get(tag)

    def records(self) -> Iterator[Mapped]:
        """Walk all records, in no order."""
        for page in self._pages:
            yield from page.records.values()

    def put(self, record: Mapped) -> None:
        """Stage a record in place of the one with its tag."""
        slot = self._pages.slot_of(record.tag)
        page = self._pages.page(slot)
        page.records[record.tag] = record
        self._pages.stage(slot, page)

    def replace_later(self, record: Mapped) -> None:
        """Stage a record that is no longer than the one it replaces; its page is read only when it is written."""
        self._replaced.setdefault(self._pages.slot_of(record.tag), {})[record.tag] = record

    def edits(self, head: Head) -> tuple[list[Edit], Head]:
        """Say what becomes of the pages' slots, each with its content.

        Args:
            head: The root node's head so far.

        Returns:
            The edits, by slot, and the head with the pages that are new.
        """
        found = self._pages.edits()
        for slot, records in self._replaced.items():
            found[slot] = page_edit(slot, functools.partial(self._rewritten, slot, records))
        return [found[slot] for slot in sorted(found)], attrs.evolve(head, next_page=self._pages.next_page)

    def close(self) -> None:
        """Zero the key of the fingerprints; twice is no error."""
        self._pages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rewritten(self, slot: int, records: dict[bytes, Mapped]) -> bytes:
        """Make the content of a page whose records are replaced."""
        page = self._pages.page(slot)
        page.records.update(records)
        return page_bytes(page)


@attrs.define(kw_only=True)
class NamePage:
    """Records by their fingerprints."""

    depth: int
    records: dict[bytes, Mapped] = attrs.field(factory=dict)

    def size(self) -> int:
        """Tell the bytes of its records, and of what stands before them."""
        return PAGE_HEAD + sum(_RECORD.size + len(record.body) for record in self.records.values())

    def content(self) -> bytes:
        """Write its records."""
        return b"".join(record.to_bytes() for record in self.records.values())

    def take(self, data: bytes) -> bool:
        """Read its records; False if they are none."""
        at, whole = 0, True
        while whole and at + _RECORD.size <= len(data):
            tag, kind, slot, generation, length = _RECORD.unpack_from(data, at)
            body = at + _RECORD.size
            at = body + length
            whole = kind in _KINDS and at <= len(data)
            if whole:
                self.records[tag] = Mapped(tag=tag, kind=Kind(kind), slot=slot, generation=generation, body=data[body:at])
        return whole and at == len(data)

    def move_upper(self, other: Self) -> None:
        """Move the records whose bit after the common ones is set to another page."""
        for tag in [tag for tag in self.records if int.from_bytes(tag[:4], "big") >> (32 - self.depth) & 1]:
            other.records[tag] = self.records.pop(tag)
