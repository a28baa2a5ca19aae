# SPDX-License-Identifier: Apache-2.0
"""The fixtures for pytest, as a project of somebody else's uses them."""

import subprocess
import sys

PROJECT = """
import urllib.request
from lifeseal import attestation

def test_keyless(loopback_sigstore):
    trust = loopback_sigstore.trust()
    signer = attestation.SigstoreSigner(trust, loopback_sigstore.oidc.token("ci@example.org"))
    subject = attestation.Subject(name="m", sha256=bytes(32))
    purpose = attestation.Purpose.MODEL
    statement = attestation.Statement(subjects=(subject,), predicate_type=purpose.predicate_type, predicate={})
    bundle = attestation.sign_statement(statement, signer=signer)
    policy = attestation.TrustedIdentity("ci@example.org", loopback_sigstore.oidc.url, trust)
    assert attestation.open_statement(bundle, policy=policy, purpose=purpose)[0] == statement

def test_time(loopback_tsa):
    assert attestation.TimestampAuthority(loopback_tsa.url, (loopback_tsa.root.der,))

def test_hub(loopback_hub):
    loopback_hub.add("acme/m", {"a.txt": b"hi"})
    with urllib.request.urlopen(f"{loopback_hub.url}/acme/m/resolve/main/a.txt") as reply:
        assert reply.read() == b"hi"

def test_each_test_has_its_own(loopback_hub, loopback_sigstore):
    assert loopback_hub.requests == []
    assert loopback_hub.url != loopback_sigstore.url
"""


def test_a_project_brings_the_fixtures_in_with_one_line(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["lifeseal.testing.fixtures"]\n')
    (tmp_path / "test_project.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
