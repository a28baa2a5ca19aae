# SPDX-License-Identifier: Apache-2.0
"""A pickle's values as they were built, with tensors as descriptions and everything else by name: nothing is imported and nothing called.

The scan says what a pickle could do; this says what it holds. Both follow the same opcodes.
"""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._pickle import Opcode, opcodes
from lifeseal.serialization._stack import MAX_STACK, StackMachine
from lifeseal.serialization._values import DATA, LONG_TEXT, NONE, Blob, Mark, Takes, Value
from lifeseal.serialization._window import Cursor

_PYTHON_2: Final = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_MAX_TEXT: Final = 1 << 16
_MAX_TEXTS: Final = 64 << 20
_HEADS: Final = {"SHORT_BINBYTES": 2, "BINBYTES": 5, "BINBYTES8": 9, "BYTEARRAY8": 9}


class Table:
    """A dictionary.

    Attributes:
        texts: Its items under text.
        numbers: Its items under whole numbers, which stand here in decimal.
        odd: Its items under anything else, by no name.
    """

    __slots__ = ("numbers", "odd", "texts")

    def __init__(self) -> None:
        self.texts: dict[str, Value] = {}
        self.numbers: dict[str, Value] = {}
        self.odd: list[Value] = []

    def add(self, key: Value, value: Value) -> None:
        """Set one item."""
        if isinstance(key, str):
            self.texts[key] = value
        elif isinstance(key, int):
            self.numbers[str(int(key))] = value
        else:
            self.odd.append(value)

    def merge(self, other: "Table") -> None:
        """Take over another's items."""
        self.texts.update(other.texts)
        self.numbers.update(other.numbers)
        self.odd += other.odd


