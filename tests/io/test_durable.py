# SPDX-License-Identifier: Apache-2.0
import contextlib
import errno
import fcntl
import os
import resource
import stat
from pathlib import Path

import pytest

from lifeseal._io import _durable, _names
from lifeseal.errors import FormatError, LockedError

LITTER = ".lifeseal-0123456789abcdef.tmp"


@pytest.fixture(params=["unnamed", "named"])
def way(request, monkeypatch):
    if request.param == "named":
        monkeypatch.setattr(os, "O_TMPFILE", None, raising=False)
    return request.param


@pytest.fixture(autouse=True)
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _no_descriptor_left():
    before = names(Path("/proc/self/fd"))
    yield
    assert names(Path("/proc/self/fd")) == before


@contextlib.contextmanager
def no_file_larger_than(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("way")
class TestReplace:
    def test_makes_a_new_file(self, tmp_path):
        _durable.replace(tmp_path / "file", b"new")
        assert (tmp_path / "file").read_bytes() == b"new"
        assert names(tmp_path) == ["file"]

    def test_takes_the_place_of_an_old_file(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old and longer")
        old = path.stat().st_ino
        _durable.replace(path, b"new")
        assert path.read_bytes() == b"new"
        assert path.stat().st_ino != old
        assert names(tmp_path) == ["file"]

    def test_leaves_another_hard_link_alone(self, tmp_path):
        (tmp_path / "file").write_bytes(b"old")
        (tmp_path / "other").hardlink_to(tmp_path / "file")
        _durable.replace(tmp_path / "file", b"new")
        assert (tmp_path / "other").read_bytes() == b"old"

    def test_works_relative_to_the_current_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        _durable.replace("file", b"new")
        assert (tmp_path / "file").read_bytes() == b"new"

    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize(("mode", "umask", "found"), [(0o644, 0o022, 0o644), (0o600, 0o022, 0o600), (0o666, 0o077, 0o600)])
    def test_gives_the_permissions_asked_for(self, mode, umask, found, overwrite, tmp_path):
        os.umask(umask)
        _durable.replace(tmp_path / "file", b"new", mode=mode, overwrite=overwrite)
        assert mode_of(tmp_path / "file") == found

    @pytest.mark.parametrize("data", [b"", b"x" * 3_000_000, bytearray(b"ab"), memoryview(b"abcd").cast("H")], ids=["none", "large", "array", "view"])
    def test_takes_any_buffer(self, data, tmp_path):
        _durable.replace(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == bytes(data)

    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("kind", ["symlink", "dangling", "fifo", "folder"])
    def test_refuses_a_name_that_is_no_regular_file(self, kind, overwrite, tmp_path):
        path, outside = tmp_path / "odd", tmp_path / "outside"
        outside.write_bytes(b"outside")
        make = {
            "symlink": lambda: path.symlink_to(outside),
            "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
            "fifo": lambda: os.mkfifo(path),
            "folder": path.mkdir,
        }
        make[kind]()
        before = path.lstat()
        with pytest.raises(FileExistsError) as caught:
            _durable.replace(path, b"new", overwrite=overwrite)
        assert caught.value.filename == str(path)
        assert path.lstat().st_ino == before.st_ino
        assert outside.read_bytes() == b"outside"
        assert names(tmp_path) == ["odd", "outside"]

    def test_refuses_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            _durable.replace(tmp_path / "none" / "file", b"new")

    def test_refuses_a_name_that_is_taken_if_asked_to(self, tmp_path):
        _durable.replace(tmp_path / "file", b"first", overwrite=False)
        with pytest.raises(FileExistsError, match="exists already"):
            _durable.replace(tmp_path / "file", b"second", overwrite=False)
        assert (tmp_path / "file").read_bytes() == b"first"
        assert names(tmp_path) == ["file"]

    def test_refuses_a_name_that_is_taken_in_the_meantime_if_asked_to(self, tmp_path):
        def race():
            with _durable.replacing(tmp_path / "file", overwrite=False) as output:
                output.write(b"second")
                (tmp_path / "file").write_bytes(b"first")

        with pytest.raises(FileExistsError):
            race()
        assert (tmp_path / "file").read_bytes() == b"first"
        assert names(tmp_path) == ["file"]

    @pytest.mark.parametrize("overwrite", [True, False])
    def test_a_full_disk_leaves_nothing(self, overwrite, tmp_path):
        if overwrite:
            (tmp_path / "file").write_bytes(b"old")
        before = names(tmp_path)
        with pytest.raises(OSError) as caught, no_file_larger_than(10_000):
            _durable.replace(tmp_path / "file", b"x" * 20_000, overwrite=overwrite)
        assert caught.value.errno == errno.EFBIG
        assert names(tmp_path) == before
        assert not overwrite or (tmp_path / "file").read_bytes() == b"old"

    def test_streams(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with _durable.replacing(path) as output:
            assert output.write(b"one ") == 4
            assert output.write(memoryview(b"two")) == 3
            assert output.size == 7
            assert os.pread(output.fileno(), 100, 0) == b"one two"
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"one two"

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    @pytest.mark.parametrize("overwrite", [True, False])
    def test_an_exception_in_the_block_leaves_nothing(self, error, overwrite, tmp_path):
        if overwrite:
            (tmp_path / "file").write_bytes(b"old")
        before = names(tmp_path)

        def fail():
            with _durable.replacing(tmp_path / "file", overwrite=overwrite) as output:
                output.write(b"new")
                raise error

        with pytest.raises(error):
            fail()
        assert names(tmp_path) == before

    def test_sweeps_what_a_killed_writer_left(self, tmp_path):
        (tmp_path / LITTER).write_bytes(b"key")
        _durable.replace(tmp_path / "file", b"new")
        assert names(tmp_path) == ["file"]

    def test_does_not_sweep_what_a_living_writer_still_holds(self, tmp_path):
        with (tmp_path / LITTER).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _durable.replace(tmp_path / "file", b"new")
            assert names(tmp_path) == [LITTER, "file"]
        _durable.replace(tmp_path / "file", b"new")
        assert names(tmp_path) == ["file"]

    def test_writers_in_one_folder_leave_each_other_alone(self, tmp_path):
        with _durable.replacing(tmp_path / "a") as first, _durable.replacing(tmp_path / "b") as second:
            first.write(b"first")
            second.write(b"second")
            _durable.replace(tmp_path / "c", b"third")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first", "b": b"second", "c": b"third"}

    @pytest.mark.parametrize("name", [".lifeseal-0123.tmp", "lifeseal-0123456789abcdef.tmp", LITTER + "x"])
    def test_sweeps_no_name_that_is_not_its_own(self, name, tmp_path):
        (tmp_path / name).write_bytes(b"somebody's")
        _durable.replace(tmp_path / "file", b"new")
        assert names(tmp_path) == sorted([name, "file"])

    def test_sweeping_follows_no_link_and_waits_for_no_pipe(self, tmp_path):
        (tmp_path / "outside").write_bytes(b"outside")
        (tmp_path / LITTER).symlink_to(tmp_path / "outside")
        os.mkfifo(tmp_path / LITTER.replace("0", "f"))
        (tmp_path / LITTER.replace("0", "e")).mkdir()
        _durable.replace(tmp_path / "file", b"new")
        assert (tmp_path / "outside").read_bytes() == b"outside"
        assert (tmp_path / "file").read_bytes() == b"new"

    def test_a_refused_lock_leaves_nothing(self, tmp_path, monkeypatch):
        def refuse(_, __):
            raise OSError(errno.ENOLCK, "no locks here")

        monkeypatch.setattr(fcntl, "flock", refuse)
        with pytest.raises(OSError, match="no locks here"):
            _durable.replace(tmp_path / "file", b"new")
        assert names(tmp_path) == []

    def test_starts_again_if_a_sweep_took_its_new_file(self, tmp_path, monkeypatch):
        hold, held = _durable._hold, []

        def hold_late(fd):
            held.append(fd)
            if len(held) == 1:
                next(tmp_path.glob(".lifeseal-*.tmp")).unlink()
            if len(held) == 2:
                with next(tmp_path.glob(".lifeseal-*.tmp")).open("rb") as sweep:
                    fcntl.flock(sweep, fcntl.LOCK_EX)
                    return hold(fd)
            return hold(fd)

        monkeypatch.setattr(_durable, "_hold", hold_late)
        _durable.replace(tmp_path / "file", b"new")
        _durable.replace(tmp_path / "file", b"newer")
        assert (tmp_path / "file").read_bytes() == b"newer"
        assert names(tmp_path) == ["file"]


@pytest.fixture
def unnamed_files_fail_with(monkeypatch):
    real, refused = os.open, []

    def set_up(number):
        def refuse(path, flags, *rest, **options):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                refused.append(path)
                raise OSError(number, os.strerror(number))
            return real(path, flags, *rest, **options)

        monkeypatch.setattr(os, "open", refuse)
        return refused

    return set_up


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL], ids=errno.errorcode.get)
def test_takes_a_named_file_where_the_file_system_has_no_unnamed_ones(number, unnamed_files_fail_with, tmp_path):
    refused = unnamed_files_fail_with(number)
    _durable.replace(tmp_path / "file", b"new")
    assert len(refused) == 1
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_takes_no_named_file_where_the_disk_refuses(number, unnamed_files_fail_with, tmp_path):
    unnamed_files_fail_with(number)
    with pytest.raises(OSError) as caught:
        _durable.replace(tmp_path / "file", b"new")
    assert caught.value.errno == number
    assert names(tmp_path) == []


class TestMakeFolder:
    def test_makes_one(self, tmp_path):
        _names.make_folder(tmp_path / "made", mode=0o700)
        assert (tmp_path / "made").is_dir()
        assert mode_of(tmp_path / "made") == 0o700

    def test_refuses_a_name_that_is_taken(self, tmp_path):
        with pytest.raises(FileExistsError):
            _names.make_folder(tmp_path)

    def test_refuses_a_parent_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            _names.make_folder(tmp_path / "none" / "made")


class TestRemove:
    def test_removes_a_file(self, tmp_path):
        (tmp_path / "file").write_bytes(b"old")
        _names.remove(tmp_path / "file")
        assert names(tmp_path) == []

    def test_a_file_that_is_gone_is_no_error(self, tmp_path):
        _names.remove(tmp_path / "file")

    def test_removes_the_link_and_not_what_it_names(self, tmp_path):
        (tmp_path / "outside").write_bytes(b"outside")
        (tmp_path / "link").symlink_to(tmp_path / "outside")
        _names.remove(tmp_path / "link")
        assert names(tmp_path) == ["outside"]

    def test_refuses_a_folder(self, tmp_path):
        (tmp_path / "folder").mkdir()
        with pytest.raises(OSError, match="folder"):
            _names.remove(tmp_path / "folder")
        assert names(tmp_path) == ["folder"]


@pytest.fixture
def log(tmp_path):
    appender = _durable.Appender(tmp_path / "log")
    yield appender
    appender.close()


class TestAppender:
    def test_appends(self, log, tmp_path):
        for durable in (True, False):
            with log.locked():
                log.append(b"line\n", durable=durable)
        assert (tmp_path / "log").read_bytes() == b"line\n" * 2

    def test_keeps_what_is_there(self, tmp_path):
        (tmp_path / "log").write_bytes(b"old\n")
        log = _durable.Appender(tmp_path / "log")
        with log.locked():
            log.append(b"new\n", durable=True)
        log.close()
        assert (tmp_path / "log").read_bytes() == b"old\nnew\n"

    def test_makes_the_file_with_the_permissions_asked_for(self, tmp_path):
        _durable.Appender(tmp_path / "log", mode=0o600).close()
        assert mode_of(tmp_path / "log") == 0o600

    def test_closes_twice(self, log):
        log.close()
        log.close()

    @pytest.mark.parametrize("limit", [3, 8, 100])
    def test_reads_the_tail(self, limit, log, tmp_path):
        (tmp_path / "log").write_bytes(b"one\ntwo\n")
        assert log.tail(limit=limit) == b"one\ntwo\n"[-limit:]
        assert log.size() == 8

    def test_reads_the_tail_of_nothing(self, log):
        assert log.tail(limit=10) == b""
        assert log.size() == 0

    @pytest.mark.parametrize("kind", ["symlink", "dangling", "fifo", "folder", "device"])
    def test_refuses_what_is_no_regular_file(self, kind, tmp_path):
        path, outside = tmp_path / "log", tmp_path / "outside"
        outside.write_bytes(b"outside")
        make = {
            "symlink": lambda: path.symlink_to(outside),
            "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
            "fifo": lambda: os.mkfifo(path),
            "folder": path.mkdir,
            "device": lambda: None,
        }
        make[kind]()
        with pytest.raises(FormatError, match="a regular file was expected"):
            _durable.Appender(Path("/dev/null") if kind == "device" else path)
        assert outside.read_bytes() == b"outside"
        assert not (tmp_path / "nowhere").exists()

    def test_passes_on_what_the_system_refuses(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            _durable.Appender(tmp_path / "none" / "log")
        with pytest.raises(OSError, match="too long"):
            _durable.Appender(tmp_path / ("x" * 300))

    def test_does_not_wait_for_a_lock_if_asked_not_to(self, log, tmp_path):
        other = _durable.Appender(tmp_path / "log")
        with log.locked(), pytest.raises(LockedError, match="log: another process"), other.locked(wait=False):
            pytest.fail("both hold the lock")
        with other.locked(wait=False):
            other.append(b"line\n", durable=False)
        other.close()

    def test_gives_the_lock_back_after_an_exception(self, log, tmp_path):
        with pytest.raises(ValueError, match="mistake"), log.locked():
            raise ValueError("mistake")
        other = _durable.Appender(tmp_path / "log")
        with other.locked(wait=False):
            pass
        other.close()

    @pytest.mark.parametrize("durable", [True, False])
    def test_a_write_that_fails_half_way_is_cut_off(self, durable, log, tmp_path):
        (tmp_path / "log").write_bytes(b"old\n" * 2000)
        with log.locked():
            with pytest.raises(OSError) as caught, no_file_larger_than(10_000):
                log.append(b"new\n" * 2000, durable=durable)
            assert caught.value.errno == errno.EFBIG
            assert (tmp_path / "log").read_bytes() == b"old\n" * 2000
            log.append(b"new\n", durable=durable)
        assert (tmp_path / "log").read_bytes() == b"old\n" * 2000 + b"new\n"


def test_an_appender_closes_the_line_that_a_killed_writer_tore(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"whole\nto")
    appender = _durable.Appender(path)
    with appender.locked():
        appender.append(b"next\n", durable=True)
        appender.append(b"last\n", durable=True)
    appender.close()
    assert path.read_bytes() == b"whole\nto\nnext\nlast\n"


def test_an_error_names_the_whole_path(tmp_path):
    missing = tmp_path / "missing" / "file"
    for write in (lambda: _durable.replace(missing, b""), lambda: _names.make_folder(missing), lambda: _durable.Appender(missing)):
        with pytest.raises(FileNotFoundError) as caught:
            write()
        assert caught.value.filename == str(missing)


def test_the_old_content_is_overwritten_in_place_where_that_was_asked_for(tmp_path):
    path = tmp_path / "file"
    for wipe in (False, True):
        _durable.replace(path, b"old secret")
        with path.open("rb") as old:
            _durable.replace(path, b"new", wipe=wipe)
            assert old.read() == (bytes(10) if wipe else b"old secret")
        assert path.read_bytes() == b"new"
    with path.open("rb") as old:
        _names.remove(path, wipe=True)
        assert old.read() == bytes(3)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_keeps_a_second_name_is_not_overwritten(tmp_path):
    path, second = tmp_path / "file", tmp_path / "second"
    _durable.replace(path, b"old")
    os.link(path, second)
    _durable.replace(path, b"new", wipe=True)
    assert second.read_bytes() == b"old"


def test_what_a_link_names_is_not_overwritten(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    _names.remove(tmp_path / "link", wipe=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


def test_a_file_that_is_not_made_of_lines_is_cut_and_appended_to(tmp_path):
    path = tmp_path / "log"
    with pytest.raises(FileNotFoundError):
        _durable.Appender(path, create=False)
    path.write_bytes(b"whole and torn")
    appender = _durable.Appender(path, create=False)
    appender.cut(5)
    appender.append(memoryview(b"\x00\x01"), durable=False, lines=False)
    appender.append(b"", durable=True, lines=False)
    assert appender.size() == 7
    appender.close()
    assert path.read_bytes() == b"whole\x00\x01"


def test_names_that_cannot_be_unlinked_are_told_and_stop_no_other(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert _names.remove_all(tmp_path, ["folder", "gone", "file"]) == ("folder",)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert _names.remove_all(tmp_path / "none", ["a", "b"]) == ("a", "b")
