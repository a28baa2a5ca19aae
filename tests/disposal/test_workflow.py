# SPDX-License-Identifier: Apache-2.0
"""A disposal from plan to certificate: interrupted anywhere it goes on, repeats nothing, leaves nothing out, and never says more than it saw."""

import hashlib
import json
import os
import shutil

import attrs
import numpy as np
import pytest
from safetensors.numpy import save_file

from lifeseal import disposal
from lifeseal.disposal import Certificate, Party, _journal, _removal, _sought
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import DestroyedError, FormatError, LockedError, PolicyError, StateError, StoreError, TamperedError
from lifeseal.testing import Faults, MemoryWrapper

RANDOM = np.random.default_rng(3)
TENSORS = {name: RANDOM.standard_normal((40, 50)).astype(np.float32) for name in ("embed", "head")}


class Interrupted(BaseException):
    """Stands for a kill: nobody catches it on the way."""


@pytest.fixture
def home(tmp_path):
    """A model with its configuration, copies of it in ``home``, and something that is none."""
    model = tmp_path / "model"
    (model / "adapters").mkdir(parents=True)
    save_file(TENSORS, model / "model.safetensors")
    (model / "tokenizer.json").write_text('{"vocab": {"a": 1}}')
    (model / "adapters/prompt.txt").write_text("You are a careful classifier.")
    place = tmp_path / "home"
    (place / "deep").mkdir(parents=True)
    shutil.copy(model / "model.safetensors", place / "deep/old-download")
    os.link(place / "deep/old-download", place / "again")
    shutil.copy(model / "adapters/prompt.txt", place / "notes.txt")
    save_file({"x": TENSORS["head"], "y": np.ones(9)}, place / "merged.safetensors")
    (place / "letter.txt").write_text("Dear diary")
    return tmp_path


@pytest.fixture
def vault(home):
    with Vault.create(home / "vault", root=FileRoot(home / "root")) as made:
        made.seal(home / "model", "classifier", remove_plaintext=True).close()
        yield made


@pytest.fixture
def people(signer):
    """What every disposal here is done with, unless a test says otherwise."""
    return {"signer": signer, "sanitiser": "ops@example.org", "custodian": "records@example.org", "trigger": "decommission"}


def files(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir())


def whole(vault, home, **options):
    """A plan of everything, with the copies that hold other things too."""
    return disposal.plan(vault, ["classifier"], **{"search": [home / "home"], "remove": "all", **options})


def test_a_plan_shows_what_would_go_and_does_nothing(vault, home):
    before = files(home)
    plan = whole(vault, home)
    assert [target.path.name for target in plan.targets] == ["again", "old-download", "merged.safetensors", "notes.txt"]
    assert (files(home), vault.assets()[0].state) == (before, "live")
    assert [t.path.name for t in whole(vault, home, remove="files").targets] == ["again", "old-download", "notes.txt"]
    assert whole(vault, home, remove="none").targets == ()
    assert [t.path.name for t in whole(vault, home, keep=[home / "home/again", home / "home/notes.txt"]).targets] == [
        "old-download",
        "merged.safetensors",
    ]


def test_a_decommissioning_with_its_copies(vault, home, people):
    found = disposal.dispose(whole(vault, home), journal=home / "journal", **people).disposal
    assert (found.status, found.reasons) == ("completed", ())
    assert files(home / "home") == ["letter.txt"]
    assert [line.rpartition("/")[2] for line in found.removed.unlinked.first] == ["again", "old-download", "merged.safetensors", "notes.txt"]
    assert (found.search.files, len(found.search.copies.first)) == (5, 3)
    assert (found.second_search.files, found.second_search.copies.first) == (1, ())
    assert {trial.answer for trial in found.trials} == {"refused", "not tried"}
    assert (found.method, found.worst_key, found.irreversible_since) == ("none claimed", "unknown", "unknown")
    assert found.journal != ""
    with pytest.raises(DestroyedError):
        vault.asset("classifier")
    assert not _sought.sidecar(home / "journal").exists()


