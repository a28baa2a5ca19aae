# SPDX-License-Identifier: Apache-2.0
"""The header of safetensors, read more strictly than its own library reads it.

Source: safetensors 0.8, README "Format" and ``safetensors/src/tensor.rs``.
"""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from lifeseal._io import Buffer, Reader, Record, loads
from lifeseal.errors import FormatError, LimitError

MAX_HEADER: Final = 100_000_000
MAX_HEADER_VALUES: Final = 1_000_000
LENGTH_SIZE: Final = 8
_MAX_DIMENSIONS: Final = 64
_MAX_NAME: Final = 4096
_MAX_ITEMS: Final = 1 << 63
_ODD_LETTER: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "BOOL": 8,
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        "U8": 8,
        "I8": 8,
        "F8_E5M2": 8,
        "F8_E4M3": 8,
        "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8,
        "I16": 16,
        "U16": 16,
        "F16": 16,
        "BF16": 16,
        "I32": 32,
        "U32": 32,
        "F32": 32,
        "C64": 64,
        "F64": 64,
        "I64": 64,
        "U64": 64,
    }
)


@attrs.frozen(kw_only=True)
class TensorInfo:
    """One tensor of a safetensors file.

    Attributes:
        name: As in the file.
        dtype: The format's name for it, as ``F32`` or ``BF16``.
        shape: Sizes; empty for a single number.
        start: Offset of its first byte behind the header (add `Header.data_start` for the offset in the file).
        stop: Offset behind its last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@attrs.frozen(kw_only=True)
class Header:
    """What a safetensors file says about itself, checked.

    Attributes:
        tensors: In the order of their bytes, which fill the rest of the file without overlap or hole.
        metadata: Free text by name, as the file's ``__metadata__``.
        header_size: Bytes of the JSON header, padding included, its length field not.
    """

    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str]
    header_size: int

    @property
    def data_start(self) -> int:
        """Offset in the file of the first tensor's first byte."""
        return LENGTH_SIZE + self.header_size


def parse_header_bytes(data: Buffer, *, size: int, where: str, max_values: int = MAX_HEADER_VALUES) -> Header:
    """Parse a safetensors header strictly.

    Args:
        data: The file's first bytes, at least its length field and header.
        size: Bytes of the whole file.
        where: Name for error messages.
        max_values: Bound on JSON values in the header; each tensor has about ten.

    Returns:
        The header; its tensors fill the file exactly.

    Raises:
        FormatError: It does not start with ``{``, is not strict JSON, has unknown fields, overlaps, holes, bytes left over, a shape that
            does not match its bytes, or a name that could be taken for a path.
        LimitError: The header is larger than 100 MB or holds more values than the bound.

    Source: safetensors README, "Format".
    """
    view = memoryview(data).cast("B")
    length = header_length(bytes(view[:LENGTH_SIZE]), size=size, where=where)
    if len(view) < LENGTH_SIZE + length:
        raise FormatError(where, f"{LENGTH_SIZE + length} bytes of header were expected, but only {len(view)} are there")
    text = bytes(view[LENGTH_SIZE : LENGTH_SIZE + length])
    if not text.startswith(b"{"):
        raise FormatError(where, "the header must start with '{'")
    if not text.rstrip(b" ").endswith(b"}"):
        raise FormatError(where, "the header must end with '}' and spaces")
    document = loads(text, where=where, max_bytes=MAX_HEADER, max_depth=4, max_items=max_values)
    if not isinstance(document, dict):
        raise FormatError(where, "the header must be an object")
    metadata = _metadata(document.pop("__metadata__"), where) if "__metadata__" in document else {}
    tensors = sorted((_tensor(name, value, where) for name, value in document.items()), key=lambda tensor: (tensor.start, tensor.stop, tensor.name))
    _check_filled(tensors, size - LENGTH_SIZE - length, where)
    return Header(tensors=tuple(tensors), metadata=MappingProxyType(metadata), header_size=length)


def read_header(reader: Reader, *, where: str) -> Header:
    """Read and parse the header of an opened file; see `parse_header_bytes`."""
    lead = _read(reader, LENGTH_SIZE)
    length = header_length(lead, size=reader.size, where=where)
    return parse_header_bytes(_read(reader, LENGTH_SIZE + length), size=reader.size, where=where)


