# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import shutil
import struct

import pytest

from lifeseal import serialization
from lifeseal.serialization._tensorflow_operators import CHECKPOINT, COMPUTE
from support.protobuf import message, number, varint
from support.scanning import cuts_that_pass, judged

FILES = pathlib.Path(__file__).parent / "files"


def node(operator: str, *rest: bytes) -> bytes:
    return message(1, "n") + message(2, operator) + b"".join(rest)


def graph(*operators: str, functions: tuple[str, ...] = ()) -> bytes:
    library = b"".join(message(1, message(1, message(1, "f")), message(3, node(name))) for name in functions)
    return b"".join(message(1, node(name)) for name in operators) + message(2, library) + message(4, number(1, 27))


def saved(*graphs: bytes, rest: bytes = b"") -> bytes:
    return number(1, 1) + b"".join(message(2, message(1, message(4, "serve")), message(2, content), rest) for content in graphs)


AROUND = {
    "graph": lambda name: graph("NoOp", name),
    "function of a graph": lambda name: graph("PartitionedCall", functions=("Identity", name)),
    "saved model": lambda name: saved(graph("NoOp", name)),
    "function of a saved model": lambda name: saved(graph("NoOp", functions=(name,))),
    "second graph of a saved model": lambda name: saved(graph("NoOp"), graph("NoOp", name)),
    "meta graph": lambda name: message(1, message(5, "2.0")) + message(2, graph("NoOp", name)),
}
FORMATS = {"graph": "tf-graph", "function of a graph": "tf-graph", "meta graph": "tf-meta-graph"}


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("saved-model", {"tf-saved-model", "tf-fingerprint", "tf-checkpoint", "tensor-data"}),
        ("saved-model-vocabulary", {"tf-saved-model", "text"}),
        ("graph.pb", {"tf-graph"}),
        ("graph.meta", {"tf-meta-graph"}),
    ],
)
def test_files_of_the_library_are_safe(name, formats):
    report = serialization.scan(FILES / name)
    assert {file.format for file in report.files} == formats
    assert {(file.verdict.value, file.findings) for file in report.files} == {("safe", ())}


def test_every_cut_is_reported():
    for name in ("saved-model/saved_model.pb", "saved-model/variables/variables.index"):
        content = (FILES / name).read_bytes()
        assert cuts_that_pass(content, stop=min(600, len(content))) == []
        assert cuts_that_pass(content, start=max(40, len(content) - 200)) == []


@pytest.mark.parametrize("place", AROUND)
@pytest.mark.parametrize(
    "name",
    [
        "ReadFile",
        "WriteFile",
        "MatchingFiles",
        "PyFunc",
        "EagerPyFunc",
        "DebugIdentityV2",
        "ImmutableConst",
        "Save",
        "SaveSlices",
        "CacheDatasetV2",
        "DumpTensor",
        "CalibrationStatisticsSaver",
        "Skipgram",
        "DatasetFromGraph",
        "MlirPassthroughOp",
        "XlaCustomCallV2",
        "DTensorRestoreV2",
    ],
)
def test_operators_that_reach_out_are_unsafe_wherever_they_stand(name, place):
    report = judged(AROUND[place](name))
    assert (report.format, report.verdict, report.rules) == (FORMATS.get(place, "tf-saved-model"), "unsafe", {"tf-reaches-out"})


@pytest.mark.parametrize("place", AROUND)
@pytest.mark.parametrize(
    "name",
    ["SaveV2", "RestoreV2", "MergeV2Checkpoints", "ReadVariableOp", "PartitionedCall", "LookupTableFindV2", "LookupTableExportV2", "ScalarSummary"],
)
def test_ordinary_operators_are_safe(name, place):
    report = judged(AROUND[place](name))
    assert (report.verdict, report.findings) == ("safe", ())


@pytest.mark.parametrize(
    "name",
    [
        "TRTEngineOp",
        "MyOwnOp",
        "Own>Op",
        "XlaCallModule",
        "GeneratorDataset",
        "Send",
        "CollectiveReduceV2",
        "WriteSummary",
        "InitializeTableFromTextFileV2",
    ],
)
def test_operators_that_a_library_must_bring_need_trust(name):
    for around in AROUND.values():
        assert (judged(around(name)).verdict, judged(around(name)).rules) == ("needs-trust", {"tf-operator"})


