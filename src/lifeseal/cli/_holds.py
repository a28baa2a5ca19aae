# SPDX-License-Identifier: Apache-2.0
"""``vault hold`` and ``vault release``: what is not to be erased, for legal reasons."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted
from lifeseal.cli._roots import root_options
from lifeseal.cli._subjects import read_ids

if TYPE_CHECKING:
    from lifeseal.erasure import RootHolder


@click.command(
    short_help="Refuse to erase assets or people's records, for legal reasons.",
    epilog=examples(
        "lifeseal vault hold classifier --vault models.vault --reason 'case 7/2026, by order of legal@example.org' \\",
        "    --root file:/media/safe/models.root",
        "lifeseal vault hold --subjects ids.txt --vault people.vault --reason 'case 7/2026' --root file:/media/safe/people.root",
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option("--subjects", "people", type=PATH, metavar="FILE", help="Ids of people to put on hold, one a line; - reads standard input.")
@click.option("--everybody", is_flag=True, help="Put all people of the vault on hold, also those who come later.")
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--reason", required=True, help="Why, and by whose order; shown to whoever tries to erase. Never a person's name.")
@root_options
@common
def hold(output: Output, *, names: tuple[str, ...], people: Path | None, everybody: bool, vault: Path, reason: str, root: "RootHolder") -> None:
    """Put assets NAME…, or people, on hold: the vault refuses to erase them until the hold is lifted (vault release)."""
    from lifeseal.erasure import Vault

    ids = _chosen(names, people, everybody=everybody)
    with Vault.open(vault, root=root) as opened:
        if names:
            opened.holds.place(names, reason=reason)
        else:
            opened.holds.place_people(ids, reason=reason)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, **_document(names, ids), "reason": reason}
    output.result("vault-hold", document, (f"on hold: {_named(names, ids)}", f"reason  {reason}"))


@click.command(
    short_help="Lift a hold.",
    epilog=examples("lifeseal vault release classifier --vault models.vault --root file:/media/safe/models.root"),
)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option("--subjects", "people", type=PATH, metavar="FILE", help="Ids of people to take off hold, one a line; - reads standard input.")
@click.option("--everybody", is_flag=True, help="Lift the hold on all people; holds on single ones stay.")
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@root_options
@common
def release(output: Output, *, names: tuple[str, ...], people: Path | None, everybody: bool, vault: Path, root: "RootHolder") -> None:
    """Take assets NAME…, or people, off hold; they can be erased again."""
    from lifeseal.erasure import Vault

    ids = _chosen(names, people, everybody=everybody)
    with Vault.open(vault, root=root) as opened:
        if names:
            opened.holds.lift(names)
        else:
            opened.holds.lift_people(ids)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, **_document(names, ids)}
    output.result("vault-release", document, (f"no longer on hold: {_named(names, ids)}",))


def _chosen(names: tuple[str, ...], people: Path | None, *, everybody: bool) -> tuple[str, ...] | None:
    if (bool(names), people is not None, everybody).count(True) != 1:
        raise click.UsageError("say what: assets NAME…, --subjects FILE, or --everybody")
    return None if people is None else read_ids(people)


def _document(names: tuple[str, ...], ids: tuple[str, ...] | None) -> dict[str, object]:
    return {"names": list(names), "people": 0 if names else "all" if ids is None else len(ids)}


def _named(names: tuple[str, ...], ids: tuple[str, ...] | None) -> str:
    return ", ".join(names) if names else "everybody" if ids is None else counted(len(ids), "person").replace("persons", "people")
