# SPDX-License-Identifier: Apache-2.0
"""Events, and logs made of them."""

import pytest

from lifeseal import evidence
from lifeseal.principles import Event


def event(number=0, *, outcome="pass", **facts):
    return Event(
        time="2026-11-01T00:00:00.000000Z",
        primitive="lifeseal.test",
        outcome=outcome,
        error="",
        provisions=("uk-ai-cop:2.3",),
        facts={"number": number, **facts},
    )


@pytest.fixture
def log(tmp_path):
    """A log of three events."""
    path = tmp_path / "log"
    with evidence.Log(path) as made:
        for number in range(3):
            made.emit(event(number))
    return path


@pytest.fixture
def make_event():
    return event
