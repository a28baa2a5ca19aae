# SPDX-License-Identifier: Apache-2.0
"""Release records: what they must say, what they rest on, until when they hold, and that they pin the model at load."""

import datetime as dt
import functools
import json

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import evidence, signing
from lifeseal.attestation import KeySigner, Purpose, Subject, Withdrawals, WithdrawnArtefact, WithdrawnSigner
from lifeseal.errors import FormatError, PolicyError, RolledBackError, WithdrawnError

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
YEAR = dt.timedelta(days=365)
LATER = NOW + dt.timedelta(days=1)


@pytest.fixture(scope="module")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def model(tmp_path_factory, signer):
    folder = tmp_path_factory.mktemp("release") / "m"
    folder.mkdir()
    (folder / "w").write_bytes(b"w")
    signing.sign(folder, signer=signer)
    return folder


@pytest.fixture(scope="module")
def record(model, signer):
    return evidence.Release(
        subject=signing.verify(model, policy=signer.public).subject,
        name="digits",
        version="1.2",
        number=3,
        intended_use="Reading handwritten digits on forms.",
        training_data=["UCI optdigits"],
        limitations=["Not for cheques."],
        failure_modes=["1 and 7 in some hands"],
        guardrails=["a human sees everything below 0.9"],
        retention="Two years, then erased.",
        maintenance="Reviewed each quarter by the forms team.",
        open_risks=["R-7"],
        datasets=[Subject(name="digits.json", sha256=b"d" * 32)],
        log_head="ab" * 32,
        released=NOW,
        next_review=NOW + YEAR,
    )


@pytest.fixture
def tests(record, signer):
    return evidence.attest_tests(record.subject, signer=signer, passed=["accuracy"])


def test_a_release_reads_as_it_was_written_and_pins_the_model(record, signer, tests, model, tmp_path):
    evidence.release(record, signer=signer, results=[tests]).write(tmp_path / "release.sig")
    found, who = evidence.open_release(tmp_path / "release.sig", policy=signer.public, now=LATER)
    assert attrs.evolve(found, results=()) == attrs.evolve(record, datasets=tuple(record.datasets))
    assert (found.results[0].result, who.key) == ("PASSED", signer.public.fingerprint)
    with signing.open_model(model, policy=signer.public, expect=found.expect) as opened:
        assert opened.read("w") == b"w"


def test_another_model_is_not_the_released_one_and_needs_new_results(record, signer, tests, tmp_path):
    (tmp_path / "n").mkdir()
    (tmp_path / "n/w").write_bytes(b"new weights")
    signing.sign(tmp_path / "n", signer=signer)
    with pytest.raises(PolicyError, match=r"and sha256:\w+ was expected"):
        signing.open_model(tmp_path / "n", policy=signer.public, expect=record.expect)
    new = attrs.evolve(record, subject=signing.verify(tmp_path / "n", policy=signer.public).subject)
    with pytest.raises(PolicyError, match="a new model needs new results"):
        evidence.release(new, signer=signer, results=[tests])


def test_failed_tests_and_other_statements_are_no_results(record, signer, tests):
    failed = evidence.attest_tests(record.subject, signer=signer, passed=["a"], failed=["b"])
    with pytest.raises(PolicyError, match="ended as 'FAILED'"):
        evidence.release(record, signer=signer, results=[tests, failed])
    with pytest.raises(FormatError, match=r"test-result/v0\.1"):
        evidence.release(record, signer=signer, results=[evidence.release(record, signer=signer)])


def test_a_release_without_results_is_accepted_only_if_asked(record, signer, tmp_path):
    evidence.release(record, signer=signer).write(tmp_path / "r")
    with pytest.raises(PolicyError, match="it rests on no test of this model"):
        evidence.open_release(tmp_path / "r", policy=signer.public, now=LATER)
    assert evidence.open_release(tmp_path / "r", policy=signer.public, now=LATER, without_results=True)


def test_a_release_holds_until_its_review_and_not_after_a_newer_one(record, signer, tests, tmp_path):
    evidence.release(record, signer=signer, results=[tests]).write(tmp_path / "r")
    evidence.open_release(tmp_path / "r", policy=signer.public, at_least=3, now=NOW + YEAR - dt.timedelta(seconds=1))
    with pytest.raises(PolicyError, match="its review was due at 2027-11-01T00:00:00Z"):
        evidence.open_release(tmp_path / "r", policy=signer.public, now=NOW + YEAR)
    with pytest.raises(RolledBackError, match="release number 3, and at least 4"):
        evidence.open_release(tmp_path / "r", policy=signer.public, at_least=4, now=LATER)


