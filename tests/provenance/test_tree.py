# SPDX-License-Identifier: Apache-2.0
"""The tree is that of RFC 6962: `pymerkle` is the judge, and no forged path passes."""

import hashlib

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeseal.provenance import _tree

SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 1023, 1024, 1025, 2048, 2049, 3000]
ENTRIES = [b"record %d" % number for number in range(max(SIZES))]
LEAVES = [_tree.leaf_hash(entry) for entry in ENTRIES]


def judge(size):
    return pymerkle.InmemoryTree.init_from_entries(ENTRIES[:size], algorithm="sha256")


@pytest.mark.parametrize("size", SIZES)
def test_roots_are_those_of_pymerkle(size):
    wanted = judge(size).get_root()
    assert _tree.root_of(LEAVES[:size]) == wanted
    builder = _tree.RootBuilder()
    for start in range(0, size, 700):
        builder.add(LEAVES[start : min(start + 700, size)])
    assert (builder.count, builder.root()) == (size, wanted)


@pytest.mark.parametrize("size", SIZES[1:])
def test_paths_are_those_of_pymerkle(size):
    tree, levels = judge(size), _tree.Levels.over(LEAVES[:size])
    for index in {0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
        path = levels.inclusion(index)
        assert _as_theirs(tree.prove_inclusion(index + 1), LEAVES[index]) == list(path)
        assert _tree.includes(LEAVES[index], index, path, count=size, root=tree.get_root())
    for before in {1, 2, size // 3, size // 2, size - 1, size} & set(range(1, size + 1)):
        assert _tree.grew(levels.growth(before), before=(before, _tree.root_of(LEAVES[:before])), after=(size, tree.get_root()))


def _as_theirs(proof, leaf):
    assert proof.path[0] == leaf or leaf in proof.path
    return [node for node in proof.path if node != leaf]


def test_growth_that_pymerkle_proves_is_proved_here_too():
    tree = judge(3000)
    for before in (1, 3, 1024, 1025, 2999):
        theirs = tree.prove_consistency(before, 3000)
        ours = [_tree.root_of(LEAVES[:size]) for size in (before, 3000)]
        pymerkle.verify_consistency(*ours, theirs)
        assert _tree.grew(_tree.Levels.over(LEAVES[:3000]).growth(before), before=(before, ours[0]), after=(3000, tree.get_root()))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 13])
def test_no_other_index_size_leaf_or_node_passes(size):
    levels, root = _tree.Levels.over(LEAVES[:size]), _tree.root_of(LEAVES[:size])
    for index in range(size):
        path = levels.inclusion(index)
        assert _tree.includes(LEAVES[index], index, path, count=size, root=root)
        assert not any(_tree.includes(LEAVES[index], other, path, count=size, root=root) for other in range(-1, size + 2) if other != index)
        assert not _tree.includes(LEAVES[index - 1] if size > 1 else bytes(32), index, path, count=size, root=root)
        for place, node in enumerate(path):
            flipped = bytes([node[0] ^ 1]) + node[1:]
            assert not _tree.includes(LEAVES[index], index, (*path[:place], flipped, *path[place + 1 :]), count=size, root=root)
            assert not _tree.includes(LEAVES[index], index, (*path[:place], *path[place + 1 :]), count=size, root=root)
        assert not _tree.includes(LEAVES[index], index, (*path, bytes(32)), count=size, root=root)


@pytest.mark.parametrize("size", [2, 3, 6, 7, 8, 13])
def test_no_other_growth_passes(size):
    levels, after = _tree.Levels.over(LEAVES[:size]), (size, _tree.root_of(LEAVES[:size]))
    for count in range(1, size):
        path, before = levels.growth(count), (count, _tree.root_of(LEAVES[:count]))
        assert _tree.grew(path, before=before, after=after)
        assert not _tree.grew((*path, bytes(32)), before=before, after=after)
        assert not _tree.grew(path, before=(count, bytes(32)), after=after)
        assert not _tree.grew(path, before=before, after=(size, bytes(32)))
        for place, node in enumerate(path):
            flipped = bytes([node[0] ^ 1]) + node[1:]
            assert not _tree.grew((*path[:place], flipped, *path[place + 1 :]), before=before, after=after)
            assert not _tree.grew((*path[:place], *path[place + 1 :]), before=before, after=after)
    assert _tree.grew((), before=after, after=after)
    assert _tree.grew((), before=(0, hashlib.sha256().digest()), after=after)
    assert not _tree.grew((), before=(0, bytes(32)), after=after)
    assert not _tree.grew((), before=(size + 1, after[1]), after=after)


@given(st.integers(1, 3000), st.data())
def test_every_tree_is_a_beginning_of_every_larger_one(size, data):
    before = data.draw(st.integers(1, size))
    path = _tree.Levels.over(LEAVES[:size]).growth(before)
    assert _tree.grew(path, before=(before, _tree.root_of(LEAVES[:before])), after=(size, _tree.root_of(LEAVES[:size])))
