# SPDX-License-Identifier: Apache-2.0
"""Work in threads: told to one callback, ended by it, and never left running behind the caller's back."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from lifeseal._io._progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")
_TICK = 0.2
_SMALL = 64 << 10


class Cancelled(Exception):  # noqa: N818 - never leaves a worker
    """Ends a worker whose caller has given up."""


class Report:
    """Counts finished bytes in the workers and tells the caller's thread; set to stop, it ends the workers.

    Args:
        phase: Word for the progress.
        total: Bytes in all.
        progress: Called in the caller's thread.

    Attributes:
        stopped: True ends each worker at its next piece.
        progress: As given.
    """

    def __init__(self, phase: str, total: int, progress: ProgressCallback) -> None:
        self._phase = phase
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self.stopped = False
        self.progress = progress

    def add(self, amount: int) -> None:
        """Count bytes, in a worker.

        Args:
            amount: Bytes finished.

        Raises:
            Cancelled: The caller has given up.
        """
        if self.stopped:
            raise Cancelled
        if self.progress is not None:
            with self._lock:
                self._done += amount

    def tell(self) -> None:
        """Tell the callback how far the work has come; it may raise."""
        if self.progress is not None:
            self.progress(Progress(phase=self._phase, done=min(self._done, self._total), total=self._total))


def collect(jobs: "Sequence[Future[T]]", report: Report) -> Iterator[T]:
    """Yield what jobs return as they end; the first that fails, or a callback that raises, ends the others.

    Args:
        jobs: Submitted to threads or to an executor elsewhere.
        report: Told about five times a second.

    Yields:
        Results, in no order.

    Raises:
        BaseException: What a job or the callback raised.
    """
    from concurrent.futures import FIRST_EXCEPTION, wait

    pending = set(jobs)
    try:
        while pending:
            finished, pending = wait(pending, timeout=_TICK if report.progress else None, return_when=FIRST_EXCEPTION)
            for job in finished:
                yield job.result()
            report.tell()
    except BaseException:
        report.stopped = True
        for job in pending:
            job.cancel()
        raise


def in_threads(jobs: Sequence[Callable[[], T]], report: Report, *, threads: int) -> list[T]:
    """Run jobs in threads; when this returns or raises, none of them runs any more.

    Args:
        jobs: Each counts its bytes at the report, which ends it when another has failed.
        report: See `collect`.
        threads: How many at once.

    Returns:
        Results, in no order.

    Raises:
        BaseException: What a job or the callback raised; `KeyboardInterrupt` too.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="lifeseal")
    try:
        return list(collect([pool.submit(job) for job in jobs], report))
    except BaseException:
        report.stopped = True
        raise
    finally:
        undisturbed(pool.shutdown)


class Behind:
    """A thread beside the caller that does one thing at a time, one piece behind: whoever fills two buffers in turns need not wait for it.

    As a context manager it waits at the end of the block, and raises there what the last piece raised.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[object] | None = None

    def do(self, action: Callable[[memoryview], object], piece: memoryview) -> None:
        """Begin with one piece, when the one before it is done; a small one is done at once, here.

        Args:
            action: What to do with it.
            piece: Stays as it is until the next call, or `wait`.

        Raises:
            BaseException: What the action before it raised.
        """
        self.wait()
        if piece.nbytes <= _SMALL:
            action(piece)
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lifeseal-behind")
        self._pending = self._pool.submit(action, piece)

    def wait(self) -> None:
        """Wait for what was begun, and raise what it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            if self._pool is not None:
                undisturbed(self._pool.shutdown)


def undisturbed(action: Callable[[], object]) -> None:
    """Run something to its end whatever interrupts: in a thread, where Python runs no signal handlers.

    Args:
        action: What must be done.

    Raises:
        BaseException: What the action raised; else what interrupted the wait for it, once it is done.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="lifeseal-undisturbed")
    thread.start()
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as error:  # noqa: BLE001 - raised again below, when the action is done
            failures.append(error)
    if failures:
        raise failures[0]
