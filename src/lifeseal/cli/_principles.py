# SPDX-License-Identifier: Apache-2.0
"""``principles``."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import common, examples
from lifeseal.cli._output import Output

if TYPE_CHECKING:
    from lifeseal.principles import Primitive

_FORCES = ("required", "recommended", "possible")


@click.command(
    epilog=examples(
        "lifeseal principles --coverage | less",
        "lifeseal principles --actor 'Data Custodian' --force required",
        "lifeseal principles --primitive signing.sign",
    )
)
@click.option("--coverage", is_flag=True, help="Show for every provision which functions implement or evidence it.")
@click.option("--phase", metavar="WORDS", help="Only of this phase, as 'secure development'.")
@click.option("--actor", metavar="WORDS", help="Only those that address this actor, as 'Data Custodian'.")
@click.option("--force", type=click.Choice(_FORCES), help="Only of this force: required (shall), recommended (should), possible.")
@click.option("--primitive", metavar="NAME", help="Only those that this function serves, as signing.sign.")
@common
def principles(output: Output, *, coverage: bool, phase: str | None, actor: str | None, force: str | None, primitive: str | None) -> None:
    """List the 13 principles and 72 provisions of the UK Code of Practice for the Cyber Security of AI."""
    from lifeseal import principles as catalogue

    tagged = catalogue.load_all()
    every = catalogue.provisions().values()
    chosen = [p for p in every if (force or p.force) == p.force and _among(phase, [p.phase]) and _among(actor, p.actors)]
    _refuse_unknown("--phase", phase, {p.phase for p in every})
    _refuse_unknown("--actor", actor, {one for p in every for one in p.actors})
    if primitive is not None:
        served = _served(tagged, primitive)
        chosen = [p for p in chosen if p.id in served]
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    for principle in catalogue.principles():
        own = [p for p in chosen if p.principle == principle.number]
        lines += ["", f"{principle.number}. {principle.title}  [{principle.phase}]"] if own else []
        for provision in own:
            by = {level: _serving(tagged, provision.id, level) for level in ("implements", "evidences")}
            judgement = catalogue.judgements()[provision.id]
            row: dict[str, object] = {"id": provision.id, "en_id": provision.en_id, "force": provision.force, "asks": provision.paraphrase}
            row |= {"phase": provision.phase, "actors": list(provision.actors)}
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
    output.plain("principles", document, lines[1:] or ["no provision is all of that"])


def _among(wanted: str | None, values: Iterable[str]) -> bool:
    return wanted is None or wanted.casefold() in {value.casefold() for value in values}


def _refuse_unknown(option: str, wanted: str | None, values: Iterable[str]) -> None:
    if not _among(wanted, values):
        raise click.UsageError(f"{option}: one of {', '.join(sorted(map(repr, values)))} was expected, not {wanted!r}")


def _served(tagged: Mapping[str, "Primitive"], name: str) -> set[str]:
    found = tagged.get(name) or tagged.get(f"lifeseal.{name}")
    if found is None:
        from difflib import get_close_matches

        close = get_close_matches(f"lifeseal.{name}", tagged, n=1)
        raise click.UsageError(f"--primitive: no tagged function is called {name!r}{f'; did you mean {close[0]!r}?' if close else ''}")
    return {tag.provision for tag in found.tags}


def _serving(tagged: Mapping[str, "Primitive"], provision: str, level: str) -> list[str]:
    return [name for name, primitive in tagged.items() if any(t.provision == provision and t.level == level for t in primitive.tags)]


def _coverage_lines(by: Mapping[str, list[str]], level: str, reason: str) -> list[str]:
    lines = [f"{'':<9}{word:<11} {', '.join(names)}" for word, names in by.items() if names]
    if not lines:
        lines = [f"{'':<9}no library  {reason}" if level == "organisational" else f"{'':<9}not here    possible: {reason}"]
    return lines
