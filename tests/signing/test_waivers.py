# SPDX-License-Identifier: Apache-2.0
"""A waiver stands in for a missing signature, never for a bad one."""

import datetime as dt
import os

import attrs
import pytest

from lifeseal import signing
from lifeseal.attestation import Subject, Waiver
from lifeseal.errors import DigestMismatchError, FormatError, PolicyError, SignatureError

LATER = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def digest(model, signer, tmp_path):
    """The model's root digest; the model stays unsigned."""
    bundle = signing.sign(model, signer=signer, out=tmp_path / "s")
    (tmp_path / "s").unlink()
    return signing.open_model(model, policy=signer.public, signature=bundle).subject.digest


@pytest.fixture
def waiver(model):
    return Waiver(
        covers=[signing.digest(model).inventory], allows=["unsigned"], reason="vendor is late", owner="A. Person", expires=LATER, risk="R-1"
    )


def test_an_unsigned_model_is_refused(model, policy):
    with pytest.raises(PolicyError, match=r"model: unsigned: no signature at .*/model/model\.sig"):
        signing.verify(model, policy=policy)


def test_an_unsigned_file_is_refused(tmp_path, policy):
    (tmp_path / "m").write_bytes(b"x")
    with pytest.raises(PolicyError, match=r"m: unsigned: no signature at .*/m\.sig"):
        signing.verify(tmp_path / "m", policy=policy)


def test_a_waiver_lets_in_what_it_covers_and_says_so(model, policy, waiver, digest):
    report = signing.verify(model, policy=policy, waiver=waiver)
    assert (report.signer, report.waiver) == (None, waiver)
    assert report.subject == Subject(name="model", sha256=bytes.fromhex(digest.removeprefix("sha256:")))
    with signing.open_model(model, policy=policy, waiver=waiver, expect=digest) as opened:
        assert (opened.signer, opened.waiver) == (None, waiver)
        assert opened.read("config.json") == b"{}"


def test_a_waiver_binds_names_too(model, policy, waiver):
    assert signing.verify(model, policy=policy, waiver=waiver).files == 5
    (model / "weights-2").rename(model / "weights-3.py")
    with pytest.raises(PolicyError, match="does not cover"):
        signing.verify(model, policy=policy, waiver=waiver)


def test_a_waiver_for_an_unsigned_file(tmp_path, policy):
    (tmp_path / "m").write_bytes(b"x")
    waiver = Waiver(covers=[signing.digest(tmp_path / "m").inventory], allows=["unsigned"], reason="r", owner="o", expires=LATER, risk="k")
    assert signing.verify(tmp_path / "m", policy=policy, waiver=waiver).files == 1
    (tmp_path / "m").write_bytes(b"y")
    with pytest.raises(PolicyError, match="does not cover"):
        signing.verify(tmp_path / "m", policy=policy, waiver=waiver)


def test_what_a_waiver_lets_in_is_checked_at_every_read(model, policy, waiver):
    with signing.open_model(model, policy=policy, waiver=waiver) as opened:
        (model / "config.json").write_bytes(b"[]")
        with pytest.raises(DigestMismatchError, match=r"1 changed: 'config\.json'"):
            opened.read("config.json")


@pytest.mark.parametrize("harm", [lambda m: (m / "config.json").write_bytes(b"[]"), lambda m: (m / "new").write_bytes(b"x")])
def test_a_waiver_does_not_cover_another_model(model, policy, waiver, digest, harm):
    harm(model)
    with pytest.raises(PolicyError, match=r"the waiver of 'A\. Person' does not cover sha256:") as caught:
        signing.verify(model, policy=policy, waiver=waiver)
    assert digest not in str(caught.value)


def test_a_waiver_for_another_fault_or_from_the_past_does_not_help(model, policy, waiver):
    with pytest.raises(PolicyError, match="does not allow 'unsigned', only needs-trust"):
        signing.verify(model, policy=policy, waiver=attrs.evolve(waiver, allows=["needs-trust"]))
    with pytest.raises(PolicyError, match="expired at 2020"):
        signing.verify(model, policy=policy, waiver=attrs.evolve(waiver, expires=LATER.replace(year=2020)))


