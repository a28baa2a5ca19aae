# SPDX-License-Identifier: Apache-2.0
"""Checking a whole vault: its form without a key, everything with one."""

from collections.abc import Callable
from pathlib import Path

from lifeseal._io import DiskSource, Progress, ProgressCallback, StrPath, read_through
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._change import State
from lifeseal.erasure._layout import log_epochs, object_ids, object_name, owner_of, read_description
from lifeseal.erasure._log import LogReader
from lifeseal.erasure._map import DIRECTORY, Kind
from lifeseal.erasure._nodes import State as SlotState
from lifeseal.erasure._range import CHUNK, HEADER
from lifeseal.erasure._records import Asset
from lifeseal.erasure._values import VaultCheck
from lifeseal.errors import StoreError, TamperedError
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
    batches = 0
    starts = log_epochs(folder)
    if not starts:
        raise StoreError(f"{folder}: no node log is there")
    for start in starts:
        log = LogReader(folder, start, vault)
        try:
            found = sum(1 for _ in log.batches())
        finally:
            log.close()
        if found == 0:
            raise TamperedError(f"{log.where}: holds no whole batch")
        batches += found
    ids = object_ids(folder)
    with DiskSource(folder) as source:
        for file_id in ids:
            with source.open(object_name(file_id)) as reader:
                if reader.size < HEADER + _TAG or (reader.size - HEADER) % (CHUNK + _TAG) < _TAG:
                    raise TamperedError(f"{folder / object_name(file_id)}: {reader.size} bytes are no whole container")
    return VaultCheck(vault=vault.hex(), epoch=0, batches=batches, slots=0, containers=len(ids), size=0)


def check_vault(state: State, hand_out: Callable[[Asset], SealedAsset], *, progress: ProgressCallback) -> VaultCheck:
    """Check everything; see `lifeseal.erasure.Vault.verify`."""
    folder, tree = state.folder, state.tree
    batches = sum(1 for _ in tree.log.batches())
    slots = {number: slot for number, slot in tree.slots() if slot.state in {SlotState.LIVE, SlotState.PAGE}}
    live = {(number, slot.generation) for number, slot in slots.items() if slot.state is SlotState.LIVE}
    if len(live) != tree.head.live + tree.head.subjects or DIRECTORY not in slots:
        raise TamperedError(f"{tree.log.where}: the root node counts otherwise than its slots")
    for number, slot in slots.items():
        if slot.state is SlotState.PAGE:
            tree.page(number)
    assets = [Asset.from_mapped(found, where=str(folder)) for found in state.names.records() if found.kind is Kind.ASSET]
    people = [(place.slot, place.generation) for place in state.people.places()] if tree.head.people else []
    known = {(asset.slot, asset.generation) for asset in assets}
    if len(people) != tree.head.subjects or known.union(people) != live:
        raise TamperedError(f"{tree.log.where}: the map names other slots than the tree holds")
    total = sum(asset.size for asset in assets)
    containers = size = 0
    buffer = memoryview(bytearray(_PIECE))
    for asset in assets:
        with hand_out(asset) as opened:
            names = [*opened.names(), *([] if opened.signature is None else [opened.signature])]
            for name in names:
                with opened.open(name) as reader:
                    size += read_through(reader, f"{opened.where}: {name!r}", buffer, lambda _: None)
                if progress is not None:
                    progress(Progress(phase="verifying", done=size, total=max(total, size)))
            containers += len(names) + 1
    stray = [file_id for file_id in object_ids(folder) if owner_of(file_id) not in known]
    note(containers=containers, stray=len(stray))
    return VaultCheck(vault=state.roots.vault.hex(), epoch=tree.epoch, batches=batches, slots=len(slots), containers=containers, size=size)
