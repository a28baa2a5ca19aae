# SPDX-License-Identifier: Apache-2.0
"""The pages on holders work from the first line to the last: their console blocks in a shell, their Python blocks in Python."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support import aws, openbao, secret_service, softhsm, swtpm

HOW_TO = Path(__file__).parent.parent / "docs" / "how-to"
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(page):
    """Turn a page into one shell script: what stands behind a prompt is run, the rest is output."""
    script = ["set -euo pipefail"]
    for kind, text in _BLOCK.findall((HOW_TO / page).read_text()):
        if kind == "python":
            script += ["python - <<'END OF BLOCK'", text.rstrip(), "END OF BLOCK"]
        else:
            lines = [line[2:] for line in text.splitlines() if line.startswith(("$ ", "> "))]
            script += [line for line in lines if not line.startswith("pip install")]
    return "\n".join(script) + "\n"


def run(page, folder, **environment):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "XDG_CONFIG_HOME": "/nonexistent", **environment}
    done = subprocess.run(["bash", "-c", script_of(page)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not softhsm.is_there(), reason=softhsm.NO_SOFTHSM)
def test_pkcs11(tmp_path):
    out = run("root-pkcs11.md", tmp_path)
    assert "Best effort: a PKCS#11 token" in out
    assert out.count("Secret Key Object") == 1


@pytest.mark.skipif(not swtpm.is_there(), reason=swtpm.NO_SWTPM)
def test_tpm(tmp_path):
    out = run("root-tpm.md", tmp_path)
    assert "Best effort: a TPM of which nobody declared that it is hardware" in out
    assert "authwrite|writeall|authread|written" in out


@pytest.mark.skipif(openbao.program() is None, reason=openbao.NO_OPENBAO)
def test_openbao(tmp_path):
    out = run("root-openbao.md", tmp_path)
    assert "As its operator declares, no copy of a key outlives it by more than 14 days." in out
    assert out.count("lifeseal-") == 1


@pytest.mark.skipif(not secret_service.is_there(), reason=secret_service.NO_SERVICE)
def test_keyring():
    with tempfile.TemporaryDirectory(prefix="keyring-", dir="/tmp") as folder:  # a socket's path is short
        out = run("root-keyring.md", folder)
    assert "Best effort: the root is an entry of a keyring" in out
    assert out.count("label = ") == 1


def test_aws_kms(tmp_path):
    with aws.kms() as url:
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        out = run("root-aws-kms.md", tmp_path, AWS_ENDPOINT_URL=url, **keys)
    assert "AWS deletes the key 7 days after the erasure" in out
    assert "PendingDeletion" in out
