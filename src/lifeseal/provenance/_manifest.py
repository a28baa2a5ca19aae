# SPDX-License-Identifier: Apache-2.0
"""The dataset manifest: which files, from where, obtained when, under which terms."""

import datetime as dt
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from typing import Self

import attrs

from lifeseal._io import Record, StrPath, canonical, checked_name, loads, read_bounded, refuse_foreign, replace
from lifeseal.attestation import parse_digest, parse_time
from lifeseal.errors import FormatError
from lifeseal.principles import implements

MANIFEST_SCHEMA = "lifeseal.dataset/1"
MAX_MANIFEST = 512 << 20
MAX_FILES = 1 << 20
MAX_PATH = 4096
_MAX_NAME = 4096
_MAX_TEXT = 1 << 16
_FIRST_YEAR = 1000
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LICENCE = re.compile(r"[A-Za-z0-9.+():\- ]{1,200}", re.ASCII)


@attrs.frozen(kw_only=True)
class Description:
    """Where data came from and under which terms, as the person who records it states it.

    Attributes:
        name: What to call the data, at most 4096 characters.
        source: URL, or what stands for one, at most 65 536 characters.
        obtained: When it was obtained from there, with a time zone; kept to the second.
        licence: SPDX licence expression, or ``LicenseRef-…``.
        notes: Anything else worth keeping, or empty; at most 65 536 characters.

    Source: UK Code of Practice, provisions 8.2 and 8.2.1.
    """

    name: str
    source: str
    obtained: dt.datetime
    licence: str
    notes: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.name.strip() or not self.source.strip():
            raise ValueError("name= and source= must say something")
        for field, text, most in (("name", self.name, _MAX_NAME), ("source", self.source, _MAX_TEXT), ("notes", self.notes, _MAX_TEXT)):
            if len(text) > most:
                raise ValueError(f"{field}= has {len(text)} characters, more than {most}")
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError(f"{field}= is not valid Unicode") from None
        if self.obtained.tzinfo is None:
            raise ValueError("obtained= needs a time zone")
        if not _FIRST_YEAR < self.obtained.year < dt.MAXYEAR:
            raise ValueError(f"obtained= is in the year {self.obtained.year}")
        if not _LICENCE.fullmatch(self.licence):
            raise ValueError(f"licence= takes an SPDX expression such as 'CC-BY-4.0', not {self.licence[:80]!r}")


@attrs.frozen(kw_only=True)
class RecordedFile:
    """One file of a dataset.

    Attributes:
        path: Relative, POSIX, no ``..``; the exact bytes of the name.
        size: Bytes.
        sha256: Raw digest of the content, 32 bytes.
    """

    path: str
    size: int
    sha256: bytes = attrs.field(repr=lambda d: d.hex()[:12])


@attrs.frozen(kw_only=True)
class Manifest:
    """What a dataset is: its description and its files.

    Attributes:
        description: Where it came from.
        files: Sorted by path, each path once.
        derived_from: Digests of the manifests it was made from, ``sha256:`` and 64 hexadecimal digits.
    """

    description: Description
    files: tuple[RecordedFile, ...]
    derived_from: tuple[str, ...] = ()

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the file form: what a signature is about."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def digest(self) -> str:
        """The same as ``sha256:`` and 64 hexadecimal digits."""
        return f"sha256:{self.sha256.hex()}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """Write the file form: canonical JSON, so that equal manifests give equal bytes."""
        return canonical(
            {
                "schema": MANIFEST_SCHEMA,
                "description": {
                    "name": self.description.name,
                    "source": self.description.source,
                    "obtained": self.description.obtained.astimezone(dt.UTC).strftime(_TIME),
                    "licence": self.description.licence,
                    "notes": self.description.notes,
                },
                "files": [{"path": file.path, "size": file.size, "sha256": file.sha256.hex()} for file in self.files],
                "derived_from": list(self.derived_from),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = "manifest") -> Self:
        """Read the file form strictly; what it says is not vouched for by anybody yet.

        Args:
            data: Canonical JSON, as `to_bytes` writes it.
            where: Name for error messages.

        Returns:
            The manifest.

        Raises:
            FormatError: It is not a dataset manifest, or not in its canonical form.
            LimitError: It is larger than 512 MiB.
        """
        record = Record(loads(data, where=where, max_bytes=MAX_MANIFEST, what="a dataset manifest"), where=where)
        record.take_const("schema", MANIFEST_SCHEMA)
        description = _description(record.take_record("description"))
        files = tuple(_file(item, where=record.at("files")) for item in record.take_list("files"))
        derived_from = record.take_strs("derived_from")
        record.done()
        try:
            for digest in derived_from:
                parse_digest(digest)
        except ValueError as error:
            raise FormatError(record.at("derived_from"), str(error)) from None
        paths = [file.path for file in files]
        if not files or paths != sorted(set(paths)):
            raise FormatError(record.at("files"), "at least one file, each path once and sorted, was expected")
        if both := file_and_folder(paths):
            raise FormatError(record.at("files"), f"{both[:200]!r} cannot be a file and a folder")
        manifest = cls(description=description, files=files, derived_from=derived_from)
        if manifest.to_bytes() != data:
            raise FormatError(where, "the canonical form was expected: sorted keys, no spaces")
        return manifest

    @classmethod
    @implements(evidences=("8.2",), limits="Nobody vouches for a manifest read this way; open_manifest checks who does.")
    def load(cls, path: StrPath) -> Self:
        """Read a manifest without checking who vouches for it; see `open_manifest` for that.

        Args:
            path: The file.

        Returns:
            The manifest.

        Raises:
            FormatError: It is not a dataset manifest.
            LimitError: It is larger than 512 MiB.
            OSError: It cannot be read.
        """
        return cls.from_bytes(read_bounded(path, limit=MAX_MANIFEST, what="a dataset manifest"), where=os.fspath(path))

    @implements("8.2", "8.2.1", limits="The record is as true as what the caller stated.")
    def write(self, path: StrPath) -> None:
        """Write the manifest durably: the name holds the old manifest or this one.

        Args:
            path: The file; its folder must exist.

        Raises:
            FileExistsError: What lies there is no dataset manifest.
            OSError: The disk refused.
        """
        refuse_foreign(path, mark=MANIFEST_SCHEMA.encode(), what="dataset manifest")
        replace(path, self.to_bytes())


def file_and_folder(paths: Iterable[str]) -> str | None:
    """Name a path that is a file and, by another path, a folder; None if there is none."""
    there = set(paths)
    return next((above for path in there for above in _folders(path) if above in there), None)


def _folders(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _description(record: Record) -> Description:
    obtained = parse_time(record.take_str("obtained", max_length=32), where=record.at("obtained"))
    texts = {name: record.take_str(name) for name in ("name", "source", "licence", "notes")}
    record.done()
    try:
        return Description(obtained=obtained, **texts)
    except ValueError as error:
        raise FormatError(record.where, str(error)) from None


def _file(item: object, *, where: str) -> RecordedFile:
    record = Record(item, where=where)
    path = checked_name(record.take_str("path", max_length=MAX_PATH), where=where)
    size = record.take_int("size")
    sha256 = record.take_hex("sha256", length=32)
    record.done()
    return RecordedFile(path=path, size=size, sha256=sha256)
