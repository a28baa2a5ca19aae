# SPDX-License-Identifier: Apache-2.0
import io
import pathlib
import time

import pytest

from lifeseal import serialization
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._context import Context
from lifeseal.serialization._hdf5 import _Judge
from lifeseal.serialization._judge import judge
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._window import BytesWindow
from support.scanning import cuts_that_pass, judged

h5py = pytest.importorskip("h5py")
np = pytest.importorskip("numpy")

FILES = pathlib.Path(__file__).parent / "files"
FORMS = [(version, ordered) for version in ("earliest", "latest") for ordered in (False, True)]


def written(fill, version="earliest", *, ordered=False, **more) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", libver=version, track_order=ordered, **more) as target:
        fill(target)
    return file.getvalue()


def of_many_kinds(children: int):
    def fill(file):
        group = file.create_group("g/sub", track_order=True)
        for index in range(children):
            group.create_group(f"child{index}")
        numbers = file.create_dataset("numbers", data=np.arange(10.0))
        file.create_dataset("packed", data=np.zeros((100, 100)), chunks=(10, 10), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("lzf", data=np.zeros((100, 100)), compression="lzf")
        file.create_dataset("texts", data=["a", "bcd"], dtype=h5py.string_dtype())
        file.create_dataset("reference", data=numbers.ref, dtype=h5py.ref_dtype)
        file.create_dataset("nothing", data=h5py.Empty("f"))
        file.create_dataset("grows", shape=(0,), maxshape=(None,), dtype="i4")
        file["type"] = np.dtype("f4")
        file["soft"], file["relative"], file["hard"] = h5py.SoftLink("/g/sub/child1"), h5py.SoftLink("g/sub"), numbers
        file["through"] = h5py.SoftLink("relative/child2")
        for index in range(min(children, 300)):
            numbers.attrs[f"a{index}"] = index
        file.attrs["none"], file.attrs["empty"] = np.array([], dtype=h5py.string_dtype()), h5py.Empty(h5py.string_dtype())
        file.attrs["no letters"], file.attrs["table"] = "", np.array([["a"], ["b"]], dtype=h5py.string_dtype())
        file.attrs["text"], file.attrs["fixed"], file.attrs["list"], file.attrs["long"] = "text", np.bytes_(b"abc"), ["a", "b"], "word " * 12_000

    return fill


def seen_by_the_library(content: bytes) -> tuple[list[str], list[str]]:
    links, attributes, seen = [], [], set()

    def walk(item):
        attributes.extend(item.attrs)
        for name in item if isinstance(item, h5py.Group) else ():
            links.append(name)
            if isinstance(item.get(name, getlink=True), h5py.HardLink):
                address = h5py.h5o.get_info(item[name].id).addr
                if address not in seen:
                    seen.add(address)
                    walk(item[name])

    with h5py.File(io.BytesIO(content)) as file:
        walk(file)
    return sorted(links), sorted(attributes)


def seen_by_us(content: bytes, monkeypatch) -> tuple[list[str], list[str]]:
    attributes = []
    monkeypatch.setattr(_Judge, "_attribute", lambda self, data, path: attributes.append(name_of(data)))
    reader = _Judge(BytesWindow(content), Context(findings=Findings(), allow=frozenset(), budget=Budget(len(content)), judge=judge), 0)
    reader.judge()
    return sorted(link.name for group in reader._groups.values() for link in group.values()), sorted(attributes)


def name_of(data: bytes) -> str:
    size = int.from_bytes(data[2:4], "little")
    start = 9 if data[0] == 3 else 8
    return data[start : start + size].rstrip(b"\0").decode()


@pytest.mark.parametrize("children", [3, 40, 1500])
@pytest.mark.parametrize(("version", "ordered"), FORMS)
def test_files_of_the_library_are_safe_and_wholly_seen(version, ordered, children, monkeypatch):
    content = written(of_many_kinds(children), version, ordered=ordered)
    report = judged(content)
    assert (report.format, report.verdict, report.findings) == ("hdf5", "safe", ())
    assert seen_by_us(content, monkeypatch) == seen_by_the_library(content)


@pytest.mark.parametrize(("version", "ordered"), FORMS)
def test_every_cut_is_reported(version, ordered):
    content = written(of_many_kinds(2), version, ordered=ordered)
    assert cuts_that_pass(content, start=4, stop=400) == []
    assert cuts_that_pass(content, start=len(content) - 300) == []
    assert judged(content + b"x").verdict == "unreadable"


def external_link(file):
    file["out"] = h5py.ExternalLink("/etc/passwd", "/x")


def external_storage(file):
    file.create_dataset("d", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
    layout[:] = h5py.VirtualSource("other.h5", "d", shape=(4,))
    file.create_virtual_dataset("d", layout)


def deep(fill):
    def nested(file):
        fill(file.create_group("a/b/c"))

    return nested


def crowded(fill):
    def many(file):
        for index in range(60):
            file.create_group(f"child{index}")
        fill(file)

    return many


@pytest.mark.parametrize(("version", "ordered"), FORMS)
@pytest.mark.parametrize("around", [lambda fill: fill, deep, crowded])
@pytest.mark.parametrize("fill", [external_link, external_storage, virtual])
def test_what_lies_in_other_files_is_unsafe(fill, around, version, ordered):
    report = judged(written(around(fill), version, ordered=ordered))
    assert (report.verdict, report.rules) == ("unsafe", {"hdf5-external"})


@pytest.mark.parametrize(
    ("target", "verdict"), [("/a", "safe"), ("a", "safe"), ("loop", "unreadable"), ("/missing", "unreadable"), ("a/x", "unreadable")]
)
def test_a_soft_link_leads_to_what_is_in_the_file(target, verdict):
    def fill(file):
        file.create_group("a")
        file["soft"] = h5py.SoftLink(target)
        file["loop"] = h5py.SoftLink("loop")
        if target != "loop":
            del file["loop"]

    report = judged(written(fill))
    assert (report.verdict, report.rules <= {"hdf5-link"}) == (verdict, True)


def test_a_filter_that_a_library_must_bring_needs_trust():
    content = written(lambda file: file.create_dataset("d", data=np.zeros(100), chunks=(10,), compression="lzf"))
    number = content.rindex(b"\0\x7d", 0, content.index(b"lzf\0"))
    assert judged(content[:number] + b"\1" + content[number + 1 :]).rules == {"hdf5-filter"}


@pytest.mark.parametrize(("version", "ordered"), FORMS)
def test_groups_that_hold_one_another_end(version, ordered):
    def fill(file):
        file["a/b"] = file
        file["a/c"] = file["a"]

    assert judged(written(fill, version, ordered=ordered)).verdict == "safe"


LAMBDA = '{"class_name": "Lambda", "config": {"function": ["4wEA", null, null]}}'


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("value", [LAMBDA, LAMBDA.encode(), np.bytes_(LAMBDA.encode()), " \n" + LAMBDA, LAMBDA + " " * 70_000])
def test_the_configuration_of_a_model_is_judged(value, version):
    def fill(file):
        file.attrs["model_config"] = value

    report = judged(written(fill, version))
    assert report.verdict in ({"unsafe", "unreadable"} if isinstance(value, bytes) else {"unsafe"})
    assert judged(written(lambda file: file.attrs.__setitem__("model_config", '{"class_name": "Dense", "config": {}}'), version)).verdict == "safe"


def test_a_configuration_that_is_no_text_is_refused():
    report = judged(written(lambda file: file.attrs.__setitem__("model_config", np.arange(3))))
    assert (report.verdict, report.rules) == ("unreadable", {"hdf5-invalid"})
    assert judged(written(lambda file: file.attrs.__setitem__("other", np.arange(3)))).verdict == "safe"


def test_a_pickle_in_an_attribute_is_unsafe():
    pickled = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
    assert judged(written(lambda file: file.attrs.__setitem__("TITLE", np.bytes_(pickled)))).verdict == "unsafe"
    assert judged(written(lambda file: file.attrs.__setitem__("TITLE", np.bytes_(b"\x80\x02 plain")))).verdict == "safe"


def test_a_dataset_of_pickles_is_not_safe():
    def fill(file):
        file.create_dataset("d", data=np.zeros(3)).attrs["PSEUDOATOM"] = np.bytes_(b"object")

    assert judged(written(fill)).rules == {"hdf5-pickle"}


def test_a_driver_of_its_own_is_unsafe():
    content = bytearray(written(of_many_kinds(3)))
    content[48:56] = (800).to_bytes(8, "little")
    assert judged(bytes(content)).rules == {"hdf5-external"}


@pytest.mark.parametrize("start", [512, 1024, 4096])
def test_a_file_within_another_is_not_safe(start):
    inner = written(external_link, userblock_size=start)
    assert inner[start : start + 4] == b"\x89HDF"
    report = judged(b"a text".ljust(start) + inner[start:])
    assert (report.verdict, {"mixed", "hdf5-external"} <= report.rules) == ("unsafe", True)
    assert judged(b"a text".ljust(start) + written(of_many_kinds(1), userblock_size=start)[start:]).verdict == "unreadable"


@pytest.mark.parametrize(("version", "ordered"), FORMS)
def test_no_changed_byte_is_an_error_of_ours(version, ordered):
    content = written(of_many_kinds(12), version, ordered=ordered)
    for offset in range(8, len(content), 1051):
        for value in (0, 1, 0x7F, 0xFF):
            judged(content[:offset] + bytes([value]) + content[offset + 1 :])
    for offset in range(8, len(content) - 8, 1399):
        judged(content[:offset] + b"\xff" * 8 + content[offset + 8 :])


def test_a_gibibyte_is_judged_by_its_structure(tmp_path):
    file = tmp_path / "f"
    with h5py.File(file, "w") as target:
        target.create_dataset("d", shape=(1 << 30,), dtype="u1")[-1] = 1
    begin = time.process_time()
    assert serialization.scan(file).verdict.value == "safe"
    assert time.process_time() - begin < 2  # a few milliseconds; reading it all would take seconds


@pytest.mark.parametrize("size", [512, 1024, 1 << 20])
@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_a_block_for_the_user_is_passed_over_if_nothing_is_in_it(version, size):
    content = written(of_many_kinds(3), version, userblock_size=size)
    assert (judged(content).format, judged(content).verdict, judged(content).findings) == ("hdf5", "safe", ())
    for place in (0, 100, size - 1):
        changed = content[:place] + b"\1" + content[place + 1 :]
        assert (judged(changed).format, judged(changed).verdict) == ("unknown", "unreadable")
    assert judged(content[: size + 40]).verdict == judged(content[:-1]).verdict == "unreadable"
    outward = judged(written(external_link, version, userblock_size=size))
    assert (outward.verdict, outward.rules) == ("unsafe", {"hdf5-external"})
