# SPDX-License-Identifier: Apache-2.0
"""Writes ``tests/corpus/folders``: model folders as the libraries themselves write them, as small as they allow.

Run once in an environment of its own (Python 3.11, CPU only), because these libraries are no dependency of the tests:

    pip install torch transformers diffusers sentence-transformers peft accelerate lightning sentencepiece pillow tensorboard deepspeed timm
    python tests/corpus/make_folders.py

The folders here were made with torch 2.13, transformers 5, diffusers, sentence-transformers, peft, lightning, deepspeed and timm as of
November 2026. Of timm's model only the first tensors are kept, and DeepSpeed's own scripts are replaced by one line, for size.
"""

import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent / "folders"
os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16}
CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def transformers_folder(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, ViTImageProcessor

    BertForSequenceClassification(BertConfig(vocab_size=9, **TINY)).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.train_from_iterator(["hello world cat dog"] * 5, trainers.BpeTrainer(vocab_size=40, special_tokens=["<s>", "</s>"]))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    ViTImageProcessor().save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\na\ncat\n##s\n")


def transformers_trainer(folder):
    import torch
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return {"input_ids": torch.tensor([5, 6]), "attention_mask": torch.tensor([1, 1]), "labels": torch.tensor(index % 2)}

    model = BertForSequenceClassification(BertConfig(vocab_size=9, **TINY))
    arguments = TrainingArguments(output_dir=folder, max_steps=1, save_steps=1, report_to=["tensorboard"], use_cpu=True, logging_steps=1)
    trainer = Trainer(model=model, args=arguments, train_dataset=Data())
    trainer.train()
    trainer.save_model(folder)


def transformers_sharded(folder):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=8)).save_pretrained(folder, max_shard_size="8KB")


def diffusers_folder(folder):
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    blocks = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    net = UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 4), norm_num_groups=2, layers_per_block=1, cross_attention_dim=4, attention_head_dim=2, **blocks
    )
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "b</w>": 3, "ab</w>": 4}))
    (folder / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    StableDiffusionPipeline(
        vae=AutoencoderKL(block_out_channels=(4,), norm_num_groups=2),
        text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=8, **TINY)),
        tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")),
        unet=net,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def sentence_transformers_folder(folder):
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertConfig, BertModel, BertTokenizerFast

    base = folder.with_name("base")
    base.mkdir()
    (base / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    BertModel(BertConfig(vocab_size=7, **TINY)).save_pretrained(base)
    BertTokenizerFast(str(base / "vocab.txt")).save_pretrained(base)
    parts = [models.Transformer(str(base)), models.Pooling(8), models.Dense(8, 4), models.Normalize()]
    SentenceTransformer(modules=parts).save(str(folder))
    shutil.rmtree(base)


def peft_folder(folder):
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2Config, GPT2LMHeadModel

    def model(name=""):
        return GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=2, name_or_path=name))

    get_peft_model(model("gpt2"), LoraConfig(r=2, target_modules=["c_attn"], task_type="CAUSAL_LM")).save_pretrained(folder)
    get_peft_model(model(), LoraConfig(r=2, target_modules=["c_attn"])).save_pretrained(folder / "without-task", safe_serialization=False)


def lightning_folder(folder):
    import lightning
    import torch

    class Model(lightning.LightningModule):
        def __init__(self, rate=0.1):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch, _):
            return self.layer(batch[0]).sum()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), self.hparams.rate)

    trainer = lightning.Trainer(max_steps=1, default_root_dir=folder, accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 2))))


def distributed_checkpoint(folder):
    import torch
    import torch.distributed.checkpoint as dcp

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optim": optimizer.state_dict(), "step": 3, "list": [1, "a"]}
    dcp.save(state, checkpoint_id=folder, no_dist=True)


def exported(folder):
    import torch

    folder.mkdir()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), folder / "model.pt2")


def sentencepiece_folder(folder):
    import sentencepiece

    folder.mkdir()
    (folder / "text").write_text("hello world this is a test of pieces\n" * 200)
    names = {"input": folder / "text", "model_prefix": folder / "tokenizer"}
    sentencepiece.SentencePieceTrainer.train(**{k: str(v) for k, v in names.items()}, vocab_size=20, normalization_rule_name="identity")
    (folder / "text").unlink()


def images(folder):
    from PIL import Image

    folder.mkdir()
    for kind in ("png", "jpg", "gif", "webp", "bmp", "tiff", "ico", "pdf"):
        Image.new("RGB", (8, 8), (200, 10, 90)).save(folder / f"picture.{kind}")


def deepspeed_folder(folder):
    import deepspeed
    import torch

    model = torch.nn.Linear(4, 2)
    config = {
        "train_batch_size": 1,
        "optimizer": {"type": "Adam", "params": {"lr": 1e-3, "torch_adam": True}},
        "zero_optimization": {"stage": 1},
        "bf16": {"enabled": True},
    }
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config, dist_init_required=True)
    engine.backward(engine(torch.ones(1, 4, dtype=torch.bfloat16)).sum())
    engine.step()
    engine.save_checkpoint(str(folder))
    for script in folder.glob("*.py"):
        script.write_text("# SPDX-License-Identifier: Apache-2.0\nimport torch  # noqa: F401 - stands for a script that DeepSpeed writes here\n")


def timm_folder(folder):
    import timm
    import torch
    from safetensors.torch import load_file, save_file
    from timm.models._hub import save_for_hf

    save_for_hf(timm.create_model("test_resnet", num_classes=2), folder, safe_serialization=True)
    file = folder / "model.safetensors"
    save_file(dict(list(load_file(file).items())[:12]), file, metadata={"format": "pt"})
    torch.save(load_file(file), folder / "pytorch_model.bin")


MAKE = {
    "transformers": transformers_folder,
    "transformers-trainer": transformers_trainer,
    "transformers-sharded": transformers_sharded,
    "diffusers": diffusers_folder,
    "sentence-transformers": sentence_transformers_folder,
    "peft": peft_folder,
    "lightning": lightning_folder,
    "torch-dcp": distributed_checkpoint,
    "torch-export": exported,
    "sentencepiece": sentencepiece_folder,
    "images": images,
    "deepspeed": deepspeed_folder,
    "timm": timm_folder,
}


def main():
    HERE.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MAKE:
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        MAKE[name](folder)


if __name__ == "__main__":
    main()
