# SPDX-License-Identifier: Apache-2.0
"""Files of the libraries, cut at every byte: none passes for a whole one, and no short beginning for a text of its own."""

import pathlib

import pytest

from support.scanning import judged

FILES = pathlib.Path(__file__).parent / "files"
NOT_CUT = {".md", ".txt", ".data", ".pbtxt"}  # texts, which end anywhere, and raw numbers
CUT = sorted(
    path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file() and path.suffix not in NOT_CUT and ".data-" not in path.name
)
SMALL, STEP = 2048, 41
# Sizes at which a message ends with one of its fields, and so is a whole one with less in it.
WHOLE = {"graph.pb": {58, 93}, "saved-model/fingerprint.pb": {32, 43, 54, 58}, "model.onnx": {391}}
PADDING = {"model.gguf": 28, "vocabulary.gguf": 36}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_is_refused(name):
    content = (FILES / name).read_bytes()
    sizes = range(1, len(content) - PADDING.get(name, 0), 1 if len(content) < SMALL else STEP)
    passed = {size: judged(content[:size]).format for size in sizes if judged(content[:size]).verdict in {"safe", "needs-trust"}}
    texts = {size for size, found in passed.items() if found == "text"}
    assert texts <= set(range(1, 78 if name.endswith(".json") else 16))
    assert set(passed) - texts == WHOLE.get(name, set())


def test_every_kind_is_cut():
    assert {pathlib.Path(name).suffix for name in CUT} >= {
        ".gguf",
        ".onnx",
        ".pb",
        ".meta",
        ".keras",
        ".h5",
        ".tflite",
        ".msgpack",
        ".skops",
        ".index",
        ".json",
    }
