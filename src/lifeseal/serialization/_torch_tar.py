# SPDX-License-Identifier: Apache-2.0
"""PyTorch's oldest files: a tar archive of storages, tensors, and a pickle that refers to them.

Source: PyTorch ``torch/serialization.py``, ``legacy_load``.
"""

from collections.abc import Mapping
from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._allow import STORAGE_SIZES
from lifeseal.serialization._context import Context
from lifeseal.serialization._stream import judge_stream
from lifeseal.serialization._symbolic import Machine
from lifeseal.serialization._values import Global, Value
from lifeseal.serialization._window import Cursor, Window

MEMBERS: Final = frozenset({"storages", "tensors", "pickle"})
_MAX_ENTRIES: Final = 1 << 16
_MAX_DIMENSIONS: Final = 64


def judge_torch_tar(members: Mapping[str, Window], context: Context) -> None:
    """Judge the three members as PyTorch reads them, each in turn; what one holds does not depend on another."""
    for name, step in (("storages", _skip_storage), ("tensors", _skip_tensor)):
        inside = context.inside(repr(name))
        cursor = Cursor(members[name])
        try:
            count = _next(cursor, inside)
            if type(count) is not int or not 0 <= count <= _MAX_ENTRIES:
                raise FormatError("byte 0", "a count of entries was expected")
            for _ in range(count):
                step(_next(cursor, inside), cursor)
            if name == "storages":
                _next(cursor, inside)
        except (FormatError, LimitError) as error:
            inside.say("torch-storage", "", str(error))
    judge_stream(members["pickle"], context.inside("'pickle'"), keeps_storages=True)


def _next(cursor: Cursor, context: Context) -> Value:
    machine = Machine(context, cursor)
    machine.run()
    return machine.result


def _skip_storage(entry: Value, cursor: Cursor) -> None:
    kind = entry[2] if isinstance(entry, tuple) and len(entry) == 3 else None  # noqa: PLR2004
    size = STORAGE_SIZES.get(kind.name) if isinstance(kind, Global) else None
    if size is None:
        raise FormatError(f"byte {cursor.offset}", "a storage's key, place and type were expected")
    cursor.skip(int.from_bytes(cursor.take(8), "little") * size)


def _skip_tensor(_: Value, cursor: Cursor) -> None:
    dimensions = int.from_bytes(cursor.take(8)[:4], "little")
    if dimensions > _MAX_DIMENSIONS:
        raise FormatError(f"byte {cursor.offset}", "a tensor's dimensions were expected")
    cursor.skip(16 * dimensions + 8)
