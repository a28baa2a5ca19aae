# SPDX-License-Identifier: Apache-2.0
"""The globals that a pickle may use without harm, each with the uses in which it is harmless.

Everything that does not stand here is not safe, whether or not anyone knows of an attack with it. An entry is here because CPython,
NumPy or PyTorch writes it for ordinary data, and because what it does with any arguments its check accepts was read in their source:
it builds a value and neither imports, opens nor calls anything that the pickle names.
"""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lifeseal.serialization import _checks as c
from lifeseal.serialization._dtypes import make_dtype, takes_array_state
from lifeseal.serialization._values import Global, Harmless, Standing, Takes, Value
from lifeseal.serialization._words import split

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


_DTYPES: Final = split(
    "bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool cdouble cfloat chalf complex128 complex32 complex64 double "
    "float float16 float32 float64 float4_e2m1fn_x2 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu half int int1 int16 int2 int3 int32 int4 int5 int6 int64 int7 int8 long qint32 qint8 quint2x4 "
    "quint4x2 quint8 short uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6 uint64 uint7 uint8"
)
_NUMPY_SCALARS: Final = split(
    "bool bool_ byte bytes_ cdouble clongdouble complex128 complex256 complex64 csingle datetime64 double float128 "
    "float16 float32 float64 half int16 int32 int64 int8 intc intp longdouble longlong short single str_ "
    "timedelta64 ubyte uint uint16 uint32 uint64 uint8 uintc uintp ulonglong ushort void"
)
_TENSOR_CLASSES = frozenset({("torch", "Tensor"), ("torch._tensor", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")})
_REBUILD_TYPED = ("torch._tensor", "_rebuild_from_type_v2")
_PYTHON_2: Final = MappingProxyType({"__builtin__": "builtins", "copy_reg": "copyreg"})
_PYTHON_2_NAMES: Final = MappingProxyType({"long": "int", "unicode": "str", "xrange": "range"})


_QUANTISED = ("per_channel_affine", "per_channel_affine_float_qparams", "per_channel_symmetric", "per_tensor_affine", "per_tensor_symmetric")
TORCH_CONSTANTS = frozenset((*_DTYPES, *_QUANTISED, "contiguous_format", "preserve_format", "strided", "sparse_coo", "sparse_csr"))
_NAMESPACE = Harmless(call=c.nothing, new=c.items, takes=Takes.DICT_STATE)
_RECORD = Harmless(call=c.nothing, new=c.nothing, takes=Takes.DICT_STATE)


def _typed(args: tuple[Value, ...]) -> bool:
    if len(args) != 4:  # noqa: PLR2004
        return False
    function, kind, arguments, state = args
    if not isinstance(function, Global) or not isinstance(kind, Global) or not isinstance(arguments, tuple):
        return False
    inner = function.harmless.call if function.harmless is not None else None
    rebuilds = function.module in {"torch._utils", "torch._tensor"} and function.path != _REBUILD_TYPED
    return rebuilds and inner is not None and inner(arguments) and kind.path in _TENSOR_CLASSES and c.plain_state(state)


def _harmless() -> dict[tuple[str, str], Harmless]:
    found: dict[tuple[str, str], Harmless] = {}
    for name in ("bool", "dict", "float", "int", "object", "str"):
        found["builtins", name] = Harmless()
    for name in ("frozenset", "list", "set", "tuple"):
        found["builtins", name] = Harmless(call=c.items)
    found["builtins", "set"] = Harmless(call=c.items, takes=Takes.ADD)
    found["builtins", "list"] = Harmless(call=c.items, takes=Takes.APPEND)
    found["builtins", "bytearray"] = found["builtins", "bytes"] = Harmless(call=c.buffer)
    found["builtins", "complex"] = found["builtins", "slice"] = Harmless(call=c.plain(0, 3))
    found["builtins", "Ellipsis"] = found["builtins", "NotImplemented"] = Harmless()
    found["builtins", "range"] = found["builtins", "xrange"] = Harmless(call=c.plain(1, 3))
    found["_codecs", "encode"] = Harmless(make=c.make_encoded)
    found["copyreg", "_reconstructor"] = Harmless()
    ordered = Harmless(call=c.items, takes=Takes.ITEMS | Takes.DICT_STATE)
    found["collections", "OrderedDict"] = ordered
    found["collections", "Counter"] = Harmless(call=c.items, takes=Takes.ITEMS)
    found["collections", "defaultdict"] = Harmless(call=c.factory, takes=Takes.ITEMS)
    found["collections", "deque"] = Harmless(call=c.plain(0, 2), takes=Takes.APPEND)
    for name, most in (("date", 1), ("time", 2), ("datetime", 2), ("timedelta", 3), ("timezone", 2)):
        found["datetime", name] = Harmless(call=c.objects(0, most))
    found["decimal", "Decimal"] = Harmless(call=c.plain(1, 2))
    found["fractions", "Fraction"] = Harmless(call=c.fraction)
    for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"):
        found["pathlib", name] = found["pathlib._local", name] = Harmless(call=c.plain(0, 64))  # the second is what Python 3.13 writes
    found["uuid", "UUID"] = found["argparse", "Namespace"] = found["types", "SimpleNamespace"] = _NAMESPACE
    _numpy(found)
    _torch(found)
    _checkpoint(found)
    found["joblib.numpy_pickle", "NumpyArrayWrapper"] = Harmless(new=c.nothing)
    found["dill._dill", "_create_array"] = Harmless(call=c.dill_array)
    found["typing", "Any"] = found["types", "NoneType"] = found["builtins", "NoneType"] = Harmless()
    return found


def _numpy(found: dict[tuple[str, str], Harmless]) -> None:
    for core in ("numpy.core", "numpy._core"):
        found[core + ".multiarray", "_reconstruct"] = Harmless(call=c.array, state=takes_array_state)
        found[core + ".multiarray", "scalar"] = Harmless(call=c.scalar)
        found[core + ".numeric", "_frombuffer"] = Harmless(call=c.from_buffer)
    for path in (("numpy", "ndarray"), ("numpy", "memmap"), ("numpy", "record"), ("numpy.rec", "record"), ("numpy.core.records", "record")):
        found[path] = Harmless()
    for module, name in (("numpy", "matrix"), ("numpy.matrixlib.defmatrix", "matrix"), ("numpy", "recarray"), ("numpy.rec", "recarray")):
        found[module, name] = Harmless()
    found["numpy.core.records", "recarray"] = Harmless()
    _random(found)
    found["numpy", "dtype"] = Harmless(make=make_dtype)
    for name in _NUMPY_SCALARS:
        found["numpy", name] = Harmless()


def _random(found: dict[tuple[str, str], Harmless]) -> None:
    """Take in the states of NumPy's generators. Source: NumPy 2.4 ``numpy/random/_pickle.py`` and ``bit_generator.pyx``."""
    for module, name in (("_mt19937", "MT19937"), ("_pcg64", "PCG64"), ("_pcg64", "PCG64DXSM"), ("_philox", "Philox"), ("_sfc64", "SFC64")):
        found["numpy.random." + module, name] = Harmless()
    found["numpy.random.bit_generator", "SeedSequence"] = Harmless()
    found["numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"] = Harmless(call=c.seed_sequence, state=c.state_of_numbers)
    found["numpy.random._pickle", "__bit_generator_ctor"] = Harmless(call=c.bit_generator, state=c.state_of_numbers)
    for name in ("__generator_ctor", "__randomstate_ctor"):
        found["numpy.random._pickle", name] = Harmless(call=c.generator, state=c.state_of_numbers)


def _checkpoint(found: dict[tuple[str, str], Harmless]) -> None:
    """Take in the metadata of distributed checkpoints. Source: PyTorch 2.13 ``torch/distributed/checkpoint/metadata.py``."""
    for name in ("BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta", "TensorStorageMetadata"):
        found["torch.distributed.checkpoint.metadata", name] = _RECORD
    found["torch.distributed.checkpoint.metadata", "TensorProperties"] = Harmless(new=c.nothing, state=_properties)
    found["torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING"] = Harmless(call=c.plain(1, 1))
    found["torch.distributed.checkpoint.filesystem", "_StorageInfo"] = _RECORD


def _properties(state: Value) -> bool:
    return isinstance(state, tuple) and all(map(c.tensor_argument, state))


def _torch(found: dict[tuple[str, str], Harmless]) -> None:
    for name in STORAGE_SIZES:
        found["torch", name] = Harmless()
    found["torch.storage", "UntypedStorage"] = Harmless()
    for name in TORCH_CONSTANTS:
        found["torch", name] = Harmless()
    for path in _TENSOR_CLASSES:
        found[path] = Harmless()
    found["torch.torch_version", "TorchVersion"] = Harmless(call=c.plain(1, 1), new=c.plain(1, 1))
    found["torch.storage", "_load_from_bytes"] = Harmless()
    found["torch", "Size"] = Harmless(call=c.items)
    found["torch", "device"] = Harmless(call=c.plain(1, 2))
    found["torch.serialization", "_get_layout"] = Harmless(call=c.plain(1, 1))
    for name, check in (
        ("_rebuild_tensor", c.of_storage(4, 4)),
        ("_rebuild_tensor_v2", c.of_storage(6, 7)),
        ("_rebuild_tensor_v3", c.of_storage(7, 8)),
        ("_rebuild_qtensor", c.of_storage(7, 7)),
        ("_rebuild_meta_tensor_no_storage", c.of_tensor(4, 4)),
        ("_rebuild_nested_tensor", c.of_tensor(4, 4)),
        ("_rebuild_device_tensor_from_cpu_tensor", c.of_tensor(4, 4)),
        ("_rebuild_device_tensor_from_numpy", c.of_tensor(4, 4)),
        ("_rebuild_parameter", c.of_tensor(3, 3)),
        ("_rebuild_parameter_with_state", lambda args: len(args) == 4 and c.of_tensor(4, 4)(args) and c.plain_state(args[3])),  # noqa: PLR2004
        ("_rebuild_sparse_csr_tensor", c.of_tensor(2, 2)),
        ("_rebuild_sparse_tensor", c.of_tensor(2, 2)),
    ):
        found["torch._utils", name] = Harmless(call=check)
    found[_REBUILD_TYPED] = Harmless(call=_typed)
    for name in ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist"):
        found["torch.jit._pickle", name] = Harmless(call=c.objects(1, 1))
    found["torch.jit._pickle", "restore_type_tag"] = Harmless(make=_tagged)


def _tagged(_: Global, args: tuple[Value, ...]) -> Value | None:
    """Follow how TorchScript notes a value's type: what comes back is the value."""
    return args[0] if len(args) == 2 and c.no_class(args[0]) and isinstance(args[1], str) else None  # noqa: PLR2004


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
