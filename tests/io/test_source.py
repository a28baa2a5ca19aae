# SPDX-License-Identifier: Apache-2.0
"""One walk that never follows a link, and readers that look at what they opened."""

import os
import socket
from pathlib import Path

import pytest

from lifeseal._io import DiskSource, checked_name, read_bounded
from lifeseal._io import _source as source_module
from lifeseal.errors import FormatError, LimitError


@pytest.fixture
def model(tmp_path):
    root = tmp_path / "model"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.bin").write_bytes(b"aaaa")
    (root / "sub" / "b.bin").write_bytes(b"bb")
    (root / "sub" / "deep" / "c.bin").write_bytes(b"")
    (root / "sub.txt").write_bytes(b"t")
    return root


def read(source, name):
    with source.open(name) as reader:
        buffer = bytearray(reader.size + 1)
        count = reader.readinto(memoryview(buffer), 0)
        return bytes(buffer[:count])


def test_lists_nested_files_by_code_point(model):
    with DiskSource(model) as source:
        assert source.names() == ("a.bin", "sub.txt", "sub/b.bin", "sub/deep/c.bin")
        assert source.name == "model"
        assert source.where == str(model)


def test_reads_nested_files_and_their_sizes(model):
    with DiskSource(model) as source:
        assert [(source.size(name), read(source, name)) for name in source.names()] == [(4, b"aaaa"), (1, b"t"), (2, b"bb"), (0, b"")]


def test_reads_from_an_offset(model):
    (model / "a.bin").write_bytes(b"0123")
    with DiskSource(model) as source, source.open("a.bin") as reader:
        buffer = bytearray(8)
        assert reader.readinto(memoryview(buffer), 2) == 2
        assert reader.readinto(memoryview(buffer), 4) == 0
        assert buffer[:2] == b"23"


def test_one_file_is_a_source_of_one_name(model):
    with DiskSource(model / "a.bin") as source:
        assert (source.name, source.names(), read(source, "a.bin")) == ("a.bin", ("a.bin",), b"aaaa")


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ({"a.bin"}, ("sub.txt", "sub/b.bin", "sub/deep/c.bin")),
        ({"sub"}, ("a.bin", "sub.txt")),
        ({"sub/deep"}, ("a.bin", "sub.txt", "sub/b.bin")),
        ({"b.bin", "other"}, ("a.bin", "sub.txt", "sub/b.bin", "sub/deep/c.bin")),
    ],
)
def test_leaves_out_what_is_at_or_under_an_ignored_path(model, ignore, left):
    with DiskSource(model) as source:
        assert source.names(ignore=frozenset(ignore)) == left


def test_looks_at_nothing_under_an_ignored_path(model):
    (model / "sub" / "link").symlink_to("b.bin")
    with DiskSource(model) as source:
        assert source.names(ignore=frozenset({"sub"})) == ("a.bin", "sub.txt")
        with pytest.raises(FormatError, match="symbolic link"):
            source.names()


def make_fifo(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path may have about 100 bytes only
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


ODD = {
    "a FIFO": (make_fifo, "a FIFO"),
    "a socket": (make_socket, "a socket"),
    "a link to a file": (lambda path: path.symlink_to("a.bin"), "a symbolic link"),
    "a link to a folder": (lambda path: path.symlink_to("sub"), "a symbolic link"),
    "a link to nothing": (lambda path: path.symlink_to("absent"), "a symbolic link"),
}


@pytest.mark.parametrize(("make", "kind"), ODD.values(), ids=ODD)
def test_refuses_to_list_anything_but_files_and_folders(model, make, kind):
    with DiskSource(model) as source:
        assert len(source.names()) == 4
        make(model / "odd")
        with pytest.raises(FormatError, match=f"'odd': a regular file was expected, not {kind}"):
            source.names()


@pytest.mark.parametrize(("make", "kind"), ODD.values(), ids=ODD)
def test_refuses_to_open_anything_but_files(model, make, kind):
    make(model / "odd")
    with DiskSource(model) as source:
        assert read(source, "a.bin") == b"aaaa"
        with pytest.raises(FormatError, match=f"'odd': a regular file was expected, not {kind}"):
            source.open("odd")


def test_refuses_to_open_a_folder(model):
    with DiskSource(model) as source, pytest.raises(FormatError, match="'sub': a regular file was expected, not a folder"):
        source.open("sub")


def test_a_missing_path_is_the_systems_error(model):
    with pytest.raises(FileNotFoundError):
        DiskSource(model / "absent")
    with DiskSource(model) as source:
        for name in ("absent", "absent/b.bin", "sub/absent"):
            with pytest.raises(FileNotFoundError):
                source.open(name)


@pytest.mark.parametrize(("make", "kind"), [ODD["a FIFO"], ODD["a socket"]], ids=["FIFO", "socket"])
def test_refuses_a_root_that_is_neither_folder_nor_file(model, make, kind):
    make(model / "odd")
    with pytest.raises(FormatError, match=f"a folder or a regular file was expected, not {kind}"):
        DiskSource(model / "odd")


def test_the_root_itself_may_be_reached_through_a_link(model, tmp_path):
    (tmp_path / "link").symlink_to("model")
    with DiskSource(tmp_path / "link") as source:
        assert len(source.names()) == 4


def test_refuses_a_name_that_is_not_utf_8(model):
    with DiskSource(model) as source:
        (model / "é").touch()
        assert "é" in source.names()
        bad = model / "sub" / os.fsdecode(b"\xff")
        bad.mkdir()
        (bad / "x").touch()
        with pytest.raises(FormatError, match="not UTF-8"):
            source.names()


def test_a_folder_swapped_for_a_link_after_the_listing_is_refused(model, tmp_path):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "b.bin").write_bytes(b"evil")
    with DiskSource(model) as source:
        assert "sub/b.bin" in source.names()
        assert read(source, "sub/b.bin") == b"bb"
        (model / "sub").rename(tmp_path / "away")
        (model / "sub").symlink_to(tmp_path / "evil")
        with pytest.raises(FormatError, match="'sub': a regular file was expected, not a symbolic link"):
            source.open("sub/b.bin")


