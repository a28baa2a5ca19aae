# SPDX-License-Identifier: Apache-2.0
"""What the map says about an asset, and what stays of it when it is erased: a place and an epoch, no name."""

from collections.abc import Callable
from typing import Self

import attrs

from lifeseal._io import Record, canonical, loads
from lifeseal.erasure._layout import ID_SIZE
from lifeseal.erasure._map import Kind, Mapped
from lifeseal.erasure._values import AssetInfo, KeyCopy
from lifeseal.errors import TamperedError


@attrs.frozen(kw_only=True)
class Asset:
    """A live asset.

    Attributes:
        name: As it was sealed.
        slot: Its slot.
        generation: Which use of the slot.
        files: Number of files.
        size: Plaintext bytes of all files.
        index: Id of the container that lists the files.
        born_encrypted: False if the plaintext lay in files before.
        hold: Why it may not be erased; empty if it may.
        copies: Copies of its key that were given away.
    """

    name: str
    slot: int
    generation: int
    files: int
    size: int
    index: bytes
    born_encrypted: bool
    hold: str = ""
    copies: tuple[KeyCopy, ...] = ()

    def to_mapped(self, tag: bytes) -> Mapped:
        """Write it as a record of the map."""
        fields: dict[str, object] = {
            "name": self.name,
            "files": self.files,
            "size": self.size,
            "index": self.index.hex(),
            "born_encrypted": self.born_encrypted,
        }
        fields |= {"hold": self.hold} if self.hold else {}
        fields |= {"copies": [attrs.asdict(copy) for copy in self.copies]} if self.copies else {}
        return Mapped(tag=tag, kind=Kind.ASSET, slot=self.slot, generation=self.generation, body=canonical(fields))

    @classmethod
    def from_mapped(cls, found: Mapped, *, where: str) -> Self:
        """Read a record of the map."""
        entry = Record(loads(found.body, where=where), where=where)
        asset = cls(
            name=entry.take_str("name"),
            slot=found.slot,
            generation=found.generation,
            files=entry.take_int("files"),
            size=entry.take_int("size"),
            index=entry.take_hex("index", length=ID_SIZE),
            born_encrypted=entry.take_bool("born_encrypted"),
            hold=entry.take_str("hold") if "hold" in entry else "",
            copies=tuple(_copy(item, where=where) for item in entry.take_list("copies")) if "copies" in entry else (),
        )
        entry.done()
        return asset


def grave_of(found: Mapped, epoch: int) -> Mapped:
    """Return what takes an asset's place in the map."""
    return attrs.evolve(found, kind=Kind.GRAVE, body=epoch.to_bytes(8, "big"))


def erased_at(found: Mapped, *, where: str) -> int:
    """Read the epoch of a grave."""
    if len(found.body) != 8:  # noqa: PLR2004 - one number
        raise TamperedError(f"{where}: authenticates, but holds a grave of no epoch")
    return int.from_bytes(found.body, "big")


def info_of(found: Mapped, assurance: Callable[[int], str], *, where: str) -> AssetInfo:
    """Tell people about a record; ``assurance`` says how far an erasure of a slot could be relied on."""
    if found.kind is Kind.GRAVE:
        return AssetInfo(
            name="",
            slot=found.slot,
            generation=found.generation,
            state="erased",
            erased_at=erased_at(found, where=where),
            files=0,
            size=0,
            born_encrypted=False,
            assurance="",
        )
    asset = Asset.from_mapped(found, where=where)
    return AssetInfo(
        name=asset.name,
        slot=asset.slot,
        generation=asset.generation,
        state="live",
        erased_at=None,
        files=asset.files,
        size=asset.size,
        born_encrypted=asset.born_encrypted,
        hold=asset.hold,
        assurance=assurance(asset.slot),
        copies=asset.copies,
    )


def _copy(item: object, *, where: str) -> KeyCopy:
    entry = Record(item, where=where)
    copy = KeyCopy(
        recipient=entry.take_str("recipient"),
        algorithm=entry.take_str("algorithm"),
        epoch=entry.take_int("epoch"),
        time=entry.take_str("time"),
        sha256=entry.take_str("sha256"),
    )
    entry.done()
    return copy
