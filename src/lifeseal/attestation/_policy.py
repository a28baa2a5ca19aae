# SPDX-License-Identifier: Apache-2.0
"""Who signs and who is trusted: two protocols, and the one way to open a signed statement."""

import datetime as dt
import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from lifeseal.attestation._bundle import IN_TOTO, Bundle, Envelope
from lifeseal.attestation._statement import Statement
from lifeseal.errors import FormatError, LimitError, PolicyError, SignatureError, UntrustedError, WithdrawnError

if TYPE_CHECKING:
    from lifeseal.attestation._waiver import Waiver
    from lifeseal.attestation._withdrawals import Withdrawals


class Purpose(enum.Enum):
    """Kinds of signed document; each has a predicate type of its own, so that none passes for another."""

    MODEL = "https://model_signing/signature/v1.0"
    DATASET = "lifeseal:dataset/1"
    CERTIFICATE = "lifeseal:disposal/1"
    HAND_OVER = "lifeseal:hand-over/1"
    COSIGNATURE = "lifeseal:cosignature/1"
    APPROVAL = "lifeseal:approval/1"
    RECEIPT = "lifeseal:receipt/1"
    LOG_HEAD = "lifeseal:log-head/1"
    RELEASE = "lifeseal:release/1"
    VERIFICATION = "https://in-toto.io/attestation/svr/v0.2"
    ATTRIBUTES = "https://in-toto.io/attestation/scai/v0.3"
    TESTS = "https://in-toto.io/attestation/test-result/v0.1"
    WAIVER = "lifeseal:waiver/1"
    WITHDRAWAL_LIST = "lifeseal:withdrawals/1"
    TRAINING = "https://slsa.dev/provenance/v1"

    @property
    def predicate_type(self) -> str:
        """The predicate's type URI."""
        return self.value

    @property
    def label(self) -> str:
        """The kind in words, for messages."""
        return self.name.lower().replace("_", " ")

    @property
    def word(self) -> str:
        """The kind in one word, for policy files."""
        return self.name.lower().replace("_", "-")


@attrs.frozen(kw_only=True)
class SignerInfo:
    """Who signed, as far as the policy established it.

    Attributes:
        kind: ``key``, ``certificate``, or ``several`` where more than one signature was needed.
        fingerprint: Of a key: hexadecimal SHA-256 of its PEM form. Of a certificate: of its DER form. Of several: joined by ``+``.
        key: Hexadecimal SHA-256 of the PEM form of the key that signed, whatever vouches for it; of several: joined by ``+``.
        name: What the policy calls the signer.
        time: A time, UTC, at which the signature is known to have existed: the earliest trusted timestamp, its accuracy added; None if there is none.
        clause: The part of the policy that accepted the signature.
        notes: What was not consulted, or was there and was not trusted.
        certificates: Hexadecimal SHA-256 of the signed part (TBSCertificate, DER) of each certificate on the path found, the signer's first.
        withdrawn: Why the signer counts only because a waiver says so; empty if it does not need one.
    """

    kind: str
    fingerprint: str
    key: str
    name: str
    time: dt.datetime | None = None
    clause: str = ""
    notes: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    withdrawn: str = ""


class Signer(Protocol):
    """Makes signatures."""

    def sign(self, payload_type: str, payload: bytes) -> Bundle:
        """Sign a payload and put it in a bundle."""


class Timestamper(Protocol):
    """Attests when a signature was there."""

    def stamp(self, bundle: Bundle) -> Bundle:
        """Return the bundle with a timestamp over its signature."""


