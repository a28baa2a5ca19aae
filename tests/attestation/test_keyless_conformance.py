# SPDX-License-Identifier: Apache-2.0
"""The bundle cases of sigstore-conformance, each made on a loopback deployment: what is named ``_fail`` there is refused, all else verifies.

Its own files are signed by the public deployments and are about an artefact that is no model; the cases are the same, the names too. Some no
verifier of models can meet: ``happy-path-v0.1`` to ``v0.3-new-mediaType``, ``rekor2-happy-path`` and ``wrong-material_fail`` sign a message in
place of a statement, and ``managed-key-…`` and ``intoto-canonical-log-entry`` log a bare key, which model signatures do not.
"""

import datetime as dt
import hashlib
import json
import struct

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.forged import IN_TOTO, b64, changed, flipped, forged, logged_entry, stamp, v1_entry
from tests.support.named_log import NamedSigstore, line

from lifeseal import testing
from lifeseal.attestation import Bundle, KeySigner, Purpose, SigstoreTrust, Statement, Subject, TrustedIdentity, open_statement, pae
from lifeseal.attestation._paths import load_der
from lifeseal.errors import FormatError, LifesealError, PolicyError, SignatureError
from lifeseal.testing._fulcio import Fulcio
from lifeseal.testing._issued import stamper
from lifeseal.testing._signed import new_key, sign, spki

ME = "release@example.org"
DAY, MINUTE, SECOND = dt.timedelta(days=1), dt.timedelta(minutes=1), dt.timedelta(seconds=1)
STATEMENT = Statement(subjects=(Subject(name="m", sha256=bytes(32)),), predicate_type=Purpose.MODEL.predicate_type, predicate={"a": 1})
PAYLOAD = STATEMENT.to_bytes()
OTHER = attrs.evolve(STATEMENT, predicate={"a": 2}).to_bytes()


class Case:
    """One deployment, and the parts that cases are made of.

    Attributes:
        at: The deployment.
        root: Its trusted root, JSON; a case may change it.
        now: In whole seconds.
    """

    def __init__(self, at):
        self.at = at
        self.root = json.loads(at.trusted_root())
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)

    def made(self, rekor=1, payload=PAYLOAD, **how):
        return forged(self.at, payload, ME, self.at.oidc.url, rekor=rekor, **how)

    def tsa(self, when, **how):
        return testing.Tsa(**{"root": self.at.tsa.root, "signer": self.at.tsa.signer, "accuracy": None, "clock": lambda: when, **how})

    def fulcio(self, kind=Fulcio):
        other = kind(self.at.oidc)
        for name in ("root", "authority", "ct_key"):
            setattr(other, name, getattr(self.at.fulcio, name))
        return other

    def check(self, bundle):
        policy = TrustedIdentity(ME, self.at.oidc.url, SigstoreTrust.from_bytes(json.dumps(self.root).encode()))
        read = Bundle.from_bytes(bundle) if isinstance(bundle, bytes) else Bundle.from_bytes(bundle.to_bytes())
        return open_statement(read, policy=policy, purpose=Purpose.MODEL)


def edited(bundle, change):
    document = json.loads(bundle.to_bytes())
    change(document)
    return json.dumps(document).encode()


def chained(case, certificates):
    def change(document):
        document["verificationMaterial"]["x509CertificateChain"] = {"certificates": [{"rawBytes": b64(der)} for der in certificates]}
        del document["verificationMaterial"]["certificate"]

    return edited(case.made(), change)


def of_another_payload(case):
    bundle = case.made()
    return attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, payload=OTHER))


def otherwise_logged(rekor, payload=OTHER):
    """An envelope that is good of itself, signed by the certified key, beside an entry about another signature of that key."""

    def make(case):
        key = new_key()
        certificate = case.at.fulcio.issue(key.public_key(), ME, case.at.oidc.url)
        one, two = (sign(key, pae(IN_TOTO, signed)) for signed in (PAYLOAD, payload))
        bundle = case.made(rekor)
        material = attrs.evolve(
            bundle.material,
            certificate=certificate.public_bytes(Encoding.DER),
            entry=logged_entry(case.at.logs[rekor], certificate, payload, two),
        )
        return Bundle(material=material, envelope=attrs.evolve(bundle.envelope, signature=one), timestamps=(stamp(case.at.tsa, one),))

    return make


