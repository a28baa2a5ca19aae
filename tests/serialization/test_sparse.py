# SPDX-License-Identifier: Apache-2.0
"""Large files of which little is looked at, although an unpickler would look for the end of a line."""

import io
import json
import pathlib
import pickle

import pytest

from lifeseal import serialization

GIB = 1 << 30
MOST_READ = 4 << 20
# Opcodes of pickle with which a header's length can begin, and whose argument is a line.
LETTERS = "PpFILSVcgi"


def header_of(letter: str, data: int) -> bytes:
    text = json.dumps({"w": {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}).encode()
    length = ord(letter) + (256 if len(text) > ord(letter) else 0)
    return length.to_bytes(8, "little") + text.ljust(length)


def sparse(folder: pathlib.Path, head: bytes, size: int, tail: bytes = b"") -> pathlib.Path:
    file = folder / "model.safetensors"
    with file.open("wb") as opened:
        opened.write(head)
        opened.truncate(len(head) + size - len(tail))
        opened.seek(0, 2)
        opened.write(tail)
    return file


def read_by(scan) -> tuple[object, int]:
    counts = []
    for step in (lambda: None, scan):
        found = step()
        counts.append(int(pathlib.Path("/proc/self/io").read_text().split("rchar:")[1].split()[0]))
    return found, counts[1] - counts[0]


@pytest.mark.parametrize("letter", LETTERS)
def test_a_header_of_any_length_is_all_that_is_read_of_a_safetensors_file(letter, tmp_path):
    file = sparse(tmp_path, header_of(letter, GIB), GIB)
    report, read = read_by(lambda: serialization.scan(file))
    assert (report.verdict.value, report.findings) == ("safe", ())
    assert read < MOST_READ


@pytest.mark.parametrize("letter", "Pp")
def test_a_tensor_of_small_numbers_is_no_pickle(letter, tmp_path):
    data = b"\1\0\0\0" * (1 << 18)
    file = sparse(tmp_path, header_of(letter, len(data)), 0)
    file.write_bytes(file.read_bytes() + data)
    assert serialization.scan(file).verdict.value == "safe"


class Loader(pickle.Unpickler):
    def persistent_load(self, _):
        return None

    def find_class(self, module, name):
        raise LookupError(f"{module}.{name}")


RUNS = b"\ncos\nsystem\n(S'true'\ntR."


@pytest.mark.parametrize("size", [1 << 10, 4 << 20])
@pytest.mark.parametrize("letter", "PIV")
def test_a_pickle_behind_a_long_line_is_not_safe(letter, size, tmp_path):
    file = sparse(tmp_path, header_of(letter, size), size, RUNS)
    with pytest.raises(LookupError, match=r"os\.system"):
        Loader(io.BytesIO(file.read_bytes())).load()
    assert serialization.scan(file).verdict.value in {"unsafe", "unreadable"}
    file.write_bytes(file.read_bytes().replace(RUNS, bytes(len(RUNS))))
    assert serialization.scan(file).verdict.value == "safe"


def test_a_line_that_no_unpickler_takes_ends_the_search(tmp_path):
    file = sparse(tmp_path, header_of("P", 4 << 20), 4 << 20, RUNS)
    data = bytearray(file.read_bytes())
    data[200] = 0xFF
    file.write_bytes(data)
    with pytest.raises(pickle.UnpicklingError, match="ASCII"):
        Loader(io.BytesIO(data)).load()
    report, read = read_by(lambda: serialization.scan(file))
    assert report.verdict.value == "safe"
    assert read < MOST_READ


def test_a_digest_is_that_of_the_holes_too(tmp_path):
    file = sparse(tmp_path, header_of("P", 1 << 20), 1 << 20, b"x")
    plain = serialization.scan_bytes(file.read_bytes(), digest=True).digest
    assert serialization.scan(file, digest=True).digest == plain
