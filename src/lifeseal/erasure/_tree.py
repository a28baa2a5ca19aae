# SPDX-License-Identifier: Apache-2.0
"""The key tree: three levels of nodes, each encrypted under a key that lies in its parent; only the root's key lies elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import FileIO
from typing import Self

import attrs

from lifeseal._io import Secret
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.erasure._log import NODE, PAGE, Batch, Commit, Frame, LogReader
from lifeseal.erasure._nodes import (
    CAPACITY,
    DEPTH,
    ENTRY,
    FANOUT,
    Arena,
    Head,
    Slot,
    State,
    get_child,
    get_slot,
    has_key,
    open_frame,
    packed,
    path_of,
    put_child,
    put_slot,
)
from lifeseal.errors import TamperedError

_WITH_KEY = frozenset({State.LIVE, State.RESERVED, State.PAGE})


@attrs.frozen(kw_only=True)
class Edit:
    """What becomes of the slots from ``start`` to before ``stop``.

    Attributes:
        start: First slot.
        stop: First slot that stays as it is.
        state: What they become. Each gets a fresh key and the next generation, unless it becomes erased or was reserved and becomes live.
        page: Makes the content, for one slot that becomes or is a page; a bytearray is zeroed after.
    """

    start: int
    stop: int
    state: State
    page: Callable[[], bytes | bytearray] | None = None


class Tree:
    """The tree of one epoch, open for reading. Keeps its root node decrypted in locked memory, and no other key.

    Args:
        log: Where its nodes lie; owned from here on.
        commit: Its batch.
        key: The root key; not kept.

    Raises:
        TamperedError: The root node does not open.
        OSError: It cannot be read.
    """

    def __init__(self, log: LogReader, commit: Commit, key: Secret) -> None:
        self.log = log
        self.commit = commit
        self._arena = Arena()
        try:
            with key.view() as view:
                _read(log, 0, 0, (commit.epoch, commit.root), view, self._arena)
            self.head = Head.take(self._arena.head, where=log.where)
        except BaseException:
            self.close()
            raise

    @property
    def epoch(self) -> int:
        """The epoch."""
        return self.commit.epoch

    def slot(self, number: int) -> Slot:
        """Read a slot, without its key."""
        with self._entry(number) as entry:
            return get_slot(entry, where=self.log.where)

    def key(self, number: int) -> Secret:
        """Copy a slot's key into memory of its own.

        Args:
            number: The slot.

        Returns:
            The key; close it after use.

        Raises:
            TamperedError: A node does not open, or the slot has no key.
            OSError: A node cannot be read.
        """
        with self._entry(number) as entry:
            if not has_key(entry):
                raise TamperedError(f"{self.log.where}: slot {number} has no key")
            return Secret.copy_of(entry[:KEY_SIZE])

    def visit(self, numbers: Iterable[int]) -> Iterator[tuple[int, memoryview]]:
        """Walk some slots, decrypting each node once.

        Args:
            numbers: Slots, sorted.

        Yields:
            Each slot and its entry, valid until the next step, if nothing else is asked of the tree meanwhile; zeros where there is none.

        Raises:
            TamperedError: A node does not open.
            OSError: It cannot be read.
        """
        at: tuple[int, int] | None = None
        above = there = False
        try:
            for number in numbers:
                one, two, three = path_of(number)
                if at is None or at[0] != one:
                    above = number < CAPACITY and self._load(1, one, _entry_of(self._arena.node(0), one))
                if at != (one, two):
                    there = above and self._load(2, one << 8 | two, _entry_of(self._arena.node(1), two))
                at = one, two
                yield number, _entry_of(self._arena.node(2), three) if there else memoryview(bytes(ENTRY))
        finally:
            self._arena.wipe(1, 2)

    def page(self, number: int) -> bytearray:
        """Decrypt the page of a slot.

        Args:
            number: The slot.

        Returns:
            The page.

        Raises:
            TamperedError: It does not open, or the slot holds no page.
            OSError: It cannot be read.
        """
        slot = self.slot(number)
        if slot.state is not State.PAGE:
            raise TamperedError(f"{self.log.where}: slot {number} holds no page")
        out = bytearray(self.log.length(slot.place))
        with self.key(number) as key, key.view() as view, memoryview(out) as room:
            open_frame(self.log, Frame(kind=PAGE, level=0, index=number, epoch=slot.epoch), slot.place, view, room)
        return out

    def copy_root(self, out: memoryview) -> None:
        """Copy the decrypted root node into other locked memory."""
        out[:] = self._arena.plain(0)

    def leaves(self) -> Iterator[tuple[int, memoryview]]:
        """Walk every node from the root.

        Yields:
            The first slot of each leaf node that exists, and its entries; they are valid until the next step, if nothing else is asked of
            the tree meanwhile.

        Raises:
            TamperedError: A node does not open.
            OSError: It cannot be read.
        """
        try:
            for one in range(FANOUT):
                if not self._load(1, one, _entry_of(self._arena.node(0), one)):
                    continue
                for two in range(FANOUT):
                    if self._load(2, one << 8 | two, _entry_of(self._arena.node(1), two)):
                        yield (one << 8 | two) << 8, self._arena.node(2)
        finally:
            self._arena.wipe(1, 2)

    def slots(self) -> Iterator[tuple[int, Slot]]:
        """Walk every slot that is not free, in order; nothing else may be asked of the tree meanwhile, as of `leaves`."""
        for first, node in self.leaves():
            for number in range(FANOUT):
                entry = _entry_of(node, number)
                if entry[32]:
                    yield first + number, get_slot(entry, where=self.log.where)

    def close(self) -> None:
        """Zero what is in memory; twice is no error."""
        self._arena.close()
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _entry(self, number: int) -> "_Entry":
        return _Entry(self, number)

    def _load(self, level: int, index: int, entry: memoryview) -> bool:
        child = get_child(entry)
        if child is None:
            return False
        _read(self.log, level, index, child, entry, self._arena)
        return True

    def descend(self, number: int) -> memoryview | None:
        """Decrypt the nodes on the way to a slot; see `_Entry`."""
        one, two, three = path_of(number)
        if not self._load(1, one, _entry_of(self._arena.node(0), one)):
            return None
        if not self._load(2, one << 8 | two, _entry_of(self._arena.node(1), two)):
            return None
        return _entry_of(self._arena.node(2), three)

    def wipe(self) -> None:
        """Zero the nodes below the root."""
        self._arena.wipe(1, 2)


class _Entry:
    """A slot's entry for the length of a block; a slot below no node reads as free."""

    def __init__(self, tree: Tree, number: int) -> None:
        self._tree = tree
        self._number = number

    def __enter__(self) -> memoryview:
        if not 0 <= self._number < CAPACITY:
            raise TamperedError(f"{self._tree.log.where}: there is no slot {self._number}")
        try:
            return self._tree.descend(self._number) or memoryview(bytes(ENTRY))
        except BaseException:
            self._tree.wipe()
            raise

    def __exit__(self, *_: object) -> None:
        self._tree.wipe()