def logged_as(rekor, *, payload=PAYLOAD, signature=None, certificate=None):
    """A good signature beside a good entry about something else."""

    def make(case):
        bundle = case.made(rekor)
        other = case.made(rekor) if certificate else bundle
        entry = logged_entry(
            case.at.logs[rekor],
            load_der(other.material.certificate, where="certificate"),
            payload,
            case.made(rekor).envelope.signature if signature else bundle.envelope.signature,
        )
        return attrs.evolve(bundle, material=attrs.evolve(bundle.material, entry=entry))

    return make


def checkpoint(change, rekor=1):
    def make(case):
        case.made(rekor)
        bundle = case.made(rekor)
        return changed(bundle, _checkpoint=change(bundle.material.entry.proof.checkpoint, case))

    return make


def signatures(*lines):
    """A checkpoint with lines of others beside the log's own, which is None."""

    def make(case):
        bundle = case.made(2)
        return changed(bundle, _checkpoint=case.at.logs[2].checkpoint(*(x if x is None else x(case) for x in lines)))

    return make


def without_line(number):
    def change(text, case):
        lines = text.split("\n")
        return "\n".join(lines[:number] + lines[number + 1 :])

    return checkpoint(change, 2)


def rehinted(text, case):
    note, _, signed = text.rpartition(" ")
    return f"{note} {'B' if signed[0] == 'A' else 'A'}{signed[1:]}"


def badly_signed(text, case):
    note, _, signed = text.rpartition(" ")
    return f"{note} {signed[:40]}{'B' if signed[40] == 'A' else 'A'}{signed[41:]}"


def of_another_time(text, case):
    return case.made(1).material.entry.proof.checkpoint


def witness(case):
    return line("witness.example.org", b"abcd" + bytes(72))


def second_of_the_log(case):
    return line(case.at.logs[2].origin, b"wxyz" + bytes(64))


def with_extensions(case):
    class Extended(Fulcio):
        def _timestamps(self, unlogged, ct_key):
            stamped = super()._timestamps(unlogged, ct_key)[4:]
            (moment,) = struct.unpack("!Q", stamped[33:41])
            issuer, more = hashlib.sha256(spki(self.authority.key)).digest(), b"\0\0\5hello"
            tail = struct.pack("!H", len(more)) + more
            entry = struct.pack("!BBQH", 0, 0, moment, 1) + issuer + len(unlogged).to_bytes(3, "big") + unlogged + tail
            signature = sign(ct_key, entry)
            found = stamped[:41] + tail + struct.pack("!BBH", 4, 3, len(signature)) + signature
            return struct.pack("!HH", len(found) + 2, len(found)) + found

    return case.made(fulcio=case.fulcio(Extended))


def duplicate_name(case):
    decoy = json.loads(testing.Sigstore().trusted_root())["certificateAuthorities"][0]
    case.root["certificateAuthorities"].insert(0, decoy)
    return case.made()


def other_ct_key(case):
    key = spki(new_key())
    case.root["ctlogs"][0]["publicKey"]["rawBytes"] = b64(key)
    case.root["ctlogs"][0]["logId"]["keyId"] = b64(hashlib.sha256(key).digest())
    return case.made()


def other_ct_key_of_that_name(case):
    case.root["ctlogs"][0]["publicKey"]["rawBytes"] = b64(spki(new_key()))
    return case.made()


def ended(name, moment, *, rekor, index=0, inner="publicKey", which="end"):
    def make(case):
        place = case.root[name][index]
        (place[inner] if inner else place)["validFor"][which] = (case.now + moment).isoformat()
        return case.made(rekor, logged=case.now, stamped=(case.tsa(case.now),) if rekor == 2 else ())

    return make


def no_start(case):
    del case.root["tlogs"][0]["publicKey"]["validFor"]["start"]
    return case.made()


