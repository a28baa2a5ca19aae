# SPDX-License-Identifier: Apache-2.0
"""A withdrawn model is refused, and one by a withdrawn signer; a waiver for it lets it pass, and says so."""

import datetime as dt

import attrs
import pytest

from lifeseal import signing
from lifeseal.attestation import Waiver, Withdrawals, WithdrawnArtefact, WithdrawnSigner
from lifeseal.errors import DigestMismatchError, PolicyError, WithdrawnError

NOW = dt.datetime.now(dt.UTC)
YEAR = dt.timedelta(days=365)
EMPTY = Withdrawals(name="acme", number=1, issued=NOW - YEAR, expires=NOW + YEAR)


@pytest.fixture
def digest(model, signer):
    """The root digest of the model, which is signed."""
    signing.sign(model, signer=signer)
    return signing.open_model(model, policy=signer.public).subject.digest


@pytest.fixture
def lists(digest, signer):
    """What withdraws the model, in two ways."""
    key = WithdrawnSigner(kind="key", fingerprint=signer.public.fingerprint, since=NOW - YEAR, reason="stolen")
    return {
        "model": attrs.evolve(EMPTY, artefacts=[WithdrawnArtefact(digest=digest, reason="a backdoor")]),
        "signer": attrs.evolve(EMPTY, signers=[key]),
    }


def waiver(*covers, **fields):
    given = {"allows": ["withdrawn"], "reason": "r", "owner": "o", "expires": NOW + YEAR, "risk": "k"} | fields
    return Waiver(covers=covers, **given)


@pytest.mark.parametrize("use", [signing.open_model, signing.verify])
@pytest.mark.parametrize("which", ["model", "signer"])
def test_what_was_withdrawn_is_refused(model, policy, lists, which, use):
    assert use(model, policy=policy, withdrawals=EMPTY)
    with pytest.raises(WithdrawnError, match="was withdrawn"):
        use(model, policy=policy, withdrawals=lists[which])


@pytest.mark.parametrize("which", ["model", "signer"])
def test_a_waiver_for_it_lets_it_pass_and_is_named(model, policy, lists, digest, which):
    report = signing.verify(model, policy=policy, withdrawals=lists[which], waiver=waiver(digest))
    assert (report.waiver.owner, report.signer.fingerprint, report.withdrawals) == ("o", policy.fingerprint, lists[which])
    assert ["was withdrawn" in text for text in report.withdrawn] == [True]
    report = signing.verify(model, policy=policy, withdrawals=EMPTY, waiver=waiver(digest))
    assert report.withdrawn == ()
    assert (report.waiver, report.withdrawals) == (None, EMPTY)
    for other in (waiver("sha256:" + "0" * 64), waiver(digest, allows=["unsigned"]), waiver(digest, expires=NOW - YEAR)):
        with pytest.raises(WithdrawnError, match=r"was withdrawn.*the waiver of 'o'"):
            signing.verify(model, policy=policy, withdrawals=lists[which], waiver=other)


def test_a_waiver_for_a_withdrawal_helps_against_nothing_else(model, policy, lists, digest, stranger):
    with pytest.raises(PolicyError, match="another signer's"):
        signing.verify(model, policy=stranger.public, withdrawals=lists["signer"], waiver=waiver(digest))
    (model / "config.json").write_bytes(b"[]")
    with pytest.raises(DigestMismatchError):
        signing.verify(model, policy=policy, withdrawals=lists["model"], waiver=waiver(digest))


def test_an_unsigned_model_that_was_withdrawn_needs_a_waiver_for_both(model, policy, lists, digest):
    (model / "model.sig").unlink()
    inventory = signing.digest(model).inventory
    both = waiver(inventory, digest, allows=["unsigned", "withdrawn"])
    assert signing.verify(model, policy=policy, withdrawals=lists["model"], waiver=both).waiver == both
    assert signing.verify(model, policy=policy, withdrawals=lists["signer"], waiver=waiver(inventory, allows=["unsigned"]))
    with pytest.raises(WithdrawnError, match="does not allow 'withdrawn'"):
        signing.verify(model, policy=policy, withdrawals=lists["model"], waiver=waiver(inventory, digest, allows=["unsigned"]))
    with pytest.raises(PolicyError, match="does not allow 'unsigned'"):
        signing.verify(model, policy=policy, withdrawals=lists["model"], waiver=waiver(inventory, digest))


@pytest.mark.parametrize("signed", [True, False])
def test_a_list_that_ended_while_it_was_held_is_refused(model, policy, digest, signed):
    ended = attrs.evolve(EMPTY, expires=NOW - dt.timedelta(days=1))
    given = waiver(digest, allows=["withdrawn", "unsigned"])
    if not signed:
        (model / "model.sig").unlink()
        given = waiver(digest, signing.digest(model).inventory, allows=["withdrawn", "unsigned"])
    assert signing.verify(model, policy=policy, waiver=given, withdrawals=EMPTY)
    with pytest.raises(PolicyError, match=r"expired at .*; get the newest"):
        signing.verify(model, policy=policy, waiver=given, withdrawals=ended)


def test_a_verdict_says_whether_a_list_was_consulted(model, policy, digest):
    said = "no withdrawal list was consulted"
    assert said in signing.verify(model, policy=policy).not_covered
    assert said not in signing.verify(model, policy=policy, withdrawals=EMPTY).not_covered
