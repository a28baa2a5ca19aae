# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import json
import os
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal.attestation import Bundle, Envelope, KeyMaterial, Purpose, open_statement, pae
from lifeseal.attestation._bundle import MAX_BUNDLE
from lifeseal.errors import FormatError, LifesealError, LimitError

ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
key_bundles = st.builds(
    Bundle,
    material=st.builds(KeyMaterial, hint=st.text(max_size=128)),
    envelope=st.builds(Envelope, payload_type=ascii_text, payload=st.binary(max_size=200), signature=st.binary(max_size=100)),
)


def edited(bundle, change):
    document = json.loads(bundle.to_bytes())
    change(document)
    return json.dumps(document).encode()


def opened(data, policy):
    return open_statement(Bundle.from_bytes(data), policy=policy, purpose=Purpose.MODEL)


def refused(data, policy):
    try:
        opened(data, policy)
    except LifesealError:
        return True
    return False


def test_pae_is_the_published_vector():
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(ascii_text, st.binary(max_size=50), ascii_text, st.binary(max_size=50))
def test_pae_of_different_pairs_differs(kind, body, other_kind, other_body):
    assert (pae(kind, body) == pae(other_kind, other_body)) == ((kind, body) == (other_kind, other_body))


@given(key_bundles)
def test_a_written_bundle_reads_as_itself(bundle):
    data = bundle.to_bytes()
    assert Bundle.from_bytes(data) == bundle
    assert Bundle.from_bytes(data).to_bytes() == data


@given(st.binary(max_size=300))
def test_bytes_that_are_no_bundle_are_refused(data):
    with pytest.raises(LifesealError, match="bundle"):
        Bundle.from_bytes(data)


def test_a_file_round_trip_keeps_the_bundle(tmp_path, bundle):
    bundle.write(tmp_path / "model.sig")
    assert Bundle.load(tmp_path / "model.sig") == bundle
    bundle.write(tmp_path / "model.sig")
    with pytest.raises(FileExistsError):
        bundle.write(tmp_path / "model.sig", overwrite=False)


def test_a_fifo_is_no_bundle(tmp_path):
    os.mkfifo(tmp_path / "model.sig")
    with pytest.raises(FormatError, match="a regular file was expected, not a FIFO"):
        Bundle.load(tmp_path / "model.sig")


def test_every_flipped_bit_is_refused(bundle, signer, statement):
    data = bundle.to_bytes()
    assert opened(data, signer.public)[0] == statement
    accepted = []
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            if not refused(bytes(changed), signer.public):
                accepted.append((position, bit))
    assert accepted == []


def test_every_truncation_is_refused(bundle, signer):
    data = bundle.to_bytes()
    assert not refused(data, signer.public)
    assert [length for length in range(len(data)) if not refused(data[:length], signer.public)] == []


def test_every_deleted_byte_is_refused(bundle, signer):
    data = bundle.to_bytes()
    assert [position for position in range(len(data)) if not refused(data[:position] + data[position + 1 :], signer.public)] == []


def test_an_inserted_byte_is_refused_or_changes_nothing_that_is_signed(bundle, signer, statement):
    data = bundle.to_bytes()
    keyid = data.index(b'"keyid":"') + len(b'"keyid":"')
    draw = random.Random(7)
    for position in range(len(data) + 1):
        for byte in {*b' "0a,{\x00\xff', draw.randrange(256)}:
            changed = data[:position] + bytes([byte]) + data[position:]
            if refused(changed, signer.public):
                continue
            # White space between tokens, or a key id: unsigned, and unused by DSSE.
            assert byte in b" \t\n\r" or position == keyid
            assert Bundle.from_bytes(changed) == bundle


def sign_twice(document):
    document["dsseEnvelope"]["signatures"] *= 2


def sign_never(document):
    document["dsseEnvelope"]["signatures"] = []


def put(value, *path):
    def change(document):
        *parents, last = path
        for part in parents:
            document = document[part]
        document[last] = value

    return change


def drop(*path):
    def change(document):
        *parents, last = path
        for part in parents:
            document = document[part]
        del document[last]

    return change


