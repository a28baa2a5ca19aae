# SPDX-License-Identifier: Apache-2.0
"""How much memory can still be taken: by this machine, and by the control groups that this process lies in.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst ("memory.max") and cgroup-v1/memory.rst; proc(5), "meminfo".
"""

from collections.abc import Iterator
from pathlib import Path

from lifeseal.errors import LimitError


def refuse_beyond_free(size: int, *, where: str, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> None:
    """Refuse to take more memory than is free: where the system gives it all the same, it ends some process later.

    Args:
        size: Bytes that are about to be taken.
        where: Name for error messages.
        proc: Where the system tells about itself.
        groups: Where it tells about control groups.

    Raises:
        LimitError: It is more than is free.
    """
    free = min(_free(proc, groups), default=size)
    if size > free:
        raise LimitError(where, limit=free, seen=size, unit="bytes of memory")


def _free(proc: Path, groups: Path) -> Iterator[int]:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _levels(groups, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            yield from _levels(groups / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _levels(root: Path, path: str, limit: str, usage: str, droppable: str) -> Iterator[int]:
    """Tell what is left in a group and in each that it lies in; in a container the innermost may be shown as the root."""
    group = root / path.lstrip("/")
    for level in (group, *group.parents):
        if level == root.parent:
            return
        try:
            most, used = int((level / limit).read_text()), int((level / usage).read_text())
        except (OSError, ValueError):  # the root has none, and "max" is no limit
            continue
        cached = next((int(line.split()[1]) for line in _lines(level / "memory.stat") if line.split()[0] == droppable), 0)
        yield max(0, most - used + cached)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
