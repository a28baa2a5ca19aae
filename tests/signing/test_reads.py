# SPDX-License-Identifier: Apache-2.0
"""Bytes leave a signed model checked, or not at all."""

import contextlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import signing
from lifeseal._io import DiskSource
from lifeseal.errors import DigestMismatchError, LimitError

CONTENT = bytes(range(256)) * 40
PIECE = 1 << 20


class Meddling(DiskSource):
    """A folder in which something happens while a file is open: before the read of number ``at``, counted from 0."""

    meddle = None
    at = 0

    def open(self, name):
        reader = super().open(name)
        return MeddlingReader(reader, self) if name == "f" else reader


class MeddlingReader:
    def __init__(self, reader, source):
        self._reader = reader
        self._source = source
        self._reads = 0
        self.size = reader.size

    def readinto(self, buffer, start):
        if self._source.meddle is not None and self._reads == self._source.at:
            self._source.meddle()
        self._reads += 1
        return self._reader.readinto(buffer, start)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._reader.__exit__(*error)


@pytest.fixture
def folder(tmp_path, signer):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "f").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    signing.sign(folder, signer=signer)
    return folder


@pytest.fixture
def opened(folder, policy):
    with signing.open_model(folder, policy=policy) as opened:
        yield opened


@pytest.fixture
def source(folder):
    with Meddling(folder) as source:
        yield source


def refuses_and_zeroes(opened, start=0, size=1000):
    buffer = bytearray(b"\xee" * size)
    with pytest.raises(DigestMismatchError, match="1 changed: 'f'"):
        opened.readinto("f", buffer, start)
    assert buffer == bytes(size)
    with pytest.raises(DigestMismatchError, match="1 changed: 'f'"):
        opened.read("f")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory, signer, policy):
    path = tmp_path_factory.mktemp("lasting") / "f"
    path.write_bytes(CONTENT)
    signing.sign(path, signer=signer)
    with signing.open_model(path, policy=policy) as opened:
        yield opened


@given(start=st.integers(0, len(CONTENT) + 50), size=st.integers(0, len(CONTENT) + 50))
def test_any_part_can_be_read(lasting, start, size):
    buffer = bytearray(b"\xee" * size)
    wanted = CONTENT[start : start + size]
    assert lasting.readinto("f", buffer, start) == len(wanted)
    assert buffer == wanted + b"\xee" * (size - len(wanted))


@pytest.mark.parametrize("edge", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 16, 3 * PIECE + 17])
@pytest.mark.parametrize("size", [1, 17, PIECE, PIECE + 1])
def test_parts_at_the_edges_of_pieces_are_right(large, edge, size):
    content, opened = large
    buffer = bytearray(size)
    count = opened.readinto("f", buffer, edge)
    assert buffer[:count] == content[edge : edge + size]
    assert count == min(size, max(0, len(content) - edge))


@pytest.fixture(scope="module")
def large(tmp_path_factory, signer, policy):
    content = os.urandom(3 * PIECE + 17)
    path = tmp_path_factory.mktemp("large") / "f"
    path.write_bytes(content)
    signing.sign(path, signer=signer)
    with signing.open_model(path, policy=policy) as opened:
        yield content, opened


def test_an_empty_file_reads_as_nothing(opened):
    assert opened.read("empty") == b""
    assert opened.readinto("empty", bytearray(3)) == 0
    assert opened.readinto("f", bytearray(0)) == 0


def test_other_kinds_of_buffer_are_filled(opened):
    import array

    numbers = array.array("I", [0] * 4)
    assert opened.readinto("f", numbers, 4) == 16
    assert numbers.tobytes() == CONTENT[4:20]


@pytest.mark.parametrize("buffer", [b"read only", memoryview(bytearray(20))[::2], None, "text"])
def test_a_buffer_that_cannot_be_filled_is_a_programming_error(opened, buffer):
    with pytest.raises(TypeError):
        opened.readinto("f", buffer)


def test_names_and_offsets_outside_the_model_are_refused(opened):
    for name in ("model.sig", "../m/f", "./f", "F", ""):
        with pytest.raises(KeyError, match="is not among the signed files of 'm'"):
            opened.read(name)
        with pytest.raises(KeyError, match="is not among the signed files of 'm'"):
            opened.readinto(name, bytearray(1))
    with pytest.raises(ValueError, match="start= must not be negative"):
        opened.readinto("f", bytearray(1), -1)


@pytest.mark.parametrize("place", [0, 500, 1000, len(CONTENT) - 1])
@pytest.mark.parametrize("start", [0, 400, len(CONTENT) - 1000])
def test_a_change_anywhere_refuses_every_part_and_zeroes_the_buffer(folder, opened, place, start):
    assert opened.readinto("f", bytearray(1000), start) == 1000
    changed = bytearray(CONTENT)
    changed[place] ^= 1
    (folder / "f").write_bytes(changed)
    refuses_and_zeroes(opened, start)
    (folder / "f").write_bytes(CONTENT)
    assert opened.read("f") == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"\0", b"x" * len(CONTENT)])
