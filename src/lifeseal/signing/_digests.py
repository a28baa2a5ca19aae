# SPDX-License-Identifier: Apache-2.0
"""Digests taken ahead of signing, and what an earlier signature says in comparison."""

import contextlib
import os
from collections.abc import Iterable

import attrs

from lifeseal._io import WRITTEN, DiskSource, FileDigest, HashName, Source, StrPath, checked_name, hash_files
from lifeseal.attestation import Bundle, Statement
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.signing._manifest import SIGNATURE_NAME, VERSION_CONTROL, Manifest, Resource
from lifeseal.signing._model import FileEntry


@attrs.frozen(kw_only=True)
class Digests:
    """Digests of some or all files of a model, each taken in one read.

    Attributes:
        files: Sorted by path.
        hash: Hash used.
        shard_size: Bytes of a shard where files were hashed in shards, or None.
    """

    files: tuple[FileEntry, ...]
    hash: HashName
    shard_size: int | None = None

    @property
    def root(self) -> str:
        """The root digest of a model that has just these files, ``sha256:`` and 64 hexadecimal digits; it is over contents, not names."""
        return f"sha256:{self._manifest.root.hex()}"

    @property
    def inventory(self) -> str:
        """A digest over names and contents: what a waiver for an unsigned model covers, because no signature binds its names."""
        return f"sha256:{self._manifest.inventory.hex()}"

    @property
    def _manifest(self) -> Manifest:
        return manifest(self.files, self.hash, frozenset(), self.shard_size)


