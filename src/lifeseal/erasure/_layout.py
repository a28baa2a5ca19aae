# SPDX-License-Identifier: Apache-2.0
"""Names in a vault folder, and the bytes that bind each ciphertext to its one place."""

import os
import re
from pathlib import Path

from lifeseal._io import DiskSource, Record, canonical, loads, read_whole
from lifeseal.errors import FormatError

FORMAT = b"lifeseal.vault/0"
ID_SIZE = 16
KEY_SIZE = 32
GROUP_SIZE = 8
OBJECTS = "objects"
DATA = b"data"
INDEX = b"indx"
_DESCRIPTION = "vault.json"
_MAX_DESCRIPTION = 4096
_REGISTRY = re.compile(r"registry-([0-9]{16})", re.ASCII)
_OBJECT = re.compile(r"[0-9a-f]{32}", re.ASCII)


def registry_name(epoch: int) -> str:
    """Name the registry of one epoch."""
    return f"registry-{epoch:016d}"


def registry_epochs(folder: Path) -> tuple[int, ...]:
    """List the epochs whose registries lie in the folder, sorted; only a regular file is one."""
    with os.scandir(folder) as entries:
        found = [_REGISTRY.fullmatch(entry.name) for entry in entries if entry.is_file(follow_symlinks=False)]
    return tuple(sorted(int(match[1]) for match in found if match))


def stale_registries(folder: Path, epoch: int) -> tuple[str, ...]:
    """List the names of registries of other epochs, links and pipes included, directories not: they can be unlinked."""
    return tuple(name for name in _not_directories(folder, _REGISTRY) if name != registry_name(epoch))


def object_name(file_id: bytes) -> str:
    """Name a container, relative to the vault folder."""
    return f"{OBJECTS}/{file_id.hex()}"


def object_ids(folder: Path) -> tuple[bytes, ...]:
    """List the ids of the containers that lie in the folder; a directory is none, whatever its name.

    Raises:
        FormatError: The place for containers is a link or not a folder.
        OSError: It cannot be read.
    """
    objects = folder / OBJECTS
    if objects.is_symlink() or not objects.is_dir():
        raise FormatError(str(objects), "a folder was expected")
    return tuple(bytes.fromhex(name) for name in _not_directories(objects, _OBJECT))


def group_of(file_id: bytes) -> bytes:
    """Return the part of a file id that all containers of one asset share."""
    return file_id[:GROUP_SIZE]


def registry_context(vault: bytes, epoch: int) -> bytes:
    """Bind a registry to its vault and epoch: 16 + 4 + 16 + 8 bytes."""
    return FORMAT + b"regs" + vault + epoch.to_bytes(8, "big")


def container_context(vault: bytes, slot: int, generation: int, file_id: bytes, role: bytes) -> bytes:
    """Bind a container to its one place: 16 + 16 + 8 + 8 + 16 + 4 bytes, so that no field can pass for part of another."""
    return FORMAT + vault + slot.to_bytes(8, "big") + generation.to_bytes(8, "big") + file_id + role


def describe(vault: bytes, *, kind: str, fingerprint: str) -> bytes:
    """Write ``vault.json``."""
    return canonical({"format": FORMAT.decode(), "vault": vault.hex(), "holder": {"kind": kind, "fingerprint": fingerprint}})


def description_path(folder: Path) -> Path:
    """Say where the description lies."""
    return folder / _DESCRIPTION


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
    where = str(description_path(folder))
    try:
        data = read_file(folder, _DESCRIPTION, limit=_MAX_DESCRIPTION)
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


def _not_directories(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if pattern.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False)]
