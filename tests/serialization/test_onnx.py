# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import time

import pytest

from lifeseal import serialization
from support.protobuf import message, number, varint
from support.scanning import cuts_that_pass, judged

FILES = pathlib.Path(__file__).parent / "files"
OPSET = message(8, number(2, 17))
DOMAINS = b"".join(
    message(8, message(1, name), number(2, 1))
    for name in (
        "ai.onnx.ml",
        "ai.onnx.preview.training",
        "com.microsoft",
        "com.microsoft.nchwc",
        "own",
        "my.domain",
        "org.pytorch.aten",
        "ai.onnx.contrib",
    )
)


def external(location: str, **more: str) -> bytes:
    entries = {"location": location, **more}
    return number(2, 1) + b"".join(message(13, message(1, key), message(2, value)) for key, value in entries.items()) + number(14, 1)


def node(operator: str, domain: str = "", *attributes: bytes) -> bytes:
    return message(1, message(1, "x"), message(4, operator), message(7, domain), *attributes)


def model(*graph: bytes, rest: bytes = b"") -> bytes:
    return number(1, 10) + message(2, "a test") + message(7, *graph, message(2, "g")) + OPSET + DOMAINS + rest


IN_INITIALIZER = lambda tensor: model(message(5, tensor))  # noqa: E731 - one place a tensor can stand in, by name
PLACES = {
    "initializer": IN_INITIALIZER,
    "sparse initializer": lambda tensor: model(message(15, message(1, tensor))),
    "attribute": lambda tensor: model(node("Constant", "", message(5, message(1, "value"), message(5, tensor)))),
    "list of tensors": lambda tensor: model(node("Constant", "", message(5, message(10, tensor)))),
    "sparse attribute": lambda tensor: model(node("Constant", "", message(5, message(22, message(2, tensor))))),
    "nested graph": lambda tensor: model(node("If", "", message(5, message(6, message(5, tensor))))),
    "graph of graphs": lambda tensor: model(node("If", "", message(5, message(11, node("If", "", message(5, message(6, message(5, tensor)))))))),
    "function": lambda tensor: model(
        rest=message(25, message(1, "F"), message(10, "own"), message(7, message(4, "Constant"), message(5, message(5, tensor))))
    ),
    "default of a function": lambda tensor: model(rest=message(25, message(1, "F"), message(11, message(5, tensor)))),
    "training": lambda tensor: model(rest=message(20, message(2, message(5, tensor)))),
    "function without graph": lambda tensor: number(1, 10) + OPSET + message(25, message(7, message(4, "Constant"), message(5, message(5, tensor)))),
}


def test_files_of_the_library_are_safe():
    report = serialization.scan(FILES / "model.onnx")
    assert (report.format, report.verdict.value, report.findings) == ("onnx", "safe", ())


def test_external_data_beside_a_model_is_safe(tmp_path):
    report = serialization.scan(FILES / "external-onnx")
    assert [(file.path, file.format, file.verdict.value, file.findings) for file in report.files] == [
        ("model.onnx", "onnx", "safe", ()),
        ("model.onnx.data", "tensor-data", "safe", ()),
    ]
    assert serialization.scan(FILES / "external-onnx" / "model.onnx").findings == ()
    shutil.copy(FILES / "external-onnx" / "model.onnx.data", tmp_path)
    assert serialization.scan(tmp_path).verdict.value == "unreadable"


def test_every_cut_is_reported():
    content = (FILES / "model.onnx").read_bytes()
    passed = cuts_that_pass(content)
    assert {size: judged(content[:size]).verdict for size in passed} == {
        content.rindex(message(8, message(1, "com.microsoft"), number(2, 1))) + 17 + 2: "needs-trust"
    }


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_found_wherever_a_tensor_can_stand(place):
    report = judged(PLACES[place](external("../../etc/passwd")))
    assert (report.format, report.verdict, report.rules) == ("onnx", "unsafe", {"onnx-external"})
    assert judged(PLACES[place](external("weights.bin", offset="0", length="4"))).verdict == "safe"


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/..",
        "C:\\x",
        "C:x",
        "\\\\host\\x",
        "a\\..\\..\\b",
        "file:///etc/passwd",
        "",
        ".",
        "a//b",
        "*/_ORT_MEM_ADDR_/*",
        "a\0b",
    ],
)
def test_a_location_that_leads_outside_is_unsafe(location):
    report = judged(IN_INITIALIZER(external(location)))
    assert (report.verdict, report.rules) == ("unsafe", {"onnx-external"})


