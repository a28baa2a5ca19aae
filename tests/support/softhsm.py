# SPDX-License-Identifier: Apache-2.0
"""SoftHSM2, a PKCS#11 token of software: its real library, with tokens in a folder of the test run."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"
PIN, SO_PIN = b"5678", "1234"
NO_SOFTHSM = "SoftHSM2 is not installed"
_COUNT = 24


def is_there() -> bool:
    return Path(LIBRARY).exists() and shutil.which("softhsm2-util") is not None


@functools.cache
def _tokens() -> list[str]:
    """Make the one folder that the library of this process looks into; it sees only tokens that were there when it was loaded."""
    place = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    (place / "tokens").mkdir()
    (place / "conf").write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(place / "conf")
    labels = [f"token {number}" for number in range(_COUNT)]
    for label in labels:
        util("--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN.decode())
    return labels


def new_token() -> str:
    """Hand out an empty token, by its label."""
    return _tokens().pop()


def util(*arguments: str) -> str:
    return subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True, text=True).stdout


def tool(label: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run OpenSC's pkcs11-tool, which knows nothing of ours."""
    command = ["pkcs11-tool", "--module", LIBRARY, "--token-label", label, "--login", "--pin", PIN.decode(), *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True)