TAKES_A_PLACE = re.compile(
    r"file|path|dir|address|url|host|command|library|descriptor|prefix|uri|server|port\b|db|method|module|graph_def|program|request", re.IGNORECASE
)
HARMLESS = re.compile(r"direction|dct_method|calibration_method|Fingerprint method|CropAndResize\w* method")


def test_no_operator_that_passes_takes_a_place_or_a_program():
    """The arguments of text of all of TensorFlow's operators, as its registry lists them."""
    lines = (FILES / "tensorflow-text-arguments.txt").read_text().splitlines()
    arguments = {line.split()[0]: line.split()[1:] for line in lines if not line.startswith("#")}
    assert len(arguments) > 200
    taking = {name for name, found in arguments.items() if any(TAKES_A_PLACE.search(one) and not HARMLESS.search(f"{name} {one}") for one in found)}
    assert len(taking) > 60
    assert taking & COMPUTE == set()
    assert taking > CHECKPOINT
    assert taking >= {"ReadFile", "CacheDatasetV2", "Skipgram"}


def text_constant(value: str, *, packed: bool = False) -> bytes:
    tensor = number(1, 7) + message(2) + (message(4, varint(len(value)), value) if packed else message(8, value))
    return message(1, node("Const", message(5, message(1, "value"), message(2, message(8, tensor)))))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("place", "verdict"),
    [
        ("model", "safe"),
        ("_temp_01/part", "safe"),
        ("/", "safe"),
        ("", "safe"),
        ("a sentence / with a slash", "safe"),
        ("/etc/cron.d/x", "unsafe"),
        ("../../x", "unsafe"),
        ("a/../../x", "unsafe"),
        ("gs://bucket/x", "unsafe"),
        ("C:\\x", "unsafe"),
        ("~/.bashrc", "unsafe"),
    ],
)
@pytest.mark.parametrize("name", ["SaveV2", "RestoreV2", "MergeV2Checkpoints"])
def test_a_graph_that_says_where_its_variables_go_is_unsafe(name, place, verdict, packed):
    content = graph(name) + text_constant(place, packed=packed)
    assert judged(content).verdict == verdict
    assert judged(saved(content)).verdict == verdict
    assert judged(graph("MatMul") + text_constant(place, packed=packed)).verdict == "safe"


def asset(name: str = "vocabulary.txt", fed: str = "asset_path") -> bytes:
    return message(1, message(1, fed + ":0")) + message(2, name)


def test_a_table_that_is_filled_from_an_asset_is_safe():
    table = graph("InitializeTableFromTextFileV2")
    within = message(6, asset())
    collected = message(4, message(1, "saved_model_assets"), message(2, message(5, message(1, message(1, "type"), message(2, asset())))))
    assert judged(saved(table, rest=within)).verdict == judged(saved(table, rest=collected)).verdict == "safe"
    assert judged(saved(table)).verdict == "needs-trust"
    assert judged(saved(table, rest=collected.replace(b"saved_model_assets", b"saved_model_others"))).verdict == "needs-trust"


def test_a_table_that_is_filled_from_elsewhere_is_unsafe():
    """TensorFlow 1 leaves the place where an asset was in the graph, and its loader gives that node another."""
    table = graph("InitializeTableFromTextFileV2") + text_constant("/home/me/vocabulary.txt")
    assert judged(saved(table, rest=message(6, asset(fed="n")))).verdict == "safe"
    assert judged(saved(table, rest=message(6, asset(fed="other")))).verdict == "unsafe"
    in_function = graph("NoOp") + message(2, message(1, message(3, text_constant("/home/me/x")[2:]), message(3, node("SaveV2"))))
    assert judged(saved(in_function, rest=message(6, asset(fed="n")))).verdict == "unsafe"


def test_numbers_are_no_places():
    tensor = number(1, 1) + message(2) + message(4, b"\xff" * 16)
    constant = message(1, node("Const", message(5, message(1, "value"), message(2, message(8, tensor)))))
    assert judged(graph("SaveV2") + constant).verdict == "safe"


@pytest.mark.parametrize(("stream", "verdict"), [("stderr", "safe"), ("log(info)", "safe"), ("file:///etc/cron.d/x", "unsafe")])
def test_printing_to_a_file_is_unsafe(stream, verdict):
    printing = node("PrintV2", message(5, message(1, "output_stream"), message(2, message(2, stream))))
    assert judged(message(1, printing) + message(4, number(1, 27))).verdict == verdict


