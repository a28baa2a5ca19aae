# SPDX-License-Identifier: Apache-2.0
"""The symbolic pickle machine: it follows every opcode's effect, imports nothing and calls nothing."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._allow import STORAGE_SIZES, resolve
from lifeseal.serialization._arrays import WRAPPER, skip_array
from lifeseal.serialization._by_design import may_be_called, words_for
from lifeseal.serialization._checks import plain_state
from lifeseal.serialization._context import Context
from lifeseal.serialization._dtypes import Dtype
from lifeseal.serialization._nested import judge_nested
from lifeseal.serialization._pickle import OPCODES, STOP, StricterError
from lifeseal.serialization._rules import shown
from lifeseal.serialization._stack import MAX_STACK, Memo, StackMachine
from lifeseal.serialization._values import (
    LONG_TEXT,
    NONE,
    STORAGE,
    TRUSTED,
    UNKNOWN,
    Blob,
    Global,
    Made,
    Mark,
    Standing,
    Takes,
    Value,
)
from lifeseal.serialization._window import Cursor
from lifeseal.serialization._words import described, full

MAX_GLOBALS: Final = 1 << 12
_MAX_STORAGES: Final = 1 << 18
_PERSISTENT_PARTS: Final = 5
_MODULE_PARTS: Final = 4
_IMPORTABLE: Final = re.compile(r"\S+")
_PLAIN_MODULE: Final = re.compile(r"[^\W\d][^\W]*")
_ACT_ON_IMPORT: Final = frozenset({"__hello__", "__phello__", "antigravity", "this"})
_LOAD_FROM_BYTES: Final = ("torch.storage", "_load_from_bytes")


class Machine(StackMachine):
    """Follows one pickle.

    Args:
        context: Where findings go, and whom the caller trusts.
        cursor: Stands at the first opcode; afterwards behind STOP.
        memo: What an earlier pickle of the same unpickler left; by default empty.
        keeps_storages: The loader gives PyTorch's persistent ids a meaning.

    Attributes:
        acted: Something not known to be harmless would have run.
        imported: A global was named that an import could find: no text does so by chance.
        unknown: Such a global is not known to be harmless.
        runs_on_import: Such an import alone could run something.
        storages: For each of PyTorch's persistent ids: key to size in bytes.
        forks: Copies that go on where a plain unpickler would, while joblib's reads an array.
        is_joblib: It holds arrays as joblib writes them.
    """

    def __init__(self, context: Context, cursor: Cursor, *, memo: Memo | None = None, keeps_storages: bool = False) -> None:
        super().__init__(context.place, context.budget, memo)
        self.acted = False
        self.imported = False
        self.unknown = False
        self.runs_on_import = False
        self.is_joblib = False
        self.storages: dict[str, int] = {}
        self.forks: list[Machine] = []
        self.cursor = cursor
        self._context = context
        self._keeps_storages = keeps_storages
        self._globals: dict[tuple[str, str], Global] = {}

    def run(self) -> None:
        """Follow one pickle to its STOP.

        Raises:
            FormatError: The unpickler would have stopped with an error here.
            LimitError: More opcodes, stack or memo than the bounds.
        """
        stack, budget, cursor = self._stack, self._budget, self.cursor
        code = -1
        while code != STOP:
            if cursor.next >= len(cursor.buffer):
                cursor.fill(1)
            begun = cursor.base + cursor.next
            code = cursor.buffer[cursor.next]
            cursor.next += 1
            step = _STEPS[code]
            if step is None:
                raise FormatError(f"byte {begun}", f"{code:#04x} is no opcode of pickle")
            read, value, handler = step
            argument = value if read is None else read(cursor)
            budget.opcodes -= 1
            if cursor.cost or budget.opcodes < 0:
                budget.spend(cursor.cost, self._where)
                cursor.cost = 0
            self.begun = begun
            if handler is None:
                stack.append(argument)
                if len(stack) > MAX_STACK:
                    raise LimitError(self._where, limit=MAX_STACK, seen=len(stack), unit="values on the stack")
            else:
                handler(self, argument)

    def redirect(self, context: Context) -> None:
        """Send findings elsewhere."""
        self._context = context

    def _fork(self) -> "list[Machine]":
        """Return a copy that goes on behind the last opcode as a plain unpickler would; none where that could not."""
        window, offset = self.cursor.window, self.cursor.offset
        if window.read(offset, 1) not in _CODES:
            return []
        self._budget.forks -= 1
        self._budget.spend(len(self._stack) + len(self.memo), self._where)
        if self._budget.forks < 0:
            raise StricterError(f"byte {offset}", "more arrays than can be read in two ways")
        other = Machine(self._context, Cursor(window, offset), keeps_storages=self._keeps_storages)
        self._hand_on(other)
        return [other]

    # Globals.

    def _op_global(self, argument: Value) -> None:
        module, name = argument if isinstance(argument, tuple) else (LONG_TEXT, LONG_TEXT)
        self._stack.append(self._named(module, name))

    def _op_stack_global(self, _: Value) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(self._named(module, name))

    def _named(self, module: Value, name: Value) -> Value:
        # In prose the first line of what looks like a global holds spaces, and no import finds that.
        importable = not isinstance(module, str) or _IMPORTABLE.fullmatch(module) is not None
        self.imported = self.imported or importable
        if not isinstance(module, str) or not isinstance(name, str):
            if not all(map(_may_be_text, (module, name))):
                raise FormatError(f"byte {self.begun}", "the names of a module and of something in it were expected")
            self.acted = True
            self._say("pickle-name", "imports something whose name is computed or too long to read")
            return UNKNOWN
        found = self._globals.get((module, name))
        if found is None:
            if len(self._globals) >= MAX_GLOBALS:
                raise LimitError(self._where, limit=MAX_GLOBALS, seen=MAX_GLOBALS + 1, unit="globals")
            found = self._globals[module, name] = resolve(module, name, self._context.allow)
            self._judge_reference(found, importable=importable)
        return found

    def _judge_reference(self, found: Global, *, importable: bool) -> None:
        if found.standing is Standing.UNKNOWN and importable:
            self.unknown = True
            self.runs_on_import = self.runs_on_import or not _PLAIN_MODULE.fullmatch(found.module) or found.module in _ACT_ON_IMPORT
        if found.standing is Standing.UNKNOWN and "." in found.name:
            self._say("pickle-name", f"imports {full(found)} by a dotted name, which walks through other objects")
        elif found.standing is Standing.UNKNOWN:
            self._say("pickle-import", f"imports {full(found)}, which {words_for(found.module)}")
        elif found.standing is Standing.BY_DESIGN:
            self._say("pickle-object", f"holds {full(found)}, an object of a library whose models are code by design")
        elif found.standing is Standing.ALLOWED:
            self._say("pickle-allowed", f"uses {full(found)}, which was allowed")

    def _op_ext(self, _: Value) -> None:
        self._say("pickle-extension", "imports by an extension code; what it names is not in the file")
        self._stack.append(UNKNOWN)

    # Calls and objects.

    def _op_reduce(self, _: Value) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def _op_inst(self, argument: Value) -> None:
        module, name = argument if isinstance(argument, tuple) else (LONG_TEXT, LONG_TEXT)
        arguments = tuple(self._pop_mark())
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
        made = self._make(function, arguments) if isinstance(arguments, tuple) else None
        return self._refuse_use(function, "calls") if made is None else made

    def _make(self, function: Global, arguments: tuple[Value, ...]) -> Value | None:
        """Follow a call that is harmless with these arguments; None for any other."""
        if function.path == _LOAD_FROM_BYTES:
            return function.made if judge_nested(arguments, self.cursor.window, self._context, self.begun) else None
        if function.harmless is not None and function.harmless.make is not None:
            return function.harmless.make(function, arguments)
        check = function.harmless.call if function.harmless is not None else None
        return function.made if check is not None and check(arguments) else None

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
        if kind.standing in {Standing.ALLOWED, Standing.BY_DESIGN}:
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

    # Changes of objects.

    def _change(self, target: Value, plain: Mark | None, takes: Takes, verb: str) -> None:
        if target is plain or target is UNKNOWN or target is TRUSTED:
            return
        if isinstance(target, Made) and takes in target.takes:
            return
        self._refuse_change(f"would {verb} {described(target)}, which runs a method of it")

    def _refuse_change(self, message: str) -> None:
        self._say("pickle-state", message)

    def _op_build(self, _: Value) -> None:
        state, target = self._pop(), self._top()
        if target is TRUSTED or target is UNKNOWN:
            return
        if isinstance(target, Made):
            if target.source.path == WRAPPER:
                self._read_array(state)
                return
            if isinstance(target, Dtype) and target.set_state(state):
                return
            accepts = target.source.harmless.state if target.source.harmless is not None else None
            if accepts is not None and accepts(state):
                return
            if Takes.DICT_STATE in target.takes and plain_state(state):
                return
        self.acted = self.acted or isinstance(target, Global | Made)
        self._say("pickle-state", f"sets the state of {described(target)} in a way that is not known to be harmless")

    def _read_array(self, state: Value) -> None:
        """Step over an array as joblib's unpickler does; a plain one would go on with its bytes as opcodes."""
        self.is_joblib = True
        other = self._fork()
        if skip_array(state, self.cursor):
            self.forks += other
        else:
            self._say("joblib-objects", "an array of objects, which joblib reads as a pickle of its own and others as part of this one")
            inner = Machine(self._context, self.cursor)
            try:
                inner.run()
            finally:
                self.acted, self.unknown = self.acted or inner.acted, self.unknown or inner.unknown
                self.forks += inner.forks
        self._pop()
        self._stack.append(resolve("numpy", "ndarray", frozenset()).made)

    # Persistent ids and buffers.

    def _op_persid(self, argument: Value) -> None:
        self._stack.append(self._persistent(argument))

    def _op_binpersid(self, _: Value) -> None:
        self._stack.append(self._persistent(self._pop()))

    def _persistent(self, identity: Value) -> Value:
        if self._keeps_storages and type(identity) is int:
            return STORAGE  # in the oldest files, a storage or tensor by its number
        if self._keeps_storages and isinstance(identity, tuple):
            if len(identity) == _MODULE_PARTS and _is_word(identity[0], "module") and isinstance(identity[1], Global):
                return identity[1]
            if len(identity) in {_PERSISTENT_PARTS, _PERSISTENT_PARTS + 1}:
                word, kind, key, _, count = identity[:_PERSISTENT_PARTS]
                viewed = len(identity) == _PERSISTENT_PARTS or identity[-1] is NONE or isinstance(identity[-1], tuple)
                size = STORAGE_SIZES.get(kind.name) if isinstance(kind, Global) and kind.module in {"torch", "torch.storage"} else None
                good = _is_word(word, "storage") and isinstance(key, str) and isinstance(count, int) and count >= 0 and viewed
                if good and size is not None and isinstance(key, str) and isinstance(count, int):
                    return self._storage(key, count * size)
        self._say("pickle-persistent-id", "a persistent id that PyTorch does not write here; what it stands for is not in the file")
        return UNKNOWN

    def _storage(self, key: str, size: int) -> Value:
        if self.storages.setdefault(key, size) != size:
            self._say("torch-storage", f"storage {shown(key)!r} is used with two sizes")
        if len(self.storages) > _MAX_STORAGES:
            raise LimitError(self._where, limit=_MAX_STORAGES, seen=len(self.storages), unit="storages")
        return STORAGE

    def _op_next_buffer(self, _: Value) -> None:
        raise StricterError(f"byte {self.begun}", "a buffer that lies outside the file")

    def _op_readonly_buffer(self, _: Value) -> None:
        self._top()

    def _say(self, rule: str, message: str) -> None:
        self._context.say(rule, f"byte {self.begun}", message)


def _is_object(value: Value) -> bool:
    return isinstance(value, Global) and value.path == ("builtins", "object")


def _may_be_text(value: Value) -> bool:
    return isinstance(value, str) or value is LONG_TEXT or value is UNKNOWN or value is TRUSTED or (isinstance(value, Blob) and value.text)


def _is_word(value: Value, word: str) -> bool:
    return isinstance(value, str) and value == word


HANDLERS: Final[Mapping[str, Callable[[Machine, Value], None]]] = {
    name[4:].upper(): getattr(Machine, name) for name in dir(Machine) if name.startswith("_op_")
}
# For each byte how its argument is read, what stands for an argument where there is none, and what it does but push it.
_STEPS: Final = tuple(
    None if (opcode := OPCODES.get(code)) is None else (opcode.read, opcode.value, None if opcode.pushes else HANDLERS[opcode.name])
    for code in range(256)
)
_CODES: Final = frozenset(bytes([code]) for code in OPCODES)
