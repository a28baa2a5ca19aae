# SPDX-License-Identifier: Apache-2.0
"""Statements beside artefacts, in the forms that in-toto has: what was verified, scanned, converted, erased, tested."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from lifeseal import __version__
from lifeseal.attestation import Bundle, Purpose, Signer, Statement, Subject, sign_statement
from lifeseal.evidence._heads import evidence_of
from lifeseal.principles import find, implements, note, now

if TYPE_CHECKING:
    from lifeseal.erasure import Erasure
    from lifeseal.serialization import Conversion, ConvertedFile, ScanReport
    from lifeseal.signing import Verification

TOOL = f"https://pypi.org/project/lifeseal/{__version__}/"
TestResult: TypeAlias = Literal["PASSED", "WARNED", "FAILED"]


def _property(provision: str) -> str:
    return f"UKAI_COP_{find(provision).number}"


@implements(
    evidences=("2.4", "7.1", "9.2"), limits="It says that this machine verified then; whoever relies on it trusts the signer to have done so."
)
def attest_verification(verification: "Verification", *, signer: Signer, policies: Mapping[str, bytes] | None = None) -> Bundle:
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
def attest_scan(report: "ScanReport", *, signer: Signer, log_head: str = "") -> Bundle:
    """State what a scan found: an in-toto SCAI attribute report.

    Args:
        report: From `lifeseal.serialization.scan` with ``digest=True``.
        signer: Who states it.
        log_head: Head of the event log, hexadecimal, as the evidence that the report points to; see `current_head`. Empty names none.

    Returns:
        The signed statement; its subjects are the files, each by its own digest.

    Raises:
        ValueError: The report has no digests, or ``log_head`` is no head.

    Source: in-toto attestation, predicates, scai v0.3.
    """
    if any(file.digest is None for file in report.files):
        raise ValueError("a scan with digest=True is needed: a statement is bound to digests")
    subjects = tuple(Subject(name=file.path, sha256=file.digest or b"") for file in report.files)
    found = [
        (
            f"LIFESEAL_SCAN_{file.verdict.value.upper().replace('-', '_')}",
            {"format": file.format, "rules": sorted({finding.rule for finding in file.findings})},
        )
        for file in report.files
    ]
    note(files=len(subjects), verdict=report.verdict.value)
    return _attributes(subjects, found, log_head, signer)


@implements(
    evidences=("2.4", "7.1", "7.2.1"),
    limits="It says which files these tensors were copied from, and what was left out; whether the model is any good it does not say.",
)
def attest_conversion(conversion: "Conversion", *, signer: Signer, log_head: str = "") -> Bundle:
    """State what a conversion made, of what, and what it left out: an in-toto SCAI attribute report.

    Args:
        conversion: From `lifeseal.serialization.convert` with ``hash="sha256"``.
        signer: Who states it.
        log_head: As for `attest_scan`.

    Returns:
        The signed statement; its subjects are the files of tensors, each by its own digest.

    Raises:
        ValueError: The digests are of another hash, or ``log_head`` is no head.

    Source: in-toto attestation, predicates, scai v0.3.
    """
    subjects = tuple(_converted(file) for file in conversion.outputs)
    conditions: dict[str, object] = {
        "source_format": conversion.format,
        "source_verdict": conversion.verdict.value,
        "sources": [{"name": one.name, "digest": {"sha256": one.sha256.hex()}} for one in map(_converted, conversion.sources)],
        "tensors": len(conversion.tensors),
        "aliases": len(conversion.aliases),
        "dropped": dict(conversion.dropped),
    }
    note(files=len(subjects), tensors=len(conversion.tensors), dropped=len(conversion.dropped))
    return _attributes(subjects, [("LIFESEAL_CONVERTED_WITHOUT_RUNNING", conditions)] * len(subjects), log_head, signer)


@implements(
    evidences=("13.1", "13.2"),
    limits="It repeats what the vault reported: that keys are gone. Copies, and how sure that is, are for the disposal certificate to say.",
)
def attest_erasure(erasure: "Erasure", *, subjects: Iterable[Subject], signer: Signer, log_head: str = "") -> Bundle:
    """State which artefacts' keys an erasure destroyed: an in-toto SCAI attribute report.

    Args:
        erasure: From `lifeseal.erasure.Vault.erase`.
        subjects: What lay under those keys, in the order in which it was erased, by digests taken before; `lifeseal.signing.digest` of an
            open asset gives them. The names are published with the statement.
        signer: Who states it.
        log_head: As for `attest_scan`.

    Returns:
        The signed statement; its subjects are what was erased. While the root holder has still to destroy a key the attribute is
        ``LIFESEAL_KEY_DESTRUCTION_PENDING``, and else ``LIFESEAL_KEY_DESTROYED``.

    Raises:
        ValueError: There are more or fewer subjects than keys, or ``log_head`` is no head.

    Source: in-toto attestation, predicates, scai v0.3.
    """
    gone = tuple(subjects)
    if len(gone) != len(erasure.slots):
        raise ValueError(f"subjects= must name what lay under each of the {len(erasure.slots)} destroyed keys, not {len(gone)}")
    about = {name: getattr(erasure, name) for name in ("vault", "epoch_before", "epoch_after", "time", "assurance", "irreversible_since")}
    word = "LIFESEAL_KEY_DESTRUCTION_PENDING" if erasure.pending else "LIFESEAL_KEY_DESTROYED"
    found = [(word, {**about, "slot": slot.slot, "generation": slot.generation}) for slot in erasure.slots]
    note(vault=erasure.vault, epoch=erasure.epoch_after, assets=len(gone))
    return _attributes(gone, found, log_head, signer)


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


def _converted(file: "ConvertedFile") -> Subject:
    how, _, digest = file.digest.partition(":")
    if how != "sha256":
        raise ValueError("a conversion with hash='sha256' is needed: a statement is bound to such digests")
    return Subject(name=Path(file.path).name, sha256=bytes.fromhex(digest))


def _attributes(subjects: tuple[Subject, ...], found: Iterable[tuple[str, Mapping[str, object]]], log_head: str, signer: Signer) -> Bundle:
    """Sign an attribute report: one attribute for each subject."""
    evidence = evidence_of(log_head)
    attributes = [
        {
            "attribute": word,
            "target": {"name": subject.name, "digest": {"sha256": subject.sha256.hex()}},
            "conditions": dict(conditions),
            **evidence,
        }
        for subject, (word, conditions) in zip(subjects, found, strict=True)
    ]
    return _signed(subjects, Purpose.ATTRIBUTES, {"attributes": attributes, "producer": {"uri": TOOL}}, signer)


def _signed(subjects: tuple[Subject, ...], purpose: Purpose, predicate: Mapping[str, object], signer: Signer) -> Bundle:
    return sign_statement(Statement(subjects=subjects, predicate_type=purpose.predicate_type, predicate=predicate), signer=signer)


def _sha256(digest: bytes) -> bytes:
    if len(digest) != 32:  # noqa: PLR2004 - the length of a SHA-256
        raise ValueError("a raw SHA-256 digest of 32 bytes was expected")
    return digest
