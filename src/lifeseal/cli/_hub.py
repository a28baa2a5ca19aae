# SPDX-License-Identifier: Apache-2.0
"""``hub``: what goes up to and comes down from the Hugging Face Hub."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

from lifeseal.cli._hub_data import pull_data, push_data
from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted, listing
from lifeseal.cli._signers import choose_signer, describe
from lifeseal.cli._verify import load_policy, load_withdrawals

if TYPE_CHECKING:
    from lifeseal._io import HashName
    from lifeseal.hub import Kind

R = TypeVar("R")


def _trusting(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options that say whom to trust, which revision, and where the cache lies."""
    for option in reversed(
        (
            click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML)."),
            click.option("--key", type=PATH, help="Public key that must have signed it (PEM)."),
            click.option("--ca", type=PATH, multiple=True, help="Root that the signer's certificate must lead to (PEM). Repeatable."),
            click.option("--san", metavar="NAME", help="With --ca: name that the signer's certificate must carry."),
            click.option("--identity", metavar="ID", help="Who must have signed it without a key, exactly."),
            click.option("--issuer", metavar="URL", help="With --identity: the identity provider that vouched for it, exactly."),
            click.option("--trust-config", metavar="F", help="With --identity: a Sigstore trust configuration (JSON), or public-good."),
            click.option("--revision", default="main", show_default=True, help="A branch, tag or commit."),
            click.option("--expect", metavar="DIGEST", help="Root digest that the model must have, sha256:…"),
            click.option("--ignore", multiple=True, metavar="PATH", help="A file that need not be signed, as README.md. Repeatable."),
            click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn."),
            click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one."),
        )
    ):
        command = option(command)
    return _placed(command)


def _placed(command: Callable[..., R]) -> Callable[..., R]:
    kinds = click.Choice(["model", "dataset", "space"])
    command = click.option("--cache-dir", type=PATH, help="The cache; by default that of huggingface_hub.")(command)
    return click.option("--kind", type=kinds, default="model", show_default=True, help="Of repository.")(command)


@click.group(no_args_is_help=True)
def hub() -> None:
    """Pull, push and check signed repositories of the Hugging Face Hub, and remove their traces."""


hub.add_command(pull_data)
hub.add_command(push_data)


@hub.command(
    epilog=examples(
        "lifeseal hub pull acme/tiny --key release.pub", "lifeseal hub pull acme/tiny --policy trust.toml --revision v1.0 --ignore README.md"
    )
)
@click.argument("repo")
@_trusting
@click.option("--endpoint", metavar="URL", help="The Hub's address; by default that of huggingface_hub.")
@click.option("--offline", is_flag=True, help="Ask the cache alone.")
@common
def pull(
    output: Output,
    *,
    repo: str,
    policy_file: Path | None,
    key: Path | None,
    ca: tuple[Path, ...],
    san: str | None,
    identity: str | None,
    issuer: str | None,
    trust_config: str | None,
    revision: str,
    expect: str | None,
    ignore: tuple[str, ...],
    withdrawals: Path | None,
    state: Path | None,
    kind: str,
    cache_dir: Path | None,
    endpoint: str | None,
    offline: bool,
) -> None:
    """Bring REPO (owner/name) into the cache: the signature first, then the files it names, and no others.

    To use what was pulled, load it through lifeseal.loading, or run a command on it: lifeseal exec.
    """
    from lifeseal import hub as hubs
    from lifeseal import signing

    policy = load_policy(key=key, ca=ca, san=san, file=policy_file, identity=identity, issuer=issuer, trust=trust_config)
    with output.progress() as progress:
        signed = hubs.pull(
            repo,
            policy=policy,
            revision=revision,
            kind=cast("Kind", kind),
            expect=expect,
            withdrawals=load_withdrawals(withdrawals, state, policy),
            ignore=ignore,
            cache=cache_dir,
            endpoint=endpoint,
            offline=offline,
            progress=progress,
        )
    with signed:
        signer = "" if signed.signer is None else signed.signer.fingerprint
        snapshot = signing.unchecked(signed).where
        document: dict[str, object] = {
            "repo": repo,
            "commit": Path(snapshot).name,
            "snapshot": snapshot,
            "digest": signed.subject.digest,
            "signer": signer,
            "files": len(signed.files),
            "bytes": signed.size,
        }
    lines = (f"{repo}: signed, and in the cache", f"commit    {document['commit']}", f"model     {document['digest']}", f"signer    {signer}")
    output.result("hub-pull", document, (*lines, f"in        {snapshot}"))


