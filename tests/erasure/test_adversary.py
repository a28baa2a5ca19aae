# SPDX-License-Identifier: Apache-2.0
"""An adversary who kept every byte the vault ever wrote, and has the root as it is now."""

import base64
import itertools
import json
import os
import shutil
import subprocess

import pytest

from crash import harness
from crash.disk import KINDS, mounted
from erasure.trees import attack
from lifeseal._io import DiskSource, Secret
from lifeseal.erasure import FileRoot, Vault
from lifeseal.erasure._change import load
from lifeseal.erasure._container import Place, open_container
from lifeseal.erasure._layout import DATA, INDEX, log_epochs, root_context
from lifeseal.erasure._log import LogReader
from lifeseal.erasure._nodes import State
from lifeseal.errors import DestroyedError, TamperedError
from lifeseal.testing import MemoryWrapper


class Hoard:
    """Every file of a vault at every moment that was looked at; a later one of the same name is kept beside the older."""

    def __init__(self, vault_folder, place):
        self._vault, self._place = vault_folder, place
        self._count = 0

    def keep(self):
        self._count += 1
        shutil.copytree(self._vault, self._place / str(self._count))

    def logs(self, vault):
        folders = sorted(self._place.iterdir())
        return [LogReader(folder, start, vault) for folder in folders for start in log_epochs(folder)]

    def containers(self):
        return [path for folder in sorted(self._place.iterdir()) for path in sorted((folder / "objects").iterdir())]


def live_slots(desk):
    with load(desk.folder, desk.root) as state:
        found = [slot for slot, entry in list(state.tree.slots()) if entry.state is State.LIVE]
        keys = {}
        for slot in found:
            with state.tree.key(slot) as key:
                keys[slot] = {bytes(key.view())}
    return keys


def test_everything_ever_written_and_the_present_root_open_what_is_live_and_nothing_else(desk, tmp_path):
    (tmp_path / "hoard").mkdir()
    hoard = Hoard(desk.folder, tmp_path / "hoard")
    erased = set()
    with desk.create() as vault:
        identity = bytes.fromhex(vault.id)
        for name in ("kept-model", "erased-model", "again"):
            vault.seal(desk.model, name).close()
            hoard.keep()
        before = live_slots(desk)
        vault.erase(["erased-model"])
        hoard.keep()
        vault.erase(["again"])
        hoard.keep()
        vault.seal(desk.model, "again").close()
        hoard.keep()
        vault.compact()
        hoard.keep()
        vault.seal(desk.model / "weights.bin", "late-model").close()
        hoard.keep()
        live = live_slots(desk)
        erased = {key for keys in before.values() for key in keys} - {key for keys in live.values() for key in keys}
        assert len(erased) == 2
    with desk.root.read() as held:
        root = bytes(held.key.view())
    found = attack(hoard.logs(identity), root, vault=identity, trust_headers=False)
    reached = set().union(*found.keys.values())
    assert {slot: keys for slot, keys in found.keys.items() if slot in live} == live
    assert not erased & reached
    everything = b"".join(content for contents in found.pages.values() for content in contents)
    assert b"erased-model" not in everything
    assert b"kept-model" in everything
    assert b"late-model" in everything
    opened = opened_containers(hoard, desk, identity, reached | {root})
    assert opened == {path.name for path in desk.objects}


def opened_containers(hoard, desk, identity, keys):
    """Try every key as the key of every container ever written, in every place it may have had."""
    opened = set()
    secrets = [Secret.copy_of(key) for key in keys]
    for path in hoard.containers():
        if path.name in opened:
            continue
        file_id = bytes.fromhex(path.name)
        with DiskSource(path.parents[1]) as source:
            for secret, slot, generation, role in itertools.product(secrets, range(4), (1, 2), (DATA, INDEX)):
                place = Place(folder=path.parents[1], vault=identity, slot=slot, generation=generation, name="")
                try:
                    open_container(source, place, secret, file_id, role, where="x").__exit__()
                except TamperedError:
                    continue
                opened.add(path.name)
    return opened


