# SPDX-License-Identifier: Apache-2.0
import io
import json
import pathlib
import zipfile

import h5py
import numpy as np
import pytest

from lifeseal import serialization
from support.scanning import judged

FILES = pathlib.Path(__file__).parent / "files" / "keras"
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 1, "activation": "relu"}, "registered_name": None}


def model(*layers: object) -> bytes:
    return json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}, "registered_name": None}).encode()


def layer(name: object, module: object = None, **more: object) -> dict[str, object]:
    return {"module": module, "class_name": name, "config": {}, **more}


def archive(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in members:
            target.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dense.keras", "keras"), ("lookup.keras", "keras"), ("quantised.keras", "keras"), ("dense.h5", "hdf5"), ("functional.json", "json")],
)
def test_files_of_the_library_are_safe(name, kind):
    report = serialization.scan(FILES / name)
    assert (report.format, report.verdict.value, report.findings) == (kind, "safe", ())


def test_a_lambda_layer_in_an_hdf5_file_of_the_library_is_unsafe():
    report = serialization.scan(FILES / "lambda.h5")
    assert (report.format, report.verdict.value, {finding.rule for finding in report.findings}) == ("hdf5", "unsafe", {"keras-code"})
    assert "model_config" in report.findings[0].place


UNSAFE = {
    "lambda with bytecode": layer("Lambda", "keras.layers", config={"function": {"class_name": "__lambda__", "config": {"code": "4wEA"}}}),
    "lambda of Keras 2": layer("Lambda", config={"function": ["4wEA", None, None], "function_type": "lambda"}),
    "bytecode alone": layer("Dense", "keras.layers", config={"activation": {"class_name": "__lambda__", "config": {"code": "4wEA"}}}),
    "module and function": layer("function", "os", config="system"),
    "module and class": layer("Popen", "subprocess"),
    "module of C": layer("system", "posix"),
    "builtin": layer("function", "builtins", config="eval"),
    "gadget of Keras": layer("get_file", "keras.utils", config={"fname": "x"}),
    "function of Keras": layer("function", "keras.utils", config="get_file"),
    "gadget inside Keras": layer("get_file", "keras.src.utils.file_utils"),
    "unsafe mode": layer("function", "keras.config", config="enable_unsafe_deserialization"),
    "loader of Keras": layer("function", "keras.models", config="load_model"),
    "saved model": layer("TFSMLayer", "keras.layers", config={"filepath": "/tmp/x"}),
    "torch module": layer("TorchModuleWrapper", "keras.layers", config={"module": "gASV"}),
    "vocabulary": layer("StringLookup", "keras.layers", config={"vocabulary": "/etc/passwd"}),
    "vocabulary of numbers": layer("IntegerLookup", config={"vocabulary": "file"}),
    "vocabulary of texts": layer("TextVectorization", "keras.layers", config={"vocabulary": "http://host/x"}),
    "operator of TensorFlow": layer("TFOpLambda", config={"function": "io.write_file"}),
    "raw operator": layer("TFOpLambda", config={"function": "raw_ops.ReadFile"}),
    "library of TensorFlow": layer("TFOpLambda", config={"function": "load_op_library"}),
}
NEEDS_TRUST = {
    "own layer": layer("MyLayer", "my_package.layers", registered_name="my_package>MyLayer"),
    "own layer of Keras 2": layer("MyLayer"),
    "own layer under a name of Keras": layer("Dense", None, registered_name="mine>Dense"),
    "another name that is registered": layer("Dense", "keras.layers", registered_name="keras>Lambda"),
    "own function": layer("Dense", "keras.layers", config={"activation": layer("function", "builtins", config="my_activation")}),
    "lambda that names a function": layer("Lambda", "keras.layers", config={"function": layer("function", "builtins", config="mine")}),
    "operation that calls": layer("Map", "keras.src.ops.core"),
    "quantizer with data": layer("GPTQConfig", "keras.quantizers", config={"dataset": "name"}),
    "newer layer": layer("NewerLayer", "keras.layers"),
    "operator of TensorFlow": layer("TFOpLambda", config={"function": "custom.thing"}),
    "name that is no text": layer(["Dense"]),
}
SAFE = {
    "dense": DENSE,
    "wrapped": layer("TimeDistributed", "keras.layers", config={"layer": DENSE}),
    "nested model": layer("Functional", "keras.src.models.functional", config={"layers": [DENSE]}),
    "layer of Keras 2": layer("Conv2D", config={"filters": 1}),
    "layer of tf.keras": layer("LSTM", "tensorflow.keras.layers"),
    "operation": layer("Add", "keras.src.ops.numpy"),
    "function": layer("Dense", "keras.layers", config={"activation": layer("function", "keras.activations", config="gelu")}),
    "vocabulary": layer("StringLookup", "keras.layers", config={"vocabulary": ["a", "b"]}),
    "operator of TensorFlow": layer("TFOpLambda", config={"function": "math.add"}),
    "quantizer": layer("Int8QuantizationConfig", "keras.quantizers", config={"activation_quantizer": layer("AbsMaxQuantizer", "keras.quantizers")}),
    "tensor": layer("__keras_tensor__", None, config={"shape": [1]}),
    "not of Keras": {"class_name": "anything at all", "value": 1},
}


