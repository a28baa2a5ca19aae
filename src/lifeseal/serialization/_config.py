# SPDX-License-Identifier: Apache-2.0
"""JSON configurations: the fields by which a loader imports code, leaves the folder, or fetches something else.

Every object is looked at as its pairs, so that no repeated name hides what another reader would take.

Source: transformers ``dynamic_module_utils.py``; diffusers ``pipelines/pipeline_loading_utils.py``; sentence-transformers ``util.py``,
``import_from_string``; PEFT ``auto.py`` and ``tuners/lora/layer.py``; GluonTS ``core/serde``; jsonpickle ``unpickler.py``.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Final

from lifeseal.serialization._by_design import is_known_to_act
from lifeseal.serialization._context import Context
from lifeseal.serialization._escapes import unescaped
from lifeseal.serialization._keras import judge_keras
from lifeseal.serialization._rules import shown
from lifeseal.serialization._skops import judge_skops
from lifeseal.serialization._template import judge_template

_CODE_KEYS: Final = ("auto_map", "custom_pipelines", "py/object", "py/reduce", "py/function", "py/type", "py/repr", "__reduce__")
_OTHER_KEYS: Final = (
    "__loader__", "_class_name", "_component_", "_target_", "@module", "__kind__", "activation_function", "activation_fn", "auto_mapping",
    "base_model_name_or_path", "chat_template", "class_name", "class_path", "handler", "lc", "megatron_config",
    "mm_vision_tower", "module", "sbert_ce_default_activation_function", "template", "type", "vision_tower", "weight_map",
)  # fmt: skip
_INTEREST: Final = re.compile(r'"(?:' + "|".join(map(re.escape, _CODE_KEYS + _OTHER_KEYS)) + r')"\s*:')
_SAID: Final = re.compile(r'"(' + "|".join(map(re.escape, (*_CODE_KEYS, "_target_", "_component_", "class_path"))) + r')"\s*:\s*(?!null|\{\s*\})')
_ESCAPED: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_ABSOLUTE: Final = re.compile(r"[/\\]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://")
_NO_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^][{}"]++', re.DOTALL)
_MAX_DEPTH: Final = 256
_PART: Final = 2
_LIBRARIES: Final = ("diffusers", "transformers")
_PIPELINE_MODULES: Final = re.compile(r"diffusers(\..*)?|transformers(\..*)?|stable_diffusion|onnxruntime|optimum(\..*)?|flax|[a-z0-9_]*pipelines?")


class _Pairs(dict[str, object]):
    """An object of JSON, with every pair: as a dictionary it has the last of each name."""

    __slots__ = ("_repeated",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self._repeated = pairs if len(pairs) > len(self) else None

    @property
    def pairs(self) -> list[tuple[str, object]]:
        """All of them, in order."""
        return list(self.items()) if self._repeated is None else self._repeated

    def all(self, name: str) -> Iterator[object]:
        """Yield every value under a name."""
        return (value for key, value in self.pairs if key == name)


def judge_json(text: str, context: Context, *, whole: bool) -> bool:
    """Judge the fields of what starts like JSON; returns whether it is JSON and was parsed."""
    interesting = ("\\u00" in text and _ESCAPED.search(text) is not None) or _INTEREST.search(text) is not None
    seen: list[_Pairs] = []

    def keep(pairs: list[tuple[str, object]]) -> _Pairs:
        seen.append(_Pairs(pairs))
        return seen[-1]

    parsed = False
    if not whole or not context.budget.affords_json(text.encode("utf-8", "surrogatepass")):
        if interesting and '"chat_template"' in text:
            context.say("limit", "'chat_template'", "a template in more JSON than is parsed here")
    elif _is_deep(text):
        context.say("limit", "", f"JSON of more than {_MAX_DEPTH} objects and arrays within one another")
    else:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text.lstrip("\ufeff"), object_pairs_hook=keep if interesting else None)
            parsed = True
    if interesting and not parsed:
        _judge_loosely(text, context)
    for pairs in seen:
        _judge_object(pairs, context)
    return parsed


def _is_deep(text: str) -> bool:
    """Tell whether more objects and arrays lie within one another than readers of JSON are sure to stand."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return False
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth > _MAX_DEPTH:
            return True
    return False


def _judge_loosely(text: str, context: Context) -> None:
    """Look for the same fields in what a more tolerant reader would still take for JSON."""
    if "\\u00" in text:
        text = unescaped(text, _ESCAPED, context)
    for match in _SAID.finditer(text):
        context.say("json-code", repr(match[1]), f"field {match[1]!r} names code that a loader imports or fetches")
    if re.search(r'"class_name"\s*:', text) and '"config"' in text:
        context.say("keras-config", "'class_name'", "a Keras configuration that is not strict JSON, and is not analysed")


def _judge_object(pairs: _Pairs, context: Context) -> None:
    for name, value in pairs.pairs:
        for field in _FIELDS.get(name, ()):
            field(value, pairs, context)
    if "_class_name" in pairs:
        _judge_pipeline(pairs, context)


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a value."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, _Pairs):
            pending += [item for _, item in one.pairs]
        elif isinstance(one, list):
            pending += one


def _names_code(name: str) -> Callable[[object, _Pairs, Context], None]:
    def judge(value: object, pairs: _Pairs, context: Context) -> None:
        if not value or (name == "__reduce__" and "__loader__" in pairs):
            return
        named = next(_texts(value), "")
        context.say("json-code", repr(name), f"field {name!r} names code that a loader imports or fetches: {shown(named)!r}")
        if "--" in named:
            context.say("external-reference", repr(name), f"refers to {shown(named.partition('--')[0])!r}, which is fetched from elsewhere")

    return judge


