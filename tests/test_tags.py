# SPDX-License-Identifier: Apache-2.0
import importlib
import inspect

import pytest

from lifeseal import principles

FAMILIES = (
    "attestation",
    "signing",
    "serialization",
    "provenance",
    "erasure",
    "loading",
    "evidence",
    "disposal",
    "hub",
    "integrations",
    "principles",
)


def package(family):
    return importlib.import_module(f"lifeseal.{family}")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_public_function_is_tagged_or_stands_on_the_list_with_a_reason(family):
    assert principles.untagged(package(family), exempt=principles.UNTAGGED) == ()


def test_the_list_names_only_what_is_there_and_untagged():
    there = {name: function for family in FAMILIES for name, function in principles.public_callables(package(family))}
    there["lifeseal.principles.judgements"] = principles.judgements  # cached, so no plain function
    assert set(principles.UNTAGGED) <= set(there)
    assert all(principles.tag_of(there[name]) is None for name in principles.UNTAGGED)


def own_primitives():
    for family in FAMILIES:
        package(family)
    return {name: primitive for name, primitive in principles.primitives().items() if name.startswith("lifeseal.") and ".example" not in name}


def test_a_tag_names_the_function_as_users_know_it():
    for name in own_primitives():
        family, *path = name.removeprefix("lifeseal.").split(".")
        found = package(family)
        for part in path:
            found = getattr(found, part)
        assert inspect.isroutine(found), name


def test_every_limit_is_a_sentence():
    for primitive in own_primitives().values():
        assert primitive.limits.endswith("."), primitive
        assert len(primitive.limits) > len("It does nothing else."), primitive
