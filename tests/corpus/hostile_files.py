# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one line a sample
"""Archives, compressed files, and the files of PyTorch, NumPy and joblib, with something in them that runs."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib

import numpy as np

from corpus.assemble import Call, stream
from corpus.parts import Runs, code, run, touch


def nested():
    """A pickle within something that opens it."""

    def state(m):
        torch_bytes = io.BytesIO()
        import torch

        torch.save(Runs(touch(m)), torch_bytes)
        return stream({"w": Call("torch.storage:_load_from_bytes", torch_bytes.getvalue())}), "torch-plain", ("torch",)

    def state_2(m):
        import torch

        torch_bytes = io.BytesIO()
        torch.save(Runs(touch(m)), torch_bytes, _use_new_zipfile_serialization=False)
        return pickle.dumps(_LoadFromBytes(torch_bytes.getvalue()), 2), "torch-plain", ("torch",)

    return {"tensor-of-a-torch-file": state, "tensor-of-a-legacy-file": state_2}


class _LoadFromBytes:
    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        from torch.storage import _load_from_bytes

        return _load_from_bytes, (self.content,)


def archive(members, method=zipfile.ZIP_STORED, **kwargs) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, **kwargs) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            target.writestr(name, content)
    return file.getvalue()


def edited(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def zips():
    """Zip archives as a loader of their first, named or every member opens them."""
    any_member = ("zip-member", ())

    def central(content, offset, new):
        return edited(content, content.index(b"PK\x01\x02") + offset, new)

    return {
        "zip": lambda m: (archive([("data.pkl", run(m))]), *any_member),
        "zip-deflated": lambda m: (archive([("data.pkl", run(m))], zipfile.ZIP_DEFLATED), *any_member),
        "zip-bzip2": lambda m: (archive([("data.pkl", run(m))], zipfile.ZIP_BZIP2), *any_member),
        "zip-other-name": lambda m: (archive([("weights.bin", run(m))]), *any_member),
        "zip-in-a-folder": lambda m: (archive([("a/b/c/model", run(m))]), *any_member),
        "zip-duplicate-first": lambda m: (archive([("data.pkl", run(m)), ("data.pkl", pickle.dumps(1))]), "zip-first", ()),
        "zip-duplicate-last": lambda m: (archive([("data.pkl", pickle.dumps(1)), ("data.pkl", run(m))]), *any_member),
        "zip-wrong-crc": lambda m: (central(edited(archive([("m", run(m))]), 14, b"\1\2\3\4"), 16, b"\1\2\3\4"), "zip-raw", ()),
        "zip-flag-encrypted": lambda m: (edited(archive([("m", run(m))]), 6, b"\1"), "zip-raw", ()),
        "zip-other-local-name": lambda m: (edited(archive([("m", run(m))]), 30, b"n"), "zip-raw", ()),
        "zip-version-needed": lambda m: (central(edited(archive([("m", run(m))]), 4, b"\xff\0"), 6, b"\xff\0"), "zip-raw", ()),
        "zip-prefix": lambda m: (b"#!/bin/sh\nexit\n" + archive([("m", run(m))]), *any_member),
        "zip-comment": lambda m: (edited(archive([("m", run(m))]), len(archive([("m", run(m))])) - 2, b"\7\0") + b"comment", *any_member),
        "zip-suffix": lambda m: (archive([("m", run(m))]) + b"suffix", "zip-raw", ()),
        "zip-behind-a-picture": lambda m: (b"\x89PNG\r\n\x1a\n" + bytes(40) + archive([("m", run(m))]), *any_member),
        "zip-hidden-member": lambda m: (archive([("m", run(m))])[: archive([("m", run(m))]).index(b"PK\x01\x02")] + archive([("n", b"x")]), "zip-raw", ()),
        "zip-in-a-zip": lambda m: (archive([("inner.zip", archive([("m", run(m))]))]), "zip-nested", ()),
        "zip-in-a-zip-in-a-zip": lambda m: (archive([("i", archive([("j", archive([("m", run(m))]))]))]), "zip-nested", ()),
        "zip-tar-inside": lambda m: (archive([("inner.tar", tar([("m", run(m))]))]), "zip-nested", ()),
        "mar": lambda m: (archive([("MAR-INF/MANIFEST.json", json.dumps({"model": {"modelName": "x", "serializedFile": "model.pkl"}})), ("model.pkl", run(m))]), *any_member),
        "mar-handler": lambda m: (archive([("MAR-INF/MANIFEST.json", json.dumps({"model": {"modelName": "x", "handler": "handler.py"}})), ("handler.py", code(m))]), "zip-python", ()),
    }  # fmt: skip


def tar(members, mode="w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as target:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def tars():
    """Tar archives, plain and compressed."""

    def torch_tar(m):
        storages = pickle.dumps(0, 2) + pickle.dumps([], 2)
        return tar([("storages", storages), ("tensors", pickle.dumps(0, 2)), ("pickle", run(m))]), "torch-legacy", ("torch",)

    def torch_tar_storages(m):
        return tar([("storages", run(m)), ("tensors", pickle.dumps(0, 2)), ("pickle", pickle.dumps(0, 2))]), "torch-legacy", ("torch",)

    def hidden_tensors(m, long_name=None, path=None, digits=0):
        """PyTorch steps over the bytes behind the key of a storage; who takes the member for a pickle steps over the payload."""
        named = b"\x80\x02X\1\0\0\x000X\3\0\0\0cpuctorch\nByteStorage\n\x87."
        fill = 0x643 - 6
        storages = pickle.dumps(1, 2) + named + b"C\6" + bytes(6) + b"0B" + struct.pack("<I", fill + len(run(m))) + bytes(fill) + run(m) + b"0N."
        before = []
        if long_name:
            before.append((b"L", long_name.encode() + b"\0"))
        if path:
            record = f" path={path}\n"
            before.append((b"x", f"{len(record) + (digits or 2):0{digits or 2}}{record}".encode()))
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as target:
            for kind, name, content in (
                *((kind, "x", content) for kind, content in before),
                (b"0", "other", storages),
                (b"0", "tensors", pickle.dumps(0, 2)),
                (b"0", "pickle", pickle.dumps(0, 2)),
            ):
                entry = tarfile.TarInfo(name)
                entry.type, entry.size = kind, len(content)
                target.addfile(entry, io.BytesIO(content))
        return file.getvalue(), "torch-legacy", ("torch",)

    def pickle_named(m):
        name = "c" + "os\nsystem\n(S'" + touch(m) + "'\ntR."
        return tar([(name, b"x")]), "pickle", ()

    return {
        "tar": lambda m: (tar([("model.pkl", run(m))]), "tar-member", ()),
        "tar-gz": lambda m: (tar([("model.pkl", run(m))], "w:gz"), "tar-member", ()),
        "tar-bz2": lambda m: (tar([("model.pkl", run(m))], "w:bz2"), "tar-member", ()),
        "tar-xz": lambda m: (tar([("model.pkl", run(m))], "w:xz"), "tar-member", ()),
        "tar-long-name": lambda m: (tar([("folder/" * 30 + "model.pkl", run(m))]), "tar-member", ()),
        "tar-second-archive": lambda m: (tar([("a", b"x")]) + tar([("model.pkl", run(m))]), "tar-member-zeros", ()),
        "torch-tar": torch_tar,
        "torch-tar-storages": torch_tar_storages,
        "torch-tar-path-with-a-slash": lambda m: hidden_tensors(m, path="storages/"),
        "torch-tar-named-twice": lambda m: hidden_tensors(m, long_name="storages", path="another"),
        "torch-tar-path-of-odd-length": lambda m: hidden_tensors(m, path="storages", digits=12),
        "tar-whose-name-is-a-pickle": pickle_named,
    }


def compressed():
    """A pickle behind a compression that joblib, gzip and their kin undo by themselves."""
    return {
        "gzip": lambda m: (gzip.compress(run(m)), "gzip", ()),
        "gzip-two-members": lambda m: (gzip.compress(b"") + gzip.compress(run(m)), "gzip", ()),
        "bz2": lambda m: (bz2.compress(run(m)), "bz2", ()),
        "bz2-two-streams": lambda m: (bz2.compress(run(m)[:20]) + bz2.compress(run(m)[20:]), "bz2", ()),
        "xz": lambda m: (lzma.compress(run(m)), "lzma", ()),
        "lzma-alone": lambda m: (lzma.compress(run(m), format=lzma.FORMAT_ALONE), "lzma", ()),
        "zlib": lambda m: (zlib.compress(run(m)), "joblib", ("joblib",)),
        "zlib-fast": lambda m: (zlib.compress(run(m), 1), "joblib", ("joblib",)),
        "joblib-gzip": lambda m: (gzip.compress(run(m)), "joblib", ("joblib",)),
        "joblib-bz2": lambda m: (bz2.compress(run(m)), "joblib", ("joblib",)),
        "joblib-xz": lambda m: (lzma.compress(run(m)), "joblib", ("joblib",)),
        "joblib-lzma": lambda m: (lzma.compress(run(m), format=lzma.FORMAT_ALONE), "joblib", ("joblib",)),
        "joblib-zfile": lambda m: (_zfile(run(m)), "joblib", ("joblib",)),
        "gzip-in-gzip": lambda m: (gzip.compress(gzip.compress(run(m))), "gzip-twice", ()),
    }


def _zfile(content: bytes) -> bytes:
    return b"ZF" + hex(len(content)).ljust(19).encode() + zlib.compress(content)


def torches():
    """PyTorch's files, modern and older."""

    def saved(value, **kwargs):
        import torch

        file = io.BytesIO()
        torch.save(value, file, **kwargs)
        return file.getvalue()

    def zipped(m, name="data.pkl", root="archive", method=zipfile.ZIP_STORED):
        return archive([(f"{root}/{name}", run(m)), (f"{root}/version", b"3\n")], method), "torch", ("torch",)

    def legacy_magic(m):
        content = run(m) + b"".join(pickle.dumps(value, 2) for value in (1001, {"little_endian": True}, 1, []))
        return content, "torch-legacy", ("torch",)

    def computed_magic(m):
        magic = stream(Call("builtins:int", "119547037146038801333356"))
        return (
            magic + b"".join(pickle.dumps(v, 2) for v in (1001, {"little_endian": True})) + run(m) + pickle.dumps([], 2),
            "torch-legacy",
            ("torch",),
        )

    def keys(m):
        parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {}]
        return b"".join(pickle.dumps(v, 2) for v in parts) + run(m), "torch-legacy", ("torch",)

    def script(m):
        return archive([("m/data.pkl", b"\x80\x02N."), ("m/constants.pkl", run(m)), ("m/version", b"3\n")]), "zip-constants", ("torch",)

    return {
        "torch-zip": lambda m: (saved({"a": Runs(touch(m))}), "torch", ("torch",)),
        "torch-zip-by-hand": zipped,
        "torch-zip-deflated": lambda m: zipped(m, method=zipfile.ZIP_DEFLATED),
        "torch-zip-odd-root": lambda m: zipped(m, root="some odd root"),
        "torch-zip-capitals": lambda m: zipped(m, name="DATA.PKL"),
        "torch-zip-protocol-4": lambda m: (saved({"a": Runs(touch(m))}, pickle_protocol=4), "torch", ("torch",)),
        "torch-legacy": lambda m: (saved({"a": Runs(touch(m))}, _use_new_zipfile_serialization=False), "torch-legacy", ("torch",)),
        "torch-legacy-magic-runs": legacy_magic,
        "torch-legacy-magic-computed": computed_magic,
        "torch-legacy-keys-run": keys,
        "torchscript-constants": script,
        "torch-as-safetensors": lambda m: (saved({"a": Runs(touch(m))}), "torch", ("torch",)),
    }


