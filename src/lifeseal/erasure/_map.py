# SPDX-License-Identifier: Apache-2.0
"""From names to slots: pages of bounded size, each under a slot of its own, so that a page rewritten leaves no readable old one.

A page is found by a keyed fingerprint of the name. Its first bits choose the page through a directory, which doubles when a page is split.
"""

import enum
import functools
import hashlib
import struct
from collections.abc import Iterator
from typing import Self

import attrs

from lifeseal._io import Secret
from lifeseal.erasure._nodes import CAPACITY, Head, State
from lifeseal.erasure._tree import Edit, Tree
from lifeseal.errors import LimitError, TamperedError

TAG = 16
PEPPER = 32
DIRECTORY = CAPACITY - 1
MAX_DEPTH = 18
PAGE_LIMIT = 32 << 10
_PAD = 4096
_PAGE_HEAD = 5
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
        self._tree = tree
        self._where = "map" if tree is None else tree.log.where
        self._staged: dict[int, _Page] = {}
        self._replaced: dict[int, dict[bytes, Mapped]] = {}
        self._renewed = tree is None
        self._next_page = DIRECTORY if tree is None else tree.head.next_page
        if tree is None:
            self._pepper = Secret.random(PEPPER)
            self._depth = 0
            self._pages = [self._new_page(_Page(depth=0, records={}))]
        else:
            self._pepper, self._depth, self._pages = _parse_directory(tree.page(DIRECTORY), where=self._where)

    def tag(self, name: str) -> bytes:
        """Return the keyed fingerprint of a name."""
        with self._pepper.view() as key:
            return hashlib.blake2b(name.encode(), digest_size=TAG, key=key).digest()

    def find(self, name: str) -> Mapped | None:
        """Look a name up as it was before anything was staged."""
        tag = self.tag(name)
        return self._load(self._pages[self._number(tag)]).records.get(tag)

    def records(self) -> Iterator[Mapped]:
        """Walk all records, in no order."""
        for slot in dict.fromkeys(self._pages):
            yield from self._load(slot).records.values()

    def put(self, record: Mapped) -> None:
        """Stage a record in place of the one with its tag."""
        while True:
            slot = self._pages[self._number(record.tag)]
            page = self._staged.get(slot) or self._load(slot)
            page.records[record.tag] = record
            self._staged[slot] = page
            if page.size() <= PAGE_LIMIT:
                return
            del page.records[record.tag]
            self._split(slot, page)

    def replace_later(self, record: Mapped) -> None:
        """Stage a record that is no longer than the one it replaces; its page is read only when it is written."""
        slot = self._pages[self._number(record.tag)]
        self._replaced.setdefault(slot, {})[record.tag] = record

    def edits(self, head: Head) -> tuple[list[Edit], Head]:
        """Say what becomes of the pages' slots, each with its content.

        Args:
            head: The root node's head so far.

        Returns:
            The edits, by slot, and the head with the pages that are new.
        """
        found = {slot: Edit(start=slot, stop=slot + 1, state=State.PAGE, page=page.to_bytes) for slot, page in self._staged.items()}
        for slot, records in self._replaced.items():
            found[slot] = Edit(start=slot, stop=slot + 1, state=State.PAGE, page=functools.partial(self._rewritten, slot, records))
        if self._renewed:
            found[DIRECTORY] = Edit(start=DIRECTORY, stop=DIRECTORY + 1, state=State.PAGE, page=self._directory)
        return [found[slot] for slot in sorted(found)], attrs.evolve(head, next_page=self._next_page)

    def close(self) -> None:
        """Zero the key of the fingerprints; twice is no error."""
        self._pepper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _number(self, tag: bytes) -> int:
        return int.from_bytes(tag[:4], "big") >> (32 - self._depth)

    def _load(self, slot: int) -> "_Page":
        if self._tree is None:
            return self._staged[slot]
        return _Page.from_bytes(bytes(self._tree.page(slot)), where=f"{self._where}, page {slot}")

    def _rewritten(self, slot: int, records: dict[bytes, Mapped]) -> bytes:
        """Make the content of a page whose records are replaced."""
        page = self._staged.get(slot) or self._load(slot)
        page.records.update(records)
        return page.to_bytes()

    def _new_page(self, page: "_Page") -> int:
        self._next_page -= 1
        self._staged[self._next_page] = page
        return self._next_page

    def _split(self, slot: int, page: "_Page") -> None:
        """Move the records whose next bit is set to a page of their own."""
        if page.depth == MAX_DEPTH:
            raise LimitError(f"{self._where}, map", limit=1 << MAX_DEPTH, seen=(1 << MAX_DEPTH) + 1, unit="pages")
        if page.depth == self._depth:
            self._pages = [slot for slot in self._pages for _ in range(2)]
            self._depth += 1
        page.depth += 1
        moved = {tag: record for tag, record in page.records.items() if int.from_bytes(tag[:4], "big") >> (32 - page.depth) & 1}
        page.records = {tag: record for tag, record in page.records.items() if tag not in moved}
        fresh = self._new_page(_Page(depth=page.depth, records=moved))
        width = self._depth - page.depth
        for number, owner in enumerate(self._pages):
            if owner == slot and number >> width & 1:
                self._pages[number] = fresh
        self._renewed = True

    def _directory(self) -> bytearray:
        content = bytearray(PEPPER) + bytes([self._depth]) + struct.pack(f">{len(self._pages)}I", *self._pages)
        with self._pepper.view() as pepper:
            content[:PEPPER] = pepper
        return content


@attrs.define(kw_only=True)
class _Page:
    depth: int
    records: dict[bytes, Mapped]

    def size(self) -> int:
        return _PAGE_HEAD + sum(_RECORD.size + len(record.body) for record in self.records.values())

    def to_bytes(self) -> bytes:
        content = b"".join(record.to_bytes() for record in self.records.values())
        return (len(content).to_bytes(4, "big") + bytes([self.depth]) + content).ljust(-(-(_PAGE_HEAD + len(content)) // _PAD) * _PAD, b"\0")

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        end = _PAGE_HEAD + int.from_bytes(data[:4], "big")
        whole = len(data) >= _PAGE_HEAD and data[4] <= MAX_DEPTH and end <= len(data)
        records, at = {}, _PAGE_HEAD
        while whole and at + _RECORD.size <= end:
            tag, kind, slot, generation, length = _RECORD.unpack_from(data, at)
            body = at + _RECORD.size
            at = body + length
            whole = kind in _KINDS and at <= end
            records[tag] = Mapped(tag=tag, kind=Kind(kind), slot=slot, generation=generation, body=data[body:at])
        if not whole or at != end:
            raise TamperedError(f"{where}: authenticates, but is no page of this version")
        return cls(depth=data[4], records=records)


def _parse_directory(data: bytearray, *, where: str) -> tuple[Secret, int, list[int]]:
    depth = data[PEPPER] if len(data) > PEPPER else MAX_DEPTH + 1
    if depth > MAX_DEPTH or len(data) != PEPPER + 1 + (4 << depth):
        raise TamperedError(f"{where}: authenticates, but holds no directory of this version")
    pages = list(struct.unpack(f">{1 << depth}I", data[PEPPER + 1 :]))
    with memoryview(data) as view:
        pepper = Secret.copy_of(view[:PEPPER])
        view[:PEPPER] = bytes(PEPPER)
    return pepper, depth, pages
