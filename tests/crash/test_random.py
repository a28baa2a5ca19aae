# SPDX-License-Identifier: Apache-2.0
"""Kills at instants that no list of calls holds, and writers that meet."""

import contextlib
import mmap
import os
import random
import signal
import struct
import time

import pytest

from crash.harness import fork
from crash.operations import no_unnamed_files
from lifeseal._io import _durable

pytestmark = pytest.mark.crash

SIZE = 200_000

either_way = pytest.mark.parametrize("way", [contextlib.nullcontext, no_unnamed_files], ids=["unnamed", "named"])


def content(number):
    return struct.pack("<Q", number) * (SIZE // 8)


def number_of(data):
    number = struct.unpack("<Q", data[:8])[0]
    return number if data == content(number) else f"torn: {len(data)} bytes"


@contextlib.contextmanager
def children(*jobs):
    """Run each job in a process of its own until the block ends; a job is called again and again."""
    started = []
    try:
        for job in jobs:
            child = fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    while True:
                        job()
                os._exit(1)
            started.append(child)
        yield started
    finally:
        ended = [os.waitpid(child, os.WNOHANG)[1] for child in started]
        for child, status in zip(started, ended, strict=True):
            if status == 0:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    assert ended == [0] * len(started), "a child ended by itself"


@either_way
@pytest.mark.parametrize("times", [30, pytest.param(1000, marks=pytest.mark.long)])
def test_killed_at_a_random_instant_it_is_old_or_new(times, way, tmp_path):
    chance = random.Random(20260101)
    path = tmp_path / "file"
    with mmap.mmap(-1, 8) as shared:
        _durable.replace(path, content(0))

        def write_next():
            number = struct.unpack("<Q", shared[:])[0] + 1
            with way():
                _durable.replace(path, content(number))
            shared[:] = struct.pack("<Q", number)

        for _ in range(times):
            before = number_of(path.read_bytes())
            with children(write_next):
                time.sleep(chance.random() * 0.04)
            acknowledged = struct.unpack("<Q", shared[:])[0]
            found = number_of(path.read_bytes())
            assert found in {acknowledged, acknowledged + 1}
            assert found >= before
            shared[:] = struct.pack("<Q", found)
        assert found > times
    _durable.replace(path, b"")
    assert list(tmp_path.iterdir()) == [path]


@either_way
def test_four_writers_and_a_reader_see_no_torn_file(way, tmp_path):
    path = tmp_path / "file"
    _durable.replace(path, content(0))

    def writer(number):
        def write():
            with way():
                _durable.replace(path, content(number))

        return write

    seen = set()
    with children(*map(writer, range(1, 5))):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            seen.add(number_of(path.read_bytes()))
    assert seen <= set(range(5))
    assert len(seen) > 2
    _durable.replace(path, b"")
    assert list(tmp_path.iterdir()) == [path]


def test_of_four_exclusive_writers_one_wins(tmp_path):
    path = tmp_path / "file"
    with mmap.mmap(-1, 4) as winners:

        def writer(place):
            def write():
                with contextlib.suppress(FileExistsError):
                    _durable.replace(path, content(place), overwrite=False)
                    winners[place] += 1

            return write

        with children(*map(writer, range(4))):
            time.sleep(0.5)
        assert sorted(winners[:]) == [0, 0, 0, 1]
        assert number_of(path.read_bytes()) == winners[:].index(1)


def test_four_appenders_tear_no_line(tmp_path):
    path = tmp_path / "log"
    with mmap.mmap(-1, 4 * 8) as counts:

        def appender(place):
            def append():
                own = _durable.Appender(path)
                number = struct.unpack_from("<Q", counts, place * 8)[0]
                with own.locked():
                    own.append(b"%d %d %s\n" % (place, number, b"x" * 5000), durable=number % 8 == 0)
                struct.pack_into("<Q", counts, place * 8, number + 1)
                own.close()

            return append

        with children(*map(appender, range(4))):
            time.sleep(1)
        acknowledged = struct.unpack("<4Q", counts[:])
    found = [line.split() for line in path.read_bytes().splitlines()]
    lines = [line for line in found if line[2:] == [b"x" * 5000]]
    assert len(found) - len(lines) <= 4  # what a kill tore, once a writer, runs into no other line
    for place in range(4):
        numbers = [int(number) for owner, number, _ in lines if int(owner) == place]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) - acknowledged[place] in {0, 1}
    assert min(acknowledged) > 1
