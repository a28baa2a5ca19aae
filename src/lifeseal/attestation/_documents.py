# SPDX-License-Identifier: Apache-2.0
"""Small documents of our own, signed whole: the predicate is the document, and the subject its name and digest."""

import hashlib
import json
import os

from lifeseal._io import StrPath, canonical, loads, read_bounded
from lifeseal.attestation._bundle import Bundle
from lifeseal.attestation._policy import Policy, Purpose, Signer, SignerInfo, open_statement, sign_statement
from lifeseal.attestation._statement import Statement, Subject
from lifeseal.errors import FormatError, PolicyError


def sign_document(data: bytes, *, name: str, purpose: Purpose, signer: Signer) -> Bundle:
    """Sign a document.

    Args:
        data: Its file form, canonical JSON.
        name: What it is called, for patterns in a policy.
        purpose: Its kind.
        signer: Who signs.

    Returns:
        The bundle, which holds the document.
    """
    subject = Subject(name=name, sha256=hashlib.sha256(data).digest())
    return sign_statement(Statement(subjects=(subject,), predicate_type=purpose.predicate_type, predicate=json.loads(data)), signer=signer)


def open_document(path: StrPath, *, policy: Policy, purpose: Purpose, limit: int) -> tuple[bytes, Subject, SignerInfo]:
    """Read a document that somebody trusted signed.

    Args:
        path: The bundle.
        policy: Whose signatures count.
        purpose: Its kind.
        limit: Bytes of the file at most.

    Returns:
        The file form, what was signed as its name and digest, and the signer.

    Raises:
        FormatError: It is no such bundle, or its digest is of another document.
        LimitError: It is larger than ``limit``.
        OSError: It cannot be read.
        UntrustedError: It is unsigned, the signature does not verify under the policy, or signs another kind of document.
    """
    where = os.fspath(path)
    data = read_bounded(path, limit=limit, what=f"a signed {purpose.label}")
    if not is_bundle(data, where=where, what=f"a signed {purpose.label}"):
        raise PolicyError(f"{where}: this {purpose.label} is unsigned, and a policy is to say whose signature counts")
    statement, signer = open_statement(Bundle.from_bytes(data, where=where), policy=policy, purpose=purpose, where=where)
    document = canonical(dict(statement.predicate))
    subject, *more = statement.subjects
    if more or subject.sha256 != hashlib.sha256(document).digest():
        raise FormatError(f"{where}, payload, 'subject'", "one subject with the digest of the predicate was expected")
    return document, subject, signer


def is_bundle(data: bytes, *, where: str, what: str) -> bool:
    """Tell a signed document from a bare one.

    Raises:
        FormatError: It is no JSON at all.
        LimitError: It is too large, or too deeply nested.
    """
    document = loads(data, where=where, what=what)
    return isinstance(document, dict) and "mediaType" in document
