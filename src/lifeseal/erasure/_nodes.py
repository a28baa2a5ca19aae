# SPDX-License-Identifier: Apache-2.0
"""Nodes of the key tree: 256 entries of 48 bytes, in locked memory and nowhere else."""

import enum

import attrs

from lifeseal._io import Secret
from lifeseal.erasure._layout import KEY_SIZE
from lifeseal.erasure._log import Frame, LogReader
from lifeseal.errors import TamperedError

FANOUT = 256
DEPTH = 3
CAPACITY = FANOUT**DEPTH
ENTRY = 48
NODE_SIZE = FANOUT * ENTRY
HEAD_SIZE = 64
ARENA_SIZE = DEPTH * NODE_SIZE + HEAD_SIZE
ZERO_NODE = bytes(NODE_SIZE)
_ZERO_KEY = bytes(KEY_SIZE)
_HALF_BITS = 32  # the slots of the people's directory and of the history share one number of the head
_HALF = (1 << _HALF_BITS) - 1


class State(enum.IntEnum):
    """What a slot holds."""

    FREE = 0
    LIVE = 1
    ERASED = 2
    RESERVED = 3
    PAGE = 4


@attrs.frozen(kw_only=True)
class Slot:
    """A slot without its key.

    Attributes:
        state: What it holds.
        generation: Which use of the slot; 0 if it was never used.
        epoch: That brought it into this state.
        place: Where its page lies in the log; of an erased slot, the epoch of the state before; else 0.
    """

    state: State
    generation: int
    epoch: int
    place: int


@attrs.frozen(kw_only=True)
class Head:
    """What the root node holds beside its entries.

    Attributes:
        next_slot: First slot that no asset ever had.
        next_page: Slots from here on are or were pages.
        reserved: Slot of a seal that has not ended, plus 1; 0 for none.
        live: Slots of live assets.
        erased: Slots of erased ones.
        people: Slot of the directory of the people; 0 while there is none.
        subjects: Slots of people.
        forgotten: Slots of people who were erased.
        history: Slot of the page that names other holders, plus 1; 0 for none.
    """

    next_slot: int = 0
    next_page: int = CAPACITY
    reserved: int = 0
    live: int = 0
    erased: int = 0
    people: int = 0
    subjects: int = 0
    forgotten: int = 0
    history: int = 0

    def put(self, view: memoryview) -> None:
        """Write it over the end of the root node."""
        head = attrs.evolve(self, people=self.history << _HALF_BITS | self.people)
        view[:] = b"".join(number.to_bytes(8, "big") for number in attrs.astuple(head)[:-1])

    @classmethod
    def take(cls, view: memoryview, *, where: str) -> "Head":
        """Read it."""
        numbers = [int.from_bytes(view[place : place + 8], "big") for place in range(0, HEAD_SIZE, 8)]
        head = cls(**dict(zip(attrs.fields_dict(cls), numbers, strict=False)))
        head = attrs.evolve(head, people=head.people & _HALF, history=head.people >> _HALF_BITS)
        whole = head.next_slot <= head.next_page <= CAPACITY and head.reserved <= head.next_slot
        if not whole or not (head.people == 0 or head.next_page <= head.people < CAPACITY):
            raise TamperedError(f"{where}: the head of the root node contradicts itself")
        if head.history and not head.next_page < head.history <= CAPACITY:
            raise TamperedError(f"{where}: the head of the root node names a page where none can be")
        return head


def path_of(slot: int) -> tuple[int, int, int]:
    """Return the entry to follow in each of the three nodes on the way to a slot."""
    return slot >> 16, slot >> 8 & 0xFF, slot & 0xFF


def get_slot(entry: memoryview, *, where: str) -> Slot:
    """Read an entry of a leaf node, without its key."""
    try:
        state = State(entry[32])
    except ValueError:
        raise TamperedError(f"{where}: a slot is in no known state") from None
    number = int.from_bytes
    return Slot(state=state, generation=number(entry[33:37], "big"), epoch=number(entry[37:42], "big"), place=number(entry[42:48], "big"))


def generation_of(entry: memoryview) -> bytes:
    """Return the generation in an entry of a leaf node as it stands there, 4 bytes, for those who ask of many."""
    return bytes(entry[33:37])


def put_slot(entry: memoryview, slot: Slot) -> None:
    """Write an entry of a leaf node, but for its key."""
    entry[32:48] = packed(slot)


def packed(slot: Slot) -> bytes:
    """Write what an entry of a leaf node holds beside its key."""
    return bytes([slot.state]) + slot.generation.to_bytes(4, "big") + slot.epoch.to_bytes(5, "big") + slot.place.to_bytes(6, "big")


def get_child(entry: memoryview) -> tuple[int, int] | None:
    """Read where a child lies, epoch and offset; None where there is none."""
    epoch, offset = int.from_bytes(entry[32:40], "big"), int.from_bytes(entry[40:48], "big")
    return (epoch, offset) if epoch else None


def put_child(entry: memoryview, epoch: int, offset: int) -> None:
    """Write where a child lies; its key is there already."""
    entry[32:40] = epoch.to_bytes(8, "big")
    entry[40:48] = offset.to_bytes(8, "big")


class Arena:
    """Locked room for one node of each level; what one path through the tree needs."""

    def __init__(self) -> None:
        self._room = Secret(ARENA_SIZE)
        view = self._room.view()
        self._views = [view, *(view[NODE_SIZE * level : NODE_SIZE * (level + 1)] for level in range(DEPTH)), view[DEPTH * NODE_SIZE :]]
        # The root node's entries and head lie side by side, so that they are one plaintext.
        self._root = view[(DEPTH - 1) * NODE_SIZE :]
        self._views.append(self._root)

    def node(self, level: int) -> memoryview:
        """Return the room of a level's entries."""
        return self._views[DEPTH - level]

    @property
    def head(self) -> memoryview:
        """The room of the root node's head."""
        return self._views[DEPTH + 1]

    def plain(self, level: int) -> memoryview:
        """Return the room of a level's whole plaintext."""
        return self._root if level == 0 else self.node(level)

    def wipe(self, *levels: int) -> None:
        """Zero the room of levels."""
        for level in levels:
            self.node(level)[:] = ZERO_NODE

    def close(self) -> None:
        """Zero everything and give it back; twice is no error."""
        for view in reversed(self._views):
            view.release()
        self._views = []
        self._room.close()


def open_frame(log: LogReader, frame: Frame, offset: int, key: memoryview, out: memoryview) -> None:
    """Decrypt one frame.

    Args:
        log: Where it lies.
        frame: What it must be.
        offset: Where it lies.
        key: 32 bytes, from its parent, its slot or the root holder.
        out: Room of exactly its size; locked, for a node.

    Raises:
        TamperedError: It is not the frame that belongs there.
        OSError: It cannot be read.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed, nonce, associated = log.read(frame, offset, len(out))
    try:
        AESGCM(key).decrypt_into(nonce, sealed, associated, out)
    except InvalidTag:
        out[:] = bytes(len(out))
        raise TamperedError(f"{log.where}, byte {offset}: does not authenticate; it was changed, cut or mixed up") from None


def has_key(entry: memoryview) -> bool:
    """Tell whether an entry holds a key."""
    return entry[:KEY_SIZE] != _ZERO_KEY
