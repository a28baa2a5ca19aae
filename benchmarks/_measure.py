# SPDX-License-Identifier: Apache-2.0
"""Child processes, measured one by one and interleaved, so that a slow minute of the machine hits all of them."""

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence

import attrs

Command = tuple[str, ...]

_MEMORY_UNIT = 1 if os.uname().sysname == "Darwin" else 1024  # bytes in one unit of ru_maxrss


@attrs.frozen(kw_only=True)
class Contender:
    """One program to measure.

    Attributes:
        name: As it stands in the table.
        command: Program and arguments.
        exit_code: What it must end with, or the measurement is worth nothing.
    """

    name: str
    command: Command
    exit_code: int = 0


@attrs.frozen(kw_only=True)
class Sample:
    """One run: seconds by the wall, seconds of all cores, peak memory in bytes."""

    wall: float
    cpu: float
    memory: int


@attrs.frozen(kw_only=True)
class Row:
    """The medians of one contender, and its wall time over that of each reference."""

    case: str
    name: str
    wall: float
    cpu: float
    memory: int
    ratios: dict[str, float]


# A child's peak memory counts that of the process it was started from, so a small one starts it and measures.
_LAUNCHER = """
import os, sys, time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it every run would compile its modules anew
started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ), 0)
wall = time.perf_counter() - started
found = os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
os.write(int(sys.argv[1]), " ".join(map(str, found)).encode())
"""


def run_once(contender: Contender) -> Sample:
    """Run a program to its end, and measure it and its children.

    Args:
        contender: What to run.

    Returns:
        The measurement.

    Raises:
        RuntimeError: It ended otherwise than it must.
    """
    told, tell = os.pipe()
    with os.fdopen(told) as report:
        command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(tell), *contender.command]
        done = subprocess.run(command, pass_fds=[tell], capture_output=True, text=True, errors="replace", check=True)
        os.close(tell)
        code, wall, cpu, memory = report.read().split()
    if int(code) != contender.exit_code:
        raise RuntimeError(f"{contender.name} ended with {code}, not {contender.exit_code}:\n{(done.stdout + done.stderr)[-2000:]}")
    return Sample(wall=float(wall), cpu=float(cpu), memory=int(memory) * _MEMORY_UNIT)


def compare(case: str, contenders: Sequence[Contender], *, references: Sequence[str], runs: int) -> list[Row]:
    """Measure contenders in turns, after one round that only warms the caches.

    Args:
        case: Name of the case.
        contenders: What to run.
        references: Names of the contenders (peers and floors) that the others are divided by.
        runs: Rounds that count.

    Returns:
        One row for each contender.
    """
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for turn in range(runs + 1):
        for contender in contenders:
            sample = run_once(contender)
            if turn:
                samples[contender.name].append(sample)
    return rows_of(case, samples, references)


def rows_of(case: str, samples: Mapping[str, Sequence[Sample]], references: Sequence[str]) -> list[Row]:
    """Take the medians of what was measured.

    Args:
        case: Name of the case.
        samples: By contender.
        references: Names of the contenders that the others are divided by.

    Returns:
        One row for each contender.
    """
    walls = {name: statistics.median(sample.wall for sample in found) for name, found in samples.items()}
    return [
        Row(
            case=case,
            name=name,
            wall=walls[name],
            cpu=statistics.median(sample.cpu for sample in found),
            memory=int(statistics.median(sample.memory for sample in found)),
            ratios={reference: walls[name] / walls[reference] for reference in references if reference != name},
        )
        for name, found in samples.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Lay rows out as plain text, one block a case."""
    lines = []
    for case in dict.fromkeys(row.case for row in rows):
        block = [row for row in rows if row.case == case]
        width = max(len(row.name) for row in block)
        lines += ["", case, f"  {'':{width}}  {'wall s':>9} {'cpu s':>9} {'peak MiB':>9}  wall as a multiple of"]
        for row in block:
            ratios = ", ".join(f"{ratio:.2f} x {name}" for name, ratio in row.ratios.items())
            lines.append(f"  {row.name:{width}}  {row.wall:9.3f} {row.cpu:9.3f} {row.memory / 2**20:9.1f}  {ratios}")
    return "\n".join(lines).lstrip("\n")
