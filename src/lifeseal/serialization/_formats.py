# SPDX-License-Identifier: Apache-2.0
"""The formats that are known by their first bytes, in the order in which they are asked."""

from collections.abc import Callable
from typing import Final

import attrs

from lifeseal.serialization._context import Context
from lifeseal.serialization._gguf import is_gguf, judge_gguf
from lifeseal.serialization._hdf5 import is_hdf5, judge_hdf5
from lifeseal.serialization._known import is_known, judge_known
from lifeseal.serialization._msgpack import is_msgpack, judge_msgpack
from lifeseal.serialization._onnx import is_onnx, judge_onnx
from lifeseal.serialization._table import is_checkpoint, judge_checkpoint
from lifeseal.serialization._tensorflow import is_tensorflow, judge_tensorflow
from lifeseal.serialization._tflite import is_tflite, judge_tflite
from lifeseal.serialization._window import Window

HEAD: Final = 512


@attrs.frozen
class Format:
    """One format.

    Attributes:
        name: As in reports.
        matches: Tells by the first `HEAD` bytes, and by more if it must, whether bytes are of this format.
        judge: Judges them; returns the name to report.
        as_pickle: Rules that an unpickler's reading of the format's own first bytes breaks, and then stops.
    """

    name: str
    matches: Callable[[bytes, Window], bool]
    judge: Callable[[Window, Context], str]
    as_pickle: frozenset[str] = frozenset()


FORMATS: Final = (
    Format("gguf", is_gguf, judge_gguf),
    Format("hdf5", is_hdf5, judge_hdf5),
    Format("tflite", is_tflite, judge_tflite),
    Format("msgpack", is_msgpack, judge_msgpack, frozenset({"pickle-extension", "pickle-broken"})),
    Format("onnx", is_onnx, judge_onnx),
    Format("tf-checkpoint", is_checkpoint, judge_checkpoint),
    Format("tensorflow", is_tensorflow, judge_tensorflow),
    Format("known", is_known, judge_known),
)
