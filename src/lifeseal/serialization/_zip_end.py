# SPDX-License-Identifier: Apache-2.0
"""The end of a zip archive: every place where some reader would look for the directory.

CPython 3.11 takes a Zip64 record only where it lies right before its locator, miniz (in PyTorch) only where the locator says, and others
only where the plain record is full. In an archive that all of them read alike these are one.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16; CPython ``zipfile``; miniz ``mz_zip_reader_read_central_dir``.
"""

import struct
from collections.abc import Iterable
from typing import Final

import attrs

from lifeseal.serialization._window import PartWindow, Window

LOCAL: Final = b"PK\x03\x04"
CENTRAL: Final = b"PK\x01\x02"
_END: Final = b"PK\x05\x06"
_END64: Final = b"PK\x06\x06"
_LOCATOR64: Final = b"PK\x06\x07"
_END_FORMAT: Final = struct.Struct("<4xHHHHIIH")
_END64_FORMAT: Final = struct.Struct("<4xQHHIIQQQQ")
_LOCATOR64_FORMAT: Final = struct.Struct("<4xIQI")
_TAIL: Final = 0xFFFF + _END_FORMAT.size
_END64_REST: Final = _END64_FORMAT.size - 12
_FULL16: Final = 0xFFFF
_FULL32: Final = 0xFFFFFFFF
MAX_ENDS: Final = 4
_MAX_ROW: Final = 1 << 14


@attrs.frozen(kw_only=True)
class Directory:
    """A directory as one reader would find it.

    Attributes:
        stop: Offset where it should end.
        count: Entries it should have.
        size: Bytes it should have.
        offset: Where the archive says that it begins.
    """

    stop: int
    count: int
    size: int
    offset: int

    @property
    def start(self) -> int:
        """Where it begins if it lies right before its end record."""
        return self.stop - self.size


@attrs.frozen(kw_only=True)
class End:
    """An end record with all its readings.

    Attributes:
        stop: Offset behind its comment.
        directories: Every directory that a reader could take from it.
        faults: On what readers could differ.
    """

    stop: int
    directories: tuple[Directory, ...]
    faults: tuple[str, ...]


def has_end(window: Window) -> bool:
    """Tell whether a reader that looks from the end would take this for an archive."""
    return any(end.directories for end in find_ends(window))


def split_row(window: Window) -> list[tuple[int, int]]:
    """Split archives that stand one behind the other, as distributed checkpoints write them.

    Args:
        window: Begins and ends as an archive.

    Returns:
        Offset and size of each, in order; only one where readers could take them for one archive.
    """
    parts: list[tuple[int, int]] = []
    directories: list[Directory] = []
    stop = window.size
    while stop and len(parts) < _MAX_ROW:
        found = _last_part(window, stop)
        if found is None:
            return [(0, window.size)]
        start, directory = found
        parts.append((start, stop - start))
        directories.append(directory)
        stop = start
    first = directories[-1]
    for directory in directories[:-1]:
        # A reader that takes the stated offset as it is must find no directory there, or that of the first archive.
        if window.read(directory.offset, 4) == CENTRAL and directory.offset != first.offset:
            return [(0, window.size)]
        if window.read(directory.stop, 4) == _END64 and directory.stop != first.stop:
            return [(0, window.size)]
    return parts[::-1] if not stop else [(0, window.size)]


def ends_within(window: Window, spans: Iterable[tuple[int, int]]) -> bool:
    """Tell whether all that a reader could take for the end of an archive lies in parts that are whole archives of their own.

    Args:
        window: Begins as something else.
        spans: Offset and size of its parts.

    Returns:
        True if a reader that takes all of it for an archive finds one of these parts, or none.
    """
    archives = []
    for start, size in spans:
        found = _last_part(window, start + size) if window.read(start, 4) == LOCAL else None
        if found is None or found[0] != start:
            continue
        directory = found[1]
        # A reader that takes the stated offsets as they are must find nothing there.
        if window.read(directory.offset, 4) != CENTRAL and window.read(directory.stop, 4) != _END64:
            archives.append((start, start + size))
    base = max(0, window.size - _TAIL)
    tail = window.read(base, _TAIL)
    position = tail.rfind(_END)
    while position >= 0:
        if not any(start <= base + position < stop for start, stop in archives):
            return False
        position = tail.rfind(_END, 0, position)
    return True


