# SPDX-License-Identifier: Apache-2.0
"""Whole files of people's records: sealed JSONL here, sealed columns of Parquet beside it."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import attrs

from lifeseal._io import DiskSource, Output, Raw, Reader, StrPath, canonical, lines, loads, replacing
from lifeseal.erasure._batches import Gone, in_batches
from lifeseal.erasure._places import refuse_overlap
from lifeseal.erasure._sealed import MAX_PLAIN, to_line
from lifeseal.erasure._session import Session
from lifeseal.erasure._work import Erased, Work
from lifeseal.errors import FormatError

ERASED = "lifeseal.erased/1"
_MAX_VALUES = 4 << 20


@attrs.frozen(kw_only=True)
class SealedFile:
    """A file of records that was sealed.

    Attributes:
        records: How many.
        people: How many people are new to the vault.
    """

    records: int
    people: int


@attrs.frozen(kw_only=True)
class UnsealedFile:
    """A file of sealed records that was opened.

    Attributes:
        records: How many were written in plaintext.
        erased: How many were not, as their person was erased.
    """

    records: int
    erased: int


class Form(Protocol):
    """One way to keep people's records in a file."""

    def people(self, reader: Reader, where: str) -> Iterator[str]:
        """Tell whose each record is."""

    def seal(self, reader: Reader, output: Output, work: Work) -> None:
        """Write the file with its records sealed."""

    def unseal(self, reader: Reader, output: Output, work: Work, *, mark: bool) -> None:
        """Write the file with its records opened."""

    def sealed(self, reader: Reader, where: str) -> Iterator[bytes]:
        """Walk the sealed records as they stand there."""


def seal_file(session: Session, source: StrPath, out: StrPath, form: Form, *, overwrite: bool) -> SealedFile:
    """See `lifeseal.erasure.Subjects.seal_file`."""
    with _opened(session, source, out, overwrite=overwrite) as origin, origin.open(origin.name) as reader:
        work = Work.begin(session, origin.where)
        work.create(form.people(reader, origin.where))
        with replacing(out, overwrite=overwrite) as output:
            form.seal(reader, output, work)
    return SealedFile(records=work.records, people=work.people)


def unseal_file(session: Session, source: StrPath, out: StrPath, form: Form, erased: Erased, *, overwrite: bool) -> UnsealedFile:
    """See `lifeseal.erasure.Subjects.unseal_file`."""
    with (
        _opened(session, source, out, overwrite=overwrite) as origin,
        origin.open(origin.name) as reader,
        replacing(out, mode=0o600, overwrite=overwrite) as output,
    ):
        work = Work.begin(session, origin.where, refuse=erased == "refuse")
        form.unseal(reader, output, work, mark=erased == "mark")
    return UnsealedFile(records=work.records, erased=work.erased)


def json_field(name: str) -> Callable[[bytes], str]:
    """Return a function that reads whose a record is from a field of its JSON.

    Args:
        name: The field, at the top of the object: text, or a whole number, which counts as its decimal text.

    Returns:
        The function. It raises `FormatError` for a record that is no such object, and `LimitError` for one that is too large; the message
        repeats nothing of it.
    """
    return lambda record: _person_of(record, name, where="a record")


def person(found: object, *, where: str) -> str:
    """Take a value for a person's id, or refuse it without repeating it."""
    if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
        return str(found)
    raise FormatError(where, "text, or a whole number, that names a person was expected")


class Lines:
    """JSONL: each line a record, sealed whole.

    Args:
        id_field: Where a record names its person; None where nobody looks.
    """

    def __init__(self, id_field: str | None) -> None:
        self._field = id_field or ""

    def people(self, reader: Reader, where: str) -> Iterator[str]:
        """Tell whose each record is."""
        for number, line in enumerate(_lines(reader, where)):
            yield _person_of(line, self._field, where=f"{where}, record {number}")

    def seal(self, reader: Reader, output: Output, work: Work) -> None:
        """Write the file with its records sealed."""
        for batch in in_batches(_lines(reader, work.where), len):
            people = [_person_of(line, self._field, where=f"{work.where}, record {work.records + number}") for number, line in enumerate(batch)]
            output.write(b"".join(to_line(sealed) + b"\n" for sealed in work.seal(people, batch)))

    def unseal(self, reader: Reader, output: Output, work: Work, *, mark: bool) -> None:
        """Write the file with its records opened."""
        for batch in in_batches(_lines(reader, work.where), len):
            first = work.records + work.erased
            opened = work.unseal(batch)
            if self._field:
                work.check(
                    batch,
                    [
                        _person_of(line, self._field, where=f"{work.where}, record {first + number}") if isinstance(line, bytes) else None
                        for number, line in enumerate(opened)
                    ],
                )
            written = [line if isinstance(line, bytes) else _mark(line) for line in opened if mark or isinstance(line, bytes)]
            output.write(b"".join(line + b"\n" for line in written))

    def sealed(self, reader: Reader, where: str) -> Iterator[bytes]:
        """Walk the sealed lines."""
        return _lines(reader, where)


def _person_of(line: bytes, field: str, *, where: str) -> str:
    try:
        document = loads(line, where=where, max_bytes=MAX_PLAIN, max_items=_MAX_VALUES, floats=True)
    except FormatError:  # what it says may repeat a part of the record
        document = None
    if not isinstance(document, dict):
        raise FormatError(where, "an object of JSON was expected, strictly written")
    return person(document.get(field), where=f"{where}, {field!r}")


def _mark(found: Gone) -> bytes:
    return canonical({ERASED: {"slot": found.slot, "generation": found.generation, "epoch": found.epoch}})


def _lines(reader: Reader, where: str) -> Iterator[bytes]:
    for batch, _ in lines(Raw(reader, where), where, utf8=True):
        yield from batch


def _opened(session: Session, source: StrPath, out: StrPath, *, overwrite: bool) -> DiskSource:
    """Open what is to be read, unless it is, or lies in, what is to be written."""
    refuse_overlap(Path(out), session.folder, session.holder)
    if os.path.realpath(source) == os.path.realpath(out):
        raise ValueError(f"{os.fspath(out)}: give another name than the file that is read; replacing it would not overwrite its blocks")
    if not overwrite and os.path.lexists(out):  # before people get slots; the write refuses without a race
        raise FileExistsError(errno.EEXIST, "is there already, and is not replaced; name another file", os.fspath(out))
    origin = DiskSource(source)
    if origin.is_folder:
        origin.close()
        raise FormatError(origin.where, "one file of records was expected, not a folder")
    return origin
