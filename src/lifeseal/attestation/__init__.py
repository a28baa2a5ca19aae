# SPDX-License-Identifier: Apache-2.0
"""Signed statements: keys and policies, the DSSE envelope in a Sigstore bundle, the in-toto statement, waivers.

```python
from lifeseal import attestation

public = attestation.generate_key("release")  # release.key, release.pub
signer = attestation.KeySigner.from_file("release.key")
policy = attestation.TrustedKey.from_file("release.pub")
```
"""

from lifeseal.attestation._authority import TimestampAuthority
from lifeseal.attestation._bundle import Bundle, CertificateMaterial, Envelope, KeyMaterial, pae
from lifeseal.attestation._certificates import CertificateSigner, TrustedCertificates
from lifeseal.attestation._combine import all_of, any_of, threshold
from lifeseal.attestation._identity import TrustedIdentity, claimed_identity, identity_fingerprint
from lifeseal.attestation._keyless import SigstoreSigner
from lifeseal.attestation._keys import KEY_ALGORITHMS, KeyAlgorithm, KeySigner, TrustedKey, generate_key
from lifeseal.attestation._log_entry import InclusionProof, LogEntry, SigstoreMaterial
from lifeseal.attestation._policy import Policy, Purpose, Signer, SignerInfo, Timestamper, open_statement, sign_statement
from lifeseal.attestation._policy_file import PolicyFile
from lifeseal.attestation._sigstore_trust import SigstoreTrust
from lifeseal.attestation._statement import Statement, Subject, parse_digest
from lifeseal.attestation._waiver import FAULTS, Fault, Waiver, format_time, parse_time
from lifeseal.attestation._withdrawals import SignerKind, Withdrawals, WithdrawnArtefact, WithdrawnSigner

__all__ = [
    "FAULTS",
    "KEY_ALGORITHMS",
    "Bundle",
    "CertificateMaterial",
    "CertificateSigner",
    "Envelope",
    "Fault",
    "InclusionProof",
    "KeyAlgorithm",
    "KeyMaterial",
    "KeySigner",
    "LogEntry",
    "Policy",
    "PolicyFile",
    "Purpose",
    "Signer",
    "SignerInfo",
    "SignerKind",
    "SigstoreMaterial",
    "SigstoreSigner",
    "SigstoreTrust",
    "Statement",
    "Subject",
    "TimestampAuthority",
    "Timestamper",
    "TrustedCertificates",
    "TrustedIdentity",
    "TrustedKey",
    "Waiver",
    "Withdrawals",
    "WithdrawnArtefact",
    "WithdrawnSigner",
    "all_of",
    "any_of",
    "claimed_identity",
    "format_time",
    "generate_key",
    "identity_fingerprint",
    "open_statement",
    "pae",
    "parse_digest",
    "parse_time",
    "sign_statement",
    "threshold",
]
