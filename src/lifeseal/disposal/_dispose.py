# SPDX-License-Identifier: Apache-2.0
"""The end of an asset: plan, erase, try to read it, certify."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from lifeseal import __version__
from lifeseal.attestation import Signer, sign_statement
from lifeseal.disposal._certificate import MAX_TEXT, TRIGGERS, Certificate, Disposal, DisposedAsset, Trigger
from lifeseal.errors import DestroyedError, LifesealError, PolicyError, RolledBackError, StateError
from lifeseal.principles import announce, implements, note, now

if TYPE_CHECKING:
    from lifeseal.erasure import Erasure, Vault


@attrs.frozen(kw_only=True)
class Plan:
    """What a disposal would erase, and what it would not reach; nothing is done yet.

    Attributes:
        vault: The open vault.
        assets: What would be erased, with digests taken now.
        limitations: What would go into the certificate.
        request: Reference of the request, or empty.
    """

    vault: "Vault"
    assets: tuple[DisposedAsset, ...]
    limitations: tuple[str, ...]
    request: str


@implements(evidences=("13.1", "13.2"), limits="It lists what the vault holds; it does not search for copies elsewhere.")
def plan(vault: "Vault", names: Iterable[str], *, request: str = "") -> Plan:
    """Prepare a disposal: read the assets once more for their digests, and say what an erasure will not reach.

    Args:
        vault: Where they are.
        names: Live assets.
        request: Reference of the request; never a person's name.

    Returns:
        The plan.

    Raises:
        DestroyedError: One of them is erased already.
        StateError: One was sealed anew meanwhile.
        StoreError: One is unknown, or a container is missing.
        TamperedError: A container does not authenticate.
        TypeError: One string was given instead of several.
        ValueError: No name, one twice, or a reference that a certificate cannot hold.
    """
    from lifeseal import signing

    if isinstance(names, str):
        raise TypeError("names must be several, such as [name]")
    wanted = tuple(names)
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError("at least one asset must be named, each once")
    _refuse_unwritable(request=request)
    assets = []
    for name in wanted:
        with vault.asset(name) as asset:
            root = signing.digest(asset).root
        info = next((info for info in vault.assets() if info.name == name), None)
        if info is None or (info.slot, info.generation) != (asset.slot, asset.generation):
            raise StateError(f"{name!r} was sealed anew while it was read; plan again")
        assets.append(
            DisposedAsset(
                name=name,
                sha256=bytes.fromhex(root.removeprefix("sha256:")),
                slot=info.slot,
                generation=info.generation,
                files=info.files,
                size=info.size,
                born_encrypted=info.born_encrypted,
            )
        )
    note(vault=vault.id, epoch=vault.epoch, assets=len(assets))
    return Plan(vault=vault, assets=tuple(assets), limitations=_limitations(vault, assets), request=request)


@implements(
    "13.1",
    "13.2",
    limits="Best effort where the root is a file; plaintext copies are not searched for, recipients' copies and derived models not reached.",
)
def dispose(plan: Plan, *, signer: Signer | None, sanitiser: str, custodian: str, trigger: Trigger) -> Certificate:
    """Erase the planned assets in one epoch, try to read each, and certify.

    Args:
        plan: From `plan`, of the vault as it is now.
        signer: Signs the certificate; None leaves it unsigned.
        sanitiser: Who carries it out.
        custodian: Data Custodian who is responsible.
        trigger: ``transfer``, ``decommission`` or ``subject-erasure``.

    Returns:
        The certificate; write it to a file. It says "completed" only if every asset was refused as destroyed afterwards, and the root holder
        has nothing left to destroy.

    Raises:
        StateError: An asset changed since it was planned, or was erased meanwhile; nothing was erased by this call. Or another process
            sealed it anew at the last moment, and that was erased; the message says so.
        StoreError: See `lifeseal.erasure.Vault.erase`.
        ValueError: An unknown trigger, or a name that is empty or that a certificate cannot hold; nothing was erased.
        OSError: The disk refused.
    """
    if trigger not in TRIGGERS:
        raise ValueError(f"trigger must be one of {', '.join(TRIGGERS)}, not {trigger!r}")
    if not sanitiser.strip() or not custodian.strip():
        raise ValueError("sanitiser= and custodian= must name somebody")
    _refuse_unwritable(sanitiser=sanitiser, custodian=custodian, request=plan.request)
    vault = plan.vault
    started = now()
    _refuse_stale(plan)
    digests = tuple(f"sha256:{asset.sha256.hex()}" for asset in plan.assets)
    announce(
        "lifeseal.disposal.dispose",
        ("uk-ai-cop:13.1", "uk-ai-cop:13.2"),
        vault=vault.id,
        epoch=vault.epoch,
        assets=digests,
        trigger=trigger,
        custodian=custodian,
        request=plan.request,
    )
    erasure = vault.erase([asset.name for asset in plan.assets])
    if [(gone.slot, gone.generation) for gone in erasure.slots] != [(asset.slot, asset.generation) for asset in plan.assets]:
        raise StateError(f"vault {vault.id}: erased at epoch {erasure.epoch_after}, but an asset had been sealed anew since the plan was checked")
    gone = [asset for asset in plan.assets if _refused(vault, asset.name)]
    disposal = Disposal(
        status="completed" if len(gone) == len(plan.assets) and not erasure.pending else "partial",
        trigger=trigger,
        sanitiser=sanitiser,
        custodian=custodian,
        request=plan.request,
        tool=f"lifeseal {__version__}",
        started=started,
        finished=now(),
        vault=vault.id,
        epoch_before=erasure.epoch_before,
        epoch_after=erasure.epoch_after,
        holder=vault.holder,
        assurance=erasure.assurance,
        irreversible_since=erasure.irreversible_since,
        assets=plan.assets,
        limitations=plan.limitations + _not_removed(erasure),
    )
    note(vault=vault.id, epoch=erasure.epoch_after, status=disposal.status, trigger=trigger)
    statement = disposal.to_statement()
    try:
        bundle = None if signer is None else sign_statement(statement, signer=signer)
    except Exception as error:
        error.add_note(f"the assets are erased (vault {vault.id}, epoch {erasure.epoch_after}); only the certificate is not signed")
        raise
    return Certificate(disposal=disposal, bundle=bundle)


@implements(
    evidences=("13.1", "13.2"),
    limits="It shows that this vault refuses the assets now; a copy of the vault together with an old root file would still open.",
)
def confirm(certificate: Certificate, vault: "Vault") -> None:
    """Compare a certificate with the vault it speaks of.

    Args:
        certificate: From `open_certificate`.
        vault: The same vault, open.

    Raises:
        PolicyError: It speaks of another vault, or an asset it names can be read.
        RolledBackError: The vault is older than the erasure: folder and root were restored from before.
    """
    disposal = certificate.disposal
    note(vault=disposal.vault, epoch=disposal.epoch_after)
    if vault.id != disposal.vault:
        raise PolicyError(f"the certificate is about vault {disposal.vault}, and this is vault {vault.id}")
    infos = {info.slot: info for info in vault.assets()}  # first: this learns the epoch in force
    if vault.epoch < disposal.epoch_after:
        raise RolledBackError(f"the vault is at epoch {vault.epoch}, before the erasure at {disposal.epoch_after}: it was restored")
    for asset in disposal.assets:
        info = infos.get(asset.slot)
        if info is None or (info.generation == asset.generation and info.state != "erased") or info.generation < asset.generation:
            raise PolicyError(f"{asset.name!r} (slot {asset.slot}) is not erased in this vault")


def _refuse_stale(plan: Plan) -> None:
    """Refuse a plan whose assets were erased or sealed anew since it was made."""
    infos = {info.name: info for info in plan.vault.assets()}
    for asset in plan.assets:
        info = infos.get(asset.name)
        if info is None or info.state != "live" or (info.slot, info.generation) != (asset.slot, asset.generation):
            raise DestroyedError(f"{asset.name!r} is not as it was planned; plan again")


def _refused(vault: "Vault", name: str) -> bool:
    """Try to read an erased asset; only "destroyed" counts, any other answer leaves the disposal partial."""
    try:
        vault.asset(name).close()
    except DestroyedError:
        return True
    except (LifesealError, OSError):
        return False
    return False


def _refuse_unwritable(**texts: str) -> None:
    """Refuse, before anything is erased, what a certificate could not be written or read with."""
    for name, text in texts.items():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{name}= is not valid Unicode") from None
        if len(text) > MAX_TEXT:
            raise ValueError(f"{name}= has {len(text)} characters, more than {MAX_TEXT}")


def _not_removed(erasure: "Erasure") -> tuple[str, ...]:
    """Say what of the vault's files outlived the erasure, which rests on the keys alone."""
    lines = []
    containers = [name for name in erasure.not_removed if name.startswith("objects/")]
    logs = [name for name in erasure.not_removed if name.startswith("log-")]
    if containers:
        lines.append(f"{len(containers)} containers could not be unlinked; without their keys they are unreadable.")
    if "objects" in erasure.not_removed:
        lines.append("The containers could not be listed, so none was unlinked; without their keys they are unreadable.")
    if logs:
        lines.append(f"{len(logs)} old node logs could not be unlinked; without the old root they are unreadable.")
    lines += [
        f"Before, the root lay in a holder of the kind {holder.kind}, until epoch {holder.until}; what is left of it: {holder.state}."
        for holder in erasure.holders[:-1]
    ]
    if erasure.pending:
        lines.append(f"Still to be destroyed: {len(erasure.pending)} key versions or earlier roots; until then the erasure is not final.")
    return tuple(lines)


def _limitations(vault: "Vault", assets: list[DisposedAsset]) -> tuple[str, ...]:
    plain = [asset.name for asset in assets if not asset.born_encrypted]
    lines = [
        f"Root of the kind {vault.holder}: earlier copies of it, and old disk blocks, open earlier copies of the vault; neither was searched for.",
        "No search for plaintext copies was made; swap, core dumps, caches and backups may hold some.",
        "Copies given to others, and models derived from these assets, are not reached.",
        "Times are this machine's clock.",
    ]
    if plain:
        lines.insert(1, f"Lay in plaintext before sealing, so the disk may still hold blocks of it: {', '.join(plain)}.")
    return tuple(lines)
