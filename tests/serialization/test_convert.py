# SPDX-License-Identifier: Apache-2.0
import errno
import hashlib
import json
import os
import subprocess
import sys
import warnings

import blake3
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lifeseal import serialization  # noqa: E402
from lifeseal.errors import FormatError, LimitError  # noqa: E402
from support.checkpoints import ORDINARY, REFUSED, differing, flat, layer, names, of_type, read, repacked, save  # noqa: E402 - only where torch is


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", ORDINARY)
def test_every_tensor_comes_out_as_pytorch_reads_it(kind, modern, tmp_path):
    value = ORDINARY[kind]()
    for protocol in (2, 3, 4, 5):
        path = save(value, tmp_path / "in.pt", protocol=protocol, modern=modern)
        try:
            wanted = torch.load(path, weights_only=True)
        except Exception:  # noqa: BLE001 - it cannot read its own files of protocol 4, of arrays, and older ones of newer types
            wanted = value
        done = serialization.convert(path, tmp_path / "out.safetensors")
        assert differing(read(done), flat(wanted)) == []
        assert done.verdict.value == "safe"
        serialization.validate(tmp_path / "out.safetensors")


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_format_cannot_hold_is_refused_by_name_or_left_out_when_asked(kind, modern, tmp_path):
    make, what = REFUSED[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save({"odd": make(), "good": torch.ones(2)}, tmp_path / "in.pt", modern=modern)
    with pytest.raises(FormatError, match=f"'odd' is {what}"):
        serialization.convert(path, tmp_path / "out.safetensors")
    assert names(tmp_path) == ["in.pt"]
    done = serialization.convert(path, tmp_path / "out.safetensors", unsupported="drop")
    assert dict(done.dropped) == {"odd": what}
    assert set(read(done)) == {"good"}


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_whole_module_gives_what_its_state_dict_gives(protocol, tmp_path):
    model = layer()
    done = serialization.convert(save(model, tmp_path / "in.pt", protocol=protocol), tmp_path / "out")
    assert done.verdict.value == "needs-trust"
    assert differing(read(done), dict(model.state_dict())) == []


@pytest.mark.parametrize("make", [torch.jit.script, lambda model: torch.jit.trace(model, torch.ones(2, 3))], ids=["script", "trace"])
def test_a_program_of_torchscript_gives_its_tensors(make, tmp_path):
    model = layer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(make(model), tmp_path / "in.pt")
    done = serialization.convert(tmp_path / "in.pt", tmp_path / "out")
    assert (done.format, done.verdict.value) == ("torchscript", "needs-trust")
    assert differing(read(done), dict(model.state_dict())) == []


def test_an_object_that_hides_tensors_is_never_dropped_in_silence(tmp_path):
    path = save({"t": torch.ones(1), "odd": {1: {torch.ones(2)}}}, tmp_path / "in.pt", protocol=4)
    with pytest.raises(FormatError, match=r"'odd\.1' is an object of builtins\.set that holds tensors"):
        serialization.convert(path, tmp_path / "out")


def test_plain_data_lies_beside_the_tensors_and_says_to_which_it_belongs(tmp_path):
    path = save(ORDINARY["training checkpoint"](), tmp_path / "in.pt")
    done = serialization.convert(path, tmp_path / "out.safetensors")
    beside = json.loads((tmp_path / "out.safetensors.values.json").read_bytes())
    assert done.values == tmp_path / "out.safetensors.values.json"
    assert beside["schema"] == "lifeseal.values/1"
    assert beside["tensors"] == {"out.safetensors": done.outputs[0].digest}
    assert {key: beside["values"][key] for key in ("epoch", "lr", "done", "name", "none")} == {
        "epoch": 3, "lr": 0.1, "done": True, "name": "first", "none": None
    }  # fmt: skip
    assert beside["values"]["optimiser.param_groups"][0]["params"] == [0, 1, 2, 3]
    serialization.convert(save({"a": torch.ones(1)}, tmp_path / "in.pt"), tmp_path / "out.safetensors")
    assert json.loads(done.values.read_bytes())["values"] == {}
    done.values.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        serialization.convert(save({"a": torch.ones(1), "n": 1}, tmp_path / "in.pt"), tmp_path / "out.safetensors")
    assert set(serialization.load(tmp_path / "out.safetensors")) == {"a"}


def test_what_is_neither_tensor_nor_plain_data_is_listed(tmp_path):
    done = serialization.convert(save(ORDINARY["sizes and types"](), tmp_path / "in.pt"), tmp_path / "out")
    assert dict(done.dropped) == {"type": "the name torch.float16", "device": "torch.device"}
    done = serialization.convert(save(ORDINARY["odd numbers"](), tmp_path / "in.pt"), tmp_path / "out")
    assert dict(done.dropped) == {"big": "a number that JSON has not", "nan": "a number that JSON has not"}


def test_the_same_items_are_written_once_and_views_in_full(tmp_path):
    done = serialization.convert(save(ORDINARY["tied weights"](), tmp_path / "in.pt"), tmp_path / "out")
    assert dict(done.aliases) == {"head": "embed", "same": "embed"}
    assert dict(serialization.validate(tmp_path / "out").metadata) == {"format": "pt", "head": "embed", "same": "embed"}
    assert {tensor.name for tensor in done.tensors} == {"embed", "part", "other_shape"}


def test_one_part_is_chosen_by_its_keys(tmp_path):
    path = save({"state.dict": {"a": {"w": torch.ones(1)}}, "b": torch.ones(2), "epoch": 3}, tmp_path / "in.pt")
    done = serialization.convert(path, tmp_path / "out", select="state.dict.a")
    assert [tensor.name for tensor in done.tensors] == ["w"]
    assert dict(done.dropped) == {"b": "not selected", "epoch": "not selected"}
    assert [tensor.name for tensor in serialization.convert(path, tmp_path / "out", select="b").tensors] == ["tensor"]
    with pytest.raises(ValueError, match=r"there is b, epoch, state\.dict"):
        serialization.convert(path, tmp_path / "out", select="state")
    with pytest.raises(FormatError, match="no tensor"):
        serialization.convert(path, tmp_path / "out", select="epoch")


def test_two_things_of_one_name_are_refused(tmp_path):
    path = save({"a.b": torch.ones(1), "a": {"b": torch.ones(2)}}, tmp_path / "in.pt")
    with pytest.raises(FormatError, match=r"two things are called 'a.b'"):
        serialization.convert(path, tmp_path / "out")
    assert serialization.convert(path, tmp_path / "out", select="a").tensors[0].shape == (2,)


@pytest.mark.parametrize("name", ["../up", "a\nb", "/abs", "__metadata__", "x" * 4097])
def test_a_name_that_would_not_be_read_back_is_refused(name, tmp_path):
    with pytest.raises(FormatError):
        serialization.convert(save({name: torch.ones(1)}, tmp_path / "in.pt"), tmp_path / "out")
    assert names(tmp_path) == ["in.pt"]


@pytest.mark.parametrize("algorithm", ["blake3", "sha256", "blake2b"])
def test_digests_are_of_what_was_read_and_written(algorithm, tmp_path):
    done = serialization.convert(save(ORDINARY["large"](), tmp_path / "in.pt"), tmp_path / "out", hash=algorithm)
    for told, path in ((done.sources[0], tmp_path / "in.pt"), (done.outputs[0], tmp_path / "out")):
        content = path.read_bytes()
        plain = blake3.blake3(content).hexdigest() if algorithm == "blake3" else hashlib.new(algorithm, content).hexdigest()
        assert (told.path, told.size, told.digest) == (str(path), len(content), f"{algorithm}:{plain}")
    assert done.to_json()["outputs"] == [{"path": str(path), "size": told.size, "digest": told.digest}]


@pytest.mark.parametrize("modern", [True, False])
def test_the_same_tensors_give_the_same_bytes(modern, tmp_path):
    value = ORDINARY["training checkpoint"]()
    one = serialization.convert(save(value, tmp_path / "in.pt", modern=modern, protocol=2), tmp_path / "one")
    two = serialization.convert(save(value, tmp_path / "in.pt", modern=modern, protocol=5), tmp_path / "two")
    assert one.outputs[0].digest == two.outputs[0].digest


def big_endian(rest, data):
    if rest == "byteorder":
        return b"big"
    return np.frombuffer(data, ">u4").astype("<u4").tobytes() if rest.startswith("data/") else data


def test_numbers_of_a_big_endian_machine_are_turned_round(tmp_path):
    value = {"a": torch.randn(3, 4), "t": torch.randn(2, 3).t(), "i": torch.arange(5, dtype=torch.int32), "c": torch.randn(2, dtype=torch.complex64)}
    path = tmp_path / "in.pt"
    path.write_bytes(repacked(save(value, path).read_bytes(), change=big_endian))
    assert differing(flat(torch.load(path, weights_only=True)), value) == []
    done = serialization.convert(path, tmp_path / "out")
    assert differing(read(done), value) == []
    for kind, good in ((torch.uint16, False), (torch.float8_e5m2, True)):
        path.write_bytes(
            repacked(save({"a": of_type(kind, 8)}, path).read_bytes(), change=lambda rest, data: b"big" if rest == "byteorder" else data)
        )
        if good:
            serialization.convert(path, tmp_path / "out")
        else:
            with pytest.raises(FormatError, match="'a' is a tensor in a storage without a type"):
                serialization.convert(path, tmp_path / "out")
    path.write_bytes(repacked(save(value, path).read_bytes(), change=lambda rest, data: b"middle" if rest == "byteorder" else data))
    with pytest.raises(FormatError, match="little or big"):
        serialization.convert(path, tmp_path / "out")


@pytest.mark.parametrize(
    "options",
    [
        {"method": 8},
        {"root": "another"},
        {"root": "a/b"},
        {"leave_out": ("byteorder", "version", ".format_version", ".storage_alignment", ".data/serialization_id")},
    ],
    ids=["deflated", "root", "deep root", "bare"],
)
@pytest.mark.parametrize("kind", ["training checkpoint", "large", "tied weights", "transposed"])
def test_other_archives_of_the_same_members(kind, options, tmp_path):
    value = ORDINARY[kind]()
    path = tmp_path / "in.pt"
    path.write_bytes(repacked(save(value, path).read_bytes(), **options))
    done = serialization.convert(path, tmp_path / "out")
    assert differing(read(done), flat(value)) == []


@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_storages_may_lie_at_any_alignment(alignment, tmp_path):
    from torch.utils.serialization import config

    before = config.save.storage_alignment
    config.save.storage_alignment = alignment
    try:
        value = ORDINARY["typed storages"]()
        path = save(value, tmp_path / "in.pt")
    finally:
        config.save.storage_alignment = before
    assert differing(read(serialization.convert(path, tmp_path / "out")), value) == []


def test_several_files_with_an_index_become_one_or_several(tmp_path):
    value = ORDINARY["many"]()
    names = sorted(value)
    save({name: value[name] for name in names[:120]}, tmp_path / "pytorch_model-1.bin")
    save({name: value[name] for name in names[120:]}, tmp_path / "pytorch_model-2.bin", modern=False)
    weight_map = {name: f"pytorch_model-{1 if place < 120 else 2}.bin" for place, name in enumerate(names)}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1.5}, "weight_map": weight_map}))
    for source in (index, tmp_path):
        done = serialization.convert(source, tmp_path / "out.safetensors")
        assert [file.path for file in done.sources] == [str(tmp_path / f"pytorch_model-{part}.bin") for part in (1, 2)]
        assert differing(read(done), value) == []
    done = serialization.convert(index, tmp_path / "set.safetensors", max_shard_size=1000)
    assert [file.path for file in done.outputs] == [f"{tmp_path}/set-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    assert differing(read(done), value) == []
    written = json.loads((tmp_path / "set.safetensors.index.json").read_bytes())
    assert written["metadata"] == {"total_size": 2400}
    with pytest.raises(FormatError, match=r"there is pytorch_model\.bin\.index\.json, set"):
        serialization.convert(tmp_path, tmp_path / "out.safetensors")
    for change in ({"layers.0.weight": "pytorch_model-2.bin"}, {"more": "pytorch_model-1.bin"}):
        index.write_text(json.dumps({"weight_map": weight_map | change}))
        with pytest.raises(FormatError, match="the index says"):
            serialization.convert(index, tmp_path / "out.safetensors")
    for odd in ("../x.bin", "/etc/passwd", "pytorch_model-1.bin/../x"):
        index.write_text(json.dumps({"weight_map": {"a": odd}}))
        with pytest.raises(FormatError, match="relative name"):
            serialization.convert(index, tmp_path / "out.safetensors")
    (tmp_path / "link.bin").symlink_to(tmp_path / "pytorch_model-1.bin")
    index.write_text(json.dumps({"weight_map": {"a": "link.bin"}}))
    with pytest.raises(FormatError, match="not a symbolic link"):
        serialization.convert(index, tmp_path / "out.safetensors")


def test_a_few_bytes_that_stand_for_a_disk_full_are_refused(tmp_path):
    path = save({"a": torch.ones(1).expand(1 << 40)}, tmp_path / "in.pt")
    with pytest.raises(LimitError, match="tensors"):
        serialization.convert(path, tmp_path / "out")
    many = torch.ones(1 << 20)
    path = save({str(index): many[index:] for index in range(400)}, tmp_path / "in.pt")
    with pytest.raises(LimitError, match="tensors"):
        serialization.convert(path, tmp_path / "out")
    assert names(tmp_path) == ["in.pt"]


def test_an_output_that_is_the_source_is_refused(tmp_path):
    path = save({"a": torch.ones(1), "n": 1}, tmp_path / "in.pt")
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    before = path.read_bytes()
    for source, target in ((path, path), (tmp_path / "link", path), (path, tmp_path / "hard"), (path, tmp_path / "x" / ".." / "in.pt")):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(FileExistsError):
            serialization.convert(source, target)
    path.rename(tmp_path / "in.values.json")
    with pytest.raises(FileExistsError):
        serialization.convert(tmp_path / "in.values.json", tmp_path / "in")
    assert (tmp_path / "in.values.json").read_bytes() == before


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = save(ORDINARY["large"](), tmp_path / "in.pt")
    (tmp_path / "out").write_bytes(b"old")
    real, left = os.write, [2]

    def full(fd, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="full"):
            serialization.convert(path, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"old"
    assert names(tmp_path) == ["in.pt", "out"]


@pytest.mark.parametrize("bound", [None, 1 << 20])
def test_an_interrupted_run_leaves_nothing(bound, tmp_path):
    path = save(ORDINARY["large"]() | {"n": 1}, tmp_path / "in.pt")
    seen = []

    def stop(progress):
        seen.append(progress)
        if progress.done > progress.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serialization.convert(path, tmp_path / "out", progress=stop, max_shard_size=bound)
    assert names(tmp_path) == ["in.pt"]
    assert seen[0].phase == "converting"
    done = serialization.convert(path, tmp_path / "out", progress=seen.append, max_shard_size=bound)
    assert seen[-1].done == seen[-1].total == sum(file.size for file in done.outputs)


def test_a_source_that_changes_meanwhile_is_refused(tmp_path):
    path = save(ORDINARY["large"](), tmp_path / "in.pt")

    def change(_):
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\0")

    with pytest.raises(FormatError, match="changed while it was converted"):
        serialization.convert(path, tmp_path / "out", progress=change)
    assert names(tmp_path) == ["in.pt"]


def test_files_of_other_formats_are_named(tmp_path):
    for content, what in ((b"", "empty"), (b"text", "text"), (serialization_file(tmp_path), "safetensors")):
        (tmp_path / "in").write_bytes(content)
        with pytest.raises(FormatError, match=f"this is {what}"):
            serialization.convert(tmp_path / "in", tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        serialization.convert(tmp_path / "missing", tmp_path / "out")
    with pytest.raises(ValueError, match="unsupported"):
        serialization.convert(tmp_path / "in", tmp_path / "out", unsupported="ignore")
    with pytest.raises(ValueError, match="hash"):
        serialization.convert(tmp_path / "in", tmp_path / "out", hash="md5")


def serialization_file(folder) -> bytes:
    serialization.save({"a": np.ones(1)}, folder / "s")
    return (folder / "s").read_bytes()


def test_no_array_library_is_imported(tmp_path):
    save(ORDINARY["transposed"]() | {"n": 1}, tmp_path / "in.pt")
    code = (
        "import sys; from lifeseal import serialization as s; s.convert(sys.argv[1], sys.argv[2]);"
        "print(sorted({'numpy', 'torch', 'safetensors', 'pickle'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "in.pt", tmp_path / "out"], capture_output=True, text=True, check=True)
    assert set(json.loads(ran.stdout.replace("'", '"'))) <= {"pickle"}  # multiprocessing and logging of the standard library bring it
