# SPDX-License-Identifier: Apache-2.0
"""What a scan found: verdicts, findings, and one report a file."""

import enum

import attrs


class Verdict(enum.StrEnum):
    """What reading a file with the loader of its format could do."""

    SAFE = "safe"
    NEEDS_TRUST = "needs-trust"
    UNREADABLE = "unreadable"
    UNSAFE = "unsafe"

    @property
    def badness(self) -> int:
        """Place in the order of verdicts: 0 is safe, 3 is unsafe."""
        return _ORDER[self]


_ORDER = {Verdict.SAFE: 0, Verdict.NEEDS_TRUST: 1, Verdict.UNREADABLE: 2, Verdict.UNSAFE: 3}


def worst(*verdicts: Verdict) -> Verdict:
    """Return the worst verdict: unsafe, then unreadable, then needs-trust, then safe; of none, safe."""
    return max(verdicts, key=lambda verdict: verdict.badness, default=Verdict.SAFE)


@attrs.frozen(kw_only=True)
class Finding:
    """One reason why a file is not safe.

    Attributes:
        rule: Short stable name of the rule, as ``pickle-call``.
        place: Member of an archive, offset or field; empty where the whole file is meant.
        message: What was found there, in plain words.
    """

    rule: str
    place: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {"rule": self.rule, "place": self.place, "message": self.message}


@attrs.frozen(kw_only=True)
class FileReport:
    """The verdict on one file.

    Attributes:
        path: Relative POSIX name; the file's own name where one file was scanned.
        format: What the bytes are, as ``pickle``, ``torch``, ``safetensors`` or ``unknown``.
        verdict: The worst that any finding says.
        findings: In the order found; at most 64 and one for the rest.
        digest: sha256 of the content, raw; None where it was not asked for or could not be read.
    """

    path: str
    format: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    digest: bytes | None = attrs.field(default=None, repr=lambda digest: digest.hex()[:12] if digest else "None")

    def to_json(self) -> dict[str, object]:
        """Return it as a JSON object."""
        document: dict[str, object] = {
            "path": self.path,
            "format": self.format,
            "verdict": self.verdict.value,
            "findings": [finding.to_json() for finding in self.findings],
        }
        if self.digest is not None:
            document["sha256"] = self.digest.hex()
        return document


@attrs.frozen(kw_only=True)
class ScanReport:
    """The verdict on a file or a folder.

    Attributes:
        path: What was scanned, as given.
        files: One report a file, by name.
        decides: Index in ``files`` of the file that decides: the first of the worst.
        digest: Of one file its sha256; of a folder the sha256 over its files' raw digests in order of names. None where it was not
            asked for, or where a file could not be read.
    """

    path: str
    files: tuple[FileReport, ...]
    decides: int
    digest: bytes | None = attrs.field(default=None, repr=lambda digest: digest.hex()[:12] if digest else "None")

    @property
    def verdict(self) -> Verdict:
        """The verdict of the file that decides."""
        return self.files[self.decides].verdict

    @property
    def format(self) -> str:
        """The format of the file that decides."""
        return self.files[self.decides].format

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the file that decides."""
        return self.files[self.decides].findings

    def to_sarif(self) -> dict[str, object]:
        """Return it as a SARIF 2.1.0 log; each rule carries the provisions that a scan serves."""
        from lifeseal.serialization._sarif import to_sarif

        return to_sarif(self.files)

    def to_json(self) -> dict[str, object]:
        """Return it as a JSON object: the files, the verdict, and the file that decides."""
        document: dict[str, object] = {
            "path": self.path,
            "verdict": self.verdict.value,
            "format": self.format,
            "decides": self.files[self.decides].path,
            "files": [file.to_json() for file in self.files],
        }
        if self.digest is not None:
            document["sha256"] = self.digest.hex()
        return document
