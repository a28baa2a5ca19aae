# SPDX-License-Identifier: Apache-2.0
"""A vault moves from each real holder to the next; and moves between sorts of holder that fail at any call."""

import contextlib
import itertools
import re
import shutil
import tempfile
from pathlib import Path

import attrs
import pytest

from erasure.conftest import in_memory
from erasure.parts import new_vault, state
from erasure.test_interruption import Stopped
from lifeseal.erasure import AwsKmsRoot, Cell, FileRoot, KeyringRoot, OpenBaoRoot, Pkcs11Root, TpmRoot, Vault
from lifeseal.erasure._roots import RETIRED
from lifeseal.errors import CredentialError, DestroyedError, LifesealError, RolledBackError, StateError, StoreError, TamperedError
from lifeseal.testing import Faults
from support import aws, openbao, secret_service, softhsm, swtpm

pytestmark = [
    pytest.mark.skipif(not swtpm.is_there(), reason=swtpm.NO_SWTPM),
    pytest.mark.skipif(not softhsm.is_there(), reason=softhsm.NO_SOFTHSM),
    pytest.mark.skipif(openbao.program() is None, reason=openbao.NO_OPENBAO),
    pytest.mark.skipif(not secret_service.is_there(), reason=secret_service.NO_SERVICE),
    pytest.mark.filterwarnings(secret_service.LEAKS),
]
REFUSALS = (CredentialError, DestroyedError, RolledBackError, StateError, StoreError, TamperedError)
CELL_CALLS = ("read", "replace", "clear")
WRAPPER_CALLS = ("create", "wrap", "unwrap", "destroy", "versions")
KINDS = ("file", "tpm", "pkcs11", "openbao", "aws-kms", "keyring")


@attrs.define
class Parts:
    """The parts while they run, and a fresh holder on each."""

    folder: Path
    tpm: swtpm.Swtpm
    token: str
    bao: openbao.Server
    kms: object
    keyring: secret_service.SecretService
    numbers: object = attrs.Factory(lambda: itertools.count(1))

    def holder(self, kind):
        number = next(self.numbers)
        if kind == "file":
            return FileRoot(self.folder / f"{number}.root")
        if kind == "tpm":
            return TpmRoot(0x01600000 + number, auth=b"a secret of the index", tcti=self.tpm.tcti)
        if kind == "pkcs11":
            return Pkcs11Root(softhsm.LIBRARY, token=self.token, pin=softhsm.PIN)
        if kind == "openbao":
            return OpenBaoRoot(self.bao.client(), mount=self.bao.mount())
        if kind == "aws-kms":
            return AwsKmsRoot(self.kms, prefix=f"test-{number}")
        return KeyringRoot(f"a root {number}")

    def left(self, kind, holder, vault):
        """Ask a part's own tool for what it still has of a vault, and could be used."""
        if kind == "file":
            return [str(path) for path in (holder.location,) if path.exists()]
        if kind == "tpm":
            return [found for found in self.tpm.tool("getcap", "handles-nv-index").stdout.split() if found == f"{holder._index:#x}"]
        if kind == "pkcs11":
            return re.findall(rf"label:\s+.*{vault.hex()}.*", softhsm.tool(self.token, "--list-objects", "--type", "secrkey").stdout)
        if kind == "openbao":
            return self.bao.bao("list", f"{holder._mount}/keys", check=False).stdout.split()[2:]
        if kind == "aws-kms":
            keys = [self.kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in self.kms.list_keys()["Keys"]]
            return [key["KeyId"] for key in keys if key["KeyState"] != "PendingDeletion" and vault.hex() in key["Description"]]
        return self.keyring.tool("search", "--all", "username", holder._name).stdout.split()


@pytest.fixture(scope="module")
def parts():
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TSS2_LOG", "all+NONE")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parts-", dir="/tmp")))  # a socket's path is short
        for name in ("tpm", "keyring"):
            (folder / name).mkdir()
        tpm = swtpm.Swtpm(folder / "tpm")
        stack.callback(tpm.stop)
        service = secret_service.SecretService(folder / "keyring")
        stack.callback(service.stop)
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", service.address)
        service.start()
        url = stack.enter_context(aws.kms())
        aws.forget(url)  # every server of a process shows the same keys
        yield Parts(folder, tpm, softhsm.new_token(), stack.enter_context(openbao.in_memory()), aws.client(url), service)


@pytest.fixture
def tmp_path():
    with in_memory() as folder:
        yield folder


