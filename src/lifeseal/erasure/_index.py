# SPDX-License-Identifier: Apache-2.0
"""The index of an asset: which files it holds, under which names; itself a container, so the names are secret."""

import attrs

from lifeseal._io import Record, canonical, checked_name, loads
from lifeseal.erasure._layout import FORMAT, ID_SIZE, group_of
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
        entries: Sorted by name.
    """

    folder: bool
    entries: tuple[IndexEntry, ...]

    def to_bytes(self) -> bytes:
        """Write it as canonical JSON."""
        files = [{"name": entry.name, "size": entry.size, "id": entry.file_id.hex()} for entry in self.entries]
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
    if kind not in {"file", "folder"} or (kind == "file" and (len(names) != 1 or "/" in names[0])):
        raise FormatError(where, "a folder, or one file, was expected")
    if names != sorted(set(names)):
        raise FormatError(where, "sorted names, each once, were expected")
    if any(group_of(entry.file_id) != group_of(index_id) for entry in entries):
        raise FormatError(where, "containers of this asset alone were expected")
    return Index(folder=kind == "folder", entries=tuple(entries))
