# SPDX-License-Identifier: Apache-2.0
"""Moving a vault to another root holder: begun in writing, put there, read back, switched, and only then the old root destroyed.

The tree says that a move began before the new holder gets anything, so that what an interrupted move left there is known to be of this vault's
own making, and counts as a place where a root may be.
"""

import contextlib
from pathlib import Path

import attrs

from lifeseal._io import Secret, replace
from lifeseal.erasure._change import State, after_commit, append, note_in_force, open_tree, reload
from lifeseal.erasure._history import History, place_of, refuse_full, same_key
from lifeseal.erasure._holders import Cell, HeldRoot, KeyState, KeyVersion, RootHolder, Wrapper
from lifeseal.erasure._layout import DESCRIPTION, describe, read_description
from lifeseal.erasure._leftovers import free_epoch
from lifeseal.erasure._roots import RETIRED, Roots
from lifeseal.erasure._session import Session
from lifeseal.erasure._tree import Tree
from lifeseal.erasure._values import HolderRecord, Rehoming
from lifeseal.errors import LifesealError, PendingError, StateError, StoreError, TamperedError
from lifeseal.principles import Fact, announce, note, now

_LEFT_AT_MOST = 3  # an interrupted change leaves two, and an interrupted end one


def rehome(session: Session, home: RootHolder) -> Rehoming:
    """Move a vault, and destroy the root in the holder that it leaves; see `lifeseal.erasure.Vault.rehome`.

    Args:
        session: Of the vault.
        home: Where the root shall lie.

    Returns:
        What became of the old root.
    """
    with session.writing() as state:
        over = _room_for(state, home)
        refuse_full(state.history)
        with _locked(home, session.folder):
            _announce(session, "rehome", home)
            begun = _begun(state.history, home)
            if begun is not None and not isinstance(home, Cell):
                _destroy(state, home, begun)  # keys that an earlier attempt left: a wrapper makes none for an epoch that it has one for
            if begun is None:
                lies = f"moving the root to {home.kind} has begun; it still lies in {session.holder.kind}"
                _write(session, state.history.begun(home, state.epoch), what=lies)
            old = session.holder
            _move(session, home, over)
            return _end(session, old, session.current().history.others[-1])


def retire(session: Session, old: RootHolder) -> Rehoming:
    """Destroy the root that an earlier holder still has; see `lifeseal.erasure.Vault.retire`.

    Args:
        session: Of the vault.
        old: The earlier holder.

    Returns:
        What became of its root.
    """
    with session.writing() as state:
        entry = state.history.find(old)
        if entry is None:
            raise StateError(f"{session.folder}: its history names no holder {old.kind!r} like this one that may still have a root of it")
        with _locked(old, session.folder):
            _announce(session, "retire", old)
            return _end(session, old, entry)


def _announce(session: Session, what: str, holder: RootHolder) -> None:
    facts: dict[str, Fact] = {"vault": session.id.hex(), "epoch": session.epoch, "holder": holder.kind}
    announce(f"lifeseal.erasure.Vault.{what}", ("uk-ai-cop:13.1", "uk-ai-cop:13.2"), **facts)
    note(**facts)


def _begun(history: History, home: RootHolder) -> HolderRecord | None:
    begun = (other for other in history.others if other.state == "begun" and same_key(other, home) and other.place == place_of(home))
    return next(begun, None)


def _room_for(state: State, home: RootHolder) -> int | None:
    """Refuse a holder that holds what no move of this vault put there; return the epoch that a cell holds, None for an empty one."""
    folder, roots = state.folder, Roots(folder=state.folder, vault=state.roots.vault, holder=home)
    begun = _begun(state.history, home) is not None
    if roots.cell is None:
        listed = [version.name for version in roots.wrapper.versions(roots.vault) or () if version.state is not KeyState.DESTROYED]
        if listed and not begun:
            raise StateError(f"{folder}: the new holder has a key version of this vault already, {listed[0]!r}; nothing was changed")
        return None
    try:
        held = roots.cell.read()
    except StoreError:
        roots.cell.clear(roots.vault, RETIRED)  # nothing to an empty one; one that is not reached refuses here, before the move is written down
        return None
    with held:
        if held.vault != roots.vault or not begun:
            whose = "this vault" if held.vault == roots.vault else f"vault {held.vault.hex()}"
            raise StateError(f"{folder}: the new holder has a root of {whose} already, of epoch {held.epoch}; nothing was changed")
        return held.epoch


