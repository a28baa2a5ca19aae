# SPDX-License-Identifier: Apache-2.0
import pathlib
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeseal import serialization
from support.scanning import cuts_that_pass, judged

FILES = pathlib.Path(__file__).parent / "files"
TYPES = {"u8": (0, "B"), "u32": (4, "I"), "bool": (7, "B"), "u64": (10, "Q")}
F32, Q8 = 0, 8


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def string(key: str, value: str) -> bytes:
    return pair(key, 8, text(value))


def array(key: str, kind: int, count: int, values: bytes) -> bytes:
    return pair(key, 9, struct.pack("<IQ", kind, count) + values)


def tensor(name: str = "t", shape: tuple[int, ...] = (8,), kind: int = F32, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def file_of(pairs: list[bytes], tensors: list[bytes], data: int = 0, *, version: int = 3, counts: tuple[int, int] | None = None) -> bytes:
    number, keys = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", version, number, keys) + b"".join(pairs) + b"".join(tensors)
    return (head + bytes(-len(head) % 32) if tensors else head) + bytes(data)


@pytest.mark.parametrize("name", ["model.gguf", "vocabulary.gguf"])
def test_files_of_the_library_are_safe(name):
    report = serialization.scan(FILES / name)
    assert (report.format, report.verdict.value, report.findings) == ("gguf", "safe", ())


@pytest.mark.parametrize(("name", "padding"), [("model.gguf", 28), ("vocabulary.gguf", 36)])
def test_every_cut_is_reported(name, padding):
    content = (FILES / name).read_bytes()
    last = len(content) - padding
    assert cuts_that_pass(content, start=4) == list(range(last, len(content)))


GOOD = [string("general.architecture", "llama")]


@pytest.mark.parametrize(
    "content",
    [
        file_of([], []),
        file_of(GOOD, [tensor()], 32),
        file_of(GOOD, [tensor(), tensor("u", (2, 3), offset=32)], 64),
        file_of([pair("general.alignment", 4, struct.pack("<I", 8))], [tensor(shape=(2,)), tensor("u", (32,), Q8, 8)], 48),
        file_of([array("a", 4, 3, bytes(12)), array("b", 8, 2, text("x") + text("y")), pair("c", 7, b"\1")], []),
        file_of([array("long", 8, 40_000, text("token") * 40_000), string("after", "x")], []),
        file_of([string("tokenizer.chat_template", "no expression")], []),
        file_of(GOOD, [tensor(shape=(0, 5))], 0),
    ],
)
def test_what_the_format_allows_is_safe(content):
    report = judged(content)
    assert (report.verdict, report.findings) == ("safe", ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(file_of([], [], version=1), "version", id="version"),
        pytest.param(file_of(GOOD * 2, []), "twice", id="duplicate key"),
        pytest.param(file_of([string("", "x")], []), "key", id="empty key"),
        pytest.param(file_of([string("a\n", "x")], []), "key", id="control character in a key"),
        pytest.param(file_of([pair(b"\xff", 0, b"\0")], []), "UTF-8", id="key that is not UTF-8"),
        pytest.param(file_of([], [], counts=(1 << 60, 0)), "more bytes", id="tensors without end"),
        pytest.param(file_of([], [], counts=(0, 1 << 63)), "more bytes", id="pairs without end"),
        pytest.param(file_of([text("k" * 70_000) + bytes(5)], []), "more than", id="long key"),
        pytest.param(file_of([pair("a", 8, struct.pack("<Q", 1 << 62))], []), "more than", id="length of a string"),
        pytest.param(file_of([array("a", 0, 1 << 62, b"")], []), "more bytes", id="length of an array"),
        pytest.param(file_of([array("a", 8, 1 << 62, b"")], []), "more bytes", id="strings without end"),
        pytest.param(file_of([array("a", 8, 2, struct.pack("<Q", 1 << 62) + bytes(99))], []), "expected", id="string in an array"),
        pytest.param(file_of([array("a", 8, 1, struct.pack("<Q", (1 << 64) - 8) + bytes(99))], []), "more bytes", id="string that wraps around"),
        pytest.param(file_of([array("a", 9, 1, struct.pack("<IQ", 0, 1) + b"\0")], []), "array of arrays", id="nested array"),
        pytest.param(file_of([pair("a", 13, b"\0")], []), "type 13", id="type of a value"),
        pytest.param(file_of([pair("a", 7, b"\2")], []), "truth", id="truth value"),
        pytest.param(file_of([pair("general.alignment", 4, struct.pack("<I", 24))], []), "alignment", id="alignment"),
        pytest.param(file_of([pair("general.alignment", 4, bytes(4))], []), "alignment", id="alignment of 0"),
        pytest.param(file_of([pair("general.alignment", 10, bytes(8))], []), "alignment", id="type of the alignment"),
        pytest.param(file_of([], [tensor("n" * 65)], 32), "more than 64", id="long name"),
        pytest.param(file_of([], [tensor(), tensor(offset=32)], 64), "second tensor", id="duplicate tensor"),
        pytest.param(file_of([], [tensor(shape=(1,) * 5)], 32), "dimensions", id="dimensions"),
        pytest.param(file_of([], [tensor(kind=4)], 32), "type 4", id="withdrawn type"),
        pytest.param(file_of([], [tensor(kind=1 << 31)], 32), "type", id="type of a tensor"),
        pytest.param(file_of([], [tensor(shape=(1 << 32, 1 << 32))], 32), "overflows", id="product"),
        pytest.param(file_of([], [tensor(shape=(1 << 62,))], 32), "overflows", id="bytes"),
        pytest.param(file_of([], [tensor(shape=(1 << 63, 0))], 32), "overflows", id="negative size"),
        pytest.param(file_of([], [tensor(shape=(33,), kind=Q8)], 64), "blocks", id="half a block"),
        pytest.param(file_of([], [tensor(offset=7)], 64), "expected", id="unaligned"),
        pytest.param(file_of([], [tensor(), tensor("u")], 64), "expected", id="overlap"),
        pytest.param(file_of([], [tensor(), tensor("u", offset=64)], 96), "expected", id="hole"),
        pytest.param(file_of([], [tensor(offset=(1 << 64) - 32)], 32), "expected", id="offset that wraps around"),
        pytest.param(file_of([], [tensor()], 31), "behind the end", id="bytes missing"),
        pytest.param(file_of([], [tensor()], 33), "behind the last", id="bytes left over"),
    ],
)
def test_refuses_what_a_loader_could_read_wrongly(content, says):
    report = judged(content)
    assert (report.format, report.verdict, report.rules) == ("gguf", "unreadable", {"gguf-invalid"})
    assert says in report.findings[0].message


