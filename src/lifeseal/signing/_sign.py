# SPDX-License-Identifier: Apache-2.0
"""Signing a model."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lifeseal._io import DiskSource, FileDigest, HashName, ProgressCallback, Source, StrPath, checked_name, hash_files, sweep
from lifeseal.attestation import Bundle, Signer, Timestamper, sign_statement
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.signing._manifest import SIGNATURE_NAME, VERSION_CONTROL, Manifest, Resource, ignore_set
from lifeseal.signing._model import FileEntry

if TYPE_CHECKING:
    from concurrent.futures import Executor


@attrs.frozen(kw_only=True)
class Digests:
    """Digests of some or all files of a model, each taken in one read.

    Attributes:
        files: Sorted by path.
        hash: Hash used.
    """

    files: tuple[FileEntry, ...]
    hash: HashName

    @property
    def root(self) -> str:
        """The root digest of a model that has just these files, ``sha256:`` and 64 hexadecimal digits; it is over contents, not names."""
        return f"sha256:{_manifest(self.files, self.hash, frozenset()).root.hex()}"

    @property
    def inventory(self) -> str:
        """A digest over names and contents: what a waiver for an unsigned model covers, because no signature binds its names."""
        return f"sha256:{_manifest(self.files, self.hash, frozenset()).inventory.hex()}"


@implements(evidences=("8.1.2", "5.2"), limits="A digest vouches for nothing until somebody signs it.")
def digest(model: "StrPath | Source", *, files: Iterable[str] | None = None, hash: HashName = "sha256") -> Digests:  # noqa: A002
    """Hash a model's files without signing: one rank's share of a distributed checkpoint, or all of it.

    Args:
        model: A folder, a file, or a source.
        files: Relative names; by default every file that `sign` would sign.
        hash: ``sha256``, ``blake2b`` or ``blake3``.

    Returns:
        The digests; give them to `sign`.

    Raises:
        FormatError: There is no file, a name is not a plain relative one, a link or special file lies there, or a file changed meanwhile.
        OSError: Something cannot be read.
        ValueError: An unknown hash.
    """
    with contextlib.ExitStack() as cleanup:
        source = cleanup.enter_context(DiskSource(model)) if isinstance(model, str | os.PathLike) else model
        if files is None:
            names = source.names(ignore=VERSION_CONTROL | _own_names(source, None))
        else:
            names = tuple(sorted(checked_name(name, where=source.where) for name in set(files)))
        if not names:
            raise FormatError(source.where, "there is no file to hash")
        found = hash_files(source, names, algorithm=hash)
    note(files=len(found), hash=hash)
    return Digests(files=_entries(found.values()), hash=hash)


@implements(
    "8.1.2",
    "5.2",
    evidences=("7.1", "11.1"),
    limits="It binds the files to the key's holder; it says nothing of how the model was trained or whether it is any good.",
)
def sign(
    model: "StrPath | Source",
    *,
    signer: Signer,
    out: StrPath | None = None,
    hash: HashName = "sha256",  # noqa: A002 - the standard's word for it
    shard_size: int | None = None,
    ignore: Iterable[str] = (),
    timestamp: Timestamper | None = None,
    digests: Iterable[Digests] | None = None,
    executor: "Executor | None" = None,
    progress: ProgressCallback = None,
) -> Bundle:
    """Sign every file of a model, in the OpenSSF Model Signing format.

    Equal models give an equal payload. Top-level ``.git``, ``.gitignore``, ``.gitattributes`` and ``.github`` are left out, and so is the
    signature itself.

    Args:
        model: A folder, a file, or a source.
        signer: Who signs.
        out: Where to put the bundle; by default ``model.sig`` in the folder, ``NAME.sig`` beside a file. An older bundle is replaced.
        hash: Hash of each file: ``sha256`` (every verifier knows it), ``blake2b`` or ``blake3`` (faster, optional in the standard).
        shard_size: Sign each file in shards of so many bytes, so that cores share a large file and a reader checks only the part it reads;
            the standard's example is 1,000,000,000. Verifying shards is optional in the standard. A model with an empty file cannot be signed so.
        ignore: Relative paths to leave out; recorded in the signature.
        timestamp: An RFC 3161 authority that attests when it was signed, so that a certificate's end does not end the signature.
        digests: From `digest`, on other ranks or earlier; those files are not read again, only their sizes are compared.
        executor: Hashes in its workers instead of threads; workers are trusted and see the same path.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        The bundle that was written.

    Raises:
        FormatError: The model is empty, has an empty file and is to be signed in shards, holds a link or special file or a name that is
            not UTF-8, or changed while it was read.
        LimitError: It has too many files, too deeply nested folders, or a list of files larger than 128 MiB.
        FileExistsError: ``out`` is there and is no signature; it is never replaced.
        OSError: Something cannot be read, or the bundle not written.
        StoreError: The timestamp authority cannot be reached, or refuses.
        TypeError: The source is not on disk and ``out`` is missing.
        ValueError: An unknown hash, digests of another hash or of whole files beside ``shard_size``, or a ``shard_size`` below 1.

    Source: OMS v1.0, section 7.
    """
    if shard_size is not None and shard_size < 1:
        raise ValueError("shard_size= must be at least 1 byte")
    with contextlib.ExitStack() as cleanup:
        source = cleanup.enter_context(DiskSource(model)) if isinstance(model, str | os.PathLike) else model
        note(model=source.where)
        target = Path(out) if out is not None else _default_place(source)
        Bundle.refuse_foreign(target)
        sweep(target.parent)  # what a killed run left there must not be signed
        called = checked_name(source.name, where=source.where)
        ignored = ignore_set(ignore, where=source.where) | VERSION_CONTROL | _own_names(source, target)
        names = source.names(ignore=ignored)
        if not names:
            raise FormatError(source.where, "there is no file to sign")
        if shard_size is not None and (empty := next((name for name in names if source.size(name) == 0), None)) is not None:
            raise FormatError(f"{source.where}: {empty!r}", "empty, and shards cannot name an empty file; sign without shard_size, or leave it out")
        entries = _given(source, names, digests or (), hash)
        if entries and shard_size is not None:
            raise ValueError("digests= are of whole files, which shard_size= does not list")
        rest = [name for name in names if name not in entries]
        found = hash_files(source, rest, algorithm=hash, shard_size=shard_size, executor=executor, progress=progress, phase="hashing")
    entries |= {entry.path: entry for entry in _entries(found.values())}
    files = tuple(entries[name] for name in names)
    manifest = _manifest(files, hash, ignored, shard_size)
    note(subject=f"sha256:{manifest.root.hex()}", files=len(files), size=sum(entry.size for entry in files))
    bundle = sign_statement(manifest.to_statement(called), signer=signer)
    if timestamp is not None:
        bundle = timestamp.stamp(bundle)
    bundle.write(target)
    return bundle


def _default_place(source: Source) -> Path:
    if not isinstance(source, DiskSource):
        raise TypeError("out= must say where the signature goes, because the model is not on disk")
    return source.path / SIGNATURE_NAME if source.is_folder else source.path.with_name(source.path.name + ".sig")


def _given(source: Source, names: Iterable[str], digests: Iterable[Digests], algorithm: HashName) -> dict[str, FileEntry]:
    """Take digests made elsewhere, if they are of files that are there, with the size they have now."""
    entries: dict[str, FileEntry] = {}
    there = set(names)
    for share in digests:
        if share.hash != algorithm:
            raise ValueError(f"digests= are {share.hash}, and the signature is to be {algorithm}")
        for entry in share.files:
            if entry.path not in there or entries.setdefault(entry.path, entry) != entry:
                raise FormatError(f"{source.where}: {entry.path!r}", "a digest was given for a file that is not signed, or two that differ")
            if source.size(entry.path) != entry.size:
                raise FormatError(f"{source.where}: {entry.path!r}", f"changed since its digest was taken: it had {entry.size} bytes")
    return entries


def _entries(found: Iterable[FileDigest]) -> tuple[FileEntry, ...]:
    return tuple(FileEntry(path=entry.name, size=entry.size, digest=entry.digest, shards=entry.shards) for entry in found)


def _manifest(files: Iterable[FileEntry], algorithm: HashName, ignored: frozenset[str], shard_size: int | None = None) -> Manifest:
    resources = sorted((resource for entry in files for resource in _resources(entry, shard_size)), key=lambda resource: resource.listed)
    return Manifest(resources=tuple(resources), hash=algorithm, ignored=ignored, shard_size=shard_size)


def _resources(entry: FileEntry, shard_size: int | None) -> Iterable[Resource]:
    if shard_size is None:
        return (Resource(name=entry.path, digest=entry.digest),)
    ends = [min(entry.size, (index + 1) * shard_size) for index in range(len(entry.shards))]
    return [Resource(name=entry.path, digest=d, start=i * shard_size, end=ends[i]) for i, d in enumerate(entry.shards)]


def _own_names(source: Source, target: Path | None) -> frozenset[str]:
    """Name what is a signature, not part of the model."""
    if not isinstance(source, DiskSource) or (target is None and source.is_folder):
        return frozenset({SIGNATURE_NAME})
    if target is None or not source.is_folder:
        return frozenset()
    placed, folder = Path(os.path.realpath(target.parent)) / target.name, Path(os.path.realpath(source.path))
    inside = {placed.relative_to(folder).as_posix()} if folder in placed.parents else set()
    return frozenset({SIGNATURE_NAME} | inside)