def borrowed(case):
    case.root["timestampAuthorities"][0]["validFor"]["end"] = (case.now - DAY).isoformat()
    live = json.loads(testing.Sigstore().trusted_root())["timestampAuthorities"][0]
    case.root["timestampAuthorities"].append(live)
    return case.made(2)


def borrowed_of_nobody(case):
    borrowed(case)
    case.root["timestampAuthorities"][1]["certChain"]["certificates"] = []
    return case.made(2)


def stamped(make, *, rekor=2, start=None, certificate=True):
    """A signature with timestamps of the authorities that a function of the case makes."""

    def build(case):
        bundle = case.made(rekor, start=start and case.now + start, stamped=())
        found = (stamp(tsa, bundle.envelope.signature, certificate=certificate) for tsa in make(case))
        return attrs.evolve(bundle, timestamps=tuple(found))

    return build


def outlived(case):
    """An authority whose certificates ended yesterday, trusted by the root."""
    end = case.now - DAY
    root = testing.Issued.root("ended TSA root", end=end)
    signer = root.issue("ended TSA", extensions=stamper(), end=end)
    case.root["timestampAuthorities"][0]["certChain"]["certificates"] = [{"rawBytes": b64(issued.der)} for issued in (signer, root)]
    return root, signer


def in_its_life(case):
    root, signer = outlived(case)
    return (case.tsa(case.now - 2 * DAY, root=root, signer=signer),)


def after_its_life(case):
    root, signer = outlived(case)
    return (case.tsa(case.now, root=root, signer=signer),)


def signed_payload(change):
    def make(case):
        document = json.loads(PAYLOAD)
        change(document)
        return case.made(2, json.dumps(document).encode())

    return make


def swapped_entry(case):
    one, two = case.made(), case.made()
    return attrs.evolve(one, material=attrs.evolve(one.material, entry=two.material.entry))


def from_another(case):
    other = testing.Sigstore()
    other.start(case.at.url)
    return forged(other, PAYLOAD, ME, case.at.oidc.url)


def by_a_key(case):
    signature = KeySigner(ec.generate_private_key(ec.SECP256R1())).sign(IN_TOTO, PAYLOAD)
    return signature.to_bytes()


def proof(**fields):
    def make(case):
        case.made()
        bundle = case.made()
        inner = bundle.material.entry.proof
        return changed(bundle, **{f"_{name}": change(inner) for name, change in fields.items()})

    return make


def of_an_old_proof(case):
    case.made()
    old = case.made().material.entry.proof
    return changed(case.made(), _index=old.index, _size=old.size, _root=old.root, _hashes=old.hashes, _checkpoint=old.checkpoint)


def entry_of(change):
    return lambda case: edited(case.made(), lambda document: change(document["verificationMaterial"]["tlogEntries"][0]))


def top(change):
    return lambda case: edited(case.made(), change)


def as_message(document):
    del document["dsseEnvelope"]
    document["messageSignature"] = {"messageDigest": {"algorithm": "SHA2_256", "digest": b64(bytes(32))}, "signature": b64(bytes(70))}


def logged_by_rekor_1(kind, version, spec):
    """An entry of another kind about a good signature."""

    def make(case):
        bundle = case.made()
        pem = load_der(bundle.material.certificate, where="certificate").public_bytes(Encoding.PEM)
        entry = v1_entry(case.at.logs[1], {"kind": kind, "apiVersion": version, "spec": spec(bundle.envelope, b64(pem))})
        return attrs.evolve(bundle, material=attrs.evolve(bundle.material, entry=entry))

    return make


def hashed(envelope, verifier):
    digest = hashlib.sha256(pae(envelope.payload_type, envelope.payload)).hexdigest()
    signature = {"content": b64(envelope.signature), "publicKey": {"content": verifier}}
    return {"data": {"hash": {"algorithm": "sha256", "value": digest}}, "signature": signature}


def in_toto(envelope, verifier):
    signatures = [{"sig": b64(b64(envelope.signature).encode()), "publicKey": verifier}]
    digest = {"algorithm": "sha256", "value": hashlib.sha256(envelope.payload).hexdigest()}
    return {"content": {"envelope": {"payloadType": envelope.payload_type, "signatures": signatures}, "payloadHash": digest}}


