# SPDX-License-Identifier: Apache-2.0
"""The recovery table: a change that fails at any call of its holder is as before or as after, and the next writer settles it."""

import copy
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from crash.harness import fork
from erasure.conftest import in_memory
from erasure.test_interruption import Stopped, every_stop
from lifeseal._io import Secret
from lifeseal.erasure import KeyState, PassphraseRoot, Vault
from lifeseal.errors import CredentialError, DestroyedError, LifesealError, PendingError, RolledBackError, StateError, StoreError, TamperedError
from lifeseal.testing import Faults, MemoryCell, MemoryWrapper

PLAIN = b"plaintext of an asset"
ACTS = {
    "seal": lambda vault, plain: vault.seal(plain, "second").close(),
    "erase": lambda vault, _: vault.erase(["first"]),
    "compact": lambda vault, _: vault.compact(),
}
HOLDERS = {"cell": MemoryCell, "wrapper": MemoryWrapper, "scheduling wrapper": lambda faults=None: MemoryWrapper(faults, scheduled=True)}
each_act = pytest.mark.parametrize("act", ACTS)
each_holder = pytest.mark.parametrize("kind", HOLDERS)


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


@pytest.fixture
def plain(tmp_path):
    (tmp_path / "plain").write_bytes(PLAIN)
    return tmp_path / "plain"


def contents(vault, folder):
    """Read what is there by name; an erased asset reads as None, one that was never there is left out."""
    found = {}
    for name in ("first", "second", "bystander"):
        try:
            with vault.asset(name) as asset, asset.open("plain") as reader:
                buffer = bytearray(reader.size)
                reader.readinto(memoryview(buffer), 0)
                found[name] = bytes(buffer)
        except DestroyedError:
            found[name] = None
        except StoreError as error:
            if "no asset" not in str(error):
                raise
    return found


BEFORE = {"first": PLAIN, "bystander": PLAIN}
AFTER = {"seal": {**BEFORE, "second": PLAIN}, "erase": {"first": None, "bystander": PLAIN}, "compact": BEFORE}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """One vault under each sort of holder; `prepared` copies it."""
    place = tmp_path_factory.mktemp("bases")
    (place / "plain").write_bytes(PLAIN)
    found = {}
    for kind, make in HOLDERS.items():
        holder = make()
        with Vault.create(place / kind, root=holder) as vault:
            vault.seal(place / "plain", "first").close()
            vault.seal(place / "plain", "bystander").close()
        if kind == "scheduling wrapper":
            holder.complete()
        found[kind] = holder
    return place, found


@pytest.fixture
def prepared(bases):
    def prepare(place, kind):
        folder, holders = bases
        shutil.copytree(folder / kind, place / "vault")
        holder = HOLDERS[kind]()
        for name in ("_content", "_versions"):
            if hasattr(holder, name):
                setattr(holder, name, copy.deepcopy(getattr(holders[kind], name)))
        return holder

    return prepare


