# SPDX-License-Identifier: Apache-2.0
"""Stops an operation at each of its system calls and says whether what it left keeps the promise.

A fault of each kind is one function that returns violations, an empty list if there are none: `kills`, `errors`, `cuts`. To hold another
operation to the promise, write an `Operation` for it and add it to `operations.py`.

The operation runs in a child that is forked from the warm test process. The child waits until strace is attached to it, so only the calls of
the operation are counted and faulted. It acknowledges into shared memory, which takes no system call.
"""

import collections
import contextlib
import gc
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from crash.disk import Disk
from lifeseal._io import _durable
from lifeseal.errors import LifesealError

WHY_SKIPPED = "crash tests need root, strace and loop devices"
ERRORS = ("EIO", "ENOSPC")

_CHANGING = (
    "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,"
    "symlink,symlinkat,unlink,unlinkat,truncate,ftruncate,fallocate,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat"
)
_TRACED = f"?open,openat,?creat,close,flock,{_CHANGING}"
_TEMP = re.compile(r"\.lifeseal-.*\.tmp")
_PATIENCE = 30  # seconds for one child; they take milliseconds
_ACKNOWLEDGED, _REFUSED, _BROKEN, _READY = 1, 2, 3, 4


def _next_write(folder: Path) -> None:
    _durable.replace(folder / "next", b"next")


@attrs.frozen(kw_only=True)
class Operation:
    """One thing lifeseal does to files.

    Attributes:
        name: For the test's name.
        prepare: Makes the state before, in an empty folder.
        run: Does it; what it raises has to be an OSError or one of lifeseal's errors.
        check: Given the folder and whether `run` returned, says what is wrong with what was left, or None.
        next_write: A later write, after which no temporary files may be left.
    """

    name: str
    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    check: Callable[[Path, bool], str | None]
    next_write: Callable[[Path], object] = _next_write


@attrs.frozen
class Call:
    """One system call of an operation: the ``nth`` of this ``name``."""

    name: str
    nth: int
    text: str

    @property
    def changes(self) -> bool:
        """Whether the disk may differ after it."""
        if "open" in self.name:
            return re.search("O_CREAT|O_TMPFILE|O_TRUNC", self.text) is not None
        return self.name not in {"close", "flock"}


@attrs.frozen(kw_only=True)
class End:
    """How a child ended."""

    acknowledged: bool
    refused: bool
    killed: bool
    text: str


def able() -> bool:
    """Whether this machine can run the crash tests."""
    tools = ("strace", "mkfs.ext4", "mkfs.xfs", "eatmydata", "mount")
    return sys.platform == "linux" and os.geteuid() == 0 and all(map(shutil.which, tools)) and Path("/dev/loop-control").exists()


def calls(operation: Operation, base: Path) -> list[Call]:
    """List the file calls of an undisturbed run, which must succeed."""
    with _prepared(operation, base) as folder, tempfile.NamedTemporaryFile() as log:
        end = attempt(operation, folder, log=log.name)
        if not end.acknowledged:
            raise AssertionError(f"{operation.name} fails without a fault: {end.text}")
        seen: collections.Counter[tuple[str, str]] = collections.Counter()
        found = {}
        for line in Path(log.name).read_text(errors="replace").splitlines():
            if match := re.match(r"(\d+) +(\w+)\(", line):
                thread, name = match.groups()
                seen[thread, name] += 1
                call = Call(name, seen[thread, name], line)
                found.setdefault((call.name, call.nth), call)
        return list(found.values())


def kills(operation: Operation, base: Path) -> list[str]:
    """Kill it on entering each call: those before have taken effect, this one has not, so each is tried without and with its effect."""
    violations = []
    for call in calls(operation, base):
        with _prepared(operation, base) as folder:
            end = attempt(operation, folder, call, "signal=SIGKILL")
            place = f"killed at {call.name} {call.nth}"
            if not end.killed:
                violations.append(f"{operation.name}: not {place}: {end}")
            violations += _judge(operation, folder, end, place)
    return violations


def errors(operation: Operation, base: Path, error: str) -> list[str]:
    """Let each call fail once; what is left must be as good as after a kill, and clean without a next write."""
    violations = []
    for call in calls(operation, base):
        with _prepared(operation, base) as folder:
            end = attempt(operation, folder, call, f"error={error}")
            place = f"{error} at {call.name} {call.nth}"
            if not end.acknowledged and not end.refused:
                violations.append(f"{operation.name}: {place}: neither done nor refused: {end}")
            if (left := _litter(folder)) and "unlink" not in call.name:
                violations.append(f"{operation.name}: {place}: left {left}")
            violations += _judge(operation, folder, end, place)
    return violations


