# SPDX-License-Identifier: Apache-2.0
"""Checking, compacting and describing a vault."""

import shutil
from unittest import mock

import pytest

from erasure.conftest import in_memory
from lifeseal import signing
from lifeseal.attestation import KeySigner, generate_key
from lifeseal.erasure import FileRoot, PassphraseRoot, Vault, check_structure
from lifeseal.erasure import _asset as asset_module
from lifeseal.erasure._compact import most_in_use, write_tree
from lifeseal.erasure._map import DIRECTORY
from lifeseal.errors import DestroyedError, FormatError, LifesealError, PolicyError, RolledBackError, StoreError, TamperedError
from lifeseal.principles import sink_for_block


@pytest.fixture
def filled(desk):
    """Two live assets and an erased one."""
    with desk.create() as vault:
        for name in ("one", "two", "gone"):
            vault.seal(desk.model, name).close()
        vault.erase(["gone"])
    return desk


def test_a_whole_vault_verifies_and_says_what_was_looked_at(filled):
    seen = []
    with filled.open() as vault:
        found = vault.verify(progress=seen.append)
    assert (found.vault, found.epoch, found.batches, found.slots, found.containers, found.size) == (vault.id, 8, 8, 4, 8, 2 * 76802)
    assert (seen[-1].done, seen[-1].total) == (2 * 76802, 2 * 76802)
    form = check_structure(filled.folder)
    assert (form.vault, form.epoch, form.batches, form.containers, form.size) == (vault.id, 0, 8, 8, 0)


def test_every_flipped_byte_of_a_small_vault_is_found(tmp_path, pytestconfig):
    """A sample of all bytes of all files; with --long all of them."""
    step = 1 if pytestconfig.getoption("--long") else 499
    with in_memory() as place:
        root = FileRoot(place / "root")
        (place / "plain").write_bytes(bytes(100))
        with Vault.create(place / "vault", root=root) as vault:
            vault.seal(place / "plain", "one").close()
            vault.compact()
        log = place / "vault" / "log-0000000000000004"
        for path in (path for path in sorted((place / "vault").rglob("*")) if path.is_file()):
            good = path.read_bytes()
            # The last block of a log only helps to tell that an older root is older: it may be lost.
            for position in range(0, len(good) - (512 if path == log else 0), step):
                path.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
                with pytest.raises(LifesealError), Vault.open(place / "vault", root=root) as vault:
                    vault.verify()
            path.write_bytes(good)
        with Vault.open(place / "vault", root=root) as vault:
            vault.verify()


def test_damage_that_no_key_is_needed_for_is_found_without_one(filled):
    log = filled.log
    container = min(filled.objects, key=lambda path: path.stat().st_size)
    for path, position, length in ((log, 700, None), (log, 5, None), (container, None, -1), (container, None, 40)):
        good = path.read_bytes()
        path.write_bytes(good[:position] + b"\xff" + good[position + 1 :] if position is not None else good[:length])
        with pytest.raises((FormatError, TamperedError), match=path.name):
            check_structure(filled.folder)
        path.write_bytes(good)
    check_structure(filled.folder)
    log.unlink()
    with pytest.raises(StoreError, match="no node log"):
        check_structure(filled.folder)
    with pytest.raises(FormatError, match="no vault"):
        check_structure(filled.model)


def test_a_missing_container_is_found(filled):
    filled.objects[0].unlink()
    with filled.open() as vault, pytest.raises(StoreError, match="not there"):
        vault.verify()


def test_what_a_vault_says_of_itself(filled):
    with filled.open() as vault:
        info = vault.info()
    assert (info.epoch, info.holder, info.live, info.erased, info.pending) == (8, "file", 2, 1, ())
    assert info.log_size == filled.log.stat().st_size
    assert "loses everything" in info.losing
    assert "undoes every erasure" in info.backing_up


def test_a_passphrase_says_that_the_folder_itself_must_not_be_backed_up(tmp_path):
    with Vault.create(tmp_path / "vault", root=PassphraseRoot(b"x")) as vault:
        assert "a backup of the folder" in vault.info().backing_up
        assert "Forgetting" in vault.info().losing


