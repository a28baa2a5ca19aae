# SPDX-License-Identifier: Apache-2.0
"""A log goes on in a new file, writers follow, and the chain runs through all files."""

import itertools
import subprocess
import sys
import threading

import pytest

from lifeseal import evidence
from lifeseal.cli._main import _run
from lifeseal.errors import FormatError, StateError

PROGRAM = """
import sys, time
from lifeseal import evidence
from lifeseal.principles import Event
with evidence.Log(sys.argv[1]) as log:
    for number in range(400):
        log.emit(Event(time="t", primitive="other", outcome="pass", error="", provisions=(), facts={"number": number}))
        time.sleep(0.001)
"""


def numbers(*paths):
    return [event.facts["number"] for path in paths for event in evidence.read(path) if "number" in event.facts]


def test_the_new_log_goes_on_from_the_old_one(tmp_path, log, make_event):
    head = evidence.verify(log).head
    with evidence.Log(log) as opened:
        opened.rotate(tmp_path / "old")
        opened.emit(make_event(3))
    old, new = evidence.verify(tmp_path / "old"), evidence.verify(log)
    assert (old.ended, old.events, new.previous, new.ended) == (True, 3, old.head, False)
    assert numbers(tmp_path / "old", log) == [0, 1, 2, 3]
    assert evidence.verify(tmp_path / "old", head=head).head_found
    assert oct(log.stat().st_mode & 0o777) == "0o600"
    with evidence.Log(log) as opened:
        opened.rotate(tmp_path / "older")
    assert evidence.verify(tmp_path / "older").previous == old.head


def test_every_writer_follows_and_no_event_is_lost(tmp_path, make_event):
    path = tmp_path / "log"
    other = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)])
    archives = []
    with evidence.Log(path) as one, evidence.Log(path) as two:
        threads = [threading.Thread(target=lambda log=log: [log.emit(make_event(n)) for n in range(200)]) for log in (one, two)]
        for thread in threads:
            thread.start()
        while other.poll() is None:
            archives.append(tmp_path / f"log.{len(archives)}")
            one.rotate(archives[-1])
        for thread in threads:
            thread.join()
    assert other.returncode == 0
    checked = [evidence.verify(place) for place in (*archives, path)]
    assert all(after.previous == before.head and before.ended for before, after in itertools.pairwise(checked))
    found = [(event.primitive, event.facts["number"]) for place in (*archives, path) for event in evidence.read(place) if "number" in event.facts]
    assert [number for name, number in found if name == "other"] == list(range(400))
    assert sorted(number for name, number in found if name != "other") == sorted([*range(200)] * 2)


def test_a_name_that_is_taken_is_refused_and_the_log_goes_on(tmp_path, log, make_event):
    (tmp_path / "taken").write_text("x")
    with evidence.Log(log) as opened:
        with pytest.raises(FileExistsError):
            opened.rotate(tmp_path / "taken")
        with pytest.raises(FileNotFoundError):
            opened.rotate(tmp_path / "nowhere/old")
        opened.emit(make_event(3))
    assert (numbers(log), evidence.verify(log).ended) == ([0, 1, 2, 3], False)
    assert (tmp_path / "taken").read_text() == "x"
    with pytest.raises(StateError, match="closed"):
        opened.rotate(tmp_path / "old")


@pytest.mark.parametrize("step", ["before the end", "before the new log"])
def test_an_interrupted_rotation_is_the_old_log_or_is_completed(tmp_path, log, make_event, monkeypatch, step):
    def fail(*_, **__):
        raise OSError(5, "injected")

    opened = evidence.Log(log)
    monkeypatch.setattr(evidence._log.Log, "_append" if step == "before the end" else "_start_anew", fail)
    with pytest.raises(OSError, match="injected"):
        opened.rotate(tmp_path / "old")
    monkeypatch.undo()
    with evidence.Log(log) as again:
        again.emit(make_event(3))
    opened.emit(make_event(4))
    opened.close()
    if step == "before the end":
        assert (numbers(log), evidence.verify(log).ended) == ([0, 1, 2, 3, 4], False)
        with evidence.Log(log) as again:
            again.rotate(tmp_path / "old")  # the name is this very file's already
        assert numbers(tmp_path / "old") == [0, 1, 2, 3, 4]
    else:
        assert (numbers(tmp_path / "old"), numbers(log)) == ([0, 1, 2], [3, 4])
        assert evidence.verify(log).previous == evidence.verify(tmp_path / "old").head


def test_a_log_that_ended_and_has_no_other_name_is_never_replaced(tmp_path, log, monkeypatch):
    monkeypatch.setattr(evidence._log.Log, "_start_anew", lambda self: (_ for _ in ()).throw(OSError(5, "injected")))
    opened = evidence.Log(log)
    with pytest.raises(OSError, match="injected"):
        opened.rotate(tmp_path / "old")
    monkeypatch.undo()
    opened._file.close()
    (tmp_path / "old").unlink()
    before = log.read_bytes()
    with pytest.raises(StateError, match="has ended and has no other name"):
        evidence.Log(log)
    assert log.read_bytes() == before


def test_nothing_may_follow_the_end(tmp_path, log, make_event):
    with evidence.Log(log) as opened:
        opened.rotate(tmp_path / "old")
    line = log.read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "old").write_bytes((tmp_path / "old").read_bytes() + line)
    with pytest.raises(FormatError, match="the log ended with the entry before; nothing may follow"):
        evidence.verify(tmp_path / "old")


def test_the_command_checks_that_files_go_on_one_from_another(tmp_path, log, make_event):
    with evidence.Log(log) as opened:
        opened.rotate(tmp_path / "one")
        opened.emit(make_event(3))
        opened.rotate(tmp_path / "two")
    names = [str(tmp_path / "one"), str(tmp_path / "two"), str(log)]
    assert _run(["log", "verify", *names, "-q"]) == 0
    assert _run(["log", "verify", names[0], names[2], "-q"]) == 1
    assert _run(["log", "verify", *reversed(names), "-q"]) == 1
    edited = log.read_bytes().replace(evidence.verify(tmp_path / "two").head.encode(), b"a" * 64)
    log.write_bytes(edited)
    assert _run(["log", "verify", *names, "-q"]) == 1
