# SPDX-License-Identifier: Apache-2.0
"""Method shards: the whole of it, and what breaks one rule of it in a correctly signed bundle."""

import hashlib
import json

import pytest

from lifeseal import signing
from lifeseal.attestation import Statement
from lifeseal.errors import DigestMismatchError, FormatError

FILES = {"a.bin": bytes(range(250)), "a.bin:0:9": b"name with colons", "deep/b.bin": b"x" * 100, "exact.bin": b"y" * 200}
SIZE = 100


@pytest.fixture
def sharded(tmp_path):
    folder = tmp_path / "sharded"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("algorithm", ["sha256", "blake2b", "blake3"])
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_a_model_in_shards_verifies_and_every_part_reads_as_it_was(sharded, signer, policy, algorithm, size):
    bundle = signing.sign(sharded, signer=signer, hash=algorithm, shard_size=size)
    report = signing.verify(sharded, policy=policy)
    assert (report.files, report.size, report.shard_size) == (len(FILES), sum(map(len, FILES.values())), size)
    assert signing.sign(sharded, signer=signer, hash=algorithm, shard_size=size).envelope.payload == bundle.envelope.payload
    with signing.open_model(sharded, policy=policy) as opened:
        for name, content in FILES.items():
            assert opened.read(name) == content
            for start in (0, 1, size - 1, size, len(content) - 1, len(content), len(content) + 5):
                for length in (0, 1, size, 150):
                    buffer = bytearray(b"-" * length)
                    count = opened.readinto(name, buffer, start)
                    assert bytes(buffer[:count]) == content[start : start + length]
                    assert bytes(buffer[count:]) == b"-" * (length - count)


def test_the_payload_is_as_the_standard_has_it(sharded, signer):
    bundle = signing.sign(sharded, signer=signer, shard_size=SIZE)
    predicate = json.loads(bundle.envelope.payload)["predicate"]
    names = [entry["name"] for entry in predicate["resources"]]
    assert names == sorted(
        ["a.bin:0:100", "a.bin:100:200", "a.bin:200:250", "a.bin:0:9:0:16", "deep/b.bin:0:100", "exact.bin:0:100", "exact.bin:100:200"]
    )
    assert predicate["serialization"]["method"] == "shards"
    assert predicate["serialization"]["shard_size"] == SIZE
    digests = {entry["name"]: entry["digest"] for entry in predicate["resources"]}
    assert digests["a.bin:200:250"] == hashlib.sha256(FILES["a.bin"][200:]).hexdigest()


def test_an_empty_file_is_not_signed_in_shards(sharded, signer, policy):
    signing.sign(sharded, signer=signer, shard_size=SIZE)
    (sharded / "empty").touch()
    with pytest.raises(DigestMismatchError) as caught:
        signing.verify(sharded, policy=policy)
    assert caught.value.extra == ("empty",)
    with pytest.raises(FormatError, match="'empty': empty, and shards cannot name an empty file"):
        signing.sign(sharded, signer=signer, shard_size=SIZE)


@pytest.mark.parametrize("change", [lambda data: data + b"z", lambda data: data[:-1]])
def test_another_size_is_told_before_anything_is_hashed(sharded, signer, policy, change):
    signing.sign(sharded, signer=signer, shard_size=SIZE)
    (sharded / "a.bin").write_bytes(change(FILES["a.bin"]))
    with pytest.raises(DigestMismatchError) as caught:
        signing.open_model(sharded, policy=policy)
    assert caught.value.changed == ("a.bin",)


def test_a_part_is_refused_if_and_only_if_its_shard_changed(sharded, signer, policy):
    signing.sign(sharded, signer=signer, shard_size=SIZE)
    (sharded / "a.bin").write_bytes(FILES["a.bin"][:150] + b"!" + FILES["a.bin"][151:])
    with signing.open_model(sharded, policy=policy) as opened:
        buffer = bytearray(SIZE)
        assert opened.readinto("a.bin", buffer) == SIZE
        assert bytes(buffer) == FILES["a.bin"][:SIZE]
        for start in (1, 100, 199):
            with pytest.raises(DigestMismatchError):
                opened.readinto("a.bin", buffer, start)
            assert bytes(buffer) == bytes(SIZE)
        with pytest.raises(DigestMismatchError):
            opened.read("a.bin")
        with pytest.raises(DigestMismatchError) as caught:
            opened.verify()
        assert caught.value.changed == ("a.bin",)


