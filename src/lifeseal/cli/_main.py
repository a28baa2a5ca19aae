# SPDX-License-Identifier: Apache-2.0
"""The command tree, and the one place where errors become exit codes."""

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NoReturn

import click

from lifeseal import __version__, errors
from lifeseal.cli._output import Declined, Output, Refused

# Exit codes: 0 yes, 1 no, 2 usage or unreadable, 3 unavailable or pending, 4 destroyed, 70 a bug, 130 interrupted.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.DestroyedError, 4),
    (errors.PendingError, 3),
    (errors.LockedError, 3),
    (errors.StoreError, 3),
    (errors.UntrustedError, 1),
    (errors.TamperedError, 1),
    (errors.UnsafeError, 1),
    (errors.LifesealError, 2),
    (OSError, 2),
    (ValueError, 2),
)
_CLOSED_PIPE = 1
_USAGE = 2
_BUG = 70
_INTERRUPTED = 130

_COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "keygen": ("_models", "keygen", "Make a signing key, or one to receive with."),
    "sign": ("_models", "sign", "Sign a model (OpenSSF Model Signing)."),
    "verify": ("_verify", "verify", "Check a model against its signature."),
    "inspect": ("_inspect", "inspect", "Say what a file claims; nothing is verified."),
    "scan": ("_scan", "scan", "Tell whether reading model files could run code."),
    "convert": ("_convert", "convert", "Copy tensors into safetensors without running anything."),
    "data": ("_data", "data", "Record and verify datasets."),
    "vault": ("_vault", "vault", "Keep files encrypted under a key that can be destroyed."),
    "dispose": ("_dispose", "dispose", "Erase for good, remove copies, and certify it."),
    "certificate": ("_certificate", "certificate", "Verify, co-sign and print disposal certificates."),
    "waiver": ("_waiver", "waiver", "Write down an exception."),
    "withdraw": ("_withdraw", "withdraw", "Take models, datasets and signers back."),
    "principles": ("_principles", "principles", "List the Code's provisions and what implements them."),
    "log": ("_log", "log", "Verify, end and sign event logs."),
    "report": ("_log", "report", "Say what an event log shows: for people, and in OSCAL."),
    "hub": ("_hub", "hub", "Pull, push, check and purge repositories of the Hugging Face Hub."),
    "exec": ("_exec", "execute", "Run a command on a signed model that nobody can change any more."),
    "run": ("_run", "run", "Run a Python script and log what it does with lifeseal."),
}
_SUBCOMMANDS: Mapping[str, tuple[str, ...]] = {
    "data": ("record", "verify", "diff", "prove", "check-proof", "export", "trace"),
    "vault": ("init", "seal", "unseal", "list", "info", "verify", "compact", "hold", "release", "rehome", "hand-over", "receive", "subjects"),
    "vault-subjects": ("seal", "unseal", "find"),
    "certificate": ("verify", "cosign", "report", "approve", "receipt"),
    "waiver": ("new", "sign"),
    "withdraw": ("new", "add", "sign"),
    "log": ("verify", "rotate", "sign"),
    "hub": ("pull", "push", "verify", "purge", "pull-data", "push-data"),
}


class _Lazy(click.Group):
    """A group that imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        found = getattr(import_module(f"lifeseal.cli.{module}"), name)
        return found if isinstance(found, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], _COMMANDS, n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


_START = """\b
Start here:
  lifeseal keygen --out release                   once: release.key, release.pub
  lifeseal sign model/ --key release.key          where the model is built
  lifeseal verify model/ --key release.pub        where it is used

Each command has its own --help."""


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True, epilog=_START)
@click.version_option(__version__, prog_name="lifeseal")
def root() -> None:
    """Seal an AI system's life cycle: sign, verify, scan, record, load, encrypt, erase, certify.

    \b
    Exit codes:
        0  yes
        1  no: untrusted, unsafe, changed, tampered
        2  wrong usage, unreadable input, wrong passphrase or root
        3  something needed is missing, busy or pending
        4  destroyed: the key is gone for good
       70  a bug in lifeseal
      130  interrupted or declined
    """  # noqa: D301 - click reads the backspace character


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Args:
        args: Arguments without the program's name; by default the process's own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a sign never turns a yes into an error
    arguments = list(sys.argv[1:] if args is None else args)
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    output = Output(as_json="--json" in _own(arguments))
    try:
        return _answer(output, arguments)
    except BrokenPipeError:  # also while an error was printed
        return _CLOSED_PIPE
    except SystemExit as end:  # click's way to end at a closed pipe
        return end.code if isinstance(end.code, int) else _CLOSED_PIPE
    finally:
        _flush()


def _answer(output: Output, arguments: Sequence[str]) -> int:
    try:
        result = root.main(args=list(arguments), prog_name="lifeseal", standalone_mode=False, obj=output)
    except Refused as refusal:
        return refusal.code
    except (Declined, click.Abort, KeyboardInterrupt) as end:
        return _told(_INTERRUPTED, output.error, _words(arguments), *_ended(end, arguments))
    except click.UsageError as error:
        return _told(_USAGE, output.usage, error, _words(arguments))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the command line's edge: every error becomes a sentence and a code
        code = next((number for kind, number in _CODES if isinstance(error, kind)), _BUG)
        if code == _BUG:
            return _told(code, output.bug, _words(arguments), error)
        return _told(code, output.error, _words(arguments), type(error).__name__, _sentence(error))
    return result if isinstance(result, int) else 0


def _ended(end: BaseException, arguments: Sequence[str]) -> tuple[str, str]:
    if isinstance(end, Declined):
        return "Declined", "declined; nothing was done"
    return "Interrupted", "interrupted" if arguments[:1] == ["run"] else "interrupted; nothing is half-written"


def _told(code: int, tell: Callable[..., None], *what: object) -> int:
    """Say why, and return the code; a full disk behind the output does not change the answer."""
    try:
        tell(*what)
    except BrokenPipeError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError):
            click.echo(f"the answer could not be printed: {_sentence(error)}", err=True)
    return code


def _own(arguments: Sequence[str]) -> list[str]:
    """Leave out what is not an option of ours: all after ``--``, and a script's own arguments."""
    words = iter(arguments)
    if arguments[:1] != ["run"]:
        return list(itertools.takewhile(lambda word: word != "--", words))
    own = [next(words)]
    for word in itertools.takewhile(lambda word: word.startswith("-") and word != "--", words):
        own.append(word)
        if word == "--log":
            next(words, None)
    return own


def _flush() -> None:
    """Write out what is buffered; where nobody reads any more, keep the interpreter from saying so again at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - not a path
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _words(arguments: Sequence[str]) -> str:
    """Name the command for the JSON schema: ``vault seal`` is ``vault-seal``."""
    words = [word for word in arguments if not word.startswith("-")]
    if not words or words[0] not in _COMMANDS:
        return "lifeseal"
    named = words[0]
    for word in words[1:3]:
        if word not in _SUBCOMMANDS.get(named, ()):
            break
        named += f"-{word}"
    return named


def _sentence(error: BaseException) -> str:
    if isinstance(error, UnicodeError):
        said = "a text or a name is not UTF-8"
    elif isinstance(error, OSError):
        place = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else None
        said = error.strerror or str(error) or type(error).__name__
        said = said if place is None else f"{os.fsdecode(place)}: {said}"
    else:
        said = str(error) or type(error).__name__
    return "; ".join([said, *getattr(error, "__notes__", ())])
