# SPDX-License-Identifier: Apache-2.0
"""``data``: from the command line down to the record."""

import json
import subprocess
import sys

import pytest

from lifeseal import attestation, provenance, testing
from support import authority


@pytest.fixture
def lines(tmp_path):
    folder = tmp_path / "lines"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(b'{"n":%d}\n' % n for n in range(2000)))
    (folder / "b.txt").write_bytes(b"one\ntwo\n")
    return folder


def test_records_are_recorded_with_everything_that_can_be_stated(cli, lines, tmp_path):
    out = tmp_path / "m.json"
    texts = ("acquisition", "retention", "consent", "custodian", "limitations")
    stated = [word for text in texts for word in (f"--{text}", f"its {text}")]
    uses = ("--intended-use", "tests", "--intended-use", "demos", "--permitted-use", "anything", "--sensitivity", "personal")
    answer = cli("data", "record", lines, "--out", out, "--source", "s", "--licence", "MIT", "--records", "--sets", *stated, *uses, "--json")
    assert (answer.code, answer.document["records"], len(answer.document["warnings"])) == (0, 2002, 1)
    document = json.loads(out.read_bytes())
    assert {text: document["description"][text] for text in texts} == {text: f"its {text}" for text in texts}
    assert document["description"]["intended_uses"] == ["tests", "demos"]
    assert [file["records"]["set"]["count"] for file in document["files"]] == [2000, 2]
    assert len(list((tmp_path / "m.json.leaves").glob("*.leaves"))) == 2
    assert "warning    personal data" in cli("data", "record", lines, "--out", out, "--records", "--sensitivity", "personal").out
    assert cli("inspect", out).code == 0


def test_worker_processes_and_an_earlier_manifest_give_the_same(cli, process, lines, tmp_path):
    common = (lines, "--source", "s", "--licence", "MIT", "--obtained", "2026-01-01T00:00:00Z", "--records")
    digests = {
        cli("data", "record", *common, "--out", tmp_path / "m.json", "--json").document["digest"],
        cli("data", "record", *common, "--out", tmp_path / "m.json", "--previous", tmp_path / "m.json", "--json").document["digest"],
        process("data", "record", *common, "--out", tmp_path / "n.json", "--workers", "2", "--json").document["digest"],
    }
    assert len(digests) == 1


def test_a_leaf_key_comes_from_a_file(cli, process, lines, tmp_path):
    (tmp_path / "key").write_bytes(b"\n" * 32)
    (tmp_path / "long").write_bytes(b"k" * 70_000)
    common = ("data", "record", lines, "--out", tmp_path / "m.json", "--records", "--sensitivity", "personal", "--leaf-key-file")
    answer = cli(*common, tmp_path / "key", "--json")
    assert (answer.code, answer.document["warnings"]) == (0, [])
    assert json.loads((tmp_path / "m.json").read_bytes())["leaf_key"]["keys"] == "one"
    assert process(*common, "-", input=b"\n" * 32).code == 0
    assert "at least 16 bytes; this one has 0" in cli(*common, "/dev/null").err
    assert "more than the limit of 65536" in cli(*common, tmp_path / "long").err


@pytest.mark.parametrize("option", [("--sets",), ("--format", ".log=lines"), ("--leaf-key-file", "k"), ("--previous", "p")])
def test_what_is_about_records_needs_records(option, cli, lines, tmp_path):
    answer = cli("data", "record", lines, "--out", tmp_path / "m.json", *option)
    assert (answer.code, "give --records too" in answer.err, (tmp_path / "m.json").exists()) == (2, True, False)


def test_the_step_that_made_the_data_is_kept(cli, lines, tmp_path):
    cli("data", "record", lines, "--out", tmp_path / "raw.json")
    assert cli("data", "record", lines, "--out", tmp_path / "m.json", "--derived-from", tmp_path / "raw.json", "--step", "filter").code == 0
    assert json.loads((tmp_path / "m.json").read_bytes())["derived_from"][0]["step"] == "filter"


def test_a_file_that_is_not_what_it_should_be_leaves_nothing(cli, lines, tmp_path):
    (lines / "b.txt").write_bytes(b"\xff\n")
    answer = cli("data", "record", lines, "--out", tmp_path / "m.json", "--records")
    assert (answer.code, (tmp_path / "m.json").exists()) == (2, False)
    assert "'b.txt', record 0: not UTF-8" in answer.err


