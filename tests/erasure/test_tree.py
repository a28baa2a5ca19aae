# SPDX-License-Identifier: Apache-2.0
"""The key tree and its log: what was put in is there, what was erased is not, and nothing that was ever written brings it back."""

import contextlib
import hashlib
import itertools
import struct

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from erasure.conftest import in_memory
from erasure.trees import VAULT, Grove, attack, frames_of, key_of, opened
from lifeseal._io import Secret
from lifeseal.erasure import HeldRoot
from lifeseal.erasure._change import open_tree
from lifeseal.erasure._log import BLOCK, LogReader, done_note
from lifeseal.erasure._nodes import CAPACITY, Slot, State
from lifeseal.erasure._tree import Edit, Tree
from lifeseal.errors import FormatError, LifesealError, TamperedError

SLOTS = [0, 1, 255, 256, 257, 65535, 65536, 1 << 23, CAPACITY - 2, CAPACITY - 1]


@pytest.fixture
def grove(tmp_path):
    return Grove(tmp_path)


def test_a_new_tree_has_no_slot_in_use(grove):
    with grove.tree() as tree:
        assert list(tree.slots()) == []
        assert tree.slot(CAPACITY - 1) == Slot(state=State.FREE, generation=0, epoch=0, place=0)
        with pytest.raises(TamperedError, match="slot 5 has no key"):
            tree.key(5)
        for number in (-1, CAPACITY):
            with pytest.raises(TamperedError, match="there is no slot"):
                tree.slot(number)


def test_slots_anywhere_get_keys_that_stay_and_differ(grove):
    for slot in SLOTS:
        grove.create(slot, slot + 1)
    with grove.tree() as tree:
        keys = {slot: key_of(tree, slot) for slot in SLOTS}
        assert len(set(keys.values())) == len(SLOTS)
        assert [slot for slot, _ in tree.slots()] == SLOTS
    grove.create(3, 4)
    with grove.tree() as tree:
        assert {slot: key_of(tree, slot) for slot in SLOTS} == keys


@pytest.mark.parametrize(("start", "stop"), [(0, 256), (0, 300), (200, 1000), (255, 257), (65530, 65792)])
def test_many_slots_are_made_in_one_epoch(grove, start, stop):
    grove.create(start, stop)
    with grove.tree() as tree:
        slots = dict(tree.slots())
        assert list(slots) == list(range(start, stop))
        assert set(slots.values()) == {Slot(state=State.LIVE, generation=1, epoch=2, place=0)}
        assert len({key_of(tree, slot) for slot in slots}) == stop - start


def test_erased_slots_say_when_and_the_others_keep_their_keys(grove):
    grove.create(0, 600)
    with grove.tree() as tree:
        keys = [key_of(tree, slot) for slot in range(600)]
    grove.erase(0, 255, 256, 599)
    with grove.tree() as tree:
        for slot in range(600):
            if slot in {0, 255, 256, 599}:
                assert tree.slot(slot) == Slot(state=State.ERASED, generation=1, epoch=3, place=2)
                with pytest.raises(TamperedError, match="no key"):
                    tree.key(slot)
            else:
                assert key_of(tree, slot) == keys[slot]


def test_a_slot_used_again_has_the_next_generation_and_another_key(grove):
    grove.create(7, 8)
    with grove.tree() as tree:
        first = key_of(tree, 7)
    grove.erase(7)
    grove.create(7, 8)
    with grove.tree() as tree:
        assert tree.slot(7) == Slot(state=State.LIVE, generation=2, epoch=4, place=0)
        assert key_of(tree, 7) != first


def test_a_reserved_slot_that_becomes_live_keeps_key_and_generation(grove):
    grove.change(Edit(start=7, stop=8, state=State.RESERVED))
    with grove.tree() as tree:
        key = key_of(tree, 7)
    grove.change(Edit(start=7, stop=8, state=State.LIVE))
    with grove.tree() as tree:
        assert (key_of(tree, 7), tree.slot(7).generation, tree.slot(7).state) == (key, 1, State.LIVE)


def test_a_page_is_read_back_and_its_old_content_is_not_reached(grove):
    for content in (b"first content", b"second"):
        grove.change(Edit(start=9, stop=10, state=State.PAGE, page=lambda content=content: content))
    with grove.tree() as tree, LogReader(grove.folder, 1, VAULT) as log:
        assert tree.page(9) == b"second"
        with grove.key.view() as root:
            assert attack([log], bytes(root)).pages == {9: {b"second"}}
        with pytest.raises(TamperedError, match="slot 10 holds no page"):
            tree.page(10)


def test_no_key_encrypts_two_frames(grove):
    """Over the whole history: every node that was ever in force opens under a key that opens nothing else."""
    grove.create(0, 300)
    grove.erase(5, 290)
    grove.create(70000, 70001)
    with grove.key.view() as root:
        roots = [*grove.roots, bytes(root)]
    with LogReader(grove.folder, 1, VAULT) as log:
        for key in roots:
            assert sum(1 for frame, offset in frames_of(log) if opened(log, frame, offset, key) is not None) == 1


