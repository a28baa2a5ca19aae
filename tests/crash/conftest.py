# SPDX-License-Identifier: Apache-2.0
import pytest

from crash import harness


@pytest.fixture(autouse=True)
def _able_machine():
    if not harness.able():
        pytest.skip(harness.WHY_SKIPPED)
