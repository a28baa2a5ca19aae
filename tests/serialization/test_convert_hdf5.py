# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
pytest.importorskip("pyfive")

from lifeseal import serialization  # noqa: E402 - only where both are
from lifeseal.errors import FormatError, LifesealError, MissingExtraError, UnsafeError  # noqa: E402

FILES = pathlib.Path(__file__).parent / "files" / "keras"


def read_by_h5py(path) -> dict:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiuc" else None)
    return found


def assert_same(path, done, out):
    wanted, found = read_by_h5py(path), serialization.load(out)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert (found[name].shape, found[name].tobytes()) == (value.shape, value.astype(value.dtype.newbyteorder("<")).tobytes()), name
    assert "(attributes)" in done.dropped


@pytest.mark.parametrize("latest", [False, True])
def test_every_number_comes_out_as_h5py_reads_it(latest, tmp_path):
    with h5py.File(tmp_path / "in.h5", "w", libver="latest" if latest else "earliest") as file:
        for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f4", ">i2", "c8")[
            : -1 if latest else None
        ]:  # the package lacks c8 of the latest form
            file[f"types/{kind}"] = (np.arange(6) * 3).astype(kind).reshape(2, 3)
        if not latest:
            file.create_dataset("packed", data=np.random.default_rng(1).random((100, 70)), chunks=(13, 9), compression="gzip", shuffle=True)
        file["deep/er/one"] = np.float32(2)
        file["empty"] = np.ones((0, 2))
        file.attrs["note"] = "x"
    assert_same(tmp_path / "in.h5", serialization.convert(tmp_path / "in.h5", tmp_path / "out"), tmp_path / "out")


@pytest.mark.parametrize("name", ["dense.h5", "dense.keras"])
def test_weights_as_keras_writes_them(name, tmp_path):
    done = serialization.convert(FILES / name, tmp_path / "out")
    path = FILES / name
    if name.endswith(".keras"):
        import zipfile

        path = pathlib.Path(zipfile.ZipFile(path).extract("model.weights.h5", tmp_path))
    assert_same(path, done, tmp_path / "out")


def test_a_file_with_code_is_not_converted_without_a_waiver(tmp_path):
    with pytest.raises(UnsafeError):
        serialization.convert(FILES / "lambda.h5", tmp_path / "out")


def test_text_is_refused_by_name_or_left_out_when_asked(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["text"], file["good"] = np.array([b"ab"]), np.ones(2)
    with pytest.raises(FormatError, match="'text' is a dataset of type"):
        serialization.convert(tmp_path / "in.h5", tmp_path / "out")
    done = serialization.convert(tmp_path / "in.h5", tmp_path / "out", unsupported="drop")
    assert [tensor.name for tensor in done.tensors] == ["good"]


def test_what_the_package_does_not_read_is_refused_by_name(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w", libver="latest") as file:
        file.create_dataset("packed", data=np.ones((100, 70)), chunks=(13, 9))
        file["good"] = np.ones(2)
    with pytest.raises(FormatError, match="'packed' is what cannot be read here"):
        serialization.convert(tmp_path / "in.h5", tmp_path / "out")
    assert set(serialization.convert(tmp_path / "in.h5", tmp_path / "out", unsupported="drop").dropped) == {"packed", "(attributes)"}


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["a"] = np.ones(2)
    monkeypatch.setitem(sys.modules, "pyfive", None)
    with pytest.raises(MissingExtraError, match=r"lifeseal\[hdf5\]"):
        serialization.convert(tmp_path / "in.h5", tmp_path / "out")


def test_changed_and_cut_files_end_in_errors_of_ours(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file.create_dataset("a/b", data=np.arange(20.0), chunks=(10,), compression="gzip")
        file["c"] = np.ones(3)
    content = (tmp_path / "in.h5").read_bytes()
    variants = [content[:size] for size in range(0, len(content), 397)]
    variants += [content[:place] + bytes([content[place] ^ (1 + place % 255)]) + content[place + 1 :] for place in range(0, len(content), 61)]
    for variant in variants:
        (tmp_path / "in.h5").write_bytes(variant)
        try:
            serialization.convert(tmp_path / "in.h5", tmp_path / "out")
        except LifesealError:
            continue
        serialization.validate(tmp_path / "out")
