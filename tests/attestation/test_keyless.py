# SPDX-License-Identifier: Apache-2.0
"""Keyless signatures on a loopback deployment: both versions of the log, and forgeries, each beside its control."""

import datetime as dt
import hashlib
import json
import os
import pickle
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sigstore.verify import Verifier
from tests.support.forged import changed, flipped, forged, stamp

from lifeseal import signing, testing
from lifeseal._io import encode_base64, require
from lifeseal.attestation import (
    Bundle,
    KeySigner,
    PolicyFile,
    Purpose,
    SigstoreSigner,
    SigstoreTrust,
    Statement,
    Subject,
    TrustedIdentity,
    Withdrawals,
    WithdrawnSigner,
    all_of,
    any_of,
    open_statement,
    sign_statement,
    threshold,
)
from lifeseal.attestation._identity import _identities, _utf8_string
from lifeseal.errors import CredentialError, FormatError, LifesealError, LimitError, PolicyError, SignatureError, StoreError, WithdrawnError
from lifeseal.testing._fulcio import Fulcio
from lifeseal.testing._server import Reply, serving
from lifeseal.testing._signed import new_key, sign

ME = "release@example.org"
PUBLISHED = Path(__file__).parent.parent / "vectors/oms/published"
DAY, MINUTE = dt.timedelta(days=1), dt.timedelta(minutes=1)
STATEMENT = Statement(subjects=(Subject(name="m", sha256=bytes(32)),), predicate_type=Purpose.MODEL.predicate_type, predicate={"a": 1})
PAYLOAD = STATEMENT.to_bytes()


@pytest.fixture(scope="module")
def deployment():
    with testing.sigstore() as running:
        yield running


@pytest.fixture(params=[1, 2])
def rekor(request):
    return request.param


def signed(deployment, rekor=2, identity=ME, **claims):
    return sign_statement(STATEMENT, signer=SigstoreSigner(deployment.trust(rekor=rekor), deployment.oidc.token(identity, **claims)))


def made(deployment, rekor=1, **how):
    return forged(deployment, PAYLOAD, ME, deployment.oidc.url, rekor=rekor, **how)


def check(bundle, deployment, identity=ME, issuer=None):
    return TrustedIdentity(identity, issuer or deployment.oidc.url, deployment.trust()).check((bundle,), purpose=Purpose.MODEL)


def refused(bundle, deployment, kind, because, **who):
    with pytest.raises(kind) as caught:
        check(bundle, deployment, **who)
    assert type(caught.value) is kind
    assert because in str(caught.value), caught.value


# --- Signing and verifying


def test_a_signature_in_the_name_of_a_token_is_verified_by_identity_and_issuer(deployment, rekor):
    before = dt.datetime.now(dt.UTC) - MINUTE
    bundle = signed(deployment, rekor)
    assert (bundle.material.entry.version, bool(bundle.material.entry.promise)) == (("0.0.1", True), ("0.0.2", False))[rekor - 1]
    read = Bundle.from_bytes(bundle.to_bytes())
    assert (read, read.to_bytes()) == (bundle, bundle.to_bytes())
    info = check(read, deployment)
    assert (info.kind, info.name, info.fingerprint) == ("identity", ME, info.key)
    assert info.clause == f"identity {ME!r}, vouched for by {deployment.oidc.url!r}"
    assert before < info.time < dt.datetime.now(dt.UTC) + MINUTE
    assert "the log was not asked: its proof in the bundle was checked against the trust root given" in info.notes
    assert open_statement(read, policy=TrustedIdentity(ME, deployment.oidc.url, deployment.trust()), purpose=Purpose.MODEL)[0] == STATEMENT


def test_the_log_grows_and_its_proofs_stay_good(deployment, rekor):
    bundles = [made(deployment, rekor) for _ in range(6)]
    assert max(len(bundle.material.entry.proof.hashes) for bundle in bundles) > 1
    assert len({bundle.material.entry.index for bundle in bundles}) == 6
    for bundle in bundles:
        check(bundle, deployment)


def test_a_model_is_signed_and_verified_without_a_key(deployment, rekor, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a").write_bytes(b"a")
    signing.sign(tmp_path / "m", signer=SigstoreSigner(deployment.trust(rekor=rekor), deployment.oidc.token(ME)))
    policy = TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust.from_bytes(deployment.trusted_root()))
    report = signing.verify(tmp_path / "m", policy=policy)
    assert report.signer.name == ME
    with pytest.raises(PolicyError, match=r"signed by 'release@example\.org'"):
        signing.verify(tmp_path / "m", policy=attrs.evolve(policy, identity="other@example.org"))


def test_a_workflow_is_an_identity_too(deployment):
    workflow = "https://github.com/acme/models/.github/workflows/release.yml@refs/heads/main"
    assert check(signed(deployment, identity=workflow), deployment, identity=workflow).name == workflow


@pytest.mark.parametrize(
    "who",
    [
        {"identity": "other@example.org"},
        {"issuer": "https://issuer.example.org"},
        {"issuer": "https://token.actions.githubusercontent.com"},
        {"identity": "release@example.or"},
        {"identity": "Release@example.org"},
        {"identity": r"release@example\.org"},
        {"identity": ".*@example.org"},
        {"identity": "^release@example.org$"},
        {"identity": "release@example.org*"},
        {"identity": "example.org"},
    ],
)
def test_both_identity_and_issuer_must_be_the_very_ones(deployment, rekor, who):
    bundle = signed(deployment, rekor)
    assert check(bundle, deployment)
    refused(bundle, deployment, PolicyError, "the policy trusts exactly", **who)


def test_a_certificate_that_states_two_issuers_is_neithers(deployment):
    class Torn(Fulcio):
        newer = "https://second.example.org"

        def issue(self, public, identity, issuer, **how):
            from unittest import mock

            core = mock.Mock(wraps=require("asn1crypto.core", extra="testing"))
            core.UTF8String = lambda _: require("asn1crypto.core", extra="testing").UTF8String(self.newer)
            with mock.patch("lifeseal.testing._fulcio.require", return_value=core):
                return super().issue(public, identity, issuer, **how)

    torn = Torn(deployment.oidc)
    for name in ("root", "authority", "ct_key"):
        setattr(torn, name, getattr(deployment.fulcio, name))
    bundle = made(deployment, fulcio=torn)
    refused(bundle, deployment, PolicyError, "'https://second.example.org'; the policy trusts exactly")
    refused(bundle, deployment, PolicyError, "the policy trusts exactly", issuer=torn.newer)
    torn.newer = deployment.oidc.url
    assert check(made(deployment, fulcio=torn), deployment)


def test_names_and_issuers_of_any_length_and_of_users_are_read(deployment):
    issuer = "https://issuer.example.org/" + "a" * 150
    assert check(forged(deployment, PAYLOAD, ME, issuer), deployment, issuer=issuer)
    name = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), b"\x0c\x08me!local")
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), new_key().public_key(), 1, *2 * (dt.datetime(2026, 1, 1, tzinfo=dt.UTC),))
    certificate = builder.add_extension(x509.SubjectAlternativeName([name]), critical=True).sign(new_key(), hashes.SHA256())
    assert _identities(certificate) == ["me!local"]


@pytest.mark.parametrize(
    "der", [b"", b"\x0c", b"\x0c\x05abc", b"\x0c\x03abcd", b"\x13\x03abc", b"\x0c\x81", b"\x0c\x82\x00\x03abc", b"\x0c\x81\x04abc"]
)
def test_what_is_no_text_reads_as_no_name_that_a_policy_could_hold(der):
    assert _utf8_string(b"\x0c\x03abc") == _utf8_string(b"\x0c\x81\x03abc") == "abc"
    assert not _utf8_string(der).isprintable()