def _called(name: str) -> Callable[[object, _Pairs, Context], None]:
    def judge(value: object, _: _Pairs, context: Context) -> None:
        if isinstance(value, str) and value:
            rule = "config-call-known" if is_known_to_act(value) else "config-call"
            context.say(rule, repr(name), f"names {shown(value)}, which its loader imports and calls")

    return judge


def _imports_beside(name: str, *, own: tuple[str, ...], beside: str = "") -> Callable[[object, _Pairs, Context], None]:
    """Judge a full name that a loader imports; those below its own packages are what it writes itself."""

    def judge(value: object, pairs: _Pairs, context: Context) -> None:
        if beside and beside not in pairs:
            return
        if isinstance(value, str) and _DOTTED.fullmatch(value) and not value.startswith(own):
            rule = "config-call-known" if is_known_to_act(value) else "config-call"
            context.say(rule, repr(name), f"names {shown(value)}, which its loader imports")

    return judge


def _judge_mapping(value: object, _: _Pairs, context: Context) -> None:
    if not isinstance(value, _Pairs):
        return
    for module in value.all("parent_library"):
        if isinstance(module, str) and not re.fullmatch(r"(transformers|torch\.nn|sentence_transformers|timm)(\.[A-Za-z_]\w*)*", module):
            context.say("json-code", "'auto_mapping'", f"names {shown(module)}, which PEFT imports")


def _judge_weight_map(value: object, _: _Pairs, context: Context) -> None:
    for name in _texts(value):
        if _ABSOLUTE.match(name) or ".." in re.split(r"[/\\]", name) or "\0" in name:
            context.say("index-traversal", "'weight_map'", f"names the shard {shown(name)!r}, which lies outside the folder")


def _judge_reference(value: object, _: _Pairs, context: Context) -> None:
    for name in _texts(value):
        context.say("external-reference", "", f"refers to the model {shown(name)!r}, which is read beside this one and was not scanned")


def _judge_templates(value: object, _: _Pairs, context: Context) -> None:
    inside = context.inside("'chat_template'")
    for text in _texts(value):
        judge_template(text, inside)


def _judge_named_template(value: object, pairs: _Pairs, context: Context) -> None:
    if "name" in pairs:
        _judge_templates(value, pairs, context)


def _judge_layer(_: object, pairs: _Pairs, context: Context) -> None:
    judge_keras(pairs.pairs, context)


def _judge_node(_: object, pairs: _Pairs, context: Context) -> None:
    judge_skops(pairs.pairs, context)


def _judge_kind(value: object, pairs: _Pairs, context: Context) -> None:
    if value in {"instance", "stateful", "type"}:
        _called("class")(next(pairs.all("class"), "?"), pairs, context)


def _judge_constructor(_: object, pairs: _Pairs, context: Context) -> None:
    if "constructor" in list(pairs.all("type")):
        context.say("config-call", "'lc'", "an object of LangChain, which its loader imports and makes")


def _judge_handler(value: object, pairs: _Pairs, context: Context) -> None:
    if "serializedFile" in pairs or "modelName" in pairs:
        context.say("json-code", "'handler'", f"names the handler {shown(str(value))!r}, which TorchServe runs")


def _judge_module(value: object, pairs: _Pairs, context: Context) -> None:
    if "@class" in pairs:
        _called("@module")(value, pairs, context)


def _judge_pipeline(pairs: _Pairs, context: Context) -> None:
    """Judge diffusers' index: each part is named by a library and a class in it."""
    parts = [(name, value) for name, value in pairs.pairs if isinstance(value, list) and len(value) == _PART and isinstance(value[1], str)]
    named = [value for value in pairs.all("_class_name") if isinstance(value, list) or "Pipeline" in str(value)]
    if not named and not any(value[0] in _LIBRARIES for _, value in parts):
        return
    for name, (library, kind) in parts:
        if isinstance(library, str) and (name == "_class_name" or not _PIPELINE_MODULES.fullmatch(library)):
            context.say("json-code", repr(shown(name)), f"names {shown(library)}.{shown(kind)}, which diffusers imports")


_TORCH_OWN: Final = ("torch.nn.",)
_FIELDS: Final[dict[str, tuple[Callable[[object, _Pairs, Context], None], ...]]] = {
    **{name: (_names_code(name),) for name in _CODE_KEYS},
    "_component_": (_called("_component_"),),
    "_target_": (_called("_target_"),),
    "__loader__": (_judge_node,),
    "@module": (_judge_module,),
    "__kind__": (_judge_kind,),
    "activation_function": (_imports_beside("activation_function", own=_TORCH_OWN),),
    "activation_fn": (_imports_beside("activation_fn", own=_TORCH_OWN),),
    "auto_mapping": (_judge_mapping,),
    "base_model_name_or_path": (_judge_reference,),
    "chat_template": (_judge_templates,),
    "class_name": (_judge_layer,),
    "class_path": (_called("class_path"),),
    "handler": (_judge_handler,),
    "lc": (_judge_constructor,),
    "megatron_config": (_names_code("megatron_config"),),
    "mm_vision_tower": (_judge_reference,),
    "sbert_ce_default_activation_function": (_imports_beside("sbert_ce_default_activation_function", own=_TORCH_OWN),),
    "template": (_judge_named_template,),
    "type": (_imports_beside("type", own=("sentence_transformers.",), beside="idx"),),
    "vision_tower": (_judge_reference,),
    "weight_map": (_judge_weight_map,),
}