@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_swapped_after_the_model_was_opened_is_refused(folder, opened, content, in_place):
    assert opened.read("f") == CONTENT
    if in_place:
        (folder / "f").write_bytes(content)
    else:
        (folder / "new").write_bytes(content)
        (folder / "new").replace(folder / "f")
    refuses_and_zeroes(opened)


def test_a_file_that_is_gone_is_an_os_error(folder, opened):
    (folder / "f").unlink()
    buffer = bytearray(b"\xee" * 10)
    with pytest.raises(FileNotFoundError):
        opened.readinto("f", buffer)
    assert buffer == bytes(10)


@pytest.mark.parametrize("size", [0, 5, len(CONTENT) + 5])
def test_a_file_of_another_size_when_opened_is_never_handed_out_in_part(folder, policy, size):
    os.truncate(folder / "f", size)
    with signing.open_model(folder, policy=policy) as opened:
        (folder / "f").write_bytes(CONTENT)
        with pytest.raises(DigestMismatchError, match="1 changed: 'f'"):
            opened.read("f")
    with signing.open_model(folder, policy=policy) as opened:
        assert opened.read("f") == CONTENT


def grow(path):
    with path.open("ab") as file:
        file.write(b"!")


MEDDLING = {
    "truncated": lambda path: os.truncate(path, 5000),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": grow,
    "grown by a hole": lambda path: os.truncate(path, 1 << 30),
    "overwritten": lambda path: path.write_bytes(b"x" * len(CONTENT)),
}


@pytest.mark.parametrize("what", MEDDLING)
def test_a_file_changed_between_its_opening_and_its_reading_is_refused(folder, source, policy, what):
    opened = signing.open_model(source, policy=policy)
    assert opened.read("f") == CONTENT
    source.meddle = lambda: MEDDLING[what](folder / "f")
    with contextlib.closing(opened):
        refuses_and_zeroes(opened)


@pytest.mark.parametrize("what", ["grown", "grown by a hole"])
def test_a_file_that_grows_while_it_is_read_is_refused(folder, source, policy, what):
    opened = signing.open_model(source, policy=policy)
    source.meddle, source.at = (lambda: MEDDLING[what](folder / "f")), 1
    refuses_and_zeroes(opened, size=len(CONTENT))


def test_a_name_swapped_while_the_file_is_open_changes_nothing(folder, source, policy):
    opened = signing.open_model(source, policy=policy)

    def swap():
        (folder / "new").write_bytes(b"x" * len(CONTENT))
        (folder / "new").replace(folder / "f")

    source.meddle = swap
    assert opened.read("f") == CONTENT
    source.meddle = None
    refuses_and_zeroes(opened)


def test_a_failing_disk_zeroes_the_buffer(source, policy):
    opened = signing.open_model(source, policy=policy)

    def fail():
        raise OSError(5, "Input/output error")

    source.meddle, source.at = fail, 1
    buffer = bytearray(b"\xee" * 1000)
    with pytest.raises(OSError, match="Input/output error"):
        opened.readinto("f", buffer, 2000)
    assert buffer == bytes(1000)


@pytest.mark.parametrize("in_place", [True, False])
def test_no_unchecked_byte_is_returned_while_a_file_is_being_swapped(tmp_path, signer, policy, in_place):
    good, bad = b"G" * 300_000, b"B" * 300_000
    path, new = tmp_path / "m", tmp_path / "new"
    path.write_bytes(good)
    signing.sign(path, signer=signer)
    finished = threading.Event()

    def swap():
        while not finished.is_set():
            for content in (bad, good):
                if in_place:
                    with path.open("r+b") as file:
                        file.write(content)
                else:
                    new.write_bytes(content)
                    new.replace(path)

    with signing.open_model(path, policy=policy) as opened:
        assert opened.read("m") == good
        path.write_bytes(bad)
        with pytest.raises(DigestMismatchError, match="1 changed: 'm'"):
            opened.read("m")
        path.write_bytes(good)
        swapper = threading.Thread(target=swap)
        swapper.start()
        try:
            buffer = bytearray(100_000)
            for turn in range(500):
                buffer[:] = b"\xee" * len(buffer)
                try:
                    assert opened.readinto("m", buffer, turn * 400) == len(buffer)
                except DigestMismatchError:
                    assert not any(buffer)
                else:
                    assert buffer == good[: len(buffer)]
        finally:
            finished.set()
            swapper.join()


def test_verify_tells_a_file_that_changes_under_it(folder, source, policy):
    opened = signing.open_model(source, policy=policy)
    assert opened.verify().files == 2
    source.meddle = lambda: MEDDLING["overwritten"](folder / "f")
    with pytest.raises(DigestMismatchError, match="1 changed: 'f'"):
        opened.verify()


def test_a_file_swapped_for_one_larger_than_memory_is_refused_unread(model, signer, policy):
    signing.sign(model, signer=signer)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    os.truncate(model / "config.json", memory + 1)
    with signing.open_model(model, policy=policy) as opened:
        with pytest.raises(LimitError, match=r"'config.json'"):
            opened.read("config.json")
        assert opened.read("weights-2") == b"2"
