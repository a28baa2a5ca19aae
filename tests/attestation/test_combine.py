# SPDX-License-Identifier: Apache-2.0
"""Policies made of policies: what counts, what counts once, and what does not count together."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.authority import root

from lifeseal import signing
from lifeseal.attestation import CertificateSigner, KeySigner, Purpose, TrustedCertificates, all_of, any_of, threshold
from lifeseal.errors import PolicyError, SignatureError

ALICE, BOB, CAROL = (KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(3))
A, B, C = (signer.public for signer in (ALICE, BOB, CAROL))
BY_A, BY_B, BY_C = (signer.sign("text/plain", b"payload") for signer in (ALICE, BOB, CAROL))


def check(policy, *bundles):
    return policy.check(bundles, purpose=Purpose.MODEL)


ACCEPTED = {
    "any, the first": (any_of(A, B), (BY_A,)),
    "any, the second": (any_of(A, B), (BY_B,)),
    "any, of two signatures the second": (any_of(B), (BY_A, BY_B)),
    "all, both there": (all_of(A, B), (BY_B, BY_A)),
    "all, the same twice": (all_of(A, any_of(A, B)), (BY_A,)),
    "two of three": (threshold(2, A, B, C), (BY_C, BY_A)),
    "one of two": (threshold(1, A, B), (BY_B,)),
    "two, the first policy takes both": (threshold(2, any_of(A, B), A), (BY_A, BY_B)),
    "two, the first policy takes both, in another order": (threshold(2, any_of(A, B), A), (BY_B, BY_A)),
    "all beside another": (threshold(2, all_of(A), B), (BY_A, BY_B)),
}
REFUSED = {
    "any, a stranger": (any_of(A, B), (BY_C,)),
    "all, one missing": (all_of(A, B), (BY_A,)),
    "two of three, one there": (threshold(2, A, B, C), (BY_A,)),
    "two of three, one there twice": (threshold(2, A, B, C), (BY_A, BY_A)),
    "two, one key named twice": (threshold(2, A, A), (BY_A,)),
    "two, one key in two policies": (threshold(2, A, any_of(A, B)), (BY_A,)),
    "two, one key signed twice": (threshold(2, A, any_of(A, B)), (BY_A, ALICE.sign("text/plain", b"payload"))),
    "two through one policy that takes either": (threshold(2, any_of(A, B), C), (BY_A, BY_B)),
    "two, a stranger beside": (threshold(2, A, B), (BY_A, BY_C)),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_accepts(what):
    policy, bundles = ACCEPTED[what]
    assert check(policy, *bundles).fingerprint


@pytest.mark.parametrize("what", REFUSED)
def test_refuses(what):
    policy, bundles = REFUSED[what]
    with pytest.raises(PolicyError, match=r"^(any of|all of|threshold): \d of \d wanted, \d found: "):
        check(policy, *bundles)


def test_says_who_signed_and_which_clause_matched():
    found = check(threshold(2, A, B, C), BY_C, BY_A)
    assert found.kind == "several"
    assert set(found.fingerprint.split("+")) == {A.fingerprint, C.fingerprint}
    assert found.clause == f"threshold 2 of 3: key {A.fingerprint[:12]}, key {C.fingerprint[:12]}"
    assert check(any_of(A, B), BY_B).clause == f"any of 1 of 2: key {B.fingerprint[:12]}"


@pytest.mark.parametrize("make", [any_of, all_of, lambda: threshold(0, A), lambda: threshold(2, A), lambda: threshold(-1, A, B)])
def test_needs_a_policy_and_a_threshold_that_can_be_reached(make):
    with pytest.raises(ValueError, match="at least one policy is needed"):
        make()


def test_signatures_over_different_payloads_do_not_count_together(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "a").write_bytes(b"a")
    first = signing.sign(model, signer=ALICE, out=tmp_path / "a.sig")
    second = signing.sign(model, signer=BOB, out=tmp_path / "b.sig")
    other = signing.sign(model, signer=BOB, out=tmp_path / "c.sig", ignore=["notes"])
    policy = threshold(2, A, B)
    assert signing.verify(model, policy=policy, signature=[tmp_path / "a.sig", second]).signer.kind == "several"
    with pytest.raises(PolicyError, match="different payloads"):
        signing.verify(model, policy=policy, signature=[first, other])
    with pytest.raises(ValueError, match="names no signature"):
        signing.verify(model, policy=policy, signature=[])


def test_a_broken_signature_does_not_count():
    forged = type(BY_B)(material=BY_B.material, envelope=BY_A.envelope)
    with pytest.raises(SignatureError):
        check(B, forged)
    with pytest.raises(PolicyError, match="does not verify"):
        check(threshold(2, A, B), BY_A, forged)
    assert check(threshold(2, A, B), BY_A, forged, BY_B)


def test_a_key_and_its_certificates_are_one_signer_and_a_root_is_one_policy():
    top = root()
    leaf, other = top.issue("signer"), top.issue("other")
    renewed = top.issue("signer", key=leaf.key)
    bare = KeySigner(leaf.key)
    with_each = [
        CertificateSigner(KeySigner(one.key), (one.certificate.public_bytes(Encoding.DER),)).sign("text/plain", b"payload")
        for one in (leaf, renewed, other)
    ]
    roots = TrustedCertificates((top.certificate.public_bytes(Encoding.DER),))
    for bundles in ((bare.sign("text/plain", b"payload"), with_each[0]), (with_each[0], with_each[1]), (with_each[0], with_each[2])):
        with pytest.raises(PolicyError, match="2 of 2 wanted, 1 found"):
            check(threshold(2, roots, bare.public), *bundles)
    assert check(threshold(2, roots, bare.public), bare.sign("text/plain", b"payload"), with_each[2]).kind == "several"


def test_a_threshold_takes_no_policy_that_needs_several_signatures():
    class Yes:
        def check(self, bundles, *, purpose, **how):
            raise NotImplementedError

    one, two = Yes(), Yes()
    assert threshold(1, any_of(one, two))
    assert all_of(threshold(1, one, two), one)
    for several in (all_of(one, two), threshold(2, one, two)):
        with pytest.raises(ValueError, match="counts signatures one by one"):
            threshold(1, several, one)
