# SPDX-License-Identifier: Apache-2.0
"""What a vault says about its assets, its state and its erasures."""

import datetime as dt
from typing import Literal, TypeAlias

import attrs

from lifeseal.erasure._holders import Strength

HolderState: TypeAlias = Literal["in force", "begun", "left", "scheduled", "destroyed"]


@attrs.frozen(kw_only=True)
class HolderRecord:
    """One holder that holds a root of a vault, held one, or may have.

    Attributes:
        kind: The sort of holder.
        fingerprint: Of its key, where the vault id does not say enough.
        place: Path of its file, if it is a file; for the vault's owner, not for certificates.
        strength: How sure it is that what it destroyed is gone, when this was written.
        assurance: The same in sentences.
        retention: How long a copy of its root may outlive the destruction; None for unknown.
        since: First epoch under it; if a move to it was begun and not ended, the epoch before.
        until: Last epoch under it; 0 for the one in force, and for one that a move was begun to.
        state: ``in force``; ``begun`` if a move to it was begun and a root of it may be there; ``left`` if its root is not destroyed;
            ``scheduled`` if it shall be; ``destroyed``.
        when: Time of its destruction or of scheduling it, UTC, RFC 3339; empty before. This machine's clock, which can be wrong.
        due: When what is scheduled will be gone, by the holder's own clock; None if it is not scheduled or the holder does not say.
        witness: Key version that a wrapper keeps while its others are destroyed, so that it can be told from a service that never had them.
    """

    kind: str
    fingerprint: str
    place: str
    strength: Strength
    assurance: str
    retention: dt.timedelta | None
    since: int
    until: int
    state: HolderState
    when: str
    due: dt.datetime | None = None
    witness: str = ""

    @property
    def called(self) -> str:
        """What to call the root that it may have, in a message."""
        until = "" if self.due is None else f" until {self.due.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        scheduled = f"whose destruction is scheduled{until}"
        how = {"begun": "where a move to it began", "left": "which the vault has left", "scheduled": scheduled}.get(self.state)
        return f"the root in {self.kind} ({self.place or self.fingerprint[:80] or 'named by the vault alone'}){f', {how}' if how else ''}"


@attrs.frozen(kw_only=True)
class KeyCopy:
    """A copy of an asset's data key that was given to somebody, and can never be called back.

    Attributes:
        recipient: Hexadecimal SHA-256 of the recipient's public key in PEM form.
        algorithm: How it was encrypted for the recipient.
        epoch: Change that noted it in the vault.
        time: UTC, RFC 3339; this machine's clock, which can be wrong.
        sha256: Hexadecimal SHA-256 of the encrypted key; the sidecar holds the same.
    """

    recipient: str
    algorithm: str
    epoch: int
    time: str
    sha256: str


@attrs.frozen(kw_only=True)
class AssetInfo:
    """One asset, as the vault knows it.

    Attributes:
        name: As it was sealed; empty for an erased one, whose name is gone too.
        slot: Its place in the key tree.
        generation: How often the slot has been used, this time included.
        state: ``live`` or ``erased``.
        erased_at: Epoch that destroyed the key, or None while it lives.
        files: Number of files; 0 for an erased one.
        size: Plaintext bytes of all files; 0 for an erased one.
        born_encrypted: False if the plaintext lay in files before it was sealed; their blocks may still hold it.
        assurance: How far an erasure of it can be relied on, as the weakest of the holders says that the vault has had since it was sealed;
            empty for an erased one.
        hold: Why it may not be erased; empty if it may.
        copies: Copies of its key that were given away; none for an erased one, whose `Erasure` tells.
    """

    name: str
    slot: int
    generation: int
    state: Literal["live", "erased"]
    erased_at: int | None
    files: int
    size: int
    born_encrypted: bool
    assurance: str
    hold: str = ""
    copies: tuple[KeyCopy, ...] = ()


