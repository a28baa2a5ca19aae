# SPDX-License-Identifier: Apache-2.0
"""Services on loopback for your own tests: what they attest is real, checkable, and trusted by nobody else.

```python
from lifeseal import attestation, testing

with testing.timestamp_authority() as tsa:
    authority = attestation.TimestampAuthority(tsa.url, (tsa.root.der,))
```

The package needs the extra ``testing``.
"""

from lifeseal.testing._issued import Issued
from lifeseal.testing._tsa import Tsa, timestamp_authority

__all__ = ["Issued", "Tsa", "timestamp_authority"]