class Named:
    """A class or function, by name."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    @property
    def path(self) -> tuple[str, str]:
        """Module and name."""
        return self.module, self.name


class Other:
    """What is neither plain data nor a tensor.

    Attributes:
        what: What it is, as ``numpy.ndarray``.
        held: Values that went into it.
        lost: It is a tensor that safetensors cannot hold.
    """

    __slots__ = ("held", "lost", "what")

    def __init__(self, what: str, *held: Value, lost: bool = False) -> None:
        self.what = what
        self.held = list(held)
        self.lost = lost


Call: TypeAlias = Callable[[tuple[Value, ...]], Value]
Persistent: TypeAlias = Callable[[Value], Value]


def _no_persistent(_: Value) -> Value:
    return Other("what a persistent id stands for")


class Replay(StackMachine):
    """Follows one pickle and keeps what it holds.

    Args:
        cursor: Stands at the first opcode; afterwards behind STOP.
        budget: Work left for the file.
        calls: What is made of a call of a function, by module and name; any other makes an `Other`.
        persistent: What is made of a persistent id.
    """

    def __init__(self, cursor: Cursor, budget: Budget, *, calls: Mapping[tuple[str, str], Call], persistent: Persistent = _no_persistent) -> None:
        super().__init__("", budget, None)
        self._cursor = cursor
        self._calls = calls
        self._persistent = persistent
        self._text = 0

    def run(self) -> Value:
        """Follow one pickle to its STOP.

        Returns:
            The value on top of the stack.

        Raises:
            FormatError: The unpickler would have stopped with an error here.
            LimitError: More opcodes, stack or memo than the bounds.
        """
        for opcode, argument, offset in opcodes(self._cursor):
            self._budget.spend(1 + self._cursor.cost, self._where)
            self._cursor.cost = 0
            self.begun = offset
            if opcode.pushes:
                self._stack.append(self._pushed(opcode, argument))
            else:
                HANDLERS[opcode.name](self, argument)
            if len(self._stack) > MAX_STACK or len(self._marks) > MAX_STACK:
                raise LimitError(self._where, limit=MAX_STACK, seen=len(self._stack), unit="values on the stack")
        return self.result

    def _pushed(self, opcode: Opcode, argument: Value) -> Value:
        """Read again what the parser of opcodes only steps over."""
        if argument is not DATA:
            return self._text_of(argument)
        begun, end = self.begun, self._cursor.offset
        head = _HEADS.get(opcode.name)
        if head is not None:
            return Blob(begun + head, end - begun - head)
        if opcode.name in {"NEWTRUE", "NEWFALSE"}:
            return opcode.name == "NEWTRUE"
        raw = self._cursor.window.read(begun + 1, min(end - begun - 1, 64))
        if opcode.name == "BINFLOAT":
            return struct.unpack(">d", raw)[0]
        return raw.startswith(b"01") if opcode.name == "INT" else _float(raw)

    def _text_of(self, argument: Value) -> Value:
        """Read a text that is not too long, and count all that is kept."""
        if isinstance(argument, Blob) and argument.text and argument.size <= _MAX_TEXT:
            argument = self._cursor.window.read(argument.start, argument.size).decode("utf-8", "surrogatepass")
        if isinstance(argument, str):
            self._text += len(argument)
            if self._text > _MAX_TEXTS:
                raise LimitError(self._where, limit=_MAX_TEXTS, seen=self._text, unit="characters")
        return argument

    # Containers.

    def _op_empty_list(self, _: Value) -> None:
        self._stack.append([])

    def _op_list(self, _: Value) -> None:
        self._stack.append(self._pop_mark())

    def _op_empty_set(self, _: Value) -> None:
        self._stack.append(Other("builtins.set"))

    def _op_frozenset(self, _: Value) -> None:
        self._stack.append(Other("builtins.frozenset", *self._pop_mark()))

    def _op_empty_dict(self, _: Value) -> None:
        self._stack.append(Table())

    def _op_dict(self, _: Value) -> None:
        items = self._pop_mark()
        self._stack.append(Table())
        self._set_items(items)

    def _op_append(self, _: Value) -> None:
        value = self._pop()
        self._extend([value])

    def _op_appends(self, _: Value) -> None:
        items = self._pop_mark()
        self._extend(items)

    _op_additems = _op_appends

    def _extend(self, items: list[Value]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        else:
            self._change_by(target, items)

    def _set_items(self, items: list[Value]) -> None:
        target = self._top()
        if len(items) % 2:
            raise FormatError(f"byte {self.begun}", "a key without a value")
        if isinstance(target, Table):
            for key, value in zip(items[::2], items[1::2], strict=True):
                target.add(key, value)
        elif items:
            self._change_by(target, items)

    def _change_by(self, target: Value, held: list[Value]) -> None:
        if not isinstance(target, Other):
            raise FormatError(f"byte {self.begun}", "changes what is no container")
        target.held += held

    def _change(self, target: Value, plain: Mark | None, takes: Takes, verb: str) -> None:
        raise NotImplementedError

    def _refuse_change(self, message: str) -> None:
        raise NotImplementedError

    # Globals, calls and objects.

    def _op_global(self, argument: Value) -> None:
        module, name = argument if isinstance(argument, tuple) else (LONG_TEXT, LONG_TEXT)
        self._stack.append(_named(module, name))

    def _op_stack_global(self, _: Value) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(_named(module, name))

    def _op_ext(self, _: Value) -> None:
        self._stack.append(Other("what an extension code stands for"))

    def _op_reduce(self, _: Value) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def _op_inst(self, argument: Value) -> None:
        module, name = argument if isinstance(argument, tuple) else (LONG_TEXT, LONG_TEXT)
        arguments = tuple(self._pop_mark())
        self._stack.append(self._call(_named(module, name), arguments))

    def _op_obj(self, _: Value) -> None:
        items = self._pop_mark()
        if not items:
            raise FormatError(f"byte {self.begun}", "the stack is empty")
        self._stack.append(self._call(items[0], tuple(items[1:])))

    def _op_newobj(self, _: Value) -> None:
        arguments, kind = self._pop(), self._pop()
        self._stack.append(self._call(kind, arguments))

    def _op_newobj_ex(self, _: Value) -> None:
        keywords, arguments, kind = self._pop(), self._pop(), self._pop()
        self._stack.append(Other(full(kind), arguments, keywords))

    def _call(self, function: Value, arguments: Value) -> Value:
        call = self._calls.get(function.path) if isinstance(function, Named) else None
        if call is None or not isinstance(arguments, tuple):
            return Other(full(function), arguments)
        self._budget.spend(sum(map(_count, arguments)), self._where)
        return call(arguments)

    def _op_build(self, _: Value) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Other):
            target.held.append(state)
        elif not isinstance(target, Table):  # attributes of a dictionary, such as _metadata, are not items of it
            raise FormatError(f"byte {self.begun}", "sets the state of what has none")

    # Persistent ids and buffers.

    def _op_persid(self, argument: Value) -> None:
        self._stack.append(self._persistent(argument))

    def _op_binpersid(self, _: Value) -> None:
        self._stack.append(self._persistent(self._pop()))

    def _op_next_buffer(self, _: Value) -> None:
        raise FormatError(f"byte {self.begun}", "a buffer that lies outside the file")

    def _op_readonly_buffer(self, _: Value) -> None:
        self._top()


def _float(line: bytes) -> float:
    try:
        return float(line.partition(b"\n")[0].partition(b"\0")[0])
    except ValueError:
        return math.nan


def _count(value: Value) -> int:
    if isinstance(value, Table):
        return len(value.texts) + len(value.numbers) + len(value.odd)
    return len(value) if isinstance(value, list | tuple) else 0


def _named(module: Value, name: Value) -> Value:
    if isinstance(module, str) and isinstance(name, str):
        return Named(_PYTHON_2.get(module, module), name)
    return Other("what a computed name stands for")


def full(value: Value) -> str:
    """Name what was called."""
    if isinstance(value, Named):
        return f"{value.module}.{value.name}"
    return value.what if isinstance(value, Other) else "what is no class or function"


def is_none(value: Value) -> bool:
    """Tell whether it stands for None."""
    return value is NONE


HANDLERS: Final[Mapping[str, Callable[[Replay, Value], None]]] = {
    name[4:].upper(): getattr(Replay, name) for name in dir(Replay) if name.startswith("_op_")
}
