# SPDX-License-Identifier: Apache-2.0
"""The dataset manifest: which files and records, from where, obtained when, under which terms."""

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io import Record, StrPath, canonical, loads, read_bounded, refuse_foreign, replace
from lifeseal.attestation import parse_digest
from lifeseal.errors import FormatError, LimitError
from lifeseal.principles import implements
from lifeseal.provenance._description import (
    PERSONAL,
    Description,
    Origin,
    description_from_json,
    description_to_json,
    has_more,
)
from lifeseal.provenance._entries import FileRecords, RecordedFile, file_from_json, file_to_json
from lifeseal.provenance._leaves import leaves_name

MANIFEST_SCHEMA = "lifeseal.dataset/1"
RECORDS_SCHEMA = "lifeseal.dataset/2"
REMOTE_SCHEMA = "lifeseal.dataset/3"
_SCHEMAS = (MANIFEST_SCHEMA, RECORDS_SCHEMA, REMOTE_SCHEMA)
MAX_MANIFEST = 512 << 20
MAX_FILES = 1 << 20
_MAX_VALUES = 32 << 20
_MARK = b"lifeseal.dataset/"
_MAX_PINNED = 1000
_PINNED = re.compile(r"hf://datasets/[^/@\s]{1,200}/[^/@\s]{1,200}@[0-9a-f]{40}(/.{1,4096})?", re.ASCII)
_UNREAD = "some digests are the word of the server that the files lie on: nobody read these files when they were recorded"
_UNKEYED = "personal data is recorded without a leaf key: who can guess a record can confirm that it was there"


@attrs.frozen(kw_only=True)
class KeyUse:
    """How a dataset's leaves were keyed.

    Attributes:
        keys: ``one`` for all records, or ``per-record``.
        check: Tells that one key apart from others, 8 bytes; empty for many.
    """

    keys: str
    check: bytes = b""


