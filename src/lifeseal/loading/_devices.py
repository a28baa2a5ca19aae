# SPDX-License-Identifier: Apache-2.0
"""Memory that the processor cannot fill by a read: it is filled from one scratch buffer, pinned where that is faster."""

from typing import Any

from lifeseal._io import require
from lifeseal.loading._fill import Buffers, Target


def scratch_memory(device: str) -> Buffers:
    """Choose the scratch memory that a load to a device reuses for all its pieces.

    Args:
        device: As PyTorch names it.

    Returns:
        Makes ordinary memory for the processor, page-locked memory for CUDA, so that copies run at the bus's speed.
    """
    if not device.startswith("cuda"):
        return lambda size: memoryview(bytearray(size))

    def pinned(size: int) -> memoryview:
        torch = require("torch", extra="torch")
        return memoryview(torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy())

    return pinned


def device_target(flat: Any, start: int, stop: int) -> Target:  # noqa: ANN401 - torch is not imported here
    """Make the target that copies pieces into a tensor on another device.

    Args:
        flat: One dimension of `uint8`, ``stop - start`` long.
        start: Offset in the file of its first byte.
        stop: Offset behind its last.

    Returns:
        The target; each piece is on the device before the scratch memory is used again.
    """

    def copy(offset: int, view: memoryview) -> None:
        torch = require("torch", extra="torch")
        with torch.inference_mode():  # else what was made in that mode could not be written to
            flat[offset : offset + len(view)].copy_(torch.frombuffer(view, dtype=torch.uint8))

    return Target(start=start, stop=stop, take=copy)
