# SPDX-License-Identifier: Apache-2.0
"""A root under keys of a PKCS#11 token: SoftHSM2, and what its own tools and OpenSC's say."""

import datetime as dt
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from crash.harness import fork
from erasure.conftest import in_memory
from erasure.parts import LOST, PLAIN, claims_another_key, erase_is_old_or_new, new_vault, settles, state
from erasure.test_interruption import Stopped
from lifeseal._io import Secret
from lifeseal.erasure import KeyState, Pkcs11Root, Strength, Vault
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    FormatError,
    LockedError,
    PendingError,
    RolledBackError,
    StateError,
    StoreError,
    TamperedError,
)
from lifeseal.testing import check_wrapper
from support import softhsm

pytestmark = pytest.mark.skipif(not softhsm.is_there(), reason=softhsm.NO_SOFTHSM)
ID = b"a vault's id  16"


@pytest.fixture(scope="module")
def token():
    return softhsm.new_token()


@pytest.fixture
def make(token):
    def made(pin=softhsm.PIN, **options):
        return Pkcs11Root(softhsm.LIBRARY, token=options.pop("token", token), pin=pin, **options)

    return made


@pytest.fixture
def holder(make):
    return make()


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


@pytest.fixture
def keys(token):
    """A session beside ours, for what an operator does with the token."""
    import pkcs11

    session = pkcs11.lib(softhsm.LIBRARY).get_token(token_label=token).open(rw=True, user_pin=softhsm.PIN.decode())
    yield session
    session.close()


def listed(token):
    """Ask OpenSC's tool for the ids of all secret keys."""
    return set(re.findall(r"ID:\s+([0-9a-f]+)", softhsm.tool(token, "--list-objects", "--type", "secrkey").stdout))


def object_id(version):
    _, epoch, tag = version.name.split("-")
    return f"{int(epoch):016x}{tag}"


def only(holder, vault):
    (found,) = holder.versions(bytes.fromhex(json.loads((vault / "vault.json").read_bytes())["vault"]))
    return found


def test_it_keeps_the_contract():
    check_wrapper(lambda: Pkcs11Root(softhsm.LIBRARY, token=softhsm.new_token(), pin=softhsm.PIN))


@pytest.mark.slow
@pytest.mark.parametrize(("when", "error"), [("before", LOST), ("after", LOST), ("after", Stopped())], ids=["refused", "lost", "killed"])
def test_an_erasure_interrupted_at_any_call_is_old_or_new(when, error, tmp_path, holder):
    erase_is_old_or_new(tmp_path, holder, when=when, error=error)


KILLED = """
import os, signal, sys
from lifeseal.erasure import Pkcs11Root, Vault

library, token, folder, call, when = sys.argv[1:]
real = getattr(Pkcs11Root, call)

def killed(self, *arguments):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)

vault = Vault.open(folder, root=Pkcs11Root(library, token=token, pin=sys.stdin.buffer.read()))
setattr(Pkcs11Root, call, killed)
vault.erase(["first"])
"""


@pytest.mark.parametrize(("call", "when", "due"), [("create", "after", "live"), ("destroy", "before", "pending"), ("destroy", "after", "erased")])
def test_a_killed_process_leaves_a_token_that_the_next_one_settles(call, when, due, tmp_path, holder, token):
    vault = new_vault(tmp_path, holder)
    command = [sys.executable, "-c", KILLED, softhsm.LIBRARY, token, vault, call, when]
    assert subprocess.run(command, input=softhsm.PIN, check=False).returncode == -signal.SIGKILL
    found, after = settles(tmp_path, holder)
    assert (found, after) == (due, "live" if due == "live" else "erased")


def test_the_key_is_sensitive_and_no_tool_reads_it(tmp_path, holder, token):
    version = only(holder, new_vault(tmp_path, holder))
    shown = softhsm.tool(token, "--list-objects", "--type", "secrkey", "--id", object_id(version)).stdout
    assert "Access:     sensitive, always sensitive, never extractable, local" in shown
    answer = softhsm.tool(token, "--read-object", "--type", "secrkey", "--id", object_id(version), check=False)
    assert answer.returncode != 0
    assert "failed" in answer.stderr


def use_with_opensc(token, key, folder):
    """Encrypt with the key, through OpenSC's tool; it knows AES-CBC, which our keys allow too."""
    (folder / "in").write_bytes(bytes(16))
    options = ("--encrypt", "--id", key, "-m", "AES-CBC", "--iv", "00" * 16, "--input-file", str(folder / "in"), "--output-file", str(folder / "out"))
    return softhsm.tool(token, *options, check=False)


