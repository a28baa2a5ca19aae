# SPDX-License-Identifier: Apache-2.0
"""``vault``: keep files encrypted under a key that can be destroyed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._hand_over import hand_over, receive
from lifeseal.cli._holds import hold, release
from lifeseal.cli._options import PATH, common, examples
from lifeseal.cli._output import Output, counted
from lifeseal.cli._rehome import holder_documents, rehome
from lifeseal.cli._roots import root_options
from lifeseal.cli._subjects import subjects

if TYPE_CHECKING:
    from lifeseal.erasure import RootHolder, VaultInfo


@click.group()
def vault() -> None:
    """Keep models and data encrypted under a key that can be destroyed."""


for command in (hand_over, hold, receive, rehome, release, subjects):
    vault.add_command(command)


@vault.command(
    epilog=examples(
        "lifeseal vault init models.vault --root file:/media/safe/models.root",
        "lifeseal vault init notes.vault --root passphrase:",
    )
)
@click.argument("directory", type=PATH, metavar="DIR")
@root_options
@common
def init(output: Output, *, directory: Path, root: "RootHolder") -> None:
    """Make a new vault in DIR, and its root key.

    The root opens everything in the vault. A root file belongs on another disk and out of every backup: losing it loses what is sealed, and
    a backup of it undoes erasures. A passphrase is as good as it is hard to guess.
    """
    from lifeseal.erasure import Vault

    with Vault.create(directory, root=root) as made:
        document: dict[str, object] = {"vault": made.id, "epoch": made.epoch, "directory": str(directory), "assurance": made.assurance}
        lines = (f"made vault {directory}", f"id         {made.id}", f"assurance  {made.assurance}", root.losing, root.backing_up)
    output.result("vault-init", document, lines)


@vault.command(
    epilog=examples(
        "lifeseal vault seal model/ --vault models.vault --name classifier \\",
        "    --root file:/media/safe/models.root",
    )
)
@click.argument("path", type=PATH)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--name", required=True, help="What to call the asset.")
@click.option("--remove-plaintext", is_flag=True, help="Unlink PATH once everything is sealed and read back; this is no sanitising of the disk.")
@root_options
@common
def seal(output: Output, *, path: Path, vault: Path, name: str, remove_plaintext: bool, root: "RootHolder") -> None:
    """Encrypt PATH, a file or folder, into the vault. The original stays unless --remove-plaintext is given."""
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened, output.progress() as progress:
        opened.seal(path, name, remove_plaintext=remove_plaintext, progress=progress).close()
        info = next(info for info in opened.assets() if info.name == name)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "name": name, "slot": info.slot, "generation": info.generation}
    plain = "the plaintext was unlinked; the disk may still hold its blocks" if remove_plaintext else f"the plaintext is still at {path}"
    lines = (f"sealed {path} as {name!r}", f"{counted(info.files, 'file')}, {counted(info.size, 'byte')}", plain)
    output.result("vault-seal", document | {"files": info.files, "bytes": info.size, "plaintext_removed": remove_plaintext}, lines)


@vault.command(
    epilog=examples(
        "lifeseal vault unseal classifier --vault models.vault --out copy/ \\",
        "    --root file:/media/safe/models.root",
    )
)
@click.argument("name")
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--out", required=True, type=PATH, help="The new file or folder.")
@root_options
@common
def unseal(output: Output, *, name: str, vault: Path, out: Path, root: "RootHolder") -> None:
    """Write an asset's plaintext to a new file or folder."""
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened:
        opened.unseal(name, out)
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "name": name, "out": str(out)}
    output.result("vault-unseal", document, (f"wrote {out}", "It is plaintext outside the vault: erasing the asset will not reach it."))


@vault.command(name="list", epilog=examples("lifeseal vault list --vault models.vault --root file:/media/safe/models.root"))
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@root_options
@common
def list_(output: Output, *, vault: Path, root: "RootHolder") -> None:
    """List the assets, erased ones included."""
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened:
        assets = opened.assets()
        rows = [
            {
                "name": info.name,
                "state": info.state,
                "erased_at": info.erased_at,
                "slot": info.slot,
                "generation": info.generation,
                "files": info.files,
                "bytes": info.size,
                "hold": info.hold,
                "assurance": info.assurance,
            }
            for info in assets
        ]
        document: dict[str, object] = {"vault": opened.id, "epoch": opened.epoch, "assets": rows}
    lines = [f"{'state':<18}{'files':>8}{'bytes':>16}  name"]
    for info in assets:
        state = f"erased, epoch {info.erased_at}" if info.erased_at is not None else f"{info.state}, on hold" if info.hold else info.state
        name = info.name or f"(slot {info.slot}, generation {info.generation}; its name is gone too)"
        lines.append(f"{state:<18}{info.files:>8}{info.size:>16}  {name}")
    output.plain("vault-list", document, lines if assets else ["the vault is empty"])