def _move(session: Session, home: RootHolder, over: int | None) -> None:
    folder, before = session.folder, session.current()
    history, roots = before.history, Roots(folder=folder, vault=session.id, holder=home)
    entry = _begun(history, home)
    if entry is None:
        raise TamperedError(f"{folder}: the history does not read back as it was written")
    epoch = free_epoch(folder, before.epoch)
    edits, head = history.moved(session.holder, entry, until=before.epoch, since=epoch).edits(before.tree.head)
    with HeldRoot(vault=session.id, epoch=epoch, key=append(before, epoch, edits, head)) as fresh:
        try:
            roots.put(fresh, over=over)
            roots.check(fresh)
            roots.open(lambda held: _opened(folder, held, epoch)).close()
            if read_description(folder)[1:] != (home.kind, home.fingerprint):
                replace(folder / DESCRIPTION, describe(session.id, kind=home.kind, fingerprint=home.fingerprint))
        except (LifesealError, OSError) as error:
            error.add_note(_undone(session, roots, fresh, entry))
            raise
    with after_commit(f"{folder}: epoch {epoch} is in force, and its root lies in {home.kind}"):
        following = reload(roots)
        session.settle_in(home, following)
        note_in_force(following, durable=True)
        roots.settle(epoch)


def _opened(folder: Path, held: HeldRoot, epoch: int) -> Tree:
    tree = open_tree(folder, held)
    if tree.epoch != epoch:
        tree.close()
        raise TamperedError(f"{folder}: the new holder gives back the root of epoch {tree.epoch}, not of {epoch}")
    return tree


def _undone(session: Session, roots: Roots, fresh: HeldRoot, entry: HolderRecord) -> str:
    """After a refusal: take back what can be, and say which root is in force."""
    folder, home, old = session.folder, roots.holder.kind, session.holder
    try:
        if read_description(folder)[1:] != (old.kind, old.fingerprint):
            return f"{folder}: the root lies in {home} now; a power cut may bring {old.kind} back: open the vault with either, and end the move"
        if roots.cell is not None:
            roots.cell.clear(session.id, fresh.epoch)
        elif any(version.state is not KeyState.DESTROYED for version in roots.wrapper.versions(session.id) or ()):
            return f"{folder}: nothing was moved: the root in {old.kind} is in force; {home} has a key version that the next move there destroys"
        _write(session, session.current().history.ended(entry, state="destroyed", epoch=session.epoch, when=now()), what="the move is taken back")
    except (LifesealError, OSError):
        return f"{folder}: nothing was moved: the root in {old.kind} is in force; {home} may have another, so move again or retire it"
    return f"{folder}: nothing was moved: the root in {old.kind} is in force"


def _end(session: Session, old: RootHolder, entry: HolderRecord) -> Rehoming:
    """Destroy a root that is not in force, write that down, and tidy up."""
    index = session.current().history.others.index(entry)
    try:
        if not isinstance(old, Cell) and entry.state != "begun":
            entry = _witnessed(session, old, entry)
        scheduled = _destroy(session.current(), old, entry)
    except (LifesealError, OSError) as error:
        lies = f"{session.folder}: epoch {session.epoch} is in force, and its root lies in {session.holder.kind}"
        raise PendingError(f"{lies}; but {entry.called}, is not destroyed: {error}. Retire that holder when it can be done") from error
    state, dates = session.current(), [found.until for found in scheduled]
    due = max(date for date in dates if date is not None) if dates and None not in dates else None
    ended = state.history.ended(entry, state="scheduled" if scheduled else "destroyed", epoch=state.epoch, when=now(), due=due)
    _write(session, ended, what="the end of the old holder's root is written down")
    with contextlib.suppress(LifesealError, OSError):  # what stays opens nothing
        if isinstance(old, Cell):
            old.clear(session.id, RETIRED)
        elif entry.witness and not scheduled:
            old.destroy(entry.witness)
    found = ended.others[index]
    note(epoch_after=session.epoch, left=found.kind, state=found.state)
    pending = tuple(version.called for version in scheduled)
    return Rehoming(vault=session.id.hex(), epoch=session.epoch, holder=session.holder.kind, old=found, pending=pending)


