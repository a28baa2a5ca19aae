# SPDX-License-Identifier: Apache-2.0
"""A root in an NV index of a TPM: swtpm, and what tpm2-tools say."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from crash.harness import fork
from erasure.conftest import in_memory
from erasure.parts import claims_another_key, new_vault, state
from lifeseal._io import Secret
from lifeseal.erasure import FileRoot, HeldRoot, Strength, TpmRoot, Vault
from lifeseal.errors import CredentialError, FormatError, LifesealError, LimitError, LockedError, StateError, StoreError, TamperedError
from lifeseal.testing import check_cell
from support import swtpm

pytestmark = pytest.mark.skipif(not swtpm.is_there(), reason=swtpm.NO_SWTPM)
AUTH = b"a secret of the index"
ID, OTHER = b"a vault's id  16", b"another vault 16"
NUMBERS = itertools.count(0x01500000)
NV_WRITE, NV_READ = 0x137, 0x14E


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("TSS2_LOG", "all+NONE")


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory(prefix="tpm-", dir="/tmp") as folder:  # a socket's path is short
        yield Path(folder)


@pytest.fixture(scope="module")
def shared(place):
    (place / "shared").mkdir()
    tpm = swtpm.Swtpm(place / "shared")
    yield tpm
    tpm.stop()


@pytest.fixture
def own(place):
    """A TPM of a test's own, for what others would notice."""
    folder = Path(tempfile.mkdtemp(dir=place))
    tpm = swtpm.Swtpm(folder)
    yield tpm
    tpm.stop()


@pytest.fixture
def tap(own):
    tap = swtpm.Tap(own, own.folder / "tap")
    yield tap
    tap.close()


@pytest.fixture
def make(shared):
    def made(index=None, tpm=shared, auth=AUTH, **options):
        return TpmRoot(next(NUMBERS) if index is None else index, auth=auth, tcti=tpm.tcti, **options)

    return made


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


def root(epoch, vault=ID):
    return HeldRoot(vault=vault, epoch=epoch, key=Secret.random())


def bytes_of(held):
    with held.key.view() as view:
        return bytes(view)


def number(holder):
    return f"{holder._index:#x}"


def indices(tpm):
    return tpm.tool("getcap", "handles-nv-index").stdout.split()


def lockout_counter(tpm):
    lines = tpm.tool("getcap", "properties-variable").stdout.splitlines()
    return int(next(line for line in lines if "TPM2_PT_LOCKOUT_COUNTER" in line).split(":")[1], 16)


def test_it_keeps_the_contract(make):
    check_cell(make)


def test_the_tpms_own_tools_see_one_index_that_only_its_value_opens_and_nothing_of_an_old_root(make, shared, tmp_path):
    holder = make()
    folder = new_vault(tmp_path, holder)
    with holder.read() as held:
        before = bytes_of(held)
    with Vault.open(folder, root=holder) as vault:
        vault.erase(["first"])
    with holder.read() as held:
        after = bytes_of(held)
    public = shared.tool("nvreadpublic", number(holder)).stdout
    assert "authwrite|writeall|authread|written" in public
    assert "size: 112" in public
    (tmp_path / "auth").write_bytes(AUTH)
    shared.tool("nvread", "-C", number(holder), "-P", f"file:{tmp_path}/auth", "-o", str(tmp_path / "content"), number(holder))
    content = (tmp_path / "content").read_bytes()
    assert after in content
    assert before not in content
    assert shared.tool("nvread", "-C", "o", number(holder), check=False).returncode != 0  # the owner of the TPM may not
    assert before not in b"".join(path.read_bytes() for path in (shared.folder / "state").iterdir())
    assert after in b"".join(path.read_bytes() for path in (shared.folder / "state").iterdir())  # this TPM is a file, and that shows it
    with Vault.open(folder, root=holder) as vault:
        vault.rehome(FileRoot(tmp_path / "file.root"))
    assert number(holder) not in indices(shared)
    assert after not in b"".join(path.read_bytes() for path in (shared.folder / "state").iterdir())


