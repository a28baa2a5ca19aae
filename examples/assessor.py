# SPDX-License-Identifier: Apache-2.0
"""An assessor's questions from the Code, answered from an event log alone.

Run it as ``python examples/assessor.py EVENTS.jsonl``, on the log that ``examples/lifecycle.py`` leaves. Each answer names the lines of the log
it rests on. What a log cannot show, as whether staff were trained, is not asked.
"""

import sys
from collections.abc import Iterator

from lifeseal import evidence
from lifeseal.principles import Event, find


def main() -> None:
    """Ask, and print what the log says."""
    if not sys.argv[1:]:
        sys.exit("usage: python examples/assessor.py EVENTS.jsonl")
    log = sys.argv[1]
    lines = list(enumerate(evidence.read(log), start=2))  # line 1 begins the log; a torn line, of which this log has none, would shift the count
    for number, question, answers in (
        ("2.3", "Is there an audit trail, and is it whole?", trail(log)),
        ("3.1.1", "Was the threat model made of the configuration in force?", reviews(log)),
        ("5.4.1", "What was scanned, and what was found?", scans(lines)),
        ("7.1", "Was every model that was loaded verified before?", loads(lines)),
        ("8.1.2", "Which models were signed, with which digests?", told(lines, "signing.sign", "subject", "signer")),
        ("8.2.1", "Which data was recorded, and when?", told(lines, "provenance.record", "subject", "size")),
        ("8.3", "Which prompts and configurations changed?", changes(log)),
        ("9.2", "Was the released model tested before?", tested(lines)),
        ("12.1", "What was refused?", refusals(log)),
        ("13.2", "What was disposed of, on whose word, and is it gone?", disposed(lines)),
    ):
        print(f"{number} ({find(number).force}) {question}")
        for answer in [*answers] or ["The log shows nothing of it."]:
            print(f"    {answer}")


def trail(log: str) -> Iterator[str]:
    """2.3: the chain."""
    found = evidence.verify(log)
    yield f"{found.events} events, each bound to the one before; {found.damaged} torn; head {found.head[:16]}…"


def reviews(log: str) -> Iterator[str]:
    """3.1.1: reviews, and what changed since."""
    for one in evidence.summarise(log).reviews:
        state = f"stale, {', '.join(one.stale)} changed since" if one.stale else "current"
        covers, risks = ", ".join(one.covers), ", ".join(one.risks) or "nothing"
        yield f"line {one.line}: {one.document[:19]}… by {one.reviewer} covers {covers}: {state}; open: {risks}"


def scans(lines: list[tuple[int, Event]]) -> Iterator[str]:
    """5.4.1: verdicts."""
    for line, event in named(lines, "serialization.scan"):
        yield f"line {line}: {event.facts.get('files')} files, {event.facts.get('verdict')}"


def loads(lines: list[tuple[int, Event]]) -> Iterator[str]:
    """7.1: each load, and the check it rests on."""
    opened: dict[object, int] = {}
    for line, event in lines:
        name, subject = event.primitive.removeprefix("lifeseal."), event.facts.get("subject")
        if name == "signing.open_model" and event.outcome == "pass":
            opened[subject] = line
        elif name in {"loading.load_tensors", "loading.load_into", "loading.pinned"} and event.outcome == "pass":
            yield f"line {line}: {subject}: " + (f"verified at line {opened[subject]}" if subject in opened else "NOT verified in this log")


def told(lines: list[tuple[int, Event]], primitive: str, *facts: str) -> Iterator[str]:
    """Calls that ended well, and what they noted."""
    for line, event in named(lines, primitive):
        if event.outcome == "pass":
            yield f"line {line}: {event.time[:19]} " + ", ".join(f"{fact} {event.facts.get(fact)}" for fact in facts)


def changes(log: str) -> Iterator[str]:
    """8.3: what became another."""
    for one in evidence.summarise(log).changes:
        yield f"line {one.line}: {one.name}: {one.before[:19] or 'first seen'} -> {one.after[:19]}"


def tested(lines: list[tuple[int, Event]]) -> Iterator[str]:
    """9.2, 11.2: a release, and results of the very same digest."""
    results: dict[object, tuple[int, object]] = {}
    for line, event in lines:
        subject = event.facts.get("subject")
        if event.primitive == "lifeseal.evidence.attest_tests" and event.outcome == "pass":
            results[subject] = line, event.facts.get("result")
        elif event.primitive == "lifeseal.evidence.release" and event.outcome == "pass":
            where = "NO test of this digest before it" if subject not in results else "tests {1} at line {0}".format(*results[subject])
            yield f"line {line}: version {event.facts.get('version')} of {subject}: {where}"


def refusals(log: str) -> Iterator[str]:
    """12.1: what a control stopped."""
    for one in evidence.summarise(log).refusals:
        yield f"line {one.line}: {one.primitive.removeprefix('lifeseal.')}: {one.error} {one.about}"


def disposed(lines: list[tuple[int, Event]]) -> Iterator[str]:
    """13.2: the intent, the custodian, the outcome."""
    for line, event in named(lines, "disposal.dispose"):
        if event.outcome == "intent":
            yield f"line {line}: custodian {event.facts.get('custodian')}, request {event.facts.get('request')}: {event.facts.get('assets')}"
        else:
            yield f"line {line}: {event.facts.get('status', event.error)} at epoch {event.facts.get('epoch')} of vault {event.facts.get('vault')}"


def named(lines: list[tuple[int, Event]], primitive: str) -> Iterator[tuple[int, Event]]:
    """Pick the calls of one function."""
    return ((line, event) for line, event in lines if event.primitive == f"lifeseal.{primitive}")


if __name__ == "__main__":
    main()
