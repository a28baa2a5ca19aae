# SPDX-License-Identifier: Apache-2.0
"""Archives: PyTorch's zip files, TorchScript, NumPy's npz, TorchServe's mar, and plain zip files of any of these."""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import MEMBER_COST
from lifeseal.serialization._compressed import MAX_NESTED
from lifeseal.serialization._context import Context
from lifeseal.serialization._expand import Expanded, bz2_stream, deflate_stream
from lifeseal.serialization._npy import MAGIC
from lifeseal.serialization._rules import Findings, shown
from lifeseal.serialization._script import judge_script
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._window import PartWindow, Window, crc32
from lifeseal.serialization._zip import Member, member_window_bounds, read_members
from lifeseal.serialization._zip_end import LOCAL

_PROBE: Final = 1 << 12
_STORED: Final = 0
_METHODS: Final = {8: deflate_stream, 12: bz2_stream}
_MAIN: Final = "data.pkl"
_CONSTANTS: Final = "constants.pkl"
_TRACED: Final = "traced_inputs.pkl"
_EXPORTED: Final = "archive_format"
_WEIGHTS: Final = re.compile(r"(?:^|/)data/(?:weights/weight_|constants/tensor_)\d+$")
_CONFIGURED: Final = {"keras": ("config.json", "keras-config"), "skops": ("schema.json", "skops-invalid")}
_BY_MEMBERS: Final = {"keras": {"config.json", "metadata.json"}, "mar": {"MAR-INF/MANIFEST.json"}, "skops": {"schema.json"}}


def judge_zip(window: Window, context: Context) -> str:
    """Judge an archive by every member that any reader could see.

    Args:
        window: The archive.
        context: Where findings go.

    Returns:
        ``torch``, ``torchscript``, ``npz``, ``mar`` or ``zip``.
    """
    if context.depth > MAX_NESTED:
        context.say("limit", "", f"more than {MAX_NESTED} archives and compressed files inside one another")
        return "zip"
    members = [member for member in read_members(window, context.say, context.budget) if not member.is_folder]
    roots = sorted({member.name.removesuffix(_MAIN) for member in members if _is_named(member, _MAIN)})
    unpacked = _Unpacker(window, context)
    by_name = {member.name: member for member in members}
    script = [member for member in members if any(member.name.startswith(root + "code/") or member.name == root + _CONSTANTS for root in roots)]
    judge_script(((member.name, unpacked.peek(member)) for member in script), context)
    storages: set[str] = set()
    streams = [member for member in members if roots and any(_is_named(member, name) for name in (_MAIN, _CONSTANTS, _TRACED))]
    for member in streams:
        content = unpacked.content(member)
        if content is None:
            continue
        inside = context.inside(repr(shown(member.name)))
        stream = judge_stream(content, inside, keeps_storages=True)
        folders = [member.name.removesuffix(".pkl") + "/", member.name[: member.name.rfind("/") + 1] + "data/"]
        if _is_named(member, _TRACED):  # the shapes of inputs: PyTorch leaves their content out
            storages |= {folders[0] + key for key in stream.storages}
        else:
            storages |= _check_storages(stream.storages, folders, by_name, inside)
    exported = [member for member in members if _is_named(member, _EXPORTED) and unpacked.peek(member).strip() == b"pt2"]
    if exported:
        context.say("torch-export", "", "an exported program; torch.export.load evaluates its expressions")
        storages |= {member.name for member in members if _WEIGHTS.search(member.name)}
    judged = (member for member in members if member not in streams and not (script and member in script and member.name.endswith(".py")))
    formats = _judge_members(judged, storages, unpacked, context)
    if exported:
        return "pt2"
    if roots:
        return "torchscript" if script else "torch"
    known = known_by_members(by_name.keys())
    if known in _CONFIGURED and formats.get(_CONFIGURED[known][0], "json") != "json":
        name, rule = _CONFIGURED[known]
        context.say(rule, repr(name), "no JSON that could be read, and so not analysed")
    return known or ("npz" if set(formats.values()) == {"npy"} else "zip")


def known_by_members(names: AbstractSet[str]) -> str:
    """Return the format of which an archive with these members is; nothing if none is known."""
    return next((name for name, members in _BY_MEMBERS.items() if names >= members), "")


