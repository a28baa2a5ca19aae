# SPDX-License-Identifier: Apache-2.0
"""Which arguments are harmless: checks that the allowlist puts beside a global.

Values are never hashed or compared here: a few nested tuples can stand for more items than there are atoms.
"""

import re
from typing import Final

from lifeseal.serialization._dtypes import is_bytes, is_plain_dtype, is_shape, takes_array_state
from lifeseal.serialization._values import (
    DATA,
    LIST,
    LONG_TEXT,
    NONE,
    NUMBER,
    SET,
    STORAGE,
    Blob,
    Check,
    Dict,
    Global,
    Made,
    Value,
)

_MARKS: Final = (DATA, NONE, NUMBER, LONG_TEXT, LIST, SET)
_RATIO: Final = re.compile(r"-?\d+(/\d+)?", re.ASCII)
_CODECS: Final = frozenset({"latin1", "latin-1", "utf-8", "utf8", "ascii"})
_FACTORIES: Final = frozenset(("builtins", name) for name in ("bool", "bytes", "complex", "dict", "float", "int", "list", "set", "str", "tuple")) | {
    ("collections", "OrderedDict"),
    ("collections", "Counter"),
}
_ARRAY_CLASSES: Final = frozenset(
    {
        ("numpy", "matrix"),
        ("numpy", "memmap"),
        ("numpy", "ndarray"),
        ("numpy", "recarray"),
        ("numpy.core.records", "recarray"),
        ("numpy.matrixlib.defmatrix", "matrix"),
        ("numpy.rec", "recarray"),
    }
)
_BIT_GENERATORS: Final = frozenset({"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})
_MAKES_BITS: Final = ("numpy.random._pickle", "__bit_generator_ctor")
_DICT_AND_SLOTS: Final = 2


def data(value: Value) -> bool:
    """Tell whether a value is plain data: reading, iterating or comparing it runs nothing."""
    return isinstance(value, str | int | Dict | tuple | Blob) or any(value is mark for mark in _MARKS)


def no_class(value: Value) -> bool:
    """Tell whether a value is anything but a class or function."""
    return not isinstance(value, Global)


def plain(low: int, high: int) -> Check:
    """Accept some plain data."""
    return lambda args: low <= len(args) <= high and all(map(data, args))


def objects(low: int, high: int) -> Check:
    """Accept some objects, but no class or function."""
    return lambda args: low <= len(args) <= high and all(map(no_class, args))


def nothing(args: tuple[Value, ...]) -> bool:
    """Accept no argument."""
    return not args


def items(args: tuple[Value, ...]) -> bool:
    """Accept nothing, or one collection of items that is there already: not a range, whose items would be made."""
    return not args or (len(args) == 1 and (isinstance(args[0], tuple | Dict) or args[0] is LIST or args[0] is SET))


def buffer(args: tuple[Value, ...]) -> bool:
    """Accept what makes bytes of given content: not a length alone, which would allocate it."""
    if not args or len(args) > 2 or isinstance(args[0], int) or args[0] is NUMBER:  # noqa: PLR2004
        return not args
    return _data_or_bytes(args[0]) and (len(args) == 1 or (isinstance(args[1], str) and args[1] in _CODECS))


def _data_or_bytes(value: Value) -> bool:
    return data(value) or (isinstance(value, Made) and value.source.path == ("_codecs", "encode"))


def make_encoded(source: Global, args: tuple[Value, ...]) -> Value | None:
    """Follow a call of ``_codecs.encode``; None unless it is how pickle writes bytes."""
    good = len(args) == 2 and data(args[0]) and isinstance(args[1], str) and args[1] in {"latin1", "latin-1"}  # noqa: PLR2004
    return Made(source, args[0]) if good else None


def factory(args: tuple[Value, ...]) -> bool:
    """Accept a factory of empty containers and numbers."""
    return not args or (len(args) == 1 and (args[0] is NONE or (isinstance(args[0], Global) and args[0].path in _FACTORIES)))


def array(args: tuple[Value, ...]) -> bool:
    """Accept how NumPy begins an array."""
    return len(args) == 3 and isinstance(args[0], Global) and args[0].path in _ARRAY_CLASSES and no_class(args[2])  # noqa: PLR2004


def dill_array(args: tuple[Value, ...]) -> bool:
    """Accept how dill writes an array: NumPy's own beginning, and the state."""
    if len(args) != 4 or not isinstance(args[0], Global) or not isinstance(args[1], tuple):  # noqa: PLR2004
        return False
    begins = args[0].path in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
    return begins and array(args[1]) and takes_array_state(args[2]) and args[3] is NONE


def scalar(args: tuple[Value, ...]) -> bool:
    """Accept how NumPy writes a number."""
    return len(args) == 2 and is_plain_dtype(args[0]) and is_bytes(args[1])  # noqa: PLR2004


def from_buffer(args: tuple[Value, ...]) -> bool:
    """Accept how NumPy writes an array's items in protocol 5."""
    if not 4 <= len(args) <= 5 or (len(args) == 5 and not is_shape(args[4])):  # noqa: PLR2004
        return False
    return (args[0] is DATA or isinstance(args[0], Blob)) and is_plain_dtype(args[1]) and is_shape(args[2]) and isinstance(args[3], str)


def bit_generator(args: tuple[Value, ...]) -> bool:
    """Accept one of NumPy's generators of bits, by name or class."""
    return not args or (len(args) == 1 and _is_bit_generator(args[0]))


def _is_bit_generator(value: Value) -> bool:
    if isinstance(value, Global):
        return value.module.startswith("numpy.random._") and value.name in _BIT_GENERATORS
    return isinstance(value, str) and value in _BIT_GENERATORS


def generator(args: tuple[Value, ...]) -> bool:
    """Accept a generator of bits, or its name with NumPy's own function that makes it."""
    if len(args) == 1:
        return (isinstance(args[0], Made) and args[0].source.path == _MAKES_BITS) or (isinstance(args[0], str) and _is_bit_generator(args[0]))
    maker = args[1] if len(args) == 2 else None  # noqa: PLR2004
    return isinstance(maker, Global) and maker.path == _MAKES_BITS and _is_bit_generator(args[0])


def seed_sequence(args: tuple[Value, ...]) -> bool:
    """Accept how Cython writes NumPy's sequence of seeds."""
    kind = args[0] if len(args) == 3 else None  # noqa: PLR2004
    return isinstance(kind, Global) and kind.path == ("numpy.random.bit_generator", "SeedSequence") and all(map(no_class, args[1:]))


def state_of_numbers(state: Value) -> bool:
    """Accept a state of data and objects that were made harmlessly."""
    parts = state if isinstance(state, tuple) else (state,)
    return all(data(part) or isinstance(part, Made) for part in parts)


def fraction(args: tuple[Value, ...]) -> bool:
    """Accept numbers and text without exponent: one of a few letters would make a number of gigabytes."""
    return 1 <= len(args) <= 2 and all(isinstance(arg, int) or arg is NUMBER or (isinstance(arg, str) and _RATIO.fullmatch(arg)) for arg in args)  # noqa: PLR2004


def of_storage(low: int, high: int) -> Check:
    """Accept a storage and numbers."""
    return lambda args: low <= len(args) <= high and _is_storage(args[0]) and all(map(tensor_argument, args[1:]))


def _is_storage(value: Value) -> bool:
    return value is STORAGE or (isinstance(value, Made) and value.source.path == ("torch.storage", "_load_from_bytes"))


def of_tensor(low: int, high: int) -> Check:
    """Accept tensors and numbers."""
    return lambda args: low <= len(args) <= high and all(map(tensor_argument, args))


def tensor_argument(value: Value) -> bool:
    """Tell whether it is no class or function, except PyTorch's constants."""
    from lifeseal.serialization._allow import TORCH_CONSTANTS

    return not isinstance(value, Global) or (value.module == "torch" and value.name in TORCH_CONSTANTS)


def plain_state(state: Value) -> bool:
    """Tell whether a state only sets attributes, none of which can stand for a special method."""
    parts = state if isinstance(state, tuple) else (state,)
    return len(parts) <= _DICT_AND_SLOTS and all(part is NONE or (isinstance(part, Dict) and not part.special) for part in parts)
