# SPDX-License-Identifier: Apache-2.0
"""Carrying out a plan, and going on with one that was interrupted."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import ProgressCallback, StrPath
from lifeseal.attestation import Signer, Statement, sign_statement
from lifeseal.disposal import _sought
from lifeseal.disposal._begun import Begun
from lifeseal.disposal._certificate import Certificate
from lifeseal.disposal._journal import SCHEMA, Journal
from lifeseal.disposal._json import from_json, to_json
from lifeseal.disposal._plan import Plan, refuse_unwritable
from lifeseal.disposal._statement import Disposal
from lifeseal.disposal._steps import Run, carry_out
from lifeseal.disposal._values import TRIGGERS, Party, Stated, Trigger
from lifeseal.disposal._vouched import Approval, Receipt
from lifeseal.errors import DestroyedError, PolicyError
from lifeseal.principles import Fact, announce, implements, note, now

if TYPE_CHECKING:
    from lifeseal.erasure import Vault

_LIMITS = "Best effort where the root is a file; plaintext beyond the places searched, recipients' copies and derived models are not reached."
_PROVISIONS = ("uk-ai-cop:13.1", "uk-ai-cop:13.2")


@implements("13.1", "13.2", limits=_LIMITS)
def dispose(
    plan: Plan,
    *,
    signer: Signer | None,
    sanitiser: str | Party,
    custodian: str | Party,
    trigger: Trigger,
    stated: Stated | None = None,
    approval: Approval | None = None,
    receipt: Receipt | None = None,
    journal: StrPath | None = None,
    progress: ProgressCallback = None,
) -> Certificate:
    """Carry out a plan: unlink plaintext, erase in one epoch, try to read, search again, and certify.

    Args:
        plan: From `plan`, of things as they are now.
        signer: Signs the certificate; None leaves it unsigned.
        sanitiser: Who carries it out.
        custodian: Data Custodian who is responsible.
        trigger: ``transfer``, ``decommission`` or ``subject-erasure``.
        stated: What only people can know.
        approval: A second signer's, of exactly this plan; None does not ask for one.
        receipt: The recipient's, of all that goes; for a transfer it must be there.
        journal: A new file that `resume` goes on from, if this is interrupted or cannot be completed now; it holds no key. None keeps none.
        progress: Called now and then; raising from it stops the work, which `resume` goes on with.

    Returns:
        The certificate; write it to a file. Its status is "completed" only if every asset was refused as destroyed afterwards, the root
        holder has nothing left to destroy, no other asset of the vault holds the same, and the second search found nothing and could judge
        everything.

    Raises:
        FileExistsError: A disposal was begun with that journal.
        PolicyError: The approval is of another plan, or by the signer; the receipt does not cover everything, or is by the signer; nothing was done.
        StateError: Something changed since it was planned, or was erased meanwhile; nothing was done by this call. Or another process
            sealed an asset anew at the last moment, and that was erased; the message says so.
        StoreError: See `lifeseal.erasure.Vault.erase`; `resume` goes on.
        ValueError: An unknown trigger, a name that is empty or that a certificate cannot hold, a transfer without receipt; nothing was done.
        OSError: The disk refused; `resume` goes on.
    """
    if trigger not in TRIGGERS:
        raise ValueError(f"trigger must be one of {', '.join(TRIGGERS)}, not {trigger!r}")
    parties = _party("sanitiser", sanitiser), _party("custodian", custodian)
    _refuse_unfounded(plan, signer, trigger, approval, receipt)
    _refuse_stale(plan)
    path = None if journal is None else Path(journal)
    with Journal.start(path) as kept:
        begun = Begun.of(
            plan,
            started=now(),
            trigger=trigger,
            sanitiser=parties[0],
            custodian=parties[1],
            stated=stated or Stated(),
            approval=None if approval is None else approval.to_vouched(),
            receipt=None if receipt is None else receipt.to_vouched(),
            signed=signer is not None,
        )
        _announce("dispose", begun, plan.vault)
        if plan.wanted is not None and path is not None:
            begun = attrs.evolve(begun, sought=_sought.keep(plan.wanted, path))
        kept.add("planned", schema=SCHEMA, begun=to_json(begun))
        run = Run(journal=kept, begun=begun, vault=plan.vault, wanted=plan.wanted, people=plan.people, progress=progress)
        return _sign(carry_out(run), signer)


@implements("13.1", "13.2", limits=_LIMITS)
def resume(
    journal: StrPath, *, vault: "Vault | None", signer: Signer | None, subjects: Iterable[str] = (), progress: ProgressCallback = None
) -> Certificate:
    """Go on with a disposal that was interrupted, or is pending or partial; nothing is done twice, and nothing left out.

    What was unlinked and erased stays so. What can have changed is looked at again: the holder is asked to finish, everything erased is tried
    once more, and the places are searched again. A disposal that is completed gives its certificate again.

    Args:
        journal: Of the disposal.
        vault: The same vault, open; None if there was none.
        signer: Signs the certificate; None if it was to be unsigned.
        subjects: Ids of the people, if the erasure of their records has not happened yet.
        progress: As for `dispose`.

    Returns:
        The certificate.

    Raises:
        FormatError: That is no journal.
        LockedError: Another process is at it.
        PolicyError: The vault is another one, or the people are others.
        StateError: An asset is neither live nor erased as the journal says.
        StoreError: See `lifeseal.erasure.Vault.erase`; call this again.
        TamperedError: The journal was edited.
        ValueError: A signer where none was meant to be, or none where one was; or people are missing.
        OSError: A file cannot be read or written; call this again.
    """
    with Journal.go_on(journal) as kept:
        (first, *_) = kept.of("planned")
        begun = from_json(Begun, first.take("begun"), where=first.at("begun"))
        if begun.signed != (signer is not None):
            raise ValueError(f"signer= was {'given' if begun.signed else 'None'} when this disposal was begun")
        if vault is not None and not begun.vault:
            vault = None
        if begun.vault and (vault is None or vault.id != begun.vault):
            raise PolicyError(f"the journal is about vault {begun.vault}, and this is {'none' if vault is None else f'vault {vault.id}'}")
        done = kept.of("certified")
        if done and done[-1].take("status") == "completed":
            note(vault=begun.vault, status="completed")
            return _sign(_certified(done[-1].take("statement"), where=str(journal)), signer)
        _announce("resume", begun, vault)
        wanted = _sought.recall(Path(journal), begun.sought) if begun.sought else None
        run = Run(journal=kept, begun=begun, vault=vault, wanted=wanted, people=tuple(subjects), progress=progress)
        return _sign(carry_out(run), signer)


@implements(evidences=("13.1", "13.2"), limits="It reads what a journal was begun with, and verifies nothing of what was done since.")
def under_way(journal: StrPath) -> Begun | None:
    """Tell which disposal a journal is about.

    Args:
        journal: The file.

    Returns:
        What it was begun with; None if there is no such file.

    Raises:
        FormatError: It is no journal.
        LockedError: A process is at it.
        TamperedError: It was edited.
        OSError: It cannot be read.
    """
    if not Path(journal).exists():
        return None
    with Journal.go_on(journal) as kept:
        (first, *_) = kept.of("planned")
        return from_json(Begun, first.take("begun"), where=first.at("begun"))


def _certified(statement: object, *, where: str) -> Disposal:
    from lifeseal._io import canonical

    return Disposal.from_statement(Statement.from_bytes(canonical(statement), where=where), where=where)


def _sign(disposal: Disposal, signer: Signer | None) -> Certificate:
    try:
        bundle = None if signer is None else sign_statement(disposal.to_statement(), signer=signer)
    except Exception as error:
        done = f"the assets are erased (vault {disposal.vault}, epoch {disposal.epoch_after})" if disposal.vault else "the files are unlinked"
        error.add_note(f"{done}; only the certificate is not signed")
        raise
    return Certificate(disposal=disposal, bundle=bundle)


def _party(what: str, given: str | Party) -> Party:
    party = Party(name=given) if isinstance(given, str) else given
    if not party.name.strip():
        raise ValueError(f"{what}= must name somebody")
    refuse_unwritable(**{what: party.name}, title=party.title, organisation=party.organisation, location=party.location, contact=party.contact)
    return party


def _refuse_unfounded(plan: Plan, signer: Signer | None, trigger: Trigger, approval: Approval | None, receipt: Receipt | None) -> None:
    """Refuse a disposal that others have not consented to as they should have."""
    own = _keys_of(signer)
    if approval is not None:
        if approval.order != plan.digest:
            raise PolicyError(f"the approval is of order {approval.order}, and this plan is {plan.digest}; nothing was done")
        if approval.signer.fingerprint in own or approval.signer.key in own:
            raise PolicyError("the approval is by the key that signs the certificate; a second signer was asked for")
    if trigger == "transfer" and receipt is None:
        raise ValueError("a transfer needs the recipient's receipt; nothing was done")
    if receipt is not None:
        missing = [asset.name for asset in plan.assets if f"sha256:{asset.sha256.hex()}" not in receipt.digests]
        if missing:
            raise PolicyError(f"the receipt does not cover {missing[0]!r}; nothing was done")
        if receipt.signer.fingerprint in own or receipt.signer.key in own:
            raise PolicyError("the receipt is by the key that signs the certificate; it is the recipient's to sign")


def _keys_of(signer: Signer | None) -> frozenset[str]:
    """Name a signer as far as it tells, for the comparison with others; a keyless one does not before it has signed."""
    public = getattr(signer, "public", signer)
    return frozenset(filter(None, (str(getattr(public, "fingerprint", "")), str(getattr(signer, "fingerprint", "")))))


def _refuse_stale(plan: Plan) -> None:
    """Refuse a plan whose assets were erased or sealed anew since it was made."""
    keyed = [asset for asset in plan.assets if asset.slot is not None and asset.generation is not None]
    if plan.vault is None or not keyed:
        return
    from lifeseal.erasure import ErasedSlot

    slots = [ErasedSlot(slot=asset.slot or 0, generation=asset.generation or 0) for asset in keyed]
    for asset, (state, _) in zip(keyed, plan.vault.trials.states(slots), strict=True):
        if state != "live":
            raise DestroyedError(f"{asset.name!r} is not as it was planned; plan again")


def _announce(what: str, begun: Begun, vault: "Vault | None") -> None:
    digests = tuple(f"sha256:{asset.sha256.hex()}" for asset in begun.assets)
    facts: dict[str, Fact] = {"vault": begun.vault, "epoch": 0 if vault is None else vault.epoch, "assets": digests}
    announce(
        f"lifeseal.disposal.{what}",
        _PROVISIONS,
        **facts,
        trigger=begun.trigger,
        custodian=begun.custodian.name,
        request=begun.request,
        order=begun.order,
    )
