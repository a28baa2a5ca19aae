# SPDX-License-Identifier: Apache-2.0
"""Files that an attacker's review once brought through as safe, each beside an ordinary one that must stay safe."""

import hashlib
import io
import json
import pickle
import struct
import tarfile
import time
import types
import zipfile
import zlib

import numpy as np
import pytest

from lifeseal import serialization

RUNS = b"cos\nsystem\n(S'true'\ntR."
LONG_INDEX = b"Np" + b"0" * 25 + b"\n0"


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def verdict(path, content: bytes) -> str:
    path.write_bytes(content)
    return serialization.scan(path).verdict.value


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LONG_INDEX + RUNS, id="long index"),
        pytest.param(b"Np0\n0g" + b"0" * 25 + b"\n0" + RUNS, id="long index of a get"),
        pytest.param(b"F" + b"0" * 70_000 + b"\n0" + RUNS, id="long float"),
        pytest.param(b"I" + b"0" * 70_000 + b"\n0" + RUNS, id="long integer"),
        pytest.param(b"Np" + b"0" * 70_000 + b"\n0" + RUNS, id="index beyond a line"),
        pytest.param(b"N" * 1_048_580 + RUNS, id="stack"),
        pytest.param(b"(" * 1_048_580 + RUNS, id="marks"),
        pytest.param(b"N0" * (1 << 21) + RUNS, id="opcodes"),
        pytest.param(b"N" + b"".join(b"p%d\n" % index for index in range((1 << 20) + 2)) + b"0" + RUNS, id="memo"),
        pytest.param(b"N." + LONG_INDEX + RUNS, id="second pickle"),
        pytest.param(b"cunittest.__main__\nx\n", id="import alone"),
        pytest.param(b"cevil-mod\ngo\n(tR", id="import of a name that no statement could import"),
    ],
)
def test_a_pickle_does_not_pass_for_text(content, tmp_path):
    assert verdict(tmp_path / "f", content) in {"unreadable", "unsafe"}


@pytest.mark.parametrize("content", [b"copyright (c) 2026\nby us\n", b"cat\ndog\nbird\n", b"I am here\n", b"N.Np\n", b"F" + b"a" * 70_000])
def test_text_stays_text(content, tmp_path):
    assert verdict(tmp_path / "f", content) == "safe"


def tensors(data: bytes, *, length: int = 0x20 * 256 + 0x55, key: bytes = b"a") -> bytes:
    header = b'{"__metadata__":{"' + key * 8 + b'V":"xxxxxxxxxx"},"t":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(data), len(data))
    return struct.pack("<Q", length) + header.ljust(length) + data


@pytest.mark.parametrize("trick", [b"", b"p0\0x\n0", LONG_INDEX, b"F" + b"0" * 70_000 + b"\n0", b"N" * 1_048_580])
def test_safetensors_that_is_a_pickle_is_not_safe(trick, tmp_path):
    assert verdict(tmp_path / "f", tensors(b"\n" + trick + RUNS)) != "safe"


def test_safetensors_whose_pickle_goes_beyond_the_header_is_not_safe(tmp_path):
    assert verdict(tmp_path / "f", tensors(b"\n]0\xff")) == "unreadable"
    assert verdict(tmp_path / "f", tensors(b"\nAny data")) == "safe"


def locals_and_directory(members: dict[str, bytes], base: int = 0) -> tuple[bytes, bytes]:
    headers, directory = b"", b""
    for name, content in members.items():
        raw, crc, place = name.encode(), zlib.crc32(content), base + len(headers)
        common = struct.pack("<HHHHIIIHH", 0, 0, 0, 0x21, crc, len(content), len(content), len(raw), 0)
        headers += b"PK\3\4" + struct.pack("<H", 20) + common + raw + content
        directory += b"PK\1\2" + struct.pack("<HH", 20, 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, place) + raw
    return headers, directory


def wide_end(count: int, size: int, offset: int) -> bytes:
    return b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset)


def locator(offset: int) -> bytes:
    return b"PK\6\7" + struct.pack("<IQI", 0, offset, 1)


def end(count: int, size: int, offset: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)


def test_an_archive_with_two_zip64_ends_is_not_safe(tmp_path):
    lead = 30 + len("m.txt")
    evil, evil_directory = locals_and_directory({"m.pkl": RUNS}, lead)
    inner = evil + evil_directory + wide_end(1, len(evil_directory), lead + len(evil))
    outer, directory = locals_and_directory({"m.txt": inner})
    near = wide_end(1, len(directory), len(outer))
    full = end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    split = outer + directory + near + locator(lead + len(evil) + len(evil_directory)) + full
    assert verdict(tmp_path / "f", split) == "unsafe"
    assert "zip-structure" in {finding.rule for finding in serialization.scan(tmp_path / "f").findings}
    plain, directory = locals_and_directory({"m.txt": b"text"})
    wide = plain + directory + wide_end(1, len(directory), len(plain)) + locator(len(plain) + len(directory))
    assert verdict(tmp_path / "f", wide + full) == "safe"
    assert verdict(tmp_path / "f", wide + end(1, len(directory), len(plain))) == "safe"
    assert verdict(tmp_path / "f", wide + end(1, len(directory), 0)) == "unreadable"
    gap = plain + directory + wide_end(1, len(directory), len(plain)) + b"XXXX" + locator(len(plain) + len(directory))
    assert verdict(tmp_path / "f", gap + full) == "unreadable"


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("count", [0, 1])
def test_an_array_that_is_an_archive_is_not_safe(count, tmp_path):
    headers, directory = locals_and_directory({"x.pkl": RUNS})
    content = headers + directory + end(count, len(directory), len(headers))
    assert verdict(tmp_path / "f", npy(np.frombuffer(content, dtype=np.uint8))) != "safe"
    assert verdict(tmp_path / "f", npy(np.frombuffer(content[:-22], dtype=np.uint8))) == "safe"


