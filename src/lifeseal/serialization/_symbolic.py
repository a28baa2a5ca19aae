# SPDX-License-Identifier: Apache-2.0
"""The symbolic pickle machine: it follows every opcode's effect on stack and memo, imports nothing and calls nothing.

Source: CPython 3.11 ``Modules/_pickle.c``: the same stack, marks and memo, so that a value is found where the C unpickler finds it.
"""

import re
from collections.abc import Callable
from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._allow import STORAGE_SIZES, plain_state, resolve
from lifeseal.serialization._budget import MAX_CELLS, Budget
from lifeseal.serialization._by_design import is_class_like, may_be_called, words_for
from lifeseal.serialization._dtypes import Dtype
from lifeseal.serialization._pickle import StricterError, opcodes
from lifeseal.serialization._rules import Findings, at, shown
from lifeseal.serialization._values import (
    DATA,
    LIST,
    LONG_TEXT,
    NONE,
    SET,
    STORAGE,
    TRUSTED,
    UNKNOWN,
    Dict,
    Global,
    Made,
    Mark,
    Standing,
    Takes,
    Value,
)
from lifeseal.serialization._window import Cursor
from lifeseal.serialization._words import described, full

MAX_STACK: Final = 1 << 20
MAX_MEMO: Final = 1 << 20
MAX_GLOBALS: Final = 1 << 12
_MAX_STORAGES: Final = 1 << 18
_PERSISTENT_PARTS: Final = 5
_SPACES: Final = re.compile(r"\s")


