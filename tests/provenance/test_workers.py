# SPDX-License-Identifier: Apache-2.0
"""Workers that die, are slow, lie, or answer in any order; on a real Dask cluster too."""

import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from lifeseal import provenance
from lifeseal.errors import FormatError, StoreError
from lifeseal.provenance import Records, _recording, _spread, _work

KEY = b"sixteen bytes or more"
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "dask_cluster.py"


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.jsonl").write_bytes(b'{"n": %d}\n' % number * (number * 50))
        (folder / f"{number:02}.bin").write_bytes(b"%d" % number * 1000)
    return folder


@pytest.fixture
def record(shards, description, tmp_path, monkeypatch):
    """Record the shards in batches of three files."""
    monkeypatch.setattr(_work, "_BATCH_FILES", 3)

    def run(leaves="l", **options):
        return provenance.record(shards, description=description, records=Records(leaves=tmp_path / leaves), **options)

    return run


class Odd(Executor):
    """Runs each call in a thread of its own; ``fault`` may stand in for it."""

    def __init__(self, fault=lambda number, run: run()):
        self.calls = 0
        self._fault = fault

    def submit(self, function, /, *args):
        future, number = Future(), self.calls
        self.calls += 1

        def work():
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(self._fault(number, lambda: function(*args)))
            except BaseException as error:  # noqa: BLE001 - as executors do
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


def fail_first(error):
    def fault(number, run):
        if number == 0:
            raise error
        return run()

    return fault


@pytest.mark.parametrize("error", [BrokenExecutor("died"), CancelledError(), OSError(5, "a network file system"), ConnectionResetError()])
def test_a_worker_that_ends_costs_one_more_attempt_and_nothing_else(error, record):
    wanted = record(leaves="here").to_bytes()
    executor = Odd(fail_first(error))
    assert record(executor=executor).to_bytes() == wanted
    assert executor.calls == 9


def test_results_in_any_order_give_the_same_manifest(record):
    wanted = record(leaves="here").to_bytes()
    dice = random.Random(5)

    def late(_, run):
        time.sleep(dice.random() / 5)
        return run()

    assert record(executor=Odd(late)).to_bytes() == wanted


def test_workers_that_always_end_are_given_up(record):
    record(executor=Odd())
    with pytest.raises(StoreError, match="workers ended 3 times on the same files; the last: BrokenExecutor: died"):
        record(leaves="m", executor=Odd(lambda *_: (_ for _ in ()).throw(BrokenExecutor("died"))))
    with pytest.raises(OSError, match="disk"):
        record(leaves="n", executor=Odd(lambda *_: (_ for _ in ()).throw(OSError(5, "disk"))))


def test_what_a_callers_key_function_raises_is_not_tried_again(record):
    def no_key(_):
        raise KeyError("nobody's key")

    executor = Odd()
    with pytest.raises(KeyError, match="nobody's key"):
        record(executor=executor, leaf_key=no_key)
    assert executor.calls == 8


def test_a_broken_executor_is_done_without(record):
    wanted = record(leaves="here").to_bytes()

    class Broken(Odd):
        def submit(self, function, /, *args):
            if self.calls == 2:
                raise BrokenExecutor("no more")
            return super().submit(function, *args)

    assert record(executor=Broken()).to_bytes() == wanted


@pytest.mark.parametrize(
    "faults", [{1: "stuck"}, {1: "dies", 3: "stuck"}, {1: "stuck", 3: "dies"}], ids=["once", "after its worker died", "and its second worker dies"]
)
def test_a_worker_that_never_answers_is_not_waited_for(faults, monkeypatch):
    monkeypatch.setattr(_spread, "_AT_LEAST", 0.2)
    forever, begun = threading.Event(), time.monotonic()

    def fault(number, run):
        if faults.get(number) == "dies":
            raise BrokenExecutor("the worker died")
        if number in faults:
            forever.wait(30)
        return run()

    try:
        done = dict(_spread.spread(Odd(fault), lambda batch: batch * 2, range(3), idle=lambda: None))
    finally:
        forever.set()
    assert done == {number: 2 * number for number in range(3)}
    assert time.monotonic() - begun < 15


