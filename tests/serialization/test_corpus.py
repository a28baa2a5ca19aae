# SPDX-License-Identifier: Apache-2.0
"""The corpus: hostile files that are shown to run, ordinary ones, and folders as the libraries write them."""

import json
import pathlib
import subprocess
import sys
import tempfile

import pytest

from corpus.hostile import GROUPS, samples
from corpus.ordinary import ordinary
from lifeseal import serialization

TESTS = pathlib.Path(__file__).parents[1]
FOLDERS = TESTS / "corpus/folders"
ORDINARY = dict(ordinary())


@pytest.fixture(scope="module")
def hostile():
    """Make every hostile file, and give each to its loader, in one process that forks.

    The folder's path is short: one sample carries it in a tar member's name, which has 100 bytes.
    """
    with tempfile.TemporaryDirectory(prefix="h") as folder:
        yield prove(pathlib.Path(folder))


def prove(folder):
    (folder / "files").mkdir()
    (folder / "markers").mkdir()
    made = {group: list(samples(group, folder / "markers")) for group in GROUPS}
    everything = [sample for group in made.values() for sample in group]
    for sample in everything:
        (folder / "files" / sample.name).write_bytes(sample.content)
    (folder / "list.json").write_text(json.dumps([(sample.name, sample.loader) for sample in everything]))
    command = [sys.executable, "-m", "corpus.prove", folder, "torch", "joblib", "numpy", "yaml", "jinja2", "sklearn.utils.parallel"]
    subprocess.run(command, cwd=TESTS, check=True, timeout=300)
    assert len({sample.name for sample in everything}) == len(everything) >= 200
    return folder, made


@pytest.mark.parametrize("group", GROUPS)
def test_every_hostile_file_runs_and_none_passes(group, hostile):
    folder, made = hostile
    assert made[group]
    still = [
        sample.name
        for sample in made[group]
        if not (folder / "markers" / sample.name).is_symlink() and not (folder / "markers" / sample.name).exists()
    ]
    assert still == [], "these must run when their loader reads them"
    verdicts = {sample.name: serialization.scan(folder / "files" / sample.name).verdict.value for sample in made[group]}
    assert {name: verdict for name, verdict in verdicts.items() if verdict not in {"unsafe", "needs-trust"}} == {}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_file_is_safe(name):
    report = serialization.scan_bytes(ORDINARY[name])
    serious = [finding for finding in report.findings if finding.rule != "external-reference"]
    assert (report.verdict.value, serious) == ("safe", [])


JUDGED = {
    "deepspeed": ("needs-trust", {"python-source", "pickle-object"}),
    "diffusers": ("safe", set()),
    "images": ("safe", set()),
    "lightning": ("safe", set()),
    "peft": ("safe", {"external-reference"}),
    "sentence-transformers": ("safe", set()),
    "sentencepiece": ("safe", set()),
    "timm": ("safe", set()),
    "torch-dcp": ("safe", set()),
    "torch-export": ("needs-trust", {"torch-export"}),
    "transformers": ("safe", set()),
    "transformers-sharded": ("safe", set()),
    "transformers-trainer": ("needs-trust", {"pickle-object"}),
}


def test_every_folder_is_judged():
    assert {folder.name for folder in FOLDERS.iterdir()} == set(JUDGED)


@pytest.mark.parametrize("name", JUDGED)
def test_a_folder_as_its_library_writes_it(name):
    report = serialization.scan(FOLDERS / name)
    assert (report.verdict.value, {finding.rule for file in report.files for finding in file.findings}) == JUDGED[name]
    assert "unknown" not in {file.format for file in report.files}
