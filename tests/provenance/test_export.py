# SPDX-License-Identifier: Apache-2.0
"""Exports: accepted by each format's own judge, with our digests in them; and descriptions of others taken over."""

import datetime as dt
import hashlib
import json
import shutil
import subprocess

import pytest
from benchmarks._data import peer
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import provenance
from lifeseal.attestation import Subject
from lifeseal.errors import FormatError, LifesealError
from lifeseal.provenance import _croissant, _spdx

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
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
errors = JsonStrictValidator(SchemaVersion.V1_7).validate_str(sys.stdin.read(), all_errors=True)
sys.exit("\\n".join(str(e.data.message)[:200] for e in errors) if errors else 0)
"""
SPDX = """
import io, sys
from spdx_python_model import v3_0_1 as spdx
found = spdx.SHACLObjectSet()
spdx.JSONLDDeserializer().read(io.BytesIO(sys.stdin.buffer.read()), found)
spdx.JSONLDSerializer().write(found, io.BytesIO())
sys.exit(str(found.missing_ids) if found.missing_ids else 0)
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


@pytest.mark.slow
def test_cyclonedx_is_valid_for_a_dataset_and_for_a_model(manifest):
    model = provenance.model_bom(
        Subject(name="m", sha256=b"m" * 32),
        version="1",
        datasets=[manifest],
        base_models=[Subject(name="base", sha256=b"b" * 32)],
        packages=["pkg:pypi/numpy@2.1.0"],
    )
    for document in (provenance.export(manifest, "cyclonedx"), model):
        done = judged(CYCLONEDX, document)
        assert (done.returncode, done.stderr) == (0, b"")
    broken = model.replace(b'"SHA-256"', b'"SHA-257"')  # a control: the judge does refuse
    assert judged(CYCLONEDX, broken).returncode != 0


@pytest.mark.slow
def test_spdx_is_read_and_written_again(manifest):
    document = provenance.export(manifest, "spdx")
    done = judged(SPDX, document)
    assert (done.returncode, done.stderr) == (0, b"")
    assert judged(SPDX, document.replace(b'"noAssertion"', b'"nonsense"')).returncode != 0


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
    if format_ != "cyclonedx":
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
    assert provenance.record(tmp_path / "x.json", description=found, derived_from=origins)


def test_a_card_of_the_hub_is_taken_over(tmp_path):
    head = "license: apache-2.0\npretty_name: Reviews\ntask_categories:\n- text-classification\nsource_datasets: [original]"
    card = f"---\n{head}\n---\n# Reviews of things\n"
    (tmp_path / "README.md").write_text(card)
    found, origins = provenance.describe(tmp_path / "README.md", obtained=TIME)
    assert (found.name, found.licence, found.source, found.intended_uses, origins) == (
        "Reviews",
        "apache-2.0",
        "original",
        ("text-classification",),
        (),
    )


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
