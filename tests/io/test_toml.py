# SPDX-License-Identifier: Apache-2.0
"""TOML read strictly: every key's line is told right, whatever the layout, and hostile documents cost little."""

import contextlib
import json
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal._io import load_toml
from lifeseal._io._toml import locate
from lifeseal.errors import FormatError, LimitError

TEXTS = ("", "a", "[x]", "k = 1", "#", '"', "''", "\\", "{}", ",", "]]", "é\u2028", "a.b", "=", '""')


class Writer:
    """Writes a random document, and notes where each key and entry begins."""

    def __init__(self, random):
        self.random = random
        self.text = ""
        self.lines = {}
        self.count = 0

    def put(self, text):
        self.text += text

    def note(self, path):
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def gap(self, *, lines):
        """Blanks, or line ends and comments where they may stand."""
        ends = ("\n", "\n\n  ", " # ] } \" ''' = [x]\n", "\r\n") if lines else ()
        self.put(self.random.choice(("", " ", "\t", *ends)))

    def key(self):
        """Write one part of a key, and return what it means."""
        self.count += 1
        name = self.random.choice(TEXTS).replace("'", "") + str(self.count)
        if name.isalnum() and name.isascii():
            self.put(name)
        else:
            self.put(json.dumps(name) if self.random.random() < 0.5 or "\n" in name else f"'{name}'")
        return name

    def dotted(self, above):
        """Write a key of one part or several; return the whole path, its tables noted."""
        path = above
        for index in range(self.random.choice((1, 1, 2, 3))):
            if index:
                self.put(self.random.choice((".", " . ")))
            place = self.text.count("\n") + 1
            path = (*path, self.key())
            self.lines.setdefault(path, place)
        return path

    def pair(self, above, depth):
        path = self.dotted(above)
        self.put(self.random.choice(("=", " = ")))
        self.value(path, depth)

    def value(self, path, depth):
        kinds = [self.scalar, self.string] + [self.array, self.inline] * (depth > 0)
        self.random.choice(kinds)(path, depth)

    def scalar(self, path, depth):
        self.put(self.random.choice(("1", "-1.5e3", "true", "inf", "1979-05-27 07:32:00.5Z", "1979-05-27", "0xff", "07:32:00")))

    def string(self, path, depth):
        content = "".join(self.random.choice((*TEXTS, "\n")) for _ in range(self.random.randrange(4)))
        kind = self.random.randrange(4)
        if kind == 0:
            self.put(json.dumps(content))
        elif kind == 1:
            self.put("'" + content.replace("'", "").replace("\n", "") + "'")
        elif kind == 2:
            self.put('"""' + content.replace("\\", "\\\\").replace('"', '\\"') + self.random.choice(("", '"', '""', "\\\n  ")) + '"""')
        else:
            self.put("'''" + content.replace("'", "") + self.random.choice(("", "'", "''")) + "'''")

    def array(self, path, depth):
        self.put("[")
        size = self.random.randrange(4)
        for index in range(size):
            self.gap(lines=True)
            self.note((*path, index))
            self.value((*path, index), depth - 1)
            self.gap(lines=True)
            if index < size - 1 or self.random.random() < 0.5:
                self.put(",")
        self.gap(lines=True)
        self.put("]")

    def inline(self, path, depth):
        self.put("{")
        size = self.random.randrange(3)
        for index in range(size):
            self.gap(lines=False)
            self.pair(path, depth - 1)
            self.gap(lines=False)
            self.put("," if index < size - 1 else "")
        self.put("}")

    def pairs(self, above):
        for _ in range(self.random.randrange(3)):
            self.put(self.random.choice(("", "\n", "# [c]\n", "  ")))
            self.pair(above, 2)
            self.put(self.random.choice(("\n", " # x = 1\n", "\r\n")))

    def document(self):
        self.pairs(())
        arrays = []
        for _ in range(self.random.randrange(5)):
            self.put(self.random.choice(("", "\n", "  ")))
            again = self.random.choice(arrays) if arrays and self.random.random() < 0.4 else None
            if again:
                name, number = again
                arrays[arrays.index(again)] = name, number + 1
                place = self.text.count("\n") + 1
                self.put(f"[[{name}]]\n")
                path = (name, number)
                self.lines[path] = place
            else:
                path = self.header(arrays)
            self.pairs(path)
        return self.text

    def header(self, arrays):
        if self.random.random() < 0.5:
            self.count += 1
            name, place = f"arr{self.count}", self.text.count("\n") + 1
            self.put(f"[[{name}]]\n")
            arrays.append((name, 1))
            self.lines[name,], self.lines[name, 0] = place, place
            return (name, 0)
        above = ()
        self.put("[")
        if arrays and self.random.random() < 0.5:
            name, number = self.random.choice(arrays)
            self.put(f"{name}.")
            above = (name, number - 1)
        path = self.dotted(above)
        self.put("]\n")
        return path


def paths(value, path=()):
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found.union(*(paths(item, (*path, key)) for key, item in items))