# Must verify there, and are good; the sigstore package does not read them.
UNREAD = {
    "dsse-with-hashedrekord-happy-path": logged_by_rekor_1("hashedrekord", "0.0.1", hashed),
    "intoto-with-custom-trust-root": logged_by_rekor_1("intoto", "0.0.2", in_toto),
}

PASS = {
    "bundle-with-sct-with-extensions": with_extensions,
    "happy-path-intoto-in-dsse-v3": lambda case: case.made(),
    "rekor2-checkpoint-cosigned": signatures(None, witness),
    "rekor2-checkpoint-multiple-cosigs": signatures(None, witness, witness),
    "rekor2-checkpoint-origin-not-first": signatures(witness, None),
    "rekor2-checkpoint-two-sigs-cosigned": signatures(None, second_of_the_log, witness),
    "rekor2-checkpoint-two-sigs-from-origin": signatures(second_of_the_log, None),
    "rekor2-dsse-happy-path": lambda case: case.made(2),
    "rekor2-timestamp-with-embedded-cert": stamped(lambda case: (case.at.tsa,)),
    "rekor2-timestamp-with-expired-cert-chain": stamped(in_its_life, start=-2 * DAY - MINUTE),
    "rekor2-timestamp-without-embedded-cert": stamped(lambda case: (case.at.tsa,), certificate=False),
    "sct-duplicate-intermediate-name": duplicate_name,
    "trust-root-tlog-validity-end-inclusive": ended("tlogs", 0 * DAY, rekor=1),
    "trust-root-tsa-validity-end-inclusive": ended("timestampAuthorities", 0 * DAY, rekor=2, inner=""),
}

