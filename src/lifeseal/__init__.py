# SPDX-License-Identifier: Apache-2.0
"""Secure-lifecycle primitives for AI: sign, verify, scan, record, load, seal, erase, certify.

```python
from lifeseal import attestation, loading, signing

attestation.generate_key("release")  # writes release.key and release.pub
signer = attestation.KeySigner.from_file("release.key")
signing.sign("model/", signer=signer)  # writes model/model.sig

policy = attestation.TrustedKey.from_file("release.pub")
signed = signing.open_model("model/", policy=policy)
tensors = loading.load_tensors(signed)  # what is checked is what is loaded
```

Each part is a package of its own: `lifeseal.attestation`, `lifeseal.signing`, `lifeseal.serialization`, `lifeseal.provenance`,
`lifeseal.erasure`, `lifeseal.loading`, `lifeseal.evidence`, `lifeseal.disposal`, `lifeseal.principles`, `lifeseal.errors`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
