# SPDX-License-Identifier: Apache-2.0
"""People's records: each under its person's key, readable until the person is erased, and never after."""

import base64
import json
import re
import shutil
import threading

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erasure.conftest import in_memory
from erasure.test_adversary import Hoard, live_slots
from erasure.trees import attack
from lifeseal import evidence, principles
from lifeseal.erasure import ErasedSlot, FileRoot, Vault, _leaf_keys, _people, json_field
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    FormatError,
    LimitError,
    PendingError,
    RolledBackError,
    StateError,
    StoreError,
    TamperedError,
)
from lifeseal.testing import MemoryCell, MemoryWrapper

ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def vault():
    with in_memory() as folder, Vault.create(folder / "vault", root=MemoryCell()) as made:
        yield made


def test_a_record_comes_back_as_it_was(vault):
    sealed = vault.subjects.seal(ANN, b"a record")
    assert vault.subjects.unseal(sealed) == b"a record"
    assert len(sealed) == len(b"a record") + 56
    assert vault.subjects.unseal(vault.subjects.seal(BOB, b"")) == b""


def test_a_sealed_record_names_a_slot_and_no_person(vault):
    first, again, other = vault.subjects.seal(ANN, b"same"), vault.subjects.seal(ANN, b"same"), vault.subjects.seal(BOB, b"same")
    assert ANN.encode() not in first + again + other
    assert first != again
    assert vault.subjects.owner(first) == vault.subjects.owner(again) == ErasedSlot(slot=0, generation=1)
    assert vault.subjects.owner(other) == ErasedSlot(slot=1, generation=1)
    assert vault.subjects.slots([BOB, ANN]) == (vault.subjects.owner(other), vault.subjects.owner(first))


