# SPDX-License-Identifier: Apache-2.0
"""ONNX: the graph's operators and the files that its tensors lie in; never the tensors.

Every message that can hold a tensor or a graph is walked: attributes, functions, training graphs, nested graphs. A field that the
format does not have is refused, because another format's loader could give it a meaning.

Source: ONNX ``onnx/onnx.proto`` (IR version 13) and ``docs/ExternalData.md``; ONNX Runtime ``core/framework/tensor_external_data_info.cc``;
CVE-2022-25882, CVE-2024-27318, CVE-2025-51480, CVE-2026-27489, CVE-2026-34446.
"""

from collections.abc import Mapping, Sized
from types import MappingProxyType
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._beside import Reference, leads_outside
from lifeseal.serialization._context import Context
from lifeseal.serialization._onnx_operators import is_own, is_python
from lifeseal.serialization._protobuf import MAX_DEPTH, MAX_NAME, Field, Wire, outline, span, unknown
from lifeseal.serialization._rules import shown
from lifeseal.serialization._window import CachedWindow, Window

_NUMBER, _BYTES = False, True
_TOP: Final = {
    1: _NUMBER, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _NUMBER, 6: _BYTES, 7: _BYTES, 8: _BYTES, 14: _BYTES, 20: _BYTES, 25: _BYTES, 26: _BYTES,
}  # fmt: skip
_GRAPH, _OPSETS, _FUNCTIONS = 7, 8, 25
_NAMES: Final = frozenset({2, 3, 4})
_LAYOUT: Final = dict.fromkeys(map(ord, "\t\n\r"), " ")
# For each message: the fields without tensors, graphs or names of operators; and those to walk, with their message.
_PLAIN: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "model": frozenset({1, 2, 3, 4, 5, 6, 8, 14, 26}),
        "training": frozenset({3, 4}),
        "graph": frozenset({2, 10, 11, 12, 13, 14, 16}),
        "function": frozenset({4, 5, 6, 8, 9, 12, 13, 14}),
        "attribute": frozenset({1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20, 21}),
        "sparse": frozenset({3}),
    }
)
_WALKED: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType(
    {
        "model": {7: "graph", 20: "training", 25: "function"},
        "training": {1: "graph", 2: "graph"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: "tensor", 2: "tensor"},
    }
)
_NODE: Final = frozenset({1, 2, 3, 6, 8, 9, 10})
_NODE_OPERATOR, _NODE_DOMAIN, _NODE_ATTRIBUTE = 4, 7, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_TEXT = 1, 4
_FUNCTION_NAME, _FUNCTION_DOMAIN, _FUNCTION_OPSETS = 1, 10, 9
_TENSOR: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16})
_EXTERNAL: Final = 13
_PATHS: Final = frozenset({"location", "basepath"})
_KEYS: Final = _PATHS | {"checksum"}
_MAX_DIGITS: Final = 18
_MAX_OPERATORS: Final = 1 << 12
_MAX_ENTRIES: Final = 64
_MAX_CONTEXT: Final = 1 << 12


def is_onnx(head: bytes, window: Window) -> bool:
    """Tell whether the outermost fields are those of a model, with a graph or functions."""
    del head
    found = outline(window, _TOP)
    return len(found) > 1 and not found.keys().isdisjoint({_GRAPH, _FUNCTIONS})


def judge_onnx(window: Window, context: Context) -> str:
    """Judge the graph; returns ``onnx``."""
    try:
        _Model(window, context).judge()
    except FormatError as error:
        context.say("onnx-invalid", error.where, error.wanted)
    return "onnx"


