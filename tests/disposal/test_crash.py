# SPDX-License-Identifier: Apache-2.0
"""Seal and erase under system faults, at the calls that change the disk; `crash/` holds the rest and the harness."""

import pytest

from crash import harness
from crash.disk import KINDS, mounted
from erasure.crash_operations import OPERATIONS

pytestmark = pytest.mark.crash

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


@pytest.fixture(autouse=True)
def _changing_calls_only(monkeypatch):
    """A kill at an open or a close leaves what the next change finds; leaving those out saves two minutes."""
    if not harness.able():
        pytest.skip(harness.WHY_SKIPPED)
    monkeypatch.setattr("lifeseal.erasure._passphrase._MEMORY", 64)  # KiB; this is about files
    every = harness.calls
    monkeypatch.setattr(harness, "calls", lambda operation, base: [call for call in every(operation, base) if call.changes])


@each_operation
def test_killed_at_any_change_the_vault_is_old_or_new(operation, tmp_path):
    assert harness.kills(operation, tmp_path) == []


@each_operation
@pytest.mark.parametrize("error", ["EIO", pytest.param("ENOSPC", marks=pytest.mark.long)])
def test_refused_at_any_change_the_vault_is_old_or_new(operation, error, tmp_path):
    assert harness.errors(operation, tmp_path, error) == []


@pytest.mark.parametrize("kind", [KINDS[0], pytest.param(KINDS[2], marks=pytest.mark.long)], ids=["ext4", "xfs"])
def test_power_cut_at_any_change_keeps_what_was_acknowledged(kind, tmp_path):
    with mounted(kind, tmp_path) as disk:
        assert [found for operation in OPERATIONS for found in harness.cuts(operation, disk, flush=False)] == []
