# SPDX-License-Identifier: Apache-2.0
"""After an erasure: trying to open what should not open, and writing down what answered."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeAlias

import attrs

from lifeseal._io import DiskSource, Secret, StrPath
from lifeseal.erasure import _nodes
from lifeseal.erasure._change import State
from lifeseal.erasure._container import Place, file_key
from lifeseal.erasure._holders import HeldRoot
from lifeseal.erasure._layout import DATA, INDEX, log_epochs, object_ids, object_name, owner_of, root_context
from lifeseal.erasure._log import LogReader
from lifeseal.erasure._places import refuse_overlap
from lifeseal.erasure._range import CHUNK, HEADER, RangeReader
from lifeseal.erasure._session import Session
from lifeseal.erasure._tree import Tree
from lifeseal.erasure._values import ErasedSlot
from lifeseal.errors import DestroyedError, LifesealError, StoreError, TamperedError
from lifeseal.principles import Fact, implements, note

Answer: TypeAlias = Literal["refused", "opened", "not tried"]
SlotState: TypeAlias = Literal["live", "erased", "reused", "unknown"]
_STRIDE = CHUNK + 16
_CONTAINERS = 3  # of each asset
_OLDER = 64
_LIVE = 16


@attrs.frozen(kw_only=True)
class Trial:
    """One attempt to open what was erased.

    Attributes:
        what: What was tried.
        answer: ``refused``: it did not open, which is no proof that nobody else can open it; ``opened``: it did; ``not tried``: and why.
        detail: What was seen.
    """

    what: str
    answer: Answer
    detail: str


@attrs.frozen(kw_only=True)
class SampledContainer:
    """The head and the last chunk of one container, which is all that opening it reads.

    Attributes:
        slot: Whose it is.
        generation: Which use of the slot.
        file_id: Its id.
        size: Bytes of the container.
        head: Its first bytes.
        tail: Its last ones.
    """

    slot: int
    generation: int
    file_id: bytes
    size: int
    head: bytes = attrs.field(repr=lambda b: f"<{len(b)} bytes>")
    tail: bytes = attrs.field(repr=lambda b: f"<{len(b)} bytes>")

    def readinto(self, buffer: memoryview, start: int) -> int:
        """Fill ``buffer`` from offset ``start``, as far as it was kept."""
        source, at = (self.head, start) if start < HEADER else (self.tail, start - (self.size - len(self.tail)))
        piece = source[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@attrs.frozen(kw_only=True)
class Sample:
    """Ciphertext kept in memory from before an erasure, to try it afterwards. It holds no key in the clear; drop it after use.

    Attributes:
        epoch: In force when it was taken.
        root: Key version and wrapped root of that epoch, where a wrapper holds the root; else None.
        containers: Pieces of containers.
    """

    epoch: int
    root: tuple[str, bytes] | None = attrs.field(repr=False)
    containers: tuple[SampledContainer, ...] = attrs.field(repr=lambda pieces: f"<{len(pieces)} containers>")


class Trials:
    """What `Vault.trials` hands out: what must not be unlinked, a sample before an erasure, attempts after it, and what the holder has still to do.

    Args:
        session: Of the vault.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __facts__(self) -> dict[str, Fact]:
        return self._session.facts()

    @implements(evidences=("13.1", "13.2"), limits="It copies ciphertext, of a few containers, into this process's memory.")
    def sample(self, slots: Iterable[ErasedSlot]) -> Sample:
        """Keep some ciphertext of what is about to be erased, and the wrapped root if there is one.

        Args:
            slots: Of live assets.

        Returns:
            The sample, for `run`.

        Raises:
            LifesealError: The vault cannot be read.
            OSError: A file cannot be read.
        """
        session = self._session
        with session.guard:
            state = session.current()
            root = None
            if state.roots.cell is None and state.roots.wrapper.versions(session.id) is not None:
                root = state.roots.stored(state.epoch)
            return Sample(epoch=state.epoch, root=root, containers=_pieces(session.folder, tuple(slots)))

    @implements(
        evidences=("13.1", "13.2"),
        limits="A refusal shows that this vault and its holder do not open it now, with these credentials, and nothing about copies of the root.",
    )
    def run(self, slots: Iterable[ErasedSlot], sample: Sample | None = None) -> tuple[Trial, ...]:
        """Try to open erased assets in every way that the vault offers.

        Args:
            slots: What was erased.
            sample: From before the erasure, if this is the same process.

        Returns:
            What was tried, and what answered.

        Raises:
            StoreError: The holder is not reached, so nothing is known.
            LifesealError: The vault cannot be read.
            OSError: A file cannot be read.
        """
        session = self._session
        wanted = tuple(slots)
        with session.guard:
            state = session.current()
            found = [
                _slots(state, wanted),
                _older_roots(state),
                _containers(session, state, wanted, () if sample is None else sample.containers),
                _holder(state, sample),
            ]
            note(epoch=state.epoch, opened=sum(trial.answer == "opened" for trial in found))
            return tuple(found)

    @implements(evidences=("5.1", "13.1"), limits="It tells what this vault says of its slots, with the root in force.")
    def states(self, slots: Iterable[ErasedSlot]) -> tuple[tuple[SlotState, int], ...]:
        """Tell what became of slots.

        Args:
            slots: Each with the generation that is meant.

        Returns:
            For each, in order: ``live``, ``erased``, ``reused`` (a later generation, so this one was erased) or ``unknown``; and the epoch that
            brought the slot into the state it has.

        Raises:
            LifesealError: The vault cannot be read.
            OSError: A file cannot be read.
        """
        session = self._session
        with session.guard:
            state = session.current()
            note(epoch=state.epoch)
            return tuple(_state(state, entry) for entry in slots)

    def refuse_overlap(self, path: StrPath) -> None:
        """Refuse a path that holds the vault or its root, or lies in the vault.

        Args:
            path: A folder or file that is to be unlinked.

        Raises:
            ValueError: It does.
        """
        refuse_overlap(Path(path), self._session.folder, self._session.holder)

    @implements("13.2", limits="It asks the holder; whether the holder's own backups are gone it cannot see.")
    def settle(self) -> tuple[str, ...]:
        """Finish what an interrupted or delayed change left: let the holder destroy every older key version.

        Returns:
            Key versions that are still to be destroyed, or old roots that are still there; empty is what is wanted.

        Raises:
            LockedError: Another process writes to the vault.
            PendingError: The holder refuses to destroy an older version.
            StoreError: The holder is not reached.
            LifesealError: The vault cannot be read.
            OSError: The disk refused.
        """
        with self._session.writing() as state:
            left = state.roots.unsettled(state.epoch)
            note(epoch=state.epoch, pending=len(left))
            return left


