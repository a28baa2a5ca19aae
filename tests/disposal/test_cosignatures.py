# SPDX-License-Identifier: Apache-2.0
"""Verifier and Data Custodian put their names to one certificate, and to no other; approvals and receipts are what they say."""

import json

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import disposal
from lifeseal.attestation import Bundle, KeySigner, Purpose, Statement, Subject, sign_statement
from lifeseal.disposal import Certificate, Party
from lifeseal.errors import FormatError, LimitError, PolicyError, SignatureError

VERA = Party(name="Vera", title="auditor")


@pytest.fixture(scope="module")
def keys():
    return [KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(3)]


@pytest.fixture
def made(desk, end):
    return end(desk.vault)


@pytest.fixture
def path(desk, made, keys):
    found = made.cosign(signer=keys[0], role="verifier", party=VERA).cosign(signer=keys[1], role="custodian", party=Party(name="Records"))
    found.write(desk.place / "certificate")
    return desk.place / "certificate"


def test_both_are_checked_under_their_own_keys(path, signer, keys):
    cosigners = {"verifier": keys[0].public, "custodian": keys[1].public}
    found = disposal.open_certificate(path, policy=signer.public, cosigners=cosigners)
    assert [(one.role, one.party.name, one.signer.fingerprint) for one in found.cosignatures] == [
        ("verifier", "Vera", keys[0].public.fingerprint),
        ("custodian", "Records", keys[1].public.fingerprint),
    ]
    assert found.to_bytes() == path.read_bytes()
    assert len(path.read_bytes().split(b"\n")) == 3
    unchecked = disposal.open_certificate(path, policy=signer.public)
    assert [one.signer for one in unchecked.cosignatures] == [None, None]


def test_a_role_that_is_asked_for_must_be_there_by_the_right_key(path, signer, keys):
    with pytest.raises(PolicyError, match=r"co-signature of the verifier"):
        disposal.open_certificate(path, policy=signer.public, cosigners={"verifier": keys[1].public})
    alone = path.read_bytes().split(b"\n")[0]
    path.write_bytes(alone)
    disposal.open_certificate(path, policy=signer.public)
    with pytest.raises(PolicyError, match="no co-signature of the custodian"):
        disposal.open_certificate(path, policy=signer.public, cosigners={"custodian": keys[1].public})


def test_a_cosignature_of_another_certificate_is_refused(path, desk, end, keys, signer):
    other = end(desk.vault, ["other"]).cosign(signer=keys[0], role="verifier", party=VERA)
    first = path.read_bytes().split(b"\n")[0]
    path.write_bytes(first + b"\n" + other.cosignatures[0].bundle.to_bytes())
    for opened in (lambda: Certificate.load(path), lambda: disposal.open_certificate(path, policy=signer.public)):
        with pytest.raises(PolicyError, match="a co-signature is of another certificate"):
            opened()


def test_an_edited_cosignature_is_refused(path, signer, keys):
    first, second, third = path.read_bytes().split(b"\n")
    bundle = Bundle.from_bytes(second)
    envelope = attrs.evolve(bundle.envelope, payload=bundle.envelope.payload.replace(b"Vera", b"Vova"))
    path.write_bytes(b"\n".join((first, attrs.evolve(bundle, envelope=envelope).to_bytes(), third)))
    with pytest.raises(SignatureError, match="co-signature of the verifier"):
        disposal.open_certificate(path, policy=signer.public, cosigners={"verifier": keys[0].public})


def test_one_key_signs_once_and_one_role_is_taken_once(made, signer, keys):
    with pytest.raises(PolicyError, match="one key signed in two roles"):
        made.cosign(signer=signer, role="verifier", party=VERA)
    once = made.cosign(signer=keys[0], role="verifier", party=VERA)
    with pytest.raises(PolicyError, match="one key signed in two roles"):
        once.cosign(signer=keys[0], role="custodian", party=VERA)
    with pytest.raises(PolicyError, match="two co-signatures in one role"):
        once.cosign(signer=keys[1], role="verifier", party=VERA)
    with pytest.raises(ValueError, match="role must be one of"):
        made.cosign(signer=keys[0], role="friend", party=VERA)
    with pytest.raises(ValueError, match="must name somebody"):
        made.cosign(signer=keys[0], role="verifier", party=Party(name=" "))


