# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one line a sample
"""Pickles that run something, by what they call, how they are written, and what stands around it."""

import marshal
import pickle
import struct

from corpus.assemble import Call, Ref, ops, ref, short, stream, text
from corpus.parts import code, module_of, run, touch


def callables():
    """Every sample calls something else that runs a command or code."""

    def command(function, *before, after=()):
        return lambda m: (stream(Call(function, *before, touch(m), *after)), "pickle", (module_of(function),))

    def python(function, *before, after=()):
        return lambda m: (stream(Call(function, *before, code(m), *after)), "pickle", (module_of(function),))

    def words(function, *before, after=()):
        return lambda m: (stream(Call(function, *before, ["touch", m], *after)), "pickle", (module_of(function),))

    def value(make, *needs):
        return lambda m: (stream(make(m)), "pickle", needs)

    return {
        "os-system": command("os:system"),
        "posix-system": command("posix:system"),
        "os-popen": command("os:popen"),
        "os-spawnlp": lambda m: stream(Call("os:spawnlp", 0, "touch", "touch", m)),
        "os-spawnvp": lambda m: stream(Call("os:spawnvp", 0, "touch", ["touch", m])),
        "os-execvp": words("os:execvp", "touch"),
        "os-posix-spawnp": lambda m: stream(Call("os:posix_spawnp", "touch", ["touch", m], {})),
        "subprocess-popen": words("subprocess:Popen"),
        "subprocess-run": words("subprocess:run"),
        "subprocess-call": words("subprocess:call"),
        "subprocess-check-call": words("subprocess:check_call"),
        "subprocess-check-output": words("subprocess:check_output"),
        "subprocess-getoutput": command("subprocess:getoutput"),
        "subprocess-getstatusoutput": command("subprocess:getstatusoutput"),
        "pty-spawn": words("pty:spawn"),
        "builtins-exec": python("builtins:exec"),
        "builtins-eval": python("builtins:eval"),
        "python2-builtin-eval": python("__builtin__:eval"),
        "compile-then-exec": value(lambda m: Call("builtins:exec", Call("builtins:compile", code(m), "x", "exec"))),
        "builtins-getattr": value(lambda m: Call(Call("builtins:getattr", Call("builtins:__import__", "os"), "system"), touch(m))),
        "builtins-map-list": value(lambda m: Call("builtins:list", Call("builtins:map", Ref("os", "system"), [touch(m)]))),
        "builtins-filter-tuple": value(lambda m: Call("builtins:tuple", Call("builtins:filter", Ref("os", "system"), [touch(m)]))),
        "builtins-sorted-key": value(lambda m: Call("builtins:max", Call("builtins:map", Ref("os", "system"), [touch(m), touch(m)]))),
        "runpy-run-code": value(lambda m: Call("runpy:_run_code", Call("builtins:compile", code(m), "x", "exec"), {})),
        "timeit-timeit": python("timeit:timeit", after=("pass", Ref("time", "perf_counter"), 1)),
        "timeit-main": value(lambda m: Call("timeit:main", ["-n1", "-r1", code(m)])),
        "cprofile-run": python("cProfile:run"),
        "cprofile-runctx": python("cProfile:runctx", after=({}, {})),
        "profile-run": python("profile:run"),
        "bdb-run": value(lambda m: Call("bdb:Bdb.run", Call("bdb:Bdb"), code(m))),
        "trace-run": value(lambda m: Call("trace:Trace.run", Call("trace:Trace", 0, 0), code(m))),
        "pydoc-pipepager": lambda m: stream(Call("pydoc:pipepager", "x", touch(m))),
        "pydoc-locate": value(lambda m: Call(Call("pydoc:locate", "os.system"), touch(m))),
        "pkgutil-resolve-name": value(lambda m: Call(Call("pkgutil:resolve_name", "os:system"), touch(m))),
        "attrgetter": value(lambda m: Call(Call(Call("operator:attrgetter", "system"), Call("importlib:import_module", "os")), touch(m))),
        "methodcaller": value(lambda m: Call(Call("operator:methodcaller", "system", touch(m)), Call("importlib:import_module", "os"))),
        "operator-call": value(lambda m: Call("operator:call", Ref("os", "system"), touch(m))),
        "c-operator-methodcaller": value(lambda m: Call(Call("_operator:methodcaller", "system", touch(m)), Call("importlib:import_module", "os"))),
        "functools-partial": value(lambda m: Call(Call("functools:partial", Ref("os", "system"), touch(m)))),
        "itertools-starmap": value(lambda m: Call("builtins:list", Call("itertools:starmap", Ref("os", "system"), [(touch(m),)]))),
        "itertools-accumulate": value(lambda m: Call("collections:deque", Call("itertools:filterfalse", Ref("os", "system"), [touch(m)]))),
        "threading-thread": value(lambda m: Call("threading:Thread.run", Call("threading:Thread", None, Ref("os", "system"), None, (touch(m),)))),
        "c-thread-start": value(lambda m: (Call("_thread:start_new_thread", Ref("os", "system"), (touch(m),)), Call("time:sleep", 0.3))),
        "threading-timer": value(lambda m: Call("threading:Timer.run", Call("threading:Timer", 0.0, Ref("os", "system"), [touch(m)]))),
        "multiprocessing-spawnv": lambda m: stream(Call("multiprocessing.util:spawnv_passfds", b"/usr/bin/touch", [b"touch", m.encode()], ())),
        "multiprocessing-pool": value(lambda m: Call("multiprocessing.process:BaseProcess.run", Call("multiprocessing.context:Process", None, Ref("os", "system"), None, (touch(m),)))),
        "posixsubprocess": value(lambda m: Call("subprocess:Popen", touch(m), -1, None, None, None, None, None, 1, 1)),
        "uuid-command": value(lambda m: Call("uuid:_get_command_stdout", "touch", m)),
        "imaplib-stream": value(lambda m: Call("imaplib:IMAP4_stream", touch(m) + "; echo '* OK'; echo '* BYE'")),
        "osx-support": value(lambda m: Call("_osx_support:_read_output", touch(m)), "_osx_support"),
        "logging-config": value(lambda m: Call("logging.config:DictConfigurator.configure", Call("logging.config:DictConfigurator", {"version": 1, "handlers": {"h": {"()": "os.system", "command": touch(m)}}}))),
        "test-script-helper": value(lambda m: Call("test.support.script_helper:assert_python_ok", "-c", code(m)), "test.support.script_helper"),
        "types-codetype": lambda m: stream(Call(Call("types:FunctionType", Call("marshal:loads", marshal.dumps(compile(code(m), "x", "exec"))), {}))),
        "marshal-exec": lambda m: stream(Call("builtins:exec", Call("marshal:loads", marshal.dumps(compile(code(m), "x", "exec"))))),
        "pickle-loads": lambda m: stream(Call("pickle:loads", run(m))),
        "c-pickle-loads": lambda m: stream(Call("_pickle:loads", run(m))),
        "codecs-decode-then-exec": value(lambda m: Call("builtins:exec", Call("_codecs:decode", code(m).encode(), "utf-8"))),
        "weakref-finalize": value(lambda m: Call("weakref:finalize.__call__", Call("weakref:finalize", Ref("os", "system"), Ref("os", "system"), touch(m)))),
        "concurrent-work-item": value(lambda m: Call("concurrent.futures.thread:_WorkItem.run", Call("concurrent.futures.thread:_WorkItem", Call("concurrent.futures:Future"), Ref("os", "system"), (touch(m),), {}))),
        "unittest-mock": value(lambda m: Call("unittest.case:FunctionTestCase.runTest", Call("unittest:FunctionTestCase", Call("functools:partial", Ref("os", "system"), touch(m))))),
        "numpy-runstring": value(lambda m: Call("numpy.testing._private.utils:runstring", code(m), {}), "numpy.testing._private.utils"),
        "numpy-f2py": value(lambda m: Call("numpy.f2py.crackfortran:myeval", code(m)), "numpy.f2py.crackfortran"),
        "numpy-vectorize": value(lambda m: Call("numpy:vectorize.__call__", Call("numpy:vectorize", Ref("os", "system")), touch(m))),
        "numpy-fromiter": value(lambda m: Call("numpy:fromiter", Call("builtins:map", Ref("os", "system"), [touch(m)]), "i8")),
        "joblib-load": value(lambda m: Call("joblib.externals.cloudpickle:loads", run(m)), "joblib.externals.cloudpickle"),
        "cloudpickle-loads": lambda m: (stream(Call("cloudpickle:loads", run(m))), "pickle", ("cloudpickle",)),
        "cloudpickle-function": lambda m: (_cloud(m), "pickle", ("cloudpickle",)),
        "dill-loads": lambda m: (stream(Call("dill:loads", run(m))), "pickle", ("dill",)),
        "sklearn-delayed": value(lambda m: Call("sklearn.utils.parallel:_FuncWrapper.__call__", Call("sklearn.utils.parallel:_FuncWrapper", Call("functools:partial", Ref("os", "system"), touch(m)))), "sklearn.utils.parallel"),
        "torch-collect-env": value(lambda m: Call("torch.utils.collect_env:run", touch(m)), "torch.utils.collect_env"),
        "torch-load-from-bytes": lambda m: (stream(Call("torch.storage:_load_from_bytes", run(m))), "torch-plain", ("torch",)),
        "torch-graph-module": lambda m: (stream(Call("torch.fx.graph_module:_exec_with_source", code(m), {})), "torch-plain", ("torch",)),
    }  # fmt: skip


