# SPDX-License-Identifier: Apache-2.0
"""The tags against what a library can do at all, and the page that is made of them."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from lifeseal import principles
from lifeseal.principles import Level

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tagged():
    return principles.load_all()


def test_the_page_is_what_the_tags_say(tagged):
    loader = SourceFileLoader("coverage_page", str(ROOT / "scripts/coverage-page"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    written = (ROOT / "docs/reference/coverage.md").read_text()
    assert written == module.page(), "stale: scripts/coverage-page >docs/reference/coverage.md"


def test_no_function_claims_to_implement_what_no_call_can(tagged):
    judged = principles.judgements()
    for name, primitive in tagged.items():
        for tag in primitive.tags:
            assert judged[tag.provision].level != "organisational", name
            assert tag.level is Level.EVIDENCES or judged[tag.provision].level == "implements", name


def test_no_function_serves_a_provision_twice(tagged):
    for name, primitive in tagged.items():
        named = [tag.provision for tag in primitive.tags]
        assert len(named) == len(set(named)), name


def test_the_organisational_ones_are_named_with_their_reason(tagged):
    page = (ROOT / "docs/reference/coverage.md").read_text()
    people = {p: j for p, j in principles.judgements().items() if j.level == "organisational"}
    assert len(people) == 35
    for provision, judgement in people.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {provision.partition(':')[2]} |"))
        assert f"people only: {judgement.reason}" in row


def test_the_limits_are_one_sentence_or_two(tagged):
    for name, primitive in tagged.items():
        assert primitive.limits.endswith("."), name
        assert len(primitive.limits) <= 250, name
