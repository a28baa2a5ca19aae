# SPDX-License-Identifier: Apache-2.0
"""A vault moves to another root holder; stopped anywhere it opens with the old or the new one, and the move can be ended."""

import copy
import datetime as dt
import json
import re
import shutil

import attrs
import pytest

from erasure.conftest import in_memory
from erasure.test_interruption import Stopped, every_stop
from lifeseal.cli._main import _run
from lifeseal.erasure import FileRoot, KeyState, PassphraseRoot, Strength, Vault
from lifeseal.errors import (
    CredentialError,
    DestroyedError,
    LifesealError,
    LockedError,
    PendingError,
    RolledBackError,
    StateError,
    StoreError,
    TamperedError,
)
from lifeseal.testing import Faults, MemoryCell, MemoryWrapper

PLAIN = b"plaintext of an asset"


class OtherWrapper(MemoryWrapper):
    fingerprint = "another key"


def file(place, name):
    return FileRoot(place / f"{name}.root")


def passphrase(_, name):
    return PassphraseRoot(name.encode())


def cell(_, name):
    return MemoryCell()


def wrapper(_, name):
    return MemoryWrapper() if name == "old" else OtherWrapper()


def scheduling(_, name):
    return (MemoryWrapper if name == "old" else OtherWrapper)(scheduled=True)


