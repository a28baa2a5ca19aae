# SPDX-License-Identifier: Apache-2.0
"""Deterministic model folders, and the peers' environment."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers"
PEER_PACKAGES = Path(__file__).with_name("peers.txt")
_BLOCK = 1 << 20


def make_files(folder: Path, *, count: int, size: int) -> Path:
    """Fill a folder with files of pseudo-random bytes, the same in every run.

    Args:
        folder: Made here.
        count: Number of files.
        size: Bytes of each.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True)
    block = hashlib.shake_256(b"lifeseal benchmarks").digest(_BLOCK)
    for number in range(count):
        left = size
        with (folder / f"{number:05}.bin").open("wb") as file:
            file.write(number.to_bytes(4, "big")[-left:])
            left -= min(left, 4)
            while left:
                left -= file.write(block[:left])
    return folder


def peer(program: str) -> str:
    """Return a program of the peers' environment, which is built on first use.

    Args:
        program: Its name.

    Returns:
        Its path.
    """
    stamp = PEERS / "installed"
    if not stamp.exists() or stamp.read_bytes() != PEER_PACKAGES.read_bytes():
        print("installing the peers into .venv-peers", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        subprocess.run([PEERS / "bin" / "python", "-m", "pip", "-qq", "install", "-r", PEER_PACKAGES], check=True)
        stamp.write_bytes(PEER_PACKAGES.read_bytes())
    return str(PEERS / "bin" / program)


def own(program: str) -> str:
    """Return a program of the environment this runs in."""
    return str(Path(sys.executable).parent / program)
