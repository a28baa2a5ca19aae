# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as people have them, for the tests of conversion; what PyTorch reads of them is the judge."""

import collections
import io
import warnings
import zipfile

import numpy as np
import torch

from lifeseal import serialization

DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool),
    *(torch.complex64, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
)
TYPED = DTYPES[:11]


def layer():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def trained():
    model = layer()
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimiser.step()
    return {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": 3, "lr": 0.1, "done": True, "name": "first", "none": None}


def noted():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.note = "kept by torch, not by us"
    return parameter


def tied():
    weight = torch.randn(5, 3)
    return {"embed": weight, "head": weight, "same": weight.detach(), "part": weight[1:3], "other_shape": weight.reshape(3, 5)}


def overlapping():
    base = torch.arange(100.0)
    return {"a": base[:50], "b": base[25:75], "all": base}


def turned():
    square = torch.randn(4, 4)
    return {"w": square, "t": square.t(), "again": square.t()}


def of_type(kind, count=6):
    return (torch.arange(count) % 3).to(kind).reshape(2, -1)


ORDINARY = {
    "state dict of modules": lambda: layer().state_dict(),
    "training checkpoint": trained,
    "typed storages": lambda: {str(kind): of_type(kind) for kind in TYPED},
    "untyped storages": lambda: {str(kind): of_type(kind) for kind in DTYPES[11:]},
    "transposed": lambda: {"t": torch.randn(4, 5).t(), "p": torch.randn(2, 3, 4).permute(2, 0, 1)},
    "steps": lambda: {"s": torch.randn(6, 8)[1::2, ::3], "column": torch.randn(5, 5)[:, 2], "diagonal": torch.randn(4, 4).diagonal()},
    "expanded": lambda: {"rows": torch.randn(3).expand(4, 3), "columns": torch.randn(3, 1).expand(3, 4), "number": torch.tensor(2.0).expand(3, 3)},
    "numbers and nothing": lambda: {"zero_d": torch.tensor(5.0), "empty": torch.ones(0, 3), "both": torch.ones(3, 0, 2).bool()},
    "tied weights": tied,
    "overlapping views": overlapping,
    "square and its transpose": turned,
    "parameters": lambda: [torch.nn.Parameter(torch.ones(2)), noted(), torch.nn.Buffer(torch.ones(1))],
    "needs gradients": lambda: {"w": torch.randn(3, requires_grad=True)},
    "one tensor": lambda: torch.randn(3),
    "lists and tuples": lambda: [torch.ones(1), (torch.zeros(2), {"a": torch.ones(3)})],
    "whole numbers as keys": lambda: {0: torch.ones(1), 1: {"x": torch.ones(2)}, -1: torch.ones(3)},
    "dictionaries of collections": lambda: {
        "d": collections.defaultdict(list, {"a": [torch.ones(1)]}),
        "o": collections.OrderedDict(b=torch.ones(2), a=torch.zeros(1)),
    },
    "channels last": lambda: {"w": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)},
    "many": lambda: {f"layers.{index}.weight": torch.full((3,), float(index)) for index in range(200)},
    "sizes and types": lambda: {"size": torch.Size([1, 2]), "type": torch.float16, "device": torch.device("cpu"), "t": torch.ones(2)},
    "arrays beside": lambda: {"t": torch.ones(1), "array": np.ones(3), "number": np.float64(1.5)},
    "odd numbers": lambda: {"t": torch.ones(1), "big": 2**70, "nan": float("nan"), "negative": -5, "text": "x" * 9999},
    "large": lambda: {"w": torch.randn(300, 4001), "t": torch.randn(1100, 1100).t()},
    "one storage, many tensors": lambda: dict(zip("abcd", torch.randn(40).split(10), strict=True)),
}
REFUSED = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "a sparse tensor"),
    "sparse rows": (lambda: torch.eye(3).to_sparse_csr(), "a sparse tensor"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "a quantised tensor"),
    "complex128": (lambda: torch.ones(2, dtype=torch.complex128), "a tensor of type complex128"),
    "without content": (lambda: torch.ones(2, device="meta"), "a tensor without content"),
    "conjugated": (lambda: torch.ones(2, dtype=torch.complex64).conj(), "a tensor that is conjugated or negated when it is read"),
    "bare storage": (lambda: torch.ones(3).untyped_storage(), "a storage without a tensor"),
}


def save(value, path, *, protocol=2, modern=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=modern)
    return path


def flat(value, name=""):
    """Name tensors as a conversion does."""
    if isinstance(value, torch.Tensor):
        return {name or "tensor": value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {key: tensor for part, item in pairs for key, tensor in flat(item, f"{name}.{part}" if name else str(part)).items()}


def raw(tensor) -> bytes:
    dense = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return dense.view(torch.uint8).numpy().tobytes() if dense.numel() else b""


def names(folder) -> list[str]:
    """Name what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def read(conversion) -> dict:
    """Read what was converted, other names included."""
    found = {name: tensor for file in conversion.outputs for name, tensor in serialization.load(file.path, framework="torch").items()}
    return found | {name: found[kept] for name, kept in conversion.aliases.items()}


def differing(found: dict, wanted: dict) -> list[str]:
    """Name the tensors that are not the same, bit for bit."""
    assert set(found) == set(wanted)
    return [
        name
        for name, tensor in wanted.items()
        if (found[name].dtype, found[name].shape, raw(found[name])) != (tensor.dtype, tensor.shape, raw(tensor))
    ]


def repacked(content: bytes, *, method=zipfile.ZIP_STORED, root=None, change=None, leave_out=()) -> bytes:
    """Write the members of a zip file anew."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            first, _, rest = name.partition("/")
            data = old.read(name) if change is None else change(rest, old.read(name))
            if rest not in leave_out and data is not None:
                new.writestr(f"{first if root is None else root}/{rest}", data)
    return target.getvalue()
