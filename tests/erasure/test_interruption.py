# SPDX-License-Identifier: Apache-2.0
"""A change that stops at any call that touches the disk leaves the old state or the new, and the next writer clears up."""

import os
import shutil

import pytest

from erasure.conftest import in_memory
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import FormatError, LifesealError, StoreError

CALLS = ("fsync", "rename", "link", "unlink", "mkdir", "write")


class Stopped(BaseException):
    """As a kill: from here on no call reaches the disk."""


def stopping_at(monkeypatch, limit, *, error=Stopped, for_good=True):
    """Let ``limit`` calls through; then raise, at once or for ever."""
    count = 0

    def guard(real):
        def call(*args, **options):
            nonlocal count
            count += 1
            if count == limit or (for_good and count > limit):
                raise error
            return real(*args, **options)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, guard(getattr(os, name)))


def every_stop(monkeypatch, prepare, act, **options):
    """Yield the folder after each possible stop, until the act runs through."""
    for limit in range(1, 400):
        folder = prepare(limit)
        with monkeypatch.context() as patch:
            stopping_at(patch, limit, **options)
            try:
                act(folder)
            except (Stopped, OSError, LifesealError):
                finished = False
            else:
                finished = True
        yield folder, finished
        if finished:
            return
    raise AssertionError("the act never ran through")


def opened(folder):
    return Vault.open(folder / "vault", root=FileRoot(folder / "root"))


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


@pytest.fixture
def prepared(desk, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    with Vault.create(base / "vault", root=FileRoot(base / "root")) as vault:
        vault.seal(desk.model, "first")

    def prepare(limit):
        shutil.copytree(base, tmp_path / str(limit))
        return tmp_path / str(limit)

    return prepare


def check_all_is_well(folder, live, content_of, model):
    with opened(folder) as vault:
        for name in live:
            vault.unseal(name, folder / f"out-{name}")
            assert content_of(folder / f"out-{name}") == content_of(model)
        vault.seal(model / "weights.bin", "next")
        live = [info for info in vault.assets() if info.state == "live"]
    assert len(list((folder / "vault").glob("log-*"))) == 1
    assert len(list((folder / "vault" / "objects").iterdir())) == sum(info.files + 1 for info in live)


WAYS = [{}, {"error": OSError(5, "Input/output error"), "for_good": False}]


@pytest.mark.parametrize("way", WAYS, ids=["killed", "refused"])
def test_an_interrupted_seal_is_whole_or_absent(desk, prepared, monkeypatch, content_of, way):
    seen = set()
    for folder, finished in every_stop(monkeypatch, prepared, lambda folder: opened(folder).seal(desk.model, "second"), **way):
        with opened(folder) as vault:
            names = [info.name for info in vault.assets()]
        assert names[0] == "first"
        assert not finished or names == ["first", "second"]
        seen.add(len(names))
        check_all_is_well(folder, names, content_of, desk.model)
    assert seen == {1, 2}


@pytest.mark.parametrize("way", WAYS, ids=["killed", "refused"])
def test_an_interrupted_erasure_has_happened_or_not(desk, prepared, monkeypatch, content_of, way):
    seen = set()
    for folder, finished in every_stop(monkeypatch, prepared, lambda folder: opened(folder).erase(["first"]), **way):
        with opened(folder) as vault:
            state = vault.assets()[0].state
        assert not finished or state == "erased"
        seen.add(state)
        check_all_is_well(folder, ["first"] if state == "live" else [], content_of, desk.model)
    assert seen == {"live", "erased"}


def test_an_interrupted_create_leaves_a_vault_or_nothing_that_opens(monkeypatch, tmp_path):
    def prepare(limit):
        (tmp_path / str(limit)).mkdir()
        return tmp_path / str(limit)

    def act(folder):
        Vault.create(folder / "vault", root=FileRoot(folder / "root")).close()

    outcomes = []
    for folder, finished in every_stop(monkeypatch, prepare, act):
        try:
            opened(folder).close()
            outcomes.append("opens")
        except (StoreError, FormatError):
            outcomes.append("does not open")
        assert not finished or outcomes[-1] == "opens"
    assert outcomes == sorted(outcomes)


def test_plaintext_is_removed_only_after_the_commit(desk, prepared, monkeypatch, content_of):
    whole = content_of(desk.model)

    def prepare(limit):
        folder = prepared(limit)
        shutil.copytree(desk.model, folder / "plain")
        return folder

    stopped_half_way = 0
    for folder, _ in every_stop(monkeypatch, prepare, lambda folder: opened(folder).seal(folder / "plain", "second", remove_plaintext=True)):
        if content_of(folder / "plain") != whole:
            stopped_half_way += 1
            with opened(folder) as vault:
                vault.unseal("second", folder / "out")
            assert content_of(folder / "out") == whole
    assert stopped_half_way > 2


def test_a_root_that_took_the_name_but_not_the_disk_may_come_back(desk, monkeypatch, content_of, tmp_path):
    """Until the next root is durable nothing is cleared away that the old one needs."""
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        old = desk.root.location.read_bytes()
        real = os.rename

        def rename_and_fail(source, target, **options):
            real(source, target, **options)
            if target == "vault.root":
                raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", rename_and_fail)
            with pytest.raises(OSError, match="Input/output") as caught:
                vault.erase(["model"])
            assert caught.value.__notes__ == [
                "epoch 4 is in force: the keys are gone, but a power cut may bring epoch 3 back; the next change makes this one last"
            ]
            with pytest.raises(OSError, match="Input/output"):
                vault.erase(["model"])
            with pytest.raises(OSError, match="Input/output"):
                vault.seal(desk.model, "other")
        assert vault.assets()[0].state == "erased"
    desk.root.location.write_bytes(old)  # the power cut
    with desk.open() as vault:
        vault.unseal("model", tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(desk.model)