def _judge_members(members: Iterable[Member], storages: set[str], unpacked: "_Unpacker", context: Context) -> dict[str, str]:
    """Judge each member by itself, and of a tensor's storage only whether it is a file of its own; returns their formats by name."""
    formats = {}
    for member in members:
        inside = context.inside(repr(shown(member.name)))
        if member.name in storages:
            storage = unpacked.storage(member)
            if storage is None or not (storage.read(0, len(MAGIC)).startswith((MAGIC, LOCAL)) or _acts(storage, context)):
                continue
            inside.say("mixed", "", "a tensor's storage that is a file of its own")
        content = unpacked.content(member)
        if content is not None:
            formats[member.name] = context.judge(content, inside)
    return formats


def _acts(storage: Window, context: Context) -> bool:
    """Tell whether an unpickler that is given a storage would do more than fail; nearly every one fails within the first bytes."""
    head = _Head(storage)
    stream = judge_stream(head, context.aside(Findings()))
    if head.left and not (stream.acted or stream.unknown):
        stream = judge_stream(storage, context.aside(Findings()))
    return stream.acted or stream.unknown


class _Head:
    """The first bytes of a storage, as if the rest could not be read.

    Attributes:
        size: Bytes of the storage.
        left: The rest was asked for.
    """

    def __init__(self, storage: Window) -> None:
        self._data = storage.read(0, _PROBE)
        self.size = storage.size
        self.left = False

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``, the first time."""
        if start and len(self._data) < self.size:
            self.left = True
            raise FormatError(f"byte {start}", "not looked at yet")
        return self._data[start : start + count]


def _is_named(member: Member, name: str) -> bool:
    return member.name == name or member.name.endswith("/" + name)


def _check_storages(storages: Mapping[str, int], folders: list[str], by_name: Mapping[str, Member], context: Context) -> set[str]:
    """Compare the storages that a pickle names with the members that hold them; returns the names of these members."""
    used = set()
    for key, size in storages.items():
        member = next((by_name[folder + key] for folder in folders if folder + key in by_name), None)
        if member is None:
            context.say("torch-storage", "", f"storage {shown(key)!r} is not in the archive")
        elif member.size != size:
            context.say("torch-storage", "", f"storage {shown(key)!r} needs {size} bytes, but {member.size} are in the archive")
        else:
            used.add(member.name)
    return used


class _Unpacker:
    """Gives the content of members, within a bound for all of them together."""

    def __init__(self, window: Window, context: Context) -> None:
        self._window = window
        self._context = context

    def storage(self, member: Member) -> Window | None:
        """Return a storage without comparing it with its checksum, which would read all of it; None and a finding where it cannot be read."""
        if member.method != _STORED:
            return self.content(member)
        try:
            start, length = member_window_bounds(member, self._window)
        except FormatError:
            return None
        return PartWindow(self._window, start, length)

    def peek(self, member: Member) -> bytes:
        """Return a small member's content, as far as it can be read, without judging it."""
        content = self.content(member)
        return b"" if content is None else content.read(0, 1 << 20)

    def content(self, member: Member) -> Window | None:
        """Return a member's content, or None and a finding."""
        place = repr(shown(member.name))
        try:
            start, length = member_window_bounds(member, self._window)
        except FormatError as error:
            self._context.say("zip-member", place, error.wanted)
            return None
        packed = PartWindow(self._window, start, length)
        try:
            self._context.budget.spend(MEMBER_COST, place)
        except LimitError as error:
            self._context.say("limit", "", str(error))
            return None
        if member.method == _STORED:
            if packed.size > self._context.budget.content:
                self._context.say("limit", "", "members of more bytes than are read of one file")
                return None
            self._context.budget.content -= packed.size
            self._check(member, packed.size, None if member.size is None else crc32(packed))
            return packed
        new = _METHODS.get(member.method)
        if new is None:
            self._context.say("zip-member", place, f"is packed by method {member.method}, which is not read here")
            return None
        content = Expanded(packed, new, self._context.budget, place=place)
        if content.fault:
            self._context.say("limit" if content.over else "zip-member", place, content.fault)
        elif content.end < packed.size and member.packed is not None:
            self._context.say("zip-member", place, "bytes after the compressed ones")
        else:
            self._check(member, content.size, content.crc)
        return content

    def _check(self, member: Member, size: int, crc: int | None) -> None:
        if member.size is not None and (size != member.size or crc != member.crc):
            self._context.say("zip-crc", repr(shown(member.name)), "the content does not match the size or checksum that is stated")
