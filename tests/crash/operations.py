# SPDX-License-Identifier: Apache-2.0
"""What the crash tests hold to the promise: old or new, and an acknowledged change is there.

A new operation is one entry of `OPERATIONS`: the state before, the act, and what may be left.
"""

import contextlib
import datetime as dt
import functools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from crash.harness import Operation
from lifeseal import _io, attestation, evidence, provenance, serialization, signing
from lifeseal._io import _durable, _names
from lifeseal.errors import DigestMismatchError, FormatError, RolledBackError
from lifeseal.principles import Event
from lifeseal.provenance import _leaves

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


def _create_together(folder: Path) -> None:
    with _io.Together() as together:
        for name in "abc":
            with _io.replacing(folder / name, overwrite=False, together=together) as output:
                output.write(NEW)


def _check_together(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    return next((wrong for name in "abc" if (wrong := old_or_new(folder / name, None, NEW, acknowledged=acknowledged))), None)


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


def _prepare_signed(folder: Path) -> None:
    """A model that was signed, and changed since: the old signature does not hold for it, a new one does."""
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_bytes(OLD)
    attestation.generate_key(folder / "key")
    _sign(folder)
    (folder / "old").write_bytes((folder / "model" / "model.sig").read_bytes())
    (folder / "model" / "weights").write_bytes(NEW)


def _sign(folder: Path) -> None:
    signing.sign(folder / "model", signer=attestation.KeySigner.from_file(folder / "key.key"))


def _check_signed(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    if (folder / "model" / "model.sig").read_bytes() == (folder / "old").read_bytes():
        return "acknowledged and lost" if acknowledged else None
    try:
        signing.verify(folder / "model", policy=attestation.TrustedKey.from_file(folder / "key.pub"))
    except (FormatError, DigestMismatchError) as error:
        return f"the new signature does not hold: {error!r}"
    return None


def _check_key(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    secret, public = folder / "key.key", folder / "key.pub"
    if public.exists() and not secret.exists():  # harmless, and only after a refusal: nobody can sign for it
        return "acknowledged, but the private key is not there" if acknowledged else None
    if acknowledged and not public.exists():
        return "acknowledged and lost"
    pair = [attestation.KeySigner.from_file(secret).public] if secret.exists() else []
    pair += [attestation.TrustedKey.from_file(public)] if public.exists() else []
    return None if pair[1:] in ([], pair[:1]) else "the two keys do not belong together"


def _intent(number: int) -> Event:
    return Event(time="t", primitive="lifeseal.test", outcome="intent", error="", provisions=(), facts={"number": number})


def _log(folder: Path, *numbers: int) -> None:
    with evidence.Log(folder / "log") as log:
        for number in numbers:
            log.emit(_intent(number))


def _check_events(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    _log(folder)  # closes what was torn; it must be possible
    numbers = [event.facts["number"] for event in evidence.read(folder / "log")]
    if acknowledged and numbers != [1, 2, 3]:
        return f"acknowledged events lost: {numbers}"
    return None if numbers in ([1], [1, 2], [1, 2, 3]) else f"the log holds {numbers}"


def _rotate(folder: Path) -> None:
    with evidence.Log(folder / "log") as log:
        log.rotate(folder / "older")
        log.emit(_intent(2))


def _check_rotated(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    """Both events are there or the first alone, over one log or two that go on one from another."""
    _log(folder)  # completes what was begun; it must be possible
    log, older = folder / "log", folder / "older"
    rotated = older.exists() and not older.samefile(log)
    if rotated and evidence.verify(log).previous != evidence.verify(older).head:
        return "the new log does not go on from the old one"
    numbers = [event.facts["number"] for place in ([older, log] if rotated else [log]) for event in evidence.read(place) if "number" in event.facts]
    if acknowledged and (not rotated or numbers != [1, 2]):
        return f"acknowledged and lost: {numbers}"
    return None if numbers in ([1], [1, 2]) else f"the logs hold {numbers}"


def _dataset(folder: Path) -> provenance.Manifest:
    """Record the data, as it is now, and put the manifest where the old one is."""
    made = provenance.record(folder / "data", description=_DESCRIPTION, records=provenance.Records(leaves=folder / "m.leaves", sets=True))
    made.write(folder / "m")
    return made


def _prepare_dataset(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "a.jsonl").write_bytes(OLD)
    (folder / "data" / "b.jsonl").write_bytes(OLD)
    _dataset(folder)
    (folder / "data" / "a.jsonl").write_bytes(NEW)


def _check_dataset(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    """Whichever manifest is there, old or new, has its leaf files, and the new one fits the data."""
    found = provenance.Manifest.load(folder / "m")
    is_new = found.file("a.jsonl").size == len(NEW)
    if acknowledged and not is_new:
        return "acknowledged and lost"
    for file, records in found.recorded():
        with _leaves.open_leaves(found.leaves, records, where=file.path) as leaves:
            for number in range(leaves.chunks):
                leaves.chunk(number)
    return None if not is_new or provenance.verify(found, folder / "data").files == 2 else "the new manifest does not fit"


_DESCRIPTION = provenance.Description(name="d", source="s", obtained=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), licence="MIT")

_LISTS = [
    attestation.Withdrawals(name="acme", number=number, issued=_DESCRIPTION.obtained, expires=_DESCRIPTION.obtained.replace(year=2999))
    for number in (1, 2, 3)
]


def _prepare_lists(folder: Path) -> None:
    """Three lists, the first of which has been seen."""
    attestation.generate_key(folder / "key")
    (folder / "seen").mkdir()
    for made in _LISTS:
        made.sign(attestation.KeySigner.from_file(folder / "key.key")).write(folder / f"list-{made.number}")
    _see(folder, 1)


def _see(folder: Path, *numbers: int) -> None:
    policy = attestation.TrustedKey.from_file(folder / "key.pub")
    for number in numbers:
        attestation.Withdrawals.load(folder / f"list-{number}", policy=policy, seen=folder / "seen")


def _check_seen(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    numbers = [json.loads(memory.read_bytes() or b'{"number": 0}')["number"] for memory in (folder / "seen").glob("*.json")]
    if acknowledged and numbers != [3]:
        return f"acknowledged and lost: {numbers} is remembered"
    if numbers not in ([1], [2], [3]):
        return f"{numbers} is remembered"
    _see(folder, 3)
    with contextlib.suppress(RolledBackError):
        _see(folder, 2)
        return "an older list passes"
    return None


def _prepare_checkpoint(folder: Path) -> None:
    """A checkpoint, and the outcome of converting it, as one file and as several, to compare with."""
    np.savez(folder / "in.npz", a=np.arange(3000.0), b=np.ones(5))
    _convert(folder, "wanted", None)
    serialization.save({"old": np.zeros(9)}, folder / "out")


def _convert(folder: Path, name: str, bound: int | None) -> None:
    serialization.convert(folder / "in.npz", folder / name, max_shard_size=bound)


def _check_converted(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    found = (folder / "out").read_bytes()
    if found == (folder / "wanted").read_bytes():
        return None
    if acknowledged or set(serialization.load(folder / "out")) != {"old"}:
        return "acknowledged and lost, or neither old nor new"
    return None


def _check_converted_set(folder: Path, acknowledged: bool) -> str | None:  # noqa: FBT001  # the harness calls it
    index = folder / "set.safetensors.index.json"
    if not index.exists():
        return "acknowledged and lost" if acknowledged else None
    files = set(json.loads(index.read_bytes())["weight_map"].values())
    found = {name: tensor.tobytes() for file in files for name, tensor in serialization.load(folder / file).items()}
    wanted = {name: tensor.tobytes() for name, tensor in serialization.load(folder / "wanted").items()}
    return None if found == wanted else "an index whose files are not complete"


REPLACE = replacement("replace", _durable.replace)

OPERATIONS = (
    REPLACE,
    replacement("stream", _stream),
    replacement("replace-new", _durable.replace, old=None),
    replacement("create", _create, old=None, next_write=lambda folder: _create(folder / "next", b"")),
    replacement("replace-named", _replace_named),
    replacement("create-named", _create_named, old=None, next_write=lambda folder: _create_named(folder / "next", b"")),
    Operation(name="create-together", prepare=lambda _: None, run=_create_together, check=_check_together),
    Operation(name="create-together-named", prepare=lambda _: None, run=no_unnamed_files()(_create_together), check=_check_together),
    Operation(name="append", prepare=lambda folder: (folder / "log").write_bytes(OLD), run=_append, check=_check_log(OLD)),
    Operation(name="append-new", prepare=lambda _: None, run=_append, check=_check_log(b"")),
    Operation(name="make-folder", prepare=lambda _: None, run=lambda folder: _names.make_folder(folder / "made"), check=_check_folder),
    Operation(
        name="remove",
        prepare=lambda folder: (folder / "file").write_bytes(OLD),
        run=lambda folder: _names.remove(folder / "file"),
        check=lambda folder, acknowledged: old_or_new(folder / "file", OLD, None, acknowledged=acknowledged),
    ),
    Operation(name="sign", prepare=_prepare_signed, run=_sign, check=_check_signed, next_write=_sign),
    Operation(name="keygen", prepare=lambda _: None, run=lambda folder: attestation.generate_key(folder / "key"), check=_check_key),
    Operation(name="record-data", prepare=_prepare_dataset, run=_dataset, check=_check_dataset, next_write=_dataset),
    Operation(name="see-list", prepare=_prepare_lists, run=lambda folder: _see(folder, 2, 3), check=_check_seen),
    Operation(
        name="convert",
        prepare=_prepare_checkpoint,
        run=lambda folder: _convert(folder, "out", None),
        check=_check_converted,
    ),
    Operation(
        name="convert-to-set",
        prepare=_prepare_checkpoint,
        run=lambda folder: _convert(folder, "set.safetensors", 8),
        check=_check_converted_set,
    ),
    Operation(name="log-intent", prepare=lambda folder: _log(folder, 1), run=lambda folder: _log(folder, 2, 3), check=_check_events),
    Operation(name="log-rotate", prepare=lambda folder: _log(folder, 1), run=_rotate, check=_check_rotated),
)
