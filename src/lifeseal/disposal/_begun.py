# SPDX-License-Identifier: Apache-2.0
"""The first line of a journal: everything that is needed to go on with a disposal, and no key."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import attrs

from lifeseal.disposal._copies import Search
from lifeseal.disposal._plan import Plan
from lifeseal.disposal._removal import Identity, Target, shown
from lifeseal.disposal._values import (
    Derivative,
    DisposedAsset,
    KnownDigests,
    Listing,
    Party,
    Searched,
    Stated,
    Trigger,
    Vouched,
)

_SHOWN = 1000


@attrs.frozen(kw_only=True)
class Name:
    """A path as text, and as the bytes that the file system knows.

    Attributes:
        path: For people.
        bytes: Hexadecimal.
    """

    path: str
    bytes: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Take a path."""
        return cls(path=shown(path), bytes=os.fsencode(path).hex())

    @property
    def place(self) -> Path:
        """The path itself."""
        return Path(os.fsdecode(bytes.fromhex(self.bytes)))


@attrs.frozen(kw_only=True)
class ToUnlink:
    """A name that is to be unlinked.

    Attributes:
        name: Which.
        identity: See `Target`.
    """

    name: Name
    identity: tuple[int, ...]

    @property
    def target(self) -> Target:
        """As `lifeseal.disposal._removal.unlink` takes it."""
        device, inode, size, written = self.identity
        found: Identity = (device, inode, size, written)
        return Target(path=self.name.place, identity=found)


@attrs.frozen(kw_only=True)
class Begun:
    """What a disposal was begun with.

    Attributes:
        order: Digest of the order.
        started: UTC, RFC 3339.
        vault: Vault id, or empty.
        request: Reference of the request.
        trigger: Why.
        sanitiser: Who carries it out.
        custodian: Data Custodian who is responsible.
        stated: What people stated.
        approval: The second signer's, or None.
        receipt: The recipient's, or None.
        signed: Whether the certificate is to be signed.
        assets: What is disposed of.
        unlink: Names that are to be unlinked.
        folders: Folders that are to be removed when they are empty.
        keep: Copies that are kept.
        places: Where copies are searched for.
        search: The search before.
        sought: SHA-256 of what is searched for, kept beside the journal; empty if nothing is.
        derivatives: What was made from the assets.
        manifests: Manifests with digests of them.
        limitations: What is not reached.
    """

    order: str
    started: str
    vault: str
    request: str
    trigger: Trigger
    sanitiser: Party
    custodian: Party
    stated: Stated
    approval: Vouched | None
    receipt: Vouched | None
    signed: bool
    assets: tuple[DisposedAsset, ...]
    unlink: tuple[ToUnlink, ...]
    folders: tuple[Name, ...]
    keep: tuple[str, ...]
    places: tuple[Name, ...]
    search: Searched | None
    sought: str
    derivatives: tuple[Derivative, ...]
    manifests: tuple[KnownDigests, ...]
    limitations: tuple[str, ...]

    @classmethod
    def of(
        cls,
        plan: Plan,
        *,
        started: str,
        trigger: Trigger,
        sanitiser: Party,
        custodian: Party,
        stated: Stated,
        approval: Vouched | None,
        receipt: Vouched | None,
        signed: bool,
    ) -> Self:
        """Take a plan, and what was given with it."""
        return cls(
            order=plan.digest,
            started=started,
            vault=plan.vault.id if plan.vault is not None and any(asset.kind != "plaintext" for asset in plan.assets) else "",
            request=plan.request,
            trigger=trigger,
            sanitiser=sanitiser,
            custodian=custodian,
            stated=stated,
            approval=approval,
            receipt=receipt,
            signed=signed,
            assets=plan.assets,
            unlink=tuple(ToUnlink(name=Name.of(target.path), identity=target.identity) for target in plan.targets),
            folders=tuple(map(Name.of, plan.folders)),
            keep=tuple(map(shown, plan.kept)),
            places=tuple(map(Name.of, plan.places)),
            search=None if plan.search is None else searched(plan.search, plan.places),
            sought="",
            derivatives=plan.derivatives,
            manifests=plan.manifests,
            limitations=plan.limitations,
        )

    @property
    def keyed(self) -> tuple[DisposedAsset, ...]:
        """Those of the assets that had a key."""
        return tuple(asset for asset in self.assets if asset.kind != "plaintext")


def searched(search: Search, places: tuple[Path, ...]) -> Searched:
    """Sum up a search for a certificate."""
    copies = [f"{shown(copy.path)} ({copy.told})" for copy in search.copies]
    return Searched(
        places=tuple(map(shown, places)), files=search.files, read=search.read, copies=listing(copies), unread=listing(map(shown, search.unread))
    )


def listing(texts: Iterable[str]) -> Listing:
    """Keep the first thousand texts, each cut to what a certificate can hold."""
    every = sorted(texts)
    return Listing(first=tuple(text[:4000] for text in every[:_SHOWN]), more=max(0, len(every) - _SHOWN))
