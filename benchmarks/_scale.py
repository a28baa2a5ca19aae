# SPDX-License-Identifier: Apache-2.0
"""Recording on executors: one process, two, and a Dask cluster of two; only the call is timed, when the workers are up."""

import datetime as dt
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._data import ROOT, make_files
from benchmarks._measure import Row, Sample, rows_of
from lifeseal import provenance

if TYPE_CHECKING:
    from benchmarks._cases import Options

_DESCRIPTION = provenance.Description(name="b", source="s", obtained=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), licence="MIT")
_MEMORY_UNIT = 1024
_LINE = b'{"id": %012d, "text": "' + b"w" * 160 + b'"}\n'
_SHARDS = 40


def measure_data_scale(options: "Options") -> list[Row]:
    """Record large files, small ones and records on one process, two processes and two workers of a Dask cluster."""
    large = make_files(options.folder / "large", count=200, size=options.mib * 2**20 // 200)
    small = make_files(options.folder / "small", count=options.files, size=4096)
    lines = _make_shards(options.folder / "lines", options.records)
    rows = []
    for case, folder, records in (
        (f"record {options.mib} MiB in 200 files, workers up", large, "no"),
        (f"record {options.files} files of 4 KiB, workers up", small, "no"),
        (f"record {options.records} records in {_SHARDS} files, workers up", lines, "yes"),
    ):
        command = [sys.executable, "-m", "benchmarks._scale", str(folder), records, str(options.runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        samples = {name: [Sample(**sample) for sample in found] for name, found in json.loads(done.stdout.splitlines()[-1]).items()}
        rows += rows_of(case, samples, ["one process", "two processes"])
    return rows


def _make_shards(folder: Path, count: int) -> Path:
    folder.mkdir()
    each = count // _SHARDS
    for shard in range(_SHARDS):
        with (folder / f"{shard:02}.jsonl").open("wb") as file:
            file.writelines(_LINE % (shard * each + line) for line in range(each))
    return folder


def _executors(stack: ExitStack) -> Iterator[tuple[str, Executor]]:
    start = multiprocessing.get_context("spawn")
    yield "one process", stack.enter_context(ProcessPoolExecutor(1, mp_context=start))
    yield "two processes", stack.enter_context(ProcessPoolExecutor(2, mp_context=start))
    from distributed import Client, LocalCluster

    cluster = stack.enter_context(LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None))
    client = stack.enter_context(Client(cluster))
    yield "two Dask workers", stack.enter_context(client.get_executor())


def _timed(work: Callable[[], object]) -> dict[str, float]:
    def spent() -> float:
        found = resource.getrusage(resource.RUSAGE_SELF)
        return found.ru_utime + found.ru_stime

    wall, cpu = time.perf_counter(), spent()
    work()
    wall, cpu = time.perf_counter() - wall, spent() - cpu
    return {"wall": wall, "cpu": cpu, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MEMORY_UNIT}


def _record(folder: str, records: str, executor: Executor) -> None:
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as leaves:
        how = provenance.Records(leaves=leaves) if records == "yes" else None
        provenance.record(folder, description=_DESCRIPTION, records=how, executor=executor)


def main() -> None:
    """Measure one folder in turns; cpu and memory are those of the process that calls, not of its workers."""
    folder, records, runs = sys.argv[1:]
    found: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        executors = dict(_executors(stack))
        for turn in range(int(runs) + 1):
            for name, executor in executors.items():
                sample = _timed(lambda executor=executor: _record(folder, records, executor))  # type: ignore[misc]
                if turn:
                    found.setdefault(name, []).append(sample)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
