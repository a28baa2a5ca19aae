# SPDX-License-Identifier: Apache-2.0
import pathlib
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeseal import serialization
from support.scanning import cuts_that_pass, judged

msgpack = pytest.importorskip("msgpack")

FILES = pathlib.Path(__file__).parent / "files"


def array(kind: str = "float32", shape: tuple[int, ...] = (2, 3), size: int = 24, code: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb((shape, kind, bytes(size))))


def test_a_file_of_the_library_is_safe():
    report = serialization.scan(FILES / "flax.msgpack")
    assert (report.format, report.verdict.value, report.findings) == ("msgpack", "safe", ())


def test_every_cut_is_reported():
    content = (FILES / "flax.msgpack").read_bytes()
    assert cuts_that_pass(content, start=8) == []
    assert judged(content + b"\xc0").rules == {"msgpack-invalid"}


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=40), st.binary(max_size=300)),
    lambda inner: st.one_of(st.lists(inner, max_size=20), st.dictionaries(st.text(max_size=8), inner, max_size=20)),
    max_leaves=30,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=40), VALUES, min_size=1, max_size=20))
def test_what_the_library_writes_is_read_to_its_end(value):
    report = judged(msgpack.packb(value))
    assert "msgpack-invalid" not in report.rules
    assert report.format == "msgpack"


@pytest.mark.parametrize(
    "value", [{"a": array()}, {"a": array("bfloat16", (700, 100), 70_000)}, {"a": array("int8", (70_000,), 9)}, {"a": array("float32", (), 4, 3)}]
)
def test_arrays_are_safe(value):
    assert (judged(msgpack.packb(value)).verdict, judged(msgpack.packb(value)).findings) == ("safe", ())


@pytest.mark.parametrize(
    "value",
    [
        {"a": array("object")},
        {"a": array("O")},
        {"a": array(code=7)},
        {"a": msgpack.ExtType(1, b"\x80\x02cos\nsystem\n.")},
        {"a": msgpack.ExtType(1, msgpack.packb("x"))},
        {"a": msgpack.ExtType(1, msgpack.packb(((2, "x"), "float32", b"")))},
        {"a": msgpack.Timestamp(1)},
    ],
)
def test_other_extension_types_are_refused(value):
    assert (judged(msgpack.packb(value)).format, judged(msgpack.packb(value)).verdict) == ("msgpack", "unreadable")


@pytest.mark.parametrize("lead", [b"\x91", b"\xdc\0\1", b"\x81\xa1a"])
def test_depth_is_bounded(lead):
    assert judged(b"\x81\xa1a" + lead * 30 + b"\xc0").verdict == "safe"
    assert judged(b"\x81\xa1a" + lead * 5000 + b"\xc0").verdict == "unreadable"


@pytest.mark.parametrize("lead", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_lengths_without_end_are_refused(lead):
    begin = time.process_time()
    assert judged(b"\x81\xa1a" + lead + struct.pack(">I", 0xFFFFFFFF) + bytes(50)).verdict == "unreadable"
    assert time.process_time() - begin < 2


def test_a_pickle_that_acts_is_no_map():
    assert judged(b"\x82\x01cos\nsystem\n(S'true'\ntR.").verdict == "unsafe"
    assert judged(b"\x82\xa6params\x80\xa4step\x01").verdict == "safe"


@pytest.mark.parametrize("content", [b"\xde\0\0", b"\xdf\0\0\0", b"\xdf\0\0\0\0", b"\xde\0\1\xd9", b"\x81\xd9", b"\x81"])
def test_a_map_without_its_first_key_is_none(content):
    assert judged(content).verdict == "unreadable"