def test_withdrawals_are_consulted_for_a_release(record, signer, tests, tmp_path):
    evidence.release(record, signer=signer, results=[tests]).write(tmp_path / "r")
    until = {"name": "list", "number": 1, "issued": NOW, "expires": dt.datetime.now(dt.UTC) + YEAR}
    open_it = functools.partial(evidence.open_release, tmp_path / "r", policy=signer.public, now=LATER)
    other = WithdrawnArtefact(digest=f"sha256:{'0' * 64}", reason="r")
    assert open_it(withdrawals=Withdrawals(**until, artefacts=[other]))
    with pytest.raises(WithdrawnError, match="poisoned"):
        open_it(withdrawals=Withdrawals(**until, artefacts=[WithdrawnArtefact(digest=record.subject.digest, reason="poisoned")]))
    lost = WithdrawnSigner(kind="key", fingerprint=signer.public.fingerprint, since=NOW, reason="lost")
    with pytest.raises(WithdrawnError, match="lost"):
        open_it(withdrawals=Withdrawals(**until, signers=[lost]))


def test_a_release_holds_the_head_of_its_log(record, signer, tests, tmp_path):
    evidence.release(record, signer=signer, results=[tests]).write(tmp_path / "r")
    assert evidence.open_head(tmp_path / "r", policy=signer.public).value == record.log_head
    evidence.release(attrs.evolve(record, log_head=""), signer=signer, results=[tests]).write(tmp_path / "r")
    with pytest.raises(FormatError, match="this one holds none"):
        evidence.open_head(tmp_path / "r", policy=signer.public)


def test_a_strangers_release_is_not_believed(record, signer, tests, tmp_path):
    stranger = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    evidence.release(record, signer=stranger, results=[tests]).write(tmp_path / "r")
    with pytest.raises(PolicyError, match="another signer's"):
        evidence.open_release(tmp_path / "r", policy=signer.public, now=LATER)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"intended_use": ""},
        {"limitations": []},
        {"training_data": []},
        {"number": 0},
        {"log_head": "ab"},
        {"released": dt.datetime(2026, 1, 1)},  # noqa: DTZ001 - what is refused
        {"next_review": NOW},
    ],
)
def test_a_record_says_something_under_each_head(record, wrong):
    with pytest.raises(ValueError, match=r"a release says something|number=|released=|log_head="):
        attrs.evolve(record, **wrong)


CHANGES = {
    "a field more": (lambda p: p.update(extra=1), "unknown field 'extra'"),
    "a field less": (lambda p: p.pop("guardrails"), "field 'guardrails' is missing"),
    "an empty scope": (lambda p: p.update(intended_use=" "), "a release says something"),
    "a failed result": (lambda p: p["results"][0].update(result="FAILED"), "result PASSED or WARNED was expected, not 'FAILED'"),
    "another time": (lambda p: p.update(next_review="2030-01-01"), "'next_review': a time as"),
    "a review before": (lambda p: p.update(next_review="2020-01-01T00:00:00Z"), "the review comes later"),
    "a half head": (lambda p: p.update(log_head="zz" * 32), "'log_head': 64 lower-case hexadecimal digits"),
    "number nought": (lambda p: p.update(number=0), "'number': an integer from 1"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_refuses_a_correctly_signed_record_with(what, record, signer, tests, tmp_path):
    change, place = CHANGES[what]
    document = json.loads(evidence.release(record, signer=signer, results=[tests]).envelope.payload)
    signer.sign("application/vnd.in-toto+json", json.dumps(document).encode()).write(tmp_path / "r")
    evidence.open_release(tmp_path / "r", policy=signer.public, now=LATER)
    change(document["predicate"])
    signer.sign("application/vnd.in-toto+json", json.dumps(document).encode()).write(tmp_path / "r")
    with pytest.raises(FormatError) as caught:
        evidence.open_release(tmp_path / "r", policy=signer.public, now=LATER)
    assert place in str(caught.value)


def test_the_signature_of_the_model_is_no_release(model, signer):
    with pytest.raises(PolicyError, match=f"a release needs '{Purpose.RELEASE.predicate_type}'"):
        evidence.open_release(model / "model.sig", policy=signer.public)
