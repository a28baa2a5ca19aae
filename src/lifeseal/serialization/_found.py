# SPDX-License-Identifier: Apache-2.0
"""Tensors that were found in a file, and types and strides of arrays."""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from lifeseal._io import Reader
from lifeseal.serialization._gather import Placed

_NUMPY: Final = re.compile(r"[<>|=]?([biufc])([1248])")
_NUMPY_TYPES: Final = {
    "b1": "BOOL", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64",
    "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64",
}  # fmt: skip


@attrs.frozen(kw_only=True)
class Found:
    """A tensor in a file.

    Attributes:
        dtype: Its type, as safetensors names it.
        shape: Sizes.
        reader: The file.
        placed: Its place there.
    """

    dtype: str
    shape: tuple[int, ...]
    reader: Reader
    placed: Placed

    @property
    def place(self) -> tuple[object, ...]:
        """Equal for tensors that are the same items in the same order."""
        strides = tuple(step if size > 1 else 0 for size, step in zip(self.shape, self.placed.strides, strict=True))
        return id(self.reader), self.placed.start, self.dtype, self.shape, strides, self.placed.swap


@attrs.frozen(kw_only=True)
class Opened:
    """What a file holds.

    Attributes:
        tensors: By name.
        lost: What each tensor is that safetensors cannot hold.
        values: Plain data, as JSON has it.
        dropped: What else there is, by its class.
    """

    tensors: Mapping[str, Found]
    lost: Mapping[str, str]
    values: Mapping[str, object]
    dropped: Mapping[str, str]


def strides_of(shape: tuple[int, ...], *, is_fortran: bool = False) -> tuple[int, ...]:
    """Return the strides of items that lie one behind the other: the last index is the fastest, or (as in Fortran) the first."""
    strides = []
    step = 1
    for size in shape if is_fortran else reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(strides if is_fortran else reversed(strides))


def numpy_type(description: object) -> tuple[str, int, int] | None:
    """Read NumPy's description of a type.

    Args:
        description: As ``<f4``.

    Returns:
        The name in safetensors, bytes of an item, and bytes to turn round (1 for none); None where the format has no such type.
    """
    match = _NUMPY.fullmatch(description) if isinstance(description, str) else None
    dtype = _NUMPY_TYPES.get(match[1] + match[2]) if match is not None else None
    if match is None or dtype is None:
        return None
    item = int(match[2])
    width = item // 2 if dtype == "C64" else item
    return dtype, item, width if match[0].startswith(">") else 1
