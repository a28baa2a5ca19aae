# SPDX-License-Identifier: Apache-2.0
"""Runs the Python blocks of README.md and docs/, and the doctests of src/, as tests.

Each document has one namespace and one temporary folder, in which its blocks run in order and may write files; so with xdist
one worker must take the whole document (``--dist loadfile``). Blocks marked ``console`` or ``text`` are not run.
"""

import contextlib
import doctest
import tempfile
from pathlib import Path

from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.integration import pytest as sybil_pytest
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

ROOT = Path(__file__).parent
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _enter_folder(namespace: dict[str, object]) -> None:
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory(prefix="lifeseal-doc-"))))
    namespace["_leave_folder"] = stack.close


def _leave_folder(namespace: dict[str, object]) -> None:
    leave = namespace["_leave_folder"]
    assert callable(leave)  # noqa: S101 - test code
    leave()


_documents = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=_FLAGS), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/*/*.md"],
    excludes=[
        *("tests/*/*.md", "tests/*/*/*.md", "tests/*/*/*/*.md"),  # there, a README is a file to be judged
        "docs/how-to/root-*.md",  # need tokens and servers: tests/test_root_pages.py runs them, with their console blocks
    ],
    path=str(ROOT),
    setup=_enter_folder,
    teardown=_leave_folder,
)
_docstrings = Sybil(
    parsers=[DocTestParser(optionflags=_FLAGS)],
    patterns=["*.py"],
    path=str(ROOT / "src"),
    document_types={".py": PythonDocStringDocument},
    setup=_enter_folder,
    teardown=_leave_folder,
)

pytest_collect_file = sybil_pytest.pytest_integration(_documents, _docstrings)
