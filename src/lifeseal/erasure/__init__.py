# SPDX-License-Identifier: Apache-2.0
"""Seal models and datasets at rest, and make them unreadable by destroying their keys.

```python
from lifeseal.erasure import FileRoot, Vault

with Vault.create("vault/", root=FileRoot("/safe/vault.root")) as vault:
    vault.seal("model/", "classifier")
    vault.unseal("classifier", "copy/")
    vault.erase(["classifier"])  # no backup of vault/ brings it back
```
"""

from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._root import FileRoot
from lifeseal.erasure._values import AssetInfo, ErasedSlot, Erasure
from lifeseal.erasure._vault import Vault

__all__ = ["AssetInfo", "ErasedSlot", "Erasure", "FileRoot", "SealedAsset", "Vault"]