def test_everything_ever_written_and_the_present_root_reach_every_live_key_and_no_other(tmp_path):
    """The adversary tries every frame of the whole history under every key it reaches, whatever the frames call themselves."""
    grove = Grove(tmp_path)
    grove.create(0, 260)
    grove.create(65536, 65540)
    once = {}

    def remember():
        with grove.tree() as tree:
            for slot, found in list(tree.slots()):
                if found.state is State.LIVE:
                    once[slot, found.generation] = key_of(tree, slot)

    remember()
    grove.erase(7)
    grove.erase(255, 256, 65537)
    grove.create(7, 8)
    remember()
    grove.erase(*range(20, 40))
    with grove.tree() as tree:
        live = {slot: {key_of(tree, slot)} for slot, found in list(tree.slots()) if found.state is State.LIVE}
    with LogReader(tmp_path, 1, VAULT) as log, grove.key.view() as root:
        found = attack([log], bytes(root), trust_headers=False)
        assert found.keys == live
        reached = set().union(*found.keys.values())
        gone = {key for (slot, _), key in once.items() if {key} != live.get(slot)}
        assert len(gone) == 24
        assert not gone & reached
        control = attack([log], grove.roots[-1])
        assert gone & set().union(*control.keys.values())


@pytest.mark.long
def test_the_adversary_at_full_size(tmp_path):
    """16 777 216 slots, then erasures here and there: the whole log and the present root reach all but the erased."""
    grove = Grove(tmp_path)
    grove.create(0, CAPACITY)
    gone = [0, 255, 256, 65535, 65536, 9_999_999, CAPACITY - 1]
    with grove.tree() as tree:
        keys = {slot: key_of(tree, slot) for slot in gone}
        kept = {slot + 3: key_of(tree, slot + 3) for slot in gone[:-1]}
    for slot in gone:
        grove.erase(slot)
    with LogReader(tmp_path, 1, VAULT) as log, grove.key.view() as root:
        found = reach_without_collecting(log, bytes(root), set(keys.values()), set(kept.values()))
    assert found == (CAPACITY - len(gone), set(), set(kept.values()))


def reach_without_collecting(log, root, gone, kept):
    """As `attack`, but counts the keys: 16 million of them do not fit into a set."""
    by_place = {}
    for frame, offset in frames_of(log):
        by_place.setdefault((frame.level, frame.index), []).append((frame, offset))
    count, bad, good = 0, set(), set()
    todo = [(0, 0, root)]
    while todo:
        level, index, key = todo.pop()
        for frame, offset in by_place.get((level, index), ()):
            plain = opened(log, frame, offset, key)
            if plain is None:
                continue
            entries = [bytes(plain[at : at + 32]) for at in range(0, 256 * 48, 48)]
            if level < 2:
                todo += [(level + 1, index * 256 + number, entry) for number, entry in enumerate(entries) if any(entry)]
            else:
                count += sum(1 for entry in entries if any(entry))
                bad |= gone.intersection(entries)
                good |= kept.intersection(entries)
    return count, bad, good


def test_every_flipped_byte_of_a_log_is_refused_or_was_dead(tmp_path, pytestconfig):
    """Each byte matters to a check without a key; what the present root needs is refused by a read, too."""
    grove = Grove(tmp_path)
    grove.create(3, 4)
    with grove.tree() as tree:
        key, commit = key_of(tree, 3), tree.commit
    good = grove.path.read_bytes()
    assert len(good) == commit.end
    assert whole_batches(tmp_path) == [2, 1]
    refused = 0
    step = 1 if pytestconfig.getoption("--long") else 41
    for position in range(0, len(good), step):
        grove.path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        assert whole_batches(tmp_path) != [2, 1]
        try:
            with grove.tree() as tree:
                assert key_of(tree, 3) == key
        except (TamperedError, AttributeError):  # the second where no batch of the epoch is left
            refused += 1
    assert refused > (commit.trailer - commit.start) // step - 100
    grove.path.write_bytes(good)
    assert whole_batches(tmp_path) == [2, 1]


def whole_batches(folder):
    with LogReader(folder, 1, VAULT) as log:
        try:
            return [batch.epoch for batch in log.batches()]
        except (FormatError, TamperedError):
            return []