def test_an_object_that_was_evicted_can_still_be_loaded_so_no_root_is_kept_as_one(own, tmp_path):
    """The trap: TPM2_EvictControl takes a handle away, and erases nothing. Removing an NV index does."""
    at = {name: str(tmp_path / name) for name in ("primary", "public", "private", "object", "secret", "auth")}
    Path(at["secret"]).write_bytes(b"a root of thirty-two bytes here.")
    own.tool("createprimary", "-C", "o", "-c", at["primary"])
    own.tool("create", "-C", at["primary"], "-i", at["secret"], "-u", at["public"], "-r", at["private"])
    own.tool("flushcontext", "-t")
    own.tool("load", "-C", at["primary"], "-u", at["public"], "-r", at["private"], "-c", at["object"])
    own.tool("flushcontext", "-t")
    own.tool("evictcontrol", "-C", "o", "-c", at["object"], "0x81000100")
    own.tool("evictcontrol", "-C", "o", "-c", "0x81000100")
    assert own.tool("unseal", "-c", "0x81000100", check=False).returncode != 0
    own.tool("flushcontext", "-t")
    own.tool("load", "-C", at["primary"], "-u", at["public"], "-r", at["private"], "-c", at["object"])
    assert own.tool("unseal", "-c", at["object"]).stdout == "a root of thirty-two bytes here."
    own.tool("flushcontext", "-t")
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    with root(1) as one:
        holder.replace(one, over=None)
    holder.clear(ID, 1)
    own.tool("nvdefine", "-C", "o", "-s", "112", "-a", "authread|authwrite|writeall", "-p", AUTH.decode(), "0x01500000")
    assert own.tool("nvread", "-C", "0x01500000", "-P", AUTH.decode(), "0x01500000", check=False).returncode != 0  # not what was there
    with pytest.raises(StoreError, match="is empty"):
        holder.read()


def test_what_passes_on_the_bus_shows_neither_root_nor_authorisation_value(tap, own, tmp_path):
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=tap.tcti)
    with root(1) as one, root(2) as two:
        holder.replace(one, over=None)
        holder.replace(two, over=1)
        holder.read().key.close()
        for secret in (bytes_of(one), bytes_of(two), AUTH):
            assert secret not in bytes(tap.seen)
        assert tap.done.count(NV_WRITE) == 2  # one write a change, as memory wears out
        assert tap.done.count(NV_READ) == 4  # each compared, one looked at before it was replaced, one read
        own.tool("nvread", "-C", "0x01500000", "-P", AUTH.decode(), "-o", str(tmp_path / "read"), "0x01500000", tcti=tap.tcti)
        assert bytes_of(two) in bytes(tap.seen)  # the control: a tool that asks for no encryption
        own.tool("nvdefine", "-C", "o", "-s", "112", "-a", "authread|authwrite", "-p", AUTH.decode(), "0x01500001", tcti=tap.tcti)
        assert AUTH in bytes(tap.seen)


def test_a_wrong_value_is_tried_once_and_a_locked_tpm_says_so(own, tmp_path):
    folder = new_vault(tmp_path, TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti))
    wrong = TpmRoot(0x01500000, auth=b"wrong", tcti=own.tcti)
    for _ in range(3):
        with pytest.raises(CredentialError, match=r"authorisation value (is|was) wrong"):
            Vault.open(folder, root=wrong)
    assert lockout_counter(own) == 1
    own.tool("dictionarylockout", "--setup-parameters", "--max-tries=2", "--recovery-time=1000", "--lockout-recovery-time=1000")
    with pytest.raises(CredentialError, match="authorisation value is wrong"):
        Vault.open(folder, root=TpmRoot(0x01500000, auth=b"wrong", tcti=own.tcti))
    right = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    with pytest.raises(CredentialError, match="locked after too many wrong"):
        Vault.open(folder, root=right)
    own.tool("dictionarylockout", "--clear-lockout")
    with Vault.open(folder, root=right) as vault:
        assert state(vault) == "live"
        right._auth.close()
        right._auth = Secret.copy_of(b"changed meanwhile")
        with pytest.raises(CredentialError) as caught:
            vault.erase(["first"])
    with Vault.open(folder, root=TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)) as vault:
        assert state(vault) == "live"
    assert "wrong" in str(caught.value)


