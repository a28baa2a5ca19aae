# SPDX-License-Identifier: Apache-2.0
"""``log`` and ``report``."""

import re
from pathlib import Path

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted
from lifeseal.cli._signers import load_signer
from lifeseal.cli._verify import load_policy, load_withdrawals

_NAMED = 5  # refusals that a summary names
_HEAD = re.compile(r"[0-9a-fA-F]{64}")


@click.group()
def log() -> None:
    """Check, end and vouch for event logs."""


@log.command(
    epilog=examples(
        "lifeseal log verify events.jsonl",
        "lifeseal log verify events.jsonl --head kept-elsewhere.txt",
        "lifeseal log verify events.jsonl --head events.head --key auditor.pub",
        "lifeseal log verify events.jsonl --head release.sig --policy trust.toml --withdrawals withdrawn.sig",
        "lifeseal log verify events.2025.jsonl events.jsonl",
    )
)
@click.argument("file", type=PATH, nargs=-1, required=True)
@click.option("--head", metavar="HEX|FILE", help="A head kept elsewhere, or the file it is kept in; without one a cut tail cannot be seen.")
@click.option("--key", type=PATH, help="Public key that must have signed the head, or the release or certificate that holds it (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn; its signature is judged as the head's is.")
@click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one.")
@common
def verify(
    output: Output,
    *,
    file: tuple[Path, ...],
    head: str | None,
    key: Path | None,
    policy_file: Path | None,
    withdrawals: Path | None,
    state: Path | None,
) -> None:
    """Check that no line of FILE was changed, removed, added or moved.

    Several files must go on one from another, the oldest first; the head is of the last.
    """
    from lifeseal import evidence
    from lifeseal.errors import TamperedError

    signed = key is not None or policy_file is not None
    if signed and head is None:
        raise click.UsageError("--key and --policy are about a signed head, and need --head FILE")
    if not signed and (withdrawals is not None or state is not None):
        raise click.UsageError("--withdrawals and --state need a signed head to judge, and someone to trust")
    if signed:
        policy = load_policy(key=key, file=policy_file)
        consulted = load_withdrawals(withdrawals, state, policy)
        wanted: str | None = evidence.open_head(str(head), policy=policy, withdrawals=consulted).value
    else:
        wanted = None if head is None else _head(head)
    checked = [evidence.verify(place, head=wanted if place == file[-1] else None) for place in file]
    for place, before, after in zip(file[1:], checked, checked[1:], strict=False):
        if after.previous != before.head:
            raise TamperedError(f"{place}: does not go on from the file before; what stood between is missing, or it is another log")
    found = checked[-1]
    events, damaged = sum(one.events for one in checked), sum(one.damaged for one in checked)
    lines = [f"{', '.join(map(str, file))}: the chain holds", f"events   {events}", f"head     {found.head}"]
    lines += [f"damaged  {damaged} torn lines, closed by a later writer"] if damaged else []
    lines += [f"before   goes on from a log with head {found.previous}"] if found.previous and len(file) == 1 else []
    lines += ["ended    another log goes on from this one"] if found.ended else []
    lines += [] if head else ["A cut tail shows only with --head, kept elsewhere."]
    document: dict[str, object] = {"events": events, "damaged": damaged, "head": found.head, "head_checked": head is not None}
    output.result("log-verify", document | {"previous": found.previous, "ended": found.ended}, tuple(lines))


@log.command(epilog=examples("lifeseal log rotate events.jsonl --to events.2026-11.jsonl"))
@click.argument("file", type=PATH)
@click.option("--to", "archive", required=True, type=PATH, help="The old log's name from now on, in the same file system.")
@common
def rotate(output: Output, *, file: Path, archive: Path) -> None:
    """End the log FILE under another name, and begin a new one that carries its head. Running writers follow."""
    from lifeseal import evidence

    if not file.exists():
        raise FileNotFoundError(2, "No such event log", str(file))
    with evidence.Log(file) as opened:
        opened.rotate(archive)
    head = evidence.verify(archive).head
    output.result("log-rotate", {"log": str(file), "archive": str(archive), "head": head}, (f"{file}: goes on from {archive}", f"head     {head}"))


