# SPDX-License-Identifier: Apache-2.0
import collections
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeseal import serialization
from lifeseal.serialization import _pickle

LOAD = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
TORCH_LOAD = "import torch, sys; torch.load(sys.argv[1], weights_only=False)"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def hostile(command: str) -> dict[str, bytes]:
    """Pickles that run ``command`` on load, each by another way."""
    argument = text(command)
    lines = command.encode() + b"\n"
    return {
        "reduce": b"\x80\x02cos\nsystem\n" + argument + b"\x85R.",
        "protocol 0": b"cos\nsystem\n(V" + lines + b"tR.",
        "string escapes": b"(S'\\x6f\\163'\nS'sys\\164em'\n\x93V" + lines + b"\x85R.",
        "inst": b"(V" + lines + b"ios\nsystem\n.",
        "obj": b"(cos\nsystem\nV" + lines + b"o.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + argument + b"\x85R.",
        "dotted": b"\x80\x04\x8c\x06shutil\x8c\x09os.system\x93" + argument + b"\x85R.",
        "memo indirection": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940\x30h\x00h\x01\x93" + argument + b"\x85R.",
        "newobj of map": b"\x80\x02cbuiltins\ntuple\n(cbuiltins\nmap\ncos\nsystem\n]" + argument + b"a\x86\x81t\x81.",
        "result is popped": b"\x80\x02cos\nsystem\n" + argument + b"\x85R0N.",
        "broken afterwards": b"\x80\x02cos\nsystem\n" + argument + b"\x85R\xff",
        "cut afterwards": b"\x80\x02cos\nsystem\n" + argument + b"\x85R",
        "planted setstate": b"\x80\x02ctypes\nSimpleNamespace\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb" + argument + b"b.",
        "python 2 name": b"\x80\x02c__builtin__\neval\n" + text(f"__import__('os').system({command!r})") + b"\x85R.",
        "hexadecimal int": b"I0x10\n0cos\nsystem\n" + argument + b"\x85R.",
        "many no-ops": b"\x80\x02" + b"N0" * 100_000 + b"cos\nsystem\n" + argument + b"\x85R.",
    }


def verdict(path, content: bytes, **kwargs) -> serialization.ScanReport:
    path.write_bytes(content)
    return serialization.scan(path, **kwargs)


