# SPDX-License-Identifier: Apache-2.0
"""Statements beside artefacts, in in-toto's own forms, judged by in-toto's own classes."""

import hashlib
import json
import subprocess
from types import SimpleNamespace

import attrs
import numpy as np
import pytest
from benchmarks._data import peer
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import evidence, serialization, signing
from lifeseal.attestation import KeySigner, Purpose, Subject, open_statement
from lifeseal.erasure import ErasedSlot, Erasure

JUDGE = """
import json, sys
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.scai.v0.scai_pb2 import AttributeReport
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Proto
for line in sys.stdin:
    document = json.loads(line)
    made = ParseDict(document, Proto())
    Statement.copy_from_pb(made).validate()
    kind = {"scai": AttributeReport, "test-result": TestResult}.get(document["predicateType"].split("/")[4])
    if kind:
        ParseDict(document["predicate"], kind())
    print("ok")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("statements")
    signer = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    (home / "m").mkdir()
    (home / "m/config.json").write_text("{}")
    (home / "m/evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    signing.sign(home / "m", signer=signer)
    verification = signing.verify(home / "m", policy=signer.public)
    report = serialization.scan(home / "m", digest=True)
    np.savez(home / "w.npz", a=np.arange(3), b=np.zeros((2, 2)))
    conversion = serialization.convert(home / "w.npz", home / "w.safetensors", hash="sha256")
    return SimpleNamespace(signer=signer, home=home, verification=verification, report=report, subject=verification.subject, conversion=conversion)


ERASURE = Erasure(
    vault="ab" * 16,
    epoch_before=3,
    epoch_after=4,
    slots=(ErasedSlot(slot=0, generation=1), ErasedSlot(slot=5, generation=2)),
    time="2026-11-01T00:00:00.000000Z",
    holders=(),
    assurance="best effort: a root in a file",
    irreversible_since="unknown",
)
GONE = (Subject(name="a", sha256=b"a" * 32), Subject(name="b", sha256=b"b" * 32))
HEAD = "cd" * 32


def opened(bundle, made, purpose):
    return open_statement(bundle, policy=made.signer.public, purpose=purpose)[0]


def statements(made):
    return [
        evidence.attest_verification(made.verification, signer=made.signer, policies={"policy.toml": bytes(32)}),
        evidence.attest_scan(made.report, signer=made.signer),
        evidence.attest_tests(
            made.subject, signer=made.signer, passed=["a"], failed=["b"], configuration={"c": bytes(32)}, url="https://ci.example/1"
        ),
        evidence.attest_conversion(made.conversion, signer=made.signer, log_head=HEAD),
        evidence.attest_erasure(ERASURE, subjects=GONE, signer=made.signer, log_head=HEAD),
    ]


@pytest.mark.slow
def test_in_toto_reads_every_one(made):
    lines = b"\n".join(bundle.envelope.payload for bundle in statements(made))
    done = subprocess.run([peer("python"), "-c", JUDGE], input=lines, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ok\n" * 5, b"")


def test_a_verification_names_policy_and_properties(made):
    statement = opened(statements(made)[0], made, Purpose.VERIFICATION)
    assert [one.sha256 for one in statement.subjects] == [made.subject.sha256]
    assert statement.predicate["verifier"]["policies"] == [{"name": "policy.toml", "digest": {"sha256": "00" * 32}}]
    assert statement.predicate["properties"] == ["LIFESEAL_CONTENT_VERIFIED", "LIFESEAL_SIGNATURE_VERIFIED", "UKAI_COP_7.1"]
    with pytest.raises(ValueError, match="32 bytes"):
        evidence.attest_verification(made.verification, signer=made.signer, policies={"p": b"short"})


def test_a_verification_by_waiver_claims_no_signature(made):
    import datetime as dt

    from lifeseal.attestation import Waiver

    (made.home / "u").mkdir()
    (made.home / "u/a").write_bytes(b"a")
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    covers = [signing.digest(made.home / "u").inventory]
    waiver = Waiver(covers=covers, allows=["unsigned"], reason="r", owner="o", expires=until, risk="R")
    found = signing.verify(made.home / "u", policy=made.signer.public, waiver=waiver)
    properties = opened(evidence.attest_verification(found, signer=made.signer), made, Purpose.VERIFICATION).predicate["properties"]
    assert properties == ["LIFESEAL_CONTENT_VERIFIED", "LIFESEAL_ACCEPTED_BY_WAIVER", "UKAI_COP_7.2"]


def test_a_scan_is_bound_to_each_file_by_digest(made):
    statement = opened(statements(made)[1], made, Purpose.ATTRIBUTES)
    found = {one["target"]["name"]: one["attribute"] for one in statement.predicate["attributes"]}
    assert found["evil.pkl"] == "LIFESEAL_SCAN_UNSAFE"
    assert {one.name: one.sha256 for one in statement.subjects} == {file.path: file.digest for file in made.report.files}
    with pytest.raises(ValueError, match="digest=True"):
        evidence.attest_scan(serialization.scan(made.home / "m"), signer=made.signer)


def test_a_conversion_is_bound_to_what_it_made_and_names_what_it_was_made_of(made):
    statement = opened(statements(made)[3], made, Purpose.ATTRIBUTES)
    written = (made.home / "w.safetensors").read_bytes()
    assert [(one.name, one.sha256) for one in statement.subjects] == [("w.safetensors", hashlib.sha256(written).digest())]
    (attribute,) = statement.predicate["attributes"]
    source = hashlib.sha256((made.home / "w.npz").read_bytes()).hexdigest()
    assert attribute["attribute"] == "LIFESEAL_CONVERTED_WITHOUT_RUNNING"
    assert attribute["conditions"]["sources"] == [{"name": "w.npz", "digest": {"sha256": source}}]
    assert attribute["evidence"] == {"name": "lifeseal event log", "annotations": {"log_head": HEAD}}
    assert str(made.home) not in statement.to_bytes().decode()
    other = serialization.convert(made.home / "w.npz", made.home / "v.safetensors")
    with pytest.raises(ValueError, match="hash='sha256' is needed"):
        evidence.attest_conversion(other, signer=made.signer)


def test_an_erasure_names_each_destroyed_key(made):
    statement = opened(statements(made)[4], made, Purpose.ATTRIBUTES)
    assert statement.subjects == GONE
    first, second = statement.predicate["attributes"]
    assert {first["attribute"], second["attribute"]} == {"LIFESEAL_KEY_DESTROYED"}
    assert (second["target"], second["conditions"]["slot"], second["conditions"]["generation"]) == (
        {"name": "b", "digest": {"sha256": (b"b" * 32).hex()}},
        5,
        2,
    )
    assert (first["conditions"]["assurance"], first["conditions"]["irreversible_since"]) == ("best effort: a root in a file", "unknown")
    pending = evidence.attest_erasure(attrs.evolve(ERASURE, pending=("v3",)), subjects=GONE, signer=made.signer)
    found = opened(pending, made, Purpose.ATTRIBUTES).predicate["attributes"]
    assert [one["attribute"] for one in found] == ["LIFESEAL_KEY_DESTRUCTION_PENDING"] * 2
    assert all("evidence" not in one for one in found)
    with pytest.raises(ValueError, match="each of the 2 destroyed keys, not 1"):
        evidence.attest_erasure(ERASURE, subjects=GONE[:1], signer=made.signer)


@pytest.mark.parametrize("head", ["ab", "AB" * 32, "x" * 64])
def test_refuses_what_is_no_head(made, head):
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits"):
        evidence.attest_scan(made.report, signer=made.signer, log_head=head)


@pytest.mark.parametrize(
    ("lists", "result"),
    [
        ({"passed": ["a"]}, "PASSED"),
        ({"passed": ["a"], "warned": ["b"]}, "WARNED"),
        ({"passed": ["a"], "warned": ["b"], "failed": ["c"]}, "FAILED"),
    ],
)
def test_a_failed_test_fails_the_whole(made, lists, result):
    bundle = evidence.attest_tests(made.subject, signer=made.signer, **lists)
    predicate = opened(bundle, made, Purpose.TESTS).predicate
    assert predicate["result"] == result
    assert "url" not in predicate
    assert json.loads(bundle.envelope.payload)["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"


@pytest.mark.parametrize("lists", [{}, {"passed": ["a", "a"]}, {"passed": ["a"], "failed": ["a"]}])
def test_refuses_results_that_say_nothing_or_contradict_themselves(made, lists):
    with pytest.raises(ValueError, match="each named once"):
        evidence.attest_tests(made.subject, signer=made.signer, **lists)


def test_a_statement_of_one_kind_does_not_pass_for_another(made):
    from lifeseal.errors import PolicyError

    for bundle, purpose in zip(statements(made)[:3], (Purpose.TESTS, Purpose.VERIFICATION, Purpose.MODEL), strict=True):
        with pytest.raises(PolicyError, match="signed for another use"):
            open_statement(bundle, policy=made.signer.public, purpose=purpose)


def test_subject_of_tests_may_be_any_digest(made):
    assert evidence.attest_tests(Subject(name="d", sha256=b"d" * 32), signer=made.signer, passed=["a"])