def test_what_sigstore_verified_must_be_what_was_read(deployment, monkeypatch):
    bundle = made(deployment)
    verify = Verifier.verify_dsse
    monkeypatch.setattr(Verifier, "verify_dsse", lambda self, inner, policy: (verify(self, inner, policy)[0], b"other"))
    refused(bundle, deployment, SignatureError, "is over another payload")


@pytest.mark.parametrize("text", ["", " a@example.org", "a@example.org ", "a@example.org\n", "a@exa\u200bmple.org", "a\0b"])
def test_an_identity_or_issuer_with_stray_characters_is_no_policy(deployment, text):
    trust = deployment.trust()
    with pytest.raises(ValueError, match="identity= must be the exact text"):
        TrustedIdentity(text, "https://issuer.example.org", trust)
    with pytest.raises(ValueError, match="issuer= must be the exact text"):
        TrustedIdentity(ME, f"https://{text}" if text else text, trust)
    with pytest.raises(ValueError, match="the identity provider's URL"):
        TrustedIdentity(ME, "issuer.example.org", trust)


@pytest.mark.parametrize("wrong", [None, 1, b"me@example.org", ["me@example.org"]])
def test_another_type_is_the_callers_mistake_and_is_told_so(deployment, wrong):
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=f"identity= must be text, not {kind}"):
        TrustedIdentity(wrong, deployment.oidc.url, deployment.trust())
    with pytest.raises(TypeError, match=f"issuer= must be text, not {kind}"):
        TrustedIdentity(ME, wrong, deployment.trust())
    with pytest.raises(TypeError, match=f"trust= must be a SigstoreTrust.*, not {kind}"):
        TrustedIdentity(ME, deployment.oidc.url, wrong)
    for make in (SigstoreSigner.ambient, SigstoreSigner.interactive, lambda trust: SigstoreSigner(trust, deployment.oidc.token(ME))):
        with pytest.raises(TypeError, match=f"trust= must be a SigstoreTrust.*, not {kind}"):
            make(wrong)
    with pytest.raises(TypeError, match=f"token= must be text, not {kind}"):
        SigstoreSigner(deployment.trust(), wrong)


def test_one_identity_counts_once(deployment):
    bundles = [signed(deployment, 1), signed(deployment, 2)]
    policies = [TrustedIdentity(ME, deployment.oidc.url, deployment.trust()) for _ in range(2)]
    with pytest.raises(PolicyError, match="threshold: 2 of 2 wanted, 1 found"):
        threshold(2, *policies).check(bundles, purpose=Purpose.MODEL)
    other = sign_statement(STATEMENT, signer=SigstoreSigner(deployment.trust(), deployment.oidc.token("second@example.org")))
    both = threshold(2, policies[0], TrustedIdentity("second@example.org", deployment.oidc.url, deployment.trust()))
    assert both.check([bundles[0], other], purpose=Purpose.MODEL).kind == "several"


def test_policies_of_kinds_go_together(deployment):
    bare = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    bundles = [sign_statement(STATEMENT, signer=bare), signed(deployment)]
    identity = TrustedIdentity(ME, deployment.oidc.url, deployment.trust())
    assert all_of(bare.public, identity).check(bundles, purpose=Purpose.MODEL).kind == "several"
    assert any_of(bare.public, identity).check(bundles[1:], purpose=Purpose.MODEL).kind == "identity"
    with pytest.raises(PolicyError, match="was signed with a bare key, and the policy trusts a Sigstore identity"):
        identity.check(bundles[:1], purpose=Purpose.MODEL)
    with pytest.raises(PolicyError, match="was signed with a Sigstore identity, and the policy trusts a bare key"):
        bare.public.check(bundles[1:], purpose=Purpose.MODEL)


# --- Forgeries


def test_a_bundle_put_together_by_hand_is_as_good_as_a_clients(deployment, rekor):
    assert check(made(deployment, rekor), deployment).name == ME


FORGERIES = {
    "payload": lambda b: attrs.evolve(b, envelope=attrs.evolve(b.envelope, payload=b.envelope.payload + b" ")),
    "payload type": lambda b: attrs.evolve(b, envelope=attrs.evolve(b.envelope, payload_type="text/plain")),
    "signature": lambda b: attrs.evolve(b, envelope=attrs.evolve(b.envelope, signature=flipped(b.envelope.signature))),
    "log entry": lambda b: changed(b, body=b.material.entry.body.replace(b'"kind":', b'"kind" :')),
    "index in the tree": lambda b: changed(b, _index=(b.material.entry.proof.index + 1) % b.material.entry.proof.size),
    "size of the tree": lambda b: changed(b, _size=b.material.entry.proof.size + 7),
    "root": lambda b: changed(b, _root=flipped(b.material.entry.proof.root)),
    "proof": lambda b: changed(b, _hashes=(flipped(b.material.entry.proof.hashes[0]), *b.material.entry.proof.hashes[1:])),
    "shorter proof": lambda b: changed(b, _hashes=b.material.entry.proof.hashes[1:]),
    "longer proof": lambda b: changed(b, _hashes=(*b.material.entry.proof.hashes, bytes(32))),
    "checkpoint": lambda b: changed(b, _checkpoint=b.material.entry.proof.checkpoint.replace("rekor", "tokyo")),
    "checkpoint's size": lambda b: changed(b, _checkpoint=b.material.entry.proof.checkpoint.replace("\n", "\n1", 1)),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_changed_part_is_refused(deployment, rekor, what):
    made(deployment, rekor)
    bundle = made(deployment, rekor)  # not the first, so that its proof has hashes
    assert check(bundle, deployment)
    refused(FORGERIES[what](bundle), deployment, SignatureError, "does not verify")


def test_a_changed_promise_or_time_of_the_log_is_refused(deployment):
    bundle = made(deployment)
    assert check(bundle, deployment)
    refused(changed(bundle, promise=flipped(bundle.material.entry.promise)), deployment, SignatureError, "invalid inclusion promise")
    refused(changed(bundle, time=bundle.material.entry.time + 1), deployment, SignatureError, "invalid inclusion promise")
    refused(changed(bundle, index=bundle.material.entry.index + 1), deployment, SignatureError, "invalid inclusion promise")


def test_an_entry_of_another_signature_is_refused(deployment, rekor):
    one, two = made(deployment, rekor), made(deployment, rekor)
    assert check(one, deployment)
    mixed = attrs.evolve(one, material=attrs.evolve(one.material, entry=two.material.entry))
    refused(mixed, deployment, SignatureError, "log entry")


def test_a_signature_by_another_key_than_the_certified_one_is_refused(deployment, rekor):
    refused(made(deployment, rekor, key=new_key()), deployment, SignatureError, "does not verify")


def test_a_certificate_that_is_in_no_certificate_log_is_refused(deployment, rekor):
    assert check(made(deployment, rekor), deployment)
    refused(made(deployment, rekor, ct_key=new_key()), deployment, PolicyError, "is of certificate log ")

    class Careless(Fulcio):
        def _timestamps(self, unlogged, ct_key):
            return flipped(super()._timestamps(unlogged, ct_key))

    careless = Careless(deployment.oidc)
    for name in ("root", "authority", "ct_key"):
        setattr(careless, name, getattr(deployment.fulcio, name))
    refused(made(deployment, rekor, fulcio=careless), deployment, SignatureError, "SCT")


def test_another_deployments_signature_is_told_apart_from_a_forgery(deployment, rekor):
    other = testing.Sigstore()
    other.start(deployment.url)
    stranger = forged(other, PAYLOAD, ME, deployment.oidc.url, rekor=rekor)
    refused(stranger, deployment, PolicyError, f"is of log {other.logs[rekor].id.hex()[:16]}, which the trust given does not know")
    refused(made(deployment, rekor, fulcio=_renamed(other)), deployment, PolicyError, "is of authority 'CN=another', which the trust given")
    assert TrustedIdentity(ME, deployment.oidc.url, other.trust()).check((stranger,), purpose=Purpose.MODEL)
    imposter = made(deployment, rekor, fulcio=other.fulcio)  # an authority of the same name
    refused(imposter, deployment, PolicyError, "is of certificate log")
    other.fulcio.ct_key = deployment.fulcio.ct_key
    refused(made(deployment, rekor, fulcio=other.fulcio), deployment, SignatureError, "does not verify")


def _renamed(other):
    found = testing.Sigstore().fulcio
    found.authority = testing.Issued.root("another")
    return found


def test_a_certificate_that_has_ended_counts_by_the_logs_time_and_not_without(deployment):
    then = dt.datetime.now(dt.UTC) - DAY
    late = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer)
    early = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer, clock=lambda: then)
    bundle = made(deployment, start=then - MINUTE, logged=then, stamped=())
    assert abs(check(bundle, deployment).time - then) < MINUTE
    assert check(made(deployment, start=then - MINUTE, logged=then, stamped=(early,)), deployment)
    timeless = made(deployment, start=then - MINUTE, logged=then, stamped=(late,))
    refused(changed(timeless, promise=b""), deployment, SignatureError, "certificate")
    refused(changed(bundle, promise=b""), deployment, FormatError, "inclusion promise or signed timestamp")
    refused(made(deployment, start=then - MINUTE), deployment, SignatureError, "certificate")
    refused(made(deployment, start=then + 2 * DAY, stamped=()), deployment, SignatureError, "certificate")


