# SPDX-License-Identifier: Apache-2.0
"""Models that do not lie on disk as they are, such as sealed ones."""

import concurrent.futures

import pytest

from lifeseal import signing
from lifeseal.errors import DigestMismatchError, PolicyError


class MemorySource:
    where = "memory"
    name = "asset"

    def __init__(self, files):
        self.files = dict(files)

    def names(self, *, ignore=frozenset()):
        return tuple(sorted(name for name in self.files if name not in ignore))

    def size(self, name):
        return len(self.files[name])

    def open(self, name):
        if name not in self.files:
            raise FileNotFoundError(2, "No such file", name)
        return MemoryReader(self.files[name])


class MemoryReader:
    def __init__(self, content):
        self._content = content
        self.size = len(content)

    def readinto(self, buffer, start):
        piece = self._content[start : start + min(3, len(buffer))]  # short reads are allowed
        buffer[: len(piece)] = piece
        return len(piece)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def source():
    return MemorySource({"a": b"first file", "b/c": b"", "d": b"x" * 100})


@pytest.mark.parametrize("hash_name", ["sha256", "blake2b", "blake3"])
def test_signs_and_reads_without_a_disk(source, signer, policy, tmp_path, hash_name):
    bundle = signing.sign(source, signer=signer, out=tmp_path / "s", hash=hash_name)
    with signing.open_model(source, policy=policy, signature=tmp_path / "s") as opened:
        assert {entry.path: opened.read(entry.path) for entry in opened.files} == source.files
        buffer = bytearray(7)
        assert opened.readinto("a", buffer, 5) == 5
        assert buffer == b" file\0\0"
    assert signing.verify(source, policy=policy, signature=bundle).files == 3
    source.files["a"] = b"First file"
    with pytest.raises(DigestMismatchError, match="memory: 1 changed: 'a'"):
        signing.verify(source, policy=policy, signature=bundle)


def test_the_signature_may_be_one_of_its_files(source, signer, policy, tmp_path):
    with pytest.raises(PolicyError, match=r"memory: unsigned: no signature at memory/model\.sig"):
        signing.verify(source, policy=policy)
    source.files["model.sig"] = signing.sign(source, signer=signer, out=tmp_path / "s").to_bytes()
    assert signing.verify(source, policy=policy).files == 3


def test_it_must_be_told_where_the_signature_goes(source, signer, tmp_path):
    assert signing.sign(source, signer=signer, out=tmp_path / "s")
    with pytest.raises(TypeError, match="out= must say where the signature goes"):
        signing.sign(source, signer=signer)


def test_workers_elsewhere_cannot_see_it(source, signer, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="executor= needs a model on disk"):
        signing.sign(source, signer=signer, out=tmp_path / "s", executor=executor)
    assert not (tmp_path / "s").exists()