def test_copies_that_stay_make_it_partial_and_a_later_look_completes_it(vault, home, people):
    found = disposal.dispose(whole(vault, home, remove="files"), journal=home / "journal", **people).disposal
    assert (found.status, found.reasons) == (
        "partial",
        (f"a copy is still there: {home}/home/merged.safetensors (tensors: model.safetensors: head)",),
    )
    assert _sought.sidecar(home / "journal").exists()
    (home / "home/merged.safetensors").unlink()
    again = disposal.resume(home / "journal", vault=vault, signer=people["signer"])
    assert (again.disposal.status, again.disposal.epoch_after) == ("completed", found.epoch_after)
    assert again.disposal.removed == found.removed
    assert not _sought.sidecar(home / "journal").exists()
    assert disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal == again.disposal


def test_links_go_with_the_file_they_lead_to_and_stay_with_one_that_stays(vault, home, people):
    (home / "home/link").symlink_to("notes.txt")
    (home / "home/twice").symlink_to("link")
    (home / "home/merged").symlink_to("merged.safetensors")
    plan = whole(vault, home, remove="files")
    assert [target.path.name for target in plan.targets] == ["again", "old-download", "link", "notes.txt", "twice"]
    end = disposal.dispose(plan, **people).disposal
    assert [text.split("/")[-1].split(" ")[0] for text in end.second_search.copies.first] == ["merged", "merged.safetensors"]
    assert files(home / "home") == ["letter.txt", "merged", "merged.safetensors"]


def test_a_place_that_went_away_is_never_completed(vault, home, people):
    plan = whole(vault, home)
    (home / "home").rename(home / "elsewhere")
    end = disposal.dispose(plan, journal=home / "j", **people).disposal
    assert (end.status, end.second_search.unread.first) == ("partial", (f"{home}/home: it was searched before, and is not there any more",))
    (home / "elsewhere").rename(home / "home")
    assert disposal.resume(home / "j", vault=vault, signer=people["signer"]).disposal.status == "completed"


def test_a_place_behind_a_closed_folder_is_never_completed(vault, home, people, monkeypatch):
    plan = whole(vault, home)
    real = os.stat

    def closed(path, *args, **options):
        if str(path) == str(home / "home") and options.get("follow_symlinks", True):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", closed)
    end = disposal.dispose(plan, **people).disposal
    assert (end.status, end.second_search.unread.first) == ("partial", (f"{home}/home: Permission denied",))


def test_what_could_not_be_searched_before_and_can_be_now_is_completed(vault, home, people):
    store = home / "home/xet/cas/chunk-cache/ab"
    store.mkdir(parents=True)
    (store / "x").write_bytes(b"x")
    end = disposal.dispose(whole(vault, home), journal=home / "j", **people).disposal
    assert (end.status, len(end.reasons)) == ("partial", 1)
    shutil.rmtree(home / "home/xet")
    end = disposal.resume(home / "j", vault=vault, signer=people["signer"]).disposal
    assert (end.status, end.reasons, len(end.search.unread.first)) == ("completed", (), 1)


def test_a_kept_copy_makes_it_partial(vault, home, people):
    plan = whole(vault, home, keep=[home / "home/merged.safetensors"])
    found = disposal.dispose(plan, **people).disposal
    assert (found.status, found.removed.kept.first) == ("partial", (f"{home}/home/merged.safetensors",))
    assert files(home / "home") == ["letter.txt", "merged.safetensors"]


