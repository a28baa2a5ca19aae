# SPDX-License-Identifier: Apache-2.0
"""Thin callbacks for trainers: each checkpoint is signed when it has been saved.

```python
from lifeseal import attestation, integrations

signer = attestation.KeySigner.from_file("release.key")
trainer = transformers.Trainer(model=model, callbacks=[integrations.transformers_callback(signer)])
```
"""

from lifeseal.integrations._lightning import lightning_callback
from lifeseal.integrations._save import OnFailure
from lifeseal.integrations._transformers import transformers_callback

__all__ = ["OnFailure", "lightning_callback", "transformers_callback"]
