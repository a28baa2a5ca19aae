# SPDX-License-Identifier: Apache-2.0
"""Services on loopback for your own tests: what they attest is real, checkable, and trusted by nobody else.

```python
from lifeseal import attestation, testing

with testing.sigstore() as deployment:
    trust = deployment.trust()
    signer = attestation.SigstoreSigner(trust, deployment.oidc.token("ci@example.org"))
    policy = attestation.TrustedIdentity("ci@example.org", deployment.oidc.url, trust)
```

The package needs the extra ``testing``. Fixtures for pytest are in ``lifeseal.testing.fixtures``.
"""

from lifeseal.testing._fulcio import Fulcio
from lifeseal.testing._hub import Hub, hub
from lifeseal.testing._issued import Issued
from lifeseal.testing._log import Log
from lifeseal.testing._oidc import Oidc
from lifeseal.testing._sigstore import Sigstore, sigstore
from lifeseal.testing._tsa import Tsa, timestamp_authority

__all__ = ["Fulcio", "Hub", "Issued", "Log", "Oidc", "Sigstore", "Tsa", "hub", "sigstore", "timestamp_authority"]
