# SPDX-License-Identifier: Apache-2.0
"""A large sealed model is decrypted in one thread at a time, and hashed beside it: the same tensors, and no thread left waiting."""

import threading

import pytest
import safetensors.torch
import torch
from torch import nn

from lifeseal import signing
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import TamperedError
from lifeseal.loading import _fill, load_into, load_tensors

PATIENCE = 60
EACH = (9 << 20) // 4  # numbers: more bytes than a piece has
FILES = 4


@pytest.fixture(scope="module")
def tensors():
    random = torch.Generator().manual_seed(1)
    shapes = ((EACH,), (3,), (700, 500))
    return [{f"t{file}_{place}": torch.randn(shape, generator=random) for place, shape in enumerate(shapes)} for file in range(FILES)]


@pytest.fixture
def folder(tmp_path, tensors):
    found = tmp_path / "model"
    found.mkdir()
    for number, these in enumerate(tensors):
        safetensors.torch.save_file(these, found / f"{number}.safetensors")
    return found


@pytest.fixture
def module(tensors):
    made = nn.Module()
    for these in tensors:
        for name, tensor in these.items():
            made.register_buffer(name, torch.zeros_like(tensor))
    return made


@pytest.fixture
def asset(folder, signer, tmp_path, request, monkeypatch):
    how, cores = request.param
    monkeypatch.setattr(_fill, "available_cores", lambda: cores)
    signing.sign(folder, signer=signer, hash=how)
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        vault.seal(folder, "m", remove_plaintext=True)
        with vault.asset("m") as opened:
            yield opened


EVERY = pytest.mark.parametrize("asset", [("sha256", 1), ("sha256", 2), ("blake3", 1), ("blake3", 2), ("blake3", 8)], indirect=True, ids=str)


@EVERY
def test_it_is_loaded_bit_for_bit(asset, signer, module, tensors):
    with signing.open_model(asset, policy=signer.public) as signed:
        load_into(signed, module)
        found = load_tensors(signed, framework="torch")
    for name, tensor in {name: tensor for these in tensors for name, tensor in these.items()}.items():
        assert torch.equal(module.get_buffer(name), tensor)
        assert torch.equal(found[name], tensor)


@EVERY
def test_one_changed_byte_of_a_container_ends_every_thread_and_wipes(asset, signer, module, tmp_path):
    outcome = []

    def load():
        with signing.open_model(asset, policy=signer.public) as signed:
            for container in (tmp_path / "vault").rglob("*"):
                if container.is_file() and container.stat().st_size > EACH * 4:
                    content = bytearray(container.read_bytes())
                    content[5 << 20] ^= 1
                    container.write_bytes(content)
            try:
                load_into(signed, module)
            except TamperedError as error:
                outcome.append(error)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(outcome) == 1
    assert all(buffer.isnan().all() for buffer in module.buffers())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lifeseal-read")]


@pytest.mark.parametrize("hash_", ["sha256", "blake3"])
@pytest.mark.parametrize("cores", [1, 2, 5, 8, 16])
@pytest.mark.parametrize("sealed", [False, True], ids=["disk", "sealed"])
def test_scratch_memory_does_not_grow_with_the_cores(sealed, cores, hash_, folder, tensors, signer, tmp_path, monkeypatch):
    monkeypatch.setattr(_fill, "available_cores", lambda: cores)
    asked, pace = [], _fill._pace

    def counted(signed, units, total, buffers):
        return pace(signed, units, total, lambda size: asked.append(size) or buffers(size))

    monkeypatch.setattr(_fill, "_pace", counted)
    signing.sign(folder, signer=signer, hash=hash_)
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "root")) as vault:
        content = vault.seal(folder, "m") if sealed else folder
        found = load_tensors(signing.open_model(content, policy=signer.public), framework="torch")
    assert all(torch.equal(found[name], tensor) for these in tensors for name, tensor in these.items())
    assert max(asked) <= 32 << 20