def wrapped(inner: object) -> list[bytes]:
    nested = layer("Bidirectional", "keras.layers", config={"layer": layer("Sequential", "keras", config={"layers": [inner]})})
    optimiser = {"module": "keras", "class_name": "Sequential", "config": {}, "compile_config": {"optimizer": inner}}
    return [model(inner), model(DENSE, nested), json.dumps(optimiser).encode(), archive(("metadata.json", b"{}"), ("config.json", model(inner)))]


@pytest.mark.parametrize("name", UNSAFE)
def test_what_runs_or_reaches_out_is_unsafe_wherever_it_stands(name):
    for content in wrapped(UNSAFE[name]):
        report = judged(content)
        assert (report.verdict, "keras-code" in report.rules) == ("unsafe", True), content


@pytest.mark.parametrize("name", NEEDS_TRUST)
def test_what_is_not_of_keras_needs_trust(name):
    for content in wrapped(NEEDS_TRUST[name]):
        assert (judged(content).verdict, judged(content).rules) == ("needs-trust", {"keras-custom"})


@pytest.mark.parametrize("name", SAFE)
def test_what_computes_is_safe(name):
    for content in wrapped(SAFE[name]):
        assert (judged(content).verdict, judged(content).findings) == ("safe", ())


def test_names_with_escapes_are_read():
    plain = model(UNSAFE["module and function"])
    escaped = plain.replace(b'"class_name"', b'"class_\\u006eame"').replace(b'"module"', b'"\\u006dodule"').replace(b"system", b"\\u0073ystem")
    assert escaped != plain
    assert judged(escaped).verdict == "unsafe"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_configurations_both_are_judged():
    for order in (("safe", "unsafe"), ("unsafe", "safe")):
        contents = {"safe": model(DENSE), "unsafe": model(UNSAFE["module and function"])}
        report = judged(archive(("metadata.json", b"{}"), *(("config.json", contents[name]) for name in order)))
        assert (report.format, report.verdict, "zip-duplicate" in report.rules) == ("keras", "unsafe", True)


def test_a_name_that_stands_twice_is_not_safe():
    twice = b'{"class_name": "Dense", "class_name": "Lambda", "config": {}, "module": "keras.layers"}'
    assert judged(twice).verdict in {"unreadable", "unsafe"}
    assert judged(twice.replace(b'"class_name": "Lambda", ', b"")).verdict == "safe"


def test_a_field_that_stands_twice_hides_nothing():
    lookup = model(layer("StringLookup", "keras.layers", config={"vocabulary": ["a"]}))
    assert judged(lookup).verdict == "safe"
    assert judged(lookup.replace(b'"vocabulary"', b'"vocabulary": "/etc/passwd", "vocabulary"')).rules == {"keras-code"}


def test_members_beside_the_configuration_are_judged():
    content = archive(
        ("metadata.json", b"{}"), ("config.json", model(DENSE)), ("model.weights.h5", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    )
    assert judged(content).verdict == "unsafe"
    outside = archive(("metadata.json", b"{}"), ("config.json", model(DENSE)), ("assets/../../x", b"text"))
    assert judged(outside).verdict == "unreadable"


def in_hdf5(text: bytes) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.attrs["model_config"] = np.bytes_(text)
    return file.getvalue()


@pytest.mark.parametrize(
    "config",
    [b"[" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300, b"", b"no JSON", b'{"a": 1', b'{"a": 1} {', b"[" + b"[]," * 500_000 + b"[]]"],
    ids=["open", "deep", "empty", "text", "cut", "twice", "large"],
)
def test_a_configuration_that_cannot_be_read_is_refused(config):
    report = judged(archive(("metadata.json", b"{}"), ("config.json", config)))
    assert (report.format, report.verdict) == ("keras", "unreadable")
    assert report.rules & {"keras-config", "limit"}
    if 0 < len(config) < 1 << 16:
        assert judged(in_hdf5(config)).verdict == "unreadable"
    shallow = b'{"a":' * 200 + b"1" + b"}" * 200
    assert judged(archive(("metadata.json", b"{}"), ("config.json", shallow))).verdict == judged(in_hdf5(shallow)).verdict == "safe"


def test_depth_is_of_objects_and_not_of_texts():
    assert judged(b'{"a": "' + b"[{" * 1000 + b'"}').verdict == "safe"
    assert judged(b'["\\"", "' + b"[" * 1000 + b'"]').verdict == "safe"
    assert judged(b"[" + b'[1],{"a":2},' * 1000 + b"3]").verdict == "safe"
    assert judged(b'["a\\"' + b'", ' + b"[" * 300 + b"]" * 301).rules == {"limit"}
