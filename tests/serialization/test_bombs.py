# SPDX-License-Identifier: Apache-2.0
"""Bombs: what a scan of each costs, measured in a process that does nothing else."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from corpus.bombs import bombs, ordinary_but_large
from corpus.format_bombs import format_bombs
from lifeseal import serialization

pytestmark = pytest.mark.slow

BOMBS = bombs() | format_bombs()
MOST_MEMORY = 64 << 20
MOST_SECONDS = 10  # on a quiet machine pickles and archives take less than one, other formats up to 2.5; without the bounds minutes, or all memory

MEASURE = """
import json, os, pathlib, sys, time
from lifeseal import serialization

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

for warm in (b"N.", b'{"auto_map":1}', b"import os", b"- !!x\\n{{ a }}", b"\\x1f\\x8b\\x08", b"PK\\3\\4"):
    serialization.scan_bytes(warm)
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    reader, writer = os.pipe()
    if os.fork() == 0:  # a process of its own, so that what one scan left to the allocator does not hide what the next one takes
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before, began = peak(), time.process_time()
        verdict = serialization.scan(path).verdict.value
        os.write(writer, json.dumps((verdict, time.process_time() - began, peak() - before)).encode())
        os._exit(0)
    os.close(writer)
    found[path.name] = json.loads(os.read(reader, 4096))
    os.wait()
    os.close(reader)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # measuring coverage takes ten times as long
    done = subprocess.run([sys.executable, "-c", MEASURE, folder], check=True, capture_output=True, timeout=600, env=untraced)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_soon_and_takes_little_memory(name, measured):
    _, seconds, memory = measured[name]
    assert seconds < MOST_SECONDS
    assert memory <= MOST_MEMORY


@pytest.mark.parametrize("name", ordinary_but_large())
def test_what_real_models_hold_is_within_the_bounds(name):
    assert serialization.scan_bytes(ordinary_but_large()[name]).verdict.value == "safe"


def test_a_sparse_file_is_not_read_to_its_end(tmp_path):
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        opened.truncate(10 << 30)
    before = pathlib.Path("/proc/self/io").read_text()
    report = serialization.scan(file)
    after = pathlib.Path("/proc/self/io").read_text()
    read = [int(text.split("rchar:")[1].split()[0]) for text in (before, after)]
    assert (report.verdict.value, report.format) == ("unreadable", "unknown")
    assert read[1] - read[0] < 64 << 20
