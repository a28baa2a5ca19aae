# SPDX-License-Identifier: Apache-2.0
"""Whether a file opens as a tar archive, which PyTorch's loader tries before any other form than zip.

Source: CPython 3.11 ``Lib/tarfile.py``, ``TarInfo.frombuf``; PyTorch ``torch/serialization.py``, ``_legacy_load``.
"""

from typing import Final

from lifeseal.serialization._window import Window

_BLOCK: Final = 512
_FIELD: Final = slice(148, 156)
_BINARY: Final = {0o200: 0, 0o377: 1 << 56}
_SPACES: Final = 8 * 0x20


def is_tar(window: Window) -> bool:
    """Tell whether the first block holds its own checksum, added up in either way that readers do."""
    block = window.read(0, _BLOCK)
    if len(block) < _BLOCK:
        return False
    counted = block[: _FIELD.start] + block[_FIELD.stop :]
    unsigned = sum(counted) + _SPACES
    signed = unsigned - 256 * sum(byte >= 0x80 for byte in counted)  # noqa: PLR2004 - the sign bit
    return _stated(block[_FIELD]) in {unsigned, signed}


def _stated(field: bytes) -> int | None:
    if field[0] in _BINARY:
        return int.from_bytes(field[1:], "big") - _BINARY[field[0]]
    try:
        return int(field.partition(b"\0")[0].decode("ascii").strip() or "0", 8)
    except ValueError:
        return None