def test_a_certificate_that_has_ended_counts_by_a_timestamp_where_the_log_has_no_time(deployment):
    then = dt.datetime.now(dt.UTC) - DAY / 48
    early = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer, clock=lambda: then)
    assert abs(check(made(deployment, 2, start=then - MINUTE, stamped=(early,)), deployment).time - then) < MINUTE
    refused(made(deployment, 2, start=then - MINUTE), deployment, SignatureError, "certificate")
    refused(made(deployment, 2, stamped=()), deployment, FormatError, "inclusion promise or signed timestamp")
    refused(made(deployment, 2, stamped=(testing.Tsa(),)), deployment, PolicyError, "is of a timestamp authority of 'CN=loopback TSA root', which")
    foreign = made(deployment, 2)
    refused(attrs.evolve(foreign, timestamps=made(deployment, 2).timestamps), deployment, SignatureError, "verified time")


def test_a_changed_timestamp_is_refused_where_the_log_has_no_time(deployment):
    bundle = made(deployment, 2)
    assert check(bundle, deployment)
    (der,) = bundle.timestamps
    refused(attrs.evolve(bundle, timestamps=(flipped(der),)), deployment, SignatureError, "verified time")


def test_no_changed_byte_of_a_timestamp_raises_anything_but_a_refusal(deployment):
    bundle = made(deployment, 2)
    (der,) = bundle.timestamps
    versions = [at for at in range(len(der)) if der[at : at + 5] == b"\xa0\x03\x02\x01\x02"]
    assert versions  # of certificates in it: the library has an error of its own for each version that it does not know
    draw = random.Random(3)
    places = [(at + 4, value) for at in versions for value in (0, 1, 3, 5, 255)] + [
        (draw.randrange(len(der)), draw.randrange(256)) for _ in range(300)
    ]
    for place, value in places:
        try:
            check(attrs.evolve(bundle, timestamps=(der[:place] + bytes([value]) + der[place + 1 :],)), deployment)
        except LifesealError:
            continue


def _with_many_certificates(data):
    cms, x509_ = require("asn1crypto.cms", extra="testing"), require("asn1crypto.x509", extra="testing")
    more = [cms.CertificateChoices("certificate", x509_.Certificate.load(testing.Issued.root(f"{n}").der)) for n in range(17)]
    data["certificates"] = cms.CertificateSet([*data["certificates"], *more])


def _with_another_hash_named(data):
    cms = require("asn1crypto.cms", extra="testing")
    data["digest_algorithms"] = cms.DigestAlgorithms([{"algorithm": "md5"}, {"algorithm": "sha256"}])


@pytest.mark.parametrize("change", [_with_many_certificates, _with_another_hash_named])
def test_a_timestamp_whose_unsigned_parts_were_changed_does_not_hide_when_it_was(deployment, change):
    """The sigstore package believes it, and nothing could be compared with when log and authority were in use."""
    bundle = made(deployment, 2)
    response = require("asn1crypto.tsp", extra="testing").TimeStampResp.load(bundle.timestamps[0])
    assert check(attrs.evolve(bundle, timestamps=(response.dump(force=True),)), deployment)
    change(response["time_stamp_token"]["content"])
    broken = attrs.evolve(bundle, timestamps=(response.dump(force=True),))
    for policy in (None, retired(deployment, "certificateAuthorities", 0, dt.datetime(2021, 1, 1, tzinfo=dt.UTC))):
        with pytest.raises(SignatureError, match="no time of it is proved; timestamp 0 was ignored"):
            check(broken, deployment) if policy is None else policy.check((broken,), purpose=Purpose.MODEL)
    one = made(deployment, 1)
    assert check(attrs.evolve(one, timestamps=(*one.timestamps, broken.timestamps[0])), deployment).notes[-1].startswith("timestamp 1 was ignored")


def test_the_earliest_believed_time_is_reported(deployment):
    then = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=4)
    early = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer, clock=lambda: then)
    stranger = testing.Tsa(clock=lambda: then - MINUTE)
    bundle = made(deployment, 2, start=then - MINUTE, stamped=(deployment.tsa, stranger, early))
    info = check(bundle, deployment)
    assert info.time == then + dt.timedelta(seconds=1)
    assert len(info.notes) == 3
    assert info.notes[2].startswith("timestamp 1 was ignored: ")


def test_a_time_that_nobody_signed_is_not_reported(deployment):
    bundle = made(deployment, 2)
    time_ = check(bundle, deployment).time
    assert check(changed(bundle, time=1), deployment).time == time_


def with_window(deployment, start, end):
    document = json.loads(deployment.trusted_root())
    document["timestampAuthorities"][0]["validFor"] = {"start": start.isoformat(), "end": end.isoformat()}
    return TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust.from_bytes(json.dumps(document).encode()))


def test_a_timestamp_counts_only_while_the_trust_vouches_for_its_authority(deployment):
    now = dt.datetime.now(dt.UTC)
    open_, over = with_window(deployment, now - DAY, now + DAY), with_window(deployment, now - 2 * DAY, now - DAY)
    later = with_window(deployment, now + DAY, now + 2 * DAY)
    one, two = made(deployment, 1, logged=now + MINUTE), made(deployment, 2)
    assert open_.check((two,), purpose=Purpose.MODEL)
    assert open_.check((one,), purpose=Purpose.MODEL).time < now + MINUTE / 2
    for policy in (over, later):
        with pytest.raises(SignatureError, match="verified time"):
            policy.check((two,), purpose=Purpose.MODEL)
        info = policy.check((one,), purpose=Purpose.MODEL)
        assert info.time > now + MINUTE / 2
        assert info.notes[-1] == "timestamp 0 was ignored: no authority of the trust given"


def test_the_last_moment_of_a_timestamp_authority_belongs_to_it(deployment):
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    exact = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer, clock=lambda: now, accuracy=None)
    bundle = made(deployment, 2, stamped=(exact,))
    assert with_window(deployment, now - DAY, now).check((bundle,), purpose=Purpose.MODEL).time == now
    assert with_window(deployment, now, now + DAY).check((bundle,), purpose=Purpose.MODEL).time == now
    for window in ((now - DAY, now - dt.timedelta(seconds=1)), (now + dt.timedelta(seconds=1), now + DAY)):
        with pytest.raises(SignatureError, match="verified time"):
            with_window(deployment, *window).check((bundle,), purpose=Purpose.MODEL)