def test_an_index_that_was_emptied_behind_our_back_is_missed_and_nothing_is_written(own, tmp_path):
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    folder = new_vault(tmp_path, holder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with Vault.open(folder, root=holder) as vault:
        own.tool("nvundefine", "-C", "o", "0x01500000")
        for act in (lambda: vault.erase(["first"]), lambda: vault.asset("first")):
            with pytest.raises(StoreError, match="is not there; without it the vault cannot be read"):
                act()
    own.tool("nvdefine", "-C", "o", "-s", "112", "-a", "authread|authwrite|writeall", "-p", AUTH.decode(), "0x01500000")
    with pytest.raises(StoreError, match="is empty"):
        Vault.open(folder, root=holder)
    with root(3, OTHER) as foreign:
        holder.replace(foreign, over=None)
    with pytest.raises(CredentialError, match="belongs to vault"):
        Vault.open(folder, root=holder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        ("112", "ownerread|authread|authwrite|writeall"),
        ("112", "authread|authwrite|writeall|orderly"),
        ("112", "authread|authwrite"),
        ("112", "authread|authwrite|writeall|no_da"),
        ("104", "authread|authwrite|writeall"),
    ],
)
def test_an_index_of_another_make_is_neither_read_nor_written(size, attributes, make, shared):
    holder = make()
    shared.tool("nvdefine", "-C", "o", "-s", size, "-a", attributes, "-p", AUTH.decode(), number(holder))
    with root(1) as one, pytest.raises(FormatError, match="no policy was expected"):
        holder.replace(one, over=None)
    with pytest.raises(FormatError, match=r"an index of 112 bytes"):
        holder.read()
    assert "written" not in shared.tool("nvreadpublic", number(holder)).stdout.split("attributes:")[1].split("size")[0]


def test_what_is_there_but_is_no_root_is_refused(make, shared, tmp_path):
    holder = make()
    with root(1) as one:
        holder.replace(one, over=None)
    (tmp_path / "junk").write_bytes(os.urandom(112))
    shared.tool("nvwrite", "-C", number(holder), "-P", AUTH.decode(), "-i", str(tmp_path / "junk"), number(holder))
    with pytest.raises(FormatError, match="not a root of this version"):
        holder.read()
    (tmp_path / "junk").write_bytes(b"lifeseal.root/1\n" + os.urandom(96))
    shared.tool("nvwrite", "-C", number(holder), "-P", AUTH.decode(), "-i", str(tmp_path / "junk"), number(holder))
    with pytest.raises(TamperedError, match="the root is damaged"):
        holder.read()
    with root(2) as two, pytest.raises(FileExistsError):
        holder.replace(two, over=None)


def test_the_owner_of_the_tpm_makes_the_index_for_somebody_who_is_not(own, tmp_path):
    own.tool("changeauth", "-c", "owner", "boss")
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    with root(1) as one:
        with pytest.raises(CredentialError, match="cannot be made"):
            holder.replace(one, over=None)
        own.tool("nvdefine", "-C", "o", "-P", "boss", "-s", "112", "-a", "authread|authwrite|writeall", "-p", AUTH.decode(), "0x01500000")
        holder.replace(one, over=None)
        with pytest.raises(CredentialError, match="cannot be removed"):
            holder.clear(ID, 1)
        with holder.read() as held:
            assert held.key.same_as(one.key)
    boss = TpmRoot(0x01500000, auth=AUTH, owner_auth=b"boss", tcti=own.tcti)
    boss.clear(ID, 1)
    assert "0x1500000" not in indices(own)
    with root(1) as one:
        boss.replace(one, over=None)


def test_writes_are_counted_and_end_where_they_must(make, tmp_path):
    holder = make(writes=4)
    folder = new_vault(tmp_path, holder)  # three: made, slot, asset
    with Vault.open(folder, root=holder) as vault:
        vault.erase(["first"])
        with pytest.raises(LimitError, match="move the vault to a fresh index") as caught:
            vault.seal(tmp_path / "plain", "second")
        assert (caught.value.limit, caught.value.seen) == (4, 5)
        assert "nothing was changed" in caught.value.__notes__[0]
    more = make(index=holder._index, writes=6)
    with Vault.open(folder, root=more) as vault:
        vault.rehome(make(writes=100))
        vault.seal(tmp_path / "plain", "second").close()
        vault.verify()


