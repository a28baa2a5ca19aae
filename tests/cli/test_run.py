# SPDX-License-Identifier: Apache-2.0
"""``lifeseal run``: the script neither notices nor is noticed, but for the log."""

import pytest

from lifeseal import evidence

SCRIPT = "import sys, lifeseal.serialization as s\nprint(sys.argv[1:], __name__)\ns.scan(__file__)\n"


def logged(log):
    """Name the last function that a whole log speaks of."""
    return [event.primitive for event in evidence.read(log)][-1]


@pytest.fixture
def script(tmp_path):
    def write(text, name="script.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_arguments_pass_through_and_the_call_is_logged(process, script, tmp_path):
    answer = process("run", "--log", "log", script(SCRIPT), "--json", "-q", "--log", "x", "--", "-h", cwd=tmp_path)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "['--json', '-q', '--log', 'x', '--', '-h'] __main__\n"
    assert logged(tmp_path / "log") == "lifeseal.serialization.scan"


def test_the_script_finds_its_neighbours_and_itself(process, script, tmp_path):
    script("X = 7\n", "neighbour.py")
    found = script("import neighbour, sys, __main__\nprint(neighbour.X, sys.argv[0] == __file__, __main__.__file__ == __file__)\n")
    assert process("run", "--log", tmp_path / "log", found).out == "7 True True\n"


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit('a word')", 1, "a word\n"),
        ("sys.exit(['odd'])", 1, "['odd']\n"),
    ],
)
def test_the_exit_code_is_the_scripts(process, script, tmp_path, end, code, said):
    answer = process("run", "--log", tmp_path / "log", script(f"{SCRIPT}{end}\n"))
    assert (answer.code, answer.err) == (code, said)
    assert logged(tmp_path / "log") == "lifeseal.serialization.scan"


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError", "OSError", "KeyError", "lifeseal.errors.DestroyedError", "BrokenPipeError"])
def test_an_exception_is_the_scripts_own(process, script, tmp_path, error):
    found = script(f"{SCRIPT}import lifeseal.errors\ndef inner():\n    raise {error}('what went wrong')\ninner()\n")
    answer = process("run", "--log", tmp_path / "log", found)
    assert answer.code == 1
    assert answer.err.startswith(f'Traceback (most recent call last):\n  File "{found}", line 7, in <module>\n')
    assert answer.err.rstrip().endswith("what went wrong'" if error == "KeyError" else "what went wrong")
    assert "bug in lifeseal" not in answer.err
    assert "runpy" not in answer.err
    assert logged(tmp_path / "log") == "lifeseal.serialization.scan"


def test_a_script_that_is_no_python(process, script, tmp_path):
    answer = process("run", "--log", tmp_path / "log", script("this is no python\n"))
    assert answer.code == 1
    assert "SyntaxError" in answer.err
    assert "runpy" not in answer.err


@pytest.mark.parametrize(("end", "code"), [("", 0), ("sys.exit(3)\n", 3), ("1 / 0\n", 1)])
def test_as_one_document(process, script, tmp_path, end, code):
    shout = "import os, subprocess\nsubprocess.run(['echo', 'from a child'])\nos.write(1, b'from below\\n')\n"
    answer = process("run", "--json", "--log", "log", script(SCRIPT + shout + end), cwd=tmp_path)
    assert answer.code == code
    assert answer.document["schema"] == "lifeseal.run/1"
    assert (answer.document["ok"], answer.document["exit_code"]) == (code == 0, code)
    assert answer.document["head"] == evidence.verify(tmp_path / "log").head
    assert all(word in answer.err for word in ("__main__", "from a child", "from below"))


def test_what_is_wrong_with_the_call(process, script, tmp_path):
    found = script(SCRIPT)
    for words, said in (
        (("run", found), "--log"),
        (("run", "--log", tmp_path / "log"), "SCRIPT"),
        (("run", "--log", tmp_path / "log", tmp_path), "is not a file"),
        (("run", "--log", tmp_path / "log", tmp_path / "nothing.py"), "is not a file"),
        (("run", "--log", tmp_path / "no" / "log", found), "no/log: No such file"),
    ):
        answer = process(*words)
        assert answer.code == 2
        assert answer.err.startswith("✗ ")
        assert said in answer.err
        assert answer.out == ""
        assert process(words[0], "--json", *words[1:]).document["schema"] == "lifeseal.run/1"
