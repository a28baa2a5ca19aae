# SPDX-License-Identifier: Apache-2.0
import pathlib

import pytest

from support.scanning import cuts_that_pass, judged

FILES = pathlib.Path(__file__).parent / "files"
MODEL, FLEX = (FILES / "model.tflite").read_bytes(), (FILES / "flex.tflite").read_bytes()


def test_a_file_of_the_library_is_safe():
    assert (judged(MODEL).format, judged(MODEL).verdict, judged(MODEL).findings) == ("tflite", "safe", ())


@pytest.mark.parametrize(
    ("name", "verdict", "rule"),
    [
        (b"FlexReadFile", "unsafe", "tf-reaches-out"),
        (b"FlexIdentity", "safe", None),
        (b"FlexMyCustom", "needs-trust", "tf-operator"),
        (b"SomeOperator", "needs-trust", "tflite-operator"),
    ],
)
def test_operators_of_tensorflow_and_custom_ones_are_judged(name, verdict, rule):
    report = judged(FLEX.replace(b"FlexReadFile", name))
    assert (report.format, report.verdict, report.rules) == ("tflite", verdict, {rule} - {None})


@pytest.mark.parametrize("content", [MODEL, FLEX])
def test_a_cut_that_takes_what_is_read_is_reported(content):
    passed = cuts_that_pass(content, start=8)
    assert passed == list(range(len(content) - len(passed), len(content)))  # what is left out then is of no operator, table or buffer
    assert len(passed) < 32


@pytest.mark.parametrize("content", [MODEL, FLEX])
def test_no_changed_bytes_are_an_error_of_ours(content):
    for offset in range(len(content) - 4):
        for value in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1"):
            judged(content[:offset] + value + content[offset + len(value) :])


@pytest.mark.parametrize("root", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x04\0\0\0"])
def test_offsets_that_lead_astray_are_refused(root):
    report = judged(root + MODEL[4:])
    assert (report.format, report.verdict, report.rules) == ("tflite", "unreadable", {"tflite-invalid"})
