# SPDX-License-Identifier: Apache-2.0
"""Strict TOML: read key by key like a JSON record, with the line of each key for error messages."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from lifeseal._io._strict import Record
from lifeseal.errors import FormatError, LimitError

Path: TypeAlias = tuple[str | int, ...]
Token: TypeAlias = tuple[str, str, int]

MAX_TOML = 256 << 10
_MAX_DEPTH = 32
_MAX_DOTS = 64  # on one line; the parser's time grows with the square of a dotted key's parts
# An unterminated string counts up to where it would have to end, so that no character is looked at twice; the parser refuses it afterwards.
_TOKEN = re.compile(
    r"""(?P<string>\"{3}(?:\\(?:.|\Z)|[^\\])*?(?:\"{3,5}|\Z)|'{3}.*?(?:'{3,5}|\Z)|"(?:\\[^\n]|[^"\\\n])*+"?|'[^'\n]*+'?)"""
    r"""|(?P<blank>[ \t]++|\#[^\n]*+)|(?P<end>\n)|(?P<mark>[\[\]{}=,.])|(?P<bare>[^\s\[\]{}=,.\#"']++|.)""",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Table(Record):
    """One TOML table, read key by key; what is not read is refused. Errors name file, line and key.

    Args:
        document: The parsed table.
        file: Name for error messages.
        path: Keys and positions that lead to it.
        lines: From `locate`.
    """

    def __init__(self, document: Mapping[str, object], *, file: str, path: Path, lines: Mapping[Path, int]) -> None:
        self._file, self._path, self._lines = file, path, lines
        super().__init__(document, where=self._place(path))

    def at(self, name: str, index: int | None = None) -> str:
        """Name a key, or an entry of the array under it, for an error message."""
        return self._place((*self._path, name) if index is None else (*self._path, name, index))

    @property
    def line(self) -> int:
        """The line on which the table begins."""
        return self._line(self._path)

    def names(self) -> tuple[str, ...]:
        """Return the keys, in the file's order."""
        return tuple(self._fields)

    def take_table(self, name: str) -> "Table":
        """Return a table of its own."""
        return self._table(self.take(name), (*self._path, name))

    def take_tables(self, name: str) -> "tuple[Table, ...]":
        """Return an array of tables."""
        return tuple(self._table(item, (*self._path, name, index)) for index, item in enumerate(self.take_list(name)))

    def done(self) -> None:
        """Refuse keys that were not read.

        Raises:
            FormatError: There are such keys.
        """
        if self._left:
            unknown = min(self._left, key=lambda name: self._line((*self._path, name)))
            raise FormatError(self.at(unknown), "this key is unknown here")

    def _table(self, value: object, path: Path) -> "Table":
        if not isinstance(value, dict):
            raise FormatError(self._place(path), "a table was expected")
        return Table(value, file=self._file, path=path, lines=self._lines)

    def _line(self, path: Path) -> int:
        return next((self._lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in self._lines), 1)

    def _place(self, path: Path) -> str:
        if not path:
            return self._file
        label = "".join(f"[{part}]" if isinstance(part, int) else f".{part if _BARE.fullmatch(part) else repr(part[:60])}" for part in path)
        return f"{self._file}, line {self._line(path)}, {label.removeprefix('.')}"


def load_toml(data: bytes, *, where: str, what: str) -> Table:
    """Parse TOML.

    Args:
        data: The document, UTF-8.
        where: Name for error messages.
        what: What should be there, for error messages.

    Returns:
        The top table.

    Raises:
        FormatError: It is not TOML; a key that stands twice is refused too.
        LimitError: It is larger than 256 KiB, nested deeper than 32 levels, or has more than 64 dots on one line.

    Source: TOML v1.0.0.
    """
    import tomllib

    if len(data) > MAX_TOML:
        raise LimitError(where, limit=MAX_TOML, seen=len(data))
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{where}, line {line}", f"{what} was expected; this is not valid UTF-8") from None
    tokens = list(_tokens(text))
    _bound_shape(tokens, where=where)
    try:
        document = tomllib.loads(text + "\n")
    except tomllib.TOMLDecodeError as error:
        said, _, place = str(error).partition(" (at ")
        raise FormatError(_fault_at(tokens, place, where=where), f"{what} was expected; this is not valid TOML ({said})") from None
    except ValueError:
        raise FormatError(where, f"{what} was expected; a number in this has too many digits") from None
    return Table(document, file=where, path=(), lines=_Locator(tokens).lines)


def locate(text: str) -> Mapping[Path, int]:
    """Tell the line on which each key and each entry of an array begins.

    Args:
        text: Valid TOML, with line feeds as line ends.

    Returns:
        Path to line, from 1. A table that is made by several headers or dotted keys has the first one's.
    """
    return _Locator(list(_tokens(text))).lines


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "blank":
            yield str(match.lastgroup), match[0], line
        line += match[0].count("\n")


def _fault_at(tokens: list[Token], place: str, *, where: str) -> str:
    """Name the line that the parser complains of, and the key before its equals sign if there is one."""
    found = re.match(r"line (\d+),", place)
    line = int(found[1]) if found else max((token[2] for token in tokens), default=1)
    marks = [(kind, text) for kind, text, at in tokens if at == line]
    key = "".join(text for _, text in marks[: marks.index(("mark", "="))]) if ("mark", "=") in marks else ""
    return f"{where}, line {line}{', ' if key else ''}{key[:60]}"


def _bound_shape(tokens: list[Token], *, where: str) -> None:
    dots = Counter(line for kind, text, line in tokens if kind == "mark" and text == ".")
    for line, count in dots.most_common(1):
        if count > _MAX_DOTS:
            raise LimitError(f"{where}, line {line}", limit=_MAX_DOTS, seen=count, unit="dots")
    depth = 0
    for kind, text, line in tokens:
        depth += 0 if kind != "mark" else {"[": 1, "{": 1, "]": -1, "}": -1}.get(text, 0)
        if depth > _MAX_DEPTH:
            raise LimitError(f"{where}, line {line}", limit=_MAX_DEPTH, seen=depth, unit="nested levels")


class _Locator:
    """Walks the tokens of a valid document."""

    def __init__(self, tokens: list[Token]) -> None:
        self.lines: dict[Path, int] = {}
        self._left = iter(tokens)
        self._arrays: Counter[Path] = Counter()
        self._token: Token = ("end", "\n", 1)
        above: Path = ()
        while self._skip_ends():
            if self._is("["):
                above = self._header()
            else:
                self._pair(above)

    def _is(self, mark: str) -> bool:
        return self._token[:2] == ("mark", mark)

    def _step(self) -> Token:
        passed = self._token
        self._token = next(self._left, ("", "", 0))
        return passed

    def _skip_ends(self) -> bool:
        """Go on to the next token that is no line's end; false at the document's end."""
        while self._token[0] == "end":
            self._step()
        return bool(self._token[0])

    def _header(self) -> Path:
        self._step()
        array = self._is("[")
        if array:
            self._step()
        line = self._token[2]
        path: Path = ()
        *above, last = self._key("]")
        for part in above:
            path = self._last((*path, part), line)
        path = (*path, last)
        self._step()
        if array:
            self._step()
            self._arrays[path] += 1
        return self._last(path, line)

    def _last(self, path: Path, line: int) -> Path:
        """Note a table; of an array made by headers, its last entry."""
        self.lines.setdefault(path, line)
        if path in self._arrays:
            path = (*path, self._arrays[path] - 1)
            self.lines.setdefault(path, line)
        return path

    def _key(self, end: str) -> list[str]:
        """Read a key, dotted or not, up to the mark after it; the parser itself says what its quoted parts are."""
        import tomllib

        text = ""
        while self._token[0] and not self._is(end):
            text += self._step()[1]
        found: object = tomllib.loads(f"{text}=0")
        parts = []
        while isinstance(found, dict):
            ((part, found),) = found.items()
            parts.append(part)
        return parts

    def _pair(self, above: Path) -> None:
        line = self._token[2]
        path = above
        for part in self._key("="):
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._step()
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._is("["):
            self._step()
            index = 0
            while self._skip_ends() and not self._is("]"):
                self.lines[*path, index] = self._token[2]
                self._value((*path, index))
                index += 1
                self._skip_comma()
            self._step()
        elif self._is("{"):
            self._step()
            while self._skip_ends() and not self._is("}"):
                self._pair(path)
                self._skip_comma()
            self._step()
        else:
            while self._token[0] in {"string", "bare"} or self._is("."):
                self._step()

    def _skip_comma(self) -> None:
        self._skip_ends()
        if self._is(","):
            self._step()
