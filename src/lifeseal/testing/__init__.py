# SPDX-License-Identifier: Apache-2.0
"""Parts for your own tests: services on loopback, root holders in memory that fail when told to, and the contract of root holders.

```python
from lifeseal import attestation, testing

with testing.sigstore() as deployment:
    trust = deployment.trust()
    signer = attestation.SigstoreSigner(trust, deployment.oidc.token("ci@example.org"))
    policy = attestation.TrustedIdentity("ci@example.org", deployment.oidc.url, trust)

testing.check_cell(testing.MemoryCell)  # put your own root holder in its place
```

What the services attest is real, checkable, and trusted by nobody else. They need the extra ``testing``. Fixtures for pytest are in
``lifeseal.testing.fixtures``.
"""

from lifeseal.testing._fulcio import Fulcio
from lifeseal.testing._holder_contract import ContractError, check_cell, check_wrapper
from lifeseal.testing._holders import Faults, MemoryCell, MemoryWrapper
from lifeseal.testing._hub import Hub, hub
from lifeseal.testing._issued import Issued
from lifeseal.testing._log import Log
from lifeseal.testing._oidc import Oidc
from lifeseal.testing._sigstore import Sigstore, sigstore
from lifeseal.testing._tsa import Tsa, timestamp_authority

__all__ = [
    "ContractError",
    "Faults",
    "Fulcio",
    "Hub",
    "Issued",
    "Log",
    "MemoryCell",
    "MemoryWrapper",
    "Oidc",
    "Sigstore",
    "Tsa",
    "check_cell",
    "check_wrapper",
    "hub",
    "sigstore",
    "timestamp_authority",
]
