# SPDX-License-Identifier: Apache-2.0
"""Evidence: a chained log of what the tagged functions did, refusals included.

```python
from lifeseal import evidence, serialization

with evidence.Log("events.jsonl"):
    serialization.scan("model/")
print(evidence.verify("events.jsonl"))
```
"""

from lifeseal.evidence._log import Log, start, stop
from lifeseal.evidence._read import LogVerification, read, verify

__all__ = ["Log", "LogVerification", "read", "start", "stop", "verify"]