FAIL = {
    "bundle-empty-certificate-chain_fail": (lambda case: chained(case, ()), FormatError, "none was expected beside a key or a certificate chain"),
    "bundle-from-wrong-instance_fail": (from_another, PolicyError, "which the trust given does not know"),
    "bundle-invalid-base64-signature_fail": (
        top(lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="?")),
        FormatError,
        "'sig': not valid base64",
    ),
    "bundle-malformed-json_fail": (lambda case: case.made().to_bytes()[:-1], FormatError, "this is not valid JSON"),
    "bundle-negative-log-index_fail": (entry_of(lambda e: e.update(logIndex="-1")), FormatError, "'logIndex': a decimal number"),
    "bundle-unknown-version_fail": (top(lambda d: d.update(mediaType="application/vnd.dev.sigstore.bundle.v99.9+json")), FormatError, "'mediaType'"),
    "bundle-with-root-cert_fail": (
        lambda case: chained(case, (case.made().material.certificate, case.at.fulcio.root.der)),
        FormatError,
        "none was expected beside a key or a certificate chain",
    ),
    "checkpoint-bad-keyhint_fail": (checkpoint(rehinted), SignatureError, "checkpoint: Signature not found for log"),
    "checkpoint-wrong-roothash_fail": (checkpoint(of_another_time), SignatureError, "invalid root hash"),
    "cve-2022-36056-swapped-tlog-entry_fail": (swapped_entry, SignatureError, "log entry signatures do not match"),
    "dsse-invalid-sig_fail": (lambda case: case.made(key=new_key()), SignatureError, "DSSE: invalid signature"),
    "dsse-mismatch-envelope_fail": (otherwise_logged(1), SignatureError, "log entry payload hash does not match"),
    "dsse-mismatch-sig_fail": (otherwise_logged(1, PAYLOAD), SignatureError, "log entry signatures do not match"),
    "dsse-statement-missing-type_fail": (signed_payload(lambda s: s.pop("_type")), FormatError, "'_type' is missing"),
    "dsse-statement-unknown-type_fail": (
        signed_payload(lambda s: s.update(_type="https://in-toto.io/Statement/v2")),
        FormatError,
        "'_type': 'https://in-toto.io/Statement/v1' was expected",
    ),
    "inclusion-proof-corrupted-hash_fail": (
        proof(hashes=lambda p: (flipped(p.hashes[0]), *p.hashes[1:])),
        SignatureError,
        "inclusion proof contains invalid root hash",
    ),
    "incorrect-public-key_fail": (logged_as(1, certificate=True), SignatureError, "log entry signatures do not match"),
    "integrated-time-in-future_fail": (
        lambda case: case.made(logged=case.now + DAY, stamped=()),
        SignatureError,
        "cert is not valid at validation time",
    ),
    "intoto-expired-certificate_fail": (ended("certificateAuthorities", -DAY, rekor=1, inner=""), PolicyError, "was not in use then"),
    "intoto-log-entry-mismatch_fail": (logged_as(1, payload=OTHER), SignatureError, "log entry payload hash does not match"),
    "intoto-missing-inclusion-proof_fail": (entry_of(lambda e: e.pop("inclusionProof")), FormatError, "'inclusionProof' is missing"),
    "intoto-set-outside-signing-cert-validity_fail": (
        lambda case: case.made(logged=case.now - DAY, stamped=()),
        SignatureError,
        "cert is not valid at validation time",
    ),
    "intoto-tsa-timestamp-outside-cert-validity_fail": (
        stamped(lambda case: (case.tsa(case.now + DAY),), rekor=1),
        SignatureError,
        "cert is not valid at validation time",
    ),
    "invalid-checkpoint-signature_fail": (checkpoint(badly_signed), SignatureError, "checkpoint: invalid signature"),
    "invalid-ct-key_fail": (other_ct_key, PolicyError, "is of certificate log"),
    "invalid-ct-key_fail, of the same name": (other_ct_key_of_that_name, FormatError, "its logId must be the SHA-256 of its key"),
    "invalid-inclusion-proof_fail": (of_an_old_proof, SignatureError, "inclusion proof contains invalid root hash"),
    "managed-key-no-key_fail": (by_a_key, PolicyError, "was signed with a bare key"),
    "message-digest-mismatch_fail": (top(as_message), FormatError, "'dsseEnvelope' is missing"),
    "rekor2-checkpoint-missing-log-signature_fail": (signatures(witness), SignatureError, "checkpoint: Signature not found for log"),
    "rekor2-checkpoint-missing-origin_fail": (without_line(0), SignatureError, "malformed LogCheckpoint"),
    "rekor2-checkpoint-missing-root-hash_fail": (without_line(2), SignatureError, "malformed LogCheckpoint"),
    "rekor2-checkpoint-missing-size_fail": (without_line(1), SignatureError, "malformed LogCheckpoint"),
    "rekor2-checkpoint-no-matching-signature_fail": (
        checkpoint(lambda text, case: text.replace(f"\N{EM DASH} {case.at.logs[2].origin}", "\N{EM DASH} log.example.org"), 2),
        SignatureError,
        "is signed in the name of 'log.example.org'",
    ),
    "rekor2-dsse-invalid-sig_fail": (lambda case: case.made(2, key=new_key()), SignatureError, "DSSE: invalid signature"),
    "rekor2-dsse-mismatch-envelope_fail": (otherwise_logged(2), SignatureError, "log entry is inconsistent"),
    "rekor2-dsse-mismatch-sig_fail": (otherwise_logged(2, PAYLOAD), SignatureError, "log entry is inconsistent"),
    "rekor2-multiple-timestamps-one-outside-cert-validity_fail": (
        stamped(lambda case: (case.at.tsa, case.tsa(case.now + DAY))),
        SignatureError,
        "cert is not valid at validation time",
    ),
    "rekor2-no-inclusion-proof_fail": (
        lambda case: edited(case.made(2), lambda d: d["verificationMaterial"]["tlogEntries"][0].pop("inclusionProof")),
        FormatError,
        "'inclusionProof' is missing",
    ),
    "rekor2-no-timestamp_fail": (lambda case: case.made(2, stamped=()), FormatError, "inclusion promise or signed timestamp"),
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": (
        ended("timestampAuthorities", -SECOND, rekor=2, inner=""),
        SignatureError,
        "not enough sources of verified time",
    ),
    "rekor2-timestamp-outside-tsa-cert-validity_fail": (stamped(after_its_life), SignatureError, "not enough sources of verified time"),
    "rekor2-timestamp-payload-mismatch_fail": (
        lambda case: attrs.evolve(case.made(2), timestamps=case.made(2).timestamps),
        SignatureError,
        "not enough sources of verified time",
    ),
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail": (
        stamped(lambda case: (testing.Tsa(),)),
        PolicyError,
        "is of a timestamp authority of",
    ),
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": (
        stamped(lambda case: (testing.Tsa(),), certificate=False),
        PolicyError,
        "is of a timestamp authority of",
    ),
    "rekor2-timestamp-with-incorrect-time_fail": (
        stamped(lambda case: (case.tsa(case.now + DAY),)),
        SignatureError,
        "cert is not valid at validation time",
    ),
    "rekor2-timestamp-wrong-tsa-validity-borrow_fail": (borrowed_of_nobody, FormatError, "missing a certificate"),
    "rekor2-timestamp-wrong-tsa-validity-borrow_fail, of a whole authority": (borrowed, SignatureError, "not enough sources of verified time"),
    "set-invalid-signature_fail": (
        lambda case: changed(bundle := case.made(), promise=flipped(bundle.material.entry.promise)),
        SignatureError,
        "invalid inclusion promise",
    ),
    "signature-mismatch_fail": (of_another_payload, SignatureError, "DSSE: invalid signature"),
    "trust-root-tlog-missing-validity-start_fail": (no_start, FormatError, "a trust configuration that sigstore can use was expected"),
    "wrong-hashedrekord-artifact_fail": (logged_as(2, payload=OTHER), SignatureError, "log entry is inconsistent"),
    "wrong-hashedrekord-cert-and-sig_fail": (logged_as(2, signature=True, certificate=True), SignatureError, "log entry is inconsistent"),
    "wrong-hashedrekord-entry_fail": (logged_as(2, payload=OTHER, signature=True, certificate=True), SignatureError, "log entry is inconsistent"),
}


