# SPDX-License-Identifier: Apache-2.0
"""The stack, marks, memo and containers of the symbolic pickle machine.

Source: CPython 3.11 ``Modules/_pickle.c``: the same stack, marks and memo, so that a value is found where the C unpickler finds it.
"""

from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import MAX_CELLS, Budget
from lifeseal.serialization._values import DATA, LIST, SET, Dict, Mark, Takes, Value

MAX_STACK: Final = 1 << 20
MAX_MEMO: Final = 330_000
_DICT_CELLS: Final = 5


class Memo:
    """What was stored under an index: the usual ones in a list, which is small, and others in a dictionary."""

    __slots__ = ("_odd", "_row")

    def __init__(self) -> None:
        self._row: list[Value] = []
        self._odd: dict[int, Value] = {}

    def copy(self) -> "Memo":
        """Return a copy."""
        other = Memo()
        other._row, other._odd = self._row.copy(), self._odd.copy()
        return other

    def __len__(self) -> int:
        return len(self._row) + len(self._odd)

    def add(self, value: Value) -> int:
        """Store a value under the number of entries; returns how many there are then."""
        if self._odd:
            return self.put(len(self), value)
        self._row.append(value)
        return len(self._row)

    def put(self, index: int, value: Value) -> int:
        """Store a value; returns the number of entries."""
        if index < len(self._row):
            self._row[index] = value
        elif index == len(self._row) and index not in self._odd:
            self._row.append(value)
        else:
            self._odd[index] = value
        return len(self._row) + len(self._odd)

    def get(self, index: int) -> Value | None:
        """Return what is stored, or None."""
        return self._row[index] if index < len(self._row) else self._odd.get(index)


