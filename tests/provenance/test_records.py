# SPDX-License-Identifier: Apache-2.0
"""Records: each line is a leaf, whatever the file's size, and the same leaves come out however the work is done."""

import gzip
import hashlib
import hmac
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import attrs
import pymerkle
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import provenance
from lifeseal._io import Raw, lines
from lifeseal.errors import FormatError, LimitError, LockedError, TamperedError
from lifeseal.provenance import Manifest, Records, _formats, _leaves, _lines, _recording

KEY = b"a key for the leaves"


@pytest.fixture
def recorded(tmp_path, description):
    """Record one file's content; returns its records."""

    def run(content, name="a.jsonl", **options):
        (tmp_path / name).write_bytes(content)
        sets = options.pop("sets", False)
        formats = options.pop("formats", {})
        records = Records(leaves=tmp_path / "leaves", sets=sets, formats=formats)
        return provenance.record(tmp_path / name, description=description, records=records, **options).files[0].records

    return run


def judged(entries):
    return pymerkle.InmemoryTree.init_from_entries(entries, algorithm="sha256").get_root()


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\n\r\nb\r\n", [b"a\r", b"\r", b"b\r"]),
        (b"a\n\n", [b"a", b""]),
        ("é\u2028ü\n".encode(), ["é\u2028ü".encode()]),
        (b"".join(b"%d\n" % n for n in range(5000)), [b"%d" % n for n in range(5000)]),
        (b"x" * 300_000 + b"\ny", [b"x" * 300_000, b"y"]),
    ],
    ids=["empty", "empty line", "no line feed", "line", "last line open", "CRLF", "empty last line", "other separators", "many", "long"],
)
def test_a_record_is_a_lines_raw_bytes(content, entries, recorded):
    found = recorded(content)
    assert (found.format, found.count, found.root) == ("jsonl", len(entries), judged(entries))


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b'a,b\n1,"x\ny"\n2,z\n', [b"a,b", b'1,"x\ny"', b"2,z"]),
        (b'"a ""quoted"" word",1\n', [b'"a ""quoted"" word",1']),
        (b'"\n\n\n",1\n"\n"', [b'"\n\n\n",1', b'"\n"']),
    ],
    ids=["line feed in a field", "doubled quotes", "only line feeds"],
)
def test_a_row_of_csv_goes_on_between_quotes(content, entries, recorded):
    found = recorded(content, "a.csv")
    assert (found.format, found.count, found.root) == ("csv", len(entries), judged(entries))


def test_quotes_that_are_not_closed_are_refused(recorded):
    with pytest.raises(FormatError, match=r"'a\.csv', record 1: its quotes are not closed"):
        recorded(b'a,b\n1,"x\n2,y\n', "a.csv")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", "jsonl"),
        ("a.NDJSON", "jsonl"),
        ("a.csv", "csv"),
        ("a.tsv", "text"),
        ("a.txt", "text"),
        ("a.jsonl.gz", "jsonl+gzip"),
        ("a.csv.zst", "csv+zstd"),
        ("deep/a.train.jsonl", "jsonl"),
        ("deep.jsonl/a", None),
        ("jsonl", None),
        (".gz", None),
        ("a.bin", None),
        ("a.json", None),
        ("a.tfrecord", None),
        ("a.gz", None),
    ],
)
def test_the_ending_says_how_a_file_is_cut(name, form):
    assert _formats.detect(name, {}) == form


