# SPDX-License-Identifier: Apache-2.0
"""Exports: accepted by each format's own judge, with our digests in them; and descriptions of others taken over."""

import base64
import datetime as dt
import hashlib
import json
import shutil
import subprocess

import attrs
import pytest
from benchmarks._data import peer
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as TheirStatement

from lifeseal import provenance
from lifeseal.attestation import Subject
from lifeseal.errors import FormatError, LifesealError
from lifeseal.provenance import _croissant, _spdx, _uris

TIME = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
UPSTREAM = "sha256:" + "ab" * 32
FULL = {
    "acquisition": "crawled",
    "sensitivity": "personal",
    "intended_uses": ["tests"],
    "permitted_uses": ["research"],
    "retention": "a year",
    "consent": "C-1",
    "custodian": "Records office",
    "limitations": "small",
    "notes": "A tiny set.",
}
CYCLONEDX = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
judge, found = JsonStrictValidator(SchemaVersion.V1_7), []
for one in json.load(sys.stdin):
    found += judge.validate_str(json.dumps(one), all_errors=True) or []
    refs = [c["bom-ref"] for c in [one["metadata"]["component"], *one["components"]]]
    found += ["a bom-ref stands twice"] if len(refs) != len(set(refs)) else []
sys.exit("\\n".join(str(e)[:200] for e in found) if found else 0)
"""
SPDX = """
import io, json, sys
from spdx_python_model import v3_0_1 as spdx
for one in json.load(sys.stdin):
    found = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().read(io.BytesIO(json.dumps(one).encode()), found)
    spdx.JSONLDSerializer().write(found, io.BytesIO())
    if found.missing_ids:
        sys.exit(str(found.missing_ids))
