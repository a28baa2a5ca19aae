# SPDX-License-Identifier: Apache-2.0
"""Arrays that joblib writes into the middle of a pickle.

Source: joblib 1.6 ``numpy_pickle.py``, ``NumpyArrayWrapper.read_array`` and ``NumpyUnpickler.load_build``.
"""

import math
from typing import Final

from lifeseal.errors import FormatError
from lifeseal.serialization._dtypes import Dtype, is_plain_dtype, is_shape
from lifeseal.serialization._values import NONE, Dict, Global, Value
from lifeseal.serialization._window import Cursor

WRAPPER: Final = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_KINDS: Final = frozenset({("numpy", "ndarray"), ("numpy", "memmap"), ("numpy", "matrix")})


def skip_array(state: Value, cursor: Cursor) -> bool:
    """Step over the items of an array.

    Args:
        state: The wrapper's fields.
        cursor: Stands behind the wrapper.

    Returns:
        True; False if the items are objects, so that a pickle follows instead.

    Raises:
        FormatError: The fields are not what joblib writes, or the file ends early.
    """
    fields = state.fields if isinstance(state, Dict) else None
    where = f"byte {cursor.offset}"
    if fields is None:
        raise FormatError(where, "the fields of an array as joblib writes them were expected")
    kind, dtype, shape = fields.get("subclass"), fields.get("dtype"), fields.get("shape")
    if not isinstance(kind, Global) or kind.path not in _KINDS or not isinstance(dtype, Dtype) or not dtype.stated or not is_shape(shape):
        raise FormatError(where, "an array's class, type and shape, as joblib writes them, were expected")
    if not is_plain_dtype(dtype):
        return False
    alignment = fields.get("numpy_array_alignment_bytes", NONE)
    if alignment is not NONE:
        cursor.skip(cursor.byte())
    cursor.skip(math.prod(shape) * dtype.size)
    return True
