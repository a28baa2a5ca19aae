# SPDX-License-Identifier: Apache-2.0
"""Ordinary files, as people's tools write them: every one is safe."""

import argparse
import collections
import datetime as dt
import decimal
import gzip
import io
import json
import lzma
import pathlib
import pickle
import pickletools
import random
import re
import struct
import tarfile
import types
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

MERGES = "#version: 0.2\nĠ t\nĠ a\nh e\ni n\nr e\no n\nĠt he\n"
README = """---
license: apache-2.0
tags: [text-generation]
---
# A model

```python
from transformers import AutoModel
model = AutoModel.from_pretrained("x")
print(model)
```

It was trained on text! See `os.system` and "{{ prompt }}".

![picture](a.png)

- !not a tag
"""
CHAT = (
    "{%- set ns = namespace(last=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
    "{%- if ns.multi and message.role == 'user' and not(message.content.startswith('<tool>')) %}{%- set ns.last = index %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' }}{%- if message.tool_calls %}{%- for call in message.tool_calls %}"
    "{{- '{\"name\": \"' + call.function.name + '\", \"arguments\": ' + call.function.arguments|tojson + '}' }}{%- endfor %}{%- endif %}"
    "{{- message.content.split('</think>')[-1].lstrip('\\n')|trim }}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- macro extra(item, handled) %}{%- for key in item if key not in handled %}{{- item[key]|string }}{%- endfor %}{%- endmacro %}"
    "{%- for name in tool['function']['parameters'].get('properties', {})|items|list %}{{- tool[name] }}{%- endfor %}"
    "{%- for tool in tools %}{{- extra(tool, ['type', 'name']) }}{{- tool|tojson(indent=4) }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}{{- raise_exception('no') if bad }}"
)


