# SPDX-License-Identifier: Apache-2.0
"""The Code as data."""

from collections import Counter
from importlib import resources

import pytest

from lifeseal import principles


def test_holds_13_principles_and_72_provisions():
    assert [entry.number for entry in principles.principles()] == list(range(1, 14))
    assert len(principles.provisions()) == 72
    assert len({entry.en_id for entry in principles.provisions().values()}) == 72
    assert {entry.principle for entry in principles.provisions().values()} == set(range(1, 14))


@pytest.mark.parametrize("name", ["provisions.json", "coverage.json"])
def test_the_data_is_the_published_data_byte_for_byte(shared_vectors, name):
    assert resources.files("lifeseal.principles").joinpath(name).read_bytes() == (shared_vectors / name).read_bytes()


def test_finds_each_provision_by_each_of_its_ids():
    for key, entry in principles.provisions().items():
        assert key == entry.id == f"uk-ai-cop:{entry.number}"
        assert entry.en_id.startswith("en-304-223:5.")
        assert principles.find(entry.id) is principles.find(entry.en_id) is principles.find(entry.number) is entry
        assert entry.number.split(".")[0] == str(entry.principle)


@pytest.mark.parametrize("identifier", ["", "8", "8.1.99", "14.1", "uk-ai-cop:", "uk-ai-cop:5.2.4-1.2", "en-304-223:8.1.2", "8.1.2 "])
def test_refuses_an_unknown_id(identifier):
    with pytest.raises(ValueError, match="unknown provision"):
        principles.find(identifier)


def test_each_provision_says_what_it_asks_of_whom():
    for entry in principles.provisions().values():
        assert entry.force in {"required", "recommended", "possible"}
        assert entry.actors
        assert entry.paraphrase
        assert entry.phase == principles.principles()[entry.principle - 1].phase


def test_each_provision_has_one_judgement():
    assert list(principles.judgements()) == list(principles.provisions())
    levels = Counter(entry.level for entry in principles.judgements().values())
    assert set(levels) == {"implements", "evidences", "organisational"}
    assert levels["organisational"] == 35
    assert all(entry.reason for entry in principles.judgements().values())


@pytest.mark.parametrize("mapping", [principles.provisions, principles.judgements, principles.primitives])
def test_the_data_cannot_be_changed(mapping):
    with pytest.raises(TypeError):
        mapping()["new"] = None
