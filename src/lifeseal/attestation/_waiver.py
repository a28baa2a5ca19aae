# SPDX-License-Identifier: Apache-2.0
"""Waivers: a named person's written, bounded exception."""

import datetime as dt
import os
from collections.abc import Iterable
from typing import Literal, Self, TypeAlias, get_args

import attrs

from lifeseal._io import Record, StrPath, canonical, loads, read_bounded, replace
from lifeseal.attestation._statement import parse_digest
from lifeseal.errors import FormatError, PolicyError
from lifeseal.principles import implements, note

Fault: TypeAlias = Literal["unsigned", "needs-trust", "withdrawn"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
WAIVER_SCHEMA = "lifeseal.waiver/1"
_MAX_WAIVER = 1 << 20
_MAX_TEXT = 4096
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _faults(values: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(set(values)))


def _whole_seconds(value: dt.datetime) -> dt.datetime:
    return value.replace(microsecond=0)


@attrs.frozen(kw_only=True)
class Waiver:
    """A decision to accept a named fault of named artefacts until a date.

    A bad signature, a digest mismatch and a broken format can never be waived. Order and repetition in ``covers`` and ``allows`` mean
    nothing and are not kept.

    Attributes:
        covers: Digests, each ``sha256:`` and 64 hexadecimal digits; at least one.
        allows: Faults: ``unsigned``, ``needs-trust``, ``withdrawn``; at least one.
        reason: Why; 4096 characters at most, as in the next text fields.
        owner: Who decided.
        expires: When it ends, with a time zone; a fraction of a second is cut off.
        risk: Identifier of the risk in the owner's register.
    """

    covers: tuple[str, ...] = attrs.field(converter=_strings)
    allows: tuple[Fault, ...] = attrs.field(converter=_faults)
    reason: str
    owner: str
    expires: dt.datetime = attrs.field(converter=_whole_seconds)
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
                "expires": self.expires.astimezone(dt.UTC).strftime(_TIME),
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
    @implements(evidences=("7.2",), limits="A waiver file is as trustworthy as the place it is read from.")
    def load(cls, path: StrPath) -> Self:
        """Read a waiver from a file; see `from_bytes`.

        Args:
            path: The file.

        Returns:
            The waiver.

        Raises:
            FormatError: It is not a waiver.
            LimitError: It is larger than 1 MiB.
            OSError: It cannot be read.
        """
        return cls.from_bytes(read_bounded(path, limit=_MAX_WAIVER, what="a waiver"), where=os.fspath(path))

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
            PolicyError: The waiver does not cover the digest or the fault, or has expired.
        """
        note(subject=digest, fault=fault, owner=self.owner, risk=self.risk)
        if digest not in self.covers:
            raise PolicyError(f"the waiver of {self.owner!r} does not cover {digest}")
        if fault not in self.allows:
            raise PolicyError(f"the waiver of {self.owner!r} does not allow {fault!r}, only {', '.join(self.allows)}")
        if (now or dt.datetime.now(dt.UTC)) >= self.expires:
            raise PolicyError(f"the waiver of {self.owner!r} expired at {self.expires.astimezone(dt.UTC).strftime(_TIME)}")


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
    if found is None or found.strftime(_TIME) != text:
        raise FormatError(where, f"a time as 2026-12-31T23:59:59Z was expected, not {text[:40]!r}")
    return found
