# SPDX-License-Identifier: Apache-2.0
"""Every event of a vault says which vault, and at which epoch; refusals too."""

import contextlib
import inspect
import shutil

import pytest

import lifeseal.erasure as erasure_package
from lifeseal import principles
from lifeseal.erasure import FileRoot, PassphraseRoot, Vault
from lifeseal.errors import CredentialError, LifesealError, LockedError, RolledBackError, StoreError, TamperedError


class _Sink:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


def _tagged_methods(owner):
    name = f"lifeseal.erasure.{type(owner).__name__}."
    for full, function in principles.public_callables(erasure_package):
        bound = getattr(owner, full.removeprefix(name), None) if full.startswith(name) else None
        if principles.tag_of(function) is not None and inspect.ismethod(bound) and bound.__self__ is owner:
            yield full, bound


def test_each_tagged_method_says_so_whatever_it_is_given(desk):
    sink, called = _Sink(), set()
    with desk.create() as vault:
        asset = vault.seal(desk.model, "model")
        for owner in (asset, vault, vault.holds, vault.trials, vault.hand_overs, vault.subjects):
            for full, bound in _tagged_methods(owner):
                called.add(full)
                needed = [p for p in inspect.signature(bound).parameters.values() if p.default is p.empty]
                positional = [None for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
                named = {p.name: None for p in needed if p.kind is p.KEYWORD_ONLY}
                with principles.sink_for_block(sink), contextlib.suppress(LifesealError, TypeError, ValueError, AttributeError):
                    bound(*positional, **named)
        assert {event.primitive for event in sink.events} == called
        assert len(called) > 30
        assert [event.primitive for event in sink.events if event.facts.get("vault") != vault.id] == []
        assert [event.primitive for event in sink.events if not 1 <= event.facts.get("epoch", 0) <= vault.epoch] == []


def _refused(act):
    sink = _Sink()
    with principles.sink_for_block(sink), pytest.raises(LifesealError) as caught:
        act()
    (event,) = sink.events
    assert event.outcome == "fail"
    return caught.value, event.facts


@pytest.fixture
def at_three(desk):
    """A vault at epoch 3, closed, and its id."""
    with desk.create() as vault:
        vault.seal(desk.model, "model").close()
        assert vault.epoch == 3
        return vault.id


def test_a_vault_that_opens_says_so_once(desk, at_three):
    sink = _Sink()
    with principles.sink_for_block(sink):
        desk.open().close()
    assert [event.facts for event in sink.events] == [{"vault": at_three, "epoch": 3}]


def test_a_failed_open_says_the_epoch_of_the_root_where_it_can_be_read(desk, at_three):
    error, facts = _refused(lambda: desk.open(at_least=9))
    assert (type(error), facts) == (RolledBackError, {"vault": at_three, "epoch": 3})
    shutil.copytree(desk.folder, desk.folder.with_name("older"))
    with desk.open() as vault:
        vault.erase(["model"])
    error, facts = _refused(lambda: Vault.open(desk.folder.with_name("older"), root=desk.root))
    assert (type(error), facts) == (RolledBackError, {"vault": at_three, "epoch": 4})
    desk.log.unlink()
    error, facts = _refused(desk.open)
    assert (type(error), facts) == (StoreError, {"vault": at_three, "epoch": 4})


def test_a_failed_open_without_a_root_says_what_the_folder_claims(desk, at_three):
    other = FileRoot(desk.folder.with_name("other"))
    Vault.create(desk.folder.with_name("another"), root=other).close()
    for wrong, kind in ((other, CredentialError), (FileRoot(desk.folder / ".." / "none"), StoreError), (PassphraseRoot(b"x"), CredentialError)):
        error, facts = _refused(lambda wrong=wrong: Vault.open(desk.folder, root=wrong))
        assert (type(error), facts) == (kind, {"vault": at_three, "epoch": 3})
    desk.root.location.write_bytes(desk.root.location.read_bytes()[:-1] + b"x")
    error, facts = _refused(desk.open)
    assert (type(error), facts) == (TamperedError, {"vault": at_three, "epoch": 3})


def test_a_wrong_passphrase_is_reported_with_the_epoch_of_the_wrapped_root(tmp_path):
    with Vault.create(tmp_path / "vault", root=PassphraseRoot(b"right")) as vault:
        name = vault.id
    error, facts = _refused(lambda: Vault.open(tmp_path / "vault", root=PassphraseRoot(b"wrong")))
    assert (type(error), facts) == (CredentialError, {"vault": name, "epoch": 1})


def test_a_change_refused_because_another_writes_says_so(desk, at_three):
    with desk.open() as vault, desk.root.locked(desk.folder):
        error, facts = _refused(lambda: vault.erase(["model"]))
    assert (type(error), facts) == (LockedError, {"vault": at_three, "epoch": 3})
