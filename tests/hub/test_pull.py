# SPDX-License-Identifier: Apache-2.0
"""What is pulled was signed; whatever else a Hub serves, lists or moves is refused."""

import os
import shutil
import socket
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import evidence, loading, signing
from lifeseal import hub as hubs
from lifeseal.attestation import KeySigner, generate_key
from lifeseal.errors import DigestMismatchError, FormatError, PolicyError, SignatureError, StoreError, UntrustedError
from lifeseal.testing import _hub

REPO = "acme/tiny"


@pytest.fixture
def up(hub, folder, contents):
    return hub.add(REPO, contents(folder) | {".gitattributes": b"*.safetensors filter=lfs\n"})


def test_a_signed_model_comes_down_and_loads(up, signer, places, contents, folder):
    with hubs.pull(REPO, policy=signer.public, **places) as signed:
        assert loading.load_tensors(signed)["w"].sum() == 64 * 64
        assert {entry.path for entry in signed.files} == set(contents(folder)) - {"model.sig"}
        with loading.pinned(signed) as pin:
            assert (pin / "deep" / "a.txt").read_text() == "hi"


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_other_kinds_of_repository_too(kind, hub, folder, contents, signer, places):
    hub.add(REPO, contents(folder), kind=kind)
    with hubs.pull(REPO, policy=signer.public, kind=kind, **places) as signed:
        assert signed.read("deep/a.txt") == b"hi"


def test_the_signature_comes_first_and_nothing_after_a_bad_one(up, hub, places):
    other = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UntrustedError):
        hubs.pull(REPO, policy=other.public, **places)
    fetched = [request for request in hub.requests if "/resolve/" in request]
    assert fetched
    assert all(request.endswith("model.sig") for request in fetched)


def test_only_signed_files_are_fetched(hub, folder, contents, signer, places, cache):
    commit = hub.add(REPO, contents(folder) | {"README.md": b"# hi\n"})
    with hubs.pull(REPO, policy=signer.public, ignore=["README.md"], **places):
        pass
    assert not (cache / f"models--acme--tiny/snapshots/{commit}/README.md").exists()
    assert not any("README" in request for request in hub.requests)


@pytest.mark.parametrize("extra", ["README.md", "modeling.py", "deep/b.bin", "pytorch_model.bin"])
def test_files_that_nobody_signed_are_refused_unfetched(extra, hub, folder, contents, signer, places):
    hub.add(REPO, contents(folder) | {extra: b"x"})
    with pytest.raises(DigestMismatchError) as caught:
        hubs.pull(REPO, policy=signer.public, **places)
    assert caught.value.extra == (extra,)
    assert not any(extra in request for request in hub.requests)


def test_a_commit_that_lacks_signed_files_is_refused(hub, folder, contents, signer, places):
    files = contents(folder)
    del files["deep/a.txt"]
    hub.add(REPO, files)
    with pytest.raises(DigestMismatchError) as caught:
        hubs.pull(REPO, policy=signer.public, **places)
    assert caught.value.missing == ("deep/a.txt",)


def test_an_unsigned_commit_is_refused(hub, folder, contents, signer, places):
    files = contents(folder)
    del files["model.sig"]
    hub.add(REPO, files)
    with pytest.raises(PolicyError, match=r"unsigned: no model\.sig at commit"):
        hubs.pull(REPO, policy=signer.public, **places)


def test_a_broken_signature_is_refused(hub, folder, contents, signer, places):
    hub.add(REPO, contents(folder) | {"model.sig": b"{}"})
    with pytest.raises(FormatError, match=r"model\.sig"):
        hubs.pull(REPO, policy=signer.public, **places)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_hub_that_serves_other_bytes_is_refused_and_the_cache_not_poisoned(name, up, hub, folder, signer, places):
    good = (folder / name).read_bytes()
    hub.replace(REPO, name, bytes([good[0] ^ 1]) + good[1:])
    with pytest.raises((DigestMismatchError, StoreError)):
        hubs.pull(REPO, policy=signer.public, **places)
    hub.replace(REPO, name, good)
    with hubs.pull(REPO, policy=signer.public, **places) as signed:
        assert signed.read(name) == good


