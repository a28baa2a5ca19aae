# SPDX-License-Identifier: Apache-2.0
"""Datasets: record where data came from, sign that, and find every later change.

```python
import datetime as dt

from lifeseal import provenance

description = provenance.Description(
    name="reviews",
    source="https://example.org/reviews",
    obtained=dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
    licence="CC-BY-4.0",
)
manifest = provenance.record("reviews/", description=description)
manifest.write("reviews.json")
provenance.verify(manifest, "reviews/")
```
"""

from lifeseal.provenance._manifest import Description, Manifest, RecordedFile
from lifeseal.provenance._record import DataVerification, open_manifest, record, sign, verify

__all__ = ["DataVerification", "Description", "Manifest", "RecordedFile", "open_manifest", "record", "sign", "verify"]
