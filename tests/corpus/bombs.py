# SPDX-License-Identifier: Apache-2.0
"""Files that are small, or quickly made, and that a careless reader spends all its time or memory on."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib

from corpus.assemble import ref, short, text

MIB = 1 << 20


def bombs():
    """Return what makes each bomb, by name."""
    return {
        "memo-index": lambda: b"\x80\x02]r\xff\xff\xff\xff.",
        "memo-sparse": lambda: b"\x80\x02N" + b"".join(b"r" + struct.pack("<I", index * 977) for index in range(500_000)) + b".",
        "memo-of-texts": lambda: b"\x80\x04" + b"".join(short(f"text-{index:08}") + b"\x940" for index in range(400_000)) + b"N.",
        "laughs": lambda: b"\x80\x04]\x94" + b"h\x00h\x00\x86\x94" * 10 + b"0" * 10 + b"(" + b"2\x86" * 60 + b".",
        "references": lambda: b"\x80\x02)" + b"2\x86" * 64 + b"R.",
        "nested-tuples": lambda: b"\x80\x02N" + b"\x85" * 900_000 + b".",
        "nested-lists": lambda: b"\x80\x02" + b"]" * 700_000 + b"a" * 699_999 + b".",
        "dictionaries": lambda: b"\x80\x02" + b"}" * 1_000_000 + b".",
        "dictionary-fields": lambda: b"\x80\x04" + b"".join(b"}" + short(f"k{index}") + b"Ns" for index in range(250_000)) + b".",
        "marks": lambda: b"\x80\x02" + b"(" * 2_000_000 + b".",
        "wide-stack": lambda: b"\x80\x02" + b"N" * 2_000_000 + b".",
        "no-ops": lambda: b"N0" * 8_000_000,
        "pickles-in-a-row": lambda: b"N." * 500_000,
        "declared-length": lambda: b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "declared-frame": lambda: b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
        "decimal-digits": lambda: b"L" + b"9" * 8_000_000 + b"L\n.",
        "many-digits": lambda: (b"L" + b"9" * 30_000 + b"L\n0") * 300 + b"N.",
        "escapes": lambda: (b"S'" + b"\\x41" * 15_000 + b"'\n0") * 200 + b"N.",
        "globals": lambda: b"".join(ref(f"m{index}", "x") + b"0" for index in range(60_000)) + b"N.",
        "large-text": lambda: b"\x80\x02" + (text("x" * 4000) + b"0") * 6000 + b"N.",
        "bytearray": lambda: b"cbuiltins\nbytearray\n(I0x7fffffff\ntR.",
        "zip-one-member": lambda: _zip([("a", bytes(400 * MIB))]),
        "zip-many-members": lambda: _zip((f"m{index}", b"N0" * 200_000) for index in range(60)),
        "zip-small-members": lambda: _zip((f"m{index}", b"x") for index in range(32_000)),
        "zip-overlapping": _overlapping,
        "zip-in-zip": _nested_zip,
        "gzip": lambda: gzip.compress(bytes(400 * MIB), 1),
        "gzip-many-members": lambda: gzip.compress(b"x") * 100_000,
        "gzip-in-gzip": lambda: gzip.compress(gzip.compress(bytes(1 << 30), 9)),
        "bz2": lambda: bz2.compress(bytes(400 * MIB), 9),
        "xz": lambda: lzma.compress(bytes(400 * MIB), preset=0),
        "xz-dictionary": _xz_dictionary,
        "zlib": lambda: zlib.compress(bytes(400 * MIB)),
        "tar-many-members": _tar,
        "json-values": lambda: b'[{"auto_map":0}' + b",{}" * 12_000_000 + b"]",
        "json-nested": lambda: b'{"auto_map":' * 200_000,
        "json-lists": lambda: b'{"auto_map":' + b"[" * 1_000_000,
        "json-keys": lambda: b'{"auto_map":0' + b"".join(b',"k%d":%d' % (index, index) for index in range(190_000)) + b"}",
        "json-escapes": lambda: b'{"a":"' + b"\\u0061" * 3_000_000 + b'"}',
        "keras-nested": lambda: b'{"class_name":"Model","config":' * 900 + b"1" + b"}" * 900,
        "yaml-tags": lambda: b"- !!python/tuple []\n" * 400_000,
        "yaml-anchors": lambda: b"&" * 4_000_000 + b" _target_",
        "template-words": lambda: b"{{ " + b"a + " * 900_000 + b"b }}",
        "template-brackets": lambda: b"{{ " + b"[" * 2_000_000,
        "template-subscripts": lambda: b"{{ a" + b"[b" * 60 + b"]" * 60 + b" }}{{ " + b"f(a=1," * 20_000 + b" }}",
        "template-comments": lambda: b"{{ a }}" + b"{#" * 2_000_000,
        "source-brackets": lambda: b"f(" + b"(" * 200_000,
        "source-operators": lambda: b"f(1)\n" + b"-" * 200_000 + b"1\n",
        "source-attributes": lambda: b"f(1)\na" + b".a" * 100_000 + b"\n",
        "one-long-word": lambda: b"a" * 30_000_000,
        "fences": lambda: b"import x\n" + b"```\n" * 500_000 + b'"""' * 100_000,
        "safetensors-header": _tensors,
        "safetensors-spaces": lambda: struct.pack("<Q", 90_000_000) + b"{}".ljust(90_000_000),
        "npy-header": lambda: b"\x93NUMPY\2\0" + struct.pack("<I", 80_000_000) + b"(" * 80_000_000,
        "npy-shape": lambda: _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9," * 3000 + b"), }"),
        "pieces": lambda: b"\x0a\x03\x0a\x01x" * 6_000_000,
        "hidden-pickles": lambda: b"\xfe" + (b"\x80\x04]" + b"N0" * 30) * 300_000,
        "hidden-prefix": lambda: b"\xfe" + (b"c" + b"a" * 118 + b"\n") * 150_000,
    }  # fmt: skip


