# SPDX-License-Identifier: Apache-2.0
"""Giving an asset's data key away: encrypted for one recipient, noted in the vault first, signed by the giver."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import StrPath
from lifeseal.erasure._leftovers import free_epoch
from lifeseal.erasure._places import refuse_overlap
from lifeseal.erasure._recipient import Recipient
from lifeseal.erasure._records import Asset
from lifeseal.erasure._session import Session
from lifeseal.erasure._sidecar import HandOver, digest_of, info_of
from lifeseal.erasure._values import KeyCopy
from lifeseal.errors import LimitError
from lifeseal.principles import Fact, announce, implements, note, now

if TYPE_CHECKING:
    from lifeseal.attestation import Signer

MAX_COPIES = 64
_LIMITS = "Whoever received a key can pass it on; nothing calls it back, and erasing the asset here does not reach it."


class HandOvers:
    """What `Vault.hand_overs` hands out: giving a data key away, and the list of those that were given.

    Args:
        session: Of the vault.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __facts__(self) -> dict[str, Fact]:
        return self._session.facts()

    @implements("13.1", limits=_LIMITS)
    def give(self, name: str, recipient: Recipient, *, signer: "Signer", out: StrPath) -> HandOver:
        """Encrypt an asset's data key for somebody, in a sidecar signed by the giver.

        The vault notes the copy first, as a change of its own: so no sidecar is there that the vault does not know of. What goes wrong
        after leaves a note without a sidecar. The recipient also needs the asset's containers: a copy of the vault folder, or of
        ``objects/`` in it.

        Args:
            name: Of a live asset.
            recipient: Who shall open it; compare the fingerprint with its owner first.
            signer: Who gives.
            out: The new file.

        Returns:
            What the sidecar says.

        Raises:
            DestroyedError: The asset was erased.
            FileExistsError: ``out`` is there already.
            LimitError: The key was given to 64 recipients already.
            LockedError: Another process writes to the vault.
            PendingError: The copy is noted, but the root holder did not destroy the old root; no sidecar was written.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault is closed.
            StoreError: No asset has that name, or a container is not there.
            TamperedError: The log, the index or its container was changed.
            ValueError: ``out`` lies in the vault.
            OSError: The disk refused; a note says whether the copy is noted.
        """
        from lifeseal.attestation import sign_statement  # here, as most who open a vault need none of it

        session = self._session
        refuse_overlap(Path(out), session.folder, session.holder)
        if os.path.lexists(out):
            raise FileExistsError(f"{os.fspath(out)}: is there already; a hand-over is not replaced")
        with session.writing() as state:
            asset = session.find_live(state, name)
            if len(asset.copies) >= MAX_COPIES:
                raise LimitError(f"{session.folder}: asset {name!r}", limit=MAX_COPIES, seen=len(asset.copies) + 1, unit="copies of its key")
            epoch = free_epoch(session.folder, state.epoch)
            facts: dict[str, Fact] = {"asset": name, "slot": asset.slot, "generation": asset.generation, "recipient": recipient.fingerprint}
            announce("lifeseal.erasure.HandOvers.give", ("uk-ai-cop:13.1",), vault=session.id.hex(), epoch=state.epoch, **facts)
            note(vault=session.id.hex(), epoch=epoch, **facts)
            session.hand_out(state, asset).close()  # its index opens, and so does the key
            made = _make(session, asset, recipient, epoch)
            noted = attrs.evolve(asset, copies=(*asset.copies, made.copy))
            state.names.put(noted.to_mapped(state.names.tag(name)))
            pages, head = state.names.edits(state.tree.head)
            session.commit(pages, head, what="a copy of the key is noted, and not yet given")
            try:
                sign_statement(made.to_statement(), signer=signer).write(out, overwrite=False)
            except BaseException as error:
                error.add_note(f"{session.folder}: the vault notes at epoch {epoch} a copy of the key of {name!r} whose sidecar was not written")
                raise
        note(sha256=made.copy.sha256)
        return made

    @implements(evidences=["5.1", "13.1"], limits="It lists what was given through this vault; a recipient's own copies are not known to it.")
    def list(self, name: str) -> tuple[KeyCopy, ...]:
        """List the copies of an asset's key that were given.

        Args:
            name: Of a live asset.

        Returns:
            One entry a recipient, oldest first. An entry may be of a copy whose sidecar was never written.

        Raises:
            DestroyedError: The asset was erased; its certificate lists the copies.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: No asset has that name.
            TamperedError: The log was changed.
            OSError: A file cannot be read.
        """
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch, asset=name)
            return self._session.find_live(state, name).copies


def _make(session: Session, asset: Asset, recipient: Recipient, epoch: int) -> HandOver:
    """Encrypt the key; in memory, until the vault has noted it."""
    info = info_of(session.id, asset.slot, asset.generation, asset.index, epoch, recipient.fingerprint)
    with session.current().tree.key(asset.slot) as key, key.view() as view:
        sealed = recipient.seal(view, info)
    digest = hashlib.sha256(sealed).hexdigest()
    copy = KeyCopy(recipient=recipient.fingerprint, algorithm=recipient.algorithm, epoch=epoch, time=now(), sha256=digest)
    return HandOver(
        vault=session.id,
        slot=asset.slot,
        generation=asset.generation,
        index=asset.index,
        index_sha256=digest_of(session.folder, asset.index),
        copy=copy,
        sealed=sealed,
    )