class _Model:
    def __init__(self, window: Window, context: Context) -> None:
        self._size = window.size
        self._wire = Wire(CachedWindow(window), context.budget, context.place)
        self._context = context
        self._used: set[tuple[str, str]] = set()
        self._defined: set[tuple[str, str]] = set()
        self._imported: set[str] = set()

    def judge(self) -> None:
        self._walk("model", 0, self._size, 0)
        for domain, operator in sorted(self._used):
            name = shown(f"{domain}.{operator}" if domain else operator)
            if is_python(operator):
                self._context.say("onnx-python", repr(name), "an operator for which its runtime calls Python")
            elif not is_own(domain, operator) and (domain, operator) not in self._defined:
                self._context.say("onnx-operator", repr(name), "an operator that is not of the standard: a library that is loaded for it runs it")
        missing = {domain for domain, _ in self._used} - self._imported
        if missing:
            raise FormatError("opset_import", f"no set of operators is imported for the domain {shown(min(missing))!r}")

    def _walk(self, kind: str, start: int, stop: int, depth: int) -> None:
        """Walk a message of some kind."""
        if depth > MAX_DEPTH:
            raise FormatError(f"byte {start}", f"more than {MAX_DEPTH} messages within one another")
        own = {"node": self._node, "attribute": self._attribute, "function": self._function, "tensor": self._tensor}.get(kind)
        if own is not None:
            own(start, stop, depth)
            return
        plain, walked = _PLAIN[kind], _WALKED[kind]
        for field in self._wire.fields(start, stop):
            if field.number in walked:
                self._walk(walked[field.number], *span(field), depth + 1)
            elif field.number not in plain:
                raise unknown(field, kind)
            elif kind == "model" and field.number == _OPSETS:
                self._import(field)
            elif kind == "model" and field.number in _NAMES and not self._wire.text(field).translate(_LAYOUT).isprintable():
                raise FormatError(f"byte {field.start}", "a name with control characters, which could be a message of another format")

    def _import(self, field: Field) -> None:
        domain = ""
        for inner in self._wire.fields(*span(field)):
            domain = self._wire.text(inner, MAX_NAME) if inner.number == 1 else domain
        self._imported.add(_domain(domain))
        self._check_count(self._imported, field.start, "sets of operators")

    def _node(self, start: int, stop: int, depth: int) -> None:
        operator, domain = "", ""
        for field in self._wire.fields(start, stop):
            if field.number == _NODE_OPERATOR:
                operator = self._wire.text(field, MAX_NAME)
            elif field.number == _NODE_DOMAIN:
                domain = _domain(self._wire.text(field, MAX_NAME))
            elif field.number == _NODE_ATTRIBUTE:
                self._attribute(*span(field), depth + 1)
            elif field.number not in _NODE:
                raise unknown(field, "node")
        self._used.add((domain, operator))
        self._check_count(self._used, start, "operators")

    def _attribute(self, start: int, stop: int, depth: int) -> None:
        name, value = "", ""
        for field in self._wire.fields(start, stop):
            inner = _WALKED["attribute"].get(field.number)
            if inner is not None:
                self._walk(inner, *span(field), depth + 1)
            elif field.number not in _PLAIN["attribute"]:
                raise unknown(field, "attribute")
            elif field.number == _ATTRIBUTE_NAME:
                name = self._wire.text(field)
            elif field.number == _ATTRIBUTE_TEXT and field.stop - field.start < _MAX_CONTEXT:
                value = self._wire.window.read(*_part(field)).decode("utf-8", "replace")
        if name == "ep_cache_context" and value.isprintable() and leads_outside(value):
            self._context.say("onnx-external", repr(shown(value)), "names compiled code outside the folder")

    def _function(self, start: int, stop: int, depth: int) -> None:
        domain, name = "", ""
        for field in self._wire.fields(start, stop):
            if field.number == _FUNCTION_NAME:
                name = self._wire.text(field, MAX_NAME)
            elif field.number == _FUNCTION_DOMAIN:
                domain = _domain(self._wire.text(field, MAX_NAME))
            elif field.number == _FUNCTION_OPSETS:
                self._import(field)
            elif field.number in _WALKED["function"]:
                self._walk(_WALKED["function"][field.number], *span(field), depth + 1)
            elif field.number not in _PLAIN["function"]:
                raise unknown(field, "function")
        self._defined.add((domain, name))
        self._check_count(self._defined, start, "functions")

    def _check_count(self, names: Sized, start: int, what: str) -> None:
        if len(names) > _MAX_OPERATORS:
            raise FormatError(f"byte {start}", f"more than {_MAX_OPERATORS} different {what}")

    def _tensor(self, start: int, stop: int, _: int) -> None:
        entries: list[tuple[str, str]] = []
        for field in self._wire.fields(start, stop):
            if field.number == _EXTERNAL:
                entries.append(self._wire.pair(field))
                if len(entries) > _MAX_ENTRIES:
                    raise FormatError(f"byte {start}", f"more than {_MAX_ENTRIES} entries of external data")
            elif field.number not in _TENSOR:
                raise unknown(field, "tensor")
        if entries:
            self._external(entries, start)

    def _external(self, entries: list[tuple[str, str]], start: int) -> None:
        """Judge where a tensor's bytes lie, by every value that some reader could take."""
        where = f"byte {start}"
        stop = {"offset": 0, "length": 0}
        for key, value in entries:
            if key in stop:
                if not (value.isascii() and value.isdigit()) or len(value) > _MAX_DIGITS:
                    raise FormatError(where, f"{key} {shown(value)!r} of external data is no size")
                stop[key] = max(stop[key], int(value))
            elif key not in _KEYS:
                raise FormatError(where, f"{shown(key)!r} of external data is not known")
        for key, value in entries:
            if key in _PATHS and leads_outside(value):
                self._context.say("onnx-external", where, f"a tensor lies in {shown(value)!r}, outside the folder")
            elif key == "location":
                self._context.refer(Reference(value), sum(stop.values()))


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _part(field: Field) -> tuple[int, int]:
    return field.start, field.stop - field.start
