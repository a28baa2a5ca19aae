# SPDX-License-Identifier: Apache-2.0
"""The sidecar of a hand-over: an asset's data key for one recipient, signed by the giver."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs

from lifeseal._io import DiskSource, Record, StrPath, encode_base64, new_hasher, read_through
from lifeseal.erasure._layout import ID_SIZE, object_name
from lifeseal.erasure._values import KeyCopy
from lifeseal.errors import FormatError, StoreError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from lifeseal.attestation import Policy, SignerInfo, Statement

CONTEXT = b"lifeseal.hand-over/1"


@attrs.frozen(kw_only=True)
class HandOver:
    """A sidecar: one asset's data key, for one recipient.

    Attributes:
        vault: Id of the giver's vault, 16 bytes.
        slot: Of the asset there.
        generation: Which use of that slot.
        index: Id of the container that lists the asset's files, 16 bytes.
        index_sha256: SHA-256 of that container as it lies on the disk.
        copy: What the giver's vault notes about it.
        sealed: The encrypted key.
    """

    vault: bytes
    slot: int
    generation: int
    index: bytes
    index_sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    copy: KeyCopy
    sealed: bytes = attrs.field(repr=False)

    @property
    def info(self) -> bytes:
        """What the encrypted key is bound to, 108 bytes."""
        return info_of(self.vault, self.slot, self.generation, self.index, self.copy.epoch, self.copy.recipient)

    def to_statement(self) -> "Statement":
        """Write the in-toto statement."""
        from lifeseal.attestation import Purpose, Statement, Subject

        return Statement(
            subjects=(Subject(name=object_name(self.index), sha256=self.index_sha256),),
            predicate_type=Purpose.HAND_OVER.predicate_type,
            predicate={
                "vault": self.vault.hex(),
                "slot": self.slot,
                "generation": self.generation,
                "recipient": self.copy.recipient,
                "algorithm": self.copy.algorithm,
                "epoch": self.copy.epoch,
                "time": self.copy.time,
                "sealed": encode_base64(self.sealed),
            },
        )

    @classmethod
    def from_statement(cls, statement: "Statement", *, where: str) -> Self:
        """Read a statement's predicate strictly.

        Args:
            statement: With the predicate type of hand-overs.
            where: Name for error messages.

        Returns:
            What it says.

        Raises:
            FormatError: It is no hand-over.
        """
        record = Record(statement.predicate, where=f"{where}, predicate")
        vault, sealed = record.take_hex("vault", length=ID_SIZE), record.take_base64("sealed")
        slot, generation = record.take_int("slot", high=(1 << 32) - 1), record.take_int("generation", high=(1 << 32) - 1)
        copy = KeyCopy(
            recipient=record.take_hex("recipient", length=32).hex(),
            algorithm=record.take_str("algorithm", max_length=64),
            epoch=record.take_int("epoch"),
            time=record.take_str("time", max_length=64),
            sha256=hashlib.sha256(sealed).hexdigest(),
        )
        record.done()
        subject, *more = statement.subjects
        index = bytes.fromhex(subject.name[-2 * ID_SIZE :]) if _names_a_container(subject.name) else b""
        if more or not index:
            raise FormatError(f"{where}, 'subject'", "one container of a vault was expected")
        return cls(vault=vault, slot=slot, generation=generation, index=index, index_sha256=subject.sha256, copy=copy, sealed=sealed)


@implements(evidences=["13.1"], limits="It shows who gave the key, and for whom; whether it opens anything, only the recipient can tell.")
def open_hand_over(path: StrPath, *, policy: "Policy") -> "tuple[HandOver, SignerInfo]":
    """Read a sidecar that somebody trusted signed; the key in it stays encrypted.

    Args:
        path: The file.
        policy: Whose hand-overs count; there is no default.

    Returns:
        What it says, and who signed it.

    Raises:
        FormatError: It is no sidecar.
        LimitError: It is too large.
        OSError: It cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
    """
    from lifeseal.attestation import Bundle, Purpose, open_statement

    where = os.fspath(path)
    statement, signer = open_statement(Bundle.load(path), policy=policy, purpose=Purpose.HAND_OVER, where=where)
    found = HandOver.from_statement(statement, where=where)
    note(
        vault=found.vault.hex(),
        epoch=found.copy.epoch,
        slot=found.slot,
        generation=found.generation,
        recipient=found.copy.recipient,
        signer=signer.fingerprint,
    )
    return found, signer


def info_of(vault: bytes, slot: int, generation: int, index: bytes, epoch: int, recipient: str) -> bytes:  # noqa: PLR0917
    """Bind an encrypted key to its one place: 20 + 16 + 8 + 8 + 16 + 8 + 32 bytes, so that no field can pass for part of another."""
    numbers = slot.to_bytes(8, "big") + generation.to_bytes(8, "big")
    return CONTEXT + vault + numbers + index + epoch.to_bytes(8, "big") + bytes.fromhex(recipient)


def digest_of(folder: Path, container: bytes) -> bytes:
    """Hash a container as it lies on the disk."""
    hasher, name = new_hasher("sha256"), object_name(container)
    with DiskSource(folder) as source:
        try:
            reader = source.open(name)
        except FileNotFoundError:
            raise StoreError(f"{folder / name}: the container with the list of files is not there") from None
        with reader:
            read_through(reader, str(folder / name), memoryview(bytearray(1 << 16)), hasher.update)
    return hasher.digest()


def _names_a_container(name: str) -> bool:
    head, _, last = name.partition("/")
    return head == "objects" and len(last) == 2 * ID_SIZE and all(c in "0123456789abcdef" for c in last)
