# SPDX-License-Identifier: Apache-2.0
"""Models as people have them: each layout is signed, verified, and refused with one change to any of its files."""

import json
import multiprocessing
import pickle
import struct
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.distributed import checkpoint

from lifeseal import signing
from lifeseal.errors import DigestMismatchError


def tokenizer(folder):
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "generation_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")


def sharded(folder):
    tokenizer(folder)
    names = [f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)]
    for number, name in enumerate(names):
        save_file({f"layer.{number}": np.full((8, 8), number, np.float32)}, folder / name)
    index = {"metadata": {"total_size": 768}, "weight_map": {f"layer.{n}": name for n, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def lora(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "org/base"}')
    save_file({"base_model.q_proj.lora_A.weight": np.ones((4, 8), np.float32)}, folder / "adapter_model.safetensors")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10/trainer_state.json").write_text("{}")


def diffusers(folder):
    (folder / "model_index.json").write_text('{"_class_name": "Pipeline"}')
    for part in ("unet", "vae", "text_encoder"):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text("{}")
        save_file({"w": np.ones(4, np.float16)}, folder / part / "diffusion_pytorch_model.safetensors")


def dcp(folder):
    state = {"model": {"w": torch.arange(64.0).reshape(8, 8)}, "step": 3}
    checkpoint.save(state, checkpoint_id=folder, no_dist=True)
    assert {".metadata"} < {path.name for path in folder.iterdir()}


LAYOUTS = {"sharded safetensors": sharded, "a LoRA adapter": lora, "a pipeline of parts": diffusers, "a distributed checkpoint": dcp}


@pytest.mark.filterwarnings("ignore:torch.distributed")
@pytest.mark.parametrize("shards", [None, 100])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_file_of_the_layout_counts(layout, shards, tmp_path, signer, policy):
    folder = tmp_path / "model"
    folder.mkdir()
    LAYOUTS[layout](folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    signing.sign(folder, signer=signer, shard_size=shards)
    assert signing.verify(folder, policy=policy).files == len(files)
    for path in files:
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DigestMismatchError) as caught:
            signing.verify(folder, policy=policy)
        assert caught.value.changed == (name,)
        path.unlink()
        with pytest.raises(DigestMismatchError) as caught:
            signing.verify(folder, policy=policy)
        assert caught.value.missing == (name,)
        path.write_bytes(content)
    assert signing.verify(folder, policy=policy).files == len(files)


def test_a_gguf_file_alone(tmp_path, signer, policy):
    path = tmp_path / "model-q4.gguf"
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, 0) + bytes(1000))
    signing.sign(path, signer=signer)
    assert signing.verify(path, policy=policy).size == path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(DigestMismatchError):
        signing.verify(path, policy=policy)


def rank(folder, number, shard_size):
    """What a rank does: write its own files and hash them; the digests travel pickled."""
    names = [f"__{number}_{part}.distcp" for part in range(2)]
    for name in names:
        (folder / name).write_bytes(name.encode() * 5000)
    return pickle.dumps(signing.digest(folder, files=names, shard_size=shard_size))


@pytest.mark.parametrize("shard_size", [None, 1000])
def test_ranks_hash_what_they_wrote_and_one_signs(tmp_path, signer, policy, shard_size):
    folder = tmp_path / "model"
    folder.mkdir()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as ranks:
        shares = [pickle.loads(share) for share in ranks.map(rank, [folder] * 3, range(3), [shard_size] * 3)]
    (folder / ".metadata").write_bytes(b"plan")
    bundle = signing.sign(folder, signer=signer, digests=shares, shard_size=shard_size)
    assert signing.verify(folder, policy=policy).files == 7
    assert bundle.envelope.payload == signing.sign(folder, signer=signer, shard_size=shard_size).envelope.payload
