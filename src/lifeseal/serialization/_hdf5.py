# SPDX-License-Identifier: Apache-2.0
"""HDF5: where its links and datasets lead, what filters they need, and the texts in its attributes; never the datasets.

Source: HDF5 File Format Specification 3.0; h5py "Links" and "External storage"; Keras ``legacy_h5_format.py``; CVE-2026-1669.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._context import Context
from lifeseal.serialization._hdf5_dense import dense_attributes, dense_links
from lifeseal.serialization._hdf5_file import EXTERNAL, HARD, LINK, SIGNATURE, SOFT, SYMBOL_TABLE, Fields, File, Link, Message
from lifeseal.serialization._report import Verdict
from lifeseal.serialization._rules import Findings, shown
from lifeseal.serialization._window import BytesWindow, Window

_LINK_INFO, _EXTERNAL_FILES, _LAYOUT, _FILTERS, _ATTRIBUTE, _DRIVER, _ATTRIBUTE_INFO = 0x02, 0x07, 0x08, 0x0B, 0x0C, 0x14, 0x15
# Not among them is the image of a cache (0x18), which would stand for other bytes of the file.
_KNOWN: Final = frozenset(range(0x18)) - {0x09}
_MAY_BE_SHARED: Final = frozenset({0x01, 0x03, 0x04, 0x05})
_CONTIGUOUS, _CHUNKED, _VIRTUAL = 1, 2, 3
_BUILT_IN: Final = frozenset({1, 2, 3, 4, 5, 6, 32000})
_FIXED_TEXT, _VARIABLE = 3, 9
_CONFIGURATIONS: Final = frozenset({"model_config", "training_config"})
_PICKLES: Final = ("PSEUDOATOM", b"object")
_FIRST_FURTHER: Final = 512
_MAX_USER_BLOCK: Final = 1 << 20
_KIND_SIZE: Final = 8
_NOTHING: Final = 2
_MAX_LINKS: Final = 1 << 18


def is_hdf5(head: bytes, window: Window) -> bool:
    """Tell whether the signature stands first, or behind a block for the user's own that holds nothing."""
    return head.startswith(SIGNATURE) or (len(head) >= _FIRST_FURTHER and not head.strip(b"\0") and _start_of(window) > 0)


def _start_of(window: Window) -> int:
    """Return where the file of HDF5 begins: at its first byte, or behind zeros; -1 if it does not."""
    start = 0
    while start <= _MAX_USER_BLOCK:
        if window.read(start, len(SIGNATURE)) == SIGNATURE:
            return -1 if window.read(0, start).strip(b"\0") else start
        start = max(2 * start, _FIRST_FURTHER)
    return -1


def look_further(window: Window, context: Context) -> None:
    """Look for a file of HDF5 where its library looks too if none stands first, and judge it."""
    start = window.size if _start_of(window) >= 0 else _FIRST_FURTHER
    while start < window.size:
        if window.read(start, len(SIGNATURE)) == SIGNATURE:
            context.say("mixed", f"byte {start}", "a file of HDF5 behind bytes of another format")
            _judge_at(window, context, start)
            return
        start *= 2


def judge_hdf5(window: Window, context: Context) -> str:
    """Judge every object that can be reached; returns ``hdf5``."""
    _judge_at(window, context, _start_of(window))
    return "hdf5"


def _judge_at(window: Window, context: Context, start: int) -> None:
    try:
        _Judge(window, context, start).judge()
    except FormatError as error:
        context.say("hdf5-invalid", error.where, error.wanted)


