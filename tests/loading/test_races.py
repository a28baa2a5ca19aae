# SPDX-License-Identifier: Apache-2.0
"""Files that change between any two steps of a load: what comes out was signed, or nothing does."""

import itertools
import os
import random
import threading

import pytest
import torch
from torch import nn

from lifeseal import serialization
from lifeseal.errors import DigestMismatchError, FormatError
from lifeseal.loading import load_into, load_tensors
from support.sources import Flaky

GOOD, BAD = 1.0, 2.0
NUMBERS = 9_000
STEP = 3_000  # bytes that one read brings, so that there are many steps
WAYS = ("replaced", "truncated", "grown", "rewritten", "rewritten and put back", "header rewritten", "link to another")


class Scene:
    """A file as signed, another of the same form, and ways to put one in place of the other."""

    def __init__(self, folder):
        self.path = folder / "m.safetensors"
        self.other = folder.parent / "other.safetensors"
        serialization.save({"w": torch.full((NUMBERS,), BAD)}, self.other)
        serialization.save({"w": torch.full((NUMBERS,), GOOD)}, self.path)
        self.good, self.bad = self.path.read_bytes(), self.other.read_bytes()

    def restore(self):
        self.path.unlink()
        self.path.write_bytes(self.good)

    def rewrite(self, content):
        with self.path.open("r+b") as file:
            file.write(content)

    def tamper(self, way):
        spare = self.path.with_name("spare")
        if way == "replaced":
            spare.write_bytes(self.bad)
            spare.replace(self.path)
        elif way == "truncated":
            os.truncate(self.path, len(self.good) // 2)
        elif way == "grown":
            with self.path.open("ab") as file:
                file.write(b"\0")
        elif way.startswith("rewritten"):
            self.rewrite(self.bad)
        elif way == "header rewritten":
            self.rewrite(self.good.replace(b'"w"', b'"v"', 1)[:200])
        else:
            spare.symlink_to(self.other)
            spare.replace(self.path)


@pytest.fixture
def scene(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    return Scene(folder)


def into_module(signed):
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(NUMBERS))
    try:
        load_into(signed, module)
    except BaseException:
        assert module.w.isnan().all() or not module.w.any()
        raise
    return module.w.detach()


LOADERS = {"load_tensors": lambda signed: load_tensors(signed, framework="torch")["w"], "load_into": into_module}


def outcome(load, signed):
    """Load; True if what came out was signed, False if nothing did."""
    try:
        found = load(signed)
    except (DigestMismatchError, FormatError, OSError):
        return False
    assert (found == GOOD).all()
    return True


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("shards", [{}, {"shard_size": 10_000}], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_a_change_before_any_read_is_noticed_or_harmless(way, shards, loader, scene, opened, monkeypatch):
    signed = opened(scene.path.parent, **shards)
    real = signed._source
    outcomes = []
    for step in itertools.count():
        reads = itertools.count()

        def before_read(start, reads=reads, step=step):
            number = next(reads)
            if number == step:
                scene.tamper(way)
            if number == step + 1 and way == "rewritten and put back":
                scene.rewrite(scene.good)

        monkeypatch.setattr(signed, "_source", Flaky(real, before_read, most=STEP))
        outcomes.append(outcome(LOADERS[loader], signed))
        scene.restore()
        if next(reads) <= step:
            break
    assert len(outcomes) > NUMBERS * 4 // STEP
    assert outcomes[-1]  # nothing was changed in the last round
    # Who has the file open is not reached by another in its place; every other change is noticed while there is something left to read.
    if way in {"truncated", "rewritten"}:
        assert not any(outcomes[:10])


@pytest.mark.slow
@pytest.mark.parametrize("loader", LOADERS)
def test_two_thousand_races_give_signed_bytes_or_nothing(loader, scene, opened, request):
    signed = opened(scene.path.parent)
    stop = threading.Event()

    def change():
        ways = random.Random(7)
        while not stop.is_set():
            scene.tamper(ways.choice(WAYS))
            stop.wait(ways.random() * 0.001)
            scene.restore()
            stop.wait(ways.random() * 0.005)

    wanted = 1000 if request.config.getoption("--long") else 100
    outcomes = []
    writer = threading.Thread(target=change)
    writer.start()
    try:
        while len(outcomes) < wanted or (len(set(outcomes)) == 1 and len(outcomes) < 50 * wanted):
            outcomes.append(outcome(LOADERS[loader], signed))
    finally:
        stop.set()
        writer.join()
    assert True in outcomes
    assert False in outcomes