class Machine:
    """Follows one pickle.

    Args:
        findings: Where findings go.
        place: What to call the stream in findings.
        allow: Full names of globals that the caller trusts.
        budget: Work left for the file.
        memo: What an earlier pickle of the same unpickler left; by default empty.
        keeps_storages: The loader gives PyTorch's persistent ids a meaning.

    Attributes:
        acted: Something not known to be harmless would have run.
        imported: A global was named that an import could find: no text does so by chance.
        begun: Offset of the last opcode that was read in full.
        result: The symbolic value on top of the stack at STOP.
        storages: For each of PyTorch's persistent ids: key to size in bytes.
    """

    def __init__(
        self,
        findings: Findings,
        *,
        place: str,
        allow: frozenset[str],
        budget: Budget,
        memo: dict[int, Value] | None = None,
        keeps_storages: bool = False,
    ) -> None:
        self.acted = False
        self.imported = False
        self.begun = 0
        self.result: Value = DATA
        self.storages: dict[str, int] = {}
        self.memo: dict[int, Value] = {} if memo is None else memo
        self._findings = findings
        self._place = place
        self._allow = allow
        self._budget = budget
        self._keeps_storages = keeps_storages
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._fence = 0
        self._globals: dict[tuple[str, str], Global] = {}
        self._handlers: dict[str, Callable[[Value], None]] = {
            name[4:].upper(): getattr(self, name) for name in dir(type(self)) if name.startswith("_op_")
        }

    def run(self, cursor: Cursor) -> None:
        """Follow one pickle to its STOP.

        Args:
            cursor: Stands at its first opcode; afterwards behind its STOP.

        Raises:
            FormatError: The unpickler would have stopped with an error here.
            LimitError: More opcodes, stack or memo than the bounds.
        """
        stack = self._stack
        budget = self._budget
        handlers = self._handlers
        for opcode, argument, offset in opcodes(cursor):
            if (cost := cursor.cost) or budget.opcodes <= 0:
                budget.spend(cost + 1, self._place)
                cursor.cost = 0
            else:
                budget.opcodes -= 1
            self.begun = offset
            if opcode.pushes:
                stack.append(argument)
            else:
                handlers[opcode.name](argument)
            if len(stack) > MAX_STACK or len(self._marks) > MAX_STACK:
                raise LimitError(self._place or "pickle", limit=MAX_STACK, seen=len(stack), unit="values on the stack")

    # The stack. A mark is a fence that nothing but the opcodes that take a mark pops across.

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
            raise LimitError(self._place or "pickle", limit=MAX_CELLS, seen=MAX_CELLS + 1, unit="items of tuples")
        self._stack.append(tuple(items))

    def _op_mark(self, _: Value) -> None:
        self._fence = len(self._stack)
        self._marks.append(self._fence)

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

    def _op_proto(self, _: Value) -> None:
        pass

    _op_frame = _op_proto

    # The memo.

    def _op_put(self, argument: Value) -> None:
        value = self._top()
        if isinstance(argument, int):
            self.memo[argument] = value
        if len(self.memo) > MAX_MEMO:
            raise LimitError(self._place or "pickle", limit=MAX_MEMO, seen=len(self.memo), unit="entries in the memo")

    def _op_memoize(self, _: Value) -> None:
        self._op_put(len(self.memo))

    def _op_get(self, argument: Value) -> None:
        if not isinstance(argument, int) or argument not in self.memo:
            raise FormatError(f"byte {self.begun}", "an entry of the memo that was never stored")
        self._stack.append(self.memo[argument])

    # Containers.

    def _op_empty_list(self, _: Value) -> None:
        self._stack.append(LIST)

    def _op_list(self, _: Value) -> None:
        self._pop_mark()
        self._stack.append(LIST)

    def _op_empty_tuple(self, _: Value) -> None:
        self._stack.append(())

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

    def _op_frozenset(self, _: Value) -> None:
        self._pop_mark()
        self._stack.append(DATA)

    def _op_empty_dict(self, _: Value) -> None:
        self._stack.append(Dict())

    def _op_dict(self, _: Value) -> None:
        items = self._pop_mark()
        self._stack.append(Dict())
        self._set_items(items)

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
        self._set_items([key, value])

    def _op_setitems(self, _: Value) -> None:
        self._set_items(self._pop_mark())

    def _set_items(self, items: list[Value]) -> None:
        target = self._top()
        if len(items) % 2:
            raise FormatError(f"byte {self.begun}", "a key without a value")
        if isinstance(target, Dict):
            if items and target.frozen:
                self._say("pickle-state", "would change the fields of a NumPy type that is in use")
            for key, value in zip(items[::2], items[1::2], strict=True):
                target.add(key, value)
        elif items:
            self._change(target, None, Takes.ITEMS, "set items of")

    def _change(self, target: Value, plain: Mark | None, takes: Takes, verb: str) -> None:
        if target is plain or target is UNKNOWN or target is TRUSTED:
            return
        if isinstance(target, Made) and takes in target.takes:
            return
        self._say("pickle-state", f"would {verb} {described(target)}, which runs a method of it")

    # Globals, calls and objects.

    def _op_global(self, argument: Value) -> None:
        module, name = argument if isinstance(argument, tuple) else (LONG_TEXT, LONG_TEXT)
        self._note_import(module)
        self._stack.append(self._named(module, name))

    def _op_stack_global(self, _: Value) -> None:
        name, module = self._pop(), self._pop()
        self.imported = True
        self._stack.append(self._named(module, name))

    def _note_import(self, module: Value) -> None:
        """Note what the two lines of a global say; in prose the first one holds spaces."""
        if not isinstance(module, str) or _SPACES.search(module) is None:
            self.imported = True

    def _named(self, module: Value, name: Value) -> Value:
        if not isinstance(module, str) or not isinstance(name, str):
            self.acted = True
            self._say("pickle-name", "imports something whose name is computed or too long to read")
            return UNKNOWN
        found = self._globals.get((module, name))
        if found is None:
            if len(self._globals) >= MAX_GLOBALS:
                raise LimitError(self._place or "pickle", limit=MAX_GLOBALS, seen=MAX_GLOBALS + 1, unit="globals")
            found = self._globals[module, name] = resolve(module, name, self._allow)
            self._judge_reference(found)
        return found

    def _judge_reference(self, found: Global) -> None:
        self.acted = self.acted or (found.standing is Standing.UNKNOWN and self.imported)
        if found.standing is Standing.UNKNOWN and "." in found.name:
            self._say("pickle-name", f"imports {full(found)} by a dotted name, which walks through other objects")
        elif found.standing is Standing.UNKNOWN:
            self._say("pickle-import", f"imports {full(found)}, which {words_for(found.module)}")
        elif found.standing is Standing.BY_DESIGN:
            self._say("pickle-object", f"holds {full(found)}, an object of a library whose models are code by design")
        elif found.standing is Standing.ALLOWED:
            self._say("pickle-allowed", f"uses {full(found)}, which was allowed")

    def _op_reduce(self, _: Value) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def _op_inst(self, argument: Value) -> None:
        module, name = argument if isinstance(argument, tuple) else (LONG_TEXT, LONG_TEXT)
        arguments = tuple(self._pop_mark())
        self._note_import(module)
        self._stack.append(self._call(self._named(module, name), arguments))

    def _op_obj(self, _: Value) -> None:
        items = self._pop_mark()
        if not items:
            raise FormatError(f"byte {self.begun}", "the stack is empty")
        self._stack.append(self._call(items[0], tuple(items[1:])))

    def _op_newobj(self, _: Value) -> None:
        arguments, kind = self._pop(), self._pop()
        self._stack.append(self._new(kind, arguments))

    def _op_newobj_ex(self, _: Value) -> None:
        self._pop()
        arguments, kind = self._pop(), self._pop()
        known = isinstance(kind, Global) and kind.standing in {Standing.BY_DESIGN, Standing.ALLOWED}
        self._stack.append(self._new(kind, arguments if known else None))

    def _call(self, function: Value, arguments: Value) -> Value:
        if not isinstance(function, Global):
            self.acted = self.acted or function is UNKNOWN or function is TRUSTED
            self._say("pickle-call", f"calls {described(function)}")
            return UNKNOWN
        if function.path == ("copyreg", "_reconstructor"):
            return self._reconstruct(arguments)
        if function.standing is Standing.ALLOWED or (function.standing is Standing.BY_DESIGN and may_be_called(*function.path)):
            return TRUSTED
        if function.harmless is not None and function.harmless.make is not None and isinstance(arguments, tuple):
            made = function.harmless.make(function, arguments)
            return self._refuse_use(function, "calls") if made is None else made
        check = function.harmless.call if function.harmless is not None else None
        if check is not None and isinstance(arguments, tuple) and check(arguments):
            return function.made
        return self._refuse_use(function, "calls")

    def _reconstruct(self, arguments: Value) -> Value:
        if isinstance(arguments, tuple) and len(arguments) == 3 and _is_object(arguments[1]) and arguments[2] is NONE:  # noqa: PLR2004
            return self._new(arguments[0], ())
        self.acted = True
        self._say("pickle-call", "calls copyreg._reconstructor in a way that is not known to be harmless")
        return UNKNOWN

    def _new(self, kind: Value, arguments: Value) -> Value:
        if not isinstance(kind, Global):
            self.acted = self.acted or kind is UNKNOWN or kind is TRUSTED
            self._say("pickle-call", f"makes an object of {described(kind)}")
            return UNKNOWN
        if kind.standing is Standing.ALLOWED or (kind.standing is Standing.BY_DESIGN and is_class_like(kind.name)):
            return TRUSTED
        check = kind.harmless.new if kind.harmless is not None else None
        if check is not None and isinstance(arguments, tuple) and check(arguments):
            return kind.made
        return self._refuse_use(kind, "makes an object of")

    def _refuse_use(self, found: Global, verb: str) -> Value:
        self.acted = True
        known = words_for(found.module) if found.standing is Standing.UNKNOWN else "is not known to be harmless in this use"
        self._say("pickle-call", f"{verb} {full(found)}, which {known}")
        return UNKNOWN

    def _op_build(self, _: Value) -> None:
        state, target = self._pop(), self._top()
        if target is TRUSTED or target is UNKNOWN:
            return
        if isinstance(target, Made):
            if isinstance(target, Dtype) and target.set_state(state):
                return
            accepts = target.source.harmless.state if target.source.harmless is not None else None
            if accepts is not None and accepts(state):
                return
            if Takes.DICT_STATE in target.takes and plain_state(state):
                return
        self.acted = self.acted or isinstance(target, Global | Made)
        self._say("pickle-state", f"sets the state of {described(target)} in a way that is not known to be harmless")

    def _op_ext(self, _: Value) -> None:
        self.imported = True
        self._say("pickle-extension", "imports by an extension code; what it names is not in the file")
        self._stack.append(UNKNOWN)

    # Persistent ids and buffers.

    def _op_persid(self, argument: Value) -> None:
        self._stack.append(self._persistent(argument))

    def _op_binpersid(self, _: Value) -> None:
        self._stack.append(self._persistent(self._pop()))

    def _persistent(self, identity: Value) -> Value:
        if self._keeps_storages and isinstance(identity, tuple) and len(identity) in {_PERSISTENT_PARTS, _PERSISTENT_PARTS + 1}:
            word, kind, key, _, count = identity[:_PERSISTENT_PARTS]
            viewed = len(identity) == _PERSISTENT_PARTS or identity[-1] is NONE or isinstance(identity[-1], tuple)
            size = STORAGE_SIZES.get(kind.name) if isinstance(kind, Global) and kind.module in {"torch", "torch.storage"} else None
            if (
                isinstance(word, str)
                and word == "storage"
                and size is not None
                and isinstance(key, str)
                and isinstance(count, int)
                and count >= 0
                and viewed
            ):
                return self._storage(key, count * size)
        self._say("pickle-persistent-id", "a persistent id that PyTorch does not write here; what it stands for is not in the file")
        return UNKNOWN

    def _storage(self, key: str, size: int) -> Value:
        if self.storages.setdefault(key, size) != size:
            self._say("torch-storage", f"storage {shown(key)!r} is used with two sizes")
        if len(self.storages) > _MAX_STORAGES:
            raise LimitError(self._place or "pickle", limit=_MAX_STORAGES, seen=len(self.storages), unit="storages")
        return STORAGE

    def _op_next_buffer(self, _: Value) -> None:
        raise StricterError(f"byte {self.begun}", "a buffer that lies outside the file")

    def _op_readonly_buffer(self, _: Value) -> None:
        self._top()

    def _say(self, rule: str, message: str) -> None:
        self._findings.add(rule, at(self._place, f"byte {self.begun}"), message)


def _is_object(value: Value) -> bool:
    return isinstance(value, Global) and value.path == ("builtins", "object")
