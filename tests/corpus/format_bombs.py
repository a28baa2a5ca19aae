# SPDX-License-Identifier: Apache-2.0
"""Bombs of the formats of models: counts and lengths without end, structures within or behind themselves, and much of what is little each."""

import io
import struct

import h5py

from support.protobuf import message, number, varint

ONE_NODE = message(1, message(1, "n"), message(2, "NoOp"))


def format_bombs():
    """Return what makes each bomb, by name."""
    return {
        "gguf-keys": lambda: _gguf([_sized(b"%06d" % index) + struct.pack("<IB", 0, 0) for index in range(290_000)]),
        "gguf-texts": lambda: _gguf([_sized(b"a") + struct.pack("<IIQ", 9, 8, 4_000_000) + bytes(32_000_000)]),
        "gguf-long-texts": lambda: _gguf([_sized(b"k%d" % index) + struct.pack("<I", 8) + _sized(b"{{ a " * 800_000) for index in range(12)]),
        "gguf-templates": lambda: _gguf([_sized(b"template") + struct.pack("<IIQ", 9, 8, 290_000) + _sized(b"{{ a }}") * 290_000]),
        "gguf-tensors": lambda: _gguf([], [_sized(b"%06d" % index) + struct.pack("<IQIQ", 1, 0, 0, 0) for index in range(290_000)]),
        "gguf-counts": lambda: b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 1 << 62) + bytes(100),
        "onnx-nodes": lambda: _onnx(b"\x0a\x00" * 4_000_000),
        "onnx-operators": lambda: _onnx(b"".join(message(1, message(4, f"o{index}")) for index in range(100_000))),
        "onnx-long-operators": lambda: _onnx(b"".join(message(1, message(4, b"%09d" % index * 100_000)) for index in range(150))),
        "onnx-functions": lambda: _onnx(b"", b"".join(message(25, message(1, f"f{index}")) for index in range(390_000))),
        "onnx-imports": lambda: _onnx(b"", b"".join(message(8, message(1, f"d{index}")) for index in range(390_000))),
        "onnx-entries": lambda: _onnx(message(5, *(_entry("checksum", f"{index:07}") for index in range(290_000)))),
        "onnx-files": lambda: _onnx(b"".join(message(5, _entry("location", f"{index:07}")) for index in range(190_000))),
        "onnx-nested": _nested_onnx,
        "onnx-length": lambda: number(1, 9) + varint(7 << 3 | 2) + varint(1 << 62) + bytes(100),
        "tf-nodes": lambda: b"\x0a\x00" * 4_000_000,
        "tf-attributes": lambda: message(1, message(1, "n"), message(2, "Const"), b"\x2a\x00" * 1_100_000),
        "tf-texts": lambda: message(1, message(1, "n"), message(2, "Const"), _value(number(1, 7) + b"\x42\x01x" * 1_100_000)),
        "tf-places": _places,
        "tf-fed": lambda: number(1, 1) + message(2, message(2, ONE_NODE), *(_fed(index) for index in range(290_000))),
        "tf-functions": lambda: message(1, message(1, "n"), message(2, "NoOp")) + message(2, b"\x0a\x00" * 1_100_000),
        "tf-table": _table,
        "tflite-codes": lambda: _tflite(1_000_000),
        "tflite-itself": lambda: struct.pack("<I", 12) + b"TFL3" + struct.pack("<HHHHi", 12, 8, 0, 4, 4) + struct.pack("<II", 4, 1 << 31) * 20_000,
        "hdf5-links": lambda: _hdf5(lambda file: [file.__setitem__(f"{index:06}", h5py.SoftLink("/")) for index in range(40_000)]),
        "hdf5-groups": lambda: _hdf5(lambda file: [file.create_group(f"{index:06}") for index in range(20_000)]),
        "hdf5-deep": lambda: _hdf5(lambda file: file.create_group("/".join("a" * 5000))),
        "hdf5-attributes": lambda: _hdf5(lambda file: [file.attrs.__setitem__(f"{index:06}", "{}") for index in range(20_000)]),
        "hdf5-one-heap": _one_heap,
        "msgpack-nested": lambda: b"\x81\xa1a" * 4_000_000,
        "msgpack-lists": lambda: b"\x81\xa1a" + b"\x91" * 4_000_000,
        "msgpack-values": lambda: b"\x81\xa1a\xdd" + struct.pack(">I", 4_000_000) + b"\x01" * 4_000_000,
        "msgpack-length": lambda: b"\x81\xa1a\xc6\xff\xff\xff\xff",
        "xml-entities": lambda: b"<?xml version='1.0'?><!DOCTYPE a [" + b"<!ENTITY a 'aaaa'>" * 200_000 + b"]><a/>",
        "xml-layers": lambda: b"<net name='a'>" + b"<layer type='Add' version='opset1'><data offset='0' size='9'/></layer>" * 100_000 + b"</net>",
        "graph-text": lambda: b"node {\n  name: 'n'\n  op: 'Add'\n}\n" * 300_000,
        "skops-nodes": lambda: b'{"a":[' + b'{"__loader__":"DictNode"},' * 130_000 + b"1]}",
    }  # fmt: skip


