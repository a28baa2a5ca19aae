# SPDX-License-Identifier: Apache-2.0
"""Waivers: a named person's written, bounded exception."""

import datetime as dt
import os
from collections.abc import Iterable
from typing import Literal, Self, TypeAlias, get_args

import attrs

from lifeseal._io import Record, StrPath, canonical, loads, read_bounded, replace
from lifeseal.attestation._bundle import Bundle
from lifeseal.attestation._documents import is_bundle, open_document, sign_document
from lifeseal.attestation._policy import Policy, Purpose, Signer
from lifeseal.attestation._statement import parse_digest
from lifeseal.errors import FormatError, PolicyError
from lifeseal.principles import announce, implements, note

Fault: TypeAlias = Literal["unsigned", "needs-trust", "unsafe", "withdrawn"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
WAIVER_SCHEMA = "lifeseal.waiver/1"
_MAX_WAIVER = 1 << 20
_MAX_TEXT = 4096
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _faults(values: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(set(values)))


def whole_seconds(value: dt.datetime) -> dt.datetime:
    """Cut off what the file form cannot hold: fractions, and zones. A time without a zone stays one, to be refused."""
    try:
        return value.replace(microsecond=0).astimezone(dt.UTC) if value.tzinfo else value
    except OverflowError:
        raise ValueError(f"a time within the calendar of UTC was expected, not {value.isoformat()}") from None


@attrs.frozen(kw_only=True)
class Waiver:
    """A decision to accept a named fault of named artefacts until a date.

    A bad signature, a digest mismatch and a broken format can never be waived. Order and repetition in ``covers`` and ``allows`` mean
    nothing and are not kept.

    Attributes:
        covers: Digests, each ``sha256:`` and 64 hexadecimal digits; at least one.
        allows: Faults: ``unsigned``, ``needs-trust``, ``unsafe`` (for conversion only), ``withdrawn``; at least one.
        reason: Why; 4096 characters at most, as in the next text fields.
        owner: Who decided.
        expires: When it ends, with a time zone; a fraction of a second is cut off.
        risk: Identifier of the risk in the owner's register.
    """

    covers: tuple[str, ...] = attrs.field(converter=_strings)
    allows: tuple[Fault, ...] = attrs.field(converter=_faults)
    reason: str
    owner: str
    expires: dt.datetime = attrs.field(converter=whole_seconds)
    risk: str

    def __attrs_post_init__(self) -> None:
        for digest in self.covers:
            parse_digest(digest)
        if not self.covers or not self.allows or not set(self.allows) <= set(FAULTS):
            raise ValueError(f"a waiver covers at least one digest and allows at least one of {', '.join(FAULTS)}")
        if self.expires.tzinfo is None:
            raise ValueError("expires= needs a time zone")
        if not all(text.strip() and len(text) <= _MAX_TEXT for text in (self.reason, self.owner, self.risk)):
            raise ValueError(f"reason=, owner= and risk= must say something, in {_MAX_TEXT} characters at most")

    def to_bytes(self) -> bytes:
        """Write the file form: canonical JSON."""
        return canonical(
            {
                "schema": WAIVER_SCHEMA,
                "covers": list(self.covers),
                "allows": list(self.allows),
                "reason": self.reason,
                "owner": self.owner,
                "expires": format_time(self.expires),
                "risk": self.risk,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = "waiver") -> Self:
        """Read the file form strictly.

        Args:
            data: UTF-8 JSON.
            where: Name for error messages.

        Returns:
            The waiver.

        Raises:
            FormatError: It is not a waiver.
            LimitError: It, or a text in it, is longer than allowed.
        """
        record = Record(loads(data, where=where, max_bytes=_MAX_WAIVER, what="a waiver"), where=where)
        record.take_const("schema", WAIVER_SCHEMA)
        covers, allows = record.take_strs("covers"), record.take_strs("allows")
        reason, owner, risk = (record.take_str(name, max_length=_MAX_TEXT) for name in ("reason", "owner", "risk"))
        expires = parse_time(record.take_str("expires", max_length=32), where=record.at("expires"))
        record.done()
        known = tuple(fault for fault in FAULTS if fault in allows)
        if len(known) != len(allows):
            raise FormatError(record.at("allows"), f"each of {', '.join(FAULTS)} at most once was expected")
        try:
            return cls(covers=covers, allows=known, reason=reason, owner=owner, expires=expires, risk=risk)
        except ValueError as error:
            raise FormatError(where, str(error)) from None

    @classmethod
    @implements(evidences=("7.2",), limits="Without a policy, a waiver file is as trustworthy as the place it is read from.")
    def load(cls, path: StrPath, *, policy: Policy | None = None) -> Self:
        """Read a waiver from a file: an unsigned one, or with a policy one that somebody trusted signed.

        Args:
            path: The file.
            policy: Whose signatures count for waivers. With it an unsigned waiver is refused; without it a signed one is, since nobody
                would have looked at the signature.

        Returns:
            The waiver.

        Raises:
            FormatError: It is not a waiver.
            LimitError: It is larger than 1 MiB.
            OSError: It cannot be read.
            PolicyError: It is signed and no policy was given, unsigned and one was, or signed otherwise than the policy asks.
            SignatureError: The signature does not verify.
        """
        where = os.fspath(path)
        if policy is None:
            data = read_bounded(path, limit=_MAX_WAIVER, what="a waiver")
            if is_bundle(data, where=where, what="a waiver"):
                raise PolicyError(f"{where}: this waiver is signed; a policy must say whose signature counts")
            return cls.from_bytes(data, where=where)
        data, subject, signer = open_document(path, policy=policy, purpose=Purpose.WAIVER, limit=_MAX_WAIVER)
        found = cls.from_bytes(data, where=f"{where}, predicate")
        if subject.name != found.owner:
            raise FormatError(f"{where}, payload, 'subject'", f"the owner {found.owner[:80]!r} was expected, not {subject.name[:80]!r}")
        note(owner=found.owner, risk=found.risk, signer=signer.fingerprint, digest=subject.digest)
        return found

    @implements("7.2", evidences=("5.2",), limits="It binds the decision to the key's holder; it does not judge it.")
    def sign(self, signer: Signer) -> Bundle:
        """Sign the waiver, so that those who use it can ask who decided. It is signed under the owner's name.

        Args:
            signer: Who signs.

        Returns:
            The bundle, which holds the waiver.
        """
        note(owner=self.owner, risk=self.risk)
        return sign_document(self.to_bytes(), name=self.owner, purpose=Purpose.WAIVER, signer=signer)

    @implements("7.2", limits="It writes the justification down; it does not judge it.")
    def write(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write the waiver durably.

        Args:
            path: The file; its folder must exist.
            overwrite: True replaces a file of that name.

        Raises:
            FileExistsError: The name is taken.
            OSError: The disk refused.
        """
        replace(path, self.to_bytes(), overwrite=overwrite)

    @implements(
        "7.2", evidences=("7.2.1",), limits="It records a decision; it does not judge the reason, and a waiver file is as trustworthy as its place."
    )
    def check(self, digest: str, fault: Fault, *, now: dt.datetime | None = None) -> None:
        """Accept one fault of one artefact, or raise.

        Args:
            digest: The artefact, ``sha256:`` and 64 hexadecimal digits.
            fault: What is wrong with it.
            now: The time to judge by, with a time zone; by default this machine's clock.

        Raises:
            OSError: The event log cannot take the intent; nothing is accepted then.
            PolicyError: The waiver does not cover the digest or the fault, or has expired.
        """
        note(subject=digest, fault=fault, owner=self.owner, risk=self.risk)
        if digest not in self.covers:
            raise PolicyError(f"the waiver of {self.owner!r} does not cover {digest}")
        if fault not in self.allows:
            raise PolicyError(f"the waiver of {self.owner!r} does not allow {fault!r}, only {', '.join(self.allows)}")
        if (now or dt.datetime.now(dt.UTC)) >= self.expires:
            raise PolicyError(f"the waiver of {self.owner!r} expired at {format_time(self.expires)}")
        # On the disk before anything is let in by it; a log that cannot take it refuses the waiver.
        facts = {"subject": digest, "fault": fault, "owner": self.owner, "risk": self.risk}
        announce("lifeseal.attestation.Waiver.check", ("uk-ai-cop:7.2", "uk-ai-cop:7.2.1"), **facts)


def format_time(value: dt.datetime) -> str:
    """Write a time as `parse_time` reads it.

    Args:
        value: With a time zone.

    Returns:
        ``YYYY-MM-DDTHH:MM:SSZ``, UTC.

    >>> format_time(dt.datetime(2026, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
    '2026-12-31T23:59:59Z'
    """
    utc = value.astimezone(dt.UTC)
    return f"{utc.year:04}{utc:-%m-%dT%H:%M:%SZ}"


def parse_time(text: str, *, where: str) -> dt.datetime:
    """Read a time as ``YYYY-MM-DDTHH:MM:SSZ``, UTC.

    Args:
        text: The time.
        where: Name for error messages.

    Returns:
        The time, UTC.

    Raises:
        FormatError: It is anything else.
    """
    try:
        found = dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC)
    except ValueError:
        found = None
    if found is None or format_time(found) != text:
        raise FormatError(where, f"a time as 2026-12-31T23:59:59Z was expected, not {text[:40]!r}")
    return found
