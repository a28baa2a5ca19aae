# SPDX-License-Identifier: Apache-2.0
"""Formats that are known and not analysed: they are named in the report, and refused, those that are text too.

Readers of trees in C++ take counts and indices as they stand in a text (CVE-2024-43598), so that a text of numbers is no harmless one.
Of PaddlePaddle's programs the operators are looked at, because some call Python; that makes a refusal worse, and nothing safe.
"""

import re
from typing import Final

from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._protobuf import Wire, outline
from lifeseal.serialization._rules import shown
from lifeseal.serialization._window import CachedWindow, PartWindow, Window

_NUMBER, _BYTES = False, True
_MAGIC: Final = {
    b"CBM1": "catboost",
    b"binf": "xgboost",
    b"bs64": "xgboost",
    b"{L\0\0\0\0\0\0\0": "xgboost",
    b"\x0c\xdb\x3a\x2a": "ocdbt",
    b"lmgg": "ggml",
    b"fmgg": "ggml",
    b"tjgg": "ggml",
    b"algg": "ggml",
    b"ggml": "ggml",
    b"ggjt": "ggml",
    b"PAR1": "parquet",
    b"ARROW1\0\0": "arrow",
    b"SQLite format 3\0": "sqlite",
    b"\x12\x01\0\0\0\0\0\0": "mxnet",
    b"RDX2\n": "r",
    b"RDX3\n": "r",
    b"X\n\0\0\0": "r",
    b"RKNN": "rknn",
    b"ptrt": "tensorrt",
    b"ftrt": "tensorrt",
    b"bplist00": "plist",
    b"MIOPENDB": "miopen",
}
_START: Final = r"\A(?:\ufeff|\s|#[^\n]*\n)*"
_TEXTS: Final = {
    "xgboost": (re.compile(_START + r'\{\s*"(?:learner"\s*:\s*\{|version"\s*:\s*\[[\d,\s]*\]\s*,\s*"learner")'), ""),
    "lightgbm": (re.compile(_START + r"tree\r?\nversion=v?\d"), ""),
    "catboost": (re.compile(_START + r'\{\s*"(?:features_info|ctr_data|model_info|oblivious_trees|scale_and_bias|trees)"\s*:'), '"features_info"'),
    "paddle": (re.compile(_START + r'\{\s*"(?:base_code|program)"\s*:\s*\{'), '"pir"'),
    "onnx-json": (re.compile(_START + r'\{\s*"(?:ir_?[vV]ersion|opset_?[iI]mport|graph|producer_?[nN]ame|doc_?[sS]tring)"\s*:'), '"op_?[tT]ype"'),
    "onnx-text": (re.compile(_START + r"<\s*ir_version\s*:"), ""),
    "onnx-textproto": (
        re.compile(_START + r"(?:ir_version|producer_\w+|opset_import|model_version|graph|domain|doc_string|functions|metadata_props)\s*[:{<]"),
        r"\b(?:op_type|external_data)\b",
    ),
}
_AT_FOUR: Final = {b"ET12": "executorch", b"ORTM": "onnxruntime"}
_COREML: Final = {1: _NUMBER, 2: _BYTES, 10: _NUMBER, **dict.fromkeys((*range(200, 700), *range(900, 910), *range(2000, 2010), 3000), _BYTES)}
_PROGRAM: Final = {1: _BYTES, 4: _BYTES, 5: _BYTES}
_BLOCK: Final = {1: _NUMBER, 2: _NUMBER, 3: _BYTES, 4: _BYTES, 5: _NUMBER}
_BLOCK_OPERATORS, _OPERATOR_TYPE = 4, 3
_PADDLE_ACTS: Final = frozenset({"load", "load_combine", "py_func", "py_layer", "run_program", "save", "save_combine"})


def is_known(head: bytes, window: Window) -> bool:
    """Tell whether it is one of these formats."""
    return _name(head, window) != ""


def judge_known(window: Window, context: Context) -> str:
    """Refuse it; returns its name."""
    name = _name(window.read(0, 64), window)
    if name == "paddle":
        _judge_program(window, context)
    context.say("known-format", "", f"{name}: a format that is known, but not analysed; what reading it does cannot be said")
    return name


def judge_known_text(text: str, context: Context) -> str:
    """Refuse text that begins as one of these formats; returns the format, or nothing.

    Args:
        text: The first piece of it.
        context: Where findings go.
    """
    for name, (begins, holds) in _TEXTS.items():
        if begins.match(text) and re.search(holds, text):
            context.say("known-format", "", f"{name}: a format that is known, but not analysed; what reading it does cannot be said")
            return name
    return ""


def _name(head: bytes, window: Window) -> str:
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "") or _AT_FOUR.get(head[4:8], "")
    if found or head[0] not in b"\x08\x0a\x12\x50":
        return found
    core = outline(window, _COREML)
    if core.keys() >= {1, 2} and any(number >= 200 for number in core):  # noqa: PLR2004 - where the kinds of model begin
        return "coreml"
    return "paddle" if 1 in outline(window, _PROGRAM) and outline(_first(window), _BLOCK).keys() >= {1, 2, _BLOCK_OPERATORS} else ""


def _first(window: Window) -> Window:
    wire = Wire(CachedWindow(window), Budget(0))
    field = next(field for field in wire.fields(0, window.size) if field.number == 1)
    return PartWindow(window, field.start, field.stop - field.start)


def _judge_program(window: Window, context: Context) -> None:
    wire = Wire(CachedWindow(window), context.budget, context.place)
    for block in wire.fields(0, window.size):
        if block.number != 1:
            continue
        for operator in wire.fields(block.start, block.stop):
            if operator.number != _BLOCK_OPERATORS:
                continue
            for field in wire.fields(operator.start, operator.stop):
                name = wire.text(field) if field.number == _OPERATOR_TYPE else ""
                if name in _PADDLE_ACTS:
                    context.say("paddle-operator", repr(shown(name)), "an operator that reads or writes files, or calls Python")
