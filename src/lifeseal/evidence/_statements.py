# SPDX-License-Identifier: Apache-2.0
"""Statements beside artefacts, in the forms that in-toto has: what was verified, scanned, tested."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from lifeseal import __version__
from lifeseal.attestation import Bundle, Purpose, Signer, Statement, Subject, sign_statement
from lifeseal.principles import find, implements, note, now
from lifeseal.serialization import ScanReport
from lifeseal.signing import Verification

TOOL = f"https://pypi.org/project/lifeseal/{__version__}/"
TestResult: TypeAlias = Literal["PASSED", "WARNED", "FAILED"]


def _property(provision: str) -> str:
    return f"UKAI_COP_{find(provision).number}"


@implements(
    evidences=("2.4", "7.1", "9.2"), limits="It says that this machine verified then; whoever relies on it trusts the signer to have done so."
)
def attest_verification(verification: Verification, *, signer: Signer, policies: Mapping[str, bytes] | None = None) -> Bundle:
    """State that a model was verified: an in-toto Simple Verification Result.

    Args:
        verification: From `lifeseal.signing.verify`; one that rests on a waiver claims no signature.
        signer: Who states it.
        policies: Names and SHA-256 digests, raw, of the policy files that were applied.

    Returns:
        The signed statement; its subject is the model's root digest.

    Raises:
        ValueError: A policy's digest has not 32 bytes.

    Source: in-toto attestation, predicates, svr v0.2.
    """
    applied = [{"name": name, "digest": {"sha256": _sha256(digest).hex()}} for name, digest in sorted((policies or {}).items())]
    signed = (
        ["LIFESEAL_SIGNATURE_VERIFIED", _property("7.1")] if verification.signer is not None else ["LIFESEAL_ACCEPTED_BY_WAIVER", _property("7.2")]
    )
    predicate = {
        "verifier": {"id": TOOL, "policies": applied},
        "timeCreated": now(),
        "properties": ["LIFESEAL_CONTENT_VERIFIED", *signed],
    }
    note(subject=verification.subject.digest)
    return _signed((verification.subject,), Purpose.VERIFICATION, predicate, signer)


@implements(
    evidences=("2.4", "5.4.1", "7.2.1"), limits="A verdict is about format and content as the scanner reads them, not about what the model does."
)
def attest_scan(report: ScanReport, *, signer: Signer) -> Bundle:
    """State what a scan found: an in-toto SCAI attribute report.

    Args:
        report: From `lifeseal.serialization.scan` with ``digest=True``.
        signer: Who states it.

    Returns:
        The signed statement; its subjects are the files, each by its own digest.

    Raises:
        ValueError: The report has no digests.

    Source: in-toto attestation, predicates, scai v0.3.
    """
    if any(file.digest is None for file in report.files):
        raise ValueError("a scan with digest=True is needed: a statement is bound to digests")
    attributes = [
        {
            "attribute": f"LIFESEAL_SCAN_{file.verdict.value.upper().replace('-', '_')}",
            "target": {"name": file.path, "digest": {"sha256": (file.digest or b"").hex()}},
            "conditions": {"format": file.format, "rules": sorted({finding.rule for finding in file.findings})},
        }
        for file in report.files
    ]
    subjects = tuple(Subject(name=file.path, sha256=file.digest or b"") for file in report.files)
    note(files=len(subjects), verdict=report.verdict.value)
    return _signed(subjects, Purpose.ATTRIBUTES, {"attributes": attributes, "producer": {"uri": TOOL}}, signer)


@implements(evidences=("9.1", "9.2", "9.3", "7.3"), limits="It states results that somebody else measured; it runs no test.")
def attest_tests(
    subject: Subject,
    *,
    signer: Signer,
    passed: Iterable[str] = (),
    warned: Iterable[str] = (),
    failed: Iterable[str] = (),
    configuration: Mapping[str, bytes] | None = None,
    url: str = "",
) -> Bundle:
    """State the results of tests of one model or dataset: an in-toto test result.

    Args:
        subject: What was tested, by digest.
        signer: Who states it.
        passed: Names of tests that passed.
        warned: Names of tests that passed with a warning.
        failed: Names of tests that failed; any of them makes the result ``FAILED``.
        configuration: Names and SHA-256 digests, raw, of what the tests were run with.
        url: Of the test run, if it has one.

    Returns:
        The signed statement.

    Raises:
        ValueError: No test is named, one is named twice, or a digest has not 32 bytes.

    Source: in-toto attestation, predicates, test-result v0.1.
    """
    lists = tuple(passed), tuple(warned), tuple(failed)
    names = [name for each in lists for name in each]
    if not names or len(set(names)) != len(names):
        raise ValueError("at least one test was expected, each named once")
    result: TestResult = "FAILED" if lists[2] else "WARNED" if lists[1] else "PASSED"
    used = [{"name": name, "digest": {"sha256": _sha256(digest).hex()}} for name, digest in sorted((configuration or {}).items())]
    predicate: dict[str, object] = {"result": result, "configuration": used}
    predicate |= {"passedTests": list(lists[0]), "warnedTests": list(lists[1]), "failedTests": list(lists[2])}
    note(subject=subject.digest, result=result, tests=len(names))
    return _signed((subject,), Purpose.TESTS, predicate | ({"url": url} if url else {}), signer)


def _signed(subjects: tuple[Subject, ...], purpose: Purpose, predicate: Mapping[str, object], signer: Signer) -> Bundle:
    return sign_statement(Statement(subjects=subjects, predicate_type=purpose.predicate_type, predicate=predicate), signer=signer)


def _sha256(digest: bytes) -> bytes:
    if len(digest) != 32:  # noqa: PLR2004 - the length of a SHA-256
        raise ValueError("a raw SHA-256 digest of 32 bytes was expected")
    return digest
