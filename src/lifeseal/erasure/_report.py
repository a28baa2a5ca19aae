# SPDX-License-Identifier: Apache-2.0
"""What a vault says of itself: its assets, its holders, how sure an erasure would be."""

from lifeseal.erasure._change import State
from lifeseal.erasure._compact import most_in_use
from lifeseal.erasure._history import record_of, weakest
from lifeseal.erasure._holders import RootHolder
from lifeseal.erasure._records import info_of
from lifeseal.erasure._values import AssetInfo, HolderRecord, VaultInfo


def holders_since(state: State, created: int) -> tuple[HolderRecord, ...]:
    """List the holders that have had a root since an epoch, the one in force last."""
    history = state.history
    return (*history.reaching(created), record_of(state.roots.holder, since=history.since, state="in force"))


def list_assets(state: State) -> tuple[AssetInfo, ...]:
    """List the assets, erased ones included, in the order of their slots."""
    history = state.history
    last = record_of(state.roots.holder, since=history.since, state="in force")

    def assurance(slot: int) -> str:
        return weakest((*history.reaching(state.tree.slot(slot).epoch), last)) if history.others else last.assurance

    found = [info_of(record, assurance, where=str(state.folder)) for record in state.names.records()]
    return tuple(sorted(found, key=lambda info: info.slot))


def describe_vault(state: State) -> VaultInfo:
    """Say what state a vault is in, and what its holder says."""
    holder: RootHolder = state.roots.holder
    holds = state.history.holds
    return VaultInfo(
        vault=state.roots.vault.hex(),
        epoch=state.epoch,
        holder=holder.kind,
        assurance=holder.assurance,
        losing=holder.losing,
        backing_up=holder.backing_up,
        hosts=holder.hosts,
        live=state.tree.head.live,
        erased=state.tree.head.erased,
        subjects=state.tree.head.subjects,
        forgotten=state.tree.head.forgotten,
        people_on_hold=len(holds.keys() - {""}),
        hold_on_everybody=holds.get("", ""),
        log_size=(size := state.tree.log.measure()),
        log_in_use=min(size, most_in_use(state.tree.head)),
        pending=state.unsettled(),
        holders=holders_since(state, 0),
    )
