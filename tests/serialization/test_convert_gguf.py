# SPDX-License-Identifier: Apache-2.0
import struct

import numpy as np
import pytest

from lifeseal import serialization
from lifeseal.errors import FormatError

F32, F16, Q4_0, I8, I16, I32, I64, F64, BF16 = 0, 1, 2, 24, 25, 26, 27, 28, 30


def gguf(*tensors, order="<", alignment=32) -> bytes:
    """Write a file: name, number of the type, sizes as the file lists them, content."""
    text = lambda value: struct.pack(f"{order}Q", len(value)) + value.encode()  # noqa: E731
    head = b"GGUF" + struct.pack(f"{order}IQQ", 3, len(tensors), 1) + text("general.alignment") + struct.pack(f"{order}II", 4, alignment)
    data = b""
    for name, kind, sizes, content in tensors:
        head += text(name) + struct.pack(f"{order}I{len(sizes)}QIQ", len(sizes), *sizes, kind, len(data))
        data += content + b"\0" * (-len(content) % alignment)
    return head + b"\0" * (-len(head) % alignment) + data


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_number_comes_out_as_it_was_written(order, tmp_path):
    kinds = {F32: "f4", F16: "f2", I8: "i1", I16: "i2", I32: "i4", I64: "i8", F64: "f8", BF16: "u2"}
    values = {str(kind): (np.arange(6) * 3 + 1).reshape(2, 3).astype(form) for kind, form in kinds.items()}
    content = gguf(*((str(kind), kind, (3, 2), values[str(kind)].astype(f"{order}{form}").tobytes()) for kind, form in kinds.items()), order=order)
    (tmp_path / "in").write_bytes(content)
    done = serialization.convert(tmp_path / "in", tmp_path / "out")
    found = serialization.load(tmp_path / "out")
    assert (done.format, done.verdict.value, set(found)) == ("gguf", "safe", set(values))
    assert {tensor.name: tensor.dtype for tensor in done.tensors}[str(BF16)] == "BF16"
    for name, value in values.items():
        assert (found[name].shape, found[name].tobytes()) == ((2, 3), value.tobytes()), name


def test_quantised_tensors_are_refused_by_name_or_left_out_when_asked(tmp_path):
    (tmp_path / "in").write_bytes(gguf(("q", Q4_0, (32, 1), bytes(18)), ("f", F32, (), bytes(4))))
    with pytest.raises(FormatError, match="'q' is a tensor of the quantised type 2 of GGUF"):
        serialization.convert(tmp_path / "in", tmp_path / "out")
    done = serialization.convert(tmp_path / "in", tmp_path / "out", unsupported="drop")
    assert [(tensor.name, tensor.shape) for tensor in done.tensors] == [("f", ())]
    assert set(done.dropped) == {"q", "(metadata)"}
    with pytest.raises(ValueError, match="select"):
        serialization.convert(tmp_path / "in", tmp_path / "out", select="f")


def test_every_cut_is_refused(tmp_path):
    content = gguf(("a", F32, (3, 2), bytes(24)), ("b", F16, (4,), bytes(8)))
    for size in range(len(content) - 24):  # the last bytes fill up to the alignment
        (tmp_path / "in").write_bytes(content[:size])
        with pytest.raises(FormatError):
            serialization.convert(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").write_bytes(content)
    serialization.convert(tmp_path / "in", tmp_path / "out")