def test_compaction_keeps_everything_and_drops_the_rest(filled, tmp_path, content_of):
    with filled.open() as vault:
        infos = vault.assets()
        done = vault.compact()
        assert (done.epoch_before, done.epoch_after, done.not_removed) == (8, 9, ())
        assert done.size_after < done.size_before / 3
        assert filled.log.name == "log-0000000000000009"
        assert filled.log.stat().st_size == done.size_after
        assert vault.assets() == infos
        assert vault.verify().batches == 1
        with pytest.raises(DestroyedError, match="erased at epoch 8"):
            vault.asset("gone")
        vault.unseal("two", tmp_path / "two")
        vault.erase(["two"])
        assert vault.seal(filled.model, "gone").generation == 2
    assert content_of(tmp_path / "two") == content_of(filled.model)
    with filled.open() as vault:
        vault.verify()
        assert vault.epoch == 12


def test_an_open_reader_goes_on_after_a_compaction(filled):
    with filled.open() as vault, filled.open() as other:
        asset = other.asset("one")
        vault.compact()
        assert asset.open("weights.bin").size == 76800
        assert [info.state for info in other.assets()] == ["live", "live", "erased"]


def test_a_copy_from_before_a_compaction_is_a_rollback(filled, tmp_path):
    shutil.copytree(filled.folder, tmp_path / "copy")
    with filled.open() as vault:
        vault.compact()
    with pytest.raises(RolledBackError, match="newest change is of epoch 8, the root is at epoch 9"):
        Vault.open(tmp_path / "copy", root=filled.root)


def test_a_compaction_that_reads_back_differently_is_not_put_in_force(filled, monkeypatch):
    """Whatever was written: slot, head and page are compared with the old tree."""

    def another_head(old, log, edits, head, batch, *, whole):
        import attrs

        return write_tree(old, log, edits, attrs.evolve(head, live=7), batch, whole=whole)

    def another_slot(old, log, edits, head, batch, *, whole):
        from lifeseal.erasure._nodes import State
        from lifeseal.erasure._tree import Edit

        return write_tree(old, log, [Edit(start=0, stop=1, state=State.ERASED)], head, batch, whole=whole)

    def no_nodes(old, log, edits, head, batch, *, whole):
        return write_tree(None, None, [], head, batch)

    with filled.open() as vault:
        for write in (another_head, another_slot, no_nodes):
            with monkeypatch.context() as patch:
                patch.setattr("lifeseal.erasure._compact.write_tree", write)
                with pytest.raises(TamperedError, match="the new log"):
                    vault.compact()
            assert filled.log.name == "log-0000000000000001"
            assert vault.verify().epoch == 8
        vault.compact()


def test_a_damaged_vault_is_not_compacted(filled):
    good = filled.log.read_bytes()
    data = bytearray(good)
    with filled.open() as vault:
        data[vault._session.current().tree.slot(DIRECTORY).place + 40] ^= 1
        filled.log.write_bytes(data)
        with pytest.raises(TamperedError):
            vault.compact()
        filled.log.write_bytes(good)
        vault.compact()


class _Sink:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


