# SPDX-License-Identifier: Apache-2.0
"""``dispose``: the end of an asset, of plaintext, or of one person's records."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lifeseal.cli._disposal_record import disposal_document, disposal_lines, exit_code
from lifeseal.cli._options import PATH, common, examples, same_file
from lifeseal.cli._output import Declined, Output, Refused, counted, on_terminal, printable
from lifeseal.cli._particulars import Particulars
from lifeseal.cli._roots import root_options
from lifeseal.cli._signers import load_signer
from lifeseal.cli._verify import load_policy

if TYPE_CHECKING:
    from lifeseal.attestation import KeySigner
    from lifeseal.disposal import Begun, Certificate, Copy, Plan, Remove, Trigger
    from lifeseal.erasure import RootHolder, Vault

_SHOWN = 50
_MAX_SUBJECTS = 64 << 20


@click.command(
    epilog=examples(
        "lifeseal dispose classifier --vault models.vault --root file:/media/safe/models.root \\",
        '    --trigger decommission --custodian "Records Office" --search /home --remove files \\',
        "    --key release.key --out classifier.disposal.json --dry-run",
        "lifeseal dispose --plaintext model/ --plaintext prompts/ --search /data --remove files \\",
        '    --trigger decommission --custodian "Records Office" --key release.key --out old.disposal.json',
        "lifeseal dispose --subjects ids.txt --vault people.vault --root file:/media/safe/people.root \\",
        '    --trigger subject-erasure --request DSR-9 --custodian "Records Office" --key release.key --out dsr-9.json',
    )
)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option("--vault", type=PATH, metavar="DIR", help="The vault folder that holds NAME… or the people's records.")
@click.option("--plaintext", type=PATH, multiple=True, metavar="PATH", help="A folder or file in the clear that goes as a whole. Repeatable.")
@click.option("--subjects", type=PATH, metavar="FILE", help="Ids of people whose records go, one a line; - reads standard input.")
@click.option("--trigger", required=True, type=click.Choice(["transfer", "decommission", "subject-erasure"]), help="Why.")
@click.option("--custodian", required=True, help="Data Custodian who is responsible.")
@click.option("--sanitiser", help="Who carries it out; by default the custodian.")
@click.option("--request", default="", help="Reference of the request; never a person's name.")
@click.option("--particulars", "stated", type=PATH, metavar="FILE", help="What only people know: titles, media, categories, backups (TOML).")
@click.option("--search", type=PATH, multiple=True, metavar="DIR", help="Search here for plaintext copies. Repeatable.")
@click.option(
    "--remove",
    type=click.Choice(["none", "files", "all"]),
    default="none",
    show_default=True,
    help="Copies to unlink: whole files, or all that hold tensors.",
)
@click.option("--keep", type=PATH, multiple=True, metavar="PATH", help="A copy to leave where it is. Repeatable.")
@click.option("--lineage", type=PATH, multiple=True, metavar="FILE", help="A manifest or training statement, to name derivatives. Repeatable.")
@click.option("--approval", type=PATH, metavar="FILE", help="A second signer's approval of exactly this plan; see certificate approve.")
@click.option("--receipt", type=PATH, metavar="FILE", help="The recipient's receipt; a transfer needs one. See certificate receipt.")
@click.option("--approver-key", type=PATH, metavar="PUB", help="Public key that must have signed the approval.")
@click.option("--recipient-key", type=PATH, metavar="PUB", help="Public key that must have signed the receipt.")
@click.option("--policy", "policy_file", type=PATH, metavar="FILE", help="Policy file that says who may approve and receive (TOML).")
@click.option("--key", type=PATH, help="Sign the certificate with this private key.")
@click.option("--passphrase-file", type=PATH, help="For an encrypted key: its passphrase on the first line; - reads standard input.")
@click.option("--unsigned", is_flag=True, help="Leave the certificate unsigned.")
@click.option("--out", required=True, type=PATH, metavar="CERT", help="The certificate to write.")
@click.option("--journal", type=PATH, metavar="FILE", help="The journal to keep, or to go on from; by default CERT.journal.")
@click.option("--order", type=PATH, metavar="FILE", help="With --dry-run: write the order here, for somebody to approve.")
@click.option("--force", is_flag=True, help="Replace a certificate of that name.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@root_options
@common
def dispose(output: Output, **given: object) -> None:
    """Dispose for good of vault assets NAME…, of plaintext, or of people's records, and certify it.

    Searches, shows what it would unlink and erase and what it would not reach, and asks; then unlinks, erases, tries to read, and searches
    again. Look at --dry-run first: nothing brings back what was erased. Interrupted or not completed, the same command goes on.
    """
    from lifeseal import disposal

    options = _Options(**given)
    signer = options.signer()
    begun = disposal.under_way(options.journal)
    options.refuse_unwritable(begun)
    with options.vault() as vault:
        if begun is not None:
            certificate = _go_on(output, options, begun, vault, signer)
        else:
            plan = options.plan(output, vault)
            if options.dry_run:
                options.write_order(plan)
                output.plain("dispose", {"dry_run": True, **_planned(plan)}, _plan_lines(plan))
                return
            if not options.yes:
                _ask(output, _plan_lines(plan), "Erase for good?")
            certificate = options.carry_out(output, plan, signer)
    _write(output, options, certificate, replace=begun is not None)


class _Options:
    """What was given, by name."""

    def __init__(self, **given: object) -> None:
        self._given = given
        self.names = cast("tuple[str, ...]", given["names"])
        self.dry_run, self.yes, self.force = bool(given["dry_run"]), bool(given["yes"]), bool(given["force"])
        self.out = cast("Path", given["out"])
        self.unsigned = bool(given["unsigned"])
        self.trigger = cast("Trigger", given["trigger"])
        self.request = str(given["request"])
        self.journal = self.path("journal") or self.out.with_name(f"{self.out.name}.journal")
        if (self.path("key") is None) != self.unsigned:
            raise click.UsageError("sign the certificate with --key, or say --unsigned")
        if (self.names or self.path("subjects")) and self.path("vault") is None:
            raise click.UsageError("assets and people's records are those of a --vault")
        if self.path("order") is not None and not self.dry_run:
            raise click.UsageError("--order: an order is written by --dry-run, and nothing is done")
        if (self.trigger == "subject-erasure") != (self.path("subjects") is not None):
            raise click.UsageError("--trigger subject-erasure is for --subjects, and the other way round")

    def path(self, name: str) -> Path | None:
        """Return a path that was given, or None."""
        return cast("Path | None", self._given[name])

    def paths(self, name: str) -> tuple[Path, ...]:
        """Return paths that were given."""
        return cast("tuple[Path, ...]", self._given[name])

    def signer(self) -> "KeySigner | None":
        """Open the key that signs the certificate."""
        key = self.path("key")
        return None if key is None else load_signer(key, self.path("passphrase_file"))

    def vault(self) -> "_Opened":
        """Open the vault, for a block."""
        return _Opened(self.path("vault"), cast("RootHolder | None", self._given["root"]))

    def subjects(self) -> tuple[str, ...]:
        """Read people's ids; they never stand on the command line."""
        path = self.path("subjects")
        if path is None:
            return ()
        from lifeseal.cli._options import bytes_from
        from lifeseal.errors import FormatError

        try:
            lines = (bytes_from(path, limit=_MAX_SUBJECTS) or b"").decode("utf-8").splitlines()
        except UnicodeDecodeError:
            raise FormatError(str(path), "ids in UTF-8, one a line, were expected") from None
        return tuple(line for line in lines if line)

    def plan(self, output: Output, vault: "Vault | None") -> "Plan":
        """Plan, and search."""
        from lifeseal import disposal
        from lifeseal.cli._data_trace import open_statement_file

        with output.progress() as progress:
            return disposal.plan(
                vault,
                self.names,
                request=self.request,
                plaintext=self.paths("plaintext"),
                subjects=self.subjects(),
                search=self.paths("search"),
                remove=cast("Remove", self._given["remove"]),
                keep=self.paths("keep"),
                statements=[open_statement_file(file, None) for file in self.paths("lineage")],
                progress=progress,
            )

    def carry_out(self, output: Output, plan: "Plan", signer: "KeySigner | None") -> "Certificate":
        """Do it."""
        from lifeseal import disposal

        approval, receipt, policy = self.path("approval"), self.path("receipt"), self.path("policy_file")
        told = Particulars.load(self.path("stated"))
        with output.progress() as progress:
            return disposal.dispose(
                plan,
                signer=signer,
                sanitiser=told.sanitiser(str(self._given["sanitiser"] or self._given["custodian"])),
                custodian=told.custodian(str(self._given["custodian"])),
                trigger=self.trigger,
                stated=told.stated,
                approval=None
                if approval is None
                else disposal.open_approval(approval, policy=load_policy(key=self.path("approver_key"), file=policy)),
                receipt=None if receipt is None else disposal.open_receipt(receipt, policy=load_policy(key=self.path("recipient_key"), file=policy)),
                journal=self.journal,
                progress=progress,
            )

    def write_order(self, plan: "Plan") -> None:
        """Write what somebody is to approve."""
        path = self.path("order")
        if path is not None:
            from lifeseal._io import replace

            replace(path, plan.order, overwrite=self.force)

    def refuse_unwritable(self, begun: "Begun | None") -> None:
        """Find out before the erasure whether certificate and journal have a place to go."""
        out = self.out
        for option, place in (("--out", out), ("--journal", self.journal)):
            if not place.parent.is_dir():
                raise click.UsageError(f"{option}: the folder {place.parent} is not there")
            if not os.access(place.parent, os.W_OK | os.X_OK):
                raise click.UsageError(f"{option}: this user may not write into the folder {place.parent}")
        if out.is_symlink() or (out.exists() and not out.is_file()):
            raise click.UsageError(f"--out: {out} is there and not a regular file; choose another name")
        if same_file(out, self.path("key"), self.path("passphrase_file")):
            raise click.UsageError(f"--out: {out} is the key; choose another name")
        if out.exists() and not self.force and not (begun is not None and self._is_of(begun)):
            raise click.UsageError(f"--out: {out} is there already; choose another name, or say --force")

    def _is_of(self, begun: "Begun") -> bool:
        """Tell whether what lies there is an earlier certificate of the disposal that goes on."""
        from lifeseal import disposal
        from lifeseal.errors import LifesealError

        try:
            found = disposal.Certificate.load(self.out).disposal
        except LifesealError:
            return False
        if (found.started, found.vault, found.assets) != (begun.started, begun.vault, begun.assets):
            return False
        if found.status == "completed":
            raise click.UsageError(f"--out: {self.out} certifies that this is completed; for another disposal choose another --out")
        return True


