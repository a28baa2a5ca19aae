# SPDX-License-Identifier: Apache-2.0
"""A checkpoint for the measurement of conversion, and the ways to convert it; run as ``python -m benchmarks._convert WAY IN OUT``."""

import os
import shutil
import sys
from pathlib import Path

WAYS = ("lifeseal convert, blake3", "lifeseal convert, sha256", "torch.load(mmap) and save_file", "copyfile", "copyfile and fsync")


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
        if way.endswith("fsync"):
            with Path(target).open("rb") as file:
                os.fsync(file.fileno())
    Path(target).unlink()


if __name__ == "__main__":
    _run(*sys.argv[1:])
