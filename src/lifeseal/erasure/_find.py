# SPDX-License-Identifier: Apache-2.0
"""Looking through sealed files for people's records, by the slots they name; nothing is decrypted."""

import os
from collections.abc import Iterable, Sequence

import attrs

from lifeseal._io import DiskSource, StrPath, new_hasher, read_through
from lifeseal.erasure._files import Form
from lifeseal.erasure._people import Place
from lifeseal.erasure._sealed import Sealed, bare
from lifeseal.errors import FormatError

_PIECE = 1 << 20


@attrs.frozen(kw_only=True)
class FoundRecords:
    """One person's records in one sealed file.

    Attributes:
        path: The file.
        sha256: Of the whole file.
        numbers: Of the records, from 0, in order.
        records: The records as they stand there: lines of JSONL, cells of Parquet.
    """

    path: str
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])
    numbers: tuple[int, ...]
    records: tuple[bytes, ...] = attrs.field(repr=lambda found: f"<{len(found)} records>")


def find_records(vault: bytes, places: Sequence[Place], files: Iterable[tuple[StrPath, Form]]) -> tuple[tuple[FoundRecords, ...], ...]:
    """Look for people's records.

    Args:
        vault: Id of the vault.
        places: Where each person's key lies.
        files: Sealed files, and how each is read.

    Returns:
        For each person, in order, the files with records of theirs.

    Raises:
        CredentialError: A file was sealed in another vault.
        FormatError: A file is no sealed file.
        OSError: A file cannot be read.
    """
    numbered = {(place.slot, place.generation): number for number, place in enumerate(places)}
    found: list[list[FoundRecords]] = [[] for _ in places]
    for path, form in files:
        for person, one in _in_file(vault, numbered, path, form).items():
            found[person].append(one)
    return tuple(map(tuple, found))


def _in_file(vault: bytes, numbered: dict[tuple[int, int], int], path: StrPath, form: Form) -> dict[int, FoundRecords]:
    hits: dict[int, list[tuple[int, bytes]]] = {}
    hasher, where = new_hasher("sha256"), os.fspath(path)
    with DiskSource(path) as source:
        if source.is_folder:
            raise FormatError(where, "one sealed file was expected, not a folder")
        with source.open(source.name) as reader:
            read_through(reader, where, memoryview(bytearray(_PIECE)), hasher.update)
            for number, record in enumerate(form.sealed(reader, where)):
                named = f"{where}, record {number}"
                one = Sealed.parse(bare(record, where=named), vault=vault, where=named)
                person = numbered.get((one.slot, one.generation))
                if person is not None:
                    hits.setdefault(person, []).append((number, record))
    digest = hasher.digest()
    return {
        person: FoundRecords(path=where, sha256=digest, numbers=tuple(number for number, _ in some), records=tuple(record for _, record in some))
        for person, some in hits.items()
    }
