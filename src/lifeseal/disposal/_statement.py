# SPDX-License-Identifier: Apache-2.0
"""What a certificate says, as an in-toto statement."""

from typing import Any, Self, cast

import attrs

from lifeseal._io import Record
from lifeseal.attestation import Purpose, Statement, Subject
from lifeseal.disposal._first_form import read_first_form
from lifeseal.disposal._json import from_json, to_json
from lifeseal.disposal._values import (
    KEY_STATES,
    Attempt,
    Derivative,
    DisposedAsset,
    HeldBy,
    KeyCopy,
    KnownDigests,
    Party,
    Removals,
    Searched,
    Stated,
    Status,
    Trigger,
    Vouched,
)
from lifeseal.errors import FormatError

SCHEMA = "lifeseal.disposal/2"
PURGE, NO_METHOD = "Purge", "none claimed"


@attrs.frozen(kw_only=True)
class Disposal:
    """What a certificate says.

    Attributes:
        status: ``completed``: every step was done and verified; ``pending``: the root holder has still to destroy something, or to answer;
            ``partial``: something can still be read, was left, or could not be looked at.
        reasons: Why it is not completed.
        trigger: Why: ``transfer``, ``decommission`` or ``subject-erasure``.
        request: Reference of the request, or empty; never a person's name.
        tool: Name and version of the program.
        started: UTC, RFC 3339, this machine's clock.
        finished: The same.
        sanitiser: Who carried it out.
        custodian: Data Custodian who is responsible.
        method: Of NIST SP 800-88: ``Purge`` where its conditions for cryptographic erasure hold as far as this program can tell, else
            ``none claimed``.
        techniques: What was done.
        algorithm: What the content was encrypted with; empty if it was not.
        key_bits: Strength of its keys; 0 if it was not.
        verification: How the result was checked.
        vault: Vault id, hexadecimal; empty if there was none.
        epoch_before: Epoch whose root opened the keys; 0 if there was no vault.
        epoch_after: Epoch that opens them no more; 0 if there was no vault.
        holders: Places that held the root while the assets lived; the one in force is the last.
        assurance: How far the old root can be trusted to be gone: that of the weakest holder.
        keys: Copies of the keys; the worst one decides.
        worst_key: State of the worst copy; empty if there was no key.
        irreversible_since: Earliest time from which no copy of the root that anybody stands for can be left, or ``unknown``.
        trials: Attempts to open what was erased.
        assets: What was disposed of.
        search: The search before; None if no places were given.
        second_search: The search after; None if no places were given, or it was not reached.
        removed: What became of plaintext files.
        derivatives: What was made from the assets, as far as the statements given tell, and not erased.
        manifests: Manifests among those given that still hold unkeyed digests.
        not_searched: Kinds of places that were not searched.
        stated: What people stated.
        approval: The second signer's; None if none was asked for.
        receipt: The recipient's, for a transfer; else None.
        journal: Head of the journal, hexadecimal; empty if none was kept.
        log_head: Head of the event log when this was written, hexadecimal; empty if none was kept.
        limitations: What the disposal does not reach.
    """

    status: Status
    reasons: tuple[str, ...]
    trigger: Trigger
    request: str
    tool: str
    started: str
    finished: str
    sanitiser: Party
    custodian: Party
    method: str
    techniques: tuple[str, ...]
    algorithm: str
    key_bits: int
    verification: str
    vault: str
    epoch_before: int
    epoch_after: int
    holders: tuple[HeldBy, ...]
    assurance: str
    keys: tuple[KeyCopy, ...]
    worst_key: str
    irreversible_since: str
    trials: tuple[Attempt, ...]
    assets: tuple[DisposedAsset, ...]
    search: Searched | None
    second_search: Searched | None
    removed: Removals
    derivatives: tuple[Derivative, ...]
    manifests: tuple[KnownDigests, ...]
    not_searched: tuple[str, ...]
    stated: Stated
    approval: Vouched | None
    receipt: Vouched | None
    journal: str
    log_head: str
    limitations: tuple[str, ...]

    @property
    def holder(self) -> str:
        """Kind of the place that holds the root; empty if there was no vault."""
        return self.holders[-1].kind if self.holders else ""

    def to_statement(self) -> Statement:
        """Write the in-toto statement."""
        return Statement(
            subjects=tuple(Subject(name=asset.name, sha256=asset.sha256) for asset in self.assets),
            predicate_type=Purpose.CERTIFICATE.predicate_type,
            predicate={"schema": SCHEMA, **to_json(self)},
        )

    @classmethod
    def from_statement(cls, statement: Statement, *, where: str) -> Self:
        """Read a statement's predicate strictly.

        Args:
            statement: With the disposal predicate type.
            where: Name for error messages.

        Returns:
            What it says.

        Raises:
            FormatError: It is no disposal, or contradicts itself.
            LimitError: A text or list in it is too long.
        """
        place = f"{where}, predicate"
        record = Record(statement.predicate, where=place)
        if "schema" not in record:
            return cls(**cast("dict[str, Any]", read_first_form(record, statement.subjects)))
        record.take_const("schema", SCHEMA)
        found = from_json(cls, {name: value for name, value in statement.predicate.items() if name != "schema"}, where=place)
        _refuse_contradictions(found, place)
        if [(asset.name, asset.sha256) for asset in found.assets] != [(subject.name, subject.sha256) for subject in statement.subjects]:
            raise FormatError(f"{place}, 'assets'", "the subjects, in their order, were expected")
        return found

    @property
    def unverified(self) -> bool:
        """Whether it says itself that something was not done, or not looked at."""
        opened = any(trial.answer == "opened" for trial in self.trials)
        open_key = self.worst_key in {"scheduled", "live"} or (self.worst_key == "handed-over" and self.trigger != "transfer")
        second = self.second_search
        found = second is not None and bool(second.copies or second.unread)
        return opened or open_key or found or (self.search is not None and second is None) or bool(self.removed.left)


def _refuse_contradictions(found: Disposal, where: str) -> None:
    """Refuse what says two things at once; a reader must not have to choose."""
    keyed = any(asset.kind != "plaintext" for asset in found.assets)
    worst = max((key.state for key in found.keys), key=KEY_STATES.index, default="")
    checks = (
        (bool(found.assets), "'assets'", "at least one was expected"),
        (all((asset.slot is None) == (asset.generation is None) for asset in found.assets), "'assets'", "a slot with its generation was expected"),
        (
            keyed == bool(found.vault) == bool(found.holders) == bool(found.keys),
            "'vault'",
            "one, with holders and keys, exactly where there are keys",
        ),
        (
            found.epoch_after > found.epoch_before if keyed else not found.epoch_after,
            "'epoch_after'",
            "a later epoch than 'epoch_before' was expected",
        ),
        (found.method in {PURGE, NO_METHOD}, "'method'", "a known one was expected"),
        (found.method != PURGE or _purged(found), "'method'", "Purge was not expected where its conditions do not hold"),
        (found.worst_key == worst, "'worst_key'", f"{worst!r} was expected, which the worst of 'keys' has"),
        ((found.status == "completed") == (not found.reasons), "'status'", "'completed' without reasons, or another with some, was expected"),
        (found.status != "completed" or not found.unverified, "'status'", "'completed' was not expected beside something that is not"),
    )
    for holds, field, wanted in checks:
        if not holds:
            raise FormatError(f"{where}, {field}", wanted)


def _purged(found: Disposal) -> bool:
    born = all(asset.kind == "sealed" and asset.born_encrypted for asset in found.assets)
    return found.status == "completed" and found.worst_key == "destroyed" and born
