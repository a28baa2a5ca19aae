# SPDX-License-Identifier: Apache-2.0
"""Libraries whose models are objects by design, and words for modules that attacks are known to use.

Neither makes anything safe: the first turns "unsafe" into "needs-trust" for objects that such a library writes itself, the second only
words a message.
"""

import re
from typing import Final

from lifeseal.serialization._words import split

_FAMILIES: Final = split(
    """
    __torch__ accelerate autogluon catboost category_encoders cloudpickle compressed_tensors deepspeed diffusers dill fairseq fastai fasttext flair
    gensim hmmlearn imblearn joblib keras lightgbm lightning lightning_fabric mlflow monai networkx nltk omegaconf onnxruntime optuna pandas peft
    polars pyarrow pytorch_lightning sentence_transformers setfit sklearn skorch skops spacy statsmodels scipy speechbrain tensorflow thinc
    timm tokenizers torch_geometric torchao torchaudio torchmetrics torchtext torchvision transformers trl ultralytics xgboost
    """
)
_MODULES: Final = (
    "numpy.ma.",
    "numpy.random.",
    "torch.amp.",
    "torch.ao.nn.",
    "torch.ao.quantization.",
    "torch.cuda.amp.",
    "torch.distributed.",
    "torch.distributions.",
    "torch.nn.modules.",
    "torch.nn.parallel.",
    "torch.nn.quantized.",
    "torch.nn.utils.",
    "torch.optim.",
)
_UFUNCS: Final = split(
    "abs absolute add argmax argmin ceil clip cos cosh exp exp2 expm1 fabs floor isfinite isnan log log10 log1p log2 logaddexp max maximum mean "
    "median min minimum multiply nanmean nanmedian negative prod reciprocal rint round sign sin sinh sqrt square std subtract sum tan tanh var"
)
_CLASS: Final = re.compile(r"_*[A-Z][A-Za-z0-9_]*")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)

CALLED_BY_DESIGN: Final = frozenset(
    {
        *(
            ("cloudpickle.cloudpickle", name)
            for name in split(
                "_builtin_type _class_setstate _function_getstate _function_setstate _make_cell _make_dict_items _make_dict_keys _make_dict_values "
                "_make_empty_cell _make_function _make_skeleton_class _make_skeleton_enum _make_typevar subimport"
            )
        ),
        *(("dill._dill", name) for name in split("_create_cell _create_code _create_function _create_type _load_type")),
        ("numpy.ma", "_mareconstruct"),
        ("numpy.ma.core", "_mareconstruct"),
        ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas.core.indexes.base", "_new_Index"),
        *(("pyarrow.lib", name) for name in split("_restore_array py_buffer type_for_alias")),
        ("sklearn.metrics._dist_metrics", "newObj"),
        ("sklearn.neighbors._ball_tree", "newObj"),
        ("sklearn.neighbors._kd_tree", "newObj"),
    }
)

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
_ORDINARY: Final = ("torch.", "numpy.", "types.")
_WORDS: Final = {module: words for words, modules in _KNOWN.items() for module in modules}


def is_by_design(module: str, name: str) -> bool:
    """Tell whether a library whose models are objects by design writes such a name itself."""
    if not _IDENTIFIER.fullmatch(name):
        return False
    if (module, name) in CALLED_BY_DESIGN or (module == "numpy" and name in _UFUNCS):
        return True
    return module.partition(".")[0] in _FAMILIES or (module + ".").startswith(_MODULES)


def is_class_like(name: str) -> bool:
    """Tell whether a name is written as names of classes are."""
    return _CLASS.fullmatch(name) is not None


def may_be_called(module: str, name: str) -> bool:
    """Tell whether a library could call this global itself when it reads its own objects: a class, or a function known for it."""
    return is_class_like(name) or (module, name) in CALLED_BY_DESIGN


def is_known_to_act(name: str) -> bool:
    """Tell whether attacks are known to use what a full name names; it only decides how bad a configuration that names it is."""
    return name.partition(".")[0] in _WORDS and not name.startswith(_ORDINARY)


def words_for(module: str) -> str:
    """Return what attacks are known to do with a module, or that it is not known."""
    return _WORDS.get(module.partition(".")[0], "is not known to be harmless")
