# SPDX-License-Identifier: Apache-2.0
"""Ways to load a model, taken in turns in one process: importing PyTorch would hide what they cost. Run by the case ``load``."""

import gc
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import blake3
import safetensors.torch
import torch

from lifeseal import attestation, erasure, loading, signing


@attrs.frozen(kw_only=True)
class Way:
    """One way to load.

    Attributes:
        name: As it stands in the table.
        case: What it is compared within.
        run: Loads once.
        cold: Whether the files are dropped from the page cache before each run.
    """

    name: str
    case: str
    run: Callable[[], object]
    cold: bool = False


def main() -> None:
    """Measure, and print one JSON document."""
    folder, mib, runs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = _make(folder / "model", mib)
    ways = _ways(_Scene(folder, files))
    found: dict[str, list[tuple[float, float, int]]] = {way.name: [] for way in ways}
    for turn in range(runs + 1):
        for way in ways:
            if way.cold:
                _drop(files)
            sample = _measure(way.run)
            if turn:
                found[way.name].append(sample)
    json.dump([{"case": way.case, "name": way.name, "samples": found[way.name]} for way in ways], sys.stdout)


class _Scene:
    """A model that was signed in three ways and sealed, and a module to fill."""

    def __init__(self, folder: Path, files: list[Path]) -> None:
        attestation.generate_key(folder / "bench")
        self.key = attestation.KeySigner.from_file(folder / "bench.key")
        self.files = files
        self.model = files[0].parent
        self.mib = sum(file.stat().st_size for file in files) >> 20
        self.module = torch.nn.Module()
        for name, tensor in _tensors(files).items():
            self.module.register_buffer(name, torch.zeros_like(tensor))
        self.signatures = {name: folder / f"{name}.sig" for name in ("sha256", "blake3", "shards")}
        signing.sign(self.model, signer=self.key, out=self.signatures["sha256"])
        signing.sign(self.model, signer=self.key, out=self.signatures["blake3"], hash="blake3")
        signing.sign(self.model, signer=self.key, out=self.signatures["shards"], shard_size=16 << 20)
        self.asset = erasure.Vault.create(folder / "vault", root=erasure.FileRoot(folder / "root")).seal(self.model, "model")

    def opened(self, how: str) -> signing.SignedModel:
        return signing.open_model(self.model, policy=self.key.public, signature=self.signatures[how])

    def into(self, how: str) -> None:
        loading.load_into(self.opened(how), self.module)

    def from_vault(self, how: str) -> None:
        loading.load_into(signing.open_model(self.asset, policy=self.key.public, signature=self.signatures[how]), self.module)

    def load_file(self) -> None:
        buffers = dict(self.module.named_buffers())
        for name, tensor in _tensors(self.files).items():
            buffers[name].copy_(tensor)

    def hash_then_load(self, how: str) -> None:
        for file in self.files:
            if how == "blake3":
                blake3.blake3(max_threads=2).update_mmap(file).digest()
                continue
            with file.open("rb") as opened:
                hashlib.file_digest(opened, "sha256").digest()
        self.load_file()

    def decrypt(self) -> None:
        buffer = memoryview(bytearray(1 << 20))
        for name in self.asset.names():
            with self.asset.open(name) as reader:
                for start in range(0, reader.size, len(buffer)):
                    reader.readinto(buffer, start)


def _ways(scene: _Scene) -> list[Way]:
    warm = f"load {scene.mib} MiB of bfloat16 in two files"
    part = "load one of a hundred tensors, signed in shards of 16 MiB"
    cold = f"load {scene.mib} MiB that are not in the page cache"
    sealed = f"load {scene.mib} MiB from a vault"
    one = next(name for name, _ in scene.module.named_buffers())
    return [
        Way(case=warm, name="load_file and copy, unverified", run=scene.load_file),
        Way(case=warm, name="sha256, then load_file and copy", run=lambda: scene.hash_then_load("sha256")),
        Way(case=warm, name="blake3 on two threads, then load_file and copy", run=lambda: scene.hash_then_load("blake3")),
        Way(case=warm, name="lifeseal load_into, sha256", run=lambda: scene.into("sha256")),
        Way(case=warm, name="lifeseal load_into, blake3", run=lambda: scene.into("blake3")),
        Way(case=warm, name="lifeseal load_tensors, sha256", run=lambda: loading.load_tensors(scene.opened("sha256"), framework="torch")),
        Way(case=part, name="lifeseal verify, all of it", run=lambda: scene.opened("shards").verify()),
        Way(case=part, name="lifeseal load_tensors, one name", run=lambda: loading.load_tensors(scene.opened("shards"), names=[one])),
        Way(case=cold, name="load_file and copy, unverified, cold", run=scene.load_file, cold=True),
        Way(case=cold, name="lifeseal load_into, blake3, cold", run=lambda: scene.into("blake3"), cold=True),
        Way(case=sealed, name="decryption alone, one thread", run=scene.decrypt),
        Way(case=sealed, name="lifeseal load_into from a vault, sha256", run=lambda: scene.from_vault("sha256")),
        Way(case=sealed, name="lifeseal load_into from a vault, blake3", run=lambda: scene.from_vault("blake3")),
    ]


def _make(folder: Path, mib: int) -> list[Path]:
    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    each = mib * 2**20 // 100 // 2
    files = []
    for number in range(2):
        tensors = {f"l{number}_{index}": torch.empty(each, dtype=torch.bfloat16).random_(0, 255, generator=generator) for index in range(50)}
        files.append(folder / f"{number}.safetensors")
        safetensors.torch.save_file(tensors, files[-1])
    os.sync()
    return files


def _tensors(files: list[Path]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in files:
        found |= safetensors.torch.load_file(file)
    return found


def _measure(run: Callable[[], object]) -> tuple[float, float, int]:
    """Seconds by the wall, seconds of all cores, and bytes of memory at the peak beyond what was there before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    held = _memory("VmRSS")
    cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    started = time.perf_counter()
    result = run()
    wall = time.perf_counter() - started
    cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - cpu
    peak = max(0, _memory("VmHWM") - held)
    del result
    return wall, cpu, peak


def _memory(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def _drop(files: list[Path]) -> None:
    for file in files:
        fd = os.open(file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


if __name__ == "__main__":
    main()
