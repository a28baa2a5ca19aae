# SPDX-License-Identifier: Apache-2.0
import errno
import json
import os
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeseal import serialization
from lifeseal.errors import FormatError, LifesealError, LimitError
from lifeseal.serialization import _frameworks

ONE = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}


def file_of(header: bytes | dict, data: bytes = b"ab") -> bytes:
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return len(text).to_bytes(8, "little") + text + data


def parsed(content: bytes) -> serialization.Header:
    return serialization.parse_header_bytes(content, size=len(content), where="t")


def test_a_good_header_is_read():
    header = parsed(file_of({"__metadata__": {"k": "v"}, "a": ONE}))
    assert header.tensors == (serialization.TensorInfo(name="a", dtype="U8", shape=(2,), start=0, stop=2),)
    assert dict(header.metadata) == {"k": "v"}
    assert header.data_start == header.header_size + 8


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(file_of(b" " + json.dumps({"a": ONE}).encode()), id="leading space"),
        pytest.param(file_of(json.dumps({"a": ONE}).encode() + b"\n"), id="other padding"),
        pytest.param(file_of(b'{"a":' + json.dumps(ONE).encode() + b',"a":' + json.dumps(ONE).encode() + b"}"), id="duplicate"),
        pytest.param(file_of({"__metadata__": {"k": 1}, "a": ONE}), id="metadata"),
        pytest.param(file_of({"a": {**ONE, "more": 1}}), id="unknown field"),
        pytest.param(file_of({"a": ONE, "b": {**ONE, "data_offsets": [1, 3]}}, b"abc"), id="overlap"),
        pytest.param(file_of({"a": ONE, "b": {**ONE, "data_offsets": [3, 5]}}, b"abcde"), id="hole"),
        pytest.param(file_of({"a": ONE}, b"abc"), id="bytes left over"),
        pytest.param(file_of({"a": ONE}, b"a"), id="bytes missing"),
        pytest.param(file_of({"a": {**ONE, "shape": [2**33, 2**33]}}), id="overflow"),
        pytest.param(file_of({"a": {**ONE, "shape": [True, 2]}}), id="boolean size"),
        pytest.param(file_of({"a": {**ONE, "shape": [3]}}), id="byte count"),
        pytest.param(file_of({"a": {**ONE, "dtype": "X8"}}), id="type"),
        pytest.param(file_of({"../a": ONE}), id="path"),
        pytest.param(file_of({"b/..": ONE}), id="path at the end"),
        pytest.param(file_of({"a\\..\\b": ONE}), id="path of another system"),
        pytest.param(file_of({"/a": ONE}), id="absolute path"),
        pytest.param(file_of({"a\u0007": ONE}), id="control character"),
        pytest.param(file_of({"a\u009b": ONE}), id="upper control character"),
        pytest.param(file_of(b'{"__metadata__":{"k":"1","k":"2"},"a":' + json.dumps(ONE).encode() + b"}"), id="duplicate in metadata"),
        pytest.param(file_of(b'{"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}}'), id="duplicate in a tensor"),
        pytest.param(file_of({"a": ONE, "__metadata__": {"k": "v"}, "b": {**ONE, "data_offsets": [4, 2]}}, b"abcd"), id="backwards"),
        pytest.param(file_of({"a" * 4097: ONE}), id="long name"),
        pytest.param(file_of({"a": {**ONE, "shape": [2.0]}}), id="fraction"),
        pytest.param(file_of(b'{"\\ud800":' + json.dumps(ONE).encode() + b"}"), id="half surrogate"),
        pytest.param(file_of(json.dumps({"a": ONE}).encode("utf-16-le")), id="encoding"),
        pytest.param(b"\x05\0\0\0\0\0\0\0{}", id="cut"),
    ],
)
def test_refuses_a_header_that_is_not_strict(content, tmp_path):
    with pytest.raises(FormatError):
        parsed(content)
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(FormatError):
        serialization.validate(tmp_path / "f")
    assert serialization.scan(tmp_path / "f").verdict.value == "unreadable"


