# SPDX-License-Identifier: Apache-2.0
"""Roots in places of this machine, from their URIs."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._named_root import Named, Options
from lifeseal.cli._options import secret_from

if TYPE_CHECKING:
    from lifeseal.erasure import RootHolder

_INDEX = re.compile(r"0x[0-9a-fA-F]{1,8}", re.ASCII)
_WRITES = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def keyring_root(named: Named) -> "RootHolder":
    """Build a root in the operating system's keyring: ``keyring:NAME``."""
    from lifeseal.erasure import KeyringRoot

    try:
        return KeyringRoot(named.place)
    except ValueError as error:
        raise click.UsageError(f"a root in a keyring is written keyring:NAME, not {named.uri!r}: {error}") from None


def tpm_root(named: Named) -> "RootHolder":
    """Build a root in an NV index of a TPM: ``tpm:INDEX``, with ``tcti``, ``owner-auth-file``, ``hardware`` and ``writes`` behind a question mark."""
    from lifeseal.erasure import TpmRoot

    place, _, query = named.place.partition("?")
    asked = Options(query, "&", uri=named.uri)
    tcti, owner_file, hardware = asked.take("tcti"), asked.take("owner-auth-file"), asked.take_flag("hardware")
    writes = asked.take("writes") or "100000"
    asked.done()
    if not _INDEX.fullmatch(place):
        raise click.UsageError(f"a root in a TPM is written tpm:INDEX, as tpm:0x01500016, not {named.uri!r}")
    if not _WRITES.fullmatch(writes):
        raise click.UsageError(f"{named.uri!r}: writes is a number")
    owner = None if owner_file is None else secret_from(Path(owner_file), prompt=None, what="the authorisation value of the TPM's owner")
    os.environ.setdefault("TSS2_LOG", "all+NONE")  # the library of the TPM would tell its errors beside ours
    try:
        return TpmRoot(
            int(place, 16),
            auth=named.secret("authorisation value of the index"),
            tcti=tcti or "device:/dev/tpmrm0",
            owner_auth=bytearray(owner or b""),
            hardware=hardware,
            writes=int(writes),
        )
    except ValueError as error:
        raise click.UsageError(f"{named.uri!r}: {error}") from None