@pytest.mark.parametrize("torn", [1, 511, 512, 600, 5000, 37000])
def test_a_torn_end_hides_nothing_that_was_whole(tmp_path, torn):
    grove = Grove(tmp_path)
    grove.create(0, 300)
    whole = grove.path.read_bytes()
    grove.erase(5)
    grove.path.write_bytes(grove.path.read_bytes()[: len(whole) + torn])
    with LogReader(tmp_path, 1, VAULT) as log:
        commit, newest, noted = log.find(2)
        assert (commit.epoch, commit.end, newest, noted) == (2, len(whole), commit, 0)
        assert log.find(3)[0] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"previous": 2**64 - 1},
        {"start": 2**64 - 1},
        {"root": 2**64 - 1},
        {"root": 0},
        {"epoch": 2**64 - 1},
        {"start": 512, "root": 512, "previous": 512},
        {"root": 700, "start": 0, "previous": 0},
    ],
    ids=str,
)
def test_a_planted_trailer_of_any_content_is_an_error_of_ours(tmp_path, fields):
    """Its checksum has no key: whoever writes to the folder can make it fit."""
    grove = Grove(tmp_path)
    grove.create(0, 3)
    good = grove.path.read_bytes()
    with grove.tree() as tree:
        last = attrs.asdict(tree.commit)
    forged = {**last, **fields}
    body = struct.pack(">16s16sQQQQ32s", b"lifeseal.batch/1", VAULT, forged["epoch"], forged["start"], forged["root"], forged["previous"], bytes(32))
    grove.path.write_bytes(good + (body + hashlib.sha256(body).digest()).ljust(512, b"\0"))
    for epoch in (2, 3):
        with HeldRoot(vault=VAULT, epoch=epoch, key=Secret.random()) as held, pytest.raises(LifesealError):
            open_tree(tmp_path, held)
    with LogReader(tmp_path, 1, VAULT) as log, contextlib.suppress(LifesealError):
        list(log.batches())
    grove.path.write_bytes(good)
    assert whole_batches(tmp_path) == [2, 1]


def test_a_note_that_a_batch_is_in_force_is_found_behind_it(tmp_path):
    grove = Grove(tmp_path)
    with grove.path.open("ab") as file:
        file.write(done_note(VAULT, 1))
    with LogReader(tmp_path, 1, VAULT) as log:
        commit, newest, noted = log.find(1)
        assert (commit.epoch, newest, noted, log.end_of(commit)) == (1, commit, 1, commit.end + BLOCK)


def test_a_batch_of_another_vault_is_none(tmp_path):
    grove = Grove(tmp_path)
    with LogReader(tmp_path, 1, bytes(16)) as log:
        assert log.find(1) == (None, None, 0)
    with grove.tree() as tree:
        assert tree.epoch == 1


def test_a_node_moved_within_its_log_does_not_open(tmp_path):
    """Two leaves swapped by somebody who may write: position, level and epoch are bound."""
    grove = Grove(tmp_path)
    grove.create(0, 1)
    grove.create(256, 257)
    data = bytearray(grove.path.read_bytes())
    with LogReader(tmp_path, 1, VAULT) as log:
        leaves = [(frame, offset) for frame, offset in frames_of(log) if frame.level == 2]
    (_, one), (_, other) = leaves[0], leaves[-1]
    size = 32 + 12288 + 16
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    grove.path.write_bytes(data)
    with grove.tree() as tree:
        for slot in (0, 256):
            with pytest.raises(TamperedError, match="not the frame that belongs there"):
                tree.key(slot)


class Model(RuleBasedStateMachine):
    """Any order of changes, against a dictionary."""

    places = st.sampled_from([0, 1, 254, 255, 256, 65535, 65536, 70000, CAPACITY - 1])

    def __init__(self):
        super().__init__()
        self.stack = in_memory()
        self.grove = Grove(self.stack.__enter__())
        self.state, self.keys = {}, {}

    @rule(slot=places, count=st.integers(1, 3))
    def create(self, slot, count):
        stop = min(slot + count, CAPACITY)
        self.grove.create(slot, stop)
        for number in range(slot, stop):
            self.state[number] = (State.LIVE, self.state.get(number, (None, 0))[1] + 1)
            self.keys.pop(number, None)

    @rule(slots=st.sets(places, min_size=1, max_size=4))
    def erase(self, slots):
        self.grove.erase(*slots)
        for number in slots:
            self.state[number] = (State.ERASED, self.state.get(number, (None, 0))[1])
            self.keys.pop(number, None)

    @invariant()
    def agrees(self):
        with self.grove.tree() as tree:
            assert {number: (slot.state, slot.generation) for number, slot in tree.slots()} == self.state
            for number, (state, _) in self.state.items():
                if state is State.LIVE:
                    key = key_of(tree, number)
                    assert self.keys.setdefault(number, key) == key
        assert len(set(self.keys.values())) == len(self.keys)

    def teardown(self):
        self.grove.key.close()
        self.stack.__exit__(None, None, None)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=15, stateful_step_count=12)


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(1, 300)), max_size=6))
@settings(max_examples=25)
def test_ranges_that_overlap_leaves_are_exact(ranges):
    with in_memory() as folder:
        grove = Grove(folder)
        wanted = set()
        for start, count in ranges:
            grove.create(start, start + count)
            wanted |= set(range(start, start + count))
        with grove.tree() as tree:
            assert [slot for slot, _ in tree.slots()] == sorted(wanted)
        grove.key.close()


def test_a_tree_that_is_closed_twice_is_no_error(grove):
    tree = grove.tree()
    tree.close()
    tree.close()
    assert isinstance(tree, Tree)


def test_nothing_is_read_beyond_the_capacity(grove):
    assert CAPACITY == 256**3 > 16_000_000
    pairs = itertools.pairwise(SLOTS)
    assert all(one < other for one, other in pairs)
    with grove.tree() as tree:
        assert tree.slot(CAPACITY - 1).state is State.FREE
