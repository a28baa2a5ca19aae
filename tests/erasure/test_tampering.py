# SPDX-License-Identifier: Apache-2.0
"""Changed, cut, extended and swapped bytes are refused wherever they lie, and nothing is written from them."""

import pytest

from lifeseal.erasure import Vault
from lifeseal.erasure._layout import object_name
from lifeseal.errors import CredentialError, DestroyedError, FormatError, RolledBackError, StoreError, TamperedError

FLIPS = (0x01, 0x80)


@pytest.fixture
def small(desk, tmp_path):
    (tmp_path / "one").write_bytes(b"forty bytes of plaintext to be sealed up")
    with desk.create() as vault:
        vault.seal(tmp_path / "one", "one")
    return desk


def flipped(path):
    good = path.read_bytes()
    for position in range(len(good)):
        for bit in FLIPS:
            path.write_bytes(good[:position] + bytes([good[position] ^ bit]) + good[position + 1 :])
            yield position
    path.write_bytes(good)


def test_every_flipped_byte_of_the_root_is_refused(small):
    for position in flipped(small.root.location):
        with pytest.raises(FormatError if position < 16 else TamperedError, match=r"vault\.root"):
            small.open()
    small.open().close()


def test_every_flipped_byte_of_the_description_is_refused(small):
    for _ in flipped(small.folder / "vault.json"):
        with pytest.raises((FormatError, CredentialError)):
            small.open()
    small.open().close()


