# SPDX-License-Identifier: Apache-2.0
"""Keras configurations: each object that one describes, and whether reading it could run or reach anything but Keras's own computation.

Source: Keras 3.15 ``saving/serialization_lib.py`` and Keras 2 ``utils/generic_utils.py``; CVE-2024-3660, CVE-2025-1550, CVE-2025-8747, CVE-2025-9905,
CVE-2025-9906, CVE-2025-12058, CVE-2025-49655, CVE-2026-1462.
"""

import re
from collections.abc import Iterable
from typing import Final

from lifeseal.serialization._by_design import words_for
from lifeseal.serialization._context import Context
from lifeseal.serialization._keras_names import CLASSES, FUNCTIONS
from lifeseal.serialization._rules import shown
from lifeseal.serialization._words import split

_OWN: Final = re.compile(r"(keras|tf_keras|keras_core|tensorflow\.keras|tensorflow\.python\.keras)(\.\w+)*", re.ASCII)
_OPERATIONS: Final = re.compile(r"keras\.src\.ops\.(numpy|nn|math|linalg|image|core)", re.ASCII)
_CALLING_OPERATIONS: Final = split("AssociativeScan Cond CustomGradient ForiLoop JVP Map Scan Switch VectorizedMap WhileLoop")
_PARTS: Final = re.compile(r"(?:keras|tf_keras|keras_core|tensorflow\.keras|tensorflow\.python\.keras)\.(?:src\.|engine\.)?(\w+)", re.ASCII)
_ORDINARY_PARTS: Final = split(
    "activations applications backend constraints dtype_policies engine initializers layers losses metrics models ops optimizers quantizers "
    "random regularizers"
)
_CLASS: Final = re.compile(r"[A-Z]\w*", re.ASCII)
_DATA: Final = split(
    "__bytes__ __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__ CompositeTensor DictWrapper ListWrapper RaggedTensorSpec "
    "SparseTensorSpec TensorShape TensorSpec TrackableWeightHandler TypeSpec"
)
_RUNS: Final = {
    "Lambda": "a Lambda layer, which holds Python bytecode and runs it",
    "__lambda__": "a function as Python bytecode",
    "TFSMLayer": "a TFSMLayer, which loads a saved model from a path",
    "TorchModuleWrapper": "a TorchModuleWrapper, which unpickles what it holds",
}
_LOOKUPS: Final = split("IndexLookup IntegerLookup StringLookup TextVectorization")
_BUILTINS: Final = split("__import__ breakpoint compile delattr eval exec getattr globals input open setattr vars")
_TF_CALLS: Final = {
    "TFOpLambda": "function",
    "ClassMethod": "cls_ref",
    "InstanceMethod": "cls_ref",
    "InstanceProperty": "cls_ref",
    "SlicingOpLambda": "function",
}
_TF_SAFE: Final = re.compile(
    r"(__operators__|math|nn|linalg|signal|strings|sparse|ragged|image|keras\.(layers|activations|backend|losses))\.\w[\w.]*|[a-z]\w*", re.ASCII
)
_TF_UNSAFE: Final = re.compile(
    r"(io|data|saved_model|raw_ops|lookup|summary|debugging|distribute|autograph|compat|load_op_library|load_library|keras\.utils)\b.*|.*(py_func|numpy_function|file|load_|write_|print|shell|exec).*",
    re.ASCII,
)


def judge_keras(pairs: Iterable[tuple[str, object]], context: Context) -> None:
    """Judge one object of a JSON document, if it is one that Keras would make something of.

    Args:
        pairs: Its names and values, repeated ones too: each combination counts.
        context: Where findings go.
    """
    own = list(pairs)
    if not {"config", "module", "registered_name", "inbound_nodes"} & {key for key, _ in own}:
        return
    modules = [value for key, value in own if key == "module"] or [None]
    for name in (value for key, value in own if key == "class_name"):
        for module in modules:
            _judge_object(name, module, own, context)


