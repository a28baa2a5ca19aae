# SPDX-License-Identifier: Apache-2.0
"""Recording, signing and verifying datasets."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import DiskSource, ProgressCallback, Record, StrPath, hash_files
from lifeseal.attestation import Bundle, Policy, Purpose, Signer, Statement, Subject, open_statement, parse_digest, sign_statement
from lifeseal.errors import DigestMismatchError, FormatError, LimitError
from lifeseal.principles import implements, note
from lifeseal.provenance._manifest import MAX_FILES, MAX_PATH, Description, Manifest, RecordedFile

if TYPE_CHECKING:
    from concurrent.futures import Executor


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
    "8.2",
    "8.2.1",
    "5.2",
    evidences=("2.5",),
    limits="It states where the caller says the data came from; data that was poisoned before it was recorded is recorded as it is.",
)
def record(
    paths: StrPath | Iterable[StrPath],
    *,
    description: Description,
    derived_from: Iterable[Manifest | str] = (),
    executor: "Executor | None" = None,
    progress: ProgressCallback = None,
) -> Manifest:
    """Record which files a dataset has, where it came from, when, and under which terms.

    Equal input gives equal bytes. Of one folder the paths are relative to it; of several inputs each path begins with the input's name.

    Args:
        paths: A folder, a file, or several of them with different names.
        description: Source, time obtained, licence.
        derived_from: Manifests this data was made from, or their digests.
        executor: Hashes in its workers instead of threads; workers are trusted and see the same paths.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        The manifest; nothing is written.

    Raises:
        FormatError: There is no file, a link or special file lies there, a name is not UTF-8 or stands twice, two inputs have one name, or
            a file changed meanwhile.
        LimitError: More files, or longer paths, than a manifest holds.
        OSError: Something cannot be read.
        ValueError: A digest in ``derived_from`` is not one.
    """
    inputs = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    origins = tuple(origin if isinstance(origin, str) else origin.digest for origin in derived_from)
    for origin in origins:
        parse_digest(origin)
    found: dict[str, RecordedFile] = {}
    seen: set[str] = set()
    for path in inputs:
        with DiskSource(path) as source:
            if source.name in seen:
                raise FormatError(source.where, f"{source.name!r} stands in two inputs; record their common folder instead")
            seen.add(source.name)
            prefix = f"{source.name}/" if len(inputs) > 1 and source.is_folder else ""
            digests = hash_files(source, source.names(), executor=executor, progress=progress, phase="recording")
        for name, entry in digests.items():
            if len(prefix + name) > MAX_PATH:
                raise LimitError(f"{source.where}: {name[:80]!r}", limit=MAX_PATH, seen=len(prefix + name), unit="characters")
            found[prefix + name] = RecordedFile(path=prefix + name, size=entry.size, sha256=entry.digest)
    if not found:
        raise FormatError(", ".join(os.fspath(path) for path in inputs) or "no path", "there is no file to record")
    if len(found) > MAX_FILES:
        raise LimitError("dataset", limit=MAX_FILES, seen=len(found), unit="files")
    manifest = Manifest(description=description, files=tuple(found[name] for name in sorted(found)), derived_from=origins)
    note(subject=manifest.digest, files=len(manifest.files), size=manifest.size)
    return manifest


@implements("5.2", "8.2", limits="It binds the manifest to the key's holder; whether its statements are true is the signer's responsibility.")
def sign(manifest: Manifest, *, signer: Signer) -> Bundle:
    """Sign a manifest; the signature is about the digest of its file form.

    Args:
        manifest: What to sign.
        signer: Who signs.

    Returns:
        The bundle; by custom it goes beside the manifest as ``NAME.sig``.
    """
    note(subject=manifest.digest)
    statement = Statement(
        subjects=(Subject(name=manifest.description.name, sha256=manifest.sha256),),
        predicate_type=Purpose.DATASET.predicate_type,
        predicate={"files": len(manifest.files), "size": manifest.size},
    )
    return sign_statement(statement, signer=signer)


@implements("5.2", evidences=("5.4.1",), limits="It checks who vouches for the manifest; the data itself is checked by verify.")
def open_manifest(path: StrPath, *, policy: Policy, signature: StrPath | Bundle | None = None) -> Manifest:
    """Read a manifest that somebody trusted vouches for.

    Args:
        path: The manifest.
        policy: Whose signatures count; there is no default.
        signature: The bundle or its path, by default ``PATH.sig``.

    Returns:
        The manifest.

    Raises:
        DigestMismatchError: The signature is about another manifest.
        FormatError: The manifest or the bundle is not what the formats say.
        OSError: One of them cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
    """
    where = os.fspath(path)
    manifest = Manifest.load(path)
    bundle = signature if isinstance(signature, Bundle) else Bundle.load(signature if signature is not None else f"{where}.sig")
    statement, signer = open_statement(bundle, policy=policy, purpose=Purpose.DATASET, where=f"signature of {where}")
    note(subject=manifest.digest, signer=signer.fingerprint)
    predicate = Record(statement.predicate, where=f"signature of {where}, predicate")
    predicate.take_int("files")
    predicate.take_int("size")
    predicate.done()
    if tuple(subject.sha256 for subject in statement.subjects) != (manifest.sha256,):
        raise DigestMismatchError(f"{where} is not the manifest that was signed", changed=(Path(where).name,))
    return manifest


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