class _Opened:
    """A vault for a block, or none."""

    def __init__(self, folder: Path | None, root: "RootHolder | None") -> None:
        self._folder, self._root = folder, root
        self._vault: Vault | None = None

    def __enter__(self) -> "Vault | None":
        if self._folder is not None and self._root is not None:
            from lifeseal.erasure import Vault

            self._vault = Vault.open(self._folder, root=self._root)
        return self._vault

    def __exit__(self, *_: object) -> None:
        if self._vault is not None:
            self._vault.close()


def _go_on(output: Output, options: _Options, begun: "Begun", vault: "Vault | None", signer: "KeySigner | None") -> "Certificate":
    """Go on with a disposal that was begun, if it is the one that was asked for."""
    from lifeseal import disposal

    sealed = tuple(asset.name for asset in begun.assets if asset.kind == "sealed")
    if (sealed, begun.trigger, begun.request) != (options.names, options.trigger, options.request):
        raise click.UsageError(
            f"--journal: {options.journal} is that of another disposal ({', '.join(sealed) or begun.trigger}); choose another name"
        )
    lines = (f"A disposal was begun at {begun.started}, and is not completed: {counted(len(begun.assets), 'asset')}, {begun.trigger}.",)
    if options.dry_run:
        raise click.UsageError(f"--dry-run: {lines[0]} The same command without --dry-run goes on with it")
    if not options.yes:
        _ask(output, lines, "Go on with it?")
    with output.progress() as progress:
        return disposal.resume(options.journal, vault=vault, signer=signer, subjects=options.subjects(), progress=progress)