def retired(deployment, name, index, end, *, which="end"):
    document = json.loads(deployment.trusted_root())
    place = document[name][index]
    (place if name == "certificateAuthorities" else place["publicKey"])["validFor"][which] = end.isoformat()
    return TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust.from_bytes(json.dumps(document).encode()))


@pytest.mark.parametrize(("name", "word"), [("tlogs", "log "), ("certificateAuthorities", "authority "), ("ctlogs", "certificate log ")])
def test_what_was_retired_vouches_for_nothing_later(deployment, rekor, name, word):
    now, index = dt.datetime.now(dt.UTC), rekor - 1 if name == "tlogs" else 0
    bundle = made(deployment, rekor)
    assert retired(deployment, name, index, now + MINUTE).check((bundle,), purpose=Purpose.MODEL)
    with pytest.raises(PolicyError, match=f"{word}.* was not in use then, says the trust given"):
        retired(deployment, name, index, now - MINUTE).check((bundle,), purpose=Purpose.MODEL)
    if name == "tlogs":
        assert retired(deployment, name, 1 - index, now - MINUTE).check((bundle,), purpose=Purpose.MODEL)


def test_what_came_later_vouches_for_nothing_earlier(deployment):
    then = dt.datetime.now(dt.UTC) - DAY
    bundle = made(deployment, start=then - MINUTE, logged=then, stamped=())
    for name, word in (("tlogs", "log "), ("certificateAuthorities", "authority ")):
        assert retired(deployment, name, 0, then - MINUTE, which="start").check((bundle,), purpose=Purpose.MODEL)
        with pytest.raises(PolicyError, match=f"{word}.* was not in use then"):
            retired(deployment, name, 0, then + MINUTE, which="start").check((bundle,), purpose=Purpose.MODEL)


def test_the_last_moment_of_a_window_belongs_to_it(deployment):
    moment = dt.datetime.now(dt.UTC).replace(microsecond=0) + MINUTE
    bundle = made(deployment, logged=moment)
    assert retired(deployment, "tlogs", 0, moment).check((bundle,), purpose=Purpose.MODEL)
    with pytest.raises(PolicyError, match="was not in use then"):
        retired(deployment, "tlogs", 0, moment - dt.timedelta(seconds=1)).check((bundle,), purpose=Purpose.MODEL)


def test_a_log_is_judged_by_its_own_time_where_it_states_one(deployment):
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    before = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer, clock=lambda: now - MINUTE)
    began = retired(deployment, "tlogs", 0, now - MINUTE / 2, which="start")
    info = began.check((made(deployment, start=now - 2 * MINUTE, logged=now, stamped=(before,)),), purpose=Purpose.MODEL)
    assert info.time < now - MINUTE / 2
    with pytest.raises(PolicyError, match=r"log .* was not in use then"):
        began.check((made(deployment, start=now - 2 * MINUTE, logged=now - MINUTE, stamped=(before,)),), purpose=Purpose.MODEL)


@pytest.mark.parametrize("end", ["2020-01-01T00:00:00", "9999-12-31T23:59:59.999999Z"])
def test_a_span_that_cannot_be_compared_is_refused_when_the_trust_is_read(deployment, end):
    for name in ("certificateAuthorities", "timestampAuthorities"):
        document = json.loads(deployment.trusted_root())
        document[name][0]["validFor"]["end"] = end
        if name == "timestampAuthorities" or "Z" not in end:
            with pytest.raises(FormatError, match="a trust configuration that sigstore can use was expected"):
                SigstoreTrust.from_bytes(json.dumps(document).encode())
        else:
            assert SigstoreTrust.from_bytes(json.dumps(document).encode())


def test_a_retired_log_does_not_vouch_under_the_name_of_another(deployment):
    """Where a log's name is no digest of its key, as version 2 names them, sigstore tries the keys of all logs."""
    name = hashlib.sha256(b"log.example\n\x01key").digest()
    document = json.loads(deployment.trusted_root())
    document["tlogs"][0]["publicKey"]["validFor"]["end"] = "2021-01-01T00:00:00Z"
    document["tlogs"][1]["logId"]["keyId"] = encode_base64(name)
    policy = TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust.from_bytes(json.dumps(document).encode()))

    def logged_by(key):
        bundle = made(deployment, 2)
        leaf = hashlib.sha256(b"\0" + bundle.material.entry.body).digest()
        note = f"log.example\n1\n{encode_base64(leaf)}\n"
        checkpoint = f"{note}\n\N{EM DASH} log.example {encode_base64(name[:4] + sign(key, note.encode()))}\n"
        return changed(bundle, log=name, index=0, _index=0, _size=1, _root=leaf, _hashes=(), _checkpoint=checkpoint)

    assert policy.check((logged_by(deployment.logs[2].key),), purpose=Purpose.MODEL)
    with pytest.raises(SignatureError, match="checkpoint"):
        policy.check((logged_by(deployment.logs[1].key),), purpose=Purpose.MODEL)


def test_the_numbers_of_a_proof_are_those_of_its_checkpoint():
    with testing.sigstore() as deployment:
        log, bundle = deployment.logs[2], made(deployment, 2)
        log.tree.leaves += [bytes([n]) * 32 for n in range(5 - len(log.tree.leaves))]
        note = f"{log.origin}\n5\n{encode_base64(log.tree.root())}\n"
        checkpoint = f"{note}\n\N{EM DASH} {log.origin} {encode_base64(log.id[:4] + sign(log.key, note.encode()))}\n"
        whole = changed(bundle, _size=5, _root=log.tree.root(), _hashes=tuple(log.tree.proof(0)), _checkpoint=checkpoint)
        assert check(whole, deployment)
        for size in (6, 7, 8):  # the way from leaf 0 has three steps in each
            refused(changed(whole, _size=size), deployment, SignatureError, "for another tree than its checkpoint")
        refused(changed(whole, index=1), deployment, SignatureError, "for another tree than its checkpoint")


def test_a_retired_authority_does_not_vouch_by_the_name_of_its_successor(deployment, rekor):
    """The public deployment's first root and its present one have the same name."""
    retired_one = testing.Sigstore().fulcio
    retired_one.ct_key = deployment.fulcio.ct_key
    document = json.loads(deployment.trusted_root())
    document["certificateAuthorities"].insert(0, json.loads(json.dumps(document["certificateAuthorities"][0])))
    first = document["certificateAuthorities"][0]
    first["certChain"]["certificates"] = [{"rawBytes": encode_base64(ca.der)} for ca in (retired_one.authority, retired_one.root)]
    old, new = made(deployment, rekor, fulcio=retired_one), made(deployment, rekor)

    def check_both():
        policy = TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust.from_bytes(json.dumps(document).encode()))
        assert policy.check((new,), purpose=Purpose.MODEL)
        return policy.check((old,), purpose=Purpose.MODEL)

    assert check_both()
    first["validFor"]["end"] = "2021-01-01T00:00:00Z"
    with pytest.raises(PolicyError, match="authority 'CN=loopback Fulcio' was not in use then"):
        check_both()


CHECKPOINTS = {
    "in another name": (lambda name, signed: f"\N{EM DASH} another {signed}\n", "in the name of 'another'"),
    "without a name": (lambda name, signed: f"\N{EM DASH} {signed}\n", "Signature not found"),
    "after other text": (lambda name, signed: f"believe me\n\N{EM DASH} {name} {signed}\n", "is no signature"),
    "before other text": (lambda name, signed: f"\N{EM DASH} {name} {signed}\nbelieve me\n", "is no signature"),
    "without an end": (lambda name, signed: f"\N{EM DASH} {name} {signed}\n\N{EM DASH}", "must end with newline"),
    "after an empty signature": (lambda name, signed: f"\N{EM DASH} other AAAA\n\N{EM DASH} {name} {signed}\n", "too few bytes"),
    "with other characters in it": (lambda name, signed: f"\N{EM DASH} {name} {signed[:9]}!{signed[9:]}\n", "is no signature"),
    "with more padding": (lambda name, signed: f"\N{EM DASH} {name} {signed}=\n", "is no signature"),
    "with unused bits": (lambda name, signed: f"\N{EM DASH} {name} {_other_spelling(signed)}\n", "is no signature"),
    "twice, once in another name": (
        lambda name, signed: f"\N{EM DASH} {name} {signed}\n\N{EM DASH} another {signed}\n",
        "in the name of 'another'",
    ),
}


