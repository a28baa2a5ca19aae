# SPDX-License-Identifier: Apache-2.0
"""Checking a whole vault: its form without a key, everything with one."""

import contextlib
from array import array
from collections.abc import Callable
from pathlib import Path

from lifeseal._io import DiskSource, Progress, ProgressCallback, StrPath, read_through
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._change import State
from lifeseal.erasure._layout import KEY_SIZE, log_epochs, object_ids, object_name, owner_of, read_description
from lifeseal.erasure._log import LogReader
from lifeseal.erasure._map import DIRECTORY, Kind
from lifeseal.erasure._nodes import ENTRY, get_slot
from lifeseal.erasure._nodes import State as SlotState
from lifeseal.erasure._range import CHUNK, HEADER
from lifeseal.erasure._records import Asset
from lifeseal.erasure._tree import Tree
from lifeseal.erasure._values import VaultCheck
from lifeseal.errors import DestroyedError, StoreError, TamperedError
from lifeseal.principles import implements, note

_PIECE = 4 << 20
_TAG = 16


@implements(evidences=["5.4.2"], limits="It sees damage, not tampering: whoever changes a vault without its root can make the form fit again.")
def check_structure(path: StrPath) -> VaultCheck:
    """Check a vault's form without its root: the log's digests, and that every container has a length that a container can have.

    Args:
        path: The vault folder.

    Returns:
        What was looked at.

    Raises:
        FormatError: The folder is no vault, or a file is not what it should be.
        StoreError: No log is there.
        TamperedError: A batch or a container was damaged.
        OSError: A file cannot be read.
    """
    folder = Path(path)
    vault, _, _ = read_description(folder)
    note(vault=vault.hex())
    batches = newest = 0
    starts = log_epochs(folder)
    if not starts:
        raise StoreError(f"{folder}: no node log is there")
    for start in starts:
        log = LogReader(folder, start, vault)
        try:
            found = [commit.epoch for commit in log.batches()]
        finally:
            log.close()
        if not found:
            raise TamperedError(f"{log.where}: holds no whole batch")
        batches, newest = batches + len(found), max(newest, *found)
        note(epoch=newest)
    ids = object_ids(folder)
    with DiskSource(folder) as source:
        for file_id in ids:
            with source.open(object_name(file_id)) as reader:
                if reader.size < HEADER + _TAG or (reader.size - HEADER) % (CHUNK + _TAG) < _TAG:
                    raise TamperedError(f"{folder / object_name(file_id)}: {reader.size} bytes are no whole container")
    return VaultCheck(vault=vault.hex(), epoch=0, batches=batches, slots=0, containers=len(ids), size=0)


def check_vault(state: State, hand_out: Callable[[Asset], SealedAsset], *, progress: ProgressCallback) -> VaultCheck:
    """Check everything; see `lifeseal.erasure.Vault.verify`.

    Args:
        state: Of the caller's own, so that it stays as it is when others change the vault meanwhile.
        hand_out: Opens an asset.
        progress: Told about each container.

    Returns:
        What was checked. What is erased meanwhile is left out.
    """
    folder, tree = state.folder, state.tree
    batches = sum(1 for _ in tree.log.batches())
    live, pages = _in_use(tree)
    if len(live) != tree.head.live + tree.head.subjects or DIRECTORY not in pages:
        raise TamperedError(f"{tree.log.where}: the root node counts otherwise than its slots")
    for number in pages:
        tree.page(number)
    assets = [Asset.from_mapped(found, where=str(folder)) for found in state.names.records() if found.kind is Kind.ASSET]
    known = {(asset.slot, asset.generation) for asset in assets}
    people = array("Q", (place.slot << 32 | place.generation for place in state.people.places()) if tree.head.people else ())
    named = array("Q", (slot << 32 | generation for slot, generation in known)) + people
    if len(people) != tree.head.subjects or sorted(named) != live:
        raise TamperedError(f"{tree.log.where}: the map names other slots than the tree holds")
    total = sum(asset.size for asset in assets)
    containers = size = 0
    buffer = memoryview(bytearray(_PIECE))
    for asset in assets:
        with contextlib.suppress(DestroyedError), hand_out(asset) as opened:
            names = [*opened.names(), *([] if opened.signature is None else [opened.signature])]
            for name in names:
                with opened.open(name) as reader:
                    size += read_through(reader, f"{opened.where}: {name!r}", buffer, lambda _: None)
                if progress is not None:
                    progress(Progress(phase="verifying", done=size, total=max(total, size)))
            containers += len(names) + 1
    stray = [file_id for file_id in object_ids(folder) if owner_of(file_id) not in known]
    note(containers=containers, stray=len(stray))
    return VaultCheck(
        vault=state.roots.vault.hex(), epoch=tree.epoch, batches=batches, slots=len(live) + len(pages), containers=containers, size=size
    )


def _in_use(tree: Tree) -> tuple[list[int], set[int]]:
    """Walk the tree: every live slot, joined with its generation, in order; and the slots of pages."""
    live: array[int] = array("Q")
    pages = set()
    for first, node in tree.leaves():
        for number, state in enumerate(bytes(node[KEY_SIZE::ENTRY])):
            if state == SlotState.LIVE:
                at = number * ENTRY + KEY_SIZE + 1
                live.append((first + number) << 32 | int.from_bytes(node[at : at + 4], "big"))
            elif state == SlotState.PAGE:
                pages.add(first + number)
            elif state:
                get_slot(node[number * ENTRY : (number + 1) * ENTRY], where=tree.log.where)  # refuses a state that is none
    return live.tolist(), pages
