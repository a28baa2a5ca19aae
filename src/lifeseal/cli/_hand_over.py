# SPDX-License-Identifier: Apache-2.0
"""``vault hand-over`` and ``vault receive``: an asset's key for one recipient."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, common, examples, secret_from
from lifeseal.cli._output import Output, counted
from lifeseal.cli._roots import root_options
from lifeseal.cli._signers import load_signer
from lifeseal.cli._verify import load_policy

if TYPE_CHECKING:
    from lifeseal.erasure import RecipientKey, RootHolder


@click.command(
    name="hand-over",
    short_help="Give an asset's key to one recipient.",
    epilog=examples(
        "lifeseal vault hand-over classifier --vault models.vault --to partner.pub --key release.key \\",
        "    --out classifier.hand-over --root file:/media/safe/models.root",
    ),
)
@click.argument("name")
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option(
    "--to", "recipient", required=True, type=PATH, metavar="PUB", help="The recipient's public key, from keygen --algorithm mlkem768-x25519."
)
@click.option("--key", required=True, type=PATH, help="Your private key, to sign with.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--out", required=True, type=PATH, metavar="SIDECAR", help="The file to write.")
@root_options
@common
def hand_over(
    output: Output, *, name: str, vault: Path, recipient: Path, key: Path, passphrase_file: Path | None, out: Path, root: "RootHolder"
) -> None:
    """Write SIDECAR: the key of asset NAME, encrypted for one recipient and signed by you.

    The vault notes the copy first. Send SIDECAR together with a copy of the vault folder, or of objects/ in it. A key that was given is
    never called back: erasing the asset here does not reach the recipient.
    """
    from lifeseal.erasure import Recipient, Vault

    signer = load_signer(key, passphrase_file)
    with Vault.open(vault, root=root) as opened:
        made = opened.hand_overs.give(name, Recipient.from_file(recipient), signer=signer, out=out)
        copies = len(opened.hand_overs.list(name))
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "name": name, "out": str(out), "copies": copies}
    document |= {"recipient": made.copy.recipient, "algorithm": made.copy.algorithm}
    lines = (
        f"wrote {out}",
        f"recipient  {made.copy.recipient} ({made.copy.algorithm})",
        f"the vault knows of {copies} {'copy' if copies == 1 else 'copies'} of this key; none can be called back",
    )
    output.result("vault-hand-over", document, lines)


@click.command(
    short_help="Open an asset whose key was handed over to you.",
    epilog=examples("lifeseal vault receive classifier.hand-over models.vault/ --recipient-key partner.key --key giver.pub --out classifier/"),
)
@click.argument("sidecar", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--recipient-key", required=True, type=PATH, metavar="KEY", help="Your private key, for which it was made.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--key", type=PATH, help="Public key that must have signed SIDECAR (PEM).")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may sign what (TOML).")
@click.option("--out", required=True, type=PATH, help="The new file or folder.")
@common
def receive(
    output: Output,
    *,
    sidecar: Path,
    folder: Path,
    recipient_key: Path,
    passphrase_file: Path | None,
    key: Path | None,
    policy_file: Path | None,
    out: Path,
) -> None:
    """Write the plaintext of what was handed over in SIDECAR. FOLDER is a copy of the giver's vault, or holds its objects/."""
    from lifeseal import erasure

    policy = load_policy(key=key, file=policy_file)
    private = _recipient_key(recipient_key, passphrase_file)
    found, signer = erasure.open_hand_over(sidecar, policy=policy)
    with erasure.receive(sidecar, folder, key=private, policy=policy) as asset:
        asset.unseal(out)
        size = sum(asset.size(name) for name in asset.names())
        files = len(asset.names())
    document: dict[str, object] = {"out": str(out), "files": files, "bytes": size, "vault": found.vault.hex(), "signer": signer.fingerprint}
    lines = (f"wrote {counted(files, 'file')}, {counted(size, 'byte')}, to {out}", f"given by   {signer.name or signer.fingerprint}")
    output.result("vault-receive", document, lines)


def _recipient_key(path: Path, passphrase_file: Path | None) -> "RecipientKey":
    """Read a private key to receive with, asking for its passphrase where it needs one."""
    from lifeseal._io import read_bounded
    from lifeseal.erasure import RecipientKey

    encrypted = b"ENCRYPTED" in read_bounded(path, limit=64 << 10, what="a private key")
    return RecipientKey.from_file(path, passphrase=secret_from(passphrase_file, prompt=f"Passphrase of {path}" if encrypted else None))
