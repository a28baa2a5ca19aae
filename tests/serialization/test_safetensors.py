# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeseal import serialization
from lifeseal.errors import FormatError, LifesealError, LimitError

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
        pytest.param(file_of({"a\u0007": ONE}), id="control character"),
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
        st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"], exclude_characters="\x7f/\\."), max_size=8),
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


@settings(max_examples=300, deadline=None)
@given(st.one_of(HEADERS, st.dictionaries(st.sampled_from("abc"), TENSOR, max_size=3)), st.binary(max_size=12))
def test_what_is_accepted_the_library_accepts_too(header, data):
    library = pytest.importorskip("safetensors")
    content = file_of(json.dumps(header).encode(), data)
    try:
        ours = parsed(content)
    except LifesealError:
        return
    theirs = dict(library.deserialize(content))
    assert {tensor.name: list(tensor.shape) for tensor in ours.tensors} == {name: info["shape"] for name, info in theirs.items()}


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
