# SPDX-License-Identifier: Apache-2.0
"""Withdrawal lists: their form, their numbers, their end, and whose signatures they stop from counting."""

import contextlib
import datetime as dt
import hashlib
import json
import multiprocessing
import os

import asn1crypto.x509
import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests.support.authority import AUTHORITY, root

from lifeseal.attestation import (
    Bundle,
    CertificateSigner,
    KeyMaterial,
    KeySigner,
    PolicyFile,
    Purpose,
    SignerInfo,
    Statement,
    Subject,
    TrustedCertificates,
    Waiver,
    Withdrawals,
    WithdrawnArtefact,
    WithdrawnSigner,
    all_of,
    any_of,
    open_statement,
    sign_statement,
    threshold,
)
from lifeseal.errors import FormatError, LimitError, PolicyError, RolledBackError, SignatureError, UntrustedError, WithdrawnError

ALICE, BOB, CAROL, LISTER = (KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(4))
A, B, C = (signer.public for signer in (ALICE, BOB, CAROL))
TOP = root()
MIDDLE = TOP.issue("middle", extensions=AUTHORITY)
LEAF = MIDDLE.issue("builder")
DERS = [issued.certificate.public_bytes(Encoding.DER) for issued in (LEAF, MIDDLE, TOP)]
PARTS = [hashlib.sha256(issued.certificate.tbs_certificate_bytes).hexdigest() for issued in (LEAF, MIDDLE, TOP)]
BUILDER = CertificateSigner(KeySigner(LEAF.key), tuple(DERS[:2]))
ROOTS = TrustedCertificates((DERS[2],))

NOW = dt.datetime.now(dt.UTC)
YEAR, SECOND = dt.timedelta(days=365), dt.timedelta(seconds=1)
DIGEST, OTHER = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
LIST = Withdrawals(
    name="acme",
    number=7,
    issued=NOW - SECOND,
    expires=NOW + YEAR,
    artefacts=[WithdrawnArtefact(digest=DIGEST, reason="a backdoor was found")],
    signers=[WithdrawnSigner(kind="key", fingerprint=A.fingerprint, since=NOW - YEAR, reason="the laptop was stolen")],
)
EMPTY = attrs.evolve(LIST, artefacts=(), signers=())
MODEL = Statement(subjects=(Subject(name="m", sha256=b"\xab" * 32),), predicate_type=Purpose.MODEL.predicate_type, predicate={})
BY_A, BY_B, BY_C, BY_BUILDER = (sign_statement(MODEL, signer=signer) for signer in (ALICE, BOB, CAROL, BUILDER))


def waiver(*digests, allows=("withdrawn",), expires=NOW + YEAR):
    return Waiver(covers=digests or [DIGEST], allows=allows, reason="r", owner="o", expires=expires, risk="k")


def check(policy, *bundles, withdrawals=LIST, **how):
    return open_statement(bundles, policy=policy, purpose=Purpose.MODEL, where="m.sig", withdrawals=withdrawals, **how)[1]


@pytest.fixture
def place(tmp_path):
    LIST.sign(LISTER).write(tmp_path / "list")
    return tmp_path / "list"


def load(place, seen=None, policy=LISTER.public):
    return Withdrawals.load(place, policy=policy, seen=seen)


def signed(place, document, *, signer=LISTER, purpose="lifeseal:withdrawals/1", name=None, sha256=None):
    """Sign any document as a list; a right one if nothing is changed."""
    from lifeseal._io import canonical

    subject = Subject(name=document.get("list", "x") if name is None else name, sha256=sha256 or hashlib.sha256(canonical(document)).digest())
    sign_statement(Statement(subjects=(subject,), predicate_type=purpose, predicate=document), signer=signer).write(place)
    return place


# The list itself


def test_a_list_comes_back_as_it_was_signed(place):
    found = load(place)
    assert found == LIST
    assert found.signer.fingerprint == LISTER.public.fingerprint
    assert Withdrawals.from_bytes(LIST.to_bytes()) == LIST


