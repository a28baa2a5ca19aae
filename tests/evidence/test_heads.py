# SPDX-License-Identifier: Apache-2.0
"""Signed heads: made of a log that holds, read under a policy, and what they show later."""

import datetime as dt
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lifeseal import evidence, serialization
from lifeseal.attestation import KeySigner, Purpose, Statement, Subject, Withdrawals, WithdrawnSigner, sign_statement
from lifeseal.cli._main import _run
from lifeseal.errors import FormatError, PolicyError, RolledBackError, SignatureError, TamperedError, UntrustedError, WithdrawnError


@pytest.fixture(scope="module")
def signer():
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


def test_a_signed_head_shows_a_tail_that_was_cut(tmp_path, log, signer, make_event):
    bundle = evidence.sign_head(log, signer=signer)
    bundle.write(tmp_path / "head")
    head = evidence.open_head(tmp_path / "head", policy=signer.public)
    assert (head.value, head.log, head.events, head.signer.key) == (evidence.verify(log).head, "log", 3, signer.public.fingerprint)
    with evidence.Log(log) as opened:
        opened.emit(make_event(3))
    assert evidence.verify(log, head=head.value).head_found
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]))
    assert evidence.verify(log).events == 2
    with pytest.raises(RolledBackError, match="its tail was cut"):
        evidence.verify(log, head=head.value)


def test_a_log_signs_its_head_when_it_is_closed(tmp_path, signer, make_event):
    path = tmp_path / "log"
    for number in range(2):
        with evidence.Log(path, key=signer) as opened:
            opened.emit(make_event(number))
        head = evidence.open_head(f"{path}.head", policy=signer.public)
        assert (head.value, head.events) == (evidence.verify(path).head, number + 1)
    evidence.start(path, key=signer)
    evidence.stop()
    assert evidence.open_head(f"{path}.head", policy=signer.public).value == evidence.verify(path).head


def test_a_log_that_does_not_hold_gets_no_head(tmp_path, log, signer):
    log.write_bytes(log.read_bytes().replace(b'"number":1', b'"number":7'))
    with pytest.raises(TamperedError):
        evidence.sign_head(log, signer=signer)


def signed(signer, *, subjects=1, purpose=Purpose.LOG_HEAD, **predicate):
    names = tuple(Subject(name=f"log{n}", sha256=bytes(32)) for n in range(subjects))
    fields = {"events": 3, "time": "t", **predicate}
    return sign_statement(Statement(subjects=names, predicate_type=purpose.predicate_type, predicate=fields), signer=signer)


@pytest.mark.parametrize(
    ("change", "error", "place"),
    [
        ({"purpose": Purpose.MODEL}, PolicyError, "a log head needs 'lifeseal:log-head/1'"),
        ({"subjects": 2}, FormatError, "exactly one subject was expected, not 2"),
        ({"events": -1}, FormatError, "'events': an integer from 0"),
        ({"more": 1}, FormatError, "unknown field 'more'"),
    ],
)
def test_refuses_what_is_no_head(tmp_path, signer, change, error, place):
    signed(signer).write(tmp_path / "head")
    assert evidence.open_head(tmp_path / "head", policy=signer.public).events == 3
    signed(signer, **change).write(tmp_path / "head")
    with pytest.raises(error, match=place):
        evidence.open_head(tmp_path / "head", policy=signer.public)


def test_a_strangers_head_is_not_believed(tmp_path, log, signer):
    evidence.sign_head(log, signer=KeySigner(ec.generate_private_key(ec.SECP256R1()))).write(tmp_path / "head")
    with pytest.raises(PolicyError, match="another signer's"):
        evidence.open_head(tmp_path / "head", policy=signer.public)


def test_the_command_takes_a_signed_head_only_with_its_signer(tmp_path, log, signer, capsys):
    (tmp_path / "k.pub").write_bytes(signer.public.pem)
    evidence.sign_head(log, signer=signer).write(tmp_path / "head")
    words = ["log", "verify", str(log), "--head", str(tmp_path / "head")]
    assert _run([*words, "--key", str(tmp_path / "k.pub")]) == 0
    assert _run(words) == 2
    assert "is a signed head; say with --key or --policy" in capsys.readouterr().err
    assert _run(["log", "verify", str(log), "--key", str(tmp_path / "k.pub")]) == 2
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    assert _run([*words, "--key", str(tmp_path / "k.pub")]) == 1


NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def withdrawing(*keys):
    entries = [WithdrawnSigner(kind="key", fingerprint=key.fingerprint, since=NOW - DAY, reason="lost") for key in keys]
    return Withdrawals(name="list", number=1, issued=NOW - DAY, expires=NOW + DAY, signers=entries)


def test_a_withdrawn_signers_head_is_not_believed(tmp_path, log, signer):
    evidence.sign_head(log, signer=signer).write(tmp_path / "head")
    other = KeySigner(ec.generate_private_key(ec.SECP256R1())).public
    assert evidence.open_head(tmp_path / "head", policy=signer.public, withdrawals=withdrawing(other))
    with pytest.raises(WithdrawnError, match=r"was withdrawn from .* lost"):
        evidence.open_head(tmp_path / "head", policy=signer.public, withdrawals=withdrawing(signer.public))


