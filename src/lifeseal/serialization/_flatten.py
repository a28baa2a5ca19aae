# SPDX-License-Identifier: Apache-2.0
"""Names for the tensors in a tree of dictionaries and lists, and what else the tree holds.

A name is the keys on the way, joined by dots. What holds no tensor and is plain data becomes JSON.
"""

import math
from typing import Final, TypeVar

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._rebuild import Storage, Tensor
from lifeseal.serialization._replay import Named, Other, Table, full, is_none
from lifeseal.serialization._rules import shown
from lifeseal.serialization._values import Value

T = TypeVar("T")

_MAX_DEPTH: Final = 100
_MAX_VISITS: Final = 1 << 20
_MAX_TEXT: Final = 16 << 20
_MAX_NUMBER: Final = 1 << 64
ALONE: Final = "tensor"
TOP: Final = "(top)"
_PROGRAM: Final = "__torch__."
_PARAMETERS, _BUFFERS, _MODULES, _PASSING = "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"


class Flat:
    """What a tree holds, by name.

    Attributes:
        tensors: The tensors.
        lost: What each tensor is that safetensors cannot hold.
        values: Plain data, as JSON has it.
        dropped: What else there is, by its class.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.lost: dict[str, str] = {}
        self.values: dict[str, object] = {}
        self.dropped: dict[str, str] = {}


def flatten(root: Value, *, select: str | None, where: str) -> Flat:
    """Name everything in a tree.

    Args:
        root: The tree.
        select: Keys, joined by dots, of the part that is wanted; its names begin below it.
        where: Name for error messages.

    Returns:
        What it holds.

    Raises:
        FormatError: Two things have one name, or it contains itself.
        LimitError: It is deeper or holds more than the bounds.
        ValueError: There is nothing at ``select``.
    """
    walk = _Walk(where)
    if select is not None:
        root = walk.selected(root, select)
    walk.visit(root, "", depth=0)
    return walk.flat


class _Walk:
    def __init__(self, where: str) -> None:
        self.flat = Flat()
        self._where = where
        self._names: set[str] = set()
        self._holds: dict[int, bool] = {}
        self._left = _MAX_VISITS
        self._text = 0

    def selected(self, root: Value, select: str) -> Value:
        """Go down to the part that is wanted, and list what is beside the way."""
        value, rest = root, select
        prefix = ""
        while rest:
            below = dict(self._children(value, prefix))
            # A key may hold dots itself: the longest that fits is meant.
            key = max((key for key in below if rest == key or rest.startswith(key + ".")), key=len, default=None)
            if key is None:
                there = ", ".join(sorted(shown(key) for key in below)[:8]) or "nothing"
                raise ValueError(f"{self._where}: there is no {rest!r} at {prefix or 'the top'!r} for select=; there is {there}")
            for other in below:
                if other != key:
                    self._take(self.flat.dropped, prefix + other, "not selected")
            value, rest, prefix = below[key], rest[len(key) + 1 :], f"{prefix}{key}."
        self._names.clear()
        return value

    def visit(self, value: Value, name: str, *, depth: int) -> None:
        """Name a value and all below it."""
        self._count(depth)
        below = self._below(value, name, depth)
        if below is not None:
            for key, item in below:
                self.visit(item, f"{name}.{key}" if name else key, depth=depth + 1)
        elif isinstance(value, Tensor):
            self._take(self.flat.tensors, name or ALONE, value)
        elif lost := self._why_lost(value, depth):
            self._take(self.flat.lost, name or ALONE, lost)
        elif not self._as_json(value, name, depth):
            self._take(self.flat.dropped, name or TOP, _kind(value))

    def _below(self, value: Value, name: str, depth: int) -> list[tuple[str, Value]] | None:
        """List what is to be named below a value; None where the value itself is."""
        if isinstance(value, Table | list | tuple):
            plain = not self._has_tensors(value, depth) and self._as_json(value, name, depth)
            return [] if plain else self._children(value, f"{name}." if name else "")
        parts = _parts(value) if isinstance(value, Other) and not value.lost else None
        if parts is not None and isinstance(value, Other):
            self._take(self.flat.dropped, name or TOP, f"an object of {shown(value.what)}, of which only the tensors are kept")
        return parts

    def _why_lost(self, value: Value, depth: int) -> str:
        if isinstance(value, Storage):
            return "a storage without a tensor"
        if isinstance(value, Other) and value.lost:
            return value.what
        return f"an object of {shown(value.what)} that holds tensors" if isinstance(value, Other) and self._has_tensors(value, depth) else ""

    def _as_json(self, value: Value, name: str, depth: int) -> bool:
        try:
            document = self._json(value, depth)
        except TypeError:
            return False
        self._take(self.flat.values, name or TOP, document)
        return True

    def _take(self, into: dict[str, T], name: str, value: T) -> None:
        if name in self._names:
            raise FormatError(self._where, f"two things are called {shown(name)!r}; choose one part with select=")
        self._names.add(name)
        into[name] = value

    def _count(self, depth: int) -> None:
        self._left -= 1
        if depth > _MAX_DEPTH:
            raise LimitError(self._where, limit=_MAX_DEPTH, seen=depth, unit="levels")
        if self._left < 0:
            raise LimitError(self._where, limit=_MAX_VISITS, seen=_MAX_VISITS + 1, unit="values")

    def _spend_text(self, text: str) -> None:
        self._text += len(text)
        if self._text > _MAX_TEXT:
            raise LimitError(self._where, limit=_MAX_TEXT, seen=self._text, unit="characters")

    def _children(self, value: Value, prefix: str) -> list[tuple[str, Value]]:
        if isinstance(value, Table):
            if value.odd:
                raise FormatError(self._where, f"a key at {prefix or 'the top'!r} that is neither text nor a whole number")
            return [*value.texts.items(), *value.numbers.items()]
        if isinstance(value, list | tuple):
            return [(str(index), item) for index, item in enumerate(value)]
        return []

    def _has_tensors(self, value: Value, depth: int) -> bool:
        """Tell whether a tensor or storage is below a value; each is looked at once."""
        if isinstance(value, Tensor | Storage):
            return True
        if not isinstance(value, Table | list | tuple | Other):
            return False
        if isinstance(value, Other) and value.lost:
            return True
        known = self._holds.get(id(value))
        if known is None:
            self._count(depth)
            self._holds[id(value)] = False  # for what contains itself
            known = self._holds[id(value)] = any(self._has_tensors(item, depth + 1) for item in _items(value))
        return known

    def _json(self, value: Value, depth: int) -> object:
        """Return a value as JSON has it; TypeError if it has no such form."""
        self._count(depth)
        if is_none(value):
            return None
        if isinstance(value, bool | float | int) and math.isfinite(value) and abs(value) < _MAX_NUMBER:
            return value
        if isinstance(value, str) and _is_unicode(value):
            self._spend_text(value)
            return value
        if isinstance(value, list | tuple):
            return [self._json(item, depth + 1) for item in value]
        if isinstance(value, Table) and not value.odd and not value.texts.keys() & value.numbers.keys() and all(map(_is_unicode, value.texts)):
            for key in value.texts:
                self._spend_text(key)
            return {key: self._json(item, depth + 1) for key, item in [*value.texts.items(), *value.numbers.items()]}
        raise TypeError


def _items(value: "Table | list[Value] | tuple[Value, ...] | Other") -> list[Value]:
    if isinstance(value, Table):
        return [*value.texts.values(), *value.numbers.values(), *value.odd]
    return value.held if isinstance(value, Other) else list(value)


def _parts(value: Other) -> list[tuple[str, Value]] | None:
    """List what is in a module of PyTorch as its own ``state_dict`` does, or the attributes of an object of TorchScript; None of any other."""
    state = next((held for held in reversed(value.held) if isinstance(held, Table)), None)
    if state is None:
        return None
    if value.what.startswith(_PROGRAM):
        return list(state.texts.items())
    groups = [state.texts.get(name) for name in (_PARAMETERS, _BUFFERS, _MODULES)]
    passing = state.texts.get(_PASSING)
    left_out = [name for name in passing.held if isinstance(name, str)] if isinstance(passing, Other) else []
    found: list[tuple[str, Value]] = []
    for group in groups:
        if not isinstance(group, Table):
            return None
        found += [(name, item) for name, item in group.texts.items() if not is_none(item) and not (group is groups[1] and name in left_out)]
    return found


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _kind(value: Value) -> str:
    if isinstance(value, Other):
        return shown(value.what)
    if isinstance(value, Named):
        return f"the name {shown(full(value))}"
    return "text or bytes" if not isinstance(value, float | int) else "a number that JSON has not"