def test_order_and_zone_do_not_change_the_file(place):
    east = dt.timezone(dt.timedelta(hours=14))
    signers = [
        WithdrawnSigner(kind=kind, fingerprint=mark * 64, since=NOW.astimezone(east), reason="r") for kind in ("key", "certificate") for mark in "ab"
    ]
    one = attrs.evolve(LIST, signers=signers, issued=LIST.issued.astimezone(east))
    other = attrs.evolve(LIST, signers=[attrs.evolve(entry, since=NOW) for entry in reversed(signers)])
    assert one.to_bytes() == other.to_bytes()


GOLDEN = (
    b'{"artefacts":[{"digest":"sha256:abababababababababababababababababababababababababababababababab","reason":"a backdoor"}],'
    b'"expires":"2031-01-01T00:00:00Z","issued":"2030-01-01T00:00:00Z","list":"acme","number":7,"schema":"lifeseal.withdrawals/1",'
    b'"signers":[{"fingerprint":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","kind":"certificate","reason":"stolen",'
    b'"since":"0001-01-01T00:00:00Z"}]}'
)


def test_a_file_of_version_1_stays_readable():
    found = Withdrawals.from_bytes(GOLDEN)
    assert (found.name, found.number, found.signers[0].kind) == ("acme", 7, "certificate")
    assert found.to_bytes() == GOLDEN


def changed(**fields):
    document = json.loads(LIST.to_bytes())
    document.update(fields)
    return {name: value for name, value in document.items() if value is not None}


