# SPDX-License-Identifier: Apache-2.0
"""A stream of pickles: one, several in a row, or PyTorch's legacy file with storages behind them."""

from typing import Final

import attrs

from lifeseal.errors import FormatError, LimitError
from lifeseal.serialization._budget import Budget
from lifeseal.serialization._pickle import StricterError
from lifeseal.serialization._rules import Findings, at
from lifeseal.serialization._symbolic import Machine
from lifeseal.serialization._values import Value
from lifeseal.serialization._window import Cursor, Window

LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES: Final = 5
_LEGACY_MAIN: Final = 3
_MAX_PICKLES: Final = 1 << 16


@attrs.frozen(kw_only=True)
class Stream:
    """What a stream of pickles was found to be.

    Attributes:
        completed: Pickles that were read to their STOP.
        clean: Nothing lies behind the last one, and none is broken.
        acted: Something not known to be harmless would have run.
        imported: Something was imported, harmless or not.
        stopped: Reading ended at a bound of this reader, behind which an unpickler could go on.
        begun: Offset of the last opcode that was read in full.
        legacy: It is a file of PyTorch before 1.6.
        storages: PyTorch's persistent ids: key to size in bytes.
    """

    completed: int
    clean: bool
    acted: bool
    imported: bool
    stopped: bool
    begun: int
    legacy: bool
    storages: dict[str, int]


def judge_stream(
    window: Window,
    findings: Findings,
    *,
    place: str,
    allow: frozenset[str],
    budget: Budget,
    start: int = 0,
    keeps_storages: bool = False,
    may_be_legacy: bool = False,
) -> Stream:
    """Follow every pickle of a stream.

    Args:
        window: The bytes.
        findings: Where findings go.
        place: What to call the stream in findings.
        allow: Full names of globals that the caller trusts.
        budget: Work left for the file.
        start: Offset of the first pickle.
        keeps_storages: The loader gives PyTorch's persistent ids a meaning.
        may_be_legacy: Look for PyTorch's legacy file.

    Returns:
        What it was found to be; everything wrong with it is a finding.
    """
    cursor = Cursor(window, start)
    inherited: dict[int, Value] = {}
    storages: dict[str, int] = {}
    completed, acted, legacy, clean = 0, False, False, True
    imported, stopped, begun = False, False, 0
    while (completed == 0 or cursor.left) and not (legacy and completed == _LEGACY_PICKLES):
        if completed >= _MAX_PICKLES:
            findings.add("limit", place, f"more than {_MAX_PICKLES} pickles in a row")
            clean, stopped = False, True
            break
        begin = cursor.offset
        own = Findings()
        keeps = keeps_storages or (legacy and completed == _LEGACY_MAIN)
        machine = Machine(own, place=place, allow=allow, budget=budget, keeps_storages=keeps)
        broken = _run(machine, cursor, place)
        if completed and inherited and not legacy:
            # One Unpickler that reads them all keeps its memo; PyTorch takes a new one for each pickle of its legacy file.
            second, found = Cursor(window, begin), Findings()
            other = Machine(found, place=place, allow=allow, budget=budget, memo=inherited, keeps_storages=keeps)
            also = _run(other, second, place)
            stopped = stopped or _is_bound(also)
            acted, imported = acted or other.acted, imported or other.imported
            if broken is not None and not machine.acted and (also is None or other.acted):
                machine, cursor, own, broken = other, second, found, also
            elif other.acted or _is_bound(also):
                findings.extend(found)
                if also is not None:
                    findings.add(*also[:3])
        else:
            inherited = machine.memo
        acted, imported = acted or machine.acted, imported or machine.imported
        stopped = stopped or _is_bound(broken)
        begun = machine.begun
        storages.update(machine.storages)
        if broken is not None:
            clean = False
            trailing = completed > 0 and not own.listed() and not legacy
            findings.extend(own)
            trailing = trailing and not _is_bound(broken)
            findings.add("pickle-trailing" if trailing else broken[0], at(place, f"byte {begin}") if trailing else broken[1], broken[2])
            break
        findings.extend(own)
        completed += 1
        legacy = legacy or (may_be_legacy and completed == 1 and type(machine.result) is int and machine.result == LEGACY_MAGIC)
    if legacy and completed == _LEGACY_PICKLES:
        _judge_tail(cursor, storages, findings, place)
    elif legacy and clean:
        clean = False
        findings.add("pickle-broken", place, f"a PyTorch legacy file holds {_LEGACY_PICKLES} pickles, but only {completed} are there")
    return Stream(completed=completed, clean=clean, acted=acted, imported=imported, stopped=stopped, begun=begun, legacy=legacy, storages=storages)


def _is_bound(broken: tuple[str, str, str, bool] | None) -> bool:
    return broken is not None and broken[3]


def _run(machine: Machine, cursor: Cursor, place: str) -> tuple[str, str, str, bool] | None:
    """Run one pickle; returns rule, place and message of what stopped it, and whether it was a bound of this reader only."""
    try:
        machine.run(cursor)
    except StricterError as error:
        return "limit", at(place, error.where), error.wanted, True
    except FormatError as error:
        return "pickle-broken", at(place, error.where), error.wanted, False
    except LimitError as error:
        return "limit", place, str(error), True
    return None


def _judge_tail(cursor: Cursor, storages: dict[str, int], findings: Findings, place: str) -> None:
    """Check that what follows the pickles is as long as the storages they name, each behind its count of 8 bytes."""
    wanted = sum(size + 8 for size in storages.values())
    if cursor.left != wanted:
        findings.add("torch-storage", at(place, f"byte {cursor.offset}"), f"{wanted} bytes of storages were expected, but {cursor.left} are there")
