# SPDX-License-Identifier: Apache-2.0
"""What a vault says about its assets and erasures."""

from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class AssetInfo:
    """One asset, as the registry knows it.

    Attributes:
        name: As it was sealed.
        slot: Its place in the registry.
        generation: How often the slot has been sealed, this time included.
        state: ``live`` or ``erased``.
        erased_at: Epoch that destroyed the key, or None while it lives.
        files: Number of files.
        size: Plaintext bytes of all files.
        born_encrypted: False if the plaintext lay in files before it was sealed; their blocks may still hold it.
    """

    name: str
    slot: int
    generation: int
    state: Literal["live", "erased"]
    erased_at: int | None
    files: int
    size: int
    born_encrypted: bool


@attrs.frozen(kw_only=True)
class ErasedSlot:
    """One destroyed key.

    Attributes:
        slot: Place in the registry.
        generation: Which sealing of that slot.
    """

    slot: int
    generation: int


@attrs.frozen(kw_only=True)
class Erasure:
    """One erasure that was carried out and checked.

    Attributes:
        vault: Vault id, hexadecimal.
        epoch_before: Epoch whose root opened the keys.
        epoch_after: Epoch that opens them no more.
        slots: The destroyed keys; never the names they had.
        time: UTC, RFC 3339; this machine's clock, which can be wrong.
        not_removed: What the disk would not let go of, as names in the vault folder: containers of no live slot (``objects/…``) and old
            registries (``registry-…``), unreadable without their keys; ``objects`` alone where the containers could not be listed.
    """

    vault: str
    epoch_before: int
    epoch_after: int
    slots: tuple[ErasedSlot, ...]
    time: str
    not_removed: tuple[str, ...] = ()
