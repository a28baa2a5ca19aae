# SPDX-License-Identifier: Apache-2.0
"""The registry: what each slot holds, and the data keys, encrypted once under the root key of one epoch."""

import os
from collections.abc import Mapping
from typing import Self

import attrs

from lifeseal._io import Record, Secret, canonical, loads
from lifeseal.erasure._layout import ID_SIZE, KEY_SIZE, registry_context
from lifeseal.erasure._root import HeldRoot
from lifeseal.errors import FormatError, TamperedError

_NONCE = 12
_TAG = 16
_LENGTH = 4
MAX_REGISTRY = 4 << 20


@attrs.frozen(kw_only=True)
class Slot:
    """One slot, without its key.

    Attributes:
        name: Name of its asset.
        generation: Counts the sealings of the slot, from 1.
        erased: Epoch that destroyed the key; 0 while it lives.
        files: Number of files.
        size: Plaintext bytes of all files.
        index: Id of the container that lists the files, 16 bytes.
        born_encrypted: False if the plaintext lay in files before.
    """

    name: str
    generation: int
    erased: int
    files: int
    size: int
    index: bytes
    born_encrypted: bool


class Registry:
    """Slots, and their data keys in locked memory.

    Args:
        slots: In order.
        keys: 32 bytes a slot, zero for one that is erased; owned from here on.
    """

    def __init__(self, slots: tuple[Slot, ...], keys: Secret) -> None:
        self.slots = slots
        self.keys = keys
        self._by_name = {slot.name: number for number, slot in enumerate(slots)}

    @classmethod
    def empty(cls) -> Self:
        """Start without slots."""
        return cls((), _room_for(0))

    def find(self, name: str) -> int | None:
        """Return the number of the slot with that name, live or erased."""
        return self._by_name.get(name)

    def key(self, number: int) -> Secret:
        """Copy a live slot's data key into memory of its own."""
        with self.keys.view() as keys, keys[_place(number)] as key:
            return Secret.copy_of(key)

    def following(self, slots: tuple[Slot, ...], *, fresh: Mapping[int, Secret]) -> "Registry":
        """Make the next registry: live slots keep their keys, erased ones lose them.

        Args:
            slots: All slots of the next registry.
            fresh: New keys by slot number.

        Returns:
            The next registry, with keys of its own.
        """
        room = _room_for(len(slots))
        with self.keys.view() as old, room.view() as new:
            for number, slot in enumerate(slots):
                if slot.erased:
                    continue
                if number in fresh:
                    with fresh[number].view() as key:
                        new[_place(number)] = key
                else:
                    new[_place(number)] = old[_place(number)]
        return Registry(slots, room)

    def same_as(self, other: "Registry") -> bool:
        """Compare slots and keys."""
        return self.slots == other.slots and self.keys.same_as(other.keys)

    def encrypt(self, root: HeldRoot) -> bytearray:
        """Encrypt under a root key that was made for this registry alone.

        Args:
            root: Vault id, epoch and root key.

        Returns:
            Nonce, ciphertext, tag.

        Raises:
            LimitError: More slots than 4 MiB of locked memory hold.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        text = canonical({"slots": [_to_json(slot) for slot in self.slots]})
        keys = KEY_SIZE * len(self.slots)
        nonce = os.urandom(_NONCE)
        with Secret(_LENGTH + len(text) + keys) as plain, plain.view() as view, self.keys.view() as held, root.key.view() as key:
            view[:_LENGTH] = len(text).to_bytes(_LENGTH, "big")
            view[_LENGTH : _LENGTH + len(text)] = text
            view[_LENGTH + len(text) :] = held[:keys]
            sealed = bytearray(_NONCE + len(view) + _TAG)
            sealed[:_NONCE] = nonce
            with memoryview(sealed) as out, out[_NONCE:] as body:
                AESGCM(key).encrypt_into(nonce, view, registry_context(root.vault, root.epoch), body)
        return sealed

    @classmethod
    def decrypt(cls, data: bytes, root: HeldRoot, *, where: str) -> Self:
        """Open a registry; its keys go nowhere but into locked memory.

        Args:
            data: The file.
            root: Vault id, epoch and root key.
            where: Name for error messages.

        Returns:
            The registry.

        Raises:
            FormatError: It authenticates, but is not what this version writes.
            TamperedError: It does not authenticate.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(data) < _NONCE + _TAG + _LENGTH:
            raise TamperedError(f"{where}: cut short")
        with Secret(len(data) - _NONCE - _TAG) as plain, plain.view() as view, root.key.view() as key:
            try:
                AESGCM(key).decrypt_into(data[:_NONCE], memoryview(data)[_NONCE:], registry_context(root.vault, root.epoch), view)
            except InvalidTag:
                raise TamperedError(f"{where}: does not authenticate under the root of epoch {root.epoch}; it was changed or mixed up") from None
            end = _LENGTH + int.from_bytes(view[:_LENGTH], "big")
            slots = _parse(bytes(view[_LENGTH:end]), where=where)
            if len(view) != end + KEY_SIZE * len(slots):
                raise FormatError(where, f"one key of {KEY_SIZE} bytes a slot was expected")
            room = _room_for(len(slots))
            with room.view() as keys, view[end:] as found:
                keys[: len(found)] = found
        return cls(slots, room)

    def close(self) -> None:
        """Zero the keys; twice is no error."""
        self.keys.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _place(number: int) -> slice:
    return slice(number * KEY_SIZE, (number + 1) * KEY_SIZE)


def _room_for(slots: int) -> Secret:
    return Secret(KEY_SIZE * max(1, slots))


def _to_json(slot: Slot) -> dict[str, object]:
    return attrs.asdict(slot) | {"index": slot.index.hex()}


def _parse(text: bytes, *, where: str) -> tuple[Slot, ...]:
    document = Record(loads(text, where=where), where=where)
    slots = []
    for item in document.take_list("slots"):
        entry = Record(item, where=where)
        slots.append(
            Slot(
                name=entry.take_str("name"),
                generation=entry.take_int("generation", low=1),
                erased=entry.take_int("erased"),
                files=entry.take_int("files"),
                size=entry.take_int("size"),
                index=entry.take_hex("index", length=ID_SIZE),
                born_encrypted=entry.take_bool("born_encrypted"),
            )
        )
        entry.done()
    document.done()
    if len({slot.name for slot in slots}) != len(slots):
        raise FormatError(where, "a name of an asset stands twice")
    return tuple(slots)