def test_what_the_vault_erased_the_tokens_own_tools_refuse_too(tmp_path, holder, token):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "copy")
    old = object_id(only(holder, vault))
    assert old in listed(token)
    assert use_with_opensc(token, old, tmp_path).returncode == 0
    with Vault.open(vault, root=holder) as opened:
        opened.erase(["first"])
    new = object_id(only(holder, vault))
    assert old not in listed(token)
    assert new in listed(token)
    assert use_with_opensc(token, new, tmp_path).returncode == 0
    assert use_with_opensc(token, old, tmp_path).returncode != 0
    with pytest.raises(RolledBackError, match="is gone, and the holder has a newer one"):
        Vault.open(tmp_path / "copy", root=holder)


def test_a_copied_key_would_survive_so_no_key_can_be_copied(tmp_path, holder, keys):
    import pkcs11

    version = only(holder, new_vault(tmp_path, holder))
    found = keys.get_key(id=bytes.fromhex(object_id(version)))
    with pytest.raises(pkcs11.PKCS11Error):
        found.copy({pkcs11.Attribute.LABEL: "a copy"})
    ours = keys.generate_key(pkcs11.KeyType.AES, 128, template={pkcs11.Attribute.COPYABLE: True})
    assert ours.copy({pkcs11.Attribute.LABEL: "a copy"}) is not None


def test_a_wrong_pin_is_a_credential_error_that_says_so_and_is_tried_once(tmp_path, holder, make, token, monkeypatch):
    vault = new_vault(tmp_path, holder)
    before = listed(token)
    wrong = make(b"9999")
    tries = []
    real = Pkcs11Root._log_in
    monkeypatch.setattr(Pkcs11Root, "_log_in", lambda self, found: tries.append(1) or real(self, found))
    for _ in range(3):
        with pytest.raises(CredentialError, match="the PIN is wrong; it is not tried again"):
            Vault.open(vault, root=wrong)
    assert len(tries) == 1
    assert listed(token) == before
    with Vault.open(vault, root=make()) as opened:
        assert state(opened) == "live"


@pytest.mark.parametrize("pin", [b"\xff\xfe", "fünf".encode()])
def test_a_pin_that_the_token_cannot_take_is_a_credential_error(pin, make):
    with pytest.raises(CredentialError):
        make(pin).versions(ID)


@pytest.mark.parametrize(("flag", "said"), [("USER_PIN_LOCKED", "the PIN is locked"), ("USER_PIN_FINAL_TRY", "one wrong PIN more locks it")])
def test_a_locked_token_and_one_about_to_lock_are_not_tried(flag, said, holder, monkeypatch):
    import pkcs11

    def open_it(**_):
        raise AssertionError("tried to log in")

    token = SimpleNamespace(flags=getattr(pkcs11.TokenFlag, flag), open=open_it)
    monkeypatch.setattr(holder, "_token", lambda: token)
    with pytest.raises(CredentialError, match=said):
        holder.create(ID, 1)


def test_a_pin_that_gets_locked_in_the_middle_of_an_erasure_says_what_was_done(tmp_path, holder, monkeypatch):
    vault = new_vault(tmp_path, holder)
    with Vault.open(vault, root=holder) as opened:

        def destroy(_):
            raise CredentialError("token: the PIN is locked")

        monkeypatch.setattr(holder, "destroy", destroy)
        with pytest.raises(PendingError, match=r"epoch 4 is in force, but key version .* is not destroyed: token: the PIN is locked") as caught:
            opened.erase(["first"])
        assert "not yet for good: the keys are gone" in "".join(caught.value.__notes__)
        monkeypatch.undo()
    assert settles(tmp_path, holder) == ("pending", "erased")


def test_a_token_that_is_not_there_destroys_nothing_and_comes_back(tmp_path, holder, make):
    vault = new_vault(tmp_path, holder)
    with pytest.raises(StoreError, match="token 'elsewhere': not there"):
        make(token="elsewhere").versions(ID)
    with Vault.open(vault, root=holder) as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(holder, "_label", "pulled out")
        with pytest.raises(StoreError, match="not there; is it plugged in"):
            opened.erase(["first"])
    assert settles(tmp_path, holder) == ("live", "live")


@pytest.mark.parametrize("module", ["/nonexistent/library.so", sys.executable])
def test_a_library_that_is_none_is_a_store_error(module):
    with pytest.raises(StoreError, match="not reached, or it fails"):
        Pkcs11Root(module, token="t", pin=b"1").versions(ID)


def test_a_library_is_named_by_the_caller_in_full():
    with pytest.raises(ValueError, match="absolute path"):
        Pkcs11Root("libsofthsm2.so", token="t", pin=b"1")
    for wrong in ({"token": "", "pin": b"1"}, {"token": "t", "pin": b""}):
        with pytest.raises(ValueError, match="a label and a PIN"):
            Pkcs11Root("/lib.so", **wrong)