def test_a_model_in_plaintext_goes_whole_with_its_configuration(home, people):
    (home / "model/link").symlink_to("tokenizer.json")
    with pytest.raises(FormatError, match="symbolic link"):
        disposal.plan(None, plaintext=[home / "model"])
    (home / "model/link").unlink()
    (home / "system-prompt.txt").write_text("Be brief.")
    plan = disposal.plan(None, plaintext=[home / "model", home / "system-prompt.txt"], search=[home / "home"], remove="all")
    found = disposal.dispose(plan, journal=home / "journal", **people).disposal
    assert (found.status, found.vault, found.keys, found.holders, found.key_bits) == ("completed", "", (), (), 0)
    assert (found.method, [asset.kind for asset in found.assets]) == ("none claimed", ["plaintext", "plaintext"])
    assert files(home) == ["home/letter.txt", "journal"]
    assert not (home / "model").exists()
    assert "which is no sanitising of the medium" in found.techniques[0]
    again = disposal.resume(home / "journal", vault=None, signer=people["signer"])
    assert again.disposal == found


def test_a_vault_or_its_root_is_never_taken_for_plaintext(vault, home):
    for path in (home / "vault", home, home / "root"):
        with pytest.raises(ValueError, match=r"vault|root"):
            disposal.plan(vault, plaintext=[path])
    with pytest.raises(ValueError, match="holds a vault"):
        disposal.plan(None, plaintext=[home])


def test_what_changed_since_the_plan_is_left(vault, home, people):
    plan = whole(vault, home)
    (home / "home/notes.txt").write_text("now a shopping list")
    (home / "home/merged.safetensors").unlink()
    found = disposal.dispose(plan, **people).disposal
    assert files(home / "home") == ["letter.txt", "notes.txt"]
    assert found.removed.left.first == (f"{home}/home/notes.txt: it is another file now, or was written again",)
    assert found.removed.gone.first == (f"{home}/home/merged.safetensors",)
    assert (found.status, found.reasons) == ("partial", (f"a plaintext file was left: {found.removed.left.first[0]}",))


