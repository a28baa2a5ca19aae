# SPDX-License-Identifier: Apache-2.0
"""The in-toto Statement: what is said about which digests."""

import re
from collections.abc import Mapping
from typing import Self

import attrs

from lifeseal._io import Record, canonical, loads
from lifeseal.errors import FormatError, LimitError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_STATEMENT = 128 << 20
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})", re.ASCII)


@attrs.frozen(kw_only=True)
class Subject:
    """What a statement is about.

    Attributes:
        name: Informational; the digest decides.
        sha256: Raw digest, 32 bytes.
    """

    name: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])

    @property
    def digest(self) -> str:
        """The digest as ``sha256:`` and 64 hexadecimal digits."""
        return f"sha256:{self.sha256.hex()}"


@attrs.frozen(kw_only=True)
class Statement:
    """One in-toto Statement v1.

    Attributes:
        subjects: At least one.
        predicate_type: URI that names the predicate's form.
        predicate: The form's fields, JSON values.

    Source: in-toto Attestation Framework v1, spec/v1/statement.md.
    """

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, object]

    def to_bytes(self) -> bytes:
        """Write the statement; equal statements give equal bytes.

        Returns:
            UTF-8 JSON.

        Raises:
            LimitError: It is larger than 128 MiB, so that nobody could read it back.
        """
        data = canonical(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": s.name, "digest": {"sha256": s.sha256.hex()}} for s in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )
        if len(data) > MAX_STATEMENT:
            raise LimitError("statement", limit=MAX_STATEMENT, seen=len(data))
        return data

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """Read a statement strictly.

        Args:
            data: The payload, UTF-8 JSON.
            where: Name for error messages.

        Returns:
            The statement; its predicate is parsed JSON, not yet checked.

        Raises:
            FormatError: It is not an in-toto Statement v1 with a sha256 for each subject.
            LimitError: It is larger than 128 MiB.
        """
        record = Record(loads(data, where=where, max_bytes=MAX_STATEMENT, floats=True), where=where)  # parameters of a training have fractions
        record.take_const("_type", STATEMENT_TYPE)
        predicate_type = record.take_str("predicateType", max_length=1024)
        subjects = tuple(_subject(item, where=record.at("subject")) for item in record.take_list("subject"))
        if not subjects:
            raise FormatError(record.at("subject"), "at least one subject was expected")
        predicate = record.take("predicate")
        if not isinstance(predicate, dict):
            raise FormatError(record.at("predicate"), "an object was expected")
        record.done()
        return cls(subjects=subjects, predicate_type=predicate_type, predicate=predicate)


def parse_digest(text: str) -> bytes:
    """Read ``sha256:`` and 64 lower-case hexadecimal digits.

    Args:
        text: As `Subject.digest` gives it.

    Returns:
        The digest, 32 bytes.

    Raises:
        ValueError: It is anything else.
    """
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise ValueError(f"a digest is written sha256: and 64 lower-case hexadecimal digits, not {text[:80]!r}")
    return bytes.fromhex(found[2])


def _subject(item: object, *, where: str) -> Subject:
    record = Record(item, where=where)
    name = record.take_str("name", max_length=4096)
    digests = record.take_record("digest")
    sha256 = digests.take_hex("sha256", length=32)
    digests.done()
    record.done()
    return Subject(name=name, sha256=sha256)
