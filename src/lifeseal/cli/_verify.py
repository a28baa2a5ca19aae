# SPDX-License-Identifier: Apache-2.0
"""``verify``: the command that gates a deployment."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._options import PATH, common, examples, load_trust
from lifeseal.cli._output import Output, counted

if TYPE_CHECKING:
    from lifeseal.attestation import Policy, Withdrawals
    from lifeseal.signing import Links


@click.command(
    epilog=examples(
        "lifeseal verify model/ --key release.pub",
        "lifeseal verify model/ --key release.pub --expect sha256:9f86…",
        "lifeseal verify model/ --ca root.pem --san builder@example.org",
        "lifeseal verify model/ --policy trust.toml",
        "lifeseal verify model/ --identity release@example.org --issuer https://accounts.google.com --trust-config public-good",
    )
)
@click.argument("model", type=PATH)
@click.option("--key", type=PATH, help="Public key that must have signed it (PEM).")
@click.option("--ca", type=PATH, multiple=True, help="Root that the signer's certificate must lead to (PEM). Repeatable.")
@click.option("--san", metavar="NAME", help="With --ca: DNS name, e-mail address or URI that the signer's certificate must carry.")
@click.option("--at", metavar="TIME", help="With --ca: judge as of this time, 2026-12-31T23:59:59Z, not now.")
@click.option("--tsa", type=PATH, multiple=True, help="Root of a timestamp authority that is believed (PEM), and certificates below it. Repeatable.")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--identity", metavar="ID", help="Who must have signed it without a key: an e-mail address or a workflow's URI, exactly.")
@click.option("--issuer", metavar="URL", help="With --identity: the identity provider that vouched for it, exactly.")
@click.option("--trust-config", metavar="F", help="With --identity: a Sigstore ClientTrustConfig or TrustedRoot (JSON), or public-good.")
@click.option("--signature", type=PATH, multiple=True, help="The signature; by default MODEL/model.sig, or MODEL.sig beside a file. Repeatable.")
@click.option("--expect", metavar="DIGEST", help="Root digest that the model must have, sha256:…")
@click.option("--ignore", multiple=True, metavar="PATH", help="Leave out a path, relative to the model. Repeatable.")
@click.option("--allow-unsigned-files", is_flag=True, help="Accept files that the signature does not name.")
@click.option(
    "--links", type=click.Choice(["refuse", "hub-cache"]), default="refuse", show_default=True, help="hub-cache reads a snapshot of the Hub's cache."
)
@click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn; its signature is judged as the model's is.")
@click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one.")
@click.option(
    "--waiver", type=PATH, help="Accept a model that is unsigned or withdrawn, and that this waiver covers. With --policy it must be signed."
)
@common
def verify(
    output: Output,
    *,
    model: Path,
    key: Path | None,
    ca: tuple[Path, ...],
    san: str | None,
    at: str | None,
    tsa: tuple[Path, ...],
    policy_file: Path | None,
    identity: str | None,
    issuer: str | None,
    trust_config: str | None,
    signature: tuple[Path, ...],
    expect: str | None,
    ignore: tuple[str, ...],
    allow_unsigned_files: bool,
    links: str,
    withdrawals: Path | None,
    state: Path | None,
    waiver: Path | None,
) -> None:
    """Check that MODEL is exactly what the holder of the key, of a certificate under the root, or whom the policy names, signed.

    A report on this moment: a program that loads the files afterwards reads them again, unchecked. To load what was checked, use
    lifeseal.signing.open_model and lifeseal.loading.
    """
    from lifeseal import attestation, signing

    policy = load_policy(key=key, ca=ca, san=san, at=at, tsa=tsa, file=policy_file, identity=identity, issuer=issuer, trust=trust_config)
    consulted = load_withdrawals(withdrawals, state, policy)
    exception = None if waiver is None else attestation.Waiver.load(waiver, policy=None if policy_file is None else policy)
    with output.progress() as progress:
        found = signing.verify(
            model,
            policy=policy,
            signature=signature or None,
            expect=expect,
            ignore=ignore,
            allow_unsigned_files=allow_unsigned_files,
            withdrawals=consulted,
            waiver=exception,
            links=cast("Links", links),
            progress=progress,
        )
    signer = None if found.signer is None else found.signer.fingerprint
    document: dict[str, object] = {
        "model": str(model),
        "name": found.subject.name,
        "digest": found.subject.digest,
        "signer": signer,
        "waived_by": None if found.waiver is None else found.waiver.owner,
        "files": found.files,
        "bytes": found.size,
        "hash": found.hash,
        "shard_size": found.shard_size,
        "ignored": list(found.ignored),
        "unsigned_files": list(found.unsigned),
        "clause": None if found.signer is None else found.signer.clause,
        "time": None if found.signer is None or found.signer.time is None else found.signer.time.isoformat(),
        "not_covered": list(found.not_covered),
        "revocation": "not consulted",
        "withdrawals": None if consulted is None else f"{consulted.name} {consulted.number}",
        "withdrawn": list(found.withdrawn),
        "unused_signers": list(policy.unused) if isinstance(policy, attestation.PolicyFile) else [],
    }
    bare = found.signer is not None and found.signer.clause == found.signer.name
    called = "" if found.signer is None else found.signer.kind if bare else found.signer.name
    who = f"{called} {signer}" if signer else f"nobody: waived by {found.waiver.owner if found.waiver else ''}"
    withdrawn = "withdrawn, accepted by waiver" if signer and found.waiver else "as it was signed"
    lines = [f"{model}: {withdrawn}" if signer else f"{model}: unsigned, accepted by waiver"]
    lines += [
        f"signer    {who}",
        f"model     {found.subject.digest}",
        f"compared  {counted(found.files, 'file')}, {counted(found.size, 'byte')}, {found.hash}",
    ]
    lines += [f"accepted  {found.signer.clause}"] if found.signer is not None and not bare else []
    lines += (
        [f"signed    at {found.signer.time.isoformat()} or before, as a trusted log or authority attests"]
        if found.signer and found.signer.time
        else []
    )
    lines += [f"note      {text}" for text in found.signer.notes] if found.signer is not None else []
    if found.waiver is not None:
        lines += [f"waived    by {found.waiver.owner}, risk {found.waiver.risk}, until {attestation.format_time(found.waiver.expires)}"]
        lines += [f"although  {text}" for text in found.withdrawn]
    lines += [f"withdrawn list {consulted.name}, number {consulted.number}: consulted"] if consulted is not None else []
    lines += unused(policy)
    lines += [f"left out  {', '.join(found.ignored)}"] if found.ignored else []
    lines += [f"unsigned  {', '.join(found.unsigned)}"] if found.unsigned else []
    output.result("verify", document, tuple(lines))


def load_policy(
    *,
    key: Path | None = None,
    ca: tuple[Path, ...] = (),
    san: str | None = None,
    at: str | None = None,
    tsa: tuple[Path, ...] = (),
    file: Path | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    trust: str | None = None,
) -> "Policy":
    """Read whom to trust.

    Args:
        key: A public key.
        ca: Roots of certificates.
        san: Name that a certificate must carry.
        at: Time to judge certificates by.
        tsa: Roots of timestamp authorities.
        file: A policy file.
        identity: Who signed without a key.
        issuer: Who vouched for the identity.
        trust: Of which Sigstore deployment.

    Returns:
        The policy.

    Raises:
        click.UsageError: Not exactly one of key, roots and file was given, or a certificate's options without roots.
        FormatError: A file or the time is not what was expected.
        OSError: A file cannot be read.
    """
    from lifeseal import attestation

    if sum((key is not None, bool(ca), file is not None, identity is not None)) != 1:
        raise click.UsageError(
            "whom do you trust? one of the options for it was expected, as --key or --policy, and one only; nobody is trusted by default"
        )
    if not ca and (san is not None or at is not None):
        raise click.UsageError("--san and --at are about certificates, and need --ca")
    if identity is None and (issuer is not None or trust is not None):
        raise click.UsageError("--issuer and --trust-config need --identity")
    if identity is not None:
        if issuer is None or trust is None:
            raise click.UsageError("--identity needs --issuer, who vouched for it, and --trust-config, of which deployment")
        if tsa:
            raise click.UsageError("--tsa does not go with --identity: the trust configuration names the timestamp authorities")
        return attestation.TrustedIdentity(identity, issuer, load_trust(trust))
    if key is not None:
        return attestation.TrustedKey.from_file(key, tsa=tsa)
    if file is not None:
        if tsa:
            raise click.UsageError("--tsa does not go with --policy, where each signer's entry says which timestamp authorities it believes")
        return attestation.PolicyFile.load(file)
    time = None if at is None else attestation.parse_time(at, where="--at")
    return attestation.TrustedCertificates.from_files(ca, san=san, at=time, tsa=tsa)


def load_withdrawals(path: Path | None, state: Path | None, policy: "Policy") -> "Withdrawals | None":
    """Read the list of withdrawals, under the same trust as what it is consulted for.

    Args:
        path: The signed list.
        state: Folder that remembers the newest one.
        policy: Whose signature counts; a policy file says whose does for lists.

    Returns:
        The list, or None if there is none.

    Raises:
        click.UsageError: A folder is given and no list.
    """
    from lifeseal import attestation

    if path is None and state is not None:
        raise click.UsageError("--state remembers the newest list of --withdrawals; give both")
    return None if path is None else attestation.Withdrawals.load(path, policy=policy, seen=state)


def unused(policy: "Policy") -> list[str]:
    """Say which signers a policy file names and trusts for nothing."""
    from lifeseal import attestation

    names = policy.unused if isinstance(policy, attestation.PolicyFile) else ()
    return [f"note      the policy trusts signer {name!r} for nothing" for name in names]