def test_what_the_disk_does_not_let_go_of_is_told(vault, home, people, monkeypatch):
    real = _removal.remove
    monkeypatch.setattr(
        _removal, "remove", lambda path: real(path) if path.name != "again" else (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    found = disposal.dispose(whole(vault, home), **people).disposal
    assert found.status == "partial"
    assert found.removed.left.first == (f"{home}/home/again: Permission denied",)
    assert any("a copy is still there" in reason for reason in found.reasons)


def test_a_place_that_cannot_be_read_is_never_completed(vault, home, people, monkeypatch):
    real = os.scandir
    broken = True

    def scandir(path):
        if broken and str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = disposal.dispose(whole(vault, home), journal=home / "journal", **people).disposal
    assert found.status == "partial"
    assert f"could not be searched: {home}/home/deep: Permission denied" in found.reasons


def at_each_line(monkeypatch, when, act):
    """Interrupt a disposal before or after each line of its journal, until one is not interrupted."""
    real, number = _journal.Journal.add, 0
    while True:
        number += 1
        count = 0

        def add(self, step, **fields):
            nonlocal count
            count += 1
            if count == number and when == "before":  # noqa: B023 - called within this turn
                raise Interrupted
            real(self, step, **fields)
            if count == number and when == "after":  # noqa: B023 - the same
                raise Interrupted

        monkeypatch.setattr(_journal.Journal, "add", add)
        try:
            done = act(number)
        finally:
            monkeypatch.setattr(_journal.Journal, "add", real)
        if done:
            return number


@pytest.mark.parametrize("when", ["before", "after"])
def test_interrupted_at_each_line_it_goes_on_repeats_nothing_and_skips_nothing(when, home, people, monkeypatch):
    def act(number):
        place = home / f"{number}"
        shutil.copytree(home / "model", place / "model")
        shutil.copytree(home / "home", place / "home")
        erased, unlinked = [], []
        with Vault.create(place / "vault", root=FileRoot(place / "root")) as vault:
            vault.seal(place / "model", "classifier", remove_plaintext=True).close()
            real_erase, real_remove = vault.erase, _removal.remove
            monkeypatch.setattr(vault, "erase", lambda names: erased.append(names) or real_erase(names))
            monkeypatch.setattr(_removal, "remove", lambda path: unlinked.append(path.name) or real_remove(path))
            plan = whole(vault, place)
            try:
                disposal.dispose(plan, journal=place / "journal", **people)
            except Interrupted:
                done = False
            else:
                done = True
            monkeypatch.undo()
            monkeypatch.setattr(_removal, "remove", lambda path: unlinked.append(path.name) or real_remove(path))
            monkeypatch.setattr(vault, "erase", lambda names: erased.append(names) or real_erase(names))
            if (place / "journal").exists():
                with place.joinpath("journal").open("ab") as journal:
                    journal.write(b'{"torn":')
                found = disposal.resume(place / "journal", vault=vault, signer=people["signer"]).disposal
            else:
                assert files(place / "home") == files(home / "home")
                found = disposal.dispose(whole(vault, place), journal=place / "journal", **people).disposal
            monkeypatch.undo()
            assert (found.status, found.reasons, erased) == ("completed", (), [["classifier"]])
            assert sorted(unlinked) == ["again", "merged.safetensors", "notes.txt", "old-download"]
            gone = [*found.removed.unlinked.first, *found.removed.gone.first]
            assert sorted(path.rpartition("/")[2] for path in gone) == sorted(unlinked)
            assert files(place / "home") == ["letter.txt"]
            assert found.epoch_after == vault.epoch
            assert found.epoch_before == found.epoch_after - 1
        return done

    assert at_each_line(monkeypatch, when, act) == 12


def test_a_journal_holds_no_key_and_no_person(vault, home, people):
    state = vault._session.current()
    with state.tree.key(0) as key, key.view() as view:
        secret = bytes(view)
    root = (home / "root").read_bytes()[40:72]
    disposal.dispose(whole(vault, home, remove="none"), journal=home / "journal", **people)
    for kept in (home / "journal", _sought.sidecar(home / "journal")):
        data = kept.read_bytes()
        for found in (secret, root):
            assert found not in data
            assert found.hex().encode() not in data
        assert kept.stat().st_mode & 0o077 == 0


def edited(home, change):
    lines = (home / "journal").read_bytes().splitlines(keepends=True)
    (home / "journal").write_bytes(b"".join(change(lines)))


EDITS = {
    "a line changed": lambda lines: [*lines[:2], lines[2].replace(b"unlinked", b"vanished"), *lines[3:]],
    "a line taken out": lambda lines: [*lines[:2], *lines[3:]],
    "two lines swapped": lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    "the order changed": lambda lines: [lines[0].replace(b"decommission", b"transfer"), *lines[1:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_journal_is_refused_and_nothing_is_done(edit, vault, home, people):
    disposal.dispose(whole(vault, home, remove="files"), journal=home / "journal", **people)
    before = (home / "journal").read_bytes()
    edited(home, EDITS[edit])
    changed = (home / "journal").read_bytes()
    assert changed != before
    with pytest.raises(TamperedError, match="does not follow the line before; the journal was edited"):
        disposal.resume(home / "journal", vault=vault, signer=people["signer"])
    assert (home / "journal").read_bytes() == changed
    (home / "journal").write_bytes(before)
    disposal.resume(home / "journal", vault=vault, signer=people["signer"])


@pytest.mark.parametrize("content", [b"", b"a letter\n", b"{}\n", b'{"schema":"lifeseal.log/1"}\n', b"\x00" * 100])
def test_a_file_that_is_no_journal_is_left_as_it_is(content, vault, home, people):
    (home / "other").write_bytes(content)
    with pytest.raises(FormatError, match="other"):
        disposal.resume(home / "other", vault=vault, signer=people["signer"])
    assert (home / "other").read_bytes() == content
    with pytest.raises(FileNotFoundError):
        disposal.resume(home / "nothing", vault=vault, signer=people["signer"])


def test_a_disposal_is_begun_once_and_one_process_is_at_it(vault, home, people):
    plan = whole(vault, home, remove="none")
    disposal.dispose(plan, journal=home / "journal", **people)
    epoch = vault.epoch
    vault.seal(home / "home", "classifier").close()
    with pytest.raises(FileExistsError, match="a disposal was begun there"):
        disposal.dispose(whole(vault, home), journal=home / "journal", **people)
    assert vault.asset("classifier").names()
    with _journal.Journal.go_on(home / "journal"), pytest.raises(LockedError):
        disposal.resume(home / "journal", vault=vault, signer=people["signer"])
    assert disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal.epoch_after == epoch


def test_another_vault_and_another_way_to_sign_are_refused(vault, home, people, tmp_path):
    disposal.dispose(whole(vault, home, remove="none"), journal=home / "journal", **people)
    with Vault.create(tmp_path / "v2", root=FileRoot(tmp_path / "r2")) as other, pytest.raises(PolicyError, match="and this is vault"):
        disposal.resume(home / "journal", vault=other, signer=people["signer"])
    with pytest.raises(PolicyError, match="and this is none"):
        disposal.resume(home / "journal", vault=None, signer=people["signer"])
    with pytest.raises(ValueError, match="signer= was given when this disposal was begun"):
        disposal.resume(home / "journal", vault=vault, signer=None)


def test_what_is_searched_for_must_be_what_the_journal_names(vault, home, people):
    disposal.dispose(whole(vault, home, remove="files"), journal=home / "journal", **people)
    sidecar = _sought.sidecar(home / "journal")
    kept = sidecar.read_bytes()
    sidecar.write_bytes(kept.replace(b"head", b"hand"))
    with pytest.raises(TamperedError, match="is not what the journal names"):
        disposal.resume(home / "journal", vault=vault, signer=people["signer"])
    sidecar.unlink()
    found = disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal
    assert (found.status, found.second_search) == ("partial", None)
    assert found.reasons == ("the second search was not made: what to search for is not known any more",)


@pytest.fixture
def wrapped(home):
    root = MemoryWrapper(scheduled=True)
    with Vault.create(home / "vault", root=root) as made:
        made.seal(home / "model", "classifier").close()
        yield attrs.make_class("Wrapped", ["vault", "root"])(made, root)


def test_a_holder_that_has_still_to_destroy_leaves_it_pending_until_it_has(wrapped, home, people):
    plan = disposal.plan(wrapped.vault, ["classifier"])
    found = disposal.dispose(plan, journal=home / "journal", **people).disposal
    assert (found.status, found.worst_key, found.irreversible_since) == ("pending", "scheduled", "unknown")
    assert found.reasons[0].startswith("not final yet: ")
    still = disposal.resume(home / "journal", vault=wrapped.vault, signer=people["signer"]).disposal
    assert still.status == "pending"
    wrapped.root.complete()
    done = disposal.resume(home / "journal", vault=wrapped.vault, signer=people["signer"]).disposal
    assert (done.status, done.epoch_after) == ("completed", found.epoch_after)
    assert done.worst_key != "scheduled"


def test_a_holder_that_is_down_before_the_erasure_stops_it_and_after_it_delays_it(home, people):
    root = MemoryWrapper()
    with Vault.create(home / "vault", root=root) as vault:
        vault.seal(home / "model", "classifier").close()
        (home / "note").write_bytes(b"another thing")
        vault.seal(home / "note", "other").close()
        plan = disposal.plan(vault, ["classifier"])
        real = vault.erase
        vault.erase = lambda names: (_ for _ in ()).throw(StoreError("the holder is not reached"))
        with pytest.raises(StoreError, match="not reached"):
            disposal.dispose(plan, journal=home / "journal", **people)
        assert vault.assets()[0].state == "live"
        vault.erase = real
        destroy = root.destroy
        root.destroy = lambda version: (_ for _ in ()).throw(StoreError("down"))
        found = disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal
        assert (found.status, found.epoch_after) == ("pending", vault.epoch)
        root.destroy = destroy
        done = disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal
        assert (done.status, done.epoch_after, done.reasons) == ("completed", found.epoch_after, ())
        assert vault.assets()[1].state == "live"


def test_a_holder_that_dies_between_the_steps_loses_nothing(home, people):
    calls = 1
    while True:
        place = home / f"{calls}"
        place.mkdir()
        root = MemoryWrapper()
        with Vault.create(place / "vault", root=root) as vault:
            vault.seal(home / "model", "classifier").close()
            plan = disposal.plan(vault, ["classifier"])
            root.faults = Faults(calls, lasting=True)
            try:
                status = disposal.dispose(plan, journal=place / "journal", **people).disposal.status
            except StoreError:
                status = "stopped"
            was_hit = len(root.faults.calls) >= calls
            root.faults = Faults()
            if not (place / "journal").exists():
                found = disposal.dispose(plan, journal=place / "journal", **people).disposal
            else:
                found = disposal.resume(place / "journal", vault=vault, signer=people["signer"]).disposal
            assert found.status == "completed", (calls, status, found.reasons)
            if not was_hit:
                assert (status, calls > 8) == ("completed", True)
                return
            assert status in {"stopped", "pending"}, calls
        calls += 1


def test_an_asset_on_hold_is_not_planned_and_not_erased(vault, home, people):
    plan = disposal.plan(vault, ["classifier"])
    vault.holds.place(["classifier"], reason="case 7")
    with pytest.raises(StateError, match=r"on hold \(case 7\)"):
        disposal.plan(vault, ["classifier"])
    with pytest.raises(StateError, match=r"on hold \(case 7\)"):
        disposal.dispose(plan, journal=home / "journal", **people)
    assert vault.assets()[0].state == "live"
    vault.holds.lift(["classifier"])
    assert disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal.status == "completed"


def approval_of(plan, home, by):
    disposal.approve(plan.order, signer=by, party=Party(name="Data Custodian")).write(home / "approval")
    return disposal.open_approval(home / "approval", policy=by.public)


def test_a_second_signer_approves_exactly_one_plan(vault, home, people, stranger):
    plan = whole(vault, home)
    approval = approval_of(plan, home, stranger)
    assert approval.order == plan.digest == f"sha256:{hashlib.sha256(plan.order).hexdigest()}"
    (home / "home/another").write_text("You are a careful classifier.")
    other = whole(vault, home)
    with pytest.raises(PolicyError, match=r"the approval is of order sha256:.* nothing was done"):
        disposal.dispose(other, approval=approval, journal=home / "journal", **people)
    with pytest.raises(PolicyError, match="a second signer was asked for"):
        disposal.dispose(plan, approval=approval_of(plan, home, people["signer"]), journal=home / "journal", **people)
    assert (vault.assets()[0].state, (home / "journal").exists()) == ("live", False)
    found = disposal.dispose(plan, approval=approval, **people).disposal
    assert (found.approval.by.name, found.approval.signer) == ("Data Custodian", stranger.public.fingerprint)


def test_a_receipt_covers_everything_and_is_the_recipients(vault, home, people, stranger):
    vault.unseal("classifier", home / "arrived")
    plan = disposal.plan(vault, ["classifier"])
    terms = people | {"trigger": "transfer"}

    def receipt(*paths, by=stranger):
        disposal.acknowledge(paths, signer=by, party=Party(name="Partner"), request="T-1").write(home / "receipt")
        return disposal.open_receipt(home / "receipt", policy=by.public)

    with pytest.raises(PolicyError, match="the receipt does not cover 'classifier'"):
        disposal.dispose(plan, receipt=receipt(home / "home/deep"), **terms)
    with pytest.raises(PolicyError, match="it is the recipient's to sign"):
        disposal.dispose(plan, receipt=receipt(home / "arrived", by=people["signer"]), **terms)
    assert vault.assets()[0].state == "live"
    found = disposal.dispose(plan, receipt=receipt(home / "arrived"), **terms).disposal
    assert (found.status, found.receipt.by.name) == ("completed", "Partner")


def test_peoples_records_end_by_pseudonym_and_request(home, people, tmp_path):
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "r")) as vault:
        records = list(vault.subjects.seal_many([("ada@example.org", b"1"), ("bob@example.org", b"2")]))
        with pytest.raises(StoreError):
            disposal.plan(vault, subjects=["eve@example.org"])
        plan = disposal.plan(vault, subjects=["ada@example.org"], request="DSR-9")
        assert b"ada@" not in plan.order
        assert "ada@" not in repr(plan)
        terms = people | {"trigger": "subject-erasure"}
        made = disposal.dispose(plan, journal=home / "journal", **terms)
        found = made.disposal
        assert (found.status, found.request) == ("completed", "DSR-9")
        assert [(asset.kind, asset.name) for asset in found.assets] == [("subject", vault.subjects.pseudonym("ada@example.org"))]
        assert list(vault.subjects.unseal_many(records)) == [b"2"]
        disposal.confirm(made, vault)
        made.write(home / "certificate")
        for written in (home / "certificate", home / "journal"):
            assert b"ada@" not in written.read_bytes()
        with pytest.raises(StoreError):
            disposal.plan(vault, subjects=["ada@example.org"])


def test_people_are_named_again_where_their_erasure_had_not_begun(home, people, tmp_path, monkeypatch):
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "r")) as vault:
        list(vault.subjects.seal_many([("ada", b"1"), ("bob", b"2")]))
        plan = disposal.plan(vault, subjects=["ada"], request="DSR-9")
        with monkeypatch.context() as patch:
            patch.setattr(type(vault.subjects), "erase", lambda self, people: (_ for _ in ()).throw(Interrupted))
            with pytest.raises(Interrupted):
                disposal.dispose(plan, journal=home / "journal", **(people | {"trigger": "subject-erasure"}))
        signer = people["signer"]
        with pytest.raises(ValueError, match="the people's ids are needed once more"):
            disposal.resume(home / "journal", vault=vault, signer=signer)
        with pytest.raises(PolicyError, match="not those that the disposal was begun for"):
            disposal.resume(home / "journal", vault=vault, signer=signer, subjects=["bob"])
        found = disposal.resume(home / "journal", vault=vault, signer=signer, subjects=["ada"]).disposal
        assert found.status == "completed"
        assert disposal.resume(home / "journal", vault=vault, signer=signer).disposal == found


def test_assets_and_people_are_disposed_of_separately(vault, home):
    list(vault.subjects.seal_many([("ada", b"1")]))
    with pytest.raises(ValueError, match="separately"):
        disposal.plan(vault, ["classifier"], subjects=["ada"])


def test_names_that_are_not_utf8_survive_the_journal(vault, home, people):
    odd = os.fsencode(home / "home") + b"/\xff\x1b[2J"
    with open(odd, "wb") as file:  # noqa: PTH123 - the name is bytes
        file.write(b"You are a careful classifier.")
    plan = whole(vault, home)
    real = _removal.remove
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_removal, "remove", lambda path: real(path) if path.name == "again" else (_ for _ in ()).throw(Interrupted))
        with pytest.raises(Interrupted):
            disposal.dispose(plan, journal=home / "journal", **people)
    found = disposal.resume(home / "journal", vault=vault, signer=people["signer"])
    assert (found.disposal.status, os.path.exists(odd)) == ("completed", False)  # noqa: PTH110 - the same
    assert f"{home}/home/\\xff\x1b[2J" in found.disposal.removed.unlinked.first
    found.write(home / "certificate")
    assert b"\x1b" not in (home / "certificate").read_bytes()
    assert Certificate.load(home / "certificate").disposal == found.disposal


