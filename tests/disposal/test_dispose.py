# SPDX-License-Identifier: Apache-2.0
"""Plan, erase, try to read, certify: never "completed" where something can still be read."""

import datetime as dt

import pytest

from lifeseal import disposal, evidence, signing
from lifeseal.erasure import Strength
from lifeseal.erasure._layout import group_of
from lifeseal.errors import DestroyedError, LimitError, StateError, StoreError
from lifeseal.testing import MemoryWrapper


def states(vault):
    """What the two assets are; an erased one has no name left, and lies where it lay."""
    return {("model", "other")[info.slot]: info.state for info in vault.assets()}


def test_a_plan_reads_and_changes_nothing(desk):
    epoch = desk.vault.epoch
    plan = disposal.plan(desk.vault, ["model", "other"], request="REQ-1")
    assert desk.vault.epoch == epoch
    assert states(desk.vault) == {"model": "live", "other": "live"}
    assert [(asset.name, asset.slot, asset.generation, asset.files, asset.size) for asset in plan.assets] == [
        ("model", 0, 1, 2, 1005),
        ("other", 1, 1, 2, 1005),
    ]
    assert plan.request == "REQ-1"


def test_a_plan_knows_the_digest_that_a_model_signature_would_have(desk):
    plan = disposal.plan(desk.vault, ["model"])
    assert f"sha256:{plan.assets[0].sha256.hex()}" == signing.digest(desk.model).root


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ([], ValueError, "at least one asset"),
        (["model", "model"], ValueError, "each once"),
        ("model", TypeError, "names must be several"),
        (["absent"], StoreError, "no asset 'absent'"),
        (["model", "absent"], StoreError, "no asset 'absent'"),
    ],
    ids=["none", "twice", "one string", "unknown", "one unknown"],
)
def test_a_plan_of_what_is_not_there_is_refused(names, error, message, desk):
    with pytest.raises(error, match=message):
        disposal.plan(desk.vault, names)
    assert states(desk.vault) == {"model": "live", "other": "live"}


def test_disposal_erases_what_was_planned_and_nothing_else(desk, end):
    before = desk.vault.epoch
    certificate = end(desk.vault, request="REQ-1")
    found = certificate.disposal
    assert (found.status, found.trigger, found.request) == ("completed", "decommission", "REQ-1")
    assert (found.epoch_before, found.epoch_after, found.vault) == (before, before + 1, desk.vault.id)
    assert (found.sanitiser.name, found.custodian.name, found.holder) == ("ops@example.org", "records@example.org", "file")
    assert found.irreversible_since == "unknown"
    assert found.started <= found.finished
    assert [asset.name for asset in found.assets] == ["model"]
    assert states(desk.vault) == {"model": "erased", "other": "live"}
    with pytest.raises(DestroyedError, match="'model' was erased"):
        desk.vault.asset("model")
    with desk.vault.asset("other") as asset:
        assert asset.names() == ("a", "b")


def test_several_assets_end_in_one_epoch(desk, end):
    found = end(desk.vault, ["model", "other"]).disposal
    assert found.epoch_after == found.epoch_before + 1
    assert states(desk.vault) == {"model": "erased", "other": "erased"}


def test_what_an_erasure_does_not_reach_is_said(desk, end):
    text = "\n".join(end(desk.vault).disposal.limitations)
    for said in ("Root of the kind file", "Lay in plaintext before sealing", "model", "swap", "models derived", "this machine's clock"):
        assert said in text


def test_containers_that_could_not_be_unlinked_are_stated(desk, end, monkeypatch):
    clean = end(desk.vault, ["other"]).disposal
    assert "unlinked" not in "\n".join(clean.limitations)

    with monkeypatch.context() as patch:
        patch.setattr("lifeseal.erasure._leftovers.remove_all", lambda folder, names: tuple(names))
        found = end(desk.vault, ["model"]).disposal
    assert found.status == "completed"
    assert found.limitations[-1] == "3 containers could not be unlinked; without their keys they are unreadable."


