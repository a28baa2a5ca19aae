# SPDX-License-Identifier: Apache-2.0
"""The two files of a key pair: ``NAME.key``, readable by its owner alone, and ``NAME.pub``."""

import os
from pathlib import Path

from lifeseal._io._durable import StrPath, replace
from lifeseal._io._names import remove


def write_pair(path: StrPath, secret: bytes, public: bytes, *, overwrite: bool) -> None:
    """Write both files, or neither.

    Args:
        path: Without the endings; the folder must exist.
        secret: What ``NAME.key`` holds.
        public: What ``NAME.pub`` holds.
        overwrite: True replaces keys of that name.

    Raises:
        FileExistsError: One is there and ``overwrite`` is false.
        OSError: The disk refused.
    """
    base = Path(path)
    key, pub = base.with_name(base.name + ".key"), base.with_name(base.name + ".pub")
    if not overwrite and (taken := next((p for p in (pub, key) if os.path.lexists(p)), None)):
        raise FileExistsError(f"{taken} is there already; a key is not replaced unless asked")
    replace(key, secret, mode=0o600, overwrite=overwrite)
    try:
        replace(pub, public, overwrite=overwrite)
    except BaseException as error:
        if not overwrite:
            remove(key)
            if not isinstance(error, FileExistsError):
                remove(pub)
        raise
