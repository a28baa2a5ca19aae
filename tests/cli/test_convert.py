# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import os
import pickle

import numpy as np
import pytest

from lifeseal import serialization


@pytest.fixture
def arrays(tmp_path):
    np.savez(tmp_path / "in.npz", b=np.ones(3, "f4"), a=np.arange(5))
    return tmp_path / "in.npz"


def test_tensors_are_copied_and_both_digests_told(cli, arrays, tmp_path):
    answer = cli("convert", arrays, tmp_path / "out", "--json")
    document = answer.document
    assert (answer.code, document["schema"], document["ok"], document["verdict"]) == (0, "lifeseal.convert/1", True, "safe")
    assert document["tensors"] == [{"name": "a", "dtype": "I64", "shape": [5]}, {"name": "b", "dtype": "F32", "shape": [3]}]
    assert [file["path"] for file in document["outputs"]] == [str(tmp_path / "out")]
    assert document["sources"][0]["digest"].startswith("blake3:")
    again = cli("convert", arrays, tmp_path / "out", "--hash", "sha256")
    assert again.code == 0
    assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() in again.out
    assert "converted 2 tensors to 1 file; the source is safe (npz)" in again.out


def test_several_files_are_written_with_an_index(cli, arrays, tmp_path):
    assert cli("convert", arrays, tmp_path / "m.safetensors", "--max-shard-size", 12, "-q").code == 0
    index = json.loads((tmp_path / "m.safetensors.index.json").read_bytes())
    assert index["weight_map"] == {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}
    answer = cli("convert", arrays, tmp_path / "m.safetensors", "--max-shard-size", 12)
    assert (answer.code, "m.safetensors.index.json" in answer.err) == (2, True)


def hostile_checkpoint(path, marker):
    torch = pytest.importorskip("torch")

    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    torch.save({"w": torch.ones(2), "s": torch.eye(2).to_sparse(), "evil": Runs()}, path)
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_an_unsafe_file_needs_a_waiver_and_is_not_run(cli, tmp_path):
    path = tmp_path / "in.pt"
    digest = hostile_checkpoint(path, tmp_path / "ran")
    refused = cli("convert", path, tmp_path / "out")
    assert (refused.code, "unsafe" in refused.err, (tmp_path / "out").exists()) == (1, True, False)
    text = ("--reason", "r", "--owner", "o", "--expires", "2999-12-31T23:59:59Z", "--risk", "R-1")
    for allowed, code in (("unsigned", 1), ("unsafe", 2)):  # the second stops at the sparse tensor
        assert cli("waiver", "new", "--covers", digest, "--allow", allowed, *text, "--out", tmp_path / allowed).code == 0
        assert cli("convert", path, tmp_path / "out", "--waiver", tmp_path / allowed).code == code
    answer = cli("convert", path, tmp_path / "out", "--waiver", tmp_path / "unsafe", "--drop-unsupported")
    assert answer.code == 0
    assert "dropped  evil: posix.mkdir" in answer.out
    assert "dropped  s: a sparse tensor" in answer.out
    assert set(serialization.load(tmp_path / "out")) == {"w"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (pickle.dumps([1]), 2, "this is pickle"),
        (b"\0\1\2" * 99, 2, "not converted"),
        (b"PK\x03\x04", 2, "not converted"),
    ],
)
def test_other_files_are_refused_by_what_they_are(content, code, said, cli, tmp_path):
    (tmp_path / "in").write_bytes(content)
    answer = cli("convert", tmp_path / "in", tmp_path / "out")
    assert (answer.code, said in answer.err, (tmp_path / "out").exists()) == (code, True, False)


def test_wrong_options_are_refused(cli, arrays, tmp_path):
    assert cli("convert", arrays).code == 2
    assert cli("convert", arrays, tmp_path / "out", "--max-shard-size", 0).code == 2
    assert cli("convert", arrays, tmp_path / "out", "--select", "x").code == 2
    assert cli("convert", arrays, arrays).code == 2
    assert cli("convert", arrays, tmp_path / "missing" / "out").code == 2
    assert cli("convert", tmp_path / "missing", tmp_path / "out").code == 2
    assert arrays.read_bytes().startswith(b"PK")