def _zip(members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name, content in members:
            target.writestr(name, content)
    return file.getvalue()


def _nested_zip() -> bytes:
    inner = _zip([("a", bytes(20 * MIB))])
    for _ in range(3):
        inner = _zip((f"m{index}", inner) for index in range(20))
    return inner


def _overlapping() -> bytes:
    count, body = 2000, b"\1" * (4 << 20)
    total, headers, directory = count * 34 + len(body), b"", b""
    for index in range(count):
        size = total - (index + 1) * 34
        common = struct.pack("<HHHHIIIHH", 0, 0, 0, 0x21, 1, size, size, 4, 0)
        headers += b"PK\3\4\x14\0" + common + b"%04d" % index
        directory += b"PK\1\2\x14\0\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, index * 34) + b"%04d" % index
    return headers + body + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), total, 0)


def _xz_dictionary() -> bytes:
    """Another size of dictionary, 4 GiB less one byte, in the header and its checksum."""
    content = lzma.compress(b"x", lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    length = (content[12] + 1) * 4
    place = content.index(b"\x21\x01", 12, 12 + length) + 2
    header = content[12:place] + b"\x28" + content[place + 1 : 12 + length - 4]
    return content[:12] + header + struct.pack("<I", zlib.crc32(header)) + content[12 + length :]


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as target:
        for index in range(40_000):
            target.addfile(tarfile.TarInfo(f"m{index}"))
    return file.getvalue()


def _tensors() -> bytes:
    header = b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % index for index in range(180_000)) + b"}"
    return struct.pack("<Q", len(header)) + header


def _npy(header: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header + b"\n"


def ordinary_but_large() -> dict[str, bytes]:
    """What real models hold, and must stay within the bounds."""
    vocabulary = {f"token{index}": index for index in range(262_144)}
    merges = [[f"a{index}", f"b{index}"] for index in range(200_000)]
    return {
        "vocabulary.pkl": pickle.dumps(vocabulary),
        "vocabulary.json": json.dumps(vocabulary).encode(),
        "tokenizer.json": json.dumps({"model": {"vocab": vocabulary, "merges": merges}}).encode(),
        "merges.txt": b"#version: 0.2\n" + b"\n".join(b"a%d b%d" % (index, index) for index in range(500_000)),
        "zeros.npz": _zip([("a.npy", _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000,), }") + bytes(8_000_000))]),
    }