@given(st.randoms(use_true_random=False))
def test_tells_the_line_of_every_key_and_entry(random):
    writer = Writer(random)
    text = writer.document()
    plain = text.replace("\r\n", "\n")
    assert paths(tomllib.loads(text)) == set(writer.lines), text
    assert locate(plain) == writer.lines, text


def test_tells_lines_in_a_document_written_by_hand():
    text = 'a."b # c" = 1\nx = [\n  1, # one\n  {y = """\n[no]\n""", z.w = 2},\n]\n[[t]]\nk = ""\n[t.u]\n[[t]]\nk = 1979-05-27 07:32:00Z'
    assert locate(text) == {
        ("a",): 1,
        ("a", "b # c"): 1,
        ("x",): 2,
        ("x", 0): 3,
        ("x", 1): 4,
        ("x", 1, "y"): 4,
        ("x", 1, "z"): 6,
        ("x", 1, "z", "w"): 6,
        ("t",): 8,
        ("t", 0): 8,
        ("t", 0, "k"): 9,
        ("t", 0, "u"): 10,
        ("t", 1): 11,
        ("t", 1, "k"): 12,
    }


def read(text):
    return load_toml(text.encode(), where="f.toml", what="a policy")


FAULTY = {
    "a key twice": ("a = 1\nb = 2\na = 3", "f.toml, line 3, a: a policy was expected; this is not valid TOML (Cannot overwrite"),
    "a table twice": ("[a]\n[b]\n[a]\n", "f.toml, line 3: a policy was expected; this is not valid TOML (Cannot declare ('a',) twice"),
    "a key twice in line": ("x = {a=1, a=2}", "f.toml, line 1, x: a policy was expected; this is not valid TOML (Duplicate"),
    "a text that does not end": ("a = 1\nb = '''\n\n", "f.toml, line 2, b: a policy was expected; this is not valid TOML"),
    "no equals sign": ("a = 1\n\nb\n", "f.toml, line 3: a policy was expected; this is not valid TOML"),
    "a byte order mark": ("\ufeffa = 1", "f.toml, line 1"),
    "a control character": ("a = 1\nb = '\x07'", "f.toml, line 2, b"),
    "a number of 5000 digits": (f"a = {'9' * 5000}", "f.toml: a policy was expected; a number in this has too many digits"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_says_where_a_document_is_broken(fault):
    text, said = FAULTY[fault]
    with pytest.raises(FormatError) as caught:
        read(text)
    assert str(caught.value).startswith(said)


def test_says_on_which_line_a_byte_is_not_utf_8():
    with pytest.raises(FormatError, match=r"^f\.toml, line 3: a policy was expected; this is not valid UTF-8$"):
        load_toml(b"a = 1\n\nb = '\xff'", where="f.toml", what="a policy")


BOUNDED = {
    "size": "#" * ((256 << 10) + 1),
    "nested arrays": f"a = {'[' * 33}{']' * 33}",
    "arrays that do not end": "a = " + "[" * 200_000,
    "inline tables": "a = " + "{a = " * 33,
    "a long dotted key": ".".join("a" * 20_000) + " = 1",
}


@pytest.mark.parametrize("what", BOUNDED)
def test_bounds(what):
    with pytest.raises(LimitError, match=r"f\.toml.* more than the limit of "):
        read(BOUNDED[what])


def test_what_is_just_within_the_bounds_is_read():
    assert read(f"a = {'[' * 32}{']' * 32}").names() == ("a",)
    assert read(".".join("a" * 65) + " = 1").names() == ("a",)
    assert read("#" * (256 << 10)).names() == ()


SIZE = (256 << 10) - 16


@pytest.mark.parametrize("piece", ['"', "'", '"""', "'''", "\\", '\\"""', '"a\n', "''a", "[", "[[a]]\n", "a.", "=", "[a.", '"""\\', "#", ",\n"])
def test_a_hostile_document_is_read_or_refused_in_linear_time(piece):
    for start in ("", "a = ", 'a = """', "a = '''", "a = ["):
        before = time.process_time()
        with contextlib.suppress(FormatError, LimitError):
            read(start + piece * (SIZE // len(piece)))
        assert time.process_time() - before < 5


def test_a_table_refuses_what_nobody_read():
    table = read("a = 1\n[t]\nb = 1\nc.d = 2\n")
    assert table.take_int("a") == 1
    inner = table.take_table("t")
    assert (inner.line, inner.take_int("b")) == (2, 1)
    with pytest.raises(FormatError, match=r"^f\.toml, line 4, t\.c: this key is unknown here$"):
        inner.done()
    with pytest.raises(FormatError, match=r"^f\.toml, line 1, a: a table was expected$"):
        table.take_table("a")
    with pytest.raises(FormatError, match=r"^f\.toml, line 2, t: an array was expected, not an object$"):
        table.take_tables("t")
    with pytest.raises(FormatError, match=r"^f\.toml, line 2, t: field 'x' is missing$"):
        inner.take_str("x")
    table.done()