def _last_part(window: Window, stop: int) -> tuple[int, Directory] | None:
    """Find the archive that ends at ``stop``; returns its offset, and its directory as it states it."""
    for end in find_ends(PartWindow(window, 0, stop))[:1]:
        for reading in end.directories:
            start = reading.start - reading.offset
            if start < 0 or window.read(start, 4) != LOCAL:
                continue
            inner = PartWindow(window, start, stop - start)
            ends = find_ends(inner)
            if len(ends) == 1 and not ends[0].faults and ends[0].stop == inner.size and len(ends[0].directories) == 1:
                directory = ends[0].directories[0]
                if directory.start == directory.offset:
                    return start, directory
    return None


def find_ends(window: Window) -> list[End]:
    """List the end records that a reader could take, from the last."""
    base = max(0, window.size - _TAIL)
    tail = window.read(base, _TAIL)
    found: list[End] = []
    position = tail.rfind(_END)
    while position >= 0 and len(found) <= MAX_ENDS:
        end = _end_at(window, base + position) if len(tail) - position >= _END_FORMAT.size else None
        # Readers take the last record, or one whose comment ends the file; others lie in members that are archives themselves.
        if end is not None and (not found or end.stop == window.size):
            found.append(end)
        position = tail.rfind(_END, 0, position)
    return found


def _end_at(window: Window, position: int) -> End | None:
    disk, first_disk, here, count, size, offset, comment = _END_FORMAT.unpack(window.read(position, _END_FORMAT.size))
    faults: list[str] = []
    if disk or first_disk or here != count:
        faults.append("the end record speaks of several disks")
    plain = Directory(stop=position, count=count, size=size, offset=offset)
    readings = [plain]
    lead = window.read(max(0, position - _LOCATOR64_FORMAT.size), _LOCATOR64_FORMAT.size)
    if lead[:4] == _LOCATOR64 and len(lead) == _LOCATOR64_FORMAT.size:
        disk, stated, disks = _LOCATOR64_FORMAT.unpack(lead)
        nearby = position - _LOCATOR64_FORMAT.size - _END64_FORMAT.size
        if stated != nearby or disk or disks > 1:
            faults.append("the Zip64 end record does not lie where its locator says")
        wide = [_end64_at(window, place, plain, faults) for place in dict.fromkeys((nearby, stated))]
        readings = [one for one in wide if one is not None]
        if faults or not readings:
            readings.append(plain)
    directories = tuple(reading for reading in dict.fromkeys(readings) if _is_plausible(window, reading))
    if not directories and (count or size or position):
        return None
    return End(stop=position + _END_FORMAT.size + comment, directories=directories, faults=tuple(faults))


def _end64_at(window: Window, place: int, plain: Directory, faults: list[str]) -> Directory | None:
    record = window.read(place, _END64_FORMAT.size) if 0 <= place < window.size else b""
    if record[:4] != _END64 or len(record) < _END64_FORMAT.size:
        faults.append("a Zip64 locator without its end record")
        return None
    rest, _, _, disk, first_disk, here, count, size, offset = _END64_FORMAT.unpack(record)
    if rest != _END64_REST or disk or first_disk or here != count or offset + size != place:
        faults.append("the Zip64 end record does not stand right behind the directory")
    if plain.count not in {count, _FULL16} or plain.size not in {size, _FULL32} or plain.offset not in {offset, _FULL32}:
        faults.append("the end record and its Zip64 form disagree")
    return Directory(stop=place, count=count, size=size, offset=offset)


def _is_plausible(window: Window, directory: Directory) -> bool:
    return any(0 <= start < window.size and window.read(start, 4) == CENTRAL for start in (directory.start, directory.offset))