def header_length(lead: bytes, *, size: int, where: str) -> int:
    """Read the length field.

    Args:
        lead: The file's first 8 bytes.
        size: Bytes of the whole file.
        where: Name for error messages.

    Returns:
        Bytes of the header that follows.

    Raises:
        FormatError: The file is shorter.
        LimitError: It is more than 100 MB.
    """
    if len(lead) < LENGTH_SIZE:
        raise FormatError(where, "shorter than the length of a safetensors header")
    length = int.from_bytes(lead, "little")
    if length > MAX_HEADER:
        raise LimitError(where, limit=MAX_HEADER, seen=length, unit="bytes of header")
    if length > size - LENGTH_SIZE:
        raise FormatError(where, f"a header of {length} bytes does not fit into a file of {size}")
    return length


def checked_tensor_name(name: str, *, where: str) -> str:
    """Accept a tensor's name that no tool could take for a path that leads outside, and that prints as it is.

    Args:
        name: The name.
        where: Name for error messages.

    Returns:
        The same name.

    Raises:
        FormatError: It holds control characters, is absolute, has a ``..`` part, or is longer than 4096 characters.
    """
    if len(name) > _MAX_NAME:
        raise FormatError(where, f"a tensor's name has {len(name)} characters, more than {_MAX_NAME}")
    if _ODD_LETTER.search(name):
        raise FormatError(where, f"the tensor's name {name[:60]!r} holds control characters or half of a surrogate pair")
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        raise FormatError(where, f"the tensor's name {name[:60]!r} could be taken for a path")
    return name


def _read(reader: Reader, count: int) -> bytes:
    buffer = bytearray(min(count, reader.size))
    view = memoryview(buffer)
    done = 0
    while done < len(buffer) and (got := reader.readinto(view[done:], done)):
        done += got
    return bytes(view[:done])


def _metadata(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError(where, "'__metadata__' must be an object of strings")
    found = {name: text for name, text in value.items() if isinstance(text, str)}
    if len(found) != len(value):
        raise FormatError(where, "'__metadata__' must hold strings only")
    return found


def _tensor(name: str, value: object, where: str) -> TensorInfo:
    checked_tensor_name(name, where=where)
    record = Record(value, where=f"{where}, tensor {name[:60]!r}")
    dtype = record.take_str("dtype")
    bits = BITS.get(dtype)
    if bits is None:
        raise FormatError(record.at("dtype"), f"{dtype[:20]!r} is no type of safetensors")
    shape = _sizes(record, "shape", most=_MAX_DIMENSIONS)
    offsets = _sizes(record, "data_offsets", most=2)
    record.done()
    if len(offsets) != 2:  # noqa: PLR2004
        raise FormatError(record.at("data_offsets"), "a start and a stop were expected")
    start, stop = offsets
    if math.prod(max(size, 1) for size in shape) * bits >= _MAX_ITEMS:
        # NumPy and PyTorch multiply sizes before they meet a zero among them.
        raise FormatError(record.at("shape"), "more items than can be counted in 63 bits")
    items = math.prod(shape)
    if (items * bits) % 8 or stop - start != items * bits // 8:
        raise FormatError(record.where, f"{items} items of {bits} bits do not fill bytes {start} to {stop}")
    return TensorInfo(name=name, dtype=dtype, shape=shape, start=start, stop=stop)


def _sizes(record: Record, field: str, *, most: int) -> tuple[int, ...]:
    values = record.take_list(field, max_items=most)
    sizes = tuple(value for value in values if type(value) is int and 0 <= value < _MAX_ITEMS)
    if len(sizes) != len(values):
        raise FormatError(record.at(field), "an array of sizes was expected")
    return sizes


def _check_filled(tensors: list[TensorInfo], size: int, where: str) -> None:
    end = 0
    for tensor in tensors:
        if tensor.start != end:
            fault = "overlaps what is before it" if tensor.start < end else "leaves a hole before it"
            raise FormatError(f"{where}, tensor {tensor.name[:60]!r}", f"starts at byte {tensor.start} and {fault}; {end} was expected")
        end = tensor.stop
    if end != size:
        raise FormatError(where, f"the tensors fill {end} bytes, but {size} follow the header")
