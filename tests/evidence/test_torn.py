# SPDX-License-Identifier: Apache-2.0
"""A crash may tear the end of a log; the next writer closes it, and readers say so."""

import pytest

from lifeseal import evidence
from lifeseal.errors import FormatError, LimitError, TamperedError


def reopened(path, make_event):
    with evidence.Log(path) as log:
        log.emit(make_event(99))
    return evidence.verify(path)


def test_cut_anywhere_in_the_last_line_it_goes_on(log, make_event):
    good = log.read_bytes()
    last = good[:-1].rindex(b"\n") + 1
    for length in range(last + 1, len(good)):
        log.write_bytes(good[:length])
        with pytest.raises(FormatError, match="the last line is torn"):
            evidence.verify(log)
        found = reopened(log, make_event)
        whole = length == len(good) - 1
        assert (found.events, found.damaged) == (4 if whole else 3, 1)
        assert log.read_bytes().startswith(good[:length] + b"\n")
    log.write_bytes(good[:last])
    assert reopened(log, make_event).damaged == 0


def test_cut_anywhere_in_the_first_line_it_goes_on(log, make_event):
    first = log.read_bytes().splitlines(keepends=True)[0]
    for length in range(1, len(first)):
        log.write_bytes(first[:length])
        with pytest.raises(FormatError, match="the last line is torn"):
            evidence.verify(log)
        found = reopened(log, make_event)
        assert (found.events, found.damaged) == (1, 1)
    log.write_bytes(b"")
    assert reopened(log, make_event).damaged == 0


def test_zeros_in_place_of_the_end_are_closed(log, make_event):
    good = log.read_bytes()
    last = good[:-1].rindex(b"\n") + 1
    for start in range(last, len(good)):
        log.write_bytes(good[:start] + bytes(len(good) - start))
        found = reopened(log, make_event)
        assert (found.events, found.damaged) == (3, 1)


def test_zeros_in_place_of_the_middle_of_the_end_are_closed(log, make_event):
    good = log.read_bytes()
    last = good[:-1].rindex(b"\n") + 1
    for start in range(last, len(good) - 1):
        log.write_bytes(good[:start] + bytes(1) + good[start + 1 :])
        found = reopened(log, make_event)
        assert (found.events, found.damaged) == (3, 1)


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_zeros_in_place_of_a_first_line_are_closed(keep, log, make_event):
    first = log.read_bytes().splitlines(keepends=True)[0]
    log.write_bytes(first[:keep] + bytes(len(first) - keep))
    found = reopened(log, make_event)
    assert (found.events, found.damaged) == (1, 1)


def test_a_crash_while_the_damage_is_closed_is_closed_too(log, make_event):
    torn = log.read_bytes()[:-20]
    log.write_bytes(torn)
    evidence.Log(log).close()
    closed = log.read_bytes()
    for length in range(len(torn), len(closed)):
        log.write_bytes(closed[:length])
        found = reopened(log, make_event)
        whole = length == len(closed) - 1
        assert (found.events, found.damaged) == (3, 2 if whole else 1)


def test_many_lines_that_became_zeros_are_closed(log, make_event):
    good = log.read_bytes()
    log.write_bytes(good + bytes(2 << 20)[:-1])
    found = reopened(log, make_event)
    assert (found.events, found.damaged) == (4, 1)


def test_more_zeros_than_a_crash_leaves_are_refused_and_left(log):
    bad = log.read_bytes() + bytes((2 << 20) + 1)
    log.write_bytes(bad)
    with pytest.raises(LimitError, match="log, last line"):
        evidence.Log(log)
    assert log.read_bytes() == bad


def test_little_is_written_between_two_flushes(tmp_path, make_event, monkeypatch):
    seen = []
    with evidence.Log(tmp_path / "log") as log:
        real = log._file.append
        monkeypatch.setattr(log._file, "append", lambda data, *, durable: (seen.append((len(data), durable)), real(data, durable=durable)))
        for number in range(40):
            log.emit(make_event(number, text="x" * 50_000))
    unflushed = longest = 0
    for size, durable in seen:
        unflushed += size
        longest = max(longest, unflushed)
        unflushed = 0 if durable else unflushed
    assert any(durable for _, durable in seen[:-1])
    assert longest < 1 << 20


def test_damage_does_not_hide_what_was_removed_before_it(log, make_event):
    log.write_bytes(log.read_bytes()[:-20])
    assert reopened(log, make_event).damaged == 1
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(TamperedError, match="does not follow from the line before"):
        evidence.verify(log)


def test_every_flipped_bit_of_closed_damage_is_refused(log, make_event):
    log.write_bytes(log.read_bytes()[:-20])
    assert reopened(log, make_event).damaged == 1
    good = log.read_bytes()
    lines = good.splitlines(keepends=True)
    start = sum(map(len, lines[:3]))
    for place in range(start, start + len(lines[3]) + len(lines[4])):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            log.write_bytes(bad)
            with pytest.raises((FormatError, TamperedError), match=r"log, line [4-6]"):
                evidence.verify(log)


def test_damage_that_an_older_writer_left_is_closed_by_one_that_is_open(tmp_path, make_event):
    path = tmp_path / "log"
    with evidence.Log(path) as log:
        log.emit(make_event(1))
        with path.open("ab") as other:
            other.write(b'{"kind":"ev')
        log.emit(make_event(2))
        log.emit(make_event(3))
    found = evidence.verify(path)
    assert (found.events, found.damaged) == (3, 1)


@pytest.mark.parametrize("content", [b"hello", b"hello\n", b"{}\n", bytes(4096), b'{"kind":"event"}\n', b"\x89PNG\r\n"], ids=repr)
def test_a_file_that_is_no_log_is_refused_and_left(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FormatError, match="file, line 1: an event log was expected"):
        evidence.Log(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
