# SPDX-License-Identifier: Apache-2.0
"""What is searched for, beside the journal while a disposal is under way: after the erasure nobody could compute it again.

It holds digests of the content and a few of its bytes, so it is removed when the disposal is completed.
"""

import hashlib
from pathlib import Path

from lifeseal._io import Record, canonical, loads, parse_hex, read_bounded, remove, replace
from lifeseal.disposal._wanted import ANCHOR, Anchor, Wanted
from lifeseal.errors import FormatError, TamperedError

SCHEMA = "lifeseal.disposal-search/1"
_MAX = 512 << 20
_MAX_VALUES = 16 << 20


def sidecar(journal: Path) -> Path:
    """Name the file."""
    return journal.with_name(f"{journal.name}.search")


def keep(wanted: Wanted, journal: Path) -> str:
    """Write it durably.

    Args:
        wanted: What is searched for.
        journal: Of the disposal.

    Returns:
        SHA-256 of the file, hexadecimal.
    """
    data = canonical(
        {
            "schema": SCHEMA,
            "files": {digest.hex(): name for digest, name in wanted.files.items()},
            "sizes": None if wanted.sizes is None else sorted(wanted.sizes),
            "tensors": [[size, digest.hex(), name] for size, found in sorted(wanted.tensors.items()) for digest, name in sorted(found.items())],
            "anchors": [[anchor.text.hex(), anchor.offset, anchor.size, anchor.digest.hex()] for anchor in wanted.anchors],
        }
    )
    replace(sidecar(journal), data, mode=0o600)
    return hashlib.sha256(data).hexdigest()


def recall(journal: Path, digest: str) -> Wanted | None:
    """Read it back.

    Args:
        journal: Of the disposal.
        digest: From `keep`.

    Returns:
        What is searched for; None if it is not there any more.

    Raises:
        FormatError: It is no such file.
        TamperedError: It is another one.
        OSError: It cannot be read.
    """
    where = str(sidecar(journal))
    try:
        data = read_bounded(where, limit=_MAX)
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != digest:
        raise TamperedError(f"{where}: is not what the journal names; it was changed")
    record = Record(loads(data, where=where, max_bytes=_MAX, max_items=_MAX_VALUES), where=where)
    record.take_const("schema", SCHEMA)
    files, sizes = record.take("files"), record.take("sizes")
    tensors = dict[int, dict[bytes, str]]()
    for item in record.take_list("tensors"):
        size, found, name = _row(item, 3, where)
        tensors.setdefault(_int(size, where), {})[parse_hex(found, length=32, where=where)] = str(name)
    anchors = []
    for item in record.take_list("anchors"):
        text, offset, size, found = _row(item, 4, where)
        bare, whole = parse_hex(text, length=ANCHOR, where=where), parse_hex(found, length=32, where=where)
        anchors.append(Anchor(text=bare, offset=_int(offset, where), size=_int(size, where), digest=whole))
    record.done()
    if not isinstance(files, dict) or not (sizes is None or isinstance(sizes, list)):
        raise FormatError(where, "files and sizes were expected")
    return Wanted(
        files={parse_hex(found, length=32, where=where): str(name) for found, name in files.items()},
        sizes=None if sizes is None else frozenset(_int(size, where) for size in sizes),
        tensors=tensors,
        anchors=tuple(anchors),
    )


def forget(journal: Path) -> None:
    """Remove it; gone already is no error."""
    remove(sidecar(journal))


def _row(item: object, length: int, where: str) -> list[object]:
    if not isinstance(item, list) or len(item) != length:
        raise FormatError(where, f"rows of {length} values were expected")
    return item


def _int(value: object, where: str) -> int:
    if type(value) is not int or value < 0:
        raise FormatError(where, "an integer from 0 was expected")
    return value
