# SPDX-License-Identifier: Apache-2.0
"""A hold refuses an erasure, says why, and survives whatever else happens to the vault."""

import pytest

from lifeseal import evidence
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import DestroyedError, LimitError, StateError, StoreError


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


@pytest.fixture
def people(vault):
    vault.subjects.create_many(["ann", "bob", "eve"])
    return vault


def test_who_is_on_hold_is_not_erased_and_nobody_beside(people):
    people.holds.place_people(["bob"], reason="case 7")
    assert people.holds.people(["ann", "bob"]) == ("", "case 7")
    epoch = people.epoch
    with pytest.raises(StateError, match=r"person 1 of those given \(counted from 0\) is on hold \(case 7\), so nobody is erased") as refusal:
        people.subjects.erase(["ann", "bob"])
    assert "bob" not in str(refusal.value)
    assert (people.epoch, people.info().subjects) == (epoch, 3)
    people.subjects.erase(["ann"])
    people.holds.lift_people(["bob"])
    people.subjects.erase(["bob"])
    assert people.info().subjects == 1


def test_a_hold_on_everybody_is_on_those_too_who_come_later(people):
    people.holds.place_people(["ann"], reason="her own")
    people.holds.place_people(None, reason="preserve")
    people.subjects.create_many(["late"])
    assert people.holds.people(["late", "ann"]) == ("preserve", "her own")
    with pytest.raises(StateError, match="preserve"):
        people.subjects.erase(["late"])
    people.holds.lift_people(None)
    people.subjects.erase(["late"])
    with pytest.raises(StateError, match="her own"):
        people.subjects.erase(["ann"])


def test_a_hold_on_a_person_survives_other_changes_compaction_a_move_and_a_new_process(people, desk, tmp_path):
    people.holds.place_people(["ann"], reason="case 7")
    people.subjects.erase(["bob"])
    people.compact()
    (tmp_path / "elsewhere").mkdir()
    home = FileRoot(tmp_path / "elsewhere/root")
    people.rehome(home)
    people.close()
    with Vault.open(desk.folder, root=home) as again:
        assert again.holds.people(["ann"]) == ("case 7",)
        with pytest.raises(StateError, match="case 7"):
            again.subjects.erase(["ann"])
        again.holds.lift_people(["ann"])
        again.subjects.erase(["ann"])
        again.verify()


@pytest.mark.parametrize("act", ["place", "lift"])
@pytest.mark.parametrize(
    ("subjects", "error", "message"),
    [
        (["nobody"], StoreError, "1 of 1 people have no records here"),
        ([], ValueError, "at least one person"),
        ("ann", TypeError, "must be several"),
        (["ann", ""], ValueError, "person 1 "),
    ],
    ids=["unknown", "none", "one string", "no id"],
)
def test_odd_people_change_nothing(act, subjects, error, message, people):
    epoch = people.epoch
    with pytest.raises(error, match=message) as refusal:
        people.holds.place_people(subjects, reason="r") if act == "place" else people.holds.lift_people(subjects)
    assert (people.epoch, "nobody" in str(refusal.value)) == (epoch, False)


def test_who_is_not_on_hold_cannot_be_lifted(people):
    people.holds.place_people(["ann"], reason="r")
    with pytest.raises(StateError, match=r"person 1 of those given \(counted from 0\) is not on hold"):
        people.holds.lift_people(["ann", "bob"])
    with pytest.raises(StateError, match="the people are not on hold"):
        people.holds.lift_people(None)
    assert people.holds.people(["ann", "bob"]) == ("r", "")


def test_a_thousand_people_can_be_on_hold_by_themselves(people, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._holds._MAX_PEOPLE", 2)
    people.holds.place_people(["ann", "bob"], reason="r")
    with pytest.raises(LimitError, match="holds on single people"):
        people.holds.place_people(["eve"], reason="r")
    with pytest.raises(ValueError, match="1 to 500 printable"):
        people.holds.place_people(["ann"], reason="\x1b[2J")


def test_a_vault_without_people_has_nobody_on_hold(vault):
    with pytest.raises(StoreError, match="never held records of people"):
        vault.holds.people(["ann"])


def test_holds_on_people_leave_evidence_without_ids(people, tmp_path):
    with evidence.Log(tmp_path / "log"):
        people.holds.place_people(["ann"], reason="case 7")
    heard = [(event.outcome, event.facts["reason"], event.facts["people"]) for event in evidence.read(tmp_path / "log")]
    assert heard == [("intent", "case 7", (people.subjects.pseudonym("ann"),)), ("pass", "case 7", (people.subjects.pseudonym("ann"),))]
    assert b"ann" not in (tmp_path / "log").read_bytes()