@attrs.frozen(kw_only=True)
class Manifest:
    """What a dataset is: its description and its files.

    Attributes:
        description: Where it came from.
        files: Sorted by path, each path once.
        derived_from: What it was made from.
        key_use: How leaves were keyed; None if they were not, or if there are none.
        pinned: Where it was read at a revision that cannot become another: ``hf://datasets/OWNER/NAME@COMMIT``.
        leaves: Folder of the leaf files, if it is known; no part of the file form.
    """

    description: Description
    files: tuple[RecordedFile, ...]
    derived_from: tuple[Origin, ...] = ()
    key_use: KeyUse | None = None
    pinned: tuple[str, ...] = ()
    leaves: Path | None = attrs.field(default=None, eq=False)

    @functools.cached_property
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

    @property
    def records(self) -> int:
        """Records of all files whose records were hashed."""
        return sum(file.records.count for file in self.files if file.records is not None)

    @property
    def leaf_names(self) -> tuple[str, ...]:
        """Names of the leaf files, each once."""
        return tuple(dict.fromkeys(leaves_name(records.leaves) for _, records in self.recorded()))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever reads the manifest should know."""
        bare = self.key_use is None and any(file.records is not None for file in self.files)
        unkeyed = bare and self.description.sensitivity in PERSONAL
        unread = any(file.stated_by for file in self.files)
        return (*([_UNKEYED] if unkeyed else []), *([_UNREAD] if unread else []))

    def to_bytes(self) -> bytes:
        """Write the file form: canonical JSON, so that equal manifests give equal bytes.

        The lowest schema is written that can say everything.

        Raises:
            LimitError: It is larger than 512 MiB, so that nobody could read it back.
        """
        level = self._level()
        more = level > 0
        document: dict[str, object] = {
            "schema": _SCHEMAS[level],
            "description": description_to_json(self.description),
            "files": [file_to_json(file) for file in self.files],
            "derived_from": [{"digest": o.digest, "step": o.step} if more else o.digest for o in self.derived_from],
        }
        if self.key_use is not None:
            document["leaf_key"] = {"keys": self.key_use.keys, "check": self.key_use.check.hex()}
        if self.pinned:
            document["pinned"] = list(self.pinned)
        if self.warnings:
            document["warnings"] = list(self.warnings)
        data = canonical(document)
        if len(data) > MAX_MANIFEST:
            raise LimitError(self.description.name, limit=MAX_MANIFEST, seen=len(data))
        return data

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
        document = loads(data, where=where, max_bytes=MAX_MANIFEST, max_items=_MAX_VALUES, what="a dataset manifest")
        record = Record(document, where=where)
        schema = record.take("schema")
        more, most = schema in {RECORDS_SCHEMA, REMOTE_SCHEMA}, schema == REMOTE_SCHEMA
        if not more:
            record.take_const("schema", MANIFEST_SCHEMA)
        description = description_from_json(record.take_record("description"), more=more)
        entries = record.take_list("files", max_items=MAX_FILES)
        files = tuple(file_from_json(item, where=record.at("files"), more=more, most=most) for item in entries)
        derived_from = _origins(record, more=more)
        key_use = _key_use(record.take_record("leaf_key")) if more and "leaf_key" in record else None
        pinned = record.take_strs("pinned", max_items=_MAX_PINNED) if most and "pinned" in record else ()
        if not all(_PINNED.fullmatch(url) for url in pinned):
            raise FormatError(record.at("pinned"), "URLs at a commit were expected, as hf://datasets/OWNER/NAME@COMMIT")
        if more and "warnings" in record:
            record.take_strs("warnings", max_items=100)  # they follow from the rest, so the comparison below checks them
        record.done()
        paths = [file.path for file in files]
        if not files or paths != sorted(set(paths)):
            raise FormatError(record.at("files"), "at least one file, each path once and sorted, was expected")
        if both := file_and_folder(paths):
            raise FormatError(record.at("files"), f"{both[:200]!r} cannot be a file and a folder")
        manifest = cls(description=description, files=files, derived_from=derived_from, key_use=key_use, pinned=pinned)
        if manifest.to_bytes() != data:
            raise FormatError(
                where, "the canonical form was expected: the lowest schema that fits, sorted keys, no spaces, every warning that is due"
            )
        return manifest

    @classmethod
    @implements(evidences=("8.2",), limits="Nobody vouches for a manifest read this way; open_manifest checks who does.")
    def load(cls, path: StrPath, *, leaves: StrPath | None = None) -> Self:
        """Read a manifest without checking who vouches for it; see `open_manifest` for that.

        Args:
            path: The file.
            leaves: Folder of its leaf files, by default ``PATH.leaves``; nothing there is read yet.

        Returns:
            The manifest.

        Raises:
            FormatError: It is not a dataset manifest.
            LimitError: It is larger than 512 MiB.
            OSError: It cannot be read.
        """
        where = os.fspath(path)
        found = cls.from_bytes(read_bounded(path, limit=MAX_MANIFEST, what="a dataset manifest"), where=where)
        return attrs.evolve(found, leaves=Path(f"{where}.leaves" if leaves is None else leaves))

    @implements("8.1.1", "8.2", "8.2.1", limits="The record is as true as what the caller stated.")
    def write(self, path: StrPath) -> None:
        """Write the manifest durably: the name holds the old manifest or this one.

        Args:
            path: The file; its folder must exist.

        Raises:
            FileExistsError: What lies there is no dataset manifest.
            OSError: The disk refused.
        """
        refuse_foreign(path, mark=_MARK, what="dataset manifest")
        replace(path, self.to_bytes())

    def _level(self) -> int:
        """Tell which schema can say it all."""
        if self.pinned or any(file.stated_by for file in self.files):
            return 2
        stated = has_more(self.description) or self.key_use is not None or any(origin.step for origin in self.derived_from)
        return int(stated or any(file.records is not None for file in self.files))

    def file(self, path: str) -> RecordedFile:
        """Look one file up.

        Args:
            path: As it stands in the manifest.

        Returns:
            Its entry.

        Raises:
            KeyError: The manifest names no such file.
        """
        return self._by_path[path]

    @functools.cached_property
    def _by_path(self) -> dict[str, RecordedFile]:
        return {file.path: file for file in self.files}

    def recorded(self) -> Iterator[tuple[RecordedFile, FileRecords]]:
        """Walk the files whose records were hashed.

        Yields:
            The file, and what is known of its records.
        """
        for file in self.files:
            if file.records is not None:
                yield file, file.records


def file_and_folder(paths: Iterable[str]) -> str | None:
    """Name a path that is a file and, by another path, a folder; None if there is none."""
    there = set(paths)
    return next((above for path in there for above in _folders(path) if above in there), None)


def _folders(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _origins(record: Record, *, more: bool) -> tuple[Origin, ...]:
    where = record.at("derived_from")
    found = []
    for item in record.take_list("derived_from"):
        if more:
            origin = Record(item, where=where)
            digest, step = origin.take_str("digest", max_length=80), origin.take_str("step", max_length=200)
            origin.done()
        elif isinstance(item, str):
            digest, step = item, ""
        else:
            raise FormatError(where, "an array of strings was expected")
        try:
            parse_digest(digest)
            found.append(Origin(digest=digest, step=step))
        except ValueError as error:
            raise FormatError(where, str(error)) from None
    return tuple(found)


def _key_use(record: Record) -> KeyUse:
    keys = record.take_str("keys")
    if keys not in {"one", "per-record"}:
        raise FormatError(record.at("keys"), f"'one' or 'per-record' was expected, not {keys[:60]!r}")
    check = record.take_hex("check", length=8 if keys == "one" else 0)
    record.done()
    return KeyUse(keys=keys, check=check)
