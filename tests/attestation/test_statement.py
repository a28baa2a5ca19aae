# SPDX-License-Identifier: Apache-2.0
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal.attestation import Bundle, KeyMaterial, Purpose, Statement, Subject, open_statement, parse_digest, sign_statement
from lifeseal.attestation import _statement as module
from lifeseal.errors import FormatError, LimitError, PolicyError, SignatureError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
statements = st.builds(
    Statement,
    subjects=st.lists(st.builds(Subject, name=st.text(max_size=40), sha256=st.binary(min_size=32, max_size=32)), min_size=1, max_size=3).map(tuple),
    predicate_type=st.text(max_size=60),
    predicate=st.dictionaries(st.text(max_size=10), json_values, max_size=4),
)


@given(statements)
def test_a_written_statement_reads_as_itself(statement):
    data = statement.to_bytes()
    assert Statement.from_bytes(data, where="payload") == statement
    assert Statement.from_bytes(data, where="payload").to_bytes() == data


def changed(statement, **fields):
    document = json.loads(statement.to_bytes()) | fields
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


HEX = "ab" * 32
FAULTS = {
    "type of v0.1": ({"_type": "https://in-toto.io/Statement/v0.1"}, "'_type': 'https://in-toto.io/Statement/v1' was expected"),
    "no type": ({"_type": ...}, "field '_type' is missing"),
    "no subject": ({"subject": []}, "'subject': at least one subject was expected"),
    "subject no list": ({"subject": {}}, "'subject': an array was expected"),
    "subject unnamed": ({"subject": [{"digest": {"sha256": HEX}}]}, "'subject': field 'name' is missing"),
    "subject without digest": ({"subject": [{"name": "m", "digest": {}}]}, "field 'sha256' is missing"),
    "subject with other digest": ({"subject": [{"name": "m", "digest": {"sha256": HEX, "md5": "00"}}]}, "unknown field 'md5'"),
    "digest in capitals": ({"subject": [{"name": "m", "digest": {"sha256": HEX.upper()}}]}, "lower-case hexadecimal digits"),
    "digest too short": ({"subject": [{"name": "m", "digest": {"sha256": HEX[:-2]}}]}, "64 lower-case hexadecimal digits"),
    "subject field": ({"subject": [{"name": "m", "digest": {"sha256": HEX}, "uri": ""}]}, "unknown field 'uri'"),
    "predicate no object": ({"predicate": []}, "'predicate': an object was expected"),
    "no predicate": ({"predicate": ...}, "field 'predicate' is missing"),
    "unknown field": ({"extra": 1}, "unknown field 'extra'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refuses(fault, statement):
    fields, where = FAULTS[fault]
    assert Statement.from_bytes(changed(statement), where="payload") == statement
    with pytest.raises(FormatError) as caught:
        Statement.from_bytes(changed(statement, **fields), where="payload")
    assert where in str(caught.value)


def test_opens_a_statement_and_names_the_signer(bundle, signer, statement):
    found, info = open_statement(bundle, policy=signer.public, purpose=Purpose.MODEL)
    assert found == statement
    assert info.fingerprint == signer.public.fingerprint


@pytest.mark.parametrize("wanted", [purpose for purpose in Purpose if purpose is not Purpose.MODEL])
def test_a_statement_signed_for_another_use_is_refused(bundle, signer, statement, wanted):
    with pytest.raises(PolicyError, match=f"here: signed for another use: .* where a {wanted.label} needs '{wanted.predicate_type}'"):
        open_statement(bundle, policy=signer.public, purpose=wanted, where="here")
    fitting = sign_statement(attrs.evolve(statement, predicate_type=wanted.predicate_type), signer=signer)
    assert open_statement(fitting, policy=signer.public, purpose=wanted)


def test_a_payload_of_another_type_is_refused_before_its_signature(signer, stranger, statement):
    other = signer.sign("text/plain", statement.to_bytes())
    with pytest.raises(FormatError, match=r"here: payload type 'application/vnd\.in-toto\+json' was expected, not 'text/plain'"):
        open_statement(other, policy=stranger.public, purpose=Purpose.MODEL, where="here")


def test_a_payload_relabelled_after_signing_does_not_verify(signer, statement):
    other = signer.sign("text/plain", statement.to_bytes())
    relabelled = attrs.evolve(other, envelope=attrs.evolve(other.envelope, payload_type="application/vnd.in-toto+json"))
    with pytest.raises(SignatureError, match="does not verify"):
        open_statement(relabelled, policy=signer.public, purpose=Purpose.MODEL)


def test_a_strangers_signature_is_refused_whatever_it_claims(bundle, signer, stranger, statement):
    theirs = sign_statement(statement, signer=stranger)
    with pytest.raises(
        PolicyError, match=f"names signing key '{stranger.public.fingerprint[:12]}', and the policy trusts '{signer.public.fingerprint[:12]}'"
    ):
        open_statement(theirs, policy=signer.public, purpose=Purpose.MODEL)
    for claim in (signer.public.fingerprint, signer.public.der_fingerprint):
        posing = attrs.evolve(theirs, material=KeyMaterial(hint=claim))
        with pytest.raises(SignatureError, match=f"of this model does not verify under key {signer.public.fingerprint[:12]}"):
            open_statement(posing, policy=signer.public, purpose=Purpose.MODEL)
    posing = attrs.evolve(theirs, material=KeyMaterial(key=signer.public.pem))
    with pytest.raises(SignatureError, match="does not verify"):
        open_statement(posing, policy=signer.public, purpose=Purpose.MODEL)


@pytest.mark.parametrize("material", [KeyMaterial(hint="00" * 32), KeyMaterial(hint=""), KeyMaterial(key=b"x")])
def test_a_good_signature_under_another_name_is_refused(bundle, signer, material):
    with pytest.raises(PolicyError, match=r"another signer's"):
        signer.public.check((attrs.evolve(bundle, material=material),), purpose=Purpose.MODEL)


def test_the_whole_key_of_another_is_refused_and_ones_own_accepted(bundle, signer, stranger):
    own, other = (attrs.evolve(bundle, material=KeyMaterial(key=key.public.pem)) for key in (signer, stranger))
    assert signer.public.check((own,), purpose=Purpose.MODEL).fingerprint == signer.public.fingerprint
    with pytest.raises(PolicyError, match=f"names signing key '{stranger.public.fingerprint[:12]}'"):
        signer.public.check((other,), purpose=Purpose.MODEL)


@pytest.mark.parametrize("signature", [b"", b"\x00", b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\xff" * 72])
def test_a_signature_that_is_none_does_not_verify(bundle, signer, signature):
    broken = attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, signature=signature))
    with pytest.raises(SignatureError, match="does not verify"):
        signer.public.check((broken,), purpose=Purpose.MODEL)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b'{"_type":"https://in-toto.io/Statement/v1","_type":"x"}'])
