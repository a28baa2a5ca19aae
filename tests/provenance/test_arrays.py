# SPDX-License-Identifier: Apache-2.0
"""Shards of arrays: the first dimension counts records, and what has none is hashed whole."""

import contextlib
import hashlib
import io
import json
import zipfile

import numpy as np
import pymerkle
import pytest
import safetensors.numpy

from lifeseal import provenance
from lifeseal.errors import DigestMismatchError, FormatError, LifesealError, LimitError
from lifeseal.provenance import CheckedRecords, Records, _arrays, checked

ARRAYS = {
    "ids": np.arange(3000 * 4, dtype=np.int32).reshape(3000, 4),
    "label": np.arange(3000, dtype=np.int64),
    "x": np.ones((3000, 2, 3), np.float16),
}


def npz(arrays, *, packed=False):
    sink = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(sink, **arrays)
    return sink.getvalue()


def rows(arrays, types):
    columns = [[name, types[name], list(array.shape[1:])] for name, array in sorted(arrays.items())]
    prefix = hashlib.sha256(json.dumps(columns, separators=(",", ":")).encode()).digest()
    return [prefix + b"".join(arrays[name][number].tobytes() for name in sorted(arrays)) for number in range(len(arrays["ids"]))]


NUMPY = rows(ARRAYS, {"ids": "<i4", "label": "<i8", "x": "<f2"})
TENSORS = rows(ARRAYS, {"ids": "I32", "label": "I64", "x": "F16"})


@pytest.fixture
def recorded(tmp_path, description):
    def run(content, name="a.npz"):
        path = tmp_path / name
        path.write_bytes(content)
        return provenance.record(path, description=description, records=Records(leaves=tmp_path / "l")), path

    return run


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.npz", npz(ARRAYS), NUMPY),
        ("a.npz", npz(ARRAYS, packed=True), NUMPY),
        ("a.npz", npz(dict(reversed(ARRAYS.items()))), NUMPY),
        ("a.safetensors", safetensors.numpy.save(ARRAYS), TENSORS),
        ("a.safetensors", safetensors.numpy.save(ARRAYS, metadata={"more": "x"}), TENSORS),
    ],
    ids=["npz", "packed", "other order", "safetensors", "metadata"],
)
def test_a_record_is_a_row_of_every_array(name, content, wanted, recorded):
    made, path = recorded(content, name)
    assert made.files[0].records.root == pymerkle.InmemoryTree.init_from_entries(wanted, algorithm="sha256").get_root()
    assert made.files[0].sha256 == hashlib.sha256(content).digest()
    assert list(checked(made, path)) == wanted
    assert list(checked(made, path, start=2345)) == wanted[2345:]


def test_safetensors_can_be_read_by_number(recorded):
    made, path = recorded(safetensors.numpy.save(ARRAYS), "a.safetensors")
    with CheckedRecords.open(made, path) as records:
        assert [records[number] for number in (0, 2999, 7)] == [TENSORS[number] for number in (0, 2999, 7)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npz", npz({"a": np.ones(3), "b": np.ones(4)})),
        ("a.npz", npz({"a": np.array(1.0)})),
        ("a.npz", npz({"a": np.asfortranarray(np.ones((3, 2)))})),
        ("a.npz", npz({"a": np.array(["text"])})),
        ("a.npz", npz({"a": np.array([{}], dtype=object)})),
        ("a.npz", npz({"a": np.ones((3, 0))})),
        ("a.npz", npz({})),
        ("a.safetensors", safetensors.numpy.save({"a": np.ones(3), "b": np.ones(4)})),
        ("a.safetensors", safetensors.numpy.save({})),
    ],
    ids=["two lengths", "no dimension", "other order of items", "text", "objects", "no bytes", "nothing", "two lengths of tensors", "no tensor"],
)
def test_a_file_without_a_common_first_dimension_is_hashed_whole(name, content, recorded, tmp_path):
    made, path = recorded(content, name)
    assert made.files[0].records is None
    assert made.files[0].sha256 == hashlib.sha256(content).digest()
    assert not list((tmp_path / "l").glob("*.leaves"))
    assert provenance.verify(made, path).files == 1


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_the_first_wrong_row_is_named(kind, recorded):
    write = npz if kind == "npz" else safetensors.numpy.save
    made, path = recorded(write(ARRAYS), f"a.{kind}")
    wanted = NUMPY if kind == "npz" else TENSORS
    changed = {**ARRAYS, "label": np.where(ARRAYS["label"] == 1234, -1, ARRAYS["label"])}
    fewer, more = ({name: np.concatenate([array, array])[:count] for name, array in ARRAYS.items()} for count in (2990, 3001))
    other = {**ARRAYS, "label": np.ones(3)}
    for arrays, number in ((changed, 1234), (fewer, 2990), (more, 3000), (other, 0), ({**ARRAYS, "ids": ARRAYS["ids"].astype(np.int64)}, 0)):
        path.write_bytes(write(arrays))
        out = []
        with pytest.raises(DigestMismatchError) as caught:
            out.extend(checked(made, path))
        assert (caught.value.record, out) == (number, wanted[:number])


@pytest.mark.parametrize("kind", ["npz", "packed", "safetensors"])
def test_a_broken_file_is_refused(kind, recorded):
    good = safetensors.numpy.save(ARRAYS) if kind == "safetensors" else npz(ARRAYS, packed=kind == "packed")
    name = "a.safetensors" if kind == "safetensors" else "a.npz"
    for bad in (b"", good[:-1], good[: len(good) // 2], b"\xff" * 100, good[100:]):
        with pytest.raises(FormatError):
            recorded(bad, name)
    for place in range(0, len(good), max(1, len(good) // 60)):
        with contextlib.suppress(LifesealError):
            recorded(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :], name)


def test_a_member_that_was_changed_under_its_checksum_is_refused(recorded):
    good = npz({"a": np.zeros(40_000, np.uint8)})
    place = good.index(b"\0" * 1000) + 500
    with pytest.raises(FormatError, match="broken: Bad CRC-32"):
        recorded(good[:place] + b"\1" + good[place + 1 :])


def test_members_of_one_name_are_refused(recorded):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.npy", b"")
        archive.writestr("b.npy", b"")
    sink = io.BytesIO(sink.getvalue().replace(b"b.npy", b"a.npy"))
    with pytest.raises(FormatError, match="two members have one name"):
        recorded(sink.getvalue())


def test_data_that_goes_on_behind_the_shape_is_refused(recorded):
    sink = io.BytesIO()
    item = io.BytesIO()
    np.save(item, np.ones(3))
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.npy", item.getvalue() + b"\0")
    with pytest.raises(FormatError, match="shorter or longer than its shape"):
        recorded(sink.getvalue())


def test_a_row_longer_than_the_limit_is_refused(recorded, monkeypatch):
    monkeypatch.setattr(_arrays, "MAX_RECORD", 1000)
    with pytest.raises(LimitError, match="a row"):
        recorded(npz({"a": np.ones((2, 200))}))