def test_a_tpm_that_spares_its_memory_is_asked_again(make, monkeypatch):
    from tpm2_pytss import ESAPI, TPM2_RC, TSS2_Exception

    holder = make()
    monkeypatch.setattr("lifeseal.erasure._tpm._PAUSES", (0, 0, 0))
    real, times = ESAPI.nv_write, 3

    def busy(self, *arguments, **options):
        nonlocal times
        times -= 1
        if times >= 0:
            raise TSS2_Exception(TPM2_RC.NV_RATE)
        return real(self, *arguments, **options)

    monkeypatch.setattr(ESAPI, "nv_write", busy)
    with root(1) as one, root(2) as two:
        holder.replace(one, over=None)
        times = 4
        with pytest.raises(StoreError, match="cannot be written"):
            holder.replace(two, over=1)
        with holder.read() as held:
            assert held.epoch == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replacement_cut_off_at_any_command_is_old_or_new(when, own, tap):
    """The connection is cut, and the TPM loses its power; a command has reached it or not."""
    plain, tapped = (TpmRoot(0x01500000, auth=AUTH, tcti=each.tcti) for each in (own, tap))
    with root(1) as one:
        plain.replace(one, over=None)
    epoch, seen, said = 1, [], set()
    for at in range(1, 60):
        tap.commands.clear()
        tap.cut = (at, when)
        with root(epoch + 1) as new:
            try:
                tapped.replace(new, over=epoch)
                acknowledged = True
            except StoreError as error:
                acknowledged = False
                said.add(str(error).partition(": ")[0])
            reached = at <= len(tap.commands)
            own.stop()
            own.start()
            own.tool("dictionarylockout", "--clear-lockout")  # see below: each power cut counts
            with plain.read() as held:
                changed = held.epoch == epoch + 1
                assert not changed or held.key.same_as(new.key)
                assert changed or held.epoch == epoch
                assert changed or not acknowledged
                epoch = held.epoch
        seen.append(changed)
        if not reached:
            assert acknowledged
            break
    else:
        raise AssertionError("the replacement never ran through")
    assert said == {"TPM, NV index 0x01500000"}
    assert seen == sorted(seen)
    assert seen.count(False) > 5
    assert seen.count(True) > 3


def test_a_power_cut_counts_as_a_wrong_value_as_the_page_says(own):
    """The TPM cannot know whether a guess was about to be counted; so it counts one, if the index was used since it started."""
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    with root(1) as one:
        holder.replace(one, over=None)
    for cuts in (1, 2):
        own.stop()
        own.start()
        assert lockout_counter(own) == cuts
        holder.read().key.close()
    own.stop()
    own.start()
    own.stop()
    own.start()
    assert lockout_counter(own) == 3  # not used in between


@pytest.mark.parametrize(("when", "then", "note"), [("before", "live", "it is not known whether"), ("after", "erased", "it is not known whether")])
def test_an_erasure_whose_write_is_cut_off_says_what_is_known_and_the_next_change_settles_it(when, then, note, own, tap, tmp_path):
    plain, tapped = (TpmRoot(0x01500000, auth=AUTH, tcti=each.tcti) for each in (own, tap))
    folder = new_vault(tmp_path, plain)
    with Vault.open(folder, root=tapped) as vault:
        tap.commands.clear()
        tap.cut = None
        watched = swtpm.Tap._relay

        def cut_at_the_write(self, client, server):
            while command := client.recv(4096):
                write = int.from_bytes(command[6:10], "big") == NV_WRITE
                if write and when == "before":
                    break
                server.sendall(command)
                answer = server.recv(4096)
                if write:
                    break
                client.sendall(answer)
            else:
                return
            self.close()  # from here on nobody answers

        swtpm.Tap._relay = cut_at_the_write
        try:
            with pytest.raises(StoreError) as caught:
                vault.erase(["first"])
        finally:
            swtpm.Tap._relay = watched
    assert note in caught.value.__notes__[0]
    own.stop()
    own.start()
    with Vault.open(folder, root=plain) as vault:
        assert state(vault) == then
        vault.seal(tmp_path / "plain", "next").close()
        assert state(vault) == then
        vault.verify()


def test_a_process_that_is_killed_leaves_the_old_state_or_the_new(own, tmp_path):
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    folder = new_vault(tmp_path, holder)
    child = fork()
    if child == 0:
        try:
            here = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
            real = here.replace
            here.replace = lambda new, *, over: (real(new, over=over), os.kill(os.getpid(), 9))
            with Vault.open(folder, root=here) as vault:
                vault.erase(["first"])
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 9
    with Vault.open(folder, root=holder) as vault:
        assert state(vault) == "erased"
        vault.seal(tmp_path / "plain", "next").close()


