# SPDX-License-Identifier: Apache-2.0
"""``vault subjects``: records of single people, each under that person's key."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted
from lifeseal.cli._roots import root_options

if TYPE_CHECKING:
    from lifeseal.erasure import RootHolder


@click.group()
def subjects() -> None:
    """Keep people's records so that one person can be forgotten."""


@subjects.command(
    short_help="Seal each record under its person's key.",
    epilog=examples(
        "lifeseal vault subjects seal --vault people.vault --id-field customer reviews.jsonl reviews.sealed.jsonl \\",
        "    --root file:/media/safe/people.root",
        "lifeseal vault subjects seal --vault people.vault --id-field customer --clear stars reviews.parquet sealed.parquet",
    ),
)
@click.argument("source", type=PATH, metavar="IN")
@click.argument("out", type=PATH)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--id-field", required=True, metavar="NAME", help="Field or column that names each record's person.")
@click.option("--clear", multiple=True, metavar="COLUMN", help="Of Parquet: leave this column readable for ever. Repeatable.")
@root_options
@common
def seal(output: Output, *, source: Path, out: Path, vault: Path, id_field: str, clear: tuple[str, ...], root: "RootHolder") -> None:
    """Write IN (.jsonl or .parquet) to OUT with each record sealed under the key of its person. IN stays.

    The people's ids are read from the data. The vault keeps a keyed fingerprint of each person who is there, and no id.
    """
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened:
        done = opened.subjects.seal_file(source, out, id_field=id_field, clear=clear)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "out": str(out), "records": done.records, "new_people": done.people}
    people = f"{done.people} new {'person' if done.people == 1 else 'people'}"
    lines = (f"sealed {counted(done.records, 'record')} in {out}", people, f"the plaintext is still at {source}")
    output.result("vault-subjects-seal", document, lines)


@subjects.command(
    short_help="Write the records of those who were not erased.",
    epilog=examples(
        "lifeseal vault subjects unseal --vault people.vault reviews.sealed.jsonl reviews.jsonl \\",
        "    --root file:/media/safe/people.root",
    ),
)
@click.argument("source", type=PATH, metavar="IN")
@click.argument("out", type=PATH)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--id-field", metavar="NAME", help="Check that each record stands under the key of the person whom this field names.")
@click.option(
    "--erased", type=click.Choice(["skip", "mark", "refuse"]), default="skip", show_default=True, help="What becomes of records of the erased."
)
@root_options
@common
def unseal(
    output: Output, *, source: Path, out: Path, vault: Path, id_field: str | None, erased: Literal["skip", "mark", "refuse"], root: "RootHolder"
) -> None:
    """Write IN, a sealed file, to OUT in plaintext; records of the erased are left out, marked, or end the work."""
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened:
        done = opened.subjects.unseal_file(source, out, erased=erased, id_field=id_field)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "out": str(out), "records": done.records, "erased": done.erased}
    left = f"{counted(done.erased, 'record')} of people who were erased {'marked' if erased == 'mark' else 'left out'}"
    lines = (f"wrote {counted(done.records, 'record')} to {out}", left, "It is plaintext outside the vault: erasing a person will not reach it.")
    output.result("vault-subjects-unseal", document, lines)