def _write(output: Output, options: _Options, certificate: "Certificate", *, replace: bool) -> None:
    found = certificate.disposal
    try:
        certificate.write(options.out, overwrite=options.force or replace)
    except BaseException:
        click.echo("It is done, and the certificate could not be written. The same command writes it again; or keep these lines:", err=True)
        click.echo(certificate.to_bytes(), err=True)
        raise
    document: dict[str, object] = {"certificate": str(options.out), "signed": not options.unsigned, "journal": str(options.journal)}
    code = exit_code(found)
    names = ", ".join(asset.name for asset in found.assets[:_SHOWN])
    first = {
        "completed": f"disposed of {names}",
        "pending": f"not final yet: {names}; run the same command again when the holder is done",
        "partial": f"not completed: {names}; see the reasons, mend them, and run the same command again",
    }[found.status]
    lines = (first, f"certificate  {options.out}", f"journal      {options.journal}", *disposal_lines(found))
    output.result("dispose", document | disposal_document(found), lines, ok=code == 0)
    if code:
        raise Refused(code)


def _ask(output: Output, lines: Iterable[str], question: str) -> None:
    if output.as_json or not on_terminal(sys.stdin):
        raise click.UsageError("this cannot be undone: look at --dry-run first, then say --yes")
    click.echo("\n".join(map(printable, lines)), err=True)
    if not click.confirm(question, err=True):
        raise Declined


