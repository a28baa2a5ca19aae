# SPDX-License-Identifier: Apache-2.0
"""Zip archives, read as every reader at once: by the directory at the end, by the headers in the file, with and without a prefix.

Where readers could differ there is a finding, and every member that any of them could see is returned.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3; CPython ``zipfile``; miniz, as PyTorch uses it.
"""

import stat
import struct
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import attrs

from lifeseal.errors import FormatError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._rules import shown
from lifeseal.serialization._window import CachedWindow, Window
from lifeseal.serialization._zip_end import CENTRAL, LOCAL, MAX_ENDS, Directory, find_ends

Fault: TypeAlias = Callable[[str, str, str], None]

_DESCRIPTOR: Final = b"PK\x07\x08"
_LOCAL_FORMAT: Final = struct.Struct("<4xHHHHHIIIHH")
_CENTRAL_FORMAT: Final = struct.Struct("<4xHHHHHHIIIHHHHHII")
_FULL: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_DESCRIBED: Final = 0x8
_UTF8: Final = 0x800
_UNIX: Final = 3


@attrs.frozen(kw_only=True)
class Member:
    """One member of an archive, as one reader would see it.

    Attributes:
        name: Its name.
        method: 0 is stored, 8 is deflated.
        flags: General purpose flags.
        crc: Checksum of the content; None where only a header without it was found.
        packed: Bytes in the archive; None where only a header without it was found.
        size: Bytes of the content; None likewise.
        header: Offset of its local header.
        start: Offset of its bytes.
        end: Offset behind its bytes and descriptor.
    """

    name: str
    method: int
    flags: int
    crc: int | None
    packed: int | None
    size: int | None
    header: int
    start: int
    end: int

    @property
    def is_folder(self) -> bool:
        """Whether it only stands for a folder."""
        return self.name.endswith("/") and self.size == 0


def read_members(window: Window, fault: Fault, budget: Budget) -> tuple[Member, ...]:
    """List every member that any reader could see.

    Args:
        window: The archive.
        fault: Is told of every point on which readers could differ: rule, place and message.
        budget: Work left for the file.

    Returns:
        The members, by offset of their local headers.
    """
    ends = find_ends(window)
    if len(ends) != 1:
        fault("zip-structure", "end", f"one end record was expected, but {len(ends)} are there")
    directories = list(dict.fromkeys(directory for end in ends[:MAX_ENDS] for directory in end.directories))
    for end in ends:
        for text in end.faults:
            fault("zip-structure", "end", text)
        if end.stop != window.size:
            fault("zip-structure", "end", "bytes after the end record that are not its comment")
    members = _listed(window, directories, fault, budget)
    directory_start = min((directory.start for directory in directories), default=window.size)
    found = sorted(members.values(), key=lambda member: member.header)
    return (*found, *_between(window, found, directory_start, fault))


def _listed(window: Window, directories: Iterable[Directory], fault: Fault, budget: Budget) -> dict[int, Member]:
    """List the members of every directory, by offset of their local headers."""
    members: dict[int, Member] = {}
    names: set[str] = set()
    for directory in directories:
        shift = directory.start - directory.offset
        if shift:
            fault("zip-structure", "end", f"the directory lies {shift} bytes from where the end record says")
        for base, start in {0: directory.offset, shift: directory.start}.items():
            for member in _directory(window, attrs.evolve(directory, offset=base, stop=start + directory.size), fault, budget) if start >= 0 else ():
                if member.name in names and members.get(member.header) != member:
                    fault("zip-duplicate", repr(shown(member.name)), "a second member has the same name")
                names.add(member.name)
                members.setdefault(member.header, member)
    return members


def _between(window: Window, members: Iterable[Member], stop: int, fault: Fault) -> list[Member]:
    """Compare the members' places with one another; returns members that stand in no directory."""
    hidden = []
    reached = 0
    for member in members:
        if member.header < reached:
            fault("zip-structure", repr(shown(member.name)), "overlaps another member")
        elif member.header > reached:
            fault("zip-structure", f"byte {reached}", f"{member.header - reached} bytes before a member that belong to none")
            hidden += _hidden(window, reached, member.header)
        reached = max(reached, member.end)
    if reached != stop:
        fault("zip-structure", f"byte {reached}", "the last member does not end where the directory begins")
        hidden += _hidden(window, reached, stop)
    return hidden


def _directory(window: Window, end: Directory, fault: Fault, budget: Budget) -> list[Member]:
    """List one directory's members; ``offset`` is here what is added to every header's place."""
    found: list[Member] = []
    entries, headers = CachedWindow(window), CachedWindow(window)
    position = end.start
    while position < end.stop:
        if budget.members <= 0:
            fault("limit", "end", "more members than are read of one file")
            break
        budget.members -= 1
        record = entries.read(position, _CENTRAL_FORMAT.size)
        if record[:4] != CENTRAL or len(record) < _CENTRAL_FORMAT.size:
            fault("zip-structure", f"byte {position}", "an entry of the directory was expected")
            break
        made, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, _, _, attributes, header = _CENTRAL_FORMAT.unpack(record)
        variable = entries.read(position + _CENTRAL_FORMAT.size, n_name + n_extra)
        if len(variable) < n_name + n_extra:
            fault("zip-structure", f"byte {position}", "an entry of the directory is cut")
            break
        size, packed, header = _wide(variable[n_name:], size, packed, header)
        position += _CENTRAL_FORMAT.size + n_name + n_extra + n_comment
        raw = variable[:n_name]
        name = _named(raw, flags, fault)
        mode = attributes >> 16 if made >> 8 == _UNIX else 0
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            fault("zip-link", repr(shown(name)), "a link or another special file")
        if flags & _ENCRYPTED:
            fault("zip-encrypted", repr(shown(name)), "is encrypted")
        found.append(_with_local(headers, Member(
            name=name, method=method, flags=flags, crc=crc, packed=packed, size=size, header=header + end.offset, start=0, end=0
        ), raw, fault))  # fmt: skip
    if len(found) != end.count or position != end.stop:
        fault(
            "zip-structure", "end", f"{end.count} members in {end.size} bytes were announced, but {len(found)} in {position - end.start} were found"
        )
    return found