class StackMachine:
    """Follows the opcodes that import and call nothing.

    Args:
        place: What to call the stream in errors.
        budget: Work left for the file.
        memo: What an earlier pickle of the same unpickler left.

    Attributes:
        begun: Offset of the last opcode that was read in full.
        result: The symbolic value on top of the stack at STOP.
        memo: What was stored.
    """

    def __init__(self, place: str, budget: Budget, memo: Memo | None) -> None:
        self.begun = 0
        self.result: Value = DATA
        self.memo = Memo() if memo is None else memo
        self._where = place or "pickle"
        self._budget = budget
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._fence = 0

    def _hand_on(self, other: "StackMachine") -> None:
        """Give another machine a copy of stack and memo."""
        other.memo = self.memo.copy()
        other._stack, other._marks, other._fence = self._stack.copy(), self._marks.copy(), self._fence  # noqa: SLF001 - its own class

    # A mark is a fence that nothing but the opcodes that take a mark pops across.

    def _pop(self) -> Value:
        if len(self._stack) <= self._fence:
            raise FormatError(f"byte {self.begun}", "the stack is empty")
        return self._stack.pop()

    def _top(self) -> Value:
        if len(self._stack) <= self._fence:
            raise FormatError(f"byte {self.begun}", "the stack is empty")
        return self._stack[-1]

    def _pop_mark(self) -> list[Value]:
        if not self._marks:
            raise FormatError(f"byte {self.begun}", "no mark is set")
        start = self._marks.pop()
        self._fence = self._marks[-1] if self._marks else 0
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _push_tuple(self, items: list[Value]) -> None:
        self._budget.cells -= len(items) + 1
        if self._budget.cells < 0:
            raise LimitError(self._where, limit=MAX_CELLS, seen=MAX_CELLS + 1, unit="items of tuples")
        self._stack.append(tuple(items))

    def _op_mark(self, _: Value) -> None:
        self._fence = len(self._stack)
        self._marks.append(self._fence)
        if len(self._marks) > MAX_STACK:
            raise LimitError(self._where, limit=MAX_STACK, seen=len(self._marks), unit="marks")

    def _op_stop(self, _: Value) -> None:
        self.result = self._pop()

    def _op_pop(self, _: Value) -> None:
        if self._marks and self._fence == len(self._stack):
            self._pop_mark()
        else:
            self._pop()

    def _op_pop_mark(self, _: Value) -> None:
        self._pop_mark()

    def _op_dup(self, _: Value) -> None:
        self._stack.append(self._top())
        self._bound_stack()

    def _bound_stack(self) -> None:
        if len(self._stack) > MAX_STACK:
            raise LimitError(self._where, limit=MAX_STACK, seen=len(self._stack), unit="values on the stack")

    def _op_proto(self, _: Value) -> None:
        pass

    _op_frame = _op_proto

    # The memo.

    def _op_put(self, argument: Value) -> None:
        value = self._top()
        if isinstance(argument, int) and self.memo.put(argument, value) > MAX_MEMO:
            raise LimitError(self._where, limit=MAX_MEMO, seen=len(self.memo), unit="entries in the memo")

    def _op_memoize(self, _: Value) -> None:
        if len(self._stack) <= self._fence:
            raise FormatError(f"byte {self.begun}", "the stack is empty")
        if self.memo.add(self._stack[-1]) > MAX_MEMO:
            raise LimitError(self._where, limit=MAX_MEMO, seen=len(self.memo), unit="entries in the memo")

    def _op_get(self, argument: Value) -> None:
        value = self.memo.get(argument) if isinstance(argument, int) else None
        if value is None:
            raise FormatError(f"byte {self.begun}", "an entry of the memo that was never stored")
        self._stack.append(value)
        self._bound_stack()

    # Containers.

    def _op_empty_list(self, _: Value) -> None:
        self._stack.append(LIST)
        self._bound_stack()

    def _op_list(self, _: Value) -> None:
        self._pop_mark()
        self._stack.append(LIST)

    def _op_empty_tuple(self, _: Value) -> None:
        self._stack.append(())
        self._bound_stack()

    def _op_tuple(self, _: Value) -> None:
        self._push_tuple(self._pop_mark())

    def _op_tuple1(self, _: Value) -> None:
        self._push_tuple([self._pop()])

    def _op_tuple2(self, _: Value) -> None:
        second, first = self._pop(), self._pop()
        self._push_tuple([first, second])

    def _op_tuple3(self, _: Value) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._push_tuple([first, second, third])

    def _op_empty_set(self, _: Value) -> None:
        self._stack.append(SET)
        self._bound_stack()

    def _op_frozenset(self, _: Value) -> None:
        self._pop_mark()
        self._stack.append(DATA)

    def _op_empty_dict(self, _: Value) -> None:
        self._stack.append(self._new_dict())

    def _op_dict(self, _: Value) -> None:
        items = self._pop_mark()
        self._stack.append(self._new_dict())
        self._set_items(items)

    def _new_dict(self) -> Dict:
        self._budget.cells -= _DICT_CELLS
        if self._budget.cells < 0:
            raise LimitError(self._where, limit=MAX_CELLS, seen=MAX_CELLS + 1, unit="cells of dictionaries and tuples")
        return Dict()

    def _op_append(self, _: Value) -> None:
        self._pop()
        self._change(self._top(), LIST, Takes.APPEND, "append")

    def _op_appends(self, _: Value) -> None:
        if self._pop_mark():
            self._change(self._top(), LIST, Takes.APPEND, "append")

    def _op_additems(self, _: Value) -> None:
        if self._pop_mark():
            self._change(self._top(), SET, Takes.ADD, "add")

    def _op_setitem(self, _: Value) -> None:
        value, key = self._pop(), self._pop()
        target = self._top()
        if type(target) is Dict and target.fields is None and not target.frozen:
            target.add(key, value)
        else:
            self._set_items([key, value])

    def _op_setitems(self, _: Value) -> None:
        self._set_items(self._pop_mark())

    def _set_items(self, items: list[Value]) -> None:
        target = self._top()
        if len(items) % 2:
            raise FormatError(f"byte {self.begun}", "a key without a value")
        if isinstance(target, Dict):
            if items and target.frozen:
                self._refuse_change("would change the fields of a NumPy type that is in use")
            for key, value in zip(items[::2], items[1::2], strict=True):
                target.add(key, value)
            if target.fields is not None:
                self._budget.fields -= len(items) // 2
                if self._budget.fields < 0:
                    target.fields = None
        elif items:
            self._change(target, None, Takes.ITEMS, "set items of")

    # What only a machine that knows globals can tell.

    def _change(self, target: Value, plain: Mark | None, takes: Takes, verb: str) -> None:
        raise NotImplementedError

    def _refuse_change(self, message: str) -> None:
        raise NotImplementedError
