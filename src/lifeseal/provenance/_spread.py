# SPDX-License-Identifier: Apache-2.0
"""Batches of work, spread over an executor whose workers may die, be slow, or answer in any order."""

import os
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from lifeseal.errors import StoreError

if TYPE_CHECKING:
    from concurrent.futures import Executor

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 256  # batches that wait or run elsewhere at one time
ATTEMPTS = 3
_TICK = 0.2
_SLOW, _AT_LEAST = 3.0, 5.0  # times the typical batch, and seconds, after which a last one is begun again elsewhere


def spread(executor: "Executor", work: Callable[[T], R], batches: Sequence[T], *, idle: Callable[[], object]) -> Iterator[tuple[T, R]]:
    """Run batches in an executor's workers.

    A batch whose worker died is run again; when nothing else is left to do, a batch that takes much longer than the others is also
    begun in another worker, and whichever is ready first counts. If the executor itself is broken, the rest is done here.

    Args:
        executor: Whose workers.
        work: What is done to a batch; done twice it must do no harm.
        batches: In order.
        idle: Called about five times a second; what it raises ends the work.

    Yields:
        Batches and their results, each once, as they become ready.

    Raises:
        Exception: What a batch raised.
        StoreError: A batch's workers died several times.
    """
    work_left = _Work(executor, work, batches)
    try:
        while len(work_left.done) < len(batches):
            work_left.submit()
            for number, result in work_left.finished() if work_left.running else work_left.one_here():
                yield batches[number], result
            work_left.begin_late_ones_again()
            idle()
    finally:
        for job in work_left.running:
            job.cancel()


class _Work(Generic[T, R]):
    """What is left to do, by number of batch."""

    def __init__(self, executor: "Executor", work: Callable[[T], R], batches: Sequence[T]) -> None:
        self._executor = executor
        self._work = work
        self._batches = batches
        self._todo = deque(range(len(batches)))
        self._tries = Counter[int]()
        self._spent: list[float] = []
        self._broken = False
        self.done = set[int]()
        self.running: dict[Future[R], tuple[int, float]] = {}

    def submit(self) -> None:
        """Keep the workers busy."""
        while self._todo and len(self.running) < WINDOW and not self._broken:
            number = self._todo[0]
            try:
                job = self._executor.submit(_Attempt(work=self._work, batch=self._batches[number], token=os.urandom(8)))
            except (BrokenExecutor, RuntimeError):  # broken, or shut down meanwhile
                self._broken = True
            else:
                self._todo.popleft()
                self._tries[number] += 1
                self.running[job] = number, time.monotonic()

    def one_here(self) -> Iterator[tuple[int, R]]:
        """Do one batch in this process, where there are no workers any more."""
        number = self._todo.popleft()
        self.done.add(number)
        yield number, self._work(self._batches[number])

    def finished(self) -> Iterator[tuple[int, R]]:
        """Wait a little, and yield what has come."""
        for job in wait(self.running, timeout=_TICK, return_when=FIRST_COMPLETED).done:
            number, begun = self.running.pop(job)
            if number in self.done:
                continue
            error = job.exception() if not job.cancelled() else CancelledError()
            if error is None:
                self.done.add(number)
                self._spent.append(time.monotonic() - begun)
                yield number, job.result()
            else:
                self._again(number, error)

    def begin_late_ones_again(self) -> None:
        """When nothing else is left, begin once more what takes much longer than the rest did, and runs in one place."""
        if not self._todo and self._spent and not self._broken:
            late = time.monotonic() - max(_AT_LEAST, _SLOW * statistics.median(self._spent))
            places = Counter(number for number, _ in self.running.values())
            slow = {number for number, begun in self.running.values() if begun < late and places[number] == 1}
            self._todo.extend(sorted(number for number in slow - self.done if self._tries[number] < ATTEMPTS))

    def _again(self, number: int, error: BaseException) -> None:
        ended = worker_ended(error)
        if not ended and not isinstance(error, OSError):
            raise error
        if self._tries[number] < ATTEMPTS:
            self._todo.append(number)
        elif ended:
            raise StoreError(
                f"workers ended {self._tries[number]} times on the same files; the last: {type(error).__name__}: {str(error)[:300]}"
            ) from None
        else:
            raise error


def worker_ended(error: BaseException) -> bool:
    """Tell whether an error is about a worker's end, and not about what it did."""
    return isinstance(error, BrokenExecutor | CancelledError) or type(error).__module__.partition(".")[0] == "distributed"


@attrs.frozen(kw_only=True)
class _Attempt(Generic[T, R]):
    """One call. Dask takes equal calls for one, and looks long for what tells them apart: a token says it."""

    work: Callable[[T], R]
    batch: T
    token: bytes

    def __call__(self) -> R:
        return self.work(self.batch)

    def __dask_tokenize__(self) -> bytes:
        return self.token
