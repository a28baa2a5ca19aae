# SPDX-License-Identifier: Apache-2.0
"""What the crash tests hold to the promise: old or new, and an acknowledged change is there.

A new operation is one entry of `OPERATIONS`: the state before, the act, and what may be left.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from crash.harness import Operation
from lifeseal._io import _durable

OLD = b"old content\n" * 500
NEW = b"new content\n" * 2000
LINES = (b'{"line": 1}\n', b'{"line": 2}\n' * 1000)


def replacement(
    name: str, write: Callable[[Path, bytes], object], *, old: bytes | None = OLD, next_write: Callable[[Path], object] | None = None
) -> Operation:
    """An operation that gives ``file`` a new content, with any writer."""
    return Operation(
        name=name,
        prepare=lambda folder: old is not None and (folder / "file").write_bytes(old),
        run=lambda folder: write(folder / "file", NEW),
        check=lambda folder, acknowledged: old_or_new(folder / "file", old, NEW, acknowledged=acknowledged),
        **({"next_write": next_write} if next_write else {}),
    )


def old_or_new(path: Path, old: bytes | None, new: bytes | None, *, acknowledged: bool) -> str | None:
    """Say what is wrong with a file that held ``old`` and was to hold ``new``; None stands for no file."""
    found = path.read_bytes() if path.exists() else None
    if found not in {old, new}:
        return f"{path.name} is neither old nor new: {None if found is None else f'{len(found)} bytes, {found[:12]!r}'}"
    return "acknowledged and lost" if acknowledged and found != new else None


@contextlib.contextmanager
def no_unnamed_files() -> Iterator[None]:
    """Let the writers believe that there is no O_TMPFILE, as on some file systems."""
    with mock.patch.object(os, "O_TMPFILE", None):
        yield


def _stream(path: Path, data: bytes, **options: bool) -> None:
    with _durable.replacing(path, **options) as output:
        for start in range(0, len(data), 10_000):
            output.write(data[start : start + 10_000])


_create = functools.partial(_durable.replace, overwrite=False)
_replace_named = no_unnamed_files()(_durable.replace)
_create_named = no_unnamed_files()(_create)


def _append(folder: Path) -> None:
    log = _durable.Appender(folder / "log")
    for line in LINES:
        with log.locked():
            log.append(line, durable=True)
    log.close()


def _check_log(old: bytes) -> Callable[[Path, bool], str | None]:
    wanted = old + b"".join(LINES)
    lengths = {len(old) + len(b"".join(LINES[:count])) for count in range(len(LINES) + 1)}

    def check(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
        path = folder / "log"
        found = path.read_bytes() if path.exists() else b""
        if acknowledged and found != wanted:
            return f"acknowledged lines lost: {len(found)} bytes"
        if len(found) < len(old) or not wanted.startswith(found[: len(old)]):
            return f"old lines lost: {len(found)} bytes"
        # A power cut can leave zeros where a file system had noted the length, but not yet the content.
        torn = len(found) not in lengths or any(seen not in {0, byte} for seen, byte in zip(found, wanted, strict=False))
        return f"torn or foreign lines: {len(found)} bytes, ending {found[-12:]!r}" if torn else None

    return check


def _check_folder(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    return "acknowledged and lost" if acknowledged and not (folder / "made").is_dir() else None


REPLACE = replacement("replace", _durable.replace)

OPERATIONS = (
    REPLACE,
    replacement("stream", _stream),
    replacement("replace-new", _durable.replace, old=None),
    replacement("create", _create, old=None, next_write=lambda folder: _create(folder / "next", b"")),
    replacement("replace-named", _replace_named),
    replacement("create-named", _create_named, old=None, next_write=lambda folder: _create_named(folder / "next", b"")),
    Operation(name="append", prepare=lambda folder: (folder / "log").write_bytes(OLD), run=_append, check=_check_log(OLD)),
    Operation(name="append-new", prepare=lambda _: None, run=_append, check=_check_log(b"")),
    Operation(name="make-folder", prepare=lambda _: None, run=lambda folder: _durable.make_folder(folder / "made"), check=_check_folder),
    Operation(
        name="remove",
        prepare=lambda folder: (folder / "file").write_bytes(OLD),
        run=lambda folder: _durable.remove(folder / "file"),
        check=lambda folder, acknowledged: old_or_new(folder / "file", OLD, None, acknowledged=acknowledged),
    ),
)