def test_a_revision_that_moves_while_it_is_pulled_stays_one_commit(up, hub, folder, contents, signer, places, monkeypatch):
    real = hubs._pull.Client.fetch_all

    def move(client, names, commit):
        hub.add(REPO, contents(folder) | {"config.json": b'{"moved": true}'})
        return real(client, names, commit)

    monkeypatch.setattr(hubs._pull.Client, "fetch_all", move)
    with hubs.pull(REPO, policy=signer.public, **places) as signed:
        assert signed.read("config.json") == b"{}"
    monkeypatch.undo()
    with pytest.raises(DigestMismatchError):
        hubs.pull(REPO, policy=signer.public, **places)


def test_an_older_commit_can_be_asked_for_and_a_digest_expected(up, hub, folder, signer, places, contents):
    with hubs.pull(REPO, policy=signer.public, **places) as signed:
        digest = signed.subject.digest
    (folder / "config.json").write_text("[]")
    signing.sign(folder, signer=signer)
    hub.add(REPO, contents(folder))
    with hubs.pull(REPO, policy=signer.public, revision=up, expect=digest, **places) as signed:
        assert signed.read("config.json") == b"{}"
    with pytest.raises(PolicyError, match="was expected"):
        hubs.pull(REPO, policy=signer.public, expect=digest, **places)


def test_a_hub_that_answers_for_another_commit_is_refused(up, hub, folder, contents, signer, places, monkeypatch):
    real = hubs._pull.Client.resolve
    other = hub.add(REPO, contents(folder) | {"more": b"x"})
    monkeypatch.setattr(hubs._pull.Client, "resolve", lambda client, revision: "0" * 40 if revision == "main" else real(client, revision))
    with pytest.raises(StoreError):
        hubs.pull(REPO, policy=signer.public, **places)
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", lambda self, repo, **_: type("Info", (), {"sha": up}))
    with pytest.raises(StoreError, match="is no commit or another one"):
        hubs.pull(REPO, policy=signer.public, revision=other, **places)


def test_offline_the_cache_is_enough_and_no_network_is_asked(up, hub, signer, places, cache, monkeypatch):
    hubs.pull(REPO, policy=signer.public, **places).close()
    asked = len(hub.requests)
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("the network was asked"))
    for revision in ("main", up):
        with hubs.pull(REPO, policy=signer.public, revision=revision, cache=cache, offline=True) as signed:
            assert signed.read("deep/a.txt") == b"hi"
    assert len(hub.requests) == asked
    with pytest.raises(StoreError, match="revision 'other' is not in the cache"):
        hubs.pull(REPO, policy=signer.public, revision="other", cache=cache, offline=True)
    with pytest.raises(PolicyError, match="in the cache"):
        hubs.pull(REPO, policy=signer.public, revision="0" * 40, cache=cache, offline=True)
    with pytest.raises(FormatError, match="revision"):
        hubs.pull(REPO, policy=signer.public, revision="../../x", cache=cache, offline=True)


def test_a_cache_that_was_changed_is_refused_when_it_is_read(up, signer, places, cache):
    hubs.pull(REPO, policy=signer.public, **places).close()
    path = cache / f"models--acme--tiny/snapshots/{up}/deep/a.txt"
    path.resolve().write_bytes(b"ho")
    with hubs.pull(REPO, policy=signer.public, **places) as signed, pytest.raises(DigestMismatchError):
        signed.read("deep/a.txt")
    with pytest.raises(DigestMismatchError) as caught:
        hubs.verify(REPO, policy=signer.public, cache=cache)
    assert caught.value.changed == ("deep/a.txt",)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../other"])
def test_a_link_that_was_swapped_in_the_cache_is_refused(target, up, signer, places, cache):
    hubs.pull(REPO, policy=signer.public, **places).close()
    path = cache / f"models--acme--tiny/snapshots/{up}/deep/a.txt"
    (cache / "other").write_bytes(b"hi")
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(FormatError, match="symbolic link"):
        hubs.verify(REPO, policy=signer.public, cache=cache)


