# SPDX-License-Identifier: Apache-2.0
"""Comparing a dataset with its manifest: all of it, or a sample."""

from random import SystemRandom

import attrs

from lifeseal._io import DiskSource, ProgressCallback, StrPath
from lifeseal.errors import DigestMismatchError
from lifeseal.principles import implements, note
from lifeseal.provenance._checked import CheckedRecords
from lifeseal.provenance._formats import has_places
from lifeseal.provenance._keys import LeafKey
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._recording import hash_whole
from lifeseal.provenance._remote import Remote, RemoteSource, is_url

CONFIDENCE = 0.95


@attrs.frozen(kw_only=True)
class Sample:
    """What a sample says about the whole.

    Attributes:
        unit: What was drawn: ``records``, or ``files`` where not every file's records can be read singly.
        checked: How many were drawn and compared; each was as likely as any other.
        total: How many there are.
    """

    unit: str
    checked: int
    total: int

    @property
    def at_most(self) -> float:
        """Share of units that may differ: were it more, so clean a sample would have had a chance of less than 1 in 20."""
        return self.bound(CONFIDENCE)

    def bound(self, confidence: float) -> float:
        """Tell how large a share of units may differ, at another confidence.

        Args:
            confidence: Above 0 and below 1.

        Returns:
            The share: 1 - (1 - confidence) ** (1 / checked), or 0 if all were compared.
        """
        return 0.0 if self.checked == self.total else 1 - (1 - confidence) ** (1 / self.checked)


@attrs.frozen(kw_only=True)
class DataVerification:
    """What a verification of a dataset established.

    Attributes:
        digest: The manifest's digest.
        files: Files whose content was compared; with a sample of records, files there are.
        size: Bytes of these files.
        sample: If only a sample was compared, what that says; names and sizes of all files were compared all the same.
    """

    digest: str
    files: int
    size: int
    sample: Sample | None = None


@implements(
    "5.4.1",
    evidences=("2.5", "5.2"),
    limits="It finds every change since recording, or with a sample a stated share of it; it cannot find poison that was there when the "
    "data was recorded.",
)
def verify(
    manifest: Manifest, root: StrPath | Remote, *, sample: int | None = None, leaf_key: LeafKey | None = None, progress: ProgressCallback = None
) -> DataVerification:
    """Read a whole dataset, or a sample of it, and compare it with its manifest.

    Names and sizes of all files are compared before anything is hashed.

    Args:
        manifest: What it should be.
        root: The folder (or lone file) that was recorded; a URL, or `Remote`, where it lies on a server, which is then read and not believed.
        sample: Compare only so many records, drawn at random; or so many files, where not every file's records can be read singly, or where
            they lie on a server.
        leaf_key: For a sample of records: the key that was recorded with, if there was one.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        What was established; with a sample, how sure that is.

    Raises:
        CredentialError: This is not the key that was recorded with, or the server refuses.
        DigestMismatchError: Files are missing, extra or changed, or a record is; lists them.
        FormatError: A link or special file lies there, or a file changed while it was read.
        OSError: Something cannot be read.
        StoreError: The server does not answer.
        TamperedError: A leaf file was changed.
        ValueError: ``sample`` is less than 1.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample= is at least 1, not {sample}")
    wanted = {file.path: file for file in manifest.files}
    note(subject=manifest.digest, files=len(wanted), sample=sample)
    with _opened(root) as source:
        there = source.names()
        missing = tuple(sorted(wanted.keys() - set(there)))
        extra = tuple(name for name in there if name not in wanted)
        resized = tuple(name for name in there if name in wanted and source.size(name) != wanted[name].size)
        if missing or extra or resized:
            raise DigestMismatchError(source.where, changed=resized, missing=missing, extra=extra)
        names, drawn = list(wanted), None
        if sample is not None:
            singly = all(file.records is not None and has_places(file.records.format) for file in manifest.files) and manifest.records
            if singly and isinstance(source, DiskSource) and not isinstance(root, Remote):
                drawn = _compare_records(manifest, root, sample, leaf_key)
                return DataVerification(digest=manifest.digest, files=len(wanted), size=manifest.size, sample=drawn)
            names = sorted(SystemRandom().sample(names, min(sample, len(names))))
            drawn = Sample(unit="files", checked=len(names), total=len(wanted))
        found = hash_whole(source, names, progress=progress, phase="verifying")
        changed = tuple(entry.path for entry in found if entry.sha256 != wanted[entry.path].sha256)
        if changed:
            raise DigestMismatchError(source.where, changed=tuple(sorted(changed)))
    return DataVerification(digest=manifest.digest, files=len(found), size=sum(entry.size for entry in found), sample=drawn)


def _opened(root: StrPath | Remote) -> DiskSource | RemoteSource:
    if isinstance(root, Remote):
        return RemoteSource.listed(attrs.evolve(root, read=True))
    return RemoteSource.listed(Remote(url=str(root), read=True)) if is_url(root) else DiskSource(root)


def _compare_records(manifest: Manifest, root: StrPath, sample: int, leaf_key: LeafKey | None) -> Sample:
    total = manifest.records
    with CheckedRecords.open(manifest, root, leaf_key=leaf_key) as records:
        # In order, so that the disk is read in one direction.
        for number in sorted(SystemRandom().sample(range(total), min(sample, total))):
            records[number]
    return Sample(unit="records", checked=min(sample, total), total=total)
