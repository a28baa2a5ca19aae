# SPDX-License-Identifier: Apache-2.0
"""TensorFlow: the operators of saved models and graphs, also in their functions; never the tensors.

Source: TensorFlow ``core/protobuf/saved_model.proto``, ``meta_graph.proto``, ``saved_object_graph.proto``, ``fingerprint.proto`` and
``core/framework/graph.proto``, ``function.proto``, ``node_def.proto``; Keras ``saved_metadata.proto``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._beside import leads_outside
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._protobuf import MAX_NAME, Field, Wire, outline, span, unknown, varint
from lifeseal.serialization._rules import shown
from lifeseal.serialization._tensorflow_operators import CHECKPOINT, COMPUTE, REACH_OUT
from lifeseal.serialization._window import CachedWindow, PartWindow, Window

_NUMBER, _BYTES = False, True
_SAVED_MODEL: Final = {1: _NUMBER, 2: _BYTES}
_GRAPH: Final = {1: _BYTES, 2: _BYTES, 3: _NUMBER, 4: _BYTES, 5: _BYTES}
_META_GRAPH: Final = dict.fromkeys(range(1, 8), _BYTES)
_FINGERPRINT: Final = {**dict.fromkeys(range(1, 6), _NUMBER), 6: _BYTES, 7: _BYTES}
_KERAS_METADATA: Final = {1: _BYTES}
_OPERATOR: Final = re.compile(r"[A-Za-z_][\w>./-]*", re.ASCII)
# For each message: the fields that name no operator, file or configuration; and those to walk.
_PLAIN: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "saved model": frozenset({1}),
        "meta graph": frozenset({1, 3, 5}),
        "collection": frozenset({1, 2, 3, 4}),
        "list": frozenset(),
        "any": frozenset({1}),
        "graph": frozenset({3, 4, 5}),
        "library": frozenset({2, 3}),
        "function": frozenset({1, 4, 5, 6, 7, 8}),
        "objects": frozenset({2}),
        "object": frozenset({1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}),
        "user object": frozenset({1, 2}),
        "asset": frozenset(),
        "fed tensor": frozenset({2, 3, 4, 5}),
        "metadata": frozenset(),
        "keras object": frozenset({1, 2, 3, 4, 6}),
    }
)
_WALKED: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType(
    {
        "saved model": {2: "meta graph"},
        "meta graph": {2: "graph", 4: "named collection", 6: "asset", 7: "objects"},
        "collection": {5: "list"},
        "list": {1: "any"},
        "any": {2: "asset"},
        "graph": {1: "node", 2: "library"},
        "library": {1: "function"},
        "function": {3: "node"},
        "objects": {1: "object"},
        "object": {4: "user object"},
        "user object": {3: "configuration"},
        "asset": {1: "fed tensor", 2: "file"},
        "fed tensor": {1: "name"},
        "metadata": {1: "keras object"},
        "keras object": {5: "configuration"},
    }
)
_NODE: Final = frozenset({1, 3, 4, 6, 7})
_NODE_OPERATOR, _NODE_ATTRIBUTE = 2, 5
_MAX_OPERATORS: Final = 1 << 12
_CONSTANT: Final = "Const"
_VALUE_TENSOR, _TENSOR_CONTENT, _TENSOR_TEXTS, _TEXT_TYPE = 8, 4, 8, 7
_MAX_PLACE: Final = 1 << 12
_ASSETS: Final = "saved_model_assets"
_TABLES: Final = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_FILES: Final = CHECKPOINT | _TABLES
_PLACE: Final = re.compile(r"(/[^/\s]|~/|[A-Za-z]:[/\\]|\\\\|[a-z][a-z0-9+.-]*://|(\S+[/\\])?\.\.[/\\])\S+", re.ASCII)
_STREAMS: Final = frozenset({"stdout", "stderr", "log(info)", "log(warning)", "log(error)", ""})


_FIRST: Final = frozenset(b"\x08\x0a\x10\x12\x18\x1a\x20\x22\x2a\x32\x3a")
_MESSAGES: Final = {"tf-saved-model": "saved model", "tf-graph": "graph", "tf-meta-graph": "meta graph", "keras-metadata": "metadata"}


def is_tensorflow(head: bytes, window: Window) -> bool:
    """Tell whether the outermost fields, and those of the first message, are those of a file of TensorFlow's."""
    return head[0] in _FIRST and _kind(window) != ""


