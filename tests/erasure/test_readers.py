# SPDX-License-Identifier: Apache-2.0
"""Readers take no lock: whatever a writer does at the worst moment, they see the state before or the one after."""

import os

import pytest

from lifeseal.erasure import PassphraseRoot, Vault, _change, _passphrase
from lifeseal.erasure._root_record import SIZE
from lifeseal.errors import DestroyedError, FormatError, PendingError


@pytest.fixture
def filled(desk):
    with desk.create() as vault:
        for name in ("one", "two", "three"):
            vault.seal(desk.model, name).close()
    return desk


def once(act, when=lambda *_: True):
    """Run something the first time that it is asked to and may; return whether it did."""
    done = []

    def run(*arguments):
        if not done and when(*arguments):
            done.append(True)
            act()

    return run, done


def test_a_root_that_is_replaced_and_wiped_while_it_is_read_is_read_again(filled, monkeypatch):
    read = os.preadv
    with filled.open() as reader, filled.open() as writer:
        write, done = once(lambda: writer.erase(["one"]), lambda fd, views, _: sum(map(len, views)) == SIZE)

        def reading(fd, views, offset):
            write(fd, views, offset)
            return read(fd, views, offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "preadv", reading)
            with pytest.raises(DestroyedError):
                reader.asset("one")
        assert done
    filled.root.location.write_bytes(bytes(SIZE))  # the control: what was not replaced is refused
    with pytest.raises(FormatError, match="not a root"):
        filled.root.read()


def test_a_log_that_is_compacted_away_after_it_was_listed_is_looked_for_again(filled, monkeypatch):
    names = _change.log_names
    with filled.open() as writer:
        compact, done = once(writer.compact)

        def listing(folder):
            found = names(folder)
            compact()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(_change, "log_names", listing)
            with filled.open() as reader:
                assert reader.epoch == 8
        assert done


def test_a_log_that_is_not_there_is_told(filled, monkeypatch):
    monkeypatch.setattr(_change, "log_names", lambda _: (1, 2))
    with pytest.raises(FileNotFoundError, match="log-0000000000000002"):
        filled.open()


def test_a_check_goes_on_beside_a_writer_and_leaves_out_what_is_erased_meanwhile(filled):
    with filled.open() as reader, filled.open() as writer:

        def act():
            writer.erase(["two"])
            writer.compact()
            writer.seal(filled.model, "four").close()

        write, done = once(act)
        found = reader.verify(progress=write)
        assert done
        assert (found.epoch, found.containers) == (7, 8)
        again = reader.verify()
        assert (again.epoch, again.containers) == (11, 12)


def test_a_later_wrapped_root_that_a_writer_has_begun_with_makes_no_erasure_pending(tmp_path, monkeypatch):
    monkeypatch.setattr(_passphrase, "_MEMORY", 64)
    (tmp_path / "plain").write_bytes(b"x")
    folder, root = tmp_path / "vault", PassphraseRoot(b"x")
    with Vault.create(folder, root=root) as vault:
        vault.seal(tmp_path / "plain", "one").close()
        older = (folder / "root-0000000000000003").read_bytes()
        vault.erase(["one"])
        (folder / "root-0000000000000005").write_bytes(b"begun")
        with pytest.raises(DestroyedError):
            vault.asset("one")
        assert vault.info().pending == ()
        (folder / "root-0000000000000003").write_bytes(older)
        with pytest.raises(PendingError, match="root-0000000000000003"):
            vault.asset("one")
