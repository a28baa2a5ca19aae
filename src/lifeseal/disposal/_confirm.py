# SPDX-License-Identifier: Apache-2.0
"""Comparing a certificate with the vault it speaks of."""

from typing import TYPE_CHECKING

from lifeseal.disposal._certificate import Certificate
from lifeseal.errors import PolicyError, RolledBackError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from lifeseal.erasure import Vault


@implements(
    evidences=("13.1", "13.2"),
    limits="It shows that this vault refuses the assets now; a copy of the vault together with an old root file would still open.",
)
def confirm(certificate: Certificate, vault: "Vault") -> None:
    """Compare a certificate with the vault it speaks of.

    Args:
        certificate: From `open_certificate`.
        vault: The same vault, open.

    Raises:
        PolicyError: It speaks of another vault, or an asset it names can be read.
        RolledBackError: The vault is older than the erasure: folder and root were restored from before.
    """
    from lifeseal.erasure import ErasedSlot

    disposal = certificate.disposal
    note(vault=disposal.vault, epoch=disposal.epoch_after)
    if vault.id != disposal.vault:
        raise PolicyError(f"the certificate is about {f'vault {disposal.vault}' if disposal.vault else 'no vault'}, and this is vault {vault.id}")
    keyed = [asset for asset in disposal.assets if asset.slot is not None and asset.generation is not None]
    slots = [ErasedSlot(slot=asset.slot or 0, generation=asset.generation or 0) for asset in keyed]
    states = vault.trials.states(slots)  # first: this learns the epoch in force
    if vault.epoch < disposal.epoch_after:
        raise RolledBackError(f"the vault is at epoch {vault.epoch}, before the erasure at {disposal.epoch_after}: it was restored")
    for asset, (state, _) in zip(keyed, states, strict=True):
        if state not in {"erased", "reused"}:
            raise PolicyError(f"{asset.name!r} (slot {asset.slot}) is not erased in this vault")