def arrays():
    """NumPy's files with objects."""

    def saved(value):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=True)
        return file.getvalue()

    def zipped(m):
        file = io.BytesIO()
        np.savez(file, a=np.ones(2), b=np.array([Runs(touch(m))], dtype=object))
        return file.getvalue(), "npz", ()

    def field(m):
        value = np.zeros(1, dtype=[("a", "i4"), ("b", "O")])
        value["b"][0] = Runs(touch(m))
        return saved(value), "npy", ()

    def header(description):
        def build(m):
            head = ("{'descr': " + description + ", 'fortran_order': False, 'shape': (1,), }").encode()
            head = head.ljust(117) + b"\n"
            return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + run(m), "npy", ()

        return build

    def long_header(m):
        head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(20_000) + b"\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + run(m), "npy", ()

    return {
        "npy-object": lambda m: (saved(np.array([Runs(touch(m))], dtype=object)), "npy", ()),
        "npy-object-field": field,
        "npy-object-nested-field": header("[('a', [('b', '|O')])]"),
        "npy-object-subarray": header("[('a', '|O', (2,))]"),
        "npy-object-written-out": header("'object'"),
        "npy-object-list-of-types": header("'f4,O'"),
        "npy-long-header": long_header,
        "npy-not-npy": lambda m: (run(m), "npy", ()),
        "npz-object": zipped,
        "npz-deflated": lambda m: (archive([("a.npy", saved(np.array([Runs(touch(m))], dtype=object)))], zipfile.ZIP_DEFLATED), "npz", ()),
    }