@pytest.mark.parametrize("name", sorted(hostile("")))
def test_a_pickle_that_runs_is_unsafe(name, tmp_path):
    marker = tmp_path / "ran"
    file = tmp_path / "model"
    report = verdict(file, hostile(f"touch {marker}")[name])
    assert report.verdict is serialization.Verdict.UNSAFE
    assert not marker.exists()
    subprocess.run([sys.executable, "-c", LOAD, file], check=False, capture_output=True)
    assert marker.exists(), "the sample must really run"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x80\x02\x82\x01)R.", id="extension code"),
        pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x85R\x8c\x01a\x93.", id="computed name"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n}b.", id="state of a class"),
        pytest.param(b"\x80\x02ccollections\nOrderedDict\n)R}X\x0c\x00\x00\x00__setstate__Nsb.", id="special method in a state"),
        pytest.param(b"\x80\x02ccollections\nOrderedDict\n)RNa.", id="append to what is no list"),
        pytest.param(b"\x80\x02ccollections\ndefaultdict\ncos\nsystem\n\x85R.", id="factory that runs"),
        pytest.param(b"\x80\x02cnumpy\n_core.multiarray.scalar\n)R.", id="dotted name in an allowed module"),
        pytest.param(b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncos\nPathLike\nK\x00\x85N\x87R.", id="array of another class"),
        pytest.param(b"\x80\x02csklearn.base\nclone\n)R.", id="function of a by-design library"),
        pytest.param(b"\x80\x02c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.", id="other codec"),
        pytest.param(b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", id="memory by a length"),
        pytest.param(b"\x80\x02cunheard\nOf\n)R.", id="unknown module"),
        pytest.param(b"\x80\x02cunheard\nOf\n.", id="unknown reference"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_unsafe(content, tmp_path):
    assert verdict(tmp_path / "model", content).verdict is serialization.Verdict.UNSAFE


@pytest.mark.parametrize("protocol", range(6))
def test_data_that_only_mentions_a_command_is_safe(protocol, tmp_path):
    value = collections.OrderedDict(a="os.system", b=["cos\nsystem\n", {"eval": (1, 2.5)}])
    assert verdict(tmp_path / "model", pickle.dumps(value, protocol)).verdict is serialization.Verdict.SAFE


class Config:
    pass


def test_an_allowed_name_needs_trust_and_no_other_does(tmp_path):
    content = pickle.dumps(Config())
    full = f"{Config.__module__}.Config"
    assert verdict(tmp_path / "m", content).verdict is serialization.Verdict.UNSAFE
    assert verdict(tmp_path / "m", content, allow=["other.Config"]).verdict is serialization.Verdict.UNSAFE
    report = verdict(tmp_path / "m", content, allow=[full])
    assert (report.verdict, [f.rule for f in report.findings]) == (serialization.Verdict.NEEDS_TRUST, ["pickle-allowed"])


@pytest.mark.parametrize(("allow", "error"), [("mypkg.Config", TypeError), (["Config"], ValueError), (["a.b()"], ValueError)])
def test_refuses_an_allow_list_that_is_none(allow, error, tmp_path):
    (tmp_path / "m").write_bytes(b"N.")
    with pytest.raises(error, match="allow"):
        serialization.scan(tmp_path / "m", allow=allow)


def test_a_second_pickle_is_read_too(tmp_path):
    first = pickle.dumps([1])
    assert verdict(tmp_path / "m", first + pickle.dumps({"a": 2})).verdict is serialization.Verdict.SAFE
    assert verdict(tmp_path / "m", first + hostile("true")["reduce"]).verdict is serialization.Verdict.UNSAFE
    junk = verdict(tmp_path / "m", first + b"\xff\xff")
    assert (junk.verdict, junk.findings[-1].rule) == (serialization.Verdict.UNREADABLE, "pickle-trailing")


def test_pickles_of_one_pickler_refer_back(tmp_path):
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 4)
    shared = ["x"]
    pickler.dump(shared)
    pickler.dump([shared])
    assert verdict(tmp_path / "m", file.getvalue()).verdict is serialization.Verdict.SAFE


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x80\x04]\x94" + b"h\x00\x86\x94" * 10_000 + b".", id="underflow"),
        pytest.param(b"\x80\x02" + b"(" * 2_000_000 + b".", id="marks"),
        pytest.param(b"\x80\x02N" + b"\x85" * 500_000 + b".", id="nested tuples"),
        pytest.param(b"\x80\x02)" + b"2\x86" * 60 + b"R.", id="shared tuples"),
        pytest.param(b"\x80\x02c_codecs\nencode\n" + text("x") + b")" + b"2\x86" * 60 + b"\x86R.", id="shared tuples as an argument"),
        pytest.param(b"\x80\x02(" + text("storage") + b")" + b"2\x86" * 60 + b"2222tQ.", id="shared tuples as an id"),
        pytest.param(b"\x80\x02]" + b"r\xff\xff\xff\xff" + b".", id="memo index"),
        pytest.param(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", id="declared length"),
        pytest.param(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", id="declared frame"),
        pytest.param(b"L" + b"9" * 5_000_000 + b"L\n.", id="decimal digits"),
        pytest.param(b"(" * 100 + b"l" * 100 + b".", id="nested lists"),
    ],
)
def test_bombs_end_soon(content, tmp_path):
    begin = time.process_time()
    verdict(tmp_path / "m", content)
    assert time.process_time() - begin < 60  # a bounded walk takes seconds under coverage; without the bounds it takes hours or all memory


def test_every_opcode_of_the_standard_library_is_known():
    assert {ord(opcode.code) for opcode in pickletools.opcodes} == set(_pickle.OPCODES)


CODES = b"".join(bytes([code]) for code in _pickle.OPCODES)
PIECES = st.one_of(
    st.sampled_from([bytes([code]) for code in CODES]),
    st.sampled_from([b"cos\nsystem\n", b"ccollections\nOrderedDict\n", b"K\x01", text("os"), text("__setstate__"), b"q\x00", b"h\x00", b"N", b"]"]),
    st.binary(max_size=4),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=40), st.booleans())
def test_no_stream_raises(tmp_path_factory, pieces, announced):
    content = (b"\x80\x04" if announced else b"") + b"".join(pieces)
    report = verdict(tmp_path_factory.getbasetemp() / "fuzz", content)
    assert report.verdict in serialization.Verdict


def test_every_cut_of_a_pickle_is_reported(tmp_path):
    content = pickle.dumps(collections.OrderedDict(a=[1, 2.5, "x"], b=b"y"), 4)
    assert verdict(tmp_path / "m", content).verdict is serialization.Verdict.SAFE
    for size in range(1, len(content)):
        assert verdict(tmp_path / "m", content[:size]).verdict is serialization.Verdict.UNREADABLE, size


class Payload:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("modern", [True, False])
def test_a_pytorch_file_that_runs_is_unsafe(modern, tmp_path):
    torch = pytest.importorskip("torch")
    marker, file = tmp_path / "ran", tmp_path / "model.pt"
    torch.save({"a": torch.ones(2), "b": Payload(f"touch {marker}")}, file, _use_new_zipfile_serialization=modern)
    assert serialization.scan(file).verdict is serialization.Verdict.UNSAFE
    assert not marker.exists()
    subprocess.run([sys.executable, "-c", TORCH_LOAD, file], check=True, capture_output=True)
    assert marker.exists()
    torch.save({"a": torch.ones(2)}, file, _use_new_zipfile_serialization=modern)
    assert serialization.scan(file).verdict is serialization.Verdict.SAFE


def test_a_deflated_pickle_in_a_plain_archive_is_read(tmp_path):
    file = tmp_path / "model.zip"
    for content, wanted in ((hostile("true")["reduce"], "unsafe"), (pickle.dumps([1]), "safe")):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("weights.bin", content)
        assert serialization.scan(file).verdict.value == wanted
