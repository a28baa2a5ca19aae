# SPDX-License-Identifier: Apache-2.0
"""``principles`` and ``log``."""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output

if TYPE_CHECKING:
    from lifeseal.principles import Primitive

_HEAD = re.compile(r"[0-9a-fA-F]{64}")
_FAMILIES = ("attestation", "signing", "serialization", "provenance", "erasure", "loading", "evidence", "disposal")


@click.command(
    epilog=examples(
        "lifeseal principles --coverage | less",
    )
)
@click.option("--coverage", is_flag=True, help="Show for every provision which functions implement or evidence it.")
@common
def principles(output: Output, *, coverage: bool) -> None:
    """List the 13 principles and 72 provisions of the UK Code of Practice for the Cyber Security of AI."""
    from lifeseal import principles as catalogue

    for family in _FAMILIES:
        import_module(f"lifeseal.{family}")
    tagged = catalogue.primitives()
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    for principle in catalogue.principles():
        lines += ["", f"{principle.number}. {principle.title}  [{principle.phase}]"]
        for provision in (p for p in catalogue.provisions().values() if p.principle == principle.number):
            by = {level: _serving(tagged, provision.id, level) for level in ("implements", "evidences")}
            judgement = catalogue.judgements()[provision.id]
            row: dict[str, object] = {"id": provision.id, "en_id": provision.en_id, "force": provision.force, "asks": provision.paraphrase}
            rows.append(row | {"implemented_by": by["implements"], "evidenced_by": by["evidences"], "possible": judgement.level})
            lines.append(f"  {provision.number:<7}{provision.force:<12} {provision.paraphrase}")
            if coverage:
                lines += _coverage_lines(by, judgement.level, judgement.reason)
    done = sum(bool(row["implemented_by"]) for row in rows)
    helped = sum(bool(row["evidenced_by"]) and not row["implemented_by"] for row in rows)
    none = sum(row["possible"] == "organisational" for row in rows)
    summary = (
        f"{len(rows)} provisions: {done} with a function that implements a control, {helped} more with evidence, {none} no library can implement."
    )
    if coverage:
        lines += ["", summary, "A tag is a capability, not compliance; each function's limits stand in its documentation."]
    document: dict[str, object] = {"provisions": rows, "implemented": done, "evidenced": helped, "organisational": none}
    output.plain("principles", document, lines[1:])


def _serving(tagged: Mapping[str, "Primitive"], provision: str, level: str) -> list[str]:
    return [name for name, primitive in tagged.items() if any(t.provision == provision and t.level == level for t in primitive.tags)]


def _coverage_lines(by: Mapping[str, list[str]], level: str, reason: str) -> list[str]:
    lines = [f"{'':<9}{word:<11} {', '.join(names)}" for word, names in by.items() if names]
    if not lines:
        lines = [f"{'':<9}no library  {reason}" if level == "organisational" else f"{'':<9}not here    possible: {reason}"]
    return lines


@click.group()
def log() -> None:
    """Check event logs."""


@log.command(
    epilog=examples(
        "lifeseal log verify events.jsonl",
        "lifeseal log verify events.jsonl --head kept-elsewhere.txt",
    )
)
@click.argument("file", type=PATH)
@click.option("--head", metavar="HEX|FILE", help="A head kept elsewhere, or the file it is kept in; without one a cut tail cannot be seen.")
@common
def verify(output: Output, *, file: Path, head: str | None) -> None:
    """Check that no line of FILE was changed, removed, added or moved."""
    from lifeseal import evidence

    found = evidence.verify(file, head=None if head is None else _head(head))
    lines = [f"{file}: the chain holds", f"events   {found.events}", f"head     {found.head}"]
    lines += [f"damaged  {found.damaged} torn lines, closed by a later writer"] if found.damaged else []
    lines += [] if head else ["A cut tail shows only with --head, kept elsewhere."]
    document: dict[str, object] = {"events": found.events, "damaged": found.damaged, "head": found.head, "head_checked": head is not None}
    output.result("log-verify", document, tuple(lines))


def _head(text: str) -> str:
    """Take a head as it is written, or the first word of the file that is named."""
    if _HEAD.fullmatch(text):
        return text.lower()
    from lifeseal._io import read_bounded

    words = read_bounded(text, limit=1 << 16).decode("utf-8", "replace").split()
    if not words or not _HEAD.fullmatch(words[0]):
        raise click.UsageError(f"--head: 64 hexadecimal digits, or a file that begins with them, were expected: {text!r}")
    return words[0].lower()
