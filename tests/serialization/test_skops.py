# SPDX-License-Identifier: Apache-2.0
import io
import json
import pathlib
import zipfile

import pytest

from lifeseal import serialization
from support.scanning import judged

FILES = pathlib.Path(__file__).parent / "files"


def node(loader: object, module: object, name: object, **more: object) -> dict[str, object]:
    return {"__loader__": loader, "__module__": module, "__class__": name, **more}


def archive(inner: object) -> bytes:
    file = io.BytesIO()
    schema = node("DictNode", "builtins", "dict", content={"a": node("ListNode", "builtins", "list", content=[inner])}, protocol=2)
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("schema.json", json.dumps(schema))
    return file.getvalue()


def test_a_file_of_the_library_is_safe():
    report = serialization.scan(FILES / "tree.skops")
    assert (report.format, report.verdict.value, report.findings) == ("skops", "safe", ())


@pytest.mark.parametrize(
    "inner",
    [
        node("JsonNode", "builtins", "str", content='"x"'),
        node("NdArrayNode", "numpy", "ndarray", type="numpy", file="1.npy"),
        node("ObjectNode", "sklearn.linear_model._logistic", "LogisticRegression", content={}),
        node("TreeNode", "sklearn.tree._tree", "Tree", __reduce__={"args": {}}),
        node("FunctionNode", "numpy", "log1p"),
        node("FunctionNode", "builtins", "function", content={"module_path": "numpy", "function": "exp"})
        | {"__module__": "numpy", "__class__": "exp"},
        node("TypeNode", "builtins", "float"),
        node("SparseMatrixNode", "scipy.sparse._csr", "csr_matrix"),
    ],
)
def test_what_skops_itself_trusts_is_safe(inner):
    report = judged(archive(inner))
    assert (report.format, report.verdict, report.findings) == ("skops", "safe", ())


@pytest.mark.parametrize(
    "inner",
    [
        node("FunctionNode", "os", "system"),
        node("FunctionNode", "numpy", "log1p", content={"module_path": "os", "function": "system"}),
        node("ObjectNode", "subprocess", "Popen"),
        node("TypeNode", "builtins", "eval"),
        node("JsonNode", "posix", "system"),
        node("OperatorFuncNode", "operator", "methodcaller", attrs={}),
        node("OperatorFuncNode", "operator", "call", attrs={}),
        node("OperatorFuncNode", "builtins", "attrgetter", attrs={}),
        node("MethodNode", "builtins", "function", content={"obj": {}, "func": "x"}),
        node("ConstructorFromReduceNode", "os", "system"),
        node("FunctionNode", "numpy.f2py", "compile"),
    ],
)
def test_what_attacks_call_is_unsafe(inner):
    assert (judged(archive(inner)).verdict, judged(archive(inner)).rules) == ("unsafe", {"skops-call"})


@pytest.mark.parametrize(
    "inner",
    [
        node("ObjectNode", "my_package.models", "Model"),
        node("PartialNode", "functools", "partial", content={}),
        node("OperatorFuncNode", "operator", "itemgetter", attrs={}),
        node("FunctionNode", "my_package", "function"),
        node("FunctionNode", "sklearn.utils", "lower_case"),
    ],
)
def test_other_types_need_trust(inner):
    assert (judged(archive(inner)).verdict, judged(archive(inner)).rules) == ("needs-trust", {"skops-type"})


@pytest.mark.parametrize("inner", [node("NewNode", "builtins", "dict"), node(["ListNode"], "builtins", "list"), node("ListNode", {"a": 1}, "list")])
def test_what_is_not_understood_is_refused(inner):
    assert (judged(archive(inner)).verdict, judged(archive(inner)).rules) == ("unreadable", {"skops-invalid"})


def test_members_beside_the_schema_are_judged():
    content = io.BytesIO(archive(node("ListNode", "builtins", "list")))
    with zipfile.ZipFile(content, "a") as target:
        target.writestr("model.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    assert judged(content.getvalue()).verdict == "unsafe"