@pytest.fixture
def small_floor(monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._compact.FLOOR", 100_000)
    monkeypatch.setattr("lifeseal.erasure._compact._FACTOR", 1)


def test_what_adds_to_a_vault_compacts_a_log_of_which_little_is_in_use_and_an_erasure_does_not(filled, small_floor, content_of, tmp_path):
    sink = _Sink()
    with filled.open() as vault, sink_for_block(sink):
        vault.erase(["one"])
        assert filled.log.name == "log-0000000000000001"
        info = vault.info()
        assert info.log_size > 2 * info.log_in_use
        vault.seal(filled.model, "three").close()
        assert filled.log.name == "log-0000000000000010"
        assert vault.epoch == 12
        assert vault.info().log_size < info.log_size
        vault.verify()
        vault.unseal("three", tmp_path / "out")
        with pytest.raises(DestroyedError, match="erased at epoch 9"):
            vault.asset("one")
        vault.subjects.create_many(["ann"])
        assert filled.log.name == "log-0000000000000013"
    assert content_of(tmp_path / "out") == content_of(filled.model)
    (sealed,) = [event.facts for event in sink.events if event.primitive.endswith("Vault.seal")]
    assert (sealed["compacted"], sealed["epoch"]) == (10, 12)


def test_a_small_log_is_left_as_it_is(filled):
    with filled.open() as vault:
        vault.seal(filled.model, "three").close()
    assert filled.log.name == "log-0000000000000001"


def test_what_stops_a_compaction_stops_no_seal(filled, small_floor, monkeypatch):
    sink = _Sink()
    with filled.open() as vault:
        with monkeypatch.context() as patch:
            full = OSError(28, "no space left")
            patch.setattr("lifeseal.erasure._compact.write_log", mock.Mock(side_effect=full))
            with sink_for_block(sink):
                vault.seal(filled.model, "three").close()
        with monkeypatch.context() as patch:
            patch.setattr(
                "lifeseal.erasure._compact.write_tree", lambda old, log, edits, head, batch, *, whole: write_tree(None, None, [], head, batch)
            )
            with sink_for_block(sink):
                vault.seal(filled.model, "four").close()
        assert [event.facts["not_compacted"] for event in sink.events] == ["OSError", "TamperedError"]
        assert filled.log.name == "log-0000000000000001"
        assert vault.verify().epoch == 12
        vault.seal(filled.model, "five").close()
        assert filled.log.name == "log-0000000000000013"


def test_no_more_is_in_use_than_is_said(tmp_path):
    with in_memory() as place, Vault.create(place / "vault", root=FileRoot(place / "root")) as vault:
        (place / "plain").write_bytes(b"x")
        for number, people in enumerate((0, 1, 700, 5000)):
            vault.seal(place / "plain", f"asset {number}").close()
            vault.subjects.create_many([f"{number}-{person}" for person in range(people)])
            size = vault.compact().size_after
            assert size <= vault.info().log_in_use
            assert vault.info().log_in_use == size  # as nothing else is there
            assert most_in_use(vault._session.current().tree.head) < size + 20 * 40_960


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def test_a_reader_asks_again_before_its_key_is_old(filled, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(asset_module, "time", clock)
    with filled.open() as vault, filled.open() as other:
        asset = other.asset("one")
        buffer = memoryview(bytearray(10))
        with asset.open("weights.bin") as reader:
            vault.erase(["one"])
            clock.now += asset_module.MAX_KEY_AGE - 1
            assert reader.readinto(buffer, 0) == 10
            clock.now += 2
            with pytest.raises(DestroyedError, match="generation 1 of asset 'one' was erased"):
                reader.readinto(buffer, 0)
            with pytest.raises(DestroyedError):
                asset.open("weights.bin")


def test_the_signature_beside_a_single_file_travels_with_it(filled, tmp_path):
    generate_key(tmp_path / "key")
    signer = KeySigner.from_file(tmp_path / "key.key")
    model = tmp_path / "weights.safetensors"
    model.write_bytes(bytes(100_000))
    signing.sign(model, signer=signer)
    with filled.open() as vault:
        with vault.seal(model, "signed") as asset:
            assert (asset.names(), asset.signature) == (("weights.safetensors",), "weights.safetensors.sig")
            with signing.open_model(asset, policy=signer.public) as signed:
                assert signed.read("weights.safetensors") == bytes(100_000)
        assert {info.name: info.files for info in vault.assets()}["signed"] == 1
        vault.unseal("signed", tmp_path / "out.bin")
        assert (tmp_path / "out.bin.sig").read_bytes() == (tmp_path / "weights.safetensors.sig").read_bytes()
        vault.verify()
        with pytest.raises(FileExistsError):
            vault.unseal("signed", tmp_path / "out.bin")
        generate_key(tmp_path / "other")
        with vault.asset("signed") as asset, pytest.raises(PolicyError):
            signing.open_model(asset, policy=KeySigner.from_file(tmp_path / "other.key").public)
        (tmp_path / "weights.safetensors.sig").unlink()
        with vault.seal(model, "unsigned") as asset:
            assert asset.signature is None
            with pytest.raises(PolicyError, match="unsigned"):
                signing.open_model(asset, policy=signer.public)


def test_a_signed_folder_carries_its_signature(filled, tmp_path):
    generate_key(tmp_path / "key")
    signer = KeySigner.from_file(tmp_path / "key.key")
    signing.sign(filled.model, signer=signer)
    with filled.open() as vault, vault.seal(filled.model, "signed") as asset, signing.open_model(asset, policy=signer.public) as signed:
        assert {entry.path for entry in signed.files} == {"weights.bin", "deep/config.json", "deep/er/empty"}
