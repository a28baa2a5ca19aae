# SPDX-License-Identifier: Apache-2.0
"""Datasets that lie in a bucket, or wherever fsspec reads: what is recorded, what is believed, and what happens when a server fails."""

import base64
import hashlib
import pickle
import time
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import infer_storage_options

from lifeseal import provenance
from lifeseal.errors import CredentialError, DigestMismatchError, FormatError, LimitError, StoreError
from lifeseal.provenance import Manifest, Records, Remote, _retry, _stores
from lifeseal.testing._server import Reply, serving
from support.bucket import CREDENTIALS, bucket, refusal

FILES = {"a.txt": b"one\ntwo\n", "deep/b.bin": b"b" * 5000, "deep/empty": b""}


@pytest.fixture(scope="module")
def running():
    with bucket() as found:
        yield found


@pytest.fixture
def store(running, monkeypatch):
    """The bucket, filled, with credentials and address where boto looks for them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
    monkeypatch.setattr(_retry, "_FIRST", 0.01)
    _stores._file_system.cache_clear()
    running.empty()
    for key, body in FILES.items():
        running.put(f"data/{key}", body)
    running.asked.clear()
    return running


@pytest.fixture
def folder(tmp_path):
    """The same files on disk."""
    for name, body in FILES.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return tmp_path / "data"


def record(where, description, **options):
    return provenance.record(where, description=description, **options)


def reads(store, key):
    return [line for line in store.asked if line == f"GET /bucket/data/{key}"]


def test_a_bucket_gives_the_manifest_of_the_same_files_on_disk(store, folder, description):
    assert record("s3://bucket/data", description).to_bytes() == record(folder, description).to_bytes()


def test_records_of_a_bucket_give_the_manifest_and_leaf_files_of_the_same_files_on_disk(store, folder, description, tmp_path):
    here = record(folder, description, records=Records(leaves=tmp_path / "here", sets=True))
    there = record("s3://bucket/data/", description, records=Records(leaves=tmp_path / "there", sets=True))
    assert there.to_bytes() == here.to_bytes()
    assert {p.name: p.read_bytes() for p in (tmp_path / "there").glob("*.leaves")} == {
        p.name: p.read_bytes() for p in (tmp_path / "here").glob("*.leaves")
    }


def test_one_object_is_recorded_as_a_lone_file(store, folder, description):
    assert record("s3://bucket/data/deep/b.bin", description).to_bytes() == record(folder / "deep" / "b.bin", description).to_bytes()


def test_a_folder_and_a_bucket_are_recorded_together(store, folder, description):
    found = record([folder / "a.txt", "s3://bucket/data"], description)
    assert [file.path for file in found.files] == ["a.txt", "data/a.txt", "data/deep/b.bin", "data/deep/empty"]
    with pytest.raises(FormatError, match="'data' stands in two inputs"):
        record([folder, "s3://bucket/data"], description)


def test_any_file_system_of_fsspec_is_read(folder, description):
    assert record(f"file://{folder}", description).to_bytes() == record(folder, description).to_bytes()
    assert record(f"file://{folder}/a.txt", description).to_bytes() == record(folder / "a.txt", description).to_bytes()


def test_a_file_system_that_writes_one_time_in_two_ways_is_read(folder, description):
    memory = fsspec.filesystem("memory")
    for name, body in FILES.items():
        memory.pipe(f"/data/{name}", body)
    try:
        found = record("memory://data", description)
        assert found.to_bytes() == record(folder, description).to_bytes()
        assert provenance.verify(found, "memory://data").files == len(FILES)
    finally:
        memory.rm("/data", recursive=True)


def test_a_path_is_never_a_url(tmp_path, monkeypatch, description):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "s3:" / "bucket"
    place.mkdir(parents=True)
    (place / "x").write_bytes(b"x")
    assert record(place.relative_to(tmp_path), description).files[0].path == "x"


def test_a_protocol_that_nobody_knows_is_refused(description):
    with pytest.raises(ValueError, match=r"^nosuch://: fsspec knows no such place"):
        record("nosuch://x/y", description)


def test_the_servers_sha256_is_taken_without_reading_and_labelled(store, description):
    store.put("data/sum.bin", b"s" * 3000, ChecksumAlgorithm="SHA256")
    found = record("s3://bucket/data", description)
    assert found.file("sum.bin").sha256 == hashlib.sha256(b"s" * 3000).digest()
    assert [(file.path, file.stated_by) for file in found.files if file.stated_by] == [("sum.bin", "server")]
    assert not reads(store, "sum.bin")
    assert reads(store, "a.txt")
    assert found.warnings[0].startswith("some digests are the word of the server")
    assert Manifest.from_bytes(found.to_bytes()) == found


def test_the_servers_word_is_compared_where_the_content_is_read_anyway(store, description, tmp_path):
    store.put("data/sum.txt", b"s\n" * 3000, ChecksumAlgorithm="SHA256")
    read = record(Remote(url="s3://bucket/data", read=True), description)
    cut = record("s3://bucket/data", description, records=Records(leaves=tmp_path / "l"))
    assert not read.file("sum.txt").stated_by
    assert not cut.file("sum.txt").stated_by

    def lie(request):
        if request.method == "HEAD":
            reply = store._ask(request)
            reply.headers["x-amz-checksum-sha256"] = base64.b64encode(bytes(32)).decode()
            return reply
        return None

    store.fault = lie
    with pytest.raises(FormatError, match=r"'sum.txt'.*its content has the SHA-256 [0-9a-f]{64}, and the server says 0000"):
        record(Remote(url="s3://bucket/data", read=True), description)
    with pytest.raises(FormatError, match=r"'sum.txt'.*and the server says 0000"):
        record("s3://bucket/data", description, records=Records(leaves=tmp_path / "m"))


@pytest.mark.parametrize("composite", ["the type says so", "the text ends in its parts", "it is cut off"])
def test_a_digest_that_is_not_of_the_whole_object_is_not_taken(composite, store, description):
    store.put("data/sum.bin", b"s" * 3000, ChecksumAlgorithm="SHA256")
    assert record("s3://bucket/data", description).file("sum.bin").stated_by == "server"

    def parts(request):
        if request.method != "HEAD":
            return None
        reply = store._ask(request)
        if composite == "the type says so":
            reply.headers["x-amz-checksum-type"] = "COMPOSITE"
        else:
            reply.headers["x-amz-checksum-sha256"] = base64.b64encode(bytes(32)).decode() + "-2" if "parts" in composite else "AAAA"
        return reply

    store.fault = parts
    found = record("s3://bucket/data", description).file("sum.bin")
    assert (found.stated_by, found.sha256) == ("", hashlib.sha256(b"s" * 3000).digest())


def test_a_bucket_is_verified_by_reading_it_whatever_the_server_states(store, folder, description):
    store.put("data/sum.bin", b"s" * 3000, ChecksumAlgorithm="SHA256")
    manifest = record("s3://bucket/data", description)
    store.asked.clear()
    found = provenance.verify(manifest, "s3://bucket/data")
    assert (found.files, found.size) == (4, manifest.size)
    assert reads(store, "sum.bin")
    (folder / "sum.bin").write_bytes(b"s" * 3000)
    assert provenance.verify(manifest, folder).digest == found.digest
    sampled = provenance.verify(manifest, Remote(url="s3://bucket/data"), sample=2).sample
    assert (sampled.unit, sampled.checked, sampled.total) == ("files", 2, 4)
    store.put("data/a.txt", b"one\ntwp\n")
    with pytest.raises(DigestMismatchError) as caught:
        provenance.verify(manifest, "s3://bucket/data")
    assert caught.value.changed == ("a.txt",)
    store.put("data/more", b"")
    store.client.delete_object(Bucket="bucket", Key="data/sum.bin")
    with pytest.raises(DigestMismatchError) as caught:
        provenance.verify(manifest, "s3://bucket/data")
    assert (caught.value.extra, caught.value.missing) == (("more",), ("sum.bin",))


def test_a_sample_of_a_bucket_is_of_files_where_records_were_hashed_too(store, description, tmp_path):
    manifest = record("s3://bucket/data/a.txt", description, records=Records(leaves=tmp_path / "l"))
    assert provenance.verify(manifest, "s3://bucket/data/a.txt", sample=1).sample.unit == "files"


def failing(times, status, code, *, of="deep/b.bin"):
    left = [times]

    def fault(request):
        if request.method == "GET" and of in request.path and left[0]:
            left[0] -= 1
            return refusal(status, code)
        return None

    return fault


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable"), (502, "Whatever")])
def test_a_server_that_fails_for_a_while_is_asked_again_and_one_that_goes_on_is_given_up(status, code, store, folder, description):
    store.fault = failing(4, status, code)
    assert record("s3://bucket/data", description).to_bytes() == record(folder, description).to_bytes()
    store.fault = failing(99, status, code)
    store.asked.clear()
    with pytest.raises(StoreError, match=r"s3://bucket/data: 'deep/b.bin': no answer in 5 attempts"):
        record("s3://bucket/data", description)
    assert len(reads(store, "deep/b.bin")) == 5


def test_a_listing_that_fails_for_a_while_is_asked_for_again(store, folder, description):
    store.fault = failing(3, 500, "InternalError", of="list-type=2")
    assert record("s3://bucket/data", description).to_bytes() == record(folder, description).to_bytes()


def test_a_server_that_refuses_is_not_asked_again(store, description):
    store.fault = failing(99, 403, "AccessDenied")
    with pytest.raises(CredentialError, match=r"'deep/b.bin': the server refuses these credentials"):
        record("s3://bucket/data", description)
    assert len(reads(store, "deep/b.bin")) == 1
    store.fault = lambda request: refusal(403, "AccessDenied")
    with pytest.raises(CredentialError, match="s3://bucket/data: the server refuses"):
        record("s3://bucket/data", description)


def test_credentials_that_nobody_has_are_an_error_of_ours(store, description, monkeypatch, tmp_path):
    record("s3://bucket/data", description)
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    _stores._file_system.cache_clear()
    with pytest.raises(CredentialError, match="or there are none"):
        record(Remote(url="s3://bucket/data", attempts=1), description)


def test_a_server_that_is_slow_is_given_up_in_time(store, description):
    def slow(request):
        if request.method == "GET" and "b.bin" in request.path:
            time.sleep(3)

    store.fault = slow
    begun = time.monotonic()
    with pytest.raises(StoreError, match="no answer in 2 attempts"):
        record(Remote(url="s3://bucket/data", attempts=2, patience=0.5), description)
    assert time.monotonic() - begun < 20


def test_an_answer_that_breaks_off_is_fetched_again(store, folder, description):
    left = [2]

    def cut(request):
        if request.method == "GET" and "b.bin" in request.path and left[0]:
            left[0] -= 1
            reply = store._ask(request)
            return type(reply)(body=reply.body[:100], status=reply.status, kind=reply.kind, headers=reply.headers)
        return None

    store.fault = cut
    assert record("s3://bucket/data", description).to_bytes() == record(folder, description).to_bytes()
    assert left == [0]


@pytest.mark.parametrize("change", ["replaced", "gone", "replaced between two pieces"])
def test_an_object_that_changes_between_listing_and_reading_is_refused(change, store, description, monkeypatch):
    monkeypatch.setattr("lifeseal.provenance._remote.PIECE", 2000)
    done = []

    def fault(request):
        begun = "bytes=2000" if "pieces" in change else "bytes=0"
        if request.method == "GET" and "b.bin" in request.path and request.headers["range"].startswith(begun) and not done:
            done.append(True)
            if change == "gone":
                store.client.delete_object(Bucket="bucket", Key="data/deep/b.bin")
            else:
                store.put("data/deep/b.bin", b"c" * 5000)

    store.fault = fault
    with pytest.raises(FormatError, match=rf"'deep/b.bin'.*changed while it was recorded: it is {'gone' if change == 'gone' else 'another one now'}"):
        record("s3://bucket/data", description)
    store.fault = lambda request: None
    assert len(record("s3://bucket/data", description).files) == 3 - (change == "gone")


def test_what_has_not_changed_in_the_bucket_is_not_read_again(store, description, tmp_path):
    leaves = Records(leaves=tmp_path / "l")
    first = record("s3://bucket/data", description, records=leaves)
    store.put("data/deep/b.bin", b"c" * 5000)
    store.asked.clear()
    second = record("s3://bucket/data", description, records=leaves, previous=first)
    assert [line for line in store.asked if line.startswith("GET /bucket/data")] == ["GET /bucket/data/deep/b.bin"]
    assert second.to_bytes() == record("s3://bucket/data", description, records=Records(leaves=tmp_path / "m")).to_bytes()


@pytest.mark.parametrize("empty", ["s3://bucket/nothing", "s3://bucket"])
def test_a_place_without_objects_is_refused(empty, store, description):
    assert record("s3://bucket", description).files[0].path == "data/a.txt"
    if empty == store.url:
        store.empty()
    with pytest.raises(FormatError, match="there is no file to record"):
        record(empty, description)


def test_a_bucket_that_is_not_there_is_named(store, description):
    with pytest.raises(FileNotFoundError, match="s3://elsewhere/x"):
        record("s3://elsewhere/x", description)


def test_names_that_are_long_or_of_other_scripts_are_kept_as_they_are(store, description):
    names = ["ключ/ü é.bin", "数据/\N{GRINNING FACE}", "a b+c&d=e%41?x#y", "k" * 1019]
    for name in names:
        store.put(f"data/{name}", name.encode())
    found = {file.path: file.sha256 for file in record("s3://bucket/data", description).files}
    assert found.keys() == {*FILES, *names}
    assert all(found[name] == hashlib.sha256(name.encode()).digest() for name in names)


@pytest.mark.parametrize("odd", ["a//b", "../up", "/top", "deep/./b"])
def test_a_key_that_is_no_path_is_refused(odd, store, description):
    store.fault = lambda request: None

    def listed(request):
        if "list-type=2" not in request.path:
            return None
        reply = store._ask(request)
        return type(reply)(body=reply.body.replace(b"data/a.txt", f"data/{odd}".encode()), kind=reply.kind, headers=reply.headers)

    store.fault = listed
    with pytest.raises(FormatError, match="a relative name without empty"):
        record("s3://bucket/data", description)


def test_a_key_that_is_a_file_and_a_folder_is_refused(store, description):
    store.put("data/deep", b"both")
    with pytest.raises(FormatError, match=r"'deep'.*a file and a folder"):
        record("s3://bucket/data", description)


def test_markers_of_empty_folders_are_passed_over(store, folder, description):
    store.put("data/", b"")
    store.put("data/hollow/", b"")
    assert record("s3://bucket/data", description).to_bytes() == record(folder, description).to_bytes()


def test_more_objects_than_one_answer_lists_are_all_recorded(store, description):
    for number in range(7):
        store.put(f"many/{number}", b"%d" % number)

    def few(request):
        if "list-type=2" in request.path and "max-keys" not in request.path:
            return store._ask(type(request)(method=request.method, path=f"{request.path}&max-keys=2", headers=request.headers, body=b""))
        return None

    store.fault = few
    assert len(record("s3://bucket/many", description).files) == 7
    assert len([line for line in store.asked if line == "GET /bucket"]) == 4


class Counted(_stores.AnyStore):
    """So many objects of one byte, as fast as they can be listed."""

    def __init__(self, count, asking):
        self.asking, self.pinned, self.alone, self._count = asking, "", False, count

    def listing(self):
        return (_stores.Listed(f"{number:08}", 1, "tag", bytes(32)) for number in range(self._count))

    def stated(self, file):
        return file.stated


def test_a_file_of_another_file_system_that_changes_while_it_is_read_is_refused(folder, description, monkeypatch):
    assert len(record(f"file://{folder}", description).files) == 3
    fetch = _stores.AnyStore.fetch

    def changing(self, file, start, end):
        if file.name == "a.txt":
            (folder / "a.txt").write_bytes(b"two\none\n")
        return fetch(self, file, start, end)

    monkeypatch.setattr(_stores.AnyStore, "fetch", changing)
    with pytest.raises(FormatError, match=r"'a.txt'.*changed while it was recorded"):
        record(f"file://{folder}", description)


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_very_many_objects_are_recorded_and_too_many_are_refused(count, description, monkeypatch):
    def opened(remote, *, resolved):
        return Counted(int(remote.url.rpartition("/")[2]), _retry.Asking(where="counted", attempts=1, meaning=_stores.meaning))

    monkeypatch.setattr("lifeseal.provenance._remote.open_store", opened)
    assert len(record(f"counted://x/{count}", description).files) == count
    monkeypatch.setattr("lifeseal.provenance._remote.MAX_FILES", count - 1)
    with pytest.raises(LimitError, match=f"{count} files"):
        record(f"counted://x/{count}", description)


def test_a_signed_urls_query_is_in_no_message(description):
    with pytest.raises((StoreError, FileNotFoundError)) as caught:
        record(Remote(url="http://127.0.0.1:1/x?signature=secret", attempts=1), description)
    assert "secret" not in str(caught.value)
    said = _retry._said(ValueError("GET 'https://me:secret@example.org/x?sig=secret', and more"))
    assert said == "ValueError: GET 'https://…@example.org/x?…', and more"


def test_a_user_and_a_password_in_a_url_are_in_no_message(description):
    remote = Remote(url="ftp://me:secret@127.0.0.1:1/x", attempts=1, options={"password": "secret"})
    assert "secret" not in remote.where
    assert remote.where == "ftp://127.0.0.1:1/x"
    assert "password" not in repr(remote)
    assert pickle.loads(pickle.dumps(remote)) == remote


@pytest.mark.parametrize(
    ("status", "error", "times"),
    [(500, StoreError, 2), (503, StoreError, 2), (403, CredentialError, 1), (401, CredentialError, 1), (404, FileNotFoundError, 1)],
)
def test_what_a_web_server_answers_is_not_taken_for_nothing_there(status, error, times, description, monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST", 0.01)
    asked = []

    def answer(request):
        asked.append(request.method)
        return Reply(status=status)

    with serving(answer) as url, pytest.raises(error):
        record(Remote(url=f"{url}/x", attempts=2), description)
    assert asked.count("GET") == times


def test_a_web_server_that_is_not_there_is_unavailable(description):
    with pytest.raises(StoreError):
        record(Remote(url="http://127.0.0.1:1/x", attempts=1), description)


class Hosted(MemoryFileSystem):
    """A file system that needs a host, and takes it from its address as FTP and SFTP do."""

    protocol = "hosted"
    cachable = False
    asked: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, host, port=0, **options):
        super().__init__(**options)
        self.asked.append((host, port))

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path

    @staticmethod
    def _get_kwargs_from_urls(path):
        found = infer_storage_options(path)
        return {"host": found["host"], "port": found["port"]}


def test_a_host_is_taken_from_the_address(description):
    fsspec.register_implementation("hosted", Hosted, clobber=True)
    fsspec.filesystem("memory").pipe("/hosted/x", b"content")
    assert [file.path for file in record(Remote(url="hosted://example.org:2121/hosted"), description).files] == ["x"]
    assert Hosted.asked == [("example.org", 2121)]


def test_an_address_that_is_not_understood_is_refused_without_its_password(description):
    with pytest.raises(ValueError, match=r"^ftp://: the address is not written") as caught:
        record(Remote(url="ftp://me:secret@host:port/x", attempts=1), description)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["reference://x", "dir://x"])
def test_an_address_that_lacks_something_says_so(url, description):
    with pytest.raises(ValueError, match="without more options"):
        record(Remote(url=url, attempts=1), description)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"IsTruncated": True}, "goes on, and not where"),
        ({"IsTruncated": True, "NextContinuationToken": "the same"}, "goes on, and not where"),
        ({"Contents": [{"Key": "data/a", "Size": 1}]}, "lacks its name, size or ETag"),
        ({"Contents": [{"Key": "data/a", "ETag": '"x"'}]}, "lacks its name, size or ETag"),
    ],
    ids=["no token", "the same token for ever", "no tag", "no size"],
)
def test_a_listing_that_makes_no_sense_is_an_error_of_ours(page, said, store, monkeypatch, description):
    real = _stores.S3Store.__init__

    class Listing:
        loop = None

        def call_s3(self, method, **_):
            if method == "head_object":
                raise FileNotFoundError
            return page

    def made(self, *arguments, **named):
        real(self, *arguments, **named)
        self._fs = Listing()

    monkeypatch.setattr(_stores.S3Store, "__init__", made)
    with pytest.raises(StoreError, match=said):
        record("s3://bucket/data", description)