def write_tree(
    old: Tree | None, log: LogReader | None, edits: Sequence[Edit], head: Head, batch: Batch, *, whole: bool = False
) -> tuple[Secret, int]:
    """Write the next epoch's nodes: along the paths to what changes, each under a fresh key, up to a fresh root.

    Args:
        old: The tree in force; None for an empty one.
        log: Where its nodes lie.
        edits: What changes, sorted by slot, without overlap.
        head: What goes into the root node.
        batch: Takes the nodes.
        whole: Write every node, also those without change; for a new log.

    Returns:
        The root key, and where the root node lies.

    Raises:
        TamperedError: A node does not open.
        OSError: Something cannot be read or written.
    """
    writer = _Writer(log, batch, whole=whole)
    try:
        return writer.root(old, edits, head)
    finally:
        writer.close()


class _Writer:
    def __init__(self, log: LogReader | None, batch: Batch, *, whole: bool) -> None:
        self._log = log
        self._batch = batch
        self._whole = whole
        self._arena = Arena()
        self._fresh: Secret | None = None
        self._random = FileIO("/dev/urandom")

    def close(self) -> None:
        self._arena.close()
        if self._fresh is not None:
            self._fresh.close()
        self._random.close()

    def root(self, old: Tree | None, edits: Sequence[Edit], head: Head) -> tuple[Secret, int]:
        if old is not None:
            old.copy_root(self._arena.plain(0))
        self._children(0, 0, edits)
        head.put(self._arena.head)
        key = Secret.random(KEY_SIZE)
        with key.view() as view:
            return key, self._batch.add(NODE, 0, 0, view, self._arena.plain(0))

    def _children(self, level: int, index: int, edits: Sequence[Edit]) -> None:
        """Write the children of a node that lies in the arena, and note in it where they are."""
        width = FANOUT ** (DEPTH - 1 - level)
        number = at = 0
        while number < FANOUT and (self._whole or at < len(edits)):
            if not self._whole:  # straight to the next child that changes
                number = max(number, edits[at].start // width - index * FANOUT)
            first = (index * FANOUT + number) * width
            below = at
            while below < len(edits) and edits[below].start < first + width:
                below += 1
            entry = _entry_of(self._arena.node(level), number)
            if at < below or get_child(entry) is not None:
                self._node(level + 1, index * FANOUT + number, edits[at:below], entry)
            while at < len(edits) and edits[at].stop <= first + width:
                at += 1
            number += 1

    def _node(self, level: int, index: int, edits: Sequence[Edit], entry: memoryview) -> None:
        """Write one node anew, or for the first time."""
        child = get_child(entry)
        if child is None or self._log is None:
            self._arena.wipe(level)
        else:
            _read(self._log, level, index, child, entry, self._arena)
        if level == DEPTH - 1:
            self._leaf(index * FANOUT, edits)
        else:
            self._children(level, index, edits)
        self._draw(entry[:KEY_SIZE])
        offset = self._batch.add(NODE, level, index, entry[:KEY_SIZE], self._arena.plain(level))
        put_child(entry, self._batch.epoch, offset)
        self._arena.wipe(level)

    def _leaf(self, first: int, edits: Sequence[Edit]) -> None:
        node = self._arena.node(DEPTH - 1)
        if self._whole and self._log is not None:
            for number, state in enumerate(node[32::ENTRY]):
                if state == State.PAGE:
                    entry = _entry_of(node, number)
                    place = self._batch.copy(self._log.raw(get_slot(entry, where=self._log.where).place))
                    put_slot(entry, attrs.evolve(get_slot(entry, where=self._log.where), place=place))
        for edit in edits:
            start, stop = max(edit.start, first) - first, min(edit.stop, first + FANOUT) - first
            if edit.state is State.LIVE and stop - start == FANOUT and not any(node[32::ENTRY]):
                self._fill(node)
                continue
            for number in range(start, stop):
                self._one(first + number, _entry_of(node, number), edit)

    def _fill(self, node: memoryview) -> None:
        """Make all slots of an unused leaf live at once."""
        if self._fresh is None:
            self._fresh = Secret(FANOUT * KEY_SIZE)
        with self._fresh.view() as fresh:
            self._draw(fresh)
            for byte in range(KEY_SIZE):
                node[byte::ENTRY] = fresh[byte::KEY_SIZE]
        made = packed(Slot(state=State.LIVE, generation=1, epoch=self._batch.epoch, place=0))
        for byte, value in enumerate(made):
            node[KEY_SIZE + byte :: ENTRY] = bytes([value]) * FANOUT

    def _one(self, slot: int, entry: memoryview, edit: Edit) -> None:
        before = get_slot(entry, where="key tree")
        kept = edit.state is State.LIVE and before.state is State.RESERVED
        renewed = edit.state in _WITH_KEY and not kept
        place = before.epoch if edit.state is State.ERASED else 0
        if renewed:
            self._draw(entry[:KEY_SIZE])
        elif not kept:
            entry[:KEY_SIZE] = bytes(KEY_SIZE)
        if edit.page is not None:
            content = edit.page()
            with memoryview(content) as view:
                place = self._batch.add(PAGE, 0, slot, entry[:KEY_SIZE], view)
            if isinstance(content, bytearray):
                content[:] = bytes(len(content))
        put_slot(entry, Slot(state=edit.state, generation=before.generation + renewed, epoch=self._batch.epoch, place=place))

    def _draw(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += self._random.readinto(view[done:])


def _read(log: LogReader, level: int, index: int, child: tuple[int, int], entry: memoryview, arena: Arena) -> None:  # noqa: PLR0917
    """Decrypt one node into the arena, with the key that stands first in ``entry``."""
    epoch, offset = child
    open_frame(log, Frame(kind=NODE, level=level, index=index, epoch=epoch), offset, entry[:KEY_SIZE], arena.plain(level))


def _entry_of(node: memoryview, number: int) -> memoryview:
    return node[number * ENTRY : (number + 1) * ENTRY]
