# SPDX-License-Identifier: Apache-2.0
"""A root in an NV index of a TPM 2.0: read and written under its own authorisation value, over salted and encrypted sessions."""

import contextlib
import datetime as dt
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from lifeseal._io import Secret
from lifeseal.erasure import _root_record
from lifeseal.erasure._holders import HeldRoot, Strength
from lifeseal.erasure._locks import name_locked
from lifeseal.erasure._tpm import Index
from lifeseal.erasure._versions import fingerprint_of
from lifeseal.errors import CredentialError, LimitError, StateError, StoreError, TamperedError

_COUNT = 8
_SIZE = _root_record.SIZE + _COUNT
_INDICES = range(0x01000000, 0x02000000)
_MAX_AUTH = 32  # bytes; what SHA-256 as the index's name algorithm allows


class TpmRoot:
    """A root in an NV index of a TPM 2.0.

    The index holds vault id, epoch, root key and a count of its writes; a change replaces them in one write, which is read back and compared.
    Sessions are salted and encrypted, so nothing can be read on the bus by who only listens; who can stand in for the TPM there can.
    How sure an erasure is depends on what the TPM is: one of a virtual machine is a file of the host, and goes into snapshots. Nothing tells
    them apart for certain, so the operator declares it; without a word it counts as a file.

    The memory of a TPM wears out. Its maker says after how many writes; 100,000 is usual. A change is one write, a seal two. Past ``writes``
    the index is not written any more: move the vault to a fresh one.

    The root key and the authorisation value pass through ordinary memory of this process, which the TSS library does not clear. That library
    tells errors to standard error by itself; ``TSS2_LOG=all+NONE`` in the environment silences it.

    Args:
        index: Handle of the NV index, 0x01000000 to 0x01FFFFFF; your TPM's owner says which are free. It is made if it is not there.
        auth: Authorisation value of the index, 1 to 32 bytes; a bytearray is zeroed after it was copied into locked memory.
        tcti: How the TPM is reached.
        owner_auth: Authorisation value of the TPM's owner, where it is not empty; only to make and to remove the index.
        hardware: You declare that it is a TPM of the machine itself, a chip or part of the processor, and of no virtual machine.
        writes: How often the index may be written.

    Source: TCG TPM 2.0 Library, Part 1, sections 19 (sessions: salt, parameter encryption), 35 (NV memory); Part 3, section 31 (NV commands).
    """

    kind = "tpm"
    location = None
    compare_and_swap = False
    hosts = "One host may write, as the TPM is part of it. Its processes lock one another out, but for those in a network namespace of their own."
    losing = "Losing the TPM, as with a mainboard or when it is cleared, or the authorisation value loses everything sealed under it."
    backing_up = "A TPM has no backup; one of a virtual machine goes into its snapshots, and these undo every erasure made after them."

    def __init__(
        self,
        index: int,
        *,
        auth: bytes | bytearray | memoryview,
        tcti: str = "device:/dev/tpmrm0",
        owner_auth: bytes | bytearray | memoryview = b"",
        hardware: bool = False,
        writes: int = 100_000,
    ) -> None:
        if index not in _INDICES:
            raise ValueError(f"an NV index lies from {_INDICES.start:#010x} to {_INDICES.stop - 1:#010x}")
        if not 0 < len(auth) <= _MAX_AUTH or len(owner_auth) > _MAX_AUTH:
            raise ValueError(f"an authorisation value has 1 to {_MAX_AUTH} bytes")
        if auth[-1] == 0 or (len(owner_auth) and owner_auth[-1] == 0):
            raise ValueError("an authorisation value must not end with a zero byte: the TPM takes that off")
        if writes < 1:
            raise ValueError("writes= must be positive")
        self._index = index
        self._tcti = tcti
        self._writes = writes
        self._auth = Secret.copy_of(auth)
        self._owner_auth = Secret.copy_of(owner_auth) if len(owner_auth) else None
        self._guard = threading.RLock()
        self._process = os.getpid()
        self._refused = False
        self._where = f"TPM, NV index {index:#010x}"
        self._hardware = hardware
        self.fingerprint = fingerprint_of(self.kind, f"{index:#010x}")
        self.strength = Strength.HARDWARE if hardware else Strength.BEST_EFFORT
        self.retention = dt.timedelta(0) if hardware else None

    @property
    def assurance(self) -> str:
        """How far an old root can be trusted to be gone, with what was declared."""
        if not self._hardware:
            return "Best effort: a TPM of which nobody declared that it is hardware; copies of its state, as in a snapshot, undo the erasure."
        return "Hardware, as its operator declares: the old root was overwritten in a TPM that gives its memory to nobody without authorisation."

    def read(self) -> HeldRoot:
        """Return what the index holds.

        Returns:
            Vault id, epoch and root key; close it after use.

        Raises:
            CredentialError: The authorisation value is wrong, or the TPM is locked.
            FormatError: The index is of another make.
            StoreError: The index is not there or empty, or the TPM is not reached.
            TamperedError: What it holds is damaged.
        """
        with self._guard, self._opened() as index, Secret(_SIZE) as content, content.view() as view:
            self._fill(index, view)
            return _root_record.parse(view[: _root_record.SIZE], where=self._where)

    def replace(self, new: HeldRoot, *, over: int | None) -> None:
        """Put a new root into the index in one write, read it back and compare. Call it within `locked`.

        Args:
            new: What it shall hold.
            over: Epoch that it holds now; None if it must be empty.

        Raises:
            CredentialError: An authorisation value is wrong, or the TPM is locked; nothing was written.
            FileExistsError: ``over`` is None, and the index holds something.
            FormatError: The index is of another make.
            LimitError: It was written as often as it may be; nothing was written.
            StateError: The index holds another epoch or another vault's root, or the TPM has no room.
            StoreError: The TPM is not reached; the message says what is known.
            TamperedError: The root does not read back as it was written.
        """
        with self._guard, self._opened() as index, Secret(_SIZE) as wanted, wanted.view() as view:
            count = 0
            if over is not None:
                count = self._expect(index, new.vault, over)
            elif not index.is_defined():
                index.define(self._owner_auth)
            elif index.is_written():
                raise FileExistsError(f"{self._where}: holds something already")
            if count >= self._writes:
                raise LimitError(f"{self._where}; move the vault to a fresh index", limit=self._writes, seen=count + 1, unit="writes")
            _root_record.pack(new, view[: _root_record.SIZE])
            view[_root_record.SIZE :] = (count + 1).to_bytes(_COUNT, "big")
            index.write(view)
            self._compare(index, wanted)

    def clear(self, vault: bytes, epoch: int) -> None:
        """Remove the index from the TPM. Call it within `locked`.

        Args:
            vault: Vault id whose root it holds.
            epoch: Epoch that it holds. An index that is not there or empty is no error.

        Raises:
            CredentialError: An authorisation value is wrong, or the TPM is locked.
            FormatError: The index is of another make.
            StateError: It holds another epoch or another vault's root; it stays.
            StoreError: The TPM is not reached.
        """
        with self._guard, self._opened() as index:
            if not index.is_defined():
                return
            if index.is_written():
                self._expect(index, vault, epoch)
                index.undefine(self._owner_auth)

    @contextlib.contextmanager
    def locked(self, vault: Path) -> Iterator[None]:
        """Keep other writers on this host out for a block.

        Args:
            vault: The vault folder; the lock is the index's all the same.

        Raises:
            LockedError: Another process, or another vault object of this one, is writing.
        """
        with name_locked(f"tpm {self._index:#010x}".encode(), f"{vault}: {self._where} is being written to"):
            yield

    def close(self) -> None:
        """Zero the authorisation values; twice is no error."""
        self._auth.close()
        if self._owner_auth is not None:
            self._owner_auth.close()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Index]:
        if os.getpid() != self._process:
            raise StateError(f"{self._where}: an authorisation value does not pass a fork; make the root again in this process")
        if self._refused:
            raise CredentialError(f"{self._where}: the authorisation value was wrong; it is not tried again, as the TPM counts that")
        with Index(self._tcti, self._index, _SIZE, self._auth) as index:
            try:
                yield index
            finally:
                self._refused = index.refused

    def _fill(self, index: Index, view: memoryview) -> None:
        if not index.is_defined():
            raise StoreError(f"{self._where}: is not there; without it the vault cannot be read")
        if not index.is_written():
            raise StoreError(f"{self._where}: is empty; without a root the vault cannot be read")
        index.read_into(view)

    def _expect(self, index: Index, vault: bytes, epoch: int) -> int:
        """Refuse another root than that of a vault and epoch; return how often the index was written."""
        with Secret(_SIZE) as content, content.view() as view:
            self._fill(index, view)
            with _root_record.parse(view[: _root_record.SIZE], where=self._where) as held:
                if (held.vault, held.epoch) != (vault, epoch):
                    raise StateError(f"{self._where}: holds epoch {held.epoch} of vault {held.vault.hex()}, not epoch {epoch} of {vault.hex()}")
            return int.from_bytes(view[_root_record.SIZE :], "big")

    def _compare(self, index: Index, wanted: Secret) -> None:
        with Secret(_SIZE) as found, found.view() as view:
            index.read_into(view)
            if not found.same_as(wanted):
                raise TamperedError(f"{self._where}: the root reads back differently from what was written")