ENTRY, SIGNER = json.loads(LIST.to_bytes())["artefacts"][0], json.loads(LIST.to_bytes())["signers"][0]
FAULTY = {
    "schema of another version": ({"schema": "lifeseal.withdrawals/2"}, "'schema'"),
    "no schema": ({"schema": None}, "field 'schema' is missing"),
    "no name": ({"list": None}, "field 'list' is missing"),
    "a blank name": ({"list": " "}, "name= must say something"),
    "no number": ({"number": None}, "field 'number' is missing"),
    "number 0": ({"number": 0}, "'number': an integer from 1"),
    "a number as text": ({"number": "7"}, "'number': an integer was expected"),
    "number true": ({"number": True}, "'number': an integer was expected"),
    "no issue time": ({"issued": None}, "field 'issued' is missing"),
    "no end": ({"expires": None}, "field 'expires' is missing"),
    "an end before the issue": ({"expires": "2001-01-01T00:00:00Z"}, "of which the end is the later"),
    "a time with an offset": ({"expires": "2999-01-01T00:00:00+00:00"}, "'expires': a time as"),
    "a time without a zone": ({"expires": "2999-01-01T00:00:00"}, "'expires': a time as"),
    "an unknown field": ({"x": 1}, "unknown field 'x'"),
    "no artefacts": ({"artefacts": None}, "field 'artefacts' is missing"),
    "artefacts that are none": ({"artefacts": {}}, "'artefacts': an array was expected"),
    "an artefact that is a text": ({"artefacts": [DIGEST]}, "'artefacts', entry 0: an object was expected"),
    "an artefact twice": ({"artefacts": [ENTRY, ENTRY | {"reason": "other"}]}, f"{DIGEST} stands twice"),
    "a digest with capitals": ({"artefacts": [ENTRY | {"digest": DIGEST.replace("ab", "AB")}]}, "entry 0: a digest is written"),
    "an artefact without a reason": ({"artefacts": [ENTRY | {"reason": ""}]}, "entry 0: reason= must say something"),
    "an artefact with a time": ({"artefacts": [ENTRY | {"since": "2001-01-01T00:00:00Z"}]}, "entry 0: unknown field 'since'"),
    "no signers": ({"signers": None}, "field 'signers' is missing"),
    "a signer twice": ({"signers": [SIGNER, SIGNER | {"since": "2001-01-01T00:00:00Z"}]}, f"key {A.fingerprint} stands twice"),
    "a signer of another kind": ({"signers": [SIGNER | {"kind": "person"}]}, "entry 0, 'kind': one of key, certificate, identity was expected"),
    "a signer whose kind is a list": ({"signers": [SIGNER | {"kind": []}]}, "entry 0, 'kind': one of key, certificate, identity was expected"),
    "a signer without a time": ({"signers": [{k: v for k, v in SIGNER.items() if k != "since"}]}, "entry 0: field 'since' is missing"),
    "a short fingerprint": ({"signers": [SIGNER | {"fingerprint": "ab"}]}, "entry 0, 'fingerprint': 64 lower-case"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_refuses_a_list_that_is_signed_and_not_of_the_form(fault, tmp_path):
    fields, said = FAULTY[fault]
    assert load(signed(tmp_path / "list", changed())) == LIST
    with pytest.raises(FormatError) as caught:
        load(signed(tmp_path / "bad", changed(**fields)))
    assert said in str(caught.value)


def test_refuses_a_list_whose_subject_is_of_another(tmp_path):
    for how in ({"name": "other"}, {"sha256": bytes(32)}):
        with pytest.raises(FormatError, match=r"list, payload, 'subject': "):
            load(signed(tmp_path / "list", changed(), **how))


def test_refuses_a_list_with_a_second_subject(place):
    statement = Statement.from_bytes(Bundle.load(place).envelope.payload, where="payload")
    assert load(place) == LIST
    sign_statement(attrs.evolve(statement, subjects=statement.subjects * 2), signer=LISTER).write(place)
    with pytest.raises(FormatError, match="one subject with the digest of the predicate was expected"):
        load(place)


def test_refuses_a_list_signed_for_another_use_or_by_another(place, tmp_path):
    with pytest.raises(PolicyError, match="signed for another use: predicate type 'lifeseal:waiver/1', where a withdrawal list needs"):
        load(signed(tmp_path / "bad", changed(), purpose="lifeseal:waiver/1"))
    with pytest.raises(PolicyError, match="another signer's"):
        load(place, policy=A)
    bundle = Bundle.load(place)
    payload = bundle.envelope.payload.replace(b"stolen", b"broken")
    attrs.evolve(bundle, envelope=attrs.evolve(bundle.envelope, payload=payload)).write(place)
    with pytest.raises(SignatureError):
        load(place)


def test_refuses_an_unsigned_list(tmp_path):
    LIST.write(tmp_path / "draft")
    with pytest.raises(PolicyError, match="draft: this withdrawal list is unsigned, and a policy is to say whose signature counts"):
        load(tmp_path / "draft")
    with pytest.raises(FileExistsError):
        EMPTY.write(tmp_path / "draft")


def test_bounds(tmp_path, monkeypatch):
    (tmp_path / "big").write_bytes(b" " * ((32 << 20) + 1))
    with pytest.raises(LimitError, match="more than the limit of 33554432"):
        load(tmp_path / "big")
    many = [WithdrawnArtefact(digest=f"sha256:{i:064x}", reason="r" * 4096) for i in range(4200)]
    with pytest.raises(LimitError, match=r"withdrawal list 'acme': .* more than the limit of 16777216"):
        attrs.evolve(LIST, artefacts=many).sign(LISTER)
    attrs.evolve(LIST, artefacts=many[:4000]).sign(LISTER).write(tmp_path / "list")
    assert len(load(tmp_path / "list").artefacts) == 4000


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 257},
        {"number": 0},
        {"issued": NOW.replace(tzinfo=None)},
        {"expires": LIST.issued},
        {"expires": dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(-dt.timedelta(hours=2)))},
        {"artefacts": LIST.artefacts * 2},
    ],
)
def test_a_list_without_substance_cannot_be_made(fields):
    with pytest.raises(ValueError, match=r"must say something|a list has a number|stands twice|within the calendar"):
        attrs.evolve(LIST, **fields)


@pytest.mark.parametrize(
    "fields",
    [{"kind": "person"}, {"fingerprint": "AB" * 32}, {"fingerprint": "ab" * 32 + "\n"}, {"since": NOW.replace(tzinfo=None)}, {"reason": " "}],
)
def test_an_entry_without_substance_cannot_be_made(fields):
    with pytest.raises(ValueError, match=r"must say something|a withdrawn signer|needs a time zone"):
        attrs.evolve(LIST.signers[0], **fields)


# Time


