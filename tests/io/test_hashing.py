# SPDX-License-Identifier: Apache-2.0
"""The hash engine against the hashes themselves, and against files and callers that misbehave."""

import hashlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import blake3
import pytest

from lifeseal._io import DIGEST_SIZES, HASHES, DiskSource, hash_files, new_hasher
from lifeseal.errors import FormatError

MIB = 1 << 20
SIZES = [0, 1, 63, 64, 65, 1023, 1024, 1025, 256 << 10, (256 << 10) + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 17, 9 * MIB + 5]
PEERS = {"sha256": hashlib.sha256, "blake2b": hashlib.blake2b, "blake3": blake3.blake3}


class Memory:
    """A source that can change while it is read."""

    where = "memory"
    name = "memory"

    def __init__(self, files, *, step=MIB):
        self.files = files
        self.step = step
        self.before_read = lambda name, start: None

    def names(self, *, ignore=frozenset()):
        return tuple(sorted(set(self.files) - ignore))

    def size(self, name):
        return len(self.files[name])

    def open(self, name):
        return _MemoryReader(self, name)


class _MemoryReader:
    def __init__(self, source, name):
        self.source, self.name, self.size = source, name, source.size(name)

    def readinto(self, buffer, start):
        self.source.before_read(self.name, start)
        piece = self.source.files[self.name][start : start + min(len(buffer), self.source.step)]
        buffer[: len(piece)] = piece
        return len(piece)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture(scope="module")
