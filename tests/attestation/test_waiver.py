# SPDX-License-Identifier: Apache-2.0
import datetime as dt
import hashlib
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal._io import canonical
from lifeseal.attestation import FAULTS, Purpose, Statement, Subject, Waiver, Withdrawals, parse_time, sign_statement
from lifeseal.errors import FormatError, LifesealError, LimitError, PolicyError

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
words = st.text(min_size=1, max_size=40).filter(str.strip)
waivers = st.builds(
    Waiver,
    covers=st.lists(st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}"), min_size=1, max_size=5),
    allows=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=5),
    reason=words,
    owner=words,
    expires=st.datetimes(dt.datetime(2000, 1, 2), dt.datetime(9999, 12, 30), timezones=zones),  # noqa: DTZ001 - the zone is drawn
    risk=words,
)


@pytest.fixture
def waiver():
    return Waiver(covers=[DIGEST], allows=["unsigned"], reason="vendor is late", owner="A. Person", expires=NOON, risk="R-1")


def changed(waiver, **fields):
    document = json.loads(waiver.to_bytes()) | fields
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


@given(waivers)
def test_a_written_waiver_reads_as_itself(waiver):
    data = waiver.to_bytes()
    assert Waiver.from_bytes(data) == waiver
    assert Waiver.from_bytes(data).to_bytes() == data


@given(st.binary(max_size=200))
def test_bytes_that_are_no_waiver_are_refused(data):
    with pytest.raises(LifesealError, match="waiver"):
        Waiver.from_bytes(data)


def test_a_file_round_trip_keeps_the_waiver(tmp_path, waiver):
    waiver.write(tmp_path / "waiver.json")
    assert Waiver.load(tmp_path / "waiver.json") == waiver
    with pytest.raises(FileExistsError):
        waiver.write(tmp_path / "waiver.json")
    attrs.evolve(waiver, owner="B. Person").write(tmp_path / "waiver.json", overwrite=True)
    assert Waiver.load(tmp_path / "waiver.json").owner == "B. Person"


def test_order_and_repetition_mean_nothing(waiver):
    one, two = (
        attrs.evolve(waiver, covers=covers, allows=allows)
        for covers, allows in (([OTHER, DIGEST, OTHER], ["withdrawn", "unsigned"]), ([DIGEST, OTHER], ["unsigned", "withdrawn", "unsigned"]))
    )
    assert one == two
    assert one.to_bytes() == two.to_bytes()


