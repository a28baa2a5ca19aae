# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from lifeseal import serialization
from lifeseal.errors import FormatError, UnsafeError

TYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_every_number_comes_out_as_numpy_reads_it(write, tmp_path):
    base = np.arange(24) % 5
    arrays = {kind: base.astype(kind).reshape(4, 6) for kind in TYPES}
    arrays |= {f"fortran {kind}": np.asfortranarray(base.astype(kind).reshape(2, 3, 4)) for kind in TYPES}
    arrays |= {f"big {kind}": (base + 1).astype(f">{kind}").reshape(2, 12) for kind in TYPES[2:] if kind != "u1"}
    arrays |= {"zero_d": np.float32(3), "empty": np.ones((0, 2)), "large": np.random.default_rng(1).random((300, 401)).T, "in.parts": np.ones(1)}
    write(tmp_path / "in.npz", **arrays)
    done = serialization.convert(tmp_path / "in.npz", tmp_path / "out")
    found = serialization.load(tmp_path / "out")
    assert (done.format, done.verdict.value, set(found)) == ("npz", "safe", set(arrays))
    for name, value in arrays.items():
        little = value.astype(value.dtype.newbyteorder("<"))
        assert (found[name].dtype, found[name].shape, found[name].tobytes()) == (little.dtype, little.shape, little.tobytes()), name


@pytest.mark.parametrize(
    "odd", [np.ones(2, "c16"), np.array(["a"]), np.array(["2020"], "M8[D]"), np.zeros(2, [("a", "f4")]), np.ones(1, "f8").view("V8")]
)
def test_what_the_format_cannot_hold_is_refused_by_name_or_left_out_when_asked(odd, tmp_path):
    np.savez(tmp_path / "in.npz", odd=odd, good=np.ones(2))
    with pytest.raises(FormatError, match="'odd' is an array of type"):
        serialization.convert(tmp_path / "in.npz", tmp_path / "out")
    done = serialization.convert(tmp_path / "in.npz", tmp_path / "out", unsupported="drop")
    assert ([tensor.name for tensor in done.tensors], set(done.dropped)) == (["good"], {"odd"})
    with pytest.raises(ValueError, match="select"):
        serialization.convert(tmp_path / "in.npz", tmp_path / "out", select="good")


class Runs:
    def __reduce__(self):
        return print, ("x",)


def test_arrays_of_objects_are_never_read(tmp_path, capsys):
    np.savez(tmp_path / "in.npz", odd=np.array([Runs()], dtype=object), good=np.ones(2))
    with pytest.raises(UnsafeError):
        serialization.convert(tmp_path / "in.npz", tmp_path / "out")
    np.savez(tmp_path / "in.npz", odd=np.array([1, "a"], dtype=object), good=np.ones(2))
    with pytest.raises(FormatError, match="'odd' is an array of type"):
        serialization.convert(tmp_path / "in.npz", tmp_path / "out")
    assert capsys.readouterr().out == ""
