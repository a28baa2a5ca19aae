# SPDX-License-Identifier: Apache-2.0
"""A policy in a file: what it accepts, what it refuses, and that its errors say line and key."""

import datetime as dt
import fnmatch
import os
import pathlib

import attrs
import pytest
import rfc3161_client
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests.support.authority import root

from lifeseal import testing
from lifeseal.attestation import (
    CertificateSigner,
    KeySigner,
    PolicyFile,
    Purpose,
    SignerInfo,
    Statement,
    Subject,
    any_of,
    generate_key,
    open_statement,
    sign_statement,
    threshold,
)
from lifeseal.attestation._policy_file import _Listed, matches
from lifeseal.errors import FormatError, LimitError, PolicyError, UntrustedError

ALICE, BOB, EVE = (KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(3))
TOP = root()
LEAF = TOP.issue("builder")
BUILDER = CertificateSigner(KeySigner(LEAF.key), (LEAF.certificate.public_bytes(Encoding.DER),))

POLICY = """\
schema = "lifeseal.policy/1"

[signers]
alice.key = "alice.pub"
bob = {key = "keys/bob.pub", fingerprint = "{bob}"}
builds = {roots = ["root.pem"], san = "*"}

[[trust]]
signers = ["alice"]
purposes = ["model"]
subjects = ["acme-*", "exactly this"]
from = 2000-01-01T00:00:00Z
until = 2999-12-31T23:59:59Z

[[trust]]
signers = ["alice", "builds", "bob"]
threshold = 1
purposes = ["dataset"]
subjects = ["*"]
from = 2000-01-01T00:00:00Z
until = 2999-12-31T23:59:59Z
""".replace("{bob}", BOB.public.fingerprint)
HEAD = 'schema = "lifeseal.policy/1"\n'
ALICES = HEAD + 'signers.alice.key = "alice.pub"\n'
TRUST = '[[trust]]\nsigners = ["alice"]\npurposes = ["model"]\nsubjects = ["*"]\nfrom = 2000-01-01T00:00:00Z\nuntil = 2999-12-31T23:59:59Z\n'


@pytest.fixture
def folder(tmp_path):
    """A policy and the files that it names."""
    (tmp_path / "keys").mkdir()
    for name, signer in {"alice": ALICE, "keys/bob": BOB, "eve": EVE}.items():
        (tmp_path / f"{name}.pub").write_bytes(signer.public.pem)
    (tmp_path / "root.pem").write_bytes(TOP.pem)
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def load(folder):
    def load(text=POLICY):
        (folder / "policy.toml").write_text(text)
        return PolicyFile.load(folder / "policy.toml")

    return load


def signed(*signers, name="acme-classifier", purpose=Purpose.MODEL, names=None):
    subjects = tuple(Subject(name=one, sha256=bytes(32)) for one in names or [name])
    statement = Statement(subjects=subjects, predicate_type=purpose.predicate_type, predicate={})
    return [sign_statement(statement, signer=signer) for signer in signers]


def check(policy, bundles, purpose=Purpose.MODEL):
    return open_statement(bundles, policy=policy, purpose=purpose, where="m.sig")[1]


def test_says_that_nobody_is_trusted_for_a_use(load):
    policy = load(HEAD + 'signers.alice.key = "alice.pub"\n' + TRUST)
    assert check(policy, signed(ALICE))
    with pytest.raises(PolicyError, match=r"policy\.toml trusts nobody for a dataset$"):
        check(policy, signed(ALICE, purpose=Purpose.DATASET), Purpose.DATASET)


def test_a_changed_payload_is_refused_before_it_is_parsed(load):
    (good,) = signed(ALICE)
    broken = attrs.evolve(good, envelope=attrs.evolve(good.envelope, payload=b"{"))
    with pytest.raises(PolicyError, match="does not verify"):
        check(load(), broken)


def test_names_the_place_of_a_payload_that_is_signed_and_no_statement(load):
    with pytest.raises(FormatError, match=r"^m\.sig, payload, line 1 column 2: "):
        check(load(), ALICE.sign("application/vnd.in-toto+json", b"{"))


def test_names_the_signer_as_the_file_does(load):
    assert check(load(), signed(ALICE)).name == f"alice (key {ALICE.public.fingerprint[:12]})"
    found = check(load(), signed(BUILDER, purpose=Purpose.DATASET), Purpose.DATASET)
    assert found.name == "builds (CN=builder)"
    assert "any of 1 of 3: certificate under 'CN=root'" in found.clause