def test_the_cache_as_it_is_can_be_verified(up, signer, places, cache):
    hubs.pull(REPO, policy=signer.public, **places).close()
    assert hubs.verify(REPO, policy=signer.public, cache=cache).files == 3
    shutil.rmtree(cache / f"models--acme--tiny/snapshots/{up}/deep")
    with pytest.raises(DigestMismatchError) as caught:
        hubs.verify(REPO, policy=signer.public, cache=cache)
    assert caught.value.missing == ("deep/a.txt",)
    for revision in ("other", "0" * 40):
        with pytest.raises(StoreError, match="is not in the cache"):
            hubs.verify(REPO, policy=signer.public, revision=revision, cache=cache)


@pytest.mark.parametrize("repo", ["acme/nothing", "acme/tiny"])
def test_what_is_not_there_is_an_error_of_ours(repo, up, signer, places):
    with pytest.raises(StoreError, match=f"model '{repo}' on the Hub"):
        hubs.pull(repo, policy=signer.public, revision="nowhere", **places)


def test_a_hub_that_is_not_there_is_an_error_of_ours(signer, cache):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StoreError, match="on the Hub"):
            hubs.pull(REPO, policy=signer.public, cache=cache, endpoint=endpoint)


def test_a_hub_that_breaks_off_is_an_error_of_ours_and_can_be_asked_again(up, hub, signer, places, monkeypatch):
    real = _hub._download

    def break_off(repository, revision, path, request):
        if path == "model.safetensors" and request.method == "GET":
            raise ConnectionResetError
        return real(repository, revision, path, request)

    monkeypatch.setattr(_hub, "_download", break_off)
    with pytest.raises((StoreError, DigestMismatchError)):
        hubs.pull(REPO, policy=signer.public, **places)
    monkeypatch.undo()
    with hubs.pull(REPO, policy=signer.public, **places) as signed:
        signed.verify()


def test_a_cache_without_rights_is_an_error(up, hub, folder, signer, places, cache, tmp_path):
    generate_key(tmp_path / "k")
    cache.mkdir(mode=0o500)
    code = "import sys; from lifeseal import attestation, hub; policy = attestation.TrustedKey.from_file(sys.argv[1])\n"
    code += "hub.pull('acme/tiny', policy=policy, cache=sys.argv[2], endpoint=sys.argv[3])"
    without_privileges = [] if os.geteuid() else ["setpriv", "--bounding-set=-all"]
    command = [*without_privileges, sys.executable, "-c", code, tmp_path / "k.pub", cache, hub.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **hub.environment, "HF_HOME": str(tmp_path)})
    assert done.stderr.splitlines()[-1].startswith("PermissionError: ")


def test_a_cache_that_cannot_be_made_is_an_error(up, signer, places):
    with pytest.raises(OSError, match="/proc/nowhere"):
        hubs.pull(REPO, policy=signer.public, **places | {"cache": "/proc/nowhere/cache"})


def test_the_cache_may_be_relative_or_behind_a_link(up, signer, places, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache.mkdir()
    (tmp_path / "link").symlink_to(cache)
    for given in ("cache", "link", tmp_path / "link"):
        hubs.pull(REPO, policy=signer.public, **places | {"cache": given}).close()
        assert hubs.verify(REPO, policy=signer.public, cache=given).files == 3


def test_the_commit_stands_in_the_log(up, signer, places, tmp_path):
    with evidence.Log(tmp_path / "log.jsonl"):
        hubs.pull(REPO, policy=signer.public, **places).close()
    [event] = [event for event in evidence.read(tmp_path / "log.jsonl") if event.primitive == "lifeseal.hub.pull"]
    assert (event.outcome, event.facts["commit"], event.facts["model"]) == ("pass", up, REPO)


def test_a_token_is_in_no_error(up, signer, places):
    with pytest.raises(StoreError) as caught:
        hubs.pull("acme/nothing", policy=signer.public, **places | {"token": "hf_secret"})
    assert "hf_secret" not in str(caught.value)


def test_a_signature_under_another_name_of_the_same_key_is_no_good(up, hub, folder, contents, signer, places):
    files = contents(folder)
    files["model.sig"] = files["model.sig"].replace(b'"sig":"', b'"sig":"AAAA', 1)
    hub.add(REPO, files)
    with pytest.raises((SignatureError, FormatError)):
        hubs.pull(REPO, policy=signer.public, **places)
