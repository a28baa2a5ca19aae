# SPDX-License-Identifier: Apache-2.0
"""Blocks that two files share are told, where the file system says so."""

import os
import subprocess

import pytest

from crash import harness
from crash.disk import KINDS, mounted
from lifeseal.disposal import Wanted, find_copies
from lifeseal.disposal._extents import shares_blocks


@pytest.mark.crash
@pytest.mark.skipif(not harness.able(), reason=harness.WHY_SKIPPED)
def test_a_reflink_on_xfs_is_a_copy_whose_blocks_are_shared(tmp_path):
    with mounted(KINDS[2], tmp_path) as disk:
        (disk.path / "a").write_bytes(os.urandom(100_000))
        (disk.path / "alone").write_bytes(os.urandom(100_000))
        subprocess.run(["cp", "--reflink=always", disk.path / "a", disk.path / "b"], check=True)
        subprocess.run(["sync"], check=True)
        copies = find_copies(Wanted.merged(Wanted.of(disk.path / name) for name in ("a", "alone")), [disk.path]).copies
        assert {copy.path.name: copy.shares_blocks for copy in copies} == {"a": True, "b": True, "alone": False}


def test_a_file_system_that_does_not_say_is_not_asked_twice():
    with open("/proc/self/maps", "rb") as file:  # noqa: PTH123 - any file of a system that has no extents
        assert shares_blocks(file.fileno()) is None