def test_a_signed_payload_that_is_no_statement_is_a_format_error(signer, payload):
    with pytest.raises(FormatError, match="here, payload"):
        open_statement(signer.sign("application/vnd.in-toto+json", payload), policy=signer.public, purpose=Purpose.MODEL, where="here")


def test_a_statement_that_nobody_could_read_back_is_not_signed(signer, statement, monkeypatch):
    monkeypatch.setattr(module, "MAX_STATEMENT", len(statement.to_bytes()))
    assert isinstance(sign_statement(statement, signer=signer), Bundle)
    longer = attrs.evolve(statement, predicate={**statement.predicate, "more": 1})
    with pytest.raises(LimitError, match=r"statement: .* more than the limit"):
        sign_statement(longer, signer=signer)


def test_equal_statements_give_equal_payloads(statement, signer):
    shuffled = attrs.evolve(statement, predicate=dict(reversed(statement.predicate.items())))
    payloads = {sign_statement(each, signer=signer).envelope.payload for each in (statement, shuffled)}
    assert len(payloads) == 1


def test_digests_are_written_one_way():
    assert Subject(name="m", sha256=parse_digest("sha256:" + HEX)).digest == "sha256:" + HEX
    for text in (HEX, "SHA256:" + HEX, "sha256:" + HEX.upper(), "sha256:" + HEX[:-1], "sha512:" + HEX * 2, f"sha256:{HEX}\n", ""):
        with pytest.raises(ValueError, match="a digest is written sha256: and 64 lower-case"):
            parse_digest(text)