def test_of_two_locations_both_are_judged():
    twice = external("weights.bin") + message(13, message(1, "location"), message(2, "/etc/shadow"))
    assert judged(IN_INITIALIZER(twice)).verdict == "unsafe"
    hidden = message(13, message(1, "location"), message(2, "weights.bin"), message(2, "/etc/shadow"))
    assert judged(IN_INITIALIZER(hidden)).verdict == "unsafe"
    assert judged(IN_INITIALIZER(external("weights.bin", basepath="/etc"))).verdict == "unsafe"


@pytest.mark.parametrize("more", [{"offset": "-1"}, {"length": "1e9"}, {"offset": "9" * 30}, {"length": ""}, {"__class__": "x"}, {"offset": "٣"}])
def test_external_data_is_read_strictly(more):
    report = judged(IN_INITIALIZER(external("weights.bin", **more)))
    assert (report.verdict, report.rules) == ("unreadable", {"onnx-invalid"})


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FILES / "external-onnx", tmp_path / "m")
    return tmp_path / "m"


def verdicts(path) -> dict[str, tuple[str, set[str]]]:
    return {file.path: (file.verdict.value, {finding.rule for finding in file.findings}) for file in serialization.scan(path).files}


@pytest.mark.parametrize("alone", [False, True])
def test_data_that_is_a_link_or_has_another_name_is_refused(folder, alone, tmp_path):
    data = folder / "model.onnx.data"
    path = folder / "model.onnx" if alone else folder
    os.link(data, tmp_path / "second")
    assert verdicts(path)["model.onnx"] == ("unreadable", {"external-link"})
    data.unlink()
    data.symlink_to(tmp_path / "second")
    assert verdicts(path)["model.onnx"] == ("unreadable", {"external-link"})
    data.unlink()
    assert verdicts(path)["model.onnx"] == ("safe", {"external-reference"})
    data.write_bytes(b"\0" * 5)
    assert verdicts(path)["model.onnx"] == ("unreadable", {"external-data"})
    data.unlink()
    data.mkdir()
    assert verdicts(path)["model.onnx"] == ("unreadable", {"external-link"})


def test_data_below_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w").write_bytes(b"\0\1\2\3")
    model_folder = tmp_path / "m"
    model_folder.mkdir()
    (model_folder / "model").write_bytes(IN_INITIALIZER(external("sub/w", length="4")))
    (model_folder / "sub").symlink_to(tmp_path / "elsewhere")
    assert verdicts(model_folder)["model"] == ("unreadable", {"external-link"})
    (model_folder / "sub").unlink()
    (tmp_path / "elsewhere").rename(model_folder / "sub")
    assert verdicts(model_folder) == {"model": ("safe", set()), "sub/w": ("safe", set())}


def test_data_that_is_a_file_of_its_own_keeps_its_verdict(folder):
    (folder / "model.onnx.data").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R." + bytes(2000))
    assert verdicts(folder)["model.onnx.data"][0] == "unsafe"


@pytest.mark.parametrize(
    ("operator", "domain", "verdict"),
    [
        ("Add", "", "safe"),
        ("Add", "ai.onnx", "safe"),
        ("TreeEnsembleClassifier", "ai.onnx.ml", "safe"),
        ("FusedGemm", "com.microsoft", "safe"),
        ("SimplifiedLayerNormalization", "", "safe"),
        ("Adam", "ai.onnx.preview.training", "safe"),
        ("ReorderInput", "com.microsoft.nchwc", "safe"),
        ("Own", "", "needs-trust"),
        ("FusedGemm", "", "needs-trust"),
        ("EvilOp", "ai.onnx.ml", "needs-trust"),
        ("EvilOp", "com.microsoft", "needs-trust"),
        ("EvilOp", "com.microsoft.nchwc", "needs-trust"),
        ("Snpe", "com.microsoft", "needs-trust"),
        ("Anything", "my.domain", "needs-trust"),
        ("ATen", "org.pytorch.aten", "needs-trust"),
        ("EPContext", "com.microsoft", "needs-trust"),
        ("PyOp", "", "unsafe"),
        ("PythonOp", "com.microsoft", "unsafe"),
        ("PyCustomOp", "ai.onnx.contrib", "unsafe"),
    ],
)
def test_operators_are_judged_by_what_brings_them(operator, domain, verdict):
    assert judged(model(node(operator, domain))).verdict == verdict
    nested = model(node("Loop", "", message(5, message(6, node(operator, domain)))))
    assert judged(nested).verdict == verdict
    function = message(25, message(1, "F"), message(10, "own"), message(7, message(4, operator), message(7, domain)))
    assert judged(model(rest=function)).verdict == verdict


def test_an_operator_that_the_model_defines_is_no_custom_one():
    function = message(25, message(1, "F"), message(10, "own"), message(7, message(4, "Add")))
    assert judged(model(node("F", "own"), rest=function)).verdict == "safe"
    assert judged(model(node("G", "own"), rest=function)).verdict == "needs-trust"