def _cloud(marker: str) -> bytes:
    """A function made by cloudpickle, and called."""
    import cloudpickle

    space: dict = {}
    exec(f"def touch():\n    open({marker!r}, 'w').close()", space)
    made = space["touch"]
    made.__module__ = "__main__"
    return cloudpickle.dumps(made, protocol=2)[:-1] + b")R."


def writers():
    """Files that are written by a harmless-looking constructor."""

    def value(make, *needs):
        return lambda m: (stream(make(m)), "pickle", needs)

    return {
        "open-w": value(lambda m: Call("builtins:open", m, "w")),
        "io-open": value(lambda m: Call("io:open", m, "w")),
        "io-fileio": value(lambda m: Call("io:FileIO", m, "w")),
        "c-io-fileio": value(lambda m: Call("_io:FileIO", m, "w")),
        "codecs-open": value(lambda m: Call("codecs:open", m, "w")),
        "os-mkdir": value(lambda m: Call("os:mkdir", m)),
        "os-makedirs": value(lambda m: Call("os:makedirs", m)),
        "os-open": value(lambda m: Call("os:open", m, 65)),
        "os-mknod": value(lambda m: Call("os:mknod", m)),
        "os-symlink": value(lambda m: Call("os:symlink", "/", m)),
        "posix-mkdir": value(lambda m: Call("posix:mkdir", m)),
        "pathlib-touch": value(lambda m: Call("pathlib:Path.touch", Call("pathlib:Path", m))),
        "pathlib-write-text": value(lambda m: Call("pathlib:Path.write_text", Call("pathlib:Path", m), "x")),
        "shutil-copyfile": value(lambda m: Call("shutil:copyfile", "/etc/hostname", m)),
        "zipfile-write": value(lambda m: Call("zipfile:ZipFile", m, "w")),
        "tarfile-open": value(lambda m: Call("tarfile:open", m, "w")),
        "gzip-open": value(lambda m: Call("gzip:open", m, "w")),
        "sqlite3-connect": value(lambda m: Call("sqlite3:connect", m)),
        "logging-file-handler": value(lambda m: Call("logging:FileHandler", m)),
        "tempfile-mkdtemp": value(lambda m: Call("os:rename", Call("tempfile:mkdtemp", None, None, m.rpartition("/")[0]), m)),
        "numpy-save": value(lambda m: Call("numpy:savetxt", m, [1])),
        "numpy-memmap": value(lambda m: Call("numpy:memmap", m, "u1", "w+", 0, (1,))),
        "torch-save": lambda m: (stream(Call("torch:save", 1, m)), "torch-plain", ("torch",)),
        "joblib-dump": value(lambda m: Call("joblib:dump", 1, m), "joblib"),
    }


