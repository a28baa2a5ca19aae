# SPDX-License-Identifier: Apache-2.0
"""``vault rehome``: move a vault's root, and end a move that was interrupted."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output
from lifeseal.cli._roots import FORMS, root_from, root_options
from lifeseal.errors import CredentialError, DestroyedError, LifesealError, RolledBackError, StoreError, TamperedError

if TYPE_CHECKING:
    from lifeseal.erasure import Rehoming, RootHolder, Vault, VaultInfo

_NOT_THIS_ROOT = (CredentialError, DestroyedError, RolledBackError, StoreError, TamperedError)


@click.command(
    short_help="Move the root key to another holder.",
    epilog=examples(
        "lifeseal vault rehome --vault models.vault --root file:/media/safe/models.root \\",
        "    --to file:/media/new/models.root",
    ),
)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--to", required=True, metavar="URI", help=f"Where the root key shall be: {FORMS}.")
@click.option("--to-secret-file", type=PATH, help="The new root's passphrase, PIN or token on the first line; - reads standard input.")
@root_options
@common
def rehome(output: Output, *, vault: Path, to: str, to_secret_file: Path | None, root: "RootHolder") -> None:
    """Move the root key to another holder or a fresh key, and destroy the old one.

    The same command ends a move that was interrupted, or one that could not destroy the old root yet. An erasure of what was sealed before the
    move stays as unsure as under the weaker of the two holders.
    """
    done, info = _move(vault, root, root_from(to, None, vault, secret_file=to_secret_file, new=True, option="--to"))
    document: dict[str, object] = {"vault": done.vault, "epoch": done.epoch, "holder": done.holder, "assurance": info.assurance}
    lines = (
        f"{vault} has its root in {done.holder} now; name it with --root, or in your configuration",
        f"old root   {done.old.kind}: {done.old.state}",
        *(f"pending    {name}: not destroyed yet; give the same command again when it is" for name in done.pending),
        f"assurance  {info.assurance}",
        info.losing,
        info.backing_up,
    )
    output.result("vault-rehome", document | {"holders": holder_documents(info), "pending": list(done.pending)}, lines)


def holder_documents(info: "VaultInfo") -> list[dict[str, object]]:
    """Write down every holder that a vault has had."""
    names = ("kind", "place", "state", "since", "until", "when", "assurance")
    return [{name: getattr(holder, name) for name in names} for holder in info.holders]


def _move(folder: Path, old: "RootHolder", new: "RootHolder") -> "tuple[Rehoming, VaultInfo]":
    """Move the vault, or if it has moved, destroy what the old holder still has."""
    from lifeseal.erasure import Vault

    try:
        opened = Vault.open(folder, root=old)
    except _NOT_THIS_ROOT as refused:
        try:
            opened = Vault.open(folder, root=new)
        except (LifesealError, OSError):
            raise refused from None
        with opened:
            return _end(opened, old), opened.info()
    with opened:
        return opened.rehome(new), opened.info()


def _end(moved: "Vault", old: "RootHolder") -> "Rehoming":
    """Retire the old holder, unless it is written down already that nothing is left of it."""
    from lifeseal.erasure import Rehoming

    others = moved.info().holders[:-1]
    if others and others[-1].kind == old.kind and all(other.state == "destroyed" for other in others):
        return Rehoming(vault=moved.id, epoch=moved.epoch, holder=moved.holder, old=others[-1])
    return moved.retire(old)
