# SPDX-License-Identifier: Apache-2.0
"""A root under keys of OpenBao's transit engine: the real server, and what its own command says."""

import datetime as dt
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from erasure.conftest import in_memory
from erasure.parts import claims_another_key, erase_is_old_or_new, erase_with_lost_requests, new_vault, settles, state
from erasure.test_interruption import Stopped
from lifeseal._io import Secret, encode_base64
from lifeseal.erasure import KeyState, OpenBaoRoot, Strength, Vault
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
from support import openbao
from support.proxy import Proxy

pytestmark = pytest.mark.skipif(openbao.program() is None, reason=openbao.NO_OPENBAO)
ID = b"a vault's id  16"


@pytest.fixture(scope="module")
def server():
    with openbao.on_disk() as running:
        yield running


@pytest.fixture
def mount(server):
    return server.mount()


@pytest.fixture
def make(server, mount):
    def made(*, retention=None, **options):
        return OpenBaoRoot(server.client(**options), mount=mount, retention=retention)

    return made


@pytest.fixture
def holder(make):
    return make()


@pytest.fixture
def proxy(server):
    with Proxy(server.url).running() as running:
        yield running


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


def only(holder, vault):
    (found,) = holder.versions(bytes.fromhex(json.loads((vault / "vault.json").read_bytes())["vault"]))
    return found


@pytest.fixture
def bao(server, mount):
    """Run an operator's command on a key: ``bao("write", version, "config", "name=value")``."""

    def run(verb, version, *rest, check=True):
        path = f"{mount}/keys/lifeseal-{version.name}"
        tail = [f"{path}/{rest[0]}", *rest[1:]] if rest else [path]
        flags = ["-f"] if verb == "write" and len(rest) < 2 else []
        return server.bao(verb, *flags, *tail, check=check)

    return run


def test_it_keeps_the_contract(server):
    check_wrapper(lambda: OpenBaoRoot(server.client(), mount=server.mount()))


@pytest.mark.slow
def test_an_erasure_killed_after_any_call_is_old_or_new(tmp_path, holder):
    erase_is_old_or_new(tmp_path, holder, when="after", error=Stopped())


@pytest.mark.slow
@pytest.mark.parametrize(("way", "first", "lasting"), [("before", 1, True), ("after", 1, False), ("twice", 2, False)])
def test_an_erasure_of_which_a_request_or_answer_is_lost_or_comes_twice_is_old_or_new(way, first, lasting, tmp_path, proxy, make, holder):
    """Every second one: a request that never came leaves the server as the lost answer of the one before."""
    outcomes = erase_with_lost_requests(tmp_path, proxy, make(url=proxy.url), holder, way=way, numbers=range(first, 100, 2), lasting=lasting)
    assert set(outcomes) >= ({"erased"} if way == "twice" else {"live", "pending", "erased"})


def test_an_answer_that_comes_late_is_a_store_error_that_says_what_is_not_known(tmp_path, proxy, make, holder):
    slow = make(url=proxy.url, timeout=0.5)
    new_vault(tmp_path, holder)
    with Vault.open(tmp_path / "vault", root=slow) as vault:
        proxy.plan(1, "late")
        with pytest.raises(StoreError, match=r"no answer to get .* whether it was done is not known") as caught:
            vault.erase(["first"])
        proxy.plan()
    assert "nothing was changed" not in str(caught.value)
    assert settles(tmp_path, holder) == ("live", "live")


def test_a_server_that_dies_in_the_middle_and_comes_back_has_the_old_root_or_the_new(tmp_path, holder, server, monkeypatch):
    """It is killed when the new root is in force and the old key is about to be trimmed."""
    new_vault(tmp_path, holder)
    real = OpenBaoRoot.destroy

    def dying(self, version):
        server.kill()
        return real(self, version)

    with Vault.open(tmp_path / "vault", root=holder) as vault:
        monkeypatch.setattr(OpenBaoRoot, "destroy", dying)
        with pytest.raises(PendingError, match=r"epoch 4 is in force, but key version .* is not destroyed: .*no answer to get"):
            vault.erase(["first"])
        with pytest.raises(StoreError, match="no answer"):
            vault.info()
        monkeypatch.undo()
        server.restart()
        assert len(vault.info().pending) == 1
    assert settles(tmp_path, holder) == ("pending", "erased")


def test_a_sealed_server_is_unavailable_and_changes_nothing(tmp_path, holder, server):
    new_vault(tmp_path, holder)
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        server.client().sys.seal()
        try:
            with pytest.raises(StoreError, match="Vault is sealed"):
                vault.erase(["first"])
            with pytest.raises(StoreError, match="Vault is sealed"):
                Vault.open(tmp_path / "vault", root=holder)
        finally:
            server.client().sys.submit_unseal_key(server.key)
            server.wait(active=True)
        assert state(vault) == "live"
    assert settles(tmp_path, holder) == ("live", "live")


