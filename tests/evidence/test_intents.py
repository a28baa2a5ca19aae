# SPDX-License-Identifier: Apache-2.0
"""What cannot be taken back is on the disk before it is done, and is not done if the log cannot take it."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import disposal, evidence, principles, signing
from lifeseal.attestation import KeySigner, Waiver
from lifeseal.erasure import FileRoot, Vault
from lifeseal.errors import PolicyError


class Full:
    """A log whose disk is full when an intent comes."""

    def emit(self, event):
        if event.outcome == "intent":
            raise OSError(28, "log is full")


@pytest.fixture
def unsigned(tmp_path):
    """A model, its policy, and a waiver that covers it."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a").write_bytes(b"a")
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    waiver = Waiver(covers=[signing.digest(tmp_path / "m").inventory], allows=["unsigned"], reason="r", owner="o", expires=until, risk="R-1")
    return tmp_path / "m", KeySigner(ec.generate_private_key(ec.SECP256R1())).public, waiver


def intents(path):
    return [(event.primitive, event.facts) for event in evidence.read(path) if event.outcome == "intent"]


def test_a_waiver_is_logged_before_it_lets_anything_in(unsigned, tmp_path):
    model, policy, waiver = unsigned
    with evidence.Log(tmp_path / "log"):
        signing.verify(model, policy=policy, waiver=waiver)
    ((name, facts),) = intents(tmp_path / "log")
    assert (name, facts["owner"], facts["risk"], facts["fault"]) == ("lifeseal.attestation.Waiver.check", "o", "R-1", "unsigned")
    with principles.sink_for_block(Full()), pytest.raises(OSError, match="log is full"):
        signing.verify(model, policy=policy, waiver=waiver)


def test_a_waiver_that_does_not_apply_announces_nothing(unsigned, tmp_path):
    model, policy, waiver = unsigned
    (model / "b").write_bytes(b"b")
    with evidence.Log(tmp_path / "log"), pytest.raises(PolicyError, match="does not cover"):
        signing.verify(model, policy=policy, waiver=waiver)
    assert intents(tmp_path / "log") == []


def test_a_disposal_is_logged_before_anything_is_erased(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "safe").mkdir(mode=0o700)
    how = {"signer": None, "sanitiser": "s", "custodian": "c", "trigger": "decommission"}
    with Vault.create(tmp_path / "vault", root=FileRoot(tmp_path / "safe/root")) as vault:
        vault.seal(tmp_path / "a", "a").close()
        plan = disposal.plan(vault, ["a"], request="T-1")
        with principles.sink_for_block(Full()), pytest.raises(OSError, match="log is full"):
            disposal.dispose(plan, **how)
        vault.asset("a").close()
        with evidence.Log(tmp_path / "log"):
            disposal.dispose(plan, **how)
    (dispose, erase) = intents(tmp_path / "log")
    assert (dispose[0], dispose[1]["request"], dispose[1]["custodian"]) == ("lifeseal.disposal.dispose", "T-1", "c")
    assert erase[0] == "lifeseal.erasure.Vault.erase"