def test_a_list_ends(tmp_path):
    ended = attrs.evolve(LIST, issued=NOW - YEAR, expires=NOW - SECOND)
    ended.sign(LISTER).write(tmp_path / "list")
    with pytest.raises(PolicyError, match=r"withdrawal list 'acme', number 7, expired at .*; get the newest"):
        load(tmp_path / "list")
    for now, good in ((LIST.expires - SECOND, True), (LIST.expires, False)):
        if good:
            LIST.refuse_expired(now=now)
        else:
            with pytest.raises(PolicyError, match="expired at"):
                LIST.refuse_expired(now=now)


def test_a_list_that_ends_while_it_is_held_is_refused_when_it_is_used():
    ended = attrs.evolve(EMPTY, issued=NOW - YEAR, expires=NOW - SECOND)
    assert check(B, BY_B, withdrawals=EMPTY)
    for how in ({}, {"waiver": waiver()}):
        with pytest.raises(PolicyError, match="expired at"):
            check(B, BY_B, withdrawals=ended, **how)
        with pytest.raises(PolicyError, match="expired at"):
            ended.check_artefact(OTHER, **how)


def test_a_list_from_the_future_is_refused(tmp_path):
    attrs.evolve(LIST, issued=NOW + YEAR / 2).sign(LISTER).write(tmp_path / "list")
    with pytest.raises(PolicyError, match="which is still to come"):
        load(tmp_path / "list")


# Numbers


@pytest.fixture
def seen(tmp_path):
    (tmp_path / "seen").mkdir()
    return tmp_path / "seen"


def publish(folder, number, *, name="acme", signer=LISTER, **fields):
    place = folder / f"{name}-{number}"
    attrs.evolve(LIST, number=number, name=name, **fields).sign(signer).write(place)
    return place


def test_an_older_list_is_refused_once_a_newer_one_was_seen(tmp_path, seen):
    old, new, newer = (publish(tmp_path, number) for number in (7, 8, 10))
    assert load(old, seen).number == 7
    assert load(old, seen).number == 7
    assert load(new, seen).number == 8
    with pytest.raises(RolledBackError, match="acme-7: number 7 of list 'acme', and number 8 has been seen"):
        load(old, seen)
    assert load(newer, seen).number == 10
    for place in (old, new):
        with pytest.raises(RolledBackError):
            load(place, seen)
    assert load(old).number == 7  # nobody remembers


def test_another_list_of_the_same_number_is_refused_and_the_same_signed_anew_is_not(tmp_path, seen):
    load(publish(tmp_path, 7), seen)
    load(publish(tmp_path, 7), seen)
    with pytest.raises(RolledBackError, match="another list 'acme' of the same number 7"):
        load(publish(tmp_path, 7, artefacts=()), seen)


def test_each_list_has_numbers_of_its_own_whoever_signs(tmp_path, seen):
    load(publish(tmp_path, 9), seen)
    assert load(publish(tmp_path, 1, name="../acme"), seen).number == 1
    assert load(publish(tmp_path, 1, name="ACME"), seen).number == 1
    with pytest.raises(RolledBackError):
        load(publish(tmp_path, 8, signer=ALICE), seen, policy=A)


def test_what_was_refused_is_not_remembered(tmp_path, seen):
    load(publish(tmp_path, 7), seen)
    ended = publish(tmp_path, 99, issued=NOW - YEAR, expires=NOW - SECOND)
    for place, policy in ((ended, LISTER.public), (publish(tmp_path, 98, signer=ALICE), LISTER.public)):
        with pytest.raises(PolicyError):
            load(place, seen, policy=policy)
    assert load(publish(tmp_path, 8), seen).number == 8


def test_a_memory_that_knows_the_list_is_not_written_to(tmp_path, seen):
    place = publish(tmp_path, 7)
    load(place, seen)
    before = {path: path.stat().st_mtime_ns for path in seen.iterdir()}
    load(place, seen)
    assert {path: path.stat().st_mtime_ns for path in seen.iterdir()} == before


