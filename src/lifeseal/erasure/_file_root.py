# SPDX-License-Identifier: Apache-2.0
"""Where the root key lives: the one place whose old content must really go."""

import contextlib
import datetime as dt
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from lifeseal._io import Secret, StrPath, remove, replace
from lifeseal.erasure._holders import HeldRoot, Strength
from lifeseal.erasure._locks import file_locked
from lifeseal.erasure._root_record import CHECKSUM, HEAD, KEY, SIZE, join, pack
from lifeseal.errors import CredentialError, FormatError, StateError, StoreError, TamperedError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileRoot:
    """A root key in a file outside the vault folder.

    Best effort only: whoever copied the file, or reads the disk's old blocks, can undo an erasure. Losing the file loses everything
    sealed under it; backing it up undoes erasure.

    Args:
        path: The file, mode 0600. A lock file ``PATH.lock`` lies beside it. Links are refused.
    """

    kind = "file"
    fingerprint = ""
    losing = "Losing the root file loses everything sealed under it."
    backing_up = "A backup of the root file undoes every erasure made after it; the vault folder itself may be backed up."
    compare_and_swap = False
    hosts = "One host may write: the lock is a lock of its own file system."
    strength = Strength.BEST_EFFORT
    retention: dt.timedelta | None = None
    assurance = "Best effort: the root is a file; backups of it, or blocks a disk still holds, undo the erasure."

    def __init__(self, path: StrPath) -> None:
        self.location = Path(path)

    def read(self) -> HeldRoot:
        """Return what the file holds.

        Returns:
            Vault id, epoch and root key; close it after use.

        Raises:
            CredentialError: Others may read the file, or this user may not.
            FormatError: It is not a root file.
            StateError: It has a second name, a hard link.
            StoreError: It is not there.
            TamperedError: It was damaged.
            OSError: It cannot be read.
        """
        while True:
            fd = self._open()
            try:
                return self._parse(fd)
            except (FormatError, TamperedError):
                if os.fstat(fd).st_nlink:
                    raise  # else a writer put another file in its place, and wiped this one while it was read
            finally:
                os.close(fd)

    def _open(self) -> int:
        where = str(self.location)
        try:
            return os.open(self.location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise StoreError(f"{where}: the root file is not there; without it the vault cannot be read") from None
        except PermissionError:
            raise CredentialError(f"{where}: this user may not read the root file") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FormatError(where, "a regular file was expected, not a symbolic link") from None
            raise

    def _parse(self, fd: int) -> HeldRoot:
        where = str(self.location)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise FormatError(where, "a regular file was expected")
        if found.st_mode & _OTHERS:
            raise CredentialError(f"{where}: other users may open the root file; make it yours alone: chmod 600 {where}")
        if found.st_nlink > 1:
            raise StateError(f"{where}: the root file has a second name (a hard link), under which an old root would survive; remove that name")
        head, key, checksum = bytearray(HEAD), Secret(KEY), bytearray(CHECKSUM)
        with key.view() as view:
            if found.st_size != SIZE or os.preadv(fd, [head, view, checksum], 0) != SIZE:
                raise FormatError(where, f"a root file of {SIZE} bytes was expected")
        return join(head, key, checksum, where=where)

    def replace(self, new: HeldRoot, *, over: int | None) -> None:
        """Put a new root into the file, durably and in one step. Call it within `locked`.

        Args:
            new: What it shall hold.
            over: Epoch that it holds now; None if there must be no file yet.

        Raises:
            FileExistsError: ``over`` is None, and the name is taken.
            StateError: The file holds another epoch or another vault's root.
            OSError: The disk refused.
        """
        if over is not None:
            self._refuse_other(new.vault, over)
        with Secret(SIZE) as content, content.view() as view:
            pack(new, view)
            replace(self.location, view, mode=0o600, overwrite=over is not None, wipe=True)

    def clear(self, vault: bytes, epoch: int) -> None:
        """Unlink the file, and overwrite it in place as far as the disk does that. Call it within `locked`.

        Args:
            vault: Vault id whose root it is.
            epoch: Epoch that it holds. A file that is gone is no error.

        Raises:
            StateError: The file holds another epoch or another vault's root; it stays.
            OSError: The disk refused.
        """
        with contextlib.suppress(StoreError):
            self._refuse_other(vault, epoch)
        remove(self.location, wipe=True)

    @contextlib.contextmanager
    def locked(self, vault: Path) -> Iterator[None]:  # noqa: ARG002 - the lock lies beside the root: copies of a vault share it
        """Keep other writers out for a block.

        Args:
            vault: The vault folder; the lock lies beside the root file, because copies of the vault share the root.

        Raises:
            LockedError: Another process, or another vault object of this one, is writing.
            OSError: The lock file cannot be opened.
        """
        with file_locked(self.location.with_name(self.location.name + ".lock")):
            yield

    def _refuse_other(self, vault: bytes, epoch: int) -> None:
        with self.read() as held:
            if (held.vault, held.epoch) != (vault, epoch):
                raise StateError(f"{self.location}: holds epoch {held.epoch} of vault {held.vault.hex()}, not epoch {epoch} of {vault.hex()}")
