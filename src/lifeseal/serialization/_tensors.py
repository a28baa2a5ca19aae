# SPDX-License-Identifier: Apache-2.0
"""Tensors to and from safetensors files, without another library's reader."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

from lifeseal._io import Buffer, DiskSource, Reader, StrPath, canonical, replacing, require
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.serialization._safetensors import BITS, LENGTH_SIZE, Header, TensorInfo, checked_tensor_name, read_header

Framework: TypeAlias = Literal["numpy", "torch"]

_ALIGNMENT: Final = 8
_NUMPY: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "uint8",
    "F8_E4M3": "uint8",
    "F8_E8M0": "uint8",
    "F8_E4M3FNUZ": "uint8",
    "F8_E5M2FNUZ": "uint8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "uint16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_TORCH: Final = {
    **{name: known for name, known in _NUMPY.items() if not name.startswith(("F8", "BF"))},
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
_NAMES: Final = {**{known: name for name, known in _NUMPY.items() if known not in {"uint8", "uint16"}}, "uint8": "U8", "uint16": "U16"} | {
    known: name for name, known in _TORCH.items() if known not in {"uint8", "uint16"}
}
_ORDER: Final = {name: index for index, name in enumerate(BITS)}


@implements("7.1", limits="The layout is checked, not the numbers: they can still be a bad model.")
def validate(path: StrPath) -> Header:
    """Check a safetensors file's layout strictly; only its header is read.

    Args:
        path: The file; links to it are followed.

    Returns:
        Its header.

    Raises:
        FormatError: The header is not strict JSON, has unknown fields or odd names, or tensors overlap, leave holes or do not fill the file.
        LimitError: The header is larger than 100 MB.
        OSError: The file cannot be read.
    """
    with _opened(path) as reader:
        header = read_header(reader, where=os.fspath(path))
    note(tensors=len(header.tensors))
    return header


@implements("7.1", limits="The bytes are read as they lie there: who wrote them is not checked; use lifeseal.loading for that.")
def load(path: StrPath, *, framework: Framework = "numpy", names: Iterable[str] | None = None) -> dict[str, Any]:
    """Read tensors from a safetensors file, each into memory of its own.

    With ``numpy``, ``BF16`` comes back as `uint16` and the 8-bit floats as `uint8`, because NumPy has no such types: the bits are exact,
    and the header (`validate`) names the type. The 4 and 6 bit floats come back as flat `uint8` with either framework.

    Args:
        path: The file; links to it are followed.
        framework: ``numpy`` or ``torch``.
        names: Which tensors; by default all.

    Returns:
        Tensors by name, in the order of the file.

    Raises:
        FormatError: As for `validate`, or the file changed while it was read.
        LimitError: The header is larger than 100 MB.
        MissingExtraError: The framework is not installed.
        OSError: The file cannot be read.
        ValueError: An unknown framework, or a name that is not in the file.
    """
    if framework not in {"numpy", "torch"}:
        raise ValueError(f"framework must be numpy or torch, not {framework!r}")
    numpy = require("numpy", extra=framework)
    torch = require("torch", extra="torch") if framework == "torch" else None
    wanted = None if names is None else frozenset(names)
    where = os.fspath(path)
    with _opened(path) as reader:
        header = read_header(reader, where=where)
        missing = (wanted or frozenset()) - {tensor.name for tensor in header.tensors}
        if missing:
            raise ValueError(f"{where}: no tensor is named {min(missing)!r}")
        chosen = [tensor for tensor in header.tensors if wanted is None or tensor.name in wanted]
        note(tensors=len(chosen))
        return {tensor.name: _shaped(_read(reader, header, tensor, where, numpy), tensor, numpy, torch) for tensor in chosen}


def tensor_from_bytes(data: Buffer, tensor: TensorInfo, *, framework: Framework = "numpy") -> object:
    """Give bytes that are in memory the type and shape of a tensor, without copying them.

    Args:
        data: Exactly the tensor's bytes, writable; the tensor shares them.
        tensor: From the header, which says type and shape.
        framework: ``numpy`` or ``torch``; types that NumPy lacks come back as in `load`.

    Returns:
        The tensor.

    Raises:
        MissingExtraError: The framework is not installed.
        ValueError: ``data`` has another length.
    """
    numpy = require("numpy", extra=framework)
    torch = require("torch", extra="torch") if framework == "torch" else None
    flat = numpy.frombuffer(data, dtype=numpy.uint8)
    if len(flat) != tensor.stop - tensor.start:
        raise ValueError(f"tensor {tensor.name!r} has {tensor.stop - tensor.start} bytes, not {len(flat)}")
    return _shaped(flat, tensor, numpy, torch)


@implements("7.1", limits="It writes plain tensors; it does not sign them.")
def save(tensors: Mapping[str, Any], path: StrPath, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors to a safetensors file; equal tensors give equal bytes.

    The new file replaces an old one in one durable step. Tensors that share memory are each written in full.

    Args:
        tensors: NumPy arrays or dense PyTorch tensors by name; on any device, in any byte order or layout.
        path: The file; its folder must exist.
        metadata: Free text by name.

    Raises:
        FormatError: A name is not one that `validate` accepts.
        OSError: The disk refused; an old file stands.
        TypeError: A value is no array or dense tensor, has a type that the format has not, or metadata is not text.
        ValueError: Metadata is not valid Unicode.
    """
    described: list[tuple[str, str, tuple[int, ...], Any]] = []
    for name, tensor in tensors.items():
        dtype, shape = _describe(name, tensor)
        described.append((checked_tensor_name(name, where="tensors"), dtype, shape, tensor))
    if any(name == "__metadata__" for name, *_ in described):
        raise FormatError("tensors", "'__metadata__' is no name for a tensor")
    described.sort(key=lambda entry: (-_ORDER[entry[1]], entry[0]))
    document: dict[str, object] = {"__metadata__": _checked_metadata(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape, _ in described:
        start, end = end, end + _bytes_of(dtype, shape)
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = canonical(document)
    text += b" " * (-len(text) % _ALIGNMENT)
    with replacing(path) as output:
        output.write(len(text).to_bytes(LENGTH_SIZE, "little") + text)
        for name, dtype, shape, tensor in described:
            data = _raw(tensor)
            if data.nbytes != _bytes_of(dtype, shape):
                raise TypeError(f"tensor {name!r} changed while it was written")
            if data.nbytes:
                output.write(data)
    note(tensors=len(described))


def _opened(path: StrPath) -> Reader:
    target = Path(os.path.realpath(path, strict=True))
    with DiskSource(target) as source:
        if source.is_folder:
            raise FormatError(os.fspath(path), "a file was expected, not a folder")
        return source.open(source.name)


def _read(reader: Reader, header: Header, tensor: TensorInfo, where: str, numpy: ModuleType) -> Any:  # noqa: ANN401 - an array
    flat = numpy.empty(tensor.stop - tensor.start, dtype=numpy.uint8)
    view = memoryview(flat)
    done = 0
    while done < len(view):
        got = reader.readinto(view[done:], header.data_start + tensor.start + done)
        if got == 0:
            raise FormatError(where, "the file shrank while it was read")
        done += got
    return flat


def _shaped(flat: Any, tensor: TensorInfo, numpy: ModuleType, torch: ModuleType | None) -> object:  # noqa: ANN401 - an array
    if tensor.dtype not in _NUMPY:
        return flat if torch is None else torch.from_numpy(flat)
    if torch is None:
        return flat.view(getattr(numpy, _numpy_name(tensor.dtype))).reshape(tensor.shape)
    if not flat.size:
        return torch.empty(tensor.shape, dtype=getattr(torch, _TORCH[tensor.dtype]))
    return torch.from_numpy(flat).view(getattr(torch, _TORCH[tensor.dtype])).reshape(tensor.shape)


def _numpy_name(dtype: str) -> str:
    return "bool_" if dtype == "BOOL" else _NUMPY[dtype]


def _is_torch(tensor: Any) -> bool:  # noqa: ANN401 - any library's tensor
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(tensor).__mro__)


def _describe(name: str, tensor: Any) -> tuple[str, tuple[int, ...]]:  # noqa: ANN401 - any library's tensor
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name must be text, not {type(name).__name__}")
    if _is_torch(tensor):
        known = str(tensor.dtype).removeprefix("torch.")
        if str(tensor.layout) != "torch.strided" or tensor.is_quantized or str(tensor.device) == "meta":
            raise TypeError(f"tensor {name!r} is sparse, quantised or without content; only dense tensors can be written")
    elif hasattr(tensor, "__array_interface__") and hasattr(tensor, "dtype"):
        known = tensor.dtype.name
    else:
        raise TypeError(f"tensor {name!r} is a {type(tensor).__name__}; a NumPy array or PyTorch tensor was expected")
    if known not in _NAMES:
        raise TypeError(f"tensor {name!r} has type {known}, which safetensors has not")
    return _NAMES[known], tuple(int(size) for size in tensor.shape)


def _raw(tensor: Any) -> memoryview:  # noqa: ANN401 - any library's tensor
    if _is_torch(tensor):
        torch = require("torch", extra="torch")
        dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return memoryview(dense.view(torch.uint8).numpy())
    numpy = require("numpy", extra="numpy")
    little = numpy.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
    return memoryview(little.reshape(-1).view(numpy.uint8))


def _bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    items = 1
    for size in shape:
        items *= size
    return items * BITS[dtype] // 8


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise TypeError("metadata must be text by name")
    return dict(metadata)
