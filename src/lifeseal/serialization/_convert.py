# SPDX-License-Identifier: Apache-2.0
"""Tensors out of files that could run code, into safetensors, without running them."""

from typing import TYPE_CHECKING, Literal, TypeAlias

from lifeseal._io import HashName, ProgressCallback, StrPath, new_hasher
from lifeseal.principles import implements, note
from lifeseal.serialization._converted import Conversion

if TYPE_CHECKING:
    from lifeseal.attestation import Waiver

Unsupported: TypeAlias = Literal["refuse", "drop"]


@implements(
    "7.1",
    evidences=("2.4", "9.1"),
    limits="The numbers are copied as they are: a model that was made to do harm still does. Who made it is not checked.",
)
def convert(
    src: StrPath,
    dst: StrPath,
    *,
    select: str | None = None,
    unsupported: Unsupported = "refuse",
    max_shard_size: int | None = None,
    hash: HashName = "blake3",  # noqa: A002 - the contract's word for it
    waiver: "Waiver | None" = None,
    progress: ProgressCallback = None,
) -> Conversion:
    """Copy a model's tensors into safetensors, bit for bit, without running, importing or unpickling anything of it.

    The source is scanned first. Then its pickle is followed with tensors as descriptions, and their bytes are streamed; no array library
    is needed, and memory stays small. Keys of nested dictionaries and lists are joined by dots. Tensors that are the same items under
    several names are written once, and the other names stand in the metadata; views that only overlap are written in full. Plain data
    (numbers, text, lists of these) goes to ``DST.values.json``; all else is listed as dropped.

    Args:
        src: A file of PyTorch (zip or older), NumPy (npz), GGUF, HDF5 or Keras, an index of several (``…index.json``), or a folder with one.
        dst: The safetensors file; its folder must exist. An old file is replaced in one durable step.
        select: Keys, joined by dots, of the part that is wanted, as ``state_dict``; names begin below it.
        unsupported: What to do with tensors that safetensors cannot hold (sparse, quantised, complex128, of other classes, without
            content): ``refuse`` them all by name, or ``drop`` and list them.
        max_shard_size: Bytes of tensors in one file; then there are several and an index, as `save` writes them.
        hash: For the digests of source and output: ``blake3``, ``sha256`` or ``blake2b``.
        waiver: Accepts ``unsafe`` of files whose sha256 it covers; they are converted, and still not run.
        progress: Called as tensors are written; raising from it leaves nothing behind.

    Returns:
        What was done.

    Raises:
        FileExistsError: ``dst`` would be the source, an index lies where several files would be, or something else where the plain data
            would be.
        FormatError: The source is unreadable or of another format, its parts do not fit together, holds no tensor or one that cannot be
            held, or changed meanwhile.
        LimitError: It holds more than the bounds; the tensors would be far larger than the source.
        MissingExtraError: It is HDF5 or Keras, and ``pyfive`` is not installed.
        OSError: It cannot be read, or the disk refused; nothing new is there.
        PolicyError: The waiver does not cover it.
        UnsafeError: The scan says ``unsafe``, and there is no waiver.
        ValueError: An option means nothing.
    """
    if unsupported not in {"refuse", "drop"}:
        raise ValueError(f"unsupported= must be refuse or drop, not {unsupported!r}")
    new_hasher(hash)
    from lifeseal.serialization._converting import Wishes, run

    wishes = Wishes(select=select, drop=unsupported == "drop", max_shard_size=max_shard_size, hash=hash, waiver=waiver, progress=progress)
    done = run(src, dst, wishes)
    note(tensors=len(done.tensors), dropped=len(done.dropped), source=done.sources[0].digest, output=done.outputs[0].digest)
    return done
