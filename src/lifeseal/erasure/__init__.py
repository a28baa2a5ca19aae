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

from lifeseal._io import Secret
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._aws_kms_root import AwsKmsRoot
from lifeseal.erasure._check import check_structure
from lifeseal.erasure._file_root import FileRoot
from lifeseal.erasure._files import SealedFile, UnsealedFile, json_field
from lifeseal.erasure._find import FoundRecords
from lifeseal.erasure._hand_over import HandOvers
from lifeseal.erasure._holders import Cell, HeldRoot, Holder, KeyState, KeyVersion, RootHolder, Strength, Wrapper
from lifeseal.erasure._holds import Holds
from lifeseal.erasure._keyring_root import KeyringRoot
from lifeseal.erasure._openbao_root import OpenBaoRoot
from lifeseal.erasure._passphrase import PassphraseRoot
from lifeseal.erasure._pkcs11_root import Pkcs11Root
from lifeseal.erasure._receive import receive
from lifeseal.erasure._recipient import Recipient, RecipientAlgorithm, RecipientKey, generate_recipient_key
from lifeseal.erasure._sidecar import HandOver, open_hand_over
from lifeseal.erasure._subjects import Subjects
from lifeseal.erasure._tpm_root import TpmRoot
from lifeseal.erasure._trials import Sample, SampledContainer, Trial, Trials
from lifeseal.erasure._unlocked import allow_unlocked_memory
from lifeseal.erasure._values import AssetInfo, Compaction, ErasedSlot, Erasure, HolderRecord, KeyCopy, Rehoming, VaultCheck, VaultInfo
from lifeseal.erasure._vault import Vault

__all__ = [
    "AssetInfo",
    "AwsKmsRoot",
    "Cell",
    "Compaction",
    "ErasedSlot",
    "Erasure",
    "FileRoot",
    "FoundRecords",
    "HandOver",
    "HandOvers",
    "HeldRoot",
    "Holder",
    "HolderRecord",
    "Holds",
    "KeyCopy",
    "KeyState",
    "KeyVersion",
    "KeyringRoot",
    "OpenBaoRoot",
    "PassphraseRoot",
    "Pkcs11Root",
    "Recipient",
    "RecipientAlgorithm",
    "RecipientKey",
    "Rehoming",
    "RootHolder",
    "Sample",
    "SampledContainer",
    "SealedAsset",
    "SealedFile",
    "Secret",
    "Strength",
    "Subjects",
    "TpmRoot",
    "Trial",
    "Trials",
    "UnsealedFile",
    "Vault",
    "VaultCheck",
    "VaultInfo",
    "Wrapper",
    "allow_unlocked_memory",
    "check_structure",
    "generate_recipient_key",
    "json_field",
    "open_hand_over",
    "receive",
]