def test_refuses_a_header_over_the_bound():
    with pytest.raises(LimitError):
        serialization.parse_header_bytes((1 << 27).to_bytes(8, "little") + b"{", size=1 << 30, where="t")
    with pytest.raises(LimitError, match="items"):
        parsed(file_of({"a": {**ONE, "shape": [1] * 64 + [2]}}))
    assert len(parsed(file_of({"a": {**ONE, "shape": [1] * 63 + [2]}})).tensors[0].shape) == 64
    with pytest.raises(LimitError, match="values"):
        parsed(file_of(b'{"a":[' + b"0," * 1_000_000 + b"0]}"))


def test_every_cut_is_reported(tmp_path):
    content = file_of({"a": ONE})
    (tmp_path / "f").write_bytes(content)
    assert serialization.scan(tmp_path / "f").verdict.value == "safe"
    for size in range(9, len(content)):
        (tmp_path / "f").write_bytes(content[:size])
        assert serialization.scan(tmp_path / "f").verdict.value == "unreadable", size
        with pytest.raises(LifesealError):
            serialization.load(tmp_path / "f")


DTYPES = st.sampled_from(
    ["bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "float32", "float64", "int64", "uint64", "complex64", ">f4"]
)
SHAPES = st.lists(st.integers(0, 4), max_size=3)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=33, exclude_categories=["Cc", "Cs"], exclude_characters="/\\."), max_size=8),
        st.tuples(DTYPES, SHAPES),
        max_size=5,
    )
)
def test_what_is_saved_is_what_the_library_reads(tmp_path_factory, described):
    library = pytest.importorskip("safetensors.numpy")
    described.pop("__metadata__", None)
    file = tmp_path_factory.getbasetemp() / "t.safetensors"
    tensors = {name: np.arange(int(np.prod(shape))).reshape(shape).astype(dtype) for name, (dtype, shape) in described.items()}
    serialization.save(tensors, file, metadata={"k": "v"})
    theirs, ours = library.load_file(file), serialization.load(file)
    assert set(theirs) == set(ours) == set(tensors)
    for name, value in tensors.items():
        assert theirs[name].tobytes() == ours[name].tobytes() == value.astype(value.dtype.newbyteorder("<")).tobytes()
        assert theirs[name].shape == ours[name].shape == value.shape
        assert theirs[name].dtype == ours[name].dtype
    library.save_file(
        {name: np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))).reshape(value.shape) for name, value in tensors.items()}, file
    )
    again = serialization.load(file)
    assert {name: value.tobytes() for name, value in again.items()} == {name: value.tobytes() for name, value in ours.items()}
    assert serialization.scan(file).verdict.value == "safe"


HEADERS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 5), st.sampled_from(["U8", "F32", "x"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "__metadata__", "dtype", "shape", "data_offsets"]), inner, max_size=4)
    ),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "F32", "BOOL"]),
        "shape": st.lists(st.integers(0, 3), max_size=2),
        "data_offsets": st.lists(st.integers(0, 6), min_size=2, max_size=2),
    }
)


def compare_with_the_library(content: bytes, path) -> bool:
    """Parse with both; whatever we accept, the library must accept and read the same. Tells whether we accept it."""
    library = pytest.importorskip("safetensors")
    try:
        ours = parsed(content)
    except LifesealError:
        return False
    theirs = dict(library.deserialize(content))
    assert {t.name: (t.dtype, list(t.shape)) for t in ours.tensors} == {name: (info["dtype"], info["shape"]) for name, info in theirs.items()}
    for tensor in ours.tensors:
        assert content[ours.data_start + tensor.start : ours.data_start + tensor.stop] == bytes(theirs[tensor.name]["data"])
    path.write_bytes(content)
    with library.safe_open(path, framework="numpy") as opened:
        assert (opened.metadata() or {}) == dict(ours.metadata)
    return True


