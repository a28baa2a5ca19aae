# SPDX-License-Identifier: Apache-2.0
"""NumPy's types and arrays in pickles: only the states that NumPy itself writes.

NumPy believes such a state: one that says of an object type that it holds none makes a pointer of an attacker's bytes.

Source: NumPy 2.4 ``numpy/_core/src/multiarray/descriptor.c``, ``arraydescr_reduce`` and ``arraydescr_setstate``; ``methods.c``,
``array_setstate``.
"""

import itertools
import math
import re
from typing import Final, TypeGuard

from lifeseal.serialization._values import DATA, LIST, NONE, Blob, Dict, Global, Made, Value

_DESCRIPTION: Final = re.compile(r"[<>|=]?([biufcSUVmMO])(\d{1,9})?")
_FLEXIBLE: Final = frozenset("SUV")
_TIMES: Final = frozenset("mM")
_OBJECT: Final = 63
_HOLDS_OBJECTS: Final = 0x1 | 0x2
_FROM_FIELDS: Final = 0x1B
_HARMLESS_FLAGS: Final = 0x08 | 0x10
_ALIGNED: Final = 0x80
_WIDE: Final = 4
_STATE: Final = 8
_MAX_ALIGNMENT: Final = 16


class Dtype(Made):
    """A NumPy type.

    Attributes:
        kind: Its letter, as in ``f8``.
        size: Bytes of one item.
        unsized: The size is the one that its state says, as for NumPy's records.
        flags: As NumPy writes them.
        stated: Its state was set, which happens once and before any use.
    """

    __slots__ = ("flags", "kind", "size", "stated", "unsized")

    def __init__(self, source: Global, kind: str, size: int | None) -> None:
        super().__init__(source)
        self.kind = kind
        self.size = size or 0
        self.unsized = size is None
        self.flags = 0
        self.stated = False

    def set_state(self, state: Value) -> bool:
        """Take a state if it is one that NumPy writes; else return False."""
        if self.stated or not isinstance(state, tuple) or len(state) not in {_STATE, _STATE + 1}:
            return False
        version, order, base, names, fields, size, alignment, flags = state[:_STATE]
        if type(version) is not int or version != len(state) - _STATE + 3 or not _is_order(order):
            return False
        if type(size) is not int or type(alignment) is not int or type(flags) is not int:
            return False
        if not self._accepts_extra(state[_STATE:]):
            return False
        if self.unsized and size >= 0:
            self.size, self.unsized = size, False
        if base is NONE and names is NONE and fields is NONE:
            good = self._accepts_plain(size, alignment, flags)
        elif self.kind != "V" or size != self.size or not 1 <= alignment <= _MAX_ALIGNMENT:
            good = False
        elif names is NONE and fields is NONE:
            good = self._accepts_base(base, flags)
        else:
            good = base is NONE and self._accepts_fields(names, fields, flags)
        self.flags = flags
        self.stated = good
        return good

    def _accepts_extra(self, extra: tuple[Value, ...]) -> bool:
        if self.kind not in _TIMES:
            return not extra or isinstance(extra[0], Dict)
        if len(extra) != 1 or not isinstance(extra[0], tuple) or len(extra[0]) != 2:  # noqa: PLR2004
            return False
        metadata, unit = extra[0]
        known = metadata is NONE or isinstance(metadata, Dict)
        return known and isinstance(unit, tuple) and len(unit) == 4 and is_bytes(unit[0]) and all(type(part) is int for part in unit[1:])  # noqa: PLR2004

    def _accepts_plain(self, size: int, alignment: int, flags: int) -> bool:
        if self.kind in _FLEXIBLE:
            return size == self.size and alignment == (_WIDE if self.kind == "U" else 1) and flags in ({0, 8} if self.kind == "U" else {0})
        return (size, alignment) == (-1, -1) and flags == (_OBJECT if self.kind == "O" else 0)

    def _accepts_base(self, base: Value, flags: int) -> bool:
        if not isinstance(base, tuple) or len(base) != 2:  # noqa: PLR2004
            return False
        item, shape = base
        shape = (shape,) if type(shape) is int else shape
        if not _is_stated(item) or not is_shape(shape):
            return False
        return item.size * math.prod(shape) == self.size and _inherits(flags, item.flags)

    def _accepts_fields(self, names: Value, fields: Value, flags: int) -> bool:
        if not isinstance(names, tuple) or not isinstance(fields, Dict) or fields.fields is None:
            return False
        if not all(type(name) is str for name in names) or len(set(names)) != len(names) or set(names) != set(fields.fields):
            return False
        inherited, places = 0, []
        for entry in fields.fields.values():
            if not isinstance(entry, tuple) or len(entry) != 2:  # noqa: PLR2004
                return False
            item, offset = entry
            if not _is_stated(item) or type(offset) is not int or not 0 <= offset <= self.size - item.size:
                return False
            inherited |= item.flags
            places.append((offset, offset + item.size))
        places.sort()
        if inherited & _HOLDS_OBJECTS and any(one[1] > other[0] for one, other in itertools.pairwise(places)):
            return False
        fields.frozen = True
        return _inherits(flags, inherited)


def make_dtype(source: Global, arguments: tuple[Value, ...]) -> Value | None:
    """Follow a call of ``numpy.dtype``; None unless NumPy writes it."""
    if not 1 <= len(arguments) <= 3 or any(argument is not DATA and type(argument) is not int for argument in arguments[1:]):  # noqa: PLR2004
        return None
    if isinstance(arguments[0], Global) and arguments[0].name == "record" and arguments[0].harmless is not None:
        return Dtype(source, "V", None)
    match = _DESCRIPTION.fullmatch(arguments[0]) if isinstance(arguments[0], str) else None
    if match is None or (match[2] is None and match[1] not in _TIMES):
        return None
    count = int(match[2] or 8)
    return Dtype(source, match[1], count * _WIDE if match[1] == "U" else count)


def is_plain_dtype(value: Value) -> bool:
    """Tell whether it is a type in its final state whose items hold no objects."""
    return _is_stated(value) and not value.flags & _HOLDS_OBJECTS


def takes_array_state(state: Value) -> bool:
    """Tell whether an array may be given this state."""
    if not isinstance(state, tuple) or len(state) != 5:  # noqa: PLR2004
        return False
    version, shape, dtype, _, content = state
    if type(version) is not int or not is_shape(shape) or not isinstance(dtype, Dtype) or not dtype.stated:
        return False
    return content is LIST if dtype.flags & _HOLDS_OBJECTS else is_bytes(content)


def is_bytes(value: Value) -> bool:
    """Tell whether it can be bytes: as such, as text of an old pickle, or encoded from text."""
    return value is DATA or isinstance(value, str | Blob) or (isinstance(value, Made) and value.source.path == ("_codecs", "encode"))


def is_shape(value: Value) -> TypeGuard[tuple[int, ...]]:
    """Tell whether it is a tuple of sizes."""
    return isinstance(value, tuple) and len(value) <= 64 and all(type(size) is int and 0 <= size < 1 << 63 for size in value)  # noqa: PLR2004


def _is_stated(value: Value) -> TypeGuard[Dtype]:
    return isinstance(value, Dtype) and value.stated


def _is_order(value: Value) -> bool:
    return isinstance(value, str) and value in {"<", ">", "|", "="}


def _inherits(flags: int, inherited: int) -> bool:
    """Tell whether flags are those that NumPy takes over from fields, with none that says more."""
    wanted = inherited & _FROM_FIELDS
    return flags == inherited or (flags & wanted == wanted and not flags & ~(wanted | _HARMLESS_FLAGS | _ALIGNED))
