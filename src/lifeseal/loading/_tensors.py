# SPDX-License-Identifier: Apache-2.0
"""Tensors out of a signed model: each file is read once, and used only when its digest has matched."""

from collections.abc import Iterable
from typing import Any, Literal

from lifeseal._io import Progress, ProgressCallback, refuse_beyond_memory, require
from lifeseal.errors import FormatError
from lifeseal.principles import implements, note
from lifeseal.serialization import parse_header_bytes, tensor_from_bytes
from lifeseal.signing import FileEntry, SignedModel

_SUFFIX = ".safetensors"
_ALIGNMENT = 8


@implements(
    "7.1",
    evidences=("2.2", "9.2"),
    limits="What was signed is what is loaded; a signer who signed a bad model is not caught, and other processes of the same user can reach memory.",
)
def load_tensors(
    signed: SignedModel,
    *,
    framework: Literal["numpy", "torch"] = "numpy",
    device: str = "cpu",
    names: Iterable[str] | None = None,
    files: Iterable[str] | None = None,
    progress: ProgressCallback = None,
) -> dict[str, Any]:
    """Load tensors from a model's safetensors files in one pass.

    Each file is read once into private memory while it is hashed; its header is parsed only when the digest has matched. Files of other
    formats are never read.

    Args:
        signed: From `lifeseal.signing.open_model`; a path is not accepted.
        framework: ``numpy`` or ``torch``. With ``numpy``, bfloat16 comes back as raw ``uint16`` and 8-bit floats as raw ``uint8``.
        device: For ``torch``: where the tensors go.
        names: Which tensors; by default all. The whole files that hold them are read all the same.
        files: Which files; by default every signed file whose name ends in ``.safetensors``.
        progress: Called after each file; raising from it stops the work.

    Returns:
        Tensors by name, writable, in memory of their own.

    Raises:
        DigestMismatchError: A file is not what was signed.
        FormatError: A file is not strict safetensors, two files hold the same name, or there is nothing to load.
        KeyError: ``files`` or ``names`` asks for what is not there.
        LimitError: The files are larger than this machine's memory.
        MissingExtraError: The framework is not installed.
        OSError: A file cannot be read.
        TypeError: ``signed`` is not a `SignedModel`, or one string was given instead of several.
        ValueError: An unknown framework, or a device for ``numpy``.
    """
    if not isinstance(signed, SignedModel):
        raise TypeError(f"load_tensors takes a SignedModel from signing.open_model, not {type(signed).__name__}")
    if framework not in {"numpy", "torch"} or (framework == "numpy" and device != "cpu"):
        raise ValueError("framework= must be 'numpy' (on the CPU) or 'torch'")
    _refuse_one_string(names=names, files=files)
    numpy = require("numpy", extra=framework)
    chosen = _chosen(signed, files)
    total = sum(entry.size for entry in chosen)
    refuse_beyond_memory(total, where=f"model {signed.subject.name!r}")
    wanted = None if names is None else set(names)
    note(subject=signed.subject.digest, files=len(chosen), size=total)
    found: dict[str, Any] = {}
    done = 0
    for entry in chosen:
        content = memoryview(numpy.empty(entry.size, dtype=numpy.uint8))
        signed.readinto(entry.path, content)
        for name, tensor in _tensors(content, entry, wanted, framework):
            if name in found:
                raise FormatError(entry.path, f"tensor {name!r} stands in two files; choose with files=")
            found[name] = tensor.to(device) if framework == "torch" else tensor
        done += entry.size
        if progress is not None:
            progress(Progress(phase="loading", done=done, total=total))
    if wanted is not None and (missing := sorted(wanted - set(found))):
        raise KeyError(f"tensor {missing[0]!r} is in none of the files")
    return found


def _refuse_one_string(**options: Iterable[str] | None) -> None:
    for option, value in options.items():
        if isinstance(value, str):
            raise TypeError(f"{option}= takes several, such as [{value!r}]")


def _chosen(signed: SignedModel, files: Iterable[str] | None) -> list[FileEntry]:
    there = {entry.path: entry for entry in signed.files}
    paths = [path for path in there if path.endswith(_SUFFIX)] if files is None else list(dict.fromkeys(files))
    missing = [path for path in paths if path not in there]
    if missing:
        raise KeyError(f"{missing[0]!r} is not among the signed files of {signed.subject.name!r}")
    if not paths:
        raise FormatError(f"model {signed.subject.name!r}", "a signed .safetensors file was expected; there is none to load")
    return [there[path] for path in paths]


def _tensors(content: memoryview, entry: FileEntry, wanted: set[str] | None, framework: Literal["numpy", "torch"]) -> Iterable[tuple[str, Any]]:
    header = parse_header_bytes(content, size=entry.size, where=entry.path)
    for tensor in header.tensors:
        if wanted is None or tensor.name in wanted:
            place = content[header.data_start + tensor.start : header.data_start + tensor.stop]
            # A part of the file is copied so that the rest can go; so is one that starts at an odd address.
            private = bytearray(place) if wanted is not None or header.data_start % _ALIGNMENT else place
            yield tensor.name, tensor_from_bytes(private, tensor, framework=framework)
