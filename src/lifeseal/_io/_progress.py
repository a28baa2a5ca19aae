# SPDX-License-Identifier: Apache-2.0
"""How far long work has come."""

from collections.abc import Callable
from typing import TypeAlias

import attrs


@attrs.frozen(kw_only=True)
class Progress:
    """How far one phase of a call has come.

    Attributes:
        phase: What is being done, one or two words.
        done: Bytes finished.
        total: Bytes in all.
    """

    phase: str
    done: int
    total: int


ProgressCallback: TypeAlias = Callable[[Progress], None] | None
