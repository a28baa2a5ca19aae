# SPDX-License-Identifier: Apache-2.0
"""From a record, file or URL to every model that saw it: `in-toto-attestation` reads the statements, and doubt is said."""

import json

import attrs
import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as TheirStatement

from lifeseal import provenance
from lifeseal.attestation import Purpose, Statement, Subject, open_statement, sign_statement
from lifeseal.errors import CredentialError, FormatError, PolicyError
from lifeseal.provenance import Code, Manifest, Origin, Records, record_training, trace, training_inputs

CODE = Code(uri="https://example.org/train", commit="ab" * 20)
KEY = b"a key for the leaves"
POISON = b"the poisoned line"


@pytest.fixture
def dataset(tmp_path, description):
    """Record a dataset by name: its lines, what it was made from and how."""

    def run(name, lines, *origins, records=True, source=None, **options):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.txt").write_bytes(b"".join(line + b"\n" for line in lines))
        stated = attrs.evolve(description, name=name, source=source or f"https://example.org/{name}/v1")
        leaves = Records(leaves=tmp_path / "leaves") if records else None
        return provenance.record(folder, description=stated, records=leaves, derived_from=origins, **options)

    return run


def model(name, *inputs):
    subject = Subject(name=name, sha256=name.encode().ljust(32, b"\0"))
    return record_training(subject, inputs=inputs, parameters={"rate": 3e-4, "epochs": 2}, code=CODE)


def told(edges):
    return {(edge.name, edge.how, edge.certain) for edge in edges}


def test_a_training_statement_is_slsa_provenance_to_its_judge(dataset):
    base = Subject(name="base", sha256=bytes(32))
    raw = dataset("raw", [b"a"])
    statement = model("m", raw, base)
    theirs = json_format.Parse(statement.to_bytes(), statement_pb2.Statement())
    TheirStatement.copy_from_pb(theirs).validate()
    assert theirs.predicate_type == "https://slsa.dev/provenance/v1"
    predicate = json_format.ParseDict(json_format.MessageToDict(theirs.predicate), provenance_pb2.Provenance())
    assert predicate.build_definition.build_type == "lifeseal:training/1"
    assert dict(predicate.build_definition.external_parameters["parameters"])["rate"] == 3e-4
    found = [dict(item.digest) for item in predicate.build_definition.resolved_dependencies]
    assert found == [{"sha256": raw.sha256.hex()}, {"sha256": "00" * 32}, {"gitCommit": "ab" * 20}]
    assert predicate.run_details.builder.id


def test_a_training_statement_is_signed_for_its_own_use(dataset, signer):
    statement = model("m", dataset("raw", [b"a"]))
    bundle = sign_statement(statement, signer=signer)
    found, _ = open_statement(bundle, policy=signer.public, purpose=Purpose.TRAINING, where="m")
    assert found == statement
    assert found.predicate["buildDefinition"]["externalParameters"]["parameters"] == {"rate": 3e-4, "epochs": 2}
    with pytest.raises(PolicyError, match="signed for another use"):
        open_statement(bundle, policy=signer.public, purpose=Purpose.DATASET, where="m")


def test_inputs_are_read_back(dataset):
    raw = dataset("raw", [b"a"])
    found = training_inputs(model("m", raw, Subject(name="base", sha256=bytes(32))))
    assert [(used.kind, used.name) for used in found] == [("dataset", "raw"), ("model", "base"), ("code", "")]
    assert (found[0].digest, found[0].uri, found[2].uri) == (raw.digest, "https://example.org/raw/v1", "https://example.org/train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "at least one dataset or model"),
        ({"parameters": {"x": object()}}, "JSON values"),
        ({"parameters": {"x": float("nan")}}, "not JSON compliant"),
    ],
)
def test_a_training_that_cannot_be_stated_is_refused(change, message, manifest):
    good = {"inputs": [manifest], "parameters": {}, "code": CODE}
    subject = Subject(name="m", sha256=bytes(32))
    assert record_training(subject, **good).subjects == (subject,)
    with pytest.raises(ValueError, match=message):
        record_training(subject, **{**good, **change})