def encodings():
    """One call, written in every way that an unpickler reads."""
    line = lambda m: touch(m).encode() + b"\n"  # noqa: E731 - as short as what it stands for
    return {
        "protocol-0": lambda m: b"cos\nsystem\n(V" + line(m) + b"tR.",
        "protocol-0-string": lambda m: b"cos\nsystem\n(S'" + touch(m).encode() + b"'\ntR.",
        "string-escapes": lambda m: b"(S'\\x6f\\163'\nS'sys\\164em'\n\x93V" + line(m) + b"\x85R.",
        "unicode-escapes": lambda m: b"V\\u006f\\u0073\nV\\u0073ystem\n\x93V" + line(m) + b"\x85R.",
        "binstring": lambda m: b"U\x02osT\x06\0\0\0system\x93" + text(touch(m)) + b"\x85R.",
        "binunicode8": lambda m: b"\x8d\x02\0\0\0\0\0\0\0os\x8d\x06\0\0\0\0\0\0\0system\x93" + text(touch(m)) + b"\x85R.",
        "short-binunicode": lambda m: b"\x80\x04" + short("os") + short("system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "hexadecimal-int": lambda m: b"I0x10\n0" + run(m)[2:],
        "octal-int": lambda m: b"I0o7\n0" + run(m)[2:],
        "underscored-long": lambda m: b"L1_0L\n0" + run(m)[2:],
        "spaced-int": lambda m: b"I 7 \n0" + run(m)[2:],
        "int-then-nul": lambda m: b"I7\0x\n0" + run(m)[2:],
        "float-line": lambda m: b"F1e5\n0" + run(m)[2:],
        "no-proto": lambda m: run(m)[2:],
        "proto-twice": lambda m: b"\x80\x02" + run(m),
        "proto-0": lambda m: b"\x80\0" + run(m)[2:],
        "proto-late": lambda m: b"N0" + run(m),
        "framed": lambda m: b"\x80\x04\x95" + struct.pack("<Q", len(run(m)) - 2) + run(m)[2:],
        "frame-of-nothing": lambda m: b"\x80\x04\x95" + bytes(8) + run(m)[2:],
        "frames-that-overlap": lambda m: b"\x80\x04\x95" + struct.pack("<Q", 1) + b"N0" + run(m)[2:],
        "long-memo-index": lambda m: b"Np" + b"0" * 25 + b"\n0" + run(m)[2:],
        "non-ascii-string": lambda m: (b"S'\xc3\xa9'\n0" + run(m)[2:], "torch-legacy", ("torch",)),
    }


def operands():
    """The name of what is called is found through the memo, or made."""
    return {
        "memo": lambda m: b"\x80\x04" + short("os") + b"\x940" + short("system") + b"\x940h\0h\1\x93" + text(touch(m)) + b"\x85R.",
        "memo-overwritten": lambda m: b"\x80\x02" + text("math") + b"q\0" + text("os") + b"q\x000h\0" + text("system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "memo-far": lambda m: b"\x80\x02" + text("os") + b"r\xff\xff\xff\0" + text("system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "memo-of-put": lambda m: b"\x80\x02" + text("os") + b"p7\n0g7\n" + text("system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "memo-index-text": lambda m: b"\x80\x02" + text("os") + b"p+0_7\n0g 7\n" + text("system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "memoize-late": lambda m: b"\x80\x04" + short("os") + short("system") + b"\x940\x94h\0h\1\x93"[:0] + b"\x93\x94" + text(touch(m)) + b"\x85R.",
        "dup": lambda m: b"\x80\x02" + ref("os", "system") + b"2" + text(touch(m)) + b"\x85R.",
        "pop-decoy": lambda m: b"\x80\x02" + ref("math", "sqrt") + b"0" + ref("os", "system") + text(touch(m)) + b"\x85R.",
        "pop-mark-decoy": lambda m: b"\x80\x02(" + ref("collections", "OrderedDict") + b"1" + ref("os", "system") + text(touch(m)) + b"\x85R.",
        "pop-takes-a-mark": lambda m: b"\x80\x02(0" + ref("os", "system") + text(touch(m)) + b"\x85R.",
        "computed-name": lambda m: stream(Call(Call("builtins:getattr", Call("builtins:__import__", Call("builtins:str", "os")), "system"), touch(m))),
        "dotted": lambda m: b"\x80\x04" + short("shutil") + short("os.system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "dotted-of-random": lambda m: b"\x80\x04" + short("random") + short("_os.system") + b"\x93" + text(touch(m)) + b"\x85R.",
        "dotted-of-collections": lambda m: b"\x80\x04" + short("collections") + short("_sys.modules.get") + b"\x93" + text("os") + b"\x85R0" + run(m)[2:],
        "dotted-of-torch": lambda m: (b"\x80\x04" + short("torch") + short("os.system") + b"\x93" + text(touch(m)) + b"\x85R.", "torch-plain", ("torch",)),
        "dotted-class": lambda m: b"\x80\x04" + short("builtins") + short("str.format") + b"\x93" + text("x") + b"\x85R0" + run(m)[2:],
        "extension-registered": lambda m: stream((Call("copyreg:add_extension", "os", "system", 0x77), 1))[:-1] + b"0\x82\x77" + text(touch(m)) + b"\x85R.",
        "extension-inverted": lambda m: stream(Call("builtins:dict.update", Ref("copyreg", "_inverted_registry"), {0x42: ("os", "system")}))[:-1] + b"0\x82\x42" + text(touch(m)) + b"\x85R.",
        "extension-four": lambda m: stream(Call("copyreg:add_extension", "os", "system", 0x12345))[:-1] + b"0\x84\x45\x23\1\0" + text(touch(m)) + b"\x85R.",
        "sys-modules-poisoned": lambda m: stream(Call("builtins:dict.__setitem__", Ref("sys", "modules"), "harmless", Call("builtins:__import__", "os")))[:-1] + b"0" + ref("harmless", "system") + text(touch(m)) + b"\x85R.",
    }  # fmt: skip


def opcodes_():
    """Calls without REDUCE, and changes of objects that call a method."""
    space = b"\x80\x04" + short("types") + short("SimpleNamespace") + b"\x93)\x81"
    return {
        "inst": lambda m: b"(V" + touch(m).encode() + b"\nios\nsystem\n.",
        "obj": lambda m: b"(cos\nsystem\n" + text(touch(m)) + b"o.",
        "newobj-map": lambda m: b"\x80\x02cbuiltins\ntuple\n(cbuiltins\nmap\ncos\nsystem\n]" + text(touch(m)) + b"a\x86\x81t\x81.",
        "build-setstate": lambda m: b"\x80\x02ctypes\nSimpleNamespace\n)\x81}" + text("__setstate__") + b"cos\nsystem\nsb" + text(touch(m)) + b"b.",
        "append-planted": lambda m: space + b"}" + short("append") + b"cos\nsystem\nsb" + text(touch(m)) + b"a.",
        "appends-planted": lambda m: space + b"}" + short("append") + b"cos\nsystem\nsb(" + text(touch(m)) + b"e.",
        "additems-planted": lambda m: space + b"}" + short("add") + b"cos\nsystem\nsb(" + text(touch(m)) + b"\x90.",
        "setitem-dispatch": lambda m: b"\x80\x02" + ops(Call("collections:defaultdict", Ref("os", "getcwd"))) + b"0" + run(m)[2:],
        "counter-subclass": lambda m: stream(Call("builtins:type", "X", (Ref("collections", "OrderedDict"),), {"__setitem__": Ref("os", "system")}))[:-1] + b"0" + run(m)[2:],
        "persistent-id": lambda m: (b"\x80\x02" + ops(("storage", Call("os:system", touch(m)), "0", "cpu", 1)) + b"Q.", "pickle", ()),
        "copyreg-then-runs": lambda m: stream(Call("copyreg:pickle", Ref("builtins", "complex"), Ref("os", "system")))[:-1] + b"0" + run(m)[2:],
        "result-popped": lambda m: run(m)[:-1] + b"0N.",
        "result-in-a-key": lambda m: b"\x80\x02}" + run(m)[2:-1] + b"Ns.",
        "result-in-a-tuple": lambda m: b"\x80\x02(" + run(m)[2:-1] + b"t.",
    }  # fmt: skip


def shapes():
    """The stream is broken, long, padded, or one of several."""
    return {
        "cut-behind": lambda m: run(m)[:-1],
        "broken-behind": lambda m: run(m)[:-1] + b"\xff",
        "underflow-behind": lambda m: run(m)[:-1] + b"000.",
        "unknown-opcode-behind": lambda m: run(m)[:-1] + b"?.",
        "second-pickle": lambda m: (pickle.dumps([1]) + run(m), "pickle-all", ()),
        "third-pickle": lambda m: (pickle.dumps(1) + pickle.dumps("x") + run(m), "pickle-all", ()),
        "second-with-shared-memo": lambda m: (
            pickle.dumps(["os", "system"], 4) + b"\x80\x04N\x940h\1h\2\x93" + text(touch(m)) + b"\x85R.",
            "pickle-one-unpickler",
            (),
        ),
        "prefix": lambda m: (b"MODEL\0\1\2\3" + b"\xfe" * 7 + run(m), "skip-16", ()),
        "prefix-without-proto": lambda m: (b"HEADER\0\0\xff\xff\xff\xff\xff\xff\xff\xff" + run(m)[2:], "skip-16", ()),
        "prefix-inst": lambda m: (b"HEADER\0\0\xff\xff\xff\xff\xff\xff\xff\xff(V" + touch(m).encode() + b"\nios\nsystem\n.", "skip-16", ()),
        "prefix-of-a-pickle": lambda m: (b"\x80\x04N.".ljust(16, b"\xff") + run(m), "skip-16", ()),
        "no-ops": lambda m: b"\x80\x02" + b"N0" * 100_000 + run(m)[2:],
        "many-no-ops": lambda m: b"\x80\x02" + b"N0" * 2_000_000 + run(m)[2:],
        "marks": lambda m: b"\x80\x02" + b"(1" * 50_000 + run(m)[2:],
        "large-string-before": lambda m: b"\x80\x02" + text("x" * 3_000_000) + b"0" + run(m)[2:],
        "large-bytes-before": lambda m: b"\x80\x03B" + struct.pack("<I", 5_000_000) + b"y" * 5_000_000 + b"0" + run(m)[2:],
        "deep": lambda m: b"\x80\x02" + b"]" * 500 + b"a" * 499 + b"0" + run(m)[2:],
        "wide-stack": lambda m: b"\x80\x02" + b"N" * 1_048_600 + run(m)[2:],
        "wide-memo": lambda m: b"\x80\x02N" + b"".join(b"r" + struct.pack("<I", 2 * index) for index in range(450_000)) + b"0" + run(m)[2:],
        "large-pickle": lambda m: stream([Call("os:system", touch(m)), *range(1000)]),
        "text-before": lambda m: b"F3.14\n0V" + b"All rights reserved. " * 20 + b"\n0" + run(m)[2:],
    }
