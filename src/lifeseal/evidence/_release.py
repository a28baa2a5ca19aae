# SPDX-License-Identifier: Apache-2.0
"""The release record: what a model is for, what is known against it, which results it rests on; signed, and good until its next review."""

import datetime as dt
import hashlib
import os
from collections.abc import Iterable
from typing import Any

import attrs

from lifeseal._io import Record, StrPath, parse_hex
from lifeseal.attestation import (
    Bundle,
    Policy,
    Purpose,
    Signer,
    SignerInfo,
    Statement,
    Subject,
    Withdrawals,
    open_statement,
    parse_time,
    sign_statement,
)
from lifeseal.errors import FormatError, PolicyError, RolledBackError
from lifeseal.evidence._heads import check_head
from lifeseal.principles import implements, note

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_MAX_TEXT = 16 << 10
_TEXTS = ("name", "version", "intended_use", "retention", "maintenance")
_LISTS = ("training_data", "limitations", "failure_modes", "guardrails", "open_risks")


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class TestEvidence:
    """Results that a release rests on.

    Attributes:
        digest: Hexadecimal SHA-256 of the signed statement's payload.
        result: ``PASSED`` or ``WARNED``.
    """

    digest: str
    result: str


@attrs.frozen(kw_only=True)
class Release:
    """What a release record says.

    Attributes:
        subject: The model's name and root digest.
        name: What the model is called.
        version: For people.
        number: Grows with each release; an older one can be told by it.
        intended_use: Scope.
        training_data: Sources.
        limitations: What it is not good for.
        failure_modes: How it is known to fail.
        guardrails: What holds it within its scope.
        retention: How long model and data are kept, and what happens then.
        maintenance: Who maintains it, and how updates come.
        open_risks: Risks that were left open.
        datasets: Names and digests of the manifests of its data.
        results: Tests of this very digest.
        log_head: Head of the event log at the release, hexadecimal, or empty; see `current_head`.
        released: When, UTC; the signer's clock.
        next_review: Until when it holds, UTC.
    """

    subject: Subject
    name: str
    version: str
    number: int
    intended_use: str
    training_data: tuple[str, ...] = attrs.field(converter=_strings)
    limitations: tuple[str, ...] = attrs.field(converter=_strings)
    failure_modes: tuple[str, ...] = attrs.field(converter=_strings)
    guardrails: tuple[str, ...] = attrs.field(converter=_strings)
    retention: str
    maintenance: str
    open_risks: tuple[str, ...] = attrs.field(converter=_strings, default=())
    datasets: tuple[Subject, ...] = ()
    results: tuple[TestEvidence, ...] = ()
    log_head: str = ""
    released: dt.datetime
    next_review: dt.datetime

    def __attrs_post_init__(self) -> None:
        if not all(getattr(self, field).strip() for field in _TEXTS) or not self.training_data or not self.limitations:
            raise ValueError(f"a release says something under each of {', '.join(_TEXTS)}, training_data and limitations")
        if self.released.tzinfo is None or self.next_review.tzinfo is None or self.next_review <= self.released:
            raise ValueError("released= and next_review= need a time zone, and the review comes later")
        if self.number < 1:
            raise ValueError("number= is at least 1")
        check_head(self.log_head)

    @property
    def expect(self) -> str:
        """The model's root digest, for ``expect=`` of `lifeseal.signing.open_model`."""
        return self.subject.digest

    def to_statement(self) -> Statement:
        """Write the in-toto statement."""
        predicate: dict[str, object] = {field: getattr(self, field) for field in _TEXTS}
        predicate |= {field: list(getattr(self, field)) for field in _LISTS}
        predicate |= {
            "number": self.number,
            "datasets": [{"name": one.name, "sha256": one.sha256.hex()} for one in self.datasets],
            "results": [attrs.asdict(one) for one in self.results],
            "log_head": self.log_head,
            "released": self.released.astimezone(dt.UTC).strftime(_TIME),
            "next_review": self.next_review.astimezone(dt.UTC).strftime(_TIME),
        }
        return Statement(subjects=(self.subject,), predicate_type=Purpose.RELEASE.predicate_type, predicate=predicate)

    @classmethod
    def from_statement(cls, statement: Statement, *, where: str) -> "Release":
        """Read a statement's predicate strictly.

        Args:
            statement: With the predicate type of a release.
            where: Name for error messages.

        Returns:
            What it says.

        Raises:
            FormatError: It is no release record.
        """
        record = Record(statement.predicate, where=f"{where}, predicate")
        fields: dict[str, Any] = {field: record.take_str(field, max_length=_MAX_TEXT) for field in _TEXTS}
        fields |= {field: record.take_strs(field) for field in _LISTS}
        number, head = record.take_int("number", low=1), record.take_str("log_head")
        datasets = tuple(_dataset(item, where=record.at("datasets")) for item in record.take_list("datasets"))
        results = tuple(_result(item, where=record.at("results")) for item in record.take_list("results"))
        fields |= {field: parse_time(record.take_str(field, max_length=32), where=record.at(field)) for field in ("released", "next_review")}
        record.done()
        if len(statement.subjects) != 1:
            raise FormatError(where, f"exactly one subject was expected, not {len(statement.subjects)}")
        try:
            if head:
                parse_hex(head, length=32, where=record.at("log_head"))
            return cls(subject=statement.subjects[0], number=number, log_head=head, datasets=datasets, results=results, **fields)
        except ValueError as error:
            raise FormatError(record.where, str(error)) from None


