# SPDX-License-Identifier: Apache-2.0
"""Records that are read again: none that differs is handed out, and the first that does is named."""

import contextlib
import gzip
import itertools
import pickle

import attrs
import pytest

from lifeseal import evidence, provenance
from lifeseal.errors import CredentialError, DigestMismatchError, FormatError, TamperedError
from lifeseal.provenance import CheckedRecords, Manifest, Records, checked

KEY = b"a key for the leaves"
LINES = [b'{"n":%d}' % number for number in range(3000)]
SHARDS = {
    "a.jsonl": LINES[:1500],
    "b.jsonl": LINES[1500:1510],
    "c.csv": [b"id,text", b'1,"x\ny"', b"2,z"],
    "d.txt": [],
    "e.jsonl": LINES[1510:],
}
EVERY = list(itertools.chain.from_iterable(SHARDS.values()))


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for name, records in SHARDS.items():
        (folder / name).write_bytes(b"".join(record + b"\n" for record in records))
    (folder / "notes.bin").write_bytes(b"no records")
    return folder


@pytest.fixture
def recorded(shards, tmp_path, description):
    return provenance.record(shards, description=description, records=Records(leaves=tmp_path / "leaves"))


def test_all_records_come_in_order(recorded, shards):
    assert list(checked(recorded, shards)) == EVERY


def test_a_manifest_from_a_file_finds_its_leaf_files(recorded, shards, tmp_path):
    recorded.write(tmp_path / "m.json")
    (tmp_path / "leaves").rename(tmp_path / "m.json.leaves")
    assert list(checked(Manifest.load(tmp_path / "m.json"), shards)) == EVERY
    (tmp_path / "m.json.leaves").rename(tmp_path / "moved")
    assert list(checked(Manifest.load(tmp_path / "m.json", leaves=tmp_path / "moved"), shards)) == EVERY
    with pytest.raises(FileNotFoundError, match=r"\.leaves"):
        checked(Manifest.load(tmp_path / "m.json"), shards)
    with pytest.raises(FormatError, match="the folder of its leaf files is not known"):
        checked(Manifest.from_bytes(recorded.to_bytes()), shards)


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 64, 5000])
def test_parts_make_up_the_whole_and_are_nearly_equal(parts, recorded, shards):
    found = [list(checked(recorded, shards, part=(index, parts))) for index in (range(parts) if parts < 100 else (0, 1, parts - 1))]
    if parts < 100:
        assert list(itertools.chain.from_iterable(found)) == EVERY
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize("start", [0, 1, 1023, 1024, 1499, 1500, 1509, 1511, 2000, 3003])
def test_reading_goes_on_where_it_stopped(start, recorded, shards):
    assert list(checked(recorded, shards, start=start)) == EVERY[start:]
    half = list(checked(recorded, shards, part=(1, 2)))
    assert list(checked(recorded, shards, part=(1, 2), start=min(start, len(half)))) == half[start:]


def test_compressed_files_go_on_too(tmp_path, description):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(LINES)))
    made = provenance.record(path, description=description, records=Records(leaves=tmp_path / "l"))
    assert list(checked(made, path)) == LINES
    assert list(checked(made, path, start=2500)) == LINES[2500:]
    assert list(checked(made, path, part=(2, 3))) == LINES[2000:]


@pytest.mark.parametrize(("start", "part"), [(-1, (0, 1)), (3004, (0, 1)), (2, (0, 5000)), (0, (1, 1)), (0, (-1, 2)), (0, (0, 0))])
def test_places_outside_are_refused(start, part, recorded, shards):
    with pytest.raises(ValueError, match=r"(start|part)= is"):
        checked(recorded, shards, start=start, part=part)


def test_without_records_there_is_nothing_to_check(data, manifest):
    with pytest.raises(FormatError, match="no records were recorded"):
        checked(manifest, data)
    with pytest.raises(FormatError, match="no records were recorded"):
        CheckedRecords.open(manifest, data)


def edit(shards, name, change):
    lines = (shards / name).read_bytes().split(b"\n")
    (shards / name).write_bytes(b"\n".join(change(lines)))


