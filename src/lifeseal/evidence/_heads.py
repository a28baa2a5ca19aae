# SPDX-License-Identifier: Apache-2.0
"""Signed heads: what a log said last, vouched for, to be kept elsewhere."""

import os
from pathlib import Path

import attrs

from lifeseal._io import Record, StrPath
from lifeseal.attestation import Bundle, Policy, Purpose, Signer, SignerInfo, Statement, Subject, open_statement, sign_statement
from lifeseal.errors import FormatError
from lifeseal.evidence._read import verify
from lifeseal.principles import implements, note, now


@attrs.frozen(kw_only=True)
class Head:
    """The hash of a log's last line, as somebody signed it.

    Attributes:
        value: Hexadecimal SHA-256; give it to `verify`.
        log: Name of the log's file; informational.
        events: How many events the log had.
        time: When it was signed, UTC, RFC 3339; the signer's clock.
        signer: Who signed.
    """

    value: str
    log: str
    events: int
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
def open_head(path: StrPath, *, policy: Policy) -> Head:
    """Read a head that somebody trusted signed.

    Args:
        path: The file.
        policy: Whose signatures count; there is no default.

    Returns:
        The head.

    Raises:
        FormatError: It is no signed head.
        LimitError: It is larger than a bundle may be.
        OSError: It cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
    """
    where = os.fspath(path)
    statement, signer = open_statement(Bundle.load(path), policy=policy, purpose=Purpose.LOG_HEAD, where=where)
    record = Record(statement.predicate, where=f"{where}, predicate")
    events, time = record.take_int("events"), record.take_str("time", max_length=40)
    record.done()
    if len(statement.subjects) != 1:
        raise FormatError(where, f"exactly one subject was expected, not {len(statement.subjects)}")
    subject = statement.subjects[0]
    note(head=subject.sha256.hex(), signer=signer.fingerprint)
    return Head(value=subject.sha256.hex(), log=subject.name, events=events, time=time, signer=signer)