def test_a_sample_is_compared_and_says_what_it_is_worth(cli, lines, tmp_path):
    out = tmp_path / "m.json"
    assert cli("data", "record", lines, "--out", out, "--records").code == 0
    answer = cli("data", "verify", out, lines, "--unsigned", "--sample", "300")
    assert (answer.code, "compared  300 of 2002 records" in answer.out, "at most 0.99% of them differ" in answer.out) == (0, True, True)
    document = cli("data", "verify", out, lines, "--unsigned", "--sample", "300", "--json").document
    assert (document["sample"]["unit"], document["sample"]["checked"], document["data_compared"]) == ("records", 300, True)
    content = (lines / "a.jsonl").read_bytes()
    (lines / "a.jsonl").write_bytes(content.swapcase())
    refused = cli("data", "verify", out, lines, "--unsigned", "--sample", "2002")
    assert (refused.code, "1 changed: 'a.jsonl'; record 0 is the first that differs" in refused.err) == (1, True)
    assert cli("data", "verify", out, "--key", "k", "--sample", "3").code == 2


def test_a_sample_of_keyed_records_takes_the_key_from_a_file(cli, lines, tmp_path):
    (tmp_path / "key").write_bytes(b"k" * 32)
    out = tmp_path / "m.json"
    assert cli("data", "record", lines, "--out", out, "--records", "--leaf-key-file", tmp_path / "key").code == 0
    ask = ("data", "verify", out, lines, "--unsigned", "--sample", "3")
    assert cli(*ask, "--leaf-key-file", tmp_path / "key").code == 0
    assert cli(*ask).code == 2
    assert "recorded with a leaf key" in cli(*ask).err


@pytest.fixture
def proved(cli, lines, tmp_path):
    """Two signed manifests, the second grown from the first; a record that is there, and one that is not."""
    assert cli("keygen", "--out", tmp_path / "k").code == 0
    for number, more in ((1, b""), (2, b"three\n")):
        (lines / "b.txt").write_bytes(b"one\ntwo\n" + more)
        assert cli("data", "record", lines, "--out", tmp_path / f"{number}.json", "--records", "--sets", "--key", tmp_path / "k.key").code == 0
    (tmp_path / "there").write_bytes(b"two\n")
    (tmp_path / "absent").write_bytes(b"four")
    return tmp_path


def test_inclusion_absence_and_growth_are_proved_and_checked(cli, proved):
    home, vouched = proved, ("--key", proved / "k.pub")
    there = cli("data", "prove", home / "2.json", home / "there", "--out", home / "p")
    assert (there.code, "number 1 of b.txt" in there.out) == (0, True)
    answer = cli("data", "check-proof", home / "p", "--manifest", home / "2.json", "--record", home / "there", *vouched, "--json")
    assert (answer.code, answer.document["claim"], answer.document["record"], answer.document["record_compared"]) == (0, "inclusion", 1, True)
    absent = cli("data", "prove", home / "2.json", home / "absent", "--out", home / "p")
    assert (absent.code, "no record of 2 files" in absent.out) == (0, True)
    assert cli("data", "check-proof", home / "p", "--manifest", home / "2.json", "--record", home / "absent", *vouched).code == 0
    other = cli("data", "check-proof", home / "p", "--manifest", home / "2.json", "--record", home / "there", *vouched)
    assert (other.code, "another record" in other.err) == (1, True)
    grown = cli("data", "prove", home / "2.json", "--since", home / "1.json", "--out", home / "p")
    assert (grown.code, "1 file grew" in grown.out) == (0, True)
    assert cli("data", "check-proof", home / "p", "--manifest", home / "2.json", "--since", home / "1.json", *vouched).code == 0
    (home / "1.json.sig").write_bytes((home / "2.json.sig").read_bytes())
    assert cli("data", "check-proof", home / "p", "--manifest", home / "2.json", "--since", home / "1.json", *vouched).code == 1
    shrunk = cli("data", "prove", home / "1.json", "--since", home / "2.json", "--out", home / "q")
    assert (shrunk.code, "1 changed: 'b.txt'" in shrunk.err, (home / "q").exists()) == (1, True, False)


def test_a_forged_proof_is_a_no(cli, proved):
    cli("data", "prove", proved / "2.json", proved / "there", "--out", proved / "p")
    document = json.loads((proved / "p").read_bytes())
    document["place"]["index"] = 0
    (proved / "p").write_text(json.dumps(document))
    answer = cli("data", "check-proof", proved / "p", "--manifest", proved / "2.json", "--unsigned")
    assert (answer.code, "does not show" in answer.err) == (1, True)