FAULTY = {
    "other schema": ({"schema": "lifeseal.waiver/2"}, "'schema': 'lifeseal.waiver/1' was expected"),
    "no schema": ({"schema": ...}, "field 'schema' is missing"),
    "unknown field": ({"note": "x"}, "unknown field 'note'"),
    "covers nothing": ({"covers": []}, "a waiver covers at least one digest"),
    "covers a pattern": ({"covers": ["*"]}, "a digest is written sha256:"),
    "covers capitals": ({"covers": [DIGEST.upper()]}, "a digest is written sha256:"),
    "covers a bare string": ({"covers": DIGEST}, "'covers': an array was expected"),
    "covers a number": ({"covers": [1]}, "'covers': an array of strings was expected"),
    "allows nothing": ({"allows": []}, "allows at least one of unsigned, needs-trust, unsafe, withdrawn"),
    "allows a bad signature": ({"allows": ["bad-signature"]}, "'allows': each of unsigned, needs-trust, unsafe, withdrawn at most once"),
    "allows unreadable": ({"allows": ["unreadable"]}, "'allows': each of unsigned, needs-trust, unsafe, withdrawn at most once"),
    "allows twice": ({"allows": ["unsigned", "unsigned"]}, "'allows': each of unsigned, needs-trust, unsafe, withdrawn at most once"),
    "no reason": ({"reason": " "}, "must say something"),
    "no owner": ({"owner": ""}, "must say something"),
    "no risk": ({"risk": ...}, "field 'risk' is missing"),
    "owner no string": ({"owner": None}, "'owner': a string was expected, not null"),
    "time with offset": ({"expires": "2030-01-01T12:00:00+00:00"}, "'expires': a time as 2026-12-31T23:59:59Z was expected"),
    "time without zone": ({"expires": "2030-01-01T12:00:00"}, "'expires': a time as"),
    "time with fraction": ({"expires": "2030-01-01T12:00:00.5Z"}, "'expires': a time as"),
    "time unpadded": ({"expires": "2030-1-1T12:00:00Z"}, "'expires': a time as"),
    "time that never is": ({"expires": "2030-02-30T12:00:00Z"}, "'expires': a time as"),
    "time as a number": ({"expires": 1893499200}, "'expires': a string was expected"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_refuses_a_file(fault, waiver):
    fields, where = FAULTY[fault]
    assert Waiver.from_bytes(changed(waiver), where="w.json") == waiver
    with pytest.raises(FormatError, match=r"w\.json") as caught:
        Waiver.from_bytes(changed(waiver, **fields), where="w.json")
    assert where in str(caught.value)


def test_refuses_a_repeated_field(waiver):
    with pytest.raises(FormatError, match="'owner' stands twice"):
        Waiver.from_bytes(waiver.to_bytes()[:-1] + b',"owner":"B. Person"}')


def test_refuses_texts_that_could_not_be_read_back(waiver):
    assert Waiver.from_bytes(attrs.evolve(waiver, reason="x" * 4096).to_bytes())
    with pytest.raises(ValueError, match="4096 characters at most"):
        attrs.evolve(waiver, reason="x" * 4097)
    with pytest.raises(LimitError, match="'reason': 4097 characters"):
        Waiver.from_bytes(changed(waiver, reason="x" * 4097))


def test_refuses_a_large_file(tmp_path):
    (tmp_path / "w.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(LimitError, match=r"w\.json: .* more than the limit of 1048576"):
        Waiver.load(tmp_path / "w.json")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"covers": []}, "covers at least one digest"),
        ({"covers": DIGEST}, "a digest is written"),
        ({"allows": []}, "allows at least one"),
        ({"allows": ["tampered"]}, "allows at least one of unsigned, needs-trust, unsafe, withdrawn"),
        ({"expires": NOON.replace(tzinfo=None)}, "expires= needs a time zone"),
        ({"owner": "  "}, "must say something"),
    ],
)
def test_a_waiver_without_substance_cannot_be_made(waiver, fields, where):
    with pytest.raises(ValueError, match=where):
        attrs.evolve(waiver, **fields)


def test_accepts_the_fault_of_what_it_covers_until_it_expires(waiver):
    waiver.check(DIGEST, "unsigned", now=NOON - SECOND)
    waiver.check(DIGEST, "unsigned")
    for now in (NOON, NOON + SECOND):
        with pytest.raises(PolicyError, match=r"the waiver of 'A\. Person' expired at 2030-01-01T12:00:00Z"):
            waiver.check(DIGEST, "unsigned", now=now)


def test_expiry_is_a_moment_in_any_zone(waiver):
    east = dt.timezone(dt.timedelta(hours=14))
    with pytest.raises(PolicyError, match="expired"):
        waiver.check(DIGEST, "unsigned", now=NOON.astimezone(east))
    waiver.check(DIGEST, "unsigned", now=(NOON - SECOND).astimezone(east))


def test_an_expired_waiver_is_refused_by_this_machines_clock(waiver):
    past = attrs.evolve(waiver, expires=dt.datetime.now(dt.UTC) - SECOND)
    with pytest.raises(PolicyError, match="expired at"):
        past.check(DIGEST, "unsigned")


def test_does_not_reach_beyond_its_digests_and_faults(waiver):
    waiver.check(DIGEST, "unsigned", now=NOON - SECOND)
    with pytest.raises(PolicyError, match=f"does not cover {OTHER}"):
        waiver.check(OTHER, "unsigned", now=NOON - SECOND)
    with pytest.raises(PolicyError, match="does not allow 'withdrawn', only unsigned"):
        waiver.check(DIGEST, "withdrawn", now=NOON - SECOND)


def test_a_time_without_a_zone_is_a_programming_error(waiver):
    with pytest.raises(TypeError, match="offset-naive"):
        waiver.check(DIGEST, "unsigned", now=NOON.replace(tzinfo=None))


