# SPDX-License-Identifier: Apache-2.0
"""``exec``: run a command on files of a signed model that nobody can change any more."""

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, Refused
from lifeseal.cli._verify import load_policy, load_withdrawals

_PLACE = "{}"
_LOOK = 0.5  # seconds; where a thread takes the signal of a child's end, it is seen so late
_SIGNALLED = 128
_PASSED_ON = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGWINCH}
)


@click.command(
    "exec",
    epilog=examples(
        "lifeseal exec model/ --policy trust.toml -- llama-server --model {}/model.gguf",
        "lifeseal exec model/ --key release.pub -- python serve.py --model-dir {}",
    ),
)
@click.argument("model", type=PATH)
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--key", type=PATH, help="Public key that must have signed it (PEM).")
@click.option("--ca", type=PATH, multiple=True, help="Root that the signer's certificate must lead to (PEM). Repeatable.")
@click.option("--san", metavar="NAME", help="With --ca: DNS name, e-mail address or URI that the signer's certificate must carry.")
@click.option("--signature", type=PATH, multiple=True, help="The signature; by default MODEL/model.sig, or MODEL.sig beside a file. Repeatable.")
@click.option("--expect", metavar="DIGEST", help="Root digest that the model must have, sha256:…")
@click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn; its signature is judged as the model's is.")
@click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one.")
@click.option("--waiver", type=PATH, help="Accept what this waiver covers: an unsigned model, files that need trust.")
@click.option("--file", "files", multiple=True, metavar="NAME", help="Expose this file of the model only. Repeatable.")
@click.option("--mode", type=click.Choice(["memory", "copy"]), default="memory", show_default=True, help="Where the files are kept.")
@click.option("--dir", "place", type=PATH, help="Where the folder is made; by default the system's place for temporary files.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARGUMENT]…")
@common
def execute(
    output: Output,
    *,
    model: Path,
    policy_file: Path | None,
    key: Path | None,
    ca: tuple[Path, ...],
    san: str | None,
    signature: tuple[Path, ...],
    expect: str | None,
    withdrawals: Path | None,
    state: Path | None,
    waiver: Path | None,
    files: tuple[str, ...],
    mode: str,
    place: Path | None,
    command: tuple[str, ...],
) -> None:
    """Check MODEL, pin its files, and run CMD with {} in its arguments replaced by the folder of the pinned files.

    Signals are passed on, and the exit code is the command's (128 and the number of a signal that ended it). A model that is refused ends
    with a code of lifeseal's before the command starts. The files are there while the command runs; what it leaves running loses them.
    """
    from lifeseal import attestation, loading, signing

    if not any(_PLACE in argument for argument in command):
        raise click.UsageError("CMD has no {} where the path of the checked files would go; it would run on something else")
    policy = load_policy(key=key, ca=ca, san=san, file=policy_file)
    consulted = load_withdrawals(withdrawals, state, policy)
    exception = None if waiver is None else attestation.Waiver.load(waiver)
    opened = signing.open_model(model, policy=policy, signature=signature or None, expect=expect, withdrawals=consulted, waiver=exception)
    unknown = sorted(set(files) - {entry.path for entry in opened.files})
    if unknown:
        raise click.UsageError(f"--file: {unknown[0]!r} is not among the signed files of {model}")
    with opened as signed, loading.pinned(signed, files=files or None, mode=cast("loading.Mode", mode), dir=place) as folder:
        code = _run([argument.replace(_PLACE, str(folder)) for argument in command], aside=output.as_json)
    if output.as_json:
        document: dict[str, object] = {"model": str(model), "digest": opened.subject.digest, "command": list(command), "exit_code": code}
        output.result("exec", document, (), ok=code == 0)
    if code:
        raise Refused(code)


def _run(command: Sequence[str], *, aside: bool) -> int:
    """Run a command to its end and pass signals on; what it prints goes to standard error if ``aside``."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started this may ignore it, and then no child would be told of
    watched = _PASSED_ON | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = _start(command, before, os.environ, aside=aside)
        while True:
            found = signal.sigtimedwait(watched, _LOOK)
            if found is None or found.si_signo == signal.SIGCHLD:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else _SIGNALLED - code
            elif found.si_code <= 0:  # sent by a process; what the terminal sends, its whole foreground group gets from it
                os.kill(child, found.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(command: Sequence[str], mask: Iterable[int], environment: Mapping[str, str], *, aside: bool) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, 2, 1)] if aside else []
    return os.posix_spawnp(command[0], list(command), environment, file_actions=actions, setsigmask=mask, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