def test_a_root_swapped_after_the_opening_changes_nothing(model, tmp_path):
    with DiskSource(model) as source:
        model.rename(tmp_path / "away")
        model.mkdir()
        (model / "evil").touch()
        assert source.names()[0] == "a.bin"
        assert read(source, "a.bin") == b"aaaa"


def test_a_file_swapped_after_the_opening_changes_nothing(model):
    with DiskSource(model) as source, source.open("a.bin") as reader:
        (model / "new").write_bytes(b"evil and longer")
        (model / "new").rename(model / "a.bin")
        buffer = bytearray(32)
        assert reader.readinto(memoryview(buffer), 0) == reader.size == 4
        assert buffer[:4] == b"aaaa"


def test_stops_at_a_bound_on_depth(tmp_path):
    deep = tmp_path.joinpath(*["d"] * source_module.MAX_FOLDER_DEPTH)
    deep.mkdir(parents=True)
    (deep / "f").touch()
    with DiskSource(tmp_path) as source:
        assert len(source.names()) == 1
        (deep / "d").mkdir()
        with pytest.raises(LimitError, match="65 nested folders, more than the limit of 64"):
            source.names()


def test_stops_at_a_bound_on_the_number_of_files(model, monkeypatch):
    with DiskSource(model) as source:
        monkeypatch.setattr(source_module, "MAX_FILES", 4)
        assert len(source.names()) == 4
        monkeypatch.setattr(source_module, "MAX_FILES", 3)
        with pytest.raises(LimitError, match="4 files, more than the limit of 3"):
            source.names()


def test_leaves_no_descriptor_open(model):
    def opened():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    with DiskSource(model) as source:
        source.names()
        read(source, "sub/deep/c.bin")
        for name in ("sub", "absent", "sub/absent", "a.bin/x"):
            with pytest.raises((OSError, FormatError)):
                source.open(name)
    source.close()
    assert opened() == before


BAD_NAMES = ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "../a", "a/../b", "a\0b", "\udcff"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_refuses_a_name_that_could_lead_elsewhere(model, name):
    with pytest.raises(FormatError):
        checked_name(name, where="x")
    with DiskSource(model) as source, pytest.raises(FormatError):
        source.open(name)


@pytest.mark.parametrize("name", ["a", "a/b", "...", "..a", "a..", ".hidden", "é", "a b\n", "\\", "C:"])
def test_accepts_a_name_below_the_folder(name):
    assert checked_name(name, where="x") == name


def test_reads_a_small_file_up_to_its_bound(model):
    assert read_bounded(model / "a.bin", limit=4) == b"aaaa"
    with pytest.raises(LimitError) as caught:
        read_bounded(model / "a.bin", limit=3)
    assert (caught.value.limit, caught.value.seen) == (3, 4)


@pytest.mark.parametrize(("make", "kind"), [ODD["a FIFO"]], ids=["FIFO"])
def test_refuses_to_wait_for_a_fifo(model, make, kind):
    make(model / "odd")
    with pytest.raises(FormatError, match=kind):
        read_bounded(model / "odd", limit=10)


def test_refuses_to_read_a_device_or_a_folder_as_a_small_file(model):
    with pytest.raises(FormatError, match="not a device"):
        read_bounded("/dev/zero", limit=10)
    with pytest.raises((FormatError, IsADirectoryError)):
        read_bounded(model, limit=10)
