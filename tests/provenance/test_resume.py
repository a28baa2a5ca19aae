# SPDX-License-Identifier: Apache-2.0
"""What was read once is not read again, and never taken for what it no longer is."""

import os
import time

import pytest

from lifeseal import provenance
from lifeseal.provenance import Records, _journal, _work

NAMES = [f"{number}.jsonl" for number in range(6)]


class Interrupt(Exception):  # noqa: N818 - not an error
    pass


@pytest.fixture
def shards(tmp_path):
    """Six files that nobody has touched for a while, by the file system's clock."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(b'{"shard":%d}\n' % number * 10)
    (folder / "plain.bin").write_bytes(b"x")
    return folder


@pytest.fixture
def later(monkeypatch):
    """Let the clock of this machine go ten seconds ahead, instead of waiting."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10_000_000_000)


@pytest.fixture
def record(tmp_path, shards, description, monkeypatch):
    """Record the shards; keeps the names that were read."""
    real, whole = _work.record_file, _work.hash_whole

    def run(stop_after=None, **options):
        run.read = []

        def watched(source, name, *rest):
            if stop_after is not None and len(run.read) >= stop_after:
                raise Interrupt
            run.read.append(name)
            return real(source, name, *rest)

        def watched_whole(source, names, **more):
            run.read += names
            return whole(source, names, **more)

        monkeypatch.setattr(_work, "record_file", watched)
        monkeypatch.setattr(_work, "hash_whole", watched_whole)
        return provenance.record(shards, description=description, records=Records(leaves=tmp_path / "leaves"), **options)

    return run


def test_an_interrupted_run_goes_on_where_it_stopped(record, later):
    with pytest.raises(Interrupt):
        record(stop_after=4)
    resumed = record()
    assert record.read == NAMES[3:]
    assert resumed == record()


def test_a_finished_run_is_not_trusted_unasked(record, later):
    first = record()
    assert record() == first
    assert sorted(record.read) == [*NAMES, "plain.bin"]


def test_a_previous_manifest_spares_reading_what_did_not_change(record, later, shards):
    first = record()
    (shards / "2.jsonl").write_bytes(b"changed\n")
    (shards / "new.jsonl").write_bytes(b"new\n")
    (shards / "5.jsonl").unlink()
    second = record(previous=first)
    assert sorted(record.read) == ["2.jsonl", "new.jsonl"]
    assert second == record()
    assert second.digest != first.digest


@pytest.mark.parametrize("change", ["content, size and time kept", "replaced by another file", "touched"])
def test_a_file_that_may_have_changed_is_read_again(change, record, later, shards):
    first = record()
    path = shards / "2.jsonl"
    content, times = path.read_bytes(), path.stat()
    if change == "touched":
        os.utime(path)
    elif change == "replaced by another file":
        (shards / "x").write_bytes(content.swapcase())
        (shards / "x").rename(path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        path.write_bytes(content.swapcase())
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = record(previous=first)
    assert record.read == ["2.jsonl"]
    assert second == record()
    assert (second == first) == (change == "touched")


def test_a_file_that_was_written_just_before_is_read_again(record):
    first = record()
    assert record(previous=first) == first
    assert sorted(record.read) == [*NAMES, "plain.bin"]


@pytest.mark.parametrize("fault", ["another manifest", "no leaf file", "torn line", "another way", "another journal"])
def test_what_does_not_fit_is_read_again(fault, record, later, tmp_path, shards, description):
    first = record()
    journal = tmp_path / "leaves" / "recording"
    options = {"previous": first}
    if fault == "another manifest":
        (shards / "0.jsonl").write_bytes(b"other\n")
        options = {"previous": provenance.record(shards, description=description)}
    elif fault == "no leaf file":
        for path in (tmp_path / "leaves").glob("*.leaves"):
            path.unlink()
    elif fault == "torn line":
        journal.write_bytes(journal.read_bytes().replace(b'"sha256"', b'"sha25\0"'))
    elif fault == "another way":
        options["leaf_key"] = b"a key for the leaves"
    else:
        journal.write_bytes(b"\0" * 100)
    record(**options)
    assert set(NAMES) <= set(record.read)


def test_workers_go_on_too(record, later):
    from concurrent.futures import ThreadPoolExecutor

    with pytest.raises(Interrupt):
        record(stop_after=4)
    with ThreadPoolExecutor(2) as pool:
        resumed = record(executor=pool)
    assert resumed == record()


def test_the_earlier_manifest_keeps_its_leaf_files(record, later, shards, tmp_path):
    first = record()
    there = {path: path.read_bytes() for path in (tmp_path / "leaves").glob("*.leaves")}
    (shards / "2.jsonl").write_bytes(b"changed\n")
    with pytest.raises(Interrupt):
        record(stop_after=0, previous=first)
    record(previous=first)
    assert all(path.read_bytes() == content for path, content in there.items())


def test_a_journal_reaches_the_disk_as_it_grows(record, later, tmp_path):
    with pytest.raises(Interrupt):
        record(stop_after=3)
    lines = (tmp_path / "leaves" / "recording").read_bytes().splitlines()
    assert len(lines) == 2 + 3
    assert _journal.JOURNAL_SCHEMA.encode() in lines[0]