def test_containers_that_could_not_be_listed_are_stated(desk, end):
    planned = disposal.plan(desk.vault, ["model", "other"])
    (desk.place / "vault" / "objects").rename(desk.place / "moved")
    found = end(desk.vault, planned=planned).disposal
    assert (found.status, found.limitations[-1]) == (
        "completed",
        "The containers could not be listed, so none was unlinked; without their keys they are unreadable.",
    )


def test_an_asset_is_not_erased_twice(desk, end):
    planned = disposal.plan(desk.vault, ["model"])
    end(desk.vault, planned=planned)
    epoch = desk.vault.epoch
    with pytest.raises(DestroyedError, match="plan again"):
        end(desk.vault, planned=planned)
    with pytest.raises(DestroyedError, match="was erased"):
        disposal.plan(desk.vault, ["model"])
    assert desk.vault.epoch == epoch


def test_a_plan_of_an_asset_sealed_anew_is_refused(desk, end):
    planned = disposal.plan(desk.vault, ["model", "other"])
    desk.vault.erase(["model"])
    desk.vault.seal(desk.model, "model").close()
    with pytest.raises(StateError, match="'model' is not as it was planned"):
        end(desk.vault, planned=planned)
    assert states(desk.vault) == {"model": "live", "other": "live"}
    assert end(desk.vault, ["model"]).disposal.assets[0].generation == 2


def test_an_asset_sealed_anew_at_the_last_moment_is_not_certified(desk, end, monkeypatch):
    planned = disposal.plan(desk.vault, ["model"])
    real = desk.vault.erase

    def erase(names):
        real(names)
        desk.vault.seal(desk.model, "model").close()
        return real(names)

    monkeypatch.setattr(desk.vault, "erase", erase)
    with pytest.raises(StateError, match="sealed anew since the plan was checked"):
        end(desk.vault, planned=planned)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trigger": "boredom"}, "trigger must be one of transfer, decommission, subject-erasure"),
        ({"sanitiser": " "}, "must name somebody"),
        ({"custodian": ""}, "must name somebody"),
        ({"custodian": "c" * 4097}, "custodian= has 4097 characters"),
        ({"sanitiser": "\udcff"}, "sanitiser= is not valid Unicode"),
        ({"request": "\udcff"}, "request= is not valid Unicode"),
        ({"request": "r" * 4097}, "request= has 4097 characters"),
    ],
)
def test_what_could_not_be_certified_is_refused_before_anything_is_erased(options, message, desk, end):
    with pytest.raises(ValueError, match=message):
        end(desk.vault, **options)
    assert states(desk.vault)["model"] == "live"
    assert end(desk.vault).disposal.status == "completed"


@pytest.mark.parametrize("trigger", disposal.TRIGGERS)
def test_each_trigger_is_kept_and_a_transfer_needs_a_receipt(trigger, desk, end, stranger):
    receipt = None
    if trigger == "transfer":
        with pytest.raises(ValueError, match="a transfer needs the recipient's receipt"):
            end(desk.vault, trigger=trigger)
        assert states(desk.vault)["model"] == "live"
        disposal.acknowledge([desk.model], signer=stranger, party=disposal.Party(name="Partner")).write(desk.place / "receipt")
        receipt = disposal.open_receipt(desk.place / "receipt", policy=stranger.public)
    found = end(desk.vault, trigger=trigger, receipt=receipt).disposal
    assert (found.trigger, found.status) == (trigger, "completed")
    assert (found.receipt is not None) == (trigger == "transfer")


@pytest.mark.parametrize("answer", ["read", "store", "disk"])
def test_it_is_partial_where_an_asset_is_not_refused_as_destroyed(answer, desk, end, monkeypatch):
    planned = disposal.plan(desk.vault, ["model", "other"])
    real = desk.vault.asset

    class Readable:
        def close(self):
            pass

    def asset(name):
        if name == "other":
            return real(name)
        if answer == "read":
            return Readable()
        raise StoreError("not there") if answer == "store" else OSError("bad sector")

    monkeypatch.setattr(desk.vault, "asset", asset)
    assert end(desk.vault, planned=planned).disposal.status == "partial"


