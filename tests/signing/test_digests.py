# SPDX-License-Identifier: Apache-2.0
"""Hashing in shares, signing once."""

import os
import pickle

import pytest

from lifeseal import signing
from lifeseal.attestation import Statement
from lifeseal.errors import DigestMismatchError, FormatError

SHARES = (["config.json", "empty", "weights-2"], ["weights/a.bin"], ["weights/deep/b.bin"])


@pytest.mark.parametrize("hash_name", ["sha256", "blake2b", "blake3"])
def test_shares_add_up_to_the_signature_of_the_whole(model, signer, policy, hash_name):
    whole = signing.sign(model, signer=signer, hash=hash_name).envelope.payload
    shares = [pickle.loads(pickle.dumps(signing.digest(model, files=names, hash=hash_name))) for names in SHARES]
    assert signing.sign(model, signer=signer, hash=hash_name, digests=shares).envelope.payload == whole
    assert signing.sign(model, signer=signer, hash=hash_name, digests=shares[1:]).envelope.payload == whole
    assert signing.sign(model, signer=signer, hash=hash_name, digests=[*shares, shares[0]]).envelope.payload == whole
    assert signing.digest(model, hash=hash_name).root == signing.verify(model, policy=policy).subject.digest


def test_the_root_of_a_lone_file_is_that_of_its_signature(tmp_path, signer, policy):
    (tmp_path / "m").write_bytes(b"x")
    signing.sign(tmp_path / "m", signer=signer)
    assert signing.digest(tmp_path / "m").root == signing.verify(tmp_path / "m", policy=policy).subject.digest


@pytest.mark.parametrize("content", [b"{} ", b"[]"])
def test_a_file_written_since_is_refused(model, signer, content):
    share = signing.digest(model, files=["config.json"])
    assert signing.sign(model, signer=signer, digests=[share])
    (model / "config.json").write_bytes(content)
    with pytest.raises(FormatError, match=r"'config\.json': changed since its digest was taken: it had 2 bytes"):
        signing.sign(model, signer=signer, digests=[share])


def test_a_change_that_the_file_system_does_not_show_is_signed_as_it_was_and_found_by_verification(model, signer, policy):
    share = signing.digest(model, files=["config.json"])
    before = (model / "config.json").stat()
    (model / "config.json").write_bytes(b"[]")
    os.utime(model / "config.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    signing.sign(model, signer=signer, digests=[share])
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'config\.json'"):
        signing.verify(model, policy=policy)


def test_shares_of_shards_add_up_to_the_signature_of_the_whole(model, signer):
    (model / "empty").unlink()
    whole = signing.sign(model, signer=signer, shard_size=1000).envelope.payload
    shares = [signing.digest(model, files=names, shard_size=1000) for names in (["config.json", "weights-2"], ["weights/a.bin"])]
    assert signing.sign(model, signer=signer, digests=shares, shard_size=1000).envelope.payload == whole
    assert signing.digest(model, shard_size=1000).root == f"sha256:{Statement.from_bytes(whole, where='').subjects[0].sha256.hex()}"
    with pytest.raises(ValueError, match="digests are sha256 of shards of 1000 bytes, and the signature is to be sha256 of shards of 999 bytes"):
        signing.sign(model, signer=signer, digests=shares, shard_size=999)
    with pytest.raises(ValueError, match="at least 1 byte"):
        signing.digest(model, shard_size=0)


def test_shares_that_contradict_each_other_or_the_model_are_refused(model, signer):
    share = signing.digest(model, files=["config.json"])
    (model / "config.json").write_bytes(b"[]")
    other = signing.digest(model, files=["config.json"])
    with pytest.raises(FormatError, match=r"'config\.json': a digest was given for a file that is not signed, or two that differ"):
        signing.sign(model, signer=signer, digests=[share, other])
    with pytest.raises(FormatError, match=r"'config\.json': a digest was given for a file that is not signed"):
        signing.sign(model, signer=signer, digests=[other], ignore=["config.json"])
    with pytest.raises(ValueError, match="digests are sha256 of whole files, and the signature is to be blake3 of whole files"):
        signing.sign(model, signer=signer, digests=[other], hash="blake3")
    assert signing.sign(model, signer=signer, digests=[other])


@pytest.mark.parametrize("name", ["../model/config.json", "/etc/hostname", "./empty", ""])
def test_names_outside_the_model_are_refused(model, name):
    with pytest.raises(FormatError, match="a relative name without empty"):
        signing.digest(model, files=[name])


def test_nothing_to_hash_is_refused(model, tmp_path):
    with pytest.raises(FormatError, match="there is no file to hash"):
        signing.digest(model, files=[])
    (tmp_path / "void").mkdir()
    with pytest.raises(FormatError, match="void: there is no file to hash"):
        signing.digest(tmp_path / "void")
    with pytest.raises(FileNotFoundError):
        signing.digest(model, files=["nothing"])
