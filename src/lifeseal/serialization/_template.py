# SPDX-License-Identifier: Apache-2.0
"""Jinja templates, as tokenizers carry them for chats: what in one could leave the data that it is given.

A template reaches the interpreter by an attribute of Python's own, as ``__class__`` or a generator's ``gi_frame``: by name, by the filter
``attr``, or by a subscript, which Jinja also tries as an attribute. So every such name must be written out and be none of these; a
name that is put together from text needs trust. Jinja itself is not used.

Source: Jinja 3.1 ``environment.py`` (``getitem``), ``filters.py``, ``sandbox.py``; CVE-2024-34359.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from lifeseal.errors import LimitError
from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import shown
from lifeseal.serialization._template_lexer import Block, Token, blocks
from lifeseal.serialization._words import split

_FRAMES: Final = split(
    "ag_code ag_frame co_code co_consts cr_code cr_frame f_back f_builtins f_code f_globals f_locals func_code func_globals gi_code gi_frame "
    "gi_yieldfrom im_class im_func im_self mro tb_frame tb_next"
)
_BY_ATTRIBUTE: Final = split("attr groupby rejectattr selectattr")
_BY_NAME: Final = split("map max min reject select sort sum unique")
_OF_NUMBERS: Final = split("abs count float int length round")
_LOADS: Final = split("extends from import include")
_KEYWORDS: Final = split("and elif else if in is not or recursive return set")
_DUNDER: Final = re.compile(r"__\w{1,64}__")
_FORMATS: Final = frozenset({"format", "format_map"})
_JOINS: Final = frozenset("~+%*")


def judge_template(text: str, context: Context) -> None:
    """Judge the expressions and statements of a template; other text has none."""
    if "{{" not in text and "{%" not in text:
        return
    found: list[Block] = []
    try:
        found.extend(blocks(text))
    except LimitError as error:
        context.say("limit", "", str(error))
    built = frozenset(name for block in found for name in _built_names(block))
    built |= frozenset(name for block in found for name in _built_parameters(block, _macros(found), built))
    for block in found:
        _judge_block(block, built, context)


def _judge_block(block: Block, built: frozenset[str], context: Context) -> None:
    first = block.at(0)
    if first.kind == "name" and first.text in _LOADS:
        context.say("template-load", "", f"the template has {first.text!r}, which loads another")
    for index, token in enumerate(block.tokens):
        before = block.at(index - 1)
        if token.kind == "name":
            if before.text == "." or token.text.startswith("__"):
                _judge_name(token.text, context)
                if token.text in _FORMATS and _is_put_together(block, index - 2, built):
                    context.say(
                        "template-computed", "", f"the template calls {token.text} of a text that is put together, which can reach attributes"
                    )
            elif before.text in {"|", "filter"}:
                _judge_filter(block, index, built, context)
            elif token.text == "attribute" and block.at(index + 1).text == "=":
                _judge_attribute(block.tokens[index + 2 : block.value_end(index + 2)], context)
        elif token.kind == "string":
            _judge_text(token.text, context)
        elif token.text == "[" and _is_subscript(before):
            _judge_subscript(block.tokens[index + 1 : block.partners.get(index, len(block.tokens))], built, context)


def _is_put_together(block: Block, end: int, built: frozenset[str]) -> bool:
    """Tell whether what ends at a token could be a text that the template put together."""
    last = block.at(end)
    if last.text != ")":
        return last.kind == "name" and last.text in built
    start = next((opening for opening, closing in block.partners.items() if closing == end), end)
    called = block.at(start - 1)
    return (called.kind == "name" and called.text not in _KEYWORDS) or _is_built(block.tokens[start + 1 : end])


def _is_subscript(before: Token) -> bool:
    return before.kind == "string" or (before.kind == "name" and before.text not in _KEYWORDS) or before.text in {")", "]", "}"}


def _judge_name(name: str, context: Context) -> None:
    if "__" in name or name in _FRAMES:
        context.say("template-escape", "", f"the template reaches for {shown(name)}, by which it leaves the data that it is given")
    elif name.startswith("_"):
        context.say("template-computed", "", f"the template reaches for {shown(name)}, which is nobody's data")


def _judge_text(text: str, context: Context) -> None:
    if _DUNDER.search(text):
        _judge_name(text, context)
    elif text == "attr":
        context.say("template-computed", "", "the template names the filter attr, by which attributes are reached")


def _judge_filter(block: Block, index: int, built: frozenset[str], context: Context) -> None:
    name, start = block.tokens[index].text, index + 2
    if name not in _BY_ATTRIBUTE | _BY_NAME or block.at(index + 1).text != "(":
        return
    arguments = block.tokens[start : block.partners.get(index + 1, len(block.tokens))]
    if name in _BY_ATTRIBUTE:
        _judge_attribute(block.tokens[start : block.value_end(start)], context)
    elif _joins(arguments) or any(token.kind == "name" and token.text in built for token in arguments):
        context.say("template-computed", "", f"the template gives the filter {name} a name that is put together from text")


def _judge_attribute(argument: Sequence[Token], context: Context) -> None:
    if len(argument) == 1 and argument[0].kind == "string":
        for part in argument[0].text.split("."):
            _judge_name(part, context)
    elif not (len(argument) == 1 and argument[0].kind == "number"):
        context.say("template-computed", "", "the template reaches for an attribute whose name is computed")


def _judge_subscript(index: Sequence[Token], built: frozenset[str], context: Context) -> None:
    if len(index) == 1 and index[0].kind == "string":
        _judge_name(index[0].text, context)
    elif _is_built(index) or any(token.kind == "name" and token.text in built for token in index):
        context.say("template-computed", "", "the template reaches for an item whose name is put together from text")


def _is_built(tokens: Sequence[Token]) -> bool:
    """Tell whether some expression could put a text together, rather than choose one or count."""
    if _joins(tokens):
        return True
    before = Token("", "")
    for token in tokens:
        if before.text == "|" and token.kind == "name" and token.text not in _OF_NUMBERS:
            return True
        if token.text == "(" and before.kind == "name" and before.text not in _KEYWORDS and before.text not in {"range", *_OF_NUMBERS}:
            return True
        before = token
    return False


def _joins(tokens: Sequence[Token]) -> bool:
    """Tell whether some expression joins texts; calls and filters aside, which choose from what is there."""
    has_text = any(token.kind == "string" for token in tokens)
    return any(token.kind == "operator" and (token.text == "~" or (has_text and token.text in _JOINS)) for token in tokens)


def _has_own_text(tokens: Sequence[Token]) -> bool:
    """Tell whether some expression holds text, other than the names of items that it looks up."""
    for index, token in enumerate(tokens):
        if token.kind != "string":
            continue
        before = tokens[index - 1].text if index else ""
        behind = tokens[index + 1].text if index + 1 < len(tokens) else ""
        looked_up = (before == "[" and behind == "]") or (before == "(" and index > 1 and tokens[index - 2].text == "get")
        if not looked_up:
            return True
    return False


def _built_names(block: Block) -> Iterable[str]:
    """Yield the names that stand for a text which the template may have put together."""
    tokens = block.tokens
    for index, token in enumerate(tokens[:-1]):
        assigned = tokens[index + 1]
        if (
            token.kind == "name"
            and assigned.kind == "operator"
            and assigned.text == "="
            and _is_built(tokens[index + 2 : block.value_end(index + 2)])
        ):
            yield token.text
    word = block.at(0).text
    if word == "set" and not any(token.text == "=" for token in tokens):
        yield block.at(1).text
    elif word == "for":
        place = next((index for index, token in enumerate(tokens) if token.kind == "name" and token.text == "in"), len(tokens))
        values = tokens[place + 1 :]
        if _joins(values) or (_has_own_text(values) and _is_built(values)):
            yield from (token.text for token in tokens[1:place] if token.kind == "name")


def _macros(found: Sequence[Block]) -> dict[str, list[str]]:
    """Return the names of macros' parameters, and of those that a macro hands to its caller."""
    macros: dict[str, list[str]] = {}
    for block in found:
        if block.at(0).text == "macro" and block.at(2).text == "(":
            macros[block.at(1).text] = [token.text for token in block.tokens[3:] if token.kind == "name"]
        elif block.at(0).text == "call" and block.at(1).text == "(":
            macros.setdefault("caller", []).extend(token.text for token in block.tokens[2 : block.partners.get(1, 2)] if token.kind == "name")
    return macros


def _built_parameters(block: Block, macros: dict[str, list[str]], built: frozenset[str]) -> Iterable[str]:
    """Yield the parameters of macros that are called with text which was put together."""
    for index, token in enumerate(block.tokens):
        if token.kind != "name" or token.text not in macros or block.at(index + 1).text != "(" or block.at(0).text == "macro":
            continue
        arguments = block.tokens[index + 2 : block.partners.get(index + 1, len(block.tokens))]
        if _is_built(arguments) or any(one.kind == "name" and one.text in built for one in arguments):
            yield from macros[token.text]
