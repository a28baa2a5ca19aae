# SPDX-License-Identifier: Apache-2.0
import functools
import importlib
import inspect

import pytest

from contract import SIGNATURES, WAITING, WAITING_WHOLE

AGREED = dict(line.split("(", 1) for line in SIGNATURES.strip().splitlines())


def found(name):
    family, *path = name.split(".")
    return functools.reduce(getattr, path, importlib.import_module(f"lifeseal.{family}"))


def promise(name):
    namespace = {}
    exec(f"from __future__ import annotations\ndef function({AGREED[name]}: pass", namespace)
    return inspect.signature(namespace["function"])


def agreed(name):
    return [p for p in promise(name).parameters.values() if p.name not in WAITING.get(name, ())]


def plain(parameter):
    return parameter.name, parameter.kind, parameter.default


@pytest.mark.parametrize("name", [name for name in AGREED if name != "attestation.Waiver"])
def test_a_public_function_has_the_agreed_signature(name):
    function = found(name)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    wanted = [p for p in agreed(name) if p.name != "self"]
    positional = [plain(p) for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert positional == [plain(p) for p in wanted if p.kind is not p.KEYWORD_ONLY]
    keywords = {plain(p) for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert keywords == {plain(p) for p in wanted if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize("name", [name for name in AGREED if "->" in AGREED[name]])
def test_a_public_function_returns_the_agreed_type(name):
    returned = inspect.signature(found(name)).return_annotation
    assert getattr(returned, "__name__", str(returned)).partition("[")[0] == promise(name).return_annotation


def test_a_waiver_takes_the_agreed_fields_by_name():
    parameters = inspect.signature(found("attestation.Waiver")).parameters.values()
    assert [p.name for p in parameters] == [p.name for p in agreed("attestation.Waiver")]
    assert {p.default for p in parameters} == {inspect.Parameter.empty}


def test_no_parameter_is_there_before_it_works():
    assert [name for name, absent in WAITING.items() if set(inspect.signature(found(name)).parameters) & absent] == []


@pytest.mark.parametrize("name", WAITING_WHOLE)
def test_no_name_is_there_before_it_works(name):
    with pytest.raises(AttributeError):
        found(name)
