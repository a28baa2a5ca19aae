# SPDX-License-Identifier: Apache-2.0
"""Which paths may not lie inside one another."""

import os
from pathlib import Path

from lifeseal.erasure._holders import RootHolder


def refuse_root_inside(folder: Path, root: RootHolder) -> None:
    """Refuse a root file inside the vault folder, also through links and mounts.

    Args:
        folder: The vault folder; it need not exist yet.
        root: The root holder.

    Raises:
        ValueError: It lies inside; every copy of the vault would then carry the key.
    """
    if root.location is not None and _inside(root.location, folder):
        raise ValueError(
            f"{root.location}: the root lies inside the vault {folder}, so every copy of the vault would carry its key; keep it elsewhere"
        )


def refuse_overlap(path: Path, folder: Path, root: RootHolder) -> None:
    """Refuse plaintext that lies in the vault, or that the vault or its root lies in.

    Args:
        path: Plaintext to read or write.
        folder: The vault folder.
        root: The root holder.

    Raises:
        ValueError: It does.
    """
    if _inside(path, folder):
        raise ValueError(f"{path}: lies inside the vault {folder}")
    if _inside(folder, path):
        raise ValueError(f"{path}: the vault {folder} lies inside it")
    if root.location is not None and _inside(root.location, path):
        raise ValueError(f"{path}: the vault's root {root.location} lies inside it")


def _inside(path: Path, folder: Path) -> bool:
    """Tell whether ``path``, or what it links to, is ``folder`` or lies below it."""
    outer = Path(os.path.realpath(folder))
    for start in (Path(os.path.realpath(path.parent)) / path.name, Path(os.path.realpath(path))):
        for place in (start, *start.parents):
            if place == outer or (place.exists() and outer.exists() and place.samefile(outer)):
                return True
    return False