@vault.command(
    short_help="Say how sure an erasure would be.", epilog=examples("lifeseal vault info --vault models.vault --root file:/media/safe/models.root")
)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@root_options
@common
def info(output: Output, *, vault: Path, root: "RootHolder") -> None:
    """Say how sure an erasure would be, and what losing or backing up the root means."""
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened:
        found = opened.info()
    document: dict[str, object] = {
        "vault": found.vault,
        "epoch": found.epoch,
        "holder": found.holder,
        "assurance": found.assurance,
        "losing": found.losing,
        "backing_up": found.backing_up,
        "hosts": found.hosts,
        "live": found.live,
        "erased": found.erased,
        "subjects": found.subjects,
        "forgotten": found.forgotten,
        "people_on_hold": found.people_on_hold,
        "hold_on_everybody": found.hold_on_everybody,
        "log_bytes": found.log_size,
        "log_bytes_in_use": found.log_in_use,
        "pending": list(found.pending),
        "holders": holder_documents(found),
    }
    lines = (
        f"vault      {found.vault}",
        f"epoch      {found.epoch}",
        f"assets     {found.live} live, {found.erased} erased",
        *((f"people     {found.subjects} live, {found.forgotten} erased{_held(found)}",) if found.subjects or found.forgotten else ()),
        f"node log   {counted(found.log_size, 'byte')}, of which at most {found.log_in_use} are in use",
        f"root       {found.holder}",
        f"assurance  {found.assurance}",
        *(
            f"moving     to {holder.kind} was begun; `vault rehome` with the same --root and --to ends it"
            if holder.state == "begun"
            else f"before     {holder.kind}, until epoch {holder.until}: {holder.state}"
            for holder in found.holders[:-1]
        ),
        *(f"pending    {name}: not destroyed yet" for name in found.pending),
        found.losing,
        found.backing_up,
        found.hosts,
    )
    output.plain("vault-info", document, lines)


@vault.command(
    short_help="Check every byte of a vault.",
    epilog=examples(
        "lifeseal vault verify --vault models.vault --root file:/media/safe/models.root",
        "lifeseal vault verify --vault models.vault --structure-only",
    ),
)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@click.option("--structure-only", is_flag=True, help="Use no root: find damage, not tampering.")
@root_options
@common
def verify(output: Output, *, vault: Path, structure_only: bool, root: "RootHolder | None") -> None:
    """Check every byte of a vault: log, keys, names and containers; without a root only its form."""
    from lifeseal.erasure import Vault, check_structure

    if root is None:
        found = check_structure(vault)
        seen = f"{counted(found.batches, 'change')} in the log and {counted(found.containers, 'container')} have a whole form"
    else:
        with Vault.open(vault, root=root) as opened, output.progress() as progress:
            found = opened.verify(progress=progress)
        seen = f"{counted(found.batches, 'change')} in the log, {counted(found.slots, 'slot')}, {counted(found.containers, 'container')}"
    document = {"vault": found.vault, "structure_only": structure_only, "epoch": found.epoch, "batches": found.batches}
    lines = (f"{vault}: whole", seen, *(("Without the root, tampering does not show.",) if structure_only else ()))
    output.result("vault-verify", document | {"slots": found.slots, "containers": found.containers, "bytes": found.size}, lines)


@vault.command(
    short_help="Make the node log small.", epilog=examples("lifeseal vault compact --vault models.vault --root file:/media/safe/models.root")
)
@click.option("--vault", required=True, type=PATH, metavar="DIR", help="The vault folder.")
@root_options
@common
def compact(output: Output, *, vault: Path, root: "RootHolder") -> None:
    """Write the vault's keys into a new, small log, compare it with the old one, and switch."""
    from lifeseal.erasure import Vault

    with Vault.open(vault, root=root) as opened:
        done = opened.compact()
    document: dict[str, object] = {
        "vault": done.vault,
        "epoch_before": done.epoch_before,
        "epoch_after": done.epoch_after,
        "bytes_before": done.size_before,
        "bytes_after": done.size_after,
        "not_removed": list(done.not_removed),
    }
    lines = (f"compacted {vault}", f"node log  {counted(done.size_before, 'byte')} before, {counted(done.size_after, 'byte')} now")
    output.result("vault-compact", document, lines)


def _held(found: "VaultInfo") -> str:
    if found.hold_on_everybody:
        return f", everybody on hold ({found.hold_on_everybody})"
    return f", {found.people_on_hold} on hold" if found.people_on_hold else ""