def test_a_slow_worker_is_not_waited_for_twice(record, monkeypatch):
    monkeypatch.setattr(_spread, "_AT_LEAST", 0.2)
    wanted = record(leaves="here").to_bytes()
    forever = threading.Event()

    def stuck(number, run):
        if number == 3:
            forever.wait(60)
        return run()

    begun = time.monotonic()
    executor = Odd(stuck)
    assert record(executor=executor).to_bytes() == wanted
    forever.set()
    assert time.monotonic() - begun < 30
    assert executor.calls == 9


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda entries: [(entries[0][0], entries[0][1] + 1, *entries[0][2:]), *entries[1:]], "a worker sees another file"),
        (lambda entries: entries[1:], "did not answer for the files"),
        (lambda entries: entries[::-1], "did not answer for the files"),
        (lambda entries: [*entries, entries[0]], "did not answer for the files"),
    ],
    ids=["size", "fewer", "another order", "more"],
)
def test_a_worker_that_lies_is_refused(lie, said, record):
    record(executor=Odd())
    with pytest.raises(FormatError, match=said):
        record(leaves="m", executor=Odd(lambda number, run: _recording.Answers(each=tuple(lie([*run().each]))) if number == 2 else run()))


@pytest.mark.parametrize("seen", ["as it is", "of another machine"])
def test_a_file_that_changes_before_a_worker_answers_is_refused_whatever_the_worker_saw(seen, record, shards):
    """A worker says what it saw when it had read; where that is what was listed, nobody looks again."""

    def on_another_machine(_, run):
        return _recording.Answers(each=tuple((*answer[:-1], bytes(40)) for answer in run().each))

    def changed(number, run):
        if number == 0:
            path = shards / "00.bin"
            path.write_bytes(b"x" * path.stat().st_size)
        return run() if seen == "as it is" else on_another_machine(number, run)

    wanted = record(leaves="here").to_bytes()
    assert record(executor=Odd() if seen == "as it is" else Odd(on_another_machine)).to_bytes() == wanted
    with pytest.raises(FormatError, match=r"'00.bin': changed while it was recorded"):
        record(leaves="m", executor=Odd(changed))


def test_a_worker_answers_in_a_form_that_dask_sends_as_one(record):
    kinds = []

    def look(_, run):
        found = run()
        kinds.append(type(found))
        return found

    record(executor=Odd(look))
    assert set(kinds) == {_recording.Answers}


def test_a_worker_with_a_folder_of_its_own_for_leaf_files_is_refused(record, tmp_path):
    def apart(_, run):
        found = run()
        for place in (tmp_path / "l").glob("*.leaves"):
            place.unlink()
        return found

    with pytest.raises(FormatError, match="the folder for leaf files must be the same for all workers"):
        record(executor=Odd(apart))


def end_once(flag, record):
    """Be a key function at which the first worker dies."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return KEY
    os.kill(os.getpid(), signal.SIGKILL)
    return KEY


@pytest.mark.parametrize("spread", [False, True], ids=["batches", "one large file"])
def test_a_killed_process_costs_nothing_but_time(spread, record, tmp_path, monkeypatch):
    if spread:
        monkeypatch.setattr(_recording, "_APART", 1000)
        monkeypatch.setattr(_work, "_FEW", 100)
    flag = tmp_path / "flag"
    flag.touch()
    wanted = record(leaves="here", leaf_key=functools.partial(end_once, flag))
    flag.unlink()
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        found = record(executor=pool, leaf_key=functools.partial(end_once, flag))
    assert flag.exists()
    assert found.to_bytes() == wanted.to_bytes()


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as found,
        distributed.Client(found) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_whose_worker_is_killed_gives_the_manifest_of_one_process(cluster, record, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    wanted = record(leaves="here", leaf_key=functools.partial(end_once, flag))
    flag.unlink()
    with cluster.get_executor() as executor:
        found = record(executor=executor, leaf_key=functools.partial(end_once, flag))
    assert flag.exists()
    assert found.to_bytes() == wanted.to_bytes()
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.leaves")} for name in ("here", "l"))
    assert here == there


def test_the_example_records_a_bucket_on_a_cluster_as_in_one_process(tmp_path):
    done = subprocess.run([sys.executable, str(EXAMPLE)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "on 2 workers" in done.stdout
    assert "byte for byte the same manifest and 41 leaf files: sha256:" in done.stdout
