# SPDX-License-Identifier: Apache-2.0
"""A co-signature: a statement about a certificate, by its digest, that says in which role somebody put a name to it."""

from typing import get_args

import attrs

from lifeseal._io import Record
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
    parse_digest,
    sign_statement,
)
from lifeseal.disposal._json import from_json, to_json
from lifeseal.disposal._values import ROLES, Party, Role
from lifeseal.errors import FormatError
from lifeseal.principles import now


@attrs.frozen(kw_only=True)
class Cosignature:
    """Who else put a name to a certificate.

    Attributes:
        role: ``verifier`` or ``custodian``.
        party: Who that is, as they say.
        time: UTC, RFC 3339, of the machine that signed.
        certificate: Digest of the certificate's payload, ``sha256:…``.
        bundle: The signed form.
        signer: Who signed, as a policy established it; None until `open_certificate` has checked it.
    """

    role: Role
    party: Party
    time: str
    certificate: str
    bundle: Bundle
    signer: SignerInfo | None = None


def sign_cosignature(certificate: str, *, signer: Signer, role: Role, party: Party) -> Cosignature:
    """Sign in a role; see `Certificate.cosign`."""
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}, not {role!r}")
    if not party.name.strip():
        raise ValueError("party= must name somebody")
    statement = Statement(
        subjects=(Subject(name=role, sha256=parse_digest(certificate)),),
        predicate_type=Purpose.COSIGNATURE.predicate_type,
        predicate={"party": to_json(party), "time": now()},
    )
    return read_cosignature(sign_statement(statement, signer=signer).to_bytes(), where="co-signature")


def read_cosignature(data: bytes, *, where: str) -> Cosignature:
    """Read a co-signature that nobody has vouched for yet.

    Args:
        data: One line of a certificate's file.
        where: Name for error messages.

    Returns:
        The co-signature.

    Raises:
        FormatError: It is none.
    """
    bundle = Bundle.from_bytes(data, where=where)
    statement = Statement.from_bytes(bundle.envelope.payload, where=where)
    if statement.predicate_type != Purpose.COSIGNATURE.predicate_type:
        raise FormatError(where, f"a co-signature was expected, not {statement.predicate_type[:120]!r}")
    return _from_statement(statement, bundle, where=where)


def open_cosignature(found: Cosignature, *, policy: Policy, withdrawals: Withdrawals | None, where: str) -> Cosignature:
    """Check who co-signed.

    Args:
        found: As it was read.
        policy: Whose co-signatures count in its role.
        withdrawals: Refuses signers from a time on.
        where: Name for error messages.

    Returns:
        The same with its signer.

    Raises:
        UntrustedError: The signature does not verify under the policy.
        WithdrawnError: The signer was withdrawn.
    """
    place = f"{where}, co-signature of the {found.role}"
    statement, signer = open_statement(found.bundle, policy=policy, purpose=Purpose.COSIGNATURE, where=place, withdrawals=withdrawals)
    return attrs.evolve(_from_statement(statement, found.bundle, where=place), signer=signer)


def _from_statement(statement: Statement, bundle: Bundle, *, where: str) -> Cosignature:
    record = Record(statement.predicate, where=f"{where}, predicate")
    party = from_json(Party, record.take("party"), where=record.at("party"))
    time = record.take_str("time", max_length=64)
    record.done()
    subject, *more = statement.subjects
    if more or subject.name not in get_args(Role):
        raise FormatError(f"{where}, 'subject'", "one, named verifier or custodian, was expected")
    role: Role = "verifier" if subject.name == "verifier" else "custodian"
    return Cosignature(role=role, party=party, time=time, certificate=subject.digest, bundle=bundle)
