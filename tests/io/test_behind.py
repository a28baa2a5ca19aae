# SPDX-License-Identifier: Apache-2.0
"""A thread that works one piece behind its caller."""

import threading

import pytest

from lifeseal._io import Behind

_LARGE = 1 << 20


def test_pieces_are_taken_in_their_order():
    seen = []
    with Behind() as behind:
        for number in range(20):
            size = _LARGE if number % 3 else 1
            behind.do(lambda piece: seen.append(piece[0]), memoryview(bytes([number]) * size))
        behind.wait()

    assert seen == list(range(20))


def test_the_caller_goes_on_while_a_piece_is_taken():
    gate, began = threading.Event(), threading.Event()

    def slow(_: memoryview) -> None:
        began.set()
        assert gate.wait(10)

    with Behind() as behind:
        behind.do(slow, memoryview(bytes(_LARGE)))
        assert began.wait(10)  # it runs, and this thread is here
        gate.set()
        behind.wait()


def test_what_went_wrong_is_raised_at_the_next_piece():
    def fail(_: memoryview) -> None:
        raise OSError(28, "full")

    with Behind() as behind:
        behind.do(fail, memoryview(bytes(_LARGE)))
        with pytest.raises(OSError, match="full"):
            behind.do(lambda _: pytest.fail("went on after an error"), memoryview(bytes(_LARGE)))


def test_what_went_wrong_with_the_last_piece_is_raised_at_the_end_of_the_block():
    def fail(_: memoryview) -> None:
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"), Behind() as behind:
        behind.do(fail, memoryview(bytes(_LARGE)))


def test_what_was_begun_is_done_before_the_block_ends():
    done = []

    def interrupted() -> None:
        with Behind() as behind:
            behind.do(lambda piece: done.append(len(piece)), memoryview(bytes(_LARGE)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert done == [_LARGE]
