# SPDX-License-Identifier: Apache-2.0
"""The demo lives one model's whole life, and what it leaves behind stands on its own."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lifeseal import attestation, disposal, erasure, evidence, provenance
from lifeseal.errors import DestroyedError, RolledBackError

DEMO = Path(__file__).parent.parent / "examples" / "lifecycle.py"


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    where = tmp_path_factory.mktemp("demo")
    done = subprocess.run([sys.executable, str(DEMO), str(where / "life")], cwd=where, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, where / "life"


@pytest.fixture
def folder(lived):
    return lived[1]


@pytest.fixture
def policy(folder):
    return attestation.TrustedKey.from_file(folder / "keys" / "team.pub")


def test_its_last_line_says_where_everything_lies(lived):
    output, folder = lived
    assert output.splitlines()[-1] == f"artefacts: {folder}"


def test_it_leaves_manifest_signature_certificate_and_log(folder):
    wanted = {
        "digits.manifest.json",
        "digits.manifest.json.sig",
        "model.sig",
        "release.sig",
        "disposal-certificate.json",
        "events.jsonl",
        "report.html",
    }
    assert wanted <= {path.name for path in folder.iterdir()}


def test_its_manifest_is_signed_by_the_team(folder, policy):
    manifest = provenance.open_manifest(folder / "digits.manifest.json", policy=policy)
    assert [file.path for file in manifest.files] == ["digits.csv.gz"]


def test_its_log_verifies_and_tells_of_refusals(folder):
    found = evidence.verify(folder / "events.jsonl")
    assert found.damaged == 0
    events = list(evidence.read(folder / "events.jsonl"))
    assert len(events) == found.events > 20
    refusals = {(event.primitive.rpartition(".")[2], event.error) for event in events if event.outcome == "fail"}
    assert {("verify", "DigestMismatchError"), ("verify", "PolicyError"), ("asset", "DestroyedError"), ("open", "RolledBackError")} <= refusals


def test_its_release_is_signed_and_shows_a_tail_of_the_log_that_was_cut(folder, policy, tmp_path):
    release, _ = evidence.open_release(folder / "release.sig", policy=policy)
    assert (release.name, [one.result for one in release.results]) == ("digits", ["PASSED"])
    head = evidence.open_head(folder / "release.sig", policy=policy)
    assert evidence.verify(folder / "events.jsonl", head=head.value).head_found
    (tmp_path / "cut").write_bytes(b"".join((folder / "events.jsonl").read_bytes().splitlines(keepends=True)[:20]))
    with pytest.raises(RolledBackError):
        evidence.verify(tmp_path / "cut", head=head.value)


def test_an_assessors_questions_are_answered_from_its_log_alone(folder, tmp_path):
    shutil.copy(folder / "events.jsonl", tmp_path / "events.jsonl")
    command = [sys.executable, str(DEMO.with_name("assessor.py")), str(tmp_path / "events.jsonl")]
    answers = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for words in (
        "each bound to the one before",
        "covers training configuration: current; open: R-7",
        "8.3",
        "tests PASSED at line",
        "completed at epoch",
    ):
        assert words in answers
    assert "serialization.scan: UnsafeError" in answers
    refusals = re.findall(r"line \d+: [\w.]+: (\w+Error) (\S*)", answers)
    assert ("DestroyedError", "digits-model") in refusals
    assert all(about for _, about in refusals)
    assert "NO" not in answers
    assert "shows nothing" not in answers
    loaded = re.findall(r"line (\d+): sha256:\w+: verified at line (\d+)", answers)
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert loaded
    for load, check in loaded:
        assert lines[int(load) - 1]["primitive"].startswith("lifeseal.loading.")
        assert lines[int(check) - 1]["primitive"] == "lifeseal.signing.open_model"


def test_its_certificate_verifies_and_the_vault_agrees(folder, policy):
    certificate = disposal.open_certificate(folder / "disposal-certificate.json", policy=policy)
    assert certificate.disposal.status == "completed"
    assert [asset.name for asset in certificate.disposal.assets] == ["digits-model", "digits-data"]
    root = erasure.FileRoot(folder / "root" / "vault.root")
    with erasure.Vault.open(folder / "vault", root=root, at_least=certificate.disposal.epoch_after) as vault:
        disposal.confirm(certificate, vault)
        with pytest.raises(DestroyedError):
            vault.asset("digits-model")
    with pytest.raises(RolledBackError):
        erasure.Vault.open(folder / "vault-copy-before-erasure", root=root)


def test_the_hostile_file_was_not_run_and_the_plaintext_is_gone(folder):
    assert (folder / "attacks" / "weights.pkl").exists()
    assert not (folder / "attacks" / "executed").exists()
    assert not list((folder / "model").rglob("*.safetensors")) if (folder / "model").exists() else True
    assert not (folder / "data" / "digits.csv.gz").exists()
