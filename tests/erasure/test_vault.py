# SPDX-License-Identifier: Apache-2.0
"""Sealing, reading and listing: what goes in comes out, and each refusal has a control beside it."""

import os
import stat
import subprocess
import sys

import pytest

from lifeseal._io import hash_files
from lifeseal.erasure import AssetInfo, FileRoot, Vault
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    FormatError,
    LockedError,
    RolledBackError,
    StateError,
    StoreError,
    TamperedError,
)


def test_a_folder_comes_out_as_it_went_in(desk, tmp_path, content_of):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        vault.unseal("model", tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(desk.model)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "out" / "weights.bin").stat().st_mode) == 0o600


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 32768, 3_000_000])
def test_a_file_of_any_size_comes_out_as_it_went_in(desk, tmp_path, size):
    plain = tmp_path / "one.bin"
    plain.write_bytes(os.urandom(size))
    with desk.create() as vault:
        asset = vault.seal(plain, "one")
        assert (asset.names(), asset.size("one.bin"), asset.is_folder) == (("one.bin",), size, False)
        vault.unseal("one", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == plain.read_bytes()


def test_an_empty_folder_is_an_asset(desk, tmp_path):
    (tmp_path / "nothing").mkdir()
    with desk.create() as vault:
        assert vault.seal(tmp_path / "nothing", "nothing").names() == ()
        vault.unseal("nothing", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_sealed_asset_is_read_like_a_folder_on_disk(desk):
    with desk.create() as vault:
        asset = vault.seal(desk.model, "model")
        names = asset.names(ignore=frozenset({"deep/er"}))
        assert names == ("deep/config.json", "weights.bin")
        found = hash_files(asset, names, threads=2)
        assert found["weights.bin"].size == 76800
        wanted = (desk.model / "weights.bin").read_bytes()
        with asset.open("weights.bin") as reader:
            for start, count in ((0, 10), (16380, 10), (16384, 16384), (5, 76800), (76799, 9), (76800, 4), (10**9, 4)):
                buffer = bytearray(count)
                done = reader.readinto(memoryview(buffer), start)
                assert bytes(buffer[:done]) == wanted[start : start + count]


def test_what_was_sealed_is_there_in_the_next_session(desk, tmp_path, content_of):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
    with desk.open() as vault:
        assert vault.epoch == 3
        vault.unseal("model", tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(desk.model)


def test_lists_live_and_erased_assets(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "a")
        vault.seal(desk.model / "weights.bin", "b")
        vault.erase(["a"])
        assert vault.assets() == (
            AssetInfo(name="", slot=0, generation=1, state="erased", erased_at=6, files=0, size=0, born_encrypted=False, assurance=""),
            AssetInfo(
                name="b",
                slot=1,
                generation=1,
                state="live",
                erased_at=None,
                files=1,
                size=76800,
                born_encrypted=False,
                assurance=desk.root.assurance,
            ),
        )


def test_an_erased_name_can_be_sealed_again_as_a_new_generation(desk, tmp_path, content_of):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        vault.erase(["model"])
        assert vault.seal(desk.model, "model").generation == 2
        vault.unseal("model", tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(desk.model)


def test_the_same_plaintext_sealed_twice_gives_different_containers(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "a")
        vault.seal(desk.model, "b")
    contents = [path.read_bytes() for path in desk.objects]
    assert len(set(contents)) == len(contents) == 8


def test_removes_the_plaintext_only_when_asked(desk, tmp_path, content_of):
    before = content_of(desk.model)
    with desk.create() as vault:
        vault.seal(desk.model, "kept")
        assert content_of(desk.model) == before
        vault.seal(desk.model, "moved", remove_plaintext=True)
        assert not desk.model.exists()
        assert not vault.assets()[1].born_encrypted
        vault.unseal("moved", tmp_path / "out")
    assert content_of(tmp_path / "out") == before


def test_no_name_and_no_content_is_visible_in_the_vault_folder(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "classifier")
    everything = b"".join(str(path).encode() + path.read_bytes() for path in desk.folder.rglob("*") if path.is_file())
    for word in (b"classifier", b"weights", b"config", bytes(range(64))):
        assert word not in everything.replace(str(desk.folder).encode(), b"")


def test_reports_progress_up_to_the_total(desk):
    seen = []
    with desk.create() as vault:
        vault.seal(desk.model, "model", progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (76802, 76802)


def test_raising_from_progress_cancels_and_leaves_nothing(desk):
    def stop(_):
        raise KeyboardInterrupt

    with desk.create() as vault:
        with pytest.raises(KeyboardInterrupt):
            vault.seal(desk.model, "model", progress=stop)
        assert (vault.assets(), desk.objects) == ((), [])
        vault.seal(desk.model, "model")


def test_refuses_a_file_that_changes_while_it_is_sealed(desk):
    def rewrite(_):
        (desk.model / "weights.bin").write_bytes(bytes(76800))

    with desk.create() as vault:
        with pytest.raises(FormatError, match=r"weights\.bin.*changed while it was sealed"):
            vault.seal(desk.model, "model", progress=rewrite)
        assert (vault.assets(), desk.objects) == ((), [])
        vault.seal(desk.model, "model")


def test_refuses_a_folder_that_gains_a_file_while_it_is_sealed(desk):
    with desk.create() as vault, pytest.raises(FormatError, match="changed while it was sealed"):
        vault.seal(desk.model, "model", progress=lambda _: (desk.model / "late").write_bytes(b""))


def test_leaves_plaintext_that_changed_after_it_was_sealed(desk, monkeypatch):
    import lifeseal.erasure._vault as module

    seal = module.seal_into

    def and_then_change(*args, **options):
        sealed = seal(*args, **options)
        (desk.model / "weights.bin").write_bytes(b"newer")
        return sealed

    with desk.create() as vault:
        monkeypatch.setattr(module, "seal_into", and_then_change)
        with pytest.raises(StoreError, match="changed after it was sealed"):
            vault.seal(desk.model, "model", remove_plaintext=True)
        assert (desk.model / "weights.bin").read_bytes() == b"newer"
        assert vault.asset("model").size("weights.bin") == 76800


def test_refuses_a_link_in_the_plaintext(desk):
    (desk.model / "link").symlink_to("weights.bin")
    with desk.create() as vault, pytest.raises(FormatError, match="symbolic link"):
        vault.seal(desk.model, "model")


def test_refuses_a_name_that_is_live(desk):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        with pytest.raises(StateError, match="'model' is live"):
            vault.seal(desk.model, "model")
        assert vault.epoch == 3


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256, "\ud800"])
def test_refuses_a_name_that_cannot_be_shown(desk, name):
    with desk.create() as vault, pytest.raises(ValueError, match="printable"):
        vault.seal(desk.model, name)


def test_unseal_refuses_a_place_that_is_taken(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        with pytest.raises(FileExistsError):
            vault.unseal("model", desk.model)
        with pytest.raises(ValueError, match="inside the vault"):
            vault.unseal("model", desk.folder / "out")
        vault.unseal("model", tmp_path / "out")


def test_an_unknown_name_is_unavailable_not_destroyed(desk):
    with desk.create() as vault:
        with pytest.raises(StoreError, match="no asset 'model'"):
            vault.asset("model")
        vault.seal(desk.model, "model")
        assert vault.asset("model").name == "model"


def test_a_closed_vault_gives_nothing(desk):
    vault = desk.create()
    asset = vault.seal(desk.model, "model")
    vault.close()
    vault.close()
    for call in (vault.assets, lambda: vault.asset("model"), lambda: vault.seal(desk.model, "b"), lambda: asset.open("weights.bin")):
        with pytest.raises(StateError, match="closed"):
            call()


def test_keys_do_not_pass_a_fork_but_the_vault_reads_them_again(desk):
    with desk.create() as vault:
        asset = vault.seal(desk.model, "model")
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(StateError, match="fork"):
                    asset.open("weights.bin")
                with vault.asset("model").open("weights.bin") as reader:
                    assert reader.size == 76800
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_second_writer_is_refused_and_a_reader_is_not(desk):
    with desk.create() as vault, desk.open() as other:
        vault.seal(desk.model, "model")

        def meanwhile(_):
            assert [info.name for info in other.assets()] == ["model"]
            for write in (lambda: other.seal(desk.model, "c"), lambda: other.erase(["model"])):
                with pytest.raises(LockedError):
                    write()

        vault.seal(desk.model, "b", progress=meanwhile)
        other.seal(desk.model, "c")
        assert [info.name for info in vault.assets()] == ["model", "b", "c"]


def test_a_reader_sees_an_erasure_by_another_process(desk):
    with desk.create() as vault, desk.open() as other:
        vault.seal(desk.model, "model")
        asset = other.asset("model")
        vault.erase(["model"])
        with pytest.raises(DestroyedError, match="erased at epoch 4"):
            other.asset("model")
        with pytest.raises(DestroyedError, match="generation 1"):
            asset.open("weights.bin")
        vault.seal(desk.model, "model")
        with pytest.raises(DestroyedError, match="generation 1"):
            asset.open("weights.bin")


def test_refuses_a_folder_or_root_that_is_there_already(desk, tmp_path):
    desk.create().close()
    with pytest.raises(FileExistsError):
        desk.create()
    with pytest.raises(FileExistsError):
        Vault.create(tmp_path / "second", root=desk.root)
    assert not (tmp_path / "second").exists()
    Vault.create(tmp_path / "second", root=FileRoot(tmp_path / "second.root")).close()
    desk.open().close()


@pytest.mark.parametrize("way", ["plain", "folder link", "file link", "dots"])
def test_refuses_a_root_inside_the_vault(desk, tmp_path, way):
    desk.create().close()
    path = desk.folder / "root"
    if way == "folder link":
        (tmp_path / "elsewhere").symlink_to(desk.folder)
        path = tmp_path / "elsewhere" / "root"
    elif way == "file link":
        desk.root.location.rename(path)
        path = tmp_path / "link"
        path.symlink_to(desk.folder / "root")
    elif way == "dots":
        path = tmp_path / "model" / ".." / "vault" / "objects" / "root"
    for call in (Vault.create, Vault.open):
        with pytest.raises(ValueError, match="lies inside the vault"):
            call(desk.folder, root=FileRoot(path))


def test_refuses_a_root_inside_a_vault_that_does_not_exist_yet(desk):
    with pytest.raises(ValueError, match="lies inside the vault"):
        Vault.create(desk.folder, root=FileRoot(desk.folder / "root"))
    assert not desk.folder.exists()


def test_refuses_plaintext_around_or_inside_the_vault(desk, tmp_path):
    with desk.create() as vault:
        for path in (tmp_path, desk.folder, desk.folder / "objects", desk.root.location):
            with pytest.raises(ValueError, match="inside"):
                vault.seal(path, "x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_refuses_a_root_that_others_may_open(desk, mode):
    desk.create().close()
    desk.root.location.chmod(mode)
    with pytest.raises(CredentialError, match="chmod 600"):
        desk.open()
    desk.root.location.chmod(0o600)
    desk.open().close()


def test_refuses_a_root_with_a_second_name(desk, tmp_path):
    desk.create().close()
    os.link(desk.root.location, tmp_path / "second")
    with pytest.raises(StateError, match="hard link"):
        desk.open()
    (tmp_path / "second").unlink()
    desk.open().close()


def test_refuses_a_root_that_is_a_link(desk, tmp_path):
    desk.create().close()
    (tmp_path / "link").symlink_to(desk.root.location)
    with pytest.raises(FormatError, match="symbolic link"):
        Vault.open(desk.folder, root=FileRoot(tmp_path / "link"))


def test_a_missing_root_is_unavailable(desk):
    desk.create().close()
    desk.root.location.unlink()
    with pytest.raises(StoreError, match="not there"):
        desk.open()


@pytest.mark.parametrize("size", [0, 103, 105])
def test_refuses_a_root_of_another_size(desk, size):
    desk.create().close()
    good = desk.root.location.read_bytes()
    desk.root.location.write_bytes((good + b"x")[:size])
    with pytest.raises(FormatError, match="104 bytes"):
        desk.open()
    desk.root.location.write_bytes(good)
    desk.open().close()


def test_refuses_a_root_that_is_no_file(desk):
    desk.create().close()
    desk.root.location.unlink()
    os.mkfifo(desk.root.location)
    with pytest.raises(FormatError, match="regular file"):
        desk.open()


def test_a_root_is_replaced_only_over_the_epoch_it_holds(desk):
    desk.create().close()
    with desk.root.read() as held:
        with pytest.raises(StateError, match="holds epoch 1"):
            desk.root.replace(held, over=2)
        desk.root.replace(held, over=1)


def test_a_missing_log_is_unavailable(desk):
    desk.create().close()
    desk.log.unlink()
    with pytest.raises(StoreError, match="no node log is there"):
        desk.open()


def test_a_file_the_asset_does_not_hold_is_not_found(desk):
    with desk.create() as vault:
        asset = vault.seal(desk.model, "model")
        for call in (asset.size, asset.open):
            with pytest.raises(FileNotFoundError, match="no file 'other'"):
                call("other")


def test_the_root_of_another_vault_is_the_wrong_credential(desk, tmp_path):
    desk.create().close()
    other = FileRoot(tmp_path / "other.root")
    Vault.create(tmp_path / "other", root=other).close()
    with pytest.raises(CredentialError, match="belongs to vault"):
        Vault.open(desk.folder, root=other)


def test_the_right_vault_and_epoch_with_another_key_is_tampered(desk):
    desk.create().close()
    data = bytearray(desk.root.location.read_bytes())
    from lifeseal.erasure import _root_record

    data[40] ^= 1
    data[72:] = _root_record._checksum(memoryview(data))
    desk.root.location.write_bytes(data)
    with pytest.raises(TamperedError, match="does not authenticate"):
        desk.open()


def test_a_folder_without_a_description_is_no_vault(desk, tmp_path):
    desk.create().close()
    with pytest.raises(FormatError, match="no vault"):
        Vault.open(desk.model, root=desk.root)


def test_an_epoch_not_reached_is_a_rollback(desk):
    desk.create().close()
    desk.open(at_least=1).close()
    with pytest.raises(RolledBackError, match="known to have reached 2"):
        desk.open(at_least=2)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, lifeseal.erasure; print([m for m in ('cryptography', 'numpy', 'ctypes', 'blake3') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
