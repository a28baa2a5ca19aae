# SPDX-License-Identifier: Apache-2.0
"""Keys lie in locked memory while they are in use, and nowhere after: seen from outside, in the memory of another process."""

import os
import re
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from lifeseal.erasure import PassphraseRoot, Vault
from lifeseal.erasure._change import load
from lifeseal.erasure._map import Kind
from lifeseal.erasure._records import Asset
from lifeseal.erasure._sealed import RECORD_KEY

CHILD = Path(__file__).with_name("memory_child.py")


def places(pid, needle):
    """Find bytes in another process; returns whether each copy lies in locked memory."""
    found = []
    with Path(f"/proc/{pid}/smaps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        blocks = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) r\S+ .*\n((?:\w+:.*\n)+)", maps.read(), re.MULTILINE)
        for start, end, details in blocks:
            try:
                memory.seek(int(start, 16))
                content = memory.read(int(end, 16) - int(start, 16))
            except (OSError, OverflowError, ValueError):
                continue
            locked = re.search(r"VmFlags:.*\blo\b", details) is not None
            found += [locked] * content.count(needle)
    return found


def keys_of(desk):
    with desk.root.read() as held:
        root = bytes(held.key.view())
    data = {}
    with load(desk.folder, desk.root) as state:
        for record in state.names.records():
            if record.kind is Kind.ASSET:
                with state.tree.key(record.slot) as key:
                    data[Asset.from_mapped(record, where="map").name] = bytes(key.view())
    return root, data


def test_what_a_passphrase_derives_lies_in_locked_memory_and_nowhere_after(desk, tmp_path):
    passphrase = os.urandom(24)
    masked = bytes(byte ^ 255 for byte in passphrase).hex()
    command = [sys.executable, CHILD.with_name("memory_passphrase.py"), tmp_path / "v", desk.model, masked]
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "open\n"
            with Vault.open(tmp_path / "v", root=(root := PassphraseRoot(passphrase))):
                version, key = root._known
                keys = [passphrase, bytes(key.view())]
            assert places(child.pid, keys[1]) == [True]
            assert True in places(child.pid, passphrase)  # beside a copy that deriving leaves, see the docstring of PassphraseRoot
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "closed\n"
            assert places(child.pid, keys[1]) == []
            assert True not in places(child.pid, passphrase)
            assert len(version) == 32
        finally:
            child.kill()


def test_no_key_outlives_its_use_in_memory(desk, tmp_path):
    with desk.create() as vault:
        vault.seal(desk.model, "first")
    command = [sys.executable, CHILD, desk.folder, desk.root.location, desk.model, tmp_path / "out"]
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:

        def reach(point):
            assert child.stdout.readline() == f"{point}\n"

        def go_on():
            child.stdin.write("\n")
            child.stdin.flush()

        try:
            reach("open")
            roots, data = [], {}
            root, keys = keys_of(desk)
            roots.append(root)
            data |= keys
            assert places(child.pid, data["first"]) == [True]  # the asset's: the scan can see it
            assert places(child.pid, root) == []
            go_on()
            reach("sealed")
            root, keys = keys_of(desk)
            roots.append(root)
            data |= keys
            assert all(places(child.pid, data["second"]))
            assert [places(child.pid, old) for old in roots] == [[], []]
            go_on()
            reach("erased")
            roots.append(keys_of(desk)[0])
            assert places(child.pid, data["first"]) == []
            go_on()
            reach("closed")
            assert [places(child.pid, key) for key in (*roots, *data.values())] == [[]] * 5
            go_on()
        finally:
            child.kill()


def test_no_key_of_a_person_is_in_memory_between_batches(desk):
    with desk.create() as vault:
        vault.subjects.create_many(["ann", "bob"])
        keys = []
        for slot in vault.subjects.slots(["ann", "bob"]):
            with vault._session.current().tree.key(slot.slot) as key, key.view() as view:
                keys += [bytes(view), HKDFExpand(SHA256(), 32, RECORD_KEY).derive(bytes(view))]
    command = [sys.executable, CHILD.with_name("memory_people.py"), desk.folder, desk.root.location]
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            for point in ("in a stream", "open", "closed"):
                assert child.stdout.readline() == f"{point}\n"
                assert [places(child.pid, key) for key in keys] == [[]] * 4
                child.stdin.write("\n")
                child.stdin.flush()
        finally:
            child.kill()