def judge_tensorflow(window: Window, context: Context) -> str:
    """Judge the operators; returns ``tf-saved-model``, ``tf-graph``, ``tf-meta-graph``, ``tf-fingerprint`` or ``keras-metadata``."""
    kind = _kind(window)
    if kind in _MESSAGES:
        walker = _Walker(window, context)
        try:
            walker.walk(_MESSAGES[kind], 0, window.size)
        except FormatError as error:
            context.say("tf-invalid", error.where, error.wanted)
        judge_operators(walker.operators - (_TABLES if walker.has_assets else frozenset()), context)
        if not _FILES.isdisjoint(walker.operators):
            for place in sorted({place for name, place in walker.places if name not in walker.fed}):
                context.say("tf-reaches-out", repr(shown(place)), "a constant names a place outside the folder, in a graph with operators for files")
    return kind


def judge_operators(operators: Iterable[str], context: Context) -> None:
    """Say which of TensorFlow's operators are more than computation."""
    for name in sorted(operators):
        if name in REACH_OUT:
            context.say("tf-reaches-out", repr(shown(name)), "an operator that reads or writes files, uses the network or calls Python")
        elif name not in COMPUTE and name not in CHECKPOINT:
            context.say("tf-operator", repr(shown(name)), "an operator that is none of TensorFlow's for models; a library must bring it")


def _kind(window: Window) -> str:
    if outline(window, _SAVED_MODEL).keys() == {1, 2}:
        return "tf-saved-model"
    if outline(window, _FINGERPRINT).keys() >= {1, 2, 3}:
        return "tf-fingerprint"
    if outline(window, _META_GRAPH).keys() >= {1, 2} and not _has_node(window):
        return "tf-meta-graph"
    if 1 in outline(window, _GRAPH) and _has_node(window):
        return "tf-graph"
    return "keras-metadata" if outline(window, _KERAS_METADATA) and _has_keras(window) else ""


def _first(window: Window) -> Window:
    """Return the first message with the number 1."""
    wire = Wire(CachedWindow(window), Budget(0))
    field = next(field for field in wire.fields(0, window.size) if field.number == 1)
    return PartWindow(window, field.start, field.stop - field.start)


def _has_node(window: Window) -> bool:
    first = _first(window)
    if not outline(first, dict.fromkeys(range(1, 8), _BYTES)).keys() >= {1, _NODE_OPERATOR}:
        return False
    wire = Wire(CachedWindow(first), Budget(0))
    names = [wire.window.read(field.start, 1) for field in wire.fields(0, first.size) if field.number == _NODE_OPERATOR]
    return any(_OPERATOR.match(name.decode("latin-1")) for name in names)


def _has_keras(window: Window) -> bool:
    known = {2: _NUMBER, 3: _BYTES, 4: _BYTES, 5: _BYTES, 6: _BYTES}
    return outline(_first(window), known).keys() >= {3, 4}


