# SPDX-License-Identifier: Apache-2.0
"""Tensors come out of a signed model as the reference library reads them, or not at all."""

import os
import struct
import threading

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from lifeseal import signing
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import DigestMismatchError, FormatError, LimitError
from lifeseal.loading import load_tensors

NUMPY = ["bool_", "uint8", "int8", "uint16", "int16", "float16", "uint32", "int32", "float32", "complex64", "uint64", "int64", "float64"]
TORCH = [
    *("bool", "uint8", "int8", "int16", "float16", "bfloat16", "int32", "float32", "int64", "float64", "uint16", "uint32", "uint64", "complex64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
]


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model"
    found.mkdir()
    (found / "config.json").write_bytes(b"{}")
    return found


def sample(count):
    return np.random.default_rng(7).integers(0, 256, count, dtype=np.uint8)


def numpy_tensors():
    return {
        name: sample(6 * np.dtype(name).itemsize).view(np.uint8 if name == "bool_" else name).astype(name, copy=False).reshape(2, 3) for name in NUMPY
    }


def torch_tensors():
    made = {}
    for name in TORCH:
        dtype = getattr(torch, name)
        raw = torch.from_numpy(sample(6 * dtype.itemsize))
        made[name] = (raw % 2 if name == "bool" else raw).view(dtype).reshape(2, 3)
    return made


def same_numpy(found, wanted):
    return found.keys() == wanted.keys() and all(
        (found[name].dtype, found[name].shape, found[name].tobytes()) == (wanted[name].dtype, wanted[name].shape, wanted[name].tobytes())
        for name in wanted
    )


def same_torch(found, wanted):
    return found.keys() == wanted.keys() and all(
        found[name].dtype == wanted[name].dtype
        and found[name].shape == wanted[name].shape
        and torch.equal(found[name].contiguous().reshape(-1).view(torch.uint8), wanted[name].contiguous().reshape(-1).view(torch.uint8))
        for name in wanted
    )


def save(path, **tensors):
    safetensors.numpy.save_file(tensors, path)


def raw_file(path, header, data, *, padding=0):
    text = header.encode() + b" " * padding
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_numpy_tensors_are_bit_for_bit_what_the_reference_reads(folder, opened):
    safetensors.numpy.save_file(numpy_tensors(), folder / "m.safetensors")
    found = load_tensors(opened(folder))
    assert same_numpy(found, safetensors.numpy.load_file(folder / "m.safetensors"))
    assert len(found) == len(NUMPY)


def test_torch_tensors_are_bit_for_bit_what_the_reference_reads(folder, opened):
    safetensors.torch.save_file(torch_tensors(), folder / "m.safetensors")
    found = load_tensors(opened(folder), framework="torch")
    assert same_torch(found, safetensors.torch.load_file(folder / "m.safetensors"))
    assert len(found) == len(TORCH)


def test_numpy_gets_raw_numbers_where_it_has_no_type(folder, opened):
    tensors = torch_tensors()
    safetensors.torch.save_file(tensors, folder / "m.safetensors")
    found = load_tensors(opened(folder), names=["bfloat16", "float8_e5m2"])
    assert found["bfloat16"].dtype == np.uint16
    assert found["bfloat16"].tobytes() == tensors["bfloat16"].view(torch.uint8).numpy().tobytes()
    assert found["float8_e5m2"].dtype == np.uint8


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_empty_tensors_and_single_numbers_keep_their_shapes(framework, folder, opened):
    tensors = {"none": np.zeros((0, 3), np.float32), "one": np.array(7, np.int64), "flat": np.zeros(0, np.int8)}
    safetensors.numpy.save_file(tensors, folder / "m.safetensors")
    found = load_tensors(opened(folder), framework=framework)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {"none": (0, 3), "one": (), "flat": (0,)}
    assert int(found["one"]) == 7


@pytest.mark.parametrize("framework", ["numpy", "torch"])
@pytest.mark.parametrize("padding", range(9))
def test_a_header_of_any_length_is_read(padding, framework, folder, opened):
    data = sample(24)
    raw_file(folder / "m.safetensors", '{"a":{"dtype":"F64","shape":[3],"data_offsets":[0,24]}}', data.tobytes(), padding=padding)
    found = load_tensors(opened(folder), framework=framework)["a"]
    assert bytes(np.asarray(found).tobytes()) == data.tobytes()


@pytest.mark.parametrize("names", [None, ["a"]])
def test_tensors_are_writable_and_their_own(names, folder, opened):
    save(folder / "m.safetensors", a=np.zeros(4, np.float32), b=np.zeros(4, np.float32))
    signed = opened(folder)
    first, second = load_tensors(signed, names=names), load_tensors(signed, names=names)
    first["a"][:] = 1
    assert (second["a"] == 0).all()


def test_names_choose_tensors_and_files_choose_files(folder, opened):
    save(folder / "1.safetensors", a=np.ones(1), b=np.ones(2))
    save(folder / "2.safetensors", c=np.ones(3))
    signed = opened(folder)
    assert load_tensors(signed).keys() == {"a", "b", "c"}
    assert load_tensors(signed, names=["b", "c"]).keys() == {"b", "c"}
    assert load_tensors(signed, files=["2.safetensors"]).keys() == {"c"}
    assert load_tensors(signed, files=["1.safetensors", "1.safetensors"], names=["a"]).keys() == {"a"}
    with pytest.raises(KeyError, match="tensor 'd' is in none of the files"):
        load_tensors(signed, names=["a", "d"])
    with pytest.raises(KeyError, match=r"'3\.safetensors' is not among the signed files"):
        load_tensors(signed, files=["3.safetensors"])
    with pytest.raises(FormatError, match="there is none to load"):
        load_tensors(signed, files=[])


@pytest.mark.parametrize("option", ["names", "files"])
def test_one_string_in_place_of_several_is_refused(option, folder, opened):
    save(folder / "m.safetensors", a=np.ones(1))
    with pytest.raises(TypeError, match=f"{option}= takes several"):
        load_tensors(opened(folder), **{option: "a"})


def test_a_name_in_two_files_is_refused_unless_one_is_chosen(folder, opened):
    save(folder / "1.safetensors", a=np.zeros(1))
    save(folder / "2.safetensors", a=np.ones(1))
    signed = opened(folder)
    with pytest.raises(
        FormatError, match=r"model 'model': tensor 'a' stands in '1\.safetensors' and in '2\.safetensors'; .*files=: 1\.safetensors, 2\.safetensors$"
    ):
        load_tensors(signed)
    assert load_tensors(signed, files=["2.safetensors"])["a"][0] == 1


def test_a_model_without_safetensors_is_refused(folder, opened):
    with pytest.raises(FormatError, match=r"model 'model': a signed \.safetensors file was expected"):
        load_tensors(opened(folder))


@pytest.mark.parametrize("kind", [str, os.fspath, lambda path: path, lambda path: path.read_bytes()])
def test_a_path_is_not_accepted(kind, folder):
    save(folder / "m.safetensors", a=np.ones(1))
    with pytest.raises(TypeError, match=r"takes a SignedModel from signing\.open_model, not (str|PosixPath|bytes)"):
        load_tensors(kind(folder / "m.safetensors"))


@pytest.mark.parametrize("options", [{"framework": "jax"}, {"framework": "numpy", "device": "cuda"}])
def test_an_unknown_framework_is_refused(options, folder, opened):
    save(folder / "m.safetensors", a=np.ones(1))
    with pytest.raises(ValueError, match="framework= must be"):
        load_tensors(opened(folder), **options)


@pytest.mark.parametrize("shards", [{}, {"shard_size": 128}])
@pytest.mark.parametrize("change", ["last bit", "first bit", "header", "name", "cut", "longer", "emptied", "other file"])
def test_a_changed_file_is_refused_for_its_change_whatever_its_header_says(change, shards, folder, opened):
    save(folder / "1.safetensors", a=np.ones(1))
    save(folder / "2.safetensors", b=np.ones(1000))
    signed = opened(folder, **shards)
    assert load_tensors(signed).keys() == {"a", "b"}
    good = (folder / "2.safetensors").read_bytes()
    changed = {
        "last bit": good[:-1] + bytes([good[-1] ^ 1]),
        "first bit": bytes([good[0] ^ 1]) + good[1:],
        "header": good.replace(b'"F64"', b'"F65"', 1),
        "name": good.replace(b'"b"', b'"a"', 1),
        "cut": good[:-1],
        "longer": good + b"\0",
        "emptied": b"",
        "other file": (folder / "1.safetensors").read_bytes(),
    }[change]
    (folder / "2.safetensors").write_bytes(changed)
    with pytest.raises(DigestMismatchError) as caught:
        load_tensors(signed)
    assert caught.value.changed == ("2.safetensors",)
    (folder / "2.safetensors").write_bytes(good)
    assert load_tensors(signed)["b"].tolist() == [1] * 1000


def test_a_name_that_only_a_changed_header_lacks_is_told_as_the_change(folder, opened):
    save(folder / "m.safetensors", a=np.ones(1))
    signed = opened(folder)
    good = (folder / "m.safetensors").read_bytes()
    (folder / "m.safetensors").write_bytes(good.replace(b'"a"', b'"c"'))
    with pytest.raises(DigestMismatchError):
        load_tensors(signed, names=["a"])
    (folder / "m.safetensors").write_bytes(good)
    with pytest.raises(KeyError, match="'c' is in none"):
        load_tensors(signed, names=["c"])


def test_several_layouts_are_listed_and_one_can_be_chosen(folder, opened):
    save(folder / "model.safetensors", a=np.zeros(1), b=np.zeros(1))
    save(folder / "model-00001-of-00002.safetensors", a=np.ones(1))
    save(folder / "model-00002-of-00002.safetensors", b=np.ones(1))
    signed = opened(folder)
    with pytest.raises(FormatError, match=r"model-\*-of-00002\.safetensors \(2 files\), model\.safetensors$"):
        load_tensors(signed)
    assert load_tensors(signed, files=["model.safetensors"])["a"][0] == 0
    assert load_tensors(signed, files=[entry.path for entry in signed.files if "-of-" in entry.path])["b"][0] == 1


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("[]", b""),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}', bytes(8)),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', bytes(8)),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(8)),
        ('{"a":{"dtype":"X","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    ],
)
def test_a_signed_file_that_is_not_strict_safetensors_is_refused(header, data, folder, opened):
    raw_file(folder / "m.safetensors", header, data)
    with pytest.raises(FormatError, match=r"^m\.safetensors"):
        load_tensors(opened(folder))


