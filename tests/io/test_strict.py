# SPDX-License-Identifier: Apache-2.0
"""One reading for every byte sequence, or a refusal."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal._io import TAKEN_OUT, Record, canonical, decode_base64, encode_base64, loads, parse_hex, take_out
from lifeseal.errors import FormatError, LimitError

REFUSED = {
    "a UTF-8 byte order mark": (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
    "UTF-16 with a mark": ('{"a":1}'.encode("utf-16"), "byte order mark"),
    "UTF-16 without a mark": ('{"a":1}'.encode("utf-16-le"), "not valid JSON"),
    "Latin-1": ('"é"'.encode("latin-1"), "not valid UTF-8"),
    "an encoded surrogate": (b'"\xed\xa0\x80"', "not valid UTF-8"),
    "an overlong slash": (b'"\xc0\xaf"', "not valid UTF-8"),
    "a repeated key": (b'{"a":1,"b":2,"a":1}', "key 'a' stands twice"),
    "a repeated key below": (b'[{"x":{"a":1,"a":2}}]', "key 'a' stands twice"),
    "a key repeated by an escape": (b'{"a":1,"\\u0061":2}', "key 'a' stands twice"),
    "NaN": (b'{"a":NaN}', "'NaN'"),
    "Infinity": (b"[Infinity]", "'Infinity'"),
    "-Infinity": (b"[-Infinity]", "'-Infinity'"),
    "half a pair": (b'"\\ud800"', "surrogate"),
    "half a pair in a key": (b'{"\\udc00":1}', "surrogate"),
    "a pair the wrong way round": (b'["\\udc00\\ud800"]', "surrogate"),
    "a fraction": (b"[1.0]", "'1.0'"),
    "an exponent": (b"[1e3]", "'1e3'"),
    "an integer of 21 digits": (b"100000000000000000000", "is not allowed"),
    "an integer of 5000 digits": (b"1" * 5000, "is not allowed"),
    "nothing": (b"", "not valid JSON"),
    "two documents": (b"{} {}", "not valid JSON"),
    "a comment": (b"{} // no", "not valid JSON"),
    "a trailing comma": (b"[1,]", "not valid JSON"),
    "single quotes": (b"{'a':1}", "not valid JSON"),
    "a leading zero": (b"[01]", "not valid JSON"),
    "a raw line break in a string": (b'"a\nb"', "not valid JSON"),
    "a NUL": (b'"a\x00b"', "not valid JSON"),
    "an unterminated string": (b'{"a":"b', "not valid JSON"),
    "a bracket too many": (b"[]]", "not valid JSON"),
}
ACCEPTED = {
    "an object": (b'{"a":1}', {"a": 1}),
    "UTF-8": ('"é"'.encode(), "é"),
    "one key in two objects": (b'[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}]),
    "keys that differ in case": (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
    "names of numbers as text": (b'["NaN","Infinity"]', ["NaN", "Infinity"]),
    "a whole pair": (b'"\\ud83d\\ude00"', "\U0001f600"),
    "a backslash before a u": (b'"\\\\ud800"', "\\ud800"),
    "an integer of 20 digits": (b"99999999999999999999", 99999999999999999999),
    "a negative integer of 20 digits": (b"-99999999999999999999", -99999999999999999999),
    "white space around": (b' \n{ "a" : 1 }\t', {"a": 1}),
    "an escaped line break": (b'"a\\nb"', "a\nb"),
    "a bare value": (b"null", None),
}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20) + 1, 10**20 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(("data", "complaint"), REFUSED.values(), ids=REFUSED)
def test_refuses(data, complaint):
    with pytest.raises(FormatError) as caught:
        loads(data, where="doc.json")
    assert str(caught.value).startswith("doc.json")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(("data", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(data, value):
    found = loads(data, where="doc.json")
    assert found == value
    assert type(found) is type(value)


def test_says_line_and_column():
    with pytest.raises(FormatError, match=r"doc\.json, line 2 column 6"):
        loads(b'{\n"a": }', where="doc.json")


@pytest.mark.parametrize("data", [b"1e999", b"-1e999", b"NaN", b"Infinity"])
def test_refuses_numbers_that_are_not_finite_where_floats_are_welcome(data):
    with pytest.raises(FormatError, match="is not allowed here"):
        loads(data, where="x", floats=True)


def test_accepts_finite_floats_where_they_are_welcome():
    assert loads(b"[1.5,1e3,2]", where="x", floats=True) == [1.5, 1000.0, 2]


def test_refuses_a_document_one_byte_too_large():
    assert loads(b'"abc"', where="x", max_bytes=5) == "abc"
    with pytest.raises(LimitError) as caught:
        loads(b'"abcd"', where="x", max_bytes=5)
    assert (caught.value.limit, caught.value.seen) == (5, 6)


@pytest.mark.parametrize(("opening", "inner", "closing"), [(b"[", b"", b"]"), (b'{"a":', b"1", b"}"), (b'[{"a":', b"1", b"}]")])
def test_refuses_one_level_too_deep(opening, inner, closing):
    levels = 6 // sum(opening.count(bracket) for bracket in (b"[", b"{"))
    loads(opening * levels + inner + closing * levels, where="x", max_depth=6)
    with pytest.raises(LimitError, match="7 nested levels, more than the limit of 6"):
        loads(b"[" + opening * levels + inner + closing * levels + b"]", where="x", max_depth=6)


def test_depth_is_counted_outside_strings_only():
    text = '[{"' * 50 + '\\"' * 50 + "]]]}}}"
    assert loads(json.dumps([text, {text: text}]).encode(), where="x", max_depth=2) == [text, {text: text}]


def test_brackets_side_by_side_are_not_deep():
    assert loads(b"[" + b"[]," * 1000 + b"[]]", where="x", max_depth=2) == [[]] * 1001


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 5_000_000,
        b'{"a":' * 1_000_000,
        b"[" * 33 + b"]" * 5_000_000,
        b"[]" * 40 + b'"' + b'\\"' * 2_000_000,
        b"[]" * 40 + b'"' + b"\\" * 4_000_001,
        b"[" + b",".join(b'{"a":"' for _ in range(500_000)),
        b"{" + b",".join(b'"k%d":1' % i for i in range(200_000)) + b',"k199999":1}',
    ],
    ids=["arrays", "objects", "closings", "open string of quotes", "open string of backslashes", "unclosed", "many keys"],
)
def test_refuses_a_bomb_that_would_take_hours_in_quadratic_time(bomb):
    with pytest.raises((FormatError, LimitError)):
        loads(bomb, where="bomb")


@given(values)
def test_what_canonical_writes_loads_reads(value):
    written = canonical(value)
    assert loads(written, where="x") == value
    assert canonical(loads(written, where="x")) == written


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_json_reads_them_or_refused(data):
    try:
        found = loads(data, where="x", floats=True)
    except (FormatError, LimitError):
        return
    assert found == json.loads(data)


def test_canonical_sorts_by_code_point_and_escapes_little():
    assert canonical({"b": [True, None], "a": "é\n/", "B": 1}) == '{"B":1,"a":"é\\n/","b":[true,null]}'.encode()


@pytest.mark.parametrize("value", ["\ud800", float("nan"), float("inf")])
def test_canonical_refuses_what_loads_would_refuse(value):
    with pytest.raises(ValueError, match=r"surrogates|compliant"):
        canonical([value])


@given(st.binary(max_size=100))
def test_base64_goes_there_and_back(data):
    assert decode_base64(encode_base64(data), where="x") == data
    assert encode_base64(data) == base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "text", ["QQ", "QQ=", "QR==", "QUJD=", "QUJD====", "QUI==", "QUJ=", "QQ==\n", " QQ==", "QQ==QQ==", "Q-__", "QQ===", "é===", "=", "Q Q ="]
)
def test_refuses_base64_that_no_encoder_writes(text):
    with pytest.raises(FormatError, match="base64"):
        decode_base64(text, where="x")


@pytest.mark.parametrize(("text", "data"), [("", b""), ("QQ==", b"A"), ("QUI=", b"AB"), ("+/+/", b"\xfb\xff\xbf")])
def test_accepts_base64_as_encoders_write_it(text, data):
    assert decode_base64(text, where="x") == data


@pytest.mark.parametrize("value", ["AB", "a", "abc", "0g", "ab\n", " ab", "é0", 10, None, "\u0660\u0660"])
def test_refuses_anything_but_lower_case_hexadecimal(value):
    with pytest.raises(FormatError, match="2 lower-case hexadecimal digits"):
        parse_hex(value, length=1, where="x")


def test_reads_lower_case_hexadecimal():
    assert parse_hex("0aff", length=2, where="x") == b"\x0a\xff"
    assert Record({"h": "0aff"}, where="x").take_hex("h", length=2) == b"\x0a\xff"


@pytest.fixture
def record():
    return Record({"s": "text", "i": 7, "b": True, "l": ["a", "b"], "r": {"x": 1}, "k": "QUI=", "n": None}, where="doc")


def test_reads_each_kind_of_field(record):
    assert record.take_str("s") == "text"
    assert record.take_int("i", low=7, high=7) == 7
    assert record.take_bool("b") is True
    assert record.take_list("l", max_items=2) == ["a", "b"]
    assert record.take_strs("l") == ("a", "b")
    inner = record.take_record("r")
    assert inner.where == "doc, 'r'"
    assert inner.take_int("x") == 1
    inner.done()
    assert record.take_base64("k") == b"AB"
    assert record.take("n") is None
    record.take_const("s", "text")
    record.done()


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        (lambda r: r.take("absent"), "doc: field 'absent' is missing"),
        (lambda r: r.take_str("i"), "doc, 'i': a string was expected, not an integer"),
        (lambda r: r.take_str("n"), "doc, 'n': a string was expected, not null"),
        (lambda r: r.take_int("b"), "doc, 'b': an integer was expected, not a boolean"),
        (lambda r: r.take_int("s"), "doc, 's': an integer was expected, not a string"),
        (lambda r: r.take_int("i", low=8), "doc, 'i': an integer from 8"),
        (lambda r: r.take_int("i", high=6), "doc, 'i': an integer from 0 to 6"),
        (lambda r: r.take_bool("i"), "doc, 'i': a boolean was expected, not an integer"),
        (lambda r: r.take_list("r"), "doc, 'r': an array was expected, not an object"),
        (lambda r: r.take_strs("s"), "doc, 's': an array was expected, not a string"),
        (lambda r: r.take_record("l"), "doc, 'l': an object was expected, not an array"),
        (lambda r: r.take_const("s", "other"), "doc, 's': 'other' was expected, not 'text'"),
        (lambda r: r.take_const("i", "7"), "doc, 'i': '7' was expected, not an integer"),
        (lambda r: r.take_base64("i"), "doc, 'i': a string was expected, not an integer"),
        (lambda r: r.take_hex("s", length=2), "doc, 's': 4 lower-case"),
    ],
)
def test_names_the_field_that_is_wrong(record, read, complaint):
    with pytest.raises(FormatError) as caught:
        read(record)
    assert str(caught.value).startswith(complaint)


def test_refuses_an_array_that_holds_more_than_strings():
    with pytest.raises(FormatError, match="doc, 'l': an array of strings was expected"):
        Record({"l": ["a", 1]}, where="doc").take_strs("l")


def test_refuses_a_string_or_array_over_its_bound(record):
    record.take_str("s", max_length=4)
    with pytest.raises(LimitError, match="doc, 's': 4 characters, more than the limit of 3"):
        record.take_str("s", max_length=3)
    with pytest.raises(LimitError, match="doc, 'l': 2 items, more than the limit of 1"):
        record.take_strs("l", max_items=1)


def test_refuses_what_was_not_read(record):
    record.take_str("s")
    with pytest.raises(FormatError, match="doc: unknown field 'b'"):
        record.done()


def test_lets_unknown_fields_pass_where_a_standard_says_so(record):
    record.skip()
    record.done()


def test_asking_for_a_field_is_not_reading_it():
    record = Record({"a": 1}, where="doc")
    assert "a" in record
    assert "b" not in record
    with pytest.raises(FormatError, match="unknown field 'a'"):
        record.done()


@pytest.mark.parametrize("value", [[], "x", 1, None, True])
def test_refuses_anything_but_an_object(value):
    with pytest.raises(FormatError, match="doc: an object was expected"):
        Record(value, where="doc")


LONG = b"QUJD" * 20000


@pytest.mark.parametrize(
    "document",
    [
        b'{"payload":"%s"}' % LONG,
        b'{ "a" : "b" , "payload" : "%s" }' % LONG,
    ],
)
def test_a_long_text_is_taken_out_and_leaves_the_same_document(document):
    rest, cut = take_out(document)
    assert bytes(cut) == LONG
    assert loads(document, where="d") == {key: LONG.decode() if value == TAKEN_OUT else value for key, value in loads(rest, where="d").items()}
    assert Record(loads(rest, where="d"), where="d").take_base64(next(reversed(loads(rest, where="d"))), cut=cut) == b"ABC" * 20000


@pytest.mark.parametrize(
    "document",
    [
        b'{"a":"%s","b":"%s"}' % (LONG, LONG),
        b'{"a":"(taken out)","b":"%s"}' % LONG,
        b'{"a":"%s"}' % LONG[:60000],
        b'{"a":"\\u0041%s"}' % LONG,
        b'{"a":"%s-"}' % LONG,
        b'["%s"]' % LONG,
        b'{"a\\"payload":"%s"}' % LONG,
        b'{"a":"\\u0028taken out)","b":"%s"}' % LONG,
    ],
)
def test_nothing_is_taken_out_of_other_documents(document):
    assert take_out(document) == (document, None)


def test_what_was_taken_out_elsewhere_is_no_field():
    record = Record({"a": "QUJD"}, where="d")
    assert record.take_base64("a") == b"ABC"
    with pytest.raises(FormatError, match="d, 'a': a long text stands elsewhere"):
        record.take_base64("a", cut=memoryview(LONG))


@given(st.binary(max_size=50), st.text("AB+/=\n -_", max_size=3), st.integers(0, 60))
def test_base64_is_read_only_as_it_is_written(data, noise, at):
    text = encode_base64(data)
    assert decode_base64(text, where="t") == decode_base64(memoryview(text.encode()), where="t") == data
    changed = text[:at] + noise + text[at:]
    try:
        read = decode_base64(changed, where="t")
    except FormatError:
        return
    assert encode_base64(read) == changed
