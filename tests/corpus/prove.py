# SPDX-License-Identifier: Apache-2.0
"""Gives each hostile file to its real loader, each in a process of its own: ``python -m corpus.prove FOLDER``."""

import json
import os
import sys
import warnings
from pathlib import Path

LOADERS = {}


def loader(function):
    LOADERS[function.__name__.replace("_", "-")] = function
    return function


@loader
def pickle(path):
    import pickle

    with path.open("rb") as file:
        pickle.load(file)


@loader
def pickle_all(path):
    import pickle

    with path.open("rb") as file:
        while True:
            pickle.load(file)


@loader
def pickle_one_unpickler(path):
    import pickle

    with path.open("rb") as file:
        unpickler = pickle.Unpickler(file)
        while True:
            unpickler.load()


@loader
def skip_16(path):
    import pickle

    pickle.loads(path.read_bytes()[16:])


@loader
def torch_plain(path):
    import torch  # noqa: F401 - what the pickle names is there

    pickle(path)


@loader
def torch(path):
    import torch

    torch.load(path, weights_only=False)


torch_legacy = loader(torch)
LOADERS["torch-legacy"] = torch


def _members(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


@loader
def zip_member(path):
    import contextlib
    import pickle

    for content in _members(path):
        with contextlib.suppress(Exception):
            pickle.loads(content)


@loader
def zip_first(path):
    import pickle
    import zipfile

    with zipfile.ZipFile(path) as archive, archive.open(archive.infolist()[0]) as member:
        pickle.load(member)


@loader
def zip_raw(path):
    """A reader that goes by the headers in the file, as those that stream do."""
    import pickle
    import struct

    content = path.read_bytes()
    size, _, n_name, n_extra = struct.unpack("<IIHH", content[18:30])
    start = 30 + n_name + n_extra
    pickle.loads(content[start : start + size])


@loader
def zip_nested(path):
    import contextlib
    import io
    import pickle
    import tarfile
    import zipfile

    def walk(content):
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    walk(archive.read(name))
        elif content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member in archive:
                    walk(archive.extractfile(member).read())
        else:
            with contextlib.suppress(Exception):
                pickle.loads(content)

    walk(path.read_bytes())


@loader
def zip_python(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        exec(archive.read("handler.py"), {})


@loader
def zip_constants(path):
    import pickle
    import zipfile

    with zipfile.ZipFile(path) as archive:
        pickle.loads(archive.read("m/constants.pkl"))


@loader
def tar_member(path, **kwargs):
    import pickle
    import tarfile

    with tarfile.open(path, **kwargs) as archive:
        for member in archive:
            pickle.load(archive.extractfile(member))


@loader
def tar_member_zeros(path):
    import contextlib
    import pickle
    import tarfile

    with tarfile.open(path, ignore_zeros=True) as archive:
        for member in archive:
            with contextlib.suppress(Exception):
                pickle.load(archive.extractfile(member))


def _opened(module):
    def load(path):
        import importlib
        import pickle

        with importlib.import_module(module).open(path) as file:
            pickle.load(file)

    return load


LOADERS |= {"gzip": _opened("gzip"), "bz2": _opened("bz2"), "lzma": _opened("lzma")}


@loader
def gzip_twice(path):
    import gzip
    import pickle

    pickle.loads(gzip.decompress(gzip.decompress(path.read_bytes())))


@loader
def joblib(path):
    import joblib

    joblib.load(path)


@loader
def npy(path):
    import numpy as np

    np.load(path, allow_pickle=True, max_header_size=1 << 20)


@loader
def npz(path):
    import numpy as np

    with np.load(path, allow_pickle=True) as archive:
        for name in archive.files:
            archive[name]


@loader
def yaml(path):
    import yaml

    with path.open("rb") as file:
        for _ in yaml.load_all(file, yaml.UnsafeLoader):
            pass


@loader
def jinja(path, source=None):
    import jinja2

    jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).from_string(path.read_text() if source is None else source).render(messages=[])


@loader
def jinja_json(path):
    found = json.loads(path.read_text())["chat_template"]
    jinja(path, found if isinstance(found, str) else found[0]["template"])


def main(folder: Path) -> None:
    """Load each file that the list names; whatever it does or breaks ends with its own process."""
    warnings.simplefilter("ignore")
    for name, kind in json.loads((folder / "list.json").read_text()):
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.chdir(folder)
            try:
                LOADERS[kind](folder / "files" / name)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        __import__(module)
    main(Path(sys.argv[1]))
