# SPDX-License-Identifier: Apache-2.0
"""Archives: PyTorch's zip files, TorchScript, NumPy's npz, and plain zip files of any of these."""

import zlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import MEMBER_COST, Budget
from lifeseal.serialization._npy import MAGIC
from lifeseal.serialization._rules import Findings, at, shown
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._window import BytesWindow, PartWindow, Window, crc32
from lifeseal.serialization._zip import LOCAL, Member, member_window_bounds, read_members

Judge: TypeAlias = Callable[[Window, Findings, str], str]

MAX_UNPACKED: Final = 128 << 20
_PROBE: Final = 1 << 12
_STORED: Final = 0
_DEFLATED: Final = 8
_MAIN: Final = "data.pkl"
_CONSTANTS: Final = "constants.pkl"
_BY_MEMBERS: Final = {"keras": {"config.json", "metadata.json"}, "skops": {"schema.json"}}


def judge_zip(window: Window, findings: Findings, *, place: str, allow: frozenset[str], budget: Budget, judge: Judge) -> str:
    """Judge an archive by every member that any reader could see.

    Args:
        window: The archive.
        findings: Where findings go.
        place: What to call the archive in findings.
        allow: Full names of globals that the caller trusts.
        budget: Work left for the file.
        judge: Judges a member of no known role by its bytes; returns its format.

    Returns:
        ``torch``, ``torchscript``, ``npz`` or ``zip``.
    """
    members = [member for member in read_members(window, findings, place, budget) if not member.is_folder]
    roots = sorted({member.name.removesuffix(_MAIN) for member in members if _is_named(member, _MAIN)})
    script = [member for member in members if any(member.name.startswith(root + "code/") or member.name == root + _CONSTANTS for root in roots)]
    if script:
        findings.add("torch-script", at(place, repr(shown(script[0].name))), "a TorchScript program; torch.jit.load makes it a model that runs it")
    unpacked = _Unpacker(window, findings, place, budget)
    by_name = {member.name: member for member in members}
    storages: set[str] = set()
    streams = [member for member in members if roots and (_is_named(member, _MAIN) or _is_named(member, _CONSTANTS))]
    for member in streams:
        content = unpacked.content(member)
        if content is None:
            continue
        spot = at(place, repr(shown(member.name)))
        stream = judge_stream(content, findings, place=spot, allow=allow, budget=budget, keeps_storages=True)
        folders = ["data/"] if _is_named(member, _MAIN) else ["constants/", "data/"]
        root = member.name.removesuffix(_MAIN).removesuffix(_CONSTANTS)
        storages |= _check_storages(stream.storages, [root + folder for folder in folders], by_name, findings, spot)
    formats = set()
    for member in members:
        if member in streams:
            continue
        if member.name in storages:
            head = unpacked.head(member)
            if not head.startswith((MAGIC, LOCAL)) and not _acts(head, allow):
                continue
            findings.add("mixed", at(place, repr(shown(member.name))), "a tensor's storage that is a file of its own")
        content = unpacked.content(member)
        if content is not None:
            formats.add(judge(content, findings, at(place, repr(shown(member.name)))))
    if roots:
        return "torchscript" if script else "torch"
    return known_by_members(by_name.keys()) or ("npz" if formats == {"npy"} else "zip")


def known_by_members(names: AbstractSet[str]) -> str:
    """Return the format of which an archive with these members is; nothing if none is known."""
    return next((name for name, members in _BY_MEMBERS.items() if names >= members), "")


def _acts(head: bytes, allow: frozenset[str]) -> bool:
    """Tell whether an unpickler that is given a storage would do more than fail."""
    budget = Budget(0)
    budget.opcodes = _PROBE
    stream = judge_stream(BytesWindow(head), Findings(), place="", allow=allow, budget=budget)
    return stream.acted


def _is_named(member: Member, name: str) -> bool:
    return member.name == name or member.name.endswith("/" + name)


def _check_storages(storages: Mapping[str, int], folders: list[str], by_name: Mapping[str, Member], findings: Findings, place: str) -> set[str]:
    """Compare the storages that a pickle names with the members that hold them; returns the names of these members."""
    used = set()
    for key, size in storages.items():
        member = next((by_name[folder + key] for folder in folders if folder + key in by_name), None)
        if member is None:
            findings.add("torch-storage", place, f"storage {shown(key)!r} is not in the archive")
        elif member.size != size:
            findings.add("torch-storage", place, f"storage {shown(key)!r} needs {size} bytes, but {member.size} are in the archive")
        else:
            used.add(member.name)
    return used


class _Unpacker:
    """Gives the content of members, within a bound for all of them together."""

    def __init__(self, window: Window, findings: Findings, place: str, budget: Budget) -> None:
        self._window = window
        self._findings = findings
        self._place = place
        self._budget = budget

    def head(self, member: Member) -> bytes:
        """Return the first bytes of a storage."""
        try:
            start, length = member_window_bounds(member, self._window)
        except FormatError:
            return b""
        return PartWindow(self._window, start, length).read(0, _PROBE)

    def content(self, member: Member) -> Window | None:
        """Return a member's content, or None and a finding."""
        place = at(self._place, repr(shown(member.name)))
        try:
            start, length = member_window_bounds(member, self._window)
        except FormatError as error:
            self._findings.add("zip-member", place, error.wanted)
            return None
        packed = PartWindow(self._window, start, length)
        try:
            self._budget.spend(MEMBER_COST, place)
        except LimitError as error:
            self._findings.add("limit", self._place, str(error))
            return None
        if member.method == _STORED and packed.size > self._budget.content:
            self._findings.add("limit", self._place, "members of more bytes than are read of one file")
            return None
        if member.method == _STORED:
            content: Window | None = packed
            self._budget.content -= packed.size
        elif member.method == _DEFLATED:
            content = self._inflate(packed, place)
        else:
            self._findings.add("zip-member", place, f"is packed by method {member.method}, which is not read here")
            return None
        if content is not None and member.size is not None and (content.size != member.size or crc32(content) != member.crc):
            self._findings.add("zip-crc", place, "the content does not match the size or checksum that is stated")
        return content

    def _inflate(self, packed: Window, place: str) -> Window | None:
        limit = min(MAX_UNPACKED, self._budget.content)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        parts: list[bytes] = []
        done, position = 0, 0
        try:
            while not unpacker.eof and done <= limit:
                piece = unpacker.unconsumed_tail
                if not piece:
                    piece = packed.read(position, 1 << 16)
                    position += len(piece)
                    if not piece:
                        break
                parts.append(unpacker.decompress(piece, 1 << 20))
                done += len(parts[-1])
        except zlib.error:
            self._findings.add("zip-member", place, "the deflated bytes are broken")
        else:
            if done > limit:
                self._findings.add("limit", place, f"unpacks to more than {limit} bytes")
            elif not unpacker.eof:
                self._findings.add("zip-member", place, "the deflated bytes are cut")
            elif unpacker.unused_data or position < packed.size:
                self._findings.add("zip-member", place, "bytes after the deflated ones")
        self._budget.content -= min(done, self._budget.content)
        return BytesWindow(b"".join(parts))
