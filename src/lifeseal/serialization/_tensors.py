# SPDX-License-Identifier: Apache-2.0
"""Tensors to and from safetensors files, without another library's reader."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lifeseal._io import Buffer, DiskSource, Reader, StrPath, refuse_beyond_memory, require
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.serialization._frameworks import Framework, described, raw, shaped
from lifeseal.serialization._layout import Entry, arrange, write_files
from lifeseal.serialization._safetensors import Header, TensorInfo, read_header


@implements("7.1", limits="The layout is checked, not the numbers: they can still be a bad model.")
def validate(path: StrPath) -> Header:
    """Check a safetensors file's layout strictly; only its header is read.

    Args:
        path: The file; links to it are followed.

    Returns:
        Its header.

    Raises:
        FormatError: The header is not strict JSON, has unknown fields or odd names, or tensors overlap, leave holes or do not fill the file.
        LimitError: The header is larger than 100 MB.
        OSError: The file cannot be read.
    """
    with _opened(path) as reader:
        header = read_header(reader, where=os.fspath(path))
    note(tensors=len(header.tensors))
    return header


@implements("7.1", limits="The bytes are read as they lie there: who wrote them is not checked; use lifeseal.loading for that.")
def load(path: StrPath, *, framework: Framework = "numpy", names: Iterable[str] | None = None) -> dict[str, Any]:
    """Read tensors from a safetensors file, each into memory of its own.

    NumPy has no ``BF16`` and no 8-bit floats. With ``numpy`` they come back as the types of ``ml_dtypes`` where that package is installed,
    else as raw `uint16` and `uint8` whose ``dtype.metadata["safetensors"]`` is the type's name: the bits are exact, and `save` writes them
    back as what they were. The 4 and 6 bit floats come back as flat `uint8` with either framework.

    Args:
        path: The file; links to it are followed.
        framework: ``numpy`` or ``torch``.
        names: Which tensors; by default all.

    Returns:
        Tensors by name, in the order of the file.

    Raises:
        FormatError: As for `validate`, or the file changed while it was read.
        LimitError: The header is larger than 100 MB, or the tensors larger than this machine's memory.
        MissingExtraError: The framework is not installed.
        OSError: The file cannot be read.
        TypeError: ``names`` is one string.
        ValueError: An unknown framework, or a name that is not in the file.
    """
    if framework not in {"numpy", "torch"}:
        raise ValueError(f"framework must be numpy or torch, not {framework!r}")
    if isinstance(names, str):
        raise TypeError(f"names= takes several, such as [{names!r}]")
    require(framework, extra=framework)
    wanted = None if names is None else frozenset(names)
    where = os.fspath(path)
    with _opened(path) as reader:
        header = read_header(reader, where=where)
        missing = (wanted or frozenset()) - {tensor.name for tensor in header.tensors}
        if missing:
            raise ValueError(f"{where}: no tensor is named {min(missing)!r}")
        chosen = [tensor for tensor in header.tensors if wanted is None or tensor.name in wanted]
        refuse_beyond_memory(sum(tensor.stop - tensor.start for tensor in chosen), where=where)
        note(tensors=len(chosen))
        return {tensor.name: shaped(_read(reader, header, tensor, where), tensor, framework) for tensor in chosen}


def tensor_from_bytes(data: Buffer, tensor: TensorInfo, *, framework: Framework = "numpy") -> object:
    """Give bytes that are in memory the type and shape of a tensor, without copying them.

    Args:
        data: Exactly the tensor's bytes, writable; the tensor shares them.
        tensor: From the header, which says type and shape.
        framework: ``numpy`` or ``torch``; types that NumPy lacks come back as in `load`.

    Returns:
        The tensor.

    Raises:
        MissingExtraError: The framework is not installed.
        ValueError: ``data`` has another length.
    """
    numpy = require("numpy", extra=framework)
    flat = numpy.frombuffer(data, dtype=numpy.uint8)
    if len(flat) != tensor.stop - tensor.start:
        raise ValueError(f"tensor {tensor.name!r} has {tensor.stop - tensor.start} bytes, not {len(flat)}")
    return shaped(flat, tensor, framework)


@implements("7.1", limits="It writes plain tensors; it does not sign them.")
def save(tensors: Mapping[str, Any], path: StrPath, *, metadata: Mapping[str, str] | None = None, max_shard_size: int | None = None) -> None:
    """Write tensors to a safetensors file, or to several with an index; equal tensors give equal bytes.

    One new file replaces an old one in one durable step. Several are complete before the first takes its name; the index
    (``NAME.safetensors.index.json``, as model libraries read it) comes last. Tensors that share memory are each written in full.

    Args:
        tensors: NumPy arrays or dense PyTorch tensors by name; on any device, in any byte order or layout.
        path: The file; its folder must exist. Several are named after it: ``model-00001-of-00002.safetensors``.
        metadata: Free text by name.
        max_shard_size: Bytes of tensors in one file; a tensor that is larger has a file of its own. By default there is one file.

    Raises:
        FileExistsError: An index of several files lies there.
        FormatError: A name is not one that `validate` accepts, or the header would be larger than 100 MB.
        OSError: The disk refused; an old file stands.
        TypeError: A value is no array or dense tensor, has a type that the format has not, or metadata is not text.
        ValueError: Metadata is not valid Unicode, or ``max_shard_size`` is below 1.
    """
    entries = []
    for name, tensor in tensors.items():
        dtype, shape = described(name, tensor)
        entries.append(Entry(name=name, dtype=dtype, shape=shape))
    files = arrange(entries, path, metadata=_checked_metadata(metadata or {}), max_shard_size=max_shard_size)
    write_files(files, path, lambda file: (raw(tensors[entry.name]) for entry in file.entries if entry.size))
    note(tensors=len(entries), files=len(files))


def _opened(path: StrPath) -> Reader:
    target = Path(os.path.realpath(path, strict=True))
    with DiskSource(target) as source:
        if source.is_folder:
            raise FormatError(os.fspath(path), "a file was expected, not a folder")
        return source.open(source.name)


def _read(reader: Reader, header: Header, tensor: TensorInfo, where: str) -> Any:  # noqa: ANN401 - an array
    numpy = require("numpy", extra="numpy")
    flat = numpy.empty(tensor.stop - tensor.start, dtype=numpy.uint8)
    view = memoryview(flat)
    done = 0
    while done < len(view):
        got = reader.readinto(view[done:], header.data_start + tensor.start + done)
        if got == 0:
            raise FormatError(where, "the file shrank while it was read")
        done += got
    return flat


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise TypeError("metadata must be text by name")
    return dict(metadata)
