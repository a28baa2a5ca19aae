# SPDX-License-Identifier: Apache-2.0
"""Graphs of small lengths and letters are valid UTF-8 without NUL: none of them may pass for text."""

import pytest

from support.protobuf import message, number
from support.scanning import cuts_that_pass, judged

WRITES = message(1, "n") + message(2, "WriteFile")
PYTHON = message(1, "x") + message(4, "PyOp")
ELSEWHERE = message(13, message(1, "location"), message(2, "../../x"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(message(1, WRITES), id="graph"),
        pytest.param(message(1, message(2, "WriteFile")), id="graph of a node without a name"),
        pytest.param(message(1, WRITES) + message(15, "x"), id="graph with another field"),
        pytest.param(message(2, message(1, message(1, message(1, "f")), message(3, WRITES))), id="functions alone"),
        pytest.param(message(2, message(2, message(1, WRITES))), id="saved model without its version"),
        pytest.param(message(2, message(2, message(2, message(1, message(3, WRITES))))), id="saved model of functions"),
        pytest.param(number(1, 1) + message(2, message(2, message(1, WRITES))) + message(9, "x"), id="saved model with another field"),
        pytest.param(message(2, message(1, WRITES)), id="meta graph without its information"),
        pytest.param(message(2, message(1, WRITES)) + message(5, "x"), id="meta graph with signatures"),
        pytest.param(message(7, message(1, PYTHON)), id="ONNX of a graph alone"),
        pytest.param(number(1, 8) + message(7, message(1, PYTHON)) + message(15, "x"), id="ONNX with another field"),
        pytest.param(number(1, 8) + message(7, message(5, ELSEWHERE)) + message(15, "x"), id="ONNX with a tensor elsewhere"),
        pytest.param(
            number(1, 8) + message(7, message(1, message(5, message(5, ELSEWHERE)))) + message(15, "x"), id="ONNX with an attribute elsewhere"
        ),
        pytest.param(message(1, message(4, message(3, "py_func"))), id="program of PaddlePaddle"),
    ],
)
def test_a_graph_that_could_be_text_is_not_taken_for_it(content):
    content.decode("utf-8")
    assert b"\0" not in content
    assert judged(content).verdict in {"unsafe", "unreadable"}


@pytest.mark.parametrize(
    "content",
    [
        b"hello world\n",
        b": " + b"a" * 32,
        b"\n" + b" " * 10 + b"abc",
        b"\n\nTitle\n\nsome text and so on " * 20,
        b"2 4\nword 0.1 0.2 0.3\n",
        b"\n$" + b"hello " * 6,
        b"a bell at the end of a long line " * 40 + b"\x07\n",
        b"".join(b"%d\tword\n" % n for n in range(9000)) + b"\x01\x02\x03\n",
    ],
)
def test_text_that_begins_as_a_message_stays_text(content):
    assert (judged(content).format, judged(content).verdict) == ("text", "safe")


@pytest.mark.parametrize("content", [b"\n\x05hello", b"\x08", b"plain\x02", b"text " * 100 + b"\x01", b"text " * 500 + b"\1\2\3"])
def test_what_holds_control_characters_is_no_text(content):
    assert (judged(content).format, judged(content).verdict) == ("unknown", "unreadable")


def test_every_cut_of_a_small_graph_is_reported():
    """A message does not say how long it is: where a field ends, a cut file is a whole one, with less in it."""
    model = number(1, 9) + message(2, "me") + message(7, message(1, message(1, "x"), message(4, "Relu"))) + message(8, number(2, 18))
    graph = message(1, message(1, "p"), message(2, "Placeholder")) + message(1, message(1, "n"), message(2, "MatMul")) + message(4, number(1, 27))
    assert judged(model).verdict == judged(graph).verdict == "safe"
    assert cuts_that_pass(model) == []
    assert [judged(graph[:size]).format for size in cuts_that_pass(graph, start=2)] == ["tf-graph", "tf-graph"]
