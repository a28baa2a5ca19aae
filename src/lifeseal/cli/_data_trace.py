# SPDX-License-Identifier: Apache-2.0
"""``data trace``: which datasets and which models saw something."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, bytes_from, common, examples
from lifeseal.cli._output import Output, Refused
from lifeseal.cli._verify import load_policy

if TYPE_CHECKING:
    from lifeseal.attestation import Policy, Statement
    from lifeseal.provenance import Edge, Manifest

_MAX_RECORD = 64 << 20
_MAX_FILE = 512 << 20


@click.command(
    epilog=examples(
        "lifeseal data trace https://example.org/reviews *.json models/*.training.sig",
        "lifeseal data trace --record poisoned.txt *.json models/*.training.sig --key release.pub",
    )
)
@click.argument("needle")
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE…")
@click.option("--record", "as_record", is_flag=True, help="NEEDLE is a file that holds a record; - reads standard input.")
@click.option("--leaf-key-file", type=PATH, metavar="FILE", help="With --record: the key of keyed leaves; - reads standard input.")
@click.option("--key", type=PATH, help="Public key that must have signed every FILE (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy that every FILE's signature must satisfy (TOML).")
@common
def trace(
    output: Output,
    *,
    needle: str,
    files: tuple[Path, ...],
    as_record: bool,
    leaf_key_file: Path | None,
    key: Path | None,
    policy_file: Path | None,
) -> None:
    """Tell which datasets and models saw NEEDLE: a digest (sha256:…) of a file, manifest or model, a URL, or a record.

    FILE is a manifest or a training statement, signed or not; give every one that may lie on the way. Without --key or --policy nobody vouches
    for them. Exit code 1 if nothing saw it.
    """
    from lifeseal import provenance

    policy = None if key is None and policy_file is None else load_policy(key=key, file=policy_file)
    statements = [open_statement_file(file, policy) for file in files]
    wanted: str | bytes = (bytes_from(Path(needle), limit=_MAX_RECORD) or b"").removesuffix(b"\n") if as_record else needle
    edges = provenance.trace(wanted, statements, leaf_key=bytes_from(leaf_key_file))
    datasets, models = ({edge.target for edge in edges if edge.kind == kind} for kind in ("dataset", "model"))
    head = f"seen by {len(datasets)} of the datasets and {len(models)} of the models given" if edges else "nothing that was given saw it"
    lines = [head, *(edge_line(edge) for edge in edges)]
    lines += ["unverified: nobody was asked to vouch for these files"] if policy is None else []
    document: dict[str, object] = {"edges": [edge_document(edge) for edge in edges], "datasets": sorted(datasets), "models": sorted(models)}
    output.result("data-trace", {**document, "signed": policy is not None}, tuple(lines), ok=bool(edges))
    if not edges:
        raise Refused(1)


def open_statement_file(file: Path, policy: "Policy | None") -> "Manifest | Statement":
    """Open a manifest, a bundle with a training statement, or a bare statement.

    Args:
        file: Any of these.
        policy: Whose signatures count; None asks nobody to vouch for it.

    Returns:
        What it holds.

    Raises:
        LifesealError: It is none of these, or nobody trusted signed it.
        OSError: It cannot be read.
    """
    from lifeseal import attestation, provenance
    from lifeseal._io import Record, loads, read_bounded
    from lifeseal.errors import PolicyError

    data = read_bounded(file, limit=_MAX_FILE, what="a manifest or a training statement")
    record = Record(loads(data, where=str(file), max_bytes=_MAX_FILE, max_items=32 << 20, floats=True), where=str(file))
    if "schema" in record:
        return provenance.Manifest.load(file) if policy is None else provenance.open_manifest(file, policy=policy)
    if "_type" in record:
        if policy is not None:
            raise PolicyError(f"{file}: a statement that nobody signed")
        return attestation.Statement.from_bytes(data, where=str(file))
    bundle = attestation.Bundle.from_bytes(data, where=str(file))
    if policy is None:
        return attestation.Statement.from_bytes(bundle.envelope.payload, where=f"{file}, payload")
    return attestation.open_statement(bundle, policy=policy, purpose=attestation.Purpose.TRAINING, where=str(file))[0]


def edge_line(edge: "Edge") -> str:
    """Say an edge in one line."""
    how = {"holds": "holds it", "derived": "was made from it", "trained": "was trained on it", "based": "started from it"}[edge.how]
    detail = f" ({edge.detail})" if edge.detail else ""
    return f"{edge.kind} {edge.name} {how}{detail}" + ("" if edge.certain else f"; not certain: {edge.note}")


def edge_document(edge: "Edge") -> dict[str, object]:
    """Write an edge for ``--json``."""
    return {
        "source": edge.source,
        "target": edge.target,
        "kind": edge.kind,
        "name": edge.name,
        "how": edge.how,
        "detail": edge.detail,
        "certain": edge.certain,
        "note": edge.note,
    }