def _other_spelling(signed):
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bare = signed.rstrip("=")
    assert bare != signed
    return bare[:-1] + digits[digits.index(bare[-1]) + 1] + signed[len(bare) :]


@pytest.mark.parametrize("how", CHECKPOINTS)
def test_what_is_below_a_checkpoint_is_the_logs_signature_and_those_of_others(deployment, rekor, how):
    write, because = CHECKPOINTS[how]
    bundle = made(deployment, rekor)
    while "=" not in bundle.material.entry.proof.checkpoint[-4:]:  # of no bit is left over in every third length
        bundle = made(deployment, rekor)
    note, _, below = bundle.material.entry.proof.checkpoint.partition("\n\n")
    _, name, signed = below.split()
    for good in (f"\N{EM DASH} {name} {signed}\n", f"\N{EM DASH} witness {'A' * 12}\n\N{EM DASH} {name} {signed}\n"):
        assert check(changed(bundle, _checkpoint=f"{note}\n\n{good}"), deployment)
    refused(changed(bundle, _checkpoint=f"{note}\n\n{write(name, signed)}"), deployment, SignatureError, because)


def test_rekor_1_writes_a_number_behind_its_name_in_the_note_alone(deployment):
    log, bundle = testing.Log(1), made(deployment)
    log.key = deployment.logs[1].key
    leaf = hashlib.sha256(b"\0" + bundle.material.entry.body).digest()

    def noted(origin, name):
        note = f"{origin}\n1\n{encode_base64(leaf)}\n"
        checkpoint = f"{note}\n\N{EM DASH} {name} {encode_base64(log.id[:4] + sign(log.key, note.encode()))}\n"
        return changed(bundle, _index=0, _size=1, _root=leaf, _hashes=(), _checkpoint=checkpoint)

    assert check(noted("rekor.example.org - 1193050959916656506", "rekor.example.org"), deployment)
    refused(noted("rekor.example.org - 1193050959916656506", "rekor.example"), deployment, SignatureError, "in the name of")
    refused(noted("rekor.example.org", "rekor"), deployment, SignatureError, "in the name of")


def test_a_promise_that_is_about_no_time_is_refused(deployment, rekor):
    bundle = made(deployment, rekor)
    assert check(changed(bundle, promise=b"", time=0), deployment)
    refused(changed(bundle, promise=bundle.material.entry.promise or b"promise", time=0), deployment, SignatureError, "is about no time")


def test_an_old_configuration_still_verifies_and_does_not_sign(deployment):
    bundle, document = made(deployment), json.loads(deployment.trust_config())
    document["signingConfig"]["rekorTlogUrls"][0]["validFor"]["end"] = "2021-01-01T00:00:00Z"
    old = SigstoreTrust.from_bytes(json.dumps(document).encode())
    assert TrustedIdentity(ME, deployment.oidc.url, old).check((bundle,), purpose=Purpose.MODEL)
    with pytest.raises(StoreError, match="names no service that signs now: No valid Rekor"):
        SigstoreSigner(old, deployment.oidc.token(ME))


def test_every_timestamp_believed_must_lie_in_the_certificates_time(deployment):
    late = testing.Tsa(root=deployment.tsa.root, signer=deployment.tsa.signer, clock=lambda: dt.datetime.now(dt.UTC) + DAY)
    assert check(made(deployment, 2, stamped=(deployment.tsa, testing.Tsa())), deployment)
    refused(made(deployment, 2, stamped=(deployment.tsa, late)), deployment, SignatureError, "certificate")
    twice = made(deployment, 2)
    refused(attrs.evolve(twice, timestamps=twice.timestamps * 2), deployment, SignatureError, "duplicate timestamp found")


MATERIAL = "verificationMaterial"


def edited(bundle, change):
    document = json.loads(bundle.to_bytes())
    change(document[MATERIAL])
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda m: m.pop("tlogEntries"), "exactly one entry of a log was expected beside a Sigstore certificate, not 0"),
        (lambda m: m.update(tlogEntries=[]), "exactly one entry"),
        (lambda m: m.update(tlogEntries=m["tlogEntries"] * 2), "not 2"),
        (lambda m: m.update(publicKey={"hint": "a"}), "exactly one of publicKey, x509CertificateChain, certificate was expected, not 2"),
        (lambda m: m.update(x509CertificateChain={"certificates": [m["certificate"]]}), "was expected, not 2"),
        (lambda m: m["certificate"].update(foreign=1), "unknown field 'foreign'"),
        (lambda m: m["tlogEntries"][0].update(foreign=1), "unknown field 'foreign'"),
        (lambda m: m["tlogEntries"][0]["inclusionProof"].update(foreign=1), "unknown field 'foreign'"),
        (lambda m: m["tlogEntries"][0]["logId"].update(foreign=1), "unknown field 'foreign'"),
        (lambda m: m["tlogEntries"][0].pop("inclusionProof"), "'inclusionProof' is missing"),
        (lambda m: m["tlogEntries"][0]["inclusionProof"].pop("checkpoint"), "'checkpoint' is missing"),
        (lambda m: m["tlogEntries"][0].update(logIndex=1), "a string was expected"),
        (lambda m: m["tlogEntries"][0].update(logIndex="-1"), "a decimal number in a string"),
        (lambda m: m["tlogEntries"][0].update(logIndex="01"), "a decimal number in a string"),
        (lambda m: m["tlogEntries"][0].update(logIndex="\u0661"), "a decimal number in a string"),
        (lambda m: m["tlogEntries"][0].update(logIndex="18446744073709551615"), "a decimal number in a string"),
        (lambda m: m["tlogEntries"][0].update(integratedTime="253402300800"), "a decimal number in a string"),
        (lambda m: m["tlogEntries"][0]["inclusionProof"].update(hashes=[""] * 65), "limit of 64"),
        (lambda m: m["tlogEntries"][0]["inclusionProof"].update(hashes=[1]), "strings were expected"),
        (lambda m: m["certificate"].update(rawBytes="A" * (400 << 10)), "limit of 262144"),
    ],
)
def test_a_bundle_of_another_form_is_refused(deployment, change, where):
    bundle = made(deployment)
    assert Bundle.from_bytes(edited(bundle, lambda m: m["tlogEntries"][0].update(inclusionPromise=None)))
    with pytest.raises((FormatError, LimitError)) as caught:
        Bundle.from_bytes(edited(bundle, change))
    assert where in str(caught.value)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_changed_byte_is_refused_or_changes_nothing_that_counts(deployment, rekor, pytestconfig):
    made(deployment, rekor)
    bundle = made(deployment, rekor)
    data = bundle.to_bytes()
    policy = TrustedIdentity(ME, deployment.oidc.url, deployment.trust())
    control = policy.check((bundle,), purpose=Purpose.MODEL)
    draw = random.Random(11)
    step = 1 if pytestconfig.getoption("--long") else 9
    accepted = 0
    for position in range(draw.randrange(step), len(data), step):
        broken = bytearray(data)
        broken[position] ^= 1 << draw.randrange(8)
        try:
            read = Bundle.from_bytes(bytes(broken))
            info = policy.check((read,), purpose=Purpose.MODEL)
        except LifesealError:
            continue
        assert read.envelope == bundle.envelope
        assert read.material.certificate == bundle.material.certificate
        if read.timestamps == bundle.timestamps:
            accepted += 1
        else:  # the log's own time is enough, and the other is reported; or the bit is one that nobody signs
            assert info.time == control.time or (rekor == 1 and info.notes[-1].startswith("timestamp 0 was ignored"))
    assert accepted * step < len(data) // 50