def joblibs():
    """joblib's files, with arrays between the opcodes."""

    def dumped(value, **kwargs):
        import joblib

        file = io.BytesIO()
        joblib.dump(value, file, **kwargs)
        return file.getvalue()

    def behind(m):
        return dumped([np.arange(100.0), Runs(touch(m))]), "joblib", ("joblib",)

    def between(m):
        return dumped([np.arange(10.0), Runs(touch(m)), np.ones((5, 5))]), "joblib", ("joblib",)

    def within(m):
        return dumped({"a": np.array([Runs(touch(m))], dtype=object)}), "joblib", ("joblib",)

    def as_pickle(m):
        """An array's items, which joblib steps over, are opcodes for anything else."""
        content = dumped(np.frombuffer(b"A" * 64, dtype="u1"))
        start = content.index(b"A" * 64)
        before = content[:start].rstrip(b"\xff")
        payload = run(m)[2:-1] + b"."
        # The length of the padding, 78 bytes, is an opcode too: NONE.
        return before[:-1] + b"N" + payload.ljust(78, b"N") + b"A" * 64 + content[start + 64 :], "pickle", ("joblib",)

    return {
        "joblib-behind-an-array": behind,
        "joblib-between-arrays": between,
        "joblib-object-array": within,
        "joblib-compressed": lambda m: (dumped([np.ones(3), Runs(touch(m))], compress=3), "joblib", ("joblib",)),
        "joblib-compressed-xz": lambda m: (dumped([np.ones(3), Runs(touch(m))], compress=("xz", 3)), "joblib", ("joblib",)),
        "joblib-array-is-a-pickle": as_pickle,
    }
