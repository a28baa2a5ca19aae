# SPDX-License-Identifier: Apache-2.0
"""A root in the operating system's keyring: gnome-keyring on a bus of its own, and what secret-tool says."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from erasure.conftest import in_memory
from erasure.parts import claims_another_key, new_vault, state
from lifeseal._io import Secret, open_keyring
from lifeseal.erasure import FileRoot, HeldRoot, KeyringRoot, Strength, Vault
from lifeseal.errors import CredentialError, FormatError, LifesealError, LockedError, StateError, StoreError, TamperedError
from lifeseal.testing import Faults, check_cell
from support import secret_service

pytestmark = [
    pytest.mark.skipif(not secret_service.is_there(), reason=secret_service.NO_SERVICE),
    pytest.mark.filterwarnings(secret_service.LEAKS),
]
ID = b"a vault's id  16"
SERVICE = "lifeseal vault root"
NAMES = itertools.count()


@pytest.fixture(scope="module")
def service():
    with tempfile.TemporaryDirectory(prefix="keyring-", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:  # a socket's path is short
        made = secret_service.SecretService(Path(folder))
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", made.address)
        made.start()
        yield made
        made.stop()


@pytest.fixture
def again(service):
    """The service, started anew after a test has locked or killed it."""
    yield service
    service.kill()
    service.start()


@pytest.fixture
def make(service):
    return lambda: KeyringRoot(f"root {next(NAMES)}")


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


def root(epoch, vault=ID):
    return HeldRoot(vault=vault, epoch=epoch, key=Secret.random())


def hexadecimal(held):
    with held.key.view() as view:
        return view.hex()


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Watched:
    """A keyring whose calls are counted, and fail before or after they took effect."""

    def __init__(self, keyring, faults, at_fault=lambda: None):
        self._keyring = keyring
        self._faults = faults
        self._at_fault = at_fault

    def __getattr__(self, name):
        real = getattr(self._keyring, name)

        def call(*arguments):
            try:
                with self._faults.call(name):
                    return real(*arguments)
            except ConnectionError:
                self._at_fault()
                raise

        return call


def watch(patch, faults, **options):
    patch.setattr("lifeseal.erasure._keyring_root.open_keyring", lambda: Watched(open_keyring(), faults, **options))


def test_it_keeps_the_contract(make):
    check_cell(make)


def test_another_tool_sees_one_entry_and_nothing_of_an_old_root(make, service, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    with holder.read() as held:
        before = hexadecimal(held)
    with Vault.open(folder, root=holder) as vault:
        vault.erase(["first"])
    with holder.read() as held:
        after = hexadecimal(held)
    told = service.tool("search", "--all", "service", SERVICE, "username", holder._name)
    assert told.stdout.count("secret = ") == 1
    assert after in told.stdout
    assert service.tool("lookup", "service", SERVICE, "username", holder._name).returncode == 0
    assert before not in told.stdout
    with Vault.open(folder, root=holder) as vault:
        vault.rehome(FileRoot(tmp_path / "file.root"))
    assert service.tool("lookup", "service", SERVICE, "username", holder._name).returncode != 0


@pytest.mark.parametrize("backend", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "keyring.backends.chainer.ChainerBackend"])
def test_the_environment_chooses_no_keyring(backend, make, service, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    holder = make()
    with root(1) as one:
        holder.replace(one, over=None)
    assert service.tool("lookup", "service", SERVICE, "username", holder._name).returncode == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replacement_whose_daemon_dies_at_any_call_is_old_or_new(when, make, again):
    holder, epoch, seen = make(), 1, []
    with root(1) as one:
        holder.replace(one, over=None)
    for at in range(1, 9):
        faults = Faults(at, when=when, error=ConnectionError("lost"), lasting=True)
        with root(epoch + 1) as new, pytest.MonkeyPatch.context() as patch:
            watch(patch, faults, at_fault=again.kill)
            try:
                holder.replace(new, over=epoch)
                acknowledged = True
            except StoreError:
                acknowledged = False
            patch.undo()
            again.start()
            with holder.read() as held:
                changed = held.epoch == epoch + 1
                assert held.epoch in {epoch, epoch + 1}
                assert not changed or held.key.same_as(new.key)
                assert changed or not acknowledged
                epoch = held.epoch
        seen.append(changed)
        if at > len(faults.calls):
            assert acknowledged
            break
    else:
        raise AssertionError("the replacement never ran through")
    assert seen == ([False, False, True, True] if when == "before" else [False, True, True, True])


@pytest.mark.parametrize(("when", "then"), [("before", "live"), ("after", "erased")])
def test_an_erasure_whose_daemon_dies_at_the_write_is_settled_by_the_next_change(when, then, make, again, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    real = holder.replace

    def replace(new, *, over):
        with pytest.MonkeyPatch.context() as patch:
            watch(patch, Faults(2, when=when, error=ConnectionError("lost"), lasting=True), at_fault=again.kill)
            real(new, over=over)

    with Vault.open(folder, root=holder) as vault:
        holder.replace = replace
        with pytest.raises(StoreError, match="does not answer: ConnectionError") as caught:
            vault.erase(["first"])
        del holder.replace
    assert "the root cannot be read now: it is not known whether the keys are gone" in caught.value.__notes__[0]
    again.start()
    with Vault.open(folder, root=holder) as vault:
        assert state(vault) == then
        vault.seal(tmp_path / "plain", "next").close()
        assert state(vault) == then
        vault.verify()


def test_a_locked_keyring_is_a_matter_of_credentials_and_none_at_all_of_the_store(make, again, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    before = files(folder)
    with Vault.open(folder, root=holder) as vault:
        again.lock()
        for act in (lambda: vault.erase(["first"]), lambda: vault.asset("first")):
            with pytest.raises(CredentialError, match="the keyring is locked; unlock it"):
                act()
        again.kill()
        with pytest.raises(StoreError, match="no keyring that is known to keep secrets"):
            vault.erase(["first"])
        again.start()
        assert state(vault) == "live"
    assert files(folder) == before


def test_an_entry_that_was_removed_behind_our_back_is_missed_and_nothing_is_written(make, service, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    before = files(folder)
    with Vault.open(folder, root=holder) as vault:
        assert service.tool("clear", "service", SERVICE, "username", holder._name).returncode == 0
        assert open_keyring().get_password(SERVICE, holder._name) is None
        with pytest.raises(StoreError, match="is not there; without it the vault cannot be read"):
            vault.erase(["first"])
    with root(2) as two, pytest.raises(StateError, match="is not there, and epoch 1"):
        holder.replace(two, over=1)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("hunter2", FormatError, "a root in hexadecimal digits was expected"),
        ("AB" * 104, FormatError, "a root in hexadecimal digits was expected"),
        ("00" * 104, FormatError, "not a root of this version"),
        ((b"lifeseal.root/1\n" + bytes(88)).hex(), TamperedError, "its checksum does not fit"),
    ],
)
def test_what_is_there_but_is_no_root_is_refused_kept_and_not_shown(text, error, message, make):
    holder = make()
    open_keyring().set_password(SERVICE, holder._name, text)
    with root(2) as two:
        for act in (holder.read, lambda: holder.replace(two, over=1), lambda: holder.replace(two, over=None), lambda: holder.clear(ID, 1)):
            with pytest.raises(error, match=message) as caught:
                act()
            assert text not in str(caught.value)
    assert open_keyring().get_password(SERVICE, holder._name) == text


def test_a_second_entry_of_the_name_does_not_pass_for_the_root(make):
    """Another program may make one with other attributes; a change that does not read back is no change."""
    import secretstorage

    holder = make()
    with root(1) as one, root(2) as two:
        holder.replace(one, over=None)
        text = open_keyring().get_password(SERVICE, holder._name)
        connection = secretstorage.dbus_init()
        twin = secretstorage.get_default_collection(connection).create_item(
            "twin", {"service": SERVICE, "username": holder._name, "made": "by another"}, text.encode()
        )
        try:
            holder.replace(two, over=1)
        except TamperedError as error:
            refused = str(error)
        else:
            refused = ""
            with holder.read() as held:
                assert held.key.same_as(two.key)
        twin.delete()
        connection.close()
        with holder.read() as held:
            assert held.epoch == 2
        assert refused in {"", f"keyring, {holder._name!r}: reads back differently from what was written; is there a second entry of that name?"}


def test_what_the_libraries_below_raise_is_an_error_of_ours(make, monkeypatch):
    import jeepney.wrappers
    import keyring.errors
    import secretstorage.exceptions

    holder = make()
    for raised in (
        secretstorage.exceptions.PromptDismissedException("dismissed"),
        secretstorage.exceptions.SecretServiceNotAvailableException("gone"),
        jeepney.wrappers.DBusErrorResponse(type("Message", (), {"header": type("H", (), {"fields": {4: "org.x"}})(), "body": ()})()),
        keyring.errors.PasswordSetError("no"),
        ConnectionResetError("reset"),
        EOFError("end"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            watch(patch, Faults(1, error=raised))
            with pytest.raises(StoreError, match="the keyring does not answer"):
                holder.read()


def test_a_folder_that_names_another_entry_is_refused_before_the_keyring_is_asked(make, tmp_path, monkeypatch):
    holder = make()
    folder = new_vault(tmp_path, holder)
    assert holder._name.encode() not in (folder / "vault.json").read_bytes()
    claims_another_key(folder)
    faults = Faults()
    watch(monkeypatch, faults)
    with pytest.raises(CredentialError, match="or another one"):
        Vault.open(folder, root=holder)
    assert faults.calls == []


def test_on_another_host_the_same_name_is_another_entry(make, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    shutil.copytree(folder, tmp_path / "copy")
    here = os.environ["DBUS_SESSION_BUS_ADDRESS"]
    with tempfile.TemporaryDirectory(prefix="keyring-", dir="/tmp") as other, pytest.MonkeyPatch.context() as patch:
        elsewhere = secret_service.SecretService(Path(other))
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", elsewhere.address)
        elsewhere.start()
        try:
            with pytest.raises(StoreError, match="is not there"):
                Vault.open(tmp_path / "copy", root=holder)
            Vault.create(tmp_path / "other", root=holder).close()
            with pytest.raises(CredentialError, match="the root given belongs to vault"):
                Vault.open(tmp_path / "copy", root=holder)
        finally:
            elsewhere.stop()
    assert os.environ["DBUS_SESSION_BUS_ADDRESS"] == here
    with Vault.open(folder, root=holder) as vault:
        vault.erase(["first"])
    with pytest.raises(LifesealError, match="copied or restored from before a change"):
        Vault.open(tmp_path / "copy", root=holder)


def test_copies_of_a_vault_on_one_host_lock_one_another_out(make, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    with Vault.open(folder, root=KeyringRoot(holder._name)) as vault, holder.locked(tmp_path), pytest.raises(LockedError, match="being written to"):
        vault.erase(["first"])


def test_a_vault_moves_into_a_keyring_and_out_again(make, tmp_path):
    before, held, after = FileRoot(tmp_path / "a.root"), make(), FileRoot(tmp_path / "b.root")
    folder = new_vault(tmp_path, before)
    with Vault.open(folder, root=before) as vault:
        assert vault.rehome(held).old.state == "destroyed"
        assert vault.rehome(after).old.state == "destroyed"
        assert state(vault) == "live"
        assert [entry.kind for entry in vault.info().holders] == ["file", "keyring", "file"]


def test_what_is_declared_is_told_and_what_cannot_be_a_name_is_refused():
    holder = KeyringRoot("a")
    assert (holder.strength, holder.retention) == (Strength.BEST_EFFORT, None)
    assert holder.assurance.startswith("Best effort")
    assert len(holder.fingerprint) == 32
    assert holder.fingerprint != KeyringRoot("b").fingerprint
    for name in ("", "x" * 201, "a\nb"):
        with pytest.raises(ValueError, match="1 to 200 printable characters"):
            KeyringRoot(name)
