# SPDX-License-Identifier: Apache-2.0
"""Whether a file's blocks belong to another file too (a reflink or a snapshot), as far as the file system tells.

Source: Linux, Documentation/filesystems/fiemap.rst.
"""

import fcntl
import struct

_FIEMAP = 0xC020660B
_HEAD = struct.Struct("=QQIIII")
_EXTENT = struct.Struct("=QQQQQIIII")
_AT_ONCE = 128
_LAST, _SHARED = 0x1, 0x2000
_EVERYTHING = 2**64 - 1


def shares_blocks(fd: int) -> bool | None:
    """Tell whether some block of an open file is shared.

    Args:
        fd: Its descriptor.

    Returns:
        None where the file system does not say.
    """
    start = 0
    while True:
        request = bytearray(_HEAD.size + _AT_ONCE * _EXTENT.size)
        _HEAD.pack_into(request, 0, start, _EVERYTHING - start, 0, 0, _AT_ONCE, 0)
        try:
            fcntl.ioctl(fd, _FIEMAP, request)
        except OSError:
            return None
        count = _HEAD.unpack_from(request)[3]
        extents = [_EXTENT.unpack_from(request, _HEAD.size + number * _EXTENT.size) for number in range(count)]
        if any(extent[5] & _SHARED for extent in extents):
            return True
        if not extents or extents[-1][5] & _LAST:
            return False
        start = extents[-1][0] + extents[-1][2]