ENVELOPE, MATERIAL = "dsseEnvelope", "verificationMaterial"
FAULTS = {
    "two signatures": (sign_twice, "'signatures': exactly one signature was expected, not 2"),
    "no signature": (sign_never, "'signatures': exactly one signature was expected, not 0"),
    "signatures no list": (put({}, ENVELOPE, "signatures"), "'signatures': an array was expected"),
    "signature no object": (put(["x"], ENVELOPE, "signatures"), "'signatures', entry 0: an object was expected"),
    "unknown signature field": (put(1, ENVELOPE, "signatures", 0, "extra"), "entry 0: unknown field 'extra'"),
    "keyid no string": (put(1, ENVELOPE, "signatures", 0, "keyid"), "'keyid': a string was expected"),
    "unknown top field": (put(1, "extra"), "bundle: unknown field 'extra'"),
    "message signature beside": (put({}, "messageSignature"), "unknown field 'messageSignature'"),
    "unknown envelope field": (put(1, ENVELOPE, "extra"), "'dsseEnvelope': unknown field 'extra'"),
    "unknown material field": (put(1, MATERIAL, "extra"), "'verificationMaterial': unknown field 'extra'"),
    "unknown key field": (put(1, MATERIAL, "publicKey", "extra"), "'publicKey': unknown field 'extra'"),
    "media type of v0.2": (put("application/vnd.dev.sigstore.bundle+json;version=0.2", "mediaType"), "'mediaType': 'application/vnd.dev"),
    "media type missing": (drop("mediaType"), "field 'mediaType' is missing"),
    "envelope missing": (drop(ENVELOPE), "field 'dsseEnvelope' is missing"),
    "material missing": (drop(MATERIAL), "field 'verificationMaterial' is missing"),
    "payload missing": (drop(ENVELOPE, "payload"), "field 'payload' is missing"),
    "sig missing": (drop(ENVELOPE, "signatures", 0, "sig"), "field 'sig' is missing"),
    "payload type not ascii": (put("té", ENVELOPE, "payloadType"), "'payloadType': an ASCII media type was expected"),
    "base64 with unused bits": (put("QR==", ENVELOPE, "payload"), "'payload': base64 that an encoder would write differently"),
    "base64 with line break": (put("QUJD\nQUJD", ENVELOPE, "payload"), "'payload': not valid base64"),
    "base64 without padding": (put("QQ", ENVELOPE, "payload"), "'payload': not valid base64"),
    "base64 of the web": (put("-_-_", ENVELOPE, "signatures", 0, "sig"), "'sig': not valid base64"),
    "log entries beside a key": (put([{}], MATERIAL, "tlogEntries"), "'tlogEntries': none was expected beside a key or a certificate chain"),
    "timestamp without its bytes": (
        put({"rfc3161Timestamps": [{}]}, MATERIAL, "timestampVerificationData"),
        "'rfc3161Timestamps', entry 0: field 'signedTimestamp' is missing",
    ),
    "key and chain": (put({}, MATERIAL, "x509CertificateChain"), "exactly one of publicKey, x509CertificateChain, certificate was expected, not 2"),
    "key and certificate": (put({}, MATERIAL, "certificate"), "exactly one of publicKey, x509CertificateChain, certificate was expected, not 2"),
    "no material": (drop(MATERIAL, "publicKey"), "exactly one of publicKey, x509CertificateChain, certificate was expected, not 0"),
    "hint and key": (put("QUJD", MATERIAL, "publicKey", "rawBytes"), "'publicKey': unknown field 'rawBytes'"),
    "hint no string": (put(None, MATERIAL, "publicKey", "hint"), "'hint': a string was expected, not null"),
    "key without details": (put({"rawBytes": "QUJD"}, MATERIAL, "publicKey"), "field 'keyDetails' is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refuses(fault, bundle):
    change, where = FAULTS[fault]
    with pytest.raises(FormatError) as caught:
        Bundle.from_bytes(edited(bundle, change))
    assert where in str(caught.value)


HARMLESS = {
    "as it is": lambda document: None,
    "no log entries": drop(MATERIAL, "tlogEntries"),
    "no keyid": drop(ENVELOPE, "signatures", 0, "keyid"),
    "null keyid": put(None, ENVELOPE, "signatures", 0, "keyid"),
    "some keyid": put("release", ENVELOPE, "signatures", 0, "keyid"),
    "no timestamps": put({}, MATERIAL, "timestampVerificationData"),
    "empty timestamps": put({"rfc3161Timestamps": []}, MATERIAL, "timestampVerificationData"),
}


@pytest.mark.parametrize("form", HARMLESS)
def test_accepts_every_form_of_a_key_bundle_that_releases_have_written(form, bundle, signer, statement):
    data = edited(bundle, HARMLESS[form])
    assert Bundle.from_bytes(data) == bundle
    assert opened(data, signer.public)[0] == statement


def test_refuses_a_repeated_key(bundle):
    data = bundle.to_bytes()
    repeated = data[:-1] + b',"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}'
    with pytest.raises(FormatError, match="'mediaType' stands twice"):
        Bundle.from_bytes(repeated)


def test_refuses_a_bundle_larger_than_the_limit():
    with pytest.raises(LimitError, match=f"more than the limit of {MAX_BUNDLE}"):
        Bundle.from_bytes(bytes(MAX_BUNDLE + 1))


def test_refuses_an_oversized_file_before_parsing_it(tmp_path):
    with (tmp_path / "model.sig").open("wb") as file:
        file.truncate(MAX_BUNDLE + 1)
    with pytest.raises(LimitError, match=r"model\.sig: .* more than the limit"):
        Bundle.load(tmp_path / "model.sig")


def test_a_bundle_that_holds_its_key_is_written_with_its_hint_and_still_verifies(bundle, signer, statement):
    whole = {"rawBytes": base64.b64encode(signer.public.pem).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    read = Bundle.from_bytes(edited(bundle, put({"publicKey": whole}, MATERIAL)))
    assert read.material == KeyMaterial(key=signer.public.pem)
    again = Bundle.from_bytes(read.to_bytes())
    assert again.material == KeyMaterial(hint=hashlib.sha256(signer.public.pem).hexdigest())
    for form in (read, again):
        assert open_statement(form, policy=signer.public, purpose=Purpose.MODEL)[0] == statement


def test_reprs_hold_no_payload(bundle):
    marked = attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, payload=b"private words"))
    assert "private words" not in repr(marked)


def test_a_bundle_of_many_values_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr("lifeseal._io._strict._DECODER", None)
    with pytest.raises(LimitError, match="values, more than the limit"):
        Bundle.from_bytes(b'{"x":[' + b"[]," * 20_000 + b"1]}")


def test_a_bundle_is_never_written_over_anything_but_a_bundle(bundle, tmp_path):
    place = tmp_path / "x.sig"
    bundle.write(place)
    bundle.write(place)
    assert Bundle.load(place) == bundle
    place.write_bytes(b'{"precious": 1}')
    with pytest.raises(FileExistsError, match="is no signature"):
        bundle.write(place)
    assert place.read_bytes() == b'{"precious": 1}'


def long_bundle(signer, statement):
    """A bundle whose payload is long enough to be taken out before the JSON is parsed."""
    return open_signed(signer, attrs.evolve(statement, predicate={"notes": "x" * 100_000}))


def open_signed(signer, statement):
    return signer.sign("application/vnd.in-toto+json", statement.to_bytes())


def test_a_long_payload_reads_and_is_written_as_a_short_one(signer, statement):
    bundle = long_bundle(signer, statement)
    data = bundle.to_bytes()
    assert Bundle.from_bytes(data) == Bundle.from_bytes(json.dumps(json.loads(data), indent=1).encode()) == bundle
    assert opened(data, signer.public)[0].predicate == {"notes": "x" * 100_000}


LONG = {
    "a changed character": lambda data: data.replace(b"eHh4", b"eHh5", 1),
    "unused bits": lambda data: data.replace(b'=","payloadType', b'","payloadType', 1),
    "an escape": lambda data: data.replace(b"eHh4", b"\\u0065Hh5", 1),
    "a line break": lambda data: data.replace(b"eHh4", b"eHh4\\n", 1),
    "a second payload": lambda data: data.replace(b'"payload":"', b'"payload":"QUJD","payload":"', 1),
    "its end cut off": lambda data: data[:-1],
    "a comma too many": lambda data: data[:-1] + b"x}",
}


@pytest.mark.parametrize("what", LONG)
def test_a_long_payload_is_refused_with(what, signer, statement):
    data = long_bundle(signer, statement).to_bytes()
    changed = LONG[what](data)
    assert changed != data
    assert not refused(data, signer.public)
    assert refused(changed, signer.public)


def test_a_long_text_elsewhere_is_read_where_it_stands(bundle):
    long = base64.b64encode(b"t" * 60_000).decode()
    data = edited(bundle, put({"rfc3161Timestamps": [{"signedTimestamp": long}]}, MATERIAL, "timestampVerificationData"))
    assert Bundle.from_bytes(data) == attrs.evolve(bundle, timestamps=(b"t" * 60_000,))


def test_errors_beside_a_long_payload_name_their_true_place(signer, statement):
    data = long_bundle(signer, statement).to_bytes()
    with pytest.raises(FormatError, match=f"bundle, line 1 column {len(data)}:"):
        Bundle.from_bytes(data[:-1] + b"x}")


def test_a_payload_that_says_it_was_taken_out_is_none(signer, statement):
    data = long_bundle(signer, statement).to_bytes()
    document = json.loads(data)
    payload = document["dsseEnvelope"]["payload"]
    document["dsseEnvelope"]["signatures"][0]["keyid"] = payload
    for text in ("(taken out)", "\\u0028taken out)"):
        document["dsseEnvelope"]["payload"] = "MARK"
        with pytest.raises((FormatError, LimitError)):
            Bundle.from_bytes(json.dumps(document).replace("MARK", text).encode())


@pytest.mark.parametrize("details", ["PKIX_ECDSA_P256_SHA_257", "", "PKIX_RSA_PKCS1V15_2048_SHA256"])
def test_the_whole_key_of_older_bundles_says_what_it_is(bundle, signer, details):
    whole = {"rawBytes": base64.b64encode(signer.public.pem).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    assert Bundle.from_bytes(edited(bundle, put({"publicKey": whole}, MATERIAL)))
    with pytest.raises(FormatError, match="'keyDetails': one of PKIX_ECDSA_P256_SHA_256"):
        Bundle.from_bytes(edited(bundle, put({"publicKey": whole | {"keyDetails": details}}, MATERIAL)))


def test_no_bit_of_an_older_bundle_can_be_flipped(bundle, signer, statement):
    whole = {"rawBytes": base64.b64encode(signer.public.pem).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    data = edited(bundle, put({"publicKey": whole}, MATERIAL))
    assert opened(data, signer.public)[0] == statement
    accepted = []
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            if not refused(bytes(changed), signer.public):
                accepted.append(bytes(changed[position - 12 : position + 12]))
    assert [place for place in accepted if b'": ' not in place and b', "' not in place] == []  # white space between tokens
