# SPDX-License-Identifier: Apache-2.0
"""A training of transformers leaves signed checkpoints."""

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import integrations, signing
from lifeseal.attestation import KeySigner
from lifeseal.errors import FormatError


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


class State:
    global_step = 3

    def __init__(self, *, first):
        self.is_world_process_zero = first


class Arguments:
    def __init__(self, folder):
        self.output_dir = str(folder)


@pytest.fixture
def checkpoint(tmp_path):
    found = tmp_path / "checkpoint-3"
    found.mkdir()
    (found / "config.json").write_text("{}")
    return found


def test_a_checkpoint_is_signed_by_rank_0_alone(transformers, signer, checkpoint, tmp_path):
    callback = integrations.transformers_callback(signer, hash="blake3")
    assert isinstance(callback, transformers.TrainerCallback)
    callback.on_save(Arguments(tmp_path), State(first=False), None)
    assert not (checkpoint / "model.sig").exists()
    callback.on_save(Arguments(tmp_path), State(first=True), None)
    assert signing.verify(checkpoint, policy=signer.public).hash == "blake3"


def test_a_failure_ends_the_training_or_is_a_warning(transformers, signer, tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "link").symlink_to("/etc/passwd")
    with pytest.raises(FormatError):
        integrations.transformers_callback(signer).on_save(Arguments(tmp_path), State(first=True), None)
    with pytest.warns(UserWarning, match="checkpoint-3 was saved and could not be signed"):
        integrations.transformers_callback(signer, on_failure="warn").on_save(Arguments(tmp_path), State(first=True), None)
    with pytest.raises(ValueError, match="on_failure"):
        integrations.transformers_callback(signer, on_failure="ignore")


@pytest.mark.filterwarnings("ignore")
def test_a_real_training_leaves_signed_checkpoints(transformers, signer, tmp_path):
    pytest.importorskip("accelerate")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 32}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
    data = [{"input_ids": torch.arange(8), "labels": torch.arange(8)} for _ in range(4)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, save_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True
    )
    transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[integrations.transformers_callback(signer)]).train()
    for step in (1, 2):
        assert signing.verify(tmp_path / f"checkpoint-{step}", policy=signer.public).files > 3
