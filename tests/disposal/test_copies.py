# SPDX-License-Identifier: Apache-2.0
"""Copies are found whatever they are called and however they were packed; what could not be read is said."""

import gzip
import io
import json
import os
import pathlib
import shutil
import struct
import tarfile
import time
import zipfile

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec
from safetensors.numpy import save_file

from lifeseal import disposal, provenance, signing
from lifeseal.attestation import KeySigner
from lifeseal.disposal import Wanted, find_copies
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import FormatError

RANDOM = np.random.default_rng(7)
TENSORS = {name: RANDOM.standard_normal((60, 50)).astype(np.float32) for name in ("embed", "layer.0", "layer.1")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies") / "model"
    folder.mkdir()
    save_file(TENSORS, folder / "model.safetensors")
    (folder / "config.json").write_text('{"layers": 2}')
    (folder / "tokenizer.json").write_text('{"version": "1.0", "vocab": {}}')
    return folder


@pytest.fixture(scope="module")
def wanted(model):
    return Wanted.of(model)


@pytest.fixture
def place(tmp_path):
    """A folder with things that are no copies."""
    folder = tmp_path / "place"
    (folder / "deep").mkdir(parents=True)
    save_file({"embed": RANDOM.standard_normal((60, 50)).astype(np.float32)}, folder / "other.safetensors")
    np.savez(folder / "deep/other.npz", a=RANDOM.standard_normal(3000))
    (folder / "zeros.bin").write_bytes(bytes(200_000))
    (folder / "config.json").write_text('{"layers": 3}')
    return folder


def found(wanted, *places):
    return {copy.path.name: (copy.kind, copy.holds) for copy in find_copies(wanted, places).copies}


def test_nothing_is_found_where_nothing_is(wanted, place):
    search = find_copies(wanted, [place])
    assert (search.copies, search.complete, search.files) == ((), True, 4)
    assert search.not_searched == disposal.FORGOTTEN


def test_a_renamed_file_is_a_copy(wanted, place, model):
    shutil.copy(model / "model.safetensors", place / "deep/holiday.jpg")
    assert found(wanted, place) == {"holiday.jpg": ("file", ("model.safetensors",))}


def all_names(*names):
    return tuple(sorted(f"model.safetensors: {name}" for name in names))


PACKED = {
    "re-sharded": lambda f: save_file({"x": TENSORS["layer.0"], "n": np.ones(3, np.int8)}, f / "model-00002-of-00007.safetensors"),
    "a checkpoint": lambda f: torch.save({"state": {"w": torch.from_numpy(TENSORS["layer.0"])}, "step": 1}, f / "checkpoint.pt"),
    "a checkpoint of old": lambda f: torch.save([torch.from_numpy(TENSORS["layer.0"])], f / "old.pt", _use_new_zipfile_serialization=False),
    "npy": lambda f: np.save(f / "a.npy", TENSORS["layer.0"]),
    "npz": lambda f: np.savez(f / "a.npz", other=np.zeros(10), x=TENSORS["layer.0"]),
    "npz, compressed": lambda f: np.savez_compressed(f / "a.npz", other=np.zeros(10), x=TENSORS["layer.0"]),
    "raw, with something before": lambda f: (f / "raw.gguf").write_bytes(b"GGUF" + bytes(777) + TENSORS["layer.0"].tobytes() + bytes(99)),
    "a pickle": lambda f: (f / "x.pkl").write_bytes(__import__("pickle").dumps({"a": TENSORS["layer.0"]}, protocol=4)),
}


@pytest.mark.parametrize("how", PACKED)
def test_a_tensor_is_found_in(how, wanted, place):
    PACKED[how](place)
    assert list(found(wanted, place).values()) == [("tensors", all_names("layer.0"))]


def test_whole_files_are_found_in_an_archive_of_tar_by_their_tensors(wanted, place, model):
    with tarfile.open(place / "backup.tar", "w") as archive:
        archive.add(model, "model")
    assert found(wanted, place) == {"backup.tar": ("tensors", all_names(*TENSORS))}


def test_one_changed_byte_is_no_copy(wanted, place):
    data = bytearray(TENSORS["layer.0"].tobytes())
    data[5] ^= 1
    (place / "near.bin").write_bytes(bytes(data))
    assert found(wanted, place) == {}


def test_what_was_compressed_or_converted_is_not_found_and_the_limits_say_so(wanted, place):
    (place / "a.gz").write_bytes(gzip.compress(TENSORS["layer.0"].tobytes()))
    np.save(place / "half.npy", TENSORS["layer.0"].astype(np.float16))
    assert found(wanted, place) == {}
    assert "what was compressed, converted to other types" in find_copies.__primitive__.limits


def test_other_names_of_one_file_and_processes_that_hold_it(wanted, place, model):
    shutil.copy(model / "tokenizer.json", place / "a.json")
    os.link(place / "a.json", place / "deep/b.json")
    pathlib.Path(place / "deep/c.json").symlink_to("../a.json")
    with (place / "a.json").open():
        copy, link = find_copies(wanted, [place]).copies
    assert (copy.path, copy.links, os.getpid() in copy.open_in) == (place / "a.json", (place / "deep/b.json",), True)
    assert copy.told == f"file: tokenizer.json; also {place}/deep/b.json; open in process {os.getpid()}"
    assert (link.path, link.kind, link.holds, link.size) == (place / "deep/c.json", "name", ("tokenizer.json",), 0)


def test_a_link_to_something_else_is_no_copy(wanted, place, model):
    pathlib.Path(place / "l.json").symlink_to("config.json")
    pathlib.Path(place / "nowhere").symlink_to("gone")
    assert found(wanted, place) == {}


def test_a_place_that_is_a_link_is_searched_and_one_that_is_no_folder_is_told(wanted, place, model, tmp_path):
    shutil.copy(model / "config.json", place / "c")
    (tmp_path / "folder").symlink_to(place)
    (tmp_path / "file").symlink_to(place / "c")
    (by_folder,) = find_copies(wanted, [tmp_path / "folder"]).copies
    (by_file,) = find_copies(wanted, [tmp_path / "file"]).copies
    assert (by_folder.path, by_file.path) == (tmp_path / "folder/c", place / "c")
    os.mkfifo(tmp_path / "pipe")
    assert find_copies(wanted, [tmp_path / "pipe"]).unread == (f"{tmp_path}/pipe: neither a folder nor a regular file",)


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whole_files_are_found_in_an_archive_of_zip(how, wanted, place, model):
    with zipfile.ZipFile(place / "backup.zip", "w", how) as archive:
        archive.write(model / "config.json", "c.json")
        archive.write(model / "model.safetensors", "model/m")
    names = {name for _, holds in found(wanted, place).values() for name in holds}
    assert {"config.json", "model.safetensors"} <= names
    assert set(found(wanted, place)) == {"backup.zip"}


def test_a_part_of_a_model_is_found_in_an_archive_of_zip_that_is_not_compressed(wanted, place):
    save_file({"x": TENSORS["layer.0"], "y": np.ones(7)}, place / "part")
    with zipfile.ZipFile(place / "backup.zip", "w") as archive:
        archive.write(place / "part", "part")
    (place / "part").unlink()
    assert found(wanted, place) == {"backup.zip": ("tensors", all_names("layer.0"))}


def test_a_file_that_was_unlinked_and_is_still_mapped_is_found(wanted, place, model):
    import mmap

    shutil.copy(model / "model.safetensors", place / "mapped")
    with (place / "mapped").open("rb") as file:
        area = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with area:
        (copy,) = find_copies(wanted, [place]).copies
        assert (copy.kind, copy.open_in) == ("file", (os.getpid(),))
        (place / "mapped").unlink()
        search = find_copies(wanted, [place])
        if os.geteuid() == 0:
            assert [(copy.kind, copy.holds) for copy in search.copies] == [("unlinked", ("model.safetensors",))]
        else:
            assert "mapped in process" in search.unread[0]
    assert find_copies(wanted, [place]).copies == ()


def test_a_cache_of_the_hub_with_its_interrupted_downloads_and_locks(wanted, tmp_path, model):
    import hashlib

    hub = tmp_path / "hub/models--o--n"
    (hub / "blobs").mkdir(parents=True)
    (hub / "snapshots/c").mkdir(parents=True)
    digests = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in ("model.safetensors", "config.json")}
    shutil.copy(model / "config.json", hub / "blobs" / digests["config.json"])
    (hub / "snapshots/c/config.json").symlink_to(f"../../blobs/{digests['config.json']}")
    (hub / "blobs" / f"{digests['model.safetensors']}.0a1b.incomplete").write_bytes(b"half")
    locks = tmp_path / "hub/.locks/models--o--n"
    locks.mkdir(parents=True)
    (locks / f"{digests['config.json']}.lock").touch()
    (locks / f"{'0' * 64}.lock").touch()
    local = tmp_path / "hub/mine/.cache/huggingface/download"
    local.mkdir(parents=True)
    (local / f"{'Ab-_' * 6}abc=.{digests['model.safetensors']}.0a1b2c3d.incomplete").write_bytes(b"half")
    (local / "config.json.metadata").write_text(f"commit\n{digests['config.json']}\n1.0\n")
    (local / "other.metadata").write_text(f"commit\n{'0' * 64}\n1.0\n")
    (hub / "trees").mkdir()
    (hub / "trees/c.json").write_text(json.dumps([{"path": "m", "lfs_sha256": digests["model.safetensors"]}]))
    (tmp_path / "hub/blobs/ab").mkdir(parents=True)
    (tmp_path / f"hub/blobs/ab/{'ab' * 32}.refs").write_text(f"models--o--n/blobs/{digests['model.safetensors']}\n")
    copies = find_copies(wanted, [tmp_path / "hub"]).copies
    assert sorted((copy.kind, copy.path.suffix, copy.holds) for copy in copies) == [
        ("file", "", ("config.json",)),
        ("name", ".json", ("config.json",)),
        ("name", ".json", ("model.safetensors",)),
        ("name", ".metadata", ("config.json",)),
        ("name", ".refs", ("model.safetensors",)),
        ("partial", ".incomplete", ("model.safetensors",)),
        ("partial", ".incomplete", ("model.safetensors",)),
        ("partial", ".lock", ("config.json",)),
    ]


