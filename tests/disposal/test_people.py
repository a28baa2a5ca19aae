# SPDX-License-Identifier: Apache-2.0
"""Where a person's records stand: in which files, datasets and models; for a request of access."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifeseal import disposal, provenance
from lifeseal.attestation import Subject
from lifeseal.erasure import Vault
from lifeseal.errors import CredentialError, FormatError, StoreError
from lifeseal.provenance import Description, Origin, Records
from lifeseal.testing import MemoryCell

CODE = provenance.Code(uri="https://example.org/train", commit="a" * 40)
ROWS = [{"who": f"p{number % 3}", "n": number} for number in range(9)]


def describe(name):
    return Description(name=name, source="s", obtained=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), licence="CC0-1.0")


def record(path, folder, **options):
    return provenance.record(path, description=describe(path.stem), records=Records(leaves=folder / f"{path.name}.leaves"), **options)


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pq.write_table(pa.Table.from_pylist([row for row in ROWS if row["who"] != "p2"]), tmp_path / "in.parquet")
    with Vault.create(tmp_path / "vault", root=MemoryCell()) as vault:
        for ending in ("jsonl", "parquet"):
            vault.subjects.seal_file(tmp_path / f"in.{ending}", tmp_path / f"all.{ending}", id_field="who")
        yield vault, tmp_path


def test_a_persons_records_are_found_in_each_file_by_number(scene):
    vault, folder = scene
    p0, p2 = disposal.find_people(vault, ["p0", "p2"], [folder / "all.jsonl", folder / "all.parquet"])
    assert [(found.path.rpartition("/")[2], found.numbers) for found in p0.files] == [("all.jsonl", (0, 3, 6)), ("all.parquet", (0, 2, 4))]
    assert [(found.path.rpartition("/")[2], found.numbers) for found in p2.files] == [("all.jsonl", (2, 5, 8))]
    assert (p0.records, p2.records) == (6, 3)
    assert p0.pseudonym == vault.subjects.pseudonym("p0")
    assert p0.edges == p2.edges == ()
    lines = (folder / "all.jsonl").read_bytes().splitlines()
    assert p2.files[0].records == tuple(lines[number] for number in (2, 5, 8))


def test_records_are_followed_to_the_datasets_and_models_that_saw_them(scene):
    vault, folder = scene
    whole = record(folder / "all.jsonl", folder)
    lines = (folder / "all.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "some.jsonl").write_bytes(b"".join(lines[:2]))  # p0 and p1
    some = record(folder / "some.jsonl", folder, derived_from=[Origin.of(whole, step="filter")])
    model = Subject(name="classifier", sha256=bytes(32))
    trained = provenance.record_training(model, inputs=[some], parameters={}, code=CODE)
    statements = [whole, some, trained]
    p1, p2 = disposal.find_people(vault, ["p1", "p2"], [folder / "all.jsonl"], statements=statements)
    assert {(edge.kind, edge.name) for edge in p1.edges if edge.certain} == {("dataset", "all"), ("dataset", "some"), ("model", "classifier")}
    assert {(edge.kind, edge.name) for edge in p2.edges} == {("dataset", "all")}
    assert all(edge.certain for edge in p2.edges)


def test_what_is_reached_by_the_file_alone_is_not_certain(scene):
    vault, folder = scene
    whole = record(folder / "all.parquet", folder)
    model = Subject(name="classifier", sha256=bytes(32))
    trained = provenance.record_training(model, inputs=[whole], parameters={}, code=CODE)
    (p0,) = disposal.find_people(vault, ["p0"], [folder / "all.parquet"], statements=[whole, trained])
    assert [(edge.kind, edge.certain) for edge in p0.edges] == [("dataset", True), ("model", False)]
    assert p0.edges[1].note == "the file was followed, not the person's records in it"


def test_an_erased_person_is_found_no_more(scene):
    vault, folder = scene
    vault.subjects.erase(["p0"])
    with pytest.raises(StoreError, match="1 of 2 people have no records here"):
        disposal.find_people(vault, ["p1", "p0"], [folder / "all.jsonl"])
    (p1,) = disposal.find_people(vault, ["p1"], [folder / "all.jsonl"])
    assert p1.files[0].numbers == (1, 4, 7)


def test_files_that_are_not_sealed_here_are_refused(scene, tmp_path):
    vault, folder = scene
    for name in ("in.jsonl", "in.parquet"):
        with pytest.raises(FormatError):
            disposal.find_people(vault, ["p0"], [folder / name])
    with pytest.raises(ValueError, match=r"named \.jsonl"):
        disposal.find_people(vault, ["p0"], [folder / "in.csv"])
    with Vault.create(tmp_path / "other", root=MemoryCell()) as other:
        other.subjects.create_many(["p0"])
        with pytest.raises(CredentialError):
            disposal.find_people(other, ["p0"], [folder / "all.jsonl"])
