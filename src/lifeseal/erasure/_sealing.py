# SPDX-License-Identifier: Apache-2.0
"""The steps of a seal: slot durable, containers written and read back through the holder, map durable."""

import attrs

from lifeseal._io import DiskSource, ProgressCallback
from lifeseal.erasure._change import load
from lifeseal.erasure._container import Place
from lifeseal.erasure._layout import find_objects
from lifeseal.erasure._leftovers import discard
from lifeseal.erasure._map import Kind
from lifeseal.erasure._nodes import State
from lifeseal.erasure._records import Asset
from lifeseal.erasure._seal import Sealed, write_asset
from lifeseal.erasure._session import Session
from lifeseal.erasure._tree import Edit
from lifeseal.errors import LimitError, StateError


def seal_into(session: Session, source: DiskSource, name: str, *, progress: ProgressCallback) -> tuple[Asset, Sealed]:
    """Seal plaintext under a new slot or a new generation of an old one. Call it within `Session.writing`.

    Args:
        session: Of the vault.
        source: The plaintext.
        name: Of the asset.
        progress: Told about each piece.

    Returns:
        What the map says now, and what was written.
    """
    find_objects(session.folder)  # refuses a link in its place
    slot, generation = _reserve(session, name)
    sealed = _write(session, source, Place(folder=session.folder, vault=session.id, slot=slot, generation=generation, name=name), progress)
    entries = sealed.index.entries
    size = sum(entry.size for entry in entries)
    asset = Asset(name=name, slot=slot, generation=generation, files=len(entries), size=size, index=sealed.index_id, born_encrypted=False)
    _enter(session, asset)
    return asset, sealed


def _reserve(session: Session, name: str) -> tuple[int, int]:
    """Make a slot durable, with a fresh key, before anything is encrypted under it."""
    state = session.current()
    found = state.names.find(name)
    if found is not None and found.kind is Kind.ASSET:
        raise StateError(f"{session.folder}: asset {name!r} is live; choose another name, or erase it first")
    head = state.tree.head
    slot = head.next_slot if found is None else found.slot
    if slot >= head.next_page - 2:  # putting the name into the map may take two pages
        raise LimitError(str(session.folder), limit=head.next_page - 2, seen=slot + 1, unit="slots")
    head = attrs.evolve(head, next_slot=max(head.next_slot, slot + 1), reserved=slot + 1)
    session.commit([Edit(start=slot, stop=slot + 1, state=State.RESERVED)], head, what=f"a slot for asset {name!r} is reserved")
    return slot, session.current().tree.slot(slot).generation


def _write(session: Session, source: DiskSource, place: Place, progress: ProgressCallback) -> Sealed:
    """Write the containers with the slot's key, and read them back with the key that the holder gives for it."""
    try:
        with session.current().tree.key(place.slot) as key, load(session.folder, session.holder) as again, again.tree.key(place.slot) as proof:
            return write_asset(source, place, key, proof, progress=progress)
    except BaseException:
        discard(session.folder, place.slot, place.generation)
        raise


def _enter(session: Session, asset: Asset) -> None:
    """Put a written asset into the map, and its slot in force."""
    state = session.current()
    names, head = state.names, state.tree.head
    buried = names.find(asset.name) is not None
    names.put(asset.to_mapped(names.tag(asset.name)))
    pages, head = names.edits(attrs.evolve(head, reserved=0, live=head.live + 1, erased=head.erased - buried))
    edit = Edit(start=asset.slot, stop=asset.slot + 1, state=State.LIVE)
    session.commit([edit, *pages], head, what=f"asset {asset.name!r} is sealed")