class Failing:
    """A holder whose calls are counted, and fail before or after they took effect."""

    def __init__(self, holder, faults):
        self._holder = holder
        self._faults = faults
        for name in CELL_CALLS if isinstance(holder, Cell) else WRAPPER_CALLS:
            setattr(self, name, self._failing(name))

    def __getattr__(self, name):
        return getattr(self._holder, name)

    def _failing(self, name):
        def call(*arguments, **named):
            with self._faults.call(name):
                return getattr(self._holder, name)(*arguments, **named)

        return call


def opens(folder, holder):
    try:
        with Vault.open(folder, root=holder) as vault:
            return state(vault)
    except REFUSALS:
        return None


def end(folder, old, new):
    """Do what a person does after a move that failed: move again, or if the vault has moved, retire the old holder."""
    try:
        vault = Vault.open(folder, root=old)
    except REFUSALS:
        with Vault.open(folder, root=new) as moved:
            if any(entry.state in {"begun", "left"} for entry in moved.info().holders[:-1]):
                moved.retire(old)
        return
    with vault:
        vault.rehome(new)


def test_a_vault_goes_from_each_holder_to_the_next_and_no_part_has_anything_left_of_it(parts, tmp_path):
    holder = parts.holder("file")
    folder = new_vault(tmp_path, holder)
    with Vault.open(folder, root=holder) as vault:
        number = bytes.fromhex(vault.id)
    for kind, following in itertools.pairwise((*KINDS, "file")):
        copy = tmp_path / f"copy of {kind}"
        shutil.copytree(folder, copy)
        home = parts.holder(following)
        assert opens(copy, holder) == "live"
        with Vault.open(folder, root=holder) as vault:
            done = vault.rehome(home)
            assert state(vault) == "live"
        assert done.old.state == ("scheduled" if kind == "aws-kms" else "destroyed")
        assert all(re.search(r" until \d{4}-\d\d-\d\dT", name) for name in done.pending)
        assert bool(done.pending) == (kind == "aws-kms")
        assert len(parts.left(kind, holder, number)) == (kind == "aws-kms")  # the witness, which wraps nothing
        assert opens(copy, holder) is None
        assert opens(folder, holder) is None
        assert opens(folder, home) == "live"
        assert parts.left(following, home, number) != []
        holder = home
    with Vault.open(folder, root=holder) as vault:
        assert [entry.kind for entry in vault.info().holders] == [*KINDS, "file"]
        erasure = vault.erase(["first"])
        assert [bool(re.search(r"aws-kms .* scheduled until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", name)) for name in erasure.pending] == [True]
        assert vault.info().pending == erasure.pending
        assert state(vault) == "pending"  # the key of AWS could still be brought back, and it opened the vault while the asset lived


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize(("old", "new"), [("tpm", "openbao"), ("pkcs11", "keyring")])
def test_a_move_between_real_parts_that_fails_at_any_call_can_be_ended(parts, tmp_path, old, new, side, when):
    error = Stopped() if side == "new" else StoreError("the answer was lost")
    for at in range(1, 60):
        place = tmp_path / str(at)
        place.mkdir()
        before, after = parts.holder(old), parts.holder(new)
        folder = new_vault(place, before)
        faults = Faults(at, when=when, error=error, lasting=isinstance(error, Stopped))
        failing = {"old": before, "new": after, side: Failing({"old": before, "new": after}[side], faults)}
        try:
            with Vault.open(folder, root=failing["old"]) as vault:
                vault.rehome(failing["new"])
            acknowledged = True
        except (LifesealError, Stopped):
            acknowledged = False
        reached = at <= len(faults.calls)
        assert "live" in {opens(folder, before), opens(folder, after)}
        if not acknowledged:
            end(folder, before, after)
        assert opens(folder, before) is None
        assert opens(folder, after) == "live"
        with Vault.open(folder, root=after) as vault:
            assert [entry.state for entry in vault.info().holders] == ["destroyed", "in force"]
            vault.erase(["first"])
            assert state(vault) == "erased"
            assert vault.info().pending == ()
            number = bytes.fromhex(vault.id)
            witness = vault.info().holders[0].witness
        if old == "pkcs11":  # what could not be cleared afterwards is a key that wraps nothing
            assert {found.name for found in before.versions(number)} <= {witness}
        elif parts.left(old, before, number):
            with before.read() as left:  # of a cell that could not be cleared afterwards: a random key in place of the root
                assert left.epoch == RETIRED
        if not reached:
            assert acknowledged
            assert at > 3
            return
    raise AssertionError("the move never ran through")
