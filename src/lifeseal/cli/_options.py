# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

import functools
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import click

from lifeseal.cli._output import Output

R = TypeVar("R")
PATH = click.Path(path_type=Path)


def common(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--json``, ``--log`` and ``-q``, and its output.

    Args:
        command: Takes the output first.

    Returns:
        The function for click.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option("--log", "log_file", type=PATH, help="Append what happens to this event log.")
    @click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
    @click.pass_obj
    @functools.wraps(command)
    def run(output: Output, /, *, as_json: bool, log_file: Path | None, quiet: bool, **arguments: object) -> R:
        output.as_json = as_json
        output.quiet = quiet
        with ExitStack() as stack:
            if log_file is not None:
                from lifeseal import evidence

                stack.enter_context(evidence.Log(log_file))
            return command(output, **arguments)

    return run


def secret_from(path: Path | None, *, prompt: str | None) -> bytes | None:
    """Read a passphrase from a file, or ask on a terminal; never from the command line.

    Args:
        path: A file; its first line counts.
        prompt: What to ask; None does not ask.

    Returns:
        The passphrase, or None.

    Raises:
        FormatError: The file's first line is empty.
        OSError: The file cannot be read.
    """
    from lifeseal._io import read_bounded
    from lifeseal.errors import FormatError

    if path is not None:
        found = read_bounded(path, limit=64 << 10).split(b"\n", 1)[0].removesuffix(b"\r")
        if not found:
            raise FormatError(str(path), "a passphrase was expected on the first line")
        return found
    if prompt is not None and sys.stdin.isatty():
        answer: str = click.prompt(prompt, hide_input=True, err=True)
        return answer.encode()
    return None
