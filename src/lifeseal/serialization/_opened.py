# SPDX-License-Identifier: Apache-2.0
"""Files opened for conversion, by format: their tensors by name, and what else they hold."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from lifeseal._io import Reader
from lifeseal.errors import FormatError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._checkpoint import Archive, Checkpoint, open_legacy, open_zip
from lifeseal.serialization._context import Context
from lifeseal.serialization._flatten import flatten
from lifeseal.serialization._found import Found, Opened, numpy_type, strides_of
from lifeseal.serialization._gather import Placed
from lifeseal.serialization._gguf import read_gguf
from lifeseal.serialization._npy import read_npy_header
from lifeseal.serialization._opened_hdf5 import open_hdf5, open_keras
from lifeseal.serialization._records import judge_nothing
from lifeseal.serialization._rules import Findings, shown
from lifeseal.serialization._safetensors import BITS
from lifeseal.serialization._window import FileWindow

_GGUF_TYPES: Final = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}


def _open_torch(open_file: "Callable[..., Checkpoint]") -> "Opener":
    def opened(reader: Reader, where: str, select: str | None) -> Opened:
        checkpoint = open_file(reader, where=where)
        flat = flatten(checkpoint.root, select=select, where=where)
        tensors: dict[str, Found] = {}
        lost = flat.lost
        for name, tensor in flat.tensors.items():
            place = checkpoint.place(tensor, where=f"{where}, tensor {shown(name)!r}")
            if isinstance(place, str):
                lost[name] = place
            else:
                tensors[name] = Found(dtype=tensor.dtype, shape=tensor.shape, reader=place[0], placed=place[1])
        return Opened(tensors=tensors, lost=lost, values=flat.values, dropped=flat.dropped)

    return opened


def _open_npz(reader: Reader, where: str, select: str | None) -> Opened:
    if select is not None:
        raise ValueError(f"{where}: an npz file has no parts for select=")
    archive = Archive(reader, where=where)
    tensors: dict[str, Found] = {}
    lost: dict[str, str] = {}
    for member in archive.members:
        name = member.removesuffix(".npy")
        header = read_npy_header(archive.window(member))
        known = numpy_type(header.description)
        if known is None:
            lost[name] = f"an array of type {shown(str(header.description))}"
            continue
        dtype, item, swap = known
        run = archive.run(member)
        strides = strides_of(header.shape, is_fortran=header.is_fortran)
        placed = Placed(start=run.start + header.start, item=item, shape=header.shape, strides=strides, swap=swap)
        if header.start + placed.size != run.size:
            raise FormatError(f"{where}, {shown(member)!r}", f"{placed.size} bytes of items were expected, but {run.size - header.start} are there")
        tensors[name] = Found(dtype=dtype, shape=header.shape, reader=run.reader, placed=placed)
    return Opened(tensors=tensors, lost=lost, values={}, dropped={})


def _open_gguf(reader: Reader, where: str, select: str | None) -> Opened:
    if select is not None:
        raise ValueError(f"{where}: a GGUF file has no parts for select=")
    context = Context(findings=Findings(), allow=frozenset(), budget=Budget(reader.size), judge=judge_nothing("text"))
    listed, is_big_endian = read_gguf(FileWindow(reader), context)
    tensors: dict[str, Found] = {}
    lost: dict[str, str] = {}
    for tensor in listed:
        dtype = _GGUF_TYPES.get(tensor.kind)
        if dtype is None:
            lost[tensor.name] = f"a tensor of the quantised type {tensor.kind} of GGUF"
            continue
        item = BITS[dtype] // 8
        strides = strides_of(tensor.shape)
        placed = Placed(start=tensor.start, item=item, shape=tensor.shape, strides=strides, swap=item if is_big_endian else 1)
        tensors[tensor.name] = Found(dtype=dtype, shape=tensor.shape, reader=reader, placed=placed)
    return Opened(tensors=tensors, lost=lost, values={}, dropped={"(metadata)": "what the file says of the model, its tokenizer and its templates"})


Opener = Callable[[Reader, str, str | None], Opened]
OPENERS: Final[Mapping[str, Opener]] = MappingProxyType(
    {
        "gguf": _open_gguf,
        "hdf5": open_hdf5,
        "keras": open_keras,
        "npz": _open_npz,
        "torch": _open_torch(open_zip),
        "torch-legacy": _open_torch(open_legacy),
        "torchscript": _open_torch(open_zip),
    }
)