def test_digests_of_whole_files_are_no_shards(sharded, signer):
    with pytest.raises(ValueError, match="digests are sha256 of whole files, and the signature is to be sha256 of shards of 100 bytes"):
        signing.sign(sharded, signer=signer, shard_size=SIZE, digests=[signing.digest(sharded)])
    with pytest.raises(ValueError, match="shard_size= must be at least 1"):
        signing.sign(sharded, signer=signer, shard_size=0)


def renamed(old, new):
    return lambda listed: [entry | {"name": new} if entry["name"] == old else entry for entry in listed]


def without(name):
    return lambda listed: [entry for entry in listed if entry["name"] != name]


HOSTILE = {
    "a gap": (without("a.bin:100:200"), "'a.bin:200:250': shards of 100 bytes that tile"),
    "a missing start": (without("a.bin:0:100"), "'a.bin:100:200': shards of 100 bytes that tile"),
    "an overlap": (renamed("a.bin:100:200", "a.bin:99:199"), "'a.bin:99:199': shards of 100 bytes"),
    "an early end": (renamed("a.bin:100:200", "a.bin:100:199"), "'a.bin:100:199': shards of 100 bytes"),
    "a last one too long": (renamed("a.bin:200:250", "a.bin:200:301"), "'a.bin:200:301': shards of 100 bytes"),
    "an empty one": (renamed("a.bin:200:250", "a.bin:200:200"), "'a.bin:200:200': shards of 100 bytes"),
    "a backward one": (renamed("a.bin:200:250", "a.bin:200:150"), "'a.bin:200:150': shards of 100 bytes"),
    "one twice": (lambda listed: [*listed, listed[-1]], "'exact.bin' is listed twice"),
    "a start with a zero before": (renamed("a.bin:0:100", "a.bin:00:100"), "'a.bin:00:100': a shard's name was expected"),
    "a sign": (renamed("a.bin:0:100", "a.bin:+0:100"), "'a.bin:+0:100': a shard's name was expected"),
    "other digits": (renamed("a.bin:0:100", "a.bin:\u0660:100"), "a shard's name was expected"),
    "a number without end": (renamed("a.bin:0:100", "a.bin:0:" + "9" * 40), "a shard's name was expected"),
    "no end": (renamed("a.bin:0:100", "a.bin:0"), "'a.bin:0': a shard's name was expected"),
    "no name": (renamed("a.bin:0:100", ":0:100"), "a relative name without empty"),
    "a way out": (renamed("deep/b.bin:0:100", "../b.bin:0:100"), "a relative name without empty"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_refuses_correctly_signed_shards_with(what, sharded, signer, policy):
    change, wanted = HOSTILE[what]
    document = json.loads(signing.sign(sharded, signer=signer, shard_size=SIZE).envelope.payload)

    def again():
        listed = document["predicate"]["resources"]
        root = hashlib.sha256(b"".join(bytes.fromhex(entry["digest"]) for entry in listed)).hexdigest()
        document["subject"][0]["digest"]["sha256"] = root
        return signer.sign("application/vnd.in-toto+json", json.dumps(document).encode())

    assert signing.verify(sharded, policy=policy, signature=again()).files == len(FILES)
    document["predicate"]["resources"] = change(document["predicate"]["resources"])
    with pytest.raises(FormatError) as caught:
        signing.verify(sharded, policy=policy, signature=again())
    assert wanted in str(caught.value)


def test_shards_in_numeric_order_are_read_as_the_reference_writes_them(sharded, signer, policy):
    document = json.loads(signing.sign(sharded, signer=signer, shard_size=7).envelope.payload)
    listed = document["predicate"]["resources"]
    numeric = sorted(listed, key=lambda e: (e["name"].rsplit(":", 2)[0], int(e["name"].rsplit(":", 2)[1])))
    assert numeric != listed
    document["predicate"]["resources"] = numeric
    root = hashlib.sha256(b"".join(bytes.fromhex(entry["digest"]) for entry in numeric)).hexdigest()
    document["subject"][0]["digest"]["sha256"] = root
    bundle = signer.sign("application/vnd.in-toto+json", json.dumps(document).encode())
    assert signing.verify(sharded, policy=policy, signature=bundle).files == len(FILES)
    assert Statement.from_bytes(bundle.envelope.payload, where="payload").subjects[0].sha256.hex() == root