def _with_local(window: Window, member: Member, raw: bytes, fault: Fault) -> Member:
    """Complete a member of the directory from its own header, and compare the two."""
    place = repr(shown(member.name))
    local = _local_at(window, member.header)
    if local is None:
        fault("zip-mismatch", place, "no header lies where the directory says")
        return attrs.evolve(member, start=member.header, end=member.header)
    own, own_raw = local
    if own_raw != raw:
        fault("zip-mismatch", place, f"its own header names it {shown(own.name)!r}")
    if (own.method, own.flags) != (member.method, member.flags):
        fault("zip-mismatch", place, "its own header names another method or other flags")
    packed = member.packed or 0
    end = own.start + packed
    if member.flags & _DESCRIBED:
        length = _descriptor(window, end, member)
        if length is None:
            fault("zip-mismatch", place, "the descriptor behind it is missing or says something else")
        end += length or 0
    stated = (own.crc, own.packed, own.size)
    if stated != (member.crc, member.packed, member.size) and not (member.flags & _DESCRIBED and stated == (None, None, None)):
        fault("zip-mismatch", place, "its own header states another size or checksum")
    if end > window.size:
        fault("zip-mismatch", place, "ends behind the end of the file")
    return attrs.evolve(member, start=own.start, end=end)


def _descriptor(window: Window, position: int, member: Member) -> int | None:
    sizes = struct.pack("<III", member.crc or 0, (member.packed or 0) & _FULL, (member.size or 0) & _FULL)
    wide = struct.pack("<IQQ", member.crc or 0, member.packed or 0, member.size or 0)
    following = window.read(position, 24)
    return next((len(form) for form in (_DESCRIPTOR + wide, _DESCRIPTOR + sizes, wide, sizes) if following.startswith(form)), None)


def _local_at(window: Window, position: int) -> tuple[Member, bytes] | None:
    record = window.read(position, _LOCAL_FORMAT.size) if position >= 0 else b""
    if record[:4] != LOCAL or len(record) < _LOCAL_FORMAT.size:
        return None
    _, flags, method, _, _, crc, packed, size, n_name, n_extra = _LOCAL_FORMAT.unpack(record)
    variable = window.read(position + _LOCAL_FORMAT.size, n_name + n_extra)
    size, packed, _ = _wide(variable[n_name:], size, packed, 0)
    unknown = bool(flags & _DESCRIBED) and crc == packed == size == 0
    start = position + _LOCAL_FORMAT.size + n_name + n_extra
    raw = variable[:n_name]
    return Member(
        name=raw.decode("utf-8", "backslashreplace"),
        method=method,
        flags=flags,
        crc=None if unknown else crc,
        packed=None if unknown else packed,
        size=None if unknown else size,
        header=position,
        start=start,
        end=start + (0 if unknown else packed),
    ), raw


def _hidden(window: Window, start: int, stop: int) -> list[Member]:
    """List members between two offsets that stand in no directory, as a reader that streams would see them."""
    found: list[Member] = []
    while start < stop and len(found) < MAX_ENDS:
        local = _local_at(window, start)
        if local is None:
            break
        found.append(local[0])
        if local[0].packed is None:
            break
        start = local[0].end
    return found


def _wide(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Take sizes from the Zip64 field where the plain ones are full."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            field = extra[position + 4 : position + 4 + length]
            values = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            size = next(values, size) if size == _FULL else size
            packed = next(values, packed) if packed == _FULL else packed
            header = next(values, header) if header == _FULL else header
            break
        position += 4 + length
    return size, packed, header


def _named(raw: bytes, flags: int, fault: Fault) -> str:
    try:
        name = raw.decode("utf-8" if flags & _UTF8 or raw.isascii() else "cp437")
    except UnicodeDecodeError:
        name = raw.decode("utf-8", "backslashreplace")
        fault("zip-name", repr(shown(name)), "the name is not UTF-8")
    parts = name.removesuffix("/").split("/")
    if "\\" in name or any(ord(letter) < 32 for letter in name) or any(part in {"", ".", ".."} for part in parts) or ":" in parts[0]:  # noqa: PLR2004
        fault("zip-name", repr(shown(name)), "the name leads outside, or readers differ in what it says")
    return name


def member_window_bounds(member: Member, window: Window) -> tuple[int, int]:
    """Return offset and length of a member's bytes; all that follows where no length is known."""
    if not 0 <= member.start <= window.size:
        raise FormatError(repr(shown(member.name)), "lies outside the file")
    return member.start, window.size - member.start if member.packed is None else member.packed