def test_a_vault_that_names_another_key_is_refused_before_any_library_is_loaded(tmp_path, holder, token):
    vault = new_vault(tmp_path, holder)
    document = json.loads((vault / "vault.json").read_bytes())
    assert document["holder"] == {"kind": "pkcs11", "fingerprint": holder.fingerprint}
    Vault.open(vault, root=holder).close()
    claims_another_key(vault)
    with pytest.raises(CredentialError, match="the one given is of kind 'pkcs11', or another one"):
        Vault.open(vault, root=Pkcs11Root("/nonexistent/library.so", token=token, pin=b"1"))


@pytest.mark.parametrize("name", ["../../../etc/passwd", "", "x" * 255, f"{ID.hex()}-1-00", f"{ID.hex()}-{1:016d}-{'G' * 16}"])
def test_a_folder_names_no_key_that_is_not_written_as_ours(name, holder):
    with Secret.random() as key:
        for call in (lambda: holder.unwrap(name, bytes(60), b"c"), lambda: holder.wrap(name, key, b"c"), lambda: holder.destroy(name)):
            with pytest.raises(FormatError, match="wrapped root, version"):
                call()


def test_a_token_emptied_behind_our_back_is_unavailable_not_erased(tmp_path, holder, token):
    vault = new_vault(tmp_path, holder)
    softhsm.tool(token, "--delete-object", "--type", "secrkey", "--id", object_id(only(holder, vault)))
    with pytest.raises(StoreError, match="the key of epoch 3 is not there, and no later one; nothing says that it was destroyed"):
        Vault.open(vault, root=holder)


def make_key(keys, vault_id, identity, **attributes):
    import pkcs11

    flags = pkcs11.MechanismFlag
    template = {getattr(pkcs11.Attribute, name): value for name, value in attributes.items()}
    return keys.generate_key(
        pkcs11.KeyType.AES,
        256,
        label=f"lifeseal {vault_id}",
        id=bytes.fromhex(identity),
        store=True,
        capabilities=flags.ENCRYPT | flags.DECRYPT,
        template=template,
    )


STRICT = {"EXTRACTABLE": False, "MODIFIABLE": False, "COPYABLE": False}


def test_a_key_made_again_under_the_same_name_opens_nothing(tmp_path, holder, token, keys):
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    softhsm.tool(token, "--delete-object", "--type", "secrkey", "--id", object_id(version))
    make_key(keys, version.name[:32], object_id(version), **STRICT)
    with pytest.raises(TamperedError, match="the wrapped root was changed, or belongs elsewhere"):
        Vault.open(vault, root=holder)


def test_of_two_keys_with_one_name_none_is_used_or_destroyed(tmp_path, holder, keys):
    version = only(holder, new_vault(tmp_path, holder))
    make_key(keys, version.name[:32], object_id(version), **STRICT)
    with pytest.raises(StateError, match=r"2 keys are named .*, one of which somebody planted; nothing was destroyed"):
        holder.destroy(version.name)
    assert len(holder.versions(bytes.fromhex(version.name[:32]))) == 2
    with pytest.raises(StateError, match="none is used"):
        Vault.open(tmp_path / "vault", root=holder)


@pytest.mark.parametrize("loose", [{"EXTRACTABLE": True}, {"COPYABLE": True}, {"MODIFIABLE": True}, {"SENSITIVE": False}])
def test_a_key_that_could_have_been_copied_is_neither_used_nor_destroyed(loose, holder, keys):
    identity = f"{1:016x}{os.urandom(8).hex()}"
    planted = make_key(keys, os.urandom(16).hex(), identity, **(STRICT | loose))
    name = f"{planted.label.split()[1]}-{1:016d}-{identity[16:]}"
    with Secret.random() as key:
        for call in (lambda: holder.wrap(name, key, b"c"), lambda: holder.unwrap(name, bytes(60), b"c"), lambda: holder.destroy(name)):
            with pytest.raises(StateError, match="destroying it proves nothing"):
                call()
    assert len(holder.versions(bytes.fromhex(name[:32]))) == 1
    planted.destroy()


def test_a_token_that_does_not_keep_keys_as_asked_makes_none(holder, token, monkeypatch):
    before = listed(token)
    monkeypatch.setattr("lifeseal.erasure._pkcs11_root._is_kept", lambda key: False)
    with pytest.raises(StateError, match="keeps no root"):
        holder.create(os.urandom(16), 1)
    assert listed(token) == before


