# SPDX-License-Identifier: Apache-2.0
"""A tar file whose last file is an archive ends as one: a checkpoint within a .nemo does."""

import io
import pickle
import tarfile
import zipfile

import pytest
import torch

from lifeseal.serialization import scan

YAML = b"name: x\nlayers: 3\n"


def tar(*files, form=tarfile.GNU_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def checkpoint(value=None):
    out = io.BytesIO()
    torch.save({"w": torch.ones(100, 10)} if value is None else value, out)
    return out.getvalue()


def zipped(content=b"hello world " * 60):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", content)
    return out.getvalue()


class Runs:
    def __reduce__(self):
        return print, ("ran",)


def look(tmp_path, content):
    path = tmp_path / "model.nemo"
    path.write_bytes(content)
    return scan(path)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("last", ["model_weights.ckpt", "model_config.yaml"])
def test_a_nemo_file_is_safe(tmp_path, form, last):
    files = {"model_weights.ckpt": checkpoint(), "model_config.yaml": YAML}
    files[last] = files.pop(last)

    assert look(tmp_path, tar(*files.items(), form=form)).verdict == "safe"


def test_what_runs_in_it_is_unsafe(tmp_path):
    content = tar(("model_config.yaml", YAML), ("model_weights.ckpt", checkpoint({"w": Runs()})))

    assert look(tmp_path, content).verdict == "unsafe"


def _planted(archive, record, stated):
    """A tar file where, counted from its own start, something lies at the offset that an archive in it states counted from the archive's."""
    text = bytearray(b"x" * (stated + 4096))
    text[stated - 512 : stated - 512 + len(record)] = record
    return tar(("a.txt", bytes(text)), ("a.zip", archive))


def _directory():
    archive = zipped()
    end = archive.rindex(b"PK\5\6")
    return _planted(archive, b"PK\1\2", int.from_bytes(archive[end + 16 : end + 20], "little"))


def _wide_record():
    archive = checkpoint()  # PyTorch writes the records of Zip64
    return _planted(archive, b"PK\6\6", archive.rindex(b"PK\6\6"))


ODD = {
    "an archive behind the tar file": lambda: tar(("a.yaml", YAML), ("w.ckpt", checkpoint())) + zipped(),
    "an archive behind other bytes of a file": lambda: tar(("a.txt", YAML + zipped())),
    "bytes behind an archive in its file": lambda: tar(("a.zip", zipped() + b"\n")),
    "an end record outside": lambda: tar(("a.zip", zipped()), ("b.txt", b"PK\5\6" + bytes(18))),
    "a directory at the stated offset": _directory,
    "a record of Zip64 at the stated offset": _wide_record,
    "two archives in one file": lambda: tar(("a.zip", zipped() + zipped())),
    "a file that is read otherwise": lambda: tar(("pickle", pickle.dumps(1)), ("storages", pickle.dumps(0)), ("tensors", zipped())),
    "a name that readers differ in": lambda: tar(("a.zip/", zipped())),
}


@pytest.mark.parametrize("name", ODD)
def test_what_readers_could_take_for_another_archive_is_refused(tmp_path, name):
    report = look(tmp_path, ODD[name]())

    assert report.verdict != "safe"
    assert ("zip-structure", "") in {(found.rule, found.place) for found in report.findings}


def test_the_archive_that_the_odd_ones_hold_is_safe_in_a_file_of_its_own(tmp_path):
    for archive in (zipped(), checkpoint()):
        assert look(tmp_path, tar(("a.txt", b"x" * 8192), ("a.zip", archive))).verdict == "safe"