def test_what_the_vault_erased_the_servers_own_command_refuses_too(tmp_path, holder, server, mount):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "copy")
    version = only(holder, vault)
    root = json.loads(next(vault.glob("root-*")).read_text().splitlines()[0])
    context = encode_base64(b"lifeseal.vault/1root" + bytes.fromhex(root["vault"]) + root["epoch"].to_bytes(8, "big"))
    decrypt = ("write", f"{mount}/decrypt/lifeseal-{version.name}", f"ciphertext=vault:v1:{root['wrapped']}", f"associated_data={context}")
    assert "plaintext" in server.bao(*decrypt).stdout
    with Vault.open(vault, root=holder) as opened:
        opened.erase(["first"])
    answer = server.bao(*decrypt, check=False)
    assert (answer.returncode != 0, "encryption key not found" in answer.stderr) == (True, True)
    assert version.name not in server.bao("list", f"{mount}/keys").stdout
    with pytest.raises(RolledBackError, match="is gone, and the holder has a newer one"):
        Vault.open(tmp_path / "copy", root=holder)


def test_min_decryption_version_is_no_erasure_because_it_can_be_lowered_again(tmp_path, holder, bao):
    """The trap: the server then shows as few versions as after a trim."""
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    bao("write", version, "rotate")
    bao("write", version, "config", "min_decryption_version=2", "min_encryption_version=2")
    assert re.search(r"keys +map\[2:[0-9]+\]\n", bao("read", version).stdout)
    assert holder.versions(bytes.fromhex(version.name[:32]))[0].state is KeyState.LIVE
    with pytest.raises(StoreError, match="switched off by min_decryption_version = 2, which can be taken back; nothing was destroyed"):
        Vault.open(vault, root=holder)
    bao("write", version, "config", "min_decryption_version=1", "min_encryption_version=0")
    with Vault.open(vault, root=holder) as opened:
        assert state(opened) == "live"


def test_a_trim_is_an_erasure_that_no_setting_takes_back(tmp_path, holder, bao):
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    bao("write", version, "rotate")
    bao("write", version, "config", "min_decryption_version=2", "min_encryption_version=2")
    bao("write", version, "trim", "min_available_version=2")
    answer = bao("write", version, "config", "min_decryption_version=1", check=False)
    assert "should not be less then min available version" in answer.stderr
    with pytest.raises(DestroyedError, match="was trimmed; its first version is gone"):
        Vault.open(vault, root=holder)


def test_a_soft_deleted_key_is_not_erased(tmp_path, holder, bao):
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    bao("write", version, "config", "deletion_allowed=true")
    bao("delete", version, "soft-delete")
    with pytest.raises(StoreError, match="soft-deleted, which can be taken back; nothing was destroyed"):
        Vault.open(vault, root=holder)
    bao("write", version, "soft-delete-restore")
    with Vault.open(vault, root=holder) as opened:
        assert state(opened) == "live"


@pytest.mark.parametrize("setting", ["exportable", "allow_plaintext_backup"])
def test_a_key_that_could_have_been_exported_wraps_nothing_and_its_end_proves_nothing(setting, tmp_path, holder, bao):
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    bao("write", version, "config", f"{setting}=true")
    with Secret.random() as key, pytest.raises(StateError, match=f"is {setting}, so a copy of it may exist"):
        holder.wrap(version.name, key, b"context")
    with Vault.open(vault, root=holder) as opened:
        with pytest.raises(PendingError, match=r"proves nothing: it wraps no root and was not destroyed\. If no copy was made, delete it"):
            opened.erase(["first"])
        assert state(opened) == "pending"
        bao("write", version, "config", "deletion_allowed=true")
        bao("delete", version)
        assert state(opened) == "erased"
    assert settles(tmp_path, holder) == ("erased", "erased")


def test_a_key_that_is_no_aes_gcm_or_was_brought_in_is_not_used(holder, server, mount):
    name = f"{ID.hex()}-{1:016d}-{'0' * 16}"
    server.bao("write", "-f", f"{mount}/keys/lifeseal-{name}", "type=chacha20-poly1305")
    with Secret.random() as key, pytest.raises(StateError, match="is type 'chacha20-poly1305'"):
        holder.wrap(name, key, b"context")


