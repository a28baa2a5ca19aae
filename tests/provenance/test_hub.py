# SPDX-License-Identifier: Apache-2.0
"""Datasets on a Hub: the commit is pinned, large files' digests are the Hub's word, small ones are read."""

import hashlib
import threading
import time

import attrs
import pytest

from lifeseal import provenance
from lifeseal.errors import CredentialError, FormatError, StoreError
from lifeseal.provenance import Manifest, Records, Remote, _retry
from lifeseal.testing._hub import Hub
from lifeseal.testing._server import HttpError, Reply, serving

FILES = {"README.md": b"# Reviews\n", "data/train.jsonl": b'{"n": 1}\n' * 500, "data/photo.bin": b"p" * 5000, "data/ключ.txt": b"small\n"}
LARGE = {"data/train.jsonl", "data/photo.bin"}


class Faulty(Hub):
    """Answers as ``fault`` does, if that is there; ``right`` is the answer of a Hub."""

    fault = None

    def answer(self, request):
        return self.right(request) if self.fault is None else self.fault(request)

    def right(self, request):
        return super().answer(request)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST", 0.01)
    found = Faulty()
    with serving(found.answer) as found.url:
        found.commit = found.add("acme/reviews", FILES, kind="dataset")
        found.requests.clear()
        yield found


@pytest.fixture
def record(hub, description):
    def run(place="acme/reviews@main", *, read=False, **options):
        remote = Remote(url=f"hf://datasets/{place}", options={"endpoint": hub.url, "token": "hf_loopback"}, read=read, patience=5)
        return provenance.record(remote, description=description, **options)

    return run


def downloads(hub):
    return {line.partition(f"/resolve/{hub.commit}/")[2] for line in hub.requests if "/resolve/" in line}


def test_a_revision_is_pinned_and_large_files_are_not_downloaded(hub, record):
    found = record()
    assert found.pinned == (f"hf://datasets/acme/reviews@{hub.commit}",)
    assert {file.path: file.sha256 for file in found.files if file.path in FILES} == {
        name: hashlib.sha256(body).digest() for name, body in FILES.items()
    }
    assert {file.path for file in found.files if file.stated_by == "server"} == LARGE
    assert downloads(hub) == {"README.md", "data/%D0%BA%D0%BB%D1%8E%D1%87.txt"}
    assert Manifest.from_bytes(found.to_bytes()) == found
    assert found.to_bytes() == record(f"acme/reviews@{hub.commit}").to_bytes() == record("acme/reviews").to_bytes()


def test_a_revision_that_moves_is_recorded_as_it_was_when_the_recording_began(hub, record):
    old = hub.commit

    def moving(request):
        reply = hub.right(request)
        if "/tree/" in request.path:
            hub.add("acme/reviews", {**FILES, "README.md": b"# Other\n"}, kind="dataset")
        return reply

    hub.fault = moving
    found = record()
    assert found.pinned == (f"hf://datasets/acme/reviews@{old}",)
    assert found.file("README.md").sha256 == hashlib.sha256(FILES["README.md"]).digest()
    hub.fault = None
    later = record()
    assert later.pinned != found.pinned
    assert later.file("README.md").sha256 == hashlib.sha256(b"# Other\n").digest()


def test_a_folder_or_file_of_a_dataset_is_recorded_alone(hub, record):
    below = record("acme/reviews@main/data")
    assert [file.path for file in below.files] == ["photo.bin", "train.jsonl", "ключ.txt"]
    assert below.pinned == (f"hf://datasets/acme/reviews@{hub.commit}/data",)
    alone = record("acme/reviews@main/data/photo.bin")
    assert [(file.path, file.stated_by) for file in alone.files] == [("photo.bin", "server")]
    with pytest.raises(FormatError, match="there is no file to record"):
        record("acme/reviews@main/nothing")


