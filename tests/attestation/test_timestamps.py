# SPDX-License-Identifier: Apache-2.0
"""RFC 3161 timestamps: a real authority on loopback, OpenSSL as judge in both directions, and forgeries each beside its control."""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import random
import shutil
import ssl
import subprocess
import time

import asn1crypto.tsp
import attrs
import pytest
import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.authority import AUTHORITY, FAR, LEAF, OLD, SERVER, root, usage

from lifeseal import signing, testing
from lifeseal.attestation import Bundle, CertificateSigner, KeySigner, Purpose, TimestampAuthority, TrustedCertificates, TrustedKey, threshold
from lifeseal.errors import FormatError, LimitError, PolicyError, StoreError
from lifeseal.testing._issued import stamper
from lifeseal.testing._server import Reply, serving

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
YEAR, DAY, SECOND = dt.timedelta(days=365), dt.timedelta(days=1), dt.timedelta(seconds=1)
PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY, PUBLIC = KeySigner(PRIVATE), PRIVATE.public_key()


def signed():
    return KEY.sign("text/plain", b"payload")


def query(signature, **how):
    return rfc3161_client.TimestampRequestBuilder(data=signature, hash_algorithm=rfc3161_client.HashAlgorithm.SHA256, **how).build()


def stamped(bundle, tsa, **how):
    answer = tsa.respond(query(bundle.envelope.signature, **how).as_bytes())
    return attrs.evolve(bundle, timestamps=(*bundle.timestamps, answer))


def check(bundle, *tsas):
    return TrustedKey(PUBLIC, tsa=tuple(tsa.root.der for tsa in tsas)).check((bundle,), purpose=Purpose.MODEL)


def ignored(bundle, *tsas, because):
    info = check(bundle, *tsas)
    assert info.time is None
    (note,) = info.notes
    assert note.startswith("timestamp 0 was ignored: ")
    assert because in note


@pytest.fixture
def tsa():
    with testing.timestamp_authority() as running:
        yield running


def at(moment, **how):
    return testing.Tsa(clock=lambda: moment, **how)


class Forging(testing.Tsa):
    """Says what it is told to, over a good signature of its own."""

    def __init__(self, **false):
        super().__init__()
        self.false = false

    def info(self, request):
        return super().info(request) | self.false


# --- Asking


def test_an_authority_on_loopback_stamps_and_is_believed(tsa):
    before = dt.datetime.now(dt.UTC) - SECOND
    bundle = TimestampAuthority(tsa.url, (tsa.root.der,)).stamp(signed())
    assert len(bundle.timestamps) == tsa.stamped == 1
    info = check(Bundle.from_bytes(bundle.to_bytes()), tsa)
    assert before <= info.time <= dt.datetime.now(dt.UTC) + SECOND
    assert info.notes == ()


def test_signing_a_model_can_ask_for_a_timestamp(tsa, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a").write_bytes(b"a")
    (tmp_path / "tsa.pem").write_bytes(tsa.root.pem)
    authority = TimestampAuthority.from_files(tsa.url, [tmp_path / "tsa.pem"])
    signing.sign(tmp_path / "m", signer=KEY, timestamp=authority)
    (tmp_path / "k.pub").write_bytes(KEY.public.pem)
    report = signing.verify(tmp_path / "m", policy=TrustedKey.from_file(tmp_path / "k.pub", tsa=[tmp_path / "tsa.pem"]))
    assert report.signer.time is not None
    report = signing.verify(tmp_path / "m", policy=KEY.public)
    assert report.signer.time is None
    assert "a timestamp is there and was not looked at: no timestamp authority is trusted" in report.not_covered


def test_an_authority_that_is_not_the_one_trusted_is_refused_when_signing(tsa):
    other = testing.Tsa()
    with pytest.raises(PolicyError, match=r"http://127.*cannot be used: .* leads to no root given"):
        TimestampAuthority(tsa.url, (other.root.der,)).stamp(signed())
    assert TimestampAuthority(tsa.url, (other.root.der, tsa.root.der)).stamp(signed())


@pytest.mark.parametrize(
    ("false", "because"),
    [
        ({"nonce": 5}, "answers another request"),
        ({"message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": bytes(32)}}, "over another signature"),
    ],
)
def test_an_answer_to_another_question_is_refused_when_signing(false, because):
    with testing.timestamp_authority(Forging(**false)) as forging, testing.timestamp_authority() as honest:
        assert TimestampAuthority(honest.url, (honest.root.der,)).stamp(signed())
        with pytest.raises(PolicyError, match=because):
            TimestampAuthority(forging.url, (forging.root.der,)).stamp(signed())


