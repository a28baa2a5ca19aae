# SPDX-License-Identifier: Apache-2.0
"""Trees without a vault around them, and an adversary who holds every byte ever written."""

import attrs

from lifeseal.erasure._change import write_log
from lifeseal.erasure._layout import log_name
from lifeseal.erasure._log import NODE, PAGE, Batch, Frame, LogReader
from lifeseal.erasure._nodes import ENTRY, FANOUT, NODE_SIZE, Head, State, get_child, get_slot, open_frame
from lifeseal.erasure._tree import Edit, Tree, write_tree
from lifeseal.errors import TamperedError

VAULT = bytes(range(16))


class Grove:
    """The successive trees of one log."""

    def __init__(self, folder):
        self.folder = folder
        self.epoch = 1
        self.key = write_log(folder, VAULT, 1, lambda batch: write_tree(None, None, [], Head(), batch))
        self.path = folder / log_name(1)
        self.roots = []

    def tree(self):
        log = LogReader(self.folder, 1, VAULT)
        commit, _, _ = log.find(self.epoch)
        return Tree(log, commit, self.key)

    def change(self, *edits):
        """Append a batch, as a change does, without waiting for the disk."""
        with self.tree() as tree, self.path.open("ab") as file:
            self.roots.append(bytes(self.key.view()))
            self.epoch += 1
            batch = Batch(file.write, VAULT, self.epoch, after=tree.commit)
            key, root = write_tree(tree, tree.log, sorted(edits, key=lambda edit: edit.start), tree.head, batch)
            batch.finish(root)
        self.key.close()
        self.key = key

    def create(self, start, stop):
        self.change(Edit(start=start, stop=stop, state=State.LIVE))

    def erase(self, *slots):
        self.change(*(Edit(start=slot, stop=slot + 1, state=State.ERASED) for slot in slots))


def key_of(tree, slot):
    with tree.key(slot) as key:
        return bytes(key.view())


@attrs.frozen
class Found:
    """What an adversary reaches: keys of slots, and pages."""

    keys: dict
    pages: dict


def attack(logs, root, *, vault=VAULT, trust_headers=True):
    """Open everything that can be opened with one root key and the bytes of all logs ever written, to the end.

    ``trust_headers=False`` tries every frame under every key; else those that call themselves the right node.
    """
    frames = [(log, frame, offset) for log in logs for frame, offset in frames_of(log)]
    keys, pages, seen = {}, {}, set()
    todo = [(NODE, 0, 0, root)]
    while todo:
        aim = todo.pop()
        if aim in seen:
            continue
        seen.add(aim)
        for log, frame, offset in frames:
            if trust_headers and (frame.kind, frame.level, frame.index) != aim[:3]:
                continue
            plain = opened(log, frame, offset, aim[3])
            if plain is None:
                continue
            if frame.kind == PAGE:
                pages.setdefault(frame.index, set()).add(bytes(plain))
            for number in range(FANOUT) if frame.kind == NODE else ():
                entry = memoryview(plain)[number * ENTRY : (number + 1) * ENTRY]
                if any(entry[:32]):
                    todo += _below(frame, frame.index * FANOUT + number, entry, keys)
    return Found(keys=keys, pages=pages)


def _below(frame, index, entry, keys):
    """Say what an entry's key may open; a slot's key is noted."""
    key = bytes(entry[:32])
    if frame.level < 2:
        return [(NODE, frame.level + 1, index, key)] if get_child(entry) else []
    keys.setdefault(index, set()).add(key)
    return [(PAGE, 0, index, key)] if get_slot(entry, where="attack").state is State.PAGE else []


def opened(log, frame, offset, key):
    size = log.length(offset) if frame.kind == PAGE else NODE_SIZE + (64 if frame.level == 0 else 0)
    room = bytearray(size)
    try:
        open_frame(log, frame, offset, key, memoryview(room))
    except TamperedError:
        return None
    return room


def frames_of(log):
    """Find every frame in a log, also those that no batch in force holds."""
    data = log._at(0, log.measure())
    position = 0
    while position + 32 <= len(data):
        kind, level = data[position], data[position + 1]
        length = int.from_bytes(data[position + 16 : position + 20], "big")
        if kind in {NODE, PAGE} and data[position + 2 : position + 4] == bytes(2) and level < 3 and 16 <= length <= (1 << 21):
            number = int.from_bytes
            frame = Frame(
                kind=kind,
                level=level,
                index=number(data[position + 4 : position + 8], "big"),
                epoch=number(data[position + 8 : position + 16], "big"),
            )
            yield frame, position
            position += 32 + length
        else:
            position = (position // 512 + 1) * 512
