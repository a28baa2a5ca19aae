# SPDX-License-Identifier: Apache-2.0
"""Compressed files: what is in them is judged; what cannot be expanded without an extra package is not read."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from lifeseal.serialization._context import Context
from lifeseal.serialization._expand import BROKEN, Decoder, Expanded, bz2_stream, gzip_stream, xz_stream, zlib_stream
from lifeseal.serialization._window import PartWindow, Window

MAX_NESTED: Final = 4
_NOT_READ: Final[Mapping[bytes, str]] = MappingProxyType(
    {b"\x04\x22\x4d\x18": "lz4", b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
)
_ZFILE: Final = b"ZF"
_ZFILE_LENGTHS: Final = (21, 22)  # joblib before 0.9.3: the prefix and a number in hexadecimal, padded, and one more space in some


def compression(head: bytes) -> str:
    """Return the name of the compression that the first bytes announce, or nothing."""
    return next((name for name, matches in _KINDS.items() if matches(head)), "") or next(
        (name for magic, name in _NOT_READ.items() if head.startswith(magic)), ""
    )


def _begins(head: bytes, new: Callable[[], Decoder]) -> bool:
    """Tell whether the first bytes expand: a few bytes alone could be the length of a header of safetensors."""
    try:
        new().feed(head)
    except BROKEN:
        return False
    return True


_KINDS: Final[Mapping[str, Callable[[bytes], bool]]] = MappingProxyType(
    {
        "gzip": lambda head: head[:3] == b"\x1f\x8b\x08",
        "bz2": lambda head: head[:3] == b"BZh" and head[4:10] in {b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"},
        "xz": lambda head: head[:6] == b"\xfd7zXZ\0",
        "lzma": lambda head: head[:3] == b"\x5d\0\0" and _begins(head, xz_stream),
        "zlib": lambda head: head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0 and _begins(head, zlib_stream),  # RFC 1950, FCHECK
        "zfile": lambda head: head[:4] == _ZFILE + b"0x",
    }
)
_STREAMS: Final[Mapping[str, tuple[Callable[[], Decoder], bool]]] = MappingProxyType(
    {
        "gzip": (gzip_stream, True),
        "bz2": (bz2_stream, True),
        "xz": (xz_stream, True),
        "lzma": (xz_stream, False),
        "zlib": (zlib_stream, False),
        "zfile": (zlib_stream, False),
    }
)


def judge_compressed(window: Window, context: Context) -> str:
    """Judge what is in a compressed file; returns the name of the compression."""
    head = window.read(0, 512)
    name = compression(head)
    if name not in _STREAMS:
        context.say("compressed", "", f"a {name} file, which is not expanded here")
        return name
    if context.depth >= MAX_NESTED:
        context.say("limit", "", f"more than {MAX_NESTED} archives and compressed files inside one another")
        return name
    new, several = _STREAMS[name]
    content: Expanded | None = None
    for start in _ZFILE_LENGTHS if name == "zfile" else (0,):
        content = Expanded(window, new, context.budget, place=context.place, start=start, several=several)
        if content.size:
            break
    if content is None:
        return name
    if content.fault:
        context.say("limit" if content.over else "compressed-broken", "", content.fault)
    elif content.end < window.size and PartWindow(window, content.end, 1 << 16).read(0, 1 << 16).strip(b"\0"):
        context.say("compressed-broken", f"byte {content.end}", "bytes behind the end of the compressed ones")
    if content.size or not content.fault:
        context.judge(content, context.inside("expanded"))
    return name
