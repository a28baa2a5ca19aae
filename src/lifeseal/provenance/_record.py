# SPDX-License-Identifier: Apache-2.0
"""Recording: from files on disk to a manifest."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifeseal._io import DiskSource, ProgressCallback, StrPath
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.provenance._description import Description, Origin
from lifeseal.provenance._journal import Journal
from lifeseal.provenance._keys import LeafKey, key_use
from lifeseal.provenance._manifest import Manifest
from lifeseal.provenance._remote import Remote, RemoteSource, is_url
from lifeseal.provenance._work import Recording, Records

if TYPE_CHECKING:
    from concurrent.futures import Executor


@implements(
    "8.1.1",
    "8.2",
    "8.2.1",
    "5.2",
    evidences=("2.5",),
    limits="It states where the caller says the data came from; data that was poisoned before it was recorded is recorded as it is.",
)
def record(
    paths: StrPath | Remote | Iterable[StrPath | Remote],
    *,
    description: Description,
    records: Records | None = None,
    leaf_key: LeafKey | None = None,
    derived_from: Iterable[Manifest | Origin | str] = (),
    previous: Manifest | None = None,
    executor: "Executor | None" = None,
    progress: ProgressCallback = None,
) -> Manifest:
    """Record which files and records a dataset has, where it came from, when, and under which terms.

    Equal input gives equal bytes. Of one folder the paths are relative to it; of several inputs each path begins with the input's name.

    With ``records`` a run that was interrupted goes on where it stopped, if it is called again with the same folder for leaf files.

    Args:
        paths: A folder, a file, or several of them with different names. A text that begins with a protocol is read over the network: ``s3://``,
            ``hf://datasets/…`` (at the commit that its revision means now, which the manifest keeps) or what else fsspec knows; `Remote` says
            how. Where the server keeps a SHA-256 of a file that need not be cut into records, the file is not read, and its entry says so.
        description: Source, time obtained, licence, uses.
        records: Hash records too, and where their leaf files go; by default files only.
        leaf_key: Key for the leaves, at least 16 bytes, or a function from a record to its key; for data whose records could be guessed.
        derived_from: Manifests this data was made from, with `Origin.of` the step that made it, or their digests.
        previous: An earlier manifest over the same leaf files: files whose stamp (device, inode, size, times) still holds are taken from it
            unread; in a bucket, objects whose ETag and size are the same, and an ETag is no secure digest.
        executor: Hashes in its workers instead of threads: processes, or a cluster's. Workers are trusted, see the same paths and write to the
            same folder of leaf files. One that dies costs a second attempt; if the executor itself breaks, the rest is done here.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        The manifest. Leaf files are written, the manifest is not.

    Raises:
        CredentialError: A server refuses, or no credentials for it were found.
        FormatError: There is no file, a link or special file lies there, a name is not UTF-8 or stands twice, two inputs have one name, a
            file is not what its format says, or a file changed meanwhile.
        LimitError: More files, longer paths or larger records than allowed.
        LockedError: Another recording writes to the same leaf files.
        MissingExtraError: A package that reads a file is not installed.
        OSError: Something cannot be read or written.
        StoreError: A server does not answer, or workers died again and again; finished files are not read again, where ``records`` was given.
        ValueError: A digest in ``derived_from`` is not one, ``leaf_key`` is too short, ``previous`` is given without ``records``, or a URL is
            of no kind that is known.
    """
    given = [paths] if isinstance(paths, str | os.PathLike | Remote) else list(paths)
    inputs = [Remote(url=str(path)) if is_url(path) else path for path in given]
    origins = tuple(map(_origin, derived_from))
    used = key_use(leaf_key) if records is not None else None
    if records is None and (previous is not None or leaf_key is not None):
        raise ValueError("previous= and leaf_key= are about records: give records= too")
    with contextlib.ExitStack() as stack:
        sources = _open_inputs(inputs, stack)
        journal = None
        if records is not None:
            _refuse_inside(Path(records.leaves), inputs)
            how = {"sets": records.sets, "formats": dict(records.formats), "keys": "" if used is None else f"{used.keys} {used.check.hex()}"}
            journal = stack.enter_context(Journal.open(Path(records.leaves), how))
        files = Recording(sources, records=records, leaf_key=leaf_key, executor=executor, progress=progress, journal=journal).run(previous)
        manifest = Manifest(
            description=description,
            files=files,
            derived_from=origins,
            key_use=used if any(file.records is not None for file in files) else None,
            pinned=tuple(source.pinned for source, _ in sources if isinstance(source, RemoteSource) and source.pinned),
            leaves=None if records is None else Path(records.leaves),
        )
        if journal is not None:
            journal.finish(manifest.digest)
    note(subject=manifest.digest, files=len(manifest.files), size=manifest.size, records=manifest.records)
    return manifest


def _origin(origin: Manifest | Origin | str) -> Origin:
    if isinstance(origin, Origin):
        return origin
    return Origin(digest=origin if isinstance(origin, str) else origin.digest)


def _open_inputs(inputs: Sequence[StrPath | Remote], stack: contextlib.ExitStack) -> list[tuple[DiskSource | RemoteSource, str]]:
    """Open every input, with the prefix its paths get."""
    found: list[tuple[DiskSource | RemoteSource, str]] = []
    seen: set[str] = set()
    for path in inputs:
        source = RemoteSource.listed(path) if isinstance(path, Remote) else stack.enter_context(DiskSource(path))
        if source.name in seen:
            raise FormatError(source.where, f"{source.name!r} stands in two inputs; record their common folder instead")
        seen.add(source.name)
        found.append((source, f"{source.name}/" if len(inputs) > 1 and source.is_folder else ""))
    return found


def _refuse_inside(folder: Path, inputs: Sequence[StrPath | Remote]) -> None:
    place = Path(os.path.realpath(folder))
    for path in inputs:
        if isinstance(path, Remote):
            continue
        data = Path(os.path.realpath(path))
        if data == place or data in place.parents:
            raise ValueError(f"the leaf files would lie inside the data: {folder} is in {path}")