@implements(
    "8.1.1",
    evidences=("8.1", "3.2", "9.3", "11.1", "11.2"),
    limits="It holds what its signer states; whether the statements are true, and the tests the right ones, it cannot tell.",
)
def release(record: Release, *, signer: Signer, results: Iterable[Bundle] = ()) -> Bundle:
    """Sign a release record that rests on test results.

    Args:
        record: What to state; its ``results`` are filled in from the argument.
        signer: Who answers for it.
        results: Statements from `attest_tests` about this very digest; another model's results do not count, and neither do failed ones.

    Returns:
        The signed record.

    Raises:
        FormatError: A result is no such statement.
        PolicyError: A result is of another digest, or failed.
    """
    found = tuple(_evidence(bundle, record.subject) for bundle in results)
    record = attrs.evolve(record, results=found)
    note(subject=record.subject.digest, version=record.version, number=record.number, results=len(found), risks=len(record.open_risks))
    return sign_statement(record.to_statement(), signer=signer)


@implements(
    evidences=("7.3", "9.2", "11.1", "11.2"),
    limits="It checks who released, until when, and that results are named; it does not repeat a test.",
)
def open_release(
    path: StrPath,
    *,
    policy: Policy,
    withdrawals: Withdrawals | None = None,
    at_least: int = 1,
    without_results: bool = False,
    now: dt.datetime | None = None,
) -> tuple[Release, SignerInfo]:
    """Read a release that somebody trusted signed and that is still good.

    Hand its ``expect`` to `lifeseal.signing.open_model`: then only the released model is loaded, and a new one needs a new release.

    Args:
        path: The file.
        policy: Whose signatures count; there is no default.
        withdrawals: Refuses signers from a time on, and releases of models that were withdrawn.
        at_least: The smallest number accepted; keep the last one seen.
        without_results: Accept a release that rests on no test.
        now: The time to judge by, with a time zone; by default this machine's clock.

    Returns:
        The release and its signer.

    Raises:
        FormatError: It is no release record.
        LimitError: It is larger than a bundle may be.
        OSError: It cannot be read.
        RolledBackError: Its number is smaller.
        UntrustedError: The signature does not verify under the policy, its review is due, or it rests on no test.
        WithdrawnError: The signer or the model was withdrawn.
    """
    where = os.fspath(path)
    statement, signer = open_statement(Bundle.load(path), policy=policy, purpose=Purpose.RELEASE, where=where, withdrawals=withdrawals)
    found = Release.from_statement(statement, where=where)
    note(subject=found.subject.digest, version=found.version, number=found.number, signer=signer.fingerprint)
    if withdrawals is not None:
        withdrawals.check_artefact(found.subject.digest, where=where)
    if found.number < at_least:
        raise RolledBackError(f"{where}: release number {found.number}, and at least {at_least} was expected: an older one")
    if (now or dt.datetime.now(dt.UTC)) >= found.next_review:
        raise PolicyError(f"{where}: its review was due at {found.next_review.strftime(_TIME)}; ask {signer.name} for a new release")
    if not found.results and not without_results:
        raise PolicyError(f"{where}: it rests on no test of this model")
    return found, signer


def _evidence(bundle: Bundle, subject: Subject) -> TestEvidence:
    statement = Statement.from_bytes(bundle.envelope.payload, where="result")
    if statement.predicate_type != Purpose.TESTS.predicate_type:
        raise FormatError("result", f"predicate type {Purpose.TESTS.predicate_type!r} was expected, not {statement.predicate_type[:120]!r}")
    if [one.sha256 for one in statement.subjects] != [subject.sha256]:
        raise PolicyError(f"these results are not of {subject.digest}: a new model needs new results")
    result = str(statement.predicate.get("result"))
    if result not in {"PASSED", "WARNED"}:
        raise PolicyError(f"the tests of {subject.digest} ended as {result[:40]!r}; a release rests on tests that passed")
    return TestEvidence(digest=hashlib.sha256(bundle.envelope.payload).hexdigest(), result=result)


def _dataset(item: object, *, where: str) -> Subject:
    record = Record(item, where=where)
    found = Subject(name=record.take_str("name", max_length=4096), sha256=record.take_hex("sha256", length=32))
    record.done()
    return found


def _result(item: object, *, where: str) -> TestEvidence:
    record = Record(item, where=where)
    found = TestEvidence(digest=record.take_hex("digest", length=32).hex(), result=record.take_str("result", max_length=16))
    record.done()
    if found.result not in {"PASSED", "WARNED"}:
        raise FormatError(where, f"result PASSED or WARNED was expected, not {found.result!r}")
    return found