def _state(state: State, entry: ErasedSlot) -> tuple[SlotState, int]:
    slot = state.tree.slot(entry.slot)
    if slot.generation > entry.generation:
        return "reused", slot.epoch
    if slot.generation == entry.generation and slot.state is _nodes.State.ERASED:
        return "erased", slot.epoch
    is_live = slot.generation == entry.generation and slot.state is _nodes.State.LIVE
    return "live" if is_live else "unknown", slot.epoch


def _pieces(folder: Path, wanted: tuple[ErasedSlot, ...]) -> tuple[SampledContainer, ...]:
    """Take pieces of a few containers, as far as they are there and can be read; nothing in the folder stops an erasure."""
    found = []
    with contextlib.suppress(LifesealError, OSError), DiskSource(folder) as source:
        by_owner: dict[tuple[int, int], list[bytes]] = {}
        for file_id in object_ids(folder):
            by_owner.setdefault(owner_of(file_id), []).append(file_id)
        for entry in wanted:
            for file_id in by_owner.get((entry.slot, entry.generation), ())[:_CONTAINERS]:
                with contextlib.suppress(LifesealError, OSError):
                    found.append(_piece(source, entry, file_id))
    return tuple(found)


def _piece(source: DiskSource, entry: ErasedSlot, file_id: bytes) -> SampledContainer:
    with source.open(object_name(file_id)) as reader:
        head = bytearray(min(HEADER, reader.size))
        tail = bytearray(min(_STRIDE, max(0, reader.size - HEADER)))
        if reader.size > HEADER and (reader.size - HEADER) % _STRIDE:
            tail = bytearray((reader.size - HEADER) % _STRIDE)
        reader.readinto(memoryview(head), 0)
        reader.readinto(memoryview(tail), reader.size - len(tail))
        return SampledContainer(slot=entry.slot, generation=entry.generation, file_id=file_id, size=reader.size, head=bytes(head), tail=bytes(tail))


def _slots(state: State, wanted: tuple[ErasedSlot, ...]) -> Trial:
    what = f"the keys of {_count(len(wanted), 'erased slot')}, through the root in force"
    readable = []
    for entry in wanted:
        slot = state.tree.slot(entry.slot)
        if slot.generation == entry.generation and slot.state is not _nodes.State.ERASED:
            readable.append(str(entry.slot))
        elif slot.generation == entry.generation:
            with contextlib.suppress(TamperedError):
                state.tree.key(entry.slot).close()
                readable.append(str(entry.slot))
    if readable:
        return Trial(what=what, answer="opened", detail=f"slots {', '.join(readable)} have a key")
    return Trial(what=what, answer="refused", detail="none of them has a key in the tree")


