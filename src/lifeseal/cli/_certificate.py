# SPDX-License-Identifier: Apache-2.0
"""``certificate``: who vouches for an end, and what is signed before it."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._disposal_record import disposal_document, disposal_lines, exit_code
from lifeseal.cli._options import PATH, common, examples, same_file
from lifeseal.cli._output import Output, Refused
from lifeseal.cli._roots import root_options
from lifeseal.cli._signers import load_signer
from lifeseal.cli._verify import load_policy, load_withdrawals, unused

if TYPE_CHECKING:
    from lifeseal.attestation import Policy
    from lifeseal.disposal import Certificate, Role
    from lifeseal.erasure import RootHolder

_MAX_ORDER = 16 << 20


@click.group(no_args_is_help=True)
def certificate() -> None:
    """Verify, co-sign and print disposal certificates; approve a disposal, acknowledge a transfer."""


@certificate.command(
    short_help="Check a certificate's signatures, and the vault against it.",
    epilog=examples(
        "lifeseal certificate verify classifier.disposal.json --key release.pub \\",
        "    --vault models.vault --root file:/media/safe/models.root",
        "lifeseal certificate verify classifier.disposal.json --key release.pub --custodian-key records.pub",
    ),
)
@click.argument("file", type=PATH)
@click.option("--key", type=PATH, help="Public key that must have signed it (PEM).")
@click.option("--verifier-key", type=PATH, metavar="PUB", help="Public key that must have co-signed it as the verifier.")
@click.option("--custodian-key", type=PATH, metavar="PUB", help="Public key that must have co-signed it as the Data Custodian.")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what; judges every co-signature too.")
@click.option("--require", type=click.Choice(["verifier", "custodian"]), multiple=True, help="With --policy: a role that must have co-signed.")
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
    verifier_key: Path | None,
    custodian_key: Path | None,
    policy_file: Path | None,
    require: tuple[str, ...],
    withdrawals: Path | None,
    state: Path | None,
    vault: Path | None,
    root: "RootHolder | None",
) -> None:
    """Check who signed a disposal certificate and, with --vault, that the vault refuses what it names.

    Exit code 1 if it says that the disposal is partial, 3 if it is pending.
    """
    from lifeseal import disposal
    from lifeseal.erasure import Vault

    policy = load_policy(key=key, file=policy_file)
    if policy_file is not None and (verifier_key or custodian_key):
        raise click.UsageError("--policy judges the co-signatures; --verifier-key and --custodian-key go with --key")
    if require and policy_file is None:
        raise click.UsageError("--require goes with --policy; otherwise give --verifier-key or --custodian-key")
    cosigners = {
        role: load_policy(key=path, file=None) for role, path in (("verifier", verifier_key), ("custodian", custodian_key)) if path is not None
    }
    if policy_file is not None:
        there = {one.role for one in disposal.Certificate.load(file).cosignatures}
        cosigners = dict.fromkeys(sorted({*there, *require}), policy)
    found = disposal.open_certificate(
        file, policy=policy, cosigners=cast("dict[Role, Policy]", cosigners), withdrawals=load_withdrawals(withdrawals, state, policy)
    )
    if vault is not None and root is not None:
        with Vault.open(vault, root=root, at_least=None) as opened:
            disposal.confirm(found, opened)
    who, clause = ("", "") if found.signer is None else (found.signer.fingerprint, found.signer.clause)
    document: dict[str, object] = {"certificate": str(file), "signer": who, "clause": clause, "vault_compared": vault is not None}
    document["cosignatures"] = _cosigned(found)
    compared = "; the vault refuses what it names" if vault is not None else ""
    code = exit_code(found.disposal)
    says = "" if code == 0 else f", and says that it is {found.disposal.status}"
    lines = [f"{file}: signed by the key given{says}{compared}", f"signer       key {who}"]
    if policy_file is not None:
        lines = [f"{file}: signed as the policy asks{says}{compared}", f"signer       {who}", f"accepted     {clause}", *unused(policy)]
    lines += [
        f"co-signed    {one.role}: {one.party.name}, {'key ' + one.signer.fingerprint if one.signer else 'not checked: no key was given for it'}"
        for one in found.cosignatures
    ]
    output.result("certificate-verify", document | disposal_document(found.disposal), (*lines, *disposal_lines(found.disposal)), ok=code == 0)
    if code:
        raise Refused(code)


@certificate.command(
    short_help="Sign a certificate as verifier or Data Custodian.",
    epilog=examples('lifeseal certificate cosign classifier.disposal.json --key records.key --role custodian --name "Records Office"'),
)
@click.argument("file", type=PATH)
@click.option("--key", required=True, type=PATH, help="Private key; another than the one that signed the certificate.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--role", required=True, type=click.Choice(["verifier", "custodian"]), help="In which role.")
@click.option("--name", required=True, help="Who signs.")
@click.option("--title", default="", help="Position.")
@click.option("--organisation", default="", help="Whose.")
@click.option("--location", default="", help="Where.")
@click.option("--contact", default="", help="Phone or address.")
@common
def cosign(
    output: Output,
    *,
    file: Path,
    key: Path,
    passphrase_file: Path | None,
    role: str,
    name: str,
    title: str,
    organisation: str,
    location: str,
    contact: str,
) -> None:
    """Add a co-signature to the certificate in FILE. Nothing in it is verified by this: verify it first."""
    from lifeseal import disposal

    signer = load_signer(key, passphrase_file)
    party = disposal.Party(name=name, title=title, organisation=organisation, location=location, contact=contact)
    found = disposal.Certificate.load(file).cosign(signer=signer, role=cast("Role", role), party=party)
    found.write(file, overwrite=True)
    document: dict[str, object] = {
        "certificate": str(file),
        "role": role,
        "signer": signer.public.fingerprint,
        "cosignatures": len(found.cosignatures),
    }
    output.result("certificate-cosign", document, (f"co-signed {file} as {role}", f"signer  key {signer.public.fingerprint}"))


@certificate.command(
    short_help="Write a certificate as a page to print.",
    epilog=examples("lifeseal certificate report classifier.disposal.json --html classifier.html --key release.pub"),
)
@click.argument("file", type=PATH)
@click.option("--html", "out", required=True, type=PATH, metavar="FILE", help="The page to write.")
@click.option("--key", type=PATH, help="Public key that must have signed it; without one the page says that nobody checked.")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what; judges every co-signature too.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@common
def report(output: Output, *, file: Path, out: Path, key: Path | None, policy_file: Path | None, force: bool) -> None:
    """Write a certificate as one page of HTML, without scripts, for the file and for paper."""
    from lifeseal import disposal
    from lifeseal._io import replace

    if same_file(out, file, key, policy_file):
        raise click.UsageError(f"--html: {out} is one of the inputs; choose another name")
    found = disposal.Certificate.load(file)
    if key is not None or policy_file is not None:
        policy = load_policy(key=key, file=policy_file)
        cosigners = dict.fromkeys((one.role for one in found.cosignatures), policy) if policy_file is not None else {}
        found = disposal.open_certificate(file, policy=policy, cosigners=cosigners)
    replace(out, disposal.page(found).encode(), overwrite=force)
    checked = found.signer is not None
    document: dict[str, object] = {"certificate": str(file), "html": str(out), "verified": checked, "status": found.disposal.status}
    output.result("certificate-report", document, (f"wrote {out}", "verified" if checked else "not verified: no key was given, and the page says so"))


@certificate.command(
    short_help="Approve a disposal, as a second signer.",
    epilog=examples(
        "lifeseal dispose classifier … --dry-run --order order.json",
        'lifeseal certificate approve order.json --key records.key --name "Records Office" --out approval.json',
        "lifeseal dispose classifier … --approval approval.json --approver-key records.pub",
    ),
)
@click.argument("order", type=PATH)
@click.option("--key", required=True, type=PATH, help="Private key; another than the one that will sign the certificate.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--name", required=True, help="Who approves.")
@click.option("--title", default="", help="Position.")
@click.option("--out", required=True, type=PATH, help="The approval to write.")
@common
def approve(output: Output, *, order: Path, key: Path, passphrase_file: Path | None, name: str, title: str, out: Path) -> None:
    """Approve exactly the disposal that ORDER names, as dispose --dry-run --order wrote it. Read it first: lifeseal inspect ORDER."""
    from lifeseal import disposal
    from lifeseal._io import read_bounded

    signer = load_signer(key, passphrase_file)
    data = read_bounded(order, limit=_MAX_ORDER, what="a disposal order")
    made = disposal.approve(data, signer=signer, party=disposal.Party(name=name, title=title))
    made.write(out, overwrite=False)
    digest = disposal.order_digest(data)
    document: dict[str, object] = {"approval": str(out), "order": digest, "signer": signer.public.fingerprint}
    output.result(
        "certificate-approve", document, (f"approved {order}", f"order   {digest}", f"signer  key {signer.public.fingerprint}", f"wrote   {out}")
    )


@certificate.command(
    short_help="Sign a receipt, as the recipient of a transfer.",
    epilog=examples('lifeseal certificate receipt classifier/ --key partner.key --name "Partner Ltd" --request T-12 --out receipt.json'),
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH…")
@click.option("--key", required=True, type=PATH, help="The recipient's private key.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--name", required=True, help="Who received it.")
@click.option("--request", default="", help="Reference of the transfer.")
@click.option("--out", required=True, type=PATH, help="The receipt to write.")
@common
def receipt(output: Output, *, paths: tuple[Path, ...], key: Path, passphrase_file: Path | None, name: str, request: str, out: Path) -> None:
    """Sign that PATH…, folders and files in the clear, have arrived; whoever gave them needs it to dispose of theirs as a transfer."""
    from lifeseal import attestation, disposal

    signer = load_signer(key, passphrase_file)
    made = disposal.acknowledge(paths, signer=signer, party=disposal.Party(name=name), request=request)
    made.write(out, overwrite=False)
    statement = attestation.Statement.from_bytes(made.envelope.payload, where=str(out))
    document: dict[str, object] = {"receipt": str(out), "signer": signer.public.fingerprint, "digests": [one.digest for one in statement.subjects]}
    lines = (f"acknowledged {len(statement.subjects)}", *(f"digest  {one.digest}" for one in statement.subjects), f"wrote   {out}")
    output.result("certificate-receipt", document, lines)


def _cosigned(found: "Certificate") -> list[dict[str, object]]:
    return [
        {"role": one.role, "name": one.party.name, "time": one.time, "signer": None if one.signer is None else one.signer.fingerprint}
        for one in found.cosignatures
    ]
