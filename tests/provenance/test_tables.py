# SPDX-License-Identifier: Apache-2.0
"""Tables: equal rows are equal records in every layout, and any other value, type or name is another record."""

import datetime as dt
import decimal
import hashlib
import io
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal import provenance
from lifeseal.errors import DigestMismatchError, FormatError, LifesealError, LimitError
from lifeseal.provenance import (
    Absent,
    CheckedRecords,
    Included,
    Records,
    _rows,
    check_proof,
    checked,
    checked_batches,
    prove,
    read_columns,
    row_entries,
)

NUMBERS = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q"}
EPOCH = dt.date(1970, 1, 1)


def cell(value, kind):
    """Encode one cell in plain Python, after the format page."""
    if value is None:
        return b"\0"
    return b"\1" + (_nested_value if isinstance(kind, list) else _flat_value)(value, kind)


def _nested_value(value, kind):
    if kind[0] == "struct":
        return b"".join(cell(value[name], inner) for name, inner in kind[1])
    inner = ["struct", [["key", kind[1]], ["value", kind[2]]]] if kind[0] == "map" else kind[1]
    items = [{"key": k, "value": v} for k, v in value] if kind[0] == "map" else value
    return struct.pack("<I", len(items)) + b"".join(cell(item, inner) for item in items)


