# SPDX-License-Identifier: Apache-2.0
"""``dispose`` and ``certificate``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._models import load_signer
from lifeseal.cli._options import PATH, common
from lifeseal.cli._output import Output, printable
from lifeseal.cli._vault import root_options

if TYPE_CHECKING:
    from lifeseal.disposal import Disposal, Plan, Trigger
    from lifeseal.erasure import FileRoot


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("--vault", required=True, type=PATH, metavar="DIR")
@click.option("--trigger", required=True, type=click.Choice(["transfer", "decommission", "subject-erasure"]))
@click.option("--custodian", required=True, help="Data Custodian who is responsible.")
@click.option("--sanitiser", help="Who carries it out; by default the custodian.")
@click.option("--request", default="", help="Reference of the request; never a person's name.")
@click.option("--key", type=PATH, help="Sign the certificate with this private key.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line.")
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
    root: "FileRoot",
) -> None:
    """Erase vault assets NAME… for good, and certify it."""
    from lifeseal import disposal
    from lifeseal.erasure import Vault

    if (key is None) != unsigned:
        raise click.UsageError("sign the certificate with --key, or say --unsigned")
    _refuse_unwritable(out, force=force)
    signer = None if key is None else load_signer(key, passphrase_file)
    with Vault.open(vault, root=root) as opened:
        plan = disposal.plan(opened, names, request=request)
        if dry_run:
            output.plain("dispose", {"ok": True, "dry_run": True, **_planned(plan)}, _plan_text(plan))
            return
        if not yes:
            _ask(output, plan)
        certificate = disposal.dispose(plan, signer=signer, sanitiser=sanitiser or custodian, custodian=custodian, trigger=cast("Trigger", trigger))
    try:
        certificate.write(out, overwrite=force)
    except OSError:
        click.echo("The assets are erased, and the certificate could not be written. Keep these lines:", err=True)
        click.echo(certificate.to_bytes(), err=True)
        raise
    document: dict[str, object] = {"certificate": str(out), "signed": not unsigned, **_document(certificate.disposal)}
    lines = (f"{certificate.disposal.status}: {', '.join(names)} erased", f"certificate  {out}", *_lines(certificate.disposal))
    output.result("dispose", document, lines)


@click.group()
def certificate() -> None:
    """Verify disposal certificates."""


@certificate.command()
@click.argument("file", type=PATH)
@click.option("--key", required=True, type=PATH, help="Public key that must have signed it (PEM).")
@click.option("--vault", type=PATH, metavar="DIR", help="Compare it with the vault it speaks of.")
@root_options
@common
def verify(output: Output, *, file: Path, key: Path, vault: Path | None, root: "FileRoot | None") -> None:
    """Check who signed a disposal certificate and, with --vault, that the vault refuses what it names."""
    from lifeseal import attestation, disposal
    from lifeseal.erasure import Vault

    found = disposal.open_certificate(file, policy=attestation.TrustedKey.from_file(key))
    if vault is not None and root is not None:
        with Vault.open(vault, root=root, at_least=None) as opened:
            disposal.confirm(found, opened)
    signer = "" if found.signer is None else found.signer.fingerprint
    document: dict[str, object] = {"certificate": str(file), "signer": signer, "vault_compared": vault is not None}
    compared = "; the vault refuses what it names" if vault is not None else ""
    lines = (f"{file}: signed by the key given{compared}", f"signer       key {signer}", *_lines(found.disposal))
    output.result("certificate-verify", document | _document(found.disposal), lines)


def _refuse_unwritable(out: Path, *, force: bool) -> None:
    """Find out before the erasure whether the certificate has a place to go."""
    if not out.parent.is_dir():
        raise click.UsageError(f"--out: the folder {out.parent} is not there")
    if out.exists() and not force:
        raise click.UsageError(f"--out: {out} is there already; choose another name, or say --force")


def _ask(output: Output, plan: "Plan") -> None:
    if output.as_json or not sys.stdin.isatty():
        raise click.UsageError("this cannot be undone: look at --dry-run first, then say --yes")
    click.echo(printable(_plan_text(plan), keep="\n"), err=True)
    click.confirm("Erase for good?", abort=True, err=True)


def _planned(plan: "Plan") -> dict[str, object]:
    assets = [{"name": a.name, "digest": f"sha256:{a.sha256.hex()}", "files": a.files, "bytes": a.size} for a in plan.assets]
    return {"vault": plan.vault.id, "epoch": plan.vault.epoch, "assets": assets, "limitations": list(plan.limitations)}


def _plan_text(plan: "Plan") -> str:
    lines = [f"Would erase from vault {plan.vault.id} (epoch {plan.vault.epoch}):"]
    lines += [f"  {asset.name}: {asset.files} files, {asset.size} bytes, sha256:{asset.sha256.hex()}" for asset in plan.assets]
    lines += ["It would not reach:", *(f"  - {limit}" for limit in plan.limitations)]
    return "\n".join(lines)


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
