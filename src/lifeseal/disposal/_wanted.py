# SPDX-License-Identifier: Apache-2.0
"""What a search looks for: whole files by digest, and tensors by content, wherever they were put."""

import hashlib
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, cast

import attrs

from lifeseal._io import DiskSource, Reader, Record, Source, StrPath, new_hasher
from lifeseal.attestation import Bundle, Statement
from lifeseal.errors import FormatError, LifesealError

if TYPE_CHECKING:
    from lifeseal.provenance import Manifest

ANCHOR = 64
_ANCHORS = 16
_SMALLEST = 4096  # bytes of a tensor that is told apart from others; smaller ones are often equal by chance
_MIXED = 16  # different bytes in an anchor; constant content would be found everywhere
_PIECE = 1 << 20
_MAX_MEMBERS = 100_000
_GGUF = b"GGUF"
NO_ARCHIVE = (LifesealError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, struct.error)


@attrs.frozen(kw_only=True)
class Anchor:
    """Bytes to look for inside files of any format, and the tensor they stand in.

    Attributes:
        text: 64 bytes.
        offset: Where they stand in the tensor.
        size: Bytes of the tensor.
        digest: BLAKE3 of the tensor.
    """

    text: bytes = attrs.field(repr=False)
    offset: int
    size: int
    digest: bytes = attrs.field(repr=lambda d: d.hex()[:12])


@attrs.frozen(kw_only=True)
class Wanted:
    """Content whose copies are looked for.

    Attributes:
        files: SHA-256 of each file to its name.
        sizes: Sizes of the files; None where they are not known, and then every file has to be read.
        tensors: BLAKE3 of each tensor to its name, by size in bytes.
        anchors: For tensors in files whose format is not read.
    """

    files: dict[bytes, str] = attrs.field(repr=lambda f: f"<{len(f)} files>")
    sizes: frozenset[int] | None = attrs.field(repr=False)
    tensors: dict[int, dict[bytes, str]] = attrs.field(factory=dict, repr=lambda t: f"<{sum(map(len, t.values()))} tensors>")
    anchors: tuple[Anchor, ...] = attrs.field(default=(), repr=lambda a: f"<{len(a)} anchors>")

    @classmethod
    def of(cls, content: "StrPath | Source | Manifest | Bundle") -> "Wanted":
        """Say what to look for.

        Args:
            content: A model's folder or file, a sealed asset or another source (read once, tensors too); a dataset's manifest (files by size
                and digest); or a model's signature (files by digest alone, so that every file has to be read).

        Returns:
            What to look for.

        Raises:
            FormatError: A signature of shards or of another hash than sha256, whose digests no single file has; or of something else.
            LifesealError: See the source.
            OSError: Something cannot be read.
        """
        from lifeseal.provenance import Manifest

        if isinstance(content, Manifest):
            files = [file for file in content.files if file.size]
            return cls(files={file.sha256: file.path for file in files}, sizes=frozenset(file.size for file in files))
        if isinstance(content, Bundle):
            return _of_signature(content)
        if isinstance(content, str | os.PathLike):
            with DiskSource(content) as source:
                return _of_source(source)
        return _of_source(content)

    @classmethod
    def merged(cls, wanted: "Iterable[Wanted]") -> "Wanted":
        """Look for several things in one search.

        Args:
            wanted: What to look for.

        Returns:
            All of it.
        """
        parts = tuple(wanted)
        tensors = dict[int, dict[bytes, str]]()
        for part in parts:
            for size, found in part.tensors.items():
                tensors.setdefault(size, {}).update(found)
        anchors = sorted((anchor for part in parts for anchor in part.anchors), key=lambda anchor: -anchor.size)
        return cls(
            files={digest: name for part in parts for digest, name in part.files.items()},
            sizes=None if any(part.sizes is None for part in parts) else frozenset(size for part in parts for size in part.sizes or ()),
            tensors=tensors,
            anchors=tuple(anchors),
        )


def _of_signature(bundle: Bundle) -> Wanted:
    predicate = Record(Statement.from_bytes(bundle.envelope.payload, where="signature").predicate, where="signature, predicate")
    how = predicate.take_record("serialization")
    if (how.take("method"), how.take("hash_type")) != ("files", "sha256"):
        raise FormatError(how.where, "files by sha256 were expected; search with the model itself, or its sealed asset")
    resources = [Record(item, where=predicate.at("resources")) for item in predicate.take_list("resources")]
    return Wanted(files={entry.take_hex("digest", length=32): entry.take_str("name", max_length=4096) for entry in resources}, sizes=None)


