# SPDX-License-Identifier: Apache-2.0
"""``dispose`` and ``certificate``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._options import PATH, common, examples, same_file
from lifeseal.cli._output import Declined, Output, Refused, counted, on_terminal, printable
from lifeseal.cli._roots import root_options
from lifeseal.cli._signers import load_signer
from lifeseal.cli._verify import load_policy, load_withdrawals, unused

if TYPE_CHECKING:
    from lifeseal.disposal import Disposal, Plan, Trigger
    from lifeseal.erasure import RootHolder


@click.command(
    epilog=examples(
        "lifeseal dispose classifier --vault models.vault --root file:/media/safe/models.root \\",
        '    --trigger decommission --custodian "Records Office" \\',
        "    --key release.key --out classifier.disposal.json --dry-run",
    )
)
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--trigger", required=True, type=click.Choice(["transfer", "decommission", "subject-erasure"]), help="Why it is erased.")
@click.option("--custodian", required=True, help="Data Custodian who is responsible.")
@click.option("--sanitiser", help="Who carries it out; by default the custodian.")
@click.option("--request", default="", help="Reference of the request; never a person's name.")
@click.option("--key", type=PATH, help="Sign the certificate with this private key.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--unsigned", is_flag=True, help="Leave the certificate unsigned.")
@click.option("--out", required=True, type=PATH, metavar="CERT", help="The certificate to write.")
@click.option("--force", is_flag=True, help="Replace a certificate of that name.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@root_options
@common
def dispose(
    output: Output,
    *,
    names: tuple[str, ...],
    vault: Path,
    trigger: str,
    custodian: str,
    sanitiser: str | None,
    request: str,
    key: Path | None,
    passphrase_file: Path | None,
    unsigned: bool,
    out: Path,
    force: bool,
    dry_run: bool,
    yes: bool,
    root: "RootHolder",
) -> None:
    """Erase vault assets NAME… for good, and certify it.

    Shows what it would erase and what it would not reach, and asks. Look at --dry-run first: nothing brings an erased asset back.
    """
    from lifeseal import disposal
    from lifeseal.erasure import Vault

    if (key is None) != unsigned:
        raise click.UsageError("sign the certificate with --key, or say --unsigned")
    _refuse_unwritable(out, key, passphrase_file, force=force)
    signer = None if key is None else load_signer(key, passphrase_file)
    with Vault.open(vault, root=root) as opened:
        plan = disposal.plan(opened, names, request=request)
        if dry_run:
            output.plain("dispose", {"dry_run": True, **_planned(plan)}, _plan_lines(plan))
            return
        if not yes:
            _ask(output, plan)
        certificate = disposal.dispose(plan, signer=signer, sanitiser=sanitiser or custodian, custodian=custodian, trigger=cast("Trigger", trigger))
    try:
        certificate.write(out, overwrite=force)
    except BaseException:
        click.echo("The assets are erased, and the certificate could not be written. Keep these lines:", err=True)
        click.echo(certificate.to_bytes(), err=True)
        raise
    document: dict[str, object] = {"certificate": str(out), "signed": not unsigned, **_document(certificate.disposal)}
    done = certificate.disposal.status == "completed"
    first = f"erased {', '.join(names)}" if done else "not everything is erased: an asset can still be read"
    output.result("dispose", document, (first, f"certificate  {out}", *_lines(certificate.disposal)), ok=done)
    if not done:
        raise Refused(1)


@click.group()
def certificate() -> None:
    """Verify disposal certificates."""


@certificate.command(
    short_help="Check a certificate's signature, and the vault against it.",
    epilog=examples(
        "lifeseal certificate verify classifier.disposal.json --key release.pub \\",
        "    --vault models.vault --root file:/media/safe/models.root",
    ),
)
@click.argument("file", type=PATH)
@click.option("--key", type=PATH, help="Public key that must have signed it (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--withdrawals", type=PATH, metavar="FILE", help="Signed list of what was withdrawn; its signature is judged as the certificate's is.")
@click.option("--state", type=PATH, metavar="DIR", help="With --withdrawals: remember the newest list here, and refuse an older one.")
@click.option("--vault", type=PATH, metavar="DIR", help="Compare it with the vault it speaks of.")
@root_options
@common
def verify(
    output: Output,
    *,
    file: Path,
    key: Path | None,
    policy_file: Path | None,
    withdrawals: Path | None,
    state: Path | None,
    vault: Path | None,
    root: "RootHolder | None",
) -> None:
    """Check who signed a disposal certificate and, with --vault, that the vault refuses what it names."""
    from lifeseal import disposal
    from lifeseal.erasure import Vault

    policy = load_policy(key=key, file=policy_file)
    found = disposal.open_certificate(file, policy=policy, withdrawals=load_withdrawals(withdrawals, state, policy))
    if vault is not None and root is not None:
        with Vault.open(vault, root=root, at_least=None) as opened:
            disposal.confirm(found, opened)
    who, clause = ("", "") if found.signer is None else (found.signer.fingerprint, found.signer.clause)
    document: dict[str, object] = {"certificate": str(file), "signer": who, "clause": clause, "vault_compared": vault is not None}
    compared = "; the vault refuses what it names" if vault is not None else ""
    lines = [f"{file}: signed by the key given{compared}", f"signer       key {who}"]
    if policy_file is not None:
        lines = [f"{file}: signed as the policy asks{compared}", f"signer       {who}", f"accepted     {clause}", *unused(policy)]
    lines += _lines(found.disposal)
    output.result("certificate-verify", document | _document(found.disposal), tuple(lines))


def _refuse_unwritable(out: Path, *inputs: Path | None, force: bool) -> None:
    """Find out before the erasure whether the certificate has a place to go."""
    if not out.parent.is_dir():
        raise click.UsageError(f"--out: the folder {out.parent} is not there")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise click.UsageError(f"--out: this user may not write into the folder {out.parent}")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise click.UsageError(f"--out: {out} is there and not a regular file; choose another name")
    if out.exists() and not force:
        raise click.UsageError(f"--out: {out} is there already; choose another name, or say --force")
    if same_file(out, *inputs):
        raise click.UsageError(f"--out: {out} is the key; choose another name")


def _ask(output: Output, plan: "Plan") -> None:
    if output.as_json or not on_terminal(sys.stdin):
        raise click.UsageError("this cannot be undone: look at --dry-run first, then say --yes")
    click.echo("\n".join(map(printable, _plan_lines(plan))), err=True)
    if not click.confirm("Erase for good?", err=True):
        raise Declined


def _planned(plan: "Plan") -> dict[str, object]:
    assets = [{"name": a.name, "digest": f"sha256:{a.sha256.hex()}", "files": a.files, "bytes": a.size} for a in plan.assets]
    return {"vault": plan.vault.id, "epoch": plan.vault.epoch, "assets": assets, "limitations": list(plan.limitations)}


def _plan_lines(plan: "Plan") -> tuple[str, ...]:
    lines = [f"Would erase from vault {plan.vault.id} (epoch {plan.vault.epoch}):"]
    sizes = [f"{counted(asset.files, 'file')}, {counted(asset.size, 'byte')}" for asset in plan.assets]
    lines += [f"  {asset.name}: {size}, sha256:{asset.sha256.hex()}" for asset, size in zip(plan.assets, sizes, strict=True)]
    return (*lines, "It would not reach:", *(f"  - {limit}" for limit in plan.limitations))


def _document(disposal: "Disposal") -> dict[str, object]:
    return {
        "status": disposal.status,
        "trigger": disposal.trigger,
        "custodian": disposal.custodian,
        "sanitiser": disposal.sanitiser,
        "request": disposal.request,
        "vault": disposal.vault,
        "epoch_before": disposal.epoch_before,
        "epoch_after": disposal.epoch_after,
        "assurance": disposal.assurance,
        "irreversible_since": disposal.irreversible_since,
        "assets": [{"name": asset.name, "digest": f"sha256:{asset.sha256.hex()}"} for asset in disposal.assets],
        "limitations": list(disposal.limitations),
    }


def _lines(disposal: "Disposal") -> tuple[str, ...]:
    return (
        f"status       {disposal.status} ({disposal.trigger}), {disposal.finished}",
        f"assurance    {disposal.assurance}",
        f"irreversible since: {disposal.irreversible_since}",
        *(f"erased       {asset.name}  sha256:{asset.sha256.hex()}" for asset in disposal.assets),
        *(f"limit        {limit}" for limit in disposal.limitations),
    )
