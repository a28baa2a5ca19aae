# SPDX-License-Identifier: Apache-2.0
"""Judge model files without running them, and read and write safetensors strictly.

>>> import pathlib, pickle, tempfile
>>> from lifeseal import serialization
>>> class Innocent:
...     def __reduce__(self):
...         return print, ("this would run on load",)
>>> with tempfile.TemporaryDirectory() as folder:
...     file = pathlib.Path(folder, "model.pkl")
...     _ = file.write_bytes(pickle.dumps(Innocent()))
...     report = serialization.scan(file)
>>> report.verdict.value, [finding.rule for finding in report.findings]
('unsafe', ['pickle-import', 'pickle-call'])
"""

from lifeseal.serialization._convert import convert
from lifeseal.serialization._converted import Conversion, ConvertedFile, ConvertedTensor
from lifeseal.serialization._frameworks import torch_dtype
from lifeseal.serialization._report import FileReport, Finding, ScanReport, Verdict
from lifeseal.serialization._safetensors import LENGTH_SIZE, Header, TensorInfo, header_length, parse_header_bytes
from lifeseal.serialization._scan import judge, read_safe, scan, scan_bytes
from lifeseal.serialization._stretches import gguf_stretches
from lifeseal.serialization._tensors import load, save, tensor_from_bytes, validate

__all__ = [
    "LENGTH_SIZE",
    "Conversion",
    "ConvertedFile",
    "ConvertedTensor",
    "FileReport",
    "Finding",
    "Header",
    "ScanReport",
    "TensorInfo",
    "Verdict",
    "convert",
    "gguf_stretches",
    "header_length",
    "judge",
    "load",
    "parse_header_bytes",
    "read_safe",
    "save",
    "scan",
    "scan_bytes",
    "tensor_from_bytes",
    "torch_dtype",
    "validate",
]
