# SPDX-License-Identifier: Apache-2.0
"""Models: sign, open and verify in the OpenSSF Model Signing (OMS) format.

```python
from lifeseal import attestation, signing

signer = attestation.KeySigner.from_file("release.key")
signing.sign("model/", signer=signer)

policy = attestation.TrustedKey.from_file("release.pub")
with signing.open_model("model/", policy=policy) as signed:
    config = signed.read("config.json")
```
"""

from lifeseal.signing._digests import Changes, Digests, compare, digest, listed_names
from lifeseal.signing._model import FileEntry, SignedModel, Verification, unchecked
from lifeseal.signing._open import Links, open_model, signed_names, verify
from lifeseal.signing._sign import sign

__all__ = [
    "Changes",
    "Digests",
    "FileEntry",
    "Links",
    "SignedModel",
    "Verification",
    "compare",
    "digest",
    "listed_names",
    "open_model",
    "sign",
    "signed_names",
    "unchecked",
    "verify",
]