def _flat_value(value, kind):
    formats = {**NUMBERS, "bool": "?", "float64": "d", "float32": "f", "date32[day]": "i", "timestamp[us, tz=UTC]": "q"}
    if kind == "date32[day]":
        value = (value - EPOCH).days
    elif kind.startswith("timestamp"):
        value = (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    elif kind.startswith("decimal"):
        return int(value.scaleb(2)).to_bytes(16, "little", signed=True)
    if kind in formats:
        return struct.pack(f"<{formats[kind]}", value)
    data = value.encode() if isinstance(value, str) else value
    return data if kind == "binary[2]" else struct.pack("<I", len(data)) + data


def canonical(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parsed(text):
    return json.loads(text) if text.startswith("[") else text


def by_hand(table):
    columns = [(field.name, _rows.type_text(field.type, "t")) for field in table.schema]
    prefix = hashlib.sha256(canonical([list(column) for column in columns])).digest()
    rows = table.to_pylist(maps_as_pydicts=None)
    return [prefix + b"".join(cell(row[name], parsed(kind)) for name, kind in columns) for row in rows]


_scalars = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats(allow_nan=False),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.string(): st.text(max_size=8),
    pa.large_string(): st.text(max_size=8),
    pa.binary(): st.binary(max_size=8),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.datetimes(dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
    pa.decimal128(12, 2): st.integers(-(10**11), 10**11).map(lambda n: decimal.Decimal(n).scaleb(-2)),
}


def _nested(kinds):
    def wrap(pair):
        kind, values = pair
        maybe = st.none() | values
        keys = st.text(max_size=3)
        return st.sampled_from(
            [
                (pa.list_(kind), st.lists(maybe, max_size=3)),
                (pa.large_list(kind), st.lists(maybe, max_size=3)),
                (pa.list_(kind, 2), st.lists(maybe, min_size=2, max_size=2)),
                (pa.struct([("x", kind), ("y", pa.int8())]), st.fixed_dictionaries({"x": maybe, "y": st.none() | st.integers(0, 9)})),
                (pa.map_(pa.string(), kind), st.lists(st.tuples(keys, maybe), max_size=3, unique_by=lambda pair: pair[0])),
            ]
        )

    return kinds.flatmap(wrap)


_kinds = st.recursive(st.sampled_from(list(_scalars.items())), _nested, max_leaves=3)


@st.composite
def tables(draw):
    columns = draw(st.lists(_kinds, min_size=1, max_size=3))
    count = draw(st.integers(0, 7))
    arrays = [pa.array(draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind) for kind, values in columns]
    return pa.table(arrays, names=[f"c{number}" for number in range(len(arrays))])


@given(tables())
def test_rows_are_encoded_as_the_format_page_says(table):
    assert row_entries(table) == by_hand(table)


@given(tables(), st.data())
def test_slices_and_chunks_make_no_difference(table, data):
    wanted = row_entries(table)
    first = data.draw(st.integers(0, table.num_rows))
    assert row_entries(table.slice(first)) == wanted[first:]
    assert row_entries(pa.concat_tables([table.slice(0, first), table.slice(first)])) == wanted
    assert [entry for batch in table.to_batches(max_chunksize=2) for entry in row_entries(batch)] == wanted


def stored(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def as_ipc(table, kind, chunk=None):
    sink = io.BytesIO()
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return sink.getvalue()


TABLE = pa.table(
    {
        "id": pa.array(range(3000), pa.int64()),
        "text": [None if number % 7 == 0 else f"text {number % 50}" for number in range(3000)],
        "score": pa.array([number / 3 for number in range(3000)], pa.float32()),
        "tags": [[f"t{number % 3}"] * (number % 4) if number % 5 else None for number in range(3000)],
        "who": [{"name": f"n{number % 9}", "age": None if number % 2 else number} for number in range(3000)],
    }
)
LAYOUTS = {
    "plain": stored(TABLE, compression="none", use_dictionary=False),
    "zstd": stored(TABLE, compression="zstd"),
    "small row groups": stored(TABLE, row_group_size=17),
    "small pages": stored(TABLE, data_page_size=64, data_page_version="2.0"),
    "another writer version": stored(TABLE, version="1.0"),
    "content-defined chunks": stored(TABLE, use_content_defined_chunking=True),
    "without the Arrow schema": stored(TABLE, store_schema=False),
    "dictionary": stored(TABLE.set_column(1, "text", TABLE["text"].dictionary_encode())),
    "large strings": stored(TABLE.set_column(1, "text", TABLE["text"].cast(pa.large_string()))),
    "string views": as_ipc(TABLE.set_column(1, "text", TABLE["text"].cast(pa.string_view())), "file"),
    "Arrow file": as_ipc(TABLE, "file"),
    "Arrow stream in chunks": as_ipc(TABLE, "stream", 100),
    "Arrow dictionary": as_ipc(TABLE.set_column(1, "text", TABLE["text"].dictionary_encode()), "file", 999),
}


@pytest.fixture
def recorded(tmp_path, description):
    def run(content, name="t.parquet", **options):
        path = tmp_path / name
        path.write_bytes(content)
        records = Records(leaves=tmp_path / "l", sets=options.pop("sets", False))
        return provenance.record(path, description=description, records=records, **options), path

    return run


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_rows_in_another_layout_have_the_equal_root_and_columns(layout, recorded):
    made, path = recorded(LAYOUTS[layout], "t.arrow" if "Arrow" in layout.partition(" ")[0] or layout == "string views" else "t.parquet")
    records = made.files[0].records
    assert (records.count, records.root) == (3000, pymerkle.InmemoryTree.init_from_entries(row_entries(TABLE), algorithm="sha256").get_root())
    wanted, _ = recorded(LAYOUTS["plain"], "u.parquet")
    assert records.columns == wanted.files[0].records.columns
    assert made.files[0].sha256 == hashlib.sha256(LAYOUTS[layout]).digest()
    assert list(checked(made, path)) == row_entries(TABLE)


@given(tables(), st.integers(1, 5), st.sampled_from(["none", "snappy", "zstd"]), st.booleans())
def test_any_table_comes_back_from_parquet_as_the_same_rows(table, group, compression, dictionary):
    found = pq.read_table(io.BytesIO(stored(table, row_group_size=group, compression=compression, use_dictionary=dictionary)))
    assert row_entries(found) == row_entries(table)


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}),
        pa.table({"a": pa.array([1], pa.int64()), "b": [b"x"]}),
        pa.table({"a": pa.array([1], pa.int64()), "c": ["x"]}),
        pa.table({"b": ["x"], "a": pa.array([1], pa.int64())}),
        pa.table({"a": pa.array([1], pa.int64()), "b": [""]}),
        pa.table({"a": pa.array([1], pa.int64()), "b": pa.array([None], pa.string())}),
        pa.table({"a": pa.array([None], pa.int64()), "b": ["x"]}),
        pa.table({"a": pa.array([1], pa.int64()), "b": ["x"], "c": pa.nulls(1)}),
        pa.table({"a": pa.array([1], pa.int64())}),
    ],
    ids=["integer type", "binary", "name", "order", "empty text", "null text", "null number", "one more column", "one less"],
)
def test_another_value_type_name_or_order_is_another_record(other):
    assert row_entries(other) != row_entries(pa.table({"a": pa.array([1], pa.int64()), "b": ["x"]}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([["a"], ["b", "c"]], [["a", "b"], ["c"]]),
        ([[], None], [None, []]),
        ([["ab"]], [["a", "b"]]),
        ([[""]], [[None]]),
    ],
)
def test_nested_values_do_not_run_into_one_another(first, second):
    kind = pa.list_(pa.string())
    assert row_entries(pa.table({"a": pa.array(first, kind)})) != row_entries(pa.table({"a": pa.array(second, kind)}))
    wanted, found = (provenance._rows.RowEncoder(pa.schema([("a", kind)]), "t") for _ in range(2))
    wanted.digest(pa.record_batch({"a": pa.array(first, kind)}))
    found.digest(pa.record_batch({"a": pa.array(second, kind)}))
    assert wanted.columns() != found.columns()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.dictionary(pa.int8(), pa.string()), "utf8"),
        (pa.string_view(), "utf8"),
        (pa.large_binary(), "binary"),
        (pa.float16(), "float16"),
        (pa.time64("ns"), "time64[ns]"),
        (pa.duration("s"), "duration[s]"),
        (pa.timestamp("ms", "Europe/Paris"), "timestamp[ms, tz=Europe/Paris]"),
        (pa.decimal256(50, 3), "decimal(50,3)"),
        (pa.list_(pa.int8(), 3), '["list","int8"]'),
        (pa.map_(pa.string(), pa.null()), '["map","utf8","null"]'),
        (pa.run_end_encoded(pa.int32(), pa.int8()), "int8"),
        (pa.uuid(), '["extension","arrow.uuid","binary[16]"]'),
    ],
)
def test_a_type_is_written_without_its_layout(kind, text):
    assert _rows.type_text(kind, "t") == text


