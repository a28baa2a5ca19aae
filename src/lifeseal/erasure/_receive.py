# SPDX-License-Identifier: Apache-2.0
"""Opening an asset whose key was handed over."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lifeseal._io import StrPath
from lifeseal.erasure._asset import SealedAsset
from lifeseal.erasure._container import Place
from lifeseal.erasure._layout import object_name
from lifeseal.erasure._recipient import RecipientKey
from lifeseal.erasure._sidecar import digest_of, open_hand_over
from lifeseal.errors import CredentialError, FormatError, TamperedError
from lifeseal.principles import implements

if TYPE_CHECKING:
    from lifeseal.attestation import Policy


@implements(
    "13.1",
    evidences=["5.4.2"],
    limits="The key passes through ordinary memory once, where it cannot be zeroed; the giver holds it as well until the asset is erased there.",
)
def receive(path: StrPath, folder: StrPath, *, key: RecipientKey, policy: "Policy") -> SealedAsset:
    """Open an asset whose key was handed over.

    Args:
        path: The sidecar.
        folder: A copy of the giver's vault folder, or any folder with the asset's containers in ``objects/``.
        key: Your private key.
        policy: Whose hand-overs count; there is no default.

    Returns:
        The asset, to be read in place, loaded or unsealed; close it after use. What the giver erases does not close it.

    Raises:
        CredentialError: It is for another recipient.
        FormatError: It is no sidecar, or the folder no folder.
        LimitError: It is too large.
        StoreError: The container with the list of files is not there.
        TamperedError: The key does not open, or the container is not the one that was handed over.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
        OSError: A file cannot be read.
    """
    found, _ = open_hand_over(path, policy=policy)
    where, place = os.fspath(path), Path(folder)
    if found.copy.recipient != key.public.fingerprint:
        raise CredentialError(f"{where}: is for recipient {found.copy.recipient}, and this is the key of {key.public.fingerprint}")
    if found.copy.algorithm != key.public.algorithm:
        raise FormatError(where, f"{key.public.algorithm}, as the recipient's key has it, was expected")
    secret = key.open(found.sealed, found.info, where=where)
    try:
        if digest_of(place, found.index) != found.index_sha256:
            raise TamperedError(f"{place / object_name(found.index)}: is not the container that was handed over")
        whose = Place(folder=place, vault=found.vault, slot=found.slot, generation=found.generation, name=f"handed over in {Path(path).name}")
        return SealedAsset(whose, secret, found.index, ask=_still_there, epoch=found.copy.epoch)
    except BaseException:
        secret.close()
        raise


def _still_there() -> None:
    """Ask nobody: what was received does not end with the giver's."""
