# SPDX-License-Identifier: Apache-2.0
"""Real holders that fail where a test tells them to, and what must hold whenever a change was interrupted."""

import json
import shutil

from erasure.test_interruption import Stopped
from lifeseal.erasure import KeyState, Vault
from lifeseal.errors import DestroyedError, LifesealError, PendingError, StoreError
from lifeseal.testing import Faults

CALLS = ("create", "wrap", "unwrap", "destroy", "versions")
PLAIN = b"plaintext of an asset"
LOST = StoreError("the answer was lost")


class Interrupted:
    """A wrapper whose calls are counted, and fail before or after they took effect."""

    def __init__(self, wrapper, faults):
        self._wrapper = wrapper
        self._faults = faults

    def __getattr__(self, name):
        found = getattr(self._wrapper, name)
        if name not in CALLS:
            return found

        def call(*arguments):
            with self._faults.call(name):
                return found(*arguments)

        return call


def new_vault(folder, holder):
    """A vault with one asset in it."""
    (folder / "plain").write_bytes(PLAIN)
    with Vault.create(folder / "vault", root=holder) as vault:
        vault.seal(folder / "plain", "first").close()
    return folder / "vault"


def state(vault):
    """Say what the vault says of its asset."""
    try:
        with vault.asset("first") as asset, asset.open("plain") as reader:
            buffer = bytearray(reader.size)
            reader.readinto(memoryview(buffer), 0)
    except DestroyedError:
        return "erased"
    except PendingError:
        return "pending"
    assert buffer == PLAIN
    return "live"


def settles(folder, holder, *, scheduled=False):
    """See that a vault is as before or as after, that the next change settles it for good, and that one live key is left; return both states."""
    with Vault.open(folder / "vault", root=holder) as vault:
        found = state(vault)
        vault.seal(folder / "plain", "next").close()
        after = state(vault)
        live = [version for version in holder.versions(bytes.fromhex(vault.id)) if version.state is KeyState.LIVE]
    assert len(live) == 1
    assert len(list((folder / "vault").glob("root-*"))) == 1
    assert after in ({"live", "pending"} if scheduled else {"live", "erased"})
    return found, after


def interrupt_everywhere(folder, holder, act, *, when, error, scheduled=False):
    """Interrupt an act at each call of its holder, one after another, until it runs through; yield what became of the vault each time."""
    for at in range(1, 60):
        place = folder / str(at)
        place.mkdir()
        new_vault(place, holder)
        faults = Faults(at, when=when, error=error, lasting=isinstance(error, Stopped))
        try:
            with Vault.open(place / "vault", root=Interrupted(holder, faults)) as vault:
                act(vault)
            acknowledged = True
        except (LifesealError, Stopped):
            acknowledged = False
        reached = at <= len(faults.calls)
        yield faults.calls[min(at, len(faults.calls)) - 1], acknowledged, settles(place, holder, scheduled=scheduled)
        shutil.rmtree(place)
        if not reached:
            assert acknowledged
            return
    raise AssertionError("the act never ran through")


def erase_is_old_or_new(folder, holder, *, when, error):
    """Erase, interrupted everywhere."""
    seen = []
    for call, acknowledged, (found, after) in interrupt_everywhere(folder, holder, lambda vault: vault.erase(["first"]), when=when, error=error):
        seen.append(call)
        assert found in ({"erased"} if acknowledged else {"live", "erased", "pending"})
        assert after == ("erased" if found in {"erased", "pending"} else "live")
    assert set(CALLS) <= set(seen)


def erase_with_lost_requests(folder, proxy, interrupted, holder, *, way, numbers, lasting=False):
    """Erase an asset, seal it again and erase it again; each time the connection does something to another of the requests."""
    vault = new_vault(folder, holder)
    outcomes = []
    for at in numbers:
        with Vault.open(vault, root=interrupted) as opened:
            proxy.plan(at, way, lasting=lasting)
            try:
                opened.erase(["first"])
                acknowledged = True
            except LifesealError:
                acknowledged = False
            reached = len(proxy.seen) >= at
            proxy.plan()
        with Vault.open(vault, root=holder) as opened:
            found = state(opened)
            assert found in ({"erased"} if acknowledged else {"live", "erased", "pending"})
            outcomes.append(found)
            if found == "pending":
                opened.seal(folder / "plain", f"settles {at}").close()
                assert state(opened) == "erased"
            opened.seal(folder / "plain", f"next {at}" if found == "live" else "first").close()
            assert state(opened) == "live"
            assert [version.state for version in holder.versions(bytes.fromhex(opened.id))] == [KeyState.LIVE]
        if not reached:
            assert acknowledged
            return outcomes
    raise AssertionError("the act never ran through")


def claims_another_key(vault):
    """Edit a vault's folder so that it names another key of the same kind of holder."""
    path = vault / "vault.json"
    document = json.loads(path.read_bytes())
    document["holder"]["fingerprint"] = "0" * 32
    path.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