class BrokenSigner:
    """A token that was pulled out."""

    def sign(self, payload_type, payload):
        raise StoreError("the token is gone")


def test_a_signer_that_fails_after_the_erasure_says_what_was_done(desk, end):
    with pytest.raises(StoreError, match="the token is gone") as caught:
        end(desk.vault, signer=BrokenSigner())
    assert caught.value.__notes__ == [f"the assets are erased (vault {desk.vault.id}, epoch {desk.vault.epoch}); only the certificate is not signed"]
    assert states(desk.vault)["model"] == "erased"


def test_a_disposal_leaves_its_intent_and_its_outcome(desk, end):
    with evidence.Log(desk.place / "log"):
        end(desk.vault)
    heard = [(event.primitive.rpartition(".")[2], event.outcome) for event in evidence.read(desk.place / "log")]
    erased = [entry for entry in heard if entry[0] in {"plan", "erase", "dispose"}]
    assert erased == [("plan", "pass"), ("dispose", "intent"), ("erase", "intent"), ("erase", "pass"), ("dispose", "pass")]


def test_an_intent_that_no_log_can_hold_refuses_the_erasure(desk, end, monkeypatch):
    monkeypatch.setattr("lifeseal.evidence._log.MAX_LINE", 300)
    with evidence.Log(desk.place / "log", on_failure="warn"), pytest.raises(LimitError, match="event for"):
        end(desk.vault)
    assert states(desk.vault)["model"] == "live"


def test_a_certificate_says_where_the_root_lay_before_and_how_sure_that_makes_it(desk, end):
    home = MemoryWrapper()
    home.strength, home.assurance, home.retention = Strength.HARDWARE, "It is gone.", dt.timedelta(0)
    desk.vault.rehome(home)
    (desk.model / "a").write_bytes(b"later")
    desk.vault.seal(desk.model, "later").close()
    early, late = (end(desk.vault, (name,)).disposal for name in ("model", "later"))
    assert early.status == late.status == "completed"
    assert (early.holder, early.assurance, early.irreversible_since) == ("memory-wrapper", desk.root.assurance, "unknown")
    assert "Before, the root lay in a holder of the kind file, until epoch 6; what is left of it: destroyed." in early.limitations
    assert late.assurance == "It is gone."
    assert late.irreversible_since.startswith("20")
    assert not any("Before" in line for line in late.limitations)


def test_the_same_content_under_another_name_of_the_vault_is_a_copy(desk, end, signer):
    desk.vault.seal(desk.model, "again").close()
    told = "When this was planned, these held the same, and until they are disposed of too the disposal is partial: again."
    assert told in disposal.plan(desk.vault, ["model"]).limitations
    assert not any("held the same" in line for line in disposal.plan(desk.vault, ["model", "again"]).limitations)
    found = end(desk.vault, journal=desk.place / "journal").disposal
    assert (found.status, found.reasons) == ("partial", ("a copy is still there: asset 'again' of the vault holds the same",))
    desk.vault.erase(["again"])
    after = disposal.resume(desk.place / "journal", vault=desk.vault, signer=signer).disposal
    assert (after.status, after.reasons) == ("completed", ())


def test_the_same_content_under_two_names_goes_at_once(desk, end):
    desk.vault.seal(desk.model, "again").close()
    assert end(desk.vault, ("model", "again")).disposal.status == "completed"


def test_what_cannot_be_compared_is_no_completed_disposal(desk, end):
    for container in (desk.place / "vault" / "objects").iterdir():
        if container.name.startswith(group_of(1, 1).hex()):
            container.write_bytes(container.read_bytes()[:-1])
    found = end(desk.vault).disposal
    assert found.status == "partial"
    assert [reason.partition(": ")[0] for reason in found.reasons] == ["could not be compared"]
