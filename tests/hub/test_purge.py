# SPDX-License-Identifier: Apache-2.0
"""Purged, nothing in the cache tells of a repository; what others share stays."""

import pytest

from lifeseal import hub as hubs
from lifeseal.disposal import hub_traces
from lifeseal.errors import StoreError

REPO = "acme/tiny"
ONE, BOTH, LEFT = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def pulled(hub, folder, contents, signer, places):
    for name in (REPO, "acme/tiny2"):
        hub.add(name, contents(folder))
        hubs.pull(name, policy=signer.public, **places).close()
    (folder / "config.json").write_text("[]")
    return places["cache"]


def share(cache, digest, *repositories):
    store = cache / "blobs" / digest[:2]
    store.mkdir(parents=True, exist_ok=True)
    (store / digest).write_bytes(b"content " + digest[:3].encode())
    links = []
    for folder in repositories:
        link = cache / folder / "blobs" / digest
        link.symlink_to(f"../../blobs/{digest[:2]}/{digest}")
        links.append(f"{folder}/blobs/{digest}\n")
    (store / f"{digest}.refs").write_text("".join(links))


def names(cache):
    return [path.relative_to(cache).as_posix() for path in cache.rglob("*")]


def test_no_trace_is_left_and_others_stay(pulled, signer, contents):
    share(pulled, ONE, "models--acme--tiny")
    share(pulled, BOTH, "models--acme--tiny", "models--acme--tiny2")
    (pulled / ".locks/models--acme--tiny").mkdir(parents=True, exist_ok=True)
    (pulled / ".locks/models--acme--tiny/abc.lock").write_bytes(b"")
    others = {name: data for name, data in contents(pulled).items() if "tiny2" in name}
    found = hubs.purge(REPO, cache=pulled)
    assert {"models--acme--tiny/refs/main", ".locks/models--acme--tiny/abc.lock", f"blobs/11/{ONE}", f"blobs/11/{ONE}.refs"} <= set(found.removed)
    assert found.size > 16_384
    assert not any("acme--tiny/" in f"{name}/" for name in names(pulled))
    assert not any(b"acme--tiny/" in path.read_bytes() for path in pulled.rglob("*") if path.is_file())
    assert not hub_traces(pulled, REPO).found
    assert {name: data for name, data in contents(pulled).items() if "tiny2" in name} == others
    assert (pulled / f"blobs/22/{BOTH}.refs").read_text() == f"models--acme--tiny2/blobs/{BOTH}\n"
    assert hubs.verify("acme/tiny2", policy=signer.public, cache=pulled).files == 3
    assert any("not overwritten" in sentence for sentence in found.not_covered)


def test_a_blob_whose_link_is_gone_already_goes_too(pulled):
    share(pulled, LEFT, "models--acme--tiny")
    (pulled / "models--acme--tiny/blobs" / LEFT).unlink()
    assert f"blobs/33/{LEFT}" in hubs.purge(REPO, cache=pulled).removed


def test_a_link_out_of_the_cache_is_removed_and_not_followed(pulled, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine").write_text("x")
    (pulled / "models--acme--tiny" / "out").symlink_to(tmp_path / "outside")
    hubs.purge(REPO, cache=pulled)
    assert (tmp_path / "outside" / "mine").read_text() == "x"


def test_nothing_there_is_no_error(tmp_path):
    assert hubs.purge(REPO, cache=tmp_path / "nowhere").removed == ()


@pytest.mark.parametrize("repo", ["", "..", "a/b/c", "../x", "a--b/c", "a/.."])
def test_what_is_no_name_of_a_repository_is_refused(repo, tmp_path):
    with pytest.raises(ValueError, match="is no name of a repository"):
        hubs.purge(repo, cache=tmp_path)


def test_the_second_look_finds_what_came_back(pulled, monkeypatch):
    real = hubs._purge._remove

    def remove(path, folder):
        real(path, folder)
        if path.name == "models--acme--tiny":
            (pulled / ".locks" / "models--acme--tiny").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(hubs._purge, "_remove", remove)
    with pytest.raises(StoreError, match="are there after they were removed, such as 'models--acme--tiny'"):
        hubs.purge(REPO, cache=pulled)


def test_what_cannot_be_removed_is_an_error_and_the_rest_is_gone(pulled, monkeypatch):
    real = hubs._purge._remove

    def remove(path, folder):
        if path.name == "main":
            raise PermissionError(13, "Permission denied", str(path))
        real(path, folder)

    monkeypatch.setattr(hubs._purge, "_remove", remove)
    with pytest.raises(OSError, match="refs"):
        hubs.purge(REPO, cache=pulled)
    assert not (pulled / "models--acme--tiny/snapshots").exists()
