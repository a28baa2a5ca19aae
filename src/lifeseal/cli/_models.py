# SPDX-License-Identifier: Apache-2.0
"""``keygen`` and ``sign``."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._options import PATH, common, examples, same_file, secret_from
from lifeseal.cli._output import Output, listing
from lifeseal.cli._signers import choose_signer, describe, load_authority

if TYPE_CHECKING:
    from lifeseal._io import HashName
    from lifeseal.attestation import KeyAlgorithm, TrustedKey
    from lifeseal.erasure import Recipient, RecipientAlgorithm
    from lifeseal.signing import Changes


@click.command(
    epilog=examples(
        "lifeseal keygen --out release --encrypt",
        "lifeseal keygen --out partner --algorithm mlkem768-x25519",
    )
)
@click.option("--out", required=True, type=PATH, metavar="DIR/NAME", help="Writes NAME.key (readable by you alone) and NAME.pub.")
@click.option(
    "--algorithm",
    type=click.Choice(["p256", "p384", "p521", "mlkem768-x25519", "x25519"]),
    default="p256",
    show_default=True,
    help="A curve to sign on; or a way to receive the keys of vaults' assets.",
)
@click.option("--encrypt", is_flag=True, help="Encrypt the private key; asks for a passphrase.")
@click.option("--passphrase-file", type=PATH, help="Encrypt the private key with the passphrase on this file's first line.")
@click.option("--force", is_flag=True, help="Replace keys of that name.")
@common
def keygen(output: Output, *, out: Path, algorithm: str, encrypt: bool, passphrase_file: Path | None, force: bool) -> None:
    """Make a key pair: NAME.key, to sign or to receive with, and NAME.pub, for everyone who verifies or gives."""
    from lifeseal import attestation, erasure

    if not out.name:
        raise click.UsageError(f"--out: a name for the key was expected, as release or keys/release, not {str(out)!r}")
    passphrase = secret_from(passphrase_file, prompt="New passphrase" if encrypt else None, confirm=True)
    if encrypt and passphrase is None:
        raise click.UsageError("--encrypt asks on a terminal; elsewhere give --passphrase-file")
    public: TrustedKey | Recipient
    if "x25519" in algorithm:
        public = erasure.generate_recipient_key(out, algorithm=cast("RecipientAlgorithm", algorithm), passphrase=passphrase, overwrite=force)
    else:
        public = attestation.generate_key(out, algorithm=cast("KeyAlgorithm", algorithm), passphrase=passphrase, overwrite=force)
    files = {"private": f"{out}.key", "public": f"{out}.pub"}
    lines = (
        f"wrote {files['private']} and {files['public']}",
        f"fingerprint  {public.fingerprint}",
        "Keep the .key to yourself; give the .pub away.",
    )
    output.result("keygen", {**files, "fingerprint": public.fingerprint}, lines)


@click.command(
    epilog=examples(
        "lifeseal sign model/ --key release.key",
        "lifeseal sign model/ --key release.key --cert release.crt --chain authority.crt",
        "lifeseal sign weights.safetensors --key release.key --hash blake3",
        "lifeseal sign model/ --key release.key --timestamp https://tsa.example.org/ --tsa tsa-root.pem",
        "lifeseal sign model/ --sigstore --trust-config public-good",
    )
)
@click.argument("model", type=PATH)
@click.option("--key", type=PATH, help="Private key (PEM).")
@click.option("--cert", type=PATH, help="The key's certificate (PEM): whoever trusts its root can then verify.")
@click.option("--chain", type=PATH, multiple=True, help="Certificates between it and the root (PEM). Repeatable.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--sigstore", is_flag=True, help="Sign without a key, in the name of an identity token; it and a hash of what is signed are published.")
@click.option(
    "--identity-token-file", type=PATH, metavar="F", help="With --sigstore: holds the token; - reads standard input. Else the CI job's own."
)
@click.option("--trust-config", metavar="F", help="With --sigstore: the deployment's ClientTrustConfig (JSON), or public-good.")
@click.option("--out", type=PATH, help="Where the signature goes; by default MODEL/model.sig, or MODEL.sig beside a file.")
@click.option("--hash", "algorithm", type=click.Choice(["sha256", "blake2b", "blake3"]), default="sha256", show_default=True, help="Of each file.")
@click.option("--shard-size", type=click.IntRange(min=1), metavar="BYTES", help="Sign each file in shards: faster for one huge file.")
@click.option("--ignore", multiple=True, metavar="PATH", help="Leave out a path, relative to the model; recorded. Repeatable.")
@click.option("--previous", type=PATH, help="An earlier signature: says which files were added, removed or changed since.")
@click.option("--timestamp", metavar="URL", help="Have this RFC 3161 authority attest when it was signed; needs --tsa.")
@click.option("--tsa", type=PATH, multiple=True, help="Root of the timestamp authority (PEM), and certificates below it. Repeatable.")
@common
def sign(
    output: Output,
    *,
    model: Path,
    key: Path | None,
    cert: Path | None,
    chain: tuple[Path, ...],
    passphrase_file: Path | None,
    sigstore: bool,
    identity_token_file: Path | None,
    trust_config: str | None,
    out: Path | None,
    algorithm: str,
    shard_size: int | None,
    ignore: tuple[str, ...],
    previous: Path | None,
    timestamp: str | None,
    tsa: tuple[Path, ...],
) -> None:
    """Sign every file of MODEL, a folder or a file."""
    from lifeseal import attestation, signing

    if out is not None and same_file(out, model, key, cert, identity_token_file, *chain, *tsa):
        raise click.UsageError(f"--out: {out} is what is signed, the key or a certificate; choose another name")
    if chain and cert is None:
        raise click.UsageError("--chain needs --cert, the certificate of the key itself")
    authority = load_authority(timestamp, tsa)
    signer = choose_signer(
        key=key,
        passphrase_file=passphrase_file,
        cert=cert,
        chain=chain,
        sigstore=sigstore,
        token_file=identity_token_file,
        trust=trust_config,
    )
    earlier = None if previous is None else attestation.Bundle.load(previous)
    with output.progress() as progress:
        bundle = signing.sign(
            model,
            signer=signer,
            out=out,
            hash=cast("HashName", algorithm),
            shard_size=shard_size,
            ignore=ignore,
            previous=earlier,
            timestamp=authority,
            progress=progress,
        )
    fingerprint, called = describe(signer, bundle)
    statement = attestation.Statement.from_bytes(bundle.envelope.payload, where="payload")
    subject = statement.subjects[0]
    target = out or (model / "model.sig" if model.is_dir() else Path(f"{model}.sig"))
    lines = [f"signed {model}", f"model      {subject.digest}", f"signer     {called}", f"signature  {target}"]
    since = None if earlier is None else _differences(signing.compare(earlier, bundle))
    lines += [f"{how:<11}{listing(names)}" for how, names in ({} if since is None else since).items()]
    document: dict[str, object] = {
        "model": str(model),
        "digest": subject.digest,
        "signer": fingerprint,
        "signature": str(target),
        "since_previous": since,
    }
    output.result("sign", document, tuple(lines))


def _differences(since: "Changes") -> dict[str, list[str]]:
    return {"added": list(since.added), "removed": list(since.removed), "changed": list(since.changed)}