def _judge_object(name: object, module: object, own: list[tuple[str, object]], context: Context) -> None:
    configs = [value for key, value in own if key == "config"]
    if not isinstance(name, str) or not isinstance(module, str | None):
        context.say("keras-custom", "'class_name'", "the name of a class or module that is no text")
    elif name in _RUNS:
        _judge_code(name, configs, context)
    elif name == "function":
        for function in configs:
            _judge_function(function, module, context)
    elif name in _TF_CALLS:
        for config in configs:
            for called in _all(config, _TF_CALLS[name]):
                _judge_tensorflow(called, context)
    elif name in _DATA or (name == "__typespec__" and all(spec in _DATA for spec in _all_in(own, "spec_name"))):
        return
    else:
        _judge_class(name, module, own, context)
        if name in _LOOKUPS and any(
            isinstance(path, str) and path for config in configs for key in ("vocabulary", "idf_weights") for path in _all(config, key)
        ):
            context.say("keras-code", repr(shown(name)), "a vocabulary that is read from a file, wherever it lies, when the layer is made")


def _judge_code(name: str, configs: list[object], context: Context) -> None:
    """Judge a layer that runs code; a Lambda that only names a function runs none that the file brings."""
    functions = [function for config in configs for function in _all(config, "function")]
    named = [function for function in functions if _all(function, "class_name") == ["function"]]
    if name == "Lambda" and functions and len(named) == len(functions):
        context.say("keras-custom", "'Lambda'", "a Lambda layer, which calls a function that is named")
    else:
        context.say("keras-code", repr(name), _RUNS[name])


def _judge_function(function: object, module: str | None, context: Context) -> None:
    if not isinstance(function, str):
        context.say("keras-custom", "'function'", "a function whose name is no text")
    elif module in {None, "builtins"}:
        if function in _BUILTINS:
            context.say("keras-code", repr(function), f"names the function builtins.{function}")
        elif function not in FUNCTIONS:
            context.say("keras-custom", repr(shown(function)), f"names the function {shown(function)}, which is none of Keras's own")
    elif not (_OWN.fullmatch(module) and function in FUNCTIONS):
        _judge_foreign(module, function, context)


def _judge_class(name: str, module: str | None, own: list[tuple[str, object]], context: Context) -> None:
    own_names = {name, f"keras>{name}", f"Keras>{name}", ""}
    for registered in _all_in(own, "registered_name"):
        if registered is not None and (not isinstance(registered, str) or registered not in own_names):
            context.say("keras-custom", repr(shown(name)), f"names {shown(str(registered))}, which some library must have registered")
    if module is None or module == "builtins":
        if name not in CLASSES:
            context.say("keras-custom", repr(shown(name)), f"names the class {shown(name)}, which is none of Keras's own")
    elif _OPERATIONS.fullmatch(module) and _CLASS.fullmatch(name) and name not in _CALLING_OPERATIONS:
        return
    elif not (_OWN.fullmatch(module) and name in CLASSES):
        _judge_foreign(module, name, context)


def _judge_foreign(module: str, name: str, context: Context) -> None:
    """Judge what a configuration imports that is not in the lists of Keras's own."""
    full = f"{module}.{name}"
    part = _PARTS.match(module)
    if _OWN.fullmatch(module):
        known = (part is None or part[1] in _ORDINARY_PARTS) and _CLASS.fullmatch(name) is not None
        context.say("keras-custom" if known else "keras-code", repr(shown(name)), f"names {shown(full)}, which is no layer, optimiser or the like")
    elif words_for(module) != words_for(""):
        context.say("keras-code", repr(shown(name)), f"names {shown(full)}, which {words_for(module)}")
    else:
        context.say("keras-custom", repr(shown(name)), f"names {shown(full)}, which Keras imports")


def _judge_tensorflow(called: object, context: Context) -> None:
    if not isinstance(called, str) or _TF_UNSAFE.fullmatch(called):
        context.say("keras-code", "'TFOpLambda'", f"calls {shown(str(called))} of TensorFlow")
    elif not _TF_SAFE.fullmatch(called):
        context.say("keras-custom", "'TFOpLambda'", f"calls {shown(called)} of TensorFlow")


def _all(value: object, name: str) -> list[object]:
    """Return every value under a name of an object, also of one that stands there twice; of anything else none."""
    if isinstance(value, dict):
        return _all_in(getattr(value, "pairs", list(value.items())), name)
    return _all_in(value, name) if isinstance(value, list) else []


def _all_in(pairs: list[object] | list[tuple[str, object]], name: str) -> list[object]:
    return [pair[1] for pair in pairs if isinstance(pair, tuple) and pair[0] == name]