@pytest.mark.parametrize("error", [StoreError("down"), Stopped()], ids=["refused", "killed"])
@pytest.mark.parametrize("when", ["before", "after"])
@each_holder
@each_act
def test_a_change_that_fails_at_any_call_of_its_holder_is_old_or_new(act, kind, when, error, tmp_path, plain, prepared):
    seen = []
    for at in range(1, 200):
        place = tmp_path / str(at)
        place.mkdir()
        holder = prepared(place, kind)
        other = None if kind == "cell" else holder.create(b"another vault 16", 1)
        holder.faults = Faults(at, when=when, error=error, lasting=isinstance(error, Stopped))
        try:
            with Vault.open(place / "vault", root=holder) as vault:
                ACTS[act](vault, plain)
            acknowledged = True
        except (LifesealError, Stopped) as caught:
            acknowledged = False
            seen.append(type(caught).__name__)
        reached = at <= len(holder.faults.calls)
        holder.faults = Faults()
        with Vault.open(place / "vault", root=holder) as vault:
            try:
                found = contents(vault, place)
            except PendingError:
                found = "pending"
            due = [AFTER[act]] if kind != "scheduling wrapper" else [AFTER[act], "pending"]
            assert found in (due if acknowledged else [BEFORE, AFTER[act], "pending"])
            vault.seal(plain, "next").close()
            if kind == "scheduling wrapper":
                holder.complete()
            settled = contents(vault, place)
            assert settled in [BEFORE, AFTER[act]]
            if found != "pending":
                assert settled == found
        if kind != "cell":
            live = [version.name for version in holder.versions(vault._session.id) if version.state is KeyState.LIVE]
            assert len(live) == 1
            assert [version.name for version in holder.versions(b"another vault 16")] == [other]
            assert len(list((place / "vault").glob("root-*"))) == 1
        assert len(list((place / "vault").glob("log-*"))) == 1
        shutil.rmtree(place)
        if not reached:
            assert acknowledged
            break
    else:
        raise AssertionError("the act never ran through")
    assert len(seen) > 3


@pytest.mark.parametrize("way", [{}, {"error": OSError(5, "Input/output error"), "for_good": False}], ids=["killed", "refused"])
@each_act
def test_a_change_under_a_wrapper_stopped_at_any_call_of_the_disk_is_old_or_new(act, way, tmp_path, plain, monkeypatch, prepared):
    holders = {}

    def prepare(limit):
        place = tmp_path / str(limit)
        place.mkdir()
        holders[place] = prepared(place, "wrapper")
        return place

    def run(place):
        with Vault.open(place / "vault", root=holders[place]) as vault:
            ACTS[act](vault, plain)

    for place, finished in every_stop(monkeypatch, prepare, run, **way):
        with Vault.open(place / "vault", root=holders[place]) as vault:
            try:
                found = contents(vault, place)
            except PendingError:
                found = None
            assert found in ([AFTER[act]] if finished else [BEFORE, AFTER[act], None])
            vault.seal(plain, "next").close()
            assert contents(vault, place) in ([AFTER[act]] if finished else [BEFORE, AFTER[act]])
        assert len([v for v in holders[place].versions(vault._session.id) if v.state is KeyState.LIVE]) == 1
        shutil.rmtree(place)


def test_an_erasure_whose_old_root_is_not_destroyed_is_pending_until_it_is(tmp_path, plain, prepared):
    holder = prepared(tmp_path, "wrapper")
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        destroy = holder.destroy
        holder.destroy = lambda version: (_ for _ in ()).throw(StoreError("down"))
        with pytest.raises(PendingError, match=r"epoch 6 is in force, but key version .* is not destroyed: down") as caught:
            vault.erase(["first"])
        assert "not yet for good: the keys are gone" in caught.value.__notes__[0]
        assert len(vault.info().pending) == 1
        with pytest.raises(PendingError, match="not everything older is gone yet"):
            vault.asset("first")
        for change in (lambda: vault.seal(plain, "x"), vault.compact, lambda: vault.erase(["bystander"])):
            with pytest.raises(PendingError):
                change()
        assert contents_of(vault, "bystander") == PLAIN
        holder.destroy = destroy
        with pytest.raises(DestroyedError):
            vault.erase(["first"])
        with pytest.raises(DestroyedError):
            vault.asset("first")
        assert vault.info().pending == ()


def contents_of(vault, name):
    with vault.asset(name) as asset, asset.open("plain") as reader:
        buffer = bytearray(reader.size)
        reader.readinto(memoryview(buffer), 0)
    return bytes(buffer)


def test_what_a_wrapper_only_schedules_is_told_and_keeps_a_compaction_away(tmp_path, plain, prepared):
    holder = prepared(tmp_path, "scheduling wrapper")
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        erasure = vault.erase(["first"])
        assert len(erasure.pending) == 1
        assert vault.info().pending == erasure.pending
        with pytest.raises(PendingError, match="has still to be destroyed"):
            vault.compact()
        holder.complete()
        assert vault.info().pending == ()
        vault.compact()


