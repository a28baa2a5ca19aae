# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

import functools
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from lifeseal.cli._output import Output, on_terminal, printable

if TYPE_CHECKING:
    from lifeseal.attestation import SigstoreTrust

R = TypeVar("R")
PATH = click.Path(path_type=Path, readable=False)  # the reader says what is wrong, the same everywhere
_MAX_PASSPHRASE = 64 << 10
_MAX_KEY = 64 << 10


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
        refuse_half_unicode(arguments)
        with ExitStack() as stack:
            if log_file is not None:
                from lifeseal import evidence

                stack.enter_context(evidence.Log(log_file))
            return command(output, **arguments)

    return run


def examples(*lines: str) -> str:
    """Lay out the examples at the end of a help text."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def same_file(out: Path, *inputs: Path | None) -> bool:
    """Tell whether writing ``out`` would replace one of the inputs."""
    return out.exists() and any(path is not None and path.exists() and out.samefile(path) for path in inputs)


def load_trust(text: str) -> "SigstoreTrust":
    """Read which Sigstore deployment to trust.

    Args:
        text: A file's name, or ``public-good``.

    Returns:
        The trust.

    Raises:
        FormatError: The file is not what was expected.
        OSError: It cannot be read.
    """
    from lifeseal import attestation

    return attestation.SigstoreTrust.public_good() if text == "public-good" else attestation.SigstoreTrust.load(text)


def refuse_half_unicode(arguments: Mapping[str, object]) -> None:
    """Refuse text that is not UTF-8; names of files may be anything.

    Args:
        arguments: As click parsed them.

    Raises:
        click.UsageError: A text is not UTF-8.
    """
    for name, value in arguments.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and any("\ud800" <= c <= "\udfff" for c in text):
                raise click.UsageError(f"{name}: {text!r} is not UTF-8")


def secret_from(path: Path | None, *, prompt: str | None, confirm: bool = False, what: str = "a passphrase") -> bytes | None:
    """Read a passphrase from a file or descriptor, or ask on a terminal; never from the command line.

    Args:
        path: A file, FIFO or device, or ``-`` for standard input; its first line counts.
        prompt: What to ask; None does not ask.
        confirm: Whether to ask twice.
        what: What should be there, for error messages.

    Returns:
        The passphrase, or None.

    Raises:
        FormatError: The file's first line is empty.
        OSError: The file cannot be read.
    """
    from lifeseal.errors import FormatError, LimitError

    if path is not None:
        with open(0 if str(path) == "-" else path, "rb", buffering=0, closefd=str(path) != "-") as file:
            found = _first_line(file)
        if len(found) > _MAX_PASSPHRASE:
            raise LimitError(str(path), limit=_MAX_PASSPHRASE, seen=len(found))
        if not found:
            raise FormatError(str(path), f"{what} was expected on the first line")
        return found
    if prompt is not None and on_terminal(sys.stdin):
        answer: str = click.prompt(printable(prompt), hide_input=True, err=True, confirmation_prompt=confirm)
        return answer.encode("utf-8", "surrogateescape")
    return None


def bytes_from(path: Path | None, *, limit: int = _MAX_KEY) -> bytes | None:
    """Read all bytes of a small file, or of standard input: a leaf key, a record.

    Args:
        path: The file, ``-``, or None.
        limit: Bytes at most.

    Returns:
        The bytes, or None.

    Raises:
        LimitError: There are more.
        OSError: It cannot be read.
    """
    if path is None:
        return None
    from lifeseal.errors import LimitError

    with open(0 if str(path) == "-" else path, "rb", closefd=str(path) != "-") as file:
        found = file.read(limit + 1)
    if len(found) > limit:
        raise LimitError(str(path), limit=limit, seen=len(found))
    return found


def _first_line(file: RawIOBase) -> bytes:
    found = b""
    while b"\n" not in found and len(found) <= _MAX_PASSPHRASE and (piece := file.read(4096)):
        found += piece
    return found.split(b"\n", 1)[0].removesuffix(b"\r")
