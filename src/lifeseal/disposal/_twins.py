# SPDX-License-Identifier: Apache-2.0
"""Assets of a vault that hold exactly what another one holds: with that one erased, they are copies of it."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from lifeseal.attestation import parse_digest
from lifeseal.disposal._values import DisposedAsset
from lifeseal.errors import LifesealError

if TYPE_CHECKING:
    from lifeseal.erasure import Vault


def twins(vault: "Vault", assets: Iterable[DisposedAsset], *, but: Collection[str] = ()) -> list[tuple[str, str]]:
    """Find live assets with the content of others: number and size of files first, and digests only where those are equal.

    Args:
        vault: The vault.
        assets: Whose content.
        but: Names that are not looked at.

    Returns:
        Names, and why an asset could not be compared; empty if it was, and holds the same.
    """
    from lifeseal import signing

    sought: dict[tuple[int, int], set[bytes]] = {}
    for asset in assets:
        if asset.kind == "sealed":
            sought.setdefault((asset.files, asset.size), set()).add(asset.sha256)
    found = []
    for info in vault.assets() if sought else ():
        if info.state != "live" or info.name in but or (info.files, info.size) not in sought:
            continue
        try:
            with vault.asset(info.name) as other:
                root = parse_digest(signing.digest(other).root)
        except (LifesealError, OSError) as error:
            found.append((info.name, str(error)))
            continue
        if root in sought[info.files, info.size]:
            found.append((info.name, ""))
    return found
