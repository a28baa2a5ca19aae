# SPDX-License-Identifier: Apache-2.0
"""``data diff``, ``data prove``, ``data check-proof``: about records, without the data."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._data_verify import open_vouched
from lifeseal.cli._options import PATH, bytes_from, common, examples
from lifeseal.cli._output import Output, Refused, counted

if TYPE_CHECKING:
    from lifeseal.provenance import Claim, Difference, FileChange, Manifest

_MAX_RECORD = 64 << 20
_SHOWN = 20


@click.command(epilog=examples("lifeseal data diff reviews-1.json reviews-2.json"))
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@common
def diff(output: Output, *, a: Path, b: Path) -> None:
    """Tell which files and records differ between the manifests A and B; exit code 1 if any do.

    Numbers of records count from 0. Signatures are not looked at.
    """
    from lifeseal import provenance

    found = provenance.diff(provenance.Manifest.load(a), provenance.Manifest.load(b))
    lines = [f"{a} and {b} differ" if found else f"{a} and {b} are the same", *_told(found)]
    document: dict[str, object] = {
        "added": list(found.added),
        "removed": list(found.removed),
        "changed": [_change(change) for change in found.changed],
        "stated": list(found.stated),
    }
    output.result("data-diff", document, tuple(lines), ok=not found)
    if found:
        raise Refused(1)


def _told(found: "Difference") -> list[str]:
    lines = [f"added    {path}" for path in found.added] + [f"removed  {path}" for path in found.removed]
    for change in found.changed:
        lines.append(
            f"changed  {change.path}" + ("" if change.records is None else ", its records" if change.records else ", its records are the same")
        )
        if change.records:
            pairs = [f"{first} -> {second}" if first != second else str(first) for first, second in change.records.changed]
            counts = (("changed", pairs), ("removed", change.records.removed), ("added", change.records.added))
            lines += [f"         {word} {_some(numbers)}" for word, numbers in counts if numbers]
            lines += ["         moved within the file"] if change.records.moved else []
    return lines + [f"stated   {field}" for field in found.stated]


def _some(numbers: "tuple[int, ...] | list[str]") -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return shown if len(numbers) <= _SHOWN else f"{shown} and {len(numbers) - _SHOWN} more"


def _change(change: "FileChange") -> dict[str, object]:
    records = change.records
    if records is None:
        return {"path": change.path, "records": None}
    found = {"added": list(records.added), "removed": list(records.removed), "changed": [list(pair) for pair in records.changed]}
    return {"path": change.path, "records": {**found, "moved": records.moved}}


@click.command(
    epilog=examples(
        "lifeseal data prove reviews.json record.txt --out proof.json",
        "lifeseal data prove reviews-2.json --since reviews-1.json --out proof.json",
    )
)
@click.argument("manifest", type=PATH)
@click.argument("record", required=False, type=PATH)
@click.option("--since", type=PATH, metavar="MANIFEST", help="Prove that this earlier dataset is still there, and only grew.")
@click.option("--out", required=True, type=PATH, help="The proof to write.")
@click.option("--leaf-key-file", type=PATH, metavar="FILE", help="The key of keyed leaves; - reads standard input.")
@common
def prove(output: Output, *, manifest: Path, record: Path | None, since: Path | None, out: Path, leaf_key_file: Path | None) -> None:
    """Prove that the record in the file RECORD is in MANIFEST or, if it is not, that it is absent.

    The data is not needed. RECORD - reads standard input; a line feed at its end is not part of it. Absence needs a manifest that was recorded
    with --sets, and means: these exact bytes, in files whose records were hashed.
    """
    from lifeseal import provenance

    if (record is None) == (since is None):
        raise click.UsageError("give RECORD, or --since")
    found = provenance.Manifest.load(manifest)
    if since is not None:
        proof = provenance.prove_growth(provenance.Manifest.load(since), found)
    else:
        proof = provenance.prove(found, _record(record), leaf_key=bytes_from(leaf_key_file))
    proof.write(out)
    output.result("data-prove", {"proof": str(out), **_claim(proof.claim)}, (*_sentence(proof.claim, found), f"proof    {out}"))


@click.command(
    "check-proof",
    epilog=examples(
        "lifeseal data check-proof proof.json --manifest reviews.json --key release.pub --record record.txt",
        "lifeseal data check-proof proof.json --manifest reviews-2.json --since reviews-1.json --unsigned",
    ),
)
@click.argument("proof", type=PATH)
@click.option("--manifest", required=True, type=PATH, help="What the proof is about.")
@click.option("--record", type=PATH, metavar="FILE", help="The record; without it the proof is about a leaf hash.")
@click.option("--since", type=PATH, metavar="MANIFEST", help="For a proof of growth: the earlier manifest, signed as the later one.")
@click.option("--leaf-key-file", type=PATH, metavar="FILE", help="With --record: the key of keyed leaves; - reads standard input.")
@click.option("--key", type=PATH, help="Public key that must have signed the manifest (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--signature", type=PATH, help="The manifest's signature; by default MANIFEST.sig.")
@click.option("--unsigned", is_flag=True, help="Check against a manifest that nobody vouches for.")
@common
def check_proof(
    output: Output,
    *,
    proof: Path,
    manifest: Path,
    record: Path | None,
    since: Path | None,
    leaf_key_file: Path | None,
    key: Path | None,
    policy_file: Path | None,
    signature: Path | None,
    unsigned: bool,
) -> None:
    """Check PROOF against a manifest; neither data nor leaf files are needed."""
    from lifeseal import provenance

    found, vouched = open_vouched(manifest, key=key, policy_file=policy_file, signature=signature, unsigned=unsigned)
    claim = provenance.check_proof(
        provenance.Proof.load(proof),
        found,
        record=None if record is None else _record(record),
        leaf_key=bytes_from(leaf_key_file),
        previous=None if since is None else open_vouched(since, key=key, policy_file=policy_file, signature=None, unsigned=unsigned)[0],
    )
    document: dict[str, object] = {"manifest": str(manifest), "digest": found.digest, "signed": not unsigned, **_claim(claim)}
    output.result("data-check-proof", {**document, "record_compared": record is not None}, (*_sentence(claim, found), *vouched))


def _record(path: Path | None) -> bytes:
    return (bytes_from(path, limit=_MAX_RECORD) or b"").removesuffix(b"\n")


def _claim(claim: "Claim") -> dict[str, object]:
    from lifeseal import provenance

    if isinstance(claim, provenance.Included):
        return {"claim": "inclusion", "leaf": claim.leaf.hex(), "file": claim.file, "record": claim.place.index, "previous": None}
    if isinstance(claim, provenance.Absent):
        return {"claim": "absence", "leaf": claim.leaf.hex(), "file": None, "record": None, "previous": None}
    return {"claim": "growth", "leaf": None, "file": None, "record": None, "previous": claim.previous}


def _sentence(claim: "Claim", manifest: "Manifest") -> list[str]:
    from lifeseal import provenance

    if isinstance(claim, provenance.Included):
        return [f"the record is number {claim.place.index} of {claim.file}"]
    if isinstance(claim, provenance.Absent):
        bare = len(manifest.files) - len(claim.gaps)
        more = [f"not covered: {counted(bare, 'file')} without records"] if bare else []
        return [f"these bytes are no record of {counted(len(claim.gaps), 'file')}", *more]
    return [f"all of {claim.previous} is there unchanged; {counted(len(claim.files), 'file')} grew"]