@settings(max_examples=300, deadline=None)
@given(st.one_of(HEADERS, st.dictionaries(st.sampled_from("abc"), TENSOR, max_size=3)), st.binary(max_size=12))
def test_what_is_accepted_the_library_reads_alike(tmp_path_factory, header, data):
    compare_with_the_library(file_of(json.dumps(header).encode(), data), tmp_path_factory.getbasetemp() / "h")


GOOD = {"__metadata__": {"k": "v"}, "a": ONE, "b": {"dtype": "F32", "shape": [1, 2], "data_offsets": [2, 10]}}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(b'{}[]":,0129 \x00\xffU8ab._')), max_size=3))
def test_what_is_accepted_of_a_changed_file_the_library_reads_alike(tmp_path_factory, edits):
    content = bytearray(file_of(GOOD, bytes(range(10))))
    for place, byte in edits:
        content[place % len(content)] = byte
    accepted = compare_with_the_library(bytes(content), tmp_path_factory.getbasetemp() / "h")
    assert accepted or edits


def test_torch_tensors_keep_their_bits(tmp_path):
    torch = pytest.importorskip("torch")
    kinds = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bool, torch.int64, torch.complex64, torch.uint16)
    tensors = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in kinds}
    tensors |= {"view": torch.eye(4)[1:, ::2], "number": torch.ones(()), "empty": torch.ones(0, 2), "grad": torch.ones(2, requires_grad=True)}
    serialization.save(tensors, tmp_path / "f")
    found = serialization.load(tmp_path / "f", framework="torch")
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].reshape(-1).view(torch.uint8), tensor.detach().contiguous().reshape(-1).view(torch.uint8)), name
        assert found[name].shape == tensor.shape
    raw = serialization.load(tmp_path / "f", names=["torch.bfloat16"])
    assert raw["torch.bfloat16"].dtype == np.uint16


