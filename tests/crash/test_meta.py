# SPDX-License-Identifier: Apache-2.0
"""The harness must find what is wrong with bad writers; else its silence about ours says nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crash import harness
from crash.disk import KINDS, mounted
from crash.operations import NEW, OLD, OPERATIONS, REPLACE, replacement

pytestmark = pytest.mark.crash


def write_plain(path, data):
    with path.open("wb") as file:
        file.write(data)


def write_without_fsync(path, data):
    temp = path.with_name(".lifeseal-mutant.tmp")
    temp.write_bytes(data)
    temp.rename(path)
    temp.unlink(missing_ok=True)


def write_without_folder_fsync(path, data):
    temp = path.with_name(".lifeseal-mutant.tmp")
    with temp.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temp.rename(path)


def write_without_error(path, data):
    try:
        path.write_bytes(data)
    except OSError:
        path.write_bytes(OLD)


def test_a_plain_write_does_not_survive_a_kill(tmp_path):
    violations = harness.kills(replacement("plain", write_plain), tmp_path)
    assert any("killed at write 1: file is neither old nor new: 0 bytes" in found for found in violations)


def test_a_plain_write_does_not_survive_a_full_disk(tmp_path):
    violations = harness.errors(replacement("plain", write_plain), tmp_path, "ENOSPC")
    assert any("ENOSPC at write 1: file is neither old nor new: 0 bytes" in found for found in violations)


def test_a_swallowed_error_is_found(tmp_path):
    violations = harness.errors(replacement("swallowing", write_without_error), tmp_path, "EIO")
    assert any("EIO at write 1: acknowledged and lost" in found for found in violations)


def test_litter_is_found(tmp_path):
    operation = replacement("littering", write_without_fsync, next_write=lambda _: None)
    assert any("ENOSPC at rename 1: left ['.lifeseal-mutant.tmp']" in found for found in harness.errors(operation, tmp_path, "ENOSPC"))
    assert any("killed at rename 1: a next write does not sweep" in found for found in harness.kills(operation, tmp_path))


def test_a_kill_comes_before_the_call_takes_effect(tmp_path):
    states = {}
    for call in harness.calls(REPLACE, tmp_path):
        folder = tmp_path / f"{call.name}-{call.nth}"
        folder.mkdir()
        REPLACE.prepare(folder)
        end = harness.attempt(REPLACE, folder, call, "signal=SIGKILL")
        assert (end.killed, end.acknowledged) == (True, False)
        states[call.name, call.nth] = (folder / "file").read_bytes()
    order = list(states)
    rename = next(place for place, (name, _) in enumerate(order) if name.startswith("rename"))
    assert all(states[key] == OLD for key in order[: rename + 1])
    assert all(states[key] == NEW for key in order[rename + 1 :])
    assert len(order) > rename + 2


@pytest.mark.parametrize(
    ("kind", "flush"),
    [(kind, flush) for kind in KINDS for flush in (True, False) if (kind, flush) != (KINDS[0], True)],  # ext4 by itself flushes what is renamed
    ids=["ext4-journal-lost", "ext4-writeback-journal-flushed", "ext4-writeback-journal-lost", "xfs-journal-flushed", "xfs-journal-lost"],
)
def test_a_writer_that_forgets_fsync_does_not_survive_a_power_cut(kind, flush, tmp_path):
    with mounted(kind, tmp_path) as disk:
        violations = harness.cuts(replacement("forgetful", write_without_fsync), disk, flush=flush)
    assert any("after the acknowledgement" in found for found in violations)


@pytest.mark.parametrize("kind", KINDS, ids=["ext4", "ext4-writeback", "xfs"])
def test_a_writer_that_forgets_the_folder_does_not_survive_a_power_cut(kind, tmp_path):
    with mounted(kind, tmp_path) as disk:
        violations = harness.cuts(replacement("forgetful", write_without_folder_fsync), disk, flush=False)
    assert any("after the acknowledgement: acknowledged and lost" in found for found in violations)


@pytest.mark.parametrize("prefix", [("eatmydata",), ()], ids=["under-eatmydata", "control"])
def test_without_fsync_each_operation_loses_what_it_acknowledged(prefix, tmp_path):
    program = Path(__file__).with_name("under_eatmydata.py")
    environment = {**os.environ, "PYTHONPATH": str(program.parents[1])}
    command = [*prefix, sys.executable, str(program), str(tmp_path)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    lost = {operation.name for operation in OPERATIONS if f"{operation.name}: power cut after the acknowledgement: acknowledged" in found}
    assert lost == ({operation.name for operation in OPERATIONS} if prefix else set())
    if not prefix:
        assert not found.strip()
