# SPDX-License-Identifier: Apache-2.0
"""How much memory is free, by the machine and by control groups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lifeseal._io import refuse_beyond_free
from lifeseal.errors import LimitError

MIB = 1 << 20


@pytest.fixture
def system(tmp_path):
    """A machine with 1000 MiB free, and a process in the group /a/b of both versions."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4096000 kB\nMemAvailable: 1024000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("9:name=systemd:/\n4:memory:/a/b\n0::/a/b\n")
    return tmp_path


def group(place, **files):
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(str(text))


def room(system):
    with pytest.raises(LimitError) as caught:
        refuse_beyond_free(1 << 50, where="m", proc=system / "proc", groups=system / "groups")
    return caught.value.limit // MIB


def test_the_machine_counts(system):
    assert room(system) == 1000
    refuse_beyond_free(1000 * MIB, where="m", proc=system / "proc", groups=system / "groups")


@pytest.mark.parametrize("level", ["", "a", "a/b"])
def test_the_tightest_group_of_version_2_counts(system, level):
    group(system / "groups/a/b", memory__max="max", memory__current=5 * MIB)
    group(system / "groups" / level, memory__max=100 * MIB, memory__current=60 * MIB, memory__stat=f"anon 5\ninactive_file {20 * MIB}\n")
    assert room(system) == 60


@pytest.mark.parametrize("level", ["", "a", "a/b"])
def test_the_tightest_group_of_version_1_counts(system, level):
    place = system / "groups/memory" / level
    group(place, memory__limit_in_bytes=100 * MIB, memory__usage_in_bytes=30 * MIB, memory__stat=f"cache 0\ntotal_inactive_file {MIB}\n")
    assert room(system) == 71


def test_a_group_above_its_limit_has_no_room(system):
    group(system / "groups", memory__max=MIB, memory__current=2 * MIB)
    assert room(system) == 0


def test_where_the_system_tells_nothing_nothing_is_refused(tmp_path):
    refuse_beyond_free(1 << 60, where="m", proc=tmp_path, groups=tmp_path)


def test_a_real_group_with_too_little_memory_is_noticed():
    root = Path("/sys/fs/cgroup")
    version_1 = (root / "memory/memory.limit_in_bytes").exists()
    place = (root / "memory" if version_1 else root) / f"lifeseal-{os.getpid()}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error.strerror}")
    try:
        limit = place / ("memory.limit_in_bytes" if version_1 else "memory.max")
        if not limit.exists():
            pytest.skip("no control group can be made: no memory controller")
        limit.write_text(str(200 * MIB))
        code = f"open('{place}/cgroup.procs', 'w').write('0'); from lifeseal._io import refuse_beyond_free; refuse_beyond_free(10**9, where='m')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "LimitError: m: 1000000000 bytes of memory, more than the limit of " in done.stderr
        assert int(done.stderr.split("limit of ")[1]) <= 200 * MIB
    finally:
        place.rmdir()
