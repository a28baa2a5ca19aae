# SPDX-License-Identifier: Apache-2.0
"""``hub pull-data`` and ``hub push-data``: datasets with their manifest."""

from pathlib import Path

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted, listing
from lifeseal.cli._verify import load_policy, load_withdrawals


@click.command(
    "pull-data",
    short_help="Bring a dataset and its signed manifest into a new folder.",
    epilog=examples("lifeseal hub pull-data acme/reviews reviews/ --key release.pub --ignore README.md"),
)
@click.argument("repo")
@click.argument("out", type=PATH)
@click.option("--key", type=PATH, help="Public key that must have signed the manifest (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn; its signature is judged as the manifest's is.")
@click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one.")
@click.option("--revision", default="main", show_default=True, help="A branch, tag or commit.")
@click.option("--ignore", multiple=True, metavar="PATH", help="A file that the manifest need not have, as README.md. Repeatable.")
@click.option("--cache-dir", type=PATH, help="The cache; by default that of huggingface_hub.")
@click.option("--endpoint", metavar="URL", help="The Hub's address; by default that of huggingface_hub.")
@click.option("--offline", is_flag=True, help="Ask the cache alone.")
@common
def pull_data(
    output: Output,
    *,
    repo: str,
    out: Path,
    key: Path | None,
    policy_file: Path | None,
    withdrawals: Path | None,
    state: Path | None,
    revision: str,
    ignore: tuple[str, ...],
    cache_dir: Path | None,
    endpoint: str | None,
    offline: bool,
) -> None:
    """Bring the dataset REPO (owner/name) into the new folder OUT: the manifest's signature first, then the files it names, and no others.

    The data lies in OUT/data, compared with the manifest while it was copied; the manifest, its signature and leaf files lie beside it.
    """
    from lifeseal import hub as hubs

    policy = load_policy(key=key, file=policy_file)
    with output.progress() as progress:
        found = hubs.pull_data(
            repo,
            out,
            policy=policy,
            revision=revision,
            withdrawals=load_withdrawals(withdrawals, state, policy),
            ignore=ignore,
            cache=cache_dir,
            endpoint=endpoint,
            offline=offline,
            progress=progress,
        )
    manifest = found.manifest
    document: dict[str, object] = {
        "repo": repo,
        "commit": found.commit,
        "data": str(found.path),
        "digest": manifest.digest,
        "files": len(manifest.files),
        "bytes": manifest.size,
    }
    lines = (f"{repo}: signed, and as it was recorded", f"commit    {found.commit}", f"manifest  {manifest.digest}")
    compared = f"{counted(len(manifest.files), 'file')}, {counted(manifest.size, 'byte')}"
    output.result("hub-pull-data", document, (*lines, f"compared  {compared}", f"in        {found.path}"))


@click.command(
    "push-data",
    short_help="Upload a dataset with its signed manifest.",
    epilog=examples("lifeseal hub push-data reviews/ acme/reviews --manifest reviews.json --ignore README.md"),
)
@click.argument("folder", type=PATH)
@click.argument("repo")
@click.option("--manifest", required=True, type=PATH, help="What was recorded, as data record --key wrote it.")
@click.option("--signature", type=PATH, help="Its signature; by default beside it, as MANIFEST.sig.")
@click.option("--ignore", multiple=True, metavar="PATH", help="Leave this in the repository as it is, as README.md. Repeatable.")
@click.option("--branch", default="main", show_default=True, help="Where the commit goes.")
@click.option("--message", help="Of the commit.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--endpoint", metavar="URL", help="The Hub's address; by default that of huggingface_hub.")
@common
def push_data(
    output: Output,
    *,
    folder: Path,
    repo: str,
    manifest: Path,
    signature: Path | None,
    ignore: tuple[str, ...],
    branch: str,
    message: str | None,
    private: bool,
    endpoint: str | None,
) -> None:
    """Compare FOLDER with its manifest, and upload both and the signature to the dataset REPO in one commit.

    The token is that of huggingface_hub (hf auth login).
    """
    from lifeseal import attestation, provenance
    from lifeseal import hub as hubs

    recorded = provenance.Manifest.load(manifest)
    bundle = attestation.Bundle.load(signature or manifest.with_name(manifest.name + ".sig"))
    with output.progress() as progress:
        done = hubs.push_data(
            folder,
            repo,
            manifest=recorded,
            signature=bundle,
            branch=branch,
            ignore=ignore,
            message=message,
            private=private,
            endpoint=endpoint,
            progress=progress,
        )
    document: dict[str, object] = {"repo": repo, "commit": done.commit, "digest": recorded.digest, "files": len(done.files)}
    document["removed"] = list(done.removed)
    lines = (f"{folder}: as it was recorded, and pushed to {repo}", f"commit    {done.commit}", f"manifest  {recorded.digest}")
    output.result("hub-push-data", document, (*lines, f"removed   {listing(done.removed)}"))
