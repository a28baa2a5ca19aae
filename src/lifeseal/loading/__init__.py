# SPDX-License-Identifier: Apache-2.0
"""Loading: tensors out of a signed model in one pass, so that nothing can change between check and use.

```python
from lifeseal import attestation, loading, signing

policy = attestation.TrustedKey.from_file("release.pub")
with signing.open_model("model/", policy=policy) as signed:
    tensors = loading.load_tensors(signed)
```
"""

from lifeseal.loading._cache_key import KeyringKey
from lifeseal.loading._into import LoadReport, load_into
from lifeseal.loading._pinned import Mode, pinned
from lifeseal.loading._stat_cache import StatCheckedModel, stat_checked
from lifeseal.loading._tensors import load_tensors

__all__ = ["KeyringKey", "LoadReport", "Mode", "StatCheckedModel", "load_into", "load_tensors", "pinned", "stat_checked"]
