# SPDX-License-Identifier: Apache-2.0
"""A whole disposal under system faults, at each call that changes the disk: it goes on, repeats nothing, skips nothing."""

import os
import shutil

import pytest

from crash import harness
from crash.disk import KINDS, mounted
from crash.harness import Operation
from lifeseal import disposal
from lifeseal.disposal import Certificate
from lifeseal.erasure import FileRoot, Vault

pytestmark = pytest.mark.crash
WEIGHTS = bytes(range(256)) * 40
PROMPT = b"You are a careful classifier."


def _open(folder):
    return Vault.open(folder / "vault", root=FileRoot(folder / "root"))


def _prepare(folder):
    (folder / "model").mkdir()
    (folder / "model/weights").write_bytes(WEIGHTS)
    (folder / "model/prompt").write_bytes(PROMPT)
    (folder / "home").mkdir()
    (folder / "home/copy").write_bytes(WEIGHTS)
    os.link(folder / "home/copy", folder / "home/link")
    (folder / "home/letter").write_bytes(b"Dear diary")
    with Vault.create(folder / "vault", root=FileRoot(folder / "root")) as vault:
        vault.seal(folder / "model", "model").close()
        (folder / "model/prompt").write_bytes(PROMPT[::-1])
        vault.seal(folder / "model", "other").close()
    (folder / "model/prompt").write_bytes(PROMPT)


def _end(folder, vault):
    """Dispose, or go on, as the command does."""
    if (folder / "journal").exists():
        return disposal.resume(folder / "journal", vault=vault, signer=None)
    plan = disposal.plan(vault, ["model"], search=[folder / "home", folder / "model"], remove="files")
    return disposal.dispose(plan, signer=None, sanitiser="s", custodian="c", trigger="decommission", journal=folder / "journal")


def _run(folder):
    with _open(folder) as vault:
        _end(folder, vault).write(folder / "certificate")


def _check(folder, acknowledged):
    home = sorted(path.name for path in (folder / "home").iterdir())
    if not (folder / "journal").exists() and home != ["copy", "letter", "link"]:
        return f"unlinked before anything was written down: {home}"
    if acknowledged and not (folder / "certificate").exists():
        return "acknowledged, and there is no certificate"
    with _open(folder) as vault:
        found = _end(folder, vault).disposal
        ((state, epoch),) = vault.trials.states([disposal_slot(found)])
        alive = vault.asset("other").names()
    if (found.status, state, epoch) != ("completed", "erased", found.epoch_after) or found.epoch_before >= epoch:
        return f"it ended as {found.status} {found.reasons}, {state} at {epoch}"
    if acknowledged and (folder / "certificate").exists():
        first = Certificate.load(folder / "certificate").disposal
        if first.status == "completed" and first.epoch_after != found.epoch_after:
            return "it was erased twice"
    home = sorted(path.name for path in (folder / "home").iterdir())
    left = sorted(path.name for path in (folder / "model").iterdir())
    gone = {path.rpartition("/")[2] for path in (*found.removed.unlinked.first, *found.removed.gone.first)}
    if (home, left, gone, alive) != (["letter"], [], {"copy", "link", "weights", "prompt"}, ("prompt", "weights")):
        return f"left {home} and {left}; names {gone}; the other asset has {alive}"
    return None


def disposal_slot(found):
    from lifeseal.erasure import ErasedSlot

    return ErasedSlot(slot=found.assets[0].slot, generation=found.assets[0].generation)


OPERATION = Operation(name="dispose", prepare=_prepare, run=_run, check=_check)


@pytest.fixture(autouse=True)
def _changing_calls_only(monkeypatch, tmp_path_factory):
    if not harness.able():
        pytest.skip(harness.WHY_SKIPPED)
    warm = tmp_path_factory.mktemp("warm")  # what is imported on the way is imported now, or its opens would be counted
    _prepare(warm)
    _run(warm)
    monkeypatch.setattr("lifeseal.disposal._copies.open_files", lambda places, unread: [])  # which processes there are differs from run to run
    every = harness.calls
    monkeypatch.setattr(harness, "calls", lambda operation, base: [call for call in every(operation, base) if call.changes])


def test_killed_at_any_change_it_goes_on(tmp_path):
    assert harness.kills(OPERATION, tmp_path) == []


@pytest.mark.parametrize("error", [pytest.param("EIO", marks=pytest.mark.long), pytest.param("ENOSPC", marks=pytest.mark.long)])
def test_refused_at_any_change_it_goes_on(error, tmp_path):
    assert harness.errors(OPERATION, tmp_path, error) == []


@pytest.mark.parametrize("kind", [KINDS[0], pytest.param(KINDS[2], marks=pytest.mark.long)], ids=["ext4", "xfs"])
def test_after_a_power_cut_at_any_change_it_goes_on(kind, tmp_path):
    with mounted(kind, tmp_path) as disk:
        assert harness.cuts(OPERATION, disk, flush=False) == []


def test_the_check_sees_what_was_skipped(tmp_path):
    """The meta-test: a disposal that forgets a copy, or its certificate, is seen."""
    _prepare(tmp_path)
    _run(tmp_path)
    (tmp_path / "certificate").unlink()
    assert _check(tmp_path, acknowledged=True) == "acknowledged, and there is no certificate"
    (tmp_path / "journal").unlink()
    assert "unlinked before anything was written down" in _check(tmp_path, acknowledged=False)
    shutil.rmtree(tmp_path / "home")