def test_a_place_without_rights_makes_the_search_incomplete(wanted, place, model, monkeypatch):
    shutil.copy(model / "config.json", place / "x")
    real = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied", path)) if "deep" in str(path) else real(path)
    )
    search = find_copies(wanted, [place])
    assert (search.complete, search.unread) == (False, (f"{place}/deep: Permission denied",))
    assert [copy.path.name for copy in search.copies] == ["x"]


def test_a_place_that_is_not_there_is_an_error(wanted, tmp_path):
    with pytest.raises(FileNotFoundError):
        find_copies(wanted, [tmp_path / "gone"])


def test_a_manifest_a_signature_and_a_sealed_asset_can_be_looked_for(place, model, tmp_path):
    import datetime as dt

    shutil.copy(model / "tokenizer.json", place / "t")
    wanted = {"t": ("file", ("tokenizer.json",))}
    about = provenance.Description(name="n", source="s", obtained=dt.datetime.now(dt.UTC), licence="MIT")
    assert found(Wanted.of(provenance.record(model, description=about)), place) == wanted
    signer = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    signed = shutil.copytree(model, tmp_path / "signed")
    assert found(Wanted.of(signing.sign(signed, signer=signer)), place) == wanted
    for how in ({"hash": "blake3"}, {"shard_size": 1000}):
        with pytest.raises(FormatError, match="search with the model itself"):
            Wanted.of(signing.sign(signed, signer=signer, **how))
    (tmp_path / "safe").mkdir(mode=0o700)
    np.save(place / "a.npy", TENSORS["layer.1"])
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "safe/root")) as vault:
        vault.seal(model, "m").close()
        with vault.asset("m") as asset:
            sealed = Wanted.of(asset)
        assert found(sealed, place) == wanted | {"a.npy": ("tensors", all_names("layer.1"))}
        assert found(sealed, tmp_path / "vault") == {}