class Runs:
    def __reduce__(self):
        return print, ("x",)


@pytest.mark.parametrize(("content", "wanted"), [(npy(np.array([Runs()], dtype=object)), "unsafe"), (RUNS, "unreadable"), (b"\x80\1cos" * 8, "safe")])
def test_a_storage_that_is_a_file_of_its_own_is_judged(content, wanted, tmp_path):
    torch = pytest.importorskip("torch")
    file, copy = io.BytesIO(), io.BytesIO()
    torch.save({"t": torch.zeros(len(content), dtype=torch.uint8)}, file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith("data/0") else source.read(name))
    found = verdict(tmp_path / "f", copy.getvalue())
    assert found == wanted or (wanted == "unreadable" and found == "unsafe")


def test_a_tar_archive_is_judged_by_its_members_also_in_another_format(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("storages")
        entry.size = len(RUNS)
        archive.addfile(entry, io.BytesIO(RUNS))
    assert verdict(tmp_path / "f", file.getvalue()) == "unsafe"
    lead = b"{'descr':'|u1','fortran_order':False,'shape':(512,)}#"
    block = bytearray(b"\x93NUMPY\1\0" + struct.pack("<H", 1014) + lead).ljust(512, b"A")
    rest = b"A" * 511 + b"\n" + bytes(512)
    assert verdict(tmp_path / "f", bytes(block) + rest) == "safe"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o  " % sum(block)
    assert verdict(tmp_path / "f", bytes(block) + rest) == "unreadable"


def dtype(kind: str, flags: int, size: int = -1, fields: bytes = b"NNN") -> bytes:
    state = b"(" + number(3) + text("|") + fields + number(size) + number(1 if size >= 0 else -1) + number(flags) + b"tb"
    return named("numpy", "dtype") + text(kind) + b"\x89\x88\x87R" + state


def fields(item: bytes, *offsets: int) -> bytes:
    names = b"(" + b"".join(text(f"f{offset}") for offset in offsets) + b"t"
    return b"N" + names + b"}" + b"".join(text(f"f{offset}") + item + number(offset) + b"\x86s" for offset in offsets)


def scalar(kind: bytes, size: int = 8) -> bytes:
    return b"\x80\x04" + named("numpy._core.multiarray", "scalar") + kind + b"C" + bytes([size]) + b"A" * size + b"\x86R."


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(dtype("O8", 0), id="object without its flags"),
        pytest.param(dtype("O8", 63), id="object of bytes"),
        pytest.param(dtype("V8", 0, 800), id="another size"),
        pytest.param(dtype("V8", 0, 8, fields(dtype("O8", 63), 0)), id="field of objects without its flags"),
        pytest.param(dtype("V8", 16, 8, fields(dtype("i8", 0), 4)), id="field beyond the end"),
        pytest.param(named("numpy", "dtype") + text("i8") + b"\x89\x88\x87R", id="no state"),
        pytest.param(dtype("i8", 0) + b"(" + number(3) + text("<") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb", id="two states"),
    ],
)
def test_a_numpy_type_that_lies_is_unsafe(kind, tmp_path):
    assert verdict(tmp_path / "f", scalar(kind)) == "unsafe"
    array = b"\x80\x04" + named("numpy._core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\0\x85C\1b\x87R"
    assert verdict(tmp_path / "f", array + b"(K\1K\1\x85" + kind + b"\x89C\x08AAAAAAAAtb.") == "unsafe"


@pytest.mark.parametrize("kind", [dtype("i8", 0), dtype("V8", 0, 8), dtype("V8", 16, 8, fields(dtype("i4", 0), 0, 4))])
def test_a_numpy_type_as_numpy_writes_it_is_safe(kind, tmp_path):
    assert verdict(tmp_path / "f", scalar(kind)) == "safe"


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.zeros(2, dtype=[("a", "f4", (3,)), ("b", "U2")]),
        np.zeros(2, dtype=[("s", [("x", "i8"), ("o", "O")])]),
        np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "i8")], align=True)),
        np.array([b"x", b"yz"]),
        np.array(["x"], dtype=">U3"),
        np.timedelta64(3, "ns"),
        types.SimpleNamespace(a=1),
        {"a": 10**60},
    ],
)
def test_other_ordinary_values_are_safe(value, protocol, tmp_path):
    assert verdict(tmp_path / "f", pickle.dumps(value, protocol)) == "safe"


