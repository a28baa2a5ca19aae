# SPDX-License-Identifier: Apache-2.0
"""A checkpoint for the measurement of conversion, and the ways to convert it; run as ``python -m benchmarks._convert WAY IN OUT``."""

import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3

WAYS = (
    "lifeseal convert, blake3",
    "lifeseal convert, sha256",
    "torch.load(mmap) and save_file",
    "copyfile",
    "copyfile and fsync",
    "copyfile, fsync, blake3 of both",
    "copyfile, fsync, sha256 of both",
)


def make_checkpoint(path: Path, *, tensors: int, size: int) -> Path:
    """Write a checkpoint of PyTorch.

    Args:
        path: The file.
        tensors: How many.
        size: Bytes of all together.

    Returns:
        The file.
    """
    import torch

    torch.manual_seed(1)
    torch.save({f"layers.{index}.weight": torch.randn(max(1, size // tensors // 4)) for index in range(tensors)}, path)
    return path


def _run(way: str, source: str, target: str) -> None:
    if way.startswith("lifeseal"):
        from lifeseal import serialization

        serialization.convert(source, target, hash="sha256" if way.endswith("sha256") else "blake3")
    elif way.startswith("torch"):
        import torch
        from safetensors.torch import save_file

        save_file(torch.load(source, mmap=True, weights_only=True), target)
    else:
        shutil.copyfile(source, target)
        if "fsync" in way:
            with Path(target).open("rb") as file:
                os.fsync(file.fileno())
        if way.endswith("of both"):
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(_hash, (source, target), itertools.repeat(blake3.blake3 if "blake3" in way else hashlib.sha256)))
    Path(target).unlink()


def _hash(path: str, new: Callable[[], "hashlib._Hash | blake3.blake3"]) -> bytes:
    hasher, buffer = new(), memoryview(bytearray(4 << 20))
    with Path(path).open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.digest()


if __name__ == "__main__":
    _run(*sys.argv[1:])
