# SPDX-License-Identifier: Apache-2.0
import io
import os
import pathlib
import pickle
import socket
import stat
import subprocess
import sys
import tarfile
import zipfile

import pytest

from lifeseal import serialization
from lifeseal.errors import FormatError
from lifeseal.serialization._rules import RULES

HOSTILE = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
GOOD = pickle.dumps([1])


def archive(members, **kwargs) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **kwargs) as target:
        for name, content in members:
            target.writestr(name, content)
    return file.getvalue()


def scanned(path, content: bytes) -> serialization.ScanReport:
    path.write_bytes(content)
    return serialization.scan(path)


def rules(report) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_a_plain_archive_is_safe(tmp_path):
    report = scanned(tmp_path / "f", archive([("a/b.pkl", GOOD), ("c.txt", b"text"), ("d/", b"")]))
    assert (report.verdict.value, report.findings) == ("safe", ())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("order", [(GOOD, HOSTILE), (HOSTILE, GOOD)])
def test_both_members_of_one_name_are_read(order, tmp_path):
    report = scanned(tmp_path / "f", archive([("data.pkl", content) for content in order]))
    assert report.verdict.value == "unsafe"
    assert "zip-duplicate" in rules(report)


def edited(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def test_a_prefix_is_found_and_both_sides_are_read(tmp_path):
    plain = archive([("m", GOOD)])
    report = scanned(tmp_path / "f", b"#!/bin/sh\n" + plain)
    assert (report.verdict.value, "zip-structure" in rules(report)) == ("unreadable", True)
    assert scanned(tmp_path / "f", HOSTILE + plain).verdict.value == "unsafe"
    assert scanned(tmp_path / "f", GOOD + archive([("m", HOSTILE)])).verdict.value == "unsafe"


@pytest.mark.parametrize("content", [GOOD, HOSTILE])
@pytest.mark.parametrize(
    ("offset", "new", "rule"),
    [
        pytest.param(6, b"\x01", "zip-mismatch", id="flags"),
        pytest.param(8, b"\x08", "zip-mismatch", id="method"),
        pytest.param(14, b"\0\0\0\0", "zip-mismatch", id="checksum"),
        pytest.param(22, b"\x01\0\0\0", "zip-mismatch", id="size"),
        pytest.param(30, b"n", "zip-mismatch", id="name"),
        pytest.param(0, b"XX", "zip-mismatch", id="no header"),
    ],
)
def test_a_header_that_differs_is_found_and_the_content_still_read(offset, new, rule, content, tmp_path):
    report = scanned(tmp_path / "f", edited(archive([("m", content)]), offset, new))
    wanted = {"unsafe"} if content is HOSTILE else {"unreadable"}
    assert report.verdict.value in wanted
    assert offset == 0 or rule in rules(report)


def test_a_wrong_checksum_is_found_and_the_content_still_read(tmp_path):
    good = archive([("m", GOOD)])
    where = good.index(b"PK\x01\x02")
    report = scanned(tmp_path / "f", edited(edited(good, 14, b"\1\2\3\4"), where + 16, b"\1\2\3\4"))
    assert (report.verdict.value, rules(report)) == ("unreadable", {"zip-crc"})


def test_a_member_that_stands_in_no_directory_is_read(tmp_path):
    hidden = archive([("hidden", HOSTILE)])
    hidden = hidden[: hidden.index(b"PK\x01\x02")]
    assert scanned(tmp_path / "f", hidden + archive([("m", GOOD)])).verdict.value == "unsafe"
    assert scanned(tmp_path / "f", hidden).verdict.value == "unsafe"


@pytest.mark.parametrize("name", ["../up", "/absolute", "a\\b", "C:x", "a//b", "a\nb"])
def test_names_that_lead_outside_are_found(name, tmp_path):
    report = scanned(tmp_path / "f", archive([(name, b"text")]))
    assert (report.verdict.value, "zip-name" in rules(report)) == ("unreadable", True)


def test_links_and_encrypted_members_are_found(tmp_path):
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    assert rules(scanned(tmp_path / "f", archive([(link, b"/etc/passwd")]))) == {"zip-link"}
    plain = archive([("m", b"text")])
    locked = edited(edited(plain, 6, b"\1"), plain.index(b"PK\x01\x02") + 8, b"\1")
    assert rules(scanned(tmp_path / "f", locked)) == {"zip-encrypted"}


def test_a_zip_bomb_ends(tmp_path):
    content = archive([("a", b"\0" * (200 << 20))], compression=zipfile.ZIP_DEFLATED)
    report = scanned(tmp_path / "f", content)
    assert "limit" in rules(report)
    inner = GOOD
    for _ in range(6):
        inner = archive([("a", inner)])
    assert rules(scanned(tmp_path / "f", inner)) == {"limit"}


def test_every_cut_of_a_pytorch_file_is_reported(tmp_path):
    torch = pytest.importorskip("torch")
    for modern in (True, False):
        file = io.BytesIO()
        torch.save({"a": torch.ones(2)}, file, _use_new_zipfile_serialization=modern)
        content = file.getvalue()
        assert scanned(tmp_path / "f", content).verdict.value == "safe"
        for size in range(4, len(content)):
            assert scanned(tmp_path / "f", content[:size]).verdict.value in {"unreadable", "unsafe"}, size


def test_a_storage_of_another_size_is_found(tmp_path):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({"a": torch.ones(2)}, file)
    content = file.getvalue()
    report = scanned(tmp_path / "f", content.replace(b"K\x02tq\x07Q", b"K\x09tq\x07Q").replace(b"q\x07K\x02tQ", b"q\x07K\x09tQ"))
    assert report.verdict.value != "safe"


def test_torchscript_needs_trust(tmp_path):
    torch = pytest.importorskip("torch")
    file = tmp_path / "f"
    program = "import torch, sys, warnings; warnings.simplefilter('ignore'); torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, file], check=True)
    report = serialization.scan(file)
    assert (report.verdict.value, report.format) == ("needs-trust", "torchscript")
    assert torch is not None


def test_one_bad_file_hides_no_other(tmp_path):
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "a.txt").write_bytes(b"text")
    (model / "b.pkl").write_bytes(HOSTILE)
    (model / "link").symlink_to("a.txt")
    os.mkfifo(model / "sub" / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(model / "s"))
        report = serialization.scan(model, digest=True)
    verdicts = {file.path: file.verdict.value for file in report.files}
    assert verdicts == {"a.txt": "safe", "b.pkl": "unsafe", "link": "unreadable", "s": "unreadable", "sub/fifo": "unreadable"}
    assert (report.verdict.value, report.files[report.decides].path, report.digest) == ("unsafe", "b.pkl", None)
    document = report.to_json()
    assert (document["decides"], document["verdict"], len(document["files"])) == ("b.pkl", "unsafe", 5)


