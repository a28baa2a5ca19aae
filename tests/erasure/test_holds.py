# SPDX-License-Identifier: Apache-2.0
"""A hold refuses an erasure, says why, and survives whatever else happens to the vault."""

import pytest

from lifeseal import evidence
from lifeseal.errors import DestroyedError, StateError, StoreError


@pytest.fixture
def vault(desk):
    with desk.create() as made:
        for name in ("a", "b"):
            made.seal(desk.model, name).close()
        yield made


def held(vault):
    return {info.name: info.hold for info in vault.assets()}


def test_what_is_on_hold_is_not_erased_and_nothing_beside_it(vault):
    vault.holds.place(["a"], reason="case 7, by order of legal")
    epoch = vault.epoch
    with pytest.raises(StateError, match=r"asset 'a' is on hold \(case 7, by order of legal\), so it is not erased; nothing was changed"):
        vault.erase(["b", "a"])
    assert (vault.epoch, held(vault)) == (epoch, {"a": "case 7, by order of legal", "b": ""})
    vault.erase(["b"])
    vault.holds.lift(["a"])
    vault.erase(["a"])
    with pytest.raises(DestroyedError):
        vault.asset("a")


def test_a_hold_survives_other_changes_compaction_and_a_new_process(vault, desk, content_of, tmp_path):
    vault.holds.place(["a"], reason="first")
    vault.holds.place(["a"], reason="second")
    vault.erase(["b"])
    vault.compact()
    with desk.open() as again:
        assert [info.hold for info in again.assets()] == ["second", ""]
        with pytest.raises(StateError, match="on hold"):
            again.erase(["a"])
        again.unseal("a", tmp_path / "out")
        again.verify()
    assert content_of(tmp_path / "out") == content_of(desk.model)


@pytest.mark.parametrize("act", ["place", "lift"])
@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["x"], StoreError, "no asset 'x'"),
        ([], ValueError, "at least one"),
        ("a", TypeError, "must be several"),
        (["a", "x"], StoreError, "no asset 'x'"),
    ],
    ids=["unknown", "none", "one string", "one unknown"],
)
def test_odd_names_change_nothing(act, names, error, message, vault):
    epoch = vault.epoch
    with pytest.raises(error, match=message):
        vault.holds.place(names, reason="r") if act == "place" else vault.holds.lift(names)
    assert (vault.epoch, held(vault)) == (epoch, {"a": "", "b": ""})


def test_what_is_not_on_hold_cannot_be_lifted(vault):
    vault.holds.place(["a"], reason="r")
    with pytest.raises(StateError, match="'b' is not on hold"):
        vault.holds.lift(["a", "b"])
    assert held(vault) == {"a": "r", "b": ""}


@pytest.mark.parametrize("reason", ["", "r" * 501, "two\nlines", "\x1b[2J"])
def test_a_reason_is_one_printable_line(reason, vault):
    with pytest.raises(ValueError, match="1 to 500 printable characters"):
        vault.holds.place(["a"], reason=reason)
    vault.holds.place(["a"], reason="r" * 500)


def test_an_erased_asset_is_not_put_on_hold(vault):
    vault.erase(["a"])
    with pytest.raises(DestroyedError):
        vault.holds.place(["a"], reason="too late")


def test_holds_leave_evidence(vault, tmp_path):
    with evidence.Log(tmp_path / "log"):
        vault.holds.place(["a"], reason="case 7")
        with pytest.raises(StateError):
            vault.erase(["a"])
    heard = [(event.primitive.rpartition(".")[2], event.outcome, event.facts.get("reason")) for event in evidence.read(tmp_path / "log")]
    assert heard == [("place", "intent", "case 7"), ("place", "pass", "case 7"), ("erase", "fail", None)]