def test_a_key_made_again_under_the_same_name_opens_nothing(tmp_path, holder, bao):
    vault = new_vault(tmp_path, holder)
    version = only(holder, vault)
    bao("write", version, "config", "deletion_allowed=true")
    bao("delete", version)
    with pytest.raises(StoreError, match="the key of epoch 3 is not there, and no later one; nothing says that it was destroyed"):
        Vault.open(vault, root=holder)
    bao("write", version)
    with pytest.raises(TamperedError, match="the wrapped root was changed, or belongs elsewhere"):
        Vault.open(vault, root=holder)


def test_a_key_serves_one_vault_and_its_end_is_no_other_vaults(tmp_path, holder):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        new_vault(tmp_path / name, holder)
    before = only(holder, tmp_path / "two" / "vault")
    with Vault.open(tmp_path / "one" / "vault", root=holder) as opened:
        assert opened.id in only(holder, tmp_path / "one" / "vault").name
        opened.erase(["first"])
    assert only(holder, tmp_path / "two" / "vault") == before


def test_a_token_without_rights_is_a_credential_error(tmp_path, holder, make, server):
    vault = new_vault(tmp_path, holder)
    with pytest.raises(CredentialError, match=r"this token may not get .* or has expired"):
        Vault.open(vault, root=make(token="nobody"))
    expired = server.client().auth.token.create(ttl="1s", policies=["root"])["auth"]["client_token"]
    time.sleep(1.2)
    with pytest.raises(CredentialError, match="has expired"):
        Vault.open(vault, root=make(token=expired))
    assert settles(tmp_path, holder) == ("live", "live")


POLICY = """
path "{mount}/keys" {{ capabilities = ["list"] }}
path "{mount}/keys/lifeseal-*" {{ capabilities = ["create", "read", "update"{delete}] }}
path "{mount}/encrypt/lifeseal-*" {{ capabilities = ["update"] }}
path "{mount}/decrypt/lifeseal-*" {{ capabilities = ["update"] }}
"""


@pytest.fixture
def limited(server, mount, make):
    def limit(*, delete):
        policy = POLICY.format(mount=mount, delete=', "delete"' if delete else "")
        server.client().sys.create_or_update_policy(f"{mount}-{delete}", policy)
        return make(token=server.client().auth.token.create(policies=[f"{mount}-{delete}"])["auth"]["client_token"])

    return limit


@pytest.mark.parametrize("delete", [True, False])
def test_the_rights_that_the_page_names_suffice(delete, tmp_path, limited):
    """Without the right to delete, emptied keys stay, and are told from live ones."""
    holder = limited(delete=delete)
    vault = new_vault(tmp_path, holder)
    with Vault.open(vault, root=holder) as opened:
        opened.erase(["first"])
        assert state(opened) == "erased"
        states = [version.state for version in holder.versions(bytes.fromhex(opened.id))]
        assert states == [KeyState.LIVE] if delete else [*[KeyState.DESTROYED] * 2, KeyState.LIVE]
        assert opened.info().pending == ()


def test_the_page_names_these_rights():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "root-openbao.md").read_text()
    for line in POLICY.format(mount="transit", delete=', "delete"').strip().splitlines():
        assert f"\n> {line}\n" in page


def test_a_mount_that_is_not_there_is_unavailable_not_empty(holder, server):
    elsewhere = OpenBaoRoot(server.client(), mount="elsewhere")
    for call in (lambda: elsewhere.versions(ID), lambda: elsewhere.destroy(f"{ID.hex()}-{1:016d}-{'0' * 16}")):
        with pytest.raises(StoreError, match="is the transit engine mounted there"):
            call()
    assert holder.versions(ID) == ()


def test_a_vault_that_names_another_key_is_refused_before_any_connection(tmp_path, holder, server, mount):
    vault = new_vault(tmp_path, holder)
    text = "".join(path.read_text() for path in (vault / "vault.json", *vault.glob("root-*")))
    assert server.url not in text
    assert mount not in text
    claims_another_key(vault)
    nowhere = OpenBaoRoot(server.client(url="http://127.0.0.1:1"), mount=mount)
    with pytest.raises(CredentialError, match="the one given is of kind 'openbao', or another one"):
        Vault.open(vault, root=nowhere)


@pytest.mark.parametrize("name", ["../../sys/seal", "", "x" * 255, f"{ID.hex()}-1-00"])
def test_a_folder_names_no_path_on_the_server(name, holder):
    with Secret.random() as key:
        for call in (lambda: holder.unwrap(name, bytes(60), b"c"), lambda: holder.wrap(name, key, b"c"), lambda: holder.destroy(name)):
            with pytest.raises(FormatError, match="wrapped root, version"):
                call()


