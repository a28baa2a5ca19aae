# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962: roots, and proofs of inclusion and of growth."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

CHUNK = 1024  # leaves that are hashed, stored and looked up together; a power of two, so each chunk is a subtree
_LEVELS = CHUNK.bit_length() - 1
_sha256 = hashlib.sha256
_NODE = _sha256(b"\1")

EMPTY_ROOT = _sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash one entry. Source: RFC 6962, section 2.1."""
    return _sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two nodes into the one above them. Source: RFC 6962, section 2.1."""
    return _sha256(b"\1" + left + right).digest()


def level_above(nodes: Sequence[bytes]) -> list[bytes]:
    """Hash a level's nodes in pairs; an odd last one goes up as it is."""
    pairs, begin = iter(nodes), _NODE.copy  # a copy costs less than a new one
    above = []
    for left, right in zip(pairs, pairs, strict=False):
        hasher = begin()
        hasher.update(left + right)
        above.append(hasher.digest())
    if len(nodes) & 1:
        above.append(nodes[-1])
    return above


def levels(nodes: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Build every level above some nodes, the nodes themselves first, the root alone last; none for no nodes."""
    found = [nodes] if nodes else []
    while found and len(found[-1]) > 1:
        found.append(level_above(found[-1]))
    return found


def root_of(nodes: Sequence[bytes]) -> bytes:
    """Hash leaf hashes, or the roots of whole chunks, up to their root."""
    while len(nodes) > 1:
        nodes = level_above(nodes)
    return nodes[0] if nodes else EMPTY_ROOT


class RootBuilder:
    """Takes leaf hashes bit by bit and keeps one node for each chunk of them."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._chunks: list[bytes] = []
        self.count = 0

    def add(self, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes."""
        self.count += len(leaves)
        self._pending += leaves
        whole = len(self._pending) // CHUNK * CHUNK
        self._chunks += [root_of(self._pending[start : start + CHUNK]) for start in range(0, whole, CHUNK)]
        del self._pending[:whole]

    def root(self) -> bytes:
        """Return the root over what was added so far."""
        return root_of([*self._chunks, root_of(self._pending)] if self._pending else self._chunks)


class Levels:
    """Any node of a tree whose chunks' roots are known.

    Args:
        count: Leaves in all.
        chunk_roots: The root of each chunk, in order.
        chunk: Returns the leaf hashes of one chunk.
    """

    def __init__(self, count: int, chunk_roots: Sequence[bytes], chunk: Callable[[int], Sequence[bytes]]) -> None:
        self.count = count
        self._above = levels(chunk_roots)
        self._chunk = chunk
        self._last: tuple[int, list[Sequence[bytes]]] = (-1, [])

    @classmethod
    def over(cls, leaves: Sequence[bytes]) -> "Levels":
        """Take all leaf hashes at once."""
        starts = range(0, len(leaves), CHUNK)
        roots = [root_of(leaves[start : start + CHUNK]) for start in starts]
        return cls(len(leaves), roots, lambda number: leaves[number * CHUNK : (number + 1) * CHUNK])

    def node(self, level: int, index: int) -> bytes:
        """Return the root of leaves ``index * 2**level`` to ``(index + 1) * 2**level``, as far as there are any."""
        if level >= _LEVELS:
            # Above the root every level holds the root alone.
            return self._above[min(level - _LEVELS, len(self._above) - 1)][index]
        number, place = divmod(index << level, CHUNK)
        if self._last[0] != number:
            self._last = (number, levels(self._chunk(number)))
        within = self._last[1]
        return within[min(level, len(within) - 1)][place >> level]

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """List the nodes that lead from one leaf to the root. Source: RFC 9162, section 2.1.3.1."""
        path, level, width = [], 0, self.count
        while width > 1:
            if (beside := index ^ 1) < width:
                path.append(self.node(level, beside))
            level, index, width = level + 1, index >> 1, (width + 1) >> 1
        return tuple(path)

    def growth(self, before: int) -> tuple[bytes, ...]:
        """List the nodes that show the first ``before`` leaves to be a beginning. Source: RFC 9162, section 2.1.4.1."""
        return tuple(self._range(*span) for span in _growth(before, 0, self.count, known=True)) if before else ()

    def _range(self, start: int, end: int) -> bytes:
        level = (end - start - 1).bit_length()
        return self.node(level, start >> level)


def _growth(before: int, start: int, end: int, *, known: bool) -> Iterable[tuple[int, int]]:
    if before == end:
        return () if known else ((start, end),)
    split = start + (1 << ((end - start - 1).bit_length() - 1))
    if before <= split:
        return *_growth(before, start, split, known=known), (split, end)
    return *_growth(before, split, end, known=False), (start, split)


def includes(leaf: bytes, index: int, path: Sequence[bytes], *, count: int, root: bytes) -> bool:
    """Tell whether a path leads from a leaf to a root. Source: RFC 9162, section 2.1.3.2."""
    if not 0 <= index < count:
        return False
    number, last, node = index, count - 1, leaf
    for beside in path:
        if last == 0:
            return False
        if number & 1 or number == last:
            node = node_hash(beside, node)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            node = node_hash(node, beside)
        number, last = number >> 1, last >> 1
    return last == 0 and node == root


def grew(path: Sequence[bytes], *, before: tuple[int, bytes], after: tuple[int, bytes]) -> bool:
    """Tell whether a path shows that one tree begins another. Source: RFC 9162, section 2.1.4.2.

    Args:
        path: What `Levels.growth` listed.
        before: Leaves and root of the first tree.
        after: Leaves and root of the second.

    Returns:
        Whether it does. Every tree begins with the empty one, and with itself.
    """
    (first, first_root), (second, second_root) = before, after
    if first in {0, second}:
        return not path and first_root == (second_root if first else EMPTY_ROOT)
    if first > second:
        return False
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not nodes:
        return False
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            new = node_hash(new, node)
        number, last = number >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root