"""


def description(**more):
    return provenance.Description(name="tiny", source="https://example.org/tiny", obtained=TIME, licence="CC-BY-4.0", **more)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"id":1,"text":"a"}\n{"id":2,"text":"b"}\n')
    (folder / "deep/with space é.csv").write_text("a,b\n1,2\n")
    (folder / "image.bin").write_bytes(bytes(100))
    return folder


@pytest.fixture
def manifest(data):
    made = provenance.record(data, description=description(**FULL), derived_from=[provenance.Origin(digest=UPSTREAM, step="filter")])
    made.write(data / "manifest.json")
    return made


def judged(program, document):
    return subprocess.run([peer("python"), "-c", program], input=document, capture_output=True, check=False)


def croissant(data, *words):
    return subprocess.run([peer("mlcroissant"), *words], cwd=data, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_croissant_is_valid_and_its_reader_refuses_one_flipped_bit(data, manifest):
    (data / "croissant.json").write_bytes(provenance.export(manifest, "croissant"))
    checked = croissant(data, "validate", "--jsonld", "croissant.json")
    assert (checked.returncode, "warning" in checked.stderr + checked.stdout) == (0, False)
    number = [file.path for file in manifest.files].index("train.jsonl")
    load = ("load", "--jsonld", "croissant.json", "--record_set", f"records-{number}", "--num_records", "2")
    read = croissant(data, *load)
    assert (read.returncode, '"text":"b"' in read.stdout) == (0, True)
    content = (data / "train.jsonl").read_bytes()
    (data / "train.jsonl").write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
    shutil.rmtree(data.parent / "cache", ignore_errors=True)
    assert croissant(data, *load).returncode != 0


TEXTS = {
    "three.jsonl": b'{"id":1}\n{"id":2}\n{"id":3}\n',
    "three.csv": b"a,b\n1,2\n3,4\n",
    "odd.txt": b'hello, world, again\nplain\n"quoted, x"\n\nlast',
    "latin.csv": "caf\xe9,1\n".encode("latin-1"),
    "empty.jsonl": b"",
}
READ = """
import base64, json, sys, mlcroissant
data = mlcroissant.Dataset(jsonld="croissant.json")
found = {}
for place in range(int(sys.argv[1])):
    found[place] = [base64.b64encode(one[f"records-{place}/field-0"]).decode() for one in data.records(f"records-{place}")]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_croissants_reader_gets_the_content_of_a_text_as_it_is(tmp_path):
    for name, content in TEXTS.items():
        (tmp_path / name).write_bytes(content)
    made = provenance.record(tmp_path, description=description())
    (tmp_path / "croissant.json").write_bytes(provenance.export(made, "croissant"))
    made.write(tmp_path / "manifest.json")
    done = subprocess.run([peer("python"), "-c", READ, str(len(TEXTS))], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = {made.files[int(place)].path: [base64.b64decode(one) for one in found] for place, found in json.loads(done.stdout).items()}
    assert read == {name: [content] for name, content in TEXTS.items()}
    assert croissant(tmp_path, "validate", "--jsonld", "croissant.json").returncode == 0


ODD = [
    {},
    {"source": "the old disk in room 4"},
    {"source": "s3://bucket/p\u00e4th with space/x", "licence": "LicenseRef-own-terms", "sensitivity": "special-category"},
    {"source": "not stated", "licence": "(MIT OR Apache-2.0) AND GPL-2.0-only WITH Classpath-exception-2.0", "sensitivity": "public"},
    {"source": "http://[bad:x", "name": "\u6570\u636e \n <b> \x07"},
    {"source": "C:\\data\\x", "custodian": ""},
    {"source": "https://x/{a}|<b>^`%zz#1#2", "notes": "a\nb" * 100},
    {"source": "https://example.org:8080/a?b=c#d", "sensitivity": "confidential"},
]


@pytest.fixture
def documents(data):
    """Exports of one dataset under odd descriptions, and of a model trained on it."""

    def make(format_):
        made = []
        for odd in ODD:
            stated = provenance.Description(
                **{"name": "tiny", "source": "https://example.org/tiny", "obtained": TIME, "licence": "CC-BY-4.0"} | FULL | odd
            )
            first = provenance.record(data, description=stated, derived_from=[provenance.Origin(digest=UPSTREAM, step="filter")])
            second = provenance.record(data, description=description(), derived_from=[first])
            what = {
                "version": "1",
                "datasets": [second, first],
                "base_models": [Subject(name="base", sha256=b"b" * 32), Subject(name="again", sha256=b"b" * 32)],
                "packages": ["pkg:pypi/numpy@2.1.0", "pkg:pypi/numpy@2.1.0", "pkg:npm/%40angular/animation@12.3.1?x=y#z"],
            }
            model = Subject(name=stated.name, sha256=b"m" * 32)
            if format_ == "cyclonedx":
                made.append(provenance.model_bom(model, **what))
            if format_ == "spdx":
                made.append(model_document(model, licence=stated.licence, location=stated.source, **what))
            made += [provenance.export(first, format_), provenance.export(second, format_)]
        return [json.loads(document) for document in made]

    return make


def model_document(model, **more):
    stated = {"version": "1", "licence": "MIT", "supplier": "Unit 7", "released": TIME, "location": "https://example.org/m"}
    return provenance.model_spdx(model, **stated | more)


@pytest.mark.slow
def test_cyclonedx_is_valid_for_datasets_and_models_however_they_are_described(documents):
    made = documents("cyclonedx")
    done = judged(CYCLONEDX, json.dumps(made).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    for broken in (b'"SHA-256"', b"urn:lifeseal:source:the%20old%20disk"):  # a control: the judge does refuse
        other = {b'"SHA-256"': b'"SHA-257"'}.get(broken, b"the old disk")
        assert judged(CYCLONEDX, json.dumps(made).encode().replace(broken, other)).returncode != 0


@pytest.mark.slow
def test_spdx_is_read_and_written_again_for_datasets_and_models_however_they_are_described(documents):
    made = json.dumps(documents("spdx")).encode()
    done = judged(SPDX, made)
    assert (done.returncode, done.stderr) == (0, b"")
    assert judged(SPDX, made.replace(b'"noAssertion"', b'"nonsense"')).returncode != 0


def test_slsa_is_provenance_to_its_judge(documents):
    for document in documents("slsa"):
        theirs = json_format.ParseDict(document, statement_pb2.Statement())
        TheirStatement.copy_from_pb(theirs).validate()
        assert theirs.predicate_type == "https://slsa.dev/provenance/v1"
        predicate = json_format.ParseDict(json_format.MessageToDict(theirs.predicate), provenance_pb2.Provenance())
        assert predicate.build_definition.build_type == "lifeseal:recording/1"
        assert predicate.run_details.builder.id
        assert any(item.digest.get("sha256") for item in predicate.build_definition.resolved_dependencies)


def test_a_pinned_commit_is_a_dependency_of_the_statement(manifest):
    url = "hf://datasets/acme/reviews@" + "ab" * 20
    pinned = attrs.evolve(manifest, pinned=(f"{url}/data",))
    found = json.loads(provenance.export(pinned, "slsa"))["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"uri": f"{url}/data", "digest": {"gitCommit": "ab" * 20}, "annotations": {"lifeseal:kind": "source"}} in found


DEMANDED = {
    "dataset_DatasetPackage": {
        "builtTime",
        "releaseTime",
        "originatedBy",
        "software_downloadLocation",
        "software_primaryPurpose",
        "dataset_datasetType",
    },
    "ai_AIPackage": {"suppliedBy", "software_downloadLocation", "software_packageVersion", "software_primaryPurpose", "releaseTime"},
}


def test_spdx_keeps_the_rules_of_its_text_that_judges_miss_for_every_package(documents):
    for document in documents("spdx"):
        graph = document["@graph"]
        links = [one for one in graph if one["type"] == "Relationship"]
        packages = [one for one in graph if one["type"] in DEMANDED]
        for one in packages:
            assert all(one[field] for field in DEMANDED[one["type"]])
            kinds = [link["relationshipType"] for link in links if link["from"] == one["spdxId"]]
            assert (kinds.count("hasConcludedLicense"), kinds.count("hasDeclaredLicense")) == (1, 1)
        ids = [one.get("spdxId") or one.get("@id") for one in graph]
        assert len(ids) == len(set(ids))
        assert {target for link in links for target in (link["from"], *link["to"])} <= set(ids)
        (whole,) = [one for one in graph if one["type"] == "SpdxDocument"]
        assert {"ai"} & set(whole["profileConformance"]) == ({"ai"} if any(one["type"] == "ai_AIPackage" for one in packages) else set())


def test_a_models_spdx_document_says_what_it_was_made_from(manifest):
    derived = provenance.Manifest.from_bytes(attrs.evolve(manifest, derived_from=(provenance.Origin.of(manifest),)).to_bytes())
    base = Subject(name="base", sha256=b"b" * 32)
    model = Subject(name="m", sha256=b"m" * 32)
    document = model_document(model, datasets=[derived, manifest], base_models=[base], packages=["pkg:pypi/numpy@2.1.0"])
    by_id = {one.get("spdxId"): one for one in json.loads(document)["@graph"]}
    links = {
        (one["relationshipType"], by_id[one["from"]]["name"], by_id[to]["name"])
        for one in by_id.values()
        if one["type"] == "Relationship"
        for to in one["to"]
        if "name" in by_id[to]
    }
    assert {("trainedOn", "m", "tiny"), ("ancestorOf", "base", "m"), ("dependsOn", "m", "numpy"), ("ancestorOf", "tiny", "tiny")} <= links
    assert by_id[f"urn:lifeseal:{manifest.digest}#dataset"]["type"] == "dataset_DatasetPackage"
    for sha256 in (model.sha256, base.sha256, manifest.sha256, derived.sha256):
        assert sha256.hex().encode() in document
    with pytest.raises(ValueError, match="a time zone"):
        model_document(model, released=TIME.replace(tzinfo=None))
    with pytest.raises(ValueError, match="a package URL was expected"):
        model_document(model, packages=["numpy"])


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("https://example.org:80/a?b=c#d", "https://example.org:80/a?b=c#d"),
        ("s3://bucket/a b/\u00e9", "s3://bucket/a%20b/%C3%A9"),
        ("https://x/%zz%20", "https://x/%25zz%20"),
        ("the old disk", "urn:lifeseal:source:the%20old%20disk"),
        ("http://[::1]/x", "urn:lifeseal:source:http%3A%2F%2F%5B%3A%3A1%5D%2Fx"),
        ("http://x:port/", "urn:lifeseal:source:http%3A%2F%2Fx%3Aport%2F"),
        ("a#b", "urn:lifeseal:source:a%23b"),
        ("https://x/#1#2", "urn:lifeseal:source:https%3A%2F%2Fx%2F%231%232"),
    ],
)
def test_what_stands_for_a_source_is_written_as_a_uri(source, uri):
    assert _uris.as_uri(source) == uri
    if uri.startswith("urn:lifeseal"):
        assert _uris.from_uri(uri) == source


@pytest.mark.slow
def test_croissant_stays_valid_beyond_the_number_of_files_that_it_lists(data):
    for number in range(_croissant.LISTED):
        (data / f"{number}.bin").write_bytes(b"%d" % number)
    made = provenance.record(data, description=description(**FULL))
    made.write(data / "manifest.json")
    (data / "croissant.json").write_bytes(provenance.export(made, "croissant"))
    checked = croissant(data, "validate", "--jsonld", "croissant.json")
    assert (checked.returncode, "warning" in (checked.stderr + checked.stdout).lower()) == (0, False)
    assert len((data / "croissant.json").read_bytes()) < 10_000


def test_spdx_keeps_the_rules_of_its_text_that_judges_miss(manifest):
    graph = json.loads(provenance.export(manifest, "spdx"))["@graph"]
    (package,) = [one for one in graph if one["type"] == "dataset_DatasetPackage" and one["spdxId"].endswith(f"{manifest.digest}#dataset")]
    for field in ("builtTime", "releaseTime", "originatedBy", "software_downloadLocation", "software_primaryPurpose", "dataset_datasetType"):
        assert package[field]
    kinds = [one["relationshipType"] for one in graph if one["type"] == "Relationship" and one["from"] == package["spdxId"]]
    assert (kinds.count("hasConcludedLicense"), kinds.count("hasDeclaredLicense")) == (1, 1)
    assert package["dataset_hasSensitivePersonalInformation"] == "yes"
    ids = {one.get("spdxId") or one.get("@id") for one in graph}
    assert {target for one in graph if one["type"] == "Relationship" for target in (one["from"], *one["to"])} <= ids


@pytest.mark.parametrize("format_", provenance.EXPORT_FORMATS)
def test_every_format_carries_our_digests_and_equal_manifests_give_equal_bytes(manifest, format_):
    document = provenance.export(manifest, format_)
    assert manifest.sha256.hex().encode() in document
    assert UPSTREAM.removeprefix("sha256:").encode() in document
    assert document == provenance.export(provenance.Manifest.from_bytes(manifest.to_bytes()), format_)
    if format_ in {"croissant", "spdx"}:
        assert all(file.sha256.hex().encode() in document for file in manifest.files)
    with pytest.raises(ValueError, match="format must be one of"):
        provenance.export(manifest, "rdf")


def test_many_files_are_named_by_the_manifest_and_not_one_by_one(manifest, monkeypatch):
    monkeypatch.setattr(_croissant, "LISTED", 2)
    monkeypatch.setattr(_spdx, "LISTED", 2)
    made = json.loads(provenance.export(manifest, "croissant"))
    assert [one["@type"] for one in made["distribution"]] == ["cr:FileObject", "cr:FileSet"]
    assert made["distribution"][0]["sha256"] == manifest.sha256.hex()
    assert made["distribution"][1]["containedIn"] == {"fileObject": {"@id": "lifeseal-manifest"}}
    assert b"software_File" not in provenance.export(manifest, "spdx")


def test_a_model_names_its_data_bases_and_packages(manifest):
    document = json.loads(
        provenance.model_bom(Subject(name="m", sha256=b"m" * 32), version="1", datasets=[manifest], base_models=[Subject(name="b", sha256=b"b" * 32)])
    )
    component = document["metadata"]["component"]
    assert component["modelCard"]["modelParameters"]["datasets"] == [{"ref": manifest.digest}]
    assert component["pedigree"]["ancestors"][0]["hashes"] == [{"alg": "SHA-256", "content": (b"b" * 32).hex()}]
    assert {entry["ref"]: entry["dependsOn"] for entry in document["dependencies"]}[manifest.digest] == [UPSTREAM]
    with pytest.raises(ValueError, match="a package URL was expected"):
        provenance.model_bom(Subject(name="m", sha256=b"m" * 32), version="1", packages=["numpy"])


@pytest.mark.parametrize("format_", ["croissant", "cyclonedx"])
def test_what_we_export_can_be_taken_over(manifest, format_, tmp_path):
    (tmp_path / "x.json").write_bytes(provenance.export(manifest, format_))
    found, origins = provenance.describe(tmp_path / "x.json", obtained=TIME)
    assert (found.name, found.source, found.licence, found.notes) == ("tiny", "https://example.org/tiny", "CC-BY-4.0", "A tiny set.")
    assert [origin.digest for origin in origins] == [UPSTREAM]
    kept = ("acquisition", "sensitivity", "retention", "custodian", "limitations", "intended_uses" if format_ == "croissant" else "permitted_uses")
    assert {field: getattr(found, field) for field in kept} == {field: getattr(manifest.description, field) for field in kept}
    assert provenance.record(tmp_path / "x.json", description=found, derived_from=origins)


def test_a_card_of_the_hub_is_taken_over(tmp_path):
    head = "license: apache-2.0\npretty_name: Reviews\ntask_categories:\n- text-classification\nsource_datasets: [original]"
    card = f"---\n{head}\n---\n# Reviews of things\n"
    (tmp_path / "README.md").write_text(card)
    found, origins = provenance.describe(tmp_path / "README.md", obtained=TIME)
    assert (found.name, found.licence, found.source, found.intended_uses, origins) == (
        "Reviews",
        "apache-2.0",
        "not stated",
        ("text-classification",),
        (),
    )


@pytest.mark.parametrize(
    ("head", "licence", "notes"),
    [
        ("license: mit\nsource_datasets:\n- original\n- extended|squad", "mit", "made from: extended|squad"),
        ("license: other\nlicense_name: My Own Terms!\nsource_datasets: extended|glue", "LicenseRef-My-Own-Terms", "made from: extended|glue"),
        ("license: unknown", "LicenseRef-unknown", ""),
        ("pretty_name: x", "LicenseRef-not-stated", ""),
    ],
)
def test_a_cards_upstream_is_named_and_a_licence_that_is_none_becomes_a_reference(head, licence, notes, tmp_path):
    (tmp_path / "README.md").write_text(f"---\n{head}\n---\n# T\n")
    found, _ = provenance.describe(tmp_path / "README.md", obtained=TIME)
    assert (found.licence, found.notes) == (licence, notes)


def test_a_bill_of_another_program_gives_upstream_by_its_hashes(tmp_path):
    upstream = {
        "type": "data",
        "name": "raw",
        "bom-ref": "raw-1",
        "hashes": [{"alg": "SHA-1", "content": "00"}, {"alg": "SHA-256", "content": "CD" * 32}],
    }
    component = {
        "type": "data",
        "name": "theirs",
        "bom-ref": "d",
        "licenses": [{"license": {"id": "MIT"}}],
        "pedigree": {
            "ancestors": [{"type": "data", "name": "base", "hashes": [{"alg": "SHA-256", "content": "ef" * 32}]}, {"type": "data", "name": "crawl"}]
        },
        "data": [{"type": "dataset", "sensitiveData": ["personal"], "governance": {"custodians": [{"organization": {"name": "Unit 7"}}]}}],
    }
    bill = {"bomFormat": "CycloneDX", "components": [component, upstream], "dependencies": [{"ref": "d", "dependsOn": ["raw-1", "nothing"]}]}
    (tmp_path / "x.json").write_text(json.dumps(bill))
    found, origins = provenance.describe(tmp_path / "x.json", obtained=TIME)
    assert [origin.digest for origin in origins] == ["sha256:" + "ef" * 32, "sha256:" + "cd" * 32]
    assert (found.name, found.licence, found.sensitivity, found.custodian, found.notes) == ("theirs", "MIT", "personal", "Unit 7", "made from: crawl")


def test_a_croissant_of_another_program_names_upstream_by_url(tmp_path):
    document = {"@context": {}, "name": "n", "url": "https://x/", "prov:wasDerivedFrom": [{"@id": "https://example.org/up"}, {"@id": UPSTREAM}]}
    (tmp_path / "x.json").write_text(json.dumps(document))
    found, origins = provenance.describe(tmp_path / "x.json", obtained=TIME)
    assert (found.notes, [origin.digest for origin in origins]) == ("made from: https://example.org/up", [UPSTREAM])


HOSTILE = {
    "no description": b'{"a": 1}',
    "a list": b"[]",
    "a bill without data": b'{"bomFormat": "CycloneDX", "components": [{"type": "library", "name": "x"}]}',
    "a name that is no text": b'{"@context": {}, "name": {"a": 1}}',
    "yaml that builds objects": b"---\na: !!python/object/apply:os.system [true]\n---\n",
    "yaml without fields": b"---\n- 1\n---\n",
    "yaml that is none": b"---\na: [\n---\n",
    "nothing": b"",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_refuses_to_take_over(what, tmp_path):
    (tmp_path / "d").write_bytes(HOSTILE[what])
    with pytest.raises(FormatError):
        provenance.describe(tmp_path / "d", obtained=TIME)


def test_aliases_that_multiply_end_soon(tmp_path):
    lines = ["---", "a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 60)] + ["pretty_name: *a59", "---"]
    (tmp_path / "d").write_text("\n".join(lines))
    assert provenance.describe(tmp_path / "d", obtained=TIME)[0].name


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "@id", "data", "type", "ref", "contents", "url"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ("bomFormat", "@context", "name", "url", "license", "components", "metadata", "dependencies", "prov:wasDerivedFrom", "creator", "licenses")


@given(st.dictionaries(st.sampled_from(FIELDS), json_values), st.booleans())
def test_any_document_is_taken_over_or_refused(tmp_path_factory, fields, bill):
    place = tmp_path_factory.getbasetemp() / f"any-{hashlib.sha256(repr(fields).encode()).hexdigest()}-{bill}"
    place.write_text(json.dumps(fields | ({"bomFormat": "CycloneDX"} if bill else {"@context": {}})))
    try:
        found, _ = provenance.describe(place, obtained=TIME)
    except LifesealError:
        return
    assert found.name.strip()


def test_an_export_without_statements_is_whole(data):
    bare = provenance.record(data, description=description())
    for format_ in provenance.EXPORT_FORMATS:
        assert json.loads(provenance.export(bare, format_))


def test_an_export_says_which_digests_are_the_servers_word(manifest):
    files = (attrs.evolve(manifest.files[0], stated_by="server"), *manifest.files[1:])
    stated = attrs.evolve(manifest, files=files)
    for kind in ("croissant", "spdx"):
        document = json.loads(provenance.export(stated, kind))
        texts = json.dumps(document)
        assert texts.count("is what the server states") == 1
        assert "is what the server states" not in provenance.export(manifest, kind).decode()
    assert b'"lifeseal:files-whose-sha256-the-server-states"' in provenance.export(stated, "cyclonedx")
    assert b"server-states" not in provenance.export(manifest, "cyclonedx")


def test_spdx_says_where_a_licence_of_ones_own_is_described(manifest):
    own = attrs.evolve(manifest, description=attrs.evolve(manifest.description, licence="MIT OR LicenseRef-a AND LicenseRef-b.1"))
    graph = json.loads(provenance.export(own, "spdx"))["@graph"]
    (expression,) = [one for one in graph if one["type"] == "simplelicensing_LicenseExpression"]
    texts = {one["name"]: one["spdxId"] for one in graph if one["type"] == "simplelicensing_SimpleLicensingText"}
    assert {one["key"]: one["value"] for one in expression["simplelicensing_customIdToUri"]} == texts
    assert set(texts) == {"LicenseRef-a", "LicenseRef-b.1"}
    plain = provenance.export(manifest, "spdx")
    assert b"customIdToUri" not in plain
    assert b"SimpleLicensingText" not in plain
