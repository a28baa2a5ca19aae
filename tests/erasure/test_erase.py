# SPDX-License-Identifier: Apache-2.0
"""Erasing: the key is gone from everything that can be reached with the present root."""

import shutil

import pytest

from lifeseal import principles
from lifeseal.erasure import ErasedSlot, Vault
from lifeseal.errors import DestroyedError, LockedError, RolledBackError, StateError, StoreError, TamperedError


def test_an_erased_asset_is_destroyed_and_the_others_live(desk, tmp_path, content_of):
    with desk.create() as vault:
        for name in "abc":
            vault.seal(desk.model, name)
        erasure = vault.erase(["c", "a"])
        assert (erasure.vault, erasure.epoch_before, erasure.epoch_after) == (vault.id, 7, 8)
        assert erasure.slots == (ErasedSlot(slot=2, generation=1), ErasedSlot(slot=0, generation=1))
        for name in "ac":
            with pytest.raises(DestroyedError, match=f"'{name}' was erased at epoch 8"):
                vault.asset(name)
            with pytest.raises(DestroyedError):
                vault.unseal(name, tmp_path / "no")
        vault.unseal("b", tmp_path / "b")
    assert content_of(tmp_path / "b") == content_of(desk.model)
    assert len(desk.objects) == 4
    with desk.open(at_least=8) as vault, pytest.raises(DestroyedError):
        vault.asset("a")


def test_the_asset_in_hand_is_closed_by_the_erasure(desk):
    with desk.create() as vault:
        asset = vault.seal(desk.model, "model")
        asset.open("weights.bin").__exit__()
        vault.erase(["model"])
        with pytest.raises(StateError, match="closed"):
            asset.open("weights.bin")


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["live", "unknown"], StoreError),
        (["live", "erased"], DestroyedError),
        (["live", "live"], ValueError),
        ([], ValueError),
        ("live", TypeError),
    ],
)
def test_refuses_before_anything_changes(desk, names, error):
    with desk.create() as vault:
        vault.seal(desk.model, "live")
        vault.seal(desk.model, "erased")
        vault.erase(["erased"])
        before = (vault.epoch, desk.objects, desk.root.location.read_bytes())
        with pytest.raises(error):
            vault.erase(names)
        assert (vault.epoch, desk.objects, desk.root.location.read_bytes()) == before
        vault.erase(["live"])


def test_erases_an_asset_whose_containers_are_damaged_or_missing(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        first, second, *_ = desk.objects
        first.unlink()
        second.write_bytes(b"")
        vault.erase(["model"])
        with pytest.raises(DestroyedError):
            vault.asset("model")


def test_a_copy_from_before_the_erasure_is_rolled_back_not_readable(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        shutil.copytree(desk.folder, tmp_path / "copy")
        Vault.open(tmp_path / "copy", root=desk.root).close()
        vault.erase(["model"])
    with pytest.raises(RolledBackError, match=r"newest change is of epoch 3, the root is at epoch 4"):
        Vault.open(tmp_path / "copy", root=desk.root)


def test_of_two_copies_under_one_root_file_only_one_writes_on(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        shutil.copytree(desk.folder, tmp_path / "copy")
        with Vault.open(tmp_path / "copy", root=desk.root) as copy:
            copy.seal(desk.model, "in the copy").close()
            for change in (lambda: vault.seal(desk.model, "x"), lambda: vault.erase(["model"]), vault.compact, vault.assets):
                with pytest.raises(RolledBackError, match="newest change is of epoch 3, the root is at epoch 5"):
                    change()
            assert [info.name for info in copy.assets()] == ["model", "in the copy"]


def test_both_copies_are_locked_while_one_writes(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        shutil.copytree(desk.folder, tmp_path / "copy")
        with Vault.open(tmp_path / "copy", root=desk.root) as copy:

            def meanwhile(_):
                with pytest.raises(LockedError):
                    copy.erase(["model"])

            vault.seal(desk.model, "second", progress=meanwhile).close()


def test_a_root_restored_from_before_does_not_open_the_newer_folder(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        old = desk.root.location.read_bytes()
        vault.erase(["model"])
        new = desk.root.location.read_bytes()
        desk.root.location.write_bytes(old)
        with pytest.raises(RolledBackError):
            vault.assets()
    with pytest.raises(RolledBackError, match="the root was restored"):
        desk.open()
    desk.root.location.write_bytes(new)
    desk.open().close()


def test_root_and_folder_restored_together_are_seen_only_by_at_least(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        shutil.copytree(desk.folder, tmp_path / "copy")
        shutil.copy2(desk.root.location, tmp_path / "copy.root")
        epoch = vault.erase(["model"]).epoch_after
    root = type(desk.root)(tmp_path / "copy.root")
    with Vault.open(tmp_path / "copy", root=root) as restored:
        assert restored.asset("model").name == "model"
    with pytest.raises(RolledBackError):
        Vault.open(tmp_path / "copy", root=root, at_least=epoch)


def test_a_writer_with_a_root_older_than_the_folder_destroys_nothing(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "a")
        old_root = desk.root.location.read_bytes()
        vault.seal(desk.model, "b")
        vault.seal(desk.model, "c")
        before = desk.objects
        new_root = desk.root.location.read_bytes()
        desk.root.location.write_bytes(old_root)
        with pytest.raises(RolledBackError, match="reached epoch 7, the root is at epoch 3"):
            vault.erase(["a"])
        assert desk.objects == before
        desk.root.location.write_bytes(new_root)
        vault.erase(["a"])


def test_no_root_key_is_used_twice(desk):
    roots = []
    with desk.create() as vault:
        for step in (lambda: None, lambda: vault.seal(desk.model, "a"), lambda: vault.seal(desk.model, "b"), lambda: vault.erase(["a", "b"])):
            step()
            roots.append(desk.root.location.read_bytes()[40:72])
    assert len(set(roots)) == 4
    assert all(any(root) for root in roots)


def test_a_holder_that_keeps_the_old_root_is_found_out_and_nothing_is_unlinked(desk, monkeypatch):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        with monkeypatch.context() as patch:
            patch.setattr(desk.root, "replace", lambda new, *, over: None)
            with pytest.raises(TamperedError, match="the root reads back differently"):
                vault.erase(["model"])
        assert len(desk.objects) == 4
        assert vault.asset("model").name == "model"
        vault.erase(["model"])
        assert desk.objects == []


class _Sink:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


def test_announces_the_erasure_before_it_begins_and_reports_it_after(desk):
    sink = _Sink()
    with desk.create() as vault, principles.sink_for_block(sink):
        vault.seal(desk.model, "model")
        vault.erase(["model"])
    assert [(event.primitive, event.outcome) for event in sink.events] == [
        ("lifeseal.erasure.Vault.seal", "pass"),
        ("lifeseal.erasure.Vault.erase", "intent"),
        ("lifeseal.erasure.Vault.erase", "pass"),
    ]
    assert sink.events[2].facts == {"vault": vault.id, "epoch": 3, "slots": ("0:1",), "assets": ("model",), "epoch_after": 4}
    assert sink.events[2].provisions == ("uk-ai-cop:13.2", "uk-ai-cop:13.1")


def test_a_log_that_refuses_the_announcement_stops_the_erasure(desk):
    class Full(_Sink):
        def emit(self, event):
            if event.outcome == "intent":
                raise OSError(28, "log is full")

    with desk.create() as vault:
        vault.seal(desk.model, "model")
        with principles.sink_for_block(Full()), pytest.raises(OSError, match="log is full"):
            vault.erase(["model"])
        assert vault.asset("model").name == "model"