BROKEN = {
    "a zip that is cut": b"PK\x03\x04" + bytes(12_000),
    "a length past the end": struct.pack("<Q", 1 << 40) + bytes(12_000),
    "a header that lies": struct.pack("<Q", 60)
    + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 10**9]}}).encode().ljust(60)
    + bytes(12_000),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_searched_as_bytes(what, wanted, place):
    (place / "broken").write_bytes(BROKEN[what])
    assert find_copies(wanted, [place]).complete
    (place / "broken").write_bytes(BROKEN[what] + TENSORS["embed"].tobytes())
    assert found(wanted, place) == {"broken": ("tensors", all_names("embed"))}


def test_a_zip_bomb_ends_soon(wanted, place):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(300 << 20))
    (place / "bomb.zip").write_bytes(data.getvalue())
    start = time.monotonic()
    assert found(wanted, place) == {}
    assert time.monotonic() - start < 10


def test_an_anchor_that_lies_across_two_windows_is_found(wanted, place, monkeypatch):
    monkeypatch.setattr(disposal._inside, "_WINDOW", 1000)
    for before in (0, 1, 437, 999):
        (place / "raw").write_bytes(bytes(before) + TENSORS["layer.0"].tobytes())
        assert found(wanted, place) == {"raw": ("tensors", all_names("layer.0"))}


