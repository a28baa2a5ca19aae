# SPDX-License-Identifier: Apache-2.0
"""The map from names to slots: it grows by splitting pages, and an erased name is in no page that can be read."""

import attrs
import pytest

from erasure.conftest import in_memory
from lifeseal.erasure import _map, _pages
from lifeseal.erasure._change import found_vault, load
from lifeseal.erasure._layout import DESCRIPTION, OBJECTS, describe
from lifeseal.erasure._map import DIRECTORY, Kind, Mapped, NameMap
from lifeseal.erasure._nodes import CAPACITY, Head, State
from lifeseal.erasure._roots import Roots
from lifeseal.errors import LimitError, TamperedError
from lifeseal.testing import MemoryCell

VAULT = bytes(range(16))


class Place:
    """A vault's map with nothing around it."""

    def __init__(self, folder):
        self.folder, self.cell = folder, MemoryCell()
        (folder / OBJECTS).mkdir()
        (folder / DESCRIPTION).write_bytes(describe(VAULT, kind="memory", fingerprint=""))
        found_vault(Roots(folder=folder, vault=VAULT, holder=self.cell))

    def load(self):
        return load(self.folder, self.cell)

    def put(self, *records):
        """Put (name, slot) into the map, all in one epoch."""
        from lifeseal.erasure._change import commit

        state = self.load()
        for name, slot in records:
            state.names.put(record(state.names, name, slot))
        edits, head = state.names.edits(state.tree.head)
        state, _ = commit(state, edits, head, what="the map is changed")
        state.close()


def record(names, name, slot, *, kind=Kind.ASSET, body=None):
    return Mapped(tag=names.tag(name), kind=kind, slot=slot, generation=1, body=name.encode() * 3 if body is None else body)


@pytest.fixture
def place():
    with in_memory() as folder:
        yield Place(folder)


def test_an_empty_map_finds_nothing(place):
    with place.load() as state:
        assert state.names.find("a") is None
        assert list(state.names.records()) == []
        assert state.tree.slot(DIRECTORY).state is State.PAGE
        assert state.tree.head == Head(next_page=CAPACITY - 2)


def test_thousands_of_names_are_found_and_no_page_is_larger_than_its_bound(place):
    names = [f"name {number}" for number in range(6000)]
    place.put(*((name, number) for number, name in enumerate(names[:3000])))
    place.put(*((name, number + 3000) for number, name in enumerate(names[3000:])))
    with place.load() as state:
        assert [state.names.find(name).slot for name in names] == list(range(6000))
        assert state.names.find("name 6000") is None
        assert len(list(state.names.records())) == 6000
        pages = [slot for slot, found in list(state.tree.slots()) if found.state is State.PAGE and slot != DIRECTORY]
        assert len(pages) > 8
        assert all(len(state.tree.page(slot)) <= _pages.PAGE_LIMIT + 4096 for slot in pages)
        assert state.tree.head.next_page == min(pages)


def test_a_record_replaces_the_one_of_its_name(place):
    place.put(("a", 1), ("b", 2))
    place.put(("a", 7))
    with place.load() as state:
        assert [state.names.find(name).slot for name in "ab"] == [7, 2]


def test_many_records_are_replaced_in_one_epoch(place):
    from lifeseal.erasure._change import commit

    place.put(*((f"name {number}", number) for number in range(3000)))
    state = place.load()
    for number in range(0, 3000, 3):
        state.names.replace_later(record(state.names, f"name {number}", number, kind=Kind.GRAVE, body=bytes(8)))
    edits, head = state.names.edits(state.tree.head)
    state, _ = commit(state, edits, head, what="names are gone")
    with state:
        kinds = [state.names.find(f"name {number}").kind for number in range(3000)]
    assert kinds == [Kind.GRAVE if number % 3 == 0 else Kind.ASSET for number in range(3000)]


def test_fingerprints_of_names_differ_between_vaults(place):
    with in_memory() as folder, place.load() as state, Place(folder).load() as other:
        assert state.names.tag("a") != other.names.tag("a")
        assert state.names.tag("a") == state.names.tag("a")


def test_a_map_that_would_need_more_pages_than_the_directory_names_is_refused(place, monkeypatch):
    monkeypatch.setattr(_pages, "MAX_DEPTH", 2)
    with pytest.raises(LimitError, match="map: 5 pages, more than the limit of 4"):
        place.put(*((f"name {number}", number) for number in range(6000)))
    place.put(*((f"name {number}", number) for number in range(1000)))


def test_the_largest_directory_fits_into_a_page():
    from lifeseal.erasure._log import MAX_PAGE

    assert _pages.PEPPER + 1 + (4 << _pages.MAX_DEPTH) <= MAX_PAGE
    # Records of 40 bytes in pages three quarters full: names of that many assets.
    assert (1 << _pages.MAX_DEPTH) * _pages.PAGE_LIMIT * 3 // 4 // 300 > 16_000_000


@pytest.mark.parametrize(
    "bad",
    [b"", b"\0" * 4, bytes([0, 0, 0, 9, 0]) + bytes(9), bytes([0, 0, 0, 0, 99]), b"\xff" * 40],
    ids=["empty", "short", "record", "depth", "long"],
)
def test_a_page_of_another_form_is_refused(bad):
    with pytest.raises(TamperedError, match="no page of this version"):
        _pages.parse_page(bad, _map.NamePage, where="p")
    assert _pages.parse_page(_pages.page_bytes(_map.NamePage(depth=3)), _map.NamePage, where="p").depth == 3


@pytest.mark.parametrize("bad", [b"", bytes(33), bytes(32) + bytes([1]) + bytes(4), bytes(32) + bytes([99]) + bytes(400)])
def test_a_directory_of_another_form_is_refused(bad):
    with pytest.raises(TamperedError, match="no directory of this version"):
        _pages.parse_directory(bytearray(bad), where="d")


def test_a_page_reads_back_as_it_was_written():
    with NameMap(None) as names:
        records = {r.tag: r for r in (record(names, name, slot) for slot, name in enumerate("abc"))}
        page = _map.NamePage(depth=2, records=records)
        assert attrs.asdict(_pages.parse_page(_pages.page_bytes(page), _map.NamePage, where="p")) == attrs.asdict(page)
        assert len(_pages.page_bytes(page)) % 4096 == 0