ORDINARY = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
KEYS = ["tokenizer.chat_template", "tokenizer.chat_template.tool_use", "general.description"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("template", "verdicts"),
    [
        (ORDINARY, {"safe"}),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", {"unsafe"}),
        ("{% for c in ().__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}", {"unsafe"}),
        ("{{ messages|attr('__class__') }}", {"unsafe"}),
        ("{{ messages['__cla' ~ 'ss__'] }}", {"unsafe", "needs-trust"}),
        ("{%- include 'x' -%}", {"needs-trust"}),
    ],
)
def test_every_template_is_judged(template, verdicts, key):
    report = judged(file_of([string(key, template)], []))
    assert report.verdict in verdicts
    assert all(key in finding.place for finding in report.findings)
    listed = file_of([array("tokenizer.chat_templates", 8, 2, text("a") + text(template))], [])
    assert judged(listed).verdict in verdicts


ESCAPE = "{{ x.__class__ }}"
LENGTHS = st.lists(st.sampled_from([0, 1, 7, 32, 33, 300, 5000]) | st.integers(0, 40), max_size=700)


@given(LENGTHS, st.sampled_from(["<", ">"]), st.integers(0, 70_000))
@settings(max_examples=60, deadline=None)
def test_what_follows_a_vocabulary_is_read_whatever_its_lengths(lengths, order, before):
    """The template behind the texts is found only if each of them was stepped over exactly."""

    def sized(content: bytes) -> bytes:
        return struct.pack(order + "Q", len(content)) + content

    def listed(key: bytes, texts: list[bytes]) -> bytes:
        return sized(key) + struct.pack(order + "IIQ", 9, 8, len(texts)) + b"".join(map(sized, texts))

    texts = [bytes([index % 3]) * length for index, length in enumerate(lengths)]
    pairs = [listed(b"long", [bytes(before)]), listed(b"tokens", texts), sized(b"after") + struct.pack(order + "I", 8) + sized(ESCAPE.encode())]
    content = b"GGUF" + struct.pack(order + "IQQ", 3, 0, len(pairs)) + b"".join(pairs)
    report = judged(content)
    assert (report.verdict, report.rules) == ("unsafe", {"template-escape"})


@pytest.mark.parametrize("changed", range(1, 8))
@pytest.mark.parametrize("index", [3, 200, 299])
def test_a_length_is_read_with_all_its_bytes(changed, index):
    texts = bytearray(text("token") * 300)
    texts[index * 13 + changed] = 1
    report = judged(file_of([array("tokens", 8, 300, bytes(texts)), string("after", "x")], []))
    assert (report.verdict, report.rules) == ("unreadable", {"gguf-invalid"})


def test_a_gibibyte_is_judged_by_its_header(tmp_path):
    content = file_of([array("tokenizer.ggml.tokens", 8, 1000, text("token") * 1000)], [tensor(shape=(1 << 28,))])
    file = tmp_path / "f"
    file.write_bytes(content)
    with file.open("r+b") as opened:
        opened.truncate(len(content) + (1 << 30))
    serialization.scan(file)
    begin = time.process_time()
    assert serialization.scan(file).verdict.value == "safe"
    assert time.process_time() - begin < 2  # a few milliseconds; reading it all would take seconds
