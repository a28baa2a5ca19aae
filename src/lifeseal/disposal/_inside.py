# SPDX-License-Identifier: Apache-2.0
"""Wanted tensors inside one file, whatever its format."""

import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping

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
        Names of those found, and of whole files in an archive of zip, with their bytes; and how many bytes of the file were read for it.
    """
    found: dict[str, int] = {}
    known, count = False, 0
    for _, start, size in pieces(reader):
        known = True
        if size in wanted.tensors:
            count += size
            if (name := wanted.tensors[size].get(blake3_of(reader, start, size))) is not None:
                found[name] = size
    is_zip = read(reader, 0, 4) == _ZIP
    if known and not is_zip:
        return found, count
    if is_zip:
        packed, is_plain = _packed(reader, wanted)
        found |= packed
        if known and not is_plain:  # storages of PyTorch and NumPy were judged one by one
            return found, count
        count = reader.size
    anchors = [anchor for anchor in wanted.anchors if anchor.size <= reader.size]
    if anchors:
        count = reader.size
        for anchor, start in _hits(reader, anchors):
            if blake3_of(reader, start, anchor.size) == anchor.digest:
                found[wanted.tensors[anchor.size][anchor.digest]] = anchor.size
    return found, count


def standing(reader: Reader, wanted: Wanted) -> dict[str, int]:
    """Name the largest tensors of which some bytes stand in a piece of a file, such as a chunk in a store; whether all do cannot be told."""
    left = {anchor.text: anchor for anchor in wanted.anchors}
    return {wanted.tensors[anchor.size][anchor.digest]: ANCHOR for text, _ in _places(reader, left) if (anchor := left.pop(text, None))}


def _packed(reader: Reader, wanted: Wanted) -> tuple[dict[str, int], bool]:
    """Look into an archive of zip; also tells whether it is one of files, whose stored members may hold tensors among other things."""
    found, names = dict[str, int](), list[str]()
    try:
        with zipfile.ZipFile(as_file(reader)) as archive:
            names = archive.namelist()
            for info in archive.infolist():
                found |= _member(archive, info, wanted)
    except OSError as error:
        if error.errno is not None:  # the disk refused; what bz2 says of broken data has none
            raise
    except (*NO_ARCHIVE, RuntimeError, zlib.error, lzma.LZMAError):
        pass
    return found, not any(name.endswith((".npy", "/data.pkl")) for name in names)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, wanted: Wanted) -> dict[str, int]:
    """Judge a member: as a whole file, by SHA-256; and as one compressed tensor, with or without a head of npy, by BLAKE3."""
    is_whole = wanted.sizes is None or info.file_size in wanted.sizes
    if info.file_size > _MAX_MEMBER or (info.compress_type == zipfile.ZIP_STORED and not is_whole):
        return {}
    with archive.open(info) as member:
        lead = member.read(12)
        skipped = npy_head(lead)
        tensors = wanted.tensors.get(info.file_size - skipped, {}) if info.compress_type != zipfile.ZIP_STORED else {}
        if not tensors and not is_whole:
            return {}
        whole, part = hashlib.sha256(lead), new_hasher("blake3")
        rest = member.read(max(0, skipped - len(lead)))
        whole.update(rest)
        part.update(memoryview((lead + rest)[skipped:]))
        while data := member.read(1 << 20):
            if is_whole:
                whole.update(data)
            if tensors:
                part.update(memoryview(data))
    names = (wanted.files.get(whole.digest()) if is_whole and info.file_size else None, tensors.get(part.digest()))
    return {name: info.file_size for name in names if name is not None}


def _hits(reader: Reader, anchors: Iterable[Anchor]) -> Iterator[tuple[Anchor, int]]:
    """Find anchors anywhere in a file, where a whole tensor has room around them; each once."""
    left = {anchor.text: anchor for anchor in anchors}
    for text, at in _places(reader, left):
        start = at - left[text].offset
        if 0 <= start <= reader.size - left[text].size:
            yield left.pop(text), start


def _places(reader: Reader, left: Mapping[bytes, Anchor]) -> Iterator[tuple[bytes, int]]:
    """Find texts anywhere in a file, once in each window, as long as they are ``left``."""
    kept, at = b"", 0
    buffer = memoryview(bytearray(min(_WINDOW, reader.size)))
    while left and (got := reader.readinto(buffer, at)):
        window = kept + bytes(buffer[:got])
        base = at - len(kept)
        for text in [text for text in left if text in window]:
            yield text, base + window.index(text)
        kept, at = window[-ANCHOR + 1 :], at + got