def test_compiled_code_outside_the_folder_is_unsafe():
    context = message(5, message(1, "ep_cache_context"), message(4, "../../engine.bin"))
    assert judged(model(node("EPContext", "com.microsoft", context))).verdict == "unsafe"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(model(rest=message(99, "x")), id="field of the model"),
        pytest.param(model(message(99, "x")), id="field of the graph"),
        pytest.param(model(message(1, message(99, "x"))), id="field of a node"),
        pytest.param(model(node("Add", "", message(5, message(99, "x")))), id="field of an attribute"),
        pytest.param(model(message(5, message(99, "x"))), id="field of a tensor"),
        pytest.param(model(message(5, message(13, message(3, "x")))), id="field of an entry"),
        pytest.param(model(rest=message(25, message(99, "x"))), id="field of a function"),
        pytest.param(model(number(1, 5)), id="number for a node"),
        pytest.param(model(message(1, b"\x0b")), id="group"),
        pytest.param(model(message(1, b"\x0a\xff\xff\xff\xff\x0f")), id="length"),
        pytest.param(model(message(1, b"\x0a" + b"\xff" * 10)), id="long number"),
        pytest.param(model(node("Add\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "")).replace(b"\xc3\xbf", b"\xff\xff"), id="text"),
        pytest.param(number(1, 8) + message(2, message(2, message(1, message(2, "WriteFile")))) + message(7, "") + OPSET, id="graph for a name"),
    ],
)
def test_refuses_what_another_loader_could_read_otherwise(content):
    report = judged(content)
    assert report.verdict == "unreadable"
    assert report.rules <= {"onnx-invalid", "unknown-format"}


def nested(levels: int) -> bytes:
    inner = node("Add")
    for _ in range(levels):
        inner = node("If", "", message(5, message(6, inner)))
    return model(inner)


def test_nesting_and_counts_are_bounded():
    assert judged(nested(20)).verdict == "safe"
    assert judged(nested(200)).verdict == "unreadable"
    assert judged(nested(5000)).verdict == "unreadable"
    many = b"".join(node(f"O{index}", "own") for index in range(5000))
    assert judged(model(many)).verdict == "unreadable"
    begin = time.process_time()
    assert judged(model(message(1, b"\x0a\0" * 3_000_000))).verdict == "unreadable"
    assert time.process_time() - begin < 60


def test_a_gibibyte_of_tensors_is_stepped_over(tmp_path):
    size = (1 << 30) - 100
    tensor = number(2, 1) + varint(9 << 3 | 2) + varint(size)
    initializer = varint(5 << 3 | 2) + varint(len(tensor) + size) + tensor
    graph = varint(7 << 3 | 2) + varint(len(initializer) + size + len(node("Add"))) + node("Add") + initializer
    inside, beside = tmp_path / "inside", tmp_path / "m"
    beside.mkdir()
    with inside.open("wb") as file:
        file.write(number(1, 10) + OPSET + graph)
        file.truncate(file.tell() + size)
    (beside / "model").write_bytes(IN_INITIALIZER(external("w", length=str(1 << 30))))
    with (beside / "w").open("wb") as file:
        file.truncate(1 << 30)
    begin = time.process_time()
    assert serialization.scan(inside).verdict.value == "safe"
    assert serialization.scan(beside).verdict.value == "safe"
    assert time.process_time() - begin < 2  # a few milliseconds; reading it all would take seconds


def test_a_pickle_within_unknown_bytes_is_found_unless_they_are_a_model_s_numbers(folder, tmp_path):
    hidden = b"\0\1\2\3" * 300 + b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R." + bytes(40)
    (folder / "other.bin").write_bytes(hidden)
    assert verdicts(folder)["other.bin"] == ("unsafe", {"unknown-format", "pickle-hidden", "pickle-import", "pickle-call"})
    assert verdicts(folder / "other.bin")["other.bin"][0] == "unsafe"
    (folder / "model.onnx.data").write_bytes(hidden)
    assert verdicts(folder)["model.onnx.data"] == ("safe", set())
    (tmp_path / "link").symlink_to(folder / "other.bin")
    assert verdicts(tmp_path / "link")["link"][0] == "unsafe"


def test_names_may_have_several_lines():
    """CatBoost writes the lines of its build into the version of the producer."""
    several = model(node("Add")).replace(message(2, "a test"), message(2, "a\ttest") + message(3, "Git info:\n  Commit: 1\n"))
    assert (judged(several).verdict, judged(several).findings) == ("safe", ())
    graph = message(2, message(1, message(1, "n"), message(2, "WriteFile")))
    assert judged(several.replace(b"Git info", b"Git\x12info")).verdict == "unreadable"
    assert judged(model(node("Add"), rest=message(3, graph))).verdict == "unreadable"
