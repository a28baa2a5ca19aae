# SPDX-License-Identifier: Apache-2.0
import pytest

from crash import harness
from crash.disk import KINDS, mounted
from crash.operations import OPERATIONS

pytestmark = pytest.mark.crash

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


@each_operation
def test_killed_at_any_call_it_is_old_or_new(operation, tmp_path):
    assert harness.kills(operation, tmp_path) == []


@each_operation
@pytest.mark.parametrize("error", harness.ERRORS)
def test_refused_at_any_call_it_is_old_or_new_and_clean(operation, error, tmp_path):
    assert harness.errors(operation, tmp_path, error) == []


@pytest.mark.parametrize("flush", [True, False], ids=["journal-flushed", "journal-lost"])
@pytest.mark.parametrize("kind", KINDS, ids=["ext4", "ext4-writeback", "xfs"])
def test_power_cut_at_any_call_keeps_what_was_acknowledged(kind, flush, tmp_path):
    with mounted(kind, tmp_path) as disk:
        assert [found for operation in OPERATIONS for found in harness.cuts(operation, disk, flush=flush)] == []