class _Walker:
    """Walks messages; gathers the operators.

    Attributes:
        operators: Their names.
        places: Constants that name a place outside the folder: the node's name, empty in a function, and the text.
        fed: Names of nodes that a loader gives the place of an asset instead.
        has_assets: There are files that belong to the model.
    """

    def __init__(self, window: Window, context: Context) -> None:
        self._window = window
        self._wire = Wire(CachedWindow(window), context.budget, context.place)
        self._context = context
        self.operators: set[str] = set()
        self.places: set[tuple[str, str]] = set()
        self.fed: set[str] = set()
        self.has_assets = False

    def walk(self, kind: str, start: int, stop: int) -> None:
        """Walk a message of some kind."""
        plain, walked = _PLAIN[kind], _WALKED[kind]
        for field in self._wire.fields(start, stop):
            inner = walked.get(field.number)
            if inner is None and field.number not in plain:
                raise unknown(field, kind)
            if inner == "node":
                self._node(*span(field), is_own=kind == "graph")
            elif inner == "named collection":
                self._collection(*span(field))
            elif inner == "name":
                self._add(self.fed, self._wire.text(field, MAX_NAME).partition(":")[0], field)
            elif inner == "file":
                self._asset(self._wire.text(field))
            elif inner == "configuration":
                content = PartWindow(self._window, field.start, field.stop - field.start)
                if content.size:
                    self._context.judge(content, self._context.inside(f"configuration at byte {field.start}"))
            elif inner is not None:
                self.walk(inner, *span(field))

    def _add(self, names: set[str], name: str, field: Field) -> None:
        names.add(name)
        if len(names) > _MAX_OPERATORS:
            raise FormatError(f"byte {field.start}", f"more than {_MAX_OPERATORS} different names")

    def _asset(self, name: str) -> None:
        self.has_assets = True
        if leads_outside(name) or "/" in name:
            self._context.say("tf-reaches-out", repr(shown(name)), "names an asset outside the folder of assets")

    def _collection(self, start: int, stop: int) -> None:
        """Walk the collection in which saved models of TensorFlow 1 name their assets; the others hold names of this graph."""
        fields = list(islice(self._wire.fields(start, stop), 3))
        if any(field.number == 1 and self._wire.text(field) == _ASSETS for field in fields):
            for field in fields:
                if field.number == 2:  # noqa: PLR2004
                    self.walk("collection", *span(field))

    def _node(self, start: int, stop: int, *, is_own: bool) -> None:
        name, operator, attributes = self._read_node(start, stop)
        if operator == _CONSTANT and len(self.places) < _MAX_OPERATORS:
            own = name if is_own else ""
            self.places.update((own, text) for field in attributes for text in self._constants(field) if _PLACE.fullmatch(text))
        elif operator == "PrintV2" and any(self._prints_elsewhere(field) for field in attributes):
            self._context.say("tf-reaches-out", f"byte {start}", "prints to a file")

    def _read_node(self, start: int, stop: int) -> tuple[str, str, list[Field]]:
        """Return a node's name, operator and attributes."""
        name, operator, attributes = "", "", []
        for field in self._wire.fields(start, stop):
            if field.number == 1 and field.stop - field.start <= _MAX_PLACE:
                name = self._wire.window.read(field.start, field.stop - field.start).decode("utf-8", "replace")
            elif field.number == _NODE_OPERATOR:
                operator = self._wire.text(field, MAX_NAME)
                if not _OPERATOR.fullmatch(operator):
                    raise FormatError(f"byte {field.start}", f"{shown(operator)!r} is no name of an operator")
                self._add(self.operators, operator, field)
            elif field.number == _NODE_ATTRIBUTE:
                attributes.append(field)
                if len(attributes) > _MAX_OPERATORS:
                    raise FormatError(f"byte {start}", f"more than {_MAX_OPERATORS} attributes")
            elif field.number not in _NODE:
                raise unknown(field, "node")
        return name, operator, attributes

    def _prints_elsewhere(self, entry: Field) -> bool:
        """Tell whether an attribute of a node that prints names anything but the usual streams."""
        key, values = "", []
        for field in self._wire.fields(*span(entry)):
            if field.number == 1:
                key = self._wire.text(field)
            else:
                values += [self._wire.text(inner) for inner in self._wire.fields(*span(field)) if inner.number == 2 and inner.is_bytes]  # noqa: PLR2004
        return key == "output_stream" and any(value not in _STREAMS for value in values)

    def _constants(self, entry: Field) -> Iterator[str]:
        """Yield the text of an attribute that is a tensor of one text, in either way in which one is written."""
        for value in self._wire.fields(*span(entry)):
            for tensor in self._wire.fields(*span(value)) if value.number == 2 else ():  # noqa: PLR2004
                if tensor.number != _VALUE_TENSOR:
                    continue
                count, begin, end, is_text, is_packed = 0, 0, 0, False, False
                for field in self._wire.fields(*span(tensor)):
                    is_text = is_text or (field.number == 1 and field.value == _TEXT_TYPE)
                    if field.is_bytes and field.number in {_TENSOR_CONTENT, _TENSOR_TEXTS}:
                        count, begin, end, is_packed = count + 1, field.start, field.stop, field.number == _TENSOR_CONTENT
                if is_text and count == 1 and 0 < end - begin <= _MAX_PLACE:
                    data = self._wire.window.read(begin, end - begin)
                    yield data[varint(data, 0, begin)[1] if is_packed else 0 :].decode("utf-8", "backslashreplace")
