# SPDX-License-Identifier: Apache-2.0
"""A TUF repository with one key for every role."""

import datetime as dt
from collections.abc import Mapping

from lifeseal._io import require


def repository(targets: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Sign a repository that hands out files.

    Args:
        targets: Content by name.

    Returns:
        Content by path: the metadata, ``/1.root.json`` among them, and the files below ``/targets/``.

    Source: The Update Framework specification 1.0, section 4.
    """
    tuf, signers = require("tuf.api.metadata", extra="testing"), require("securesystemslib.signer", extra="testing")
    signer = signers.CryptoSigner.generate_ecdsa()
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(days=30)).replace(microsecond=0)
    root = tuf.Root(expires=until, consistent_snapshot=False)
    for role in ("root", "timestamp", "snapshot", "targets"):
        root.add_key(signer.public_key, role)
    roles = {
        "1.root": root,
        "targets": tuf.Targets(expires=until, targets={name: tuf.TargetFile.from_data(name, data) for name, data in targets.items()}),
        "snapshot": tuf.Snapshot(expires=until),
        "timestamp": tuf.Timestamp(expires=until),
    }
    found = {f"/targets/{name}": data for name, data in targets.items()}
    for name, role in roles.items():
        metadata = tuf.Metadata(role)
        metadata.sign(signer)
        found[f"/{name}.json"] = metadata.to_bytes()
    return found
