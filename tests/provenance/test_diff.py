# SPDX-License-Identifier: Apache-2.0
"""Differences are named down to the record, and only changed files are looked at."""

import datetime as dt
import gzip

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import provenance
from lifeseal.provenance import Records, _diff, diff

LINES = [b"line %d" % number for number in range(3000)]


@pytest.fixture
def recorded(tmp_path, description):
    def run(files, **options):
        folder = tmp_path / f"f{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, lines in files.items():
            data = lines if isinstance(lines, bytes) else b"".join(line + b"\n" for line in lines)
            (folder / name).write_bytes(data)
        stated = options.pop("description", description)
        return provenance.record(folder, description=stated, records=Records(leaves=tmp_path / "l"), **options)

    return run


def one(found):
    (change,) = found.changed
    return change.records


@pytest.mark.parametrize(
    ("second", "added", "removed", "changed", "moved"),
    [
        ([*LINES, b"x"], (3000,), (), (), False),
        ([b"x", *LINES], (0,), (), (), False),
        (LINES[:-1], (), (2999,), (), False),
        (LINES[1:], (), (0,), (), False),
        ([*LINES[:2000], b"x", *LINES[2001:]], (), (), ((2000, 2000),), False),
        ([b"x", *LINES[1:1500], *LINES[1501:], b"y"], (2999,), (1500,), ((0, 0),), False),
        ([*LINES[:5], b"x", b"y", *LINES[6:]], (6,), (), ((5, 5),), False),
        ([LINES[1], LINES[0], *LINES[2:]], (), (), (), True),
        ([LINES[0], *LINES], (1,), (), (), False),
        ([], (), tuple(range(3000)), (), False),
    ],
    ids=["appended", "put first", "last gone", "first gone", "changed", "several", "one becomes two", "moved", "doubled", "emptied"],
)
def test_changes_are_named_by_number(second, added, removed, changed, moved, recorded):
    found = one(diff(recorded({"a.txt": LINES}), recorded({"a.txt": second})))
    assert (found.added, found.removed, found.changed, found.moved) == (added, removed, changed, moved)


def test_files_that_came_and_went_are_named(recorded):
    found = diff(recorded({"a.txt": LINES, "b.bin": b"1", "c.txt": []}), recorded({"a.txt": LINES, "b.bin": b"2", "d.txt": []}))
    assert (found.added, found.removed) == (("d.txt",), ("c.txt",))
    assert [(change.path, change.records) for change in found.changed] == [("b.bin", None)]
    assert found


def test_equal_datasets_do_not_differ(recorded):
    found = diff(recorded({"a.txt": LINES}), recorded({"a.txt": LINES}))
    assert not found
    assert found == provenance.Difference(added=(), removed=(), changed=(), stated=())


def test_what_is_stated_differently_is_named(recorded, description):
    other = attrs.evolve(description, licence="MIT", retention="a year", obtained=description.obtained + dt.timedelta(days=1))
    assert diff(recorded({"a.txt": []}), recorded({"a.txt": []}, description=other)).stated == ("licence", "obtained", "retention")


def test_another_packing_of_the_same_records_is_no_change_of_records(recorded):
    text = b"\n".join(LINES)
    found = one(diff(recorded({"a.txt.gz": gzip.compress(text, 1)}), recorded({"a.txt.gz": gzip.compress(text, 9)})))
    assert not found
    assert found is not None


def test_records_are_compared_only_where_they_can_be(recorded):
    keys = [b"a key for the leaves", b"another key, long enough", None]
    made = [recorded({"a.txt": [b"%d" % number]}, leaf_key=key) for number, key in enumerate(keys)]
    assert [one(diff(made[a], made[b])) for a, b in ((0, 1), (0, 2), (2, 1))] == [None] * 3
    assert one(diff(made[0], recorded({"a.txt": [b"x"]}, leaf_key=keys[0]))).changed == ((0, 0),)


def test_only_changed_files_are_looked_at(recorded, tmp_path):
    first = recorded({"a.txt": LINES, "b.txt": [b"x"]})
    (tmp_path / "l" / f"{first.file('a.txt').records.leaves.hex()}.leaves").unlink()
    second = attrs.evolve(recorded({"a.txt": LINES, "b.txt": [b"y"]}))
    (tmp_path / "l" / f"{first.file('a.txt').records.leaves.hex()}.leaves").unlink()
    assert diff(first, second).changed[0].path == "b.txt"


def test_the_beginning_that_is_equal_is_not_read(recorded, monkeypatch):
    read = []
    real = _diff.LeafFile.chunk
    monkeypatch.setattr(_diff.LeafFile, "chunk", lambda self, number: read.append(number) or real(self, number))
    diff(recorded({"a.txt": LINES}), recorded({"a.txt": [*LINES, b"x"]}))
    assert set(read) == {2}


_lists = st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=12)


@given(_lists, _lists)
def test_taking_away_and_adding_what_is_named_leads_from_one_to_the_other(old, new):
    found = _diff._match(old, new, 0)
    kept_old = [leaf for number, leaf in enumerate(old) if number not in {*found.removed, *(a for a, _ in found.changed)}]
    kept_new = [leaf for number, leaf in enumerate(new) if number not in {*found.added, *(b for _, b in found.changed)}]
    assert sorted(kept_old) == sorted(kept_new)
    assert found.moved == (kept_old != kept_new)
    assert bool(found) == (old != new)
    assert not {old[number] for number in found.removed} & {new[number] for number in found.added}