def contents():
    block = hashlib.shake_256(b"lifeseal").digest(MIB + 7)
    return {f"{size}.bin": (block * (size // len(block) + 1))[:size] for size in SIZES}


@pytest.fixture(scope="module")
def folder(contents, tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    for name, data in contents.items():
        (root / name).write_bytes(data)
    return root


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("algorithm", HASHES)
def test_agrees_with_the_hash_itself_for_every_size(contents, folder, algorithm, threads):
    with DiskSource(folder) as source:
        found = hash_files(source, source.names(), algorithm=algorithm, threads=threads)
    assert {name: (entry.name, entry.size, entry.digest) for name, entry in found.items()} == {
        name: (name, len(data), PEERS[algorithm](data).digest()) for name, data in contents.items()
    }
    assert {len(entry.digest) for entry in found.values()} == {DIGEST_SIZES[algorithm]}


@pytest.mark.parametrize("threads", [1, 2])
def test_one_large_file_alone_is_hashed_right(contents, threads):
    data = contents[f"{SIZES[-1]}.bin"]
    for algorithm in HASHES:
        assert hash_files(Memory({"f": data}), ["f"], algorithm=algorithm, threads=threads)["f"].digest == PEERS[algorithm](data).digest()


def test_short_reads_change_nothing(contents):
    data = contents[f"{MIB + 1}.bin"]
    assert hash_files(Memory({"f": data}, step=10_007), ["f"])["f"].digest == hashlib.sha256(data).digest()


def test_answers_in_the_order_asked_and_for_nothing_else(contents):
    source = Memory(contents)
    assert list(hash_files(source, ["65.bin", "0.bin"])) == ["65.bin", "0.bin"]
    assert hash_files(source, []) == {}


@pytest.mark.parametrize("change", [lambda data: data + b"x" * 10, lambda data: data[:-1]], ids=["grows", "shrinks"])
@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("threads", [1, 2])
def test_refuses_a_file_that_changes_size_while_it_is_read(size, change, threads):
    source = Memory({"still": bytes(size), "f": bytes(size)})
    assert len(hash_files(source, ["still", "f"], threads=threads)) == 2

    def meddle(name, start):
        if name == "f" and start == 0:
            source.files["f"] = change(bytes(size))

    source.before_read = meddle
    with pytest.raises(FormatError, match=rf"memory: 'f': changed while it was read: \d+ bytes instead of {size}"):
        hash_files(source, ["still", "f"], threads=threads)


def test_gives_up_on_a_file_that_never_stops_growing():
    source = Memory({"f": bytes(1000)})

    def meddle(_, start):
        source.files["f"] = bytes(start + 2000)

    source.before_read = meddle
    with pytest.raises(FormatError, match="changed while it was read"):
        hash_files(source, ["f"])


def test_a_file_cut_on_disk_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(3 * MIB))
    with DiskSource(tmp_path) as source:
        opened = source.open

        def cut_after_opening(name):
            reader = opened(name)
            os.truncate(path, MIB)
            return reader

        assert hash_files(source, ["f"])["f"].size == 3 * MIB
        source.open = cut_after_opening
        with pytest.raises(FormatError, match="1048576 bytes instead of 3145728"):
            hash_files(source, ["f"])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_missing_file_is_the_systems_error(folder, threads):
    with DiskSource(folder) as source, pytest.raises(FileNotFoundError):
        hash_files(source, ["1.bin", "absent"], threads=threads)


def test_refuses_an_unknown_hash(folder):
    with DiskSource(folder) as source, pytest.raises(ValueError, match="sha256, blake2b, blake3, not 'md5'"):
        hash_files(source, ["1.bin"], algorithm="md5")
    with pytest.raises(ValueError, match="not 'SHA256'"):
        new_hasher("SHA256")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("algorithm", HASHES)
def test_tells_progress_up_to_the_total_in_the_callers_thread(contents, algorithm, threads):
    told = []
    hash_files(
        Memory(contents),
        list(contents),
        algorithm=algorithm,
        threads=threads,
        progress=lambda step: told.append((step, threading.current_thread())),
        phase="reading",
    )
    steps = [step for step, _ in told]
    assert {thread for _, thread in told} == {threading.current_thread()}
    assert {step.phase for step in steps} == {"reading"}
    assert {step.total for step in steps} == {sum(SIZES)}
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total


class Enough(Exception):  # noqa: N818 - stands for a caller's own exception
    pass


@pytest.mark.parametrize("threads", [1, 2])
def test_raising_from_progress_stops_the_work(threads):
    source = Memory({f"{i}": bytes(400 * MIB // 4) for i in range(4)}, step=64 << 10)
    reads = []
    gate = threading.Event()

    def slow(name, start):
        reads.append(start)
        gate.wait(0.01)

    source.before_read = slow

    def cancel(_):
        raise Enough

    running = threading.active_count()
    with pytest.raises(Enough):
        hash_files(source, source.names(), threads=threads, progress=cancel)
    assert threading.active_count() == running
    assert len(reads) < 400 * 16 // 4


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("algorithm", HASHES)
def test_processes_give_the_same_digests(folder, processes, algorithm):
    told = []
    with DiskSource(folder) as source:
        here = hash_files(source, source.names(), algorithm=algorithm)
        there = hash_files(source, source.names(), algorithm=algorithm, executor=processes, progress=told.append)
    assert there == here
    assert told[-1].done == told[-1].total == sum(SIZES)


def test_processes_hash_a_model_of_one_file(folder, processes):
    with DiskSource(folder / "65.bin") as source:
        assert hash_files(source, source.names(), executor=processes) == hash_files(source, source.names())


def test_an_error_in_a_process_keeps_its_class(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "65.bin")
    with DiskSource(tmp_path) as source, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        source.size = lambda _: 65
        with pytest.raises(FormatError, match="'link': a regular file was expected, not a symbolic link"):
            hash_files(source, ["link"], executor=pool)


def test_many_small_files_are_split_between_workers(tmp_path):
    for number in range(700):
        (tmp_path / f"{number:03}").write_bytes(b"%d" % number)
    with DiskSource(tmp_path) as source, ThreadPoolExecutor(2) as pool:
        jobs = []
        submit = pool.submit
        pool.submit = lambda *args: jobs.append(args) or submit(*args)
        found = hash_files(source, source.names(), executor=pool)
    assert len(jobs) == 3
    assert found["699"].digest == hashlib.sha256(b"699").digest()


def test_refuses_an_executor_for_what_is_not_on_disk(processes):
    with pytest.raises(ValueError, match="executor= needs a model on disk"):
        hash_files(Memory({"f": b"x"}), ["f"], executor=processes)


@pytest.mark.parametrize("algorithm", ["sha256", "blake3"])
def test_memory_does_not_grow_with_the_file(tmp_path, algorithm):
    for number in range(2):
        with (tmp_path / str(number)).open("wb") as file:
            file.truncate(256 * MIB)
    code = (
        "import resource, sys\n"
        "from lifeseal._io import DiskSource, hash_files, new_hasher\n"
        "new_hasher(sys.argv[2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with DiskSource(sys.argv[1]) as source:\n"
        "    hash_files(source, source.names(), algorithm=sys.argv[2], threads=2)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path, algorithm], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 48 << 10  # KiB; the files are 512 MiB