@hub.command(
    epilog=examples("lifeseal hub verify acme/tiny --key release.pub"),
)
@click.argument("repo")
@_trusting
@common
def verify(
    output: Output,
    *,
    repo: str,
    policy_file: Path | None,
    key: Path | None,
    ca: tuple[Path, ...],
    san: str | None,
    identity: str | None,
    issuer: str | None,
    trust_config: str | None,
    revision: str,
    expect: str | None,
    ignore: tuple[str, ...],
    withdrawals: Path | None,
    state: Path | None,
    kind: str,
    cache_dir: Path | None,
) -> None:
    """Check what the cache holds of REPO, as it is, without the network: a report on this moment."""
    from lifeseal import hub as hubs

    policy = load_policy(key=key, ca=ca, san=san, file=policy_file, identity=identity, issuer=issuer, trust=trust_config)
    with output.progress() as progress:
        found = hubs.verify(
            repo,
            policy=policy,
            revision=revision,
            kind=cast("Kind", kind),
            cache=cache_dir,
            expect=expect,
            withdrawals=load_withdrawals(withdrawals, state, policy),
            ignore=ignore,
            progress=progress,
        )
    signer = "" if found.signer is None else found.signer.fingerprint
    document: dict[str, object] = {"repo": repo, "digest": found.subject.digest, "signer": signer, "files": found.files, "bytes": found.size}
    document["not_covered"] = list(found.not_covered)
    lines = (f"{repo}: as it was signed", f"model     {found.subject.digest}", f"signer    {signer}")
    output.result("hub-verify", document, (*lines, f"compared  {counted(found.files, 'file')}, {counted(found.size, 'byte')}"))


@hub.command(
    epilog=examples("lifeseal hub push model/ acme/tiny --key release.key --ignore README.md"),
)
@click.argument("folder", type=PATH)
@click.argument("repo")
@click.option("--key", type=PATH, help="Private key to sign with (PEM).")
@click.option("--cert", type=PATH, help="The key's certificate (PEM).")
@click.option("--chain", type=PATH, multiple=True, help="Certificates above it (PEM). Repeatable.")
@click.option("--passphrase-file", type=PATH, help="Read the key's passphrase from here (- for standard input).")
@click.option("--sigstore", is_flag=True, help="Sign without a key, in the name of an identity token.")
@click.option("--identity-token-file", type=PATH, help="With --sigstore: holds the token.")
@click.option("--trust-config", metavar="F", help="With --sigstore: a ClientTrustConfig (JSON), or public-good.")
@click.option(
    "--hash", "algorithm", type=click.Choice(["sha256", "blake2b", "blake3"]), default="sha256", show_default=True, help="Hash of the files."
)
@click.option("--shard-size", type=click.IntRange(min=1), metavar="BYTES", help="Sign files in shards of this size.")
@click.option("--ignore", multiple=True, metavar="PATH", help="Neither sign nor upload this, as README.md that is edited on the Hub. Repeatable.")
@click.option("--branch", default="main", show_default=True, help="Where the commit goes.")
@click.option("--message", help="Of the commit.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--kind", type=click.Choice(["model", "dataset", "space"]), default="model", show_default=True, help="Of repository.")
@click.option("--endpoint", metavar="URL", help="The Hub's address; by default that of huggingface_hub.")
@common
def push(
    output: Output,
    *,
    folder: Path,
    repo: str,
    key: Path | None,
    cert: Path | None,
    chain: tuple[Path, ...],
    passphrase_file: Path | None,
    sigstore: bool,
    identity_token_file: Path | None,
    trust_config: str | None,
    algorithm: str,
    shard_size: int | None,
    ignore: tuple[str, ...],
    branch: str,
    message: str | None,
    private: bool,
    kind: str,
    endpoint: str | None,
) -> None:
    """Sign FOLDER and upload it to REPO in one commit, which holds what was signed and nothing else.

    The token is that of huggingface_hub (hf auth login).
    """
    from lifeseal import attestation
    from lifeseal import hub as hubs

    signer = choose_signer(
        key=key,
        passphrase_file=passphrase_file,
        cert=cert,
        chain=chain,
        sigstore=sigstore,
        token_file=identity_token_file,
        trust=trust_config,
    )
    with output.progress() as progress:
        done = hubs.push(
            folder,
            repo,
            signer=signer,
            branch=branch,
            kind=cast("Kind", kind),
            hash=cast("HashName", algorithm),
            shard_size=shard_size,
            ignore=ignore,
            message=message,
            private=private,
            endpoint=endpoint,
            progress=progress,
        )
    fingerprint, called = describe(signer, attestation.Bundle.load(folder / "model.sig"))
    document: dict[str, object] = {
        "repo": repo,
        "commit": done.commit,
        "signer": fingerprint,
        "files": len(done.files),
        "removed": list(done.removed),
    }
    lines = (f"{folder}: signed and pushed to {repo}", f"commit    {done.commit}", f"signer    {called}")
    output.result("hub-push", document, (*lines, f"removed   {listing(done.removed)}"))


@hub.command(
    epilog=examples("lifeseal hub purge acme/tiny"),
)
@click.argument("repo")
@_placed
@common
def purge(output: Output, *, repo: str, kind: str, cache_dir: Path | None) -> None:
    """Remove every trace of REPO from the cache, in all revisions, and look again.

    No other program may use the cache meanwhile.
    """
    from lifeseal import hub as hubs

    done = hubs.purge(repo, kind=cast("Kind", kind), cache=cache_dir)
    document: dict[str, object] = {"repo": repo, "cache": str(done.cache), "removed": len(done.removed), "bytes": done.size}
    document["not_covered"] = list(done.not_covered)
    lines = [f"{repo}: nothing of it is left in {done.cache}", f"removed   {len(done.removed)} names, {counted(done.size, 'byte')}"]
    output.result("hub-purge", document, (*lines, *(f"not looked at  {text}" for text in done.not_covered)))
