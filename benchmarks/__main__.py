# SPDX-License-Identifier: Apache-2.0
"""Run it as ``python -m benchmarks NAME``."""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

import attrs

from benchmarks._cases import CASES, Options
from benchmarks._measure import table


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios against named peers and floors, in one run.")
    parser.add_argument("name", nargs="*", help="case to measure")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--runs", type=int, default=5, help="rounds that count, after one to warm up (5)")
    parser.add_argument("--mib", type=int, default=2048, help="mebibytes of the large model (2048)")
    parser.add_argument("--files", type=int, default=10_000, help="files of the model of small files (10000)")
    parser.add_argument("--records", type=int, default=1_000_000, help="records of the dataset of records (1000000)")
    parser.add_argument("--dir", type=Path, help="where to make the data (the system's place for temporary files)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    asked = parser.parse_args()
    unknown = [name for name in asked.name if name not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]!r}; there are: {', '.join(CASES)}")
    if asked.list or not asked.name:
        for name, measure in CASES.items():
            print(f"{name:13} {(measure.__doc__ or '').splitlines()[0]}")
        return

    rows = []
    for name in asked.name:
        with tempfile.TemporaryDirectory(prefix="lifeseal-bench-", dir=asked.dir) as folder:
            rows += CASES[name](Options(runs=asked.runs, mib=asked.mib, files=asked.files, folder=Path(folder), records=asked.records))
    if asked.json:
        machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        print(json.dumps({"schema": "lifeseal.benchmarks/1", **machine, "rows": [attrs.asdict(row) for row in rows]}, indent=1))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
