# SPDX-License-Identifier: Apache-2.0
"""Reads of a container, and work on a key tree of full size, taken in turns in one process. Run by the cases ``range`` and ``tree``."""

import functools
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lifeseal._io import DiskSource, Secret
from lifeseal.erasure import FileRoot
from lifeseal.erasure._change import commit, found_vault, load
from lifeseal.erasure._layout import DESCRIPTION, OBJECTS, describe
from lifeseal.erasure._nodes import CAPACITY, NODE_SIZE, State
from lifeseal.erasure._range import CHUNK, HEADER, RangeReader
from lifeseal.erasure._roots import Roots
from lifeseal.erasure._tree import Edit

_PIECE = 8 << 20
_READS = 20_000
_ERASURES = 50
_MANY = 10_000
_VAULT = bytes(16)


@attrs.frozen(kw_only=True)
class Way:
    """One way to do it: the case it is compared within, its name there, and what runs once."""

    case: str
    name: str
    run: Callable[[], object]


def main() -> None:
    """Measure, and print one JSON document."""
    folder, mib, runs, what = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    json.dump(take_turns((_container_ways if what == "range" else _tree_ways)(folder, mib), runs), sys.stdout)


def take_turns(ways: Sequence[Way], runs: int) -> list[dict[str, object]]:
    """Run each way in its turn, once to warm up and then so many times; returns wall, CPU and memory of each."""
    found: list[list[tuple[float, float, int]]] = [[] for _ in ways]
    for turn in range(runs + 1):
        for way, samples in zip(ways, found, strict=True):
            before = time.process_time()
            started = time.perf_counter()
            way.run()
            wall, cpu = time.perf_counter() - started, time.process_time() - before
            if turn:
                samples.append((wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    return [{"case": way.case, "name": way.name, "samples": samples} for way, samples in zip(ways, found, strict=True)]


def _one_core(run: Callable[[], None]) -> None:
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    try:
        run()
    finally:
        os.sched_setaffinity(0, every)


def _container_ways(folder: Path, mib: int) -> list[Way]:
    path, key = folder / "container", bytes(32)
    encryptor = Cobblestone256Encryptor(key, b"bench")
    block = random.Random(1).randbytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(encryptor.update(block))
        file.write(encryptor.finalize())
    source = DiskSource(path)
    reader = RangeReader(source.open("container"), Secret.copy_of(key), b"bench", where="container")
    buffer = memoryview(bytearray(_PIECE))
    places = [random.Random(2).randrange(reader.size // CHUNK - 1) * CHUNK for _ in range(_READS)]
    chunk = memoryview(bytearray(CHUNK))
    held = memoryview(path.read_bytes())
    cipher = reader._cipher or AESGCM(key)  # noqa: SLF001 - the derived key: the bare opens are of the same chunks
    same = [((reader._base ^ place // CHUNK).to_bytes(12, "big"), HEADER + place // CHUNK * (CHUNK + 16)) for place in places]  # noqa: SLF001

    def bulk() -> None:
        for start in range(0, reader.size, _PIECE):
            reader.readinto(buffer, start)

    def stream() -> None:
        decryptor = Cobblestone256Decryptor(key, b"bench")
        room = memoryview(bytearray(_PIECE + CHUNK))
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                decryptor.update_into(buffer[:count], room)
        decryptor.finalize()

    def reads() -> None:
        for place in places:
            reader.readinto(chunk, place)

    def opens() -> None:
        for nonce, start in same:
            cipher.decrypt_into(nonce, held[start : start + CHUNK + 16], None, chunk)

    one, every, some = f"read {mib} MiB on one core", f"read {mib} MiB on all cores", f"{_READS} reads of 16 KiB anywhere"
    name = "cryptography, Cobblestone-256 stream"
    return [
        Way(case=one, name="lifeseal range reader", run=functools.partial(_one_core, bulk)),
        Way(case=one, name=name, run=functools.partial(_one_core, stream)),
        Way(case=every, name="lifeseal range reader", run=bulk),
        Way(case=every, name=name, run=stream),
        Way(case=some, name="lifeseal range reader", run=reads),
        Way(case=some, name="AES-256-GCM opens of the same chunks in memory", run=opens),
    ]


class _Tree:
    """A vault with nearly every slot in use, and random slots that are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = FileRoot(folder / "root")
        vault = folder / "vault"
        (vault / OBJECTS).mkdir(parents=True)
        (vault / DESCRIPTION).write_bytes(describe(_VAULT, kind=root.kind, fingerprint=root.fingerprint))
        found_vault(Roots(folder=vault, vault=_VAULT, holder=root))
        self.state = load(vault, root)
        self.slots = CAPACITY - (1 << 16)
        head = attrs.evolve(self.state.tree.head, next_slot=self.slots, live=self.slots)
        self.change([Edit(start=0, stop=self.slots, state=State.LIVE)], **attrs.asdict(head))
        self.order = random.Random(3).sample(range(self.slots), 200_000)

    def change(self, edits: Sequence[Edit], **head: int) -> None:
        self.state, _ = commit(self.state, edits, attrs.evolve(self.state.tree.head, **head), what="the tree is changed")

    def look_up(self) -> None:
        for slot in self.order[-_READS:]:
            self.state.tree.key(slot).close()

    def erase(self) -> None:
        for _ in range(_ERASURES):
            slot = self.order.pop(0)
            self.change([Edit(start=slot, stop=slot + 1, state=State.ERASED)])

    def erase_many(self) -> None:
        chosen, self.order = sorted(self.order[:_MANY]), self.order[_MANY:]
        self.change([Edit(start=slot, stop=slot + 1, state=State.ERASED) for slot in chosen])

    def synchronise(self) -> None:
        """Append 4 KiB to each of two files that are there."""
        for _ in range(_ERASURES):
            for name in ("one", "two"):
                _append(self.folder / name, 4096)

    def write_durably(self) -> None:
        """Append what a change appends, and put a file of a root's size in the place of another, the folder included: bare system calls."""
        folder = os.open(self.folder, os.O_RDONLY)
        for _ in range(_ERASURES):
            _append(self.folder / "one", 3 * NODE_SIZE + 1024)
            _append(self.folder / "new", 104)
            os.rename("new", "two", src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        os.close(folder)


def _append(path: Path, size: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, bytes(size))
    os.fsync(file)
    os.close(file)


def _tree_ways(folder: Path, _: int) -> list[Way]:
    tree = _Tree(folder)
    key = AESGCM(bytes(32))
    node = memoryview(bytearray(12288))
    sealed = key.encrypt(bytes(12), bytes(node), None)

    def opens() -> None:
        for _ in range(2 * _READS):
            key.decrypt_into(bytes(12), sealed, None, node)

    among = f"among {tree.slots / 1e6:.1f} million slots"
    return [
        Way(case=f"{_READS} keys looked up {among}", name="lifeseal key tree", run=tree.look_up),
        Way(case=f"{_READS} keys looked up {among}", name="AES-256-GCM opens of two nodes each", run=opens),
        Way(case=f"{_ERASURES} slots erased one by one {among}", name="lifeseal key tree", run=tree.erase),
        Way(case=f"{_ERASURES} slots erased one by one {among}", name="the same writes, durably, bare", run=tree.write_durably),
        Way(case=f"{_ERASURES} slots erased one by one {among}", name="two fsyncs each", run=tree.synchronise),
        Way(case=f"{_MANY} random slots erased in one epoch {among}", name="lifeseal key tree", run=tree.erase_many),
    ]


if __name__ == "__main__":
    main()