def test_works_within_other_policies(load):
    policy = load()
    assert check(any_of(EVE.public, policy), signed(ALICE)).kind == "key"
    assert check(threshold(2, EVE.public, policy), signed(ALICE, EVE)).kind == "several"
    with pytest.raises(PolicyError, match="threshold: 2 of 2 wanted, 1 found"):
        check(threshold(2, EVE.public, policy), signed(ALICE, EVE, name="other"))
    with pytest.raises(PolicyError, match="threshold: 2 of 2 wanted, 1 found"):
        check(threshold(2, ALICE.public, policy), signed(ALICE))


def test_says_which_signers_are_used_for_nothing(load):
    assert load().unused == ()
    assert load(POLICY.replace("[signers]", '[signers]\nzed.key = "eve.pub"')).unused == ("zed",)


def test_tells_files_apart_by_digest(load):
    assert load().sha256 == load().sha256 != load(POLICY + "\n").sha256


# Time


def test_says_that_the_window_goes_by_this_machines_clock(load):
    assert check(load(), signed(ALICE)).notes == ("whether the signer was trusted at the time goes by this machine's clock",)


def test_believes_the_timestamps_of_the_authorities_that_the_signers_entry_names(load, folder):
    """The window lies in the past: what was stamped within it counts, whether its end or the signature came first."""
    then = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)
    authority = testing.Tsa(clock=lambda: then)
    (folder / "tsa.pem").write_bytes(authority.root.pem)
    text = POLICY.replace("until = 2999-12-31T23:59:59Z", "until = 2021-01-01T00:00:00Z").replace(
        'alice.key = "alice.pub"', 'alice = {key = "alice.pub", tsa = ["tsa.pem"]}'
    )
    (plain,) = signed(ALICE)
    asked = rfc3161_client.TimestampRequestBuilder(data=plain.envelope.signature, hash_algorithm=rfc3161_client.HashAlgorithm.SHA256).build()
    stamped = attrs.evolve(plain, timestamps=(authority.respond(asked.as_bytes()),))
    found = check(load(text), stamped)
    assert (found.time - then <= dt.timedelta(seconds=1), found.notes) == (True, ())
    with pytest.raises(PolicyError, match=r"until before 2021-01-01T00:00:00\+00:00, and this was without a trusted timestamp"):
        check(load(text), plain)
    with pytest.raises(PolicyError, match="without a trusted timestamp, so judged at"):
        check(load(text.replace(', tsa = ["tsa.pem"]', "")), stamped)
    with pytest.raises(PolicyError, match=r"from 2020-07-01T00:00:00\+00:00 until before 2999.*, and this was signed by 2020-06-01"):
        check(load(text.replace("from = 2000-01", "from = 2020-07").replace("until = 2021-01-01", "until = 2999-01-01")), stamped)


@attrs.frozen
class Stamped:
    """A policy under which each signature has the trusted time that stands beside it."""

    times: tuple

    def check(self, bundles, *, purpose, withdrawals=None):
        (bundle,) = bundles
        return SignerInfo(kind="key", fingerprint="f", key="k", name="n", time=self.times[bundle])


START, END = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(microseconds=1)


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=14)), dt.timezone(-dt.timedelta(hours=12))])
@pytest.mark.parametrize(("time", "good"), [(START - SECOND, False), (START, True), (END - SECOND, True), (END, False), (END + SECOND, False)])
def test_a_trusted_time_is_judged_from_the_first_moment_to_before_the_last(time, good, zone):
    listed = _Listed("alice", Stamped({1: time}), START.astimezone(zone), END.astimezone(zone))
    if good:
        assert listed.check([1], purpose=Purpose.MODEL).notes == ()
        return
    with pytest.raises(PolicyError, match=r"signer 'alice' is trusted from .* until before .*, and this was signed by "):
        listed.check([1], purpose=Purpose.MODEL)


def test_of_two_signatures_by_one_signer_the_one_in_time_counts():
    listed = _Listed("alice", Stamped({1: None, 2: END, 3: START}), START, END)
    assert listed.check([1, 2, 3], purpose=Purpose.MODEL).time == START
    with pytest.raises(PolicyError, match="until before"):
        listed.check([2, 1], purpose=Purpose.MODEL)


# Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "good"),
    [
        ("*", "", True),
        ("*", "any/thing\n\0\u202e", True),
        ("a", "a", True),
        ("a", "a\n", False),
        ("a*", "a", True),
        ("*a", "b\na", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*a", "aba", True),
        ("a*b*a", "aa", False),
        ("ab*ba", "aba", False),
        ("a?", "ab", False),
        ("a?", "a?", True),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("acme/*", "acme/x/y", True),
        ("acme/*", "acme/../other", True),
        ("ACME", "acme", False),
        ("é", "e\u0301", False),
        ("ß", "SS", False),
        ("\\*", "*", False),
        ("\\*", "\\x", True),
        ("a.c", "abc", False),
    ],
)
def test_a_star_is_any_text_and_everything_else_itself(pattern, name, good):
    assert matches(pattern, name) is good


@given(st.text("ab/\n*", max_size=12).filter(lambda text: "**" not in text), st.text("ab/\n*", max_size=20))
def test_agrees_with_fnmatch_where_both_have_only_stars(pattern, name):
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_a_long_name_against_many_stars_is_fast():
    assert not matches("*" + "a*" * 2000 + "b", "a" * 4096)
    assert not matches("*" + "aa*b*" * 800, "a" * 4096)


# What is no policy


def test_a_threshold_over_certificates_needs_names_that_differ(load):
    def text(*sans, needed=2):
        signers = [f'signers.s{i} = {{roots = ["root.pem"], san = "{san}"}}\n' for i, san in enumerate(sans)]
        names = ", ".join(f'"s{i}"' for i in range(len(sans)))
        return HEAD + "".join(signers) + TRUST.replace('"alice"', names) + f"threshold = {needed}\n"

    assert load(text("x", "y", "z"))
    assert load(text("x", "*", needed=1))
    for sans in (("x", "*"), ("x", "X"), ("a", "x", "*")):
        with pytest.raises(FormatError, match=r"trust\[0\]\.signers\[\d\]: one certificate can be both"):
            load(text(*sans))


def test_says_which_line_names_a_file_that_is_missing_or_wrong(load, folder):
    with pytest.raises(FileNotFoundError) as missing:
        load(ALICES.replace("alice.pub", "zed.pub") + TRUST)
    assert missing.value.__notes__[-1] == f"named by {folder}/policy.toml, line 2, signers.alice.key"
    with pytest.raises(FormatError, match="a public key in PEM form was expected") as wrong:
        load(ALICES.replace("alice.pub", "root.pem") + TRUST)
    assert wrong.value.__notes__[-1] == f"named by {folder}/policy.toml, line 2, signers.alice.key"


def test_a_private_key_is_not_taken_for_a_public_one(load, folder):
    generate_key(folder / "mine")
    with pytest.raises(FormatError, match="a public key in PEM form was expected"):
        load(ALICES.replace("alice.pub", "mine.key") + TRUST)


def test_an_absolute_path_is_taken_as_it_stands(load, folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a.pub"
    elsewhere.write_bytes(ALICE.public.pem)
    assert check(load(ALICES.replace("alice.pub", str(elsewhere)) + TRUST), signed(ALICE))


def test_paths_are_relative_to_the_file_not_to_where_one_stands(load, folder, monkeypatch):
    load()
    monkeypatch.chdir("/")
    assert PolicyFile.load(folder / "policy.toml")
    monkeypatch.chdir(folder)
    assert PolicyFile.load("policy.toml")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: pathlib.Path(path).symlink_to("nowhere")])
def test_reads_regular_files_alone(folder, load, make):
    (folder / "policy.toml").unlink()
    make(folder / "policy.toml")
    with pytest.raises((FormatError, FileNotFoundError)):
        PolicyFile.load(folder / "policy.toml")


def test_bounds_the_file(folder, load):
    assert load(POLICY + "#" * ((256 << 10) - len(POLICY)))
    with pytest.raises(LimitError, match=r"policy\.toml: .* more than the limit of 262144"):
        load(POLICY + "#" * ((256 << 10) - len(POLICY) + 1))


@given(st.integers(0, len(POLICY) - 1), st.sampled_from([*list("\x00\n\"'[]{}=.,*#ax0"), ""]))
def test_a_damaged_file_is_refused_or_means_what_it_says(damaged, at, mark):
    text = POLICY[:at] + mark + POLICY[at + 1 :]
    try:
        policy = damaged(text)
    except (FormatError, LimitError, FileNotFoundError):
        return
    with pytest.raises(UntrustedError):
        check(policy, signed(EVE))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "keys").mkdir()
    for name, signer in {"alice": ALICE, "keys/bob": BOB}.items():
        (folder / f"{name}.pub").write_bytes(signer.public.pem)
    (folder / "root.pem").write_bytes(TOP.pem)

    def load(text):
        (folder / "policy.toml").write_text(text)
        return PolicyFile.load(folder / "policy.toml")

    return load
