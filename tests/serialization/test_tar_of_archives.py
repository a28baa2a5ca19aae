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


def _at_the_stated_offset():
    """An archive whose directory is stated to lie where, counted from the start of the tar file, another file has one."""
    archive = zipped()
    record = archive.rindex(b"PK\5\6")
    stated = int.from_bytes(archive[record + 16 : record + 20], "little")
    text = bytearray(b"x" * 4096)
    text[stated - 512 : stated - 508] = b"PK\1\2"
    return tar(("a.txt", bytes(text)), ("a.zip", archive))


ODD = {
    "an archive behind the tar file": lambda: tar(("a.yaml", YAML), ("w.ckpt", checkpoint())) + zipped(),
    "an archive behind other bytes of a file": lambda: tar(("a.txt", YAML + zipped())),
    "bytes behind an archive in its file": lambda: tar(("a.zip", zipped() + b"\n")),
    "an end record outside": lambda: tar(("a.zip", zipped()), ("b.txt", b"PK\5\6" + bytes(18))),
    "an archive cut in two": lambda: tar(("a.zip", zipped()[:-10]), ("b.txt", zipped()[-10:])),
    "a directory at the stated offset": _at_the_stated_offset,
    "a name that readers differ in": lambda: tar(("a.zip/", zipped())),
}


@pytest.mark.parametrize("name", ODD)
def test_what_readers_could_take_for_another_archive_is_refused(tmp_path, name):
    report = look(tmp_path, ODD[name]())

    assert report.verdict != "safe"
    assert "zip-structure" in {found.rule for found in report.findings} or "tar-structure" in {found.rule for found in report.findings}


def test_the_archive_that_the_odd_ones_hold_is_safe_in_a_file_of_its_own(tmp_path):
    assert look(tmp_path, tar(("a.txt", b"x" * 4096), ("a.zip", zipped()))).verdict == "safe"


def test_an_old_file_of_pytorch_with_an_archive_at_its_end_is_refused(tmp_path):
    content = tar(("pickle", pickle.dumps(1)), ("tensors", pickle.dumps(0)), ("storages", pickle.dumps(0) + zipped()))

    assert look(tmp_path, content).verdict != "safe"