def test_a_folder_that_is_not_there_is_an_error_not_a_fresh_start(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(publish(tmp_path, 7), tmp_path / "nowhere")


def test_a_link_to_a_folder_is_followed_and_one_to_nothing_is_not(tmp_path, seen):
    (tmp_path / "link").symlink_to(seen)
    load(publish(tmp_path, 8), tmp_path / "link")
    with pytest.raises(RolledBackError):
        load(publish(tmp_path, 7), seen)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        load(publish(tmp_path, 9), tmp_path / "dangling")
    with pytest.raises(NotADirectoryError):
        load(publish(tmp_path, 9), publish(tmp_path, 9))


def memory(seen):
    (place,) = seen.glob("*.json")
    return place


def test_a_damaged_memory_is_an_error_not_a_fresh_start(tmp_path, seen):
    place = publish(tmp_path, 7)
    load(place, seen)
    good = memory(seen).read_bytes()
    for bad in (b"", good[:-1], good.replace(b"acme", b"acmf"), good.replace(b"seen/1", b"seen/2"), good.replace(b":7,", b":0,"), b"[]"):
        memory(seen).write_bytes(bad)
        with pytest.raises(FormatError, match=r"seen/withdrawals-[0-9a-f]{64}\.json"):
            load(place, seen)
    memory(seen).write_bytes(good)
    assert load(place, seen)


def link_to(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, link_to("/dev/null"), link_to("nowhere")])
def test_a_memory_that_is_no_file_is_an_error(tmp_path, seen, make):
    place = publish(tmp_path, 7)
    load(place, seen)
    name = memory(seen)
    name.unlink()
    make(name)
    with pytest.raises((FormatError, OSError)):
        load(place, seen)


