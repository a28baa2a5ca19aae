# SPDX-License-Identifier: Apache-2.0
"""The command tree, and the one place where errors become exit codes."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

import click

from lifeseal import __version__, errors
from lifeseal.cli._output import Output, Refused

# Exit codes of DESIGN: 0 yes, 1 no, 2 usage or unreadable, 3 unavailable or pending, 4 destroyed, 70 a bug, 130 interrupted.
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
_BUG = 70
_INTERRUPTED = 130

_COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "keygen": ("_models", "keygen", "Make a signing key."),
    "sign": ("_models", "sign", "Sign a model (OpenSSF Model Signing)."),
    "verify": ("_verify", "verify", "Check a model against its signature."),
    "inspect": ("_inspect", "inspect", "Say what a file claims; nothing is verified."),
    "scan": ("_scan", "scan", "Tell whether reading model files could run code."),
    "data": ("_data", "data", "Record and verify datasets."),
    "vault": ("_vault", "vault", "Keep files encrypted under a key that can be destroyed."),
    "dispose": ("_dispose", "dispose", "Erase vault assets and certify it."),
    "certificate": ("_dispose", "certificate", "Verify disposal certificates."),
    "waiver": ("_waiver", "waiver", "Write down an exception."),
    "principles": ("_evidence", "principles", "List the Code's provisions and what implements them."),
    "log": ("_evidence", "log", "Verify event logs."),
    "run": ("_evidence", "run", "Run a Python script and log what it does with lifeseal."),
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, prog_name="lifeseal")
def root() -> None:
    """Seal an AI system's life cycle: sign, verify, scan, record, load, encrypt, erase, certify.

    Exit codes: 0 yes; 1 no (untrusted, unsafe, changed); 2 usage or unreadable input; 3 unavailable or pending; 4 destroyed; 70 a bug;
    130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Args:
        args: Arguments without the program's name; by default the process's own.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    output = Output(as_json="--json" in arguments)
    try:
        result = root.main(args=list(arguments), prog_name="lifeseal", standalone_mode=False, obj=output)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except Refused as refusal:
        code = refusal.code
    except (click.Abort, KeyboardInterrupt):
        output.error(_words(arguments), "Interrupted", "interrupted; nothing is half-written")
        code = _INTERRUPTED
    except click.UsageError as error:
        output.usage(error, _words(arguments))
        code = 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:  # noqa: BLE001 - the command line's edge: every error becomes a sentence and a code
        code = next((number for kind, number in _CODES if isinstance(error, kind)), _BUG)
        if code == _BUG:
            output.bug(_words(arguments), error)
        else:
            output.error(_words(arguments), type(error).__name__, _sentence(error))
    return code


def _words(arguments: Sequence[str]) -> str:
    """Name the command for the JSON schema: ``vault seal`` is ``vault-seal``."""
    plain = [word for word in arguments if not word.startswith("-")]
    known = plain[:1] if plain[:1] and plain[0] in _COMMANDS else []
    if known in (["data"], ["vault"], ["certificate"], ["log"], ["waiver"]):
        known = plain[:2]
    return "-".join(known) or "lifeseal"


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror or error}"
    return str(error) or type(error).__name__
