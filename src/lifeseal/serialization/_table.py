# SPDX-License-Identifier: Apache-2.0
"""The index of a TensorFlow checkpoint: a sorted table of names, each with the place of its tensor in a file of raw numbers beside it.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.h`` and ``core/protobuf/tensor_bundle.proto``; LevelDB ``doc/table_format.md``.
"""

from collections.abc import Iterator
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._beside import Reference
from lifeseal.serialization._context import Context
from lifeseal.serialization._protobuf import Wire, varint
from lifeseal.serialization._window import BytesWindow, Window

_FOOTER: Final = 48
_MAGIC: Final = (0xDB4775248B80FB57).to_bytes(8, "little")
_TRAILER: Final = 5
_COST: Final = 12
_MAX_BLOCK: Final = 8 << 20
_MAX_SHARDS: Final = 1 << 12
_MAX_SIZE: Final = 1 << 62


def is_checkpoint(_: bytes, window: Window) -> bool:
    """Tell whether the table's magic number stands last."""
    return window.size >= _FOOTER and window.read(window.size - len(_MAGIC), len(_MAGIC)) == _MAGIC


def judge_checkpoint(window: Window, context: Context) -> str:
    """Judge the index, and name the files that hold the numbers; returns ``tf-checkpoint``."""
    try:
        _judge(window, context)
    except FormatError as error:
        context.say("tf-invalid", error.where, error.wanted)
    return "tf-checkpoint"


def _judge(window: Window, context: Context) -> None:
    footer = window.read(window.size - _FOOTER, _FOOTER)
    _, after = _handle(footer, 0, window)
    index, _ = _handle(footer, after, window)
    stops: dict[int, int] = {}
    shards = -1
    for _, place in _entries(window, index, context):
        block, _ = _handle(place, 0, window)
        for key, value in _entries(window, block, context):
            wire = Wire(BytesWindow(value), context.budget, context.place)
            numbers = {field.number: field.value for field in wire.fields(0, len(value)) if not field.is_bytes}
            if not key:
                shards = numbers.get(1, 0)
                continue
            shard, offset, size = numbers.get(3, 0), numbers.get(4, 0), numbers.get(5, 0)
            if offset >= _MAX_SIZE or size >= _MAX_SIZE:
                raise FormatError("index", "the place of a tensor overflows")
            stops[shard] = max(stops.get(shard, 0), offset + size)
    if not 0 <= shards <= _MAX_SHARDS or any(shard >= shards for shard in stops):
        raise FormatError("index", f"a header with the number of files was expected, at most {_MAX_SHARDS}")
    for shard in range(shards):
        context.refer(Reference(f".data-{shard:05d}-of-{shards:05d}", instead_of=".index"), stops.get(shard, 0))


def _handle(data: bytes, start: int, window: Window) -> tuple[tuple[int, int], int]:
    """Read the place of a block: its offset and size; returns them and the offset behind."""
    offset, start = varint(data, start, 0)
    size, start = varint(data, start, 0)
    if size > _MAX_BLOCK or offset + size + _TRAILER > window.size:
        raise FormatError(f"byte {offset}", f"a block of {size} bytes does not fit")
    return (offset, size), start


def _entries(window: Window, place: tuple[int, int], context: Context) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block; a key states only what differs from the one before."""
    offset, size = place
    context.budget.spend(size >> _COST, context.place)  # many entries may point at the same block
    data = window.read(offset, size + 1)
    if data[size:] != b"\0":
        raise FormatError(f"byte {offset}", "a compressed block, which TensorFlow does not write")
    stop = size - 4 * (1 + int.from_bytes(data[size - 4 : size], "little")) if size >= 4 else -1  # noqa: PLR2004 - the count of restarts
    if stop < 0:
        raise FormatError(f"byte {offset}", "the restarts of a block do not fit")
    key, position = b"", 0
    while position < stop:
        context.budget.spend(2, context.place)
        shared, position = varint(data, position, offset)
        own, position = varint(data, position, offset)
        length, position = varint(data, position, offset)
        if shared > len(key) or own + length > stop - position:
            raise FormatError(f"byte {offset + position}", "an entry of a block does not fit")
        key = key[:shared] + data[position : position + own]
        position += own + length
        yield key, data[position - length : position]