def _witnessed(session: Session, old: Wrapper, entry: HolderRecord) -> HolderRecord:
    """Let a wrapper make a key that wraps nothing, and write down its name, before its others are destroyed.

    A list without any version of the vault proves nothing: it may be another server, account or token of the same name. Who lists the witness is
    the one that had the others.
    """
    listed = old.versions(session.id)
    if listed is None or any(found.name == entry.witness for found in listed):
        return entry
    if not listed:
        raise StoreError("it lists no key version of this vault, and nothing says that it is the one that had them")
    _write(session, session.current().history, what="the old holder makes a key")  # an epoch that no attempt before made one for
    witnessed = attrs.evolve(entry, witness=old.create(session.id, session.epoch))
    _write(session, session.current().history.noted(entry, witnessed), what="the old holder's root is about to be destroyed")
    return witnessed


def _destroy(state: State, old: RootHolder, entry: HolderRecord) -> tuple[KeyVersion, ...]:
    """Destroy a root that is not in force; return the key versions that are only scheduled."""
    roots = Roots(folder=state.folder, vault=state.roots.vault, holder=old)
    if roots.cell is not None:
        _overwrite(roots.cell, roots.vault, entry)
        return ()
    listed = [version for version in _others(roots, entry) if version.state is not KeyState.DESTROYED]
    if sum(version.state is KeyState.LIVE for version in listed) > _LEFT_AT_MOST:
        raise StateError(f"it has {len(listed)} key versions of this vault, and {_LEFT_AT_MOST} at most are left; nothing was destroyed")
    states = {found.name: found.state if found.state is KeyState.SCHEDULED else roots.wrapper.destroy(found.name) for found in listed}
    for name, found in states.items():
        if found is KeyState.LIVE:
            raise StateError(f"key version {name!r} is still live")
    roots.unlink_others(0 if state.roots.cell is not None else state.epoch)
    if KeyState.SCHEDULED not in states.values():
        return ()
    return tuple(found for found in _others(roots, entry) if states.get(found.name) is KeyState.SCHEDULED)


def _others(roots: Roots, entry: HolderRecord) -> tuple[KeyVersion, ...]:
    return tuple(version for version in roots.wrapper.versions(roots.vault) or () if version.name != entry.witness)


def _overwrite(cell: Cell, vault: bytes, entry: HolderRecord) -> None:
    """Put a random key in place of the root, and an epoch that no change has: so it can still be seen after a crash that the root is gone.

    An empty cell proves nothing: a file may lie on a disk that is not there today.
    """
    with cell.read() as held:
        found = held.epoch
        if held.vault != vault:
            raise StateError(f"it has a root of vault {held.vault.hex()} now")
    if found == RETIRED:
        return
    if found <= entry.since if entry.state == "begun" else found != entry.until:
        raise StateError(f"it has the root of epoch {found}, and nothing says that this one is out of force")
    with HeldRoot(vault=vault, epoch=RETIRED, key=Secret.random()) as nothing:
        cell.replace(nothing, over=found)


def _write(session: Session, history: History, *, what: str) -> None:
    state = session.current()
    edits, head = history.edits(state.tree.head)
    session.commit(edits, head, what=what)


def _locked(holder: RootHolder, folder: Path) -> contextlib.AbstractContextManager[None]:
    """Lock a cell; a wrapper's versions are names of their own, and its lock may be the one that is held already."""
    return holder.locked(folder) if isinstance(holder, Cell) else contextlib.nullcontext()