def test_a_second_host_is_refused_and_loses_nothing_of_the_first(tmp_path, holder, make):
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "other")
    with Vault.open(vault, root=holder) as opened, Vault.open(tmp_path / "other", root=make()) as other:
        opened.seal(tmp_path / "plain", "second").close()
        with pytest.raises(RolledBackError):
            other.erase(["first"])
        assert state(opened) == "live"
    with holder.locked(vault), pytest.raises(LockedError, match="a copy of this vault on this host"), make().locked(tmp_path / "other"):
        pass


def test_a_host_that_comes_in_between_makes_no_key(holder):
    holder.create(ID, 4)
    for epoch in (3, 4):
        with pytest.raises(StateError, match="holds a key of epoch 4 already; another host"):
            holder.create(ID, epoch)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": None},
        {"data": {"latest_version": "1"}},
        {"data": {"latest_version": True, "min_available_version": 0, "min_decryption_version": 1}},
        {"data": {"latest_version": 1, "min_available_version": 0, "min_decryption_version": 1, "exportable": "no", "type": "aes256-gcm96"}},
        [],
    ],
)
def test_an_answer_that_is_none_of_openbaos_decides_nothing(answer, holder, monkeypatch):
    monkeypatch.setattr(holder._client.adapter, "request", lambda *_, **__: answer)
    name = f"{ID.hex()}-{1:016d}-{'0' * 16}"
    for call in (lambda: holder.unwrap(name, bytes(60), b"c"), lambda: holder.destroy(name), lambda: holder.versions(ID)):
        with pytest.raises(StoreError):
            call()


def test_no_error_keeps_what_was_sent(tmp_path, holder, server):
    """The lower library's errors hold request and token; ours are not chained to them."""
    name = holder.create(ID, 1)
    server.kill()
    try:
        with Secret.random() as key, pytest.raises(StoreError) as caught:
            holder.wrap(name, key, b"context")
    finally:
        server.restart()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert server.token not in str(caught.value)


def test_a_plain_connection_is_for_loopback_alone(server):
    import hvac

    with pytest.raises(ValueError, match="an https address was expected, or one on loopback"):
        OpenBaoRoot(hvac.Client(url="http://bao.example.org:8200", token="t"))
    OpenBaoRoot(hvac.Client(url="https://bao.example.org:8200", token="t"))
    for mount in ("", "/", "a/../sys", "a b", "transit/"):
        with pytest.raises(ValueError, match="a mount is a path"):
            OpenBaoRoot(server.client(), mount=mount)


def test_what_it_says_of_itself_reaches_the_vault(tmp_path, make):
    holder = make(retention=dt.timedelta(days=14))
    assert (holder.strength, holder.retention) == (Strength.OPERATED, dt.timedelta(days=14))
    assert "no copy of a key outlives it by more than 14 days" in holder.assurance
    assert "was not declared" in make().assurance
    with Vault.open(new_vault(tmp_path, holder), root=holder) as opened:
        found = opened.info()
    assert (found.holder, found.assurance, found.losing, found.backing_up) == ("openbao", holder.assurance, holder.losing, holder.backing_up)


def test_a_snapshot_from_before_undoes_an_erasure_as_its_words_say(tmp_path, holder, server):
    """Why it is called operated: the limitation is real."""
    vault = new_vault(tmp_path, holder)
    shutil.copytree(vault, tmp_path / "copy")
    server.kill()
    shutil.copytree(server.folder / "data", tmp_path / "snapshot")
    server.restart()
    with Vault.open(vault, root=holder) as opened:
        opened.erase(["first"])
    server.kill()
    shutil.copytree(server.folder / "data", tmp_path / "now")
    shutil.rmtree(server.folder / "data")
    shutil.copytree(tmp_path / "snapshot", server.folder / "data")
    server.restart()
    with Vault.open(tmp_path / "copy", root=holder) as opened:
        assert state(opened) == "live"
    server.kill()
    shutil.rmtree(server.folder / "data")
    shutil.copytree(tmp_path / "now", server.folder / "data")
    server.restart()
    with pytest.raises(RolledBackError):
        Vault.open(tmp_path / "copy", root=holder)


def test_keys_of_others_in_the_mount_are_passed_over(holder, server, mount):
    for name in ("theirs", "lifeseal-x", f"lifeseal-{ID.hex()}"):
        server.bao("write", "-f", f"{mount}/keys/{name}")
    assert holder.versions(ID) == ()
    name = holder.create(ID, 1)
    assert [version.name for version in holder.versions(ID)] == [name]
    assert re.fullmatch(rf"{ID.hex()}-0{{15}}1-[0-9a-f]{{16}}", name)
    assert os.path.sep not in name
