# SPDX-License-Identifier: Apache-2.0
"""The symbolic values of the pickle machine: what matters about an object, never the object.

Strings that could be names stay `str`, small integers stay `int`, tuples stay `tuple`; everything else is one of the marks below.
"""

import enum
from collections.abc import Callable
from typing import TypeAlias

import attrs

Value: TypeAlias = object

_MAX_FIELDS = 256
_NO_FIELDS: dict[str, Value] = {}


class Mark:
    """A kind of value about which nothing more need be known."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


DATA = Mark("data")
LONG_TEXT = Mark("long text")
NONE = Mark("none")
NUMBER = Mark("a large number")
LIST = Mark("list")
SET = Mark("set")
STORAGE = Mark("storage")
TRUSTED = Mark("object")
UNKNOWN = Mark("unknown")


class Dict:
    """A dictionary.

    Attributes:
        special: A key of it could stand for a special method.
        fields: Its items, as long as they are few and named by text; else None.
        frozen: Something was judged by its items, so none may be added.
    """

    __slots__ = ("fields", "frozen", "special")

    def __init__(self) -> None:
        self.special = False
        self.fields: dict[str, Value] | None = _NO_FIELDS
        self.frozen = False

    def add(self, key: Value, value: Value) -> None:
        """Note one item."""
        if type(key) is str:
            self.special = self.special or key.startswith("__")
        elif type(key) is not int:
            self.special = True
        if self.fields is None:
            return
        if type(key) is str and len(self.fields) < _MAX_FIELDS:
            self.fields = self.fields or {}
            self.fields[key] = value
        else:
            self.fields = None


class Blob:
    """Bytes of the pickle, by their place: they are read only where something makes a file of them.

    Attributes:
        start: Offset of the first byte.
        size: Bytes.
        text: They stand for text, encoded as pickle does.
    """

    __slots__ = ("size", "start", "text")

    def __init__(self, start: int, size: int, *, text: bool = False) -> None:
        self.start = start
        self.size = size
        self.text = text


class Takes(enum.Flag):
    """Which of the opcodes that change an object it takes without running anyone's code."""

    NOTHING = 0
    APPEND = enum.auto()
    ADD = enum.auto()
    ITEMS = enum.auto()
    DICT_STATE = enum.auto()


Check: TypeAlias = Callable[[tuple[Value, ...]], bool]


@attrs.frozen(eq=False)
class Harmless:
    """What a global may be used for without harm.

    Attributes:
        call: Accepts the arguments with which it may be called; None: never.
        new: Accepts the arguments with which it may be made by ``NEWOBJ``; None: never.
        takes: What its instances take.
        make: Follows a call whose result must be known better; returns None where it may not be called so.
        state: Accepts the states that its instances may be given besides.
    """

    call: Check | None = None
    new: Check | None = None
    takes: Takes = Takes.NOTHING
    make: "Callable[[Global, tuple[Value, ...]], Value | None] | None" = None
    state: Callable[[Value], bool] | None = None


class Made:
    """The result of a harmless call.

    Attributes:
        source: What was called.
        argument: What it was made from, where that matters.
    """

    __slots__ = ("argument", "source")

    def __init__(self, source: "Global", argument: Value = None) -> None:
        self.source = source
        self.argument = argument

    @property
    def takes(self) -> Takes:
        """What it takes."""
        harmless = self.source.harmless
        return Takes.NOTHING if harmless is None else harmless.takes


class Standing(enum.Enum):
    """How far a global is known."""

    HARMLESS = enum.auto()
    BY_DESIGN = enum.auto()
    ALLOWED = enum.auto()
    UNKNOWN = enum.auto()


class Global:
    """A reference to something in a module."""

    __slots__ = ("harmless", "made", "module", "name", "standing")

    def __init__(self, module: str, name: str, standing: Standing, harmless: Harmless | None = None) -> None:
        self.module = module
        self.name = name
        self.standing = standing
        self.harmless = harmless
        self.made = Made(self)

    @property
    def path(self) -> tuple[str, str]:
        """Module and name."""
        return self.module, self.name
