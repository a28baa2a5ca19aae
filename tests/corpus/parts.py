# SPDX-License-Identifier: Apache-2.0
"""What every hostile sample is made of: the payload touches a marker file."""

import attrs

from corpus.assemble import ref, text


@attrs.frozen
class Sample:
    """One hostile file.

    Attributes:
        name: Its own, and that of its marker file.
        content: The bytes.
        loader: Which loader runs it: a name in `prove.LOADERS`.
    """

    name: str
    content: bytes
    loader: str


class Runs:
    """Pickles as a call of ``os.system``."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def touch(marker: str) -> str:
    return f"touch {marker}"


def code(marker: str) -> str:
    return f"open({marker!r},'w').close()"


def run(marker: str) -> bytes:
    """The plainest one, for containers."""
    return b"\x80\x04" + ref("os", "system") + text(touch(marker)) + b"\x85R."


def module_of(function: str) -> str:
    return function.partition(":")[0]