def test_an_answer_played_again_is_refused_when_signing(tsa):
    bundle = signed()
    old = tsa.respond(query(bundle.envelope.signature).as_bytes())
    with serving(lambda _: Reply(body=old)) as url, pytest.raises(PolicyError, match="answers another request"):
        TimestampAuthority(url, (tsa.root.der,)).stamp(bundle)
    assert check(attrs.evolve(bundle, timestamps=(old,)), tsa).time is not None


@pytest.mark.parametrize(
    ("reply", "kind", "because"),
    [
        (Reply(status=500), StoreError, "HTTP status 500"),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}), StoreError, "HTTP status 302"),
        (Reply(body=b"<html>"), FormatError, "an RFC 3161 response in DER form was expected"),
        (Reply(), FormatError, "an RFC 3161 response in DER form was expected"),
        (Reply(body=b"\x30\x05\x30\x03\x02\x01\x02"), FormatError, "the authority granted none: status 2"),
        (Reply(body=bytes((256 << 10) + 1)), LimitError, "more than the limit"),
    ],
)
def test_an_authority_that_answers_no_timestamp(tsa, reply, kind, because):
    with serving(lambda _: reply) as url, pytest.raises(kind, match=because) as caught:
        TimestampAuthority(url, (tsa.root.der,)).stamp(signed())
    assert url in str(caught.value)


def test_an_authority_that_cannot_be_reached_or_is_slow_is_told_apart_and_writes_nothing(tsa, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    with serving(lambda _: Reply()) as gone:
        pass
    with pytest.raises(StoreError, match="refused; no signature was written"):
        signing.sign(tmp_path / "m", signer=KEY, timestamp=TimestampAuthority(gone, (tsa.root.der,)))
    with serving(lambda _: time.sleep(2) or Reply()) as slow, pytest.raises(StoreError, match=r"no answer within 0\.2 seconds"):
        signing.sign(tmp_path / "m", signer=KEY, timestamp=TimestampAuthority(slow, (tsa.root.der,), timeout=0.2))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_an_authority_that_drips_is_not_waited_for(tsa):
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection:
                try:
                    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000:
                        connection.sendall(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(StoreError, match=r"no answer within 0\.3 seconds"):
            TimestampAuthority(f"http://127.0.0.1:{server.getsockname()[1]}", (tsa.root.der,), timeout=0.3).stamp(signed())
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tsa.example.org",
        "ftp://h/",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@h/",
        "http://h/a b",
        "http://h/\n",
        "http://h/é",
        "http://h/#a",
    ],
)
def test_only_a_plain_web_address_is_an_authority(tsa, url):
    with pytest.raises(ValueError, match="is named as http://host/path"):
        TimestampAuthority(url, (tsa.root.der,))


def test_no_authority_is_believed_by_default(tsa):
    with pytest.raises(ValueError, match="none is trusted by default"):
        TimestampAuthority(tsa.url, ())
    with pytest.raises(FormatError, match="a self-signed root was expected"):
        TimestampAuthority(tsa.url, (tsa.signer.der,))
    with pytest.raises(FormatError, match="a self-signed root was expected"):
        TrustedKey(PUBLIC, tsa=(tsa.signer.der,))
    with pytest.raises(FormatError, match="a self-signed root was expected"):
        TrustedCertificates((tsa.root.der,), tsa=(tsa.signer.der,))


