# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from lifeseal import serialization
from support.protobuf import message, number
from support.scanning import judged


def program(operator: str) -> bytes:
    block = number(1, 0) + number(2, (1 << 64) - 1) + message(4, message(3, operator))
    return message(1, block) + message(4, number(1, 0))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"CBM1" + bytes(60), "catboost"),
        (b"{L\0\0\0\0\0\0\0\x07learner", "xgboost"),
        (b"binf" + bytes(60), "xgboost"),
        (b"\x0c\xdb\x3a\x2a" + bytes(60), "ocdbt"),
        (b"tjgg" + bytes(60), "ggml"),
        (b"PAR1" + bytes(60), "parquet"),
        (bytes(4) + b"ET12" + bytes(60), "executorch"),
        (number(1, 4) + message(2, message(1, "x")) + message(500, "x"), "coreml"),
        (program("conv2d"), "paddle"),
        (b'{"learner":{"attributes":{},"gradient_booster":{}},"version":[3,2,0]}', "xgboost"),
        (b'{\n "version": [1, 7, 6], "learner": {}}', "xgboost"),
        (b'{"learner":{"weights":[' + b"0.125," * 900_000 + b"1]}}", "xgboost"),
        (b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
        (b'{"features_info": {"float_features": []}, "oblivious_trees": []}', "catboost"),
        (b'{"base_code": {"magic": "pir", "version": 1}, "program": {}}', "paddle"),
        (b'ir_version: 9\ngraph {\n  node { op_type: "Add" }\n}\n', "onnx-textproto"),
        (b'# comment\ngraph {\n  initializer { external_data { key: "location" value: "/etc/passwd" } }\n}\n', "onnx-textproto"),
        (b'{"irVersion": "9", "graph": {"node": [{"opType": "Add"}]}}', "onnx-json"),
        (b'<\n  ir_version: 9, opset_import: ["" : 18]\n>\ng (float[N] x) => (float[N] y) { y = Relu(x) }', "onnx-text"),
    ],
)
def test_what_is_known_and_not_analysed_is_named_and_refused(content, kind):
    report = judged(content)
    assert (report.format, report.verdict, report.rules) == (kind, "unreadable", {"known-format"})


def test_a_program_of_paddle_that_calls_python_is_unsafe():
    assert judged(program("py_func")).verdict == "unsafe"


@pytest.mark.parametrize("size", [9, 64, 5000])
def test_unknown_content_is_unreadable(size):
    assert judged(b"\0\xfe" + os.urandom(size)).verdict in {"unreadable", "unsafe"}


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("model.safetensors", b"\x80\x04N.", True),
        ("model.gguf", b"text", True),
        ("model.onnx", b"\x80\x04N.", True),
        ("MODEL.PKL", b"text", True),
        ("config.json", b"\x80\x04N.", True),
        ("config.json", b"{}", False),
        ("model.pkl", b"\x80\x04N.", False),
        ("README.md", b"text", False),
        ("no suffix", b"\x80\x04N.", False),
        (".gguf", b"text", False),
        ("model.bin", b"\x80\x04N.", False),
    ],
)
def test_a_name_that_says_another_format_is_told_and_changes_no_verdict(name, content, found, tmp_path):
    (tmp_path / name).write_bytes(content)
    report = serialization.scan(tmp_path / name)
    assert ([finding.rule for finding in report.findings], report.verdict.value) == (["name"] if found else [], "safe")


@pytest.mark.parametrize(
    "content",
    [
        b'{"learner": "a person", "version": 2}',
        b"tree\nleaf\n",
        b'{"model_info": {"name": "x"}}',
        b'{"graph": {"nodes": []}}',
        b"graph: a chapter on graphs\n",
    ],
)
def test_what_only_begins_alike_is_what_it_was(content):
    assert (judged(content).verdict, judged(content).format in {"json", "text"}) == ("safe", True)
