# SPDX-License-Identifier: Apache-2.0
"""Signing a model."""

import contextlib
import os
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path

from lifeseal._io import DiskSource, HashName, ProgressCallback, Source, StrPath, hash_files
from lifeseal.attestation import Bundle, Signer, sign_statement
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.signing._manifest import SIGNATURE_NAME, Manifest, Resource, ignore_set


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
    ignore: Iterable[str] = (),
    executor: Executor | None = None,
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
        ignore: Relative paths to leave out; recorded in the signature.
        executor: Hashes in its workers instead of threads; workers are trusted and see the same path.
        progress: Called about five times a second; raising from it stops the work.

    Returns:
        The bundle that was written.

    Raises:
        FormatError: The model is empty, holds a link or special file or a name that is not UTF-8, or changed while it was read.
        FileExistsError: ``out`` is something that is not a regular file.
        OSError: Something cannot be read, or the bundle not written.
        TypeError: The source is not on disk and ``out`` is missing.
        ValueError: An unknown hash.

    Source: OMS v1.0, section 7.
    """
    with contextlib.ExitStack() as cleanup:
        source = cleanup.enter_context(DiskSource(model)) if isinstance(model, str | os.PathLike) else model
        target = Path(out) if out is not None else _default_place(source)
        ignored = ignore_set(ignore, where=source.where) | _own_names(source, target)
        names = source.names(ignore=ignored)
        if not names:
            raise FormatError(source.where, "there is no file to sign")
        found = hash_files(source, names, algorithm=hash, executor=executor, progress=progress, phase="hashing")
    resources = tuple(Resource(name=entry.name, digest=entry.digest) for entry in found.values())
    manifest = Manifest(resources=resources, hash=hash, ignored=ignored)
    note(subject=f"sha256:{manifest.root.hex()}", files=len(resources), size=sum(entry.size for entry in found.values()))
    bundle = sign_statement(manifest.to_statement(source.name), signer=signer)
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
    if not source.is_folder:
        return frozenset()
    placed, folder = target.parent.resolve() / target.name, source.path.resolve()
    inside = {placed.relative_to(folder).as_posix()} if folder in placed.parents else set()
    return frozenset({SIGNATURE_NAME} | inside)