def test_a_copy_of_the_folder_from_before_is_unreadable_and_says_so(tmp_path, plain, prepared):
    holder = prepared(tmp_path, "wrapper")
    shutil.copytree(tmp_path / "vault", tmp_path / "copy")
    Vault.open(tmp_path / "copy", root=holder).close()
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        vault.erase(["first"])
    with pytest.raises(RolledBackError, match="the key version of epoch 5 is gone, and the holder has a newer one"):
        Vault.open(tmp_path / "copy", root=holder)


def test_of_two_copies_that_write_one_lives_on(tmp_path, plain, prepared):
    holder = prepared(tmp_path, "wrapper")
    shutil.copytree(tmp_path / "vault", tmp_path / "copy")
    with Vault.open(tmp_path / "vault", root=holder) as vault, Vault.open(tmp_path / "copy", root=holder) as copy:
        vault.seal(plain, "second").close()
        with pytest.raises(RolledBackError):
            copy.erase(["first"])
        assert contents(vault, tmp_path) == AFTER["seal"]


def test_a_vault_whose_every_key_version_is_destroyed_is_destroyed(tmp_path, plain, prepared):
    holder = prepared(tmp_path, "wrapper")
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        for version in holder.versions(vault._session.id):
            holder.destroy(version.name)
    with pytest.raises(DestroyedError):
        Vault.open(tmp_path / "vault", root=holder)