def _planned(plan: "Plan") -> dict[str, object]:
    assets = [{"kind": a.kind, "name": a.name, "digest": f"sha256:{a.sha256.hex()}", "files": a.files, "bytes": a.size} for a in plan.assets]
    search = plan.search
    return {
        "vault": "" if plan.vault is None else plan.vault.id,
        "epoch": 0 if plan.vault is None else plan.vault.epoch,
        "order": plan.digest,
        "assets": assets,
        "unlink": [str(target.path) for target in plan.targets],
        "copies": [] if search is None else [_copy(copy) for copy in search.copies],
        "unread": [] if search is None else list(search.unread),
        "derivatives": [{"name": one.name, "kind": one.kind, "digest": one.digest} for one in plan.derivatives],
        "manifests": [{"name": one.name, "digest": one.digest} for one in plan.manifests],
        "limitations": list(plan.limitations),
    }


def _copy(found: "Copy") -> dict[str, object]:
    return {
        "path": str(found.path),
        "kind": found.kind,
        "holds": list(found.holds),
        "links": [str(path) for path in found.links],
        "open_in": list(found.open_in),
        "shares_blocks": found.shares_blocks,
    }


def _plan_lines(plan: "Plan") -> tuple[str, ...]:
    lines = ["Would dispose of:"] if plan.vault is None else [f"Would erase from vault {plan.vault.id} (epoch {plan.vault.epoch}):"]
    for asset in plan.assets[:_SHOWN]:
        size = "" if asset.kind == "subject" else f": {counted(asset.files, 'file')}, {counted(asset.size, 'byte')}, sha256:{asset.sha256.hex()}"
        lines.append(f"  {'in plaintext, ' if asset.kind == 'plaintext' else ''}{asset.name}{size}")
    lines += _beyond(len(plan.assets))
    unlinked = {target.path for target in plan.targets}
    if plan.targets:
        lines += [f"Would unlink {counted(len(plan.targets), 'name')}:", *(f"  {target.path}" for target in plan.targets[:_SHOWN])]
        lines += _beyond(len(plan.targets))
    if plan.search is not None:
        stay = [copy for copy in plan.search.copies if copy.path not in unlinked]
        lines += [
            f"Searched {counted(plan.search.files, 'file')}; would leave {counted(len(stay), 'copy').replace('copys', 'copies')} where they are:"
        ]
        lines += [f"  {copy.path} ({copy.told})" for copy in stay[:_SHOWN]] + _beyond(len(stay))
        held = [copy for copy in plan.search.copies if copy.path in unlinked and (copy.open_in or copy.shares_blocks)]
        lines += [f"Stays on the disk although it is unlinked: {copy.path} ({copy.told})" for copy in held[:_SHOWN]] + _beyond(len(held))
        lines += [f"Could not search: {text}" for text in plan.search.unread[:_SHOWN]] + _beyond(len(plan.search.unread))
    lines += [f"Would not erase: {one.kind} {one.name}, made from it" for one in plan.derivatives[:_SHOWN]]
    return (*lines, "It would not reach:", *(f"  - {limit}" for limit in plan.limitations), f"Order {plan.digest}")


def _beyond(count: int) -> list[str]:
    return [f"  … and {count - _SHOWN} more"] if count > _SHOWN else []
