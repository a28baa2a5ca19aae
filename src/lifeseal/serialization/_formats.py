# SPDX-License-Identifier: Apache-2.0
"""The formats that are known by their first bytes, in the order in which they are asked.

A new format is one module with a function that recognises it and one that judges it, and one line here. Whatever is recognised is also
followed as a pickle, because an unpickler does not look at names or magic numbers.
"""

from collections.abc import Callable
from typing import Final

import attrs

from lifeseal.serialization._binary import is_code, is_data, judge_code, judge_data
from lifeseal.serialization._compressed import compression, judge_compressed
from lifeseal.serialization._context import Context
from lifeseal.serialization._gguf import is_gguf, judge_gguf
from lifeseal.serialization._hdf5 import is_hdf5, judge_hdf5
from lifeseal.serialization._known import is_known, judge_known
from lifeseal.serialization._message import is_message, judge_message
from lifeseal.serialization._msgpack import is_msgpack, judge_msgpack
from lifeseal.serialization._npy import MAGIC, judge_npy
from lifeseal.serialization._onnx import is_onnx, judge_onnx
from lifeseal.serialization._records import is_events, is_pieces, judge_nothing, judge_pieces
from lifeseal.serialization._safetensors_judge import is_safetensors, judge_safetensors
from lifeseal.serialization._table import is_checkpoint, judge_checkpoint
from lifeseal.serialization._tar import is_tar, judge_tar
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
        may_announce: Its first two bytes can be those with which a pickle of today announces itself.
        as_pickle: Rules that an unpickler's reading of the format's own first bytes breaks, and then stops.
    """

    name: str
    matches: Callable[[bytes, Window], bool]
    judge: Callable[[Window, Context], str]
    as_pickle: frozenset[str] = frozenset()
    may_announce: bool = False


FORMATS: Final = (
    Format("tar", lambda head, _: is_tar(head), judge_tar, may_announce=True),
    Format("npy", lambda head, _: head.startswith(MAGIC), judge_npy),
    Format("compressed", lambda head, _: compression(head) != "", judge_compressed),
    Format("gguf", is_gguf, judge_gguf),
    Format("hdf5", is_hdf5, judge_hdf5),
    Format("safetensors", is_safetensors, judge_safetensors, may_announce=True),
    Format("image", lambda head, _: is_data(head), judge_data),
    Format("code", lambda head, _: is_code(head), judge_code),
    Format("tflite", is_tflite, judge_tflite),
    Format("sentencepiece", is_pieces, judge_pieces),
    Format("tensorboard", is_events, judge_nothing("tensorboard")),
    Format("msgpack", is_msgpack, judge_msgpack, frozenset({"pickle-extension", "pickle-broken"})),
    Format("onnx", is_onnx, judge_onnx),
    Format("tf-checkpoint", is_checkpoint, judge_checkpoint, may_announce=True),
    Format("tensorflow", is_tensorflow, judge_tensorflow),
    Format("known", is_known, judge_known),
    Format("message", is_message, judge_message),
)
MAY_ANNOUNCE: Final = tuple(known for known in FORMATS if known.may_announce)
