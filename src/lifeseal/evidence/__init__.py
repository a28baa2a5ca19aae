# SPDX-License-Identifier: Apache-2.0
"""Evidence: a chained log of what the tagged functions did, refusals included, and what an assessor makes of it.

```python
from lifeseal import evidence, serialization

with evidence.Log("events.jsonl"):
    serialization.scan("model/")
print(evidence.verify("events.jsonl"))
print(evidence.summarise("events.jsonl").refusals)
```
"""

from lifeseal.evidence._heads import Head, open_head, sign_head
from lifeseal.evidence._log import Log, current_head, start, stop
from lifeseal.evidence._oscal import oscal
from lifeseal.evidence._read import LogVerification, read, verify
from lifeseal.evidence._release import Release, TestEvidence, open_release, release
from lifeseal.evidence._report import report
from lifeseal.evidence._statements import attest_conversion, attest_erasure, attest_scan, attest_tests, attest_verification
from lifeseal.evidence._summary import Artefact, Change, Refusal, Review, Summary, Tally, summarise
from lifeseal.evidence._track import Tracked, review, track

__all__ = [
    "Artefact",
    "Change",
    "Head",
    "Log",
    "LogVerification",
    "Refusal",
    "Release",
    "Review",
    "Summary",
    "Tally",
    "TestEvidence",
    "Tracked",
    "attest_conversion",
    "attest_erasure",
    "attest_scan",
    "attest_tests",
    "attest_verification",
    "current_head",
    "open_head",
    "open_release",
    "oscal",
    "read",
    "release",
    "report",
    "review",
    "sign_head",
    "start",
    "stop",
    "summarise",
    "track",
    "verify",
]
