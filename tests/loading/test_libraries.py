# SPDX-License-Identifier: Apache-2.0
"""Libraries that take paths, each with a pinned folder in both modes; the page "Load" lists what is run here."""

import subprocess
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from lifeseal.loading import load_into, load_tensors, pinned
from support.protobuf import message, number

MODES = ["memory", "copy"]


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def llama(transformers, tmp_path_factory):
    """A small model with tied weights as transformers saves it, and the folder."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 96}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, tie_word_embeddings=True))
    folder = tmp_path_factory.mktemp("llama") / "model"
    model.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return model, folder


def same(model, other):
    mine, theirs = model.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("mode", MODES)
def test_transformers_loads_what_was_pinned(mode, transformers, llama, opened, tmp_path):
    model, folder = llama
    with pinned(opened(folder), mode=mode, dir=tmp_path) as pin:
        found = transformers.AutoModelForCausalLM.from_pretrained(pin, local_files_only=True)
    assert same(found, model)


def test_transformers_takes_tensors_of_ours(transformers, llama, opened):
    model, folder = llama
    tensors = load_tensors(opened(folder), framework="torch")
    found = transformers.LlamaForCausalLM.from_pretrained(None, config=model.config, state_dict=tensors)
    assert same(found, model)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_of_transformers_is_filled_in_place(device, transformers, llama, opened):
    model, folder = llama
    with torch.device(device):
        found = transformers.LlamaForCausalLM(model.config)
    report = load_into(opened(folder), found)
    assert same(found, model)
    assert found.lm_head.weight is found.model.embed_tokens.weight
    assert (report.missing, report.unexpected) == ((), ())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_safetensors_loads_what_was_pinned(backend, mode, opened, tmp_path):
    wanted = {"a": torch.randn(5000), "b": torch.arange(7)}
    (tmp_path / "model").mkdir()
    safetensors.torch.save_file(wanted, tmp_path / "model" / "m.safetensors")
    with pinned(opened(tmp_path / "model"), mode=mode, dir=tmp_path) as pin:
        path = pin / "m.safetensors"
        with safetensors.safe_open(path, "pt", backend=backend) as file:
            found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no mapping
        assert safetensors.numpy.load_file(path)["b"].tolist() == list(range(7))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory_map", [None, "r"])
def test_numpy_loads_what_was_pinned(memory_map, mode, opened, tmp_path):
    (tmp_path / "model").mkdir()
    np.save(tmp_path / "model" / "a.npy", np.arange(5000))
    with pinned(opened(tmp_path / "model"), mode=mode, dir=tmp_path) as pin:
        assert np.load(pin / "a.npy", mmap_mode=memory_map, allow_pickle=False).sum() == sum(range(5000))


@pytest.mark.parametrize("mode", MODES)
def test_torch_loads_what_was_pinned(mode, opened, tmp_path):
    (tmp_path / "model").mkdir()
    torch.save({"w": torch.ones(500)}, tmp_path / "model" / "m.pt")
    with pinned(opened(tmp_path / "model"), mode=mode, dir=tmp_path) as pin:
        assert torch.load(pin / "m.pt", weights_only=True)["w"].sum() == 500


def two_floats(field, name):
    shape = message(2, message(1, number(1, 2)))
    return message(field, message(1, name), message(2, message(1, number(1, 1), shape)))


# y = x + x. Source: onnx.proto, ModelProto, GraphProto, NodeProto, ValueInfoProto, OperatorSetIdProto.
NODE = message(1, message(1, "x"), message(1, "x"), message(2, "y"), message(4, "Add"))
ADD = number(1, 8) + message(7, NODE, message(2, "g"), two_floats(11, "x"), two_floats(12, "y")) + message(8, number(2, 13))


@pytest.mark.parametrize("mode", MODES)
def test_onnxruntime_loads_what_was_pinned(mode, opened, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.onnx").write_bytes(ADD)
    program = "import sys, numpy, onnxruntime; print(onnxruntime.InferenceSession(sys.argv[1]).run(None, {'x': numpy.ones(2, 'f')})[0].tolist())"
    with pinned(opened(tmp_path / "model"), mode=mode, dir=tmp_path) as pin:
        done = subprocess.run([sys.executable, "-c", program, pin / "m.onnx"], capture_output=True, text=True, check=False)
    assert done.stdout == "[2.0, 2.0]\n", done.stderr
