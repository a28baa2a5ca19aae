# SPDX-License-Identifier: Apache-2.0
"""TorchScript: a program that ``torch.jit.load`` compiles; its ``__setstate__`` methods run while it is read.

Source: PyTorch ``torch/csrc/jit/serialization/import.cpp``; CVE-2025-32434 and the operators that it was used with.
"""

import re
from collections.abc import Iterable
from typing import Final

from lifeseal.serialization._context import Context
from lifeseal.serialization._rules import shown

_REACHES_OUT: Final = re.compile(rb"\b(?:torch|ops\.\w+|aten)\.(save|from_file|load|_load_for_lite_interpreter|__import__)\(")


def judge_script(members: Iterable[tuple[str, bytes]], context: Context) -> None:
    """Judge the source files and constants of a TorchScript program; no member at all says nothing."""
    first = True
    for name, source in members:
        if first:
            context.say("torch-script", repr(shown(name)), "a TorchScript program; torch.jit.load makes it a model that runs it")
            first = False
        found = _REACHES_OUT.search(source) if name.endswith(".py") else None
        if found is not None:
            context.say("torch-script-io", repr(shown(name)), f"the program calls {found[1].decode()}, which reads or writes files")
