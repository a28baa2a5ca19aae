# SPDX-License-Identifier: Apache-2.0
"""Scans of large files, in one process: a scan takes milliseconds, and starting Python more. Run by the case ``scan``.

The files are sparse: what is measured reads headers and graphs, and what reads everything reads zeros.
"""

import functools
import json
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open

from lifeseal import serialization

_TENSORS = 300
_TOKENS, _MANY_TOKENS, _MANY_MERGES = 32_000, 128_000, 280_000


def main() -> None:
    """Measure, and print one JSON document."""
    folder, mib, runs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    each = mib * 2**20 // _TENSORS // 32 * 32
    made = {
        "safetensors": _safetensors(each),
        "safetensors that begins with P": _safetensors(each, begins=b"P"),
        "GGUF": _gguf(each, tokens=_TOKENS),
        "GGUF of 408,000 texts": _gguf(each, tokens=_MANY_TOKENS, merges=_MANY_MERGES),
        "ONNX": _onnx(each),
    }
    ways: dict[str, Callable[[], object]] = {}
    for name, head in made.items():
        path = _sparse(folder / f"scan.{name}", head, each * _TENSORS)
        ways[f"lifeseal scan, {name}"] = functools.partial(serialization.scan, path)
    beside = folder / "beside"
    beside.mkdir()
    _sparse(beside / "weights", b"\0\xff", each * _TENSORS - 2)
    (beside / "model").write_bytes(_onnx(each, location="weights"))
    ways["lifeseal scan, ONNX with external data"] = lambda: serialization.scan(beside)
    ways["safetensors safe_open, names"] = lambda: _names(folder / "scan.safetensors")
    ways["reading"] = lambda: _read(folder / "scan.safetensors")
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
    for turn in range(runs + 1):
        for name, run in ways.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            run()
            if turn:
                found[name].append((time.perf_counter() - begin, time.process_time() - begin_cpu, 0))
    json.dump([{"case": f"scan {mib} MiB in {_TENSORS} tensors", "name": name, "samples": samples} for name, samples in found.items()], sys.stdout)


def _sparse(path: Path, head: bytes, rest: int) -> Path:
    path.write_bytes(head)
    os.truncate(path, len(head) + rest)
    return path


def _names(path: Path) -> list[str]:
    with safe_open(path, "numpy") as file:
        return list(file.keys())


def _read(path: Path) -> None:
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", 0) as file:
        while file.readinto(buffer):
            pass


def _safetensors(each: int, begins: bytes = b"\0") -> bytes:
    """Return a header whose length begins with some byte; for an unpickler, P says that a line follows, of which a scan looks for the end."""
    places = {f"layers.{n}.weight": {"dtype": "U8", "shape": [each], "data_offsets": [n * each, (n + 1) * each]} for n in range(_TENSORS)}
    header = json.dumps(places).encode()
    header += b" " * ((begins[0] - len(header)) % 256)
    return struct.pack("<Q", len(header)) + header


def _gguf(each: int, *, tokens: int, merges: int = 0) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def texts(key: str, count: int, length: int) -> bytes:
        return text(key) + struct.pack("<IIQ", 9, 8, count) + b"".join(text(f"{n:x}".rjust(length + n % 5, "a")) for n in range(count))

    vocabulary = texts("tokenizer.ggml.tokens", tokens, 4) + texts("tokenizer.ggml.merges", merges, 8)
    tensors = b"".join(text(f"blk.{n}.weight") + struct.pack("<IQIQ", 1, each, 24, n * each) for n in range(_TENSORS))
    head = b"GGUF" + struct.pack("<IQQ", 3, _TENSORS, 2) + vocabulary + tensors
    return head + bytes(-len(head) % 32)


def _onnx(each: int, location: str = "") -> bytes:
    """Return a model up to its first byte of numbers; only the last of its tensors has any, unless all lie elsewhere."""

    def field(number: int, content: bytes, more: int = 0) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(content) + more) + content

    def entry(key: str, value: int | str) -> bytes:
        return field(13, field(1, key.encode()) + field(2, str(value).encode()))

    head = bytes([8, 10]) + field(8, bytes([16, 17]))
    nodes = b"".join(field(1, field(1, b"x") + field(2, b"y") + field(4, b"MatMul")) for _ in range(_TENSORS))
    if location:
        lies = [entry("location", location) + entry("offset", n * each) + entry("length", each) for n in range(_TENSORS)]
        return head + field(7, nodes + b"".join(field(5, place) for place in lies))
    raw = each * _TENSORS
    last = bytes([9 << 3 | 2]) + _varint(raw)
    return head + field(7, nodes + field(5, last, raw), raw)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


if __name__ == "__main__":
    main()