@pytest.mark.parametrize("where", ["certificate", "body", "promise", "checkpoint", "root"])
def test_random_content_in_any_place_is_refused(deployment, rekor, where):
    bundle = made(deployment, rekor)
    draw = random.Random(3)
    for size in (0, 1, 10, 100):
        content = draw.randbytes(size)
        if where == "certificate":
            broken = attrs.evolve(bundle, material=attrs.evolve(bundle.material, certificate=content))
        elif where == "checkpoint":
            broken = changed(bundle, _checkpoint=content.decode("latin-1"))
        else:
            broken = changed(bundle, **{"_root" if where == "root" else where: content})
        if where == "promise" and (rekor == 2 or not size):
            continue  # a log without promises ignores none
        with pytest.raises((FormatError, SignatureError)):
            check(broken, deployment)


# --- Trust


def test_published_signatures_verify_with_the_network_and_the_disk_out_of_reach(tmp_path):
    code = f"""
import socket, sys
from pathlib import Path
from lifeseal import attestation, signing
def blocked(*args, **kwargs):
    raise RuntimeError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = blocked
trust = attestation.SigstoreTrust.public_good()
policy = attestation.TrustedIdentity("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2", trust)
for release in ("v1.0.0", "v1.1.0"):
    print(signing.verify(Path({str(PUBLISHED)!r}) / f"{{release}}-sigstore", policy=policy).signer.time.isoformat())
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "c"), "XDG_DATA_HOME": str(home / "d")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.split() == ["2025-05-03T01:34:46+00:00", "2025-10-10T02:12:20+00:00"]
    assert list(home.iterdir()) == []


def test_published_signatures_are_refused_under_another_identity_issuer_or_deployment(deployment):
    bundle = Bundle.load(PUBLISHED / "v1.1.0-sigstore/model.sig")
    trust = SigstoreTrust.public_good()
    name, issuer = "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2"
    assert TrustedIdentity(name, issuer, trust).check((bundle,), purpose=Purpose.MODEL)
    for who in ((name, "https://accounts.google.com"), (f"x{name}", issuer)):
        with pytest.raises(PolicyError, match="the policy trusts exactly"):
            TrustedIdentity(*who, trust).check((bundle,), purpose=Purpose.MODEL)
    with pytest.raises(PolicyError, match=r"of log c0d23d6ad406973f, which the trust given does not know"):
        TrustedIdentity(name, issuer, deployment.trust()).check((bundle,), purpose=Purpose.MODEL)


def test_a_trust_without_the_log_is_too_old(deployment):
    bundle = made(deployment, 2)
    document = json.loads(deployment.trusted_root())
    document["tlogs"] = document["tlogs"][:1]
    old = SigstoreTrust.from_bytes(json.dumps(document).encode())
    with pytest.raises(PolicyError, match="older than the signature, or of another deployment"):
        TrustedIdentity(ME, deployment.oidc.url, old).check((bundle,), purpose=Purpose.MODEL)
    assert TrustedIdentity(ME, deployment.oidc.url, old).check((made(deployment, 1),), purpose=Purpose.MODEL)


def test_a_trust_without_the_timestamp_authority_is_too_old_where_the_log_states_no_time(deployment):
    one, two = made(deployment, 1), made(deployment, 2)
    document = json.loads(deployment.trusted_root())

    def policy(*authorities):
        document["timestampAuthorities"] = list(authorities)
        return TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust.from_bytes(json.dumps(document).encode()))

    listed = document["timestampAuthorities"][0]
    another = json.loads(testing.Sigstore().trusted_root())["timestampAuthorities"][0]
    assert policy(another, listed).check((two,), purpose=Purpose.MODEL)
    with pytest.raises(PolicyError, match=r"of a timestamp authority of .*older than the signature, or of another deployment"):
        policy(another).check((two,), purpose=Purpose.MODEL)
    assert policy(another).check((one,), purpose=Purpose.MODEL)
    for bundle in (one, two):  # what cannot be judged at all is no reason to go on, says sigstore
        with pytest.raises(PolicyError, match="of a timestamp authority of"):
            policy().check((bundle,), purpose=Purpose.MODEL)
    assert policy().check((made(deployment, 1, stamped=()),), purpose=Purpose.MODEL)
    strange = attrs.evolve(one, timestamps=(stamp(testing.Tsa(), one.envelope.signature),))
    assert check(strange, deployment)
    refused(changed(strange, promise=flipped(one.material.entry.promise)), deployment, SignatureError, "invalid inclusion promise")


def test_a_trust_that_cannot_be_read_is_refused_with_the_place(deployment):
    document = json.loads(deployment.trust_config())
    document["trustedRoot"]["tlogs"][1]["publicKey"]["validFor"]["start"] = "yesterday"
    with pytest.raises(FormatError, match="'trustedRoot', 'tlogs', 1, 'publicKey', 'validFor', 'start': "):
        SigstoreTrust.from_bytes(json.dumps(document).encode())


def test_trust_is_read_from_a_file(deployment, tmp_path):
    for name, data, signs in (("config", deployment.trust_config(), True), ("root", deployment.trusted_root(), False)):
        (tmp_path / name).write_bytes(data)
        assert SigstoreTrust.load(tmp_path / name).signs is signs
    assert SigstoreTrust.public_good().signs


def in_log(name, index, *inner, **fields):
    def change(document):
        place = document["trustedRoot"][name][index]
        for step in inner:
            place = place[step]
        place.update(fields)

    return change


def of_one_name(logs):
    logs[1]["logId"] = logs[0]["logId"]


def without(name):
    def change(document):
        document["trustedRoot"][name] = []

    return change


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (without("tlogs"), "no transparency log"),
        (without("certificateAuthorities"), "Fulcio certificates not found"),
        (without("ctlogs"), "'ctlogs' names no certificate log"),
        (in_log("tlogs", 1, "publicKey", rawBytes=""), "'tlogs', entry 1: its key cannot be used: public key is empty"),
        (in_log("tlogs", 0, "publicKey", rawBytes="AAAA"), "'tlogs', entry 0: its key cannot be used: could not load"),
        (in_log("ctlogs", 0, "publicKey", keyDetails="PKIX_ED25519"), "'ctlogs', entry 0: its key cannot be used: invalid key format"),
        (in_log("ctlogs", 0, "publicKey", keyDetails="LMS_SHA256"), "'ctlogs', entry 0: its key cannot be used: unsupported key type"),
        (in_log("tlogs", 0, hashAlgorithm="SHA2_384"), "'tlogs', entry 0: its hash must be SHA2_256"),
        (in_log("ctlogs", 0, "logId", keyId="AAAA"), "'ctlogs', entry 0: its logId must be the SHA-256 of its key"),
        (lambda d: of_one_name(d["trustedRoot"]["tlogs"]), "'tlogs', entry 1: another log has the same name and another key"),
        (lambda d: d.update(mediaType="application/json"), "a ClientTrustConfig or a TrustedRoot of Sigstore was expected"),
        (lambda d: d.update(foreign=1), "unknown field 'foreign'"),
        (lambda d: d.pop("trustedRoot"), "'trustedRoot' is missing"),
        (lambda d: d.update(trustedRoot=3), "a trust configuration that sigstore can use was expected"),
        (lambda d: d["signingConfig"].update(rekorTlogUrls=3), "that sigstore can use"),
        (lambda d: d["trustedRoot"]["tlogs"][0]["publicKey"]["validFor"].pop("start"), "that sigstore can use"),
        (lambda d: d["trustedRoot"]["timestampAuthorities"][0]["certChain"].update(certificates=[]), "missing a certificate"),
        (lambda d: d["trustedRoot"].update(mediaType="application/vnd.dev.sigstore.trustedroot.v9"), "that sigstore can use"),
    ],
)
def test_a_trust_that_cannot_be_used_is_refused_when_it_is_read(deployment, change, because, caplog):
    document = json.loads(deployment.trust_config())
    assert SigstoreTrust.from_bytes(json.dumps(document).encode())
    change(document)
    with pytest.raises(FormatError) as caught:
        SigstoreTrust.from_bytes(json.dumps(document).encode())
    assert because in str(caught.value)
    assert caplog.text == ""


def test_a_log_may_be_listed_twice_and_under_two_names(deployment):
    document = json.loads(deployment.trusted_root())
    document["tlogs"].append({**document["tlogs"][0], "checkpointKeyId": {"keyId": "AAAAAA=="}})
    trust = SigstoreTrust.from_bytes(json.dumps(document).encode())
    assert TrustedIdentity(ME, deployment.oidc.url, trust).check((made(deployment),), purpose=Purpose.MODEL)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b'{"mediaType": 1}', b'{"mediaType": "a", "mediaType": "b"}'])
def test_what_is_no_trust_is_refused(data):
    with pytest.raises(FormatError, match="trust configuration"):
        SigstoreTrust.from_bytes(data)


# --- Tokens, and deployments that fail


def test_a_token_is_never_shown_or_copied(deployment):
    token = deployment.oidc.token(ME)
    signer = SigstoreSigner(deployment.trust(), token)
    assert token not in repr(signer) + str(vars(signer))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(signer)


@pytest.mark.parametrize(
    ("claims", "because"),
    [
        ({"lifetime": -60}, "it has expired"),
        *[(claims, "malformed, or lacks a claim") for claims in ({"aud": "other"}, {"exp": None}, {"nbf": "x"}, {"iss": {}})],
    ],
)
def test_a_token_that_cannot_be_used_is_refused_before_anything_is_asked(deployment, claims, because):
    assert SigstoreSigner(deployment.trust(), deployment.oidc.token(ME))
    token = deployment.oidc.token(ME, **claims)
    with pytest.raises(CredentialError, match=because) as caught:
        SigstoreSigner(deployment.trust(), token)
    assert token not in str(caught.value)
    with pytest.raises(CredentialError, match="malformed"):
        SigstoreSigner(deployment.trust(), "no token")


def test_a_token_that_expires_before_it_is_used_says_so(deployment):
    signer = SigstoreSigner(deployment.trust(), deployment.oidc.token(ME, exp=time.time() + 0.5))
    time.sleep(0.6)
    with pytest.raises(CredentialError, match="the identity token has expired; nothing was signed"):
        sign_statement(STATEMENT, signer=signer)


def test_a_token_of_another_provider_is_the_deployments_no(deployment):
    foreign = testing.Oidc()
    foreign.url = deployment.oidc.url
    with pytest.raises(CredentialError, match="authority refused: HTTP status 401"):
        sign_statement(STATEMENT, signer=SigstoreSigner(deployment.trust(), foreign.token(ME)))


def test_a_root_alone_signs_nothing(deployment):
    root = SigstoreTrust.from_bytes(deployment.trusted_root())
    token = deployment.oidc.token(ME)
    for make in (lambda: SigstoreSigner(root, token), lambda: SigstoreSigner.ambient(root), lambda: SigstoreSigner.interactive(root)):
        with pytest.raises(ValueError, match="a ClientTrustConfig is needed"):
            make()


def test_only_statements_are_signed(deployment):
    with pytest.raises(ValueError, match="alone, not 'text/plain'"):
        SigstoreSigner(deployment.trust(), deployment.oidc.token(ME)).sign("text/plain", b"payload")


@pytest.mark.parametrize("payload", [b"", b"{}", b"text", PAYLOAD.replace(b"Statement/v1", b"Statement/v2")])
def test_what_is_no_statement_is_the_callers_mistake_and_nobody_is_asked(deployment, payload):
    assert payload != PAYLOAD
    signer = SigstoreSigner(elsewhere(deployment, caUrls="http://127.0.0.1:1"), deployment.oidc.token(ME))
    with pytest.raises(ValueError, match="the payload is none"):
        signer.sign("application/vnd.in-toto+json", payload)
    with pytest.raises(StoreError):
        signer.sign("application/vnd.in-toto+json", PAYLOAD)


def test_a_trust_made_by_hand_out_of_anything_is_the_callers_mistake(deployment):
    policy = TrustedIdentity(ME, deployment.oidc.url, SigstoreTrust(config=b"{}", signs=False))
    with pytest.raises(ValueError) as caught:
        policy.check((made(deployment),), purpose=Purpose.MODEL)
    assert type(caught.value) is ValueError


def elsewhere(deployment, **urls):
    """The deployment's trust, with services that answer elsewhere."""
    document = json.loads(deployment.trust_config())
    for name, url in urls.items():
        document["signingConfig"][name][0]["url"] = url
    return SigstoreTrust.from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("service", ["caUrls", "rekorTlogUrls"])