def test_other_endings_can_be_named(recorded):
    assert recorded(b"\xff\n", "a.log", formats={".log": "lines"}).format == "lines"
    assert recorded(b"\xff\n", "a.txt", formats={".txt": "whole"}) is None
    assert recorded(b"\xff\n", "a.txt.gz", formats={".txt": "whole"}) is None
    with pytest.raises(ValueError, match="formats= maps endings"):
        Records(leaves="x", formats={".log": "nonsense"})
    with pytest.raises(ValueError, match="formats= maps endings"):
        Records(leaves="x", formats={"log": "lines"})


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, lambda c: gzip.compress(c[:9]) + gzip.compress(c[9:])])
def test_a_compressed_file_has_the_records_of_its_content_and_its_own_digest(compress, recorded, tmp_path):
    content = b"".join(b'{"n":%d}\n' % n for n in range(3000))
    plain = recorded(content)
    ending = "zst" if compress is zstandard.compress else "gz"
    packed = recorded(compress(content), f"b.jsonl.{ending}")
    assert (packed.count, packed.root) == (plain.count, plain.root)


def test_zstd_frames_one_after_another_are_one_file(recorded):
    content = b"".join(b'{"n":%d}\n' % n for n in range(3000))
    packed = zstandard.compress(content[:999]) + zstandard.compress(content[999:])
    assert recorded(packed, "b.jsonl.zst").root == recorded(content).root


@pytest.mark.parametrize("ending", ["gz", "zst"])
@pytest.mark.parametrize("fault", ["cut", "flipped", "not at all", "more"])
def test_broken_compression_is_refused(ending, fault, recorded, tmp_path):
    content = os.urandom(5000)
    good = (gzip.compress if ending == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress)(content)
    bad = {"cut": good[:-6], "flipped": good[:2500] + b"\0\0\0\0" + good[2504:], "not at all": b"plain", "more": good + b"plain"}[fault]
    formats = {".bin": "lines"}
    assert recorded(good, f"good.bin.{ending}", formats=formats).count >= 1
    with pytest.raises(FormatError, match=r"not (whole )?(gzip|zstd) data"):
        recorded(bad, f"bad.bin.{ending}", formats=formats)
    assert len(list((tmp_path / "leaves").glob("*.leaves"))) == 1  # nothing of the bad one


def test_memory_does_not_follow_what_compressed_data_claims(recorded):
    found = recorded(zstandard.compress(b"\n" * (1 << 20)), "a.txt.zst")
    assert found.count == 1 << 20
    with pytest.raises(LimitError, match=r"record 0: .* more than the limit of 67108864"):
        recorded(gzip.compress(b"x" * (65 << 20)), "a.txt.gz")


@pytest.mark.parametrize(("name", "line"), [("a.jsonl", 2), ("a.txt", 2), ("a.csv", 2)])
def test_text_that_is_not_utf8_is_refused_with_its_record(name, line, recorded, tmp_path):
    with pytest.raises(FormatError, match=rf"record {line}: not UTF-8"):
        recorded(b"a\nb\n\xff\nd\n", name)
    assert not list((tmp_path / "leaves").glob("*.leaves"))
    assert recorded(b"a\nb\nc\nd\n", name).count == 4


def test_a_record_longer_than_the_limit_is_refused(recorded, monkeypatch):
    monkeypatch.setattr(_lines, "MAX_RECORD", 100_000)
    monkeypatch.setattr("lifeseal._io._lines.MAX_RECORD", 100_000)
    with pytest.raises(LimitError, match=r"'a\.jsonl', record 2: .* more than the limit"):
        recorded(b"a\nb\n" + b"x" * 300_000)
    with pytest.raises(LimitError, match=r"'a\.csv', record 1: .* more than the limit"):
        recorded(b'a\n"' + b"x\n" * 100_000 + b'"\n', "a.csv")


