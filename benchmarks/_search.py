# SPDX-License-Identifier: Apache-2.0
"""A search for copies of a large model among many small files, none of which is one; run as ``python -m benchmarks._search MODEL PLACE``."""

import sys
import time
from pathlib import Path

from lifeseal.disposal import Wanted, find_copies

_TENSOR = 16 << 20
_SIZES = (100, 3_000, 9_000, 20_000)


def make_model(folder: Path, *, size: int) -> Path:
    """Write a safetensors model of tensors of 16 MiB and a small one.

    Args:
        folder: Made here.
        size: Bytes of all together, about.

    Returns:
        The folder.
    """
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    base = random.standard_normal(_TENSOR // 8)  # drawing all of them takes longer than the searches
    tensors = {f"layers.{number}": base + number for number in range(max(1, size // _TENSOR))}
    save_file(tensors | {"norm": random.standard_normal(4096 // 8)}, folder / "model.safetensors")
    return folder


def make_place(folder: Path, *, files: int) -> Path:
    """Fill folders with files of a few sizes that no file of the model has.

    Args:
        folder: Made here.
        files: How many.

    Returns:
        The folder.
    """
    for number in range(files):
        below = folder / f"{number // 1000:03}"
        if number % 1000 == 0:
            below.mkdir(parents=True)
        (below / f"{number % 1000:03}").write_bytes(bytes([number % 251]) * (_SIZES[number % 4] + number % 100))
    return folder


if __name__ == "__main__":
    wanted = Wanted.of(sys.argv[1])
    start = time.perf_counter()
    found = find_copies(wanted, [sys.argv[2]])
    print(f"searched {found.files} files in {time.perf_counter() - start:.2f} s, model read before; {len(found.copies)} copies", file=sys.stderr)
