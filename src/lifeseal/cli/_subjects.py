# SPDX-License-Identifier: Apache-2.0
"""``vault subjects``: records of single people, each under that person's key."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lifeseal.cli._data_trace import edge_document, edge_line, open_statement_file
from lifeseal.cli._options import PATH, bytes_from, common, examples
from lifeseal.cli._output import Output, counted
from lifeseal.cli._roots import root_options
from lifeseal.cli._verify import load_policy

if TYPE_CHECKING:
    from lifeseal.disposal import PersonFound
    from lifeseal.erasure import RootHolder

_SEALED = frozenset({".jsonl", ".ndjson", ".parquet"})
_MAX_IDS = 64 << 20
_SHOWN = 10


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


@subjects.command(
    short_help="Find where people's records stand, for a request of access.",
    epilog=examples(
        "lifeseal vault subjects find --vault people.vault --subjects ids.txt *.sealed.jsonl *.json models/*.training.sig \\",
        "    --root file:/media/safe/people.root",
    ),
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE…")
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--subjects", "people", required=True, type=PATH, metavar="FILE", help="Ids of the people, one a line; - reads standard input.")
@click.option("--key", type=PATH, help="Public key that must have signed every manifest and statement (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy that the signature of each of them must satisfy (TOML).")
@root_options
@common
def find(
    output: Output, *, files: tuple[Path, ...], vault: Path, people: Path, key: Path | None, policy_file: Path | None, root: "RootHolder"
) -> None:
    """Tell in which sealed files, datasets and models people's records stand.

    FILE is a sealed file (.jsonl, .parquet), a manifest, or a training statement; give all that may lie on the way. Nothing is decrypted. People
    are told apart by their place in the list, and by a pseudonym; their ids are not printed.
    """
    from lifeseal import disposal
    from lifeseal.erasure import Vault

    policy = None if key is None and policy_file is None else load_policy(key=key, file=policy_file)
    sealed = [file for file in files if file.suffix.lower() in _SEALED]
    statements = [open_statement_file(file, policy) for file in files if file not in sealed]
    with Vault.open(vault, root=root) as opened:
        found = disposal.find_people(opened, read_ids(people), sealed, statements=statements)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "signed": policy is not None}
    lines = [f"looked through {counted(len(sealed), 'sealed file')} and {counted(len(statements), 'statement')}"]
    for number, one in enumerate(found, start=1):
        lines.append(f"person {number} of {len(found)}, pseudonym {one.pseudonym}: {counted(one.records, 'record')}")
        lines += [f"  {entry.path}: {counted(len(entry.numbers), 'record')}, {_numbers(entry.numbers)}" for entry in one.files]
        lines += [f"  {edge_line(edge)}" for edge in one.edges]
    lines += ["unverified: nobody was asked to vouch for the statements"] if statements and policy is None else []
    output.result("vault-subjects-find", {**document, "people": [_person(one) for one in found]}, tuple(lines))


def read_ids(path: Path) -> tuple[str, ...]:
    """Read people's ids, which never stand on the command line.

    Args:
        path: One a line, UTF-8; ``-`` reads standard input.

    Returns:
        The ids.

    Raises:
        FormatError: It is not UTF-8, or holds none.
        OSError: It cannot be read.
    """
    from lifeseal.errors import FormatError

    try:
        lines = (bytes_from(path, limit=_MAX_IDS) or b"").decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise FormatError(str(path), "ids in UTF-8, one a line, were expected") from None
    ids = tuple(line for line in (line.removesuffix("\r") for line in lines) if line)
    if not ids:
        raise FormatError(str(path), "ids, one a line, were expected")
    return ids


def _numbers(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return f"counted from 0: {shown}" + (", …" if len(numbers) > _SHOWN else "")


def _person(found: "PersonFound") -> dict[str, object]:
    files = [{"path": entry.path, "sha256": entry.sha256.hex(), "records": list(entry.numbers)} for entry in found.files]
    return {"pseudonym": found.pseudonym, "files": files, "edges": [edge_document(edge) for edge in found.edges]}
