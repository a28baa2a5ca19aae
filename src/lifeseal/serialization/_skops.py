# SPDX-License-Identifier: Apache-2.0
"""skops: each node of ``schema.json``, the loader that it asks for and the type that this loader really makes.

Source: skops 0.16 ``skops/io/_general.py``, ``_numpy.py``, ``_scipy.py``, ``_sklearn.py``; CVE-2025-54412, CVE-2025-54413.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from lifeseal.serialization._by_design import words_for
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import shown
from lifeseal.serialization._words import split

_LOADERS: Final = split(
    "BytearrayNode BytesNode CachedNode ConstructorFromReduceNode DTypeNode DefaultDictNode DictNode JsonNode ListNode LossNode MaskedArrayNode "
    "NdArrayNode ObjectNode QuantileForestNode RandomGeneratorNode RandomStateNode SetNode SliceNode SparseMatrixNode TreeNode TupleNode TypeNode"
)
_CHOOSE: Final = split("attrgetter itemgetter")
_BUILTINS: Final = split("NoneType bool bytearray bytes complex dict ellipsis float frozenset int list map object range set slice str tuple type")
_CLASS: Final = re.compile(r"_?[A-Z]\w*", re.ASCII)
_OWN: Final = re.compile(r"(sklearn|scipy\.sparse|quantile_forest)(\.\w+)*", re.ASCII)
_NUMBERS: Final = re.compile(r"numpy(\.(ma(\.core)?|random(\.\w+)?|dtypes|core\.\w+|_core\.\w+))?", re.ASCII)
_NUMBER_TYPES: Final = re.compile(
    r"dtype(\[\w+\])?|ndarray|RandomState|Generator|MaskedArray|[A-Z]\w*DType|u?int\d+|u?intc|u?intp|float\d+|complex\d+|bool_?|str_|bytes_|datetime64|timedelta64|longlong",
    re.ASCII,
)
_OTHERS: Final = frozenset({("collections", "OrderedDict"), ("collections", "defaultdict"), ("datetime", "datetime"), ("zoneinfo", "ZoneInfo")})
_UFUNCS: Final = split(
    "abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh bitwise_and bitwise_count "
    "bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor cbrt ceil conj conjugate copysign cos cosh "
    "deg2rad degrees divide divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod frexp gcd greater greater_equal "
    "heaviside hypot invert isfinite isinf isnan isnat lcm ldexp left_shift less less_equal log log10 log1p log2 logaddexp logaddexp2 "
    "logical_and logical_not logical_or logical_xor matmul matvec maximum minimum mod modf multiply negative nextafter not_equal positive pow "
    "power rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinh spacing sqrt square subtract tan tanh true_divide trunc "
    "vecdot vecmat"
)


def judge_skops(pairs: Iterable[tuple[str, object]], context: Context) -> None:
    """Judge one object of a JSON document that names its loader.

    Args:
        pairs: Its names and values.
        context: Where findings go.
    """
    own = list(pairs)
    fields = {key: [value for name, value in own if name == key] for key in ("__loader__", "__module__", "__class__", "content")}
    for loader in fields["__loader__"]:
        for module in fields["__module__"] or [""]:
            for name in fields["__class__"] or [""]:
                if isinstance(loader, str) and isinstance(module, str) and isinstance(name, str):
                    _judge_node(loader, module, name, fields["content"], context)
                else:
                    context.say("skops-invalid", "'__loader__'", "a node whose loader, module or class is no text")


def _judge_node(loader: str, module: str, name: str, contents: list[object], context: Context) -> None:
    if loader == "MethodNode":
        context.say("skops-call", "'MethodNode'", "a method of an object, which is looked up and called by name")
    elif loader == "OperatorFuncNode":
        rule = "skops-type" if module == "operator" and name in _CHOOSE else "skops-call"
        context.say(rule, "'OperatorFuncNode'", f"calls {shown(module)}.{shown(name)}")
    elif loader == "PartialNode":
        context.say("skops-type", "'PartialNode'", "a function with arguments of its own")
    elif loader == "FunctionNode":
        functions = [(_text(content, "module_path"), _text(content, "function")) for content in contents if not isinstance(content, str)]
        for module_of, function in [(module, name), *functions]:
            if not (module_of == "scipy.special" or (module_of == "numpy" and function in _UFUNCS)):
                _judge_foreign(module_of, function, context)
    elif loader not in _LOADERS:
        context.say("skops-invalid", repr(shown(loader)), "a loader that is none of skops's")
    elif not _is_own(module, name):
        _judge_foreign(module, name, context)


def _is_own(module: str, name: str) -> bool:
    """Tell whether it is a type that skops itself trusts."""
    if module == "builtins":
        return name in _BUILTINS
    if _NUMBERS.fullmatch(module):
        return _NUMBER_TYPES.fullmatch(name) is not None or name in _UFUNCS
    if _OWN.fullmatch(module):
        return _CLASS.fullmatch(name) is not None or module.startswith("scipy.sparse")
    return (module, name) in _OTHERS


def _judge_foreign(module: str, name: str, context: Context) -> None:
    full = shown(f"{module}.{name}")
    if words_for(module) != words_for(""):
        context.say("skops-call", repr(full), f"names {full}, which {words_for(module)}")
    else:
        context.say("skops-type", repr(full), f"names {full}, which skops imports")


def _text(content: object, name: str) -> str:
    """Return the text under a name of an object, the last if there are several."""
    pairs = content.items() if isinstance(content, Mapping) else content if isinstance(content, list) else ()
    found = [pair[1] for pair in pairs if isinstance(pair, tuple) and pair[0] == name]
    return found[-1] if found and isinstance(found[-1], str) else ""
