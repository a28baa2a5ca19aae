# SPDX-License-Identifier: Apache-2.0
"""A module is filled with what was signed, or with NaN."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from lifeseal import evidence, signing
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import DigestMismatchError, FormatError
from lifeseal.loading import _devices, _fill, _places, load_into
from support.sources import Flaky

LARGE = 300_000  # numbers: more than one piece of a read, and more than what is filled through scratch memory


class Model(nn.Module):
    """A part of every kind: large, small, empty, a single number, whole numbers, a buffer that is not saved."""

    def __init__(self, *, device="cpu"):
        super().__init__()
        self.big = nn.Parameter(torch.zeros(LARGE, 4, dtype=torch.bfloat16, device=device))
        self.small = nn.Linear(3, 2, device=device)
        nn.init.zeros_(self.small.weight)
        nn.init.zeros_(self.small.bias)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("none", torch.zeros((0, 3), device=device))
        self.register_buffer("mask", torch.zeros(5, dtype=torch.bool, device=device))
        self.register_buffer("passing", torch.zeros(2, device=device), persistent=False)


def content(seed=1):
    random = torch.Generator().manual_seed(seed)
    return {
        "big": torch.randn(LARGE, 4, generator=random).to(torch.bfloat16),
        "small.weight": torch.randn(2, 3, generator=random),
        "small.bias": torch.randn(2, generator=random),
        "steps": torch.tensor(7),
        "none": torch.zeros((0, 3)),
        "mask": torch.tensor([True, False, True, True, False]),
    }


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model"
    found.mkdir()
    tensors = content()
    safetensors.torch.save_file({"big": tensors.pop("big")}, found / "1.safetensors")
    safetensors.torch.save_file(tensors, found / "2.safetensors")
    return found


def same(module, wanted):
    found = module.state_dict()
    return found.keys() == wanted.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) and found[name].device.type == "cpu" for name, tensor in wanted.items()
    )


def wiped(module):
    return all(
        bool(tensor.isnan().all()) if tensor.is_floating_point() else not tensor.any() for tensor in module.state_dict().values() if tensor.numel()
    )


@pytest.mark.parametrize("hash_name", ["sha256", "blake2b", "blake3"])
@pytest.mark.parametrize("shards", [{}, {"shard_size": 100_000}, {"shard_size": 64}, {"shard_size": 1 << 30}], ids=str)
def test_a_module_holds_bit_for_bit_what_the_reference_loads(shards, hash_name, folder, opened):
    if shards.get("shard_size") == 64:
        (folder / "1.safetensors").unlink()
        safetensors.torch.save_file({"big": content()["big"][:100].clone()}, folder / "1.safetensors")
    signed = opened(folder, hash=hash_name, **shards)
    wanted = safetensors.torch.load_file(folder / "1.safetensors") | safetensors.torch.load_file(folder / "2.safetensors")
    module = Model()
    module.big.data = torch.zeros_like(wanted["big"])
    memory = module.big.data_ptr()
    report = load_into(signed, module)
    assert same(module, wanted)
    assert module.big.data_ptr() == memory
    assert report.loaded == tuple(sorted(wanted))
    assert (report.files, report.missing, report.unexpected, report.on_meta) == (("1.safetensors", "2.safetensors"), (), (), ())
    assert report.size == signed.size
    assert report.subject == signed.subject


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_the_number_of_cores_changes_nothing(cores, folder, opened, monkeypatch):
    monkeypatch.setattr(_fill, "available_cores", lambda: cores)
    signed, module = opened(folder), Model()
    load_into(signed, module)
    assert same(module, content())


def test_a_sealed_model_fills_a_module_too(folder, signer, tmp_path):
    signing.sign(folder, signer=signer)
    module = Model()
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        vault.seal(folder, "m", remove_plaintext=True)
        with vault.asset("m") as asset, signing.open_model(asset, policy=signer.public) as signed:
            load_into(signed, module)
    assert same(module, content())


@pytest.mark.parametrize("at", [0, 9, 150, 100_000, -1])
@pytest.mark.parametrize("which", ["1.safetensors", "2.safetensors"])
@pytest.mark.parametrize("shards", [{}, {"shard_size": 50_000}], ids=str)
def test_one_changed_byte_wipes_everything(shards, which, at, folder, opened):
    signed, module = opened(folder, **shards), Model()
    good = (folder / which).read_bytes()
    at %= len(good)
    (folder / which).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    before = module.big.data_ptr()
    with pytest.raises(DigestMismatchError) as caught:
        load_into(signed, module)
    assert caught.value.changed == (which,)
    assert module.big.data_ptr() == before
    # A header that cannot be read, or does not fit, is found before anything is put anywhere.
    assert wiped(module) or same(module, Model().state_dict())
    (folder / which).write_bytes(good)
    load_into(signed, module)
    assert same(module, content())


def test_changed_numbers_wipe_also_what_was_right(folder, opened):
    signed, module = opened(folder), Model()
    good = (folder / "2.safetensors").read_bytes()
    (folder / "2.safetensors").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DigestMismatchError):
        load_into(signed, module)
    assert wiped(module)
    assert not module.passing.isnan().any()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_whatever_ends_it_wipes(error, folder, opened):
    signed, module = opened(folder), Model()

    def stop(told):
        raise error

    with pytest.raises(error):
        load_into(signed, module, progress=stop)
    assert wiped(module)


def test_a_reader_that_fails_wipes(folder, opened, monkeypatch):
    signed, module = opened(folder), Model()

    def fail(start):
        if start >= 1_000_000:
            raise OSError("the disk is gone")

    monkeypatch.setattr(signed, "_source", Flaky(signed._source, fail))
    with pytest.raises(OSError, match="the disk is gone"):
        load_into(signed, module)
    assert wiped(module)


def test_ctrl_c_wipes_only_when_no_thread_writes_any_more(folder, opened, monkeypatch):
    signed, module = opened(folder), Model()
    interrupted = []

    def interrupt(start):
        if start > 1_000_000 and threading.current_thread() is not threading.main_thread():
            if not interrupted:
                interrupted.append(os.kill(os.getpid(), signal.SIGINT))
            time.sleep(0.3)

    source = Flaky(signed._source, interrupt)
    monkeypatch.setattr(signed, "_source", source)
    with pytest.raises(KeyboardInterrupt):
        load_into(signed, module)
    assert source.reading == 0
    assert wiped(module)
    monkeypatch.undo()
    load_into(signed, module)
    assert same(module, content())


def test_what_fails_to_be_wiped_does_not_keep_the_rest_from_it(folder, opened, monkeypatch):
    signed, module = opened(folder), Model()
    real = _places.Place.wipe
    monkeypatch.setattr(_places.Place, "wipe", lambda place: 1 / 0 if "small.bias" in place.names else real(place))
    with pytest.raises(ZeroDivisionError):
        load_into(signed, module, progress=lambda _: 1 / 0)
    assert module.big.isnan().all()
    assert module.small.weight.isnan().all()


def test_types_and_shapes_must_fit(folder, opened):
    signed = opened(folder)
    for change in (lambda module: module.to(torch.float64), lambda module: setattr(module, "small", nn.Linear(2, 3))):
        module = Model()
        change(module)
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        with pytest.raises(ValueError, match=r"of the module is torch\.float\d\d of shape .* and '.*' in '\d\.safetensors' is"):
            load_into(signed, module)
        assert same(module, before)


def test_names_must_fit_unless_told_otherwise(folder, opened):
    signed, module = opened(folder), Model()
    module.extra = nn.Parameter(torch.ones(3))
    del module.mask
    with pytest.raises(ValueError, match=r"1 names of the module are in no file, such as 'extra'; 1 names in the files .*'mask'"):
        load_into(signed, module)
    assert (module.big == 0).all()
    report = load_into(signed, module, strict=False)
    assert (report.missing, report.unexpected) == (("extra",), ("mask",))
    assert "extra" not in report.loaded
    assert module.extra.tolist() == [1, 1, 1]
    assert torch.equal(module.big, content()["big"])


def test_names_can_be_changed_and_left_out(folder, opened):
    signed, module = opened(folder), nn.Module()
    module.inner = Model()
    del module.inner.mask
    load_into(signed, module, rename=lambda name: None if name == "mask" else f"inner.{name}")
    assert torch.equal(module.inner.big, content()["big"])
    with pytest.raises(ValueError, match=r"rename= gives both .* the name 'inner\.big'"):
        load_into(signed, module, rename=lambda name: "inner.big", strict=False)


def test_files_can_be_chosen(folder, opened):
    signed, module = opened(folder), Model()
    report = load_into(signed, module, files=["2.safetensors"], strict=False)
    assert report.missing == ("big",)
    assert (module.big == 0).all()
    assert module.steps == 7


class Tied(nn.Module):
    def __init__(self, *, device="cpu"):
        super().__init__()
        self.embedding = nn.Embedding(5, 3, device=device)
        self.head = nn.Linear(3, 5, bias=False, device=device)
        self.head.weight = self.embedding.weight


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("names", [["embedding.weight"], ["head.weight"], ["embedding.weight", "head.weight"]], ids=str)
def test_tied_weights_are_filled_once_and_stay_tied(names, device, tmp_path, opened):
    wanted = torch.randn(5, 3)
    for name in names:
        safetensors.torch.save_file({name: wanted}, tmp_path / f"{name}.safetensors")
    module = Tied(device=device)
    report = load_into(opened(tmp_path), module)
    assert report.loaded == ("embedding.weight", "head.weight")
    assert torch.equal(module.head.weight, wanted)
    assert module.head.weight is module.embedding.weight


def test_tied_weights_that_differ_in_the_files_are_refused(tmp_path, opened):
    safetensors.torch.save_file({"embedding.weight": torch.zeros(5, 3), "head.weight": torch.ones(5, 3)}, tmp_path / "m.safetensors")
    module = Tied()
    with pytest.raises(FormatError, match=r"'head\.weight' and 'embedding\.weight' differ, and the module ties them"):
        load_into(opened(tmp_path), module)
    assert wiped(module)


def test_a_module_without_memory_gets_some_when_all_is_proved(folder, opened):
    signed, module = opened(folder), Model(device="meta")
    module.small.bias.requires_grad = False
    report = load_into(signed, module)
    assert same(module, content())
    assert isinstance(module.big, nn.Parameter)
    assert module.big.requires_grad
    assert not module.small.bias.requires_grad
    assert report.on_meta == ("passing",)
    assert "steps" in dict(module.named_buffers())


def test_a_module_without_memory_gets_none_when_something_changed(folder, opened):
    signed, module = opened(folder), Model(device="meta")
    content = bytearray((folder / "1.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "1.safetensors").write_bytes(content)
    with pytest.raises(DigestMismatchError):
        load_into(signed, module)
    assert all(tensor.is_meta for tensor in module.state_dict().values())


def test_parameters_that_do_not_lie_in_one_piece_are_filled(tmp_path, opened):
    wanted = torch.randn(4, 3, 8, 8)
    safetensors.torch.save_file({"weight": wanted}, tmp_path / "m.safetensors")
    module = nn.Conv2d(3, 4, 8, bias=False).to(memory_format=torch.channels_last)
    assert not module.weight.is_contiguous()
    signed = opened(tmp_path)
    load_into(signed, module)
    assert torch.equal(module.weight, wanted)
    assert not module.weight.is_contiguous()
    with pytest.raises(ZeroDivisionError):
        load_into(signed, module, progress=lambda _: 1 / 0)
    assert module.weight.isnan().all()


def test_parameters_made_for_inference_are_filled_and_wiped(folder, opened):
    signed = opened(folder)
    with torch.inference_mode():
        module = Model()
    load_into(signed, module)
    assert same(module, content())
    with pytest.raises(ZeroDivisionError):
        load_into(signed, module, progress=lambda _: 1 / 0)
    assert wiped(module)


def test_memory_that_no_read_can_fill_is_filled_through_one_buffer(folder, opened, monkeypatch):
    """What stands in for a GPU here: memory of the processor, reached only through copies from scratch memory."""
    made = []

    def place_target(place, start, stop):
        return _devices.device_target(place.tensor.detach().reshape(-1).view(torch.uint8), start, stop)

    def scratch(device):
        return lambda size: made.append(size) or memoryview(bytearray(size))

    monkeypatch.setattr(_places.Place, "target", place_target)
    monkeypatch.setattr("lifeseal.loading._into.scratch_memory", scratch)
    signed, module = opened(folder), Model()
    load_into(signed, module)
    assert same(module, content())
    assert len(made) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_module_on_a_gpu_is_filled(folder, opened):
    signed, module = opened(folder), Model().to("cuda")
    load_into(signed, module)
    assert same(module.cpu(), content())


def test_what_cannot_be_filled_is_refused_untouched(folder, opened):
    signed = opened(folder)
    lazy, sparse, spread, shared = nn.LazyLinear(3), nn.Module(), nn.Module(), nn.Module()
    sparse.weight = nn.Parameter(torch.zeros(3, 3).to_sparse())
    spread.weight = nn.Parameter(torch.zeros(1).expand(4))
    memory = torch.zeros(10)
    shared.one, shared.two = nn.Parameter(memory[:6]), nn.Parameter(memory[4:])
    for module, fault in (
        (lazy, "has no shape yet"),
        (sparse, "only plain dense tensors"),
        (spread, "fewer numbers than it shows"),
        (shared, "'one' and 'two' of the module share a part"),
    ):
        with pytest.raises(ValueError, match=fault):
            load_into(signed, module)
    with pytest.raises(TypeError, match=r"fills a torch\.nn\.Module, not a dict"):
        load_into(signed, {})
    with pytest.raises(TypeError, match="takes a SignedModel"):
        load_into(folder, Model())


def test_views_side_by_side_of_one_memory_are_filled(tmp_path, opened):
    safetensors.torch.save_file({"one": torch.ones(6), "two": torch.ones(4) * 2}, tmp_path / "m.safetensors")
    memory, module = torch.zeros(10), nn.Module()
    module.one, module.two = nn.Parameter(memory[:6]), nn.Parameter(memory[6:])
    load_into(opened(tmp_path), module)
    assert memory.tolist() == [1] * 6 + [2] * 4


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "complex64", "float64", "uint16", "int8"])
def test_every_type_is_filled_and_wiped(name, tmp_path, opened):
    dtype = getattr(torch, name)
    raw = torch.from_numpy(np.random.default_rng(3).integers(0, 100, 6 * dtype.itemsize, dtype=np.uint8))
    safetensors.torch.save_file({"w": raw.view(dtype)}, tmp_path / "m.safetensors")
    signed, module = opened(tmp_path), nn.Module()
    module.register_buffer("w", torch.zeros(6, dtype=dtype))
    load_into(signed, module)
    assert torch.equal(module.w.view(torch.uint8), raw)
    with pytest.raises(ZeroDivisionError):
        load_into(signed, module, progress=lambda _: 1 / 0)
    assert torch.isnan(module.w.to(torch.complex64)).all() if dtype.is_floating_point or dtype.is_complex else not module.w.any()


def test_each_load_and_each_refusal_is_an_event(folder, opened, tmp_path):
    signed = opened(folder)
    with evidence.Log(tmp_path / "log.jsonl"):
        load_into(signed, Model())
        os.truncate(folder / "1.safetensors", 100)
        with pytest.raises(DigestMismatchError):
            load_into(signed, Model())
    events = [event for event in evidence.read(tmp_path / "log.jsonl") if event.primitive == "lifeseal.loading.load_into"]
    assert [(event.outcome, event.error) for event in events] == [("pass", ""), ("fail", "DigestMismatchError")]
    assert events[0].facts["subject"] == signed.subject.digest