@pytest.mark.parametrize("change", [{"uri": " "}, {"commit": "main"}, {"commit": "AB" * 20}, {"uri": "u" * 5000}])
def test_code_is_named_by_commit(change):
    with pytest.raises(ValueError, match=r"(uri|commit)= "):
        attrs.evolve(CODE, **change)


@pytest.fixture
def story(dataset):
    """A crawl, what was made of it, and four models; poison came in with the crawl."""
    crawl = dataset("crawl", [b"a", POISON, b"b"])
    kept = dataset("kept", [b"a", POISON], Origin.of(crawl, step="filter"))
    clean = dataset("clean", [b"a", b"b"], Origin.of(crawl, step="filter"))
    tokens = dataset("tokens", [b"1 2"], Origin.of(kept, step="tokenise"))
    whole = dataset("whole", [b"x"], Origin.of(crawl, step="merge"), records=False)
    other = dataset("other", [b"z"])
    trained = model("on-tokens", tokens)
    statements = [trained, model("on-clean", clean), model("tuned", other, trained.subjects[0]), model("on-whole", whole), model("apart", other)]
    return [crawl, kept, clean, tokens, whole, other, *statements]


def test_a_record_is_followed_to_every_model_and_doubt_is_said(story):
    edges = trace(POISON, story)
    assert told(edges) == {
        ("crawl", "holds", True),
        ("kept", "holds", True),
        ("kept", "derived", True),
        ("tokens", "derived", False),
        ("on-tokens", "trained", False),
        ("tuned", "based", False),
        ("whole", "derived", False),
        ("on-whole", "trained", False),
    }
    by_name = {(edge.name, edge.how): edge for edge in edges}
    assert by_name["crawl", "holds"].detail == "crawl.txt, record 1"
    assert by_name["tokens", "derived"].note == "the record's identity ends at the step 'tokenise'"
    assert by_name["tuned", "based"].note == by_name["tokens", "derived"].note
    assert "not all records were hashed" in by_name["whole", "derived"].note
    assert [edge.how for edge in edges[:2]] == ["holds", "holds"]


def test_a_record_that_was_left_out_is_followed_no_further(story):
    assert not {"clean", "on-clean", "apart"} & {edge.name for edge in trace(POISON, story)}
    assert {"clean", "on-clean"} <= {edge.name for edge in trace(b"b", story)}


def test_nothing_saw_what_was_nowhere(story):
    assert trace(b"nowhere", story) == ()
    assert trace("sha256:" + "0" * 64, story) == ()
    assert trace("https://example.org/elsewhere", story) == ()
    with pytest.raises(ValueError, match="nothing to look for"):
        trace(b"", story)


@pytest.mark.parametrize("needle", ["https://example.org/crawl/v1", "https://example.org/crawl", "https://example.org/crawl/"])
def test_a_source_is_followed_through_every_derivation(needle, story):
    found = trace(needle, story)
    assert {edge.name for edge in found} == {"crawl", "kept", "clean", "tokens", "whole", "on-tokens", "on-clean", "tuned", "on-whole"}
    assert all(edge.certain for edge in found)
    assert trace("https://example.org/craw", story) == ()


def test_a_file_a_manifest_and_a_model_are_followed_by_digest(story):
    crawl, tokens, trained = story[0], story[3], story[6]
    file = f"sha256:{crawl.files[0].sha256.hex()}"
    assert ("crawl", "holds", True) in told(trace(file, story))
    assert told(trace(tokens.digest, story)) == {("on-tokens", "trained", True), ("tuned", "based", True)}
    assert told(trace(trained.subjects[0].digest, story)) == {("tuned", "based", True)}


def test_inputs_whose_manifests_are_not_given_are_found_in_the_statements(story):
    crawl, statements = story[0], story[6:]
    assert trace(crawl.digest, statements) == ()
    assert told(trace(story[3].digest, statements)) == {("on-tokens", "trained", True), ("tuned", "based", True)}
    assert told(trace("https://example.org/tokens/v1", statements)) == {("on-tokens", "trained", True), ("tuned", "based", True)}