def _sized(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def _gguf(pairs: list[bytes], tensors: list[bytes] = []) -> bytes:  # noqa: B006 - never changed
    return b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + b"".join(tensors)


def _onnx(graph: bytes, rest: bytes = b"") -> bytes:
    return number(1, 9) + message(7, graph, message(2, "g")) + message(8, number(2, 18)) + rest


def _entry(key: str, value: str) -> bytes:
    return message(13, message(1, key), message(2, value))


def _nested_onnx() -> bytes:
    inner = b""
    for _ in range(4000):
        inner = message(1, message(4, "If"), message(5, message(6, inner)))
    return _onnx(inner)


def _value(tensor: bytes) -> bytes:
    return message(5, message(1, "value"), message(2, message(8, tensor)))


def _places() -> bytes:
    long = (f"/{index:04}" * 700 for index in range(20_000))
    constants = (message(1, message(1, "n"), message(2, "Const"), _value(number(1, 7) + message(8, place))) for place in long)
    return message(1, message(1, "n"), message(2, "SaveV2")) + b"".join(constants)


def _fed(index: int) -> bytes:
    return message(6, message(1, message(1, f"f{index}")))


def _table() -> bytes:
    """An index whose entries all name one block."""
    data = b"".join(b"\0\x03\x02%03d\x28\x04" % (index % 1000) for index in range(1_000_000)) + struct.pack("<II", 0, 1)
    place = varint(0) + varint(len(data))
    index = b"".join(b"\0\x01" + varint(len(place)) + b"z" + place for _ in range(100_000)) + struct.pack("<II", 0, 1)
    footer = varint(0) + varint(0) + varint(len(data) + 5) + varint(len(index))
    return data + bytes(5) + index + bytes(5) + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def _tflite(count: int) -> bytes:
    """A model whose operators are all the same table."""
    root = struct.pack("<HHHH", 8, 12, 0, 4) + struct.pack("<iI", 8, 4)
    table = struct.pack("<HH", 4, 4) + struct.pack("<i", 4)
    vector = struct.pack("<I", count) + b"".join(struct.pack("<I", 4 * (count - index) + 4) for index in range(count))
    return struct.pack("<I", 16) + b"TFL3" + root + vector + table


def _hdf5(fill) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", libver="latest") as target:
        fill(target)
    return file.getvalue()


def _one_heap() -> bytes:
    """Many attributes whose texts lie in one large heap."""
    file = io.BytesIO()
    with h5py.File(file, "w") as target:
        for index in range(3000):
            target.create_group(f"{index}").attrs["a"] = "word " * 100
    return file.getvalue()
