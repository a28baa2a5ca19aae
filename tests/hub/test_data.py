# SPDX-License-Identifier: Apache-2.0
"""Datasets go up with their manifest and come down compared with it; whatever else a Hub serves is refused and leaves nothing."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import hub as hubs
from lifeseal import provenance
from lifeseal.attestation import Bundle, KeySigner, Withdrawals, WithdrawnArtefact
from lifeseal.errors import DigestMismatchError, FormatError, PolicyError, StoreError, UntrustedError, WithdrawnError

REPO = "acme/numbers"
NOW = dt.datetime.now(dt.UTC)
DESCRIPTION = provenance.Description(name="numbers", source="made here", obtained=NOW.replace(microsecond=0), licence="CC0-1.0")
SHARD = b"".join(b'{"n": %d}\n' % number for number in range(3000))


@pytest.fixture
def data(tmp_path):
    made = tmp_path / "numbers"
    (made / "deep").mkdir(parents=True)
    (made / "a.jsonl").write_bytes(SHARD)
    (made / "deep" / "b.jsonl").write_bytes(SHARD[:900])
    (made / "notes.bin").write_bytes(bytes(range(256)))
    return made


@pytest.fixture
def manifest(data, tmp_path):
    return provenance.record(data, description=DESCRIPTION, records=provenance.Records(leaves=tmp_path / "leaves"))


@pytest.fixture
def at(hub):
    return {"endpoint": hub.url, "token": "hf_loopback"}


@pytest.fixture
def pushed(data, manifest, signer, at):
    return hubs.push_data(data, REPO, manifest=manifest, signature=provenance.sign(manifest, signer=signer), **at)


def test_a_dataset_comes_down_as_it_was_recorded_and_its_records_are_checked(pushed, signer, places, tmp_path, data, manifest, contents):
    pulled = hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, **places)
    assert (pulled.commit, pulled.manifest) == (pushed.commit, manifest)
    assert contents(pulled.path) == contents(data)
    assert b"\n".join(provenance.checked(pulled.manifest, pulled.path)).count(b"n") == 3000 + SHARD[:900].count(b"n")
    again = provenance.open_manifest(tmp_path / "here" / "lifeseal.manifest.json", policy=signer.public)
    assert provenance.verify(again, pulled.path).files == 3


def test_it_comes_out_of_the_cache_without_the_network(pushed, signer, places, tmp_path, hub, data, contents):
    hubs.pull_data(REPO, tmp_path / "one", policy=signer.public, **places)
    asked = len(hub.requests)
    pulled = hubs.pull_data(REPO, tmp_path / "two", policy=signer.public, offline=True, cache=places["cache"])
    assert contents(pulled.path) == contents(data)
    assert len(hub.requests) == asked
    with pytest.raises(StoreError, match="is not in the cache"):
        hubs.pull_data("acme/other", tmp_path / "three", policy=signer.public, offline=True, cache=places["cache"])
    assert not (tmp_path / "three").exists()


def changed(files, name, data):
    return {**files, name: data} if data is not None else {path: content for path, content in files.items() if path != name}


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.jsonl", b"x" + SHARD[1:], {"changed": ("a.jsonl",)}),
        ("deep/b.jsonl", SHARD[:901], {"changed": ("deep/b.jsonl",)}),
        ("more.jsonl", b"{}", {"extra": ("more.jsonl",)}),
        ("lifeseal.manifest.json.leaves/more", b"{}", {"extra": ("lifeseal.manifest.json.leaves/more",)}),
        ("a.jsonl", None, {"missing": ("a.jsonl",)}),
    ],
)
def test_other_bytes_and_other_names_are_refused_and_leave_nothing(name, content, fault, pushed, hub, signer, places, tmp_path):
    hub.add(REPO, changed(dict(hub.files(REPO, kind="dataset")), name, content), kind="dataset")
    with pytest.raises(DigestMismatchError) as caught:
        hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, **places)
    assert {kind: getattr(caught.value, kind) for kind in fault} == fault
    assert not (tmp_path / "here").exists()
    assert hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, revision=pushed.commit, **places)


def test_what_differs_is_dropped_from_the_cache(pushed, hub, signer, places, tmp_path):
    good = dict(hub.files(REPO, kind="dataset"))
    commit = hub.add(REPO, good | {"a.jsonl": b"{}"}, kind="dataset")
    with pytest.raises(DigestMismatchError):
        hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, **places)
    assert not (places["cache"] / f"datasets--acme--numbers/snapshots/{commit}/a.jsonl").exists()


def test_nothing_is_fetched_under_a_strangers_signature(pushed, hub, places, tmp_path):
    other = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UntrustedError):
        hubs.pull_data(REPO, tmp_path / "here", policy=other.public, **places)
    assert not any("a.jsonl" in request for request in hub.requests if "/resolve/" in request)
    assert not (tmp_path / "here").exists()


def test_an_unsigned_dataset_is_refused(pushed, hub, signer, places, tmp_path):
    hub.add(REPO, changed(dict(hub.files(REPO, kind="dataset")), "lifeseal.manifest.json.sig", None), kind="dataset")
    with pytest.raises(PolicyError, match="no signed manifest"):
        hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, **places)


def test_a_withdrawn_dataset_is_refused(pushed, signer, places, tmp_path, manifest):
    day = dt.timedelta(days=1)
    gone = WithdrawnArtefact(digest=manifest.digest, reason="poisoned")
    listed = Withdrawals(name="l", number=1, issued=NOW - day, expires=NOW + day, artefacts=[gone])
    with pytest.raises(WithdrawnError, match="poisoned"):
        hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, withdrawals=listed, **places)


def test_a_readme_may_lie_beside_it_if_it_is_ignored(pushed, hub, signer, places, tmp_path, data, manifest, at):
    hub.add(REPO, dict(hub.files(REPO, kind="dataset")) | {"README.md": b"# hi"}, kind="dataset")
    with pytest.raises(DigestMismatchError):
        hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, **places)
    assert hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, ignore=["README.md"], **places)
    signature = provenance.sign(manifest, signer=signer)
    assert hubs.push_data(data, REPO, manifest=manifest, signature=signature, **at).removed == ("README.md",)


def test_only_what_was_recorded_is_uploaded(hub, data, manifest, signer, at):
    signature = provenance.sign(manifest, signer=signer)
    (data / "a.jsonl").write_bytes(SHARD[:-1])
    with pytest.raises(DigestMismatchError):
        hubs.push_data(data, REPO, manifest=manifest, signature=signature, **at)
    with pytest.raises(FormatError, match="a folder was expected"):
        hubs.push_data(data / "a.jsonl", REPO, manifest=manifest, signature=signature, **at)
    assert not hub.requests


def test_a_folder_that_is_there_is_not_written_into(pushed, signer, places, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        hubs.pull_data(REPO, tmp_path / "here", policy=signer.public, **places)
    assert (tmp_path / "here" / "mine").read_text() == "mine"


def test_the_names_that_the_manifest_needs_are_taken(tmp_path, signer, at):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "lifeseal.manifest.json").write_text("{}")
    manifest = provenance.record(tmp_path / "d", description=DESCRIPTION)
    with pytest.raises(FormatError, match="another name was expected"):
        hubs.push_data(
            tmp_path / "d", REPO, manifest=manifest, signature=Bundle.from_bytes(provenance.sign(manifest, signer=signer).to_bytes(), where="b"), **at
        )