def _of_source(source: Source) -> Wanted:
    files: dict[bytes, str] = {}
    sizes, tensors, anchors = set(), dict[int, dict[bytes, str]](), list[Anchor]()
    for name in source.names():
        with source.open(name) as reader:
            if not reader.size:
                continue  # every empty file is a copy of it, and holds nothing
            sizes.add(reader.size)
            files[sha256_of(reader)] = name
            for part, start, size in pieces(reader):
                if size < _SMALLEST:
                    continue
                digest = blake3_of(reader, start, size)
                tensors.setdefault(size, {})[digest] = f"{name}: {part}" if part else name
                anchors += _anchor(reader, start, size, digest)
    anchors.sort(key=lambda anchor: -anchor.size)
    return Wanted(files=files, sizes=frozenset(sizes), tensors=tensors, anchors=tuple(anchors[:_ANCHORS]))


def pieces(reader: Reader) -> Iterator[tuple[str, int, int]]:
    """List the tensors of a file that lie in one stretch: of safetensors and GGUF, and the stored members of an archive.

    Args:
        reader: The open file.

    Yields:
        Name, offset and size in bytes; nothing for other formats, and for files that are broken.
    """
    from lifeseal.serialization import LENGTH_SIZE, gguf_stretches, header_length, parse_header_bytes

    head = read(reader, 0, LENGTH_SIZE + 1)
    try:
        if head.startswith(b"PK\x03\x04"):
            yield from _members(reader)
        elif head.startswith(_GGUF):
            yield from gguf_stretches(reader)
        elif head[LENGTH_SIZE:] == b"{":
            head = head[:LENGTH_SIZE]
            length = header_length(head, size=reader.size, where="file")
            header = parse_header_bytes(read(reader, 0, LENGTH_SIZE + length), size=reader.size, where="file")
            yield from ((tensor.name, header.data_start + tensor.start, tensor.stop - tensor.start) for tensor in header.tensors)
    except NO_ARCHIVE:
        return


def _members(reader: Reader) -> Iterable[tuple[str, int, int]]:
    with zipfile.ZipFile(as_file(reader)) as archive:
        for info in archive.infolist()[:_MAX_MEMBERS]:
            if info.compress_type != zipfile.ZIP_STORED:
                continue
            local = read(reader, info.header_offset, 30)
            start = info.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
            skipped = npy_head(read(reader, start, 12)) if info.filename.endswith(".npy") else 0
            yield info.filename, start + skipped, info.file_size - skipped


def npy_head(lead: bytes) -> int:
    """Tell how long the head of an npy file is, by its first 12 bytes; 0 if it is none."""
    if not lead.startswith(b"\x93NUMPY") or len(lead) < 12:  # noqa: PLR2004 - magic, version, length
        return 0
    return 10 + int.from_bytes(lead[8:10], "little") if lead[6] == 1 else 12 + int.from_bytes(lead[8:12], "little")


def as_file(reader: Reader) -> IO[bytes]:
    """Show a reader as the file that zipfile wants."""
    return cast("IO[bytes]", _File(reader))


class _File:
    def __init__(self, reader: Reader) -> None:
        self._reader, self._at = reader, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._reader.size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._reader.size - self._at)
        data = read(self._reader, self._at, left if count < 0 else min(count, left))
        self._at += len(data)
        return data

    def close(self) -> None:
        """Leave the reader to whoever opened it."""


def read(reader: Reader, start: int, count: int) -> bytes:
    """Read some bytes; fewer at the end."""
    buffer, done = bytearray(min(count, max(0, reader.size - start))), 0
    with memoryview(buffer) as view:
        while done < len(view) and (got := reader.readinto(view[done:], start + done)):
            done += got
    return bytes(buffer[:done])


def stretches(reader: Reader, start: int, size: int) -> Iterator[memoryview]:
    """Read a stretch piece by piece; each view is valid until the next."""
    buffer, done = memoryview(bytearray(min(_PIECE, max(1, size)))), 0
    while done < size and (got := reader.readinto(buffer[: size - done], start + done)):
        yield buffer[:got]
        done += got


def blake3_of(reader: Reader, start: int, size: int) -> bytes:
    """Hash a stretch with BLAKE3."""
    hasher = new_hasher("blake3")
    for view in stretches(reader, start, size):
        hasher.update(view)
    return hasher.digest()


def sha256_of(reader: Reader) -> bytes:
    """Hash a whole file with SHA-256."""
    hasher = hashlib.sha256()
    for view in stretches(reader, 0, reader.size):
        hasher.update(view)
    return hasher.digest()


def _anchor(reader: Reader, start: int, size: int, digest: bytes) -> list[Anchor]:
    """Take 64 bytes from the middle that are not alike."""
    offset = size // 2
    text = read(reader, start + offset, ANCHOR)
    return [Anchor(text=text, offset=offset, size=size, digest=digest)] if len(text) == ANCHOR and len(set(text)) >= _MIXED else []