def test_under_a_wrapper_every_root_ever_wrapped_and_the_keys_it_has_left_open_what_is_live(desk, tmp_path):
    (tmp_path / "hoard").mkdir()
    hoard, wrapper = Hoard(desk.folder, tmp_path / "hoard"), MemoryWrapper()
    with Vault.create(desk.folder, root=wrapper) as vault:
        identity = bytes.fromhex(vault.id)
        for name in ("kept", "erased"):
            vault.seal(desk.model, name).close()
            hoard.keep()
        with vault._session.current().tree.key(1) as key:
            gone = bytes(key.view())
        vault.erase(["erased"])
        hoard.keep()
    live = [version.name for version in wrapper.versions(identity)]
    assert len(live) == 1
    roots = set()
    for path in sorted((tmp_path / "hoard").rglob("root-*")):
        wrapped = base64.b64decode(json.loads(path.read_bytes().splitlines()[0])["wrapped"])
        for version, epoch in itertools.product([*wrapper._versions], range(8)):
            try:
                with wrapper.unwrap(version, wrapped, root_context(identity, epoch)) as key:
                    roots.add(bytes(key.view()))
            except (DestroyedError, TamperedError):
                continue
    assert len(roots) == 1
    found = attack(hoard.logs(identity), roots.pop(), vault=identity, trust_headers=False)
    assert not any(gone in keys for keys in found.keys.values())
    assert 0 in found.keys
    assert 1 not in found.keys


def test_an_erased_name_is_in_no_page_that_can_be_read_and_the_answer_is_still_destroyed(desk):
    """What stays of it is a keyed fingerprint, so that the vault can say that it was destroyed."""
    with desk.create() as vault:
        vault.seal(desk.model, "unmistakable").close()
        vault.erase(["unmistakable"])
        assert [info.name for info in vault.assets()] == [""]
        with load(desk.folder, desk.root) as state:
            pages = [bytes(state.tree.page(slot)) for slot, found in list(state.tree.slots()) if found.state is State.PAGE]
        assert len(pages) == 2
        assert not any(b"unmistakable" in page for page in pages)


crash_machine = pytest.mark.skipif(not harness.able(), reason=harness.WHY_SKIPPED)


@crash_machine
@pytest.mark.crash
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=["ext4", "xfs"])
def test_the_raw_image_holds_no_key_after_an_erasure(kind, tmp_path):
    """Vault and root file on one disk that overwrites in place: neither the data key nor any old root is in its blocks."""
    with mounted(kind, tmp_path) as disk:
        root = FileRoot(disk.path / "vault.root")
        plain = tmp_path / "plain"
        plain.write_bytes(os.urandom(50_000))
        roots, keys = [], []

        def note_root():
            with root.read() as held:
                roots.append(bytes(held.key.view()))

        with Vault.create(disk.path / "vault", root=root) as vault:
            note_root()
            for name in ("erased", "kept"):
                vault.seal(plain, name).close()
                note_root()
                disk.sync()
            for slot in (0, 1):
                with vault._session.current().tree.key(slot) as key:
                    keys.append(bytes(key.view()))
            image = raw(disk)
            assert roots[-1] in image  # the control: the root in force is there, and the search sees it
            vault.erase(["erased"])
            note_root()
        image = raw(disk)
        assert roots.pop() in image
        assert [old in image for old in roots] == [False] * 3
        assert [key in image for key in keys] == [False, False]
        assert plain.read_bytes()[:64] not in image


def raw(disk):
    disk.sync()
    source = subprocess.run(["findmnt", "-no", "SOURCE", disk.path], capture_output=True, text=True, check=True).stdout.strip()
    with open(source, "rb", buffering=0) as device:  # noqa: PTH123 - a device
        os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        pieces = []
        while piece := device.read(1 << 22):
            pieces.append(piece)
    return b"".join(pieces)
