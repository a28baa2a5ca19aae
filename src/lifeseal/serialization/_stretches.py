# SPDX-License-Identifier: Apache-2.0
"""Where the tensors of a file lie, for those who compare bytes and do not care what the numbers mean."""

from lifeseal._io import Reader
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._gguf import read_gguf
from lifeseal.serialization._records import judge_nothing
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._window import FileWindow


def gguf_stretches(reader: Reader) -> tuple[tuple[str, int, int], ...]:
    """List the tensors of a GGUF file, quantised ones too, without judging it.

    Args:
        reader: The open file.

    Returns:
        Name, offset and size in bytes of each.

    Raises:
        FormatError: It is no GGUF file.
        LimitError: It holds more than the bounds.
    """
    context = Context(findings=Findings(), allow=frozenset(), budget=Budget(reader.size), judge=judge_nothing("text"))
    tensors, _ = read_gguf(FileWindow(reader), context)
    return tuple((tensor.name, tensor.start, tensor.size) for tensor in tensors)