def test_a_key_that_the_token_says_it_destroyed_and_keeps_is_no_erasure(tmp_path, holder, monkeypatch):
    new_vault(tmp_path, holder)
    real = Pkcs11Root._matching
    monkeypatch.setattr(Pkcs11Root, "_matching", lambda self, session, name: [_Undying(key) for key in real(self, session, name)])
    with (
        Vault.open(tmp_path / "vault", root=holder) as opened,
        pytest.raises(PendingError, match=r"says that it destroyed the key .* and still has it"),
    ):
        opened.erase(["first"])
    monkeypatch.undo()
    assert settles(tmp_path, holder) == ("pending", "erased")


class _Undying:
    def __init__(self, key):
        self._key = key

    def __getattr__(self, name):
        return getattr(self._key, name)

    def __getitem__(self, name):
        return self._key[name]

    def destroy(self):
        pass


def test_another_vaults_keys_are_left_alone(tmp_path, holder):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        new_vault(tmp_path / name, holder)
    before = only(holder, tmp_path / "two" / "vault")
    with Vault.open(tmp_path / "one" / "vault", root=holder) as opened:
        opened.erase(["first"])
    assert only(holder, tmp_path / "two" / "vault") == before


def test_a_second_host_is_refused_and_loses_nothing_of_the_first(tmp_path, holder, make):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "other")
    with Vault.open(vault, root=holder) as opened, Vault.open(tmp_path / "other", root=make()) as other:
        opened.seal(tmp_path / "plain", "second").close()
        with pytest.raises(RolledBackError):
            other.erase(["first"])
        assert state(opened) == "live"


def test_a_host_that_comes_in_between_makes_no_key(tmp_path, holder):
    """Both are at one epoch, and one is quicker."""
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    identity = bytes.fromhex(version.name[:32])
    quicker = holder.create(identity, 4)
    for epoch in (3, 4):
        with pytest.raises(StateError, match=r"holds a key of epoch [34] already; another host writes to this vault"):
            holder.create(identity, epoch)
    holder.destroy(quicker)
    assert holder.versions(identity) == (version,)


def test_copies_on_one_host_share_the_lock(tmp_path, holder, make):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "copy")
    (tmp_path / "another").mkdir()
    another = new_vault(tmp_path / "another", holder)
    with holder.locked(vault):
        with pytest.raises(LockedError, match="a copy of this vault on this host is being written to"), make().locked(tmp_path / "copy"):
            pass
        with holder.locked(another):
            pass
    with make().locked(tmp_path / "copy"):
        pass


def test_threads_with_holders_of_their_own_share_the_one_login(tmp_path, make):
    (tmp_path / "plain").write_bytes(PLAIN)
    errors = []

    def live(number):
        try:
            with Vault.create(tmp_path / f"vault{number}", root=make()) as vault:
                vault.seal(tmp_path / "plain", "first").close()
                vault.erase(["first"])
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_login_of_another_part_of_the_process_is_used_and_not_ended(holder, keys):
    name = holder.create(os.urandom(16), 1)
    keys.generate_random(64)
    assert list(keys.get_objects({})) != []
    assert holder.destroy(name) is KeyState.DESTROYED


def test_it_does_not_pass_a_fork(holder):
    holder.versions(ID)

    child = fork()
    if child == 0:
        try:
            holder.versions(ID)
        except StateError as error:
            os._exit(0 if "does not pass a fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_hardware_is_declared_and_the_slot_must_say_so_too(holder, make):
    assert (holder.strength, holder.retention) == (Strength.BEST_EFFORT, None)
    assert "nobody declared that it is hardware" in holder.assurance
    declared = make(hardware=True, retention=dt.timedelta(days=30))
    assert (declared.strength, declared.retention) == (Strength.HARDWARE, dt.timedelta(days=30))
    assert "no copy of a key outlives it by more than 30 days" in declared.assurance
    with pytest.raises(StateError, match="its slot says that it is not"):
        declared.versions(ID)


def test_what_it_says_of_itself_reaches_the_vault(tmp_path, holder):
    vault = new_vault(tmp_path, holder)
    with Vault.open(vault, root=holder) as opened:
        found = opened.info()
    assert (found.holder, found.assurance, found.losing, found.backing_up) == ("pkcs11", holder.assurance, holder.losing, holder.backing_up)


def test_closing_zeroes_the_pin(make):
    holder = make()
    holder.close()
    holder.close()
    with pytest.raises(ValueError, match="closed"):
        holder.versions(ID)


def test_a_destroyed_key_is_told_from_one_that_never_was(holder):
    vault = os.urandom(16)
    first, second = holder.create(vault, 1), holder.create(vault, 2)
    holder.destroy(first)
    with pytest.raises(DestroyedError, match="was destroyed; a later one is there"):
        holder.unwrap(first, bytes(60), b"c")
    holder.destroy(second)
    with pytest.raises(StoreError, match="nothing says that it was destroyed"):
        holder.unwrap(second, bytes(60), b"c")
