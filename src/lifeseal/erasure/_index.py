# SPDX-License-Identifier: Apache-2.0
"""The index of an asset: which files it holds, under which names; itself a container, so the names are secret."""

import attrs

from lifeseal._io import Record, canonical, checked_name, loads
from lifeseal.erasure._layout import FORMAT, GROUP_SIZE, ID_SIZE
from lifeseal.errors import FormatError


@attrs.frozen(kw_only=True)
class IndexEntry:
    """One file of an asset.

    Attributes:
        name: Relative POSIX name.
        size: Plaintext bytes.
        file_id: Id of its container, 16 bytes.
    """

    name: str
    size: int
    file_id: bytes


@attrs.frozen(kw_only=True)
class Index:
    """All files of an asset.

    Attributes:
        folder: False if the asset is one file.
        entries: Sorted by name; for one file that alone.
        signature: For one file: the signature that lay beside it, or None.
    """

    folder: bool
    entries: tuple[IndexEntry, ...]
    signature: IndexEntry | None = None

    def to_bytes(self) -> bytes:
        """Write it as canonical JSON."""
        every = (*self.entries, *([] if self.signature is None else [self.signature]))
        files = [{"name": entry.name, "size": entry.size, "id": entry.file_id.hex()} for entry in every]
        return canonical({"format": FORMAT.decode(), "kind": "folder" if self.folder else "file", "files": files})


def parse_index(data: bytes, *, index_id: bytes, where: str) -> Index:
    """Read an index.

    Args:
        data: Canonical JSON.
        index_id: Id of the index's own container.
        where: Name for error messages.

    Returns:
        The index.

    Raises:
        FormatError: It is not an index of this version.
        LimitError: It is larger than 64 MiB.
    """
    document = Record(loads(data, where=where), where=where)
    document.take_const("format", FORMAT.decode())
    kind = document.take_str("kind")
    entries = []
    for item in document.take_list("files"):
        entry = Record(item, where=where)
        name = checked_name(entry.take_str("name"), where=where)
        entries.append(IndexEntry(name=name, size=entry.take_int("size"), file_id=entry.take_hex("id", length=ID_SIZE)))
        entry.done()
    document.done()
    names = [entry.name for entry in entries]
    lone = kind == "file" and bool(names) and "/" not in names[0] and names in ([names[0]], [names[0], signature_of(names[0])])
    if kind != "folder" and not lone:
        raise FormatError(where, "a folder, or one file, was expected")
    if names != sorted(set(names)):
        raise FormatError(where, "sorted names, each once, were expected")
    if any(entry.file_id[:GROUP_SIZE] != index_id[:GROUP_SIZE] for entry in entries):
        raise FormatError(where, "containers of this asset alone were expected")
    if lone:
        return Index(folder=False, entries=(entries[0],), signature=next(iter(entries[1:]), None))
    return Index(folder=True, entries=tuple(entries))


def signature_of(name: str) -> str:
    """Name the signature that lies beside a file."""
    return f"{name}.sig"