def test_two_ways_to_one_dataset_are_as_certain_as_the_better(dataset):
    raw = dataset("raw", [POISON])
    tokens = dataset("tokens", [b"1"], Origin.of(raw, step="tokenise"))
    both = dataset("both", [b"1", POISON], Origin.of(tokens, step="merge"), Origin.of(raw, step="merge"))
    found = {(edge.source, edge.name): edge.certain for edge in trace(POISON, [both, tokens, raw, model("m", both)]) if edge.source != "record"}
    assert found == {(raw.digest, "tokens"): False, (raw.digest, "both"): True, (tokens.digest, "both"): True, (both.digest, "m"): True}


def test_a_step_that_is_not_stated_may_have_changed_records(dataset):
    raw = dataset("raw", [POISON])
    made = dataset("made", [b"1"], Origin.of(raw))
    (_, edge) = trace(POISON, [raw, made])
    assert (edge.certain, edge.note) == (False, "the step is not stated, so the record may have changed")


def test_a_circle_ends(dataset):
    one = dataset("one", [POISON])
    two = dataset("two", [POISON], Origin.of(one, step="copy"))
    turned = attrs.evolve(one, derived_from=(Origin.of(two, step="copy"),))
    assert trace(POISON, [one, two, turned])


def test_keyed_records_are_looked_for_with_their_key(dataset):
    keyed = dataset("keyed", [POISON], leaf_key=KEY)
    plain = dataset("plain", [POISON])
    assert {edge.name for edge in trace(POISON, [keyed, plain], leaf_key=KEY)} == {"keyed", "plain"}
    with pytest.raises(CredentialError, match="recorded with a leaf key"):
        trace(POISON, [keyed, plain])
    with pytest.raises(CredentialError, match="not the leaf key"):
        trace(POISON, [keyed], leaf_key=b"another key, long enough")


def test_a_manifest_without_its_leaf_files_is_not_passed_over(dataset):
    bare = Manifest.from_bytes(dataset("raw", [b"a"]).to_bytes())
    with pytest.raises(FormatError, match="the folder of its leaf files is not known"):
        trace(POISON, [bare])
    assert trace(bare.digest, [bare]) == ()


@pytest.mark.parametrize(
    "predicate",
    [
        {},
        {"buildDefinition": []},
        {"buildDefinition": {"resolvedDependencies": {}}},
        {"buildDefinition": {"resolvedDependencies": [1]}},
        {"buildDefinition": {"resolvedDependencies": [{"digest": {"sha256": "zz"}}]}},
    ],
)
def test_a_statement_of_another_form_is_refused(predicate):
    statement = Statement(subjects=(Subject(name="m", sha256=bytes(32)),), predicate_type=Purpose.TRAINING.predicate_type, predicate=predicate)
    with pytest.raises(FormatError, match="statement, predicate"):
        trace("sha256:" + "0" * 64, [statement])
    with pytest.raises(FormatError, match="predicate type"):
        trace("u", [attrs.evolve(statement, predicate_type="other")])


def test_statements_of_other_programs_are_read(dataset):
    raw = dataset("raw", [b"a"])
    definition = {
        "buildType": "https://other",
        "externalParameters": {},
        "resolvedDependencies": [
            {"uri": "git+https://example.org/x", "digest": {"gitCommit": "ab" * 20}},
            {"name": "d", "digest": {"sha256": raw.sha256.hex(), "sha512": "00"}, "mediaType": "x"},
        ],
    }
    statement = Statement(
        subjects=(Subject(name="theirs", sha256=bytes(32)),),
        predicate_type=Purpose.TRAINING.predicate_type,
        predicate={"buildDefinition": definition, "runDetails": {"builder": {"id": "https://b"}}},
    )
    assert told(trace(b"a", [raw, statement])) == {("raw", "holds", True), ("theirs", "trained", True)}
    assert json.loads(statement.to_bytes())["predicate"]["buildDefinition"] == definition
