# SPDX-License-Identifier: Apache-2.0
"""Digests that are remembered: only for files that look untouched, only under the key, and for nothing but the hash."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from lifeseal import signing
from lifeseal.errors import DigestMismatchError, FormatError, LimitError, PolicyError, TamperedError
from lifeseal.loading import StatCheckedModel, _fill, _stat_cache, load_into, load_tensors, pinned, stat_checked

KEY = bytes(range(32))
NUMBERS = 5000


@pytest.fixture
def state(tmp_path):
    found = tmp_path / "state"
    found.mkdir()
    return found


@pytest.fixture
def later(monkeypatch):
    """Let two seconds have passed, by the clock."""
    real = time.time_ns
    monkeypatch.setattr(_stat_cache.StatCache.__init__, "__kwdefaults__", {"clock": lambda: real() + 3_000_000_000})


@pytest.fixture
def hashed(monkeypatch):
    """Collect what is hashed."""
    made = []
    real = _fill.new_hasher
    monkeypatch.setattr(_fill, "new_hasher", lambda *args, **options: made.append(args[0]) or real(*args, **options))
    return made


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model"
    found.mkdir()
    safetensors.numpy.save_file({"a": np.full(NUMBERS, 1.0, np.float32)}, found / "1.safetensors")
    safetensors.numpy.save_file({"b": np.full(NUMBERS, 2.0, np.float32)}, found / "2.safetensors")
    return found


def module():
    made = nn.Module()
    made.a, made.b = nn.Parameter(torch.zeros(NUMBERS)), nn.Parameter(torch.zeros(NUMBERS))
    return made


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("shards", [{}, {"shard_size": 1000}], ids=str)
def test_an_untouched_file_is_hashed_once(shards, folder, state, opened, hashed):
    signed = opened(folder, **shards)
    first = load_into(stat_checked(signed, state=state, key=KEY), module())
    assert first.not_hashed == ()
    assert hashed
    hashed.clear()
    filled = module()
    second = load_into(stat_checked(signed, state=state, key=KEY), filled)
    assert second.not_hashed == ("1.safetensors", "2.safetensors")
    assert hashed == []
    assert (filled.a == 1).all()
    assert load_tensors(stat_checked(signed, state=state, key=KEY), names=["b"])["b"].sum() == 2 * NUMBERS
    assert hashed == []


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("way", ["rewritten", "replaced", "times put back"])
def test_a_touched_file_is_hashed_again(way, folder, state, opened, hashed):
    signed = opened(folder)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    hashed.clear()
    path = folder / "1.safetensors"
    before, good = path.stat(), path.read_bytes()
    bad = good[:-4] + np.float32(9).tobytes()
    if way == "replaced":
        (folder / "new").write_bytes(bad)
        (folder / "new").replace(path)
    else:
        path.write_bytes(bad)
    if way == "times put back":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DigestMismatchError) as caught:
        load_tensors(stat_checked(signed, state=state, key=KEY))
    assert caught.value.changed == ("1.safetensors",)
    path.write_bytes(good)
    assert load_tensors(stat_checked(signed, state=state, key=KEY))["a"].sum() == NUMBERS


def test_what_changed_in_the_last_two_seconds_is_not_believed(folder, state, opened, hashed):
    signed = opened(folder)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    assert list(state.iterdir()) == []
    hashed.clear()
    load_tensors(stat_checked(signed, state=state, key=KEY))
    assert hashed


@pytest.mark.usefixtures("later")
def test_other_file_systems_are_not_believed(folder, state, opened, monkeypatch):
    signed = opened(folder)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    assert load_into(stat_checked(signed, state=state, key=KEY), module()).not_hashed
    monkeypatch.setattr(_stat_cache, "_file_system", lambda fd: 0x6969)  # NFS
    assert load_into(stat_checked(signed, state=state, key=KEY), module()).not_hashed == ()


def test_the_kind_of_file_system_is_what_the_system_says(tmp_path):
    with (tmp_path / "f").open("wb") as file, Path("/proc/self/stat").open("rb") as other:
        assert _stat_cache._file_system(file.fileno()) in _stat_cache._LOCAL
        assert _stat_cache._file_system(other.fileno()) == 0x9FA0
    assert _stat_cache._file_system(-1) == 0


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_while_it_is_read_unhashed_is_refused(folder, state, opened, monkeypatch):
    signed, filled = opened(folder), module()
    load_into(stat_checked(signed, state=state, key=KEY), filled)
    real = _fill._run

    def run(*args):
        found = real(*args)
        content = (folder / args[1].part.entry.path).read_bytes()
        (folder / args[1].part.entry.path).write_bytes(content)
        return found

    monkeypatch.setattr(_fill, "_run", run)
    with pytest.raises(DigestMismatchError):
        load_into(stat_checked(signed, state=state, key=KEY), filled)
    assert filled.a.isnan().all()


@pytest.mark.usefixtures("later")
def test_a_header_from_another_moment_than_the_content_is_refused(folder, state, opened, monkeypatch):
    """The header is read before the stamp: a file put in its place for that moment must not name the tensors."""
    signed = opened(folder)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    path, aside = folder / "1.safetensors", folder.parent / "aside"
    real = _fill.fill
    changed = path.read_bytes().replace(b'"a"', b'"z"')

    def put_back(*args, **options):
        aside.replace(path)
        return real(*args, **options)

    path.rename(aside)
    path.write_bytes(changed)
    inode = aside.stat().st_ino
    monkeypatch.setattr("lifeseal.loading._tensors.fill", put_back)
    with pytest.raises(DigestMismatchError):
        load_tensors(stat_checked(signed, state=state, key=KEY))
    assert path.stat().st_ino == inode


@pytest.mark.usefixtures("later")
def test_a_changed_cache_and_another_key_are_refused(folder, state, opened):
    signed = opened(folder)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    [cache] = state.iterdir()
    with pytest.raises(TamperedError, match="made under another key"):
        stat_checked(signed, state=state, key=bytes(32))
    good = cache.read_bytes()
    document = json.loads(good)
    document["entries"] = document["entries"][:1]
    for content, error in (
        (json.dumps(document).encode(), TamperedError),
        (good[:-1], FormatError),
        (b"", FormatError),
        (good.replace(b"/1", b"/2"), FormatError),
        (b" " * (5 << 20), LimitError),
    ):
        cache.write_bytes(content)
        with pytest.raises(error, match=r"lifeseal-stat-cache\.json"):
            stat_checked(signed, state=state, key=KEY)
    cache.write_bytes(good)
    assert cache.stat().st_mode & 0o077 == 0
    assert load_into(stat_checked(signed, state=state, key=KEY), module()).not_hashed


@pytest.mark.usefixtures("later")
def test_everything_but_the_hash_is_checked_each_time(folder, state, signer, opened):
    signed = opened(folder)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    with pytest.raises(PolicyError), signing.open_model(folder, policy=signer.public, expect="sha256:" + "0" * 64):
        pass
    # A new signature over other content does not profit from what is remembered.
    (folder / "1.safetensors").unlink()
    safetensors.numpy.save_file({"a": np.full(NUMBERS, 3.0, np.float32)}, folder / "1.safetensors")
    again = opened(folder)
    assert load_tensors(stat_checked(again, state=state, key=KEY))["a"].sum() == 3 * NUMBERS


@pytest.mark.usefixtures("later")
def test_only_the_newest_entries_are_kept(folder, state, opened, monkeypatch):
    signed = opened(folder)
    monkeypatch.setattr(_stat_cache, "_MAX_ENTRIES", 1)
    load_tensors(stat_checked(signed, state=state, key=KEY))
    assert len(load_into(stat_checked(signed, state=state, key=KEY), module()).not_hashed) == 1


def test_a_stat_checked_model_is_visibly_one_and_is_not_pinned(folder, state, opened):
    signed = opened(folder)
    checked = stat_checked(signed, state=state, key=KEY)
    assert type(checked) is StatCheckedModel
    assert not isinstance(checked, signing.SignedModel)
    assert "StatCheckedModel" in repr(checked)
    assert (checked.subject, checked.signer, checked.files) == (signed.subject, signed.signer, signed.files)
    with pytest.raises(TypeError, match="takes a SignedModel"):
        pinned(checked)


def test_what_is_wrong_with_the_call(folder, state, opened):
    signed = opened(folder)
    with pytest.raises(ValueError, match="key= must be 32 bytes, not 3"):
        stat_checked(signed, state=state, key=b"abc")
    with pytest.raises(ValueError, match="state= must not lie in the model"):
        stat_checked(signed, state=folder, key=KEY)
    with pytest.raises(TypeError, match="takes a SignedModel"):
        stat_checked(folder, state=state, key=KEY)
