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

from lifeseal.provenance._checked import CheckedRecords, checked
from lifeseal.provenance._columns import checked_batches, read_columns, row_entries
from lifeseal.provenance._cyclonedx import model_bom
from lifeseal.provenance._describe import describe
from lifeseal.provenance._description import Description, Origin, Sensitivity
from lifeseal.provenance._diff import Difference, FileChange, RecordChanges, diff
from lifeseal.provenance._entries import Column, FileRecords, RecordedFile, SetRoot
from lifeseal.provenance._export import EXPORT_FORMATS, ExportFormat, export
from lifeseal.provenance._keys import LeafKey
from lifeseal.provenance._manifest import KeyUse, Manifest
from lifeseal.provenance._proof import Absent, Claim, Gap, Grown, Included, Place, Proof
from lifeseal.provenance._prove import check_proof, prove, prove_growth
from lifeseal.provenance._record import record
from lifeseal.provenance._remote import Remote
from lifeseal.provenance._samples import sample_parts
from lifeseal.provenance._sign import open_manifest, sign
from lifeseal.provenance._spdx import model_spdx
from lifeseal.provenance._trace import Edge, trace
from lifeseal.provenance._training import Code, Input, record_training, training_inputs
from lifeseal.provenance._verify import DataVerification, Sample, verify
from lifeseal.provenance._work import Records

__all__ = [
    "EXPORT_FORMATS",
    "Absent",
    "CheckedRecords",
    "Claim",
    "Code",
    "Column",
    "DataVerification",
    "Description",
    "Difference",
    "Edge",
    "ExportFormat",
    "FileChange",
    "FileRecords",
    "Gap",
    "Grown",
    "Included",
    "Input",
    "KeyUse",
    "LeafKey",
    "Manifest",
    "Origin",
    "Place",
    "Proof",
    "RecordChanges",
    "RecordedFile",
    "Records",
    "Remote",
    "Sample",
    "Sensitivity",
    "SetRoot",
    "check_proof",
    "checked",
    "checked_batches",
    "describe",
    "diff",
    "export",
    "model_bom",
    "model_spdx",
    "open_manifest",
    "prove",
    "prove_growth",
    "read_columns",
    "record",
    "record_training",
    "row_entries",
    "sample_parts",
    "sign",
    "trace",
    "training_inputs",
    "verify",
]
