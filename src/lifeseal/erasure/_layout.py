# SPDX-License-Identifier: Apache-2.0
"""Names in a vault folder, and the bytes that bind each ciphertext to its one place."""

import re
from pathlib import Path

from lifeseal._io import Record, canonical, loads, read_bounded
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
    """List the epochs whose registries lie in the folder, sorted."""
    found = (_REGISTRY.fullmatch(path.name) for path in folder.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


def object_name(file_id: bytes) -> str:
    """Name a container, relative to the vault folder."""
    return f"{OBJECTS}/{file_id.hex()}"


def object_ids(folder: Path) -> tuple[bytes, ...]:
    """List the ids of the containers that lie in the folder.

    Raises:
        FormatError: The place for containers is a link or not a folder.
    """
    objects = folder / OBJECTS
    if objects.is_symlink() or not objects.is_dir():
        raise FormatError(str(objects), "a folder was expected")
    return tuple(bytes.fromhex(path.name) for path in objects.iterdir() if _OBJECT.fullmatch(path.name))


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


def read_description(folder: Path) -> tuple[bytes, str, str]:
    """Read ``vault.json``, which anybody may have written.

    Args:
        folder: The vault folder.

    Returns:
        Vault id, kind of the root holder, fingerprint of its key.

    Raises:
        FormatError: It is missing or malformed.
        LimitError: It is too large.
    """
    path = description_path(folder)
    where = str(path)
    try:
        data = read_bounded(path, limit=_MAX_DESCRIPTION)
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