def test_a_service_that_does_not_answer_is_unavailable_and_nothing_is_written(deployment, service, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    token = deployment.oidc.token(ME)
    with serving(lambda _: Reply()) as gone:
        pass
    with pytest.raises(StoreError, match="no signature was written"):
        signing.sign(tmp_path / "m", signer=SigstoreSigner(elsewhere(deployment, **{service: gone}), token))
    with serving(lambda _: Reply(status=503, body=b"{}")) as broken, pytest.raises(StoreError, match=r"503.*no signature was written"):
        signing.sign(tmp_path / "m", signer=SigstoreSigner(elsewhere(deployment, **{service: broken}), token))
    with serving(lambda _: Reply(status=201, body=b"[]")) as wrong, pytest.raises(StoreError, match="no signature was written"):
        signing.sign(tmp_path / "m", signer=SigstoreSigner(elsewhere(deployment, **{service: wrong}), token))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreError, match=r"no answer from the Sigstore deployment within 0\.3 seconds"):
            signing.sign(tmp_path / "m", signer=SigstoreSigner(elsewhere(deployment, **{service: address}), token, timeout=0.3))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    signing.sign(tmp_path / "m", signer=SigstoreSigner(deployment.trust(), token))
    assert (tmp_path / "m.sig").exists()


@pytest.mark.parametrize("service", ["caUrls", "rekorTlogUrls"])
def test_an_answer_that_the_trust_does_not_vouch_for_is_refused_and_not_written(deployment, service, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    other = testing.Sigstore()
    other.oidc = other.fulcio._oidc = deployment.oidc
    with serving(other.answer) as url:
        place = url if service == "caUrls" else f"{url}/rekor2"
        with pytest.raises(PolicyError, match=r"verif.*no signature was written"):
            signing.sign(tmp_path / "m", signer=SigstoreSigner(elsewhere(deployment, **{service: place}), deployment.oidc.token(ME)))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(("name", "word"), [("tlogs", "log "), ("certificateAuthorities", "authority "), ("ctlogs", "certificate log ")])
def test_nothing_is_handed_out_that_the_trust_will_not_verify(deployment, rekor, name, word, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    document = json.loads(deployment.trust_config(rekor=rekor))
    place = document["trustedRoot"][name][rekor - 1 if name == "tlogs" else 0]
    (place if name == "certificateAuthorities" else place["publicKey"])["validFor"]["end"] = "2021-01-01T00:00:00Z"
    ended = SigstoreTrust.from_bytes(json.dumps(document).encode())
    with pytest.raises((PolicyError, StoreError), match=r"no signature was written"):
        signing.sign(tmp_path / "m", signer=SigstoreSigner(ended, deployment.oidc.token(ME)))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_timestamp_authority_that_does_not_answer_matters_where_the_log_has_no_time(deployment):
    with serving(lambda _: Reply()) as gone:
        pass
    token = deployment.oidc.token(ME)
    with pytest.raises(StoreError, match=r"none of its timestamp authorities answered; no signature was written"):
        sign_statement(STATEMENT, signer=SigstoreSigner(elsewhere(deployment, tsaUrls=gone), token))
    document = json.loads(deployment.trust_config(rekor=1))
    document["signingConfig"]["tsaUrls"][0]["url"] = gone
    trust = SigstoreTrust.from_bytes(json.dumps(document).encode())
    bundle = sign_statement(STATEMENT, signer=SigstoreSigner(trust, token))
    assert (bundle.timestamps, check(bundle, deployment).name) == ((), ME)


def test_a_github_job_finds_its_token(deployment, monkeypatch):
    workflow = "acme/models/.github/workflows/release.yml@refs/heads/main"
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CredentialError, match="no CI job that sigstore knows"):
        SigstoreSigner.ambient(deployment.trust())
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(CredentialError, match="missing or insufficient OIDC token permissions"):
        SigstoreSigner.ambient(deployment.trust())
    for name, value in deployment.oidc.github(workflow).items():
        monkeypatch.setenv(name, value)
    bundle = sign_statement(STATEMENT, signer=SigstoreSigner.ambient(deployment.trust()))
    issuer = "https://token.actions.githubusercontent.com"
    assert check(bundle, deployment, identity=f"https://github.com/{workflow}", issuer=issuer)
    refused(bundle, deployment, PolicyError, "the policy trusts exactly", identity=f"https://github.com/{workflow}")


def test_a_gitlab_job_finds_its_token(deployment, monkeypatch):
    identity = "https://gitlab.com/acme/models//.gitlab-ci.yml@refs/heads/main"
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITLAB_CI", "true")
    with pytest.raises(CredentialError, match="SIGSTORE_ID_TOKEN"):
        SigstoreSigner.ambient(deployment.trust())
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", deployment.oidc.token(identity, issuer="https://gitlab.com"))
    bundle = sign_statement(STATEMENT, signer=SigstoreSigner.ambient(deployment.trust()))
    assert check(bundle, deployment, identity=identity, issuer="https://gitlab.com")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sigstore leaves its listener open
def test_a_person_signs_in_with_a_browser(deployment, monkeypatch):
    import threading
    import urllib.request
    import webbrowser

    def browse(url):
        threading.Thread(target=lambda: urllib.request.urlopen(url).read(), daemon=True).start()
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    deployment.oidc.person = "someone@example.org"
    bundle = sign_statement(STATEMENT, signer=SigstoreSigner.interactive(deployment.trust()))
    assert check(bundle, deployment, identity="someone@example.org")
    deployment.oidc.refuses = True
    with pytest.raises(CredentialError, match="the sign-in failed"):
        SigstoreSigner.interactive(deployment.trust())
    deployment.oidc.refuses = False
    with serving(lambda _: Reply()) as gone:
        pass
    with pytest.raises(StoreError, match="the identity provider cannot be asked"):
        SigstoreSigner.interactive(elsewhere(deployment, oidcUrls=gone))


def test_a_token_is_read_from_a_file(deployment, tmp_path):
    (tmp_path / "token").write_text(f"{deployment.oidc.token(ME)}\n")
    assert check(sign_statement(STATEMENT, signer=SigstoreSigner.from_token_file(deployment.trust(), tmp_path / "token")), deployment)
    (tmp_path / "token").write_text("é")
    with pytest.raises(FormatError, match="token: an identity token was expected"):
        SigstoreSigner.from_token_file(deployment.trust(), tmp_path / "token")


# --- In a policy file

FILE = """
schema = "lifeseal.policy/1"

[signers.me]
identity = "{identity}"
issuer = "{issuer}"
trust = "{trust}"
{more}

[[trust]]
signers = ["me"]
purposes = ["model"]
subjects = ["*"]
from = {start}
until = {end}
"""


@pytest.fixture
def policy_file(deployment, tmp_path):
    (tmp_path / "root.json").write_bytes(deployment.trusted_root())

    def load(**fields):
        usual = {"identity": ME, "issuer": deployment.oidc.url, "trust": "root.json", "more": "", "start": "2020-01-01T00:00:00Z"}
        (tmp_path / "p.toml").write_text(FILE.format(**{**usual, "end": "2090-01-01T00:00:00Z", **fields}))
        return PolicyFile.load(tmp_path / "p.toml")

    return load


def test_a_policy_file_names_identities(deployment, policy_file, tmp_path):
    bundle = made(deployment, 2)
    info = policy_file().check((bundle,), purpose=Purpose.MODEL)
    assert (info.kind, info.name) == ("identity", f"me ({ME})")
    assert "by this machine's clock" not in str(info.notes)
    assert policy_file(trust=tmp_path / "root.json").check((bundle,), purpose=Purpose.MODEL)
    for other in ({"identity": "other@example.org"}, {"issuer": "https://issuer.example.org"}, {"trust": "public-good"}):
        with pytest.raises(PolicyError, match="no clause of"):
            policy_file(**other).check((bundle,), purpose=Purpose.MODEL)


def test_a_policy_files_times_are_compared_with_the_proved_one(deployment, policy_file):
    then = dt.datetime.now(dt.UTC) - DAY
    bundle = made(deployment, start=then - MINUTE, logged=then, stamped=())
    ended = (dt.datetime.now(dt.UTC) - DAY / 2).isoformat()
    assert policy_file(end=ended).check((bundle,), purpose=Purpose.MODEL)
    with pytest.raises(PolicyError, match="is trusted from"):
        policy_file(end=ended).check((made(deployment),), purpose=Purpose.MODEL)


@pytest.mark.parametrize(
    ("fields", "because"),
    [
        ({"identity": "me@example.org "}, "signers.me.identity: identity= must be the exact text"),
        ({"issuer": "issuer.example.org"}, "signers.me.issuer: issuer= must be the identity provider's URL"),
        ({"trust": "p.toml"}, "p.toml"),
        ({"trust": "../root.json"}, "signers.me.trust"),
        ({"more": 'tsa = ["root.json"]'}, "tsa"),
        ({"more": 'key = "k.pub"'}, "exactly one of key, roots, identity"),
        ({"more": '[signers.twin]\nidentity = "release@example.org"\nissuer = "{issuer}"\ntrust = "root.json"'}, "this is signer 'me' again"),
    ],
)
def test_a_policy_file_that_names_an_identity_wrongly_is_refused_at_its_place(deployment, policy_file, fields, because):
    assert policy_file()
    with pytest.raises(FormatError) as caught:
        policy_file(**{name: text.replace("{issuer}", deployment.oidc.url) for name, text in fields.items()})
    assert because in str(caught.value)


def test_a_list_withdraws_an_identity_from_a_time_on(deployment, policy_file):
    policy, bundle, now = policy_file(), made(deployment), dt.datetime.now(dt.UTC)
    entry = WithdrawnSigner.of_identity(ME, deployment.oidc.url, since=now - DAY, reason="the account was taken over")
    withdrawals = Withdrawals(name="w", number=1, issued=now - DAY, expires=now + DAY, signers=[entry])
    with pytest.raises(WithdrawnError, match="the account was taken over"):
        open_statement(bundle, policy=policy, purpose=Purpose.MODEL, withdrawals=withdrawals)
    before = made(deployment, start=now - 2 * DAY - MINUTE, logged=now - 2 * DAY, stamped=())
    assert open_statement(before, policy=policy, purpose=Purpose.MODEL, withdrawals=withdrawals)