def test_expect_holds_under_a_waiver_too(model, policy, waiver):
    with pytest.raises(PolicyError, match="was expected"):
        signing.verify(model, policy=policy, waiver=waiver, expect="sha256:" + "0" * 64)


def test_a_waiver_beside_a_good_signature_is_not_used(model, signer, policy, waiver):
    signing.sign(model, signer=signer)
    report = signing.verify(model, policy=policy, waiver=waiver)
    assert (report.signer.fingerprint, report.waiver) == (policy.fingerprint, None)


def bad_signature(model, signer, stranger):
    bundle = signing.sign(model, signer=signer)
    theirs = signing.sign(model, signer=stranger)
    attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, signature=theirs.envelope.signature)).write(model / "model.sig")


def strangers_signature(model, signer, stranger):
    signing.sign(model, signer=stranger)


def corrupt_signature(model, signer, stranger):
    signing.sign(model, signer=signer)
    os.truncate(model / "model.sig", 100)


def empty_signature(model, signer, stranger):
    (model / "model.sig").write_bytes(b"")


def folder_as_signature(model, signer, stranger):
    (model / "model.sig").mkdir()


def link_as_signature(model, signer, stranger):
    (model / "model.sig").symlink_to("nowhere")


def fifo_as_signature(model, signer, stranger):
    os.mkfifo(model / "model.sig")


def signature_for_another_use(model, signer, stranger):
    from lifeseal.attestation import Statement, sign_statement

    said = Statement(subjects=(Subject(name="model", sha256=bytes(32)),), predicate_type="lifeseal:dataset/1", predicate={})
    sign_statement(said, signer=signer).write(model / "model.sig")


BAD = {
    bad_signature: (SignatureError, "does not verify"),
    strangers_signature: (PolicyError, "another signer's"),
    corrupt_signature: (FormatError, "model.sig, line 1 column"),
    empty_signature: (FormatError, "model.sig, line 1 column 1: a signature bundle was expected"),
    folder_as_signature: (FormatError, "'model.sig': a regular file was expected, not a folder"),
    link_as_signature: (FormatError, "'model.sig': a regular file was expected, not a symbolic link"),
    fifo_as_signature: (FormatError, "'model.sig': a regular file was expected, not a FIFO"),
    signature_for_another_use: (PolicyError, "signed for another use"),
}


@pytest.mark.parametrize("make", BAD)
def test_nothing_is_waived_while_a_signature_file_lies_there(model, signer, stranger, policy, waiver, make):
    assert signing.verify(model, policy=policy, waiver=waiver).waiver == waiver
    make(model, signer, stranger)
    error, where = BAD[make]
    with pytest.raises(error) as caught:
        signing.verify(model, policy=policy, waiver=waiver)
    assert where in str(caught.value)


def test_nothing_is_waived_while_anything_lies_beside_a_file(tmp_path, policy):
    (tmp_path / "m").write_bytes(b"x")
    waiver = Waiver(covers=[signing.digest(tmp_path / "m").inventory], allows=["unsigned"], reason="r", owner="o", expires=LATER, risk="k")
    assert signing.verify(tmp_path / "m", policy=policy, waiver=waiver)
    (tmp_path / "m.sig").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        signing.verify(tmp_path / "m", policy=policy, waiver=waiver)
    (tmp_path / "m.sig").unlink()
    (tmp_path / "m.sig").write_bytes(b"{}")
    with pytest.raises(FormatError, match=r"m\.sig: field 'mediaType' is missing"):
        signing.verify(tmp_path / "m", policy=policy, waiver=waiver)


def test_nothing_is_waived_where_the_named_signature_is_absent(model, policy, waiver, tmp_path):
    with pytest.raises(FileNotFoundError):
        signing.verify(model, policy=policy, waiver=waiver, signature=tmp_path / "nothing.sig")


def test_a_digest_mismatch_is_never_waived(model, signer, policy, waiver):
    signing.sign(model, signer=signer)
    (model / "config.json").write_bytes(b"[]")
    everything = attrs.evolve(waiver, allows=["unsigned", "needs-trust", "withdrawn"])
    with pytest.raises(DigestMismatchError, match=r"1 changed: 'config\.json'"):
        signing.verify(model, policy=policy, waiver=everything)