def test_differences_are_told_down_to_the_record(cli, lines, proved):
    (lines / "b.txt").write_bytes(b"one\nTWO\nthree\n")
    (lines / "new.bin").write_bytes(b"")
    assert cli("data", "record", lines, "--out", proved / "3.json", "--records", "--custodian", "us").code == 0
    answer = cli("data", "diff", proved / "1.json", proved / "3.json")
    assert answer.code == 1
    for said in ("added    new.bin", "changed  b.txt, its records", "changed 1", "added 2", "stated   custodian"):
        assert said in answer.out
    document = cli("data", "diff", proved / "1.json", proved / "3.json", "--json").document
    assert document["changed"] == [{"path": "b.txt", "records": {"added": [2], "removed": [], "changed": [[1, 1]], "moved": False}}]
    assert cli("data", "diff", proved / "1.json", proved / "1.json").out == f"✓ {proved}/1.json and {proved}/1.json are the same\n"


def test_a_record_comes_from_standard_input_too(process, proved):
    assert process("data", "prove", proved / "2.json", "-", "--out", proved / "p", input=b"two\n").code == 0


@pytest.mark.parametrize("words", [(), ("there", "--since", "1.json")])
def test_a_proof_is_of_a_record_or_of_growth(words, cli, proved):
    assert "give RECORD, or --since" in cli("data", "prove", proved / "2.json", *words, "--out", proved / "p").err


@pytest.fixture
def trained(proved, cli):
    """A model's training statement, signed, and bare."""
    manifest = provenance.Manifest.load(proved / "2.json")
    subject = attestation.Subject(name="the model", sha256=bytes(32))
    code = provenance.Code(uri="https://example.org/code", commit="ab" * 20)
    statement = provenance.record_training(subject, inputs=[manifest], parameters={"rate": 0.1}, code=code)
    attestation.sign_statement(statement, signer=attestation.KeySigner.from_file(proved / "k.key")).write(proved / "training.sig")
    (proved / "training.json").write_bytes(statement.to_bytes())
    return proved


@pytest.mark.parametrize("form", ["training.sig", "training.json"])
def test_a_record_is_traced_to_the_model(form, cli, trained):
    answer = cli("data", "trace", "--record", trained / "there", trained / "1.json", trained / "2.json", trained / form)
    assert answer.code == 0
    for said in ("2 of the datasets and 1 of the models", "holds it (b.txt, record 1)", "model the model was trained on it", "unverified"):
        assert said in answer.out


def test_a_trace_can_ask_who_vouches(cli, trained, tmp_path):
    key = ("--key", trained / "k.pub")
    answer = cli("data", "trace", "NOASSERTION", trained / "2.json", trained / "training.sig", *key, "--json")
    assert (answer.code, answer.document["signed"], answer.document["models"]) == (0, True, ["sha256:" + "00" * 32])
    bare = cli("data", "trace", "NOASSERTION", trained / "2.json", trained / "training.json", *key)
    assert (bare.code, "a statement that nobody signed" in bare.err) == (1, True)
    (trained / "2.json.sig").unlink()
    assert cli("data", "trace", "NOASSERTION", trained / "2.json", *key).code == 2


def test_a_manifest_is_signed_with_a_certificate_too(cli, lines, tmp_path):
    root = authority.root()
    certificate, key = root.issue("data team").write(tmp_path, "leaf")
    (tmp_path / "root.pem").write_bytes(root.pem)
    assert cli("data", "record", lines, "--out", tmp_path / "m.json", "--key", key, "--cert", certificate).code == 0
    policy = attestation.TrustedCertificates.from_files([tmp_path / "root.pem"])
    assert len(provenance.open_manifest(tmp_path / "m.json", policy=policy).files) == 2
    assert "exactly one of --key and --sigstore" in cli("data", "record", lines, "--out", tmp_path / "n.json", "--cert", certificate).err
    assert not (tmp_path / "n.json").exists()


WORKERS = """
import multiprocessing, signal, time
from lifeseal.cli import _data_record

_data_record._PATIENCE = {patience}
try:
    with _data_record._workers(1) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        begun = pool.submit(time.sleep, {task})
        while not begun.running():
            time.sleep(0.01)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    until = time.monotonic() + 20  # the pool's own thread waits for them too, so that one join may see nothing
    while (left := multiprocessing.active_children()) and time.monotonic() < until:
        time.sleep(0.01)
    print(left)
"""


