# SPDX-License-Identifier: Apache-2.0
"""``withdraw``: take models, datasets, keys and certificates back."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, common, examples, same_file
from lifeseal.cli._output import Output, counted
from lifeseal.cli._signers import load_signer

if TYPE_CHECKING:
    from lifeseal.attestation import Withdrawals, WithdrawnSigner


@click.group()
def withdraw() -> None:
    """Take models, datasets, keys and certificates back, in a signed list that those who verify consult.

    A list is a file that "new" makes, "add" adds to and "sign" signs. Every change gives it the next number. What is delivered is the signed list;
    deliver a new one before it expires.
    """


@withdraw.command(epilog=examples("lifeseal withdraw new --list acme-models --expires 2027-01-31T00:00:00Z --out withdrawn.json"))
@click.option("--list", "name", required=True, metavar="NAME", help="What the list is called, for ever.")
@click.option("--expires", required=True, metavar="TIME", help="When it ends, as 2026-12-31T23:59:59Z; who consults it then is refused.")
@click.option("--out", required=True, type=PATH, help="The list to write.")
@click.option("--force", is_flag=True, help="Replace a file of that name, with all that it withdraws.")
@common
def new(output: Output, *, name: str, expires: str, out: Path, force: bool) -> None:
    """Begin a list, which withdraws nothing yet."""
    from lifeseal import attestation

    end = attestation.parse_time(expires, where="--expires")
    made = attestation.Withdrawals(name=name, number=1, issued=dt.datetime.now(dt.UTC), expires=end)
    made.write(out, overwrite=force)
    output.result("withdraw-new", _document(out, made), (f"wrote {out}", *_lines(made)))


@withdraw.command(
    epilog=examples(
        'lifeseal withdraw add withdrawn.json --digest sha256:9f86… --reason "a backdoor was found"',
        "lifeseal withdraw add withdrawn.json --key release.pub --since 2026-11-01T00:00:00Z \\",
        '    --reason "the key was stolen"',
        "lifeseal withdraw add withdrawn.json --expires 2027-02-28T00:00:00Z",
    )
)
@click.argument("file", type=PATH)
@click.option("--digest", multiple=True, metavar="DIGEST", help="Model or dataset, sha256:…, as sign and verify print it. Repeatable.")
@click.option("--key", type=PATH, multiple=True, help="Public key (PEM). Repeatable.")
@click.option("--cert", type=PATH, multiple=True, help="Certificate (PEM), a signer's or an authority's. Repeatable.")
@click.option("--identity", metavar="ID", help="Identity of Sigstore, with its --issuer.")
@click.option("--issuer", metavar="URL", help="The identity provider of --identity.")
@click.option("--since", metavar="TIME", help="With --key, --cert and --identity: from when on their signatures do not count.")
@click.option("--reason", help="Why.")
@click.option("--expires", metavar="TIME", help="A new end of the list.")
@common
def add(
    output: Output,
    *,
    file: Path,
    digest: tuple[str, ...],
    key: tuple[Path, ...],
    cert: tuple[Path, ...],
    identity: str | None,
    issuer: str | None,
    since: str | None,
    reason: str | None,
    expires: str | None,
) -> None:
    """Withdraw more, or move the list's end. FILE is the unsigned list, and gets the next number."""
    import attrs

    from lifeseal import attestation
    from lifeseal._io import read_bounded

    people = bool(key or cert or identity)
    if not (digest or people or expires):
        raise click.UsageError("there is nothing to add: give --digest, --key, --cert, --identity or --expires")
    if (identity is None) != (issuer is None):
        raise click.UsageError("--identity needs its --issuer, and the other way round")
    if bool(digest or people) != (reason is not None):
        raise click.UsageError("--reason is needed for what is withdrawn, and for nothing else")
    if people != (since is not None):
        raise click.UsageError("--since is needed for keys, certificates and identities: signatures from then on do not count")
    old = attestation.Withdrawals.from_bytes(read_bounded(file, limit=16 << 20, what="a withdrawal list"), where=str(file))
    artefacts = [attestation.WithdrawnArtefact(digest=one, reason=reason or "") for one in digest]
    changed = attrs.evolve(
        old,
        number=old.number + 1,
        issued=dt.datetime.now(dt.UTC),
        expires=old.expires if expires is None else attestation.parse_time(expires, where="--expires"),
        artefacts=[*old.artefacts, *artefacts],
        signers=[*old.signers, *_signers(key, cert, (identity, issuer), since, reason or "")],
    )
    changed.write(file, overwrite=True)
    output.result("withdraw-add", _document(file, changed), (f"wrote {file}; sign it to put it into force", *_lines(changed)))


@withdraw.command(
    epilog=examples(
        "lifeseal withdraw sign withdrawn.json --key security.key --out withdrawn.sig",
        "lifeseal verify model/ --policy trust.toml --withdrawals withdrawn.sig --state /var/lib/lifeseal",
    )
)
@click.argument("file", type=PATH)
@click.option("--key", required=True, type=PATH, help="Private key (PEM).")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--out", required=True, type=PATH, help="The signed list to write; an older one is replaced.")
@common
def sign(output: Output, *, file: Path, key: Path, passphrase_file: Path | None, out: Path) -> None:
    """Sign a list: what is delivered to those who verify."""
    from lifeseal import attestation
    from lifeseal._io import read_bounded

    if same_file(out, file, key):
        raise click.UsageError(f"--out: {out} is the unsigned list or the key; choose another name")
    found = attestation.Withdrawals.from_bytes(read_bounded(file, limit=16 << 20, what="a withdrawal list"), where=str(file))
    found.refuse_expired()
    signer = load_signer(key, passphrase_file)
    found.sign(signer).write(out)
    lines = (f"signed {file}", *_lines(found), f"signer   key {signer.public.fingerprint}", f"deliver  {out}")
    output.result("withdraw-sign", _document(out, found) | {"signer": signer.public.fingerprint}, lines)


def _signers(
    keys: tuple[Path, ...], certificates: tuple[Path, ...], person: tuple[str | None, str | None], since: str | None, reason: str
) -> "list[WithdrawnSigner]":
    from lifeseal import attestation

    if since is None:
        return []
    when = attestation.parse_time(since, where="--since")
    found = [attestation.WithdrawnSigner.of_key(path, since=when, reason=reason) for path in keys]
    found += [attestation.WithdrawnSigner.of_certificate(path, since=when, reason=reason) for path in certificates]
    identity, issuer = person
    if identity is not None and issuer is not None:
        found.append(attestation.WithdrawnSigner.of_identity(identity, issuer, since=when, reason=reason))
    return found


def _document(place: Path, found: "Withdrawals") -> dict[str, object]:
    from lifeseal import attestation

    return {
        "withdrawals": str(place),
        "list": found.name,
        "number": found.number,
        "issued": attestation.format_time(found.issued),
        "expires": attestation.format_time(found.expires),
        "artefacts": len(found.artefacts),
        "signers": len(found.signers),
    }


def _lines(found: "Withdrawals") -> tuple[str, ...]:
    from lifeseal import attestation

    return (
        f"list     {found.name}, number {found.number}",
        f"holds    {counted(len(found.artefacts), 'artefact')}, {counted(len(found.signers), 'signer')}",
        f"expires  {attestation.format_time(found.expires)}",
    )