def test_a_planted_root_names_no_version_that_would_be_destroyed(tmp_path, plain, prepared):
    """The folder is attacker input: a root of a later epoch that names another vault's key, or the one in force."""
    holder = prepared(tmp_path, "wrapper")
    foreign = holder.create(b"another vault 16", 1)
    real = (tmp_path / "vault" / "root-0000000000000005").read_text().splitlines()[0]
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        current = holder.versions(vault._session.id)[0].name
        for name in (foreign, current):
            text = real.replace('"epoch":5', '"epoch":99').replace(current, name)
            (tmp_path / "vault" / "root-0000000000000099").write_text(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
            vault.seal(plain, f"next {name}").close()
            assert [version.name for version in holder.versions(b"another vault 16")] == [foreign]
            assert contents(vault, tmp_path)["first"] == PLAIN
            assert len(list((tmp_path / "vault").glob("root-*"))) == 1


def test_a_wrapper_that_does_not_know_the_version_in_force_destroys_nothing(tmp_path, plain, prepared):
    holder = prepared(tmp_path, "wrapper")
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        holder.create(vault._session.id, 7)
        holder.versions = lambda vault: ()
        with pytest.raises(StoreError, match="does not list the key version in force; nothing was destroyed"):
            vault.erase(["first"])
        del holder.versions
        assert len(holder.versions(vault._session.id)) == 2
        assert contents(vault, tmp_path) == BEFORE


def test_a_wrapper_with_several_later_versions_belongs_to_a_newer_folder_and_keeps_them(tmp_path, plain, prepared):
    """As after a restore of the folder, and an old key version that somebody brought back."""
    holder = prepared(tmp_path, "wrapper")
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        identity = vault._session.id
        later = [holder.create(identity, epoch) for epoch in (6, 7)]
        with pytest.raises(StoreError, match="2 key versions later than that of this folder; nothing was destroyed"):
            vault.erase(["first"])
        assert [version.name for version in holder.versions(identity)][1:] == later
        holder.destroy(later[0])
        vault.erase(["first"])
        assert len(holder.versions(identity)) == 1


def test_what_was_staged_for_a_change_that_failed_is_forgotten(tmp_path, plain, prepared, monkeypatch):
    holder = prepared(tmp_path, "cell")
    monkeypatch.setattr("lifeseal.erasure._pages.PAGE_LIMIT", 300)  # so that the next name splits a page
    with Vault.open(tmp_path / "vault", root=holder) as vault:
        holder.faults = Faults(1 << 30)
        before = len(holder.faults.calls)
        vault.seal(plain, "counted").close()
        calls = len(holder.faults.calls) - before
        for at in range(1, calls + 1):
            holder.faults = Faults(at)
            with pytest.raises(StoreError):
                vault.seal(plain, "second").close()
            holder.faults = Faults()
            assert contents(vault, tmp_path) == BEFORE
        vault.seal(plain, "second").close()
        assert contents(vault, tmp_path) == AFTER["seal"]


def test_a_passphrase_that_two_threads_use_wraps_under_no_other_key(tmp_path, monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._passphrase._MEMORY", 64)
    root = PassphraseRoot(b"x")
    versions = [root.create(bytes(16), epoch) for epoch in range(8)]

    def there_and_back(version):
        with Secret.random() as key:
            for _ in range(40):
                with root.unwrap(version, root.wrap(version, key, b"c"), b"c") as found:
                    assert found.same_as(key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(there_and_back, versions))


@pytest.mark.parametrize(
    "change", [lambda data: data[:-2], lambda data: data.replace(b'"epoch":5', b'"epoch":6'), lambda data: b"{}"], ids=["cut", "epoch", "other"]
)
def test_a_damaged_root_is_tampering_not_a_wrong_credential(change, tmp_path, plain, prepared):
    holder = prepared(tmp_path, "wrapper")
    path = tmp_path / "vault" / "root-0000000000000005"
    good = path.read_bytes()
    path.write_bytes(change(good))
    with pytest.raises(TamperedError, match="root-0000000000000005"):
        Vault.open(tmp_path / "vault", root=holder)
    path.write_bytes(good)
    Vault.open(tmp_path / "vault", root=holder).close()


def test_a_vault_opens_with_its_passphrase_alone(tmp_path, plain, prepared):
    with Vault.create(tmp_path / "vault", root=PassphraseRoot(b"correct horse")) as vault:
        vault.seal(plain, "first").close()
    with Vault.open(tmp_path / "vault", root=PassphraseRoot(bytearray(b"correct horse"))) as vault:
        assert contents_of(vault, "first") == PLAIN
        before = (tmp_path / "vault" / "root-0000000000000003").read_bytes()
        vault.erase(["first"])
        assert len(list((tmp_path / "vault").glob("root-*"))) == 1
        with pytest.raises(DestroyedError):
            vault.asset("first")
    with pytest.raises(CredentialError, match="the passphrase does not open") as caught:
        Vault.open(tmp_path / "vault", root=PassphraseRoot(b"wrong horse"))
    assert b"horse" not in repr(caught.value).encode()
    # What its assurance says: an older root in the folder, and the passphrase, bring back what was erased.
    shutil.copytree(tmp_path / "vault", tmp_path / "copy")
    (tmp_path / "copy" / "root-0000000000000003").write_bytes(before)
    (tmp_path / "copy" / "root-0000000000000004").unlink()
    with pytest.raises(RolledBackError):
        Vault.open(tmp_path / "copy", root=PassphraseRoot(b"correct horse"))


def test_a_passphrase_does_not_pass_a_fork(tmp_path, plain):
    root = PassphraseRoot(b"x")
    Vault.create(tmp_path / "vault", root=root).close()
    child = fork()
    if child == 0:
        status = 1
        try:
            Vault.open(tmp_path / "vault", root=root)
        except StateError as error:
            status = 0 if "does not pass a fork" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    Vault.open(tmp_path / "vault", root=root).close()


def test_an_empty_passphrase_is_refused():
    with pytest.raises(ValueError, match="must not be empty"):
        PassphraseRoot(b"")
    PassphraseRoot(b"x").close()
