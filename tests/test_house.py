# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that no linter knows."""

import ast
import importlib
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lifeseal import errors

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "lifeseal"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CODE = [path for folder in ("src", "tests", "examples", "benchmarks", "docs", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
FAMILIES = (
    "attestation",
    "signing",
    "serialization",
    "provenance",
    "erasure",
    "loading",
    "evidence",
    "disposal",
    "principles",
    "testing",
    "hub",
    "integrations",
)
DOORS = ["lifeseal", "lifeseal.errors", *(f"lifeseal.{name}" for name in FAMILIES if (PACKAGE / name / "__init__.py").exists())]
HEAVY = ("sigstore", "huggingface_hub", "torch", "numpy", "pydantic", "pyarrow", "fsspec", "boto3", "hvac", "pkcs11", "tpm2_pytss", "rich")
WRITERS = {"_io/_durable.py"}
WRITING = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC", "O_TMPFILE"} | {
    "write_text",
    "write_bytes",
    "touch",
    "copyfile",
    "copy2",
    "copytree",
    "NamedTemporaryFile",
    "mkstemp",
}


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("door", DOORS)
def test_importing_it_loads_nothing_heavy(door):
    code = f"import sys, {door}; print(*sorted({{name.partition('.')[0] for name in sys.modules}} & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(("door", "others"), [("hub", ("disposal", "erasure", "evidence", "provenance", "serialization"))])
def test_importing_it_loads_no_family_that_few_of_its_calls_need(door, others):
    code = f"import sys, lifeseal.{door}; print(*[name for name in {others!r} if f'lifeseal.{{name}}' in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_check_for_heavy_modules_sees_one():
    code = "import sys, rich; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize("door", [*DOORS, "lifeseal._io"])
def test_all_lists_exactly_the_public_names_in_order(door):
    module = importlib.import_module(door)
    public = {name: value for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, types.ModuleType)}
    if not hasattr(module, "__path__"):  # a module holds what it imports to work with; a package only what it offers
        public = {name: value for name, value in public.items() if value.__module__ == door}
    assert set(module.__all__) - {"__version__"} == set(public)
    assert list(module.__all__) == sorted(module.__all__, key=_as_ruff_sorts)


def _as_ruff_sorts(name):
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_every_error_is_public_and_drawn_in_the_tree():
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)}
    assert set(classes) == set(errors.__all__)
    drawn = _parents_drawn(errors.__doc__)
    assert drawn == {name: value.__bases__[0].__name__ for name, value in classes.items() if name != "LifesealError"}


def _parents_drawn(text):
    above = {0: "LifesealError"}
    parents = {}
    for line in text.splitlines():
        for indent, name in ((match.start(), match[1]) for match in re.finditer(r"[├└]─ (\w+Error)", line)):
            depth = indent // 4
            parents[name] = above[depth]
            above[depth + 1] = name
    return parents


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_each_file_starts_with_its_licence(path):
    program = path.read_text().removeprefix("#!/usr/bin/env python3\n")
    assert program.startswith("# SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_is_longer_than_450_lines(path):
    assert len(path.read_text().splitlines()) <= 450


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_only_the_two_writers_open_files_for_writing(path):
    if str(path.relative_to(PACKAGE)) not in WRITERS:
        assert _writes(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("open('f', 'wb')", 1),
        ("open('f', mode='a')", 1),
        ("open('f', how)", 1),
        ("Path('f').open('x')", 1),
        ("Path('f').open(mode='r+b')", 1),
        ("os.fdopen(3, 'w')", 1),
        ("Path('f').write_text('t')", 1),
        ("Path('f').write_bytes(b'b')", 1),
        ("shutil.copyfile('a', 'b')", 1),
        ("os.open('f', os.O_RDONLY | os.O_CREAT)", 1),
        ("FLAGS = os.O_RDWR", 1),
        ("os.dup2(os.open('f', os.O_WRONLY), 1)", 1),
        ("from os import O_WRONLY", 1),
    ],
)
def test_the_check_for_writing_sees(code, line):
    assert _writes(ast.parse(code)) == [line]


@pytest.mark.parametrize(
    "code",
    [
        "open('f')",
        "open('f', 'rb')",
        "Path('f').open('rb', buffering=0)",
        "Path('f').open()",
        "source.open(name)",
        "os.fdopen(3, 'rb')",
        "os.open('f', os.O_RDONLY | os.O_CLOEXEC)",
        "os.open(os.devnull, os.O_WRONLY)",
        "Path('f').read_bytes()",
        "output.write(b'b')",
    ],
)
def test_the_check_for_writing_lets_reading_pass(code):
    assert _writes(ast.parse(code)) == []


def _writes(tree):
    nodes = [node for top in ast.iter_child_nodes(tree) for node in _outside_devnull(top)]
    return [node.lineno for node in nodes if WRITING & set(_names(node)) or (isinstance(node, ast.Call) and _opens_for_writing(node))]


def _outside_devnull(node):
    if not (isinstance(node, ast.Call) and node.args and ast.unparse(node.args[0]) == "os.devnull"):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _outside_devnull(child)


def _names(node):
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []


def _opens_for_writing(call):
    function = call.func
    if (isinstance(function, ast.Name) and function.id == "open") or (isinstance(function, ast.Attribute) and function.attr == "fdopen"):
        mode = call.args[1:2]
    elif isinstance(function, ast.Attribute) and function.attr == "open":
        # A Path takes its mode first; os.open and a Source take a name there, which is no mode.
        mode = [arg for arg in call.args[:1] if isinstance(arg, ast.Constant) and re.fullmatch(r"[rwaxbt+]{1,3}", str(arg.value))]
    else:
        return False
    mode = mode + [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    return any(not isinstance(value, ast.Constant) or set(str(value.value)) & set("wax+") for value in mode)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_is_checked_by_assert(path):
    assert [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("path", [path for path in SOURCES if "cli" not in path.relative_to(PACKAGE).parts], ids=relative)
def test_only_the_command_line_reads_the_environment(path):
    names = {"environ", "getenv", "environb", "expanduser"}
    assert [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute) and node.attr in names] == []