def test_every_flipped_byte_of_a_container_is_tampering(small, tmp_path):
    with small.open() as vault:
        for path in small.objects:
            for _ in flipped(path):
                with pytest.raises(TamperedError):
                    vault.unseal("one", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        vault.unseal("one", tmp_path / "out")


def container_of(desk, size):
    (found,) = [path for path in desk.objects if path.stat().st_size == 56 + size + 16 * (size // 16384 + 1)]
    return found


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 32768, 76800, 81920])
def test_a_container_cut_or_extended_anywhere_is_tampering(desk, tmp_path, size):
    plain = tmp_path / "plain"
    plain.write_bytes((bytes(range(256)) * (size // 256 + 1))[:size])
    with desk.create() as vault:
        vault.seal(plain, "one")
        path = container_of(desk, size)
        good = path.read_bytes()
        stride = 16384 + 16
        near = {56 + chunk * stride + more for chunk in range(6) for more in (-16, -1, 0, 1, 15, 16, 17)}
        cuts = [good[:n] for n in sorted(near | {0, 1, 55, 16383, 16384, 16385, 32768, len(good) - 16, len(good) - 1}) if n < len(good)]
        longer = [good + bytes(n) for n in (1, 16, stride)] + [good + good[56:], good[: 56 + stride] + bytes(1) + good[56:]]
        for bad in cuts + longer:
            path.write_bytes(bad)
            with pytest.raises(TamperedError):
                vault.unseal("one", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        path.write_bytes(good)
        vault.unseal("one", tmp_path / "out")


def test_swapped_chunks_are_tampering_and_leave_nothing_in_the_buffer(desk):
    with desk.create() as vault:
        asset = vault.seal(desk.model, "model")
        path = container_of(desk, 76800)
        good = path.read_bytes()
        stride = 16384 + 16
        path.write_bytes(good[:56] + good[56 + stride : 56 + 2 * stride] + good[56 : 56 + stride] + good[56 + 2 * stride :])
        buffer = bytearray(b"\xaa" * 40000)
        with asset.open("weights.bin") as reader, pytest.raises(TamperedError, match="byte 0"):
            reader.readinto(memoryview(buffer), 0)
        assert bytes(buffer) == bytes(40000)


def test_a_fault_in_the_last_of_many_files_leaves_no_folder_behind(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        path = container_of(desk, 76800)
        good = path.read_bytes()
        path.write_bytes(good[:20000] + bytes([good[20000] ^ 1]) + good[20001:])
        with pytest.raises(TamperedError, match="byte 16384"):
            vault.unseal("model", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        path.write_bytes(good)
        vault.unseal("model", tmp_path / "out")


def test_containers_swapped_within_and_between_assets_are_tampering(desk, tmp_path):
    for name in ("a", "b"):
        (desk.model / name).write_bytes(name.encode() * 5000)
    with desk.create() as vault:
        vault.seal(desk.model, "one")
        vault.seal(desk.model, "two")
        same = [path for path in desk.objects if path.stat().st_size == 56 + 5000 + 16]
        assert len(same) == 4
        for left, right in ((same[0], same[1]), (same[0], same[2])):
            contents = left.read_bytes(), right.read_bytes()
            left.write_bytes(contents[1])
            right.write_bytes(contents[0])
            verdicts = [_reads(vault, name, tmp_path / f"{name}-{right.name}") for name in ("one", "two")]
            assert not all(verdicts)
            left.write_bytes(contents[0])
            right.write_bytes(contents[1])
        assert _reads(vault, "one", tmp_path / "one")
        assert _reads(vault, "two", tmp_path / "two")


def _reads(vault, name, out):
    try:
        vault.unseal(name, out)
    except TamperedError:
        return False
    return True


def test_a_container_of_an_earlier_generation_is_tampering(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        old = container_of(desk, 76800).read_bytes()
        vault.erase(["model"])
        vault.seal(desk.model, "model")
        container_of(desk, 76800).write_bytes(old)
        with pytest.raises(TamperedError):
            vault.unseal("model", tmp_path / "out")


def test_an_index_of_an_earlier_generation_is_tampering(desk, tmp_path):
    with desk.create() as vault:

        def index():
            session = vault._session
            return desk.folder / object_name(session.find_live(session.current(), "model").index)

        vault.seal(desk.model, "model").close()
        old = index().read_bytes()
        vault.erase(["model"])
        vault.seal(desk.model, "model").close()
        new = index().read_bytes()
        assert len(new) == len(old)
        index().write_bytes(old)
        with pytest.raises(TamperedError, match="index"):
            vault.asset("model")
        index().write_bytes(new)
        vault.unseal("model", tmp_path / "out")


def test_a_missing_container_is_unavailable(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        container_of(desk, 76800).unlink()
        with pytest.raises(StoreError, match=r"weights\.bin.*not there"):
            vault.unseal("model", tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_linked_container_is_refused_and_a_linked_folder_of_them_left_alone(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
        path = container_of(desk, 76800)
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
        with pytest.raises(FormatError, match="symbolic link"):
            vault.unseal("model", tmp_path / "out")
        path.unlink()
        (tmp_path / "moved").rename(path)
        (desk.folder / "objects").rename(tmp_path / "objects")
        (desk.folder / "objects").symlink_to(tmp_path / "objects")
        with pytest.raises(FormatError, match="a folder was expected"):
            vault.seal(desk.model, "other")
        with pytest.raises(FormatError, match="symbolic link"):
            vault.unseal("model", tmp_path / "out")
        assert vault.erase(["model"]).not_removed == ("objects",)
        with pytest.raises(DestroyedError):
            vault.asset("model")
        assert len(list((tmp_path / "objects").iterdir())) == 4


@pytest.mark.parametrize("name", ["vault.json", "log-0000000000000001"])
def test_a_description_or_log_that_is_a_link_is_refused(small, tmp_path, name):
    path = small.folder / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(FormatError, match=rf"{name}.*symbolic link"):
        small.open()
    path.unlink()
    (tmp_path / "moved").rename(path)
    small.open().close()


@pytest.mark.parametrize("name", ["vault.json", "log-0000000000000001"])
def test_a_description_or_log_that_is_a_folder_is_refused(small, tmp_path, name):
    path = small.folder / name
    path.rename(tmp_path / "moved")
    path.mkdir()
    with pytest.raises(FormatError, match=rf"{name}.*regular file was expected"):
        small.open()
    path.rmdir()
    (tmp_path / "moved").rename(path)
    small.open().close()


def test_a_vault_that_is_a_file_is_refused(small, tmp_path):
    """A description beside it is not its own."""
    (tmp_path / "vault.json").write_bytes((small.folder / "vault.json").read_bytes())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FormatError, match="a folder was expected"):
        Vault.open(tmp_path / "file", root=small.root)
    (tmp_path / "link").symlink_to(small.folder)
    Vault.open(tmp_path / "link", root=small.root).close()


@pytest.mark.parametrize("place", [-1, -500, -1025, -3000], ids=["note", "note's magic", "trailer", "node"])
def test_a_log_damaged_at_its_end_is_tampering_not_a_rollback(desk, place):
    with desk.create() as vault:
        vault.seal(desk.model, "model")
    good = desk.log.read_bytes()
    bad = bytearray(good)
    bad[place] ^= 1
    desk.log.write_bytes(bad)
    if place > -512:  # the note is not needed to read
        desk.open().close()
    elif place > -1025:
        with pytest.raises(TamperedError):
            desk.open()
    else:
        with pytest.raises(TamperedError), desk.open() as vault:
            vault.verify()
    desk.log.write_bytes(good[:-700])
    with pytest.raises(TamperedError, match="the change of epoch 3 was damaged or cut"):
        desk.open()
    desk.log.write_bytes(good)
    desk.open().close()


def test_an_old_log_is_a_rollback(desk):
    with desk.create() as vault:
        old = desk.log.read_bytes()
        vault.seal(desk.model, "model")
    good = desk.log.read_bytes()
    desk.log.write_bytes(old)
    with pytest.raises(RolledBackError, match="newest change is of epoch 1, the root is at epoch 3"):
        desk.open()
    desk.log.write_bytes(good)
    desk.open().close()


def test_a_description_of_another_holder_is_refused_before_the_root_is_read(desk):
    desk.create().close()
    path = desk.folder / "vault.json"
    path.write_bytes(path.read_bytes().replace(b'"file"', b'"tpm"'))
    desk.root.location.unlink()
    with pytest.raises(CredentialError, match="'tpm'"):
        desk.open()


def test_a_description_that_says_more_is_refused(desk):
    desk.create().close()
    path = desk.folder / "vault.json"
    good = path.read_bytes()
    for bad in (good[:-1] + b',"library":"/tmp/evil.so"}', good + b" ", b"{}", good * 2000):
        path.write_bytes(bad)
        with pytest.raises(Exception, match=r"vault\.json"):
            Vault.open(desk.folder, root=desk.root)
    path.write_bytes(good)
    desk.open().close()
