# SPDX-License-Identifier: Apache-2.0
"""Comparing a dataset with its manifest."""

import attrs

from lifeseal._io import DiskSource, ProgressCallback, StrPath, hash_files
from lifeseal.errors import DigestMismatchError
from lifeseal.principles import implements, note
from lifeseal.provenance._manifest import Manifest


@attrs.frozen(kw_only=True)
class DataVerification:
    """What a whole verification of a dataset established.

    Attributes:
        digest: The manifest's digest.
        files: Files whose content was compared.
        size: Bytes that were compared.
    """

    digest: str
    files: int
    size: int


@implements(
    "5.4.1",
    evidences=("2.5", "5.2"),
    limits="It finds every change since recording; it cannot find poison that was there when the data was recorded.",
)
def verify(manifest: Manifest, root: StrPath, *, progress: ProgressCallback = None) -> DataVerification:
    """Read a whole dataset and compare it with its manifest.

    Names and sizes are compared before anything is hashed.

    Args:
        manifest: What it should be.
        root: The folder (or lone file) that was recorded.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        What was established.

    Raises:
        DigestMismatchError: Files are missing, extra or changed; lists them.
        FormatError: A link or special file lies there, or a file changed while it was read.
        OSError: Something cannot be read.
    """
    wanted = {file.path: file for file in manifest.files}
    note(subject=manifest.digest, files=len(wanted))
    with DiskSource(root) as source:
        there = source.names()
        missing = tuple(sorted(wanted.keys() - set(there)))
        extra = tuple(name for name in there if name not in wanted)
        resized = tuple(name for name in there if name in wanted and source.size(name) != wanted[name].size)
        if missing or extra or resized:
            raise DigestMismatchError(source.where, changed=resized, missing=missing, extra=extra)
        found = hash_files(source, list(wanted), progress=progress, phase="verifying")
        changed = tuple(name for name, file in wanted.items() if found[name].digest != file.sha256)
        if changed:
            raise DigestMismatchError(source.where, changed=changed)
    return DataVerification(digest=manifest.digest, files=len(found), size=sum(entry.size for entry in found.values()))
