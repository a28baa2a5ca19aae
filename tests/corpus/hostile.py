# SPDX-License-Identifier: Apache-2.0
"""Hostile files: each makes one loader touch a marker file. `prove` shows that it does; the tests show what the scan says."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from corpus import hostile_files as files
from corpus import hostile_pickles as pickles
from corpus import hostile_texts as texts
from corpus.parts import Sample

GROUPS = {
    "callables": pickles.callables,
    "writers": pickles.writers,
    "encodings": pickles.encodings,
    "operands": pickles.operands,
    "opcodes": pickles.opcodes_,
    "shapes": pickles.shapes,
    "nested": files.nested,
    "zips": files.zips,
    "tars": files.tars,
    "compressed": files.compressed,
    "torch": files.torches,
    "arrays": files.arrays,
    "joblib": files.joblibs,
    "yaml": texts.yamls,
    "templates": texts.templates,
}


def samples(group: str, markers: Path) -> Iterator[Sample]:
    """Make the samples of one group; each touches the file of its name in ``markers``."""
    for name, build in GROUPS[group]().items():
        built = build(f"{markers}/{name}")
        content, loader, needs = built if isinstance(built, tuple) else (built, "pickle", ())
        if all(map(_exists, needs)):
            yield Sample(name, content, loader)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
