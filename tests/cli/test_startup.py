# SPDX-License-Identifier: Apache-2.0
"""Help, and every mistake in the options, come before anything heavy is imported."""

import subprocess
import sys

import pytest

HEAVY = {"attr", "attrs", "cryptography", "rich", "sigstore", "numpy", "blake3", "torch", "huggingface_hub"}
GROUPS = {"vault", "data", "certificate", "waiver", "withdraw", "log", "hub"}
COMMANDS = [
    "keygen",
    "sign",
    "verify",
    "inspect",
    "scan",
    "data",
    "vault",
    "dispose",
    "certificate",
    "waiver",
    "withdraw",
    "principles",
    "log",
    "hub",
    "exec",
    "run",
]


def loaded(*arguments):
    code = f"import sys; from lifeseal.cli._main import _run; _run({list(arguments)!r}); print('\\nLOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"], [], ["verify"], *([name, "--help"] for name in COMMANDS)])
def test_imports_nothing_heavy(arguments):
    modules = loaded(*arguments)
    assert "click" in modules
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith("lifeseal.") and not name.startswith(("lifeseal.cli", "lifeseal.errors"))}


def test_the_control_imports_them(made):
    assert {"cryptography", "attrs"} <= loaded("verify", str(made / "model"), "--key", str(made / "k.pub"))


def test_no_command_draws_a_bar_or_loads_a_tensor_library_for_a_pipe(made):
    assert not loaded("verify", str(made / "model"), "--key", str(made / "k.pub")) & {"rich", "numpy", "torch"}
