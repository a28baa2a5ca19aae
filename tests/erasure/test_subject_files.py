# SPDX-License-Identifier: Apache-2.0
"""Files of people's records: JSONL by the line, Parquet by the row; provenance reads them sealed."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from erasure.conftest import in_memory
from lifeseal import provenance
from lifeseal._io import canonical, encode_base64, loads
from lifeseal.erasure import Vault, _columns, json_field
from lifeseal.errors import CredentialError, DestroyedError, DigestMismatchError, FormatError, LimitError, StateError, TamperedError
from lifeseal.provenance import Description, Records
from lifeseal.testing import MemoryCell

ROWS = [{"who": f"p{number % 3}", "text": "words " * number, "n": number} for number in range(20)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ABOUT = Description(name="reviews", source="s", obtained=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), licence="CC0-1.0")


@pytest.fixture
def vault():
    with in_memory() as folder, Vault.create(folder / "vault", root=MemoryCell()) as made:
        yield made


@pytest.fixture
def lines(vault, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(LINES)
    vault.subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "sealed.jsonl", id_field="who", overwrite=True)
    return tmp_path / "sealed.jsonl"


TABLE = pa.table(
    {
        "who": [f"p{number % 3}" for number in range(20)],
        "text": pa.array([None, *("words " * number for number in range(19))], pa.large_string()),
        "label": list(range(20)),
        "when": pa.array([0] * 20, pa.timestamp("us", "UTC")),
        "nested": [{"a": [1, None], "b": number} for number in range(20)],
        "exact": pa.array([None] * 20, pa.decimal128(10, 2)),
    }
)


@pytest.fixture
def table(vault, tmp_path):
    pq.write_table(TABLE, tmp_path / "in.parquet")
    vault.subjects.seal_file(tmp_path / "in.parquet", tmp_path / "sealed.parquet", id_field="who", clear=["label"], overwrite=True)
    return tmp_path / "sealed.parquet"


def test_each_line_is_sealed_under_its_persons_key(vault, lines, tmp_path):
    assert b"words" not in lines.read_bytes()
    sealed = lines.read_bytes().splitlines()
    assert [vault.subjects.owner(line) for line in sealed] == list(vault.subjects.slots(row["who"] for row in ROWS))
    assert all(set(json.loads(line)) == {"lifeseal.sealed/1"} for line in sealed)
    done = vault.subjects.unseal_file(lines, tmp_path / "out.jsonl", id_field="who", overwrite=True)
    assert (done.records, done.erased) == (20, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == LINES
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    assert vault.subjects.unseal(sealed[7]) == LINES.splitlines()[7]


def test_lines_of_the_erased_are_left_out_or_marked(vault, lines, tmp_path):
    (owner,) = vault.subjects.slots(["p1"])
    vault.subjects.erase(["p1"])
    done = vault.subjects.unseal_file(lines, tmp_path / "out.jsonl", overwrite=True)
    assert (done.records, done.erased) == (13, 7)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()] == [row for row in ROWS if row["who"] != "p1"]
    vault.subjects.unseal_file(lines, tmp_path / "out.jsonl", erased="mark", id_field="who", overwrite=True)
    marked = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    mark = {"lifeseal.erased/1": {"slot": owner.slot, "generation": 1, "epoch": vault.epoch}}
    assert marked == [mark if row["who"] == "p1" else row for row in ROWS]
    with pytest.raises(DestroyedError, match=r"sealed.jsonl, record 1: the person was erased"):
        vault.subjects.unseal_file(lines, tmp_path / "none.jsonl", erased="refuse", overwrite=True)
    assert not (tmp_path / "none.jsonl").exists()


def test_sealed_lines_are_read_through_the_manifest_that_covers_them(vault, lines, tmp_path):
    manifest = provenance.record(lines, description=ABOUT, records=Records(leaves=tmp_path / "leaves"))

    def read(**options):
        return list(vault.subjects.unseal_many(provenance.checked(manifest, lines), **options))

    assert read() == LINES.splitlines()
    vault.subjects.erase(["p0"])
    assert read() == [line for line, row in zip(LINES.splitlines(), ROWS, strict=True) if row["who"] != "p0"]
    assert len(read(erased="mark")) == 20
    provenance.verify(manifest, lines)
    changed = lines.read_bytes().splitlines()
    changed[3] = changed[1]  # in place of a record, one of an erased person
    lines.write_bytes(b"\n".join(changed) + b"\n")
    with pytest.raises(DigestMismatchError):
        read()


def test_rows_are_sealed_but_for_the_columns_that_stay_clear(vault, table, tmp_path):
    sealed = pq.read_table(table)
    assert sealed.schema.names == ["lifeseal.sealed/1", "label"]
    assert sealed["label"].to_pylist() == list(range(20))
    assert b"words" not in table.read_bytes()
    done = vault.subjects.unseal_file(table, tmp_path / "out.parquet", id_field="who", overwrite=True)
    assert (done.records, done.erased) == (20, 0)
    assert pq.read_table(tmp_path / "out.parquet").equals(TABLE)
    assert (tmp_path / "out.parquet").stat().st_mode & 0o777 == 0o600


def test_rows_of_the_erased_are_left_out_or_marked(vault, table, tmp_path):
    vault.subjects.erase(["p2"])
    done = vault.subjects.unseal_file(table, tmp_path / "out.parquet", overwrite=True)
    assert (done.records, done.erased) == (14, 6)
    assert pq.read_table(tmp_path / "out.parquet").equals(TABLE.filter(pa.array([number % 3 != 2 for number in range(20)])))
    vault.subjects.unseal_file(table, tmp_path / "out.parquet", erased="mark", id_field="who", overwrite=True)
    marked = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert marked[2] == {"who": None, "text": None, "label": 2, "when": None, "nested": None, "exact": None}
    assert [row["label"] for row in marked] == list(range(20))
    assert [row for row in marked if row["who"]] == [row for row in TABLE.to_pylist() if row["who"] != "p2"]
    with pytest.raises(DestroyedError, match=r"record 2: the person was erased"):
        vault.subjects.unseal_file(table, tmp_path / "none.parquet", erased="refuse", overwrite=True)
    vault.subjects.erase(["p0", "p1"])
    assert vault.subjects.unseal_file(table, tmp_path / "out.parquet", overwrite=True).erased == 20
    assert pq.read_table(tmp_path / "out.parquet").schema.equals(TABLE.schema)


def test_sealed_rows_are_read_through_the_manifest_that_covers_them(vault, table, tmp_path):
    manifest = provenance.record(table, description=ABOUT, records=Records(leaves=tmp_path / "leaves"))

    def read(**options):
        tables = list(vault.subjects.unseal_batches(provenance.checked_batches(manifest, table), **options))
        return pa.concat_tables(tables) if tables else None

    assert read().equals(TABLE)
    vault.subjects.erase(["p0"])
    assert read().equals(TABLE.filter(pa.array([number % 3 != 0 for number in range(20)])))
    assert read(erased="mark")["who"].to_pylist() == [None if number % 3 == 0 else f"p{number % 3}" for number in range(20)]
    with pytest.raises(DestroyedError, match="record 0"):
        read(erased="refuse")
    provenance.verify(manifest, table)
    with pytest.raises(FormatError, match="whose rows were sealed"):
        list(vault.subjects.unseal_batches(TABLE.to_batches()))
    vault.subjects.erase(["p1", "p2"])
    assert read() is None


def test_a_table_of_many_batches_and_dictionaries_comes_back(vault, tmp_path):
    kinds = pa.array(["a", "b", None] * 3000).dictionary_encode()
    table = pa.table({"who": pa.array([number % 500 for number in range(9000)], pa.int32()), "kind": kinds})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=2500)
    assert vault.subjects.seal_file(tmp_path / "in.parquet", tmp_path / "s.parquet", id_field="who", overwrite=True).people == 500
    vault.subjects.unseal_file(tmp_path / "s.parquet", tmp_path / "out.parquet", id_field="who", overwrite=True)
    back = pq.read_table(tmp_path / "out.parquet")
    assert back["who"].equals(table["who"])
    assert back["kind"].to_pylist() == table["kind"].to_pylist()
    assert vault.subjects.slots(["499"])


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (LINES + b"{}\n", "record 20, 'who'"),
        (LINES + b'{"who": null}\n', "record 20, 'who'"),
        (b'{"who": "secret-name", "who": "b"}\n', "record 0"),
        (b"secret-name\n", "record 0"),
        (b'{"secret-name": 1, "secret-name": 2, "who": "a"}\n', "record 0"),
        (LINES + b"\n" + LINES, "record 20"),
        (b'{"who": NaN}\n', "record 0"),
    ],
)
def test_a_line_that_names_nobody_is_refused_by_its_number(vault, tmp_path, content, place):
    (tmp_path / "in.jsonl").write_bytes(content)
    with pytest.raises(FormatError) as error:
        vault.subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", id_field="who", overwrite=True)
    assert f"in.jsonl, {place}" in str(error.value) or f"in.jsonl', {place}" in str(error.value)
    assert "secret-name" not in str(error.value)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("bad", [b"{}", b'{"lifeseal.sealed/1":"AAAA"}', b'{"lifeseal.sealed/1":"A"}', b'{"lifeseal.sealed/1": "AAAA"}', b"", b"x"])
def test_a_line_that_is_not_sealed_is_refused_by_its_number(vault, lines, tmp_path, bad):
    lines.write_bytes(lines.read_bytes() + bad + b"\n")
    with pytest.raises(FormatError, match="record 20"):
        vault.subjects.unseal_file(lines, tmp_path / "out.jsonl", overwrite=True)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_record_under_another_persons_key_is_found(vault, tmp_path):
    sealed = list(vault.subjects.seal_many([("ann", b'{"who":"ann"}'), ("bob", b'{"who":"ann"}')]))
    (tmp_path / "s.jsonl").write_bytes(b"".join(canonical({"lifeseal.sealed/1": encode_base64(one)}) + b"\n" for one in sealed))
    vault.subjects.unseal_file(tmp_path / "s.jsonl", tmp_path / "out.jsonl", overwrite=True)
    with pytest.raises(TamperedError, match=r"record 1: stands under slot 1, which is not that of the person it names"):
        vault.subjects.unseal_file(tmp_path / "s.jsonl", tmp_path / "out.jsonl", id_field="who", overwrite=True)


def test_a_row_under_another_persons_key_is_found(vault, tmp_path, monkeypatch):
    pq.write_table(TABLE, tmp_path / "in.parquet")
    real = _columns.Columns._people
    monkeypatch.setattr(_columns.Columns, "_people", lambda *args: ("p0" for _ in real(*args)))
    vault.subjects.seal_file(tmp_path / "in.parquet", tmp_path / "s.parquet", id_field="who", overwrite=True)
    monkeypatch.undo()
    vault.subjects.create_many(["p1"])
    with pytest.raises(TamperedError, match=r"record 1: stands under slot 0"):
        vault.subjects.unseal_file(tmp_path / "s.parquet", tmp_path / "out.parquet", id_field="who", overwrite=True)


def rewritten(path, change):
    """Change what a sealed Parquet file says of its layout."""
    table = pq.read_table(path)
    layout = json.loads(table.schema.metadata[b"lifeseal.sealed/1"])
    change(layout)
    metadata = {**table.schema.metadata, b"lifeseal.sealed/1": canonical(layout)}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_a_cell_opens_under_its_own_schema_alone(vault, table, tmp_path):
    other = pa.schema([field.with_type(pa.int64()) if field.name == "text" else field for field in TABLE.schema])
    rewritten(table, lambda layout: layout.update(schema=encode_base64(other.serialize().to_pybytes())))
    with pytest.raises(TamperedError, match=r"record 0: does not authenticate"):
        vault.subjects.unseal_file(table, tmp_path / "out.parquet", overwrite=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda layout: layout.update(schema="AAAA"),
        lambda layout: layout.update(sealed=["who"]),
        lambda layout: layout.update(sealed=["who", "nothing"]),
        lambda layout: layout.update(more=1),
        lambda layout: layout.pop("sealed"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(vault, table, tmp_path, change):
    rewritten(table, change)
    with pytest.raises(FormatError, match=r"metadata|columns"):
        vault.subjects.unseal_file(table, tmp_path / "out.parquet", overwrite=True)


def test_a_table_that_is_not_sealed_or_not_whole_is_refused(vault, table, tmp_path):
    with pytest.raises(FormatError, match="a Parquet file whose rows were sealed"):
        vault.subjects.unseal_file(tmp_path / "in.parquet", tmp_path / "out.parquet", overwrite=True)
    data = table.read_bytes()
    for cut in (0, 4, len(data) // 2, len(data) - 1):
        table.write_bytes(data[:cut])
        with pytest.raises(FormatError):
            vault.subjects.unseal_file(table, tmp_path / "out.parquet", overwrite=True)
    assert not (tmp_path / "out.parquet").exists()


def test_columns_that_are_not_there_or_odd_are_refused(vault, tmp_path):
    pq.write_table(TABLE, tmp_path / "in.parquet")

    def seal(**options):
        return vault.subjects.seal_file(tmp_path / "in.parquet", tmp_path / "out.parquet", overwrite=True, **options)

    with pytest.raises(FormatError, match="a column 'whom' was expected"):
        seal(id_field="whom")
    with pytest.raises(FormatError, match="a column 'stars' was expected"):
        seal(id_field="who", clear=["stars"])
    with pytest.raises(ValueError, match="cannot stay clear"):
        seal(id_field="who", clear=["who"])
    with pytest.raises(FormatError, match="record 0, 'text': text, or a whole number"):
        seal(id_field="text")
    pq.write_table(TABLE.rename_columns(["who", "text", "label", "when", "nested", "lifeseal.sealed/1"]), tmp_path / "in.parquet")
    with pytest.raises(FormatError, match="columns of different names"):
        seal(id_field="who")
    assert vault.info().subjects == 0


def test_a_record_of_another_vault_is_refused(vault, lines, tmp_path):
    with in_memory() as folder, Vault.create(folder / "vault", root=MemoryCell()) as other:
        other.subjects.create_many(["p0"])
        with pytest.raises(CredentialError, match="record 0: was sealed in vault"):
            other.subjects.unseal_file(lines, tmp_path / "out.jsonl", overwrite=True)


def test_a_large_record_is_sealed_and_one_of_too_many_values_is_not(vault, tmp_path):
    large = json.dumps({"who": "ann", "text": "x" * (9 << 20)}).encode() + b"\n"
    (tmp_path / "in.jsonl").write_bytes(large)
    vault.subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "s.jsonl", id_field="who", overwrite=True)
    vault.subjects.unseal_file(tmp_path / "s.jsonl", tmp_path / "out.jsonl", id_field="who", overwrite=True)
    assert (tmp_path / "out.jsonl").read_bytes() == large
    (tmp_path / "in.jsonl").write_bytes(b'{"who": "ann", "n": [' + b"1," * (5 << 20) + b"1]}\n")
    with pytest.raises(LimitError, match=r"record 0: .* values, more than the limit"):
        vault.subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "s.jsonl", id_field="who", overwrite=True)


def test_files_without_records_stay_so(vault, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b"")
    pq.write_table(TABLE.slice(0, 0), tmp_path / "in.parquet")
    for ending in ("jsonl", "parquet"):
        assert vault.subjects.seal_file(tmp_path / f"in.{ending}", tmp_path / f"s.{ending}", id_field="who", overwrite=True).records == 0
        assert vault.subjects.unseal_file(tmp_path / f"s.{ending}", tmp_path / f"out.{ending}", id_field="who", overwrite=True).records == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "out.parquet").equals(TABLE.slice(0, 0))


def test_names_that_do_not_fit_are_refused(vault, lines, tmp_path):
    for source, out, message in (
        (tmp_path / "in.csv", tmp_path / "out.csv", "named .jsonl, .ndjson or .parquet"),
        (lines, lines, "another name than the file that is read"),
        (lines, tmp_path / "out.json", "is to have the ending of sealed.jsonl"),
        (lines, vault._session.folder / "out.jsonl", "lies inside the vault"),
    ):
        with pytest.raises(ValueError, match=message):
            vault.subjects.unseal_file(source, out, overwrite=True)
    with pytest.raises(ValueError, match="a line of JSONL is sealed whole"):
        vault.subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "o.jsonl", id_field="who", clear=["n"], overwrite=True)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(FormatError, match="not a folder"):
        vault.subjects.unseal_file(tmp_path / "folder.jsonl", tmp_path / "o.jsonl", overwrite=True)
    (tmp_path / "link.jsonl").symlink_to(lines)
    with pytest.raises(ValueError, match="another name"):
        vault.subjects.unseal_file(tmp_path / "link.jsonl", lines, overwrite=True)


def test_a_person_erased_while_a_file_is_sealed_ends_the_work(vault, tmp_path, monkeypatch):
    (tmp_path / "in.jsonl").write_bytes(LINES)
    monkeypatch.setattr("lifeseal.erasure._batches._RECORDS", 5)
    real, count = _columns.Work.seal, []

    def seal(work, *args, **options):
        count.append(1)
        if len(count) == 3:
            vault.subjects.erase(["p1"])
        return real(work, *args, **options)

    monkeypatch.setattr(_columns.Work, "seal", seal)
    with pytest.raises(StateError, match="people were erased while records were sealed"):
        vault.subjects.seal_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", id_field="who", overwrite=True)
    assert not (tmp_path / "out.jsonl").exists()
    assert vault.info().subjects == 2


def test_leaf_digests_of_plaintext_go_with_the_person(vault, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(LINES)
    vault.subjects.create_many({row["who"] for row in ROWS})
    keys = vault.subjects.leaf_keys(json_field("who"))
    manifest = provenance.record(tmp_path / "in.jsonl", description=ABOUT, records=Records(leaves=tmp_path / "leaves"), leaf_key=keys)
    assert list(provenance.checked(manifest, tmp_path / "in.jsonl", leaf_key=keys)) == LINES.splitlines()
    vault.subjects.erase(["p1"])
    after = vault.subjects.leaf_keys(json_field("who"))
    with pytest.raises(Exception, match="never had, or were erased"):
        list(provenance.checked(manifest, tmp_path / "in.jsonl", leaf_key=after))
    proof = provenance.prove(manifest, LINES.splitlines()[0], leaf_key=after)
    provenance.check_proof(proof, manifest, record=LINES.splitlines()[0], leaf_key=after)


def test_sealed_lines_are_strict_json(lines):
    for line in lines.read_bytes().splitlines():
        document = loads(line, where="line")
        assert canonical(document) == line