def test_a_folder_that_names_another_index_is_refused_before_the_tpm_is_asked(tap, tmp_path):
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=tap.tcti)
    folder = new_vault(tmp_path, holder)
    assert b"1500000" not in (folder / "vault.json").read_bytes()
    claims_another_key(folder)
    tap.commands.clear()
    with pytest.raises(CredentialError, match="or another one"):
        Vault.open(folder, root=holder)
    with pytest.raises(CredentialError, match="of kind 'file'"):
        Vault.open(folder, root=FileRoot(tmp_path / "x"))
    assert tap.commands == []


def test_on_another_host_the_same_index_is_another_place(own, make, tmp_path):
    here = make()
    folder = new_vault(tmp_path, here)
    shutil.copytree(folder, tmp_path / "copy")
    there = TpmRoot(here._index, auth=AUTH, tcti=own.tcti)
    with pytest.raises(StoreError, match="is not there"):
        Vault.open(tmp_path / "copy", root=there)
    Vault.create(tmp_path / "other", root=there).close()
    with pytest.raises(CredentialError, match="the root given belongs to vault"):
        Vault.open(tmp_path / "copy", root=there)
    with Vault.open(folder, root=here) as vault:
        vault.erase(["first"])
    with pytest.raises(LifesealError, match="copied or restored from before a change"):
        Vault.open(tmp_path / "copy", root=here)


def test_copies_of_a_vault_on_one_host_lock_one_another_out(make, tmp_path):
    here = make()
    folder = new_vault(tmp_path, here)
    again = make(index=here._index)
    with Vault.open(folder, root=again) as vault, here.locked(tmp_path), pytest.raises(LockedError, match="is being written to"):
        vault.erase(["first"])
    with Vault.open(folder, root=again) as vault:
        vault.erase(["first"])


def test_a_tpm_that_is_not_there_is_unavailable(own, tmp_path):
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    folder = new_vault(tmp_path, holder)
    with Vault.open(folder, root=holder) as vault:
        own.stop()
        with pytest.raises(StoreError, match="the TPM is not reached"):
            vault.erase(["first"])
        own.start()
        assert state(vault) == "live"
    with pytest.raises(StoreError, match="not reached through 'nonsense:x'"):
        TpmRoot(0x01500000, auth=AUTH, tcti="nonsense:x").read()


def test_an_authorisation_value_does_not_pass_a_fork(own):
    holder = TpmRoot(0x01500000, auth=AUTH, tcti=own.tcti)
    with root(1) as one:
        holder.replace(one, over=None)
    child = fork()
    if child == 0:
        status = 1
        try:
            holder.read()
        except StateError as error:
            status = 0 if "does not pass a fork" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert lockout_counter(own) == 0
    holder.read().key.close()


def test_a_vault_moves_into_a_tpm_and_out_again(make, tmp_path):
    before, tpm, after = FileRoot(tmp_path / "a.root"), make(hardware=True), FileRoot(tmp_path / "b.root")
    folder = new_vault(tmp_path, before)
    with Vault.open(folder, root=before) as vault:
        assert vault.rehome(tpm).old.state == "destroyed"
        vault.seal(tmp_path / "plain", "second").close()
        sure = vault.erase(["second"])
        assert sure.assurance == tpm.assurance
        assert sure.irreversible_since == sure.time
        assert vault.rehome(after).old.state == "destroyed"
        assert state(vault) == "live"
    assert (tmp_path / "b.root").exists()
    assert not (tmp_path / "a.root").exists()


def test_what_is_declared_is_told(make):
    plain, hardware = make(), make(hardware=True)
    assert (plain.strength, plain.retention) == (Strength.BEST_EFFORT, None)
    assert plain.assurance.startswith("Best effort: a TPM of which nobody declared that it is hardware")
    assert (hardware.strength, hardware.retention.total_seconds()) == (Strength.HARDWARE, 0)
    assert hardware.assurance.startswith("Hardware, as its operator declares")
    assert "snapshots" in plain.backing_up
    assert AUTH.decode() not in repr(plain) + repr(vars(plain))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": 0x81000000}, "an NV index lies from"),
        ({"auth": b""}, "1 to 32 bytes"),
        ({"auth": b"x" * 33}, "1 to 32 bytes"),
        ({"auth": b"x\0"}, "must not end with a zero byte"),
        ({"owner_auth": b"x" * 33}, "1 to 32 bytes"),
        ({"writes": 0}, "must be positive"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(options, message, make):
    with pytest.raises(ValueError, match=message):
        make(**options)
    make().close()
