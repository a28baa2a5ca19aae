# SPDX-License-Identifier: Apache-2.0
"""``waiver``: write down an exception."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._options import PATH, common, examples, same_file
from lifeseal.cli._output import Output
from lifeseal.cli._signers import load_signer

if TYPE_CHECKING:
    from lifeseal.attestation import Fault


@click.group()
def waiver() -> None:
    """Write down who accepts which fault of which artefact, why, and until when."""


@waiver.command(
    epilog=examples(
        "lifeseal waiver new --covers sha256:9f86… --allow unsigned \\",
        '    --reason "the vendor signs from release 4 on" --owner "A. Person" \\',
        "    --expires 2026-12-31T23:59:59Z --risk RISK-17 --out waiver.json",
        "lifeseal verify model/ --key release.pub --waiver waiver.json",
    )
)
@click.option("--covers", multiple=True, required=True, metavar="DIGEST", help="Artefact, sha256:…. Repeatable.")
@click.option(
    "--allow", multiple=True, required=True, type=click.Choice(["unsigned", "needs-trust", "unsafe", "withdrawn"]), help="Fault. Repeatable."
)
@click.option("--reason", required=True, help="Why the fault is accepted.")
@click.option("--owner", required=True, help="Who decides.")
@click.option("--expires", required=True, metavar="TIME", help="As 2026-12-31T23:59:59Z.")
@click.option("--risk", required=True, help="Identifier in your risk register.")
@click.option("--out", required=True, type=PATH, help="The waiver file to write.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@common
def new(
    output: Output,
    *,
    covers: tuple[str, ...],
    allow: tuple[str, ...],
    reason: str,
    owner: str,
    expires: str,
    risk: str,
    out: Path,
    force: bool,
) -> None:
    """Write a waiver file.

    It accepts one kind of fault of the artefacts named, until it expires. It is not signed: keep it where only those who may decide can write,
    or sign it with "waiver sign". The digest of a model stands in what sign and verify print.
    """
    from lifeseal import attestation

    when = attestation.parse_time(expires, where="--expires")
    exception = attestation.Waiver(covers=covers, allows=cast("tuple[Fault, ...]", allow), reason=reason, owner=owner, expires=when, risk=risk)
    exception.write(out, overwrite=force)
    lines = (f"wrote {out}", f"covers   {', '.join(covers)}", f"allows   {', '.join(allow)}", f"expires  {expires}")
    output.result("waiver-new", {"waiver": str(out), "covers": list(covers), "allows": list(allow), "expires": expires}, lines)


@waiver.command(
    epilog=examples(
        "lifeseal waiver sign waiver.json --key owner.key --out waiver.sig",
        "lifeseal verify model/ --policy trust.toml --waiver waiver.sig",
    )
)
@click.argument("file", type=PATH)
@click.option("--key", required=True, type=PATH, help="Private key (PEM).")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--out", required=True, type=PATH, help="The signed waiver to write; an older one is replaced.")
@common
def sign(output: Output, *, file: Path, key: Path, passphrase_file: Path | None, out: Path) -> None:
    """Sign a waiver, so that a policy file can say who may decide. It is signed under the owner's name."""
    from lifeseal import attestation

    if same_file(out, file, key):
        raise click.UsageError(f"--out: {out} is the waiver or the key; choose another name")
    decision = attestation.Waiver.load(file)
    signer = load_signer(key, passphrase_file)
    decision.sign(signer).write(out)
    fingerprint = signer.public.fingerprint
    lines = (f"signed {file}", f"owner   {decision.owner}", f"signer  key {fingerprint}", f"waiver  {out}")
    output.result("waiver-sign", {"waiver": str(out), "owner": decision.owner, "signer": fingerprint}, lines)
