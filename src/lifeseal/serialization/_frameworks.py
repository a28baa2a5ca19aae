# SPDX-License-Identifier: Apache-2.0
"""NumPy's and PyTorch's words for the types of safetensors, and their tensors to and from plain bytes.

A type that NumPy has not comes back as the type of ``ml_dtypes`` where that package is installed, else as raw unsigned integers whose
`dtype` carries the name in its metadata: ``array.dtype.metadata["safetensors"]`` is then ``BF16``.
"""

import functools
from typing import Any, Final, Literal, TypeAlias

from lifeseal._io import require
from lifeseal.errors import MissingExtraError
from lifeseal.serialization._safetensors import BITS, TensorInfo

Framework: TypeAlias = Literal["numpy", "torch"]

TYPE_KEY: Final = "safetensors"
_PLAIN: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_EXTENDED: Final = {
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
_WORDS: Final = _PLAIN | _EXTENDED
_NAMES: Final = {word: name for name, word in _WORDS.items()}


def shaped(flat: Any, tensor: TensorInfo, framework: Framework) -> object:  # noqa: ANN401 - a flat array of bytes
    """Give a flat NumPy array of bytes the type and shape of a tensor, without copying it."""
    if framework == "numpy":
        typed = flat.view(_numpy_type(tensor.dtype))
        return typed.reshape(tensor.shape) if tensor.dtype in _WORDS else typed
    torch = require("torch", extra="torch")
    if tensor.dtype not in _WORDS:
        return torch.from_numpy(flat)
    kind = getattr(torch, _WORDS[tensor.dtype])
    if not flat.size:
        return torch.empty(tensor.shape, dtype=kind)
    return torch.from_numpy(flat).view(kind).reshape(tensor.shape)


def torch_dtype(tensor: TensorInfo) -> object | None:
    """Tell which type of PyTorch a tensor of a file has.

    Args:
        tensor: From the header.

    Returns:
        The type; None for the 4 and 6 bit floats, which come back as flat bytes.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    found: object = getattr(require("torch", extra="torch"), _WORDS[tensor.dtype]) if tensor.dtype in _WORDS else None
    return found


@functools.cache
def _numpy_type(name: str) -> object:
    numpy = require("numpy", extra="numpy")
    if name in _PLAIN:
        return numpy.dtype(_PLAIN[name])
    if name in _EXTENDED:
        try:
            return numpy.dtype(getattr(require("ml_dtypes", extra="numpy"), _EXTENDED[name]))
        except (MissingExtraError, AttributeError):
            pass
    return numpy.dtype("uint16" if BITS[name] == 16 else "uint8", metadata={TYPE_KEY: name})  # noqa: PLR2004 - bits


def described(name: str, tensor: Any) -> tuple[str, tuple[int, ...]]:  # noqa: ANN401 - any library's tensor
    """Name a tensor's type as safetensors does, and tell its shape.

    Raises:
        TypeError: It is no array or dense tensor, or the format has not its type.
    """
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name must be text, not {type(name).__name__}")
    if _is_torch(tensor):
        known = str(tensor.dtype).removeprefix("torch.")
        if str(tensor.layout) != "torch.strided" or tensor.is_quantized or tensor.is_nested or str(tensor.device) == "meta":
            raise TypeError(f"tensor {name!r} is sparse, quantised, nested or without content; only dense tensors can be written")
    elif hasattr(tensor, "__array_interface__") and hasattr(tensor, "dtype"):
        known = _WORDS.get((tensor.dtype.metadata or {}).get(TYPE_KEY, ""), tensor.dtype.name)
    else:
        raise TypeError(f"tensor {name!r} is a {type(tensor).__name__}; a NumPy array or PyTorch tensor was expected")
    if known not in _NAMES:
        raise TypeError(f"tensor {name!r} has type {known}, which safetensors has not")
    return _NAMES[known], tuple(int(size) for size in tensor.shape)


def raw(tensor: Any) -> memoryview:  # noqa: ANN401 - any library's tensor
    """Return a tensor's items as they are written: little-endian, in the order of its indices."""
    if _is_torch(tensor):
        torch = require("torch", extra="torch")
        dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return memoryview(dense.view(torch.uint8).numpy())
    numpy = require("numpy", extra="numpy")
    little = numpy.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
    return memoryview(little.reshape(-1).view(numpy.uint8))


def _is_torch(tensor: Any) -> bool:  # noqa: ANN401 - any library's tensor
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(tensor).__mro__)
