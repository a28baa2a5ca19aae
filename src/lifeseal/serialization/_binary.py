# SPDX-License-Identifier: Apache-2.0
"""Binary files that a model's folder holds beside its weights: pictures, sound and film, which are data, and compiled code, which is not.

Source: the formats' own descriptions; magic numbers as in the freedesktop shared-mime-info database.
"""

import struct
from typing import Final

from lifeseal.serialization._context import Context
from lifeseal.serialization._window import Window

_DATA: Final = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"\0\0\1\0": "ico",
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"%PDF-": "pdf",
    b"wOFF": "font",
    b"wOF2": "font",
    b"OTTO": "font",
    b"\0\1\0\0\0": "font",
    b"\0\0\0\x0cJXL ": "jxl",
    b"\xff\x0a": "jxl",
}
_RIFF: Final = {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}
_CODE: Final = {
    b"\x7fELF": "ELF",
    b"MZqFpD": "APE",
    b"\xfe\xed\xfa\xce": "Mach-O",
    b"\xfe\xed\xfa\xcf": "Mach-O",
    b"\xce\xfa\xed\xfe": "Mach-O",
    b"\xcf\xfa\xed\xfe": "Mach-O",
    b"\xca\xfe\xba\xbe": "Mach-O or Java",
    b"\0asm": "WebAssembly",
    b"BC\xc0\xde": "LLVM",
    b"dex\n": "Dalvik",
    b"\x1bLua": "Lua",
}
_PYTHON_MAGIC: Final = range(3000, 4000)
_BITMAP: Final = struct.Struct("<2sIHHI")


def _data_name(head: bytes) -> str:
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:2] == b"BM" and len(head) > _BITMAP.size:
        _, size, first, second, offset = _BITMAP.unpack_from(head)
        return "bmp" if not first and not second and _BITMAP.size < offset < size else ""
    return next((name for magic, name in _DATA.items() if head.startswith(magic)), "")


def is_data(head: bytes) -> bool:
    """Tell whether it is a picture, sound, film, document or font."""
    return _data_name(head) != ""


def judge_data(window: Window, context: Context) -> str:
    """Say nothing against it: what could lie behind it or in its first bytes is looked for elsewhere."""
    del context
    return _data_name(window.read(0, 64))


def _code_name(head: bytes) -> str:
    if head[2:4] == b"\r\n" and int.from_bytes(head[:2], "little") in _PYTHON_MAGIC and head[4:8] in {b"\0\0\0\0", b"\1\0\0\0", b"\3\0\0\0"}:
        return "Python bytecode"
    if head[:2] == b"MZ" and len(head) >= 64:  # noqa: PLR2004 - where the offset of the PE header ends
        offset = int.from_bytes(head[60:64], "little")
        return "PE" if head[offset : offset + 4] == b"PE\0\0" or b"DOS mode" in head else _CODE.get(head[:6], "")
    return next((name for magic, name in _CODE.items() if head.startswith(magic)), "")


def is_code(head: bytes) -> bool:
    """Tell whether it is compiled code."""
    return _code_name(head) != ""


def judge_code(window: Window, context: Context) -> str:
    """Say that it is code: whoever loads it runs it."""
    context.say("compiled-code", "", f"{_code_name(window.read(0, 512))}: compiled code, which runs when a program loads it")
    return "code"
