# SPDX-License-Identifier: Apache-2.0
"""Signing a model."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lifeseal._io import DiskSource, HashName, ProgressCallback, Source, StrPath, checked_name, hash_files, sweep
from lifeseal.attestation import Bundle, Signer, Timestamper, sign_statement
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.signing._digests import Digests, changes, known, listed, manifest, refuse_unlike
from lifeseal.signing._manifest import SIGNATURE_NAME, VERSION_CONTROL, ignore_set

if TYPE_CHECKING:
    from concurrent.futures import Executor


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
    previous: "StrPath | Bundle | Digests | None" = None,
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
        digests: From `digest`, on other ranks; those files are not read again, only their sizes and the times of their last write are compared.
        previous: An earlier signature of the model: every file is read all the same, and the event says how many were added, removed and
            changed (see `compare`). Or digests that `digest` took here earlier: a file that is still the same one by device, inode, size and
            times is not read again. That is weaker, because who controls clock or disk can make a changed file look untouched.
        executor: Hashes in its workers instead of threads; workers are trusted and see the same path.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        The bundle that was written.

    Raises:
        FormatError: The model is empty, has an empty file and is to be signed in shards, holds a link or special file or a name that is
            not UTF-8, or changed while it was read; or ``previous`` is no signature of a model.
        LimitError: It has too many files, too deeply nested folders, or a list of files larger than 128 MiB.
        FileExistsError: ``out`` is there and is no signature; it is never replaced.
        OSError: Something cannot be read, or the bundle not written.
        StoreError: The timestamp authority cannot be reached, or refuses.
        TypeError: The source is not on disk and ``out`` is missing.
        ValueError: An unknown hash, digests or a previous signature of another hash or other shards, or a ``shard_size`` below 1.

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
        earlier = Bundle.load(previous) if isinstance(previous, str | os.PathLike) else previous
        before = listed(earlier, where="earlier signature") if isinstance(earlier, Bundle) else None
        shares, cache = tuple(digests or ()), earlier if isinstance(earlier, Digests) else None
        for made in (*shares, before, cache):
            refuse_unlike(made, hash, shard_size)
        taken = known(source, names, shares, cache)
        rest = [name for name in names if name not in taken]
        found = hash_files(source, rest, algorithm=hash, shard_size=shard_size, executor=executor, progress=progress, phase="hashing", settled=True)
        if source.names(ignore=ignored) != names or known(source, names, shares, cache) != taken:
            raise FormatError(source.where, "files came, went or changed while it was signed")
    size = sum(entry.size for entry in found.values()) + sum(entry.size for entry in taken.values())
    over = manifest([*found.values(), *taken.values()], hash, ignored, shard_size)
    note(subject=f"sha256:{over.root.hex()}", files=len(names), size=size, read=len(found))
    if before is not None:
        since = changes(before, over)
        note(added=len(since.added), removed=len(since.removed), changed=len(since.changed))
    del names, rest, found, taken, before  # of a model of many files they are larger than what is left to do
    bundle = sign_statement(over.to_statement(called), signer=signer)
    if timestamp is not None:
        bundle = timestamp.stamp(bundle)
    bundle.write(target)
    return bundle


def _default_place(source: Source) -> Path:
    if not isinstance(source, DiskSource):
        raise TypeError("out= must say where the signature goes, because the model is not on disk")
    return source.path / SIGNATURE_NAME if source.is_folder else source.path.with_name(source.path.name + ".sig")


def _own_names(source: Source, target: Path) -> frozenset[str]:
    """Name what is a signature, not part of the model."""
    if not isinstance(source, DiskSource):
        return frozenset({SIGNATURE_NAME})
    return source.names_of(target) | {SIGNATURE_NAME} if source.is_folder else frozenset()