@pytest.mark.parametrize(
    "array",
    [
        pa.RunEndEncodedArray.from_arrays([1, 3], [5, None]),
        pa.array([b"x" * 16, None], pa.uuid()),
        pa.array([decimal.Decimal("1.5"), None], pa.decimal256(50, 3)),
        pa.array([dt.timedelta(seconds=3), None], pa.duration("s")),
        pa.array([[1, 2], None], pa.list_view(pa.int8())),
        pa.array([{}, None], pa.struct([])),
        pa.nulls(2),
    ],
    ids=["run-end", "uuid", "decimal256", "duration", "list view", "empty struct", "null"],
)
def test_rarer_types_have_an_encoding(array):
    entries = row_entries(pa.table({"a": array}))
    assert len(entries) == len(array)
    assert entries[-1][32:] == b"\0"


def test_what_has_no_encoding_is_refused():
    union = pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])
    with pytest.raises(FormatError, match="for which no encoding is defined"):
        row_entries(pa.table({"a": union}))
    with pytest.raises(FormatError, match="two columns have one name"):
        row_entries(pa.table([pa.array([1]), pa.array([1])], names=["a", "a"]))
    deep = pa.int8()
    for _ in range(40):
        deep = pa.list_(deep)
    with pytest.raises(LimitError, match="nested types"):
        row_entries(pa.table({"a": pa.array([None], deep)}))


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_broken_file_is_a_plain_error(name, recorded, tmp_path):
    good = LAYOUTS["zstd"] if name == "t.parquet" else LAYOUTS["Arrow file"]
    recorded(good, name)
    before = set((tmp_path / "l").glob("*.leaves"))
    for bad in (b"", b"PAR1", good[:-1], good[: len(good) // 2], good[1:], b"\0" * 500, good[:-4] + b"\0\0\0\0"):
        with pytest.raises(FormatError, match=r"not a whole (parquet|arrow) file"):
            recorded(bad, name)
    assert set((tmp_path / "l").glob("*.leaves")) == before


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_file_with_flipped_bytes_is_refused_or_has_other_rows_or_the_same(name, recorded):
    good = stored(TABLE.slice(0, 20)) if name == "t.parquet" else as_ipc(TABLE.slice(0, 20), "file")
    made, path = recorded(good, name)
    wanted = row_entries(TABLE.slice(0, 20))
    for place in range(0, len(good), max(1, len(good) // 150)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x41]) + good[place + 1 :])
        out = []
        try:
            out.extend(checked(made, path))
        except LifesealError:
            assert out == wanted[: len(out)]
        else:
            assert out == wanted


def test_reading_goes_on_in_the_middle_and_by_number(recorded):
    made, path = recorded(LAYOUTS["small row groups"])
    rows = row_entries(TABLE)
    assert list(checked(made, path, start=1234)) == rows[1234:]
    assert list(checked(made, path, part=(2, 7))) == rows[857:1285]
    with CheckedRecords.open(made, path) as records:
        assert [records[number] for number in (0, 16, 17, 2999)] == [rows[number] for number in (0, 16, 17, 2999)]
    assert provenance.verify(made, path, sample=5).sample.unit == "records"


def test_batches_are_handed_out_when_all_their_rows_are_right(recorded):
    made, path = recorded(LAYOUTS["small row groups"])
    assert pa.Table.from_batches(list(checked_batches(made, path))).equals(TABLE)
    column = pa.array([number if number != 2000 else -1 for number in range(3000)], pa.int64())
    path.write_bytes(stored(TABLE.set_column(0, "id", column), row_group_size=100))
    out = []
    with pytest.raises(DigestMismatchError) as caught:
        out.extend(checked_batches(made, path))
    assert (caught.value.changed, caught.value.record, sum(batch.num_rows for batch in out)) == (("t.parquet",), 2000, 2000)
    for rows, wrong in ((TABLE.slice(0, 2990), 2990), (pa.concat_tables([TABLE, TABLE.slice(0, 1)]), 3000), (TABLE.slice(1), 0)):
        path.write_bytes(stored(rows))
        for read in (checked_batches, checked):
            with pytest.raises(DigestMismatchError) as caught:
                list(read(made, path))
            assert caught.value.record == wrong


def test_without_tables_there_are_no_batches(data, manifest):
    with pytest.raises(FormatError, match="no tables were recorded"):
        checked_batches(manifest, data)


@pytest.mark.parametrize("layout", ["small row groups", "Arrow stream in chunks"])
def test_columns_alone_can_be_checked(layout, recorded):
    name = "t.arrow" if "Arrow" in layout else "t.parquet"
    made, path = recorded(LAYOUTS[layout], name)
    assert read_columns(made, path, name, ["who", "id"]).equals(TABLE.select(["who", "id"]))
    write = stored if name == "t.parquet" else (lambda table: as_ipc(table, "stream"))
    path.write_bytes(write(TABLE.set_column(2, "score", pa.array([0.0] * 3000, pa.float32()))))
    assert read_columns(made, path, name, ["id"]).num_rows == 3000  # another column changed, and nobody asked for it
    with pytest.raises(DigestMismatchError) as caught:
        read_columns(made, path, name, ["id", "score"])
    assert caught.value.changed == ("score",)
    path.write_bytes(write(TABLE.drop_columns("score")))
    with pytest.raises(DigestMismatchError) as caught:
        read_columns(made, path, name, ["score"])
    assert caught.value.missing == ("score",)
    with pytest.raises(KeyError):
        read_columns(made, path, name, ["nothing"])


def test_columns_of_what_is_no_table_are_refused(data, manifest):
    with pytest.raises(FormatError, match="not recorded as a table"):
        read_columns(manifest, data, "a.csv", ["a"])


def test_a_row_is_proved_there_and_absent(recorded):
    made, _ = recorded(LAYOUTS["zstd"], sets=True)
    (row,) = row_entries(TABLE.slice(77, 1))
    claim = check_proof(prove(made, row), made, record=row)
    assert (type(claim), claim.place.index) == (Included, 77)
    (other,) = row_entries(TABLE.slice(77, 1).set_column(0, "id", pa.array([-77], pa.int64())))
    assert isinstance(check_proof(prove(made, other), made, record=other), Absent)


def test_a_row_longer_than_the_limit_is_refused(recorded, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_RECORD", 1000)
    with pytest.raises(LimitError, match=r"a row: .* more than the limit of 1000"):
        recorded(stored(pa.table({"a": ["x" * 2000]})))


def test_large_cells_are_read_a_few_at_a_time(recorded):
    made, path = recorded(stored(pa.table({"a": [bytes([n]) * (1 << 20) for n in range(40)]}), compression="none", use_dictionary=False))
    assert max(batch.num_rows for batch in checked_batches(made, path)) <= 16
    assert made.records == 40