def test_a_signed_empty_file_is_refused(folder, opened):
    (folder / "m.safetensors").write_bytes(b"")
    with pytest.raises(FormatError, match=r"m\.safetensors: shorter than the length"):
        load_tensors(opened(folder))


def test_files_of_other_formats_are_never_read(folder, opened):
    save(folder / "m.safetensors", a=np.ones(1))
    (folder / "weights.pkl").write_bytes(b"cos\nsystem\n")
    signed = opened(folder)
    (folder / "weights.pkl").unlink()
    os.mkfifo(folder / "weights.pkl")
    assert load_tensors(signed).keys() == {"a"}


def test_progress_tells_the_bytes_and_can_stop_the_work(folder, opened):
    for number in range(3):
        save(folder / f"{number}.safetensors", **{f"t{number}": np.ones(100)})
    signed = opened(folder)
    seen = []
    load_tensors(signed, progress=seen.append)
    total = sum((folder / f"{number}.safetensors").stat().st_size for number in range(3))
    assert {(told.phase, told.total) for told in seen} == {("loading", total)}
    assert [told.done for told in seen] == sorted(told.done for told in seen)
    assert seen[-1].done == total

    def stop(told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_tensors(signed, progress=stop)


def test_a_file_larger_than_memory_is_refused_unread(folder, opened):
    save(folder / "m.safetensors", a=np.ones(1))
    signing_of_small = opened(folder)
    assert load_tensors(signing_of_small).keys() == {"a"}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    os.truncate(folder / "m.safetensors", memory + 1)
    with signing.open_model(folder, policy=_policy(signing_of_small)) as signed, pytest.raises(LimitError, match="model 'model'") as caught:
        load_tensors(signed)
    assert (caught.value.limit, caught.value.seen) == (memory, memory + 1)


def _policy(signed):
    class SameSigner:
        def check(self, bundles, *, purpose, withdrawals=None):
            return signed.signer

    return SameSigner()


def test_files_rewritten_while_they_are_loaded_give_signed_bytes_or_nothing(folder, opened):
    good = np.full(20_000, 1, np.float32)
    save(folder / "m.safetensors", a=good)
    path = folder / "m.safetensors"
    contents = [path.read_bytes()]
    contents.append(contents[0][:-80_000] + np.full(20_000, 2, np.float32).tobytes())
    signed = opened(folder)
    stop = threading.Event()

    def rewrite():
        fd = os.open(path, os.O_WRONLY)
        turn = 0
        while not stop.is_set():
            turn += 1
            os.pwrite(fd, contents[turn % 2], 0)
            stop.wait(0.0002)
        os.close(fd)

    writer = threading.Thread(target=rewrite)
    writer.start()
    loaded = refused = 0
    try:
        for _ in range(500):
            try:
                found = load_tensors(signed)["a"]
            except DigestMismatchError:
                refused += 1
            else:
                assert found.tobytes() == good.tobytes()
                loaded += 1
    finally:
        stop.set()
        writer.join()
    assert min(loaded, refused) > 0


@pytest.mark.parametrize("framework", ["numpy", "torch"])
@pytest.mark.parametrize("hash_name", ["sha256", "blake2b", "blake3"])
def test_a_sealed_model_loads_like_any_other(hash_name, framework, folder, signer, tmp_path):
    safetensors.numpy.save_file(numpy_tensors(), folder / "m.safetensors")
    signing.sign(folder, signer=signer, hash=hash_name)
    with signing.open_model(folder, policy=signer.public) as signed:
        wanted = load_tensors(signed, framework=framework)
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        vault.seal(folder, "m", remove_plaintext=True)
        with vault.asset("m") as asset, signing.open_model(asset, policy=signer.public) as signed:
            found = load_tensors(signed, framework=framework)
    assert not (folder / "m.safetensors").exists()
    assert (same_numpy if framework == "numpy" else same_torch)(found, wanted)


def test_a_lone_file_loads(tmp_path, signer):
    save(tmp_path / "m.safetensors", a=np.ones(3))
    signing.sign(tmp_path / "m.safetensors", signer=signer)
    with signing.open_model(tmp_path / "m.safetensors", policy=signer.public) as signed:
        assert load_tensors(signed)["a"].tolist() == [1, 1, 1]