def gguf(tensors):
    """A GGUF file of float tensors, as its specification lays it out."""
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()  # noqa: E731
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    body, offset = b"", 0
    for name, tensor in tensors.items():
        head += text(name) + struct.pack("<I", tensor.ndim) + struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        head += struct.pack("<IQ", 0, offset)
        data = tensor.tobytes()
        offset += -(-len(data) // 32) * 32
        body += data.ljust(offset - len(body), b"\0")
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + body


def test_a_conversion_to_gguf_and_back_is_found_by_every_tensor(wanted, model, place, tmp_path):
    (place / "model.gguf").write_bytes(gguf(TENSORS))
    assert found(wanted, place) == {"model.gguf": ("tensors", all_names(*TENSORS))}
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(place / "model.gguf", alone)
    held = found(Wanted.of(alone), model)["model.safetensors"]
    assert held == ("tensors", tuple(f"model.gguf: {name}" for name in sorted(TENSORS)))


def test_tensors_beyond_the_anchors_are_found_in_files_whose_format_is_read(tmp_path, place):
    many = {f"t{number}": RANDOM.standard_normal(1500).astype(np.float32) for number in range(40)}
    (tmp_path / "m").mkdir()
    save_file(many, tmp_path / "m/m.safetensors")
    (place / "m.gguf").write_bytes(gguf(many))
    np.savez(place / "m.npz", **many)
    assert {name: len(holds) for name, (_, holds) in found(Wanted.of(tmp_path / "m"), place).items()} == {"m.gguf": 40, "m.npz": 40}


def test_empty_files_are_no_copies(tmp_path, place):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/__init__.py").touch()
    (tmp_path / "m/a").write_bytes(b"a")
    (place / "empty").touch()
    (place / "a").write_bytes(b"a")
    assert found(Wanted.of(tmp_path / "m"), place) == {"a": ("file", ("a",))}


def test_a_file_that_was_unlinked_and_is_still_open_is_found(wanted, place, model):
    shutil.copy(model / "model.safetensors", place / "mapped")
    with (place / "mapped").open("rb"):
        (place / "mapped").unlink()
        (copy,) = find_copies(wanted, [place]).copies
        assert (copy.kind, copy.holds, copy.open_in) == ("unlinked", ("model.safetensors",), (os.getpid(),))
        assert find_copies(wanted, [place / "deep"]).copies == ()
    assert find_copies(wanted, [place]).copies == ()


def test_the_store_of_xet_chunks_is_named_as_not_judged(wanted, place):
    store = place / "xet/https___cas-server/chunk-cache/ab"
    store.mkdir(parents=True)
    (store / "chunk").write_bytes(b"x")
    search = find_copies(wanted, [place])
    assert (search.complete, len(search.unread)) == (False, 1)
    assert "chunk-cache: chunks of the Hub's Xet store" in search.unread[0]
    assert search.copies == ()
    data = TENSORS["layer.1"].tobytes()
    (store / "other").write_bytes(b"head" + data[len(data) // 4 : -8])
    (copy,) = find_copies(wanted, [place]).copies
    assert (copy.path, copy.kind, copy.holds) == (store / "other", "partial", all_names("layer.1"))


@pytest.mark.parametrize("name", ["xet/cas/chunk-cache", "elsewhere/shard_cache", "xet/cas/staging"])
def test_no_place_in_a_store_of_xet_chunks_is_judged(name, wanted, place):
    store = place / name / "ab"
    store.mkdir(parents=True)
    (store / "chunk").write_bytes(b"x")
    for start in (place, store, store / "chunk"):
        assert [text.partition(":")[0] for text in find_copies(wanted, [start]).unread] == [str(place / name)]


def test_a_folder_called_staging_is_searched_as_any_other(wanted, place, model):
    (place / "staging").mkdir()
    shutil.copy(model / "config.json", place / "staging/c")
    assert found(wanted, place) == {"c": ("file", ("config.json",))}
    assert find_copies(wanted, [place]).complete


def test_a_file_replaced_by_a_link_meanwhile_is_not_read_through(wanted, place, model, monkeypatch):
    shutil.copy(model / "config.json", place / "c")
    real = os.open

    def swap(path, flags, *args, **options):
        if str(path).endswith("/c"):
            (place / "c").unlink()
            (place / "c").symlink_to(model / "config.json")
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", swap)
    search = find_copies(wanted, [place])
    assert (search.copies, search.complete) == ((), False)


def test_names_that_are_not_utf8_are_found(wanted, place, model):
    odd = os.fsencode(place) + b"/\xff\n"
    with open(odd, "wb") as file:  # noqa: PTH123 - the name is bytes
        file.write((model / "config.json").read_bytes())
    (copy,) = find_copies(wanted, [place]).copies
    assert os.fsencode(copy.path) == odd


def test_several_things_are_looked_for_at_once(wanted, place, model, tmp_path):
    (tmp_path / "prompt.txt").write_bytes(b"You are a classifier.")
    shutil.copy(tmp_path / "prompt.txt", place / "p")
    np.save(place / "a.npy", TENSORS["embed"])
    both = Wanted.merged([wanted, Wanted.of(tmp_path / "prompt.txt")])
    assert found(both, place) == {"p": ("file", ("prompt.txt",)), "a.npy": ("tensors", all_names("embed"))}