@pytest.fixture
def secured(tmp_path, tsa):
    """The authority behind TLS, and its address; the server's root is in tls.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())  # Python 3.13 asks for both identifiers
    authority = root("tls root", key=key, extensions=(*AUTHORITY, (identifier, False)))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.certificate.public_key())
    authority.issue("127.0.0.1", extensions=(*LEAF[:2], (SERVER, False), (names, False), (issuer, False))).write(tmp_path, "server")
    (tmp_path / "tls.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with serving(tsa.answer, tls=context) as url:
        yield url


def test_an_authority_behind_tls_must_show_a_certificate_that_the_system_trusts(secured, tsa, tmp_path, monkeypatch):
    authority = TimestampAuthority(secured, (tsa.root.der,))
    assert secured.startswith("https://127.0.0.1:")
    with pytest.raises(StoreError, match=r"certificate verify failed.*no signature was written"):
        authority.stamp(signed())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.pem"))
    assert check(authority.stamp(signed()), tsa).time is not None
    with pytest.raises(StoreError, match="no signature was written"):
        TimestampAuthority(tsa.url.replace("http:", "https:"), (tsa.root.der,)).stamp(signed())


def test_a_bundle_holds_sixteen_timestamps_and_no_more(tsa):
    authority = TimestampAuthority(tsa.url, (tsa.root.der,))
    bundle = signed()
    for _ in range(16):
        bundle = authority.stamp(bundle)
    assert len(Bundle.from_bytes(bundle.to_bytes()).timestamps) == 16
    with pytest.raises(LimitError, match="17 timestamps, more than the limit of 16"):
        authority.stamp(bundle)


# --- What is believed


def test_the_time_is_the_latest_that_the_accuracy_allows():
    assert check(stamped(signed(), tsa := at(NOW - YEAR)), tsa).time == NOW - YEAR + SECOND
    assert check(stamped(signed(), tsa := at(NOW - YEAR, accuracy=None)), tsa).time == NOW - YEAR
    assert check(stamped(signed(), tsa := at(NOW - YEAR, accuracy=3600)), tsa).time == NOW - YEAR + 3600 * SECOND
    ignored(stamped(signed(), tsa := at(NOW, accuracy=86401)), tsa, because="an accuracy of a day or better was expected")


def test_the_earliest_of_several_counts_and_the_others_do_not_hurt():
    late, early, foreign = at(NOW), at(NOW - DAY), at(NOW - YEAR)
    bundle = stamped(stamped(stamped(signed(), late), early), foreign)
    info = check(bundle, late, early)
    assert info.time == NOW - DAY + SECOND
    assert len(info.notes) == 1
    assert "timestamp 2 was ignored" in info.notes[0]


def test_a_timestamp_of_an_authority_nobody_named_is_ignored_and_reported(tsa):
    other = testing.Tsa()
    bundle = stamped(signed(), tsa)
    assert check(bundle, tsa).time is not None
    ignored(bundle, other, because="leads to no root given")
    assert check(bundle).notes == ("a timestamp is there and was not looked at: no timestamp authority is trusted",)
    imposter = testing.Tsa(root=testing.Issued.root("loopback TSA root"))  # of the same names
    ignored(stamped(signed(), imposter), tsa, because="leads to no root given")


def test_a_timestamp_over_another_signature_is_ignored(tsa):
    bundle = stamped(signed(), tsa)
    other = attrs.evolve(KEY.sign("text/plain", b"payload"), timestamps=bundle.timestamps)
    ignored(other, tsa, because="it is over another signature")
    over_payload = attrs.evolve(signed(), timestamps=(tsa.respond(query(b"payload").as_bytes()),))
    ignored(over_payload, tsa, because="it is over another signature")


def test_a_weak_hash_is_ignored(tsa):
    bundle = signed()
    digest = hashlib.sha1(bundle.envelope.signature).digest()
    weak = Forging(message_imprint={"hash_algorithm": {"algorithm": "sha1"}, "hashed_message": digest})
    ignored(stamped(bundle, weak), weak, because="none of SHA-256, SHA-384 and SHA-512")
    for name in ("sha384", "sha512"):
        digest = hashlib.new(name, bundle.envelope.signature).digest()
        strong = Forging(message_imprint={"hash_algorithm": {"algorithm": name}, "hashed_message": digest})
        assert check(stamped(bundle, strong), strong).time is not None


def stamp_certificate(purposes, critical):
    return (stamper()[0], stamper()[1], (x509.ExtendedKeyUsage(purposes), critical))


STAMPERS = {
    "code signing": (LEAF, "does not allow time stamping"),
    "no purpose": (stamper()[:2], "not time stamping alone, and critical"),
    "a purpose more": (
        stamp_certificate([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING], critical=True),
        "not time stamping alone, and critical",
    ),
    "a purpose that is not critical": (stamp_certificate([ExtendedKeyUsageOID.TIME_STAMPING], critical=False), "not time stamping alone"),
    "any purpose": (stamp_certificate([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], critical=True), "not time stamping alone"),
    "no signatures": ((stamper()[0], (usage(issue=True), True), stamper()[2]), "does not allow digital signatures"),
}


@pytest.mark.parametrize("what", STAMPERS)
def test_a_certificate_that_may_not_stamp_is_ignored(what):
    extensions, because = STAMPERS[what]
    top = root("tsa root")
    good = testing.Tsa(root=top, signer=top.issue("tsa", extensions=stamper()))
    assert check(stamped(signed(), good), good).time is not None
    bad = testing.Tsa(root=top, signer=top.issue("tsa", extensions=extensions))
    ignored(stamped(signed(), bad), bad, because=because)


def test_an_authority_must_have_been_valid_at_the_time_that_it_states():
    top = root("tsa root", end=NOW - DAY)  # expired since
    within = {"root": top, "signer": top.issue("tsa", extensions=stamper(), start=NOW - YEAR, end=NOW - DAY)}
    assert check(stamped(signed(), good := at(NOW - 2 * DAY, **within)), good).time == NOW - 2 * DAY + SECOND
    ignored(stamped(signed(), late := at(NOW, **within)), late, because="expired at")
    ignored(stamped(signed(), early := at(NOW - 2 * YEAR, **within)), early, because="not valid before")
    lasting = {"root": top, "signer": top.issue("tsa", extensions=stamper())}
    ignored(stamped(signed(), late := at(NOW, **lasting)), late, because="'CN=tsa root': expired at")


def test_an_authority_below_another_is_found_by_what_is_given():
    top = root("tsa root")
    middle = top.issue("tsa middle", extensions=AUTHORITY)
    below = testing.Tsa(root=top, signer=middle.issue("tsa", extensions=stamper()))
    bundle = stamped(signed(), below)
    policy = TrustedKey(PUBLIC, tsa=(top.der, middle.der))
    assert policy.check((bundle,), purpose=Purpose.MODEL).time is not None
    ignored(bundle, below, because="leads to no root given")
    server = top.issue("tsa middle", extensions=(*AUTHORITY, (SERVER, False)), key=middle.key)
    policy = TrustedKey(PUBLIC, tsa=(top.der, server.der))
    assert "does not allow time stamping below it" in policy.check((bundle,), purpose=Purpose.MODEL).notes[0]


def test_an_authority_that_sends_no_certificate_needs_its_own_given():
    tsa = testing.Tsa()
    bundle = stamped(signed(), tsa, cert_req=False)
    ignored(bundle, tsa, because="exactly one certificate of its signer was expected, sent along or given, not 0")
    policy = TrustedKey(PUBLIC, tsa=(tsa.root.der, tsa.signer.der))
    assert policy.check((bundle,), purpose=Purpose.MODEL).time is not None


def rewritten(bundle, change):
    """Change what nobody signs of a timestamp."""
    response = asn1crypto.tsp.TimeStampResp.load(bundle.timestamps[0])
    change(response["time_stamp_token"]["content"])
    return attrs.evolve(bundle, timestamps=(response.dump(force=True),))


def test_the_certificate_checked_is_the_only_one_of_its_number(tsa):
    bundle = stamped(signed(), tsa)
    number = tsa.signer.certificate.serial_number
    builder = x509.CertificateBuilder(tsa.root.certificate.subject, tsa.root.certificate.subject, PUBLIC, number, OLD, FAR)
    twin = asn1crypto.x509.Certificate.load(builder.sign(PRIVATE, hashes.SHA256()).public_bytes(Encoding.DER))
    other = asn1crypto.x509.Certificate.load(root("loopback TSA root").der)
    beside = rewritten(bundle, lambda data: data["certificates"].append(asn1crypto.cms.CertificateChoices("certificate", other)))
    assert check(beside, tsa).time is not None
    doubled = rewritten(bundle, lambda data: data["certificates"].append(asn1crypto.cms.CertificateChoices("certificate", twin)))
    ignored(doubled, tsa, because="sent along or given, not 2")


def test_exactly_one_signer_is_read(tsa):
    bundle = stamped(signed(), tsa)
    assert check(rewritten(bundle, lambda _: None), tsa).time is not None
    signed_by = asn1crypto.tsp.TimeStampResp.load(stamped(signed(), testing.Tsa()).timestamps[0])["time_stamp_token"]["content"]["signer_infos"][0]
    ignored(rewritten(bundle, lambda data: data["signer_infos"].append(signed_by)), tsa, because="exactly one signer was expected, not 2")


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_changed_byte_of_a_timestamp_is_ignored_or_changes_nothing(tsa):
    bundle = stamped(signed(), tsa)
    (answer,) = bundle.timestamps
    control = check(bundle, tsa)
    assert control.time is not None
    draw = random.Random(7)
    accepted = 0
    for position in range(len(answer)):
        changed = bytearray(answer)
        changed[position] ^= 1 << draw.randrange(8)
        info = check(attrs.evolve(bundle, timestamps=(bytes(changed),)), tsa)
        accepted += info.time is not None
        assert info.time in {None, control.time}
        assert (info.time is None) == (len(info.notes) == 1)
    assert accepted < len(answer) // 50  # what nobody signs: how the algorithms are spelled in places that nobody reads
    for length in range(0, len(answer), 7):
        assert check(attrs.evolve(bundle, timestamps=(answer[:length],)), tsa).time is None


# --- Certificates that have ended


def ended(top, end=NOW - DAY, start=OLD):
    leaf = top.issue("signer", start=start, end=end)
    return CertificateSigner(KeySigner(leaf.key), (leaf.der,)).sign("text/plain", b"payload")


def judge(bundle, top, *tsas, **how):
    return TrustedCertificates((top.der,), tsa=tuple(tsa.root.der for tsa in tsas), **how).check((bundle,), purpose=Purpose.MODEL)


def test_a_certificate_that_has_ended_counts_if_it_was_timestamped_before():
    top, tsa = root(), at(NOW - 2 * DAY)
    bundle = stamped(ended(top), tsa)
    info = judge(bundle, top, tsa)
    assert info.time == NOW - 2 * DAY + SECOND
    assert info.clause == f"certificate under 'CN=root', valid when it was timestamped, {info.time.isoformat()}"
    with pytest.raises(PolicyError, match=r"expired at .*a timestamp is there and was not looked at"):
        judge(bundle, top)
    with pytest.raises(PolicyError, match="leads to no root given"):
        judge(bundle, top, at(NOW))
    with pytest.raises(PolicyError, match="'CN=signer': expired"):
        judge(ended(top), top, tsa)


@pytest.mark.parametrize(
    ("moment", "accuracy", "good"),
    [
        (NOW - DAY, 0, True),
        (NOW - DAY, 1, False),
        (NOW - DAY - SECOND, 1, True),
        (NOW - DAY + SECOND, 0, False),
        (NOW - YEAR, 0, True),
        (NOW - YEAR, 1, False),
        (NOW - YEAR + SECOND, 1, True),
        (NOW - YEAR - SECOND, None, False),
    ],
)
def test_the_whole_accuracy_must_lie_within_the_certificates_validity(moment, accuracy, good):
    top, tsa = root(), at(moment, accuracy=accuracy)
    bundle = stamped(ended(top, start=NOW - YEAR), tsa)
    if good:
        assert judge(bundle, top, tsa).time == moment + dt.timedelta(seconds=accuracy or 0)
    else:
        with pytest.raises(PolicyError, match=r"judged at .*; .*judged at"):
            judge(bundle, top, tsa)


def test_one_good_timestamp_of_several_is_enough():
    top, good, late = root(), at(NOW - 2 * DAY), at(NOW)
    bundle = stamped(stamped(ended(top), late), good)
    assert judge(bundle, top, good, late).time == NOW - 2 * DAY + SECOND
    with pytest.raises(PolicyError, match="expired"):
        judge(bundle, top, late)


def test_the_whole_path_must_have_been_valid_when_it_was_timestamped():
    tsa = at(NOW - 2 * DAY)
    gone = root("gone", end=NOW - 3 * DAY)
    with pytest.raises(PolicyError, match="'CN=gone': expired"):
        judge(stamped(ended(gone), tsa), gone, tsa)
    there = root("there", end=NOW - DAY)
    assert judge(stamped(ended(there), tsa), there, tsa)


def test_a_time_given_outright_is_the_one_judged_by():
    top, tsa = root(), at(NOW - 2 * DAY)
    bundle = stamped(ended(top), tsa)
    assert judge(bundle, top, tsa, at=NOW - 3 * DAY).time == NOW - 2 * DAY + SECOND
    with pytest.raises(PolicyError, match="expired"):
        judge(bundle, top, tsa, at=NOW)


def test_a_certificate_that_is_valid_now_needs_no_timestamp_and_keeps_the_time():
    top, tsa = root(), at(NOW - YEAR)
    bundle = stamped(ended(top, end=FAR), tsa)
    info = judge(bundle, top, tsa)
    assert (info.time, info.clause) == (NOW - YEAR + SECOND, "certificate under 'CN=root'")
    assert "timestamp" in judge(bundle, top, testing.Tsa()).notes[1]


def test_several_signers_are_as_late_as_the_latest():
    tsa, other = at(NOW - DAY), KeySigner(ec.generate_private_key(ec.SECP256R1()))
    bundles = [stamped(signed(), at(NOW - YEAR, root=tsa.root)), stamped(other.sign("text/plain", b"payload"), tsa)]
    policies = [TrustedKey(key, tsa=(tsa.root.der,)) for key in (PUBLIC, other._private.public_key())]
    assert threshold(2, *policies).check(bundles, purpose=Purpose.MODEL).time == NOW - DAY + SECOND


# --- OpenSSL as judge


def openssl(folder, *words):
    return subprocess.run([shutil.which("openssl"), "ts", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def place(tmp_path):
    top = root("tsa root")
    top.write(tmp_path, "root")
    top.issue("tsa", extensions=stamper()).write(tmp_path, "tsa")
    lines = ["[tsa]", "default_tsa=t", "[t]", "serial=serial", "signer_cert=tsa.crt", "signer_key=tsa.key", "signer_digest=sha256"]
    lines += ["default_policy=1.2.3.4.1", "digests=sha256,sha512", "accuracy=secs:1, millisecs:500, microsecs:100", "ess_cert_id_alg=sha256"]
    lines += ["crypto_device=builtin", "tsa_name=yes", "ordering=yes", "clock_precision_digits=3"]
    for digest in ("sha256", "sha1"):
        (tmp_path / f"{digest}.cnf").write_text("\n".join(lines).replace("signer_digest=sha256", f"signer_digest={digest}") + "\n")
    (tmp_path / "serial").write_text("01\n")
    return tmp_path


@contextlib.contextmanager
def openssl_answering(place, digest):
    def answer(request):
        (place / "q").write_bytes(request.body)
        done = openssl(place, "-reply", "-config", f"{digest}.cnf", "-queryfile", "q", "-out", "r")
        assert done.returncode == 0, done.stderr
        return Reply(body=(place / "r").read_bytes(), kind="application/timestamp-reply")

    with serving(answer) as url:
        yield TimestampAuthority.from_files(url, [place / "root.crt"])


def test_we_believe_openssl_as_an_authority(place):
    with openssl_answering(place, "sha256") as authority:
        bundle = authority.stamp(signed())
    root_der = x509.load_pem_x509_certificate((place / "root.crt").read_bytes()).public_bytes(Encoding.DER)
    info = TrustedKey(PUBLIC, tsa=(root_der,)).check((bundle,), purpose=Purpose.MODEL)
    assert info.notes == ()
    assert info.time.microsecond == 500100
    assert abs(info.time - dt.datetime.now(dt.UTC)) < 60 * SECOND


def test_an_authority_that_signs_with_a_weak_hash_is_refused(place):
    with openssl_answering(place, "sha1") as authority, pytest.raises(PolicyError, match="none of SHA-256, SHA-384 and SHA-512"):
        authority.stamp(signed())


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_openssl_believes_our_authority_and_what_we_put_into_bundles(place, tsa, hash_name):
    bundle = TimestampAuthority(tsa.url, (tsa.root.der,)).stamp(signed())
    (place / "r").write_bytes(bundle.timestamps[0])
    (place / "s").write_bytes(bundle.envelope.signature)
    (place / "loopback.crt").write_bytes(tsa.root.pem)
    verify = ("-verify", "-in", "r", "-data", "s", "-CAfile")
    done = openssl(place, *verify, "loopback.crt")
    assert (done.returncode, "Verification: OK" in done.stdout) == (0, True), done.stderr
    assert openssl(place, *verify, "root.crt").returncode == 1
    (place / "s").write_bytes(b"another")
    assert openssl(place, *verify, "loopback.crt").returncode == 1
    openssl(place, "-query", "-data", "s", f"-{hash_name}", "-cert", "-out", "q")
    (place / "r").write_bytes(tsa.respond((place / "q").read_bytes()))
    done = openssl(place, "-verify", "-in", "r", "-queryfile", "q", "-CAfile", "loopback.crt")
    assert (done.returncode, "Verification: OK" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("signature", [b"", b"\0", b"\x30\x03\x02\x01\x00", bytes(300)])
def test_what_is_no_timestamp_is_ignored_and_raises_nothing(tsa, signature):
    ignored(attrs.evolve(signed(), timestamps=(signature,)), tsa, because="timestamp")