KINDS = {"file": file, "passphrase": passphrase, "cell": cell, "wrapper": wrapper, "scheduling": scheduling}
PAIRS = [(old, new) for old in KINDS for new in KINDS]
each_pair = pytest.mark.parametrize(("old", "new"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
REFUSALS = (CredentialError, DestroyedError, RolledBackError, StoreError, TamperedError)


@pytest.fixture
def tmp_path(monkeypatch):
    monkeypatch.setattr("lifeseal.erasure._passphrase._MEMORY", 64)
    with in_memory() as folder:
        (folder / "plain").write_bytes(PLAIN)
        yield folder


def made(place, kind):
    """A vault with one live asset and one erased, under a holder of a kind."""
    place.mkdir(exist_ok=True)
    (place / "plain").write_bytes(PLAIN)
    holder = KINDS[kind](place, "old")
    with Vault.create(place / "vault", root=holder) as vault:
        vault.seal(place / "plain", "first").close()
        vault.seal(place / "plain", "gone").close()
        vault.erase(["gone"])
    complete(holder)
    return holder


def complete(holder):
    if isinstance(holder, MemoryWrapper):
        holder.complete()


def opened(place, holder):
    return Vault.open(place / "vault", root=holder)


def content(vault, name):
    with vault.asset(name) as asset, asset.open("plain") as reader:
        buffer = bytearray(reader.size)
        reader.readinto(memoryview(buffer), 0)
    return bytes(buffer)


def end(place, old, new):
    """What to do after any interruption: move again, or if the vault has moved, retire the old holder."""
    try:
        vault = opened(place, old)
    except REFUSALS:
        with opened(place, new) as moved:
            return moved.retire(old) if any(entry.state != "destroyed" for entry in moved.info().holders[:-1]) else None
    with vault:
        return vault.rehome(new)


def check_moved(place, old, new):
    with opened(place, new) as vault:
        assert content(vault, "first") == PLAIN
        vault.seal(place / "plain", "next").close()  # the next writer settles what the new holder has too much
        complete(new)
        with pytest.raises(DestroyedError):
            vault.asset("gone")
        assert [entry.state for entry in vault.info().holders][-2:] == ["destroyed", "in force"]
        vault.verify()
        vault.erase(["first"])
        complete(new)
        with pytest.raises(DestroyedError):
            vault.asset("first")
        vault.compact()
        complete(new)
        assert vault.info().pending == ()
        assert content(vault, "next") == PLAIN
    with pytest.raises(REFUSALS):
        opened(place, old)
    assert len(list((place / "vault").glob("root-*"))) == (not hasattr(new, "replace"))


@each_pair
def test_a_vault_moves_and_the_old_root_is_destroyed(old, new, tmp_path):
    before = made(tmp_path, old)
    after = KINDS[new](tmp_path, "new")
    shutil.copytree(tmp_path / "vault", tmp_path / "copy")
    with opened(tmp_path, before) as vault:
        epoch = vault.epoch
        done = vault.rehome(after)
        assert vault.holder == after.kind
        assert content(vault, "first") == PLAIN
        assert done.epoch == vault.epoch > epoch
        assert done.old.kind == before.kind
        assert done.old.state == ("scheduled" if old == "scheduling" else "destroyed")
        assert bool(done.pending) == (old == "scheduling")
    if old == "scheduling":
        with opened(tmp_path, after) as vault:
            assert vault.info().pending
            before.complete()
            assert vault.retire(before).old.state == "destroyed"
    if old != "passphrase":  # whose assurance says so
        with pytest.raises(LifesealError):
            Vault.open(tmp_path / "copy", root=before)
    check_moved(tmp_path, before, after)


@pytest.mark.parametrize("error", [StoreError("down"), Stopped()], ids=["refused", "killed"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize(("old", "new"), [("cell", "cell"), ("cell", "wrapper"), ("wrapper", "scheduling"), ("scheduling", "cell")])
def test_a_move_that_fails_at_any_call_of_a_holder_can_be_ended(old, new, side, when, error, tmp_path):
    base = made(tmp_path / "base", old)
    failed = 0
    for at in range(1, 100):
        place = tmp_path / str(at)
        shutil.copytree(tmp_path / "base", place)
        before, after = KINDS[old](place, "old"), KINDS[new](place, "new")
        for name in ("_content", "_versions"):
            if hasattr(before, name):
                setattr(before, name, copy.deepcopy(getattr(base, name)))
        failing = {"old": before, "new": after}[side]
        failing.faults = Faults(at, when=when, error=error, lasting=isinstance(error, Stopped))
        try:
            with opened(place, before) as vault:
                vault.rehome(after)
            acknowledged = True
        except (LifesealError, Stopped):
            acknowledged = False
            failed += 1
        reached = at <= len(failing.faults.calls)
        failing.faults = Faults()
        readable = 0
        for holder in (before, after):
            with_it = None
            try:
                with_it = opened(place, holder)
            except REFUSALS:
                continue
            with with_it as vault:
                assert content(vault, "first") == PLAIN
                readable += 1
        assert readable >= 1
        if not acknowledged:
            end(place, before, after)
        if old == "scheduling":
            before.complete()
            end(place, before, after)
        complete(after)
        check_moved(place, before, after)
        shutil.rmtree(place)
        if not reached:
            assert acknowledged
            break
    else:
        raise AssertionError("the move never ran through")
    assert failed > 2


@pytest.mark.parametrize("way", [{}, {"error": OSError(5, "Input/output error"), "for_good": False}], ids=["killed", "refused"])
@pytest.mark.parametrize(("old", "new"), [("file", "file"), ("passphrase", "file"), ("wrapper", "passphrase"), ("passphrase", "passphrase")])
def test_a_move_stopped_at_any_call_of_the_disk_can_be_ended(old, new, way, tmp_path, monkeypatch):
    base = made(tmp_path / "base", old)
    holders = {}

    def prepare(limit):
        place = tmp_path / str(limit)
        shutil.copytree(tmp_path / "base", place)
        before = KINDS[old](place, "old")
        if old == "wrapper":
            before._versions = copy.deepcopy(base._versions)
        holders[place] = before, KINDS[new](place, "new")
        return place

    def move(place):
        with opened(place, holders[place][0]) as vault:
            vault.rehome(holders[place][1])

    for place, finished in every_stop(monkeypatch, prepare, move, **way):
        if not finished:
            end(place, *holders[place])
        check_moved(place, *holders[place])
        shutil.rmtree(place)


def test_where_two_files_could_be_the_root_a_durable_note_says_which_is_older(tmp_path, monkeypatch):
    """Neither kind nor key of a file tells them apart, and the move stopped before the old one was destroyed."""
    old, new = made(tmp_path, "file"), FileRoot(tmp_path / "new.root")
    with opened(tmp_path, old) as vault, monkeypatch.context() as patch:
        patch.setattr(FileRoot, "replace", _fails_for(old, FileRoot.replace))
        with pytest.raises(
            PendingError, match=r"its root lies in file; but the root in file \(.*old\.root\), which the vault has left, is not destroyed: down"
        ):
            vault.rehome(new)
    with pytest.raises(RolledBackError):
        opened(tmp_path, old)
    with opened(tmp_path, new) as vault:
        assert vault.info().pending == (f"the root in file ({old.location}), which the vault has left",)
        vault.retire(old)
        assert vault.info().pending == ()
        assert not old.location.exists()
        with pytest.raises(StateError, match="names no holder 'file' like this one"):
            vault.retire(old)


def _fails_for(root, real):
    written = []

    def replace(self, new, *, over):
        written.append(self.location)
        if self is root and written.count(root.location) > 1:  # the first write is that the move has begun
            raise StoreError("down")
        real(self, new, over=over)

    return replace


def test_an_erasure_is_as_sure_as_the_weakest_holder_since_the_asset_was_sealed(tmp_path):
    first, second, third = made(tmp_path, "file"), MemoryWrapper(), FileRoot(tmp_path / "third")
    second.strength, second.assurance, second.retention = Strength.OPERATED, "Operated.", dt.timedelta(days=3)
    first.retention = dt.timedelta(days=9)
    with opened(tmp_path, first) as vault:
        vault.rehome(second)
        vault.seal(tmp_path / "plain", "later").close()
        found = {info.name: info.assurance for info in vault.assets()}
        assert found == {"first": first.assurance, "later": "Operated.", "": ""}
        assert vault.info().assurance == "Operated."
        early, late = vault.erase(["first"]), vault.erase(["later"])
        assert [(entry.kind, entry.state) for entry in early.holders] == [("file", "destroyed"), ("memory-wrapper", "in force")]
        assert early.assurance == first.assurance
        ended = dt.datetime.fromisoformat(early.holders[0].when) + dt.timedelta(days=9)
        assert dt.datetime.fromisoformat(early.irreversible_since) == ended
        assert [entry.kind for entry in late.holders] == ["memory-wrapper"]
        assert late.assurance == "Operated."
        assert dt.datetime.fromisoformat(late.irreversible_since) == dt.datetime.fromisoformat(late.time) + dt.timedelta(days=3)
        vault.seal(tmp_path / "plain", "last").close()
        vault.rehome(third)
        both = vault.erase(["last"])
        assert [entry.kind for entry in both.holders] == ["memory-wrapper", "file"]
        assert both.assurance == third.assurance
        assert both.irreversible_since == "unknown"
        assert [(entry.kind, entry.since > 1, entry.until > 0) for entry in vault.info().holders] == [
            ("file", False, True),
            ("memory-wrapper", True, True),
            ("file", True, False),
        ]


def test_what_was_erased_while_an_old_root_lives_is_pending_and_what_came_later_is_not(tmp_path):
    old, new = made(tmp_path, "cell"), FileRoot(tmp_path / "new.root")
    with opened(tmp_path, old) as vault:
        old.replace, kept = None, old.replace
        del old.replace
        replace = MemoryCell.replace
        calls = []

        def refuse(root, *, over):
            calls.append(over)
            if root.epoch > 1 << 60:
                raise StoreError("down")
            replace(old, root, over=over)

        old.replace = refuse
        with pytest.raises(PendingError, match="is not destroyed: down"):
            vault.rehome(new)
        vault.seal(tmp_path / "plain", "later").close()
        erasure = vault.erase(["first"])
        assert erasure.pending == ("the root in memory (named by the vault alone), which the vault has left",)
        assert erasure.irreversible_since == "unknown"
        assert vault.erase(["later"]).pending == ()
        with pytest.raises(PendingError, match="the root in memory"):
            vault.asset("first")
        with pytest.raises(DestroyedError):
            vault.asset("later")
        with pytest.raises(DestroyedError):
            vault.asset("gone")  # before the move: that root did not open it any more
        with pytest.raises(PendingError, match="compact when it is"):
            vault.compact()
        old.replace = kept
        vault.retire(old)
        with pytest.raises(DestroyedError):
            vault.asset("first")


def test_an_old_holder_that_is_empty_is_not_taken_for_destroyed(tmp_path):
    """The disk with the file may not be there today."""
    old, new = made(tmp_path, "file"), MemoryCell()
    with opened(tmp_path, old) as vault:
        new.faults = Faults()
        kept = old.location.read_bytes()
        real = FileRoot.read
        seen = []

        def read(self):
            if self is old and vault.holder == "memory":
                seen.append(1)
                old.location.unlink(missing_ok=True)
            return real(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileRoot, "read", read)
            with pytest.raises(PendingError, match="is not there"):
                vault.rehome(new)
        assert seen
        assert vault.info().holders[0].state == "left"
        with pytest.raises(PendingError, match="is not there"):
            vault.retire(old)
        old.location.write_bytes(kept)
        old.location.chmod(0o600)
        with pytest.raises(PendingError, match=r"has the root of epoch 6, and nothing says that this one is out of force"):
            vault.retire(old)  # not the root of the last epoch there: somebody's copy
        assert old.location.read_bytes() == kept


@pytest.mark.parametrize("new", ["file", "cell", "wrapper"])
def test_a_holder_that_has_a_root_already_is_refused_and_nothing_changes(new, tmp_path):
    old, other = made(tmp_path, "file"), KINDS[new](tmp_path, "new")
    Vault.create(tmp_path / "other", root=other).close()
    with opened(tmp_path, old) as vault:
        epoch = vault.epoch
        if new == "wrapper":
            other.create(vault._session.id, 3)
        match = "a key version of this vault already" if new == "wrapper" else "a root of vault [0-9a-f]{32} already"
        with pytest.raises(StateError, match=match):
            vault.rehome(other)
        with pytest.raises(StateError, match="a root of this vault already, of epoch 6"):
            vault.rehome(FileRoot(old.location))
        with pytest.raises(ValueError, match="lies inside the vault"):
            vault.rehome(FileRoot(tmp_path / "vault" / "root"))
        assert vault.epoch == epoch
        assert len(vault.info().holders) == 1
    Vault.open(tmp_path / "other", root=other).close()


def test_a_move_to_a_holder_in_use_is_refused(tmp_path):
    old, new = made(tmp_path, "file"), FileRoot(tmp_path / "new.root")
    with opened(tmp_path, old) as vault, new.locked(tmp_path), pytest.raises(LockedError):
        vault.rehome(new)
    check_still_there(tmp_path, old)


def check_still_there(place, holder):
    with opened(place, holder) as vault:
        assert content(vault, "first") == PLAIN
        assert vault.info().holders[0].state == "in force"


def test_the_history_is_sealed_and_a_folder_that_names_another_holder_is_refused(tmp_path):
    old, new = made(tmp_path, "file"), OtherWrapper()
    with opened(tmp_path, old) as vault:
        vault.rehome(new)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "vault").rglob("*") if path.is_file())
    assert str(old.location).encode() not in everything
    description = tmp_path / "vault" / "vault.json"
    good = description.read_bytes()
    assert json.loads(good)["holder"] == {"fingerprint": "another key", "kind": "memory-wrapper"}
    description.write_bytes(good.replace(b"another key", b"the enemy's"))
    with pytest.raises(CredentialError, match="or another one"):
        opened(tmp_path, new)
    description.write_bytes(good)
    (root,) = (tmp_path / "vault").glob("root-*")
    assert b'"holder":{"fingerprint":"another key","kind":"memory-wrapper"}' in root.read_bytes()
    opened(tmp_path, new).close()


def test_a_wrapped_root_from_before_moves_were_known_is_read(tmp_path):
    """It does not say whose it is, and counts as the given holder's."""
    import hashlib

    holder = made(tmp_path, "wrapper")
    (root,) = (tmp_path / "vault").glob("root-*")
    text = root.read_bytes().splitlines()[0].replace(b'"holder":{"fingerprint":"","kind":"memory-wrapper"},', b"")
    root.write_bytes(text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n")
    check_still_there(tmp_path, holder)


def test_a_wrapper_with_more_key_versions_than_a_change_leaves_keeps_them(tmp_path):
    old, new = made(tmp_path, "wrapper"), MemoryCell()
    with opened(tmp_path, old) as vault:
        identity, destroy = vault._session.id, old.destroy

        def refuse(name):
            if vault.holder == "memory":
                raise StoreError("down")
            return destroy(name)

        old.destroy = refuse
        with pytest.raises(PendingError, match="is not destroyed: down"):
            vault.rehome(new)
        for epoch in (20, 21, 22):
            old.create(identity, epoch)
        old.destroy = destroy
        with pytest.raises(PendingError, match="nothing was destroyed"):
            vault.retire(old)
        live = [version.name for version in old.versions(identity) if version.state is KeyState.LIVE]
        assert len(live) >= 4
        for name in live[:-1]:
            old.destroy(name)
        assert vault.retire(old).old.state == "destroyed"
        assert all(version.state is KeyState.DESTROYED for version in old.versions(identity))


@pytest.mark.parametrize("kind", ["wrapper", "scheduling"])
def test_an_old_wrapper_that_lists_nothing_may_be_another_service_and_is_not_taken_for_destroyed(kind, tmp_path):
    """Another server, account or token of the same name: kind and key name it, and it never had a key of this vault."""
    old, new = made(tmp_path, kind), MemoryCell()
    with opened(tmp_path, old) as vault:
        identity = bytes.fromhex(vault.id)
        _leave(vault, old, new)
        with pytest.raises(PendingError, match="lists no key version of this vault, and nothing says that it is the one that had them"):
            vault.retire(KINDS[kind](tmp_path, "old"))
        assert vault.info().holders[0].state == "left"
        assert [version.state for version in old.versions(identity)].count(KeyState.LIVE) == 2
        done = vault.retire(old)
        if kind == "scheduling":
            assert done.old.state == "scheduled"
            with pytest.raises(PendingError, match="lists no key version of this vault"):
                vault.retire(KINDS[kind](tmp_path, "old"))
            old.complete()
            assert vault.info().pending
            done = vault.retire(old)
        assert done.old.state == "destroyed"
        assert vault.info().pending == ()
        assert KeyState.LIVE not in [version.state for version in old.versions(identity)]


def test_a_witness_that_somebody_destroyed_is_made_again_while_the_holder_has_others(tmp_path):
    old, new = made(tmp_path, "wrapper"), MemoryCell()
    with opened(tmp_path, old) as vault:
        _leave(vault, old, new)
        witness = vault.info().holders[0].witness
        old.destroy(witness)
        old._versions.pop(witness)
        assert vault.retire(old).old.witness not in {"", witness}


def _leave(vault, old, new):
    """Move away from a wrapper that cannot destroy anything at that moment."""
    destroy = old.destroy

    def refuse(name):
        if vault.holder == new.kind:
            raise StoreError("down")
        return destroy(name)

    old.destroy = refuse
    with pytest.raises(PendingError, match="is not destroyed: down"):
        vault.rehome(new)
    old.destroy = destroy


def test_each_value_of_a_history_reads_back_as_it_was_written(tmp_path):
    from lifeseal.erasure._history import History, record_of

    record = record_of(FileRoot(tmp_path / "x"), since=3, state="begun")
    others = tuple(
        attrs.evolve(record, state=state, strength=strength, retention=retention, until=until, when="2026-01-01T00:00:00.000000Z", **more)
        for state in ("begun", "left", "scheduled", "destroyed")
        for strength in Strength
        for retention, until, more in (
            (None, 0, {}),
            (dt.timedelta(days=30), 9, {"due": dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC), "witness": "a key"}),
        )
    )
    history = History(since=7, others=others)
    assert History.from_bytes(history.to_bytes(), where="x") == history
    with pytest.raises(LifesealError):
        History.from_bytes(history.to_bytes().replace(b"best_effort", b"best"), where="x")


@pytest.mark.parametrize("kind", [MemoryCell, MemoryWrapper])
def test_a_new_holder_that_is_not_reached_leaves_no_trace_in_the_history(kind, tmp_path):
    folder, old = tmp_path / "vault", FileRoot(tmp_path / "root")
    with Vault.create(folder, root=old) as vault:
        before = vault.epoch
        with pytest.raises(StoreError, match="not reached"):
            vault.rehome(kind(faults=Faults(1, lasting=True)))

        assert vault.epoch == before
        assert [holder.state for holder in vault.info().holders] == ["in force"]


def test_info_says_that_a_move_was_begun_and_how_to_end_it(tmp_path, monkeypatch, capsys):
    old, new = made(tmp_path, "file"), FileRoot(tmp_path / "new.root")
    words = ["vault", "info", "--vault", str(tmp_path / "vault"), "--root", f"file:{old.location}"]
    with opened(tmp_path, old) as vault, monkeypatch.context() as patch:
        patch.setattr("lifeseal.erasure._rehome.append", _stop)
        with pytest.raises(Stopped):
            vault.rehome(new)
    assert _run(words) == 0
    out = capsys.readouterr().out
    assert "moving     to file was begun; `vault rehome` with the same --root and --to ends it\n" in out
    assert f"pending    the root in file ({new.location}), where a move to it began: not destroyed yet\n" in out
    assert "before  " not in out
    with opened(tmp_path, old) as vault:
        vault.rehome(new)
    assert _run([*words[:-1], f"file:{new.location}"]) == 0
    assert re.search(r"^before     file, until epoch \d+: destroyed$", capsys.readouterr().out, re.MULTILINE)


def _stop(*_, **__):
    raise Stopped
