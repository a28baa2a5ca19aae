# SPDX-License-Identifier: Apache-2.0
"""PyTorch's tensors out of the calls that its pickles make, described and never made.

Source: PyTorch 2.13 ``torch/_utils.py``, ``torch/_tensor.py`` and ``torch/serialization.py``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeGuard

import attrs

from lifeseal.errors import FormatError
from lifeseal.serialization._allow import STORAGE_SIZES
from lifeseal.serialization._replay import Call, Named, Other, Table, full, is_none
from lifeseal.serialization._rules import shown
from lifeseal.serialization._safetensors import BITS
from lifeseal.serialization._values import Value

_MAX_DIMENSIONS: Final = 64
_MAX_COUNT: Final = 1 << 63
UNTYPED: Final = ""
_DTYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bfloat16": "BF16",
        "bool": "BOOL",
        "cfloat": "C64",
        "complex64": "C64",
        "double": "F64",
        "float": "F32",
        "float16": "F16",
        "float32": "F32",
        "float64": "F64",
        "float8_e4m3fn": "F8_E4M3",
        "float8_e4m3fnuz": "F8_E4M3FNUZ",
        "float8_e5m2": "F8_E5M2",
        "float8_e5m2fnuz": "F8_E5M2FNUZ",
        "float8_e8m0fnu": "F8_E8M0",
        "half": "F16",
        "int": "I32",
        "int16": "I16",
        "int32": "I32",
        "int64": "I64",
        "int8": "I8",
        "long": "I64",
        "short": "I16",
        "uint16": "U16",
        "uint32": "U32",
        "uint64": "U64",
        "uint8": "U8",
    }
)
_STORAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BFloat16Storage": "bfloat16",
        "BoolStorage": "bool",
        "ByteStorage": "uint8",
        "CharStorage": "int8",
        "ComplexDoubleStorage": "complex128",
        "ComplexFloatStorage": "complex64",
        "DoubleStorage": "float64",
        "FloatStorage": "float32",
        "HalfStorage": "float16",
        "IntStorage": "int32",
        "LongStorage": "int64",
        "ShortStorage": "int16",
        "UntypedStorage": UNTYPED,
    }
)
_TENSOR_CLASSES: Final = frozenset(
    {("torch", "Tensor"), ("torch._tensor", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")}
)


@attrs.frozen(kw_only=True)
class Storage:
    """A run of bytes that tensors lie in, by the key under which the file holds it.

    Attributes:
        key: Its key.
        dtype: PyTorch's name of its type; empty for plain bytes.
        item: Bytes of one item.
        count: Items in all of it.
        start: First item of the part that is meant.
        stop: Behind its last item.
    """

    key: str
    dtype: str
    item: int
    count: int
    start: int
    stop: int


@attrs.frozen(kw_only=True)
class Tensor:
    """A tensor, as the pickle describes it; checked against what its storage is said to hold.

    Attributes:
        storage: Where its items lie.
        dtype: Its type, as safetensors names it.
        shape: Sizes.
        strides: Steps between neighbours, in items.
        offset: First item, counted in its own size from the start of the storage.
    """

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


def storage_of(identity: Value) -> Value:
    """Follow a persistent id.

    Raises:
        FormatError: It is of a storage, but not as PyTorch writes it.
    """
    if not isinstance(identity, tuple) or not identity or not isinstance(identity[0], str):
        return Other("what a persistent id stands for")
    if identity[0] == "module" and len(identity) == 4:  # noqa: PLR2004
        return identity[1]
    if identity[0] != "storage" or len(identity) not in {5, 6}:
        return Other("what a persistent id stands for")
    _, kind, key, _, count = identity[:5]
    item = STORAGE_SIZES.get(kind.name) if isinstance(kind, Named) and kind.module in {"torch", "torch.storage"} else None
    if item is None or not isinstance(kind, Named) or not isinstance(key, str) or not _is_size(count):
        raise FormatError("persistent id", f"a storage as PyTorch writes it was expected, not one of {shown(full(kind))}")
    start, stop = 0, count
    if len(identity) == 6 and not is_none(identity[5]):  # noqa: PLR2004
        view = identity[5]
        if not isinstance(view, tuple) or len(view) != 3 or not _is_size(view[1]) or not _is_size(view[2]) or view[1] + view[2] > count:  # noqa: PLR2004
            raise FormatError(f"storage {shown(key)!r}", "a view that lies within the storage was expected")
        start, stop = view[1], view[1] + view[2]
    return Storage(key=key, dtype=_STORAGES.get(kind.name, kind.name), item=item, count=count, start=start, stop=stop)


def _is_size(value: Value) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _MAX_COUNT


def _are_sizes(values: tuple[Value, ...]) -> TypeGuard[tuple[int, ...]]:
    return all(map(_is_size, values))


def _lost(what: str) -> Call:
    return lambda args: Other(what, lost=True)  # noqa: ARG005 - every call of it


def _tensor(args: tuple[Value, ...], dtype: str | None = None) -> Value:
    storage, offset, shape, strides = args
    if not isinstance(storage, Storage):
        return Other("a tensor without a storage of its own", lost=True)
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise FormatError(f"storage {shown(storage.key)!r}", "a tensor's sizes and as many strides were expected")
    if not _is_size(offset) or not _are_sizes(shape) or not _are_sizes(strides):
        raise FormatError(f"storage {shown(storage.key)!r}", "a tensor's sizes, strides and offset must be whole numbers")
    own = storage.dtype if dtype is None else dtype
    name = _DTYPES.get(own)
    if name is None:
        return Other(f"a tensor of type {shown(own) or 'bytes'}", lost=True)
    item = BITS[name] // 8
    span = offset + 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if 0 not in shape else 0
    held = (storage.stop - storage.start) * storage.item
    if span * item > held:
        raise FormatError(f"storage {shown(storage.key)!r}", f"a tensor that ends at byte {span * item} of it, but it has {held}")
    return Tensor(storage=storage, dtype=name, shape=shape, strides=strides, offset=offset)


def _rebuild(args: tuple[Value, ...]) -> Value:
    _expect(args, 4, 4)
    return _tensor(args)


def _rebuild_v2(args: tuple[Value, ...]) -> Value:
    _expect(args, 6, 7)
    return _conjugated(args[6:]) or _tensor(args[:4])


def _rebuild_v3(args: tuple[Value, ...]) -> Value:
    _expect(args, 7, 8)
    dtype = args[6]
    if not isinstance(dtype, Named) or dtype.module != "torch":
        raise FormatError("_rebuild_tensor_v3", "a type of PyTorch was expected")
    return _conjugated(args[7:]) or _tensor(args[:4], dtype=dtype.name)


def _conjugated(metadata: tuple[Value, ...]) -> Other | None:
    """A view that is conjugated or negated only when it is read is not what lies in its storage."""
    if not metadata or is_none(metadata[0]) or (isinstance(metadata[0], Table) and not any(map(_is_set, metadata[0].texts.values()))):
        return None
    return Other("a tensor that is conjugated or negated when it is read", lost=True)


def _is_set(value: Value) -> bool:
    return not (value is False or is_none(value))


def _parameter(args: tuple[Value, ...]) -> Value:
    _expect(args, 3, 4)
    return args[0]


def _from_type(args: tuple[Value, ...]) -> Value:
    _expect(args, 4, 4)
    function, kind, arguments, _ = args
    if not isinstance(kind, Named) or kind.path not in _TENSOR_CLASSES:
        return Other(f"a tensor of the class {shown(full(kind))}", lost=True)
    call = CALLS.get(function.path) if isinstance(function, Named) and function.name.startswith("_rebuild") else None
    if call is None or call is _from_type or not isinstance(arguments, tuple):
        return Other(f"a tensor made by {shown(full(function))}", lost=True)
    return call(arguments)


def _from_cpu(args: tuple[Value, ...]) -> Value:
    _expect(args, 4, 4)
    data, dtype = args[:2]
    same = isinstance(data, Tensor) and isinstance(dtype, Named) and dtype.module == "torch" and _DTYPES.get(dtype.name) == data.dtype
    return data if same else Other("a tensor of a device, stored as another type", lost=True)


def _expect(args: tuple[Value, ...], low: int, high: int) -> None:
    if not low <= len(args) <= high:
        raise FormatError("a tensor", f"{low} to {high} arguments were expected, not {len(args)}")


def _table(args: tuple[Value, ...]) -> Value:
    """Follow how dictionaries are made: of nothing, of another one, or of pairs."""
    found = Table()
    for value in args:
        if isinstance(value, Table):
            found.merge(value)
        elif isinstance(value, list | tuple):
            for pair in value:
                if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004
                    raise FormatError("a dictionary", "pairs of key and value were expected")
                found.add(*pair)
    return found


def _factory_table(args: tuple[Value, ...]) -> Value:
    return _table(args[1:])


def _sequence(args: tuple[Value, ...]) -> Value:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else ()


def _set(args: tuple[Value, ...]) -> Value:
    return Other("builtins.set", *_list(args))


def _tagged(args: tuple[Value, ...]) -> Value:
    return args[0] if args else Other("a value without content")


def _object(args: tuple[Value, ...]) -> Value:
    return Other(full(args[0]) if args else "an object")


def _list(args: tuple[Value, ...]) -> list[Value]:
    return list(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else []


CALLS: Final[Mapping[tuple[str, str], Call]] = MappingProxyType(
    {
        ("builtins", "dict"): _table,
        ("builtins", "list"): _list,
        ("builtins", "set"): _set,
        ("builtins", "tuple"): _sequence,
        ("collections", "Counter"): _table,
        ("collections", "OrderedDict"): _table,
        ("collections", "defaultdict"): _factory_table,
        ("copyreg", "_reconstructor"): _object,
        ("torch", "Size"): _sequence,
        ("torch.jit._pickle", "restore_type_tag"): _tagged,
        ("torch._tensor", "_rebuild_from_type"): _from_type,
        ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
        ("torch.tensor", "_rebuild_from_type"): _from_type,
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _from_cpu,
        ("torch._utils", "_rebuild_device_tensor_from_numpy"): _lost("a tensor of a device, stored as an array"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage"): _lost("a tensor without content"),
        ("torch._utils", "_rebuild_nested_tensor"): _lost("a nested tensor"),
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
        ("torch._utils", "_rebuild_qtensor"): _lost("a quantised tensor"),
        ("torch._utils", "_rebuild_sparse_csr_tensor"): _lost("a sparse tensor"),
        ("torch._utils", "_rebuild_sparse_tensor"): _lost("a sparse tensor"),
        ("torch._utils", "_rebuild_tensor"): _rebuild,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_v2,
        ("torch._utils", "_rebuild_tensor_v3"): _rebuild_v3,
        ("torch._utils", "_rebuild_wrapper_subclass"): _lost("a tensor of another class"),
        ("torch._utils", "_rebuild_xla_tensor"): _lost("a tensor of a device, stored as an array"),
    }
)
