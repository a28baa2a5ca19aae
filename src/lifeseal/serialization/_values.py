# SPDX-License-Identifier: Apache-2.0
"""The symbolic values of the pickle machine: what matters about an object, never the object.

Strings that could be names stay `str`, small integers stay `int`, tuples stay `tuple`; everything else is one of the marks below.
"""

import enum
from collections.abc import Callable
from typing import TypeAlias

import attrs

Value: TypeAlias = object


class Mark:
    """A kind of value about which nothing more need be known."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


DATA = Mark("data")
LONG_TEXT = Mark("long text")
LIST = Mark("list")
SET = Mark("set")
STORAGE = Mark("storage")
TRUSTED = Mark("object")
UNKNOWN = Mark("unknown")


class Dict:
    """A dictionary; ``special`` if a key of it could stand for a special method."""

    __slots__ = ("special",)

    def __init__(self) -> None:
        self.special = False

    def add_key(self, key: Value) -> None:
        """Note one key."""
        if type(key) is str and key.startswith("__"):
            self.special = True


class Takes(enum.Flag):
    """Which of the opcodes that change an object it takes without running anyone's code."""

    NOTHING = 0
    APPEND = enum.auto()
    ADD = enum.auto()
    ITEMS = enum.auto()
    DICT_STATE = enum.auto()
    TUPLE_STATE = enum.auto()


Check: TypeAlias = Callable[[tuple[Value, ...]], bool]


@attrs.frozen(eq=False)
class Harmless:
    """What a global may be used for without harm.

    Attributes:
        call: Accepts the arguments with which it may be called; None: never.
        new: Accepts the arguments with which it may be made by ``NEWOBJ``; None: never.
        takes: What its instances take.
    """

    call: Check | None = None
    new: Check | None = None
    takes: Takes = Takes.NOTHING


class Made:
    """The result of a harmless call."""

    __slots__ = ("source",)

    def __init__(self, source: "Global") -> None:
        self.source = source

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