@attrs.frozen(kw_only=True)
class Changes:
    """How the files of one signature differ from those of an earlier one.

    Attributes:
        added: Names that only the later one lists, sorted.
        removed: Names that only the earlier one lists, sorted.
        changed: Names that both list, with other content, sorted.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


@implements(evidences=("8.1.2", "5.2"), limits="A digest vouches for nothing until somebody signs it.")
def digest(
    model: "StrPath | Source",
    *,
    files: Iterable[str] | None = None,
    hash: HashName = "sha256",  # noqa: A002 - the standard's word for it
    shard_size: int | None = None,
) -> Digests:
    """Hash a model's files without signing: one rank's share of a distributed checkpoint, or all of it.

    Args:
        model: A folder, a file, or a source.
        files: Relative names; by default every file that `sign` would sign.
        hash: ``sha256``, ``blake2b`` or ``blake3``.
        shard_size: Hash each file in shards of so many bytes, for a signature of shards.

    Returns:
        The digests; give them to `sign`. They can be pickled.

    Raises:
        FormatError: There is no file, a name is not a plain relative one, a link or special file lies there, or a file changed meanwhile.
        OSError: Something cannot be read.
        TypeError: One text was given as ``files`` instead of several.
        ValueError: An unknown hash, or a ``shard_size`` below 1.
    """
    if shard_size is not None and shard_size < 1:
        raise ValueError("shard_size= must be at least 1 byte")
    if isinstance(files, str):
        raise TypeError(f"files= are several, such as [{files[:80]!r}]")
    with contextlib.ExitStack() as cleanup:
        source = cleanup.enter_context(DiskSource(model)) if isinstance(model, str | os.PathLike) else model
        if files is None:
            own = {SIGNATURE_NAME} if not isinstance(source, DiskSource) or source.is_folder else set()
            names = source.names(ignore=VERSION_CONTROL | own)
        else:
            names = tuple(sorted(checked_name(name, where=source.where) for name in set(files)))
        if not names:
            raise FormatError(source.where, "there is no file to hash")
        found = hash_files(source, names, algorithm=hash, shard_size=shard_size, settled=True)
    note(files=len(found), hash=hash)
    taken = tuple(FileEntry(path=f.name, size=f.size, digest=f.digest, shards=f.shards, stamp=f.stamp) for f in found.values())
    return Digests(files=taken, hash=hash, shard_size=shard_size)


def compare(old: Bundle, new: Bundle) -> Changes:
    """Tell which files two signatures list differently.

    It compares what they say and verifies neither.

    Args:
        old: The earlier signature of a model.
        new: The later one.

    Returns:
        The differences.

    Raises:
        FormatError: One is no signature of a model.
        ValueError: They use another hash, or shards of another size, so their digests cannot be compared.
    """
    before, after = listed(old, where="earlier signature"), listed(new, where="later signature")
    refuse_unlike(before, after.hash, after.shard_size)
    return changes(before, after)


def changes(before: Manifest, after: Manifest) -> Changes:
    """Tell which files two manifests of one kind list differently."""
    was, now = dict(before.parts()), dict(after.parts())
    changed = (name for name in was.keys() & now.keys() if [r.digest for r in was[name]] != [r.digest for r in now[name]])
    return Changes(added=tuple(sorted(now.keys() - was.keys())), removed=tuple(sorted(was.keys() - now.keys())), changed=tuple(sorted(changed)))


def listed(bundle: Bundle, *, where: str) -> Manifest:
    """Read what a signature lists, unverified.

    Args:
        bundle: The signature.
        where: Name for error messages.

    Returns:
        The manifest.

    Raises:
        FormatError: It is no signature of a model.
    """
    return Manifest.from_statement(Statement.from_bytes(bundle.envelope.payload, where=where), lone_name=None, where=where)


def listed_names(bundle: Bundle, *, where: str) -> tuple[str, ...]:
    """List the files that a signature names, unverified: of one that was just made.

    Args:
        bundle: The signature.
        where: Name for error messages.

    Returns:
        Relative POSIX names.

    Raises:
        FormatError: It is no signature of a model.
    """
    return tuple(name for name, _ in listed(bundle, where=where).parts())


def refuse_unlike(earlier: "Manifest | Digests | None", algorithm: HashName, shard_size: int | None) -> None:
    """Refuse to compare digests that were made in another way.

    Args:
        earlier: What is there, if anything.
        algorithm: The hash that is wanted.
        shard_size: The shards that are wanted.

    Raises:
        ValueError: They differ.
    """
    if earlier is not None and (earlier.hash, earlier.shard_size) != (algorithm, shard_size):
        raise ValueError(f"digests are {_how(earlier.hash, earlier.shard_size)}, and the signature is to be {_how(algorithm, shard_size)}")


def _how(algorithm: HashName, shard_size: int | None) -> str:
    return f"{algorithm} of {'whole files' if shard_size is None else f'shards of {shard_size} bytes'}"


def known(source: Source, names: Iterable[str], shares: Iterable[Digests], cache: Digests | None) -> dict[str, FileEntry]:
    """Take digests that were made before, of files that are there as they were then.

    Args:
        source: The model.
        names: What is to be signed.
        shares: Made elsewhere; each must be of a file that is to be signed, not written since.
        cache: Made here earlier; taken of files that the file system says nobody touched since.

    Returns:
        One entry a name; the other files have to be read.

    Raises:
        FormatError: A share's file is not to be signed, was written since, or has two digests.
    """
    there = set(names)
    disk = source if isinstance(source, DiskSource) else None
    taken: dict[str, FileEntry] = {}
    for entry in (entry for share in shares for entry in share.files):
        if entry.path not in there or taken.setdefault(entry.path, entry) != entry:
            raise FormatError(f"{source.where}: {entry.path!r}", "a digest was given for a file that is not signed, or two that differ")
    for entry in taken.values():
        written = disk is not None and entry.stamp and disk.stamp(entry.path)[WRITTEN] != entry.stamp[WRITTEN]
        if written or source.size(entry.path) != entry.size:
            raise FormatError(f"{source.where}: {entry.path!r}", f"changed since its digest was taken: it had {entry.size} bytes")
    for entry in cache.files if cache is not None and disk is not None else ():
        if entry.path in there and entry.stamp and disk is not None and disk.stamp(entry.path) == entry.stamp:
            taken.setdefault(entry.path, entry)
    return taken


def manifest(files: "Iterable[FileEntry | FileDigest]", algorithm: HashName, ignored: frozenset[str], shard_size: int | None = None) -> Manifest:
    """Write what a signature of these files is over."""
    resources = sorted((resource for entry in files for resource in _resources(entry, shard_size)), key=lambda resource: resource.listed)
    return Manifest(resources=tuple(resources), hash=algorithm, ignored=ignored, shard_size=shard_size)


def _resources(entry: FileEntry | FileDigest, shard_size: int | None) -> Iterable[Resource]:
    name = entry.path if isinstance(entry, FileEntry) else entry.name
    if shard_size is None:
        return (Resource(name=name, digest=entry.digest),)
    ends = [min(entry.size, (index + 1) * shard_size) for index in range(len(entry.shards))]
    return [Resource(name=name, digest=d, start=i * shard_size, end=ends[i]) for i, d in enumerate(entry.shards)]
