# SPDX-License-Identifier: Apache-2.0
"""Each line follows from the line before; what a reader accepts was written by a writer."""

import hashlib
import json
import os

import pytest

from lifeseal import evidence
from lifeseal.errors import FormatError, LifesealError, LimitError, RolledBackError, TamperedError


def rewrite(path, lines):
    path.write_bytes(b"".join(lines))


def numbers(path):
    return [event.facts["number"] for event in evidence.read(path)]


def test_what_was_written_is_read(log):
    found = evidence.verify(log)
    assert (found.events, found.damaged, found.head_found) == (3, 0, False)
    assert numbers(log) == [0, 1, 2]


def test_each_line_holds_the_hash_of_the_line_before(log):
    lines = log.read_bytes().splitlines()
    before = [bytes(32).hex(), *(hashlib.sha256(line).hexdigest() for line in lines)]
    assert [json.loads(line)["prev"] for line in lines] == before[:-1]
    assert evidence.verify(log).head == before[-1]


def test_every_head_it_ever_had_is_found(tmp_path, make_event):
    heads = []
    with evidence.Log(tmp_path / "log") as log:
        for number in range(3):
            heads.append(log.head)
            log.emit(make_event(number))
        heads.append(log.head)
    assert [evidence.verify(tmp_path / "log", head=head).head_found for head in heads] == [True] * 4


def test_every_flipped_bit_before_the_last_line_is_refused(log):
    good = log.read_bytes()
    last = good[:-1].rindex(b"\n") + 1
    for place in range(last):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            log.write_bytes(bad)
            with pytest.raises(LifesealError, match=r"log, line [1-4]"):
                evidence.verify(log)
    log.write_bytes(good)
    assert evidence.verify(log).events == 3


def test_every_flipped_bit_is_refused_where_the_head_is_known(log):
    good = log.read_bytes()
    head = evidence.verify(log).head
    for place in range(len(good)):
        for bit in (0, 3, 5, 7):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            log.write_bytes(bad)
            with pytest.raises(LifesealError, match="log"):
                evidence.verify(log, head=head)
    log.write_bytes(good)
    assert evidence.verify(log, head=head).head_found


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda lines: lines[:1] + lines[2:], 2),
        (lambda lines: lines[:2] + lines[3:], 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], 2),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        (lambda lines: [*lines, lines[3]], 5),
        (lambda lines: [*lines, lines[0]], 5),
        (lambda lines: [lines[0], b"\n", *lines[1:]], 2),
        (lambda lines: [lines[0], lines[1].replace(b"\n", b" \n"), *lines[2:]], 3),
        (lambda lines: [lines[0], lines[1].replace(b"\n", b"\r\n"), *lines[2:]], 3),
        (lambda lines: [lines[0].replace(b"lifeseal.log/1", b"lifeseal.log/2"), *lines[1:]], 1),
    ],
    ids=["first event", "middle", "start", "moved", "twice", "last twice", "start again", "empty line", "space", "CRLF", "another version"],
)
def test_an_edited_line_is_refused_at_its_place(edit, line, log):
    rewrite(log, edit(log.read_bytes().splitlines(keepends=True)))
    with pytest.raises((FormatError, TamperedError), match=rf"log, line {line}\b"):
        evidence.verify(log)
    with pytest.raises((FormatError, TamperedError), match=rf"log, line {line}\b"):
        list(evidence.read(log))


def test_a_line_of_another_log_is_refused(log, tmp_path, make_event):
    with evidence.Log(tmp_path / "other") as other:
        for number in range(3):
            other.emit(make_event(number + 10))
    ours, theirs = (path.read_bytes().splitlines(keepends=True) for path in (log, tmp_path / "other"))
    rewrite(log, [*ours[:2], *theirs[2:]])
    with pytest.raises(TamperedError, match="line 3: does not follow from the line before"):
        evidence.verify(log)


def test_a_cut_tail_shows_only_against_a_head_kept_elsewhere(log):
    head = evidence.verify(log).head
    assert evidence.verify(log, head=head).head_found
    rewrite(log, log.read_bytes().splitlines(keepends=True)[:-1])
    assert evidence.verify(log).events == 2
    with pytest.raises(RolledBackError, match=f"head {head[:16]} is not in this log"):
        evidence.verify(log, head=head)


def test_another_log_does_not_have_the_head(log, tmp_path):
    evidence.Log(tmp_path / "other").close()
    with pytest.raises(RolledBackError, match="is not in this log"):
        evidence.verify(tmp_path / "other", head=evidence.verify(log).head)


def with_fields(line, **fields):
    return json.dumps({**json.loads(line), **fields}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "fields",
    [{"more": 1}, {"outcome": 7}, {"facts": []}, {"facts": {"x": {}}}, {"provisions": [1]}, {"kind": "note"}, {"kind": "start"}, {"prev": "0" * 63}],
    ids=str,
)
def test_an_entry_of_another_form_is_refused(fields, log):
    lines = log.read_bytes().splitlines(keepends=True)
    rewrite(log, [*lines[:3], with_fields(lines[3])])
    assert evidence.verify(log).events == 3
    rewrite(log, [*lines[:3], with_fields(lines[3], **fields)])
    with pytest.raises((FormatError, TamperedError), match="log, line 4"):
        evidence.verify(log)


def test_an_empty_file_is_no_log(tmp_path):
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(FormatError, match="the file is empty"):
        evidence.verify(tmp_path / "log")


@pytest.mark.parametrize("content", [b"x" * (3 << 20), b"{" + b" " * (2 << 20) + b"}\n"], ids=["no line end", "one long line"])
def test_a_line_that_no_writer_makes_is_refused(content, log):
    with log.open("ab") as file:
        file.write(content)
    with pytest.raises(LimitError, match=r"log, line 5: \d+ bytes, more than the limit"):
        evidence.verify(log)


@pytest.mark.parametrize("kind", ["FIFO", "folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind, tmp_path):
    os.mkfifo(tmp_path / "log") if kind == "FIFO" else (tmp_path / "log").mkdir()
    with pytest.raises(FormatError, match="log: a regular file was expected, not a "):
        evidence.verify(tmp_path / "log")
