# SPDX-License-Identifier: Apache-2.0
"""One scanner over one path, timed in its own process without the time to start it: ``python _scanners.py SCANNER PATH RUNS``."""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path


def scanner(name: str) -> Callable[[str], object]:
    """Return the function that scans a path.

    Args:
        name: ``lifeseal``, ``picklescan`` or ``modelaudit``.

    Returns:
        It.
    """
    if name == "lifeseal":
        from lifeseal import serialization

        return serialization.scan
    if name == "picklescan":
        module = importlib.import_module("picklescan.scanner")
        return lambda path: module.scan_directory_path(path) if Path(path).is_dir() else module.scan_file_path(path)
    core = importlib.import_module("modelaudit.core")
    found: Callable[[str], object] = core.scan_model_directory_or_file
    return found


def main() -> None:
    """Print one JSON list of wall seconds, seconds of all cores, and peak memory in bytes."""
    run, path, runs = scanner(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    samples = []
    for turn in range(runs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        run(path)
        if turn:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            samples.append((time.perf_counter() - wall, time.process_time() - cpu, memory))
    print(json.dumps(samples))


if __name__ == "__main__":
    main()
