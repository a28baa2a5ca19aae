# SPDX-License-Identifier: Apache-2.0
"""Deterministic model folders, and the peers' environment."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEER_PACKAGES = Path(__file__).with_name("peers.txt")
SCANNING_PACKAGES = Path(__file__).with_name("peers-scanning.txt")
SEALING_PACKAGES = Path(__file__).with_name("peers-sealing.txt")
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


def peer(program: str, *, packages: Path = PEER_PACKAGES) -> str:
    """Return a program of the peers' environment, which is built on first use.

    Args:
        program: Its name.
        packages: What the environment holds; it is named after this file.

    Returns:
        Its path.
    """
    place = ROOT / f".venv-{packages.stem}"
    stamp = place / "installed"
    if not stamp.exists() or stamp.read_bytes() != packages.read_bytes():
        print(f"installing the peers into {place.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin" / "python", "-m", "pip", "-qq", "install", "-r", packages], check=True)
        stamp.write_bytes(packages.read_bytes())
    return str(place / "bin" / program)


def own(program: str) -> str:
    """Return a program of the environment this runs in."""
    return str(Path(sys.executable).parent / program)


def python(program: str, *arguments: object) -> tuple[str, ...]:
    """Return the command that runs a program with the interpreter this runs in."""
    return (sys.executable, "-c", program, *map(str, arguments))