def test_a_thousand_paths_are_named_and_the_rest_counted(vault, home, people):
    for number in range(1100):
        (home / f"home/{number:04}").write_text("You are a careful classifier.")
    found = disposal.dispose(whole(vault, home), **people).disposal
    assert (len(found.removed.unlinked.first), found.removed.unlinked.more) == (1000, 104)
    assert (len(found.search.copies.first), found.search.copies.more) == (1000, 103)
    json.dumps(disposal.Disposal.to_statement(found).predicate)


def test_a_key_that_was_handed_over_lives_on_and_only_a_transfer_may_say_completed(vault, home, people, stranger):
    from lifeseal.erasure import Recipient, generate_recipient_key

    generate_recipient_key(home / "partner")
    vault.hand_overs.give("classifier", Recipient.from_file(home / "partner.pub"), signer=people["signer"], out=home / "sidecar")
    plan = disposal.plan(vault, ["classifier"])
    assert any("Keys were handed over 1 times" in line for line in plan.limitations)
    found = disposal.dispose(plan, **people).disposal
    assert (found.status, found.worst_key) == ("partial", "handed-over")
    assert next(copy.holder for copy in found.keys if copy.state == "handed-over").startswith("recipient ")
    assert found.reasons[0].startswith("a key was handed over, and lives on: recipient ")
    shutil.copytree(home / "home", home / "model")
    vault.seal(home / "model", "second").close()
    vault.hand_overs.give("second", Recipient.from_file(home / "partner.pub"), signer=people["signer"], out=home / "sidecar2")
    disposal.acknowledge([home / "model"], signer=stranger, party=Party(name="Partner")).write(home / "receipt")
    receipt = disposal.open_receipt(home / "receipt", policy=stranger.public)
    moved = disposal.dispose(disposal.plan(vault, ["second"]), receipt=receipt, **(people | {"trigger": "transfer"})).disposal
    assert (moved.status, moved.worst_key) == ("completed", "handed-over")


