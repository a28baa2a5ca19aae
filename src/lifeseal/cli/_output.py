# SPDX-License-Identifier: Apache-2.0
"""What a person or a machine sees."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from lifeseal._io import Progress, ProgressCallback

_GREEN, _RED = "green", "red"


class Refused(Exception):  # noqa: N818 - not an error: the answer is no, and it has been printed
    """Ends a command whose answer is not yes.

    Args:
        code: The exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Declined(click.Abort):
    """Asked on a terminal, the user said no."""


class Output:
    """Prints one JSON document, or lines for a person.

    Args:
        as_json: One document on standard output, and nothing else there.
        quiet: No lines for a person but errors.
    """

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def result(self, command: str, document: dict[str, object], lines: tuple[str, ...], *, ok: bool = True) -> None:
        """Print a command's result.

        Args:
            command: Names the schema.
            document: For machines.
            lines: For people; the first says yes or no.
            ok: Whether the answer is yes.
        """
        if self.as_json:
            self._document(command, {"ok": ok, **document})
        elif not self.quiet:
            mark, colour = ("✓", _GREEN) if ok else ("✗", _RED)
            click.secho(f"{mark} {printable(lines[0])}", fg=colour, bold=True, color=_colour())
            for line in lines[1:]:
                click.echo(f"  {printable(line)}")

    def plain(self, command: str, document: dict[str, object], lines: Iterable[str]) -> None:
        """Print a result that is neither yes nor no: a list, a table, what a file says."""
        if self.as_json:
            self._document(command, {"ok": True, **document})
        elif not self.quiet:
            click.echo("\n".join(map(printable, lines)))

    def error(self, command: str, kind: str, sentence: str) -> None:
        """Print why a command failed."""
        if self.as_json:
            self._document(command, {"ok": False, "error": {"type": kind, "message": sentence}})
        else:
            click.secho(f"✗ {printable(sentence)}", fg=_RED, bold=True, err=True, color=_colour())

    def usage(self, error: click.UsageError, command: str) -> None:
        """Print how a command is used, and what was wrong."""
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            if self.as_json:
                self.error(command, "UsageError", "a command was expected")
            else:
                click.echo(error.format_message(), err=True)
            return
        self.error(command, "UsageError", error.format_message().replace("\n\t", " "))  # click puts choices on lines of their own
        if not self.as_json and error.ctx is not None:
            click.echo(f"{error.ctx.get_usage()}\nFor help: {error.ctx.command_path} --help", err=True)

    def bug(self, command: str, error: BaseException) -> None:
        """Print that this is a bug of ours, without values that a traceback could show."""
        sentence = f"a bug in lifeseal: {type(error).__name__}; please report it with the kind of command you ran"
        self.error(command, type(error).__name__, sentence)
        if not self.as_json:
            trace, lines = error.__traceback__, []
            while trace is not None:
                lines.append(f"  {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
                trace = trace.tb_next
            click.echo("\n".join(lines), err=True)

    @contextmanager
    def progress(self) -> "Iterator[ProgressCallback]":
        """Show progress on standard error, on a terminal alone."""
        if self.quiet or self.as_json or not on_terminal(sys.stderr):
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("working", total=None)

            def show(step: "Progress") -> None:
                bar.update(task, description=step.phase, completed=step.done, total=step.total)

            yield show

    def document(self, document: dict[str, object]) -> None:
        """Print a document of somebody else's format, as it is."""
        click.echo(json.dumps(_unicode(document), indent=2, ensure_ascii=True))

    def _document(self, command: str, document: dict[str, object]) -> None:
        self.document({"schema": f"lifeseal.{command}/1", **document})


def printable(text: str) -> str:
    """Escape what a terminal would act on: line ends and other control characters, direction marks, half surrogates.

    Args:
        text: Any text; names in it can come from an attacker.

    Returns:
        One line that only shows.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)


def counted(count: int, noun: str) -> str:
    """Write ``1 file`` or ``2 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listing(names: Sequence[str], *, most: int = 10) -> str:
    """Write names in a line, the first ten at most, and how many there are beyond."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" or "none"


def on_terminal(stream: TextIO | None) -> bool:
    """Tell whether a standard stream is a terminal; a closed one (``>&-``) is None and is not."""
    return stream is not None and stream.isatty()


def _colour() -> bool | None:
    """Colours on a terminal alone, and never where NO_COLOR is set. Source: no-color.org."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _unicode(value: object) -> object:
    """Escape half surrogates, which stand for bytes that are not UTF-8: strict JSON readers refuse them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    return [_unicode(item) for item in value] if isinstance(value, list | tuple) else value
