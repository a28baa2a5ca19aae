# SPDX-License-Identifier: Apache-2.0
"""Prompts, configuration and reviews: what changed, and which review is stale."""

import hashlib

import pytest

from lifeseal import evidence


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


def test_changes_are_told_by_digest_and_the_content_stays_out(path):
    with evidence.Log(path):
        first = evidence.track("prompt", "You are helpful.")
        evidence.track("prompt", "You are helpful.")
        second = evidence.track("prompt", b"You are private-word.")
        config = evidence.track("config", {"temperature": 1, "a": [True, None]})
        assert config == evidence.track("config", {"a": [True, None], "temperature": 1})
    assert first.digest == "sha256:" + hashlib.sha256(b"You are helpful.").hexdigest()
    summary = evidence.summarise(path)
    assert [(c.name, c.before, c.after) for c in summary.changes] == [
        ("prompt", "", first.digest),
        ("prompt", first.digest, second.digest),
        ("config", "", config.digest),
    ]
    assert b"private-word" not in path.read_bytes()
    assert b"temperature" not in path.read_bytes()


def test_a_review_is_stale_when_one_of_its_things_has_changed(path):
    with evidence.Log(path):
        prompt, config = evidence.track("prompt", "p"), evidence.track("config", "c")
        document = evidence.review(b"model of threats", covers=[prompt, config], reviewer="A. Analyst", risks=["R-1"])
        (current,) = evidence.summarise(path).reviews
        assert (current.document, current.stale, current.risks, current.covers) == (document, (), ("R-1",), ("prompt", "config"))
        evidence.track("config", "changed")
        (stale,) = evidence.summarise(path).reviews
        assert stale.stale == ("config",)
        evidence.review(b"again", covers=[prompt, evidence.track("config", "changed")], reviewer="A. Analyst", risks=["R-2"])
    old, new = evidence.summarise(path).reviews
    assert (old.stale, new.stale) == (("config",), ())
    assert evidence.summarise(path).open_risks == ("R-1", "R-2")


def test_a_thing_that_was_never_tracked_in_this_log_is_not_called_stale(path):
    earlier = evidence.track("prompt", "p")
    with evidence.Log(path):
        evidence.review(b"d", covers=[earlier], reviewer="A")
    assert evidence.summarise(path).reviews[0].stale == ()


@pytest.mark.parametrize("name", ["", " ", "a=b", "a\nb", "n" * 1025])
def test_refuses_a_name_that_cannot_be_told_apart(name):
    with pytest.raises(ValueError, match="a name of 1 to 1024 characters"):
        evidence.track(name, "x")


@pytest.mark.parametrize("wrong", [{"covers": []}, {"reviewer": " "}, {"risks": ["x" * 1025]}, {"risks": [""]}])
def test_refuses_a_review_that_says_nothing(wrong):
    how = {"covers": [evidence.track("p", "p")], "reviewer": "A", "risks": ["R-1"]}
    assert evidence.review(b"d", **how)
    with pytest.raises(ValueError, match=r"a review covers|must say something"):
        evidence.review(b"d", **(how | wrong))