def test_many_records_come_back_in_order(vault, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._batches._RECORDS", 64)
    records = [(f"person {number % 37}", str(number).encode()) for number in range(1000)]
    sealed = list(vault.subjects.seal_many(iter(records)))
    assert list(vault.subjects.unseal_many(iter(sealed))) == [record for _, record in records]
    assert len({vault.subjects.owner(one) for one in sealed}) == 37
    assert vault.info().subjects == 37


def test_people_get_their_slots_in_one_change_and_keep_them(vault):
    before = vault.epoch
    assert vault.subjects.create_many(f"person {number}" for number in range(5000)) == 5000
    assert vault.epoch == before + 1
    slots = vault.subjects.slots(["person 3", "person 4999"])
    assert vault.subjects.create_many([f"person {number}" for number in range(4990, 5010)] * 2) == 10
    assert vault.subjects.create_many(["person 3"]) == 0
    assert vault.epoch == before + 2
    assert vault.subjects.slots(["person 3", "person 4999"]) == slots
    assert len(set(vault.subjects.slots(f"person {number}" for number in range(5010)))) == 5010


def test_an_erased_persons_records_are_destroyed_and_all_others_stay(vault):
    sealed = {person: vault.subjects.seal(person, person.encode()) for person in ("ann", "bob", "eve", "dan")}
    erasure = vault.subjects.erase(["bob", "dan"])
    assert erasure.epoch_after == erasure.epoch_before + 1 == vault.epoch
    assert erasure.slots == (ErasedSlot(slot=1, generation=1), ErasedSlot(slot=3, generation=1))
    for person, record in sealed.items():
        if person in {"bob", "dan"}:
            with pytest.raises(DestroyedError, match=rf"record 0: the person was erased at epoch {vault.epoch}; the key of slot \d, generation 1,"):
                vault.subjects.unseal(record)
        else:
            assert vault.subjects.unseal(record) == person.encode()
    info = vault.info()
    assert (info.subjects, info.forgotten, info.live, info.erased) == (2, 2, 0, 0)
    vault.verify()


def test_readers_skip_mark_or_refuse_the_erased(vault):
    sealed = list(vault.subjects.seal_many([("ann", b"1"), ("bob", b"2"), ("ann", b"3")]))
    vault.subjects.erase(["bob"])
    assert list(vault.subjects.unseal_many(sealed)) == [b"1", b"3"]
    assert list(vault.subjects.unseal_many(sealed, erased="mark")) == [b"1", None, b"3"]
    with pytest.raises(DestroyedError, match="record 1: the person was erased"):
        list(vault.subjects.unseal_many(sealed, erased="refuse"))
    with pytest.raises(ValueError, match="skip, mark or refuse, not 'keep'"):
        vault.subjects.unseal_many(sealed, erased="keep")


def test_whoever_is_unknown_stops_an_erasure_and_nothing_is_changed(vault):
    sealed = vault.subjects.seal(ANN, b"x")
    before = vault.epoch
    for people, message in {(ANN, "nobody"): r"1 of 2 people have no records here \(counted from 0: 1\)", ("a", "b"): r"2 of 2 .*: 0, 1\)"}.items():
        with pytest.raises(StoreError, match=message) as error:
            vault.subjects.erase(people)
        assert "nobody" not in str(error.value) + repr(error.value.__notes__ if hasattr(error.value, "__notes__") else "")
    with pytest.raises(StoreError, match=r"25 of 25 .*8, 9, …"):
        vault.subjects.slots(f"person {number}" for number in range(25))
    assert vault.epoch == before
    assert vault.subjects.unseal(sealed) == b"x"


def test_who_was_erased_is_unknown_the_second_time(vault):
    vault.subjects.seal(ANN, b"x")
    vault.subjects.erase([ANN])
    with pytest.raises(StoreError, match="they never had, or were erased; nothing was changed"):
        vault.subjects.erase([ANN])


def test_who_comes_back_after_an_erasure_gets_another_slot(vault):
    old = vault.subjects.seal(ANN, b"old")
    pseudonym = vault.subjects.pseudonym(ANN)
    assert vault.subjects.erase([ANN]).pseudonyms == (pseudonym,)
    new = vault.subjects.seal(ANN, b"new")
    assert vault.subjects.owner(new) != vault.subjects.owner(old)
    assert list(vault.subjects.unseal_many([old, new], erased="mark")) == [None, b"new"]
    assert vault.subjects.pseudonym(ANN) == pseudonym


def test_a_pseudonym_is_the_vaults_own(vault):
    vault.subjects.seal(ANN, b"x")
    with in_memory() as folder, Vault.create(folder / "vault", root=MemoryCell()) as other:
        with pytest.raises(StoreError, match="never held records of people"):
            other.subjects.pseudonym(ANN)
        other.subjects.seal(ANN, b"x")
        assert other.subjects.pseudonym(ANN) != vault.subjects.pseudonym(ANN)
    assert re.fullmatch("[0-9a-f]{32}", vault.subjects.pseudonym(ANN))


def test_an_asset_and_a_person_of_one_name_are_two(vault, tmp_path):
    (tmp_path / "a").write_bytes(b"asset")
    vault.seal(tmp_path / "a", "ann").close()
    sealed = vault.subjects.seal("ann", b"record")
    vault.erase(["ann"])
    assert vault.subjects.unseal(sealed) == b"record"
    vault.seal(tmp_path / "a", "ann").close()
    vault.subjects.erase(["ann"])
    vault.asset("ann").close()
    vault.verify()
    assert [info.state for info in vault.assets()] == ["live"]


@pytest.mark.parametrize("bad", ["", "x" * 1025, "half \ud800", 7, b"ann"])
def test_what_is_no_id_is_refused_and_not_repeated(vault, bad):
    for call in (
        lambda: vault.subjects.seal(bad, b""),
        lambda: vault.subjects.create_many(["fine", bad]),
        lambda: list(vault.subjects.seal_many([(bad, b"")])),
        lambda: vault.subjects.erase([bad]),
        lambda: vault.subjects.slots([bad]),
        lambda: vault.subjects.pseudonym(bad),
    ):
        with pytest.raises(ValueError, match=r"person \d+ \(counted from 0\): an id has 1 to 1024 characters of valid Unicode$"):
            call()
    assert vault.info().subjects == 0


def test_people_to_erase_are_given_several_and_each_once(vault):
    vault.subjects.seal("ann", b"")
    with pytest.raises(TypeError, match="several"):
        vault.subjects.erase("ann")
    with pytest.raises(ValueError, match="each once"):
        vault.subjects.erase(["ann", "ann"])
    with pytest.raises(ValueError, match="each once"):
        vault.subjects.erase([])
    with pytest.raises(LimitError, match="50001 people"):
        vault.subjects.erase(map(str, range(50_001)))


def test_a_record_too_large_for_a_line_is_refused(vault, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._sealed.MAX_PLAIN", 10)
    vault.subjects.seal("ann", bytes(10))
    with pytest.raises(LimitError, match="a record: 11 bytes, more than the limit of 10"):
        vault.subjects.seal("ann", bytes(11))


def test_every_bit_of_a_sealed_record_matters(vault):
    vault.subjects.create_many(["ann", "bob", "eve"])
    sealed = vault.subjects.seal("bob", b"four")
    vault.subjects.erase(["eve"])
    for place in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            wanted = FormatError if place < 4 else CredentialError if place < 20 else (TamperedError, DestroyedError)
            with pytest.raises(wanted):
                vault.subjects.unseal(bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises((FormatError, TamperedError)):
            vault.subjects.unseal(sealed[:length])
    assert vault.subjects.unseal(sealed) == b"four"


@pytest.fixture(scope="module")
def kept():
    with in_memory() as folder, Vault.create(folder / "vault", root=MemoryCell()) as made:
        made.subjects.create_many(["ann"])
        yield made


@given(record=st.binary(max_size=200), person=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_any_record_of_anybody_comes_back(kept, record, person):
    assert kept.subjects.unseal(kept.subjects.seal(person, record)) == record


@given(data=st.binary(max_size=120), head=st.sampled_from([b"", b"LSR1", b'{"lifeseal.sealed/1":"', b"{"]), end=st.sampled_from([b"", b'"}']))
@settings(max_examples=200, deadline=None)
def test_whatever_is_no_sealed_record_is_an_error_of_ours(kept, data, head, end):
    for odd in (head + data + end, head + bytes.fromhex(kept.id) + data, b'{"lifeseal.sealed/1":"' + base64.b64encode(head + data) + b'"}'):
        with pytest.raises((FormatError, CredentialError, TamperedError, DestroyedError)):
            kept.subjects.unseal(odd)


def test_a_record_opens_in_its_own_place_alone(vault, tmp_path):
    sealed = vault.subjects.seal("ann", b"x")
    bob = vault.subjects.seal("bob", b"y")
    with pytest.raises(TamperedError, match="does not authenticate"):
        vault.subjects.unseal(bob[:28] + sealed[28:])
    with in_memory() as folder, Vault.create(folder / "vault", root=MemoryCell()) as other:
        other.subjects.seal("ann", b"x")
        with pytest.raises(CredentialError, match=f"was sealed in vault {vault.id}"):
            other.subjects.unseal(sealed)
        renamed = sealed[:4] + bytes.fromhex(other.id) + sealed[20:]
        with pytest.raises(TamperedError, match="does not authenticate"):
            other.subjects.unseal(renamed)
    (tmp_path / "a").write_bytes(b"asset")
    with vault.seal(tmp_path / "a", "asset") as asset:
        slot = asset.slot.to_bytes(4, "big")
    with pytest.raises(TamperedError, match="does not authenticate"):
        vault.subjects.unseal(sealed[:20] + slot + sealed[24:])
    for odd in (b"\0\0\1\0", b"\0\xff\xff\xff", b"\1\0\0\0", b"\xff\xff\xff\xff"):  # free, the directory, beyond the last, and far beyond
        with pytest.raises(TamperedError, match="a slot that was no person's"):
            vault.subjects.unseal(sealed[:20] + odd + sealed[24:])


def test_people_erased_under_a_stream_do_not_come_back_by_its_end(vault, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._batches._RECORDS", 2)
    records = [("ann", b"1"), ("bob", b"2"), ("ann", b"3"), ("bob", b"4"), ("new", b"5"), ("bob", b"6")]
    stream = vault.subjects.seal_many(iter(records))
    sealed = [next(stream) for _ in range(2)]
    vault.subjects.erase(["ann"])
    with pytest.raises(StateError, match="people were erased while records were sealed"):
        next(stream)
    assert list(vault.subjects.unseal_many(sealed, erased="mark")) == [None, b"2"]
    assert (vault.info().subjects, vault.info().forgotten) == (1, 1)
    stream = vault.subjects.seal_many(iter(records[3:]))
    next(stream)
    vault.subjects.create_many(["other"])  # who comes meanwhile stops nobody
    assert len(list(stream)) == 2


def test_records_in_flight_are_read_until_the_next_batch_and_no_longer(vault, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._batches._RECORDS", 3)
    sealed = list(vault.subjects.seal_many([("ann", str(number).encode()) for number in range(9)]))
    with Vault.open(vault._session.folder, root=vault._session.holder) as other:
        stream = other.subjects.unseal_many(iter(sealed))
        assert next(stream) == b"0"
        vault.subjects.erase(["ann"])
        assert list(stream) == [b"1", b"2"]


def test_a_person_erased_by_another_thread_is_sealed_before_or_refused(vault):
    vault.subjects.create_many(map(str, range(50)))
    stop = threading.Event()
    seen, faults = [], []

    def seal():
        while not stop.is_set():
            try:
                seen.extend(vault.subjects.seal_many((str(number), b"r") for number in range(50)))
            except StateError as error:
                faults.append(error)

    thread = threading.Thread(target=seal)
    thread.start()
    for number in range(0, 50, 10):
        vault.subjects.erase([str(number)])
    stop.set()
    thread.join()
    opened = list(vault.subjects.unseal_many(seen, erased="mark"))
    assert set(opened) <= {b"r", None}
    vault.verify()


class Stubborn(MemoryWrapper):
    """Does not let go of an old key version."""

    stubborn = False

    def destroy(self, version):
        if self.stubborn:
            raise StoreError("not now")
        return super().destroy(version)


def test_an_erasure_that_is_not_final_is_pending(tmp_path):
    holder = Stubborn()
    with Vault.create(tmp_path / "vault", root=holder) as vault:
        sealed = vault.subjects.seal(ANN, b"x")
        holder.stubborn = True
        with pytest.raises(PendingError):
            vault.subjects.erase([ANN])
        with (
            Vault.open(tmp_path / "vault", root=holder) as again,
            pytest.raises(PendingError, match="the person was erased, but not everything older"),
        ):
            again.subjects.unseal(sealed)
        holder.stubborn = False
        vault.subjects.create_many([BOB])
        with pytest.raises(DestroyedError):
            vault.subjects.unseal(sealed)


def test_a_vault_without_slots_left_refuses_people_and_stays_as_it_is(vault, monkeypatch):
    vault.subjects.create_many(["ann"])
    before = vault.epoch
    monkeypatch.setattr(_people.PeopleMap, "edits", lambda _, head: ([], attrs.evolve(head, next_page=head.next_slot - 1)))
    with pytest.raises(LimitError, match="slots"):
        vault.subjects.create_many(["bob"])
    monkeypatch.undo()
    assert vault.epoch == before
    assert vault.subjects.create_many(["bob"]) == 1
    vault.verify()


def test_a_compacted_vault_holds_its_people(vault):
    sealed = list(vault.subjects.seal_many([(f"person {number}", b"x") for number in range(300)]))
    vault.subjects.erase([f"person {number}" for number in range(0, 300, 2)])
    vault.compact()
    assert list(vault.subjects.unseal_many(sealed, erased="mark")) == [None, b"x"] * 150
    vault.verify()


def test_no_byte_that_was_written_names_a_person(desk, tmp_path):
    log = tmp_path / "events.jsonl"
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"who": person, "n": n}) + "\n" for n, person in enumerate([ANN, BOB, "nobody@x"])))
    with evidence.Log(log), desk.create() as vault:
        subjects = vault.subjects
        subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", id_field="who")
        sealed = subjects.seal(ANN, b"a record")
        keys = subjects.leaf_keys(json_field("who"))
        keys(b'{"who": "bob@example.org"}')
        subjects.erase([ANN, BOB])
        for call in (lambda: subjects.erase([ANN]), lambda: subjects.unseal(sealed), lambda: subjects.slots([BOB]), lambda: keys(b"{}")):
            with pytest.raises((StoreError, DestroyedError, FormatError)) as error:
                call()
            assert not re.search("ann|bob|example", str(error.value).replace(str(tmp_path), ""))
        vault.compact()
    (tmp_path / "in.jsonl").unlink()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    for path in written:
        for person in (ANN, BOB, "nobody@x"):
            assert person.encode() not in path.read_bytes(), path
    events = [event for event in evidence.read(log) if event.primitive.endswith("Subjects.erase")]
    assert [event.outcome for event in events] == ["intent", "pass", "fail"]
    assert events[0].facts["slots"] == ("0:1", "1:1")
    assert events[1].facts["people"] == 2
    assert events[1].facts["epoch_after"] == events[1].facts["epoch"] + 1


def test_what_cannot_be_logged_is_not_erased(vault):
    class Full:
        def emit(self, event):
            if event.outcome == "intent":
                raise OSError(28, "log is full")

    sealed = vault.subjects.seal(ANN, b"x")
    with principles.sink_for_block(Full()), pytest.raises(OSError, match="log is full"):
        vault.subjects.erase([ANN])
    assert vault.subjects.unseal(sealed) == b"x"


def test_everything_ever_written_and_the_present_root_reach_no_erased_person(desk, tmp_path):
    (tmp_path / "hoard").mkdir()
    hoard = Hoard(desk.folder, tmp_path / "hoard")
    with desk.create() as vault:
        identity = bytes.fromhex(vault.id)
        vault.subjects.create_many(map(str, range(40)))
        tags = [vault._session.current().people.tags(map(str, range(40)))][0]
        hoard.keep()
        before = live_slots(desk)
        doomed = [entry.slot for entry in vault.subjects.slots(map(str, range(0, 40, 3)))]
        vault.subjects.erase(map(str, range(0, 40, 3)))
        hoard.keep()
        vault.compact()
        hoard.keep()
    with desk.root.read() as held:
        root = bytes(held.key.view())
    found = attack(hoard.logs(identity), root, vault=identity, trust_headers=False)
    reached = set().union(*found.keys.values())
    for slot, keys in before.items():
        assert bool(keys & reached) == (slot not in doomed)
    pages = b"".join(content for contents in found.pages.values() for content in contents)
    assert [tag in pages for tag in tags] == [number % 3 != 0 for number in range(40)]


def test_an_erasure_rewrites_two_paths(vault):
    vault.subjects.create_many(map(str, range(3000)))
    log = vault._session.folder / "log-0000000000000001"
    before = log.stat().st_size
    vault.subjects.erase(["1234"])
    node, page = 12_288 + 48, 32_768 + 4096 + 48
    assert log.stat().st_size - before <= 5 * node + page + 4 * 512  # two leaves, their parents, the root; one page


def test_a_vault_restored_from_before_an_erasure_opens_nothing_of_it(tmp_path):
    root = FileRoot(tmp_path / "root")
    with Vault.create(tmp_path / "vault", root=root) as vault:
        sealed = vault.subjects.seal(ANN, b"x")
        shutil.copytree(tmp_path / "vault", tmp_path / "backup")
        vault.subjects.erase([ANN])
        with pytest.raises(DestroyedError):
            vault.subjects.unseal(sealed)
    with pytest.raises(RolledBackError):
        Vault.open(tmp_path / "backup", root=root)


def test_a_leaf_key_is_the_persons_and_goes_with_the_slot(vault, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_leaf_keys.time, "monotonic", lambda: now[0])
    keys = vault.subjects.leaf_keys(json_field("who"))
    with pytest.raises(StoreError, match="no records here"):
        keys(b'{"who": "ann"}')
    vault.subjects.create_many(["ann", "bob", "7"])
    ann = keys(b'{"who": "ann", "n": 1}')
    assert ann == keys(b'{"n": 2, "who": "ann"}')
    assert len({ann, keys(b'{"who": "bob"}'), keys(b'{"who": 7}')}) == 3
    assert len(ann) == 32
    vault.subjects.erase(["ann"])
    now[0] = 10.0
    with pytest.raises(StoreError, match="they never had, or were erased"):
        keys(b'{"who": "ann"}')
    keys(b'{"who": "bob"}')


@pytest.mark.parametrize(
    "bad", [b"", b"[]", b"{}", b'{"who": null}', b'{"who": true}', b'{"who": ""}', b'{"who": 1.5}', b'{"who":"a","who":"b"}', b"\xff"]
)
def test_a_record_that_names_nobody_is_refused_and_not_repeated(bad):
    with pytest.raises(FormatError) as error:
        json_field("who")(bad)
    assert str(error.value).startswith("a record")
    assert json_field("who")(b'{"who": 12, "x": 1.5}') == "12"


def test_pages_of_people_split_and_find_everybody():
    page = _people.PeoplePage(depth=0)
    places = {bytes([number]) * 16: _people.Place(number, 1) for number in range(256)}
    for tag, place in places.items():
        page.add(tag, place.slot, place.generation)
    page.depth = 1
    other = _people.PeoplePage(depth=1)
    page.move_upper(other)
    assert {place.slot for place in page.places()} == set(range(128))
    assert {place.slot for place in other.places()} == set(range(128, 256))
    other.discard(bytes([200]) * 16)
    other.discard(bytes([200]) * 16)
    assert other.find(bytes([200]) * 16) is None
    assert other.find(bytes([201]) * 16) == _people.Place(201, 1)
    assert page.find(bytes([201]) * 16) is None
    assert not _people.PeoplePage(depth=0).take(bytes(25))


def test_a_fingerprint_across_two_records_is_none():
    page = _people.PeoplePage(depth=0)
    page.add(b"a" * 16, 0x61616161, 0x61616161)
    page.add(b"b" * 16, 2, 1)
    assert page.find(b"a" * 8 + b"b" * 8) is None
    assert page.find(b"b" * 16) == _people.Place(2, 1)