def test_pickles_that_share_a_memo_are_read_with_it(tmp_path):
    second = b"\x80\x04N\x940" + text("collections") + b"\x940" + text("deque") + b"\x940h\1h\2\x93" + text("true") + b"\x85R."
    assert verdict(tmp_path / "f", pickle.dumps(["os", "system"], 4) + second) == "unsafe"
    assert verdict(tmp_path / "f", pickle.dumps(["a", "b"], 4) + pickle.dumps({"c": ["d"]}, 4)) == "safe"


def archive(members: int, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for index in range(members):
            target.writestr(f"m{index}", content)
    return file.getvalue()


def overlapping() -> bytes:
    count, body = 2000, b"\1" * (4 << 20)
    total, headers, directory = count * 34 + len(body), b"", b""
    for index in range(count):
        size = total - (index + 1) * 34
        common = struct.pack("<HHHHIIIHH", 0, 0, 0, 0x21, 1, size, size, 4, 0)
        headers += b"PK\3\4\x14\0" + common + b"%04d" % index
        directory += b"PK\1\2\x14\0\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, index * 34) + b"%04d" % index
    return headers + body + directory + end(count, len(directory), total)


def empty_tensors() -> bytes:
    header = b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % index for index in range(300_000)) + b"}"
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: b"N0" * (8 << 20), id="opcodes"),
        pytest.param(empty_tensors, id="tensors"),
        pytest.param(lambda: archive(40, b"N0" * (1 << 20)), id="members"),
        pytest.param(overlapping, id="overlaps"),
    ],
)
def test_work_is_bounded_for_the_file(make, tmp_path):
    content = make()
    begin = time.process_time()
    assert verdict(tmp_path / "f", content) == "unreadable"
    assert time.process_time() - begin < 60  # takes seconds, also under coverage; each took a minute and more before


def test_large_but_ordinary_content_is_within_the_bounds(tmp_path):
    assert verdict(tmp_path / "f", json.dumps({f"token{index}": index for index in range(200_000)}).encode()) == "safe"
    assert verdict(tmp_path / "f", pickle.dumps({f"token{index}": index for index in range(200_000)})) == "safe"
    assert verdict(tmp_path / "f", archive(500, pickle.dumps([1]))) == "safe"


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"cbuiltins\nbytearray\n(I0x7fffffff\ntR.", "unsafe"),
        (b"cbuiltins\nbytearray\n(L0x7fffffffL\ntR.", "unsafe"),
        (b"cfractions\nFraction\n(S'1e30000000'\ntR.", "unsafe"),
        (b"cfractions\nFraction\n(S'1/3'\ntR.", "safe"),
        (b"I0x7fffffff\n.", "safe"),
        (b"\x80\x04" + named("argparse", "Namespace") + b")\x81}C\1xNsb.", "unsafe"),
        (b"\x80\x04" + named("argparse", "Namespace") + b")\x81}" + text("x") + b"Nsb.", "safe"),
        (b" " * 5000 + b'{"auto_map": {"AutoModel": "evil.X"}}', "needs-trust"),
        (b'\xef\xbb\xbf{"auto_map": {"AutoModel": "evil.X"}}', "needs-trust"),
        (b" " * 5000 + b'{"a": 1}', "safe"),
    ],
)
def test_small_ways_around(content, wanted, tmp_path):
    assert verdict(tmp_path / "f", content) == wanted


@pytest.mark.parametrize(("shape", "wanted"), [([0, 1 << 62], "unreadable"), ([0, 1 << 20], "safe")])
def test_a_shape_that_overflows_is_refused_even_with_a_zero(shape, wanted, tmp_path):
    header = json.dumps({"t": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    assert verdict(tmp_path / "f", struct.pack("<Q", len(header)) + header) == wanted


def test_a_file_that_holds_more_than_its_size_says_is_not_read_as_empty():
    assert serialization.scan("/proc/version").verdict is serialization.Verdict.UNREADABLE


def test_a_file_that_changes_between_verdict_and_digest_has_no_digest(tmp_path, monkeypatch):
    from lifeseal.serialization import _judge

    file = tmp_path / "m.json"
    file.write_bytes(b'{"a":1}')
    whole = serialization.scan(file, digest=True)
    assert (whole.verdict, whole.digest) == (serialization.Verdict.SAFE, hashlib.sha256(b'{"a":1}').digest())
    judge = _judge.judge_window

    def meanwhile(*args, **kwargs):
        found = judge(*args, **kwargs)
        file.write_bytes(b'{"a":2}')
        return found

    monkeypatch.setattr(_judge, "judge_window", meanwhile)
    changed = serialization.scan(file, digest=True)
    assert (changed.verdict, changed.digest) == (serialization.Verdict.UNREADABLE, None)


def test_a_link_that_leads_to_itself_is_an_os_error(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        serialization.scan(tmp_path / "loop")