def test_files_that_are_not_cut_keep_their_digest_alone(tmp_path, description):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.tfrecord").write_bytes(b"\0" * 99)
    (tmp_path / "data" / "b.jsonl").write_bytes(b"1\n2\n")
    made = provenance.record(tmp_path / "data", description=description, records=Records(leaves=tmp_path / "l"))
    assert [file.records is None for file in made.files] == [True, False]
    assert [file.sha256 for file in made.files] == [hashlib.sha256(b"\0" * 99).digest(), hashlib.sha256(b"1\n2\n").digest()]
    assert made.records == 2


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_workers_make_the_same_manifest_and_the_same_leaf_files(workers, tmp_path, description, monkeypatch):
    monkeypatch.setattr(_recording, "_APART", 20_000)
    monkeypatch.setattr(_recording, "_SEGMENT", 10_000)
    data = tmp_path / "data"
    data.mkdir()
    (data / "large.jsonl").write_bytes(b"".join(b'{"text":"%s"}\n' % (b"x" * (n % 90)) for n in range(9000)))
    (data / "large.csv").write_bytes(b'a,"\n"\n' * 9000)
    (data / "open.txt").write_bytes(b"y\n" * 40_000 + b"end")
    (data / "small.txt").write_bytes(b"z")
    (data / "other.bin").write_bytes(b"\xff" * 1000)
    alone = provenance.record(data, description=description, records=Records(leaves=tmp_path / "l", sets=True))
    pool = ThreadPoolExecutor(2) if workers == "threads" else ProcessPoolExecutor(2, mp_context=get_context("fork"))
    with pool:
        shared = provenance.record(data, description=description, records=Records(leaves=tmp_path / "m", sets=True), executor=pool)
    assert shared.to_bytes() == alone.to_bytes()
    assert alone.files[1].records.count == 9000
    for path in (tmp_path / "l").glob("*.leaves"):
        assert path.read_bytes() == (tmp_path / "m" / path.name).read_bytes()


def test_a_workers_piece_that_has_another_count_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x\n" * 1025)
    assert len(_recording._hash_segment(str(tmp_path), "a.txt", "text", (0, 2048, 0, 1024), None, b"")[0]) == 32 * 1024
    with pytest.raises(FormatError, match="changed while it was read"):
        _recording._hash_segment(str(tmp_path), "a.txt", "text", (0, 2050, 0, 1024), None, b"")


def test_a_fault_in_a_workers_piece_names_the_record_in_the_file(tmp_path, description, monkeypatch):
    monkeypatch.setattr(_recording, "_APART", 1000)
    (tmp_path / "a.txt").write_bytes(b"x\n" * 3000 + b"\xff\n" + b"x\n" * 3000)
    with ThreadPoolExecutor(2) as pool, pytest.raises(FormatError, match=r"'a\.txt', record 3000: not UTF-8"):
        provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l"), executor=pool)


@given(st.text('ab,"\n', max_size=200).map(str.encode), st.integers(1, 30))
def test_where_a_file_is_read_in_pieces_makes_no_difference(content, piece):
    class Slow:
        def __init__(self):
            self.at = 0

        def read(self, _):
            self.at += piece
            return content[self.at - piece : self.at]

    batches = list(lines(Slow(), "w", utf8=False))
    assert [record for records, _ in batches for record in records] == content.split(b"\n")[: None if content[-1:] not in {b"\n", b""} else -1]
    for records, offset in batches:
        assert content[offset:].startswith(records[0])
    try:
        rows = list(_lines.csv_records(iter(batches), "w"))
    except FormatError:
        assert content.count(b'"') % 2
    else:
        assert b"\n".join(record for records, _ in rows for record in records) == content.removesuffix(b"\n")
        for records, offset in rows:
            assert content[offset:].startswith(b"\n".join(records))


def test_a_keyed_leaf_is_the_hmac_of_the_record(recorded):
    entries = [b"a", b"b"]
    one = recorded(b"a\nb\n", leaf_key=KEY)
    assert one.root == judged([hmac.digest(KEY, entry, "sha256") for entry in entries]) != recorded(b"a\nb\n").root
    many = recorded(b"a\nb\n", leaf_key=lambda record: KEY + record)
    assert many.root == judged([hmac.digest(KEY + entry, entry, "sha256") for entry in entries])


