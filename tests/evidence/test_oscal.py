# SPDX-License-Identifier: Apache-2.0
"""OSCAL: accepted by compliance-trestle, and every reference in it leads somewhere, which trestle does not check."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from benchmarks._data import peer

from lifeseal import evidence, principles, serialization

NAMES = ("catalog", "mapping-collection", "component-definition", "assessment-results")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The documents of a log with a call that held, one that refused, and evidence."""
    home = tmp_path_factory.mktemp("oscal")
    (home / "a.json").write_text("{}")
    (home / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with evidence.Log(home / "events.jsonl"):
        serialization.scan(home / "a.json")
        serialization.scan(home / "evil.pkl")
        evidence.track("prompt", "p")
    documents = evidence.oscal(home / "events.jsonl")
    for name, data in documents.items():
        (home / name).write_bytes(data)
    return home, {name: json.loads(documents[f"{name}.json"])[name] for name in NAMES}


@pytest.mark.slow
def test_trestle_accepts_all_four(made, tmp_path):
    home, _ = made
    trestle = peer("trestle")
    subprocess.run([trestle, "init", "--full"], cwd=tmp_path, check=True, capture_output=True)
    for name in NAMES:
        subprocess.run([trestle, "import", "-f", home / f"{name}.json", "-o", "made"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([trestle, "validate", "-a"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, (done.stdout + done.stderr).count("VALID: Model")) == (0, 4)
    broken = json.loads((home / "catalog.json").read_text())
    broken["catalog"]["groups"][0]["controls"][0]["id"] = "1.1"  # a control beside it: trestle does refuse
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    refused = subprocess.run([trestle, "import", "-f", "broken.json", "-o", "broken"], cwd=tmp_path, capture_output=True, check=False)
    assert refused.returncode != 0


def walk(value, key):
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from walk(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, key)


def test_every_reference_leads_somewhere(made):
    _, documents = made
    controls = [c for group in documents["catalog"]["groups"] for c in group["controls"]]
    ids = {control["id"] for control in controls}
    statements = {part["id"] for control in controls for part in control["parts"]}
    assert (len(controls), len(ids), len(statements), len(documents["catalog"]["groups"])) == (72, 72, 72, 13)
    for name in NAMES:
        uuids = list(walk(documents[name], "uuid"))
        assert len(uuids) == len(set(uuids))
        assert set(walk(documents[name], "control-id")) <= ids
        assert {href.removeprefix("#") for href in walk(documents[name], "href") if href.startswith("#")} <= set(uuids)
        assert documents[name]["metadata"]["oscal-version"] == "1.2.1"
    results = documents["assessment-results"]["results"][0]
    observed = {one["uuid"] for one in results["observations"]}
    assert set(walk(results, "observation-uuid")) <= observed
    assert set(walk(results, "target-id")) <= statements
    sources = {one["id-ref"] for entry in documents["mapping-collection"]["mappings"][0]["maps"] for one in entry["sources"]}
    targets = [one["id-ref"] for entry in documents["mapping-collection"]["mappings"][0]["maps"] for one in entry["targets"]]
    assert sources == ids
    assert len(set(targets)) == 72


def test_findings_are_of_controls_that_ran_and_a_refusal_wins(made):
    home, documents = made
    summary = evidence.summarise(home / "events.jsonl")
    states = {"pass": "satisfied", "fail": "not-satisfied"}
    wanted = {f"ukai-{t.provision.partition(':')[2]}_smt": states[t.verdict] for t in summary.tallies if t.verdict in states}
    found = documents["assessment-results"]["results"][0]["findings"]
    assert {one["target"]["target-id"]: one["target"]["status"]["state"] for one in found} == wanted
    assert wanted["ukai-8.3_smt"] == "satisfied"
    assert "not-satisfied" in wanted.values()
    assert len(documents["assessment-results"]["results"][0]["observations"]) == len(summary.tallies)


def test_the_evidence_is_the_log_by_digest(made):
    home, documents = made
    (link,) = walk(documents["assessment-results"], "rlinks")
    assert link == [
        {"href": "events.jsonl", "hashes": [{"algorithm": "SHA-256", "value": hashlib.sha256((home / "events.jsonl").read_bytes()).hexdigest()}]}
    ]


def test_components_are_the_tags_with_their_limits(made):
    _, documents = made
    tagged = principles.load_all()
    assert {one["title"] for one in documents["component-definition"]["components"]} == set(tagged)
    for component in documents["component-definition"]["components"]:
        assert tagged[component["title"]].limits in component["description"]


def test_equal_logs_give_equal_documents_and_an_empty_one_is_valid(made, tmp_path):
    home, _ = made
    assert evidence.oscal(home / "events.jsonl") == evidence.oscal(home / "events.jsonl")
    evidence.Log(tmp_path / "empty").close()
    result = json.loads(evidence.oscal(tmp_path / "empty")["assessment-results.json"])["assessment-results"]["results"][0]
    assert "findings" not in result
    assert "observations" not in result


def test_unknown_provisions_of_a_newer_version_stay_out(tmp_path):
    event = principles.Event(time="2026-01-01T00:00:00Z", primitive="x", outcome="pass", error="", provisions=("uk-ai-cop:99.9",), facts={})
    with evidence.Log(tmp_path / "log") as log:
        log.emit(event)
    assert b"99.9" not in evidence.oscal(tmp_path / "log")["assessment-results.json"]
    assert Path(tmp_path / "log").exists()