@pytest.fixture(scope="module")
def deployment():
    with testing.sigstore(NamedSigstore()) as running:
        yield running


@pytest.mark.parametrize("name", PASS)
def test_verifies_what_the_suite_says_must_verify(deployment, name):
    case = Case(deployment)
    assert case.check(PASS[name](case))[0] == STATEMENT


@pytest.mark.parametrize("name", FAIL)
def test_refuses_what_the_suite_says_must_fail(deployment, name):
    case = Case(deployment)
    make, kind, because = FAIL[name]
    with pytest.raises(LifesealError) as caught:
        case.check(make(case))
    assert (type(caught.value), because in str(caught.value)) == (kind, True), caught.value


@pytest.mark.parametrize("name", UNREAD)
def test_refuses_an_entry_of_a_kind_that_the_sigstore_package_does_not_read(deployment, name):
    case = Case(deployment)
    with pytest.raises(SignatureError, match=r"Unsupported DSSE log entry type|only supported for dsse/hashedrekord"):
        case.check(UNREAD[name](case))


@pytest.mark.parametrize("rekor", [1, 2])
def test_the_parts_that_these_cases_are_made_of_are_good(deployment, rekor):
    case = Case(deployment)
    bundle = otherwise_logged(rekor)(case)
    certificate = load_der(bundle.material.certificate, where="certificate")
    entry = logged_entry(deployment.logs[rekor], certificate, PAYLOAD, bundle.envelope.signature)
    assert case.check(attrs.evolve(bundle, material=attrs.evolve(bundle.material, entry=entry)))[0] == STATEMENT
    good = (
        logged_as(rekor),
        checkpoint(lambda text, _: text, rekor),
        signed_payload(lambda _: None),
        entry_of(lambda e: e.update(inclusionPromise=e.get("inclusionPromise"))),
        ended("timestampAuthorities", SECOND, rekor=2, inner=""),
        stamped(lambda case: (case.tsa(case.now),), rekor=rekor),
    )
    for make in good:
        assert case.check(make(case))[0] == STATEMENT