def test_a_key_too_short_to_protect_anything_is_refused(recorded):
    with pytest.raises(ValueError, match="at least 16 bytes; this one has 3"):
        recorded(b"a\n", leaf_key=b"key")
    with pytest.raises(ValueError, match="at least 16 bytes; this one has 0"):
        recorded(b"a\n", leaf_key=lambda _: b"")


def test_the_key_is_not_in_the_manifest_and_tells_itself_from_others(tmp_path, description):
    (tmp_path / "a.txt").write_bytes(b"a\n")
    made = [
        provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l"), leaf_key=key)
        for key in (KEY, KEY, b"another key, long enough", lambda _: KEY)
    ]
    assert made[0] == made[1]
    assert made[0].key_use.keys == "one"
    assert made[0].key_use != made[2].key_use
    assert (made[3].key_use.keys, made[3].key_use.check) == ("per-record", b"")
    assert KEY not in made[0].to_bytes()
    assert KEY.hex().encode() not in made[0].to_bytes()


@pytest.mark.parametrize(
    ("sensitivity", "key", "warned"),
    [("personal", None, True), ("special-category", None, True), ("personal", KEY, False), ("internal", None, False), (None, None, False)],
)
def test_personal_data_without_a_leaf_key_carries_a_warning(sensitivity, key, warned, tmp_path, description):
    (tmp_path / "a.txt").write_bytes(b"a\n")
    personal = attrs.evolve(description, sensitivity=sensitivity)
    made = provenance.record(tmp_path / "a.txt", description=personal, records=Records(leaves=tmp_path / "l"), leaf_key=key)
    assert (b"without a leaf key" in made.to_bytes()) == warned == bool(made.warnings)
    assert Manifest.from_bytes(made.to_bytes()) == made
    if warned:
        start = made.to_bytes().index(b',"warnings":[')
        with pytest.raises(FormatError, match="every warning that is due"):
            Manifest.from_bytes(made.to_bytes()[:start] + b"}")


@pytest.mark.parametrize("option", [{"leaf_key": KEY}, {"previous": None}])
def test_what_is_about_records_needs_records(option, data, manifest, description):
    option = {name: manifest if value is None else value for name, value in option.items()}
    with pytest.raises(ValueError, match="give records= too"):
        provenance.record(data, description=description, **option)


@pytest.mark.parametrize("place", ["data", "data/leaves", "data/../data/deep"])
def test_leaf_files_within_the_data_are_refused(place, data, tmp_path, description):
    with pytest.raises(ValueError, match="the leaf files would lie inside the data"):
        provenance.record(data, description=description, records=Records(leaves=tmp_path / place))
    assert not (data / "recording").exists()


def test_a_file_that_changes_while_it_is_recorded_is_refused(tmp_path, description):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n" * 1000)

    def change(_):
        path.write_bytes(b"b\n" * 1000)

    with pytest.raises(FormatError, match=r"'a\.txt'.*changed while it was (read|recorded)"):
        provenance.record(path, description=description, records=Records(leaves=tmp_path / "l"), leaf_key=lambda r: change(r) or KEY)
    with pytest.raises(FormatError, match=r"'a\.txt'.*changed while it was recorded"):
        provenance.record(path, description=description, progress=change)
    assert provenance.record(path, description=description).files[0].size == 2000


def test_a_file_that_changes_after_it_was_recorded_and_before_the_others_are_is_refused(tmp_path, description):
    data, folder = tmp_path / "d", tmp_path / "l"
    data.mkdir()
    (data / "a.txt").write_bytes(b"a\n" * 1000)
    (data / "b.txt").write_bytes(b"b\n" * 1000)

    def change(record):
        if record == b"b":
            (data / "a.txt").write_bytes(b"other\n")
        return KEY

    with pytest.raises(FormatError, match=r"'a\.txt'.*changed while it was recorded"):
        provenance.record(data, description=description, records=Records(leaves=folder), leaf_key=change)
    manifest = provenance.record(data, description=description, records=Records(leaves=folder), leaf_key=lambda _: KEY)
    assert manifest.file("a.txt").size == len(b"other\n")


