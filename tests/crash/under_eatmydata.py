# SPDX-License-Identifier: Apache-2.0
"""A program for `test_meta.py`: power cuts of one operation, the violations on stdout. Under eatmydata every fsync does nothing."""

import sys
from pathlib import Path

from crash import harness
from crash.disk import KINDS, mounted
from crash.operations import OPERATIONS

if __name__ == "__main__":
    with mounted(KINDS[0], Path(sys.argv[1])) as disk:
        for operation in OPERATIONS:
            sys.stdout.writelines(f"{found}\n" for found in harness.cuts(operation, disk, flush=False))
