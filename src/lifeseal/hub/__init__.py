# SPDX-License-Identifier: Apache-2.0
"""The Hugging Face Hub: pull what was signed and nothing else, push signed, check the cache, and remove every trace.

```python
from lifeseal import attestation, hub, loading

policy = attestation.TrustedKey.from_file("release.pub")
with hub.pull("acme/classifier", policy=policy) as signed:
    tensors = loading.load_tensors(signed)
```
"""

from lifeseal.hub._client import Kind
from lifeseal.hub._data import PulledData, pull_data, push_data
from lifeseal.hub._pull import pull, verify
from lifeseal.hub._purge import Purge, purge
from lifeseal.hub._push import Push, push

__all__ = ["Kind", "PulledData", "Purge", "Push", "pull", "pull_data", "purge", "push", "push_data", "verify"]