def test_two_recordings_do_not_share_a_folder_at_one_time(tmp_path, description):
    (tmp_path / "a.txt").write_bytes(b"a\n")

    def again(_):
        provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l"))

    with pytest.raises(LockedError):
        provenance.record(tmp_path / "a.txt", description=description, records=Records(leaves=tmp_path / "l"), progress=again)
    again(None)


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_set_roots_are_trees_over_the_distinct_leaves_in_order(count, recorded, monkeypatch):
    monkeypatch.setattr(_recording, "_SORTED", 300)
    entries = [b"%d" % (n % 4000) for n in range(count)]
    found = recorded(b"".join(entry + b"\n" for entry in entries), sets=True)
    distinct = sorted(set(entries), key=lambda entry: hashlib.sha256(b"\0" + entry).digest())
    assert (found.set_root.count, found.set_root.root) == (len(distinct), judged(distinct))


def leaf_file(tmp_path, records):
    return tmp_path / "leaves" / f"{records.leaves.hex()}.leaves"


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\n" * 2500])
def test_a_leaf_file_is_checked_wherever_it_was_changed(content, recorded, tmp_path):
    records = recorded(content)
    path = leaf_file(tmp_path, records)
    good = path.read_bytes()
    assert len(good) == 32 + 32 * records.count + 72 * -(-records.count // 1024)

    def read():
        with _leaves.LeafFile(path, count=records.count, digest=records.leaves) as found:
            return b"".join(found.chunk(number) for number in range(found.chunks))

    assert read() == hashlib.sha256(b"\0a").digest() * records.count
    for place in {*range(0, len(good), max(1, len(good) // 50)), len(good) - 1}:
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(TamperedError, match=r"\.leaves: (not the leaf file|leaves \d+ to \d+ were changed)"):
            read()
    for bad in (good[:-1], good + b"\0", b""):
        path.write_bytes(bad)
        with pytest.raises(TamperedError, match="which is not the size"):
            read()


def test_a_leaf_file_that_was_spoilt_is_written_again(recorded, tmp_path):
    path = leaf_file(tmp_path, recorded(b"a\nb\n"))
    good = path.read_bytes()
    path.write_bytes(good[:40] + b"\0" + good[41:])
    recorded(b"a\nb\n")
    assert path.read_bytes() == good


def test_reading_within_a_file_stops_where_it_is_told(tmp_path, data):
    from lifeseal._io import DiskSource

    with DiskSource(data) as source, source.open("deep/b.csv") as reader:
        assert Raw(reader, "w", start=4, end=8).read(100) == b"3,4\n"
        assert Raw(reader, "w", start=4, end=8).read(2) == b"3,"


def test_two_workers_may_write_the_same_leaf_file(tmp_path, monkeypatch):
    leaves = [hashlib.sha256(b"\0a").digest()]
    with _leaves.LeafWriter.create(tmp_path) as first:
        first.add(list(leaves))
        with _leaves.LeafWriter.create(tmp_path) as second:
            second.add(list(leaves))
        monkeypatch.setattr(_leaves.Path, "exists", lambda _: False)  # as it was when the first one looked
    assert [path.name for path in tmp_path.iterdir()] == [f"{first.digest.hex()}.leaves"]
    assert _leaves.is_whole(tmp_path / f"{first.digest.hex()}.leaves", first)


def test_a_format_that_nobody_writes_is_refused(data):
    from lifeseal._io import DiskSource

    with DiskSource(data) as source, source.open("a.csv") as reader:
        assert list(_formats.cut("csv", reader, "w")) == [([b"1,2"], 0)]
        for form in ("parquet+gzip", "npz+zstd", "nonsense", "jsonl+brotli"):
            with pytest.raises(FormatError, match="are not known to this version"):
                list(_formats.cut(form, reader, "w"))
