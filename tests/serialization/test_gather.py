# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lifeseal.errors import FormatError
from lifeseal.serialization import _gather

ITEMS = 4000
CONTENT = np.random.default_rng(3).bytes(8 * ITEMS)


class Held:
    """Bytes in memory, read as a file that gives less than it is asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def readinto(self, buffer, start):
        piece = self.content[start : start + min(len(buffer), 97)]
        buffer[: len(piece)] = piece
        return len(piece)


def gathered(*tensors, content=CONTENT) -> bytes:
    return b"".join(bytes(piece) for piece in _gather.gather([("t", Held(content), tensor) for tensor in tensors], _gather.Stages()))


def expected(item, shape, strides, offset) -> bytes:
    flat = np.frombuffer(CONTENT, dtype=f"u{item}")[offset:]
    return np.lib.stride_tricks.as_strided(flat, shape, [step * item for step in strides]).tobytes()


@pytest.fixture(params=[64, 1024, 1 << 16], scope="module", autouse=True)
def piece(request):
    """Small buffers, so that every tensor is cut in many ways."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_gather, "PIECE", request.param)
        patched.setattr(_gather, "STAGE", 2 * request.param)
        patched.setattr(_gather, "_WIDE", 8 * request.param)
        yield


DIMS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 2, 3, 7, 10, 64, 600, 1500])), max_size=5)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), DIMS, st.integers(0, 9))
def test_any_sizes_and_strides_give_what_numpy_gives(item, dims, offset):
    shape, strides = tuple(size for size, _ in dims), tuple(step for _, step in dims)
    assume(np.prod(shape, dtype=float) < 20_000)
    assume(offset + sum(max(size - 1, 0) * step for size, step in dims) < ITEMS)
    tensor = _gather.Placed(start=offset * item, item=item, shape=shape, strides=strides)
    wanted = expected(item, shape, strides, offset)
    assert gathered(tensor, tensor) == wanted + wanted


@pytest.mark.parametrize(("item", "swap"), [(2, 2), (4, 4), (8, 8), (8, 4)])
def test_numbers_are_turned_round(item, swap):
    tensor = _gather.Placed(start=0, item=item, shape=(30, 20), strides=(1, 30), swap=swap)
    plain = np.frombuffer(expected(item, (30, 20), (1, 30), 0), dtype=f"u{swap}")
    assert gathered(tensor) == plain.byteswap().tobytes()


@pytest.mark.parametrize("strides", [(100, 1), (1, 10), (100, 7)])
def test_a_file_that_ends_early_is_said(strides):
    tensor = _gather.Placed(start=0, item=4, shape=(10, 10), strides=strides)
    needed = 4 * (9 * strides[0] + 9 * strides[1] + 1)
    assert gathered(tensor, content=CONTENT[:needed]) == gathered(tensor)
    with pytest.raises(FormatError, match="within a tensor"):
        gathered(tensor, content=CONTENT[: needed - 1])
