# SPDX-License-Identifier: Apache-2.0
"""What was seen last: the memory by which an older list is told from the newest."""

import errno
import hashlib
import os
from contextlib import closing
from pathlib import Path

from lifeseal._io import Appender, Record, StrPath, canonical, loads, read_bounded, replace
from lifeseal.errors import RolledBackError

SEEN_SCHEMA = "lifeseal.seen/1"
_MAX_SEEN = 64 << 10


def remember(folder: StrPath, *, name: str, number: int, sha256: bytes, where: str) -> None:
    """Refuse a list that is older than the newest one seen, or another one of the same number; else remember it.

    Where nothing changes, nothing is written and no lock is taken.

    Args:
        folder: Where the memory lies; it must be there. A link to a folder is followed.
        name: The list's name.
        number: The list's number.
        sha256: Digest of the list.
        where: Name for error messages.

    Raises:
        FormatError: What lies there is no memory of this list.
        OSError: It cannot be read, or not be written.
        RolledBackError: The list is older than one that was seen, or another list of this number was.
    """
    if not Path(folder).exists():
        raise FileNotFoundError(errno.ENOENT, "the folder that remembers lists is not there; make it once, and keep it", os.fspath(folder))
    place = Path(folder) / f"withdrawals-{hashlib.sha256(name.encode()).hexdigest()}.json"
    if not _is_newer(place, name, number, sha256, where):
        return
    with closing(Appender(place.with_suffix(".lock"))) as lock, lock.locked():
        if _is_newer(place, name, number, sha256, where):
            replace(place, canonical({"schema": SEEN_SCHEMA, "list": name, "number": number, "sha256": sha256.hex()}))


def _is_newer(place: Path, name: str, number: int, sha256: bytes, where: str) -> bool:
    """Tell whether this list is to be remembered, or is the one remembered."""
    try:
        data = read_bounded(place, limit=_MAX_SEEN, what="the memory of a list")
    except FileNotFoundError:
        return True
    record = Record(loads(data, where=str(place), what="the memory of a list"), where=str(place))
    record.take_const("schema", SEEN_SCHEMA)
    record.take_const("list", name)
    seen, digest = record.take_int("number", low=1), record.take_hex("sha256", length=32)
    record.done()
    if number < seen:
        raise RolledBackError(f"{where}: number {number} of list {name!r}, and number {seen} has been seen: this is an older one; get the newest")
    if number == seen and sha256 != digest:
        raise RolledBackError(
            f"{where}: another list {name!r} of the same number {number} has been seen; its publisher must give each a number of its own"
        )
    return number > seen