def ordinary() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file."""
    for make in (pickles, numpy_files, archives, texts, torches, joblibs):
        yield from make().items()


def pickles():
    values = {
        "list": [1, 2.5, "x", None, True],
        "ordered": collections.OrderedDict(a=1, b=[2]),
        "defaultdict": collections.defaultdict(list, {1: [2]}),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2], 5),
        "sets": {1, frozenset([2])},
        "bytes": (b"abc", bytearray(b"def")),
        "large-number": 10**60,
        "complex": 1j,
        "mentions": {"os.system": "cos\nsystem\n(S'x'\ntR.", "eval": ["__import__('os')"]},
        "vocabulary": {f"token{index}": index for index in range(5000)},
        "date": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "decimal": decimal.Decimal("1.5"),
        "uuid": uuid.UUID(int=5),
        "path": pathlib.PurePosixPath("a/b"),
        "namespace": argparse.Namespace(lr=0.1, layers=[1, 2]),
        "simple-namespace": types.SimpleNamespace(a=1),
        "python-random": random.Random(3).getstate(),
        "numpy-state": np.random.RandomState(3).get_state(),
        "numpy-random-state": np.random.RandomState(3),
        "numpy-generator": np.random.default_rng(3),
        "numpy-seeds": np.random.SeedSequence(3),
        "numpy-array": np.arange(12.0).reshape(3, 4),
        "numpy-transposed": np.ones((2, 3, 4)).transpose(1, 0, 2),
        "numpy-scalars": [np.float32(1), np.int64(2), np.bool_(1), np.str_("x"), np.datetime64("2026-01-01")],
        "numpy-structured": np.zeros(2, dtype=[("a", "i4"), ("b", "f8", (2,))]),
        "numpy-objects": np.array(["a", None], dtype=object),
        "numpy-record": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values["numpy-matrix"] = np.matrix([[1, 2]])
    found = {f"{name}-{protocol}.pkl": pickle.dumps(value, protocol) for name, value in values.items() for protocol in (2, 4, 5)}
    found["path-of-python-3.13.pkl"] = pickle.dumps(values["path"], 2).replace(b"cpathlib\n", b"cpathlib._local\n")
    found["several.pkl"] = pickle.dumps([1]) + pickle.dumps({"a": 2}) + pickle.dumps("x")
    found["protocol-0.pkl"] = pickle.dumps({"a": [1, 2.5, "é"]}, 0)
    return found


def numpy_files():
    found = {}
    arrays = {
        "floats": np.ones((3, 2)),
        "fortran": np.asfortranarray(np.ones((3, 2))),
        "structured": np.zeros(2, dtype=[("a", "i4"), ("b", "U3")]),
        "text": np.array(["a", "bc"]),
        "objects": np.array(["a", None], dtype=object),
        "empty": np.zeros(0),
    }
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        found[f"{name}.npy"] = file.getvalue()
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        file = io.BytesIO()
        save(file, a=np.ones(3), b=np.arange(40_000))
        found[f"{name}.npz"] = file.getvalue()
    return found


def archives():
    plain = pickle.dumps({"a": [1, 2]})
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/weights.pkl", plain)
        archive.writestr("model/README.md", README)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name, content in (("model/weights.pkl", plain), ("x/" * 80 + "long.txt", b"text")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return {
        "model.zip": zipped.getvalue(),
        "model.tar": tarred.getvalue(),
        "model.tar.gz": gzip.compress(tarred.getvalue()),
        "weights.pkl.gz": gzip.compress(plain),
        "weights.pkl.xz": lzma.compress(plain),
        "weights.z": zlib.compress(plain),
        "text.gz": gzip.compress(README.encode()),
    }


def texts():
    config = {"architectures": ["LlamaForCausalLM"], "auto_map": {}, "model_type": "llama", "rope_scaling": None, "hidden_act": "silu"}
    index = {"metadata": {"total_size": 10}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors", "b": "sub/x.safetensors"}}
    found = {
        "README.md": README,
        "LICENSE": "Apache License\nVersion 2.0, January 2004\n\nTERMS AND CONDITIONS (the terms)\n",
        "merges.txt": MERGES,
        "vocab.txt": "[PAD]\n[UNK]\nthe\n##s\n",
        "labels.txt": "cat\ndog\nowl\n",
        "labels-c.txt": "cat\nbuilding\ntree\n",
        "names-c.txt": "car\n",
        "vocab.json": json.dumps({"Ġthe": 1, "import": 2, "__class__": 3, "_target_x": 4}),
        "config.json": json.dumps(config),
        "generation_config.json": json.dumps({"eos_token_id": 2, "temperature": 0.6}),
        "tokenizer.json": json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}),
        "tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT}),
        "tokenizer_config-list.json": json.dumps({"chat_template": [{"name": "default", "template": CHAT}]}),
        "chat_template.jinja": CHAT,
        "model.safetensors.index.json": json.dumps(index),
        "model_index.json": json.dumps({"_class_name": "DiffusionPipeline", "unet": ["diffusers", "UNet2DModel"], "safety_checker": [None, None]}),
        "unet.json": json.dumps({"_class_name": "UNet2DConditionModel", "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"]}),
        "modules.json": json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]),
        "adapter_config.json": json.dumps({"base_model_name_or_path": "meta/llama", "auto_mapping": None, "peft_type": "LORA"}),
        "params.yaml": "model:\n  lr: 0.1\n  layers: [1, 2]\n  shape: !!python/tuple [1, 2]\n  target: label\n",
        "requirements.txt": "torch>=2\nnumpy\n",
        "Modelfile": 'FROM llama3\nTEMPLATE """{{ if .System }}{{ .System }}{{ end }}"""\n',
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "pointer.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n",
        "table.csv": "a,b\n1,2\n",
        "notes.txt": "copyright (c) 2026\nimport duties apply\n",
        "tiktoken.model": "IQ== 0\nIg== 1\nYw== 2\n",
        "picture.svg": '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>',
        "bibliography.bib": "@misc{x, title={{BERT}: Pre-training}, year={2018}}\n",
    }
    return {name: text.encode() for name, text in found.items()} | {
        "latin.txt": "Größe: 3 cm, a note of a longer kind".encode("latin-1"),
        "empty": b"",
    }


def torches():
    import torch

    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    parameter = torch.nn.Parameter(torch.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8)
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
        values = {
            "model": layer.state_dict(),
            "optimizer": optimiser.state_dict(),
            "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3).state_dict(),
            "rng_state": {"python": random.getstate(), "numpy": np.random.RandomState(3).get_state(), "cpu": torch.get_rng_state()},
            "mixed": {"epoch": 3, "version": torch.__version__, "args": argparse.Namespace(lr=1), "best": np.float64(3), "seen": {1, 2}},
            "tied": {"a": layer.weight, "b": layer.weight, "c": layer.weight[1:]},
            "types": [torch.ones(2, dtype=kind) for kind in (torch.bfloat16, torch.float8_e5m2, torch.uint16, torch.bool, torch.complex64)],
            "sparse": [torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr()],
            "other": [torch.ones(2, device="meta"), parameter, torch.Size([1]), torch.device("cpu"), torch.float16, quantised, nested],
        }
        found = {}
        for name, value in values.items():
            for kind, options in (("pt", {}), ("p4.pt", {"pickle_protocol": 4}), ("legacy.pt", {"_use_new_zipfile_serialization": False})):
                file = io.BytesIO()
                torch.save(value, file, **options)
                found[f"{name}.{kind}"] = file.getvalue()
    found |= {f"pickled-tensor-{protocol}.pkl": pickle.dumps({"w": torch.ones(3)}, protocol) for protocol in (2, 4, 5)}
    found["pickled-tensor-short-key.pkl"] = _pickled_tensor()
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(0x78)
    found["length-like-zlib.safetensors"] = struct.pack("<Q", 0x78) + header + b"x"
    return found


def _pickled_tensor():
    """A tensor whose storage is named by a short number; the number is an address, so how long it is depends on the interpreter."""
    import torch

    content = next(value for _, value, _ in pickletools.genops(pickle.dumps(torch.ones(1), 4)) if isinstance(value, bytes))
    content = re.sub(rb"X.\0\0\0\d+q", b"X\x01\0\0\x007q", content, flags=re.DOTALL)
    assert len(content) < 256
    return b"\x80\x04\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93C" + bytes([len(content)]) + content + b"\x85R."


def joblibs():
    import joblib

    found = {}
    for compress in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
        file = io.BytesIO()
        joblib.dump({"a": np.arange(1000.0), "b": np.asfortranarray(np.ones((3, 4))), "c": [1, "x"]}, file, compress=compress)
        found[f"arrays-{compress if isinstance(compress, int) else compress[0]}.joblib"] = file.getvalue()
    return found