FAULTS = {
    "changed": (lambda lines: [*lines[:1200], b"{}", *lines[1201:]], 1200),
    "first changed": (lambda lines: [b"{}", *lines[1:]], 0),
    "last changed": (lambda lines: [*lines[:1499], b"{}", b""], 1499),
    "moved": (lambda lines: [*lines[:7], lines[8], lines[7], *lines[9:]], 7),
    "added": (lambda lines: [*lines[:9], b"{}", *lines[9:]], 9),
    "added at the end": (lambda lines: [*lines[:-1], b"{}", b""], 1500),
    "dropped": (lambda lines: [*lines[:11], *lines[12:]], 11),
    "dropped at the end": (lambda lines: [*lines[:-2], b""], 1499),
    "cut within a record": (lambda lines: [*lines[:800], lines[800][:4]], 800),
    "all gone": (lambda _: [], 0),
    "not UTF-8": (lambda lines: [*lines[:5], b"\xff", *lines[6:]], 5),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_wrong_record_is_named_when_all_before_it_are_out(fault, recorded, shards):
    change, wrong = FAULTS[fault]
    edit(shards, "a.jsonl", change)
    out = []
    with pytest.raises(DigestMismatchError) as caught:
        out.extend(checked(recorded, shards))
    assert out == EVERY[:wrong]
    assert (caught.value.changed, caught.value.record) == (("a.jsonl",), wrong)
    assert f"record {wrong} is the first that differs" in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("start", [700, 1100])
def test_what_lies_before_the_start_is_not_compared_and_nothing_wrong_comes_out(fault, start, recorded, shards):
    change, wrong = FAULTS[fault]
    edit(shards, "a.jsonl", change)
    out = []
    with contextlib.suppress(DigestMismatchError):
        out.extend(checked(recorded, shards, start=start))
        assert wrong < start
        assert len(out) == len(EVERY) - start
    assert out == EVERY[start : start + len(out)]


def test_swapped_shards_are_found(recorded, shards):
    for old, new in (("a.jsonl", "x"), ("e.jsonl", "a.jsonl"), ("x", "e.jsonl")):
        (shards / old).rename(shards / new)
    with pytest.raises(DigestMismatchError) as caught:
        list(checked(recorded, shards))
    assert (caught.value.changed, caught.value.record) == (("a.jsonl",), 0)


def test_records_in_a_file_that_had_none_are_found(recorded, shards):
    (shards / "d.txt").write_bytes(b"new\n")
    with pytest.raises(DigestMismatchError) as caught:
        list(checked(recorded, shards))
    assert (caught.value.changed, caught.value.record) == (("d.txt",), 0)


def test_a_part_looks_at_its_own_records_alone(recorded, shards):
    edit(shards, "a.jsonl", FAULTS["changed"][0])
    assert list(checked(recorded, shards, part=(1, 2))) == EVERY[1506 - 5 :]


def test_a_missing_file_is_an_error_of_the_system(recorded, shards):
    (shards / "b.jsonl").unlink()
    with pytest.raises(FileNotFoundError):
        list(checked(recorded, shards))


def test_a_leaf_file_that_was_changed_is_found(recorded, shards, tmp_path):
    path = tmp_path / "leaves" / f"{recorded.file('e.jsonl').records.leaves.hex()}.leaves"
    good = path.read_bytes()
    path.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    out = []
    with pytest.raises(TamperedError, match="leaves 0 to 1023 were changed"):
        out.extend(checked(recorded, shards))
    assert out == EVERY[:1513]
    path.write_bytes(good[:-1])
    with pytest.raises(TamperedError, match="not the size"):
        checked(recorded, shards)


def test_the_right_key_is_needed(shards, tmp_path, description, recorded):
    keyed = provenance.record(shards, description=description, records=Records(leaves=tmp_path / "k"), leaf_key=KEY)
    assert list(checked(keyed, shards, leaf_key=KEY)) == EVERY
    assert list(checked(keyed, shards, leaf_key=lambda _: KEY)) == EVERY
    with pytest.raises(CredentialError, match="this is not the leaf key"):
        checked(keyed, shards, leaf_key=b"another key, long enough")
    with pytest.raises(CredentialError, match="recorded with a leaf key"):
        checked(keyed, shards)
    with pytest.raises(CredentialError, match="recorded without a leaf key"):
        checked(recorded, shards, leaf_key=KEY)
    with CheckedRecords.open(keyed, shards, leaf_key=KEY) as records:
        assert records[5] == EVERY[5]
        with pytest.raises(TypeError, match="cannot be sent"):
            pickle.dumps(records)


def test_a_refusal_is_an_event(recorded, shards, tmp_path):
    edit(shards, "a.jsonl", FAULTS["changed"][0])
    with evidence.Log(tmp_path / "log"):
        with pytest.raises(DigestMismatchError):
            list(checked(recorded, shards))
        with CheckedRecords.open(recorded, shards) as records, pytest.raises(DigestMismatchError):
            records[1200]
    found = [(event.primitive, event.outcome, event.error, event.facts.get("record")) for event in evidence.read(tmp_path / "log")]
    for name in ("checked", "CheckedRecords.open"):
        assert (f"lifeseal.provenance.{name}", "pass", "", None) in [(*entry[:3], None) for entry in found]
        assert (f"lifeseal.provenance.{name}", "fail", "DigestMismatchError", 1200) in found


def test_any_record_can_be_had(recorded, shards):
    with CheckedRecords.open(recorded, shards) as records:
        assert len(records) == len(EVERY)
        for number in (0, 1, 1023, 1024, 1499, 1500, 1511, 1512, 2000, 3002, -1, -3003):
            assert records[number] == EVERY[number]
        with pytest.raises(IndexError):
            records[3003]
        with pytest.raises(IndexError):
            records[-3004]
        assert list(pickle.loads(pickle.dumps(records))) == EVERY


def test_a_wrong_record_is_not_handed_out(recorded, shards):
    edit(shards, "a.jsonl", FAULTS["changed"][0])
    with CheckedRecords.open(recorded, shards) as records:
        assert records[1199] == EVERY[1199]
        with pytest.raises(DigestMismatchError) as caught:
            records[1200]
        assert (caught.value.changed, caught.value.record) == (("a.jsonl",), 1200)


def test_many_files_do_not_use_up_descriptors(tmp_path, description):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03}.txt").write_bytes(b"%d\n" % number)
    made = provenance.record(folder, description=description, records=Records(leaves=tmp_path / "l"))
    with CheckedRecords.open(made, folder) as records:
        assert [int(record) for record in records] == list(range(200))
        assert len(records._known) == 64