def test_the_command_consults_withdrawals(tmp_path, log, signer, capsys):
    (tmp_path / "k.pub").write_bytes(signer.public.pem)
    evidence.sign_head(log, signer=signer).write(tmp_path / "head")
    words = ["log", "verify", str(log), "--head", str(tmp_path / "head"), "--key", str(tmp_path / "k.pub"), "--withdrawals", str(tmp_path / "list")]
    withdrawing(KeySigner(ec.generate_private_key(ec.SECP256R1())).public).sign(signer).write(tmp_path / "list")
    assert _run(words) == 0
    late = WithdrawnSigner(kind="key", fingerprint=signer.public.fingerprint, since=NOW + DAY, reason="r")
    Withdrawals(name="list", number=2, issued=NOW - DAY, expires=NOW + DAY, signers=[late]).sign(signer).write(tmp_path / "list")
    assert _run(words) == 0
    assert _run(["log", "verify", str(log), "--head", evidence.verify(log).head, "--withdrawals", str(tmp_path / "list")]) == 2
    assert "need a signed head to judge" in capsys.readouterr().err


def in_a_log(path, work):
    with evidence.Log(path):
        work()
        return evidence.current_head()


def test_the_head_of_the_log_that_listens_is_at_hand(tmp_path, log):
    assert evidence.current_head() == ""
    (tmp_path / "data").write_bytes(b"[]")
    head = in_a_log(log, lambda: serialization.scan(tmp_path / "data"))
    assert evidence.verify(log).head == head
    evidence.start(log)
    try:
        assert evidence.current_head() == evidence.verify(log).head != head
    finally:
        evidence.stop()


def certificate(signer, **more):
    statement = Statement(
        subjects=(Subject(name="asset", sha256=bytes(32)),),
        predicate_type=Purpose.CERTIFICATE.predicate_type,
        predicate={"status": "completed", **more},
    )
    return sign_statement(statement, signer=signer)


def cosignature(signer):
    statement = Statement(
        subjects=(Subject(name="verifier", sha256=bytes(32)),),
        predicate_type=Purpose.COSIGNATURE.predicate_type,
        predicate={"party": {"name": "Vera"}, "time": "2026-01-01T00:00:00Z"},
    )
    return sign_statement(statement, signer=signer)


def test_a_head_within_another_signed_document_shows_a_cut_tail(tmp_path, log, signer, make_event):
    head = evidence.verify(log).head
    certificate(signer, log_head=head).write(tmp_path / "certificate")
    (tmp_path / "data").write_bytes(b"[]")
    scanned = serialization.scan(tmp_path / "data", digest=True)
    evidence.attest_scan(scanned, signer=signer, log_head=head).write(tmp_path / "scai")
    for name in ("certificate", "scai"):
        found = evidence.open_head(tmp_path / name, policy=signer.public)
        assert (found.value, found.events, found.log) == (head, None, "")
    lines = log.read_bytes().splitlines(keepends=True)
    (tmp_path / "k.pub").write_bytes(signer.public.pem)
    words = ["log", "verify", str(log), "--head", str(tmp_path / "certificate"), "--key", str(tmp_path / "k.pub")]
    assert _run(words) == 0
    log.write_bytes(b"".join(lines[:3]))
    assert _run(words) == 1


def test_a_head_in_a_certificate_that_others_signed_too_is_read(tmp_path, log, signer):
    head = evidence.verify(log).head
    made, other = certificate(signer, log_head=head), cosignature(KeySigner(ec.generate_private_key(ec.SECP256R1())))
    lines = [made.to_bytes(), other.to_bytes(), other.to_bytes()]
    for count in (1, 2, 3):
        for end in (b"", b"\n"):
            (tmp_path / "c").write_bytes(b"\n".join(lines[:count]) + end)
            assert evidence.open_head(tmp_path / "c", policy=signer.public).value == head
    (tmp_path / "c").write_text(json.dumps(json.loads(lines[0]), indent=1))
    assert evidence.open_head(tmp_path / "c", policy=signer.public).value == head


def test_what_stands_below_a_document_is_a_co_signature_of_a_certificate(tmp_path, log, signer):
    made, other = certificate(signer, log_head="ab" * 32).to_bytes(), cosignature(signer).to_bytes()
    alone = evidence.sign_head(log, signer=signer).to_bytes()
    for lines in ([made, made], [made, b"{}"], [made, b""], [made, other, other, other], [alone, other], [alone, alone], [other, made]):
        (tmp_path / "c").write_bytes(b"\n".join(lines) + b"\n")
        with pytest.raises((FormatError, UntrustedError)):
            evidence.open_head(tmp_path / "c", policy=signer.public)


@pytest.mark.parametrize("more", [{}, {"log_head": ""}, {"log_head": "ab"}, {"log_head": 7}, {"log_head": "AB" * 32}], ids=str)
def test_a_document_without_a_head_is_none(tmp_path, signer, more):
    certificate(signer, log_head="ab" * 32).write(tmp_path / "c")
    assert evidence.open_head(tmp_path / "c", policy=signer.public).value == "ab" * 32
    certificate(signer, **more).write(tmp_path / "c")
    with pytest.raises(FormatError, match=r"predicate"):
        evidence.open_head(tmp_path / "c", policy=signer.public)


def test_a_strangers_certificate_vouches_for_no_head(tmp_path, signer):
    certificate(KeySigner(ec.generate_private_key(ec.SECP256R1())), log_head="ab" * 32).write(tmp_path / "c")
    with pytest.raises((PolicyError, SignatureError)):
        evidence.open_head(tmp_path / "c", policy=signer.public)