def test_an_unsigned_certificate_is_not_cosigned(desk, end, keys):
    made = end(desk.vault, signer=None)
    with pytest.raises(PolicyError, match="unsigned certificate cannot be co-signed"):
        made.cosign(signer=keys[0], role="verifier", party=VERA)
    with (desk.place / "c").open("wb") as file:
        file.write(made.to_bytes() + b"\n" + made.to_bytes())
    with pytest.raises(FormatError, match="before co-signatures"):
        Certificate.load(desk.place / "c")


def test_lines_that_are_no_cosignatures_are_refused(path, signer, made):
    first = made.bundle.to_bytes()
    for more in (b"{}", first, b"", b"not json"):
        path.write_bytes(first + b"\n" + more + b"\n" + more)
        with pytest.raises(FormatError, match=r"certificate"):
            Certificate.load(path)
    path.write_bytes(b"\n".join([first] * 18))
    with pytest.raises(LimitError, match="18 lines"):
        Certificate.load(path)


def _signed(signer, purpose, subjects, predicate):
    return sign_statement(Statement(subjects=subjects, predicate_type=purpose.predicate_type, predicate=predicate), signer=signer)


def test_a_cosignature_of_another_form_is_refused(path, made, keys):
    digest = bytes.fromhex(made.digest.removeprefix("sha256:"))
    good = {"party": {"name": "V", "title": "", "organisation": "", "location": "", "contact": ""}, "time": "t"}
    first = made.bundle.to_bytes()
    path.write_bytes(first + b"\n" + _signed(keys[0], Purpose.COSIGNATURE, (Subject(name="verifier", sha256=digest),), good).to_bytes())
    Certificate.load(path)
    for subjects, predicate in (
        ((Subject(name="friend", sha256=digest),), good),
        ((Subject(name="verifier", sha256=digest),) * 2, good),
        ((Subject(name="verifier", sha256=digest),), good | {"more": 1}),
        ((Subject(name="verifier", sha256=digest),), {"time": "t"}),
        ((Subject(name="verifier", sha256=digest),), good | {"party": "V"}),
    ):
        path.write_bytes(first + b"\n" + _signed(keys[0], Purpose.COSIGNATURE, subjects, predicate).to_bytes())
        with pytest.raises(FormatError, match="certificate, line 2"):
            Certificate.load(path)


def test_a_certificate_signed_again_by_another_key_is_refused(path, made, signer, stranger):
    sign_statement(made.disposal.to_statement(), signer=stranger).write(path)
    with pytest.raises(PolicyError, match="another signer's"):
        disposal.open_certificate(path, policy=signer.public)
    disposal.open_certificate(path, policy=stranger.public)


def test_an_approval_binds_its_order(desk, keys, signer):
    plan = disposal.plan(desk.vault, ["model"])
    disposal.approve(plan.order, signer=keys[0], party=VERA).write(desk.place / "a")
    with pytest.raises(PolicyError, match="another signer's"):
        disposal.open_approval(desk.place / "a", policy=signer.public)
    for order in (b"{}", b"", plan.order + b" ", json.dumps(json.loads(plan.order), indent=1).encode()):
        with pytest.raises(FormatError, match="disposal order"):
            disposal.approve(order, signer=keys[0], party=VERA)
    swapped = json.loads(plan.order) | {"request": "another"}
    subject = Subject(name="order", sha256=bytes.fromhex(plan.digest.removeprefix("sha256:")))
    party = {"name": "V", "title": "", "organisation": "", "location": "", "contact": ""}
    _signed(keys[0], Purpose.APPROVAL, (subject,), {"order": swapped, "by": party, "time": "t"}).write(desk.place / "b")
    with pytest.raises(FormatError, match="the digest of the order was expected"):
        disposal.open_approval(desk.place / "b", policy=keys[0].public)
    with pytest.raises(PolicyError, match="signed for another use"):
        disposal.open_receipt(desk.place / "a", policy=keys[0].public)


def test_a_receipt_names_what_arrived(desk, keys):
    disposal.acknowledge([desk.model], signer=keys[0], party=VERA, request="T-1").write(desk.place / "r")
    found = disposal.open_receipt(desk.place / "r", policy=keys[0].public)
    assert (found.by, found.request, len(found.digests)) == (VERA, "T-1", 1)
    with pytest.raises(PolicyError, match="signed for another use"):
        disposal.open_approval(desk.place / "r", policy=keys[0].public)
    with pytest.raises(ValueError, match="at least one"):
        disposal.acknowledge([], signer=keys[0], party=VERA)
