# SPDX-License-Identifier: Apache-2.0
"""``data verify``: who vouches for a manifest, and whether the data is still what it says."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._data_record import place
from lifeseal.cli._options import PATH, bytes_from, common, examples
from lifeseal.cli._output import Output, counted
from lifeseal.cli._verify import load_policy, load_withdrawals, unused

if TYPE_CHECKING:
    from lifeseal.provenance import Manifest


def open_vouched(
    manifest: Path,
    *,
    key: Path | None,
    policy_file: Path | None,
    signature: Path | None,
    unsigned: bool,
    withdrawals: Path | None = None,
    state: Path | None = None,
) -> "tuple[Manifest, list[str]]":
    """Open a manifest as the options say, and say who vouches for it.

    Args:
        manifest: Its file.
        key: Public key that must have signed it.
        policy_file: Policy that its signature must satisfy.
        signature: The signature's file.
        unsigned: Nobody needs to vouch for it.
        withdrawals: Signed list of what was withdrawn.
        state: Folder that remembers the newest list.

    Returns:
        The manifest, and lines for people; the first says who vouches.

    Raises:
        click.UsageError: It is not said whom to trust.
        LifesealError: The manifest or its signature is not good.
        OSError: A file cannot be read.
    """
    from lifeseal import provenance

    if (key is None and policy_file is None) != unsigned:
        raise click.UsageError("say whom to trust with --key or --policy, or --unsigned for nobody")
    if unsigned and (withdrawals is not None or state is not None):
        raise click.UsageError("--withdrawals and --state need a signature to judge, and someone to trust")
    if unsigned:
        return provenance.Manifest.load(manifest), [f"{manifest}: unsigned"]
    policy = load_policy(key=key, file=policy_file)
    consulted = load_withdrawals(withdrawals, state, policy)
    found = provenance.open_manifest(manifest, policy=policy, signature=signature, withdrawals=consulted)
    return found, [f"{manifest}: {'signed by the key given' if key is not None else 'signed as the policy asks'}", *unused(policy)]


@click.command(
    short_help="Check a manifest's signature, and the data against it.",
    epilog=examples(
        "lifeseal data verify reviews.json reviews/ --key release.pub",
        "lifeseal data verify reviews.json reviews/ --unsigned --sample 300",
        "lifeseal data verify reviews.json s3://acme-data/reviews/2026 --key release.pub",
    ),
)
@click.argument("manifest", type=PATH)
@click.argument("path", required=False, type=click.Path(readable=False), callback=place, metavar="[PATH|URL]")
@click.option("--key", type=PATH, help="Public key that must have signed the manifest (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--signature", type=PATH, help="The signature; by default MANIFEST.sig.")
@click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn; its signature is judged as the manifest's is.")
@click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one.")
@click.option("--unsigned", is_flag=True, help="Compare the data with a manifest that nobody vouches for.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Compare only N records (or files, where not all have records), drawn at random.")
@click.option("--leaf-key-file", type=PATH, metavar="FILE", help="With --sample: the key of keyed leaves; - reads standard input.")
@common
def verify(
    output: Output,
    *,
    manifest: Path,
    path: str | Path | None,
    key: Path | None,
    policy_file: Path | None,
    signature: Path | None,
    withdrawals: Path | None,
    state: Path | None,
    unsigned: bool,
    sample: int | None,
    leaf_key_file: Path | None,
) -> None:
    """Check who vouches for MANIFEST and, if PATH (or URL) is given, that the data is what it records; all of it is read."""
    from lifeseal import provenance

    if path is None and (sample is not None or leaf_key_file is not None):
        raise click.UsageError("--sample and --leaf-key-file are about the data: give PATH")
    if unsigned and path is None:
        raise click.UsageError("without a signature there is only the data to compare: give PATH")
    found, lines = open_vouched(
        manifest, key=key, policy_file=policy_file, signature=signature, unsigned=unsigned, withdrawals=withdrawals, state=state
    )
    lines.insert(1, f"digest    {found.digest}")
    drawn = None
    lines += [f"source    {found.description.source} ({found.description.licence})"]
    if path is not None:
        with output.progress() as progress:
            compared = provenance.verify(found, path, sample=sample, leaf_key=bytes_from(leaf_key_file), progress=progress)
        drawn = compared.sample
        if drawn is None:
            lines[0] += "; the data is as recorded"
            lines.append(f"compared  {counted(compared.files, 'file')}, {counted(compared.size, 'byte')}")
        else:
            lines[0] += "; the sample is as recorded"
            lines.append(f"compared  {drawn.checked} of {drawn.total} {drawn.unit}")
            lines.append(f"so        with 95 % confidence at most {drawn.at_most:.2%} of them differ")
    document: dict[str, object] = {
        "manifest": str(manifest),
        "digest": found.digest,
        "signed": not unsigned,
        "data_compared": path is not None,
        "files": len(found.files),
        "bytes": found.size,
        "sample": None if drawn is None else {"unit": drawn.unit, "checked": drawn.checked, "total": drawn.total, "at_most": drawn.at_most},
    }
    output.result("data-verify", document, tuple(lines))
