# SPDX-License-Identifier: Apache-2.0
"""Verifying asks nobody and leaves nothing behind: every system call of a process that verifies, its threads included, is looked at."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lifeseal import testing

VECTORS = Path(__file__).parent.parent / "vectors"
PUBLISHED = ("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2", "public-good")
OWN = ("release@example.org", "https://issuer.example.org", VECTORS / "keyless/root.json")
CHANGING = "creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,truncate,ftruncate,chmod,fchmod"
TRACED = f"%network,open,openat,openat2,{CHANGING}"
# urllib3 looks whether the machine has IPv6, by binding a port that it never listens on.
PROBE = re.compile(r'socket\(AF_INET6, .*|bind\(\d+, \{sa_family=AF_INET6, sin6_port=htons\(0\), .*inet_pton\(AF_INET6, "::1".*')
READS = re.compile(r"open(at|at2)?\(.*O_RDONLY.*")


@pytest.fixture
def traced(tmp_path):
    """Run `lifeseal` and return its exit code and all that it did beyond reading files."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    home, log = tmp_path / "home", tmp_path / "calls"
    (home / "here").mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*words):
        command = ["strace", "-f", "-qq", "-o", log, "-e", f"trace={TRACED}", "-e", "signal=none", sys.executable, "-m", "lifeseal", *words]
        done = subprocess.run(command, env=environment, cwd=home / "here", capture_output=True, text=True, check=False, timeout=120)
        calls = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
        assert any(READS.fullmatch(call) and "_identity.py" in call for call in calls), done.stderr
        assert sorted(home.rglob("*")) == [home / "here"]
        return done.returncode, [call for call in calls if not (READS.fullmatch(call) or PROBE.fullmatch(call))]

    return run


@pytest.mark.parametrize(
    ("folder", "signature", "who", "code"),
    [
        (VECTORS / "oms/published/v1.1.0-sigstore", "model.sig", PUBLISHED, 0),
        (VECTORS / "keyless/model", "../bundles/rekor1.sig", OWN, 0),
        (VECTORS / "keyless/model", "../bundles/rekor2.sig", OWN, 0),
        (VECTORS / "keyless/model", "../bundles/rekor2-not-proof.sig", OWN, 1),
        (VECTORS / "keyless/model", "../bundles/rekor2.sig", (*OWN[:2], "public-good"), 1),
    ],
)
def test_verifying_makes_no_connection_and_no_file(traced, folder, signature, who, code):
    identity, issuer, trust = who
    words = ("verify", folder, "--signature", folder / signature, "--identity", identity, "--issuer", issuer, "--trust-config", trust)
    assert traced(*words) == (code, [])


def test_what_signs_is_seen_to_connect_and_to_write(traced, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    with testing.sigstore() as deployment:
        (tmp_path / "trust.json").write_bytes(deployment.trust_config())
        (tmp_path / "token").write_text(deployment.oidc.token("me@example.org"))
        words = ("--sigstore", "--trust-config", tmp_path / "trust.json", "--identity-token-file", tmp_path / "token")
        code, calls = traced("sign", tmp_path / "m", *words)
    assert code == 0
    assert {"connect", "renameat"} <= {re.match(r"[a-z]+", call).group() for call in calls}
