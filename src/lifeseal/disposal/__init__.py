# SPDX-License-Identifier: Apache-2.0
"""Disposal: erase assets and certify it, with its limits.

```python
from lifeseal import disposal

todo = disposal.plan(vault, ["classifier"])
certificate = disposal.dispose(
    todo, signer=signer, sanitiser="ops@example.org", custodian="records@example.org", trigger="decommission"
)
certificate.write("classifier.disposal.json")
```
"""

from lifeseal.disposal._certificate import TRIGGERS, Certificate, Disposal, DisposedAsset, Trigger, open_certificate
from lifeseal.disposal._copies import FORGOTTEN, Copy, Search, find_copies
from lifeseal.disposal._dispose import Plan, confirm, dispose, plan
from lifeseal.disposal._hub_cache import HubTraces, hub_folder, hub_traces
from lifeseal.disposal._people import PersonFound, find_people
from lifeseal.disposal._wanted import Anchor, Wanted

__all__ = [
    "FORGOTTEN",
    "TRIGGERS",
    "Anchor",
    "Certificate",
    "Copy",
    "Disposal",
    "DisposedAsset",
    "HubTraces",
    "PersonFound",
    "Plan",
    "Search",
    "Trigger",
    "Wanted",
    "confirm",
    "dispose",
    "find_copies",
    "find_people",
    "hub_folder",
    "hub_traces",
    "open_certificate",
    "plan",
]
