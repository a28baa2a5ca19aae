# SPDX-License-Identifier: Apache-2.0
"""What others sign before a disposal: an approval of exactly one order, and a recipient's receipt."""

import hashlib
from collections.abc import Iterable

import attrs

from lifeseal._io import Record, StrPath, canonical
from lifeseal.attestation import Bundle, Policy, Purpose, Signer, SignerInfo, Statement, Subject, open_statement, sign_statement
from lifeseal.disposal._json import from_json, to_json
from lifeseal.disposal._values import Party, Vouched
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note, now

ORDER = "order"


@attrs.frozen(kw_only=True)
class Approval:
    """A second signer's consent to one disposal, exactly as it was planned.

    Attributes:
        order: Digest of the order, ``sha256:…``; see `Plan.digest`.
        by: Who approved, as they say.
        time: UTC, RFC 3339, of the machine that signed.
        signer: Who signed, as a policy established it.
        sha256: Of the signed payload.
    """

    order: str
    by: Party
    time: str
    signer: SignerInfo
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])

    def to_vouched(self) -> Vouched:
        """Say it in a certificate."""
        return Vouched(by=self.by, signer=self.signer.fingerprint, sha256=self.sha256)


@attrs.frozen(kw_only=True)
class Receipt:
    """A recipient's statement that content has arrived.

    Attributes:
        digests: Root digests of what arrived, ``sha256:…``.
        by: Who received it, as they say.
        time: UTC, RFC 3339, of the machine that signed.
        request: Reference, or empty.
        signer: Who signed, as a policy established it.
        sha256: Of the signed payload.
    """

    digests: tuple[str, ...]
    by: Party
    time: str
    request: str
    signer: SignerInfo
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])

    def to_vouched(self) -> Vouched:
        """Say it in a certificate."""
        return Vouched(by=self.by, signer=self.signer.fingerprint, sha256=self.sha256)


@implements("13.1", limits="It binds what the order names; whether the approver read it, nobody can tell.")
def approve(order: bytes, *, signer: Signer, party: Party) -> Bundle:
    """Approve a disposal, as a second signer.

    Args:
        order: From `Plan.order`; the signed approval carries it whole.
        signer: Another key than the one that will sign the certificate.
        party: Who approves.

    Returns:
        The approval; write it to a file.

    Raises:
        FormatError: That is no order.
        ValueError: The party has no name.
    """
    document = _order(order, where="order")
    digest = hashlib.sha256(order).digest()
    note(order=f"sha256:{digest.hex()}")
    return _sign((Subject(name=ORDER, sha256=digest),), Purpose.APPROVAL, {"order": document, "by": party}, signer)


@implements(evidences=("13.1",), limits="It shows who signed; whether the plan of today is the one approved, dispose compares.")
def open_approval(path: StrPath, *, policy: Policy) -> Approval:
    """Read an approval that somebody trusted signed.

    Args:
        path: The file.
        policy: Whose approvals count; there is no default.

    Returns:
        The approval.

    Raises:
        FormatError: It is none.
        LimitError: It is too large.
        OSError: It cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
    """
    bundle = Bundle.load(path)
    statement, signer = open_statement(bundle, policy=policy, purpose=Purpose.APPROVAL, where=str(path))
    record = Record(statement.predicate, where=f"{path}, predicate")
    order = record.take_record("order")
    order.skip()
    by, time = from_json(Party, record.take("by"), where=record.at("by")), record.take_str("time", max_length=64)
    record.done()
    digest = hashlib.sha256(canonical(statement.predicate["order"])).digest()
    if statement.subjects != (Subject(name=ORDER, sha256=digest),):
        raise FormatError(f"{path}, 'subject'", "one with the digest of the order was expected")
    note(order=f"sha256:{digest.hex()}", signer=signer.fingerprint)
    return Approval(order=f"sha256:{digest.hex()}", by=by, time=time, signer=signer, sha256=_payload(bundle))


@implements("13.1", limits="It says that the recipient holds these bytes; what becomes of them there is not known.")
def acknowledge(contents: Iterable[StrPath], *, signer: Signer, party: Party, request: str = "") -> Bundle:
    """Sign a receipt, as the recipient of a transfer, for what has arrived.

    Args:
        contents: Folders and files, read whole for their digests.
        signer: The recipient's.
        party: Who received it.
        request: Reference, or empty.

    Returns:
        The receipt; send it to whoever gave.

    Raises:
        LifesealError: A folder cannot be read as a model.
        OSError: A file cannot be read.
        ValueError: Nothing was given, or the party has no name.
    """
    from lifeseal import signing

    digests = tuple(bytes.fromhex(signing.digest(path).root.removeprefix("sha256:")) for path in contents)
    if not digests:
        raise ValueError("at least one folder or file that arrived must be given")
    note(digests=tuple(f"sha256:{digest.hex()}" for digest in digests))
    subjects = tuple(Subject(name="received", sha256=digest) for digest in digests)
    return _sign(subjects, Purpose.RECEIPT, {"by": party, "request": request}, signer)


@implements(evidences=("13.1",), limits="It shows who signed for which digests; whether they are those of the assets, dispose compares.")
def open_receipt(path: StrPath, *, policy: Policy) -> Receipt:
    """Read a receipt that somebody trusted signed.

    Args:
        path: The file.
        policy: Whose receipts count; there is no default.

    Returns:
        The receipt.

    Raises:
        FormatError: It is none.
        LimitError: It is too large.
        OSError: It cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
    """
    bundle = Bundle.load(path)
    statement, signer = open_statement(bundle, policy=policy, purpose=Purpose.RECEIPT, where=str(path))
    record = Record(statement.predicate, where=f"{path}, predicate")
    by, time = from_json(Party, record.take("by"), where=record.at("by")), record.take_str("time", max_length=64)
    request = record.take_str("request", max_length=4096)
    record.done()
    note(signer=signer.fingerprint, digests=tuple(subject.digest for subject in statement.subjects))
    digests = tuple(subject.digest for subject in statement.subjects)
    return Receipt(digests=digests, by=by, time=time, request=request, signer=signer, sha256=_payload(bundle))


def order_digest(order: bytes) -> str:
    """Tell the digest of an order.

    Args:
        order: From `Plan.order`.

    Returns:
        ``sha256:…``, as `Plan.digest`.
    """
    return f"sha256:{hashlib.sha256(order).hexdigest()}"


def _sign(subjects: tuple[Subject, ...], purpose: Purpose, fields: dict[str, object], signer: Signer) -> Bundle:
    party = fields["by"]
    if not isinstance(party, Party) or not party.name.strip():
        raise ValueError("party= must name somebody")
    predicate = {**fields, "by": to_json(party), "time": now()}
    return sign_statement(Statement(subjects=subjects, predicate_type=purpose.predicate_type, predicate=predicate), signer=signer)


def _order(data: bytes, *, where: str) -> dict[str, object]:
    from lifeseal._io import loads
    from lifeseal.disposal._plan import ORDER_SCHEMA

    document = loads(data, where=where, what="a disposal order")
    if not isinstance(document, dict) or document.get("schema") != ORDER_SCHEMA or canonical(document) != data:
        raise FormatError(where, f"a disposal order ({ORDER_SCHEMA}) in canonical form was expected")
    return document


def _payload(bundle: Bundle) -> bytes:
    return hashlib.sha256(bundle.envelope.payload).digest()
