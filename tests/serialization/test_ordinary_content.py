# SPDX-License-Identifier: Apache-2.0
import argparse
import collections
import datetime as dt
import decimal
import io
import json
import pathlib
import pickle
import uuid
import warnings

import numpy as np
import pytest

from lifeseal import serialization

VALUES = [
    np.arange(3),
    np.asfortranarray(np.ones((2, 2))),
    np.array(["a", None], dtype=object),
    np.zeros(2, dtype=[("a", "i4"), ("b", "O")]),
    np.float32(1),
    np.bool_(1),
    np.datetime64("2020"),
    {1, 2},
    frozenset([1]),
    bytearray(b"x"),
    b"abc",
    1j,
    10**30,
    -2.5,
    range(3),
    slice(1),
    ...,
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    collections.deque([1], 3),
    collections.defaultdict(list, {1: [2]}),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(1),
    decimal.Decimal(1),
    uuid.UUID(int=5),
    pathlib.PurePosixPath("a"),
    argparse.Namespace(lr=0.1),
]


def scanned(path, content: bytes) -> serialization.ScanReport:
    path.write_bytes(content)
    return serialization.scan(path)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_python_and_numpy_values_are_safe(value, protocol, tmp_path):
    report = scanned(tmp_path / "f", pickle.dumps(value, protocol))
    assert (report.verdict.value, report.findings) == ("safe", ())


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_states_of_models_and_optimisers_are_safe(protocol, modern, tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.note = "x"
    values = {
        "model": layer.state_dict(),
        "optimiser": optimiser.state_dict(),
        "parameters": [*layer.parameters(), parameter],
        "types": [torch.ones(2, dtype=kind) for kind in (torch.bfloat16, torch.float8_e4m3fn, torch.uint16, torch.bool, torch.complex64)],
        "views": [torch.eye(3)[1:, ::2], torch.ones(()), torch.ones(0)],
        "sparse": torch.eye(2).to_sparse(),
        "other": (torch.Size([1]), torch.device("cpu"), torch.float16, np.ones(2), argparse.Namespace(a=1)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(values, tmp_path / "f", pickle_protocol=protocol, _use_new_zipfile_serialization=modern)
    report = serialization.scan(tmp_path / "f")
    assert (report.verdict.value, report.findings) == ("safe", ())
    assert report.format == ("torch" if modern else "torch-legacy")


@pytest.mark.parametrize("protocol", [2, 4])
def test_whole_modules_need_trust(protocol, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "f", pickle_protocol=protocol)
    report = serialization.scan(tmp_path / "f")
    assert (report.verdict.value, {f.rule for f in report.findings}) == ("needs-trust", {"pickle-object"})


def test_scikit_learn_models_need_trust(tmp_path):
    ensemble = pytest.importorskip("sklearn.ensemble")
    model = ensemble.GradientBoostingClassifier(n_estimators=2).fit(np.eye(4), [0, 1, 0, 1])
    assert scanned(tmp_path / "f", pickle.dumps(model)).verdict.value == "needs-trust"


@pytest.mark.parametrize(
    "name",
    [b"pandas._libs.arrays\n__pyx_unpickle_NDArrayBacked", b"pyarrow.lib\n_restore_array", b"pyarrow.lib\npy_buffer", b"pyarrow.lib\ntype_for_alias"],
)
def test_what_tables_of_pandas_call_needs_trust(name, tmp_path):
    report = scanned(tmp_path / "f", b"\x80\x02c" + name + b"\nX\5\0\0\0int64\x85R.")
    assert (report.verdict.value, {finding.rule for finding in report.findings}) == ("needs-trust", {"pickle-object"})


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_of_numbers_is_safe_and_of_hostile_objects_is_not(write, tmp_path):
    file = io.BytesIO()
    write(file, a=np.ones(3), b=np.arange(4))
    report = scanned(tmp_path / "f", file.getvalue())
    assert (report.format, report.verdict.value) == ("npz", "safe")

    class Runs:
        def __reduce__(self):
            return print, ("x",)

    file = io.BytesIO()
    write(file, a=np.array([Runs()], dtype=object))
    assert scanned(tmp_path / "f", file.getvalue()).verdict.value == "unsafe"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b'{"a": [1.5, true, null], "b": "os.system"}', "json"),
        (b'{"auto_map": null}', "json"),
        (b'{"a": NaN}', "json"),
        (b"copyright (c) 2026\nall rights reserved\n(t R.\n", "text"),
        (b"N. B.: a note\n", "text"),
        (b"{% for m in messages %}{{ m }}{% endfor %}", "text"),
    ],
)
def test_text_and_json_are_safe(content, kind, tmp_path):
    report = scanned(tmp_path / "f", content)
    assert (report.verdict.value, report.format) == ("safe", kind)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"auto_map": {"AutoModel": "code.Model"}}).encode(),
        b'{"auto\\u005fmap": {"a": "b.C"}}',
        b'{"auto_map": {"a": "b.C"}, "x": NaN}',
        b'{"deep": [{"_target_": "mypackage.Model"}]}',
    ],
)
def test_a_configuration_that_names_code_needs_trust(content, tmp_path):
    assert scanned(tmp_path / "f", content).verdict.value == "needs-trust"


@pytest.mark.parametrize(
    "content",
    [
        b"\x89HDF\r\n\x1a\n\0\0\0",
        b"\0" * 64,
        b"GGUF\3\0\0\0\0\0\0\0",
    ],
)
def test_what_is_not_analysed_is_unreadable(content, tmp_path):
    assert scanned(tmp_path / "f", content).verdict.value == "unreadable"


@pytest.mark.parametrize(("value", "wanted"), [(np.ones((2, 2)), "safe"), (np.array([1, "a"], dtype=object), "safe")])
def test_every_cut_of_an_npy_file_is_reported(value, wanted, tmp_path):
    file = io.BytesIO()
    np.save(file, value)
    content = file.getvalue()
    assert scanned(tmp_path / "f", content).verdict.value == wanted
    for size in range(1, len(content)):
        assert scanned(tmp_path / "f", content[:size]).verdict.value == "unreadable", size
