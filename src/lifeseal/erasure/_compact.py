# SPDX-License-Identifier: Apache-2.0
"""Compaction: the tree written anew into a log of its own, compared with the old one from the root down, then put in force."""

import contextlib
import math
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from lifeseal._io import remove
from lifeseal.erasure._change import Outcome, State, switch, write_log
from lifeseal.erasure._holders import HeldRoot
from lifeseal.erasure._layout import log_name
from lifeseal.erasure._leftovers import free_epoch
from lifeseal.erasure._log import LogReader
from lifeseal.erasure._nodes import CAPACITY, ENTRY, FANOUT, NODE_SIZE, Head
from lifeseal.erasure._nodes import State as SlotState
from lifeseal.erasure._tree import Tree, write_tree
from lifeseal.erasure._values import Compaction
from lifeseal.errors import PendingError, TamperedError

_BEFORE_PLACE = ENTRY - 6
FLOOR = 64 << 20
_FACTOR = 4
_NODE_FRAME = NODE_SIZE + 48
_PAGE_FRAME = 40 << 10


def most_in_use(head: Head) -> int:
    """Tell how many bytes of a log the tree in force can need at most.

    Args:
        head: Of its root node.

    Returns:
        Bytes: nodes above every slot that was ever used, and the pages of the map.
    """
    pages: int = CAPACITY - head.next_page
    leaves = math.ceil(head.next_slot / FANOUT) + math.ceil(pages / FANOUT)
    return (leaves + math.ceil(leaves / FANOUT) + 2) * _NODE_FRAME + pages * _PAGE_FRAME


def is_due(state: State) -> bool:
    """Tell whether a log has grown to several times what can be in use, and is not small."""
    return state.tree.log.measure() > max(FLOOR, _FACTOR * most_in_use(state.tree.head))


def compact(state: State, moved: Callable[[State, Outcome], None]) -> Compaction:
    """Compact a vault whose holder is locked.

    Args:
        state: In force; closed by this if the compaction succeeds.
        moved: Takes over the new state.

    Returns:
        What was gained.

    Raises:
        PendingError: The holder has not destroyed an older root yet.
        TamperedError: A node or page does not open, or the new log does not equal the old.
    """
    folder, roots, before = state.folder, state.roots, state.epoch
    roots.settle(before)
    if pending := state.unsettled():
        raise PendingError(f"{folder}: what opens an older root has still to be destroyed: {', '.join(pending)}; compact when it is")
    epoch, size = free_epoch(folder, before), state.tree.log.measure()
    key = write_log(folder, roots.vault, epoch, lambda batch: write_tree(state.tree, state.tree.log, [], state.tree.head, batch, whole=True))
    fresh = HeldRoot(vault=roots.vault, epoch=epoch, key=key)
    try:
        _compare(state.tree, fresh, folder=folder)
    except BaseException:
        key.close()
        with contextlib.suppress(OSError):
            remove(folder / log_name(epoch))
        raise
    following, outcome = switch(state, fresh, what="the vault is compacted")
    moved(following, outcome)
    return Compaction(
        vault=roots.vault.hex(),
        epoch_before=before,
        epoch_after=epoch,
        size_before=size,
        size_after=following.tree.log.measure(),
        not_removed=outcome.left,
    )


def _compare(old: Tree, fresh: HeldRoot, *, folder: Path) -> None:
    """Read the new log from its root down; every slot must be as in the old one, and every page."""
    log = LogReader(folder, fresh.epoch, fresh.vault)
    try:
        commit, _, _ = log.find(fresh.epoch)
        if commit is None:
            raise TamperedError(f"{log.where}: the new log reads back without its batch")
        with Tree(log, commit, fresh.key) as new:
            pages = []
            for left, right in zip_longest(old.leaves(), new.leaves()):
                if left is None or right is None or left[0] != right[0]:
                    raise TamperedError(f"{log.where}: the new log does not hold the nodes of the old one")
                if left[1] == right[1]:
                    continue
                for number in range(FANOUT):
                    one, other = (node[number * ENTRY : (number + 1) * ENTRY] for _, node in (left, right))
                    if one[:_BEFORE_PLACE] != other[:_BEFORE_PLACE] or (one != other and one[32] != SlotState.PAGE):
                        raise TamperedError(f"{log.where}: slot {left[0] + number} of the new log differs from the old one")
                    if one[32] == SlotState.PAGE:
                        pages.append(left[0] + number)
            if new.head != old.head or any(old.page(slot) != new.page(slot) for slot in pages):
                raise TamperedError(f"{log.where}: the map of the new log differs from the old one")
    finally:
        log.close()