@log.command("sign", epilog=examples("lifeseal log sign events.jsonl --key auditor.key --out events.head"))
@click.argument("file", type=PATH)
@click.option("--key", required=True, type=PATH, help="Private key (PEM).")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--out", required=True, type=PATH, help="Where the signed head goes; take it to another machine.")
@common
def sign_head(output: Output, *, file: Path, key: Path, passphrase_file: Path | None, out: Path) -> None:
    """Verify the log FILE and sign its head, so that a tail cut later shows."""
    from lifeseal import evidence

    bundle = evidence.sign_head(file, signer=load_signer(key, passphrase_file))
    bundle.write(out)
    head = evidence.verify(file).head
    output.result("log-sign", {"log": str(file), "head": head, "signature": str(out)}, (f"signed the head of {file}", f"head     {head}"))


@click.command(
    epilog=examples(
        "lifeseal report events.jsonl --html report.html",
        "lifeseal report events.jsonl --oscal oscal/",
    )
)
@click.argument("file", type=PATH)
@click.option("--html", type=PATH, help="Write a page for people here; one file, without scripts.")
@click.option("--oscal", type=PATH, metavar="DIR", help="Write OSCAL 1.2.1 documents into this folder.")
@common
def report(output: Output, *, file: Path, html: Path | None, oscal: Path | None) -> None:
    """Say what the log FILE shows: refusals, provisions, artefacts, changes. Its chain is checked first."""
    from lifeseal import evidence
    from lifeseal._io import make_folder, replace

    summary = evidence.summarise(file)
    written: list[str] = []
    if html is not None:
        if html.exists() and not html.read_bytes()[:15].startswith(b"<!doctype html>"):
            raise FileExistsError(17, "is there and is no page of HTML, so it is not replaced", str(html))
        replace(html, evidence.report(file).encode())
        written.append(str(html))
    if oscal is not None:
        if not oscal.is_dir():
            make_folder(oscal)
        for name, data in evidence.oscal(file).items():
            replace(oscal / name, data)
            written.append(str(oscal / name))
    verdicts = {tally.provision: tally.verdict for tally in summary.tallies}
    document: dict[str, object] = {
        "log": str(file),
        "head": summary.head,
        "previous": summary.previous,
        "events": summary.events,
        "refused": summary.refused,
        "verdicts": verdicts,
        "stale_reviews": [one.document for one in summary.reviews if one.stale],
        "written": written,
    }
    named = {word: [p.rpartition(":")[2] for p, verdict in verdicts.items() if verdict == word] for word in ("fail", "pass", "inconclusive")}
    lines = [f"{file}: {counted(summary.events, 'event')}, {counted(summary.refused, 'refusal')}"]
    lines += [f"{word:<13}{', '.join(ids)}" for word, ids in named.items() if ids]
    lines += [f"refused      line {one.line}: {one.primitive}: {one.error} {one.about}" for one in summary.refusals[-_NAMED:]]
    lines += [f"             and {counted(summary.refused - _NAMED, 'earlier refusal')}; --html shows them"] if summary.refused > _NAMED else []
    lines += [
        f"stale        review {one.document[:19]} of {', '.join(one.covers)}: {', '.join(one.stale)} changed" for one in summary.reviews if one.stale
    ]
    lines += ["earlier      goes on from another log, not read: reviews recorded there do not show"] if summary.previous else []
    lines += [f"wrote        {path}" for path in written]
    output.plain("report", document, lines)


def _head(text: str) -> str:
    """Take a head as it is written, or the first word of the file that is named; a signed one needs somebody to trust."""
    if _HEAD.fullmatch(text):
        return text.lower()
    from lifeseal._io import read_bounded

    data = read_bounded(text, limit=1 << 16)
    if data.lstrip().startswith(b"{"):
        raise click.UsageError(f"--head: {text} is a signed head; say with --key or --policy who must have signed it")
    words = data.decode("utf-8", "replace").split()
    if not words or not _HEAD.fullmatch(words[0]):
        raise click.UsageError(f"--head: 64 hexadecimal digits, or a file that begins with them, were expected: {text!r}")
    return words[0].lower()