def cuts(operation: Operation, disk: Disk, *, flush: bool) -> list[str]:
    """Cut the power at each call that changes something, and once after the acknowledgement.

    Args:
        operation: What to judge.
        disk: A mounted disk of its own.
        flush: Whether the journal reaches the disk at the last moment.
    """
    violations = []
    for call in [*(call for call in calls(operation, disk.path) if call.changes), None]:
        with _prepared(operation, disk.path) as folder:
            disk.sync()
            end = attempt(operation, folder, call, "signal=SIGKILL")
            disk.cut(flush=flush)
            place = f"power cut {f'at {call.name} {call.nth}' if call else 'after the acknowledgement'}"
            if end.acknowledged == end.killed or end.killed != bool(call):
                violations.append(f"{operation.name}: {place}: not reached: {end}")
            violations += _judge(operation, folder, end, place)
    return violations


def attempt(operation: Operation, folder: Path, call: Call | None = None, fault: str = "", *, log: str = os.devnull) -> End:
    """Run it in a child, with a fault at ``call`` if one is given."""
    with mmap.mmap(-1, 8192) as shared:
        gate, opener = os.pipe()
        child = fork()
        if child == 0:
            _be_child(operation, folder, shared, gate, opener)
        os.close(gate)
        try:
            _wait_until_ready(shared)
            command = ["strace", "-f", "-o", log, "-e", f"trace={_TRACED}", "-e", "signal=none", "-p", str(child)]
            if call:
                command += ["-e", f"inject={call.name}:{fault}:when={call.nth}"]
            with _tracing(command) if call or log != os.devnull else contextlib.nullcontext():
                os.close(opener)
                status = os.waitpid(child, 0)[1]
        except BaseException:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            raise
        text = shared[1:].rstrip(b"\0").decode(errors="replace")
        return End(
            acknowledged=shared[0] == _ACKNOWLEDGED,
            refused=shared[0] == _REFUSED,
            killed=os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
            text=text,
        )


def _wait_until_ready(shared: mmap.mmap) -> None:
    """Let the child come to its gate first, or strace would count what it does on the way."""
    until = time.monotonic() + _PATIENCE
    while shared[0] != _READY:
        if time.monotonic() > until:
            raise TimeoutError("the child does not come to its gate")
        time.sleep(0.0002)


def fork() -> int:
    """Fork this process; the child must do little and end with ``os._exit``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a test worker may have threads; they hold nothing that the child needs
        return os.fork()


@contextlib.contextmanager
def _tracing(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        try:
            line = tracer.stderr.readline()
            if b"attached" not in line:
                raise RuntimeError(f"strace does not start: {line + tracer.stderr.read()!r}")
            yield
            tracer.wait(_PATIENCE)
        finally:
            tracer.kill()


def _be_child(operation: Operation, folder: Path, shared: mmap.mmap, gate: int, opener: int) -> None:
    result, text = _BROKEN, ""
    try:
        gc.disable()  # the parent's objects are not the child's to finalise
        signal.alarm(_PATIENCE)
        os.close(opener)
        shared[0] = _READY
        os.read(gate, 1)
        operation.run(folder)
        result = _ACKNOWLEDGED
    except (OSError, LifesealError) as error:
        result, text = _REFUSED, repr(error)
    except BaseException:  # noqa: BLE001  # the child must not come back into the test
        text = traceback.format_exc()
    finally:
        shared[0] = result
        room = text.encode()[-4096:]
        shared[1 : 1 + len(room)] = room
        os._exit(0)


@contextlib.contextmanager
def _prepared(operation: Operation, base: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=base))
    operation.prepare(folder)
    yield folder
    shutil.rmtree(folder)


def _litter(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*") if _TEMP.fullmatch(path.name))


def _judge(operation: Operation, folder: Path, end: End, place: str) -> Iterable[str]:
    try:
        if wrong := operation.check(folder, end.acknowledged):
            yield f"{operation.name}: {place}: {wrong}"
        operation.next_write(folder)
    except (OSError, LifesealError) as error:
        yield f"{operation.name}: {place}: what was left cannot be read or written: {error!r}"
    if left := _litter(folder):
        yield f"{operation.name}: {place}: a next write does not sweep {left}"
