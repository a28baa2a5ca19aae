# SPDX-License-Identifier: Apache-2.0
"""Names in a vault folder, and the bytes that bind each ciphertext to its one place."""

import os
import re
from pathlib import Path

from lifeseal._io import DiskSource, Record, canonical, loads, read_whole
from lifeseal.errors import FormatError

FORMAT = b"lifeseal.vault/1"
ID_SIZE = 16
KEY_SIZE = 32
GROUP_SIZE = 8
OBJECTS = "objects"
DATA = b"data"
INDEX = b"indx"
DESCRIPTION = "vault.json"
LOCK = "vault.lock"
_MAX_DESCRIPTION = 4096
_LOG = re.compile(r"log-([0-9]{16})", re.ASCII)
_ROOT = re.compile(r"root-([0-9]{16})", re.ASCII)
_OBJECT = re.compile(r"[0-9a-f]{32}", re.ASCII)


def log_name(epoch: int) -> str:
    """Name the node log that begins with an epoch."""
    return f"log-{epoch:016d}"


def root_name(epoch: int) -> str:
    """Name the wrapped root of an epoch."""
    return f"root-{epoch:016d}"


def log_names(folder: Path) -> tuple[int, ...]:
    """List the epochs of whatever is named like a log, links and folders included."""
    with os.scandir(folder) as entries:
        found = [_LOG.fullmatch(entry.name) for entry in entries]
    return tuple(int(match[1]) for match in found if match)


def log_epochs(folder: Path) -> tuple[int, ...]:
    """List the epochs that logs in the folder begin with, sorted; only a regular file is one."""
    return _epochs(folder, _LOG)


def root_epochs(folder: Path) -> tuple[int, ...]:
    """List the epochs whose wrapped roots lie in the folder, sorted; only a regular file is one."""
    return _epochs(folder, _ROOT)


def stale_logs(folder: Path, keep: int) -> tuple[str, ...]:
    """List the names of all logs but one, links and pipes included, directories not: they can be unlinked."""
    return tuple(name for name in _not_directories(folder, _LOG) if name != log_name(keep))


def object_name(file_id: bytes) -> str:
    """Name a container, relative to the vault folder."""
    return f"{OBJECTS}/{file_id.hex()}"


def find_objects(folder: Path) -> Path:
    """Return the place for containers.

    Raises:
        FormatError: It is a link or not a folder.
    """
    objects = folder / OBJECTS
    if objects.is_symlink() or not objects.is_dir():
        raise FormatError(str(objects), "a folder was expected")
    return objects


def object_ids(folder: Path) -> tuple[bytes, ...]:
    """List the ids of the containers that lie in the folder; a directory is none, whatever its name.

    Raises:
        FormatError: The place for containers is a link or not a folder.
        OSError: It cannot be read.
    """
    return tuple(bytes.fromhex(name) for name in _not_directories(find_objects(folder), _OBJECT))


def group_of(slot: int, generation: int) -> bytes:
    """Return the start of the file ids of all containers of one asset."""
    return slot.to_bytes(4, "big") + generation.to_bytes(4, "big")


def owner_of(file_id: bytes) -> tuple[int, int]:
    """Return the slot and generation that a container says it belongs to."""
    return int.from_bytes(file_id[:4], "big"), int.from_bytes(file_id[4:GROUP_SIZE], "big")


def container_context(vault: bytes, slot: int, generation: int, file_id: bytes, role: bytes) -> bytes:
    """Bind a container to its one place: 16 + 16 + 8 + 8 + 16 + 4 bytes, so that no field can pass for part of another."""
    return FORMAT + vault + slot.to_bytes(8, "big") + generation.to_bytes(8, "big") + file_id + role


def root_context(vault: bytes, epoch: int) -> bytes:
    """Bind a wrapped root to its vault and epoch: 16 + 4 + 16 + 8 bytes."""
    return FORMAT + b"root" + vault + epoch.to_bytes(8, "big")


def describe(vault: bytes, *, kind: str, fingerprint: str) -> bytes:
    """Write ``vault.json``."""
    return canonical({"format": FORMAT.decode(), "vault": vault.hex(), "holder": {"kind": kind, "fingerprint": fingerprint}})


def read_file(folder: Path, name: str, *, limit: int) -> bytes:
    """Read one whole small file of the vault folder; a link is refused, not followed.

    Args:
        folder: The vault folder.
        name: In it.
        limit: Bytes at most.

    Returns:
        Its bytes.

    Raises:
        FormatError: It is a link or not a regular file, or the vault is not a folder.
        LimitError: It is larger.
        OSError: It cannot be read.
    """
    with DiskSource(folder) as source:
        if not source.is_folder:
            raise FormatError(str(folder), "a folder was expected, so this is no vault")
        with source.open(name) as reader:
            return read_whole(reader, where=str(folder / name), limit=limit)


def read_description(folder: Path) -> tuple[bytes, str, str]:
    """Read ``vault.json``, which anybody may have written.

    Args:
        folder: The vault folder.

    Returns:
        Vault id, kind of the root holder, fingerprint of its key.

    Raises:
        FormatError: It is missing, a link or malformed.
        LimitError: It is too large.
    """
    where = str(folder / DESCRIPTION)
    try:
        data = read_file(folder, DESCRIPTION, limit=_MAX_DESCRIPTION)
    except FileNotFoundError:
        raise FormatError(where, "not there, so this folder is no vault") from None
    document = Record(loads(data, where=where), where=where)
    document.take_const("format", FORMAT.decode())
    vault = document.take_hex("vault", length=ID_SIZE)
    holder = document.take_record("holder")
    kind, fingerprint = holder.take_str("kind"), holder.take_str("fingerprint")
    holder.done()
    document.done()
    if data != describe(vault, kind=kind, fingerprint=fingerprint):
        raise FormatError(where, "the same fields in canonical form were expected")
    return vault, kind, fingerprint


def _epochs(folder: Path, pattern: re.Pattern[str]) -> tuple[int, ...]:
    with os.scandir(folder) as entries:
        found = [pattern.fullmatch(entry.name) for entry in entries if entry.is_file(follow_symlinks=False)]
    return tuple(sorted(int(match[1]) for match in found if match))


def _not_directories(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if pattern.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False)]
