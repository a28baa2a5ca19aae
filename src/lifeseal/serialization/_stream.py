# SPDX-License-Identifier: Apache-2.0
"""A stream of pickles: one, several in a row, or PyTorch's legacy file with storages behind them."""

from typing import Final

import attrs

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._context import Context
from lifeseal.serialization._pickle import StricterError
from lifeseal.serialization._rules import Findings
from lifeseal.serialization._stack import Memo
from lifeseal.serialization._symbolic import Machine
from lifeseal.serialization._window import Cursor, Window

LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES: Final = 5
_LEGACY_MAIN: Final = 3
_MAX_PICKLES: Final = 1 << 16
_PICKLE_COST: Final = 16


@attrs.define(kw_only=True)
class Stream:
    """What a stream of pickles was found to be.

    Attributes:
        completed: Pickles that were read to their STOP.
        clean: Nothing lies behind the last one, and none is broken.
        acted: Something not known to be harmless would have run.
        imported: Something was imported, harmless or not.
        unknown: Something was imported that is not known to be harmless.
        runs_on_import: Such an import alone could run something.
        stopped: Reading ended at a bound of this reader, behind which an unpickler could go on.
        begun: Offset of the last opcode that was read in full.
        end: Offset behind the last pickle that was read to its STOP.
        legacy: It is a file of PyTorch before 1.6.
        is_joblib: It holds arrays as joblib writes them.
        storages: PyTorch's persistent ids: key to size in bytes.
    """

    completed: int = 0
    clean: bool = True
    acted: bool = False
    imported: bool = False
    unknown: bool = False
    runs_on_import: bool = False
    stopped: bool = False
    begun: int = 0
    end: int = 0
    legacy: bool = False
    is_joblib: bool = False
    storages: dict[str, int] = attrs.field(factory=dict)

    def note(self, machine: Machine) -> None:
        """Take over what a machine saw."""
        self.acted |= machine.acted
        self.imported |= machine.imported
        self.unknown |= machine.unknown
        self.runs_on_import |= machine.runs_on_import
        self.is_joblib |= machine.is_joblib
        self.storages.update(machine.storages)


@attrs.frozen
class _Broken:
    rule: str
    detail: str
    message: str
    is_bound: bool = False


def judge_stream(
    window: Window, context: Context, *, start: int = 0, keeps_storages: bool = False, may_be_legacy: bool = False, only: int = _MAX_PICKLES
) -> Stream:
    """Follow every pickle of a stream.

    Args:
        window: The bytes.
        context: Where findings go.
        start: Offset of the first pickle.
        keeps_storages: The loader gives PyTorch's persistent ids a meaning.
        may_be_legacy: Look for PyTorch's legacy file.
        only: Pickles that are followed at most; what is behind them is another's affair.

    Returns:
        What it was found to be; everything wrong with it is a finding.
    """
    found = Stream(end=start)
    cursor = Cursor(window, start)
    inherited: Memo | None = None
    while (found.completed == 0 or cursor.left) and not (found.legacy and found.completed == _LEGACY_PICKLES) and found.completed < only:
        begin = cursor.offset
        context.budget.opcodes -= _PICKLE_COST
        own = Findings()
        keeps = keeps_storages or (found.legacy and found.completed == _LEGACY_MAIN)
        machine = Machine(context.aside(own), cursor, keeps_storages=keeps)
        broken = _run(machine)
        if found.completed and inherited is not None and len(inherited) and not found.legacy:
            # One Unpickler that reads them all keeps its memo; PyTorch takes a new one for each pickle of its legacy file.
            shared = Findings()
            other = Machine(context.aside(shared), Cursor(window, begin), memo=inherited, keeps_storages=keeps)
            also = _run(other)
            found.note(other)
            found.stopped |= also is not None and also.is_bound
            if broken is not None and not machine.acted and (also is None or other.acted):
                machine, cursor, own, broken = other, other.cursor, shared, also
            elif other.acted or (also is not None and also.is_bound):
                context.findings.extend(shared)
                if also is not None:
                    context.say(also.rule, also.detail, also.message)
        else:
            inherited = machine.memo
        found.note(machine)
        found.begun = machine.begun
        found.stopped |= broken is not None and broken.is_bound
        _follow_forks(machine, found, context)
        if broken is not None:
            found.clean = False
            trailing = found.completed > 0 and not own.listed() and not found.legacy and not broken.is_bound
            context.findings.extend(own)
            context.say("pickle-trailing" if trailing else broken.rule, f"byte {begin}" if trailing else broken.detail, broken.message)
            break
        context.findings.extend(own)
        found.completed += 1
        found.end = cursor.offset
        found.legacy |= may_be_legacy and found.completed == 1 and type(machine.result) is int and machine.result == LEGACY_MAGIC
        if found.completed >= _MAX_PICKLES:
            context.say("limit", "", f"more than {_MAX_PICKLES} pickles in a row")
            found.clean, found.stopped = False, True
            break
    if found.legacy and found.completed == _LEGACY_PICKLES:
        _judge_tail(cursor, found.storages, context)
    elif found.legacy and found.clean:
        found.clean = False
        context.say("pickle-broken", "", f"a PyTorch legacy file holds {_LEGACY_PICKLES} pickles, but only {found.completed} are there")
    return found


def _run(machine: Machine) -> _Broken | None:
    """Run one pickle; returns what stopped it."""
    try:
        machine.run()
    except StricterError as error:
        return _Broken("limit", error.where, error.wanted, is_bound=True)
    except FormatError as error:
        return _Broken("pickle-broken", error.where, error.wanted)
    except LimitError as error:
        return _Broken("limit", "", str(error), is_bound=True)
    return None


def _follow_forks(machine: Machine, found: Stream, context: Context) -> None:
    """Go on behind each array as a plain unpickler would, which takes its items for opcodes."""
    pending = machine.forks
    while pending:
        fork = pending.pop()
        own = Findings()
        fork.redirect(context.aside(own))
        broken = _run(fork)
        pending += fork.forks
        if fork.acted or fork.unknown or (broken is not None and broken.is_bound):
            found.note(fork)
            context.findings.extend(own)
            context.say("mixed", f"byte {fork.begun}", "an array's items that a plain unpickler would follow as a pickle")


def _judge_tail(cursor: Cursor, storages: dict[str, int], context: Context) -> None:
    """Check that what follows the pickles is as long as the storages they name, each behind its count of 8 bytes."""
    wanted = sum(size + 8 for size in storages.values())
    if cursor.left != wanted:
        context.say("torch-storage", f"byte {cursor.offset}", f"{wanted} bytes of storages were expected, but {cursor.left} are there")