def test_what_was_left_is_tried_again(vault, home, people):
    real = _removal.remove
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_removal, "remove", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        found = disposal.dispose(whole(vault, home), journal=home / "journal", **people).disposal
    assert (found.status, len(found.removed.left.first)) == ("partial", 4)
    assert _removal.remove is real
    again = disposal.resume(home / "journal", vault=vault, signer=people["signer"]).disposal
    assert (again.status, len(again.removed.unlinked.first), again.epoch_after) == ("completed", 4, found.epoch_after)


def test_what_was_made_from_it_and_what_still_knows_it_are_named(vault, home, people, tmp_path):
    import datetime as dt

    from lifeseal import provenance
    from lifeseal.attestation import Subject

    plan = disposal.plan(vault, ["classifier"])
    base = Subject(name="classifier", sha256=plan.assets[0].sha256)
    tuned = Subject(name="tuned", sha256=bytes(32))
    training = provenance.record_training(tuned, inputs=[base], parameters={}, code=provenance.Code(uri="https://example.org/repo", commit="a" * 40))
    vault.unseal("classifier", tmp_path / "again")
    about = provenance.Description(name="weights as data", source="s", obtained=dt.datetime.now(dt.UTC), licence="MIT")
    manifest = provenance.record(tmp_path / "again", description=about)
    shutil.rmtree(tmp_path / "again")
    plan = disposal.plan(vault, ["classifier"], statements=[training, manifest])
    found = disposal.dispose(plan, **people).disposal
    assert [(one.name, one.kind, one.how, one.certain) for one in found.derivatives] == [("tuned", "model", "based", True)]
    assert [(one.name, one.files, one.records) for one in found.manifests] == [("weights as data", 3, False)]
    text = " ".join(found.limitations)
    assert "not erased: tuned" in text
    assert "can be recognised: weights as data" in text
