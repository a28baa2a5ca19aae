# SPDX-License-Identifier: Apache-2.0
"""Signed heads: what a log said last, vouched for, to be kept elsewhere; alone, or in what is signed anyway."""

import os
import re
from pathlib import Path

import attrs

from lifeseal._io import Record, StrPath, parse_hex, read_bounded
from lifeseal.attestation import Bundle, Policy, Purpose, Signer, SignerInfo, Statement, Subject, Withdrawals, open_statement, sign_statement
from lifeseal.errors import FormatError
from lifeseal.evidence._read import verify
from lifeseal.principles import implements, note, now


@attrs.frozen(kw_only=True)
class Head:
    """The hash of a log's last line, as somebody signed it.

    Attributes:
        value: Hexadecimal SHA-256; give it to `verify`.
        log: Name of the log's file; informational, and empty where the head stands in another document.
        events: How many events the log had, or None where the head stands in another document.
        time: When it was signed, UTC, RFC 3339; the signer's clock. Empty where the head stands in another document.
        signer: Who signed.
    """

    value: str
    log: str
    events: int | None
    time: str
    signer: SignerInfo


@implements("2.3", evidences=("12.1",), limits="It binds what the log said then; keep it where the log's owner cannot replace both.")
def sign_head(log: StrPath, *, signer: Signer) -> Bundle:
    """Verify a log and sign its head.

    Args:
        log: The file.
        signer: Who vouches for it.

    Returns:
        The signed head; write it to another place than the log's.

    Raises:
        FormatError: See `verify`.
        LimitError: See `verify`.
        OSError: It cannot be read.
        TamperedError: See `verify`.
    """
    found = verify(log)
    statement = Statement(
        subjects=(Subject(name=Path(log).name, sha256=bytes.fromhex(found.head)),),
        predicate_type=Purpose.LOG_HEAD.predicate_type,
        predicate={"events": found.events, "time": now()},
    )
    note(log=os.fspath(log), head=found.head)
    return sign_statement(statement, signer=signer)


@implements(evidences=("2.3", "12.1"), limits="A head says what a log was; verify says whether it still is.")
def open_head(path: StrPath, *, policy: Policy, withdrawals: Withdrawals | None = None) -> Head:
    """Read a head that somebody trusted signed.

    It is a signed head, or stands in another signed document: a release, a disposal certificate, or an attribute report (SCAI) of ours. Co-signatures
    of a certificate are not checked: the policy is asked about who signed the certificate.

    Args:
        path: The file.
        policy: Whose signatures count for a document of this kind; there is no default.
        withdrawals: Refuses signers from a time on.

    Returns:
        The head.

    Raises:
        FormatError: It is no signed head, or a document without one.
        LimitError: It is larger than a bundle may be.
        OSError: It cannot be read.
        PolicyError: The list of withdrawals has expired.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
        WithdrawnError: The signer was withdrawn.
    """
    where = os.fspath(path)
    bundle, purpose = _read(path, where=where)
    statement, signer = open_statement(bundle, policy=policy, purpose=purpose, where=where, withdrawals=withdrawals)
    head = _alone(statement, signer, where=where) if purpose is Purpose.LOG_HEAD else _within(statement, signer, where=where)
    note(head=head.value, signer=signer.fingerprint)
    return head


def evidence_of(log_head: str) -> dict[str, object]:
    """Write a head as the evidence that an attribute report points to: an in-toto ResourceDescriptor; nothing for an empty one.

    Args:
        log_head: 64 hexadecimal digits, or empty.

    Raises:
        ValueError: It is neither.
    """
    if not log_head:
        return {}
    check_head(log_head)
    return {"evidence": {"name": _EVIDENCE, "annotations": {"log_head": log_head}}}


def check_head(log_head: str) -> None:
    """Refuse what is neither a head nor empty.

    Raises:
        ValueError: It is something else.
    """
    if log_head and not _HEX.fullmatch(log_head):
        raise ValueError("log_head= has 64 lower-case hexadecimal digits, or is empty")


_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EVIDENCE = "lifeseal event log"
_MAX_DOCUMENT = 192 << 20  # of a signature bundle
_MAX_COSIGNATURES = 2  # lines below a certificate's first, one for each role
_ONE_LINE = b'{"'  # ours are one line; a bundle of another tool may be spread over several
_HOLDERS = {one.predicate_type: one for one in (Purpose.RELEASE, Purpose.CERTIFICATE, Purpose.ATTRIBUTES)}


def _read(path: StrPath, *, where: str) -> tuple[Bundle, Purpose]:
    """Read a document, and tell which kind it says it is; the signature is then checked for that kind."""
    data = read_bounded(path, limit=_MAX_DOCUMENT, what="a signature bundle").removesuffix(b"\n")
    lines = data.split(b"\n", _MAX_COSIGNATURES) if data.startswith(_ONE_LINE) else [data]
    bundle = Bundle.from_bytes(lines[0], where=where)
    purpose = _HOLDERS.get(_kind(bundle, where=where), Purpose.LOG_HEAD)
    for number, line in enumerate(lines[1:], 2):
        place = f"{where}, line {number}"
        if purpose is not Purpose.CERTIFICATE or _kind(Bundle.from_bytes(line, where=place), where=place) != Purpose.COSIGNATURE.predicate_type:
            raise FormatError(place, "nothing but co-signatures of a disposal certificate was expected")
    return bundle, purpose


def _kind(bundle: Bundle, *, where: str) -> str:
    return Statement.from_bytes(bundle.envelope.payload, where=f"{where}, payload").predicate_type


def _alone(statement: Statement, signer: SignerInfo, *, where: str) -> Head:
    record = Record(statement.predicate, where=f"{where}, predicate")
    events, time = record.take_int("events"), record.take_str("time", max_length=40)
    record.done()
    if len(statement.subjects) != 1:
        raise FormatError(where, f"exactly one subject was expected, not {len(statement.subjects)}")
    subject = statement.subjects[0]
    return Head(value=subject.sha256.hex(), log=subject.name, events=events, time=time, signer=signer)


def _within(statement: Statement, signer: SignerInfo, *, where: str) -> Head:
    found = statement.predicate.get("log_head")
    if found is None:
        attributes = statement.predicate.get("attributes")
        first = attributes[0] if isinstance(attributes, list) and attributes else None
        for name in ("evidence", "annotations", "log_head"):
            first = first.get(name) if isinstance(first, dict) else None
        found = first
    if not found:
        raise FormatError(f"{where}, predicate", "a document that holds the head of an event log was expected; this one holds none")
    return Head(value=parse_hex(found, length=32, where=f"{where}, predicate, 'log_head'").hex(), log="", events=None, time="", signer=signer)
