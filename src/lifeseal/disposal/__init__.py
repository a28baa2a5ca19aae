# SPDX-License-Identifier: Apache-2.0
"""Disposal: find copies, erase assets, and certify it, with its limits.

```python
from lifeseal import disposal

todo = disposal.plan(vault, ["classifier"], search=["/home", "/data"], remove="files")
certificate = disposal.dispose(
    todo,
    signer=signer,
    sanitiser="ops@example.org",
    custodian="records@example.org",
    trigger="decommission",
    journal="classifier.journal",
)
certificate.write("classifier.disposal.json")
```
"""

from lifeseal.disposal._begun import Begun, Name, ToUnlink
from lifeseal.disposal._certificate import Certificate, open_certificate
from lifeseal.disposal._confirm import confirm
from lifeseal.disposal._copies import FORGOTTEN, Copy, Search, find_copies
from lifeseal.disposal._cosignature import Cosignature
from lifeseal.disposal._dispose import dispose, resume, under_way
from lifeseal.disposal._hub_cache import HubTraces, hub_folder, hub_traces
from lifeseal.disposal._page import page
from lifeseal.disposal._people import PersonFound, find_people
from lifeseal.disposal._plan import Plan, Remove, plan
from lifeseal.disposal._removal import Target
from lifeseal.disposal._statement import Disposal
from lifeseal.disposal._values import (
    ROLES,
    TRIGGERS,
    Attempt,
    Derivative,
    DisposedAsset,
    HeldBy,
    KeyCopy,
    KnownDigests,
    Listing,
    Medium,
    Party,
    Removals,
    Role,
    Searched,
    Stated,
    Trigger,
    Vouched,
)
from lifeseal.disposal._vouched import Approval, Receipt, acknowledge, approve, open_approval, open_receipt, order_digest
from lifeseal.disposal._wanted import Anchor, Wanted

__all__ = [
    "FORGOTTEN",
    "ROLES",
    "TRIGGERS",
    "Anchor",
    "Approval",
    "Attempt",
    "Begun",
    "Certificate",
    "Copy",
    "Cosignature",
    "Derivative",
    "Disposal",
    "DisposedAsset",
    "HeldBy",
    "HubTraces",
    "KeyCopy",
    "KnownDigests",
    "Listing",
    "Medium",
    "Name",
    "Party",
    "PersonFound",
    "Plan",
    "Receipt",
    "Removals",
    "Remove",
    "Role",
    "Search",
    "Searched",
    "Stated",
    "Target",
    "ToUnlink",
    "Trigger",
    "Vouched",
    "Wanted",
    "acknowledge",
    "approve",
    "confirm",
    "dispose",
    "find_copies",
    "find_people",
    "hub_folder",
    "hub_traces",
    "open_approval",
    "open_certificate",
    "open_receipt",
    "order_digest",
    "page",
    "plan",
    "resume",
    "under_way",
]
