# SPDX-License-Identifier: Apache-2.0
"""A log folded: verdicts by provision, refusals, artefacts; nothing grows with the log but the counts."""

import attrs
import pytest

from lifeseal import evidence, principles
from lifeseal.cli._main import _run
from lifeseal.principles import Event

SIGN = "lifeseal.signing.sign"
VERIFY = "lifeseal.signing.verify"


def call(primitive=VERIFY, *, outcome="pass", error="", time="2026-11-01T10:00:00.000000Z", provisions=None, **facts):
    tags = principles.load_all().get(primitive)
    named = tuple(tag.provision for tag in tags.tags) if provisions is None else provisions
    return Event(time=time, primitive=primitive, outcome=outcome, error=error, provisions=named, facts=facts)


@pytest.fixture
def summary_of(tmp_path):
    def fold(*events):
        with evidence.Log(tmp_path / "log") as log:
            for event in events:
                log.emit(event)
        return evidence.summarise(tmp_path / "log")

    return fold


def tally(summary, number):
    return next(tally for tally in summary.tallies if tally.provision == f"uk-ai-cop:{number}")


def test_a_call_that_implements_a_provision_and_ends_well_passes_it(summary_of):
    summary = summary_of(call(), call(), call(SIGN))
    assert (tally(summary, "7.1").verdict, tally(summary, "7.1").passed, tally(summary, "7.1").lines) == ("pass", 2, [2, 3])
    assert tally(summary, "7.1").evidence == 1  # sign leaves evidence for it
    assert (tally(summary, "9.2").verdict, tally(summary, "9.2").evidence) == ("inconclusive", 2)


def test_one_refusal_wins_over_any_number_of_calls_that_held(summary_of):
    refused = call(outcome="fail", error="DigestMismatchError", subject="sha256:ab")
    summary = summary_of(*[call()] * 9, refused, *[call()] * 9)
    assert (tally(summary, "7.1").verdict, tally(summary, "7.1").failed, tally(summary, "7.1").lines) == ("fail", 1, [11])
    assert [(one.line, one.error, one.about) for one in summary.refusals] == [(11, "DigestMismatchError", "sha256:ab")]


@pytest.mark.parametrize("error", ["OSError", "KeyboardInterrupt", "TypeError", "StoreError", "LockedError", "MissingExtraError", "CredentialError"])
def test_a_call_that_could_not_look_concludes_nothing(summary_of, error):
    summary = summary_of(call(outcome="fail", error=error))
    assert (tally(summary, "7.1").verdict, tally(summary, "7.1").unfinished, summary.refused) == ("inconclusive", 1, 0)


def test_what_was_destroyed_is_refused_and_is_no_fault(summary_of):
    summary = summary_of(call("lifeseal.erasure.Vault.asset", outcome="fail", error="DestroyedError"))
    assert summary.refused == 1
    assert all(tally.verdict == "inconclusive" for tally in summary.tallies)


def test_a_scan_that_found_something_unsafe_is_a_refusal(summary_of):
    summary = summary_of(call("lifeseal.serialization.scan", verdict="unsafe", path="m.pkl"), call("lifeseal.serialization.scan", verdict="safe"))
    assert [(one.error, one.about) for one in summary.refusals] == [("UnsafeError", "m.pkl")]
    assert {t.verdict for t in summary.tallies if t.passed} == {"fail"}


def test_an_intent_is_no_outcome(summary_of):
    summary = summary_of(call("lifeseal.erasure.Vault.erase", outcome="intent"))
    assert (summary.events, summary.days) == (1, {})
    assert [(one.provision, one.evidence) for one in summary.tallies] == [("uk-ai-cop:2.3", 1), ("uk-ai-cop:12.1", 1)]  # the log itself


def test_a_log_is_evidence_of_an_audit_trail_whatever_it_holds_and_an_empty_one_of_nothing(summary_of, tmp_path):
    assert summary_of().tallies == ()
    for _ in range(2):
        for number in ("2.3", "12.1"):
            found = tally(summary_of(call()), number)
            assert (found.verdict, found.evidence) == ("inconclusive", 1)
    evidence.start(tmp_path / "process")
    evidence.stop()
    assert (tally(evidence.summarise(tmp_path / "process"), "2.3").verdict, tally(evidence.summarise(tmp_path / "process"), "2.3").evidence) == (
        "pass",
        1,
    )


def test_a_function_or_provision_of_a_newer_version_is_counted_as_evidence(summary_of):
    summary = summary_of(call("lifeseal.future.thing", provisions=("uk-ai-cop:7.1", "uk-ai-cop:99.1")))
    assert [(t.provision, t.verdict, t.evidence) for t in summary.tallies] == [
        ("uk-ai-cop:2.3", "inconclusive", 1),
        ("uk-ai-cop:7.1", "inconclusive", 1),
        ("uk-ai-cop:12.1", "inconclusive", 1),
        ("uk-ai-cop:99.1", "inconclusive", 1),
    ]


def test_artefacts_and_days(summary_of):
    summary = summary_of(
        call(SIGN, subject="sha256:aa"),
        call(subject="sha256:aa", time="2026-11-02T10:00:00Z"),
        call(subject="sha256:bb", outcome="fail", error="SignatureError", time="2026-11-02T11:00:00Z"),
    )
    assert [(one.digest, dict(one.calls)) for one in summary.artefacts] == [
        ("sha256:aa", {("signing.sign", "pass"): 1, ("signing.verify", "pass"): 1}),
        ("sha256:bb", {("signing.verify", "fail"): 1}),
    ]
    assert summary.days == {"2026-11-01": (1, 0, 0), "2026-11-02": (1, 1, 0)}
    assert summary.calls == {SIGN: 1, VERIFY: 2}


def test_what_is_kept_is_bounded(summary_of, monkeypatch):
    monkeypatch.setattr(evidence._summary, "_MOST", 10)
    events = [call(subject=f"sha256:{n}", outcome="fail", error="PolicyError", provisions=(f"uk-ai-cop:{n}.1",)) for n in range(300)]
    summary = summary_of(*events, *(call("lifeseal.evidence.track", tracked=f"t{n}", subject="d", provisions=()) for n in range(300)))
    assert (summary.refused, len(summary.refusals), len(summary.artefacts), len(summary.tallies)) == (300, 200, 11, 11)
    assert sum(sum(one.calls.values()) for one in summary.artefacts) == 600
    assert sum(one.evidence + one.failed for one in summary.tallies) == 300 + 2
    assert len(summary.changes) == 10


def test_a_log_that_does_not_hold_is_not_folded(summary_of, tmp_path):
    summary_of(call(), call())
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    (tmp_path / "log").write_bytes(lines[0] + lines[2])
    with pytest.raises(evidence._read.TamperedError):
        evidence.summarise(tmp_path / "log")
    assert _run(["report", str(tmp_path / "log")]) == 1


def test_the_summary_binds_the_file_it_was_made_from(summary_of, tmp_path):
    import hashlib

    summary = summary_of(call())
    assert summary.digest == hashlib.sha256((tmp_path / "log").read_bytes()).hexdigest()
    assert summary.head == evidence.verify(tmp_path / "log").head
    assert attrs.asdict(summary)["events"] == 1