def test_a_link_in_place_of_the_lock_is_refused(tmp_path, seen):
    load(publish(tmp_path, 7), seen)
    (lock,) = seen.glob("*.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "victim")
    with pytest.raises(FormatError, match="a regular file was expected"):
        load(publish(tmp_path, 8), seen)
    assert not (tmp_path / "victim").exists()


def _load_all(places, seen):
    for place in places:
        with contextlib.suppress(RolledBackError):
            load(place, seen)


def test_of_many_readers_at_once_none_takes_the_number_back(tmp_path, seen):
    places = [publish(tmp_path, number) for number in range(1, 31)]
    fork = multiprocessing.get_context("fork")
    readers = [fork.Process(target=_load_all, args=(places[start::3], seen)) for start in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert [reader.exitcode for reader in readers] == [0, 0, 0]
    assert json.loads(memory(seen).read_bytes())["number"] == 30


# Whose signatures count no more


def withdrawing(kind, fingerprint, since=NOW - YEAR):
    return attrs.evolve(LIST, artefacts=(), signers=[WithdrawnSigner(kind=kind, fingerprint=fingerprint, since=since, reason="it was stolen")])


def test_a_withdrawn_key_counts_no_more():
    assert check(A, BY_A, withdrawals=EMPTY)
    assert check(B, BY_B).withdrawn == ""
    with pytest.raises(
        WithdrawnError, match=rf"^m\.sig: key {A.fingerprint[:12]} was withdrawn from .* on, and it has no trusted timestamp of before: the laptop"
    ):
        check(A, BY_A)


@pytest.mark.parametrize("which", range(3))
def test_a_withdrawn_certificate_counts_no_more_nor_what_is_below_it(which):
    assert check(ROOTS, BY_BUILDER)
    with pytest.raises(WithdrawnError, match=r"certificate [0-9a-f]{12} was withdrawn"):
        check(ROOTS, BY_BUILDER, withdrawals=withdrawing("certificate", PARTS[which]))


def second_form(issued):
    """The same certificate, its issuer's signature (r, s) written as (r, n - s), which is as good."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = decode_dss_signature(issued.certificate.signature)
    found = asn1crypto.x509.Certificate.load(issued.certificate.public_bytes(Encoding.DER))
    found["signature_value"] = encode_dss_signature(r, order - s)
    return found.dump(force=True)


def test_a_certificate_in_its_second_form_is_withdrawn_too():
    other = second_form(LEAF)
    assert other != DERS[0]
    bundle = attrs.evolve(BY_BUILDER, material=attrs.evolve(BY_BUILDER.material, certificates=(other, DERS[1])))
    assert check(ROOTS, bundle, withdrawals=EMPTY).fingerprint == hashlib.sha256(other).hexdigest()
    with pytest.raises(WithdrawnError, match="certificate"):
        check(ROOTS, bundle, withdrawals=withdrawing("certificate", PARTS[0]))


def test_entries_are_made_from_files(tmp_path):
    (tmp_path / "a.pub").write_bytes(A.pem)
    (tmp_path / "c.pem").write_bytes(LEAF.pem)
    (tmp_path / "chain.pem").write_bytes(LEAF.pem + MIDDLE.pem)
    key = WithdrawnSigner.of_key(tmp_path / "a.pub", since=NOW - YEAR, reason="r")
    certificate = WithdrawnSigner.of_certificate(tmp_path / "c.pem", since=NOW - YEAR, reason="r")
    assert [(entry.kind, entry.fingerprint) for entry in (key, certificate)] == [("key", A.fingerprint), ("certificate", PARTS[0])]
    with pytest.raises(FormatError, match="one certificate was expected, not 2"):
        WithdrawnSigner.of_certificate(tmp_path / "chain.pem", since=NOW, reason="r")
    with pytest.raises(FormatError, match="a public key in PEM form was expected"):
        WithdrawnSigner.of_key(tmp_path / "c.pem", since=NOW, reason="r")


def test_a_key_is_withdrawn_however_a_bundle_names_it():
    """Older bundles hold the key itself, or a hint over its DER form."""
    for material in (KeyMaterial(key=A.pem), KeyMaterial(hint=A.der_fingerprint)):
        bundle = attrs.evolve(BY_A, material=material)
        assert check(A, bundle, withdrawals=EMPTY)
        with pytest.raises(WithdrawnError):
            check(A, bundle)


def test_the_kind_of_a_fingerprint_matters():
    assert check(A, BY_A, withdrawals=withdrawing("certificate", A.fingerprint))
    with pytest.raises(WithdrawnError):
        check(ROOTS, BY_BUILDER, withdrawals=withdrawing("key", KeySigner(LEAF.key).public.fingerprint))


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=13)), dt.timezone(-dt.timedelta(hours=11, minutes=59))])
@pytest.mark.parametrize(
    ("time", "good"),
    [(None, False), (NOW - YEAR - SECOND, True), ((NOW - YEAR).replace(microsecond=0), False), (NOW - YEAR + SECOND, False), (NOW, False)],
)
def test_a_signature_of_before_stays_good_if_a_trusted_time_says_so(time, good, zone):
    signer = SignerInfo(kind="key", fingerprint=A.fingerprint, key=A.fingerprint, name="a", time=time and time.astimezone(zone))
    if good:
        LIST.check_signer(signer)
        return
    with pytest.raises(WithdrawnError, match="was withdrawn from"):
        LIST.check_signer(signer)


def test_a_withdrawal_to_come_refuses_nothing_yet():
    later = withdrawing("key", A.fingerprint, since=NOW + YEAR)
    assert check(A, BY_A, withdrawals=later)
    signer = SignerInfo(kind="key", fingerprint=A.fingerprint, key=A.fingerprint, name="a")
    later.check_signer(signer, now=NOW + YEAR - SECOND)
    with pytest.raises(WithdrawnError):
        later.check_signer(signer, now=NOW + YEAR)


ACCEPTED = {
    "any, another signed too": (any_of(A, B), (BY_A, BY_B)),
    "two of three, the third was withdrawn": (threshold(2, A, B, C), (BY_A, BY_B, BY_C)),
    "all of the others": (all_of(B, C), (BY_A, BY_B, BY_C)),
}
REFUSED = {
    "any, only that one signed": (any_of(A, B), (BY_A,)),
    "two of three, one was withdrawn": (threshold(2, A, B, C), (BY_A, BY_B)),
    "all, one was withdrawn": (all_of(A, B), (BY_A, BY_B)),
    "within another": (threshold(2, any_of(A, C), B), (BY_A, BY_B)),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_signatures_by_others_still_count(what):
    policy, bundles = ACCEPTED[what]
    assert A.fingerprint not in check(policy, *bundles).fingerprint


@pytest.mark.parametrize("what", REFUSED)
def test_says_that_the_withdrawal_is_why(what):
    policy, bundles = REFUSED[what]
    assert check(policy, *bundles, withdrawals=EMPTY)
    with pytest.raises(WithdrawnError, match=r"m.sig: .*was withdrawn"):
        check(policy, *bundles)
    assert "was withdrawn" in check(policy, *bundles, waiver=waiver()).withdrawn


def test_what_is_refused_without_the_list_is_refused_for_its_own_reason():
    with pytest.raises(PolicyError, match="another signer's"):
        check(B, BY_A, waiver=waiver())
    broken = attrs.evolve(BY_A, envelope=attrs.evolve(BY_A.envelope, signature=BY_B.envelope.signature))
    with pytest.raises(SignatureError):
        check(A, broken, waiver=waiver())


def test_a_policy_file_still_counts_the_others(tmp_path):
    for name, key in {"a": A, "b": B, "c": C}.items():
        (tmp_path / f"{name}.pub").write_bytes(key.pem)
    (tmp_path / "p.toml").write_text(
        'schema = "lifeseal.policy/1"\nsigners = {a.key = "a.pub", b.key = "b.pub", c.key = "c.pub"}\n[[trust]]\nsigners = ["a", "b", "c"]\n'
        'threshold = 2\npurposes = ["model"]\nsubjects = ["m"]\nfrom = 2000-01-01T00:00:00Z\nuntil = 2999-12-31T23:59:59Z\n'
    )
    policy = PolicyFile.load(tmp_path / "p.toml")
    assert A.fingerprint not in check(policy, BY_A, BY_B, BY_C).fingerprint
    assert check(policy, BY_A, BY_B, withdrawals=EMPTY)
    with pytest.raises(WithdrawnError, match="the laptop was stolen"):
        check(policy, BY_A, BY_B)


# Waivers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "the laptop was stolen"),
        (waiver(OTHER), f"does not cover {DIGEST}"),
        (waiver(allows=["unsigned", "needs-trust"]), "does not allow 'withdrawn'"),
        (waiver(expires=NOW - SECOND), "expired at"),
    ],
)
def test_only_a_waiver_for_this_fault_of_this_artefact_lets_it_pass(given, said):
    found = check(A, BY_A, waiver=waiver())
    assert found.withdrawn.startswith(f"key {A.fingerprint[:12]} was withdrawn")
    with pytest.raises(WithdrawnError, match="the laptop was stolen") as caught:
        check(A, BY_A, waiver=given)
    assert said in str(caught.value)
    assert LIST.check_artefact(DIGEST, waiver=waiver())
    assert not LIST.check_artefact(OTHER)
    with pytest.raises(WithdrawnError, match="a backdoor was found"):
        LIST.check_artefact(DIGEST, waiver=given)


def test_a_waiver_must_cover_every_subject():
    two = attrs.evolve(MODEL, subjects=(*MODEL.subjects, Subject(name="n", sha256=b"\xcd" * 32)))
    bundle = sign_statement(two, signer=ALICE)
    with pytest.raises(WithdrawnError, match=f"does not cover {OTHER}"):
        check(A, bundle, waiver=waiver())
    assert check(A, bundle, waiver=waiver(DIGEST, OTHER)).withdrawn


# Damage


SIGNED = LIST.sign(LISTER).to_bytes()


@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_no_changed_bit_changes_the_list(tmp_path_factory, bit):
    place = tmp_path_factory.getbasetemp() / "flipped"
    data = bytearray(SIGNED)
    data[bit // 8] ^= 1 << bit % 8
    place.write_bytes(data)
    try:
        found = load(place)
    except (FormatError, UntrustedError, LimitError):
        return
    assert found == LIST


def test_no_part_of_a_list_is_one(tmp_path):
    for cut in range(0, len(SIGNED), 11):
        (tmp_path / "cut").write_bytes(SIGNED[:cut])
        with pytest.raises((FormatError, LimitError)):
            load(tmp_path / "cut")
