# SPDX-License-Identifier: Apache-2.0
"""Libraries whose models are objects by design, and words for modules that attacks are known to use.

Neither makes anything safe: the first turns "unsafe" into "needs-trust" for objects that such a library writes itself, the second only
words a message.
"""

import re
from typing import Final

_FAMILIES: Final = frozenset(
    {
        "__torch__",
        "catboost",
        "joblib",
        "lightgbm",
        "pandas",
        "scipy",
        "sklearn",
        "skorch",
        "spacy",
        "statsmodels",
        "tokenizers",
        "transformers",
        "xgboost",
    }
)
_MODULES: Final = ("torch.nn.modules.", "torch.optim.", "numpy.random.", "numpy.ma.")
_CLASS: Final = re.compile(r"_*[A-Z][A-Za-z0-9_]*")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)

CALLED_BY_DESIGN: Final = frozenset(
    {
        ("numpy.ma", "_mareconstruct"),
        ("numpy.ma.core", "_mareconstruct"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("sklearn.metrics._dist_metrics", "newObj"),
        ("sklearn.neighbors._ball_tree", "newObj"),
        ("sklearn.neighbors._kd_tree", "newObj"),
        ("sklearn.tree._tree", "Tree"),
    }
)
_CALLED_CLASSES: Final = (("sklearn._loss._loss", "Cy"), ("sklearn.metrics._dist_metrics", ""), ("pandas.core.internals", "BlockManager"))

_KNOWN: Final = {
    "runs commands": ("os", "posix", "nt", "subprocess", "_posixsubprocess", "pty", "commands", "popen2", "multiprocessing", "asyncio"),
    "runs or imports code": (
        "builtins", "importlib", "runpy", "code", "codeop", "pdb", "bdb", "timeit", "cProfile", "profile", "pydoc", "pkgutil", "types",
        "marshal", "ctypes", "cffi", "cloudpickle", "dill", "pickle", "_pickle", "torch", "numpy", "ensurepip", "pip", "venv", "trace",
    ),
    "calls what it is given": ("functools", "_functools", "operator", "_operator", "itertools", "copyreg", "threading", "_thread", "weakref"),
    "reads, writes or removes files": ("io", "_io", "shutil", "tempfile", "pathlib", "linecache", "zipfile", "tarfile", "sqlite3"),
    "uses the network": ("socket", "_socket", "ssl", "http", "urllib", "ftplib", "smtplib", "webbrowser", "requests", "xmlrpc"),
}  # fmt: skip
_WORDS: Final = {module: words for words, modules in _KNOWN.items() for module in modules}


def is_by_design(module: str, name: str) -> bool:
    """Tell whether a library whose models are objects by design writes such a name itself."""
    if not _IDENTIFIER.fullmatch(name):
        return False
    if (module, name) in CALLED_BY_DESIGN:
        return True
    return module.partition(".")[0] in _FAMILIES or (module + ".").startswith(_MODULES)


def is_class_like(name: str) -> bool:
    """Tell whether a name is written as names of classes are."""
    return _CLASS.fullmatch(name) is not None


def may_be_called(module: str, name: str) -> bool:
    """Tell whether a library calls this global itself when it reads its own objects."""
    return (module, name) in CALLED_BY_DESIGN or any(
        module.startswith(family) and name.startswith(prefix) and is_class_like(name) for family, prefix in _CALLED_CLASSES
    )


def words_for(module: str) -> str:
    """Return what attacks are known to do with a module, or that it is not known."""
    return _WORDS.get(module.partition(".")[0], "is not known to be harmless")