@pytest.mark.parametrize(("patience", "task"), [(5.0, 0.2), (0.0, 60)])
def test_workers_end_with_the_work(patience, task):
    done = subprocess.run(
        [sys.executable, "-c", WORKERS.format(patience=patience, task=task)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done


def test_how_files_are_cut_can_be_said(cli, lines, tmp_path):
    (lines / "c.log").write_bytes(b"\xff\n")
    command = ("data", "record", lines, "--out", tmp_path / "m.json", "--records")
    assert cli(*command, "--format", ".log=lines", "--format", ".txt=whole", "--json").document["records"] == 2001
    for wrong in ("log=lines", ".log=nonsense", ".log"):
        answer = cli(*command, "--format", wrong)
        assert (answer.code, "maps endings such as '.log'" in answer.err) == (2, True)


def test_a_dataset_on_the_hub_is_recorded_at_the_commit_that_its_revision_means(process, tmp_path):
    with testing.hub() as hub:
        commit = hub.add("acme/reviews", {"README.md": b"# Reviews\n", "data.bin": b"x" * 5000}, kind="dataset")
        words = ("hf://datasets/acme/reviews@main", "--out", tmp_path / "m.json", "--licence", "MIT")
        answer = process("data", "record", *words, "--json", env=dict(hub.environment))
        document = json.loads((tmp_path / "m.json").read_bytes())
    assert (answer.code, answer.document["pinned"]) == (0, [f"hf://datasets/acme/reviews@{commit}"])
    assert document["pinned"] == answer.document["pinned"]
    assert (document["description"]["name"], document["description"]["source"]) == ("reviews", "hf://datasets/acme/reviews@main")
    assert {file["path"]: file.get("stated_by") for file in document["files"]} == {"README.md": None, "data.bin": "server"}


def test_a_server_that_does_not_answer_is_unavailable_and_leaves_nothing(cli, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    assert cli("data", "record", f"file://{tmp_path}/x", "--out", tmp_path / "m.json").code == 0
    answer = cli("data", "record", f"file://{tmp_path}/none", "--out", tmp_path / "n.json")
    assert (answer.code, "there is nothing" in answer.err) == (2, True)
    assert cli("data", "record", "nosuch://x", "--out", tmp_path / "n.json").code == 2
    assert not (tmp_path / "n.json").exists()


def test_what_another_program_states_is_taken_over_where_nothing_else_is_stated(cli, lines, tmp_path):
    upstream = {"type": "data", "name": "raw", "bom-ref": "r", "hashes": [{"alg": "SHA-256", "content": "cd" * 32}]}
    component = {"type": "data", "name": "theirs", "bom-ref": "d", "licenses": [{"license": {"id": "MIT"}}], "description": "Said.", "data": []}
    document = {"bomFormat": "CycloneDX", "components": [component, upstream], "dependencies": [{"ref": "d", "dependsOn": ["r"]}]}
    (tmp_path / "their.json").write_text(json.dumps(document))
    out = tmp_path / "m.json"
    words = ("data", "record", str(lines), "--out", str(out), "--describe", str(tmp_path / "their.json"), "--source", "https://example.org/")
    answer = cli(*words)
    assert (answer.code, "not stated" in answer.out) == (0, False)
    found = provenance.Manifest.load(out)
    stated = found.description
    assert (stated.name, stated.licence, stated.notes, stated.source) == ("theirs", "MIT", "Said.", "https://example.org/")
    assert [origin.digest for origin in found.derived_from] == ["sha256:" + "cd" * 32]
    component["licenses"] = []
    (tmp_path / "their.json").write_text(json.dumps(document))
    assert "not stated: --licence" in cli(*words).out
    (tmp_path / "their.json").write_text("{}")
    assert cli(*words).code == 2


def test_data_is_verified_where_it_lies_by_its_url(cli, lines, tmp_path):
    out = tmp_path / "m.json"
    assert cli("data", "record", str(lines), "--out", str(out)).code == 0
    answer = cli("data", "verify", str(out), f"file://{lines}", "--unsigned")
    assert (answer.code, "the data is as recorded" in answer.out) == (0, True)
    (lines / "b.txt").write_bytes(b"one\ntwp\n")
    answer = cli("data", "verify", str(out), f"file://{lines}", "--unsigned")
    assert (answer.code, "b.txt" in answer.err) == (1, True)
    assert cli("data", "verify", str(out), "nosuch://x", "--unsigned").code == 2