def test_times_are_written_one_way():
    assert parse_time("2030-01-01T12:00:00Z", where="here") == NOON
    for text in ("2030-01-01T12:00:60Z", "2030-01-01t12:00:00z", " 2030-01-01T12:00:00Z", "\u0662\u066030-01-01T12:00:00Z", ""):
        with pytest.raises(FormatError, match="here: a time as"):
            parse_time(text, where="here")


GOLDEN = (
    b'{"allows":["needs-trust","unsigned"],"covers":["sha256:abababababababababababababababababababababababababababababababab"],'
    b'"expires":"2030-01-01T12:00:00Z","owner":"A. Person","reason":"vendor is late","risk":"R-1","schema":"lifeseal.waiver/1"}'
)


def test_a_file_of_version_1_stays_readable(waiver):
    wider = attrs.evolve(waiver, allows=["unsigned", "needs-trust"])
    assert Waiver.from_bytes(GOLDEN) == wider
    assert wider.to_bytes() == GOLDEN


# Signed


def signed(place, document, signer, *, name="A. Person", sha256=None, purpose=Purpose.WAIVER):
    subject = Subject(name=name, sha256=hashlib.sha256(canonical(document)).digest() if sha256 is None else sha256)
    sign_statement(Statement(subjects=(subject,), predicate_type=purpose.predicate_type, predicate=document), signer=signer).write(place)
    return place


def test_a_signed_waiver_comes_back_under_a_policy_that_trusts_its_signer(waiver, signer, stranger, tmp_path):
    waiver.sign(signer).write(tmp_path / "w.sig")
    assert Waiver.load(tmp_path / "w.sig", policy=signer.public) == waiver
    with pytest.raises(PolicyError, match="another signer's"):
        Waiver.load(tmp_path / "w.sig", policy=stranger.public)


def test_where_a_policy_is_given_an_unsigned_waiver_does_not_count_and_without_one_a_signed_does_not(waiver, signer, tmp_path):
    waiver.write(tmp_path / "w.json")
    waiver.sign(signer).write(tmp_path / "w.sig")
    assert Waiver.load(tmp_path / "w.json") == Waiver.load(tmp_path / "w.sig", policy=signer.public)
    with pytest.raises(PolicyError, match=r"w\.json: this waiver is unsigned"):
        Waiver.load(tmp_path / "w.json", policy=signer.public)
    with pytest.raises(PolicyError, match=r"w\.sig: this waiver is signed; a policy must say whose signature counts"):
        Waiver.load(tmp_path / "w.sig")


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"name": "B. Person"}, FormatError, "'subject': the owner 'A. Person' was expected, not 'B. Person'"),
        ({"sha256": bytes(32)}, FormatError, "'subject': one subject with the digest of the predicate was expected"),
        ({"purpose": Purpose.MODEL}, PolicyError, "signed for another use"),
        ({"purpose": Purpose.WITHDRAWAL_LIST}, PolicyError, "signed for another use"),
    ],
)
def test_refuses_a_signature_that_is_about_something_else(waiver, signer, tmp_path, how, error, said):
    document = json.loads(waiver.to_bytes())
    assert Waiver.load(signed(tmp_path / "w.sig", document, signer), policy=signer.public) == waiver
    with pytest.raises(error) as caught:
        Waiver.load(signed(tmp_path / "w.sig", document, signer, **how), policy=signer.public)
    assert said in str(caught.value)


@pytest.mark.parametrize("fault", FAULTY)
def test_refuses_a_signed_waiver_that_is_not_of_the_form(fault, waiver, signer, tmp_path):
    fields, where = FAULTY[fault]
    document = json.loads(changed(waiver, **fields))
    owner = document["owner"] if isinstance(document.get("owner"), str) else "A. Person"
    with pytest.raises(FormatError) as caught:
        Waiver.load(signed(tmp_path / "w.sig", document, signer, name=owner), policy=signer.public)
    assert where in str(caught.value)


def test_a_waiver_cannot_pass_for_a_list_nor_a_list_for_a_waiver(waiver, signer, tmp_path):
    waiver.sign(signer).write(tmp_path / "w.sig")
    with pytest.raises(PolicyError, match="signed for another use"):
        Withdrawals.load(tmp_path / "w.sig", policy=signer.public)
