# SPDX-License-Identifier: Apache-2.0
import datetime as dt
import hashlib
import os
import pickle
import struct
import warnings

import pytest

torch = pytest.importorskip("torch")

from corpus.hostile import GROUPS, samples  # noqa: E402 - only where torch is
from lifeseal import attestation, serialization  # noqa: E402
from lifeseal.errors import FormatError, LifesealError, LimitError, PolicyError, UnsafeError  # noqa: E402
from support.checkpoints import differing, layer, names, read, repacked, save  # noqa: E402 - only where torch is

TEXT = b"X\x01\0\0\0"
INTS = {0: b"K\0", 1: b"K\1"}


def waiver(path, *allows) -> attestation.Waiver:
    covers = [f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"]
    return attestation.Waiver(
        covers=covers, allows=allows or ("unsafe",), reason="r", owner="o", risk="k", expires=dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    )


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = layer(), torch.nn.Linear(2, 2)
        self.again = self.two
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("passing", torch.ones(2), persistent=False)


class Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_an_unsafe_file_is_converted_under_a_waiver_only_and_never_run(protocol, modern, tmp_path):
    marker = tmp_path / "ran"
    path = save({"w": torch.ones(3), "evil": Runs(marker), "n": 1}, tmp_path / "in.pt", protocol=protocol, modern=modern)
    with pytest.raises(UnsafeError, match=r"imports posix\.mkdir, which runs commands"):
        serialization.convert(path, tmp_path / "out")
    with pytest.raises(PolicyError, match="does not allow 'unsafe'"):
        serialization.convert(path, tmp_path / "out", waiver=waiver(path, "unsigned", "needs-trust"))
    covering = waiver(path)
    save({"w": torch.zeros(3), "evil": Runs(marker)}, path, protocol=protocol, modern=modern)
    with pytest.raises(PolicyError, match="does not cover"):
        serialization.convert(path, tmp_path / "out", waiver=covering)
    assert names(tmp_path) == ["in.pt"]
    done = serialization.convert(path, tmp_path / "out", waiver=waiver(path))
    assert (done.verdict.value, dict(done.dropped)) == ("unsafe", {"evil": "posix.mkdir"})
    assert differing(read(done), {"w": torch.zeros(3)}) == []
    assert not marker.exists()


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
def test_a_module_of_an_unknown_class_gives_its_tensors_under_a_waiver(modern, tmp_path):
    path = save({"model": Net(), "epoch": 1}, tmp_path / "in.pt", modern=modern)
    done = serialization.convert(path, tmp_path / "out", select="model", waiver=waiver(path))
    wanted = Net().state_dict()
    assert set(read(done)) == set(wanted)
    assert dict(done.aliases) == {"two.weight": "again.weight", "two.bias": "again.bias"}


def test_a_broken_file_is_refused_with_any_waiver(tmp_path):
    path = save({"w": torch.ones(3), "evil": Runs(tmp_path / "ran")}, tmp_path / "in.pt")
    path.write_bytes(b"#!" + path.read_bytes())
    with pytest.raises(UnsafeError):
        serialization.convert(path, tmp_path / "out")
    with pytest.raises(FormatError, match="not converted"):
        serialization.convert(path, tmp_path / "out", waiver=waiver(path))
    many = save([Runs(tmp_path / str(index)) for index in range(99)], tmp_path / "in.pt")
    content = repacked(many.read_bytes(), change=lambda rest, data: data.replace(b"posix", b"pos%02d", 0) if rest == "data.pkl" else data)
    many.write_bytes(content)
    with pytest.raises(FormatError):
        serialization.convert(many, tmp_path / "out", waiver=waiver(many))
    assert names(tmp_path) == ["in.pt"]


def tensor(
    key=b"0", kind=b"FloatStorage", count=4, offset=0, shape=(2,), strides=(1,), storage=None, arguments=None, name=b"_rebuild_tensor_v2"
) -> bytes:
    """Write the pickle of one tensor by hand."""
    number = lambda value: b"\x8a\x09" + value.to_bytes(9, "little", signed=True)  # noqa: E731
    sizes = lambda values: b"(" + b"".join(map(number, values)) + b"t"  # noqa: E731
    identity = b"(X\x07\0\0\0storagectorch\n" + kind + b"\nX" + struct.pack("<I", len(key)) + key + b"X\x03\0\0\0cpu" + number(count) + b"tQ"
    inner = (identity if storage is None else storage) + number(offset) + sizes(shape) + sizes(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n" + name + b"\n(" + (inner if arguments is None else arguments) + b"tR"


def checkpoint(*tensors: bytes) -> bytes:
    items = b"".join(b"X\x01\0\0\0" + bytes([97 + index]) + one for index, one in enumerate(tensors))
    return b"\x80\x02}(" + items + b"u."


def archive(path, main: bytes, content=b"\0\0\x80?" * 4):
    """Put a pickle of our own into an archive as PyTorch writes it, with one storage of four numbers."""
    save({"a": torch.ones(4)}, path)
    path.write_bytes(repacked(path.read_bytes(), change={"data.pkl": main, "data/0": content}.get))
    return path


def test_a_checkpoint_written_by_hand_is_read(tmp_path):
    oldest = tensor(name=b"_rebuild_tensor").replace(b"\x89ccollections\nOrderedDict\n)R", b"")
    parts = (tensor(), tensor(offset=2), tensor(shape=(2, 2), strides=(0, 1), offset=1), oldest)
    done = serialization.convert(archive(tmp_path / "in.pt", checkpoint(*parts)), tmp_path / "out")
    assert differing(read(done), {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(2, 2), "d": torch.ones(2)}) == []
    assert dict(done.aliases) == {"d": "a"}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"offset": 3}, id="ends behind its storage"),
        pytest.param({"shape": (5,)}, id="larger than its storage"),
        pytest.param({"strides": (4,)}, id="steps out of its storage"),
        pytest.param({"strides": (1 << 62,)}, id="steps that overflow"),
        pytest.param({"shape": (1 << 62, 1 << 62), "strides": (0, 0)}, id="sizes that overflow"),
        pytest.param({"offset": -1}, id="negative offset"),
        pytest.param({"shape": (-1,)}, id="negative size"),
        pytest.param({"strides": (-1,)}, id="negative step"),
        pytest.param({"strides": (1, 1)}, id="more strides than sizes"),
        pytest.param({"shape": (1,) * 65, "strides": (1,) * 65}, id="too many sizes"),
        pytest.param({"count": 3}, id="storage smaller than its record"),
        pytest.param({"count": 1 << 40}, id="storage larger than its record"),
        pytest.param({"count": -4}, id="negative storage"),
        pytest.param({"kind": b"DoubleStorage"}, id="another type than the record has room for"),
        pytest.param({"kind": b"OddStorage"}, id="unknown type"),
        pytest.param({"key": b"1"}, id="storage that is not there"),
        pytest.param({"key": b"../data.pkl"}, id="storage outside"),
        pytest.param({"storage": b"K\0"}, id="no storage"),
        pytest.param({"arguments": b""}, id="no arguments"),
        pytest.param({"name": b"_rebuild_tensor_v3"}, id="arguments of another function"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused_before_any_copy(odd, tmp_path):
    path = archive(tmp_path / "in.pt", checkpoint(tensor(), tensor(**odd)))
    with pytest.raises((FormatError, UnsafeError, LimitError)):
        serialization.convert(path, tmp_path / "out")
    with pytest.raises((FormatError, LimitError)):  # nor does a waiver for what is unsafe let it through
        serialization.convert(path, tmp_path / "out", waiver=waiver(path))
    assert names(tmp_path) == ["in.pt"]


def test_one_storage_with_two_types_is_refused(tmp_path):
    path = archive(tmp_path / "in.pt", checkpoint(tensor(), tensor(kind=b"IntStorage")))
    with pytest.raises(FormatError, match="two sizes or types"):
        serialization.convert(path, tmp_path / "out")


def of(*parts: bytes) -> bytes:
    """Put something beside a good tensor."""
    return b"\x80\x04}(X\x01\0\0\0t" + tensor() + b"X\x01\0\0\0o" + b"".join(parts) + b"u."


@pytest.mark.parametrize(
    ("main", "error"),
    [
        pytest.param(of(b"]\x94(h\0h\0e"), LimitError, id="a list within itself"),
        pytest.param(of(b"}\x94(X\x01\0\0\0ah\0u"), LimitError, id="a dictionary within itself"),
        pytest.param(of(b"]" + b"]" * 5000 + b"a" * 5000), LimitError, id="deep lists"),
        pytest.param(of(b")\x940", *(b"h%ch%c\x86\x940" % (n, n) for n in range(60)), b"h\x3c"), LimitError, id="exponential tuples"),
        pytest.param(of(b"(X\x01\0\0\0aK\1X\x01\0\0\0ad"), FormatError, id="a key without a value"),
        pytest.param(of(b"K\1K\1a"), LifesealError, id="appends to a number"),
        pytest.param(of(b"K\1}b"), LifesealError, id="state of a number"),
        pytest.param(of(b"}(X\x01\0\0\0aX\x01\0\0\0bd"), LifesealError, id="open mark"),
        pytest.param(of(b"ccollections\nOrderedDict\n(](K\1K\2etR"), LifesealError, id="a dictionary of numbers"),
        pytest.param(of(b"}((K\1tK\2s"), LifesealError, id="odd stack"),
        pytest.param(of(b"X\x01\0\0\0aQ"), FormatError, id="persistent id of text"),
    ],
)
def test_pickles_made_to_confuse_are_refused(main, error, tmp_path):
    path = archive(tmp_path / "in.pt", main)
    with pytest.raises(error):
        serialization.convert(path, tmp_path / "out")
    with pytest.raises(LifesealError):
        serialization.convert(path, tmp_path / "out", waiver=waiver(path))
    assert names(tmp_path) == ["in.pt"]


@pytest.mark.parametrize(
    ("hostile", "what"),
    [
        (b"c__builtin__\neval\n(X\x01\0\0\0xtR", "builtins.eval"),
        (b"(X\x01\0\0\0xios\nsystem\n", "os.system"),
        (b"(cos\nsystem\nX\x01\0\0\0xo", "os.system"),
        (b"cos\nsystem\n(X\x01\0\0\0xt\x81", "os.system"),
        (b"X\x02\0\0\0osX\x06\0\0\0system\x93X\x01\0\0\0x\x85R", "os.system"),
        (b"\x82\1", "what an extension code stands for"),
        (b"cmymodule\nThing\n)\x81}(X\x01\0\0\0aK\1ub", "mymodule.Thing"),
        (b"cbuiltins\ngetattr\n(cos\nsystem\nX\x08\0\0\0__call__tR(K\1tR", "builtins.getattr"),
    ],
)
def test_what_would_run_is_dropped_by_name_under_a_waiver(hostile, what, tmp_path):
    path = archive(tmp_path / "in.pt", of(hostile))
    with pytest.raises(UnsafeError):
        serialization.convert(path, tmp_path / "out")
    done = serialization.convert(path, tmp_path / "out", waiver=waiver(path))
    assert dict(done.dropped) == {"o": what}
    assert [found.name for found in done.tensors] == ["t"]


def test_keys_that_all_have_one_hash_cost_no_more(tmp_path):
    prime = (1 << 61) - 1
    keys = b"".join(b"\x8a\x0f" + (index * prime).to_bytes(15, "little") + b"K\1" for index in range(60_000))
    path = archive(tmp_path / "in.pt", of(b"}(" + keys + b"u"))
    done = serialization.convert(path, tmp_path / "out")
    assert [found.name for found in done.tensors] == ["t"]


def test_tables_that_are_copied_again_and_again_are_bounded(tmp_path):
    table = b"}\x94(" + b"".join(b"\x8a\x02" + index.to_bytes(2, "little") + b"K\1" for index in range(30_000)) + b"u"
    copies = b"0](" + b"ccollections\nOrderedDict\n(h\0tR" * 200 + b"e"
    with pytest.raises(LimitError):
        serialization.convert(archive(tmp_path / "in.pt", of(table + copies)), tmp_path / "out")


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
def test_every_cut_is_refused(modern, tmp_path):
    content = save({"a": torch.ones(3), "b": torch.zeros(2).half(), "n": 1}, tmp_path / "in.pt", modern=modern).read_bytes()
    step = 7 if modern else 3
    for size in [*range(0, len(content), step), len(content) - 1]:
        (tmp_path / "cut").write_bytes(content[:size])
        with pytest.raises(LifesealError):
            serialization.convert(tmp_path / "cut", tmp_path / "out")
    (tmp_path / "cut").write_bytes(content + b"\0")
    with pytest.raises(LifesealError):
        serialization.convert(tmp_path / "cut", tmp_path / "out")
    (tmp_path / "cut").write_bytes(content)
    serialization.convert(tmp_path / "cut", tmp_path / "out")


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
def test_a_changed_byte_runs_nothing_and_breaks_nothing(modern, tmp_path):
    content = save({"a": torch.ones(3), "b": torch.zeros(2).half(), "n": 1}, tmp_path / "in.pt", modern=modern).read_bytes()
    for place in range(0, len(content), 11):
        changed = bytearray(content)
        changed[place] ^= 1 + place % 255
        (tmp_path / "changed").write_bytes(changed)
        try:
            serialization.convert(tmp_path / "changed", tmp_path / "out")
        except LifesealError:
            continue
        serialization.validate(tmp_path / "out")


def legacy(path, value, keys=None, counts=None):
    """Write a legacy file of one storage, with another list of keys or other counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(value, path, modern=False)
    content = path.read_bytes()
    tail = 8 + 16
    start = content.rindex(b"\x80\x02]", 0, len(content) - tail)
    key = content[start:-tail].split(b"X")[1][4:].rstrip(b"q\x00\x01\x02a.")
    listed = pickle.dumps([key.decode() if each is None else each for each in (keys or [None])], 2)
    count = (4 if counts is None else counts).to_bytes(8, "little", signed=True)
    path.write_bytes(content[:start] + listed + count + content[-16:])
    return path


def test_a_legacy_file_that_contradicts_itself_is_refused(tmp_path):
    value = {"a": torch.ones(4)}
    done = serialization.convert(legacy(tmp_path / "in.pt", value), tmp_path / "out")
    assert differing(read(done), value) == []
    for odd in (
        {"keys": ["1"]},
        {"keys": [None, None]},
        {"keys": [5]},
        {"keys": [None, "2"]},
        {"counts": 3},
        {"counts": 5},
        {"counts": -1},
        {"counts": 1 << 62},
    ):
        with pytest.raises(FormatError):
            serialization.convert(legacy(tmp_path / "in.pt", value, **odd), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("group", GROUPS)
def test_no_hostile_file_of_the_corpus_runs(group, tmp_path):
    (tmp_path / "markers").mkdir()
    path = tmp_path / "in"
    for sample in samples(group, tmp_path / "markers"):
        path.write_bytes(sample.content)
        for exception in (None, waiver(path)):
            try:
                done = serialization.convert(path, tmp_path / "out", waiver=exception)
            except UnsafeError:
                continue
            except LifesealError:
                break
            assert exception is not None or done.verdict.value == "needs-trust", sample.name
            serialization.validate(tmp_path / "out")
    assert names(tmp_path / "markers") == []
