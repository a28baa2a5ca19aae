# SPDX-License-Identifier: Apache-2.0
"""Wanted tensors inside one file, whatever its format."""

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator

from lifeseal._io import Reader, new_hasher
from lifeseal.disposal._wanted import ANCHOR, NO_ARCHIVE, Anchor, Wanted, as_file, blake3_of, npy_head, pieces, read

_WINDOW = 8 << 20
_MAX_MEMBER = 64 << 30
_ZIP = b"PK\x03\x04"


def tensors_in(reader: Reader, wanted: Wanted) -> tuple[dict[str, int], int]:
    """Look for wanted tensors in a file.

    Args:
        reader: The open file.
        wanted: What to look for.

    Returns:
        Names of those found, with their bytes; and how many bytes of the file were read for it.
    """
    found: dict[str, int] = {}
    known, count = False, 0
    for _, start, size in pieces(reader):
        known = True
        if size in wanted.tensors:
            count += size
            if (name := wanted.tensors[size].get(blake3_of(reader, start, size))) is not None:
                found[name] = size
    if known:
        return found, count
    if read(reader, 0, 4) == _ZIP:
        count = reader.size
        found |= _packed(reader, wanted)
    anchors = [anchor for anchor in wanted.anchors if anchor.size <= reader.size]
    if anchors:
        count = reader.size
        for anchor, start in _hits(reader, anchors):
            if blake3_of(reader, start, anchor.size) == anchor.digest:
                found[wanted.tensors[anchor.size][anchor.digest]] = anchor.size
    return found, count


def _packed(reader: Reader, wanted: Wanted) -> dict[str, int]:
    found = {}
    try:
        for size, digest in _unpacked(reader, wanted.tensors):
            if (name := wanted.tensors[size].get(digest)) is not None:
                found[name] = size
    except OSError as error:
        if error.errno is not None:  # the disk refused; what bz2 says of broken data has none
            raise
    except (*NO_ARCHIVE, RuntimeError, zlib.error, lzma.LZMAError):
        pass
    return found


def _unpacked(reader: Reader, sizes: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Hash compressed members of an archive that have a wanted size."""
    wanted = set(sizes)
    with zipfile.ZipFile(as_file(reader)) as archive:
        for info in archive.infolist():
            if info.compress_type == zipfile.ZIP_STORED or info.file_size > _MAX_MEMBER:
                continue
            with archive.open(info) as member:
                lead = member.read(12)
                skipped = npy_head(lead)
                if info.file_size - skipped not in wanted:
                    continue
                hasher, rest = new_hasher("blake3"), skipped - len(lead)
                if rest > 0:
                    member.read(rest)
                elif rest < 0:
                    hasher.update(memoryview(lead[rest:]))
                while data := member.read(1 << 20):
                    hasher.update(memoryview(data))
                yield info.file_size - skipped, hasher.digest()


def _hits(reader: Reader, anchors: Iterable[Anchor]) -> Iterator[tuple[Anchor, int]]:
    """Find anchors anywhere in a file; each once."""
    left = {anchor.text: anchor for anchor in anchors}
    kept, at = b"", 0
    buffer = memoryview(bytearray(min(_WINDOW, reader.size)))
    while left and (got := reader.readinto(buffer, at)):
        window = kept + bytes(buffer[:got])
        base = at - len(kept)
        for text in [text for text in left if text in window]:
            start = base + window.index(text) - left[text].offset
            if 0 <= start <= reader.size - left[text].size:
                yield left.pop(text), start
        kept, at = window[-ANCHOR + 1 :], at + got
