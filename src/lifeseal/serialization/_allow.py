# SPDX-License-Identifier: Apache-2.0
"""The globals that a pickle may use without harm, each with the uses in which it is harmless.

Everything that does not stand here is not safe, whether or not anyone knows of an attack with it. An entry is here because CPython,
NumPy or PyTorch writes it for ordinary data, and because what it does with any arguments its check accepts was read in their source:
it builds a value and neither imports, opens nor calls anything that the pickle names.
"""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lifeseal.serialization._dtypes import is_bytes, is_plain_dtype, is_shape, make_dtype, takes_array_state
from lifeseal.serialization._values import (
    DATA,
    LIST,
    LONG_TEXT,
    NONE,
    NUMBER,
    SET,
    STORAGE,
    Check,
    Dict,
    Global,
    Harmless,
    Made,
    Standing,
    Takes,
    Value,
)

STORAGE_SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "BFloat16Storage": 2,
        "BoolStorage": 1,
        "ByteStorage": 1,
        "CharStorage": 1,
        "ComplexDoubleStorage": 16,
        "ComplexFloatStorage": 8,
        "DoubleStorage": 8,
        "FloatStorage": 4,
        "HalfStorage": 2,
        "IntStorage": 4,
        "LongStorage": 8,
        "QInt32Storage": 4,
        "QInt8Storage": 1,
        "QUInt2x4Storage": 1,
        "QUInt4x2Storage": 1,
        "QUInt8Storage": 1,
        "ShortStorage": 2,
        "UntypedStorage": 1,
    }
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_DTYPES: Final = _words(
    "bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool cdouble cfloat chalf complex128 complex32 complex64 double "
    "float float16 float32 float64 float4_e2m1fn_x2 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu half int int1 int16 int2 int3 int32 int4 int5 int6 int64 int7 int8 long qint32 qint8 quint2x4 "
    "quint4x2 quint8 short uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6 uint64 uint7 uint8"
)
_NUMPY_SCALARS: Final = _words(
    "bool bool_ byte bytes_ cdouble clongdouble complex128 complex256 complex64 csingle datetime64 double float128 "
    "float16 float32 float64 half int16 int32 int64 int8 intc intp longdouble longlong short single str_ "
    "timedelta64 ubyte uint uint16 uint32 uint64 uint8 uintc uintp ulonglong ushort void"
)
_FACTORIES = frozenset(("builtins", name) for name in ("bool", "bytes", "complex", "dict", "float", "int", "list", "set", "str", "tuple")) | {
    ("collections", "OrderedDict"),
}
_TENSOR_CLASSES = frozenset({("torch", "Tensor"), ("torch._tensor", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")})
_REBUILD_TYPED = ("torch._tensor", "_rebuild_from_type_v2")
_PYTHON_2: Final = MappingProxyType({"__builtin__": "builtins", "copy_reg": "copyreg"})
_PYTHON_2_NAMES: Final = MappingProxyType({"long": "int", "unicode": "str", "xrange": "range"})


def _data(value: Value) -> bool:
    """Tell whether a value is plain data: reading, iterating or comparing it runs nothing.

    Values are never hashed or compared here: a few nested tuples can stand for more items than there are atoms.
    """
    return isinstance(value, str | int | Dict | tuple) or any(value is mark for mark in (DATA, NONE, NUMBER, LONG_TEXT, LIST, SET))


def _no_class(value: Value) -> bool:
    return not isinstance(value, Global)


def _plain(low: int, high: int) -> Check:
    return lambda args: low <= len(args) <= high and all(map(_data, args))


def _objects(low: int, high: int) -> Check:
    return lambda args: low <= len(args) <= high and all(map(_no_class, args))


def _items(args: tuple[Value, ...]) -> bool:
    """Accept nothing, or one collection of items that is there already: not a range, whose items would be made."""
    return not args or (len(args) == 1 and (isinstance(args[0], tuple | Dict) or args[0] is LIST or args[0] is SET))


def _buffer(args: tuple[Value, ...]) -> bool:
    """Accept what makes bytes of given content: not a length alone, which would allocate it."""
    return not args or (len(args) <= 2 and not isinstance(args[0], int) and args[0] is not NUMBER and all(map(_data_or_bytes, args)))  # noqa: PLR2004


def _data_or_bytes(value: Value) -> bool:
    return _data(value) or (isinstance(value, Made) and value.source.path == ("_codecs", "encode"))


def _latin1(args: tuple[Value, ...]) -> bool:
    return len(args) == 2 and _data(args[0]) and isinstance(args[1], str) and args[1] in {"latin1", "latin-1"}  # noqa: PLR2004


def _factory(args: tuple[Value, ...]) -> bool:
    return not args or (len(args) == 1 and (args[0] is NONE or (isinstance(args[0], Global) and args[0].path in _FACTORIES)))


def _array(args: tuple[Value, ...]) -> bool:
    return len(args) == 3 and isinstance(args[0], Global) and args[0].path == ("numpy", "ndarray") and _no_class(args[2])  # noqa: PLR2004


def _scalar(args: tuple[Value, ...]) -> bool:
    return len(args) == 2 and is_plain_dtype(args[0]) and is_bytes(args[1])  # noqa: PLR2004


def _from_buffer(args: tuple[Value, ...]) -> bool:
    return len(args) == 4 and args[0] is DATA and is_plain_dtype(args[1]) and is_shape(args[2]) and isinstance(args[3], str)  # noqa: PLR2004


def _fraction(args: tuple[Value, ...]) -> bool:
    """Accept numbers and text without exponent: one of a few letters would make a number of gigabytes."""
    return 1 <= len(args) <= 2 and all(isinstance(arg, int) or arg is NUMBER or (isinstance(arg, str) and _RATIO.fullmatch(arg)) for arg in args)  # noqa: PLR2004


def _of_storage(low: int, high: int) -> Check:
    return lambda args: low <= len(args) <= high and args[0] is STORAGE and all(map(_tensor_argument, args[1:]))


def _of_tensor(low: int, high: int) -> Check:
    return lambda args: low <= len(args) <= high and all(map(_tensor_argument, args))


def _tensor_argument(value: Value) -> bool:
    return not isinstance(value, Global) or (value.module == "torch" and value.name in _TORCH_CONSTANTS)


def _typed(args: tuple[Value, ...]) -> bool:
    if len(args) != 4:  # noqa: PLR2004
        return False
    function, kind, arguments, state = args
    if not isinstance(function, Global) or not isinstance(kind, Global) or not isinstance(arguments, tuple):
        return False
    inner = function.harmless.call if function.harmless is not None else None
    rebuilds = function.module in {"torch._utils", "torch._tensor"} and function.path != _REBUILD_TYPED
    return rebuilds and inner is not None and inner(arguments) and kind.path in _TENSOR_CLASSES and plain_state(state)


def plain_state(state: Value) -> bool:
    """Tell whether a state only sets attributes, none of which can stand for a special method."""
    parts = state if isinstance(state, tuple) else (state,)
    return len(parts) <= _DICT_AND_SLOTS and all(part is NONE or (isinstance(part, Dict) and not part.special) for part in parts)


_QUANTISED = ("per_channel_affine", "per_channel_affine_float_qparams", "per_channel_symmetric", "per_tensor_affine", "per_tensor_symmetric")
_TORCH_CONSTANTS = frozenset((*_DTYPES, *_QUANTISED, "contiguous_format", "preserve_format", "strided", "sparse_coo", "sparse_csr"))
_RATIO: Final = re.compile(r"-?\d+(/\d+)?", re.ASCII)
_DICT_AND_SLOTS: Final = 2
_NAMESPACE = Harmless(call=lambda args: not args, new=_items, takes=Takes.DICT_STATE)
_TENSOR = Takes.NOTHING


def _harmless() -> dict[tuple[str, str], Harmless]:
    found: dict[tuple[str, str], Harmless] = {}
    for name in ("bool", "dict", "float", "int", "object", "str"):
        found["builtins", name] = Harmless()
    for name in ("frozenset", "list", "set", "tuple"):
        found["builtins", name] = Harmless(call=_items)
    found["builtins", "set"] = Harmless(call=_items, takes=Takes.ADD)
    found["builtins", "list"] = Harmless(call=_items, takes=Takes.APPEND)
    found["builtins", "bytearray"] = found["builtins", "bytes"] = Harmless(call=_buffer)
    found["builtins", "complex"] = found["builtins", "slice"] = Harmless(call=_plain(0, 3))
    found["builtins", "Ellipsis"] = found["builtins", "NotImplemented"] = Harmless()
    found["builtins", "range"] = found["builtins", "xrange"] = Harmless(call=_plain(1, 3))
    found["_codecs", "encode"] = Harmless(call=_latin1)
    found["copyreg", "_reconstructor"] = Harmless()
    ordered = Harmless(call=_items, takes=Takes.ITEMS | Takes.DICT_STATE)
    found["collections", "OrderedDict"] = ordered
    found["collections", "Counter"] = Harmless(call=_items, takes=Takes.ITEMS)
    found["collections", "defaultdict"] = Harmless(call=_factory, takes=Takes.ITEMS)
    found["collections", "deque"] = Harmless(call=_plain(0, 2), takes=Takes.APPEND)
    for name, most in (("date", 1), ("time", 2), ("datetime", 2), ("timedelta", 3), ("timezone", 2)):
        found["datetime", name] = Harmless(call=_objects(0, most))
    found["decimal", "Decimal"] = Harmless(call=_plain(1, 2))
    found["fractions", "Fraction"] = Harmless(call=_fraction)
    for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"):
        found["pathlib", name] = Harmless(call=_plain(0, 64))
    found["uuid", "UUID"] = found["argparse", "Namespace"] = found["types", "SimpleNamespace"] = _NAMESPACE
    _numpy(found)
    _torch(found)
    return found


def _numpy(found: dict[tuple[str, str], Harmless]) -> None:
    for core in ("numpy.core", "numpy._core"):
        found[core + ".multiarray", "_reconstruct"] = Harmless(call=_array, state=takes_array_state)
        found[core + ".multiarray", "scalar"] = Harmless(call=_scalar)
        found[core + ".numeric", "_frombuffer"] = Harmless(call=_from_buffer)
    found["numpy", "ndarray"] = Harmless()
    found["numpy", "dtype"] = Harmless(make=make_dtype)
    for name in _NUMPY_SCALARS:
        found["numpy", name] = Harmless()


def _torch(found: dict[tuple[str, str], Harmless]) -> None:
    for name in STORAGE_SIZES:
        found["torch", name] = Harmless()
    found["torch.storage", "UntypedStorage"] = Harmless()
    for name in _TORCH_CONSTANTS:
        found["torch", name] = Harmless()
    for path in _TENSOR_CLASSES:
        found[path] = Harmless()
    found["torch", "Size"] = Harmless(call=_items)
    found["torch", "device"] = Harmless(call=_plain(1, 2))
    found["torch.serialization", "_get_layout"] = Harmless(call=_plain(1, 1))
    for name, check in (
        ("_rebuild_tensor", _of_storage(4, 4)),
        ("_rebuild_tensor_v2", _of_storage(6, 7)),
        ("_rebuild_tensor_v3", _of_storage(7, 8)),
        ("_rebuild_qtensor", _of_storage(7, 7)),
        ("_rebuild_meta_tensor_no_storage", _of_tensor(4, 4)),
        ("_rebuild_nested_tensor", _of_tensor(4, 4)),
        ("_rebuild_parameter", _of_tensor(3, 3)),
        ("_rebuild_parameter_with_state", lambda args: len(args) == 4 and _of_tensor(4, 4)(args) and plain_state(args[3])),  # noqa: PLR2004
        ("_rebuild_sparse_csr_tensor", _of_tensor(2, 2)),
        ("_rebuild_sparse_tensor", _of_tensor(2, 2)),
    ):
        found["torch._utils", name] = Harmless(call=check, takes=_TENSOR)
    found[_REBUILD_TYPED] = Harmless(call=_typed, takes=_TENSOR)
    for name in ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist"):
        found["torch.jit._pickle", name] = Harmless(call=_objects(1, 1))


@functools.cache
def harmless_globals() -> Mapping[tuple[str, str], Harmless]:
    """Return the allowlist by module and name."""
    return MappingProxyType(_harmless())


def resolve(module: str, name: str, allow: frozenset[str]) -> Global:
    """Say how far a global is known.

    Args:
        module: As the pickle names it, Python 2 names included.
        name: As the pickle names it.
        allow: Full names that the caller trusts.

    Returns:
        The reference. A dotted name is never known, because it walks through other objects' attributes.
    """
    from lifeseal.serialization._by_design import is_by_design

    if module == "__builtin__":
        name = _PYTHON_2_NAMES.get(name, name)
    module = _PYTHON_2.get(module, module)
    harmless = harmless_globals().get((module, name))
    if harmless is not None:
        return Global(module, name, Standing.HARMLESS, harmless)
    if "." not in name and f"{module}.{name}" in allow:
        return Global(module, name, Standing.ALLOWED)
    if is_by_design(module, name):
        return Global(module, name, Standing.BY_DESIGN)
    return Global(module, name, Standing.UNKNOWN)