def _older_roots(state: State) -> Trial:
    """Try the root in force on the root nodes of older epochs that the logs still hold."""
    tried = opened = 0

    def attempt(held: HeldRoot) -> None:
        nonlocal tried, opened
        for start, commits in _older(state):
            for epoch in commits:
                log = LogReader(state.folder, start, state.roots.vault)
                commit, _, _ = log.find(epoch)
                if commit is None:
                    log.close()
                    continue
                tried += 1
                with contextlib.suppress(TamperedError):
                    Tree(log, commit, held.key).close()
                    opened += 1

    state.roots.open(attempt)
    what = "the root in force, on older generations of the key tree that its log still holds"
    if opened:
        return Trial(what=what, answer="opened", detail=f"{opened} of {tried} opened")
    return Trial(what=what, answer="refused" if tried else "not tried", detail=f"{tried} tried, none opened" if tried else "the log holds none")


def _older(state: State) -> Iterator[tuple[int, list[int]]]:
    """List, log by log, the newest of the epochs before the one in force."""
    for start in log_epochs(state.folder):
        epochs: list[int] = []
        with LogReader(state.folder, start, state.roots.vault) as log:
            _, commit, _ = log.find(state.epoch)
            while commit is not None and len(epochs) < _OLDER:
                if commit.epoch < state.epoch:
                    epochs.append(commit.epoch)
                commit = log.trailer(commit.previous) if commit.previous else None
        yield start, epochs


def _containers(session: Session, state: State, wanted: tuple[ErasedSlot, ...], kept: tuple[SampledContainer, ...]) -> Trial:
    """Try every key at hand on ciphertext from before, and on containers that could not be unlinked."""
    what = "containers of what was erased, with the keys of live slots"
    pieces = (*kept, *_pieces(session.folder, wanted))
    if not pieces:
        return Trial(what=what, answer="not tried", detail="they were unlinked, and this process kept none from before")
    keys = opened = 0
    for number, slot in state.tree.slots():
        if slot.state is _nodes.State.LIVE:
            keys += 1
            opened += sum(_opens(session.folder, session.id, piece, state.tree.key(number)) for piece in pieces)
            if keys == _LIVE:
                break
    detail = f"{_count(len(pieces), 'container')} under {_count(keys, 'key')}"
    return Trial(what=what, answer="opened" if opened else "refused" if keys else "not tried", detail=detail)


def _opens(folder: Path, vault: bytes, piece: SampledContainer, key: Secret) -> bool:
    place = Place(folder=folder, vault=vault, slot=piece.slot, generation=piece.generation, name="")
    with key:
        for role in (DATA, INDEX):
            with contextlib.suppress(TamperedError), file_key(key, piece.file_id) as secret:
                RangeReader(piece, secret, place.context(piece.file_id, role), where="container")
                return True
    return False


def _holder(state: State, sample: Sample | None) -> Trial:
    """Ask the root holder for the root from before."""
    answer, detail = _asked(state, sample)
    return Trial(what=f"the root from before, asked of its holder ({state.roots.holder.kind})", answer=answer, detail=detail)


def _asked(state: State, sample: Sample | None) -> tuple[Answer, str]:
    if state.roots.cell is not None:
        return "refused", f"it holds one root, that of epoch {state.epoch}"
    listed = state.roots.wrapper.versions(state.roots.vault)
    if listed is None:
        return "not tried", "it keeps no versions; a copy of the old wrapped root would still open"
    if left := state.roots.unsettled(state.epoch):
        return "refused", f"versions that are not destroyed yet: {len(left)}"
    if sample is None or sample.root is None:
        return "refused", "it lists no older version; this process kept none to ask for"
    return _unwrapped(state, *sample.root, epoch=sample.epoch)


def _unwrapped(state: State, version: str, wrapped: bytes, *, epoch: int) -> tuple[Answer, str]:
    """Ask a wrapper to open what it wrapped for an older epoch; that it is not reached is no refusal."""
    try:
        state.roots.wrapper.unwrap(version, wrapped, root_context(state.roots.vault, epoch)).close()
    except DestroyedError:
        return "refused", f"asked for the version of epoch {epoch}: it is destroyed"
    except StoreError:
        if any(found.name == version for found in state.roots.wrapper.versions(state.roots.vault) or ()):
            raise
        return "refused", f"asked for the version of epoch {epoch}: it knows none"
    return "opened", f"it unwrapped the root of epoch {epoch}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