@pytest.mark.parametrize(
    ("name", "verdict"), [("vocabulary.txt", "safe"), ("../../etc/passwd", "unsafe"), ("/etc/passwd", "unsafe"), ("a/b", "unsafe")]
)
def test_an_asset_outside_the_folder_of_assets_is_unsafe(name, verdict):
    assert judged(saved(graph("NoOp"), rest=message(6, message(2, name)))).verdict == verdict


def test_configurations_within_are_judged():
    metadata = b'{"auto_map": {"a": "b.C"}}'
    within = message(7, message(1, message(4, message(1, "_tf_keras_layer"), message(3, metadata))))
    assert judged(saved(graph("NoOp"), rest=within)).verdict == "needs-trust"
    assert judged(saved(graph("NoOp"), rest=within.replace(b"auto_map", b"otherwis"))).verdict == "safe"
    keras = message(1, message(3, "root"), message(4, "_tf_keras_sequential"), message(5, metadata))
    report = judged(keras + message(1, number(2, 1), message(3, "root.a"), message(4, "_tf_keras_layer"), message(5, "{}")))
    assert (report.format, report.verdict) == ("keras-metadata", "needs-trust")


@pytest.mark.parametrize(
    "content",
    [
        saved(graph("NoOp")) + message(9, "x"),
        saved(graph("NoOp"), rest=message(9, "x")),
        saved(message(9, "x")),
        saved(message(1, message(9, "x"))),
        saved(message(2, message(1, message(2, "x")))),
        saved(message(1, node("WriteFile\n"))),
        saved(message(1, number(2, 5))),
        graph("NoOp") + message(1, b"\x0b"),
        graph("NoOp") + b"\x0a\xff\xff\xff\xff\x0f",
    ],
)
def test_refuses_what_another_loader_could_read_otherwise(content):
    assert judged(content).verdict == "unreadable"


def test_work_is_bounded():
    assert judged(saved(b"\x0a\0" * 3_000_000)).verdict == "unreadable"
    assert judged(saved(graph(*(f"O{index}" for index in range(5000))))).verdict == "unreadable"


def block(*entries: tuple[int, bytes, bytes]) -> bytes:
    content = b"".join(varint(shared) + varint(len(key)) + varint(len(value)) + key + value for shared, key, value in entries)
    return content + struct.pack("<II", 0, 1)


def table(*entries: tuple[int, bytes, bytes], kind: bytes = b"\0") -> bytes:
    data = block(*entries) + kind + bytes(4)
    index = block((0, b"z", varint(0) + varint(len(data) - 5))) + b"\0" + bytes(4)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index) - 5)
    return data + index + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


HEADER = (0, b"", number(1, 1))


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (table(HEADER, (0, b"a", number(5, 4))), "safe"),
        (table(HEADER, (0, b"abc", number(5, 4)), (2, b"d", number(4, 4) + number(5, 4))), "safe"),
        (table((0, b"a", number(5, 4))), "unreadable"),
        (table((0, b"", number(1, 1 << 40))), "unreadable"),
        (table(HEADER, (0, b"a", number(3, 7))), "unreadable"),
        (table(HEADER, (0, b"a", number(4, 1 << 63))), "unreadable"),
        (table(HEADER, (9, b"a", b"")), "unreadable"),
        (table(HEADER, kind=b"\1"), "unreadable"),
        (table(HEADER)[:-48] + b"\xff" * 40 + table(HEADER)[-8:], "unreadable"),
        (bytes(20) + table(HEADER)[-48:], "unreadable"),
    ],
)
def test_the_index_of_a_checkpoint_is_read_strictly(content, verdict):
    report = judged(content)
    assert (report.format, report.verdict) == ("tf-checkpoint", verdict)


def test_the_numbers_of_a_checkpoint_are_those_that_its_index_names(tmp_path):
    shutil.copytree(FILES / "saved-model" / "variables", tmp_path / "m")
    data = tmp_path / "m" / "variables.data-00000-of-00001"
    assert serialization.scan(tmp_path / "m").verdict.value == "safe"
    data.write_bytes(data.read_bytes()[:-1])
    assert {file.path: file.verdict.value for file in serialization.scan(tmp_path / "m").files} == {
        data.name: "unreadable",
        "variables.index": "unreadable",
    }
    data.rename(data.with_name("variables.data-00000-of-00002"))
    assert serialization.scan(tmp_path / "m").verdict.value == "unreadable"
