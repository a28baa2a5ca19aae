# SPDX-License-Identifier: Apache-2.0
"""What is tried after an erasure, what answers, and what a refusal is worth; each attempt opens what was not erased, as a control."""

import shutil

import pytest

from lifeseal.erasure import ErasedSlot, FileRoot, PassphraseRoot, Vault
from lifeseal.errors import PendingError, StoreError
from lifeseal.testing import Faults, MemoryWrapper

SLOT = (ErasedSlot(slot=0, generation=1),)


def answers(found):
    return [trial.answer for trial in found]


@pytest.fixture(params=["file", "passphrase", "wrapper"])
def root(request, tmp_path, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._passphrase._MEMORY", 64)
    return {"file": lambda: FileRoot(tmp_path / "r"), "passphrase": lambda: PassphraseRoot(b"x"), "wrapper": MemoryWrapper}[request.param]()


@pytest.fixture
def vault(root, desk, tmp_path):
    with Vault.create(tmp_path / "vault", root=root) as made:
        for name in ("a", "b"):
            made.seal(desk.model, name).close()
        yield made


def test_before_an_erasure_everything_opens_and_after_it_nothing(vault, root):
    sample = vault.trials.sample(SLOT)
    asked = {"file": "refused", "passphrase": "not tried", "memory-wrapper": "opened"}[root.kind]
    assert answers(vault.trials.run(SLOT, sample)) == ["opened", "refused", "opened", asked]
    vault.erase(["a"])
    after = vault.trials.run(SLOT, sample)
    assert answers(after) == ["refused", "refused", "refused", "not tried" if root.kind == "passphrase" else "refused"]
    assert after[2].detail == "3 containers under 1 key"


def test_a_process_that_kept_nothing_says_what_it_could_not_try(vault):
    vault.erase(["a"])
    found = vault.trials.run(SLOT)
    assert answers(found)[:3] == ["refused", "refused", "not tried"]
    assert found[2].detail == "they were unlinked, and this process kept none from before"


def test_containers_that_stayed_are_tried(vault, tmp_path):
    shutil.copytree(tmp_path / "vault/objects", tmp_path / "kept")
    vault.erase(["a"])
    shutil.copytree(tmp_path / "kept", tmp_path / "vault/objects", dirs_exist_ok=True)
    found = vault.trials.run(SLOT)[2]
    assert (found.answer, found.detail) == ("refused", "3 containers under 1 key")


def test_a_sample_shows_no_key_and_no_wrapped_root(vault):
    assert repr(vault.trials.sample(SLOT)).startswith("Sample(epoch=5, containers=<3 containers>")


def test_a_wrapper_that_still_opens_the_old_root_is_found(desk, tmp_path, monkeypatch):
    root = MemoryWrapper()
    with Vault.create(tmp_path / "vault", root=root) as vault:
        vault.seal(desk.model, "a").close()
        sample = vault.trials.sample(SLOT)
        kept = {name: (entry.key, entry.state) for name, entry in root._versions.items()}
        vault.erase(["a"])
        for name, (key, state) in kept.items():
            root._versions[name].key, root._versions[name].state = key, state
        monkeypatch.setattr(root, "versions", lambda vault, real=root.versions: [v for v in real(vault) if v.name not in kept])
        assert vault.trials.run(SLOT, sample)[3].answer == "opened"


def test_a_holder_that_is_down_or_not_done_is_not_a_refusal_and_settle_goes_on(desk, tmp_path):
    root = MemoryWrapper(scheduled=True)
    with Vault.create(tmp_path / "vault", root=root) as vault:
        vault.seal(desk.model, "a").close()
        done = vault.erase(["a"])
        assert vault.trials.settle() == done.pending != ()
        assert "not destroyed yet" in vault.trials.run(SLOT)[3].detail
        root.complete()
        assert vault.trials.settle() == ()
        root.faults = Faults(3, lasting=True)
        with pytest.raises(StoreError):
            vault.trials.settle()


def test_settle_asks_again_what_the_holder_refused(desk, tmp_path):
    root = MemoryWrapper()
    with Vault.create(tmp_path / "vault", root=root) as vault:
        vault.seal(desk.model, "a").close()
        calls = len(root.faults.calls)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(root, "destroy", lambda version: (_ for _ in ()).throw(StoreError("down")))
            with pytest.raises(PendingError):
                vault.erase(["a"])
            with pytest.raises(PendingError):
                vault.trials.settle()
        assert vault.trials.settle() == ()
        assert "destroy" in root.faults.calls[calls:]
        assert answers(vault.trials.run(SLOT)) == ["refused", "refused", "not tried", "refused"]