def test_records_of_a_hubs_files_are_hashed_like_those_of_a_folder(hub, record, tmp_path, description):
    found = record(records=Records(leaves=tmp_path / "l"))
    for name, body in FILES.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    here = provenance.record(tmp_path / "data", description=description, records=Records(leaves=tmp_path / "m"))
    assert [file for file in found.files if file.path in FILES and file.path != "data/photo.bin"] == [
        f for f in here.files if f.path != "data/photo.bin"
    ]


@pytest.mark.parametrize("name", ["README.md", "data/train.jsonl"])
def test_content_that_the_commit_does_not_name_is_refused(name, hub, record):
    record(read=True)
    hub.replace("acme/reviews", name, FILES[name].swapcase(), kind="dataset")
    with pytest.raises(FormatError, match=rf"'{name}': its content (has the SHA-256|is not git's blob)"):
        record(read=True)


def test_what_has_not_changed_since_an_earlier_commit_is_not_downloaded_again(hub, record, tmp_path):
    records = Records(leaves=tmp_path / "l")
    first = record(records=records)
    hub.commit = hub.add("acme/reviews", {**FILES, "README.md": b"# Other\n"}, kind="dataset")
    hub.requests.clear()
    second = record(records=records, previous=first)
    assert downloads(hub) == {"README.md"}
    assert second.pinned == (f"hf://datasets/acme/reviews@{hub.commit}",)


def test_a_hub_that_fails_for_a_while_is_asked_again_and_one_that_goes_on_is_given_up(hub, record):
    wanted, left = record(), [3]

    def failing(request):
        if "/resolve/" in request.path and left[0]:
            left[0] -= 1
            raise HttpError(500, "InternalError")
        return hub.right(request)

    hub.fault = failing
    assert record().to_bytes() == wanted.to_bytes()
    left[0] = 99
    with pytest.raises(StoreError, match=r"hf://datasets/acme/reviews@main: '.*': no answer in 5 attempts"):
        record()


@pytest.mark.parametrize("status", [401, 403])
def test_a_hub_that_refuses_is_an_error_of_ours(status, hub, record):
    record()
    hub.fault = lambda request: Reply(status=status)
    with pytest.raises(CredentialError, match="acme/reviews@main: the server refuses"):
        record()


@pytest.mark.parametrize("place", ["acme/nothing@main", "acme/reviews@nothing", "acme/reviews@" + "0" * 40])
def test_what_is_not_there_is_named(place, record):
    with pytest.raises(FileNotFoundError, match=place.partition("@")[0]):
        record(place)


def test_a_hub_that_answers_for_another_commit_is_refused(hub, record):
    record()

    def other(request):
        reply = hub.right(request)
        return attrs.evolve(reply, body=reply.body.replace(hub.commit.encode(), b"f" * 40)) if "/revision/" in request.path else reply

    hub.fault = other
    with pytest.raises(StoreError, match="is no commit or another one"):
        record(f"acme/reviews@{hub.commit}")


@pytest.mark.parametrize("url", ["hf://acme/reviews", "hf://models/acme/x", "hf://datasets/acme", "hf://datasets/a/b@c@d"])
def test_another_form_of_url_is_refused(url, description):
    with pytest.raises(ValueError, match="hf://datasets/OWNER/NAME@REVISION"):
        provenance.record(url, description=description)


def test_where_it_was_pinned_is_found_again(hub, record):
    found = record()
    for needle in ("hf://datasets/acme/reviews", found.pinned[0]):
        assert [edge.target for edge in provenance.trace(needle, [found])] == [found.digest]
    assert not provenance.trace("hf://datasets/acme/other", [found])


def test_a_hub_that_never_answers_is_given_up(description):
    forever = threading.Event()

    def silent(_):
        forever.wait(30)
        return Reply()

    begun = time.monotonic()
    with serving(silent) as url:
        try:
            with pytest.raises(StoreError, match="no answer in 1 attempts"):
                provenance.record(Remote(url="hf://datasets/acme/rows", attempts=1, patience=0.5, options={"endpoint": url}), description=description)
        finally:
            forever.set()
    assert time.monotonic() - begun < 15