def test_compressed_files_have_no_random_access(tmp_path, description):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a\n"))
    made = provenance.record(tmp_path / "a.txt.gz", description=description, records=Records(leaves=tmp_path / "l"))
    with pytest.raises(FormatError, match="can only be read from its start"):
        CheckedRecords.open(made, tmp_path / "a.txt.gz")


def test_a_sample_says_how_sure_it_is(recorded, shards):
    (shards / "notes.bin").unlink()
    files = tuple(file for file in recorded.files if file.records is not None)
    only = attrs.evolve(recorded, files=files)
    found = provenance.verify(only, shards, sample=300).sample
    assert (found.unit, found.checked, found.total) == ("records", 300, 3003)
    assert 0.0099 < found.at_most < 0.01
    assert found.bound(0.99) > found.at_most
    assert provenance.verify(only, shards, sample=9999).sample.at_most == 0
    assert provenance.verify(only, shards).sample is None


def test_a_sample_is_of_files_where_not_all_have_records(recorded, shards):
    found = provenance.verify(recorded, shards, sample=2)
    assert (found.sample.unit, found.sample.checked, found.sample.total, found.files) == ("files", 2, 6, 2)
    with pytest.raises(ValueError, match="at least 1"):
        provenance.verify(recorded, shards, sample=0)


def test_a_full_sample_finds_what_a_small_one_can_miss(recorded, shards):
    (shards / "notes.bin").unlink()
    only = attrs.evolve(recorded, files=tuple(file for file in recorded.files if file.records is not None))
    edit(shards, "a.jsonl", lambda lines: [*lines[:3], lines[3].swapcase(), *lines[4:]])
    with pytest.raises(DigestMismatchError) as caught:
        provenance.verify(only, shards, sample=9999)
    assert caught.value.record == 3
    missed = 0
    for _ in range(20):
        try:
            provenance.verify(only, shards, sample=1)
            missed += 1
        except DigestMismatchError:
            pass
    assert missed > 10
    (shards / "b.jsonl").write_bytes(b"")
    with pytest.raises(DigestMismatchError) as caught:  # sizes and names are compared in every case
        provenance.verify(only, shards, sample=1)
    assert caught.value.changed == ("b.jsonl",)


def test_a_sample_of_keyed_records_needs_the_key(shards, tmp_path, description):
    made = provenance.record(shards / "a.jsonl", description=description, records=Records(leaves=tmp_path / "k"), leaf_key=KEY)
    assert provenance.verify(made, shards / "a.jsonl", sample=3, leaf_key=KEY).sample.checked == 3
    with pytest.raises(CredentialError):
        provenance.verify(made, shards / "a.jsonl", sample=3)
    assert provenance.verify(made, shards / "a.jsonl").files == 1