class _Judge:
    def __init__(self, window: Window, context: Context, start: int) -> None:
        self._size = window.size
        self._context = context
        self._file = File(window, context, start)
        self._groups: dict[int, dict[str, Link]] = {}
        self._links_seen = 0
        self._judges = {
            _EXTERNAL_FILES: self._external_files,
            _DRIVER: self._driver,
            _LAYOUT: self._layout,
            _FILTERS: self._filters,
            _ATTRIBUTE: self._attribute,
        }

    def judge(self) -> None:
        file = self._file
        if file.has_driver:
            self._context.say("hdf5-external", "superblock", "a driver of its own reads the file, from others beside it")
        if file.end != self._size:
            raise FormatError("superblock", f"a file of {file.end} bytes was announced, but {self._size} are there")
        pending = {address: "/" for address in (file.root, file.extension) if address >= 0}
        if file.root < 0:
            raise FormatError("superblock", "a root group was expected")
        seen = set(pending)
        while pending:
            address, path = pending.popitem()
            for link in self._object(address, path):
                if link.kind == HARD and link.address not in seen:
                    seen.add(link.address)
                    pending[link.address] = f"{path.rstrip('/')}/{shown(link.name)}"[-200:]
        self._check_soft_links()

    def _check_soft_links(self) -> None:
        for address, links in self._groups.items():
            for link in links.values():
                if link.kind == SOFT and not self._resolves(address, link.value.decode("utf-8", "backslashreplace")):
                    self._context.say("hdf5-link", repr(shown(link.name)), "a soft link to what is not in the file")

    def _object(self, address: int, path: str) -> list[Link]:
        """Judge one object; returns its links."""
        links: list[Link] = []
        for message in self._file.messages(address):
            if message.kind not in _KNOWN or (message.is_shared and message.kind not in _MAY_BE_SHARED):
                raise FormatError(repr(path), f"a message of type {message.kind} that is not read")
            links += islice(self._links(message), _MAX_LINKS)
            if message.kind == _ATTRIBUTE_INFO:
                for data in dense_attributes(self._file, message.data, self._context):
                    self._attribute(data, path)
            elif message.kind in self._judges:
                self._judges[message.kind](message.data, path)
        group = self._groups.setdefault(address, {})
        for link in links:
            if link.name in group:
                raise FormatError(repr(path), f"two links are named {shown(link.name)!r}")
            group[link.name] = link
            self._link(link, path)
        self._links_seen += len(group)
        if self._links_seen > _MAX_LINKS:
            raise FormatError("file", f"more than {_MAX_LINKS} links")
        return links

    def _links(self, message: Message) -> Iterable[Link]:
        if message.kind == SYMBOL_TABLE:
            return self._file.table_links(message)
        if message.kind == _LINK_INFO:
            return dense_links(self._file, message.data, self._context)
        return (self._file.link(message.data),) if message.kind == LINK else ()

    def _link(self, link: Link, path: str) -> None:
        place = repr(f"{path.rstrip('/')}/{shown(link.name)}")
        if link.kind == EXTERNAL:
            self._context.say("hdf5-external", place, f"a link into another file: {shown(link.value[1:].decode('utf-8', 'backslashreplace'))}")
        elif link.kind not in {HARD, SOFT}:
            self._context.say("hdf5-external", place, f"a link of kind {link.kind}, which a plugin follows")
        elif link.kind == HARD and link.address < 0:
            raise FormatError(place, "a link to nowhere")

    def _resolves(self, address: int, target: str) -> bool:
        """Tell whether a path leads to an object of the file; through links of any kind, each followed once."""
        current = self._file.root if target.startswith("/") else address
        parts = [part for part in reversed(target.split("/")) if part not in {"", "."}]
        for _ in range(len(parts) + 64):
            if not parts:
                return True
            link = self._groups.get(current, {}).get(parts.pop())
            if link is None:
                return False
            if link.kind == HARD:
                current = link.address
            elif link.kind == SOFT:
                value = link.value.decode("utf-8", "backslashreplace")
                current = self._file.root if value.startswith("/") else current
                parts += [part for part in reversed(value.split("/")) if part not in {"", "."}]
            else:
                return True
            if len(parts) > 256:  # noqa: PLR2004 - links that stand for ever more links
                return False
        return False

    def _external_files(self, data: bytes, path: str) -> None:
        self._context.say("hdf5-external", repr(path), f"a dataset whose bytes lie in {data[6]} other files")

    def _driver(self, _: bytes, path: str) -> None:
        self._context.say("hdf5-external", repr(path), "a driver of its own reads the file, from others beside it")

    def _layout(self, data: bytes, path: str) -> None:
        fields = Fields(data, self._file)
        version, kind = fields.number(1), fields.number(1)
        if version < 3:  # noqa: PLR2004 - the class stands behind the number of dimensions
            kind = fields.number(1)
            fields.take(5)
            if kind in {_CONTIGUOUS, _CHUNKED}:
                self._inside(fields.address(), 0, path)
        elif kind == _VIRTUAL:
            self._context.say("hdf5-external", repr(path), "a dataset that is put together from other files")
        elif kind == _CONTIGUOUS:
            address = fields.address()
            self._inside(address, fields.length(), path)
        elif kind == _CHUNKED and version == 3:  # noqa: PLR2004
            fields.take(1)
            self._inside(fields.address(), 0, path)
        elif version > 5 or kind > _VIRTUAL:  # noqa: PLR2004
            raise FormatError(repr(path), f"a layout of version {version} and class {kind} is not known")

    def _inside(self, address: int, size: int, path: str) -> None:
        if address >= 0 and self._file.base + address + size > self._size:
            raise FormatError(repr(path), f"a dataset at {address} ends behind the end of the file")

    def _filters(self, data: bytes, path: str) -> None:
        fields = Fields(data, self._file)
        version, count = fields.number(1), fields.number(1)
        if version not in {1, 2}:
            raise FormatError(repr(path), f"version {version} of a list of filters is not known")
        fields.take(6 if version == 1 else 0)
        for _ in range(count):
            number = fields.number(2)
            length = fields.number(2) if version == 1 or number >= 256 else 0  # noqa: PLR2004 - those below have no name
            fields.take(2)
            values = fields.number(2)
            fields.take(-(-length // 8) * 8 if version == 1 else length)
            fields.take(4 * (values + values % 2 if version == 1 else values))
            if number not in _BUILT_IN:
                self._context.say("hdf5-filter", repr(path), f"is packed by filter {number}, for which a library must be loaded")

    def _attribute(self, data: bytes, path: str) -> None:
        fields = Fields(data, self._file)
        version, flags = fields.number(1), fields.number(1)
        if version not in {1, 2, 3}:
            raise FormatError(repr(path), f"version {version} of an attribute is not known")
        sizes = [fields.number(2) for _ in range(3)]
        fields.take(1 if version == 3 else 0)  # noqa: PLR2004
        name, kind, space = (fields.take(-(-size // 8) * 8 if version == 1 else size) for size in sizes)
        text = None if flags & 1 and version > 1 else self._text(kind, space, fields.rest())
        label = name.partition(b"\0")[0].decode("utf-8", "backslashreplace")
        inside = self._context.inside(f"{path!r}, attribute {shown(label)!r}")
        if text is None:
            if label in _CONFIGURATIONS:
                raise FormatError(repr(path), f"the attribute {label!r} is no text")
            return
        if (label, text) == _PICKLES:
            inside.say("hdf5-pickle", "", "a dataset of pickles, which PyTables loads")
        if label in _CONFIGURATIONS or text.lstrip()[:1] in {b"{", b"["}:
            if self._context.judge(BytesWindow(text), inside) != "json" and label in _CONFIGURATIONS:
                inside.say("keras-config", "", "no JSON that could be read, and so not analysed")
            return
        own = Findings()
        self._context.judge(BytesWindow(text), inside.aside(own))
        if own.verdict in {Verdict.UNSAFE, Verdict.NEEDS_TRUST}:
            self._context.findings.extend(own)

    def _text(self, kind: bytes, space: bytes, data: bytes) -> bytes | None:
        """Return the text of an attribute; None if it holds none, or several."""
        if len(kind) < _KIND_SIZE or not self._is_single(space):
            return None
        if kind[0] & 15 == _FIXED_TEXT:
            return data[: int.from_bytes(kind[4:8], "little")].rstrip(b"\0")
        if kind[0] & 15 == _VARIABLE and kind[1] & 15 == 1:
            fields = Fields(data, self._file)
            length, address, index = fields.number(4), fields.address(), fields.number(4)
            return self._file.heap_object(address, index)[:length] if length else b""
        return None

    def _is_single(self, space: bytes) -> bool:
        """Tell whether a dataspace has one item."""
        fields = Fields(space, self._file)
        version, dimensions, _, kind = (fields.number(1) for _ in range(4))
        if version == 1:
            fields.take(4)
        sizes = [fields.length() for _ in range(dimensions)]
        return all(size == 1 for size in sizes) and (version == 1 or kind != _NOTHING)
