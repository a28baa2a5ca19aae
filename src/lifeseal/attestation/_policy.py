# SPDX-License-Identifier: Apache-2.0
"""Who signs and who is trusted: two protocols, and the one way to open a signed statement."""

import enum
from typing import Protocol

import attrs

from lifeseal.attestation._bundle import IN_TOTO, Bundle
from lifeseal.attestation._statement import Statement
from lifeseal.errors import FormatError, PolicyError, SignatureError


class Purpose(enum.Enum):
    """Kinds of signed document; each has a predicate type of its own, so that none passes for another."""

    MODEL = "https://model_signing/signature/v1.0"
    DATASET = "lifeseal:dataset/1"
    CERTIFICATE = "lifeseal:disposal/1"

    @property
    def predicate_type(self) -> str:
        """The predicate's type URI."""
        return self.value

    @property
    def label(self) -> str:
        """The kind in a word, for messages."""
        return self.name.lower()


@attrs.frozen(kw_only=True)
class SignerInfo:
    """Who signed, as far as the policy established it.

    Attributes:
        kind: ``key``.
        fingerprint: Hexadecimal SHA-256 of the public key's PEM form.
        name: What the policy calls the signer.
    """

    kind: str
    fingerprint: str
    name: str


class Signer(Protocol):
    """Makes signatures."""

    def sign(self, payload_type: str, payload: bytes) -> Bundle:
        """Sign a payload and put it in a bundle."""


class Policy(Protocol):
    """Decides whose signatures count."""

    def check(self, bundle: Bundle, *, purpose: Purpose) -> SignerInfo:
        """Verify the bundle's signature; return the signer or raise `UntrustedError`."""


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


def open_statement(bundle: Bundle, *, policy: Policy, purpose: Purpose, where: str = "bundle") -> tuple[Statement, SignerInfo]:
    """Verify a bundle and read its statement, in this order: payload type, signature, statement, predicate type.

    Args:
        bundle: The signed document.
        policy: Whose signatures count.
        purpose: The kind of document wanted; another kind is refused.
        where: Name for error messages.

    Returns:
        The statement and its signer.

    Raises:
        FormatError: The payload is not an in-toto statement.
        UntrustedError: The signature does not verify under the policy, or it signs another kind of document.
    """
    if bundle.envelope.payload_type != IN_TOTO:
        raise FormatError(where, f"payload type {IN_TOTO!r} was expected, not {bundle.envelope.payload_type[:80]!r}")
    try:
        signer = policy.check(bundle, purpose=purpose)
    except (PolicyError, SignatureError) as error:
        error.args = (f"{where}: {error}",)
        raise
    statement = Statement.from_bytes(bundle.envelope.payload, where=f"{where}, payload")
    if statement.predicate_type != purpose.predicate_type:
        raise PolicyError(
            f"{where}: signed for another use: predicate type {statement.predicate_type[:120]!r}, "
            f"where a {purpose.label} needs {purpose.predicate_type!r}"
        )
    return statement, signer