def test_equal_tensors_give_equal_bytes_and_odd_ones_are_refused(tmp_path):
    a, b = np.ones(2, dtype="f4"), np.arange(3)
    serialization.save({"a": a, "b": b}, tmp_path / "1")
    serialization.save({"b": b, "a": a}, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert serialization.validate(tmp_path / "1").data_start % 8 == 0
    for odd in ({"a": [1]}, {"a": np.array(["x"])}, {1: a}):
        with pytest.raises(TypeError):
            serialization.save(odd, tmp_path / "1")
    with pytest.raises(FormatError, match="path"):
        serialization.save({"../a": a}, tmp_path / "1")
    with pytest.raises(FormatError, match="surrogate"):
        serialization.save({"\ud800": a}, tmp_path / "1")
    with pytest.raises(TypeError, match="metadata"):
        serialization.save({"a": a}, tmp_path / "1", metadata={"a": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    for wrong in ({"names": ["c"]}, {"framework": "jax"}):
        with pytest.raises(ValueError, match=r"c|jax"):
            serialization.load(tmp_path / "1", **wrong)


TENSORS = {"layer.b": np.arange(3, dtype="i8"), "layer.a": np.arange(6, dtype="f4").reshape(2, 3), "c": np.ones((), "?"), "d": np.zeros((0, 2), "f8")}


def read_shards(folder) -> dict:
    index = json.loads((folder / "model.safetensors.index.json").read_bytes())
    found = {file: serialization.load(folder / file) for file in set(index["weight_map"].values())}
    assert {name: file for file, tensors in found.items() for name in tensors} == index["weight_map"]
    assert index["metadata"] == {"total_size": sum(t.nbytes for tensors in found.values() for t in tensors.values())}
    return {name: tensor for tensors in found.values() for name, tensor in tensors.items()}


@pytest.mark.parametrize(("bound", "files"), [(1, 3), (24, 3), (25, 2), (48, 2), (49, 1), (None, 1)])
def test_tensors_go_to_as_many_files_as_the_bound_asks_for(tmp_path, bound, files):
    serialization.save(TENSORS, tmp_path / "model.safetensors", metadata={"k": "v"}, max_shard_size=bound)
    written = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    if files == 1:
        assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
        found = serialization.load(tmp_path / "model.safetensors")
    else:
        assert written == [f"model-{number:05}-of-{files:05}.safetensors" for number in range(1, files + 1)]
        found = read_shards(tmp_path)
    assert {serialization.validate(tmp_path / name).metadata["k"] for name in written} == {"v"}
    assert {name: (value.dtype, value.shape, value.tobytes()) for name, value in found.items()} == {
        name: (value.dtype, value.shape, value.tobytes()) for name, value in TENSORS.items()
    }


def test_shards_are_the_same_whatever_the_order(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    serialization.save(TENSORS, tmp_path / "1" / "m", max_shard_size=25)
    serialization.save(dict(reversed(TENSORS.items())), tmp_path / "2" / "m", max_shard_size=25)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in "12")
    assert one == two
    assert set(one) == {"m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors", "m.safetensors.index.json"}


def test_a_set_of_shards_is_not_replaced(tmp_path):
    serialization.save(TENSORS, tmp_path / "model.safetensors", max_shard_size=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError) as caught:
        serialization.save({"x": np.ones(9), "y": np.ones(9)}, tmp_path / "model.safetensors", max_shard_size=1)
    assert caught.value.filename == str(tmp_path / "model.safetensors.index.json")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "model.safetensors.index.json").unlink()
    serialization.save(TENSORS, tmp_path / "model.safetensors", max_shard_size=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class Breaks:
    """An array that cannot be read when its bytes are asked for."""

    dtype, shape, __array_interface__ = np.dtype("f4"), (1,), {}


def test_nothing_is_left_of_shards_that_could_not_be_finished(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        serialization.save({"a": np.ones(4), "b": Breaks()}, tmp_path / "model.safetensors", max_shard_size=1)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_shards_whose_last_step_failed(tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def third_fails(fd):
        calls.append(fd)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "full")
        return real(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", third_fails)
        with pytest.raises(OSError, match="full"):
            serialization.save(TENSORS, tmp_path / "model.safetensors", max_shard_size=25)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="max_shard_size"):
        serialization.save(TENSORS, tmp_path / "model.safetensors", max_shard_size=0)


def test_types_that_numpy_has_not_carry_their_name_and_are_written_back(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    kinds = {"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu}
    serialization.save({name: torch.ones(3).to(kind) for name, kind in kinds.items()}, tmp_path / "1")
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    _frameworks._numpy_type.cache_clear()
    found = serialization.load(tmp_path / "1")
    assert {name: (value.dtype.kind, value.dtype.itemsize) for name, value in found.items()} == {
        name: ("u", 2 if name == "BF16" else 1) for name in kinds
    }
    assert {name: value.dtype.metadata["safetensors"] for name, value in found.items()} == {name: name for name in kinds}
    serialization.save(found, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    _frameworks._numpy_type.cache_clear()


def test_types_that_numpy_has_not_are_those_of_ml_dtypes_where_it_is_installed(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    serialization.save({"a": torch.ones(3, dtype=torch.bfloat16)}, tmp_path / "f")
    stand_in = types.ModuleType("ml_dtypes")
    stand_in.bfloat16 = np.dtype("V2")
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", stand_in)
    _frameworks._numpy_type.cache_clear()
    assert serialization.load(tmp_path / "f")["a"].dtype == np.dtype("V2")
    _frameworks._numpy_type.cache_clear()


def test_one_name_is_not_taken_for_several(tmp_path):
    serialization.save({"a": np.ones(1), "ab": np.ones(1)}, tmp_path / "f")
    with pytest.raises(TypeError, match=r"\['ab'\]"):
        serialization.load(tmp_path / "f", names="ab")
    assert set(serialization.load(tmp_path / "f", names=["ab"])) == {"ab"}