class Policy(Protocol):
    """Decides whose signatures count."""

    def check(self, bundles: Sequence[Bundle], *, purpose: Purpose, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
        """Verify signatures over one payload; return who signed, or raise `UntrustedError`.

        The bundles have the same payload and payload type. A policy that needs one signature accepts any of them. A signature by a signer
        whom ``withdrawals`` refuses does not count.
        """


def first_accepted(bundles: Sequence[Bundle], check: Callable[[Bundle], SignerInfo], *, withdrawals: "Withdrawals | None" = None) -> SignerInfo:
    """Return the first signer that a check accepts and that was not withdrawn, or raise what was said of the last bundle, or of one that was.

    Args:
        bundles: At least one.
        check: Returns the signer or raises `UntrustedError`.
        withdrawals: Who was withdrawn.

    Returns:
        The signer.

    Raises:
        UntrustedError: None was accepted.
        ValueError: There is no bundle.
    """
    failure: Exception = ValueError("at least one bundle was expected")
    for bundle in bundles:
        try:
            signer = check(bundle)
            if withdrawals is not None:
                withdrawals.check_signer(signer)
        except UntrustedError as error:
            failure = failure if isinstance(failure, WithdrawnError) else error
        else:
            return signer
    raise failure


def sign_statement(statement: Statement, *, signer: Signer) -> Bundle:
    """Sign an in-toto statement.

    Args:
        statement: What to say.
        signer: Who says it.

    Returns:
        The bundle.

    Raises:
        LimitError: The statement is larger than 128 MiB.
    """
    return signer.sign(IN_TOTO, statement.to_bytes())


def open_statement(
    signed: Bundle | Sequence[Bundle],
    *,
    policy: Policy,
    purpose: Purpose,
    where: str = "bundle",
    withdrawals: "Withdrawals | None" = None,
    waiver: "Waiver | None" = None,
) -> tuple[Statement, SignerInfo]:
    """Verify signatures and read their one statement, in this order: payload type, signature, statement, predicate type.

    Args:
        signed: The signed document: one bundle, or several over the very same bytes.
        policy: Whose signatures count.
        purpose: The kind of document wanted; another kind is refused.
        where: Name for error messages.
        withdrawals: Whose signatures no longer count. What was withdrawn by its digest is for the caller to compare.
        waiver: Lets a signer pass whom only the withdrawals refuse, if it covers every subject for the fault ``withdrawn``.

    Returns:
        The statement and its signer.

    Raises:
        FormatError: The payload is not an in-toto statement.
        UntrustedError: The signature does not verify under the policy, it signs another kind of document, the bundles sign different bytes, the
            signer was withdrawn, or the list of withdrawals has expired.
    """
    bundles = (signed,) if isinstance(signed, Bundle) else tuple(signed)
    envelope = bundles[0].envelope
    if envelope.payload_type != IN_TOTO:
        raise FormatError(where, f"payload type {IN_TOTO!r} was expected, not {envelope.payload_type[:80]!r}")
    if any(other.envelope.signed_bytes != envelope.signed_bytes for other in bundles[1:]):
        raise PolicyError(f"{where}: the signatures are over different payloads, so they do not count together")
    if withdrawals is not None:
        withdrawals.refuse_expired()
    try:
        signer = _judge(bundles, policy, purpose, withdrawals)
        statement = read_statement(envelope, purpose)
    except (PolicyError, SignatureError) as error:
        error.args = (f"{where}: {error}",)
        raise
    except FormatError as error:
        raise FormatError(f"{where}, {error.where}", error.wanted) from None
    except LimitError as error:
        error.args = (f"{where}, {error}",)
        raise
    if signer.withdrawn:
        waive_withdrawn(signer.withdrawn, [subject.digest for subject in statement.subjects], waiver, where=where)
    return statement, signer


def read_statement(envelope: Envelope, purpose: Purpose) -> Statement:
    """Read what was signed. Call it when a signature has been verified.

    Args:
        envelope: Holds the statement.
        purpose: The kind of document wanted; another kind is refused.

    Returns:
        The statement.

    Raises:
        FormatError: It is no statement.
        LimitError: It is larger than 128 MiB.
        PolicyError: It is of another kind.
    """
    statement = Statement.from_bytes(envelope.payload, where="payload")
    if statement.predicate_type != purpose.predicate_type:
        raise PolicyError(
            f"signed for another use: predicate type {statement.predicate_type[:120]!r}, where a {purpose.label} needs {purpose.predicate_type!r}"
        )
    return statement


def _judge(bundles: Sequence[Bundle], policy: Policy, purpose: Purpose, withdrawals: "Withdrawals | None") -> SignerInfo:
    """Ask the policy; if it refuses and would not without the withdrawals, say that they are why."""
    try:
        return policy.check(bundles, purpose=purpose, withdrawals=withdrawals)
    except UntrustedError as refused:
        if withdrawals is None:
            raise
        try:
            signer = policy.check(bundles, purpose=purpose)
        except UntrustedError:
            raise refused from None
        return attrs.evolve(signer, withdrawn=str(refused))


def waive_withdrawn(reason: str, digests: Sequence[str], waiver: "Waiver | None", *, where: str) -> None:
    """Refuse what was withdrawn, unless a waiver covers it.

    Args:
        reason: Why it was withdrawn.
        digests: What the waiver must cover, all of it.
        waiver: The waiver, or None.
        where: Name for error messages.

    Raises:
        WithdrawnError: There is no waiver, or it does not cover this.
    """
    if waiver is None:
        raise WithdrawnError(f"{where}: {reason}")
    try:
        for digest in digests:
            waiver.check(digest, "withdrawn")
    except PolicyError as error:
        raise WithdrawnError(f"{where}: {reason}; {error}") from None