@attrs.frozen(kw_only=True)
class ErasedSlot:
    """One destroyed key.

    Attributes:
        slot: Place in the key tree.
        generation: Which use of that slot.
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
            logs (``log-…``), unreadable without their keys; ``objects`` alone where the containers could not be listed.
        pending: Key versions that the root holder will destroy, but has not yet, and earlier holders that still have a root: until then the
            erasure is not final.
        copies: Copies of the destroyed keys that were given away before, and live on with their recipients.
        pseudonyms: For people, in the order given: what may stand for each in a document (see `Subjects.pseudonym`).
        holders: Every holder that has had a root since the first of them was sealed; the one in force comes last.
        assurance: How far the erasure can be relied on, as the weakest of these says.
        irreversible_since: When the last copy of a root that somebody stands for is gone, UTC, RFC 3339; ``unknown`` if nobody does, or while
            something is pending.
    """

    vault: str
    epoch_before: int
    epoch_after: int
    slots: tuple[ErasedSlot, ...]
    time: str
    holders: tuple[HolderRecord, ...]
    assurance: str
    irreversible_since: str
    not_removed: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    copies: tuple[KeyCopy, ...] = ()
    pseudonyms: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class VaultInfo:
    """A vault's state.

    Attributes:
        vault: Vault id, hexadecimal.
        epoch: In force.
        holder: The sort of place that holds the root.
        assurance: How far an erasure can be relied on, as the root holder says.
        losing: What losing the root means.
        backing_up: What backing it up means.
        hosts: How many hosts may write.
        live: Live assets.
        erased: Erased ones.
        subjects: People whose records it can open.
        forgotten: People who were erased.
        people_on_hold: People who are on hold by themselves; see `Vault.holds`.
        hold_on_everybody: Why all people are on hold; empty if they are not.
        log_size: Bytes of the node log.
        log_in_use: How many of them the vault can need at most; where these are far fewer, `Vault.compact` makes the log small.
        pending: What may still open an older root, and with it what was erased since: key versions that the holder has not destroyed yet, and
            earlier holders that still have a root.
        holders: Every holder that has had a root of the vault, or may have; the one in force comes last.
    """

    vault: str
    epoch: int
    holder: str
    assurance: str
    losing: str
    backing_up: str
    hosts: str
    live: int
    erased: int
    subjects: int
    forgotten: int
    people_on_hold: int
    hold_on_everybody: str
    log_size: int
    log_in_use: int
    pending: tuple[str, ...]
    holders: tuple[HolderRecord, ...]


@attrs.frozen(kw_only=True)
class Rehoming:
    """What became of the root that a vault had in another holder.

    Attributes:
        vault: Vault id, hexadecimal.
        epoch: In force.
        holder: The sort of place that holds the root now.
        old: The other holder, with the state that was written down.
        pending: Key versions that it will destroy, but has not yet.
    """

    vault: str
    epoch: int
    holder: str
    old: HolderRecord
    pending: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class VaultCheck:
    """What a check of a vault looked at and found whole.

    Attributes:
        vault: Vault id, hexadecimal.
        epoch: In force; 0 where no root was used.
        batches: Batches of the node log whose digests were compared.
        slots: Slots in use that the tree was walked for; 0 where no root was used.
        containers: Containers that were read, or without a root looked at.
        size: Plaintext bytes that were read; 0 where no root was used.
    """

    vault: str
    epoch: int
    batches: int
    slots: int
    containers: int
    size: int


@attrs.frozen(kw_only=True)
class Compaction:
    """What a compaction did.

    Attributes:
        vault: Vault id, hexadecimal.
        epoch_before: Epoch before.
        epoch_after: Epoch whose log is the new one.
        size_before: Bytes of the log before.
        size_after: Bytes of the new one.
        not_removed: Old logs that the disk would not let go of; unreadable without the old root.
    """

    vault: str
    epoch_before: int
    epoch_after: int
    size_before: int
    size_after: int
    not_removed: tuple[str, ...] = ()
