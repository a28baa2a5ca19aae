# SPDX-License-Identifier: Apache-2.0
"""``run``: log what a script that cannot be changed does with lifeseal."""

import contextlib
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import click

from lifeseal.cli._options import PATH, examples
from lifeseal.cli._output import Output, Refused

_FAILED = 1


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples("lifeseal run --log events.jsonl train.py --epochs 3", "lifeseal log verify events.jsonl"),
)
@click.option("--log", "log_file", required=True, type=PATH, help="The event log to append to.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; what the script prints goes to standard error.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing changes: this command prints nothing but the script's output and errors.")
@click.argument("script", type=PATH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]…")
@click.pass_obj
def run(output: Output, *, log_file: Path, as_json: bool, quiet: bool, script: Path, arguments: tuple[str, ...]) -> None:
    """Run a Python SCRIPT in this process, and log every lifeseal call it makes.

    Options stand before SCRIPT; everything after it is the script's. The exit code is the script's.
    """
    from lifeseal import evidence

    output.as_json, output.quiet = as_json, quiet
    if not script.is_file():
        raise click.UsageError(f"{script} is not a file")
    script.open("rb").close()
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    log = evidence.start(log_file)
    try:
        with _aside() if as_json else contextlib.nullcontext():
            code = _execute(script)
    finally:
        evidence.stop()
    if as_json:
        document: dict[str, object] = {"script": str(script), "exit_code": code, "log": str(log_file), "head": log.head}
        output.result("run", document, (), ok=code == 0)
    if code:
        raise Refused(code)


def _execute(script: Path) -> int:
    """Run the script as ``__main__``; what it raises is shown as Python would, and is no error of lifeseal's."""
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return int(end.code or 0)
        click.echo(str(end.code), err=True)
        return _FAILED
    except Exception as error:  # noqa: BLE001 - the script's own, shown with the script's own traceback
        error.__traceback__ = _below(error.__traceback__, str(script))
        sys.excepthook(type(error), error, error.__traceback__)
        return _FAILED
    return 0


def _below(trace: TracebackType | None, script: str) -> TracebackType | None:
    """Leave out the frames that led to the script; nothing is left of a script that does not compile."""
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    return trace


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Send standard output to standard error, also that of programs the script starts."""
    with contextlib.redirect_stdout(sys.stderr):
        kept = os.dup(1)
        try:
            os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
