# SPDX-License-Identifier: Apache-2.0
"""YAML by its tags, and by the names with which a configuration says what is to be imported and called.

Tags are read wherever a YAML reader could meet one, also in text that is not YAML; no reader of YAML is needed for that.

Source: YAML 1.2.2, sections 5.5, 6.8 and 6.9; PyYAML ``yaml/constructor.py``; Hydra, "Instantiating objects"; HyperPyYAML, "Tags".
"""

import re
from typing import Final
from urllib.parse import unquote

from lifeseal.serialization._allow import resolve
from lifeseal.serialization._by_design import is_known_to_act, words_for
from lifeseal.serialization._context import Context
from lifeseal.serialization._escapes import unescaped
from lifeseal.serialization._rules import Findings, shown
from lifeseal.serialization._values import Standing
from lifeseal.serialization._words import split

_CORE: Final = "tag:yaml.org,2002:"
_PYTHON: Final = _CORE + "python/"
_PLAIN: Final = split("binary bool float int map merge null omap pairs seq set str timestamp value yaml")
_PLAIN_PYTHON: Final = split("bool bytes complex dict float int list long none str tuple unicode")
_HYPER: Final = re.compile(r"!(apply|new|name|module):(\S+)")
_ESCAPES: Final = re.compile(r"\\(?:x([2-7][0-9A-Fa-f])|u00([2-7][0-9A-Fa-f])|U000000([2-7][0-9A-Fa-f])|\r?\n[ \t]*)")
_MAX_TAGS: Final = 1 << 12
# Patterns begin with a letter that stands for itself, for which a text is searched fast; what must stand before it is looked at afterwards.
_TAG: Final = re.compile(r"!(?:<[^>\s]{0,500}>|[\w-]*!)?[^\s,\[\]{}'\"]{0,500}")
# A tag stands where a node may begin: behind indentation or an indicator, and behind another property of the node.
_NODE_BEGINS: Final = re.compile(r"(?:(?:\A|\n)[ \t]*|[-?:,\[{][ \t]*|---[ \t]+|&\S{1,99}[ \t]{1,99})\Z")
_BEFORE: Final = 256
_HANDLE: Final = re.compile(r"^%TAG[ \t]+(!(?:[\w-]*!)?)[ \t]+(\S+)", re.MULTILINE)
_KEYS: Final = ("_target_", "_component_", "class_path", "loader_module", "target", "__kind__")
_CALLED: Final = {
    key: re.compile(
        rf"{key}(?<![\w.]{key})[\"']?[ \t]*(?:#[^\n]*)?\n?[ \t]*:(?:\s|#[^\n]*\n)*"
        r"(?:[&!]\S{1,99}\s{1,99})*(?:[|>][-+\d]*\s+)?[\"']?((?:[A-Za-z_][\w.]*|[$*]\S+)?)"
    )
    for key in _KEYS
}
_ALIASED: Final = re.compile(r"&\S{1,99}[ \t]{1,99}[\"']?\Z")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_BESIDE: Final = {"target": "params", "class_path": "init_args"}
_NO_NAMES: Final = frozenset({"null", "true", "false", "None"})


def judge_yaml(text: str, context: Context) -> None:
    """Judge the tags and the named callables of some text."""
    if "\\" in text:
        text = unescaped(text, _ESCAPES, context)
    if "!" in text:
        _judge_tags(text, context)
    for key in _KEYS:
        if key in text:
            for name in dict.fromkeys(_CALLED[key].findall(text)):
                _judge_called(key, name, text, context)
    place = text.find("_target_")
    while place >= 0:
        if _ALIASED.search(text, max(0, place - _BEFORE), place):
            context.say("config-call", "'_target_'", "names by an alias what is to be imported and called")
            break
        place = text.find("_target_", place + 1)


def _judge_called(key: str, name: str, text: str, context: Context) -> None:
    """Judge a field that says what is to be called; some fields say so only with others beside them."""
    needs = _BESIDE.get(key, "")
    if not name or name in _NO_NAMES or (needs and (needs not in text or not _DOTTED.fullmatch(name))):
        return
    if key == "__kind__" and name not in {"instance", "stateful", "type"}:
        return
    rule = "config-call-known" if is_known_to_act(name) else "config-call"
    context.say(rule, repr(key), f"names {shown(name)}, which its loader imports and calls")


def _judge_tags(text: str, context: Context) -> None:
    handles = {"!!": _CORE}
    for match in _HANDLE.finditer(text) if "%TAG" in text else ():
        handles[match[1]] = match[2]
    tags = set(_TAG.findall(text))
    if len(tags) > _MAX_TAGS:
        context.say("limit", "", f"more than {_MAX_TAGS} different tags in a text")
    for tag in sorted(tags)[:_MAX_TAGS]:
        own = Findings()
        _judge_tag(tag, handles, context.aside(own))
        if own.listed() and _begins_a_node(text, tag):
            context.findings.extend(own)


def _begins_a_node(text: str, tag: str) -> bool:
    """Tell whether a tag stands anywhere where a reader would take it for one."""
    place = text.find(tag)
    while place >= 0:
        if _NODE_BEGINS.search(text, max(0, place - _BEFORE), place):
            return True
        place = text.find(tag, place + 1)
    return False


def _judge_tag(tag: str, handles: dict[str, str], context: Context) -> None:
    hyper = _HYPER.match(tag)
    if hyper is not None:
        rule = "config-call-known" if is_known_to_act(hyper[2]) else "yaml-tag"
        context.say(rule, repr(shown(tag)), f"a tag by which HyperPyYAML imports {shown(hyper[2])}")
        return
    if tag == "!function":
        context.say("yaml-tag", repr(shown(tag)), "a tag by which a loader imports a function")
        return
    full = _resolved(tag, handles)
    if full.startswith(_PYTHON):
        _judge_python(full.removeprefix(_PYTHON), context)
    elif full.startswith(_CORE) and full.removeprefix(_CORE) not in _PLAIN and _DOTTED.search(full, len(_CORE)):
        context.say("yaml-tag", repr(shown(tag)), "a tag that is no type of YAML; some loaders take it for the name of a class")


def _resolved(tag: str, handles: dict[str, str]) -> str:
    if tag.startswith("!<"):
        return unquote(tag[2:-1])
    end = tag.find("!", 1)
    handle = tag[: end + 1] if end > 0 else "!"
    return unquote(handles.get(handle, handle) + tag[len(handle) :])


def _judge_python(rest: str, context: Context) -> None:
    kind, _, name = rest.partition(":")
    if not name and kind in _PLAIN_PYTHON:
        return
    module, _, last = name.rpartition(".")
    found = resolve(module or "builtins", last or name, context.allow)
    if kind == "module" or found.standing is Standing.UNKNOWN:
        context.say("yaml-python", repr(shown("!!python/" + rest)), f"makes or calls {shown(name)}, which {words_for(module or name)}")
    else:
        context.say("yaml-tag", repr(shown("!!python/" + rest)), f"makes {shown(name)} by a loader that runs what a file names")