def test_a_name_that_is_not_utf_8_is_an_entry_of_its_own(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff")).write_bytes(b"text")
    report = serialization.scan(tmp_path)
    assert (report.files[0].path, report.verdict.value) == ("bad\\xff", "unreadable")


def test_an_empty_folder_is_refused_and_a_missing_path_named(tmp_path):
    with pytest.raises(FormatError, match="holds no file"):
        serialization.scan(tmp_path)
    with pytest.raises(FileNotFoundError):
        serialization.scan(tmp_path / "missing")


def test_the_verdict_does_not_depend_on_the_name(tmp_path):
    for name in ("model.safetensors", "README.md", "x.json", "model.pt"):
        assert scanned(tmp_path / name, HOSTILE).verdict.value == "unsafe"
        assert scanned(tmp_path / name, b"text").verdict.value == "safe"


def test_the_package_loads_neither_numpy_nor_torch():
    check = "import sys, lifeseal.serialization; sys.exit(bool({'numpy', 'torch', 'safetensors', 'pickletools'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_file_at_the_end_of_a_link_is_read_where_it_is_named(tmp_path):
    (tmp_path / "blob").write_bytes(b"text")
    (tmp_path / "named").symlink_to("blob")
    report = serialization.scan(tmp_path / "named", digest=True)
    assert (report.files[0].path, report.verdict.value, len(report.digest)) == ("named", "safe", 32)


def test_every_rule_stands_in_the_page_of_the_format():
    page = (pathlib.Path(__file__).parents[2] / "docs/formats/scan-report.md").read_text(encoding="utf-8")
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule.verdict.value} | {rule.says} |" in page


def test_every_cut_of_a_tar_archive_is_reported(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as target:
        entry = tarfile.TarInfo("m.pkl")
        entry.size = len(GOOD)
        target.addfile(entry, io.BytesIO(GOOD))
    content = file.getvalue()
    assert scanned(tmp_path / "f", content).verdict.value == "safe"
    for size in range(2, 2048, 7):
        assert scanned(tmp_path / "f", content[:size]).verdict.value in {"safe" if size < 6 else "unreadable", "unreadable"}, size
