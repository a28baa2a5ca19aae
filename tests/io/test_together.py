# SPDX-License-Identifier: Apache-2.0
"""New files that reach the disk together: none has its name before all of them are durable."""

import itertools
import os
from pathlib import Path

import pytest

from lifeseal._io import Together, _together, replacing


@pytest.fixture(params=["unnamed", "named"], autouse=True)
def _way(request, monkeypatch):
    if request.param == "named":
        monkeypatch.setattr(os, "O_TMPFILE", None, raising=False)


@pytest.fixture(autouse=True)
def _no_descriptor_left():
    before = sorted(Path("/proc/self/fd").iterdir())
    yield
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def write(path, together, data=b"content"):
    with replacing(path, overwrite=False, together=together) as output:
        output.write(data)


def left(folder):
    """Everything in it, temporary files too."""
    return sorted(path.name for path in folder.iterdir())


def seen(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def test_files_take_their_names_when_it_is_settled(tmp_path):
    (tmp_path / "below").mkdir()
    with Together() as together:
        for name in ("one", "two", "below/three"):
            write(tmp_path / name, together, name.encode())
        assert seen(tmp_path) == []
        together.settle()
        assert seen(tmp_path) == ["below/three", "one", "two"]
        write(tmp_path / "four", together, b"four")
        assert not (tmp_path / "four").exists()
    assert [(tmp_path / name).read_bytes() for name in ("one", "below/three", "four")] == [b"one", b"below/three", b"four"]
    assert len(left(tmp_path)) == 4


def test_every_file_reaches_the_disk_before_any_takes_its_name_and_then_the_folder_does(tmp_path, monkeypatch):
    calls = []
    link, sync = os.link, os.fsync

    def linking(source, name, **options):
        calls.append("link")
        return link(source, name, **options)

    def syncing(fd):
        calls.append("folder" if Path(f"/proc/self/fd/{fd}").is_dir() else "file")
        sync(fd)

    for count in (3, 40):  # few in turn, many beside one another
        together = Together()
        for number in range(count):
            write(tmp_path / f"{count}-{number}", together)
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", linking)
            patch.setattr(os, "fsync", syncing)
            together.settle()
        assert calls == ["file"] * count + ["link"] * count + ["folder"]


def test_a_block_that_fails_leaves_nothing(tmp_path):
    def act():
        with Together() as together:
            write(tmp_path / "one", together)
            raise KeyError

    with pytest.raises(KeyError):
        act()
    assert left(tmp_path) == []


def test_a_file_that_fails_is_not_among_them(tmp_path):
    with Together() as together:
        write(tmp_path / "one", together)
        with pytest.raises(KeyError), replacing(tmp_path / "two", overwrite=False, together=together):
            raise KeyError
    assert left(tmp_path) == ["one"]


@pytest.mark.parametrize("many", [3, 40])
def test_a_disk_that_refuses_one_gives_none_its_name(many, tmp_path, monkeypatch):
    together, count = Together(), itertools.count()
    for name in map(str, range(many)):
        write(tmp_path / name, together)
    sync = os.fsync

    def refuse(fd):
        if next(count) == 1:
            raise OSError(5, "Input/output error")
        sync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output error") as caught:
            together.settle()
    assert Path(caught.value.filename).parent == tmp_path
    assert left(tmp_path) == []


def test_a_name_that_was_taken_meanwhile_is_not_replaced(tmp_path):
    together = Together()
    write(tmp_path / "one", together)
    (tmp_path / "one").write_bytes(b"other")
    with pytest.raises(FileExistsError, match="one"):
        together.settle()
    assert (tmp_path / "one").read_bytes() == b"other"
    assert left(tmp_path) == ["one"]


def test_it_is_full_when_many_wait_or_large_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(_together, "_FILES", 2)
    monkeypatch.setattr(_together, "_BYTES", 100)
    with Together() as together:
        write(tmp_path / "one", together)
        assert not together.full
        write(tmp_path / "two", together)
        assert together.full
        together.settle()
        write(tmp_path / "three", together, bytes(99))
        assert not together.full
        together.settle()
        write(tmp_path / "four", together, bytes(100))
        assert together.full


def test_only_new_files_wait(tmp_path):
    with Together() as together, pytest.raises(ValueError, match="only new files"), replacing(tmp_path / "one", together=together):
        pass
